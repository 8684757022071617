"""Requests from end to end on a tiny base: who answers where several banks are kept, and a request as a plan."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lynx_cl.banks.attach import attach
from lynx_cl.base.load import Base
from lynx_cl.base.taps import find_taps
from lynx_cl.cli.main import main
from lynx_cl.continual import answering
from lynx_cl.continual.answering import ask, ask_plan
from lynx_cl.data.grammar import GRAMMARS
from lynx_cl.errors import UsageError
from lynx_cl.evaluation.generate import Request, answer, answer_on_the_way
from lynx_cl.registry import Registry
from lynx_cl.router.stored import load_router
from tests.continual.learned_tiny import ASKED, BOTH, THINGS, bank_of, learned_base, learned_registry
from tests.evaluation.test_generate import picture

FEW, MANY = {"error": 0.01}, {"error": 0.3}
PICTURE = picture(0)
TOKENS = 4


@pytest.fixture(scope="module")
def base() -> Base:
    return learned_base()


@pytest.fixture(scope="module")
def home(base: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("answering")
    learned_registry(path / "registry", base, "counting", "grounding")
    PICTURE.save(path / "a.png")
    return path


@pytest.fixture
def registry(home: Path) -> Registry:
    return Registry(home / "registry")


@pytest.fixture(autouse=True)
def asked(base: Base, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The tiny base in the place of what is loaded, and short answers; who was asked to answer."""
    owners: list[Any] = []

    def short(base: Base, attachment: Any, requests: Sequence[Request], banks: Sequence[Any]) -> list[str]:
        owners.extend(banks)
        return answer(base, attachment, requests, banks, max_new_tokens=TOKENS)

    monkeypatch.setattr(answering, "answer", short)
    monkeypatch.setattr(answering, "load_base", lambda name: {"tiny": base}[name])
    return owners


def said(base: Base, prompt: str, owner: Any, picture: Any = PICTURE) -> str:
    taps = find_taps(base.model)
    with attach(base.model, taps) as attachment:
        for name in ("counting", "grounding"):
            attachment.add(name, bank_of(base, name))
        return answer(base, attachment, [Request(prompt, picture)], [owner], max_new_tokens=TOKENS)[0]


def test_a_given_task_leaves_no_candidates(base: Base, registry: Registry) -> None:
    for task, bank in (("counting", "counting"), ("grounding@1", "grounding"), ("base", None)):
        told = ask(registry, "nano", PICTURE, BOTH, task)
        assert (told.task, told.text, told.candidates) == (task, said(base, BOTH, bank), {})
    with pytest.raises(UsageError, match="finding"):
        ask(registry, "nano", PICTURE, BOTH, "finding")


