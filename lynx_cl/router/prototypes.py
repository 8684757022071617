"""Prototypes: centres of the clusters of a task's requests, and the requests that are kept to stand for all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch  # noqa: F401  before faiss: the first to load brings the OpenMP runtime that both then use

import faiss  # isort: skip
from numpy.typing import NDArray

ITERATIONS = 20
COUNTS = (1, 2, 4, 8)
PER_PROTOTYPE = 4  # at least so many requests a prototype
EXEMPLARS = 128

Rows = NDArray[np.float32]


@contextmanager
def one_thread() -> Iterator[None]:
    """FAISS in one thread: the same bits every time. Torch may share the OpenMP runtime, so its number is put back."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def counts_for(rows: int) -> tuple[int, ...]:
    """How many prototypes so many requests may get.

    >>> counts_for(3), counts_for(20), counts_for(1000)
    ((1,), (1, 2, 4), (1, 2, 4, 8))
    """
    return tuple(count for count in COUNTS if count == 1 or count * PER_PROTOTYPE <= rows)


def clusters(rows: Rows, held_out: Rows) -> NDArray[np.float64]:
    """The means of as many clusters, (count, dimension), as make the `held_out` rows likeliest.

    Without held-out rows, every fifth row is held out to choose the number, and all are clustered.
    """
    allowed = counts_for(len(rows))
    if len(allowed) == 1:
        return cluster(rows, 1)[0]
    fit, apart = (rows, held_out) if len(held_out) else (np.delete(rows, np.s_[::5], axis=0), rows[::5])
    best = max(allowed, key=lambda count: log_likelihood(fit, apart, count))  # of equals, the fewest
    return cluster(rows, best)[0]


def log_likelihood(rows: Rows, held_out: Rows, count: int) -> float:
    """The mean log-density of held-out rows under a mixture of `count` round Gaussians fitted to `rows` by `cluster`.

    Each has its cluster's centre and share; the variance, the same for all, is that of the rows about their centres
    with count x dimension degrees of freedom taken off, so that many centres for few rows pay for it.
    """
    middles, assigned = cluster(rows, count)
    total, width = rows.shape
    shares = np.bincount(assigned) / total
    scatter = float(((rows - middles[assigned]) ** 2).sum())
    variance = max(scatter / (width * max(total - len(middles), 1)), 1e-9)
    squares = (held_out.astype(np.float64) ** 2).sum(1)[:, None] - 2 * held_out @ middles.T + (middles**2).sum(1)
    logs = np.log(shares) - squares / (2 * variance) - 0.5 * width * np.log(2 * np.pi * variance)
    top = logs.max(1, keepdims=True)
    return float((top[:, 0] + np.log(np.exp(logs - top).sum(1))).mean())


def cluster(rows: Rows, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Spherical k-means of unit rows (n, dimension): the means of its clusters (count, dimension), and each row's
    cluster (n).

    The same rows in the same order give the same bits.
    """
    if count == 1:
        assigned = np.zeros(len(rows), np.int64)
    else:
        means = faiss.Kmeans(
            rows.shape[1], count, niter=ITERATIONS, seed=1, spherical=True, min_points_per_centroid=1, verbose=False
        )
        with one_thread():
            means.train(rows)
            _, nearest = means.index.search(rows, 1)
        _, assigned = np.unique(nearest[:, 0], return_inverse=True)  # a centre that no row chose is dropped
    assigned = assigned.astype(np.int64)
    return _sums(rows, assigned) / np.bincount(assigned)[:, None], assigned


def spread(rows: Rows, count: int) -> NDArray[np.int64]:
    """Places of `count` rows that cover the rest: first the one nearest the mean, then always the farthest from those.

    (Gonzalez 1985.) All places, in order, where there are no more than `count`.
    """
    if len(rows) <= count:
        return np.arange(len(rows))
    chosen = [int(np.argmax(rows @ rows.mean(0)))]
    nearest = rows @ rows[chosen[0]]
    while len(chosen) < count:
        chosen.append(int(np.argmin(nearest)))
        nearest = np.maximum(nearest, rows @ rows[chosen[-1]])
    return np.sort(np.array(chosen))


def _sums(rows: Rows, assigned: NDArray[np.int64]) -> NDArray[np.float64]:
    sums = np.zeros((int(assigned.max()) + 1, rows.shape[1]))
    np.add.at(sums, assigned, rows.astype(np.float64))
    return sums
