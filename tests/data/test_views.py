"""Views: a box lies on the same pixels in the view as in the picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lynx_cl.data.example import Picture, Provenance, Target, to_pixels
from lynx_cl.data.views import SMALLEST, view


def marked(box: tuple[int, int, int, int], size=(80, 60)) -> Picture:
    """A black picture, white inside the box (pixels)."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    x0, y0, x1, y1 = box
    pixels[y0:y1, x0:x1] = 255
    target = Target("cell", (x0 / size[0], y0 / size[1], x1 / size[0], y1 / size[1]))
    return Picture("p", lambda: Image.fromarray(pixels), size, (target,), Provenance("a", "b", "c"))


@pytest.mark.parametrize("box", [(0, 0, 10, 10), (70, 50, 80, 60), (30, 20, 41, 33), (0, 0, 80, 60), (5, 1, 79, 30)])
def test_boxes_move_with_their_pixels(box):
    picture = marked(box)
    sizes = set()
    for number in range(1, 40):
        seen = view(picture, number, picture.targets)
        pixels = np.asarray(seen.open())
        assert (pixels.shape[1], pixels.shape[0]) == seen.size
        rows, columns = np.nonzero(pixels[..., 0])
        truth = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert np.allclose(to_pixels(seen.targets[0].box, seen.size), truth, atol=1e-6)
        assert len(rows) == (box[2] - box[0]) * (box[3] - box[1])  # the whole of it
        assert min(seen.size[0] / 80, seen.size[1] / 60) >= SMALLEST - 0.02
        sizes.add(seen.size)
    assert len(sizes) > 5 or box == (0, 0, 80, 60)


def test_view_zero_is_the_picture_and_numbers_are_views():
    picture = marked((3, 4, 20, 30))
    assert view(picture, 0, picture.targets) == picture
    assert view(picture, 7, picture.targets) == view(picture, 7, picture.targets)
    assert view(picture, 7, picture.targets).key != view(picture, 8, picture.targets).key
