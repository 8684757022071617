"""COCO folders: scenes written as COCO come back as they were, and whatever is wrong is one line."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from lynx_cl.data.coco import read_coco, read_lvis
from lynx_cl.data.example import SPLITS, Picture, Provenance, Target
from lynx_cl.data.instances import read_instances
from lynx_cl.data.json_walk import CHUNK
from lynx_cl.data.pictures import PictureSet, split_of
from lynx_cl.data.readers import problems
from lynx_cl.data.scenes import make_scene
from lynx_cl.data.scenes.coco_json import to_coco
from lynx_cl.data.sources import Wanted, open_source, questions_about
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.tasks import load_card


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


@pytest.mark.parametrize("layout", ["roboflow", "cvat"])
def test_other_tools_folders(folder, tmp_path_factory, layout):
    """What Roboflow exports has a file in each split's folder; what CVAT exports is one file that names no split."""
    plain = read_coco(folder).splits
    other = tmp_path_factory.mktemp(layout)
    if layout == "roboflow":
        for name, short in (("train2017", "train"), ("val2017", "valid"), ("test", "test")):
            told = json.loads((folder / "annotations" / f"instances_{name}.json").read_text())
            (other / short).mkdir()
            (other / short / "_annotations.coco.json").write_text(json.dumps(told))
            for image in told["images"]:
                (folder / "images" / image["file_name"]).rename(other / short / image["file_name"])
        parts = read_coco(other).splits
        assert {split: [p.key for p in part] for split, part in parts.items()} == {
            split: [p.key for p in part] for split, part in plain.items()
        }
        assert [p.targets for p in parts["train"]] == [p.targets for p in plain["train"]]
    else:
        drawn = [make_scene("train", 5, index) for index in range(30)]
        (other / "annotations").mkdir()
        (other / "images").mkdir()
        (other / "annotations" / "instances_default.json").write_text(json.dumps(to_coco(drawn)))
        for scene, image in zip(drawn, to_coco(drawn)["images"], strict=True):
            scene.image.save(other / "images" / image["file_name"])
        parts = read_coco(other).splits
        assert {split: {split_of(p.key) for p in part} for split, part in parts.items()} == {s: {s} for s in SPLITS}
        assert sum(map(len, parts.values())) == 30
    assert all(picture.open().size == picture.size for part in parts.values() for picture in part)


def test_pictures_of_one_name_in_two_folders_are_two(folder):
    """Numbered anew in each split, or in each folder of a split: no picture takes another's place."""
    for name in ("train2017", "val2017", "test"):
        path = folder / "annotations" / f"instances_{name}.json"
        told = json.loads(path.read_text())
        for number, image in enumerate(told["images"]):
            new = folder / name / f"{number % 2}" / f"{number // 2}.png"
            new.parent.mkdir(parents=True, exist_ok=True)
            (folder / "images" / image["file_name"]).rename(new)
            image["file_name"] = f"{number % 2}/{number // 2}.png"
        path.write_text(json.dumps(told))
    parts = read_coco(folder).splits
    assert {split: len(part) for split, part in parts.items()} == {"train": 4, "calibration": 4, "test": 4}
    assert parts["train"][0].key == "train2017/0/0.png" and parts["test"][3].key == "test/1/1.png"
    for index, picture in enumerate(parts["train"]):
        assert picture.open().tobytes() == make_scene("train", 0, index).image.tobytes()


def test_a_picture_that_is_listed_twice(folder):
    def twice(whole):
        whole["images"].append({**whole["images"][0], "id": 9999})

    change(folder, twice)
    with pytest.raises(LynxError, match=r"train2017\.json: lists the picture .*\.png twice; list it once"):
        read_coco(folder)
    change(folder, lambda whole: whole["images"][-1].update(id=whole["images"][0]["id"]))
    with pytest.raises(LynxError, match=r"train2017\.json: 2 pictures have the id \d+; give each its own"):
        read_coco(folder)
    change(folder, lambda whole: (whole["images"].pop(), whole.pop("annotations")))
    with pytest.raises(LynxError, match=r"train2017\.json: 'annotations' is missing or empty"):
        read_coco(folder)


def test_crowds_are_told_apart(folder):
    digest = open_source(f"coco:{folder}").digest()
    change(folder, lambda whole: whole["annotations"][0].update(iscrowd=1))
    before = make_scene("train", 0, 0).objects
    picture = read_coco(folder).splits["train"][0]
    assert len(picture.targets) == len(before) - 1 and picture.crowds == {before[0].category}
    assert read_coco(folder).splits["train"][1].crowds == set()
    assert open_source(f"coco:{folder}").digest() != digest


KINDS = ["grounding", "counting", "detection", "spatial", "region-naming", "comparison", "grounded-caption"]


@pytest.mark.parametrize("task", KINDS)
def test_nothing_is_asked_about_what_a_crowd_is_of(task):
    """'The dog' of many is nobody, and who counts or lists them has missed some."""
    boxes = {
        "dog": (0.0, 0.0, 0.3, 0.2),
        "cat": (0.5, 0.0, 0.6, 0.2),
        "pig": (0.05, 0.7, 0.2, 0.95),
        "cow": (0.4, 0.6, 0.7, 0.9),
    }
    targets = (*(Target(label, box) for label, box in boxes.items()), Target("cow", (0.75, 0.6, 0.95, 0.9)))
    source = Provenance("x", "people", "")

    def asked(crowds):
        made = [Picture(str(i), lambda: None, (96, 96), targets, source, crowds=frozenset(crowds)) for i in range(40)]
        pictures = PictureSet("x:y", "people", "", dict.fromkeys(SPLITS, made), crowded=bool(crowds))
        card = load_card(task)
        told = questions_about(pictures, Wanted(card, card.box_grammar()))
        return [example for example in told.examples("train")]

    assert any("dog" in e.prompt or any(t.label == "dog" for t in e.targets) for e in asked(()))
    left = asked({"dog"})
    assert not any("dog" in e.prompt or any(t.label == "dog" for t in e.targets) for e in left)
    assert not any(example.kind in ("all", "caption") for example in left)
    assert bool(left) == (task != "grounded-caption")


