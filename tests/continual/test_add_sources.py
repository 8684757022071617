"""Adding tasks from users' own files: questions and answers, and referring expressions, on the embedded base."""

from __future__ import annotations

import json

import pytest

from lynx_cl.continual.plan import make_plan
from lynx_cl.errors import UsageError
from lynx_cl.home import Home
from tests.continual.process import SHORT, lynx
from tests.data.folders import write_llava
from tests.data.published import picture, write_refcoco

CARD = "name: mine\ntitle: Mine\ndescription: My questions.\nkind: instruct\nmetric: vqa_accuracy\n"


@pytest.fixture
def home(tmp_path):
    """A home with a card of the user's own, and a file of conversations beside it."""
    folder = tmp_path / "home" / "tasks" / "mine"
    folder.mkdir(parents=True)
    (folder / "task.yaml").write_text(CARD)
    file = write_llava(tmp_path / "talk", 60)
    for number in range(60):
        picture(file.parent / "images" / f"train-{number:03}.png", number)
    return Home(tmp_path / "home")


def test_a_users_own_card_and_file_are_planned(home, monkeypatch):
    monkeypatch.chdir(home.path.parent)
    plan = make_plan(home, "mine", data="llava:talk/train.jsonl?images=images", base="nano", kind="lora")
    assert plan.spec == f"llava:{home.path.parent}/talk/train.jsonl?images=images"
    assert plan.card.metric == "vqa_accuracy" and plan.source.annotator == "llava json"
    with pytest.raises(UsageError, match="holds boxes and no questions; task 'mine' is of kind instruct"):
        expressions = write_refcoco(home.path.parent / "r", {1: "train", 2: "test"})
        make_plan(home, "mine", data=f"refcoco:{expressions}", base="nano", kind=None)


@pytest.mark.slow
def test_questions_then_expressions_are_learned_and_checked_against_each_other(home):
    spec = f"llava:{home.path.parent}/talk/train.jsonl?images=images"
    lines = (home.path.parent / "talk" / "train.jsonl").read_text().splitlines()
    lines[10] = "{"
    (home.path.parent / "talk" / "train.jsonl").write_text("\n".join(lines))
    refused = lynx("add-task", "mine", "--data", spec, "--bank", "lora", *SHORT, home=home.path, check=False)
    assert refused.returncode == 1 and "1 of 60 records are broken" in refused.stderr
    told = lynx(
        "add-task", "mine", "--data", f"{spec}&max_broken=0.1", "--bank", "lora", "--json", *SHORT, home=home.path
    )
    assert "vqa_accuracy" in json.loads(told.stdout)["tasks"]["mine"] and "train.jsonl, line 11: no JSON" in told.stderr
    splits = {n: "train" if n < 160 else "val" if n < 170 else "test" for n in range(101, 190)}
    folder = write_refcoco(home.path.parent / "refcoco", splits)
    told = lynx(
        "add-task", "grounding", "--data", f"refcoco:{folder}", "--bank", "lora", "--json", *SHORT, home=home.path
    )
    assert {"mine", "grounding", "base"} == set(json.loads(told.stdout)["tasks"])
    checked = lynx("data", "check", f"refcoco:{folder}", "--registry", "--json", home=home.path, check=False)
    assert len(json.loads(checked.stdout)["sources"]) == 2 and json.loads(checked.stdout)["broken"] == []
