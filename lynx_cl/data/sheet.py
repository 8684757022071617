"""Contact sheets: the first pictures of a source with their boxes and what is asked about them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from lynx_cl.data.example import Example
from lynx_cl.data.sources import DataSource

TILE = 200  # pixels: side of a picture on the sheet
_TEXT = 34  # pixels: height of the two lines below it
_LETTERS = 33  # of each line
_COLOURS = ("#d7192b", "#14853c", "#1b5fc1", "#b8860b", "#8e24aa", "#00838f")


def contact_sheet(source: DataSource, split: str, count: int, path: Path, columns: int = 5) -> int:
    """Draws the first `count` pictures of a split to a PNG, each thing asked for in a colour; returns how many.

    Raises LynxError for a picture that cannot be read.
    """
    from PIL import Image, ImageDraw, ImageFont

    groups: list[Sequence[Example]] = [group for group in islice(iter(source.groups(split)), count) if group]
    rows = -(-len(groups) // columns)
    sheet = Image.new("RGB", (columns * TILE, rows * (TILE + _TEXT)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(11)
    for number, group in enumerate(groups):
        x, y = number % columns * TILE, number // columns * (TILE + _TEXT)
        side = TILE - 6
        picture = group[0].picture()
        if picture is not None:
            sheet.paste(picture.resize((side, side)), (x + 3, y + 3))
        targets = dict.fromkeys(target for example in group for target in example.targets)
        for target, colour in zip(targets, _COLOURS * len(targets), strict=False):
            left, top, right, bottom = target.box
            draw.rectangle(
                (x + 3 + left * side, y + 3 + top * side, x + 3 + right * side, y + 3 + bottom * side),
                outline=colour,
                width=2,
            )
        draw.text((x + 4, y + TILE), group[0].prompt[:_LETTERS], fill="black", font=font)
        draw.text((x + 4, y + TILE + 14), group[0].steps[-1].answer[:_LETTERS], fill="#555555", font=font)
    sheet.save(path, format="PNG")
    return len(groups)
