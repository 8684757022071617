"""Opening picture files: what becomes of the large, the broken, the animated, the deep and the turned.

- More than MAX_PIXELS pixels: refused from the header, before anything is decoded.
- Truncated or broken: refused. Of an animation the first frame is taken.
- CMYK, palettes, grey and alpha become RGB. 16 bits a channel become 8 by their upper half; floating point is refused,
  since its range is not known.
- An EXIF orientation is followed, so that a picture is seen as people see it, unless its source says the size of the
  pixels as they are stored: then its boxes are about those.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lynx_cl.errors import LynxError

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 64_000_000
_ORIENTATION = 0x0112  # EXIF tag; 1 is upright, 5 to 8 lie on their side
Size = tuple[int, int]


def open_file(path: Path, size: Size | None = None) -> Image.Image:
    """A picture file, whole, in RGB. `size` is what its source says it is, (width, height) in pixels.

    Raises LynxError naming a file that is missing, broken, too large or no picture.
    """
    return _open(path, str(path), size)


def open_stream(data: BinaryIO, name: str) -> Image.Image:
    """A picture from a stream, as `open_file`; `name` is what errors call it."""
    return _open(data, name, None)


def _open(source: Path | BinaryIO, path: str, size: Size | None) -> Image.Image:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(source) as opened:
            _check_bound(path, opened)
            stored = size is not None and size == opened.size
            return _eight_bits(path, opened if stored else ImageOps.exif_transpose(opened)).convert("RGB")
    except FileNotFoundError:
        raise LynxError(f"{path}: no such picture; restore it or take it off the list") from None
    except UnidentifiedImageError:
        raise LynxError(f"{path}: not a picture that can be read; replace it or take it off the list") from None
    except Image.DecompressionBombError:
        raise LynxError(f"{path}: has more than {MAX_PIXELS:,} pixels; scale it down") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise LynxError(f"{path}: broken or truncated ({error}); replace it or take it off the list") from None


def file_sizes(path: Path) -> tuple[Size, Size]:
    """The size of a picture file as its pixels are stored, and as it is seen upright; (width, height), from its header.

    Raises LynxError for a file of too many pixels, and what Pillow raises for one that cannot be read.
    """
    from PIL import Image

    with Image.open(path) as opened:
        _check_bound(str(path), opened)
        width, height = opened.size
        turned = opened.getexif().get(_ORIENTATION, 1) >= 5
    return (width, height), (height, width) if turned else (width, height)


def _check_bound(path: str, opened: Image.Image) -> None:
    width, height = opened.size
    if width * height > MAX_PIXELS:
        raise LynxError(f"{path}: has {width} x {height} pixels, more than {MAX_PIXELS:,}; scale it down")


def _eight_bits(path: str, picture: Image.Image) -> Image.Image:
    """Pillow's own conversion would cut grey of 16 bits off at 255, which makes all of it white."""
    if picture.mode == "F":
        raise LynxError(f"{path}: holds floating-point numbers; save it with 8 bits a channel")
    if not picture.mode.startswith("I"):
        return picture
    import numpy as np
    from PIL import Image

    values = np.asarray(picture).astype(np.int64)
    return Image.fromarray(np.clip(values >> 8 if values.max(initial=0) > 255 else values, 0, 255).astype(np.uint8))
