"""The embedded world as a set of pictures: a picture is its seed, drawn when it is opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from lynx_cl.data.example import SPLITS, Lazy, Picture, Provenance, Target, normalise
from lynx_cl.data.pictures import PictureSet
from lynx_cl.data.scenes import SIDE, Scene, make_scene, with_sign
from lynx_cl.data.scenes.categories import COCO

if TYPE_CHECKING:
    from PIL import Image

NAME = "scenes"
ANNOTATOR = "oracle"
LICENCE = "CC BY-SA 4.0 (OpenMoji glyphs)"
COUNTS = {"train": 6000, "calibration": 300, "test": 500}


@dataclass(frozen=True)
class SceneImage:
    """A scene by its number, with a sign where one is wanted and fits. Called, it draws the picture."""

    split: str
    seed: int
    index: int
    sign: bool = False

    @cached_property
    def scene(self) -> Scene:
        scene = make_scene(self.split, self.seed, self.index)
        return with_sign(scene) if self.sign else scene

    def __call__(self) -> Image.Image:
        return self.scene.image


def scene_set(seed: int, limit: int | None = None, signs: bool = False) -> PictureSet:
    """Scenes of a seed: COUNTS of them, or `limit` for training and no more than that in the other splits."""
    source = Provenance(NAME, ANNOTATOR, LICENCE)

    def maker(split: str) -> Callable[[int], Picture]:
        return lambda index: scene_picture(SceneImage(split, seed, index, signs), source)

    return PictureSet(
        name=NAME,
        annotator=ANNOTATOR,
        licence=LICENCE,
        splits={split: Lazy(count, maker(split)) for split, count in scene_counts(limit).items()},
        categories={category.name: category.supercategory for category in COCO},
    )


def scene_counts(limit: int | None) -> Mapping[str, int]:
    """How many scenes each split has.

    >>> scene_counts(400)
    {'train': 400, 'calibration': 300, 'test': 400}
    """
    if limit is None:
        return COUNTS
    return {split: limit if split == "train" else min(limit, COUNTS[split]) for split in SPLITS}


def scene_picture(image: SceneImage, provenance: Provenance) -> Picture:
    """A scene as a picture with all its objects by category, and what its sign says."""
    scene = image.scene
    targets = tuple(Target(o.category, normalise(o.box, (SIDE, SIDE), scene.key)) for o in scene.objects)
    text = scene.sign.text if scene.sign is not None else ""
    return Picture(scene.key, image, (SIDE, SIDE), targets, provenance, text)
