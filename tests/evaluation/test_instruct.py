"""Scores of free answers, worked out by hand, and CIDEr-D against what its reference implementation gave."""

from __future__ import annotations

from pathlib import Path

import pytest

from lynx_cl.data.example import Example, Provenance, Step
from lynx_cl.data.kinds.instruct import METRICS
from lynx_cl.evaluation.cider import cider_d
from lynx_cl.evaluation.instruct import choice, contains, relaxed_match, same_box, score
from lynx_cl.evaluation.vqa import vqa_accuracy, vqa_normalise
from lynx_cl.tasks import load_card

GRAMMAR = load_card("instruct").box_grammar()


def example(answer, *references):
    return Example(
        Path("x"), (Step("?", answer),), (), "t", "test", "x", Provenance("s", "a", "l"), references=references
    )


def test_every_metric_is_there_and_a_right_answer_is_right_by_all_that_fit():
    cases = {
        "A dog runs over the green hill.": ("accuracy", "strict_accuracy", "contains", "vqa_accuracy", "bleu4", "anls"),
        "17": ("relaxed_accuracy",),
        "B": ("choice_accuracy",),
        "[0.1, 0.2, 0.5, 0.6]": ("acc_iou50",),
    }
    for answer, metrics in cases.items():
        right = score([example(answer)], [answer], GRAMMAR)
        wrong = score([example(answer)], ["giraffe"], GRAMMAR)
        assert set(right) == set(METRICS)
        for metric in metrics:
            assert right[metric] == pytest.approx(1.0) and wrong[metric] == 0.0


def test_letter_case_and_format_are_told_apart_from_knowledge():
    scores = score([example("Dog"), example("cat")], ["the dog.", "cat"], GRAMMAR)
    assert scores["accuracy"] == 1.0 and scores["strict_accuracy"] == 0.5


def test_any_reference_is_accepted():
    scores = score([example("couch", "sofa", "couch", "settee")], ["Sofa"], GRAMMAR)
    assert scores["accuracy"] == 1.0 and scores["vqa_accuracy"] == pytest.approx((1 / 3 + 1 / 3 + 0) / 3)


def test_nothing_to_score_is_an_error():
    with pytest.raises(ValueError, match="0 answers against 0"):
        score([], [], GRAMMAR)
    with pytest.raises(ValueError, match="1 answers against 2"):
        score([example("a")] * 2, ["a"], GRAMMAR)


@pytest.mark.parametrize(
    ("said", "people", "expected"),
    [
        ("yes", ["yes"] * 10, 1.0),
        ("yes", ["yes"] * 3 + ["no"] * 7, (3 * 2 / 3 + 7 * 1.0) / 10),
        ("yes", ["yes"] + ["no"] * 9, 9 * (1 / 3) / 10),
        ("yes", ["no"] * 10, 0.0),
        ("Two", ["2"] * 4 + ["3"] * 6, 1.0),
    ],
)
def test_vqa_accuracy_leaves_one_person_out_at_a_time(said, people, expected):
    assert vqa_accuracy(said, people) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Answer: yes!", "answer: yes"),
        ("1,000", "1000"),
        ("a-b", "b"),  # the dash between letters becomes a space, and then 'a' is an article
        ("3.5 m.", "3.5 m"),
        ("None", "0"),
        ("isnt it", "isn't it"),
        ("well/fine", "well fine"),
        ("", ""),
    ],
)
def test_vqa_normalisation(text, expected):
    assert vqa_normalise(text) == expected


def test_numbers_choices_and_boxes():
    assert relaxed_match("95", "100") and not relaxed_match("94.9", "100")
    assert relaxed_match("0", "0") and not relaxed_match("0.01", "0") and relaxed_match("12%", "0.12")
    assert not contains("Dog", "dog") and not contains(" ", "dog")
    assert choice("(d)") == "D" and choice("A dog") == "A" and choice("The correct answer is: B") == "B"
    assert same_box("0 0 1 1", "[0.0, 0.0, 1.0, 0.5]") and not same_box("0 0 1 1", "[0.0, 0.0, 1.0, 0.49]")
    assert not same_box("1 2 3", "1 2 3 4")


def test_cider_d_is_that_of_pycocoevalcap():
    answers = ["a red dog runs over the hill", "two cats", "the old barn and the green hill"]
    references = [
        ["a red dog runs over the green hill", "the dog runs"],
        ["two cats near the barn", "a cat"],
        ["an old barn", "the green hill and the old barn"],
    ]
    # pycocoevalcap 1.2, CiderScorer(n=4, sigma=6.0)
    expected = [5.083221525513442, 1.432478466242281, 3.394573213234442]
    assert cider_d(answers, references) == pytest.approx(expected, abs=1e-12)
