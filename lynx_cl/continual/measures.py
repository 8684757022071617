"""Measures of a sequence of tasks, pure functions of R.

R has shape (stages + 1, tasks); R[i, j] is the score on task j after stage i, row 0 the base alone; NaN is not
measured, and what would need it is left out. Task j is learned at stage `learned[j]`, 0 for the base's own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def accuracy(table: Matrix) -> float:
    """ACC: the mean of the last row over tasks that were measured (Lopez-Paz & Ranzato 2017). NaN where none was.

    >>> accuracy(np.array([[0.1, 0.1], [0.9, 0.2], [0.5, 1.0]]))
    0.75
    """
    return _mean(table[-1])


def backward_transfer(table: Matrix, learned: Sequence[int]) -> float:
    """BWT: the mean over tasks learned before the last stage T of R[T, j] - R[learned[j], j].

    NaN where there is no such task (Lopez-Paz & Ranzato 2017).

    >>> round(backward_transfer(np.array([[0.1, 0.1], [0.9, 0.2], [0.7, 0.8]]), learned=[1, 2]), 6)
    -0.2
    """
    _check(table, learned)
    last = len(table) - 1
    return _mean(np.array([table[last, j] - table[i, j] for j, i in enumerate(learned) if i < last]))


def forward_transfer(table: Matrix, learned: Sequence[int]) -> float:
    """FWT: the mean over tasks of R[learned[j] - 1, j] - R[0, j], the gain that other tasks brought before its own.

    The first task, which has none before it, does not count (Lopez-Paz & Ranzato 2017). NaN where no task does.

    >>> round(forward_transfer(np.array([[0.1, 0.1], [0.9, 0.2], [0.7, 0.8]]), learned=[1, 2]), 6)
    0.1
    """
    _check(table, learned)
    return _mean(np.array([table[i - 1, j] - table[0, j] for j, i in enumerate(learned) if i > 1]))


def forgetting_by_task(table: Matrix) -> Matrix:
    """Forgetting of each task at the last stage T: max over i < T of R[i, j], minus R[T, j] (Chaudhry et al. 2018).

    Row 0 counts, so a loss of what the base could do is seen; a task that only gained is negative. NaN for a task
    without an earlier or without a last score.

    >>> forgetting_by_task(np.array([[0.9, 0.1], [0.8, 0.7], [0.85, 0.6]])).round(3).tolist()
    [0.05, 0.1]
    """
    best = np.full(table.shape[1], np.nan)
    for row in table[:-1]:
        best = np.fmax(best, row)
    return best - table[-1]


def mean_forgetting(table: Matrix, learned: Sequence[int]) -> float:
    """The mean of `forgetting_by_task` over tasks learned before the last stage; 0 where there is none yet.

    NaN where there are such tasks and none of them was measured.

    A task learned at the last stage had no time to be forgotten, and its gain over the base must not hide another's
    loss.

    >>> round(mean_forgetting(np.array([[0.9, 0.0], [0.8, 0.7]]), learned=[0, 1]), 6)
    0.1
    """
    _check(table, learned)
    old = np.array(learned, dtype=int) < len(table) - 1
    return _mean(forgetting_by_task(table)[old]) if old.any() else 0.0


def forgetting_curve(table: Matrix, learned: Sequence[int]) -> Matrix:
    """`mean_forgetting` after each stage, as if the sequence had ended there, (stages + 1,); 0 for the base alone.

    NaN after a stage that was not measured.

    >>> forgetting_curve(np.array([[0.9, 0.0], [0.8, 0.7], [0.6, 0.6]]), learned=[0, 1]).round(3).tolist()
    [0.0, 0.1, 0.2]
    """
    _check(table, learned)
    curve = np.zeros(len(table))
    for stage in range(1, len(table)):
        known = np.minimum(learned, stage).tolist()  # what is learned later is no old task yet
        measured = bool(np.isfinite(table[stage]).any())
        curve[stage] = mean_forgetting(table[: stage + 1], known) if measured else np.nan
    return curve


def seen_curve(table: Matrix, learned: Sequence[int]) -> Matrix:
    """The mean score after each stage of the tasks learned so far, the base's own among them, (stages + 1,).

    NaN where there is none, or none was measured. Its last value is ACC.

    >>> seen_curve(np.array([[0.9, 0.1], [0.8, 0.6]]), learned=[0, 1]).round(3).tolist()
    [0.9, 0.7]
    """
    _check(table, learned)
    seen = np.array(learned, dtype=int)
    return np.array([_mean(row[seen <= stage]) for stage, row in enumerate(table)])


def mean_fine_tuned(table: Matrix, learned: Sequence[int]) -> float:
    """MFT of the multimodal benchmarks: the mean of the diagonal, each task's score right after it was learned.

    The base's own task, which is learned at no stage, is no part of MFT, MFN, MAA and `benchmark_transfer`.

    >>> round(mean_fine_tuned(np.array([[0.1, 0.1], [0.9, 0.2], [0.7, 0.8]]), learned=[1, 2]), 6)
    0.85
    """
    _check(table, learned)
    return _mean(np.array([table[i, j] for j, i in enumerate(learned) if i > 0]))


def mean_final(table: Matrix, learned: Sequence[int]) -> float:
    """MFN of the multimodal benchmarks: the mean of the last row over the tasks that were learned.

    >>> mean_final(np.array([[0.5, 0.1], [0.5, 0.75]]), learned=[0, 1])
    0.75
    """
    _check(table, learned)
    return _mean(np.array([table[-1, j] for j, i in enumerate(learned) if i > 0]))


def mean_average(table: Matrix, learned: Sequence[int]) -> float:
    """MAA of the multimodal benchmarks: the mean over stages of the mean score of the tasks learned so far.

    A stage at which no score of such a task is known is left out.

    >>> round(mean_average(np.array([[0.1, 0.1], [0.9, 0.2], [0.7, 0.8]]), learned=[1, 2]), 6)
    0.825
    """
    _check(table, learned)
    seen = np.array(learned, dtype=int)
    rows = [_mean(table[i][(seen > 0) & (seen <= i)]) for i in range(1, len(table))]
    return _mean(np.array(rows))


def benchmark_transfer(table: Matrix, learned: Sequence[int]) -> float:
    """BWT of the multimodal benchmarks: as `backward_transfer`, over the tasks of the sequence alone.

    >>> round(benchmark_transfer(np.array([[0.9, 0.1, 0.1], [0.5, 0.9, 0.2], [0.4, 0.7, 0.8]]), learned=[0, 1, 2]), 6)
    -0.2
    """
    _check(table, learned)
    old = [(i, j) for j, i in enumerate(learned) if 0 < i < len(table) - 1]
    return _mean(np.array([table[-1, j] - table[i, j] for i, j in old]))


def intransigence(table: Matrix, learned: Sequence[int], reference: Matrix) -> float:
    """How much less well tasks are learned in a sequence than from all data at once (Chaudhry et al. 2018).

    The mean over tasks of reference[j] - R[learned[j], j]; `reference` (tasks,) is the last row of a joint training.
    Negative where the sequence does better.

    >>> round(intransigence(np.array([[0.1, 0.1], [0.9, 0.2], [0.7, 0.6]]), [1, 2], np.array([0.9, 0.8])), 6)
    0.1
    """
    _check(table, learned)
    if reference.shape != table.shape[1:]:
        raise ValueError(f"R of shape {table.shape}, but {len(reference)} scores to compare with")
    return _mean(np.array([reference[j] - table[i, j] for j, i in enumerate(learned) if i > 0]))


def learning_curve_area(steps: Sequence[float], scores: Sequence[float]) -> float:
    """The area under a task's score against optimiser steps, over the steps from first to last: the mean height.

    Chaudhry et al. 2019 (A-GEM) take the mean over batches; where points are as far apart as batches the two differ by
    half of both ends. NaN where fewer than two points are known.

    >>> learning_curve_area([0, 10, 20], [0.0, 0.5, 1.0])
    0.5
    """
    if len(steps) != len(scores):
        raise ValueError(f"{len(steps)} steps, but {len(scores)} scores")
    points = np.array([steps, scores], dtype=np.float64)
    x, y = points[:, np.isfinite(points).all(0)]
    if len(x) < 2 or np.any(np.diff(x) <= 0):
        return float("nan")
    return float(np.trapezoid(y, x) / (x[-1] - x[0]))


def loss_parts(blind: Matrix, aware: Matrix, learned: Sequence[int]) -> tuple[Matrix, Matrix]:
    """What became worse since task j was learned at stage l, by cause: in its bank, and on the way to it.

    The loss at stage i is aware[l, j] - blind[i, j], `blind` being R through the router and `aware` R with the task
    given. It is the sum of bank loss, aware[l, j] - aware[i, j], and routing loss, aware[i, j] - blind[i, j], both
    (stages + 1, tasks); a gain is negative. NaN before l and where a score is missing.

    >>> bank, routing = loss_parts(np.array([[0.0], [0.9], [0.7]]), np.array([[0.0], [0.9], [0.8]]), learned=[1])
    >>> bank[2].round(3).tolist(), routing[2].round(3).tolist()
    ([0.1], [0.1])
    """
    _check(blind, learned)
    if aware.shape != blind.shape:
        raise ValueError(f"R of shape {blind.shape} through the router, but {aware.shape} with the task given")
    stages, columns = np.arange(len(blind))[:, None], np.arange(blind.shape[1])
    since = np.array(learned, dtype=int)
    own = np.where(stages >= since, aware, np.nan)
    return aware[since, columns] - own, own - blind


def growth(added: Sequence[int], base: int) -> Matrix:
    """Parameters added until each stage over those of the base, (stages + 1,), from those added at each stage.

    >>> growth([10, 30], base=100).tolist()
    [0.0, 0.1, 0.4]
    """
    return np.cumsum([0, *added], dtype=np.float64) / base


def _check(table: Matrix, learned: Sequence[int]) -> None:
    if len(learned) != table.shape[1] or any(not 0 <= i < len(table) for i in learned):
        raise ValueError(f"R of shape {table.shape}, but its tasks were learned at stages {list(learned)}")


def _mean(values: Matrix) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
