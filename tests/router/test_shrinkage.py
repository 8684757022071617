"""Leaving one request out in closed form, against the classifier solved again without it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lynx_cl.router.classifier import sums_of
from lynx_cl.router.shrinkage import GRID, USUAL, WITHOUT, choose, kept_rows
from lynx_cl.router.statistics import TaskStatistics
from tests.router.test_classifier import data, islands, statistics

Oracle = np.ndarray


def lda_again(tasks: list[TaskStatistics], row: np.ndarray, owner: int, shrinkage: float) -> Oracle:
    """From the raw rows, all weighing one over the number of their task as it was, the row left out."""
    kept = [t.exemplars.astype(np.float64) for t in tasks]
    counts = [len(x) for x in kept]
    place = int(np.argmax((kept[owner] == row).all(1)))
    kept[owner] = np.delete(kept[owner], place, axis=0)
    means = np.stack([x.mean(0) for x in kept])
    within = sum((x - m).T @ (x - m) / n for x, m, n in zip(kept, means, counts, strict=True)) / len(kept)
    whole = [t.exemplars.astype(np.float64) for t in tasks]
    full = sum((x - x.mean(0)).T @ (x - x.mean(0)) / len(x) for x in whole) / len(whole)
    target = np.trace(full) / len(full) * np.eye(len(full))
    weights = np.linalg.solve((1 - shrinkage) * within + shrinkage * target, means.T)
    return row @ weights - 0.5 * np.einsum("td,dt->t", means, weights)


def mda_again(tasks: list[TaskStatistics], row: np.ndarray, owner: int, shrinkage: float) -> Oracle:
    """As `lda_again`, of the best of a task's mean without the row and its prototypes as they were."""
    kept = [t.exemplars.astype(np.float64) for t in tasks]
    counts = [len(x) for x in kept]
    full = sum((x - x.mean(0)).T @ (x - x.mean(0)) / len(x) for x in kept) / len(kept)
    kept[owner] = np.delete(kept[owner], int(np.argmax((kept[owner] == row).all(1))), axis=0)
    means = [x.mean(0) for x in kept]
    within = sum((x - m).T @ (x - m) / n for x, m, n in zip(kept, means, counts, strict=True)) / len(kept)
    inverse = np.linalg.inv((1 - shrinkage) * within + shrinkage * np.trace(full) / len(full) * np.eye(len(full)))
    found = []
    for mean, task in zip(means, tasks, strict=True):
        own = [mean, *task.prototypes] if len(task.prototypes) > 1 else [mean]
        found.append(max(row @ inverse @ c - 0.5 * c @ inverse @ c for c in np.array(own, np.float64)))
    return np.array(found)


def ridge_again(tasks: list[TaskStatistics], row: np.ndarray, owner: int, shrinkage: float) -> Oracle:
    """Weighted least squares with an intercept that is not shrunk."""
    x = np.concatenate([t.exemplars.astype(np.float64) for t in tasks])
    y = np.repeat(np.eye(len(tasks)), [t.count for t in tasks], axis=0)
    w = np.repeat([1 / t.count for t in tasks], [t.count for t in tasks])
    first = sum(t.count for t in tasks[:owner])
    place = first + int(np.argmax((tasks[owner].exemplars == row).all(1)))
    x, y, w = np.delete(x, place, 0), np.delete(y, place, 0), np.delete(w, place)
    wide = np.concatenate([x, np.ones((len(x), 1))], 1)
    penalty = shrinkage * np.diag([1.0] * x.shape[1] + [0.0])
    solved = np.linalg.solve(wide.T @ (wide * w[:, None]) + penalty, wide.T @ (y * w[:, None]))
    return np.append(row, 1) @ solved


@pytest.mark.parametrize("shrinkage", [0.02, 0.3])
@pytest.mark.parametrize("method", sorted(WITHOUT))
def test_left_out_scores_equal_those_solved_again(method: str, shrinkage: float) -> None:
    sums = sums_of(statistics({**data(), **islands(30, 0)}))
    tasks = list(sums.tasks)
    assert any(len(task.prototypes) > 1 for task in tasks)
    rows, owners = kept_rows(tasks, 100)
    found = WITHOUT[method](sums, rows, owners, shrinkage)
    again = {"lda": lda_again, "mda": mda_again, "ridge": ridge_again}[method]
    for i in range(0, len(rows), 7):
        np.testing.assert_allclose(found[i], again(tasks, rows[i], int(owners[i]), shrinkage), atol=1e-8)


@pytest.mark.parametrize("method", sorted(WITHOUT))
def test_the_choice_is_of_the_grid_and_free_of_order(method: str) -> None:
    tasks = statistics(data())
    chosen = choose(sums_of(tasks), method)
    assert chosen in GRID[method] and choose(sums_of(tasks[::-1]), method) == chosen


def test_noisy_tasks_are_shrunk_more_than_clear_ones() -> None:
    rng = np.random.default_rng(0)

    def made(noise: float) -> list[TaskStatistics]:
        middles = rng.normal(size=(3, 16))
        rows = {f"t{i}": m + noise * rng.normal(size=(20, 16)) for i, m in enumerate(middles)}
        return statistics(
            {k: (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32) for k, x in rows.items()}
        )

    assert choose(sums_of(made(2.5)), "lda") > choose(sums_of(made(0.3)), "lda")


def test_nothing_to_leave_out() -> None:
    one = statistics({"base": data()["base"]})
    assert choose(sums_of(one), "lda") == USUAL["lda"]
    single = [replace(task, count=1) for task in one]
    assert len(kept_rows(single, 100)[0]) == 0
