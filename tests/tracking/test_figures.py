"""Figures: readable pictures with the boxes where they belong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lynx_cl.tracking.figures import PREDICTED, TILE, TRUE, Sample, draw_boxes, forgetting_curve, sample_sheet


def test_forgetting_curve_with_gaps(tmp_path: Path) -> None:
    table = np.array([[0.9, np.nan], [0.8, np.nan], [0.8, 0.7]])
    path = tmp_path / "curve.png"
    forgetting_curve(table, ["base alone", "a", "b"], ["base", "b"], path)
    with Image.open(path) as picture:
        assert picture.format == "PNG" and picture.size == (768, 432)
        assert len(set(picture.convert("RGB").get_flattened_data())) > 10
    first = path.read_bytes()
    forgetting_curve(table, ["base alone", "a", "b"], ["base", "b"], path)
    assert path.read_bytes() == first


@pytest.mark.parametrize("size", [(96, 96), (60, 30), (400, 900)])
def test_sample_sheet_draws_boxes_in_place(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "sheet.png"
    grey = Image.new("RGB", size, (128, 128, 128))
    sample = Sample(grey, "Where is the dog? " * 9, [(0.25, 0.25, 0.75, 0.75)], (0.5, 0.5, 1.0, 1.0), "dog: left 50")
    sample_sheet([sample, Sample(grey, "Where?", [(0.1, 0.1, 0.9, 0.9)], None)], path, columns=2)
    with Image.open(path) as sheet:
        picture = sheet.convert("RGB")
    assert picture.width == 2 * TILE
    side = (TILE - 8) / max(size)
    width, height = size[0] * side, size[1] * side
    assert picture.getpixel((round(4 + 0.25 * width) + 1, round(4 + 0.4 * height))) == TRUE
    assert picture.getpixel((round(4 + 0.5 * width) + 1, round(4 + 0.9 * height))) == PREDICTED
    pixels = np.asarray(picture)
    captions, other = pixels[TILE:, :TILE], pixels[:, TILE:]
    assert (captions == PREDICTED).all(-1).any() and (captions == 0).all(-1).any()
    assert not (other == PREDICTED).all(-1).any()


def test_sample_sheet_of_nothing(tmp_path: Path) -> None:
    sample_sheet([], tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 0


def test_draw_boxes_leaves_the_picture_alone(tmp_path: Path) -> None:
    grey = Image.new("RGB", (100, 80), (128, 128, 128))
    draw_boxes(grey, [("dog", (10.0, 20.0, 50.0, 60.0)), (None, (1.0, 1.0, 5.0, 5.0))], tmp_path / "drawn.png")
    assert grey.getpixel((10, 40)) == (128, 128, 128)
    with Image.open(tmp_path / "drawn.png") as drawn:
        assert drawn.size == (100, 80) and drawn.getpixel((10, 40)) == PREDICTED
