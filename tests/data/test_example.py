"""Examples: pictures opened late and named when broken, boxes checked against their pictures, lazy sequences."""

from __future__ import annotations

import pytest
from PIL import Image

from lynx_cl.data.example import Lazy, normalise, open_image, to_pixels
from lynx_cl.errors import LynxError


def test_pictures_come_in_rgb_from_files_and_from_calls(tmp_path):
    grey = Image.new("L", (8, 6), 128)
    grey.save(tmp_path / "grey.png")
    for image in (tmp_path / "grey.png", lambda: grey):
        assert (open_image(image).mode, open_image(image).size) == ("RGB", (8, 6))


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such picture"), (b"", "not a picture"), (b"hello", "not a picture"), ("cut", "broken or truncated")],
)
def test_a_file_that_is_no_picture_is_named(tmp_path, content, message):
    path = tmp_path / "a.png"
    if content == "cut":
        Image.effect_noise((64, 64), 80).save(path)
        path.write_bytes(path.read_bytes()[:900])
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(LynxError, match=rf"a\.png: {message}"):
        open_image(path)


def test_boxes_between_pixels_and_fractions():
    box = normalise((10, 20, 40, 60), (100, 80), "a.xml")
    assert box == (0.1, 0.25, 0.4, 0.75)
    assert to_pixels(box, (100, 80)) == (10, 20, 40, 60)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        ((0, 0, 0, 5), "has no area"),
        ((5, 0, 3, 5), "has no area"),
        ((float("nan"), 0, 3, 5), "has no area"),
        ((-1, 0, 3, 5), "lies outside its picture of 10 x 10"),
        ((0, 0, 11, 5), "lies outside"),
        ((0, 0, float("inf"), 5), "lies outside"),
    ],
)
def test_wrong_boxes_are_refused(pixels, message):
    with pytest.raises(LynxError, match=f"^file, object 3: box .*{message}"):
        normalise(pixels, (10, 10), "file, object 3")


def test_a_tolerance_cuts_what_sticks_out():
    assert normalise((-0.5, 0, 10.5, 5), (10, 10), "a", tolerance=1) == (0, 0, 1, 0.5)
    with pytest.raises(LynxError, match="outside"):
        normalise((10.2, 0, 10.8, 5), (10, 10), "a", tolerance=1)


def test_lazy_sequences_make_what_is_asked_for():
    made = []

    def make(index: int) -> int:
        made.append(index)
        return index * index

    squares = Lazy(1_000_000_000, make)
    assert (squares[3], squares[-1], list(squares[2:8:3])) == (9, 999_999_999**2, [4, 25])
    assert made == [3, 999_999_999, 2, 5]
    with pytest.raises(IndexError):
        squares[1_000_000_000]
