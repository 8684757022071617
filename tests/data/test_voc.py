"""Pascal VOC folders: exact boxes, the folder's own lists, and one clear line for whatever is wrong."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from lynx_cl.data.example import Provenance
from lynx_cl.data.sources import open_source
from lynx_cl.data.voc import read_picture, read_voc
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.tasks import load_card
from tests.data.folders import small_voc, write_voc

BCCD = Path(os.environ.get("LYNX_CL_BCCD") or Path(__file__).parents[2].parent / "shared" / "data" / "bccd" / "BCCD")
CELLS = load_card("cells")
SOURCE = Provenance("voc:x", "voc xml", "unknown")


def test_inclusive_pixels_become_exact_fractions(tmp_path):
    folder = write_voc(tmp_path / "v", {"a": [("WBC", 1, 1, 40, 30), ("RBC", 21, 16, 40, 30)]}, {"train": ["a"]})
    whole, quarter = read_picture(folder, "a", SOURCE).targets
    assert whole.box == (0.0, 0.0, 1.0, 1.0)
    assert quarter.box == (0.5, 0.5, 1.0, 1.0)


def test_boxes_may_be_counted_from_0(tmp_path):
    folder = small_voc(tmp_path / "v")
    plain = open_source(f"voc:{folder}", CELLS)
    assert open_source(f"voc:{folder}?first=1", CELLS).digest() == plain.digest()
    told = [example.targets for example in plain.examples("train")]
    for path in (folder / "Annotations").glob("*.xml"):
        path.write_text(re.sub(r"<([xy]min)>(\d+)<", lambda m: f"<{m[1]}>{int(m[2]) - 1}<", path.read_text()))
    shifted = open_source(f"voc:{folder}?first=0", CELLS)
    assert [example.targets for example in shifted.examples("train")] == told
    whole = small_voc(tmp_path / "w")
    assert open_source(f"voc:{whole}?first=0", CELLS).digest() != open_source(f"voc:{whole}", CELLS).digest()
    with pytest.raises(UsageError, match="first = '2': boxes are counted from 1 or from 0"):
        open_source(f"voc:{folder}?first=2", CELLS)


def test_the_folders_own_lists_are_the_splits(tmp_path):
    source = open_source(f"voc:{small_voc(tmp_path / 'v')}", CELLS)
    keys = {split: [group[0].image_key for group in source.groups(split)] for split in source.splits}
    assert keys["calibration"] == ["c"] and keys["test"] == ["d", "e"]
    assert set(key.split("/")[0] for key in keys["train"]) == {"a"}  # b holds two white cells
    assert len(keys["train"]) == CELLS.views
    (example,) = source.groups("test")[0]
    assert "the white blood cell" in example.prompt
    assert example.steps[0].answer == "left 0 top 0 right 50 bottom 50"
    assert example.size == (40, 30) and example.open().size == (40, 30)


def test_without_lists_pictures_are_split_by_their_names(tmp_path):
    folder = write_voc(tmp_path / "v", {f"{i:04}": [("WBC", 1, 1, 9, 9)] for i in range(30)}, {})
    splits = read_voc(folder).splits
    assert sum(map(len, splits.values())) == 30 and all(len(part) for part in splits.values())


def test_the_digest_follows_every_byte(tmp_path):
    folder = small_voc(tmp_path / "v")
    before = open_source(f"voc:{folder}", CELLS).digest()
    assert open_source(f"voc:{folder}", CELLS).digest() == before
    with (folder / "JPEGImages" / "a.jpg").open("ab") as file:
        file.write(b"\xff\xd9")
    assert open_source(f"voc:{folder}", CELLS).digest() != before


def annotation(old: str, new: str):
    def change(folder: Path) -> None:
        path = folder / "Annotations" / "a.xml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return change


def cut(name: str, length: int):
    def change(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[:length])

    return change


FAULTS = {
    "picture missing": (lambda f: (f / "JPEGImages/a.jpg").unlink(), r"JPEGImages/a\.jpg: no such picture"),
    "picture truncated": (cut("JPEGImages/a.jpg", 500), r"JPEGImages/a\.jpg: .*truncated"),
    "picture empty": (cut("JPEGImages/a.jpg", 0), r"JPEGImages/a\.jpg: not a picture"),
    "annotation missing": (lambda f: (f / "Annotations/c.xml").unlink(), r"Annotations/c\.xml: missing"),
    "bad XML": (cut("Annotations/a.xml", 60), r"Annotations/a\.xml: not valid XML"),
    "outside": (annotation("<xmax>40", "<xmax>41"), r"a\.xml, object 2: box .* outside its picture of 40 x 30"),
    "before the edge": (
        annotation("<xmin>1<", "<xmin>0<"),
        r"a\.xml, object 1: box .* outside.*say so: voc:FOLDER\?first=0",
    ),
    "no area": (annotation("<xmax>20", "<xmax>0"), r"a\.xml, object 1: box .* has no area"),
    "no number": (annotation("<xmax>20", "<xmax>wide"), r"a\.xml, object 1: bndbox/xmax is 'wide', not a number"),
    "infinite": (annotation("<width>40", "<width>inf"), r"a\.xml: size/width is 'inf', not a number"),
    "no name": (annotation("<name>WBC", "<name> "), r"a\.xml, object 1: has no name"),
    "another size": (annotation("<width>40", "<width>400"), r"a\.jpg: is 40 x 30 pixels, its annotation says 400 x 30"),
    "train list missing": (lambda f: (f / "ImageSets/Main/train.txt").unlink(), r"train\.txt: missing"),
    "list empty": (cut("ImageSets/Main/test.txt", 0), r"test\.txt: names no picture"),
    "list broken": (lambda f: (f / "ImageSets/Main/test.txt").write_bytes(b"d\xff\n"), r"test\.txt: not UTF-8"),
    "in two splits": (lambda f: (f / "ImageSets/Main/val.txt").write_text("a\n"), r"picture 'a' is in two splits"),
    "no annotations": (lambda f: os.rename(f / "Annotations", f / "Notes"), r"no folder Annotations"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_is_wrong_is_one_line(tmp_path, fault):
    folder = small_voc(tmp_path / "v")
    break_it, message = FAULTS[fault]
    break_it(folder)
    with pytest.raises(LynxError, match=message) as caught:
        open_source(f"voc:{folder}", CELLS)
    assert "\n" not in str(caught.value)


def test_an_empty_folder_and_no_folder(tmp_path):
    with pytest.raises(UsageError, match="no folder Annotations"):
        open_source(f"voc:{tmp_path}", CELLS)
    with pytest.raises(UsageError, match="no folder .*nowhere"):
        open_source(f"voc:{tmp_path / 'nowhere'}", CELLS)
    empty = write_voc(tmp_path / "v", {}, {})
    with pytest.raises(LynxError, match="holds no pictures"):
        open_source(f"voc:{empty}", CELLS)


def test_no_picture_of_the_cards_classes(tmp_path):
    folder = write_voc(
        tmp_path / "v", {name: [("RBC", 1, 1, 9, 9)] for name in "abc"}, {"train": ["a", "b"], "val": ["c"]}
    )
    with pytest.raises(LynxError, match=r"none of the .*'cells' \(WBC\).*RBC"):
        open_source(f"voc:{folder}", CELLS)


@pytest.mark.skipif(not BCCD.is_dir(), reason=f"the BCCD data set is not at {BCCD}; set LYNX_CL_BCCD to its folder")
def test_bccd_as_it_is():
    pictures = read_voc(BCCD)
    single = {
        split: sum(1 for p in part if sum(t.label == "WBC" for t in p.targets) == 1)
        for split, part in pictures.splits.items()
    }
    assert sum(map(len, pictures.splits.values())) == 364
    assert sum(single.values()) == 344
    source = open_source(f"voc:{BCCD}", CELLS)
    assert source.summary()["pictures"] == {**single, "train": single["train"] * CELLS.views}
    example = next(iter(source.examples("calibration")))
    assert example.open().size == example.size == (640, 480)


def test_equal_pictures_in_two_splits_are_refused(tmp_path):
    folder = small_voc(tmp_path / "voc")
    images = folder / "JPEGImages"
    (images / "d.jpg").write_bytes((images / "a.jpg").read_bytes())
    source = open_source(f"voc:{folder}", load_card("cells"))
    with pytest.raises(LynxError, match=r"d\.jpg \(test\) and .*a\.jpg \(train\) are the same picture"):
        source.digest()
