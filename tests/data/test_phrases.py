"""Referring expressions, phrases and regions in their published layouts: what is asked, where it is, which split."""

from __future__ import annotations

import json
import os
import pickle

import pytest

from lynx_cl.data.plain_pickle import read_plain
from lynx_cl.data.readers import problems
from lynx_cl.data.sources import open_source
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.tasks import load_card
from tests.data.published import coco_name, write_flickr30k, write_refcoco, write_visual_genome

UNC = {1: "train", 2: "train", 3: "val", 4: "testA", 5: "testB"}
GROUNDING, NAMING = load_card("grounding"), load_card("region-naming")


def keys(source):
    return {split: [e.image_key for e in source.examples(split)] for split in source.splits}


@pytest.mark.parametrize("suffix", ["p", "json"])
def test_refcoco_grounds_each_sentence(tmp_path, suffix):
    source = open_source(f"refcoco:{write_refcoco(tmp_path / 'refcoco', UNC, suffix=suffix)}", GROUNDING)
    assert keys(source) == {
        "train": [coco_name(1)] * 2 + [coco_name(2)] * 2,
        "calibration": [coco_name(3)] * 2,
        "test": [coco_name(4)] * 2 + [coco_name(5)] * 2,
    }
    first, second = source.groups("test")[0]
    assert first.targets[0].label == "man 4 in red" and "man 4 in red" in first.prompt
    assert "the man 4 on the right" in second.prompt and "the the" not in second.prompt
    assert first.targets[0].box == (0.25, 0.5, 0.75, 1.0) and first.kind == "phrase"
    assert first.steps[0].answer == "left 25 top 50 right 75 bottom 99"
    assert first.open().size == first.size == (40, 30)


def test_refcoco_by_one_test_split_and_for_other_kinds_of_task(tmp_path):
    folder = write_refcoco(tmp_path / "refcoco+", UNC | dict.fromkeys(range(10, 40), "train"))
    assert len(open_source(f"refcoco:{folder}?test=testB").groups("test")) == 1
    by_val = open_source(f"refcoco:{folder}?test=val&split_by=unc")
    assert [e.image_key for e in by_val.examples("test")] == [coco_name(3)] * 2
    named = next(iter(open_source(f"refcoco:{folder}", NAMING).groups("test")))
    assert {e.steps[0].answer for e in named} == {"man 4 in red", "the man 4 on the right"}
    assert all("left 25 top 50 right 75 bottom 99" in e.prompt for e in named)
    listed = {e.steps[0].answer for e in open_source(f"refcoco:{folder}", load_card("detection")).examples("test")}
    assert "dog: left 0 top 0 right 20 bottom 20; person: left 25 top 50 right 75 bottom 99" in listed


def test_refcocog_by_google_shares_pictures_and_leaves_them_out_of_train(tmp_path):
    folder = write_refcoco(tmp_path / "refcocog", {n: "train" for n in range(1, 31)} | {40: "val"}, who="google")
    refs = read_plain(folder / "refs(google).p")
    refs.append({**refs[4], "split": "val", "ref_id": 99})  # another thing of picture 5
    (folder / "refs(google).p").write_bytes(pickle.dumps(refs, protocol=0))
    source = open_source(f"refcoco:{folder}?split_by=google")
    held = keys(source)
    assert set(held["test"]) == {coco_name(5), coco_name(40)} and held["calibration"]
    assert not set(held["train"]) & (set(held["test"]) | set(held["calibration"]))
    assert source.remarks() == ("1 pictures of train are also in another split; left out of train",)


class Writes:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_would_write_a_file_is_refused(tmp_path, protocol):
    folder, mark = write_refcoco(tmp_path / "refcoco", UNC), tmp_path / "written"
    bad = pickle.dumps([Writes(mark)], protocol=protocol)
    pickle.loads(bad)
    assert mark.exists()  # it would
    mark.unlink()
    (folder / "refs(unc).p").write_bytes(bad)
    with pytest.raises(LynxError, match=r"refs\(unc\)\.p: not a pickle of plain data .*system") as caught:
        open_source(f"refcoco:{folder}")
    assert not mark.exists() and "\n" not in str(caught.value)


def test_a_pickle_of_python_2(tmp_path):
    path = tmp_path / "a.p"
    path.write_bytes(b"(lp0\n(dp1\nS'sent'\np2\nS'caf\\xc3\\xa9'\np3\nsS'id'\np4\nI7\nsVunicode\np5\nL8L\nsa.")
    assert read_plain(path) == [{"sent": "caf\u00e9", "id": 7, "unicode": 8}]
    path.write_bytes(b"\x80\x02(lp")
    with pytest.raises(LynxError, match="not a pickle of plain data"):
        read_plain(path)


