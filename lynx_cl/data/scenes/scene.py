"""Samples scenes: which objects, how large, where; all of it a pure function of (split, seed, index).

A scene knows its exact truth. Its picture is painted only when it is asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from lynx_cl.data.scenes.categories import BY_NAME, COCO
from lynx_cl.data.scenes.draw import GROUNDS, paint_ground, solid, sprite
from lynx_cl.data.scenes.places import SIDE, place_margin, place_of
from lynx_cl.data.scenes.signs import Sign, place_sign, plate_pixels
from lynx_cl.errors import UsageError

#: Longer side of an object in pixels, by size word; the gaps between the ranges keep the words unambiguous.
SIZES: dict[str, tuple[int, int]] = {"small": (17, 22), "medium": (28, 35), "large": (44, 54)}
#: First index of each split's range. A range holds 2**32 scenes for each seed, so splits never meet.
SPLITS = {"pretrain": 0, "train": 1 << 32, "calibration": 2 << 32, "test": 3 << 32}
_SIGN, _FLOCK = 1, 2  # draws of a sign, and of few categories, stay apart from those of a scene
_MAX_COVER = 0.15  # of the smaller box: how much of it another box may overlap


@dataclass(frozen=True)
class SceneObject:
    """One object, in the order of painting. `box` is the tight box of its visible pixels: (x0, y0, x1, y1) in pixels,
    x1 and y1 exclusive, so that x1 - x0 is the width."""

    category: str
    size: str
    long_side: int
    left: int
    top: int
    flipped: bool
    box: tuple[float, float, float, float]

    @property
    def category_id(self) -> int:
        return BY_NAME[self.category].id

    @property
    def supercategory(self) -> str:
        return BY_NAME[self.category].supercategory

    @property
    def center(self) -> tuple[float, float]:
        """Centre of the box, pixels (x, y)."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    @property
    def row(self) -> str:
        return self.place.split()[0]

    @property
    def column(self) -> str:
        return self.place.split()[1]

    @property
    def place(self) -> str:
        """Which of the nine parts of the picture holds the centre: 'top left', 'middle center', ..."""
        return place_of(self.center)

    @property
    def place_margin(self) -> float:
        """Distance in pixels from the centre to the nearest border between two parts."""
        return place_margin(self.center)


@dataclass(frozen=True)
class Scene:
    """The truth of one picture. `variant` tells it from the other pictures of the same number."""

    split: str
    seed: int
    index: int
    ground: str
    objects: tuple[SceneObject, ...]
    sign: Sign | None = None
    variant: str = ""

    @property
    def key(self) -> str:
        """Names the picture: equal keys, equal pixels."""
        key = f"scenes/{self.seed}/{SPLITS[self.split] + self.index}"
        return f"{key}/{self.variant}" if self.variant else key

    @functools.cached_property
    def image(self) -> Image.Image:
        """The picture, RGB, SIDE x SIDE."""
        return Image.fromarray(self.pixels())

    def pixels(self) -> np.ndarray:
        """uint8 (SIDE, SIDE, 3)."""
        rng = _generator(self.split, self.seed, self.index)
        rng = np.random.default_rng(rng.integers(1 << 62))  # texture draws stay apart from layout draws
        canvas = paint_ground(rng, self.ground, SIDE)
        for thing in self.objects:
            colour, alpha = sprite(thing.category, thing.long_side, thing.flipped)
            height, width = alpha.shape[:2]
            window = canvas[thing.top : thing.top + height, thing.left : thing.left + width]
            window *= 1.0 - alpha
            window += colour
        if self.sign is not None:
            plate = plate_pixels(self.sign.text, self.sign.plate)
            canvas[self.sign.top :, self.sign.left :][: plate.shape[0], : plate.shape[1]] = plate
        return np.clip(canvas + 0.5, 0, 255).astype(np.uint8)

    def owners(self) -> np.ndarray:
        """Which object each pixel shows: uint8 (SIDE, SIDE), 0 for the ground, i + 1 for objects[i]."""
        return _owners([(o.category, o.long_side, o.flipped, o.left, o.top) for o in self.objects])


def _generator(split: str, seed: int, index: int) -> np.random.Generator:
    return np.random.default_rng([seed, SPLITS[split] + index])


