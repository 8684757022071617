"""The embedded world: exact boxes, splits that never meet, and COCO JSON that pycocotools reads."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest

from lynx_cl.data.scenes import COCO, LONG_TAIL, SPLITS, Scene, make_scene, scenes
from lynx_cl.data.scenes.coco_json import to_coco
from lynx_cl.data.scenes.draw import sprite
from lynx_cl.errors import UsageError


def test_categories_are_cocos_and_disjoint_from_the_long_tail():
    assert len(COCO) >= 50
    assert len({c.id for c in COCO + LONG_TAIL}) == len(COCO) + len(LONG_TAIL)
    assert not {c.name for c in COCO} & {c.name for c in LONG_TAIL}
    assert all(1 <= c.id <= 90 for c in COCO)


@pytest.mark.parametrize("category", COCO + LONG_TAIL, ids=lambda c: c.name)
def test_every_category_has_a_glyph(category):
    _, alpha = sprite(category.name, 40, False)
    assert (alpha > 0.9).mean() > 0.03


def test_boxes_are_tight_around_visible_pixels():
    for scene in scenes("train", 60):
        owners = scene.owners()
        for number, thing in enumerate(scene.objects, 1):
            rows, columns = np.nonzero(owners == number)
            assert thing.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_a_box_changes_when_its_object_is_taken_away():
    """The picture agrees with the annotation: without the last-painted object, pixels differ just inside its sprite."""
    for scene in scenes("train", 20, start=100):
        thing = scene.objects[-1]
        without = Scene(scene.split, scene.seed, scene.index, scene.ground, scene.objects[:-1])
        rows, columns = np.nonzero((scene.pixels() != without.pixels()).any(-1))
        _, alpha = sprite(thing.category, thing.long_side, thing.flipped)
        assert columns.min() >= thing.left and columns.max() < thing.left + alpha.shape[1]
        assert rows.min() >= thing.top and rows.max() < thing.top + alpha.shape[0]


def test_same_arguments_same_pixels_and_other_splits_other_pixels():
    once, again = make_scene("test", 3, 7), make_scene("test", 3, 7)
    assert np.array_equal(once.pixels(), again.pixels())
    pictures = {make_scene(split, 0, i).pixels().tobytes() for split in SPLITS for i in range(50)}
    assert len(pictures) == 200


def test_split_ranges_do_not_meet():
    starts = sorted(SPLITS.values())
    assert all(b - a >= 1 << 32 for a, b in zip(starts, starts[1:], strict=False))


def test_unknown_split_is_named():
    with pytest.raises(UsageError, match="unknown split 'val'"):
        make_scene("val", 0, 0)


def test_one_to_six_objects_with_slight_occlusion_only():
    for scene in scenes("calibration", 200):
        assert 1 <= len(scene.objects) <= 6
        owners = scene.owners()
        for number, thing in enumerate(scene.objects, 1):
            shown = (owners == number).sum()
            _, alpha = sprite(thing.category, thing.long_side, thing.flipped)
            assert shown > 0.5 * (alpha >= 96 / 255).sum()


def test_coco_json_is_read_by_pycocotools(tmp_path):
    from pycocotools.coco import COCO as Reader

    chosen = list(scenes("test", 5))
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(to_coco(chosen)))
    with contextlib.redirect_stdout(io.StringIO()):
        reader = Reader(str(path))
    for number, scene in enumerate(chosen, 1):
        owners = scene.owners()
        annotations = reader.loadAnns(reader.getAnnIds(imgIds=[number]))
        assert len(annotations) == len(scene.objects)
        for index, (annotation, thing) in enumerate(zip(annotations, scene.objects, strict=True), 1):
            x, y, w, h = annotation["bbox"]
            assert (x, y, x + w, y + h) == thing.box
            assert reader.loadCats(annotation["category_id"])[0]["name"] == thing.category
            assert np.array_equal(reader.annToMask(annotation) == 1, owners == index)
