"""Dense labels: what each of the tower's 6 x 6 patches shows, and the words that go with it.

A patch belongs to the object that covers most of it. Categories, sizes, coarse places, ranks from each side, the
nearest neighbour, and the outline of the patch's object with the margins that it leaves: nothing here is a coordinate
in words, and no box enters the decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lynx_cl.base.nano.clear import MARGIN, nearest, rank
from lynx_cl.base.nano.model import GRID
from lynx_cl.data.scenes.categories import COCO
from lynx_cl.data.scenes.draw import GROUNDS
from lynx_cl.data.scenes.places import COLUMNS, ROWS, SIDE
from lynx_cl.data.scenes.scene import SIZES, Scene, SceneObject
from lynx_cl.data.scenes.signs import LETTERS, TEXTS

CELL = SIDE // GRID  # pixels
OUTLINE = 12  # cells a side of the outline
STRIPS = 24  # strips a side, in which the margins are measured
RANKS = 6  # most objects in a scene
COVERED = 10  # pixels of a patch an object must show to own it
COVERED_BY_SIGN = 40  # likewise a sign
NAMES = tuple(category.name for category in COCO)
_INDEX = {name: i for i, name in enumerate(NAMES)}
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
#: Labels that the first four stages do without.
WIDER = ("same", "alike", "own", "word", *(f"letter_{i}" for i in range(LETTERS)))


@dataclass(frozen=True)
class PatchLabels:
    """Labels of a batch, B pictures x 36 patches; -100 where a label does not apply."""

    category: Tensor  # (B, 36) index into NAMES; len(NAMES) is the ground
    size: Tensor  # (B, 36) 0 small, 1 medium, 2 large
    row: Tensor  # (B, 36)
    column: Tensor  # (B, 36)
    neighbour: Tensor  # (B, 36) category of the nearest other object
    count: Tensor  # (B, 36) objects in the picture, less one
    ground: Tensor  # (B, 36)
    from_left: Tensor  # (B, 36) rank of the object from the left, 0 to 5; likewise from the other sides
    from_right: Tensor
    from_top: Tensor
    from_bottom: Tensor
    outline: Tensor  # (B, 36, 144) share of each 8 x 8 pixel cell that the patch's object covers
    margins: (
        Tensor  # (B, 36, 96) share of each 4 pixel strip that lies left, right (columns), above, below (rows) of it
    )
    same: Tensor  # (B, 36) objects of the same category, less one
    alike: Tensor  # (B, 36) objects of the same category and size, less one
    own: Tensor  # (B, 36) rank of the object among those of its category, from the left
    word: Tensor  # (B, 36) what the patch's sign says, index into TEXTS; no object owns such a patch
    letters: Tensor  # (B, 36, 5) its letters, index into ALPHABET; len(ALPHABET) after the last one
    glyphs: Tensor  # (B, 36, 36) share of a letter of ALPHABET that lies in the patch itself

    def of(self, name: str) -> Tensor:
        """The label that a table of the codebook is named after, (B, 36)."""
        stem, _, number = name.partition("_")
        return self.letters[..., int(number)] if stem == "letter" else getattr(self, name)


def patch_labels(scenes: Sequence[Scene]) -> PatchLabels:
    """Labels of every patch of every scene."""
    patches = GRID * GRID
    fields: dict[str, np.ndarray] = {
        name: np.full((len(scenes), patches), -100, dtype=np.int64) for name in PatchLabels.__annotations__
    }
    letters = np.full((len(scenes), patches, LETTERS), -100, dtype=np.int64)
    glyphs = np.zeros((len(scenes), patches, len(ALPHABET)), dtype=np.float32)
    outlines = np.zeros((len(scenes), patches, OUTLINE * OUTLINE), dtype=np.float32)
    margins = np.zeros((len(scenes), patches, 4 * STRIPS), dtype=np.float32)
    for b, scene in enumerate(scenes):
        owners = scene.owners()
        cells = owners.reshape(GRID, CELL, GRID, CELL).transpose(0, 2, 1, 3).reshape(patches, -1)
        number = len(scene.objects)
        shown = np.stack([(cells == i + 1).sum(1) for i in range(number)], 1)  # (36, objects)
        best = shown.argmax(1)
        owned = shown.max(1) >= COVERED
        fields["category"][b] = len(NAMES)
        fields["count"][b] = number - 1
        fields["ground"][b] = list(GROUNDS).index(scene.ground)
        for i, thing in enumerate(scene.objects):
            mine = owned & (best == i)
            fields["category"][b, mine] = _INDEX[thing.category]
            fields["size"][b, mine] = tuple(SIZES).index(thing.size)
            fields["row"][b, mine] = ROWS.index(thing.row)
            fields["column"][b, mine] = COLUMNS.index(thing.column)
            for side, axis in (("left", 0), ("right", 0), ("top", 1), ("bottom", 1)):
                place = rank(thing, scene, axis, side in ("right", "bottom"))
                if place is not None:
                    fields[f"from_{side}"][b, mine] = place
            margins[b, mine] = _margins(thing.box)
            other = nearest(thing, scene)
            if other is not None:
                fields["neighbour"][b, mine] = _INDEX[other.category]
            step = SIDE // OUTLINE
            cover = (owners == i + 1).reshape(OUTLINE, step, OUTLINE, step).mean((1, 3))
            outlines[b, mine] = cover.reshape(-1)
            twins = [other for other in scene.objects if other.category == thing.category]
            fields["same"][b, mine] = len(twins) - 1
            fields["alike"][b, mine] = sum(other.size == thing.size for other in twins) - 1
            turn = own_rank(thing, twins)
            if turn is not None:
                fields["own"][b, mine] = turn
        if scene.sign is not None:
            mine = _shown(scene.sign.box) > np.maximum(shown.max(1), COVERED_BY_SIGN - 1)
            for name in PatchLabels.__annotations__:
                if name not in ("count", "ground"):
                    fields[name][b, mine] = -100
            x, y = scene.sign.center
            fields["category"][b, mine] = len(NAMES) + 1
            fields["row"][b, mine], fields["column"][b, mine] = int(y * 3 / SIDE), int(x * 3 / SIDE)
            fields["word"][b, mine] = TEXTS.index(scene.sign.text)
            letters[b, mine] = [ALPHABET.index(c) for c in scene.sign.text] + [len(ALPHABET)] * (
                LETTERS - len(scene.sign.text)
            )
            for letter, box in scene.sign.letters():
                share = _shown(box) / ((box[2] - box[0]) * (box[3] - box[1]))
                column = ALPHABET.index(letter)
                glyphs[b, :, column] = np.maximum(glyphs[b, :, column], share)
    fields |= {"outline": outlines, "margins": margins, "letters": letters, "glyphs": glyphs}
    return PatchLabels(**{k: torch.from_numpy(v) for k, v in fields.items()})


def own_rank(thing: SceneObject, twins: Sequence[SceneObject]) -> int | None:
    """How many of `twins` (the things of its category, itself among them) have their centre further left.

    None where the centre of another lies within MARGIN pixels of its own on that axis."""
    others = [other.center[0] for other in twins if other is not thing]
    if any(abs(place - thing.center[0]) < MARGIN for place in others):
        return None
    return sum(place < thing.center[0] for place in others)


def _shown(box: tuple[float, float, float, float]) -> np.ndarray:
    """Pixels of each patch that a box covers: (36,)."""
    x0, y0, x1, y1 = box
    starts = np.arange(GRID) * CELL
    across = np.clip(np.minimum(x1, starts + CELL) - np.maximum(x0, starts), 0, None)
    down = np.clip(np.minimum(y1, starts + CELL) - np.maximum(y0, starts), 0, None)
    return np.outer(down, across).reshape(-1)


def _margins(box: tuple[float, float, float, float]) -> np.ndarray:
    """What an object with this box (pixels) leaves of each strip on its four sides: (96,), each 0 to 1."""
    left, top, right, bottom = (edge * STRIPS / SIDE for edge in box)
    strips = np.arange(STRIPS, dtype=np.float32)
    sides = (left - strips, strips + 1 - right, top - strips, strips + 1 - bottom)
    return np.clip(np.concatenate(sides), 0.0, 1.0)


class Codebook:
    """Fixed vectors that the labels stand for in the decoder's space: words by their own embeddings, the rest random.

    A patch that shows a small dog at the top left should lie near dog + small + top + left.
    """

    def __init__(self, words: Tensor, token_ids: dict[str, list[int]], seed: int = 1, wider: bool = False) -> None:
        """`words`: the word embeddings (vocabulary, hidden), `token_ids`: ids of ' dog', ' traffic light', ...

        `wider` adds the labels of WIDER, and signs to the categories."""
        generator = torch.Generator().manual_seed(seed)
        hidden = words.shape[1]

        def worded(names: Sequence[str]) -> Tensor:
            rows = torch.stack([words[token_ids[name]].sum(0) / len(token_ids[name]) ** 0.5 for name in names])
            rows = rows.detach().clone()
            rows[:, 0] = 0.0
            return rows

        def drawn(count: int) -> Tensor:
            rows = torch.randn(count, hidden, generator=generator) / hidden**0.5
            rows[:, 0] = 0.0
            return rows

        self.tables: dict[str, Tensor] = {
            "category": torch.cat([worded(NAMES), drawn(1)]),
            "size": worded(tuple(SIZES)),
            "row": worded(ROWS),
            "column": worded(COLUMNS),
            "neighbour": 0.7 * drawn(len(NAMES)),
            "count": 0.7 * drawn(6),
            "ground": 0.7 * worded(tuple(GROUNDS)),
            **{f"from_{side}": 0.7 * drawn(RANKS) for side in ("left", "right", "top", "bottom")},
        }
        self.margins = 0.2 * drawn(4 * STRIPS)  # one row for each strip on each side
        if wider:
            self.tables["category"] = torch.cat([self.tables["category"], worded(("sign",))])
            self.tables |= {name: 0.7 * drawn(RANKS) for name in ("same", "alike", "own")}
            self.tables["word"] = worded(TEXTS)
            self.tables |= {f"letter_{i}": 0.7 * drawn(len(ALPHABET) + 1) for i in range(LETTERS)}

    @staticmethod
    def vocabulary() -> tuple[str, ...]:
        """The names whose token ids the codebook needs."""
        return (*NAMES, *SIZES, *ROWS, *COLUMNS, *GROUNDS, "sign", *TEXTS)

    def ideal(self, labels: PatchLabels) -> Tensor:
        """What a perfect tower and projector would give: (B, 36, hidden)."""
        total = torch.zeros((*labels.category.shape, next(iter(self.tables.values())).shape[1]))
        for name, table in self.tables.items():
            index = labels.of(name)
            rows = table[index.clamp(min=0)]
            if name not in ("category", "size", "row", "column", "neighbour", "word"):
                rows = rows * 0.5
            total += rows * (index >= 0).unsqueeze(-1)
        return total + ((labels.margins - 0.5) @ self.margins) * (labels.size >= 0).unsqueeze(-1)