def _owners(placed: list[tuple[str, int, bool, int, int]]) -> np.ndarray:
    owners = np.zeros((SIDE, SIDE), dtype=np.uint8)
    for number, (name, long_side, flipped, left, top) in enumerate(placed, 1):
        mask = solid(name, long_side, flipped)
        owners[top : top + mask.shape[0], left : left + mask.shape[1]][mask] = number
    return owners


def _names(rng: np.random.Generator, count: int, names: tuple[str, ...]) -> list[str]:
    """Category of each object: mostly all different; sometimes repeated; sometimes one odd one out."""
    draw = rng.random()
    if count >= 3 and draw < 0.15:
        pair = rng.choice(len(names), 2, replace=False)
        chosen = [names[pair[0]]] * (count - 1) + [names[pair[1]]]
    elif count >= 2 and draw < 0.4:
        few = rng.choice(len(names), max(1, count - int(rng.integers(1, count))), replace=False)
        chosen = [names[i] for i in few] + [names[few[int(rng.integers(len(few)))]] for _ in range(count - len(few))]
    else:
        chosen = [names[i] for i in rng.choice(len(names), count, replace=False)]
    rng.shuffle(chosen)
    return chosen


def make_scene(split: str, seed: int, index: int, names: tuple[str, ...] | None = None) -> Scene:
    """The scene number `index` of a split. Same arguments, same scene, on every machine.

    `names` restricts or changes the categories (default: all of COCO that have a glyph).
    Raises UsageError for an unknown split.
    """
    if split not in SPLITS:
        raise UsageError(f"scenes: unknown split '{split}'; known: {', '.join(SPLITS)}")
    rng = _generator(split, seed, index)
    rng.integers(1 << 62)  # reserved for the texture
    names = names or _DEFAULT_NAMES
    ground = list(GROUNDS)[int(rng.integers(len(GROUNDS)))]
    placed: list[tuple[str, int, bool, int, int]] = []
    boxes: list[tuple[int, int, int, int]] = []
    sizes: list[str] = []
    for name in _names(rng, int(rng.integers(1, 7)), names):
        for _ in range(12):
            size = tuple(SIZES)[int(rng.choice(3, p=(0.36, 0.38, 0.26)))]
            long_side = int(rng.integers(SIZES[size][0], SIZES[size][1] + 1))
            flipped = bool(rng.integers(2))
            height, width = solid(name, long_side, flipped).shape
            left, top = int(rng.integers(SIDE - width + 1)), int(rng.integers(SIDE - height + 1))
            box = (left, top, left + width, top + height)
            if all(_cover(box, other) <= _MAX_COVER for other in boxes):
                placed.append((name, long_side, flipped, left, top))
                boxes.append(box)
                sizes.append(size)
                break
    owners = _owners(placed)
    objects = []
    for number, ((name, long_side, flipped, left, top), size) in enumerate(zip(placed, sizes, strict=True), 1):
        mask = owners == number
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        visible = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        objects.append(SceneObject(name, size, long_side, left, top, flipped, visible))
    return Scene(split, seed, index, ground, tuple(objects))


_DEFAULT_NAMES = tuple(category.name for category in COCO)


def _cover(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))


def make_flock(split: str, seed: int, index: int) -> Scene:
    """A scene of one to three categories, several things of each; as `make_scene` otherwise."""
    if split not in SPLITS:
        raise UsageError(f"scenes: unknown split '{split}'; known: {', '.join(SPLITS)}")
    rng = np.random.default_rng([seed, SPLITS[split] + index, _FLOCK])
    chosen = rng.choice(len(_DEFAULT_NAMES), int(rng.integers(1, 4)), replace=False)
    names = tuple(_DEFAULT_NAMES[i] for i in chosen for _ in range(6))
    return replace(make_scene(split, seed, index, names), variant="flock")


def with_sign(scene: Scene) -> Scene:
    """The same scene with a sign where it covers nothing; the scene itself where none fits. Same scene, same sign."""
    number = SPLITS[scene.split] + scene.index
    sign = place_sign(np.random.default_rng([scene.seed, number, _SIGN]), [o.box for o in scene.objects], SIDE)
    return scene if sign is None else replace(scene, sign=sign, variant=f"{scene.variant}+sign".lstrip("+"))


def scenes(split: str, count: int, seed: int = 0, start: int = 0) -> Iterator[Scene]:
    """Streams `count` scenes of a split, from index `start`."""
    for index in range(start, start + count):
        yield make_scene(split, seed, index)
