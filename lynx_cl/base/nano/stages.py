"""The losses of nano's three pretraining stages: the tower alone, the decoder alone, both together."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lynx_cl.base.nano.labels import ALPHABET, OUTLINE, STRIPS, Codebook, PatchLabels, patch_labels
from lynx_cl.base.nano.model import GRID, HIDDEN
from lynx_cl.base.nano.packing import IGNORE, pack_rows
from lynx_cl.base.nano.questions import Question, drill
from lynx_cl.data.scenes import SIDE, Scene, make_flock, make_scene, with_sign
from lynx_cl.data.scenes.signs import LETTERS

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

#: Weight of each dense label in the tower's loss.
LABEL_WEIGHTS = {
    "category": 2.0,
    "size": 0.5,
    "row": 0.5,
    "column": 0.5,
    "neighbour": 0.7,
    "count": 0.3,
    "ground": 0.2,
    "from_left": 0.2,
    "from_right": 0.2,
    "from_top": 0.2,
    "from_bottom": 0.2,
    "same": 0.4,
    "alike": 0.3,
    "own": 0.3,
    "word": 1.0,
    **{f"letter_{i}": 0.4 for i in range(LETTERS)},
}
OUTLINE_WEIGHT, MARGINS_WEIGHT, GLYPHS_WEIGHT = 1.0, 6.0, 20.0
#: Labels whose share of right patches is reported.
_REPORTED = {"category", "size", "row", "column", "neighbour", "count", "from_left", "from_bottom"}
_ON_SIGNS = {"word", "letter_0", "letter_1"}
_REPORTED |= {"same", "alike", "own"} | _ON_SIGNS
_SHARPNESS = 10.0  # logits are this times the dot product with the codebook's rows


@dataclass(frozen=True)
class Rows:
    """A batch for the decoder: packed questions about B pictures."""

    packed: dict[str, Tensor]
    labels: PatchLabels
    pixels: Tensor | None
    asked: list[list[Question]]


def normalise(pixels: np.ndarray) -> Tensor:
    """uint8 (B, H, W, 3) -> float32 (B, 3, H, W) in -1..1, as nano's image processor does it."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def draw_scenes(split: str, first: int, count: int) -> list[Scene]:
    """Scenes `first` to `first + count` of a split, without any that came out empty."""
    return [make_scene(split, 0, first + i) for i in range(count)]


def draw_wider_scenes(split: str, first: int, count: int, flocks: float) -> list[Scene]:
    """As `draw_scenes`, but a share `flocks` holds few categories, and three of four have a sign where one fits."""
    numbers = range(first, first + count)
    drawn = [
        make_flock(split, 0, i) if int((i + 1) * flocks) > int(i * flocks) else make_scene(split, 0, i) for i in numbers
    ]
    return [with_sign(scene) if scene.index % 4 else scene for scene in drawn]


def turn_ids(tokenizer: PreTrainedTokenizerFast, asked: Question) -> tuple[list[int], list[int]]:
    """Token ids of a question up to the assistant's mark, and of its answer with the end mark; as the chat template."""
    question = f"<|user|> {asked.question}<|end|><|assistant|>"
    answer = f" {asked.answer}<|end|>"
    return (
        tokenizer.encode(question, add_special_tokens=False),
        tokenizer.encode(answer, add_special_tokens=False),
    )


def make_rows(
    tokenizer: PreTrainedTokenizerFast,
    scenes: Sequence[Scene],
    turns: int,
    rng: random.Random,
    with_pixels: bool,
    questions: Callable[[Scene, int, random.Random], list[Question]],
) -> Rows:
    """`turns` of the `questions` about each scene, packed; one in fourteen is a number drill."""
    bos, image = tokenizer.bos_token_id, tokenizer.convert_tokens_to_ids("<image>")
    prefix = [bos] + [image] * (GRID * GRID)
    asked = []
    for scene in scenes:
        made = questions(scene, turns, rng)
        made = [drill(rng) if rng.random() < 1 / 14 else one for one in made]
        asked.append(made)
    packed = pack_rows(
        [prefix] * len(scenes), [[[turn_ids(tokenizer, q)] for q in row] for row in asked], tokenizer.pad_token_id
    )
    pixels = normalise(np.stack([scene.pixels() for scene in scenes])) if with_pixels else None
    return Rows(packed, patch_labels(scenes), pixels, asked)


def visual_tokens(model: LlavaForConditionalGeneration, pixels: Tensor) -> Tensor:
    """What the decoder sees of each picture: (B, 36, hidden)."""
    features = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-1]
    return model.model.multi_modal_projector(features)


