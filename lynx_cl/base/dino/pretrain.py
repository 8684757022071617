"""How scenes-dino, the detector that ships beside nano, is made: `lynx-cl base pretrain scenes-dino`.

Each step draws scenes of the `pretrain` split and asks for several things of each in one text, phrase by phrase, as
GroundingDINO is trained: categories that are there, ones that are not, and referring expressions. Phrases do not see
each other, so that a thing is found alike whether it is asked for alone or in company.

What differs from the paper: no Hungarian matching. Every cell of the encoder's grids whose centre lies in an object,
and every query whose proposal overlaps one, learns that object's box and phrases, so that a few hundred steps do.
Several queries then find one thing; an answer takes the best of them. The target of a right phrase grows with the
overlap of the box that is predicted (Li et al. 2020, generalised focal loss), so that the best-scored box is the best
one. And categories of a text compete for a thing by their softmax, as in CLIP: scores that each stand alone settle on
how often a word is right long before they look at the picture.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lynx_cl.base.dino.model import TOKENS, build, build_processor
from lynx_cl.data import refer
from lynx_cl.data.scenes import SIDE, Scene, make_scene
from lynx_cl.data.scenes.categories import COCO

STEPS, PICTURES = 600, 8
RATE, BACKBONE_RATE, BOX_RATE = 1.2e-3, 0.15, 3.0  # the backbone's and the box heads' are relative
FIRST_SCENE = 60_000_000  # nano's own pretraining ends before it
PRESENT, ABSENT, EXPRESSIONS = 4, 24, 3  # phrases of each kind in one text, at most
PROPOSED = 0.4  # overlap from which on a proposal stands for an object
RIGHT = 0.5  # the target of a right phrase where the box is wholly wrong; 1 where it is right
GAMMA = 2.0  # of the focal loss
BOX, OVERLAP = 5.0, 2.0  # weights of the distance of boxes and of their overlap, as in the paper
NAMES = 2.0  # weight of telling the categories of a text apart

_NAMES = tuple(category.name for category in COCO)


@dataclass(frozen=True)
class Asked:
    """A phrase, and the objects of a scene that it means, as indexes."""

    phrase: str
    meant: tuple[int, ...]


def requests(scene: Scene, rng: random.Random) -> list[Asked]:
    """What is asked of a scene, in a random order."""
    there = sorted({thing.category for thing in scene.objects})
    asked = [
        Asked(name, tuple(i for i, thing in enumerate(scene.objects) if thing.category == name))
        for name in rng.sample(there, min(PRESENT, len(there)))
    ]
    asked += [Asked(name, ()) for name in rng.sample([n for n in _NAMES if n not in there], ABSENT)]
    for _ in range(EXPRESSIONS):
        target = rng.randrange(len(scene.objects))
        made = refer.propose(rng.choice(refer.KINDS[1:]), target, scene, rng)
        if made is not None:
            asked.append(Asked(refer.phrase(made, rng), (target,)))
    rng.shuffle(asked)
    return asked


@dataclass(frozen=True)
class Batch:
    """`inputs` of the model, and for each scene what is there and what was asked.

    `boxes` of its objects, (objects, 4) as (cx, cy, w, h) in fractions of the picture; `meant`, (objects, TOKENS): 1
    where a token is of a phrase that means the object; `names`, (categories asked for, TOKENS): a mean over the tokens
    of each; `called`, (objects,): which of those an object is of, -1 where it was not asked for.
    """

    inputs: dict[str, Tensor]
    names: list[Tensor]
    called: list[Tensor]
    boxes: list[Tensor]
    meant: list[Tensor]


def make_batch(processor: Any, scenes: Sequence[Scene], rng: random.Random) -> Batch:
    """A batch of scenes, and what is asked of them; phrases that no longer fit in a text are left out."""
    tokenizer = processor.tokenizer
    stop = tokenizer.convert_tokens_to_ids(".")
    rows, meant, names, called = [], [], [], []
    for scene in scenes:
        row, means = [tokenizer.cls_token_id], torch.zeros(len(scene.objects), TOKENS)
        spans: list[Tensor] = []
        own = torch.full((len(scene.objects),), -1)
        for asked in requests(scene, rng):
            words = tokenizer.encode(asked.phrase, add_special_tokens=False)
            if len(row) + len(words) + 2 > TOKENS:
                continue
            span = torch.zeros(TOKENS)
            span[len(row) : len(row) + len(words)] = 1.0
            means[list(asked.meant)] += span
            if asked.phrase in _NAMES:
                own[list(asked.meant)] = len(spans)
                spans.append(span / span.sum())
            row += [*words, stop]
        rows.append([*row, tokenizer.sep_token_id])
        meant.append(means)
        names.append(torch.stack(spans))
        called.append(own)
    longest = max(map(len, rows))
    ids = torch.tensor([row + [tokenizer.pad_token_id] * (longest - len(row)) for row in rows])
    pictures = processor.image_processor(images=[scene.image for scene in scenes], return_tensors="pt")
    inputs = {"input_ids": ids, "attention_mask": (ids != tokenizer.pad_token_id).long(), **pictures}
    return Batch(inputs, names, called, [_boxes(scene) for scene in scenes], meant)


def _boxes(scene: Scene) -> Tensor:
    corners = torch.tensor([thing.box for thing in scene.objects]) / SIDE
    return torch.cat([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], 1)


def loss_of(model: Any, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch; the mean IoU of boxes that stand for an object, of cells and of queries, and how often a
    query scores the name of its object's category above all others."""
    output = model(**batch.inputs)
    centres = cell_centres()
    at_cells = [within(centres, boxes) for boxes in batch.boxes]
    at_queries = [
        proposed_for(points, boxes) for points, boxes in zip(output.init_reference_points, batch.boxes, strict=True)
    ]
    first, near, _ = part_loss(output.enc_outputs_class, output.enc_outputs_coord_logits.sigmoid(), at_cells, batch)
    last, nearer, named = part_loss(output.logits, output.pred_boxes, at_queries, batch)
    return first + last, {"cells": near, "queries": nearer, "named": named}


