"""Views of a training picture: mirrored and cropped, so that a small data set shows its things in more places."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lynx_cl.data.example import Box, ImageRef, Picture, Target, open_image, to_pixels

if TYPE_CHECKING:
    from PIL import Image

SMALLEST = 0.6  # a crop's sides, as a fraction of the picture's


@dataclass(frozen=True)
class View:
    """A part of a picture of `size`, perhaps mirrored. `window` is the part, a Box of whole pixels. Called, it draws
    the view."""

    image: ImageRef
    size: tuple[int, int]
    window: Box
    mirror_x: bool
    mirror_y: bool

    def __call__(self) -> Image.Image:
        from PIL import Image

        picture = open_image(self.image, self.size)
        x0, y0, x1, y1 = (round(value) for value in to_pixels(self.window, picture.size))
        picture = picture.crop((x0, y0, x1, y1))
        if self.mirror_x:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.mirror_y:
            picture = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        return picture

    def place(self, box: Box) -> Box:
        """Where a box of the picture, inside the window, lies in the view."""
        x0, y0, x1, y1 = self.window
        width, height = x1 - x0, y1 - y0
        left, right = max(0.0, (box[0] - x0) / width), min(1.0, (box[2] - x0) / width)
        top, bottom = max(0.0, (box[1] - y0) / height), min(1.0, (box[3] - y0) / height)
        if self.mirror_x:
            left, right = 1 - right, 1 - left
        if self.mirror_y:
            top, bottom = 1 - bottom, 1 - top
        return left, top, right, bottom


def view(picture: Picture, number: int, keep: tuple[Target, ...]) -> Picture:
    """View `number` of a picture, showing the whole of every target of `keep`, which are its targets. 0 is the picture
    itself; the same number is always the same view."""
    if number == 0:
        return replace(picture, targets=keep)
    rng = random.Random(f"{picture.key}/{number}")
    made = View(picture.image, picture.size, _window(picture.size, keep, rng), rng.random() < 0.5, rng.random() < 0.5)
    (x0, y0, x1, y1), (width, height) = made.window, picture.size
    return replace(
        picture,
        key=f"{picture.key}/view-{number}",
        image=made,
        size=(round((x1 - x0) * width), round((y1 - y0) * height)),
        targets=tuple(Target(target.label, made.place(target.box)) for target in keep),
    )


def _window(size: tuple[int, int], keep: tuple[Target, ...], rng: random.Random) -> Box:
    """A random part of a picture of (width, height) that holds every target of `keep`, with the picture's shape."""
    whole = [
        (min(t.box[axis] for t in keep) * size[axis], max(t.box[axis + 2] for t in keep) * size[axis])
        for axis in (0, 1)
    ]
    needed = max((high - low) / side for (low, high), side in zip(whole, size, strict=True))
    scale = rng.uniform(max(SMALLEST, min(1.0, needed)), 1.0)
    edges = []
    for (low, high), side in zip(whole, size, strict=True):
        length = min(side, max(round(scale * side), int(high + 0.999) - int(low)))
        first = max(0, int(high + 0.999) - length)
        start = rng.randint(first, max(first, min(int(low), side - length)))
        edges.append((start / side, (start + length) / side))
    return edges[0][0], edges[1][0], edges[0][1], edges[1][1]
