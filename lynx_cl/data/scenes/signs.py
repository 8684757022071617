"""Signs: plain plates with a short word or a number, an optional part of a scene.

The letters are DejaVu Sans Bold's, from the font that ships inside matplotlib. Words are painted in capitals.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lynx_cl.data.scenes.places import place_margin, place_of

#: What a sign can say besides a number: short words that name no category of the scenes.
WORDS: tuple[str, ...] = tuple(
    (
        "all any back ball big blue box call cell down draw each exact few find first food from give gray green hand "
        "here high hot left less light look low many mark more most name near next now over part pink place point read "
        "red right same short show side some stop tell text top up want white yes you"
    ).split()
)
NUMBERS: tuple[str, ...] = tuple(str(number) for number in range(100))
TEXTS = WORDS + NUMBERS
LETTERS = 5  # most of them on one sign
PLATES: tuple[tuple[int, int, int], ...] = ((255, 255, 255), (255, 220, 80), (185, 220, 255), (195, 240, 190))  # RGB
INK = (15, 15, 15)  # RGB
HEIGHT = 13  # pixels: the font size
_EDGE = 3  # pixels of plate around the letters
_GAP = 1.0  # pixels at least between a sign and the box of an object
_NUMBER = 0.5  # how many signs show a number
_TRIES = 60


@dataclass(frozen=True)
class Sign:
    """A plate with its text, in lower case. `left` and `top` are pixels, `plate` is an index into PLATES."""

    text: str
    left: int
    top: int
    plate: int

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The plate: (x0, y0, x1, y1) in pixels, x1 and y1 exclusive."""
        rows, columns = plate_pixels(self.text, self.plate).shape[:2]
        return float(self.left), float(self.top), float(self.left + columns), float(self.top + rows)

    @property
    def center(self) -> tuple[float, float]:
        """Centre of the plate, pixels (x, y)."""
        x0, y0, x1, y1 = self.box
        return (x0 + x1) / 2, (y0 + y1) / 2

    @property
    def place(self) -> str:
        """Which of the nine parts of the picture holds the centre."""
        return place_of(self.center)

    @property
    def place_margin(self) -> float:
        """Distance in pixels from the centre to the nearest border between two parts."""
        return place_margin(self.center)

    def letters(self) -> list[tuple[str, tuple[float, float, float, float]]]:
        """Each letter with the part of the plate that it takes up, (x0, y0, x1, y1) in pixels."""
        ends = [_font().getlength(self.text[:count].upper()) for count in range(len(self.text) + 1)]
        start, y0, y1 = self.left + _EDGE, self.box[1] + _EDGE, self.box[3] - _EDGE
        return [(c, (start + ends[i], y0, start + ends[i + 1], y1)) for i, c in enumerate(self.text)]


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"), HEIGHT)


@functools.cache
def plate_pixels(text: str, plate: int) -> np.ndarray:
    """A sign as it is pasted: float32 (rows, columns, 3) in 0..255."""
    x0, y0, x1, y1 = _font().getbbox(text.upper())
    size = (int(np.ceil(x1 - x0)) + 2 * _EDGE, int(np.ceil(y1 - y0)) + 2 * _EDGE)
    image = Image.new("RGB", size, PLATES[plate])
    drawing = ImageDraw.Draw(image)
    drawing.rectangle((0, 0, size[0] - 1, size[1] - 1), outline=INK)
    drawing.text((_EDGE - x0, _EDGE - y0), text.upper(), font=_font(), fill=INK)
    return np.asarray(image, dtype=np.float32)


def place_sign(rng: np.random.Generator, boxes: Sequence[tuple[float, float, float, float]], side: int) -> Sign | None:
    """A random sign that touches none of the boxes (pixels) of a picture of `side` pixels; None where none fits."""
    texts = NUMBERS if rng.random() < _NUMBER else WORDS
    text = texts[int(rng.integers(len(texts)))]
    plate = int(rng.integers(len(PLATES)))
    rows, columns = plate_pixels(text, plate).shape[:2]
    for _ in range(_TRIES):
        sign = Sign(text, int(rng.integers(side - columns + 1)), int(rng.integers(side - rows + 1)), plate)
        x0, y0, x1, y1 = sign.box
        if all(x0 >= b[2] + _GAP or x1 + _GAP <= b[0] or y0 >= b[3] + _GAP or y1 + _GAP <= b[1] for b in boxes):
            return sign
    return None
