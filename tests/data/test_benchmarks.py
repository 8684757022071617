"""Sets that image understanding is measured by, in their published layouts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lynx_cl.data.asked_sets import SHORT
from lynx_cl.data.benchmarks import LETTER, open_benchmark
from lynx_cl.errors import LynxError, UsageError
from tests.data.published import write_gqa, write_pope, write_scienceqa, write_textvqa, write_vqav2


def only(text, most=100):
    (one,) = open_benchmark(text, most)
    return one


def test_vqav2(tmp_path):
    one = only(f"vqav2:{write_vqav2(tmp_path)}")
    assert (one.name, one.rule, len(one.questions), one.remarks) == ("vqav2 val", "vqav2", 5, ())
    first = one.questions[0]
    assert first.text == "How many, of 1?" + SHORT and first.references == ("none", *["1"] * 9)
    assert first.facets == {"answer type": "number", "question type": "how many"}
    assert Path(first.image) == tmp_path / "val2014" / "COCO_val2014_000000000001.jpg" and Path(first.image).is_file()
    assert only(f"vqav2:{tmp_path}?prompt=plain", 2).questions[1].text == "How many, of 2?"


def test_textvqa(tmp_path):
    one = only(f"textvqa:{write_textvqa(tmp_path)}")
    assert (one.name, one.rule, len(one.questions)) == ("textvqa val", "textvqa", 5)
    assert one.questions[2].references[:2] == ("stop", "STOP sign") and len(one.questions[2].references) == 10


def test_gqa_with_what_follows_from_what(tmp_path):
    path = write_gqa(tmp_path) / "testdev_balanced_questions.json"
    whole = json.loads(path.read_text())
    numbers = list(whole)
    whole[numbers[0]]["entailed"] = [numbers[0], numbers[1]]
    whole[numbers[1]] |= {"isBalanced": False, "types": {"structural": "query", "semantic": None, "detailed": "x"}}
    path.write_text(json.dumps(whole))
    one = only(f"gqa:{tmp_path}")
    assert (one.name, one.rule, len(one.questions)) == ("gqa testdev_balanced", "gqa", 5)
    first, second, *_ = one.questions
    assert first.facets == {"structural": "verify", "semantic": "attr", "answer": "binary"} and first.answer == "yes"
    assert first.number == numbers[0] and first.gqa.entailed == (numbers[1],) and first.counted
    assert second.facets == {"structural": "query", "answer": "open"} and not second.counted
    choices = tmp_path / "choices.json"
    told = {number: {"valid": ["yes", "no"], "plausible": ["yes"]} for number in numbers}
    whole[numbers[2]] |= {"types": {"structural": "query", "detailed": "twoCommon"}, "groups": {"global": "look"}}
    path.write_text(json.dumps(whole))
    choices.write_text(json.dumps({"other": {}, **told}))
    made = only(f"gqa:{tmp_path}?choices=choices.json").questions
    assert made[0].gqa.valid == {"yes", "no"} and made[0].gqa.plausible == {"yes"} and made[0].gqa.group == ""
    assert made[2].gqa.valid == {"color", "material", "shape"} and made[2].gqa.group == "look"
    choices.write_text(json.dumps({number: told[number] for number in numbers[1:]}))
    with pytest.raises(LynxError, match=f"holds no choices of question '{numbers[0]}'; give those of gqa testdev"):
        only(f"gqa:{tmp_path}?choices=choices.json")
    path.rename(tmp_path / "val_all_questions.json")
    assert only(f"gqa:{tmp_path}?questions=val_all_questions.json").name == "gqa val_all"
    with pytest.raises(UsageError, match=r"no testdev_balanced_questions\.json in"):
        only(f"gqa:{tmp_path}")


def test_pope_has_a_set_for_each_of_its_files(tmp_path):
    folder = write_pope(tmp_path)
    sets = open_benchmark(f"pope:{folder}?images=val2014", 4)
    assert [one.name for one in sets] == ["pope random", "pope popular", "pope adversarial"]
    assert [one.answer for one in sets[1].questions] == ["no", "yes", "no", "yes"]
    assert sets[1].questions[0].text == "Is there a popular dog in the image?" + SHORT
    alone = only(f"pope:{folder / 'coco_pope_popular.json'}?images=val2014", 4)
    assert alone.name == "pope popular" and alone.questions == sets[1].questions
    (folder / "coco_pope_random.json").rename(folder / "mine.json")
    assert only(f"pope:{folder / 'mine.json'}?images=val2014").name == "pope mine"


def test_scienceqa(tmp_path):
    folder = write_scienceqa(tmp_path)
    one = only(f"scienceqa:{folder}")
    assert (one.name, one.rule, len(one.questions)) == ("scienceqa test", "scienceqa", 8)
    third = one.questions[2]
    asked = "Look at the animals.\nWhich is number 3?\nA. a dog\nB. a cat\nC. a bird"
    assert third.text == asked + LETTER and third.answer == "B" and third.options == ("a dog", "a cat", "a bird")
    assert Path(third.image) == folder / "images" / "test" / "3" / "image.png"
    assert third.facets == {
        "subject": "natural science",
        "picture": "with",
        "hint": "with",
        "context": "some",
        "grades": "1 to 6",
        "grade": "4",
        "topic": "biology",
    }
    second = one.questions[1]
    assert second.image == "" and second.facets["context"] == "none" and len({q.key for q in one.questions}) == 8
    assert one.questions[6].facets["grades"] == "7 to 12"
    assert len(only(f"scienceqa:{folder}?only=image").questions) == 4
    assert all(not q.image for q in only(f"scienceqa:{folder}?only=text").questions)
    assert only(f"scienceqa:{folder}?prompt=plain").questions[2].text == asked
    assert [q.number for q in only(f"scienceqa:{folder}?split=train").questions] == ["9", "10"]


def test_broken_records_are_told_by_line_and_counted_against_a_share(tmp_path):
    folder = write_pope(tmp_path)
    file = folder / "coco_pope_random.json"
    lines = file.read_text().splitlines()
    lines[1] = '{"question_id": 2, "text": "Is there"'
    lines[2] = lines[2].replace('"label": "no"', '"label": "maybe"')
    file.write_text("\n".join(lines))
    (folder / "val2014" / "COCO_val2014_000000000004.jpg").unlink()
    with pytest.raises(LynxError, match=r"3 of 6 records are broken.*coco_pope_random\.json, line 2: no JSON"):
        open_benchmark(f"pope:{file}?images=val2014", 100)
    one = only(f"pope:{file}?images=val2014&max_broken=0.5")
    assert len(one.questions) == 3 and one.remarks[0].startswith("3 of 6 records are broken")
    assert "line 3: label is 'maybe', neither yes nor no" in one.remarks[2] and "is missing" in one.remarks[3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: one.update(answer=7), "answer is 7 of 3 choices"),
        (lambda one: one.update(choices=["a dog"]), "answer is 1 of 1 choices"),
        (lambda one: one.pop("question"), "'question' is missing"),
        (lambda one: one.update(question=" "), "'question' holds no text"),
        (lambda one: one.update(image="other.png"), "its picture .*other.png is missing"),
    ],
)
def test_broken_problems_of_scienceqa(tmp_path, change, message):
    folder = write_scienceqa(tmp_path)
    problems = json.loads((folder / "problems.json").read_text())
    change(problems["3"])
    (folder / "problems.json").write_text(json.dumps(problems, indent=1))
    with pytest.raises(LynxError, match=rf"1 of 8 records are broken.*problems\.json, line \d+, record 3: {message}"):
        only(f"scienceqa:{folder}")


def test_a_split_that_lists_what_is_not_there(tmp_path):
    folder = write_scienceqa(tmp_path)
    splits = json.loads((folder / "pid_splits.json").read_text())
    (folder / "pid_splits.json").write_text(json.dumps({**splits, "test": [*splits["test"], "77"]}))
    with pytest.raises(LynxError, match="holds no question '77', which split 'test' lists"):
        only(f"scienceqa:{folder}")
    assert len(only(f"scienceqa:{folder}", 4).questions) == 4  # the rest is not looked at
    with pytest.raises(LynxError, match="holds no question of split 'val'"):
        only(f"scienceqa:{folder}?split=val")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("coco:{0}", "the suite understanding does not know it; known: scenes, scenes-wide, vqav2:FOLDER"),
        ("pope", "give it as pope:FILE_OR_FOLDER"),
        ("pope:{0}/no", "no file or folder .*/no"),
        ("pope:{0}", "no file in .* is named for random, popular, adversarial"),
        ("vqav2:{0}/file.txt", "no folder .*file.txt"),
        ("vqav2:{0}", r"no v2_mscoco_val2014_annotations\.json in"),
        ("vqav2:{0}?split=val", "option 'split' is unknown; known: images, prompt, max_broken"),
        ("scienceqa:{0}", r"no problems\.json in"),
        ("textvqa:{0}?prompt=long", "prompt = 'long': unknown; known: short, plain"),
        ("textvqa:{0}?images=no", "images: no folder"),
    ],
)
def test_mistakes_in_a_name(tmp_path, spec, message):
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(UsageError, match=message):
        open_benchmark(spec.format(tmp_path), 3)
    folder = write_scienceqa(tmp_path / "s")
    for option in ("split=tets", "only=both"):
        with pytest.raises(UsageError, match=r"is not in .*; known: test, train, val|unknown; known: image, text"):
            open_benchmark(f"scienceqa:{folder}?{option}", 3)
