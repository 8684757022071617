"""Accuracy of one box for one expression, worked by hand."""

from __future__ import annotations

import pytest

from lynx_cl.evaluation.referring import LEVELS, referring_scores

TRUE = (0.0, 0.0, 0.5, 1.0)


def test_scores_of_four_expressions_by_hand() -> None:
    """IoUs 1, 3/4, 1/2 and 0, and one answer without a box."""
    found = [TRUE, (0.0, 0.0, 0.375, 1.0), (0.0, 0.0, 0.25, 1.0), (0.5, 0.0, 1.0, 1.0), None]
    scores = referring_scores(found, [TRUE] * 5)
    assert scores["acc_iou50"] == scores["curve"]["0.50"] == 0.6
    assert [scores["curve"][f"{level:.2f}"] for level in LEVELS] == [0.6, *[0.4] * 5, *[0.2] * 4]
    assert scores["mean_iou"] == 2.25 / 5 and scores["parse_failure"] == 0.2


def test_an_expression_counts_as_often_as_it_is_said() -> None:
    scores = referring_scores([TRUE, None], [TRUE, TRUE], [3, 1])
    assert scores["acc_iou50"] == 0.75 and scores["parse_failure"] == 0.25


def test_there_must_be_something_to_score() -> None:
    with pytest.raises(ValueError, match="0 predicted boxes"):
        referring_scores([], [])
    with pytest.raises(ValueError, match="2 weights"):
        referring_scores([TRUE], [TRUE], [1, 1])
