"""Composed requests answered by plans and scored by policy: each clause by its own bank, number and box read apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lynx_cl.banks.attach import attach
from lynx_cl.banks.base import build_bank
from lynx_cl.base.load import Base
from lynx_cl.base.taps import find_taps
from lynx_cl.continual import compose, composition
from lynx_cl.continual.compose import answer_plan
from lynx_cl.continual.composition import composed_right, composed_scores, read_composed
from lynx_cl.continual.learned import Learned
from lynx_cl.data.composed import composed_examples
from lynx_cl.data.grammar import GRAMMARS
from lynx_cl.data.words import number_word
from lynx_cl.errors import UsageError
from lynx_cl.evaluation.generate import Request, answer
from tests.banks.test_attach import disturbed
from tests.evaluation.test_generate import picture, processor
from tests.families.tiny import tiny_base

KEYED = GRAMMARS["keyed"]
EXAMPLES = composed_examples(12)


@pytest.fixture(scope="module")
def base() -> Base:
    return replace(tiny_base(), processor=processor())


def attached(base: Base, *names: str) -> Any:
    taps = find_taps(base.model)
    attachment = attach(base.model, taps)
    for seed, name in enumerate(names):
        attachment.add(name, disturbed(build_bank("twin", taps, base.model, {}, seed), seed))
    return attachment


def by_words(requests: Sequence[Request]) -> list[str]:
    """Sends what asks for a number to counting, the rest to grounding."""
    asks = ("count", "how many", "number")
    return ["counting" if any(word in r.text.lower() for word in asks) else "grounding" for r in requests]


def test_every_clause_is_routed_and_answered_by_its_own_bank(base: Base) -> None:
    requests = [Request("w1 w2", picture(0)), Request("count the dogs, mark the lowest and tell me a joke", picture(1))]
    seen: list[Request] = []

    def decide(asked: Sequence[Request]) -> list[str]:
        seen.extend(asked)
        return ["grounding", "counting", "grounding", "base"]

    with attached(base, "grounding", "counting") as attachment:
        plans = answer_plan(base, attachment, requests, decide, max_new_tokens=4, batch_size=2)
        banks = ["grounding", "counting", "grounding", None]
        expected = [answer(base, attachment, [r], [b], max_new_tokens=4) for r, b in zip(seen, banks, strict=True)]
        with pytest.raises(ValueError, match="4 clauses, but tasks for 1"):
            answer_plan(base, attachment, requests, lambda asked: ["base"])
    assert [[part.text for part in plan] for plan in plans] == [
        ["w1 w2"],
        ["count the dogs", "mark the lowest dog", "tell me a joke"],
    ]
    assert [part.task for plan in plans for part in plan] == ["grounding", "counting", "grounding", "base"]
    assert [[part.answer] for plan in plans for part in plan] == expected
    assert [request.image for request in seen] == [requests[0].image] + [requests[1].image] * 3


def test_number_and_box_are_read_apart() -> None:
    box, other = (0.1, 0.2, 0.3, 0.4), (0.5, 0.5, 0.9, 0.9)
    read = KEYED.parse(KEYED.write(box))[0][1]
    for text in (f"three; {KEYED.write(box)}", f"{KEYED.write(box)} 3", f"3 dog: {KEYED.write_all([('a', box)])}"):
        assert read_composed(text, KEYED) == (3, read)
    assert read_composed(f"{KEYED.write(box)}; {KEYED.write(other)}", KEYED) == (None, read)
    assert read_composed("left 10 top 20 right 5 bottom 40", KEYED) == (None, None)
    assert read_composed("two", KEYED) == (2, None)
    brackets = GRAMMARS["brackets"]
    assert read_composed(f"{brackets.write(box)}, two of them", brackets) == (2, read)


def test_an_answer_needs_both_to_be_right() -> None:
    example = EXAMPLES[0]
    number, box = number_word(example.number), KEYED.write(example.box)
    wrong = number_word(example.number + 1)
    texts = [f"{number}; {box}", f"{wrong}; {box}", f"{number}; left 0 top 0 right 1 bottom 1", "", f"{box} {number}"]
    right = composed_right([example] * 5, texts, KEYED)
    assert right == [(True, True), (False, True), (True, False), (False, False), (True, True)]
    assert composed_scores(right) == {"count": 0.6, "box": 0.6, "both": 0.4}
    with pytest.raises(ValueError, match="1 answers to 0 composed requests"):
        composed_right([], [""], KEYED)


def test_policies_are_scored_by_what_their_banks_say(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each bank knows its own part of the truth, as if trained; a mix says both where it holds half of each."""
    truths = {id(image): example for image, example in ((e.image.scene.image, e) for e in EXAMPLES)}
    asked: list[Any] = []

    def oracle(base: Base, attachment: Any, requests: Sequence[Request], banks: Sequence[Any], **_: Any) -> list[str]:
        asked.extend(banks)
        texts = []
        for request, owner in zip(requests, banks, strict=True):
            example = truths[id(request.image)]
            weights: Mapping[str, float] = {owner: 1.0} if isinstance(owner, str) else owner
            number = number_word(example.number) if weights.get("counting", 0) >= 0.5 else ""
            texts.append(f"{number} {KEYED.write(example.box) if weights.get('grounding', 0) >= 0.5 else ''}")
        return texts

    monkeypatch.setattr(compose, "answer", oracle)
    monkeypatch.setattr(composition, "answer", oracle)

    def weigh(requests: Sequence[Request]) -> list[dict[str, float]]:
        return [{"counting": 0.7, "grounding": 0.2, "base": 0.05, "gone": 0.05} for _ in requests]

    with attached(base, "grounding", "counting") as attachment:
        facts = composition.composition(base, attachment, EXAMPLES, by_words, weigh=weigh)
        plain = composition.composition(base, attachment, EXAMPLES, lambda asked: ["grounding"] * len(asked))
    assert facts["policies"] == {
        "grounding": {"count": 0.0, "box": 1.0, "both": 0.0},
        "counting": {"count": 1.0, "box": 0.0, "both": 0.0},
        "mix": {"count": 1.0, "box": 1.0, "both": 1.0},
        "mix_weighted": {"count": 1.0, "box": 0.0, "both": 0.0},
        "plan": {"count": 1.0, "box": 1.0, "both": 1.0},
    }
    assert {"counting": 0.7, "grounding": 0.2} in asked
    assert facts["split"] == facts["routed"] == 1.0 and facts["examples"] == 12
    assert set(facts["words"]["plan"]) == {e.word for e in EXAMPLES}
    assert facts["words"]["grounding"]["smallest"] == {"count": 0.0, "box": 1.0, "both": 0.0}
    assert plain["split"] == 1.0 and plain["routed"] == 0.0 and "mix_weighted" not in plain["policies"]
    assert plain["policies"]["plan"] == {"count": 0.0, "box": 1.0, "both": 0.0}


