"""Bootstrapped intervals: as wide as theory says, paired where stages share examples, honest about what is missing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lynx_cl.continual.bootstrap import Run, interval
from lynx_cl.continual.measures import Matrix, accuracy, mean_forgetting

NAN = float("nan")


def run(*columns: Matrix, tasks: str = "abc") -> Run:
    return Run(np.array([column.mean(1) for column in columns]).T, columns, tuple(tasks[: len(columns)]))


def coins(rows: int, count: int, seed: int, share: float = 0.5) -> Matrix:
    return (np.random.default_rng(seed).random((rows, count)) < share).astype(float)


def test_the_width_is_that_of_a_mean() -> None:
    scores = coins(2, 400, 0)
    low, high = interval([run(scores)], [accuracy], draws=2000)
    error = scores[-1].std() / math.sqrt(400)
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.1)
    assert low < scores[-1].mean() < high


def test_stages_share_their_examples() -> None:
    """The same answers before and after: nothing is forgotten, and that is certain."""
    row = coins(1, 50, 1)
    columns = np.concatenate([np.zeros_like(row), row, row])
    forgetting = [lambda table: mean_forgetting(table, [1])]
    assert interval([run(columns)], forgetting) == pytest.approx((0.0, 0.0))
    lost = np.concatenate([np.zeros_like(row), row, row * (np.arange(50) % 2)])
    low, high = interval([run(lost)], forgetting)
    assert 0 < low < high


def test_runs_that_differ_widen_it() -> None:
    same = [run(np.full((2, 9), 0.5))] * 4
    apart = [run(np.full((2, 9), value)) for value in (0.1, 0.4, 0.6, 0.9)]
    assert interval(same, [accuracy] * 4) == pytest.approx((0.5, 0.5))
    low, high = interval(apart, [accuracy] * 4)
    assert low < 0.35 and high > 0.65


def test_a_task_s_examples_are_drawn_alike_wherever_it_stands() -> None:
    """Three runs that differ in the order of their tasks alone are known no better than one of them."""
    a, b, c = (coins(2, 40, seed) for seed in (3, 4, 5))
    one = run(a, b, c)
    alike = [one, run(b, c, a, tasks="bca"), run(c, a, b, tasks="cab")]
    assert interval(alike, [accuracy] * 3) == pytest.approx(interval([one], [accuracy]))


def test_a_failed_run_is_left_out() -> None:
    good, failed = run(np.full((2, 5), 0.5)), run(np.full((2, 5), NAN))
    assert interval([good, failed], [accuracy] * 2) == pytest.approx((0.5, 0.5))
    assert all(math.isnan(end) for end in interval([failed], [accuracy]))
    assert all(math.isnan(end) for end in interval([], []))


def test_a_score_that_is_no_plain_mean_stays_the_centre() -> None:
    """The base's score is a mean over kinds of question; a draw moves it, and does not replace it."""
    made = Run(np.array([[0.7], [0.7]]), (np.tile([0.0, 1.0] * 20, (2, 1)),), ("a",))
    low, high = interval([made], [accuracy])
    assert low + high == pytest.approx(1.4, abs=0.1)


def test_the_seed_decides() -> None:
    made = [run(coins(2, 30, 2))]
    assert interval(made, [accuracy]) == interval(made, [accuracy]) != interval(made, [accuracy], seed=1)


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="1 runs, but 2 measures"):
        interval([run(coins(2, 3, 0))], [accuracy] * 2)
    with pytest.raises(ValueError, match="R of shape"):
        interval([Run(np.zeros((3, 1)), (np.zeros((2, 4)),), ("a",))], [accuracy])
    with pytest.raises(ValueError, match="but tasks a, b"):
        interval([Run(np.zeros((2, 1)), (np.zeros((2, 4)),), ("a", "b"))], [accuracy])
