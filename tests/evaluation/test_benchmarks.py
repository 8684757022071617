"""Scores of sets of questions, by hand and against torchmetrics."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.classification import binary_f1_score, binary_precision, binary_recall

from lynx_cl.data.asked_sets import GqaFacts, Question
from lynx_cl.evaluation.benchmarks import (
    RULES,
    Reading,
    binary_scores,
    by_facet,
    pope_says,
    set_scores,
)
from lynx_cl.evaluation.gqa import consistency, gqa_scores


def asked(answer, *references, **more):
    return Question("a.png", "a.png", (("What?", answer),), tuple(references), **more)


def read(rule, question, answer):
    made = RULES[rule](question, answer)
    return made.published, made.strict, made.normalised


def test_readings_side_by_side():
    people = asked("2", *["2"] * 8, "two", "3")
    assert read("vqav2", people, "2") == (1.0, 1.0, 1.0)
    assert read("vqav2", people, "Two.") == (1.0, 0.0, 1.0)
    assert read("vqav2", people, "The answer is: two") == (0.0, 0.0, 1.0)
    assert read("vqav2", people, "3") == pytest.approx((0.3, 0.3, 0.3))
    assert read("vqav2", asked("yes", *["yes"] * 10), "Yes") == (0.0, 0.0, 1.0)  # where all agree the script is strict
    assert read("textvqa", asked("stop", *["stop"] * 9, "Stop!"), "STOP?") == (1.0, 0.0, 1.0)
    assert read("gqa", asked("on the left"), "On the left.") == (1.0, 0.0, 1.0)
    assert read("gqa", asked("left"), "It is the left") == (0.0, 0.0, 1.0)
    assert read("pope", asked("yes"), "Yes, there is.") == (1.0, 0.0, 1.0)
    assert read("scienceqa", asked("B", options=("dog", "cat")), "B. cat") == (1.0, 0.0, 1.0)
    assert RULES["scienceqa"](asked("B", options=("dog", "cat")), "dunno").unread
    assert RULES["pope"](asked("yes"), "maybe").unread and not RULES["pope"](asked("yes"), "No.").unread


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("yes", "yes"),
        ("No", "no"),
        ("no, there is none", "no"),
        ("There is not a dog in the image.", "no"),
        ("I see a dog. There is no cat.", "yes"),  # the first sentence alone
        ("NO", "yes"),  # not among its words
        ("nothing", "yes"),
        ("None", "yes"),
        ("", "yes"),  # whatever does not deny affirms
    ],
)
def test_what_pope_takes_an_answer_for(answer, says):
    assert pope_says(answer) == says


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_binary_scores_are_those_of_torchmetrics(pairs):
    said, true = (torch.tensor(one).int() for one in zip(*pairs, strict=True))
    words = [["no", "yes"][value] for value in said.tolist()], [["no", "yes"][value] for value in true.tolist()]
    scores = binary_scores(*words)
    assert scores["precision"] == pytest.approx(binary_precision(said, true).item())
    assert scores["recall"] == pytest.approx(binary_recall(said, true).item())
    assert scores["f1"] == pytest.approx(binary_f1_score(said, true).item())
    assert scores["yes_ratio"] == pytest.approx(said.float().mean().item())


def test_consistency_is_over_what_follows_from_right_answers():
    questions = [
        asked("yes", number="1", gqa=GqaFacts(("2", "3"))),
        asked("no", number="2", gqa=GqaFacts(("1",))),
        asked("red", number="3", gqa=GqaFacts(("1", "2"))),  # answered wrong: does not count
        asked("left", number="4"),  # nothing follows
        asked("blue", number="5", gqa=GqaFacts(("9",))),  # what follows was not asked
    ]
    told = consistency(questions, [True, True, False, True, True])
    assert told == {"consistency": pytest.approx((1 / 2 + 1) / 2), "consistency_over": 2}
    assert consistency(questions, [False] * 5) == {}


def test_only_counted_questions_enter_means_and_all_enter_consistency():
    questions = [
        asked("yes", number="1", gqa=GqaFacts(("2",)), facets={"structural": "verify"}),
        asked("no", number="2", gqa=GqaFacts(balanced=False), facets={"structural": "verify"}),
        asked("red", number="3", facets={"structural": "query"}),
    ]
    answers = ["yes", "yes", "Red."]
    readings = [RULES["gqa"](q, text) for q, text in zip(questions, answers, strict=True)]
    scores = set_scores("gqa", questions, answers, readings)
    assert (scores["accuracy"], scores["strict"], scores["normalised"]) == (1.0, 0.5, 1.0)
    assert (scores["consistency"], scores["consistency_over"]) == (0.0, 1)
    values = [one.published for one in readings]
    assert by_facet(questions, values) == {"structural": {"query": (1, 1.0), "verify": (1, 1.0)}}
    with pytest.raises(ValueError, match="0 questions that count"):
        set_scores("gqa", questions[1:2], answers[1:2], readings[1:2])


def test_how_sensible_and_how_distributed_answers_of_gqa_are():
    def of(answer, group, *valid):
        return asked(answer, gqa=GqaFacts(group=group, valid=frozenset(valid), plausible=frozenset(valid[:1])))

    questions = [
        of("red", "colour", "red", "blue"),
        of("red", "colour", "red", "blue"),
        of("blue", "colour", "blue", "red"),
        of("left", "side", "left", "right"),
    ]
    scores = gqa_scores(questions, ["blue", "red", "left", "left"])
    assert (scores["validity"], scores["plausibility"]) == (0.75, 0.5)
    # colour: red is said 1 of 2 times, blue 1 of 1: (1 - 2)^2 / 2 + 0 = 0.5, of three questions; side: 0, of one
    assert scores["distribution"] == pytest.approx((0.5 * 3 + 0 * 1) / 4 / 100)
    bare = gqa_scores([asked("red")], ["red"])
    assert bare == {}


def test_scores_of_pope_by_hand():
    labels, answers = ["yes", "yes", "no", "no", "no"], ["Yes", "no", "Yes.", "no", "There is not."]
    questions = [asked(label, number=str(i)) for i, label in enumerate(labels)]
    readings = [RULES["pope"](q, text) for q, text in zip(questions, answers, strict=True)]
    scores = set_scores("pope", questions, answers, readings)
    assert {name: scores[name] for name in ("accuracy", "precision", "recall", "f1", "yes_ratio")} == {
        "accuracy": 0.6,
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
        "yes_ratio": 0.4,
    }
    assert scores["unread"] == pytest.approx(0.2)  # 'There is not.' has no yes or no to begin with
    assert Reading(1.0, 0.0, 1.0) in readings
