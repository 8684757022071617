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
_CAPTION = 44


@dataclass(frozen=True)
class Sample:
    """One picture with what was asked, the true box, and the predicted one if there was any."""

    image: Image.Image
    prompt: str
    true: Box
    predicted: Box | None


def forgetting_curve(table: NDArray[np.float64], stages: Sequence[str], tasks: Sequence[str], path: Path) -> None:
    """Score of each task after each stage, R of shape (stages + 1, tasks), as a PNG. `stages` names R's rows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.6), dpi=120)
    places = np.arange(len(stages))
    for column, task in enumerate(tasks):
        known = np.isfinite(table[:, column])
        axes.plot(places[known], table[known, column], marker="o", label=task)
    axes.set_xticks(places, stages)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("after adding")
    axes.set_ylabel("score, task-blind")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def sample_sheet(samples: Sequence[Sample], path: Path, columns: int = 4) -> None:
    """Samples in a grid as a PNG: true boxes green, predicted ones red, the prompt below."""
    from PIL import Image, ImageDraw, ImageFont

    rows = -(-len(samples) // columns)
    sheet = Image.new("RGB", (columns * TILE, rows * (TILE + _CAPTION)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    for number, sample in enumerate(samples):
        x, y = number % columns * TILE, number // columns * (TILE + _CAPTION)
        picture = sample.image.convert("RGB").resize((TILE - 8, TILE - 8))
        sheet.paste(picture, (x + 4, y + 4))
        for box, colour in ((sample.true, TRUE), (sample.predicted, PREDICTED)):
            if box is not None:
                left, top, right, bottom = (side * (TILE - 8) + 4 for side in box)
                draw.rectangle((x + left, y + top, x + right, y + bottom), outline=colour, width=3)
        for line, text in enumerate(_wrap(sample.prompt, 34)[:3]):
            draw.text((x + 6, y + TILE - 2 + 14 * line), text, fill="black", font=font)
    sheet.save(path)


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
