"""How much the classifier is shrunk: chosen by leaving out each kept request in turn, in closed form.

Leaving one request out changes the sums of its task by a term of rank one, so its scores without it follow from the
solution with it (Sherman & Morrison 1950). Every other request keeps its weight, one over the number of its task.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lynx_cl.router.calibration import log_loss, temperature
from lynx_cl.router.classifier import Matrix, balanced
from lynx_cl.router.statistics import TaskStatistics

GRID = {
    "lda": (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9),
    "ridge": (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
}
ROWS = 2048  # at most so many kept requests are left out, as many of each task as of any other
WITHIN = 1e-3  # of log-likelihood
USUAL = {"lda": 0.1, "ridge": 0.03}  # where no task has two requests


def choose(tasks: Sequence[TaskStatistics], method: str) -> float:
    """The shrinkage of the grid whose left-out requests are likeliest, every task weighing the same.

    Likelihood is that of the softmax of the scores at its own best temperature. Of values that are equally good to
    WITHIN, the middle one: tasks that are easy to tell apart leave a wide choice, whose ends do worse on new phrasings.
    """
    rows, owners = kept_rows(tasks)
    if not len(rows) or len(tasks) < 2:
        return USUAL[method]
    scores = {value: WITHOUT[method](tasks, rows, owners, value) for value in GRID[method]}
    losses = {value: log_loss(table / temperature(table, owners), owners) for value, table in scores.items()}
    good = [value for value in GRID[method] if losses[value] <= min(losses.values()) + WITHIN]
    return good[len(good) // 2]


def kept_rows(tasks: Sequence[TaskStatistics]) -> tuple[Matrix, NDArray[np.int64]]:
    """Kept requests of tasks that have more than one, (rows, dimension), and each one's task by number in the order of
    names."""
    ordered = sorted(tasks, key=lambda task: task.task)
    each = max(1, ROWS // max(1, len(ordered)))
    rows, owners = [], []
    for number, task in enumerate(ordered):
        if task.count > 1:
            places = np.unique(np.linspace(0, len(task.exemplars) - 1, min(each, len(task.exemplars))).astype(int))
            rows.append(task.exemplars[places].astype(np.float64))
            owners.append(np.full(len(places), number))
    if not rows:
        return np.zeros((0, 0)), np.zeros(0, np.int64)
    return np.concatenate(rows), np.concatenate(owners)


def lda_without(tasks: Sequence[TaskStatistics], rows: Matrix, owners: NDArray[np.int64], shrinkage: float) -> Matrix:
    """Scores (rows, tasks) of `classifier.lda`, each row's from the sums without it; the scale of the shrinkage target
    stays that of all rows."""
    ordered, means, moment = balanced(tasks)
    counts = np.array([task.count for task in ordered], np.float64)[owners]
    within = (moment - means.T @ means) / len(ordered)
    scale = max(float(np.trace(within)) / len(within), 1e-12)
    inverse = np.linalg.inv((1 - shrinkage) * within + shrinkage * scale * np.eye(len(within)))
    away = rows - means[owners]  # d: row minus its task's mean, row included
    to_mean, to_row, to_away = means @ inverse @ means.T, rows @ inverse @ means.T, away @ inverse @ means.T
    own = np.arange(len(rows)), owners
    away_away = np.einsum("nd,nd->n", away @ inverse, away)
    row_away = np.einsum("nd,nd->n", rows @ inverse, away)
    gain = (1 - shrinkage) / (len(ordered) * (counts - 1))
    factor = (gain / (1 - gain * away_away))[:, None]
    scores = to_row + factor * to_away * row_away[:, None] - 0.5 * (np.diag(to_mean) + factor * to_away**2)
    # the row's own task has another mean without it: m - d / (n - 1)
    step = 1 / (counts - 1)
    mean_row = to_row[own] - step * row_away
    mean_away = to_away[own] - step * away_away
    mean_mean = np.diag(to_mean)[owners] - 2 * step * to_away[own] + step**2 * away_away
    k = factor[:, 0]
    scores[own] = mean_row + k * mean_away * row_away - 0.5 * (mean_mean + k * mean_away**2)
    return scores


def ridge_without(tasks: Sequence[TaskStatistics], rows: Matrix, owners: NDArray[np.int64], shrinkage: float) -> Matrix:
    """Scores (rows, tasks) of `classifier.ridge`, each row's without it (Allen 1974, with weights)."""
    ordered, means, moment = balanced(tasks)
    size = len(ordered)
    counts = np.array([task.count for task in ordered], np.float64)[owners]
    centre = means.mean(0)
    inverse = np.linalg.inv(moment - size * np.outer(centre, centre) + shrinkage * np.eye(len(moment)))
    away = rows - centre
    fitted = 1 / size + away @ inverse @ (means - centre).T
    leverage = ((1 / size + np.einsum("nd,nd->n", away @ inverse, away)) / counts)[:, None]
    return (fitted - leverage * np.eye(size)[owners]) / (1 - leverage)


WITHOUT = {"lda": lda_without, "ridge": ridge_without}
