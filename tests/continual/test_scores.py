"""What a task is tested on: its kind's scores, and room for its kind's longest answer."""

from __future__ import annotations

import pytest

from lynx_cl.continual.cell import stage_result
from lynx_cl.continual.measure import TaskMeasurement, TaskUnderTest
from lynx_cl.continual.scores import task_test, understanding_test
from lynx_cl.data.kinds import kinds
from lynx_cl.data.sources import open_source
from lynx_cl.home import shipped
from lynx_cl.tasks import load_card


@pytest.mark.parametrize("name", [name for name, kind in kinds().items() if not kind.own_words])
def test_true_answers_score_one_and_fit(name):
    from transformers import PreTrainedTokenizerFast

    card = load_card(name)
    tested = task_test(card, open_source("scenes", card, limit=80), card.box_grammar(), 60)
    true = [example.steps[-1].answer for example in tested.examples]
    assert len(true) == 60 and tested.metric == kinds()[name].metrics[0]
    assert tested.score(tested.examples, true)[tested.metric] == pytest.approx(1.0)
    assert tested.score(tested.examples, ["a"] * 60)[tested.metric] == 0.0
    tokenizer = PreTrainedTokenizerFast.from_pretrained(shipped("registry") / "bases" / "nano")
    assert max(len(tokenizer(text)["input_ids"]) for text in true) < tested.tokens


def read(test: TaskUnderTest, answers: list[str]) -> tuple[float, float, float]:
    """The score of answers as the task has it, and of both readings, as a stage keeps them."""
    scores = test.score(test.examples, answers)
    told = TaskMeasurement(test.name, test.metric, scores, scores, {}, tuple(answers))
    row = stage_result(1, test.name, [test], {test.name: told}, 1.0)
    return row.blind[test.name], row.strict[test.name], row.normalised[test.name]


def other_form(text: str, boxes: bool) -> str:
    """An answer with nothing changed but how it is written."""
    if not boxes or text == "none":
        return f"It is the {text.upper()}."
    items = [item.rpartition("left ") for item in text.split("; ")]
    numbers = [", ".join(word for word in box.split() if word.isdecimal()) for _, _, box in items]
    return " / ".join(f"{label.upper()}[{four}]" for (label, _, _), four in zip(items, numbers, strict=True))


@pytest.mark.parametrize("name", [name for name, kind in kinds().items() if not kind.own_words])
def test_drift_of_form_is_told_from_lost_knowledge(name):
    card = load_card(name)
    test = task_test(card, open_source("scenes", card, limit=80), card.box_grammar(), 40)
    true = [example.steps[-1].answer for example in test.examples]
    assert read(test, true) == pytest.approx((1.0, 1.0, 1.0))
    _, strict, normalised = read(test, [other_form(text, kinds()[name].boxes) for text in true])
    assert (strict, normalised) == pytest.approx((0.0, 1.0))
    other = [next(text for text in true if text != own) for own in true]  # other answers
    as_scored, strict, normalised = read(test, other)
    assert strict <= normalised <= 0.3 and as_scored <= 0.3


def test_the_base_s_own_questions_are_read_both_ways():
    test = understanding_test(60)
    true = [example.steps[-1].answer for example in test.examples]
    assert read(test, true) == pytest.approx((1.0, 1.0, 1.0))
    as_scored, strict, normalised = read(test, [text.upper() + "." for text in true])
    assert (as_scored, strict, normalised) == pytest.approx((1.0, 0.0, 1.0))
    pairs = zip(test.examples, true, strict=True)
    bare = [text.partition(",")[0] if example.kind == "presence" else text for example, text in pairs]
    assert read(test, bare) == pytest.approx((1.0, 1.0, 1.0))  # a yes alone is in form