def cell_centres() -> Tensor:
    """Centres of the cells of the encoder's two grids, (cells, 2), fractions of the picture."""
    grids = []
    for side in (SIDE // 8, SIDE // 16):
        places = (torch.arange(side) + 0.5) / side
        y, x = torch.meshgrid(places, places, indexing="ij")
        grids.append(torch.stack([x.flatten(), y.flatten()], 1))
    return torch.cat(grids)


def within(points: Tensor, boxes: Tensor) -> Tensor:
    """For each point the smallest box that holds it, -1 where none does, (points,)."""
    inside = ((points[:, None] - boxes[None, :, :2]).abs() < boxes[None, :, 2:] / 2).all(-1)
    areas = boxes[:, 2] * boxes[:, 3]
    area, index = torch.where(inside, areas, torch.inf).min(1)
    return torch.where(area.isfinite(), index, -1)


def proposed_for(points: Tensor, boxes: Tensor) -> Tensor:
    """For each proposal (cx, cy, w, h) the object that it overlaps most, -1 where that is less than PROPOSED."""
    best, index = overlap(points[:, None], boxes[None])[0].max(1)
    return torch.where(best >= PROPOSED, index, -1)


def overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU (Rezatofighi et al. 2019) of boxes (..., 4) as (cx, cy, w, h), which broadcast."""
    low_a, high_a = a[..., :2] - a[..., 2:] / 2, a[..., :2] + a[..., 2:] / 2
    low_b, high_b = b[..., :2] - b[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2
    both = (torch.minimum(high_a, high_b) - torch.maximum(low_a, low_b)).clamp(min=0).prod(-1)
    union = a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - both
    around = (torch.maximum(high_a, high_b) - torch.minimum(low_a, low_b)).prod(-1)
    iou = both / union.clamp(min=1e-9)
    return iou, iou - (around - union) / around.clamp(min=1e-9)


def part_loss(logits: Tensor, boxes: Tensor, owners: Sequence[Tensor], batch: Batch) -> tuple[Tensor, float, float]:
    """The loss of logits (pictures, places, TOKENS) and boxes (pictures, places, 4), their mean IoU, and how often the
    right category's name was scored highest. `owners` says for each picture which object a place stands for, (places,),
    -1 for none.
    """
    total = logits.new_zeros(())
    found, near, asked, right = 0, 0.0, 0, 0
    known = batch.inputs["attention_mask"].bool()
    for picture, owner in enumerate(owners):
        stands = owner >= 0
        width = known.shape[1]
        said = logits[picture][:, :width].masked_fill(~known[picture], 0.0)
        target = torch.zeros_like(said)
        if stands.any():
            own = owner[stands]
            truth = batch.boxes[picture][own]
            iou, generalised = overlap(boxes[picture][stands], truth)
            total = total + BOX * (boxes[picture][stands] - truth).abs().sum() + OVERLAP * (1 - generalised).sum()
            likely = RIGHT + (1 - RIGHT) * iou.detach()
            target[stands] = batch.meant[picture][own, :width] * likely[:, None]
            found, near = found + len(own), near + float(iou.detach().sum())
            scores = said[stands] @ batch.names[picture][:, :width].T
            called = batch.called[picture][own]
            if (called >= 0).any():
                total = total + NAMES * F.cross_entropy(scores, called, ignore_index=-1, reduction="sum")
                asked, right = asked + int((called >= 0).sum()), right + int((scores.argmax(1) == called).sum())
        said, target = said[:, known[picture]], target[:, known[picture]]
        distance = (said.sigmoid() - target).abs().detach() ** GAMMA
        total = total + (distance * F.binary_cross_entropy_with_logits(said, target, reduction="none")).sum()
    return total / max(1, found), near / max(1, found), right / max(1, asked)


def pretrain(
    nano: Path, out: Path, say: Callable[[str], None], steps: int = STEPS, seed: int = 0, pictures: int = PICTURES
) -> Path:
    """Trains the detector and saves it, with its processor and a line of its log every 50 steps, in `out`."""
    from torch.optim import AdamW

    model, processor = build(nano, seed), build_processor()
    scales = {"backbone.conv_encoder": BACKBONE_RATE, "bbox_embed": BOX_RATE}
    groups: dict[float, list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        groups.setdefault(next((x for part, x in scales.items() if part in name), 1.0), []).append(parameter)
    rates = [RATE * scale for scale in groups]
    engine = AdamW([{"params": own, "lr": rate} for own, rate in zip(groups.values(), rates, strict=True)])
    schedule = torch.optim.lr_scheduler.OneCycleLR(engine, rates, total_steps=steps, pct_start=min(0.1, 50 / steps))
    model.train()
    lines: list[str] = []
    averages: dict[str, float] = {}
    begun = time.monotonic()
    for step in range(steps):
        rng = random.Random(f"scenes-dino/{seed}/{step}")
        scenes = [make_scene("pretrain", seed, FIRST_SCENE + step * pictures + i) for i in range(pictures)]
        loss, facts = loss_of(model, make_batch(processor, scenes, rng))
        engine.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        engine.step()
        schedule.step()
        for name, value in {"loss": loss.item(), **facts}.items():
            averages[name] = value if name not in averages else 0.95 * averages[name] + 0.05 * value
        if (step + 1) % 50 == 0 or step + 1 == steps:
            record: dict[str, float] = {"step": step + 1, "seconds": round(time.monotonic() - begun)}
            record |= {name: round(value, 4) for name, value in averages.items()}
            lines.append(json.dumps(record))
            say(" ".join(f"{name}={value}" for name, value in record.items()))
    model.eval().to(torch.bfloat16).save_pretrained(out)
    processor.save_pretrained(out)
    (out / "pretraining.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return out
