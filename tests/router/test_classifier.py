"""The closed forms, against the same problems solved from the raw data."""

from __future__ import annotations

import numpy as np
import pytest

from lynx_cl.errors import LynxError
from lynx_cl.router.classifier import METHODS, lda, ridge, sums_of
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


@pytest.mark.parametrize("method", sorted(METHODS))
def test_repeated_rows_of_one_task_change_nothing(method: str) -> None:
    rows = data()
    doubled = {**rows, "base": np.concatenate([rows["base"]] * 2)}
    once, twice = (METHODS[method](sums_of(statistics(x)), SHRINKAGE) for x in (rows, doubled))
    np.testing.assert_allclose(once.weights, twice.weights, atol=1e-9)


def test_no_shrinkage_with_too_few_prompts_is_an_error() -> None:
    same = {name: np.eye(16, dtype=np.float32)[[i, i]] for i, name in enumerate(SIZES)}
    with pytest.raises(LynxError, match="shrinkage 0 is too small"):
        lda(sums_of(statistics(same)), 0.0)