def test_without_a_picture_there_is_nothing_to_box(
    base: Base, home: Path, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ask(registry, "nano", None, BOTH, "grounding")
    assert told.text == said(base, BOTH, "grounding", None) != said(base, BOTH, "grounding") and told.boxes == ()
    assert main(["ask", "-", BOTH, "--task", "base", "--home", str(home)]) == 0
    assert capsys.readouterr().out.rstrip("\n") == said(base, BOTH, None, None)
    assert main(["ask", "-", BOTH, "--save", "a.png", "--home", str(home)]) == 2
    assert "there is no picture to draw on" in capsys.readouterr().err


def test_where_a_drawing_cannot_go_is_told_before_anything_is_asked(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    PICTURE.save(tmp_path / "a.png")
    for save, message in (
        (tmp_path, "a folder; name a file in it"),
        (tmp_path / "out.gif", "end its name in .png, .jpg, .jpeg, .webp, .bmp, .tif, .tiff"),
        (tmp_path / "no" / "out.png", "no such folder"),
    ):
        assert main(["ask", str(tmp_path / "a.png"), BOTH, "--save", str(save), "--home", str(home)]) == 2
        told = capsys.readouterr()
        assert told.out == "" and told.err == f"lynx-cl: --save {save}: {message}\n"


def test_an_old_version_answers_as_it_did(base: Base, tmp_path: Path) -> None:
    registry = learned_registry(tmp_path, base, "counting", "grounding")
    first, other = registry.task("counting"), registry.task("grounding")
    router = registry.read(first.manifest.files["router"])
    registry.add(first.manifest, {"bank": registry.read(other.bank), "router": router}, update=True)
    old, new = (said(base, BOTH, bank) for bank in ("counting", "grounding"))
    assert old != new
    for address, text in (("counting@1", old), ("counting@2", new), ("counting", new)):
        told = ask(registry, "nano", PICTURE, BOTH, address)
        assert (told.task, told.text) == (address, text)


def test_the_top_candidate_answers(base: Base, registry: Registry) -> None:
    told = ask(registry, "nano", PICTURE, BOTH, changes=FEW)
    decision = load_router(registry, None, base, FEW).decide([Request(BOTH)])[0]
    assert list(told.candidates) == ["counting", "grounding"]
    assert told.candidates == {name: decision.probabilities[name] for name in ("counting", "grounding")}
    assert (told.task, told.text) == ("counting", said(base, BOTH, "counting"))


def test_the_error_asked_for_says_how_many_are_kept(registry: Registry) -> None:
    assert list(ask(registry, "nano", PICTURE, BOTH, changes=MANY).candidates) == ["counting"]
    assert ask(registry, "nano", PICTURE, "Hi!", changes=MANY).candidates == {}


def test_a_mix_answers_in_one_forward(base: Base, registry: Registry, asked: list[Any]) -> None:
    told = ask(registry, "nano", PICTURE, BOTH, changes={**FEW, "several": "mix"})
    (mix,) = asked
    assert set(mix) == {"counting", "grounding"}
    assert mix["counting"] / mix["grounding"] == pytest.approx(
        told.candidates["counting"] / told.candidates["grounding"]
    )
    assert (told.task, told.text) == ("counting", said(base, BOTH, mix))
    assert told.text != said(base, BOTH, "counting")
    ask(registry, "nano", PICTURE, BOTH, changes={**MANY, "several": "mix"})
    assert asked[1:] == ["counting"]


def test_nobody_answers_where_the_user_is_to_choose(registry: Registry, asked: list[Any]) -> None:
    told = ask(registry, "nano", PICTURE, BOTH, changes={**FEW, "several": "ask"})
    assert (told.text, told.task, told.boxes) == ("", None, ()) and len(told.candidates) == 2 and asked == []
    assert ask(registry, "nano", PICTURE, BOTH, changes={**MANY, "several": "ask"}).task == "counting"


def test_the_registry_s_own_settings_hold_until_they_are_changed(base: Base, tmp_path: Path) -> None:
    own = learned_registry(tmp_path, base, "counting", "grounding", several="ask")
    assert ask(own, "nano", PICTURE, BOTH).task is None
    assert ask(own, "nano", PICTURE, BOTH, changes={"several": "top"}).task == "counting"
    assert ask(own, "nano", PICTURE, BOTH, "base").task == "base"


def test_every_clause_of_a_plan_is_routed_and_answered(base: Base, registry: Registry) -> None:
    plan = ask_plan(registry, "nano", PICTURE, BOTH, FEW)
    clauses = [("Count the dogs.", "counting"), ("Locate the largest dog.", "grounding")]
    assert [(part.text, part.task) for part in plan.parts] == clauses
    assert [part.answer for part in plan.parts] == [said(base, text, task) for text, task in clauses]
    for part in plan.parts:
        alone = ask(registry, "nano", PICTURE, part.text, changes=FEW)
        assert (alone.text, alone.task, alone.candidates) == (part.answer, part.task, part.candidates)


@pytest.mark.parametrize(("embedder", "method"), [("trunk", "lda"), ("both", "lda"), ("trunk", "mda")])
def test_a_router_that_looks_through_the_base_costs_no_second_pass(
    base: Base, tmp_path: Path, asked: list[Any], monkeypatch: pytest.MonkeyPatch, embedder: str, method: str
) -> None:
    def short(*arguments: Any) -> list[str]:
        return answer_on_the_way(*arguments, max_new_tokens=TOKENS)

    own = learned_registry(tmp_path, base, "counting", "grounding", image=PICTURE, embedder=embedder, method=method)
    monkeypatch.setattr(answering, "answer_on_the_way", short)
    router = load_router(own, None, base)
    texts = [how.format(x) for ways in ASKED.values() for how in ways for x in THINGS]
    sent = {d.task: x for x, d in zip(texts, router.decide([Request(x, PICTURE) for x in texts]), strict=True)}
    assert set(sent) >= {"counting", "grounding" if method == "lda" else "base"}
    passes: list[int] = []
    below = base.model.get_submodule(find_taps(base.model)[0].name.rpartition(".")[0])
    handle = below.register_forward_hook(lambda *_: passes.append(1))
    for text in sent.values():
        passes.clear()
        told = ask(own, "nano", PICTURE, text)
        assert len(passes) == TOKENS and asked == []
        decision = router.decide([Request(text, PICTURE)])[0]
        owner = None if decision.task == "base" else decision.task
        assert (told.task, told.text) == (decision.task, said(base, text, owner))
        assert told.candidates == {name: decision.probabilities[name] for name in decision.candidates}
    handle.remove()
    assert not any("forward" in module.__dict__ for module in base.model.modules())
    long = "Count the " + "very " * 300 + "old cats."
    sent_to = router.decide([Request(long, PICTURE)])[0].task
    assert ask(own, "nano", PICTURE, long).text == said(base, long, None if sent_to == "base" else sent_to)
    monkeypatch.setattr(answering, "handed_back", lambda decision, several: True)
    back = ask(own, "nano", PICTURE, sent["counting"])
    assert (back.task, back.text) == (None, "") and back.candidates


def test_boxes_are_read_from_the_clause_that_has_them(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    text = GRAMMARS["keyed"].write((0.25, 0.25, 0.75, 0.5))
    monkeypatch.setattr(answering, "answer", lambda base, attachment, requests, banks: ["two", text])
    plan = ask_plan(registry, "nano", picture(0, (200, 100)), BOTH)
    assert plan.parts[0].boxes == ()
    (found,) = plan.parts[1].boxes
    assert found.box == pytest.approx((50, 25, 150, 50), abs=2)


def run(home: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    assert main(["ask", str(home / "a.png"), BOTH, *arguments, "--home", str(home)]) == 0
    printed = capsys.readouterr()
    return printed.out, printed.err


def test_ask_prints_who_may_answer(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ("--route-error", "0.01", "--several")
    told = json.loads(run(home, capsys, *few, "ask", "--json")[0])
    assert list(told) == ["text", "task", "boxes", "candidates"] and told["task"] is None and told["text"] == ""
    shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in told["candidates"].items())
    assert run(home, capsys, *few, "ask")[0] == f"several banks may answer: {shares}; name one with --task\n"
    assert f"answered by: a mix of {shares}" in run(home, capsys, *few, "mix")[1]
    assert "answered by: counting" in run(home, capsys, *few, "top")[1]
    assert "answered by: grounding" in run(home, capsys, "--task", "grounding")[1]


def test_a_plan_is_printed_clause_by_clause(
    base: Base, home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    drawn = tmp_path / "out.png"
    out, err = run(home, capsys, "--plan", "--save", str(drawn))
    texts = [said(base, "Count the dogs.", "counting"), said(base, "Locate the largest dog.", "grounding")]
    assert out == f"Count the dogs.\n  {texts[0]}\nLocate the largest dog.\n  {texts[1]}\n" and drawn.exists()
    assert "answered by: counting" in err and "answered by: grounding" in err
    parts = json.loads(run(home, capsys, "--plan", "--json")[0])["parts"]
    assert [list(part) for part in parts] == [["text", "task", "answer", "boxes", "candidates"]] * 2
    assert [part["answer"] for part in parts] == texts
