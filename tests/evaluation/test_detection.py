"""F1 and mAP of lists with boxes, against hand-computed numbers and an optimal assignment."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from lynx_cl.data.grammar import get_grammar
from lynx_cl.evaluation.detection import detection_scores, f1, items, matches, mean_average_precision

A, B, C = (0.0, 0.0, 0.4, 0.4), (0.5, 0.5, 1.0, 1.0), (0.0, 0.5, 0.3, 1.0)


def test_answers_are_read():
    grammar = get_grammar("keyed")
    assert items(grammar, "None.") == []
    assert items(grammar, "three dogs") is None
    (one, two) = items(grammar, "dog: left 0 top 0 right 39 bottom 39; left 1 top 2 right 3 bottom 4")
    assert one[0] == "dog" and two[0] == "" and one[1][2] == pytest.approx(0.395)


def test_a_thing_is_found_once_and_only_by_its_own_label():
    assert matches([("dog", A), ("dog", A)], [("dog", A)]) == 1
    assert matches([("cat", A)], [("dog", A)]) == 0
    assert matches([("dog", A), ("dog", B)], [("dog", B), ("dog", A)]) == 2
    assert f1([[("dog", A), ("dog", B)], []], [[("dog", A)], [("cat", C)]]) == pytest.approx(2 * 1 / (2 + 2))
    assert f1([[]], [[]]) == 1.0


def iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0, width) * max(0, height)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def test_matches_are_those_of_an_optimal_assignment():
    rng = random.Random(0)

    def thing():
        x, y = rng.random() * 0.7, rng.random() * 0.7
        return rng.choice(("dog", "cat")), (x, y, x + 0.2 + rng.random() * 0.1, y + 0.2)

    for _ in range(200):
        true = [thing() for _ in range(rng.randint(0, 5))]
        near = [(name, tuple(v + rng.uniform(-0.05, 0.05) for v in box)) for name, box in true]
        found = [*rng.sample(near, rng.randint(0, len(near))), *(thing() for _ in range(rng.randint(0, 2)))]
        fits = np.array([[a[0] == b[0] and iou(a[1], b[1]) >= 0.5 for b in true] for a in found]).reshape(
            len(found), len(true)
        )
        rows, columns = linear_sum_assignment(-fits.astype(float))
        assert matches(found, true) == fits[rows, columns].sum()


def test_average_precision_of_one_label_by_hand():
    """One hit of two things with one false alarm behind it: precision 1 up to recall 0.5, then 0 (101 points)."""
    true = [[("dog", A)], [("dog", B)]]
    assert mean_average_precision([[("dog", A)], []], true) == pytest.approx(51 / 101)
    assert mean_average_precision(true, true) == pytest.approx(1.0)
    assert mean_average_precision([[], []], true) == 0.0
    assert mean_average_precision([[("cat", A)]], [[]]) == 0.0


def test_labels_weigh_the_same():
    true = [[("dog", A), ("cat", B)], [("dog", B)]]
    found = [[("dog", A)], [("dog", B)]]
    assert mean_average_precision(found, true) == pytest.approx(0.5)


def test_answers_that_do_not_parse_are_counted():
    scores = detection_scores([None, [("dog", A)]], [[("dog", A)], [("dog", A)]])
    assert scores["parse_failure"] == 0.5 and scores["f1"] == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="1 answers against 0"):
        detection_scores([None], [])
