"""The suites of `evaluate` on a tiny base whose every word is a thing in a box: the same whatever the batch size."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lynx_cl.base.load import Base
from lynx_cl.cli.main import main
from lynx_cl.continual import general, suites
from lynx_cl.continual.general import general_of
from lynx_cl.continual.suite_data import words_for
from lynx_cl.data.scenes.categories import COCO
from lynx_cl.evaluation.generate import Said
from tests.continual.learned_tiny import learned_registry
from tests.data.folders import small_voc
from tests.data.published import write_flickr30k, write_refcoco
from tests.evaluation.test_generate import processor
from tests.families.tiny import tiny_base

SIZE = (40, 30)
NAMES = {1: "dog", 2: "cat", 3: "car"}
GENERAL = {1: "animal", 2: "animal", 3: "vehicle"}
PLACES = [(x, y) for x in (0, 50) for y in (0, 50)]
ITEMS = [
    f"{label}left {x} top {y} right {x + 49} bottom {y + 49} {';' * ends}"
    for ends in (1, 2, 3)  # three tokens for each, or most of what it says would be words
    for label in ("dog: ", "cat: ", "car: ", "")
    for x, y in PLACES
]


@pytest.fixture(scope="module")
def base() -> Base:
    return replace(tiny_base(), processor=processor(ITEMS))


@pytest.fixture(scope="module")
def home(base: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suites")
    learned_registry(path / "registry", base, "counting", "grounding")
    return path


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six test pictures of noise, with one to four things in quarters of them."""
    folder = tmp_path_factory.mktemp("coco")
    (folder / "annotations").mkdir()
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        (folder / part).mkdir()
        images, things = [], []
        for number in range(1, 7):
            name = f"{part}{number}.png"
            Image.fromarray(rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)).save(folder / part / name)
            images.append({"id": number, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
            for place in range(1 + number % 4):
                x, y = PLACES[(number + place) % 4]
                bbox = [x / 100 * SIZE[0], y / 100 * SIZE[1], SIZE[0] / 2, SIZE[1] / 2]
                one = {"id": len(things) + 1, "image_id": number, "category_id": 1 + (number + place) % 3}
                things.append({**one, "bbox": bbox, "area": 300.0, "iscrowd": 0})
        categories = [{"id": i, "name": NAMES[i], "supercategory": GENERAL[i]} for i in NAMES]
        whole = {"images": images, "annotations": things, "categories": categories}
        (folder / "annotations" / f"instances_{part}.json").write_text(json.dumps(whole))
    return folder


@pytest.fixture(autouse=True)
def tiny(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites, "load_base", lambda name: {"tiny": base}[name])


def facts(home: Path, capsys: pytest.CaptureFixture[str], suite: str, data: str, *more: str) -> dict[str, Any]:
    line = ["evaluate", "--suite", suite, "--data", data, "--tokens", "3", *more, "--json", "--home", str(home)]
    assert main(line) == 0
    return json.loads(capsys.readouterr().out)


def test_localisation_is_the_same_whatever_the_batch_size(
    home: Path, coco: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, seven = (facts(home, capsys, "localisation", f"coco:{coco}", "--batch-size", n) for n in "127")
    assert one == two == seven
    assert one["pictures"] == 6 and one["things"] == 15 and one["categories"] == 3 and one["task"] == "routed"
    protocols = one["protocols"]
    assert [protocols[name]["questions"] for name in "123"] == [6, 12, 18]
    assert all(sum(scores["answered_by"].values()) == scores["questions"] for scores in protocols.values())
    assert all(0 < scores["map50"] < 1 and 0 < scores["miou_few"] < 1 for scores in protocols.values())
    assert len({scores["map"] for scores in protocols.values()}) > 1


def test_who_answers_may_be_named(home: Path, coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some = ("--protocols", "3,1", "--examples", "4")
    plain, own = (
        facts(home, capsys, "localisation", f"coco:{coco}", *some, "--task", n) for n in ("base", "grounding")
    )
    assert list(plain["protocols"]) == list(own["protocols"]) == ["1", "3"]
    assert plain["asked_as"] == "detection" and own["asked_as"] == "grounding"
    assert plain["protocols"]["3"]["answered_by"] == {"base": 12} and plain["pictures"] == 4
    assert own["protocols"]["1"]["answered_by"] == {"grounding": 4}
    same = facts(home, capsys, "localisation", f"coco:{coco}", *some, "--task", "grounding", "--ask", "detection")
    assert same["asked_as"] == "detection" and same["protocols"] != plain["protocols"]


def test_a_perfect_answer_scores_one_in_every_protocol(
    home: Path, coco: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in that reads the annotations: so a figure below 1 would be the suite's own loss."""
    whole = json.loads((coco / "annotations" / "instances_val.json").read_text())
    looks = {Image.open(coco / "val" / one["file_name"]).convert("RGB").tobytes(): one["id"] for one in whole["images"]}
    asked: dict[str, set[str]] = {}

    def answers(base: Any, attachment: Any, requests: Any, owners: Any, **_: Any) -> list[Said]:
        said = []
        for request in requests:
            things = [one for one in whole["annotations"] if one["image_id"] == looks[request.image.tobytes()]]
            words = {1: ("dogs", "animals"), 2: ("cats", "animals"), 3: ("cars", "vehicles")}
            wanted = [i for i, names in words.items() if any(name in request.text for name in (*names, "objects"))]
            boxes = []
            for one in things:
                if one["category_id"] in wanted:
                    x, y = round(one["bbox"][0] / SIZE[0] * 100), round(one["bbox"][1] / SIZE[1] * 100)
                    name = NAMES[one["category_id"]]
                    boxes.append(f"{name}: left {x} top {y} right {x + 49} bottom {y + 49}")
            text = "; ".join(boxes) or "none"
            said.append(Said(text, ((0, len(text)),), (0.0,)))
            asked.setdefault(str(wanted), set()).add(request.text)
        return said

    monkeypatch.setattr("lynx_cl.continual.suite_answers.answer_weighed", answers)
    told = facts(home, capsys, "localisation", f"coco:{coco}")["protocols"]
    for scores in told.values():
        assert scores["map50"] == scores["f1"] == pytest.approx(1.0) and scores["parse_failure"] == 0
        assert scores["found"] == 15 and 0.9 < scores["miou_few"] < 1  # half a hundredth of a side is lost
    assert len(asked["[1, 2, 3]"]) > 2 and len(asked["[1, 2]"]) > 2  # in several phrasings


def test_absent_categories_and_sets_without_general_ones(
    home: Path, coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only = facts(home, capsys, "localisation", f"coco:{coco}", "--protocols", "3", "--absent", "0")
    assert only["protocols"]["3"]["questions"] < 18 and only["absent"] == 0
    voc = facts(home, capsys, "localisation", f"voc:{small_voc(tmp_path / 'voc')}")
    assert list(voc["protocols"]) == ["1", "2", "3"] and voc["pictures"] == 2 and voc["categories"] == 2
    (remark,) = voc["remarks"]
    assert remark.startswith("2 of 2 general categories are a sentence encoder's guess (rbc: ")
    assert not facts(home, capsys, "localisation", f"voc:{tmp_path / 'voc'}", "--protocols", "1,3")["remarks"]


def test_general_categories_by_a_sentence_encoder(
    home: Path, coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"zebra": "animal", "lorry": "vehicle", "bread": "food", "trousers": "accessory"}
    assert general_of(list(names)) == names
    assert general_of([]) == {}
    again = 0
    for one in COCO:  # each found without its own part in the means
        with monkeypatch.context() as without:
            without.setattr(general, "COCO", [other for other in COCO if other is not one])
            general._means.cache_clear()
            again += general_of([one.name])[one.name] == one.supercategory
    general._means.cache_clear()
    assert 0.7 * len(COCO) < again < 0.8 * len(COCO)
    known = facts(home, capsys, "localisation", f"coco:{coco}", "--protocols", "2")
    for part in ("train", "val"):
        path = tmp_path / "c" / "annotations" / f"instances_{part}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        told = json.loads((coco / "annotations" / path.name).read_text())
        for one in told["categories"]:
            one.pop("supercategory")
        path.write_text(json.dumps(told))
        (tmp_path / "c" / part).symlink_to(coco / part)
    guessed = facts(home, capsys, "localisation", f"coco:{tmp_path / 'c'}", "--protocols", "2")
    assert guessed["remarks"] and not known["remarks"]
    assert guessed["protocols"]["2"]["questions"] > 0


def test_what_lvis_does_not_annotate_is_no_false_alarm(
    home: Path, coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("train", "val"):
        (tmp_path / part).symlink_to(coco / part)
        whole = json.loads((coco / "annotations" / f"instances_{part}.json").read_text())
        for one in whole["images"]:
            one["coco_url"] = f"http://images.cocodataset.org/{part}/{one['file_name']}"
        (tmp_path / f"lvis_v1_{part}.json").write_text(json.dumps(whole))
    lvis = facts(home, capsys, "localisation", f"lvis:{tmp_path}", "--protocols", "1,3")
    whole = facts(home, capsys, "localisation", f"coco:{coco}", "--protocols", "1,3")
    assert lvis["absent"] == 0 and "only categories that a picture holds count" in lvis["remarks"][-1]
    assert lvis["protocols"]["1"]["found"] < whole["protocols"]["1"]["found"]
    assert lvis["protocols"]["1"]["map50"] >= whole["protocols"]["1"]["map50"]


def test_scenes_are_a_set_too(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = facts(home, capsys, "localisation", "scenes", "--examples", "2", "--absent", "1", "--protocols", "2")
    assert told["annotator"] == "oracle" and told["categories"] > 50 and told["protocols"]["2"]["questions"] >= 4


def test_expressions_are_scored_split_by_split(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    splits = {1: "train", 2: "val", **dict.fromkeys(range(3, 7), "testA"), 7: "testB"}
    folder = write_refcoco(tmp_path / "refcoco", splits)
    one, two, seven = (facts(home, capsys, "refexp", f"refcoco:{folder}", "--batch-size", n) for n in "127")
    assert one == two == seven and one["asked_as"] == "grounding"
    assert {name: scores["expressions"] for name, scores in one["splits"].items()} == {
        "val": 2,
        "testA": 8,
        "testB": 2,
    }
    single = facts(home, capsys, "refexp", f"refcoco:{folder}?test=testB")["splits"]
    assert single == {"testB": one["splits"]["testB"]}
    assert (
        main(["evaluate", "--suite", "refexp", "--data", f"refcoco:{folder}", "--tokens", "3", "--home", str(home)])
        == 0
    )
    out = capsys.readouterr().out
    assert "split\texpressions\tacc_iou50\tmean_iou" in out and "accuracy at IoU\t0.50\t0.55" in out


def test_the_first_box_of_an_answer_is_the_one_for_an_expression(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three expressions one gets its box (0.25, 0.5, 0.75, 1.0), one gets it second, one gets no box."""
    folder = write_refcoco(tmp_path / "refcoco", {1: "train", 2: "val", 3: "val", 4: "val"})
    right, wrong = "left 25 top 50 right 75 bottom 99", "left 0 top 0 right 9 bottom 9"
    texts = {"man 2": right, "man 3": f"{wrong}; {right}", "man 4": "I do not see him."}

    def answers(base: Any, attachment: Any, requests: Any, owners: Any, **_: Any) -> list[Said]:
        return [Said(next(text for man, text in texts.items() if man in one.text)) for one in requests]

    monkeypatch.setattr("lynx_cl.continual.suite_answers.answer_weighed", answers)
    val = facts(home, capsys, "refexp", f"refcoco:{folder}")["splits"]["val"]
    assert val["expressions"] == 6 and val["acc_iou50"] == 2 / 6 and val["parse_failure"] == 2 / 6
    assert val["curve"]["0.90"] == 2 / 6


def test_phrases_count_as_often_as_they_are_said(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """'Two men' is said twice, of two boxes whose union is (0, 0, 0.75, 1); the two names of the bus get no box."""
    folder = write_flickr30k(tmp_path / "flickr", {"a": "train", "b": "val", "c": "test", "d": "test"})
    one, seven = (facts(home, capsys, "phrase", f"flickr30k:{folder}", "--batch-size", n) for n in "17")
    assert one == seven and one["splits"]["test"]["expressions"] == 8

    def answers(base: Any, attachment: Any, requests: Any, owners: Any, **_: Any) -> list[Said]:
        return [Said("left 0 top 0 right 74 bottom 99" if "Two men" in one.text else "none") for one in requests]

    monkeypatch.setattr("lynx_cl.continual.suite_answers.answer_weighed", answers)
    told = facts(home, capsys, "phrase", f"flickr30k:{folder}")["splits"]["test"]
    assert told["recall_1"] == 0.5 and sum(told["answered_by"].values()) == 6
    assert main(["evaluate", "--suite", "phrase", "--data", f"flickr30k:{folder}", "--home", str(home)]) == 0
    assert "split\texpressions\trecall_1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["--suite", "localisation"], "give its data with --data"),
        (["--suite", "nothing", "--data", "scenes"], "nothing"),
        (["--data", "scenes"], "--data needs --suite"),
        (["--absent", "3"], "--absent needs --suite"),
        (["--suite", "refexp", "--data", "scenes", "--protocols", "1"], "--protocols is for --suite localisation"),
        (["--suite", "refexp", "--data", "scenes"], "give refcoco:FOLDER"),
        (["--suite", "phrase", "--data", "scenes"], "give flickr30k:FOLDER"),
        (["--suite", "localisation", "--data", "scout"], "needs every thing of a picture in a box"),
        (["--suite", "localisation", "--data", "coco:/nowhere"], "no folder /nowhere"),
        (["--suite", "localisation", "--data", "scenes", "--protocols", "1,4"], "give some of 1, 2 and 3"),
        (["--suite", "localisation", "--data", "scenes", "--task", "nine"], "--task nine: not in the registry; known"),
        (["--suite", "localisation", "--data", "scenes", "--ask", "counting"], "asks as detection or grounding does"),
        (["--suite", "localisation", "--data", "scenes", "--task", "base", "--several", "mix"], "nothing to route"),
        (["--suite", "localisation", "--data", "scenes", "--composed"], "leave out --suite or --composed"),
    ],
)
def test_bad_input_is_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: list[str], said: str
) -> None:
    monkeypatch.setattr(
        suites, "load_base", lambda name: pytest.fail("the base was loaded before the mistake was told")
    )
    assert main(["evaluate", *line, "--home", str(home)]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_words_for_what_is_asked() -> None:
    assert words_for("detection", 2, "sports") == "pieces of sports equipment"
    assert words_for("grounding", 2, "animal") == "all animals" and words_for("grounding", 1, None) == "all objects"
    assert words_for("detection", 3, "tv") == "tvs"
