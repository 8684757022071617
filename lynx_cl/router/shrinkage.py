"""How much the classifier is shrunk: chosen by leaving out each kept request in turn, in closed form.

Leaving one request out changes the sums of its task by a term of rank one, so its scores without it follow from the
solution with it (Sherman & Morrison 1950). Every other request keeps its weight, one over the number of its task.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lynx_cl.router.calibration import log_loss, temperature
from lynx_cl.router.classifier import Matrix, Sums, places
from lynx_cl.router.statistics import TaskStatistics

_DISCRIMINANT = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9)
GRID = {
    "lda": _DISCRIMINANT,
    "mda": _DISCRIMINANT,
    "ridge": (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
}
SCORES = 1_000_000  # at most so many, of left-out requests times tasks, are worked out for one value
ROWS = 2048  # at most so many requests are left out, as many of each task as of any other
WITHIN = 1e-3  # of log-likelihood
STEPS = 18  # of the search for each value's temperature: to 0.2 %
USUAL = {"lda": 0.1, "mda": 0.1, "ridge": 0.03}  # where no task has two requests


def choose(sums: Sums, method: str) -> float:
    """The shrinkage of the grid whose left-out requests are likeliest, every task weighing the same.

    Likelihood is that of the softmax of the scores at its own best temperature. Of values that are equally good to
    WITHIN, the middle one: tasks that are easy to tell apart leave a wide choice, whose ends do worse on new phrasings.
    """
    rows, owners = kept_rows(sums.tasks, min(ROWS, SCORES // len(sums.tasks)))
    if not len(rows) or len(sums.tasks) < 2:
        return USUAL[method]
    scores = {value: WITHOUT[method](sums, rows, owners, value) for value in GRID[method]}
    losses = {
        value: log_loss(table / temperature(table, owners, steps=STEPS), owners) for value, table in scores.items()
    }
    good = [value for value in GRID[method] if losses[value] <= min(losses.values()) + WITHIN]
    return good[len(good) // 2]


def evenly(total: int, most: int) -> NDArray[np.int64]:
    """At most `most` places of `total`, spread evenly, the first and the last among them.

    >>> evenly(10, 4).tolist(), evenly(3, 4).tolist()
    ([0, 3, 6, 9], [0, 1, 2])
    """
    return np.unique(np.linspace(0, total - 1, min(most, total)).astype(np.int64))


def kept_rows(tasks: Sequence[TaskStatistics], most: int) -> tuple[Matrix, NDArray[np.int64]]:
    """At most `most` kept requests of tasks that have more than one, (rows, dimension), and each one's task by number.

    As many of each task as of any other, or one of every so many tasks.
    """
    several = [number for number, task in enumerate(tasks) if task.count > 1]
    if not several:
        return np.zeros((0, 0)), np.zeros(0, np.int64)
    chosen = [several[place] for place in evenly(len(several), most)]
    each = max(1, most // len(chosen))
    rows = [tasks[number].exemplars[evenly(len(tasks[number].exemplars), each)] for number in chosen]
    return np.concatenate(rows).astype(np.float64), np.repeat(chosen, [len(own) for own in rows])


def without(away_away: Matrix, shrinkage: float, sums: Sums, counts: Matrix) -> Matrix:
    """What the inverse of `sums.shrunk(shrinkage)` grows by when one request leaves it, per request.

    Without a request that lies d off its task's mean, of `counts` requests, the inverse is A + f (A d)(A d)', A being
    that with it; `away_away` is d'A d. The scale of the shrinkage target stays that of all requests. Returns f.
    """
    gain = (1 - shrinkage) / (len(sums.tasks) * (counts - 1))
    return gain / np.maximum(1 - gain * away_away, 1e-12)


def lda_without(sums: Sums, rows: Matrix, owners: NDArray[np.int64], shrinkage: float) -> Matrix:
    """Scores (rows, tasks) of `classifier.lda`, each row's from the sums without it; see `without`."""
    return _discriminants_without(sums, rows, owners, shrinkage, sums.means, owners)


def mda_without(sums: Sums, rows: Matrix, owners: NDArray[np.int64], shrinkage: float) -> Matrix:
    """Scores (rows, tasks) of `classifier.mda`, each row's from the sums without it; prototypes stay where they are."""
    centres, first = places(sums)
    scores = _discriminants_without(sums, rows, owners, shrinkage, centres, first[owners])
    return np.asarray(np.maximum.reduceat(scores, first, axis=1))


def _discriminants_without(
    sums: Sums,
    rows: Matrix,
    owners: NDArray[np.int64],
    shrinkage: float,
    centres: Matrix,
    own_means: NDArray[np.int64],
) -> Matrix:
    """Discriminants (rows, centres), each row's from the sums without it; `own_means` numbers its task's mean."""
    counts = np.array([task.count for task in sums.tasks], np.float64)[owners]
    inverse = np.linalg.inv(sums.shrunk(shrinkage))
    away = rows - centres[own_means]  # d: row minus its task's mean, row included
    solved = inverse @ centres.T  # (dimension, centres)
    to_row, to_away = rows @ solved, away @ solved
    squares = np.einsum("td,dt->t", centres, solved)
    white = away @ inverse
    away_away, row_away = np.einsum("nd,nd->n", white, away), np.einsum("nd,nd->n", white, rows)
    k = without(away_away, shrinkage, sums, counts)
    factor, own = k[:, None], (np.arange(len(rows)), own_means)
    scores = to_row + factor * to_away * row_away[:, None] - 0.5 * (squares + factor * to_away**2)
    # the row's own task has another mean without it: m - d / (n - 1)
    step = 1 / (counts - 1)
    mean_row = to_row[own] - step * row_away
    mean_away = to_away[own] - step * away_away
    mean_mean = squares[own_means] - 2 * step * to_away[own] + step**2 * away_away
    scores[own] = mean_row + k * mean_away * row_away - 0.5 * (mean_mean + k * mean_away**2)
    return scores


def ridge_without(sums: Sums, rows: Matrix, owners: NDArray[np.int64], shrinkage: float) -> Matrix:
    """Scores (rows, tasks) of `classifier.ridge`, each row's without it (Allen 1974, with weights)."""
    size = len(sums.tasks)
    counts = np.array([task.count for task in sums.tasks], np.float64)[owners]
    centre = sums.means.mean(0)
    covariance = sums.moment - size * np.outer(centre, centre)
    inverse = np.linalg.inv(covariance + shrinkage * np.eye(len(covariance)))
    away = rows - centre
    scores = 1 / size + away @ (inverse @ (sums.means - centre).T)
    leverage = (1 / size + np.einsum("nd,nd->n", away @ inverse, away)) / counts
    scores[np.arange(len(rows)), owners] -= leverage
    return scores / (1 - leverage)[:, None]


WITHOUT = {
    "lda": lda_without,
    "mda": mda_without,
    "ridge": ridge_without,
}
