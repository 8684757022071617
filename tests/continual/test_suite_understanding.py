"""Image understanding before and after, on a tiny base whose words are answers: the same whatever the batch size."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lynx_cl.base.load import Base
from lynx_cl.cli.main import main
from lynx_cl.continual import suite_understanding
from lynx_cl.data.benchmarks import open_benchmark
from lynx_cl.data.example import open_image
from tests.continual.learned_tiny import learned_registry
from tests.data.published import write_gqa, write_pope, write_scienceqa, write_textvqa, write_vqav2
from tests.evaluation.test_generate import processor
from tests.families.tiny import tiny_base

ANSWERS = ("yes", "no", "A", "B", "1", "2", "3", "4", "5", "stop", "Yes.")
WORDS = [answer + " " * ends for ends in range(1, 7) for answer in ANSWERS]  # several tokens for each: most of all


@pytest.fixture(scope="module")
def base() -> Base:
    return replace(tiny_base(), processor=processor(WORDS[:57]))


@pytest.fixture(scope="module")
def home(base: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("understanding")
    learned_registry(path / "registry", base, "counting", "grounding")
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("sets")
    gqa = write_gqa(folder / "gqa") / "testdev_balanced_questions.json"
    whole = json.loads(gqa.read_text())
    numbers = list(whole)
    for number, one in whole.items():
        one["entailed"] = [other for other in numbers if other != number][:2]
    gqa.write_text(json.dumps(whole))
    return [
        f"vqav2:{write_vqav2(folder / 'vqav2')}",
        f"gqa:{folder / 'gqa'}",
        f"textvqa:{write_textvqa(folder / 'textvqa')}",
        f"pope:{write_pope(folder / 'pope')}?images=val2014",
        f"scienceqa:{write_scienceqa(folder / 'scienceqa')}",
    ]


@pytest.fixture(autouse=True)
def tiny(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite_understanding, "load_base", lambda name: {"tiny": base}[name])


def line(home: Path, data: list[str], *more: str) -> list[str]:
    named = [part for one in data for part in ("--data", one)]
    return ["evaluate", "--suite", "understanding", *named, "--tokens", "1", *more, "--home", str(home)]


def facts(home: Path, capsys: pytest.CaptureFixture[str], data: list[str], *more: str) -> dict[str, Any]:
    assert main([*line(home, data, *more), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_all_sets_are_the_same_whatever_the_batch_size(home, data, capsys):
    one, two, seven = (facts(home, capsys, data, "--batch-size", n) for n in "127")
    assert one == two == seven
    assert (one["before"], one["after"]) == ("base alone", "routed")
    assert {name: told["questions"] for name, told in one["sets"].items()} == {
        "vqav2 val": 5,
        "gqa testdev_balanced": 5,
        "textvqa val": 5,
        "pope random": 6,
        "pope popular": 6,
        "pope adversarial": 6,
        "scienceqa test": 8,
    }
    for told in one["sets"].values():
        assert sum(told["answered_by"].values()) == told["questions"]
        assert told["difference"] == pytest.approx(told["after"]["accuracy"] - told["before"]["accuracy"])
    assert any(told["answered_by"] != {"base": told["questions"]} for told in one["sets"].values())
    assert {"precision", "recall", "f1", "yes_ratio"} < set(one["sets"]["pope popular"]["before"])
    assert set(one["sets"]["scienceqa test"]["by"]) >= {"subject", "grades", "picture"}


def test_a_bank_that_answers_all_changes_answers_and_the_change_is_counted(home, data, capsys):
    told = facts(home, capsys, data, "--task", "grounding")
    assert told["after"] == "grounding"
    for one in told["sets"].values():
        assert one["answered_by"] == {"grounding": one["questions"]}
    worse, better = (sum(one[way] for one in told["sets"].values()) for way in ("worse", "better"))
    assert worse + better > 0
    alone = facts(home, capsys, data, "--task", "base")
    assert alone["after"] is None and all("after" not in one for one in alone["sets"].values())
    assert [one["before"] for one in alone["sets"].values()] == [one["before"] for one in told["sets"].values()]


def test_right_answers_score_one_and_a_bank_that_forgets_is_seen(home, data, capsys, monkeypatch):
    """A stand-in whose base knows every answer and whose banks know none: so a figure below 1 would be the suite's."""
    truths = {
        (question.text, open_image(Path(question.image)).tobytes() if question.image else None): question.answer
        for text in data
        for one in open_benchmark(text, 100)
        for question in one.questions
    }
    asked: Counter[str | None] = Counter()

    def answers(base: Any, attachment: Any, requests: Any, owners: Any, **_: Any) -> list[str]:
        asked.update(owners)
        seen = [(one.text, one.image and one.image.tobytes()) for one in requests]
        return ["unknown" if owner else truths[one] for one, owner in zip(seen, owners, strict=True)]

    monkeypatch.setattr(suite_understanding, "answer", answers)
    told = facts(home, capsys, data)["sets"]
    for one in told.values():
        assert one["before"]["accuracy"] == one["before"]["strict"] == one["before"]["normalised"] == 1.0
        assert one["before"]["unread"] == 0.0 and one["better"] == 0
        lost = one["questions"] - one["answered_by"].get("base", 0)
        assert one["worse"] >= lost / 2  # of POPE, 'unknown' affirms, which is right for every other
        for kinds in one["by"].values():
            assert sum(kind["questions"] for kind in kinds.values()) == one["questions"]
            assert all(kind["before"] == 1.0 for kind in kinds.values())
    assert told["gqa testdev_balanced"]["before"]["consistency"] == 1.0
    assert told["pope random"]["before"]["f1"] == 1.0 and told["pope random"]["before"]["yes_ratio"] == 0.5
    total = sum(one["questions"] for one in told.values())
    left = sum(one["answered_by"].get("base", 0) for one in told.values())
    assert asked[None] == total and asked.total() == total + (total - left)  # what stays with the base is asked once


