"""Who answers where the router keeps several banks, and what that does to scores: no bank is asked without need."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from lynx_cl.banks.attach import attach
from lynx_cl.banks.base import build_bank
from lynx_cl.base.load import Base
from lynx_cl.base.taps import find_taps
from lynx_cl.continual import measure as measuring
from lynx_cl.continual.measure import TaskUnderTest, measure, routing
from lynx_cl.continual.policy import handed_back, owner
from lynx_cl.data.example import Example, Provenance, Step
from lynx_cl.evaluation.generate import Request, answer
from lynx_cl.router.router import Decision
from tests.banks.test_attach import disturbed
from tests.evaluation.test_generate import picture, processor
from tests.families.tiny import tiny_base


def kept(**probabilities: float) -> Decision:
    """A decision that keeps every bank, the likeliest first."""
    names = sorted(probabilities, key=lambda name: -probabilities[name])
    return Decision(names[0], False, probabilities, (), tuple(names))


ONE = Decision("a", False, {"a": 0.75, "b": 0.25}, (), ("a",))
TWO = kept(a=0.75, b=0.25)
FAR = Decision("base", True, {"a": 0.75, "b": 0.25}, ())


@pytest.mark.parametrize(
    ("decision", "top", "mix"),
    [
        (ONE, "a", "a"),
        (TWO, "a", {"a": 0.75, "b": 0.25}),
        (FAR, None, None),
        (kept(a=0.5, base=0.375, b=0.125), "a", {"a": 0.5, "b": 0.125}),
        (kept(base=0.5, a=0.25, gone=0.25), None, {"a": 0.25}),
        (kept(gone=0.5, base=0.5), None, None),
        (kept(a=1.0, b=0.0), "a", "a"),
    ],
)
def test_who_answers(decision: Decision, top: Any, mix: Any) -> None:
    banks = {"a", "b"}
    assert owner(decision, "top", banks) == owner(decision, "ask", banks) == top
    assert owner(decision, "mix", banks) == mix
    assert not handed_back(decision, "top") and not handed_back(decision, "mix")
    assert handed_back(decision, "ask") == (len(decision.candidates) > 1)


@dataclass(frozen=True)
class Told:
    """A router that decides as it is told."""

    decisions: Sequence[Decision]

    def decide(self, requests: Sequence[Request]) -> Sequence[Decision]:
        assert len(requests) == len(self.decisions)
        return self.decisions


@pytest.fixture(scope="module")
def base() -> Base:
    return replace(tiny_base(), processor=processor())


DECISIONS = (ONE, TWO, FAR, kept(b=0.625, a=0.375), kept(a=1.0, b=0.0))
PROMPTS = ("w1 w2", "w3", "w4 w5", "w6 w7", "w8")


def scored(examples: Sequence[Any], answers: Sequence[str]) -> dict[str, float]:
    """Numbers that differ where any answer does."""
    return {"letters": float(zlib.crc32("\n".join(answers).encode()))}


def test_scores_are_those_of_the_policy(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = [example(i, prompt) for i, prompt in enumerate(PROMPTS)]
    requests = [Request(one.prompt, one.open()) for one in examples]
    test = TaskUnderTest("a", examples, scored, "letters")
    router: Any = Told(DECISIONS)
    taps = find_taps(base.model)
    calls: list[list[Any]] = []

    def counted(base: Base, attachment: Any, requests: Any, banks: Sequence[Any], **how: Any) -> list[str]:
        calls.append(list(banks))
        return answer(base, attachment, requests, banks, **{**how, "max_new_tokens": 4})

    monkeypatch.setattr(measuring, "answer", counted)
    with attach(base.model, taps) as attachment:
        for seed, name in enumerate("ab"):
            attachment.add(name, disturbed(build_bank("twin", taps, base.model, {}, seed), seed))
        mix, other = {"a": 0.75, "b": 0.25}, {"b": 0.625, "a": 0.375}
        owners: dict[str, list[Any]] = {"top": ["a", "a", None, "b", "a"], "mix": ["a", mix, None, other, "a"]}
        said = {way: answer(base, attachment, requests, banks, max_new_tokens=4) for way, banks in owners.items()}
        told = {
            way: measure(base, attachment, router, [test], several=way)["a"]  # type: ignore[arg-type]
            for way in ("top", "mix", "ask")
        }
        plain = measure(base, attachment, router, [test])["a"]
    assert said["top"] != said["mix"]
    assert plain == told["top"] and told["top"].answers == tuple(said["top"]) == told["ask"].answers
    assert told["mix"].answers == tuple(said["mix"]) and told["mix"].blind == scored(examples, said["mix"])
    assert told["mix"].aware == told["top"].aware != told["mix"].blind
    own = ["a"] * 5
    assert calls == [own, [None, "b"], own, [mix, None, other], own, [None, "b"], own, [None, "b"]]
    assert all(one.routed == {"a": 3, "b": 1, "base": 1} for one in told.values())
    assert routing({"a": told["ask"]}) == {"accuracy": 0.6, "confusion": {"a": told["ask"].routed}, "asked": 0.6}
    assert set(routing({"a": told["mix"]})) == {"accuracy", "confusion"}


def example(seed: int, prompt: str) -> Example:
    told = Provenance("drawn", "nobody", "none")
    return Example(lambda: picture(seed), (Step(prompt, ""),), (), "a", "test", str(seed), told)
