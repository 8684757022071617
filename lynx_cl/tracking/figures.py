"""Pictures of results: the forgetting curve, and samples with true and predicted boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

    from lynx_cl.data.example import Box

TRUE, PREDICTED = (20, 140, 60), (215, 30, 40)
TILE = 240  # pixels: side of one sample
_CAPTION = 62  # pixels: two lines of prompt and two of answer
_EDGE = 4
_LINES = 16  # of text in the place of a picture
_INK = (0, 0, 0)


@dataclass(frozen=True)
class Sample:
    """One picture, or none, with what was asked, the true boxes, the predicted one if any, and the answer's text."""

    image: Image.Image | None
    prompt: str
    true: Sequence[Box]
    predicted: Box | None
    answer: str = ""


def forgetting_curve(table: NDArray[np.float64], stages: Sequence[str], tasks: Sequence[str], path: Path) -> None:
    """Score of each task after each stage, R of shape (stages + 1, tasks), as a PNG. `stages` names R's rows.

    Scores lie in [0, 1]; what was not measured (NaN) has no point.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), dpi=120, layout="tight")  # not pyplot: no display, no global state
    axes = figure.subplots()
    places = np.arange(len(stages))
    for column, task in enumerate(tasks):
        known = np.isfinite(table[:, column])
        axes.plot(places[known], table[known, column], marker="o", label=task)
    axes.set_xticks(places, stages)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("after adding")
    axes.set_ylabel("score, task-blind")
    axes.grid(alpha=0.3)
    if tasks:
        axes.legend(frameon=False)
    figure.savefig(path, format="png")


def sample_sheet(samples: Sequence[Sample], path: Path, columns: int = 4) -> None:
    """Samples in a grid as a PNG: true boxes green, predicted ones red; the prompt and, in red, the answer below."""
    from PIL import Image, ImageDraw, ImageFont

    rows = max(1, -(-len(samples) // columns))
    sheet = Image.new("RGB", (columns * TILE, rows * (TILE + _CAPTION)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    for number, sample in enumerate(samples):
        x, y = number % columns * TILE, number // columns * (TILE + _CAPTION)
        if sample.image is None:  # the words have the picture's place
            for line, text in enumerate(_wrap(sample.prompt, 34)[:_LINES]):
                draw.text((x + _EDGE + 2, y + _EDGE + 14 * line), text, fill=_INK, font=font)
            for line, text in enumerate(_wrap(sample.answer, 34)[:4]):
                draw.text((x + _EDGE + 2, y + TILE - 2 + 14 * line), text, fill=PREDICTED, font=font)
            continue
        scale = (TILE - 2 * _EDGE) / max(sample.image.size)
        width, height = (max(1, round(side * scale)) for side in sample.image.size)
        sheet.paste(sample.image.convert("RGB").resize((width, height)), (x + _EDGE, y + _EDGE))
        boxes = [(box, TRUE) for box in sample.true]
        boxes += [(sample.predicted, PREDICTED)] if sample.predicted is not None else []
        for box, colour in boxes:
            corners = (box[0] * width, box[1] * height, box[2] * width, box[3] * height)
            left, top, right, bottom = (side + _EDGE for side in corners)
            draw.rectangle((x + left, y + top, x + right, y + bottom), outline=colour, width=3)
        lines = [(text, _INK) for text in _wrap(sample.prompt, 34)[:2]]
        lines += [(text, PREDICTED) for text in _wrap(sample.answer, 34)[:2]]
        for line, (text, ink) in enumerate(lines):
            draw.text((x + _EDGE + 2, y + TILE - 2 + 14 * line), text, fill=ink, font=font)
    sheet.save(path, format="PNG")


def _wrap(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width)


def draw_boxes(picture: Image.Image, boxes: Sequence[tuple[str | None, Box]], path: Path) -> None:
    """Writes a picture with boxes (label, (x0, y0, x1, y1) in its own pixels) drawn on it."""
    from PIL import ImageDraw, ImageFont

    drawn = picture.convert("RGB").copy()
    draw = ImageDraw.Draw(drawn)
    width = max(1, round(max(drawn.size) / 150))
    font = ImageFont.load_default(max(10, round(max(drawn.size) / 30)))
    for label, box in boxes:
        draw.rectangle(box, outline=PREDICTED, width=width)
        if label:
            draw.text((box[0] + width + 1, box[1] + width), label, fill=PREDICTED, font=font)
    drawn.save(path)
