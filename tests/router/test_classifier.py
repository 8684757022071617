"""The closed forms, against the same problems solved from the raw data."""

from __future__ import annotations

import numpy as np
import pytest

from lynx_cl.errors import LynxError
from lynx_cl.router import classifier
from lynx_cl.router.classifier import METHODS, lda, mda, ridge, sums_of
from lynx_cl.router.statistics import TaskStatistics, summed
from tests.router.embedding import WordEmbedder

SHRINKAGE = 0.03
SIZES = {"base": 40, "cells": 9, "grounding": 25}


def data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    rows = {name: rng.normal(size=(n, 16)) + rng.normal(size=16) for name, n in SIZES.items()}
    return {name: (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32) for name, x in rows.items()}


def statistics(rows: dict[str, np.ndarray]) -> list[TaskStatistics]:
    return [summed(name, [f"{name} {i}" for i in range(len(x))], x, WordEmbedder()) for name, x in rows.items()]


def test_ridge_equals_weighted_least_squares_on_the_raw_rows() -> None:
    rows = data()
    solved = ridge(sums_of(statistics(rows)), SHRINKAGE)
    x = np.concatenate([rows[name] for name in solved.tasks]).astype(np.float64)
    y = np.repeat(np.eye(3), [SIZES[name] for name in solved.tasks], axis=0)
    root = np.sqrt(np.repeat([1 / SIZES[name] for name in solved.tasks], [SIZES[name] for name in solved.tasks]))[
        :, None
    ]
    left = np.concatenate([np.concatenate([x, np.ones((len(x), 1))], 1) * root, np.sqrt(SHRINKAGE) * np.eye(16, 17)])
    oracle = np.linalg.lstsq(left, np.concatenate([y * root, np.zeros((16, 3))]), rcond=None)[0]
    np.testing.assert_allclose(solved.weights, oracle[:16], atol=1e-9)
    np.testing.assert_allclose(solved.bias, oracle[16], atol=1e-9)


def test_lda_equals_sklearns_on_the_raw_rows() -> None:
    analysis = pytest.importorskip("sklearn.discriminant_analysis")
    rows = data()
    solved = lda(sums_of(statistics(rows)), SHRINKAGE)
    oracle = analysis.LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE, priors=[1 / 3] * 3)
    x = np.concatenate([rows[name] for name in solved.tasks])
    oracle.fit(x.astype(np.float64), np.repeat(solved.tasks, [SIZES[name] for name in solved.tasks]))
    np.testing.assert_allclose(solved.weights, oracle.coef_.T, atol=1e-8)
    np.testing.assert_allclose(solved.bias - solved.bias[0], oracle.intercept_ - oracle.intercept_[0], atol=1e-8)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_rows_scores_do_not_depend_on_the_other_rows(method: str) -> None:
    rows = data()
    solved = METHODS[method](sums_of(statistics(rows)), SHRINKAGE)
    together = solved.scores(rows["base"])
    assert np.array_equal(together[7:8], solved.scores(rows["base"][7:8]))


@pytest.mark.parametrize("method", ["lda", "ridge"])
def test_repeated_rows_of_one_task_change_nothing(method: str) -> None:
    rows = data()
    doubled = {**rows, "base": np.concatenate([rows["base"]] * 2)}
    once, twice = (METHODS[method](sums_of(statistics(x)), SHRINKAGE) for x in (rows, doubled))
    np.testing.assert_allclose(once.weights, twice.weights, atol=1e-9)


def islands(count: int, seed: int) -> dict[str, np.ndarray]:
    """Each of two tasks lies at two opposite places, so that their means are the same."""
    rng = np.random.default_rng(seed)
    found = {}
    for axis, name in enumerate(("across", "along")):
        rows = 0.1 * rng.normal(size=(count, 16))
        rows[:, axis] += rng.choice([-1, 1], count)
        found[name] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return found


def test_a_task_in_several_places_is_known_by_its_prototypes() -> None:
    sums, unseen = sums_of(statistics(islands(100, 0))), islands(50, 1)
    right = {
        name: np.mean([solve(sums, 0.1).scores(x).argmax(1) == i for i, x in enumerate(unseen.values())])
        for name, solve in (("lda", lda), ("mda", mda))
    }
    assert right["lda"] < 0.8 and right["mda"] == 1.0


def test_mda_is_the_likeliest_of_gaussians_around_means_and_prototypes() -> None:
    sums, unseen = sums_of(statistics(islands(100, 0))), islands(20, 1)["along"]
    inverse = np.linalg.inv(sums.shrunk(0.1))
    x = unseen.astype(np.float64)
    own = x @ inverse
    squares = np.einsum("nd,nd->n", own, x)
    for column, task in enumerate(sums.tasks):
        assert len(task.prototypes) > 1
        places = np.concatenate([task.mean[None], task.prototypes])
        away = np.stack([np.einsum("nd,de,ne->n", x - c, inverse, x - c) for c in places.astype(np.float64)])
        wanted = 0.5 * (squares - away.min(0))
        np.testing.assert_allclose(mda(sums, 0.1).scores(unseen)[:, column], wanted, atol=1e-8)


def test_mda_of_tasks_in_one_place_or_of_very_many_is_lda(monkeypatch: pytest.MonkeyPatch) -> None:
    one = {name: np.repeat(x[:1], 3, axis=0) for name, x in data().items()}
    sums = sums_of(statistics(one))
    assert all(len(task.prototypes) == 1 for task in sums.tasks)
    assert np.array_equal(mda(sums, 0.1).scores(one["base"]), lda(sums, 0.1).scores(one["base"]))
    sums = sums_of(statistics(islands(100, 0)))
    monkeypatch.setattr(classifier, "SUBCLASSES", 1)
    assert mda(sums, 0.1).weights.shape == (16, 2)


def test_scores_of_some_tasks_are_those_among_all() -> None:
    rows = islands(100, 0)
    for solve in METHODS.values():
        solved = solve(sums_of(statistics(rows)), 0.1)
        row = rows["along"][0]
        np.testing.assert_allclose(solved.scores_of(row, (1,)), solved.scores(row[None])[0, [1]], atol=1e-12)


def test_no_shrinkage_with_too_few_prompts_is_an_error() -> None:
    same = {name: np.eye(16, dtype=np.float32)[[i, i]] for i, name in enumerate(SIZES)}
    with pytest.raises(LynxError, match="shrinkage 0 is too small"):
        lda(sums_of(statistics(same)), 0.0)