def test_the_banks_are_those_of_the_registry_s_head(
    base: Base, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    head = SimpleNamespace(base=SimpleNamespace(name="tiny", fingerprint=base.fingerprint))
    registry: Any = SimpleNamespace(exists=lambda: True, head=lambda: head, path=tmp_path / "registry")
    with attached(base, "grounding", "counting") as attachment:
        expected = composition.composition(base, attachment, EXAMPLES[:2], by_words)
        banks = dict(attachment.banks)
    monkeypatch.setattr(composition, "load_base", lambda name: {"tiny": base}[name])
    monkeypatch.setattr(composition, "learned", lambda given, on: {id(registry): Learned({}, banks)}[id(given)])
    assert composition.run_composition(registry, EXAMPLES[:2], by_words, batch_size=1) == expected


def test_the_tasks_of_the_two_kinds_may_have_other_names(base: Base) -> None:
    names = {"grounding": "cells", "counting": "tally"}

    def decide(requests: Sequence[Request]) -> list[str]:
        return [names[task] for task in by_words(requests)]

    with attached(base, "grounding", "counting") as attachment:
        expected = composition.composition(base, attachment, EXAMPLES[:2], by_words)
    with attached(base, "cells", "tally") as attachment:
        facts = composition.composition(base, attachment, EXAMPLES[:2], decide, tasks=names)
        astray = composition.composition(base, attachment, EXAMPLES[:2], by_words, tasks=names)
    assert list(facts["policies"]) == ["cells", "tally", "mix", "plan"] and facts["single"] in names.values()
    assert facts["policies"]["mix"] == expected["policies"]["mix"]
    assert facts["routed"] == 1.0 and astray["routed"] == 0.0


def test_a_registry_without_the_banks_is_refused(base: Base) -> None:
    with attached(base, "grounding") as attachment, pytest.raises(UsageError, match="'counting' is not attached"):
        composition.composition(base, attachment, EXAMPLES[:2], by_words)
