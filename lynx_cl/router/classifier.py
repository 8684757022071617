"""Which task a request belongs to, in closed form from the tasks' sums; in float64, tasks always in the same order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lynx_cl.errors import LynxError
from lynx_cl.router.statistics import TaskStatistics

Matrix = NDArray[np.float64]
TOGETHER = 4096  # rows whose second moments are summed in one product


@dataclass(frozen=True, eq=False)
class Classifier:
    """Linear scores of `tasks` (sorted): x @ weights + bias, weights (dimension, tasks), bias (tasks)."""

    tasks: tuple[str, ...]
    weights: Matrix
    bias: Matrix
    shrinkage: float

    def scores(self, rows: NDArray[np.float32]) -> Matrix:
        """(requests, tasks) of rows (requests, dimension); a row's bits do not depend on the other rows."""
        return np.stack([self.bias + row.astype(np.float64) @ self.weights for row in rows])


def ridge(tasks: Sequence[TaskStatistics], shrinkage: float) -> Classifier:
    """Ridge regression to one-hot targets, every task of the same weight whatever its number of requests.

    Minimises sum_t 1/n_t sum_i |W'x_i + b - e_t|^2 + shrinkage |W|^2; the bias b is not shrunk.
    """
    tasks, means, moment = balanced(tasks)
    centre = means.mean(0)
    covariance = moment - len(tasks) * np.outer(centre, centre)
    targets = means.T - centre[:, None]  # (dimension, tasks): cross-moment of centred inputs and centred one-hots
    weights = _solve(covariance, shrinkage, targets)
    return Classifier(_names(tasks), weights, 1 / len(tasks) - centre @ weights, shrinkage)


def lda(tasks: Sequence[TaskStatistics], shrinkage: float) -> Classifier:
    """Linear discriminant analysis with equal priors; the common covariance is shrunk to a multiple of the identity.

    Covariance (1 - shrinkage) S + shrinkage tr(S)/dimension I (Friedman 1989, Ledoit & Wolf 2004), S the mean over
    tasks of the covariance within each.
    """
    tasks, means, moment = balanced(tasks)
    within = (moment - means.T @ means) / len(tasks)
    scale = max(float(np.trace(within)) / len(within), 1e-12)
    weights = _solve((1 - shrinkage) * within, shrinkage * scale, means.T)
    return Classifier(_names(tasks), weights, -0.5 * np.einsum("td,dt->t", means, weights), shrinkage)


METHODS = {"ridge": ridge, "lda": lda}


def balanced(tasks: Sequence[TaskStatistics]) -> tuple[list[TaskStatistics], Matrix, Matrix]:
    """The tasks in canonical order, their means (tasks, dimension), and the sum of their mean second moments.

    The last is (dimension, dimension). Of tasks that keep all their requests, those are multiplied many at a time.
    """
    ordered = sorted(tasks, key=lambda task: task.task)
    means = np.stack([task.mean for task in ordered])
    width = means.shape[1]
    places = np.triu_indices(width)
    triangle, whole = np.zeros(len(places[0])), np.zeros((width, width))
    waiting: list[Matrix] = []
    for task in ordered:
        if task.moment is not None:
            triangle += task.moment / task.count
            continue
        waiting.append(task.exemplars.astype(np.float64) / np.sqrt(task.count))
        if sum(map(len, waiting)) >= TOGETHER:
            whole += _gram(waiting)
            waiting.clear()
    if waiting:
        whole += _gram(waiting)
    upper = np.zeros_like(whole)
    upper[places] = triangle + whole[places]
    return ordered, means, upper + np.triu(upper, 1).T


def _gram(rows: Sequence[Matrix]) -> Matrix:
    joined = np.concatenate(rows)
    return joined.T @ joined


def _solve(matrix: Matrix, ridge: float, right: Matrix) -> Matrix:
    try:
        return np.asarray(np.linalg.solve(matrix + ridge * np.eye(len(matrix)), right), np.float64)
    except np.linalg.LinAlgError:
        raise LynxError(f"router: shrinkage {ridge:g} is too small for so few prompts; set it above 0") from None


def _names(tasks: Sequence[TaskStatistics]) -> tuple[str, ...]:
    return tuple(task.task for task in tasks)