def tower_loss(seen: Tensor, labels: PatchLabels, codebook: Codebook, outline: nn.Module) -> tuple[Tensor, dict]:
    """Loss of visual tokens (B, 36, hidden) against the dense labels, and the share of object patches right."""
    seen = seen.float()
    total = seen.new_zeros(())
    for name, table in codebook.tables.items():
        logits = _SHARPNESS * seen @ table.T
        total = total + LABEL_WEIGHTS[name] * F.cross_entropy(
            logits.flatten(0, 1), labels.of(name).flatten(), ignore_index=IGNORE
        )
    thing = labels.size >= 0
    drawn, margins, _ = outline(seen[thing]).tensor_split((OUTLINE * OUTLINE, OUTLINE * OUTLINE + 4 * STRIPS), -1)
    total = total + OUTLINE_WEIGHT * F.binary_cross_entropy_with_logits(drawn, labels.outline[thing])
    total = total + MARGINS_WEIGHT * F.binary_cross_entropy_with_logits(margins, labels.margins[thing])
    sign = labels.word >= 0
    if sign.any():
        glyphs = outline(seen[sign])[:, OUTLINE * OUTLINE + 4 * STRIPS :]
        total = total + GLYPHS_WEIGHT * F.binary_cross_entropy_with_logits(glyphs, labels.glyphs[sign])
    ideal = codebook.ideal(labels)
    total = total + 1.0 - F.cosine_similarity(seen[..., 1:], ideal[..., 1:], dim=-1).mean()
    with torch.no_grad():
        right = {}
        for name in _REPORTED & codebook.tables.keys():
            index = labels.of(name)
            keep = (index >= 0) & (sign if name in _ON_SIGNS else thing)
            right[name] = ((seen @ codebook.tables[name].T).argmax(-1) == index)[keep].float().mean().item()
        right["outline"] = ((drawn > 0) == (labels.outline[thing] > 0.5)).float().mean().item()
        sizes = (margins.sigmoid() - labels.margins[thing]).unflatten(-1, (4, STRIPS)).sum(-1)
        right["edge_error"] = (sizes.abs().mean() * SIDE / STRIPS).item()  # pixels
    return total, right


def decoder_loss(
    model: LlavaForConditionalGeneration, seen: Tensor, rows: Rows
) -> tuple[Tensor, dict[str, tuple[int, int]], Tensor]:
    """Mean over answers of their mean token loss; and per kind of question (answers wholly right, answers).

    Also returns the decoder's router loss (zero while it is dense).
    """
    packed = rows.packed
    language = model.model.language_model
    text: Any = model.config.text_config
    sparse = not text.mlp_only_layers
    embeds = language.embed_tokens(packed["input_ids"])
    embeds = torch.cat([embeds[:, :1], seen.to(embeds.dtype), embeds[:, 1 + seen.shape[1] :]], 1)
    output = language(
        inputs_embeds=embeds,
        attention_mask=packed["attention_mask"],
        position_ids=packed["position_ids"],
        use_cache=False,
        **({"output_router_logits": True} if sparse else {}),
    )
    labels = packed["labels"][:, 1:]
    keep = labels != IGNORE
    targets = labels[keep]
    logits = model.lm_head(output.last_hidden_state[:, :-1][keep]).float()
    losses = F.cross_entropy(logits, targets, reduction="none")
    rows_index = torch.arange(labels.shape[0])[:, None].expand_as(labels)[keep]
    width = int(packed["conversation_ids"].max()) + 1
    answer = rows_index * width + packed["conversation_ids"][:, 1:][keep]
    size = labels.shape[0] * width
    tokens = torch.zeros(size).index_add_(0, answer, torch.ones_like(losses))
    sums = torch.zeros(size).index_add_(0, answer, losses)
    real = tokens > 0
    # between the mean over answers and the mean over tokens: a long answer weighs more, but less than its length
    loss = (sums[real] / tokens[real].sqrt()).sum() / tokens[real].sqrt().sum()
    wrong = torch.zeros(size).index_add_(0, answer, (logits.argmax(-1) != targets).float())
    right: dict[str, tuple[int, int]] = {}
    for r, asked in enumerate(rows.asked):
        for c, one in enumerate(asked):
            hits, seen_count = right.get(one.kind, (0, 0))
            right[one.kind] = (hits + int(wrong[r * width + c] == 0), seen_count + 1)
    balance: Any = sums.new_zeros(())
    if sparse:
        from transformers.models.qwen3_moe.modeling_qwen3_moe import load_balancing_loss_func

        balance = load_balancing_loss_func(output.router_logits, text.num_experts, text.num_experts_per_tok)
    return loss, right, balance


def outline_head(wider: bool) -> nn.Linear:
    """Reads the outline and the margins off a visual token, and `wider` the letters; used in pretraining only."""
    return nn.Linear(HIDDEN, OUTLINE * OUTLINE + 4 * STRIPS + (len(ALPHABET) if wider else 0))
