"""COCO folders: scenes written as COCO come back as they were, and whatever is wrong is one line."""

from __future__ import annotations

import json

import pytest

from lynx_cl.data.coco import read_coco
from lynx_cl.data.scenes import make_scene
from lynx_cl.data.scenes.coco_json import to_coco
from lynx_cl.data.sources import open_source
from lynx_cl.errors import LynxError, UsageError


@pytest.fixture
def folder(tmp_path):
    """Three splits of four scenes each, with their pictures."""
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images").mkdir()
    for split, name in (("train", "train2017"), ("calibration", "val2017"), ("test", "test")):
        drawn = [make_scene(split, 0, index) for index in range(4)]
        whole = to_coco(drawn)
        for scene, image in zip(drawn, whole["images"], strict=True):
            scene.image.save(tmp_path / "images" / image["file_name"])
        (tmp_path / "annotations" / f"instances_{name}.json").write_text(json.dumps(whole))
    return tmp_path


def change(folder, edit):
    path = folder / "annotations" / "instances_train2017.json"
    whole = json.loads(path.read_text())
    edit(whole)
    path.write_text(json.dumps(whole))


def test_scenes_come_back_as_they_were(folder):
    pictures = read_coco(folder).splits
    assert {split: len(part) for split, part in pictures.items()} == {"train": 4, "calibration": 4, "test": 4}
    for index, picture in enumerate(pictures["train"]):
        scene = make_scene("train", 0, index)
        assert [t.label for t in picture.targets] == [o.category for o in scene.objects]
        for target, thing in zip(picture.targets, scene.objects, strict=True):
            assert target.box == pytest.approx(tuple(v / 96 for v in thing.box))
        assert picture.open().tobytes() == scene.image.tobytes()


def test_a_coco_folder_is_a_source(folder):
    source = open_source(f"coco:{folder}")
    assert source.annotator == "coco json" and len(source.digest()) == 64
    for example in source.examples("train"):
        assert example.targets[0].label in example.prompt


def test_crowds_are_left_out(folder):
    change(folder, lambda whole: whole["annotations"][0].update(iscrowd=1))
    before = len(make_scene("train", 0, 0).objects)
    assert len(read_coco(folder).splits["train"][0].targets) == before - 1


FAULTS = {
    "outside": (lambda w: w["annotations"][0].update(bbox=[90, 0, 20, 5]), r"annotation 1: box .* outside"),
    "no area": (lambda w: w["annotations"][0].update(bbox=[9, 0, 0, 5]), r"annotation 1: box .* no area"),
    "short box": (lambda w: w["annotations"][0].update(bbox=[9, 0]), r"train2017\.json: not a COCO detection file"),
    "no categories": (lambda w: w.pop("categories"), r"train2017\.json: 'categories' is missing"),
    "unknown category": (lambda w: w["annotations"][0].update(category_id=777), r"train2017\.json: 777 is missing"),
    "picture missing": (lambda w: w["images"][0].update(file_name="x.png"), r"x\.png: no such picture"),
    "no size": (lambda w: w["images"][0].update(width=0), r"said to be 0 x 96 pixels"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_is_wrong_is_one_line(folder, fault):
    edit, message = FAULTS[fault]
    change(folder, edit)
    with pytest.raises(LynxError, match=message) as caught:
        open_source(f"coco:{folder}")
    assert "\n" not in str(caught.value)


def test_no_json_and_no_folder_of_coco(folder, tmp_path_factory):
    (folder / "annotations" / "instances_train2017.json").write_text("{")
    with pytest.raises(LynxError, match=r"train2017\.json: not a COCO detection file"):
        open_source(f"coco:{folder}")
    with pytest.raises(UsageError, match="no annotations/instances_train"):
        open_source(f"coco:{tmp_path_factory.mktemp('empty')}")
    (folder / "annotations" / "instances_dev.json").write_text("{}")
    with pytest.raises(LynxError, match=r"instances_dev\.json: rename it"):
        open_source(f"coco:{folder}")