def test_a_task_that_learned_from_such_a_set_is_asked_with_the_task_given(base, data, tmp_path, capsys):
    labels = {"annotator": "vqa v2", "digest": "0" * 64, "seed": 0, "limit": None}
    learned = {"grounding": {**labels, "source": "vqav2"}, "counting": {**labels, "source": "scenes"}}
    learned_registry(tmp_path / "registry", base, "counting", "grounding", data=learned)
    told = facts(tmp_path, capsys, data[:2])["sets"]
    assert told["vqav2 val"]["given_to"] == "grounding" and "given" not in told["gqa testdev_balanced"]
    own = facts(tmp_path, capsys, data[:1], "--task", "grounding")["sets"]["vqav2 val"]
    assert told["vqav2 val"]["given"] == own["after"]
    assert main(line(tmp_path, data[:2])) == 0
    said = capsys.readouterr().out
    assert "accuracy, given" in said and "vqav2 val  grounding" in said
    both = {name: {**labels, "source": "vqav2"} for name in learned}
    learned_registry(tmp_path / "two" / "registry", base, "counting", "grounding", data=both)
    told = facts(tmp_path / "two", capsys, data[:1])["sets"]["vqav2 val"]
    assert "given" not in told and "2 tasks learned from such a set: counting, grounding" in told["remarks"][0]


def test_drawn_scenes_need_no_files(home, capsys):
    told = facts(home, capsys, ["scenes", "scenes-wide"], "--examples", "26")["sets"]
    assert told["scenes"]["questions"] == 26 and len(told["scenes"]["by"]["kind"]) == 13
    assert set(told["scenes-wide"]["by"]["kind"]) & {"read", "many", "larger"}
    assert "mean_of_kinds" in told["scenes"]["before"]


def test_a_person_gets_tables(home, data, capsys):
    assert main(line(home, [data[3], data[3], data[4]], "--examples", "4")) == 0
    said = capsys.readouterr().out.splitlines()
    rows = [row.split("\t") for row in said]
    (head,) = (row for row in rows if row[:2] == ["set", "questions"])
    assert head[2:5] == ["accuracy, before", "accuracy, after", "difference"] and head[-1] == "answered by"
    assert ["pope random", "precision"] in [row[:2] for row in rows]
    assert {row[0] for row in rows} >= {"pope random", "pope random (2)", "scienceqa test"}
    assert ["scienceqa test", "subject", "natural science"] in [row[:3] for row in rows]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--task", "reading"], "--task reading: not in the registry; known: base, counting, grounding"),
        (["--ask", "grounding"], "--ask is for suites that ask for boxes"),
        (["--protocols", "1"], "--protocols is for --suite localisation"),
        (["--task", "grounding", "--several", "mix"], "--task leaves nothing to route"),
    ],
)
def test_mistakes_are_told_before_the_base_is_loaded(home, data, capsys, monkeypatch, more, message):
    monkeypatch.setattr(suite_understanding, "load_base", lambda name: pytest.fail("loaded"))
    assert main(line(home, data[:1], *more)) == 2
    assert message in capsys.readouterr().err


def test_other_suites_take_one_source(home, data, capsys):
    assert main(["evaluate", "--suite", "phrase", "--data", "a", "--data", "b", "--home", str(home)]) == 2
    assert "--suite phrase: takes one --data, not 2" in capsys.readouterr().err
    assert main(["evaluate", "--suite", "understanding", "--home", str(home)]) == 2
    assert "give its data with --data, such as scenes, vqav2:FOLDER" in capsys.readouterr().err


def test_a_router_that_looks_at_pictures_is_asked_about_pictures_alone(base, data, tmp_path, capsys):
    from PIL import Image

    image = Image.new("RGB", (24, 24), (90, 40, 200))
    learned_registry(tmp_path / "registry", base, "counting", image=image, embedder="trunk")
    assert main(line(tmp_path, [data[4]])) == 2
    assert "4 of 8 questions are about no picture" in capsys.readouterr().err
    told = facts(tmp_path, capsys, [f"{data[4]}?only=image"])["sets"]["scienceqa test"]
    assert told["questions"] == 4
    told = facts(tmp_path, capsys, [data[4]], "--task", "counting")["sets"]["scienceqa test"]
    assert told["answered_by"] == {"counting": 8}