def test_mistakes_with_refcoco(tmp_path):
    folder = write_refcoco(tmp_path / "refcoco", UNC)
    with pytest.raises(UsageError, match=r"no refs\(umd\)\.p in"):
        open_source(f"refcoco:{folder}?split_by=umd")
    with pytest.raises(UsageError, match="split_by = 'us': unknown; known: unc, google, umd"):
        open_source(f"refcoco:{folder}?split_by=us")
    with pytest.raises(UsageError, match="test = 'test': not in this set; it has: testA, testB, train, val"):
        open_source(f"refcoco:{folder}?test=test")
    with pytest.raises(UsageError, match=r"no refs\(unc\)\.p"):
        open_source(f"refcoco:{tmp_path}")
    refs = read_plain(folder / "refs(unc).p")
    refs[1]["ann_id"] = 12345
    (folder / "refs(unc).p").write_bytes(pickle.dumps(refs))
    with pytest.raises(LynxError, match=r"refs\(unc\)\.p, ref 2: 12345 is missing, or not in instances\.json"):
        open_source(f"refcoco:{folder}")


FLICKR = {"11": "train", "12": "train", "21": "val", "31": "test"}


def test_flickr30k_phrases_and_their_merged_boxes(tmp_path):
    source = open_source(f"flickr30k:{write_flickr30k(tmp_path / 'f', FLICKR)}", GROUNDING)
    assert {split: sorted(set(own)) for split, own in keys(source).items()} == {
        "train": ["11", "12"],
        "calibration": ["21"],
        "test": ["31"],
    }
    (group,) = source.groups("test")
    assert [(e.targets[0].label, e.targets[0].box) for e in group] == [
        ("Two men", (0.0, 0.0, 0.75, 1.0)),
        ("a red bus", (0.25, 0.5, 1.0, 1.0)),
        ("the bus", (0.25, 0.5, 1.0, 1.0)),
    ]


def test_mistakes_with_flickr30k(tmp_path):
    folder = write_flickr30k(tmp_path / "f", FLICKR)
    path = folder / "Annotations" / "12.xml"
    path.write_text(path.read_text().replace("<xmax>10", "<xmax>x").replace("<xmax>30", "<xmax>99"))
    (folder / "flickr30k-images" / "11.jpg").unlink()
    told = list(problems(f"flickr30k:{folder}"))
    assert len(told) == 3 and "11.jpg: no such picture" in told[0]
    assert "12.xml, object 1: bndbox/xmax is 'x'" in told[1] and "12.xml, object 2: box" in told[2]
    (folder / "Sentences" / "31.txt").unlink()
    assert any("31.txt: missing" in one for one in problems(f"flickr30k:{folder}"))
    (folder / "val.txt").unlink()
    with pytest.raises(UsageError, match=r"no val\.txt in"):
        open_source(f"flickr30k:{folder}")


def test_visual_genome_regions_are_read_when_asked_for_and_cut_at_the_edge(tmp_path):
    folder = write_visual_genome(tmp_path / "vg", range(1, 41))
    source = open_source(f"vg:{folder}", GROUNDING)
    counts = source.summary()["pictures"]
    assert sum(counts.values()) == 40 and all(counts.values())
    hat, sky = source.groups("test")[0]
    assert hat.targets[0].box == pytest.approx((0.1, 0.1, 0.3, 0.3)) and sky.targets[0].box == (0.0, 0.0, 1.0, 0.3)
    assert hat.open().size == (40, 30)
    told = list(problems(f"vg:{folder}"))
    assert len(told) == 40
    assert all("region_descriptions.json, line 1, region " in one and "has no area" in one for one in told)


def test_mistakes_with_visual_genome(tmp_path):
    folder = write_visual_genome(tmp_path / "vg", range(1, 41))
    (folder / "image_data.json").write_text(json.dumps([{"image_id": 1, "width": 40}]))
    with pytest.raises(LynxError, match=r"image_data\.json, line 1, record 1: not a record of a picture"):
        open_source(f"vg:{folder}")
    (folder / "image_data.json").write_text("[]")
    with pytest.raises(LynxError, match=r"is not in image_data\.json"):
        open_source(f"vg:{folder}")
    (folder / "image_data.json").unlink()
    with pytest.raises(UsageError, match=r"no image_data\.json"):
        open_source(f"vg:{folder}")
