"""Odd picture files: each kind has one stated behaviour."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lynx_cl.data import opening
from lynx_cl.data.example import Picture, Provenance, Target, open_image
from lynx_cl.data.pictures import check_file
from lynx_cl.data.views import view
from lynx_cl.errors import LynxError

RED = (200, 30, 40)


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.new("RGB", (40, 30)).save(path)
    monkeypatch.setattr(opening, "MAX_PIXELS", 1199)
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("decoded"))
    picture = Picture("a", path, (40, 30), (), Provenance("s", "a", "l"))
    for look in (open_image, lambda _: check_file(picture)):
        with pytest.raises(LynxError, match=r"a\.png: has 40 x 30 pixels, more than 1,199; scale it down"):
            look(path)


def test_what_pillow_calls_a_bomb_is_refused_too(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.new("RGB", (40, 30)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(LynxError, match=r"a\.png: has more than 64,000,000 pixels; scale it down"):
        open_image(path)


def test_of_an_animation_the_first_frame_is_taken(tmp_path):
    frames = [Image.new("RGB", (8, 6), colour) for colour in (RED, (0, 255, 0), (0, 0, 255))]
    for name in ("a.gif", "a.webp", "a.png"):
        frames[0].save(
            tmp_path / name, save_all=True, append_images=frames[1:], **({"lossless": True} if "w" in name else {})
        )
        assert np.allclose(np.asarray(open_image(tmp_path / name))[0, 0], RED, atol=8)


def test_cmyk_keeps_its_colour(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (16, 16), RED).convert("CMYK").save(path, quality=95)
    with Image.open(path) as stored:
        assert stored.mode == "CMYK"
    assert np.allclose(np.asarray(open_image(path))[8, 8], RED, atol=6)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_become_the_upper_eight(tmp_path, name):
    values = (np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000 + 40).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / name)
    seen = np.asarray(open_image(tmp_path / name))
    assert seen.shape == (8, 8, 3) and (seen[..., 0] == values >> 8).all()


def test_floating_point_is_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(LynxError, match="holds floating-point numbers; save it with 8 bits"):
        open_image(tmp_path / "a.tif")


def test_palettes_and_alpha_become_rgb(tmp_path):
    Image.new("RGBA", (4, 4), (*RED, 120)).save(tmp_path / "a.png")
    Image.new("RGB", (4, 4), RED).convert("P").save(tmp_path / "b.png")
    assert np.asarray(open_image(tmp_path / "a.png"))[0, 0].tolist() == list(RED)
    assert open_image(tmp_path / "b.png").mode == "RGB"


def turned(path, orientation):
    """A picture stored 40 x 30 whose stored left half is white, with an EXIF orientation."""
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[:, :20] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif, quality=95)


def white(picture):
    """The (left, top, right, bottom) of what is white, as fractions."""
    rows, columns = np.nonzero(np.asarray(picture)[..., 0] > 128)
    height, width = picture.size[1], picture.size[0]
    return tuple(
        round(float(v), 1)
        for v in (columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height)
    )


@pytest.mark.parametrize(("orientation", "box"), [(3, (0.5, 0, 1, 1)), (6, (0, 0, 1, 0.5)), (8, (0, 0.5, 1, 1))])
def test_a_turned_picture_is_seen_upright_unless_its_boxes_are_about_the_stored_pixels(tmp_path, orientation, box):
    path = tmp_path / "a.jpg"
    turned(path, orientation)
    upright = open_image(path)
    assert white(upright) == box and upright.size == ((30, 40) if orientation > 4 else (40, 30))
    by_stored = Picture("a", path, (40, 30), (Target("half", (0, 0, 0.5, 1)),), Provenance("s", "a", "l"))
    check_file(by_stored)
    assert by_stored.open().size == (40, 30) and white(by_stored.open()) == (0, 0, 0.5, 1)
    seen = view(by_stored, 3, by_stored.targets)
    assert seen.open().size == seen.size and white(seen.open()) == tuple(round(v, 1) for v in seen.targets[0].box)
    if orientation > 4:
        by_upright = Picture("a", path, (30, 40), (), Provenance("s", "a", "l"))
        check_file(by_upright)
        assert white(by_upright.open()) == box
    with pytest.raises(LynxError, match=r"is 40 x 30 pixels, its annotation says 99 x 30"):
        check_file(Picture("a", path, (99, 30), (), Provenance("s", "a", "l")))
