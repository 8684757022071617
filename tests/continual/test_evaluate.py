"""Evaluating a registry: blind scores under a policy, loss by its cause, and composed requests through its router."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lynx_cl.base.load import Base
from lynx_cl.cli.main import main
from lynx_cl.continual import compose, composition, evaluate, measure
from lynx_cl.continual.composition import composing
from lynx_cl.continual.measure import TaskUnderTest
from lynx_cl.errors import LynxError
from lynx_cl.evaluation.generate import Request, answer
from lynx_cl.registry import Registry
from lynx_cl.tasks import load_card
from tests.continual.learned_tiny import BOTH, learned_base, learned_registry
from tests.continual.test_policy import example, scored
from tests.registry.samples import files, manifest, record

PROMPTS = {
    "base": ("Describe the cat.",),
    "counting": ("Count the dogs.", BOTH),
    "grounding": ("Locate the dog.", BOTH),
}


@pytest.fixture(scope="module")
def base() -> Base:
    return learned_base()


@pytest.fixture(scope="module")
def home(base: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("evaluate")
    learned_registry(path / "registry", base, "counting", "grounding")
    return path


@pytest.fixture(autouse=True)
def tiny(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny base in the place of what is loaded, tests of a few prompts, and short answers."""

    def short(base: Base, attachment: Any, requests: Sequence[Request], banks: Sequence[Any], **_: Any) -> list[str]:
        return answer(base, attachment, requests, banks, max_new_tokens=4)

    for module in (compose, composition, measure):
        monkeypatch.setattr(module, "answer", short)
    tests = [
        TaskUnderTest(name, [example(i, text) for i, text in enumerate(texts)], scored, "letters")
        for name, texts in PROMPTS.items()
    ]
    monkeypatch.setattr(evaluate, "tests", lambda *_: tests)
    monkeypatch.setattr(evaluate, "load_base", lambda name: {"tiny": base}[name])


def facts(home: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["evaluate", *arguments, "--json", "--home", str(home)]) == 0
    return json.loads(capsys.readouterr().out)


def test_blind_scores_are_those_of_the_policy(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ("--route-error", "0.01", "--several")
    top, mix, ask = (facts(home, capsys, *few, policy) for policy in ("top", "mix", "ask"))
    counting = {name: told["tasks"]["counting"]["letters"] for name, told in (("top", top), ("mix", mix), ("ask", ask))}
    assert counting["top"] == counting["ask"] != counting["mix"]
    assert ask["routing"].pop("asked") == 2 / 5 and ask["routing"] == top["routing"] == mix["routing"]
    assert ask["tasks"] == top["tasks"]
    assert facts(home, capsys, "--route-error", "0.3", "--several", "ask")["routing"]["asked"] == 0


def test_loss_is_told_by_its_cause(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = facts(home, capsys, "--several", "mix", "--route-error", "0.01")
    assert set(told["loss"]) == {"base", "counting", "grounding"}
    for task, parts in told["loss"].items():
        scores = told["tasks"][task]
        assert parts["bank"] is None  # its records hold no score to measure from
        assert parts["routing"] == scores["letters_task_given"] - scores["letters"]
    assert told["loss"]["base"]["routing"] == 0 != told["loss"]["counting"]["routing"]


def test_evaluate_prints_tables(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--several", "ask", "--route-error", "0.01", "--home", str(home)]) == 0
    out = capsys.readouterr().out
    assert "task\tloss in its bank\tloss in routing\n" in out and "base\t-\t0\n" in out
    assert "40.0 % of the requests" in out


def test_composed_requests_go_through_the_registry_s_router(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = facts(home, capsys, "--composed", "--examples", "6")
    assert list(told["policies"]) == ["grounding", "counting", "mix", "mix_weighted", "plan"]
    assert told["examples"] == 6 and told["split"] == 1.0 and told["routed"] > 0.2
    lost = facts(home, capsys, "--composed", "--examples", "6", "--route-error", "0.99")
    assert lost["routed"] < told["routed"]  # a router that may err so often knows little as near
    assert main(["evaluate", "--composed", "--examples", "6", "--home", str(home)]) == 0
    out = capsys.readouterr().out
    shown = [line.split("\t") for line in out.splitlines() if "\t" in line]
    assert shown[0] == ["answered by", "count", "box", "both"]
    rows = {name: [float(cell) for cell in cells] for name, *cells in shown[1:]}
    assert rows == {name: pytest.approx(list(told["policies"][name].values()), rel=1e-3) for name in told["policies"]}


def test_both_kinds_are_needed(base: Base, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learned_registry(tmp_path / "registry", base, "counting")
    capsys.readouterr()
    assert main(["evaluate", "--composed", "--home", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "has no task of kind grounding; composed requests" in error and error.count("\n") == 1


def test_the_tasks_of_composed_requests(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.init("b" * 64, "tiny")

    def add(task: str, kind: str) -> None:
        card = {**load_card(kind).model_dump(mode="json"), "name": task}
        registry.add(manifest(task, card=card), files(task), record())

    add("cells", "grounding")
    with pytest.raises(LynxError, match="no task of kind counting;"):
        composing(registry)
    add("tally", "counting")
    add("apples", "grounding")
    assert composing(registry) == {"grounding": "apples", "counting": "tally"}
    add("grounding", "grounding")
    assert composing(registry) == {"grounding": "grounding", "counting": "tally"}
