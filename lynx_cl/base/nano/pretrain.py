"""How nano is made: seven stages, each resumable, all of it repeatable by `lynx-cl base pretrain nano`.

1. tower: the vision tower and projector learn dense labels, in the space of the word embeddings.
2. decoder: the decoder learns to answer from ideal patches (sums of the words that belong there); needs no picture.
3. joint: tower, projector and decoder together, on pictures, many questions each.
4. sparse: every other feed-forward network is copied into four experts, and training goes on.
5. signs: the tower and projector alone, on more labels: what signs say, and how many things are of one kind.
6. lookups: the decoder alone, from ideal patches again, on more kinds of questions; needs no picture.
7. wider: all together again, on these questions.

Stages 5 and 6 go on from the weights of stage 4 in bfloat16, as a finished base holds them, so that they can start from
one.

Matrices are trained with Muon (Jordan et al. 2024), the rest with AdamW. A stage is a pure function of its seed and the
weights it starts from; data come from the `pretrain` split of scenes only.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lynx_cl.base.kernels import use_cpu_kernels
from lynx_cl.base.nano import model as architecture
from lynx_cl.base.nano import questions, stages, tokenizer, wider_questions
from lynx_cl.base.nano.checkpoints import adopt, load_checkpoint, load_weights, save_checkpoint
from lynx_cl.base.nano.labels import Codebook, patch_labels
from lynx_cl.errors import LynxError

Log = Callable[[str], None]


@dataclass(frozen=True)
class Stage:
    """One stage: optimiser steps, pictures a step, questions a picture, peak learning rate.

    The rate warms up for `warmup` steps and falls linearly to `floor` times its peak over the last half."""

    name: str
    steps: int
    pictures: int
    turns: int
    rate: float
    tower_rate: float = 1.0  # relative to `rate`
    floor: float = 0.1
    warmup: int = 100
    first_scene: int = 0
    flocks: float = 0.0  # share of scenes with several things of few categories


RECIPE = (
    Stage("tower", steps=6500, pictures=32, turns=0, rate=1.2e-3),
    Stage("decoder", steps=1500, pictures=16, turns=8, rate=1e-3, floor=0.5, first_scene=10_000_000),
    Stage("joint", steps=1000, pictures=16, turns=9, rate=1e-3, tower_rate=0.3, floor=0.6, first_scene=20_000_000),
    Stage("sparse", steps=900, pictures=16, turns=9, rate=6e-4, tower_rate=0.3, floor=0.03, first_scene=30_000_000),
    Stage("signs", steps=2200, pictures=16, turns=0, rate=8e-4, first_scene=40_000_000, flocks=0.5),
    Stage("lookups", steps=1000, pictures=16, turns=10, rate=6e-4, floor=0.5, first_scene=50_000_000, flocks=0.4),
    Stage(
        "wider",
        steps=1000,
        pictures=16,
        turns=10,
        rate=6e-4,
        tower_rate=0.3,
        floor=0.03,
        first_scene=60_000_000,
        flocks=0.4,
    ),
)
FIRST = ("tower", "decoder", "joint", "sparse")  # what a base without signs has behind it
ON_IDEAL = ("decoder", "lookups")
ON_TOWER = ("tower", "signs")
WORD_RATE = 0.1  # of the decoder's rate: words must stay near the patches that were aligned with them


class Nano(nn.Module):
    """The model with what only pretraining needs: the codebook of labels and the outline head.

    All stages in a folder share its tokenizer: a tokenizer trained anew would number its tokens otherwise.
    """

    def __init__(self, folder: Path, seed: int = 0, wider: bool = False) -> None:
        super().__init__()
        self.tokenizer = tokenizer.load_or_train(folder / "tokenizer")
        self.model: Any = architecture.build(self.tokenizer, seed)
        self.outline = stages.outline_head(wider)
        names = Codebook.vocabulary()
        ids = {name: self.tokenizer.encode(f" {name}", add_special_tokens=False) for name in names}
        self.codebook = Codebook(self.words, ids, wider=wider)

    def make_sparse(self, seed: int = 0) -> None:
        """Copies dense feed-forward networks into experts (stage 4)."""
        self.model = architecture.upcycle(self.model, self.tokenizer, seed)

    @property
    def words(self) -> nn.Parameter:
        """The word embeddings, (vocabulary, hidden)."""
        return self.model.get_input_embeddings().weight

    @property
    def is_sparse(self) -> bool:
        return not self.model.config.text_config.mlp_only_layers


def trained_parts(nano: Nano, stage: str) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """What a stage trains: (tower and projector, decoder)."""
    seeing = [*nano.model.model.vision_tower.parameters(), *nano.model.model.multi_modal_projector.parameters()]
    seeing += list(nano.outline.parameters())
    language = list(nano.model.model.language_model.parameters())
    if stage in ON_TOWER:
        return seeing, []
    if stage in ON_IDEAL:  # word embeddings stand still, since the ideal patches are made of them
        words = nano.model.get_input_embeddings().weight
        return [], [p for p in language if p is not words]
    return seeing, language


def optimisers(groups: tuple[list[nn.Parameter], list[nn.Parameter]], stage: Stage, words: nn.Parameter) -> list:
    """Muon for matrices, AdamW for embeddings, expert stacks, convolutions and vectors."""
    matrices, others = [], []
    for parameters, scale in zip(groups, (stage.tower_rate, 1.0), strict=True):
        flat = [p for p in parameters if p.ndim == 2 and p is not words]
        rest = [p for p in parameters if p.ndim != 2]
        if flat:
            matrices.append({"params": flat, "scale": scale})
        if rest:
            others.append({"params": rest, "scale": scale})
        others += [{"params": [p], "scale": WORD_RATE} for p in parameters if p is words]
    muon = torch.optim.Muon(matrices, lr=stage.rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW(others, lr=stage.rate, weight_decay=0.0, betas=(0.9, 0.98))]


def rate_at(stage: Stage, step: int) -> float:
    """The learning rate of a step.

    >>> round(rate_at(Stage("joint", 1000, 16, 9, rate=1.0), 500), 2)
    1.0
    """
    warm = min(1.0, (step + 1) / stage.warmup)
    fall = max(0.0, (step / stage.steps - 0.5) / 0.5)
    return stage.rate * warm * (1 - (1 - stage.floor) * fall)


def stage_loss(nano: Nano, stage: Stage, step: int) -> tuple[Tensor, dict[str, float]]:
    """The loss of one step on freshly drawn scenes, and its shares of right answers by kind."""
    import numpy as np

    place = ("pretrain", stage.first_scene + step * stage.pictures, stage.pictures)
    scenes = stages.draw_scenes(*place) if stage.name in FIRST else stages.draw_wider_scenes(*place, stage.flocks)
    rng = random.Random(f"{stage.name}/{step}")
    if stage.name in ON_TOWER:
        pixels = stages.normalise(np.stack([scene.pixels() for scene in scenes]))
        with torch.autocast("cpu", torch.bfloat16):
            seen = stages.visual_tokens(nano.model, pixels)
        return stages.tower_loss(seen, patch_labels(scenes), nano.codebook, nano.outline)
    asking = questions if stage.name in FIRST else wider_questions
    ideally = stage.name in ON_IDEAL
    rows = stages.make_rows(nano.tokenizer, scenes, stage.turns, rng, not ideally, asking.questions)
    if ideally:
        ideal = nano.codebook.ideal(rows.labels)
        noise = torch.randn(ideal.shape, generator=torch.Generator().manual_seed(step))
        seen = ideal + 0.04 * noise
        seen[..., 0] -= 0.6
        with torch.autocast("cpu", torch.bfloat16):
            loss, right, balance = stages.decoder_loss(nano.model, seen, rows)
        return loss + 0.01 * balance, {kind: hits / count for kind, (hits, count) in right.items()}
    assert rows.pixels is not None
    with torch.autocast("cpu", torch.bfloat16):
        seen = stages.visual_tokens(nano.model, rows.pixels)
        loss, right, balance = stages.decoder_loss(nano.model, seen, rows)
    dense, shares = stages.tower_loss(seen, rows.labels, nano.codebook, nano.outline)
    shares = {f"patch/{name}": value for name, value in shares.items()}
    shares |= {kind: hits / count for kind, (hits, count) in right.items()}
    return loss + 0.1 * dense + 0.01 * balance, shares


def run_stage(nano: Nano, stage: Stage, folder: Path, log: Log, minutes: float | None = None) -> None:
    """Runs a stage from its last checkpoint, if any, to its end; or until `minutes` have passed.

    Writes `<stage>.safetensors` (weights), `<stage>.state` (optimisers, step) and a line a hundred steps to
    `<stage>.jsonl`.
    """
    use_cpu_kernels(nano.model)
    groups = trained_parts(nano, stage.name)
    for parameter in nano.parameters():
        parameter.requires_grad_(False)
    for parameter in (*groups[0], *groups[1]):
        parameter.requires_grad_(True)
    engines = optimisers(groups, stage, nano.model.get_input_embeddings().weight)
    step = load_checkpoint(nano, stage.name, folder, engines)
    averages: dict[str, float] = {}
    begun, first = time.monotonic(), step
    while step < stage.steps:
        rate = rate_at(stage, step)
        for engine in engines:
            for group in engine.param_groups:
                group["lr"] = rate * group["scale"]
        loss, shares = stage_loss(nano, stage, step)
        if not torch.isfinite(loss):
            raise LynxError(f"base pretrain: loss is not finite at step {step} of stage '{stage.name}'; lower its rate")
        for engine in engines:
            engine.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*groups[0], *groups[1]], 1.0)
        for engine in engines:
            engine.step()
        step += 1
        for name, value in {**shares, "loss": loss.item()}.items():
            averages[name] = value if name not in averages else 0.98 * averages[name] + 0.02 * value
        over = minutes is not None and (time.monotonic() - begun) / 60 > minutes
        if step % 100 == 0 or step == stage.steps or over:
            seconds = (time.monotonic() - begun) / (step - first)
            record = {"stage": stage.name, "step": step, "seconds_a_step": round(seconds, 3)}
            record |= {name: round(value, 4) for name, value in sorted(averages.items())}
            with (folder / f"{stage.name}.jsonl").open("a") as lines:
                lines.write(json.dumps(record) + "\n")
            log(" ".join(f"{name}={value}" for name, value in record.items()))
        if step % 500 == 0 or step == stage.steps or over:
            save_checkpoint(nano, stage.name, folder, engines, step)
        if over:
            break


def prepare(nano: Nano, stage: str, folder: Path) -> None:
    """Puts the weights that a stage starts from in place."""
    seeing = ("model.model.vision_tower", "model.model.multi_modal_projector", "outline")
    if stage == "joint":
        load_weights(nano, "tower", folder, seeing)
        load_weights(nano, "decoder", folder, ("model.model.language_model",))
    elif stage == "sparse":
        load_weights(nano, "joint", folder)
        nano.make_sparse()
    elif stage in ("signs", "lookups"):
        nano.make_sparse()
        load_weights(nano, "sparse", folder, ("model.",))
        nano.model.to(torch.bfloat16).float()
    elif stage == "wider":
        nano.make_sparse()
        load_weights(nano, "signs", folder, seeing)
        load_weights(nano, "lookups", folder, ("model.model.language_model",))


def recipe(steps_scale: float = 1.0) -> Iterator[Stage]:
    """The stages; `steps_scale` shortens them all (for a trial)."""
    for stage in RECIPE:
        yield replace(stage, steps=max(1, round(stage.steps * steps_scale)))


def pretrain(
    folder: Path,
    log: Log,
    steps_scale: float = 1.0,
    only: str | None = None,
    minutes: float | None = None,
    start: Path | None = None,
) -> Path | None:
    """Runs the stages in order, each from its checkpoint, or `only` one of them.

    `start` is the folder of a finished base that stands for the first four. Returns the folder of the finished base,
    None where the last stage was not among them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.json").write_text(json.dumps([asdict(stage) for stage in recipe(steps_scale)], indent=1) + "\n")
    if start is not None and not (folder / f"{FIRST[-1]}.safetensors").exists():
        adopt(start, folder)
    for stage in recipe(steps_scale):
        if (only is not None and stage.name != only) or (start is not None and stage.name in FIRST):
            continue
        nano = Nano(folder, wider=stage.name not in FIRST)
        prepare(nano, stage.name, folder)
        run_stage(nano, stage, folder, log, minutes)
        if stage.name == RECIPE[-1].name:
            from lynx_cl.base.nano.export import export

            logs = [folder / f"{stage.name}.jsonl" for stage in RECIPE]
            export(nano, folder / "base", "".join(path.read_text() for path in logs if path.exists()))
            return folder / "base"
    return None