FAULTS = {
    "outside": (lambda w: w["annotations"][0].update(bbox=[90, 0, 20, 5]), r"annotation 1: box .* outside"),
    "no area": (lambda w: w["annotations"][0].update(bbox=[9, 0, 0, 5]), r"annotation 1: box .* no area"),
    "short box": (
        lambda w: w["annotations"][0].update(bbox=[9, 0]),
        r"train2017\.json, line 1, record 1, in 'annotations': not a COCO detection file",
    ),
    "no categories": (lambda w: w.pop("categories"), r"train2017\.json: 'categories' is missing"),
    "unknown category": (
        lambda w: w["annotations"][0].update(category_id=777),
        r"annotation 1: category_id 777 is no category of the file",
    ),
    "picture missing": (lambda w: w["images"][0].update(file_name="x.png"), r"x\.png: no such picture"),
    "corners": (lambda w: w["annotations"][0].update(bbox=[50, 40, 90, 80]), r"outside .*fit as \(x0, y0, x1, y1\)"),
    "no picture id": (lambda w: w["annotations"][0].pop("image_id"), r"in 'annotations': 'image_id' is missing"),
    "no number": (lambda w: w["annotations"][0].update(bbox=[1, "a", 2, 3]), r"not a COCO detection file"),
    "no size": (lambda w: w["images"][0].update(width=0), r"said to be 0 x 96 pixels"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_is_wrong_is_one_line(folder, fault):
    edit, message = FAULTS[fault]
    change(folder, edit)
    with pytest.raises(LynxError, match=message) as caught:
        open_source(f"coco:{folder}")
    assert "\n" not in str(caught.value)


def test_every_broken_annotation_is_told_by_the_check(folder):
    def edit(whole):
        whole["annotations"][0].update(bbox=[90, 0, 20, 5])
        whole["annotations"][1].update(category_id=777)
        whole["annotations"][-1].update(bbox=[0, 0, 0, 5])

    change(folder, edit)
    (folder / "images" / read_coco(folder).splits["test"][0].key).write_bytes(b"GIF89a")
    told = list(problems(f"coco:{folder}"))
    assert len(told) == 4 and "annotation 1: box" in told[0] and "category_id 777" in told[1]
    assert "has no area" in told[2] and "not a picture" in told[3]


def test_annotations_of_no_picture_are_left_out_and_said(folder):
    change(folder, lambda whole: whole["annotations"][0].update(image_id=999))
    assert open_source(f"coco:{folder}").remarks() == (
        "1 annotations are of pictures that their file does not name; left out",
    )


def test_outlines_take_no_memory(folder):
    peaks = []
    for points in (2, 20_000):
        change(folder, lambda whole, n=points: [a.update(segmentation=[[0.5] * n]) for a in whole["annotations"]])
        path = folder / "annotations" / "instances_train2017.json"
        tracemalloc.start()
        instances = read_instances(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(instances.names) == 4
    assert path.stat().st_size > 1_000_000 and peaks[1] - peaks[0] < 2.5 * CHUNK + 20_000 * 40


def test_lvis_has_cocos_form_and_its_pictures_by_address(folder):
    for name, other in (("train2017", "train"), ("val2017", "val")):
        old = folder / "annotations" / f"instances_{name}.json"
        whole = json.loads(old.read_text())
        (folder / "train2017").mkdir(exist_ok=True)
        for image in whole["images"]:
            file = image.pop("file_name")
            (folder / "images" / file).rename(folder / "train2017" / file)
            image["coco_url"] = f"http://images.cocodataset.org/train2017/{file}"
        for one in whole["annotations"]:
            one.pop("iscrowd", None)
        (folder / f"lvis_v1_{other}.json").write_text(json.dumps(whole))
    pictures = read_lvis(folder)
    assert {split: len(part) for split, part in pictures.splits.items()}["test"] == 4
    assert pictures.splits["test"][0].open().size == (96, 96)
    scene = make_scene("calibration", 0, 0)  # of the file that is now val, the test split
    assert [t.label for t in pictures.splits["test"][0].targets] == [o.category for o in scene.objects]
    with pytest.raises(UsageError, match="no lvis_v1_train.json"):
        read_lvis(folder / "images")


def test_no_json_and_no_folder_of_coco(folder, tmp_path_factory):
    (folder / "annotations" / "instances_train2017.json").write_text("{")
    with pytest.raises(LynxError, match=r"train2017\.json, line 1: breaks off"):
        open_source(f"coco:{folder}")
    with pytest.raises(UsageError, match="no annotations/instances_train"):
        open_source(f"coco:{tmp_path_factory.mktemp('empty')}")
    (folder / "annotations" / "instances_dev.json").write_text("{}")
    with pytest.raises(LynxError, match=r"instances_dev\.json: rename it"):
        open_source(f"coco:{folder}")
