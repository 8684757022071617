"""Which task a request belongs to, in closed form from the tasks' sums; in float64, tasks always in the same order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lynx_cl.errors import LynxError
from lynx_cl.router.statistics import TaskStatistics

Matrix = NDArray[np.float64]
SUBCLASSES = 500  # tasks up to which prototypes are places of their own; `nearness.SCORED` of them are all scored
TOGETHER = 4096  # rows whose second moments are summed in one product


@dataclass(frozen=True, eq=False)
class Classifier:
    """Linear scores of `tasks` (sorted): x @ weights + bias, weights (dimension, columns), bias (columns).

    A task has one column, or as many as `first` says: the number of each task's first one. Its score is the greatest.
    """

    tasks: tuple[str, ...]
    weights: Matrix
    bias: Matrix
    shrinkage: float
    first: NDArray[np.int64] | None = None

    def scores(self, rows: NDArray[np.float32]) -> Matrix:
        """(requests, tasks) of rows (requests, dimension); a row's bits do not depend on the other rows."""
        columns = np.stack([self.bias + row.astype(np.float64) @ self.weights for row in rows])
        return columns if self._starts is None else np.maximum.reduceat(columns, self._starts, axis=1)

    def scores_of(self, row: NDArray[np.float32], chosen: Sequence[int]) -> Matrix:
        """Of one row (dimension), the scores of some tasks by number."""
        if self._starts is not None:
            return np.asarray(self.scores(row[None])[0, list(chosen)])
        numbers = list(chosen)
        return self.bias[numbers] + self._by_task[numbers] @ row.astype(np.float64)

    @property
    def _starts(self) -> NDArray[np.int64] | None:
        return self.first if self.first is not None and len(self.first) < len(self.bias) else None

    @cached_property
    def _by_task(self) -> Matrix:
        return np.ascontiguousarray(self.weights.T)


@dataclass(frozen=True, eq=False)
class Sums:
    """What the closed forms take of the tasks together: made by `sums_of`.

    `tasks` in canonical order, their `means` (tasks, dimension), `moment` (dimension, dimension) the sum of their mean
    second moments, and `within` the mean over tasks of the covariance within each.
    """

    tasks: tuple[TaskStatistics, ...]
    means: Matrix
    moment: Matrix
    within: Matrix

    @property
    def scale(self) -> float:
        """The mean variance within tasks of one dimension; more than 0."""
        return max(float(np.trace(self.within)) / len(self.within), 1e-12)

    def shrunk(self, shrinkage: float) -> Matrix:
        """(1 - shrinkage) S + shrinkage tr(S)/dimension I, S being `within` (Friedman 1989, Ledoit & Wolf 2004)."""
        return (1 - shrinkage) * self.within + shrinkage * self.scale * np.eye(len(self.within))


def ridge(sums: Sums, shrinkage: float) -> Classifier:
    """Ridge regression to one-hot targets, every task of the same weight whatever its number of requests.

    Minimises sum_t 1/n_t sum_i |W'x_i + b - e_t|^2 + shrinkage |W|^2; the bias b is not shrunk.
    """
    centre, count = sums.means.mean(0), len(sums.tasks)
    covariance = sums.moment - count * np.outer(centre, centre)
    targets = sums.means.T - centre[:, None]  # (dimension, tasks): cross-moment of centred inputs and one-hots
    weights = _solve(covariance + shrinkage * np.eye(len(centre)), targets, shrinkage)
    return Classifier(_names(sums), weights, 1 / count - centre @ weights, shrinkage)


def lda(sums: Sums, shrinkage: float) -> Classifier:
    """Linear discriminant analysis with equal priors and the common covariance `sums.shrunk(shrinkage)`."""
    weights = _solve(sums.shrunk(shrinkage), sums.means.T, shrinkage)
    return Classifier(_names(sums), weights, -0.5 * np.einsum("td,dt->t", sums.means, weights), shrinkage)


def mda(sums: Sums, shrinkage: float) -> Classifier:
    """Linear discriminant analysis by subclass, with the covariance of `lda`: a task lies at each of its `places`.

    After Hastie & Tibshirani (1996), of mixtures; here the likeliest component stands for all.
    """
    centres, first = places(sums)
    weights = _solve(sums.shrunk(shrinkage), centres.T, shrinkage)
    bias = -0.5 * np.einsum("cd,dc->c", centres, weights)
    return Classifier(_names(sums), weights, bias, shrinkage, first)


def places(sums: Sums) -> tuple[Matrix, NDArray[np.int64]]:
    """Where tasks lie, (places, dimension), and the number of each task's first place, which is its mean.

    Its prototypes follow where it has several; of more than SUBCLASSES tasks means are all.
    """
    centres: list[Matrix] = []
    first: list[int] = []
    for task, mean in zip(sums.tasks, sums.means, strict=True):
        first.append(sum(len(own) for own in centres) if len(sums.tasks) <= SUBCLASSES else len(centres))
        centres.append(mean[None])
        if 1 < len(task.prototypes) and len(sums.tasks) <= SUBCLASSES:
            centres.append(task.prototypes.astype(np.float64))
    return np.concatenate(centres), np.array(first)


METHODS = {"ridge": ridge, "lda": lda, "mda": mda}


def sums_of(tasks: Sequence[TaskStatistics]) -> Sums:
    """The sums of some tasks, whose order does not matter to the bit.

    Of tasks that keep all their requests, those are multiplied many at a time.
    """
    ordered = tuple(sorted(tasks, key=lambda task: task.task))
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
    moment = upper + np.triu(upper, 1).T
    return Sums(ordered, means, moment, (moment - means.T @ means) / len(ordered))


def _gram(rows: Sequence[Matrix]) -> Matrix:
    joined = np.concatenate(rows)
    return joined.T @ joined


def _solve(matrix: Matrix, right: Matrix, shrinkage: float) -> Matrix:
    try:
        return np.asarray(np.linalg.solve(matrix, right), np.float64)
    except np.linalg.LinAlgError:
        raise LynxError(f"router: shrinkage {shrinkage:g} is too small for so few prompts; set it above 0") from None


def _names(sums: Sums) -> tuple[str, ...]:
    return tuple(task.task for task in sums.tasks)
