"""What is near a request: distances against scipy's, left-out requests against sums without them, and large indices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from lynx_cl.router import nearness
from lynx_cl.router.classifier import sums_of
from lynx_cl.router.nearness import SHRINKAGE, Nearness
from lynx_cl.router.statistics import TaskStatistics, summed
from tests.router.embedding import WordEmbedder


def tasks(count: int, each: int = 12) -> list[TaskStatistics]:
    rng = np.random.default_rng(0)
    made = []
    for number in range(count):
        rows = rng.normal(size=16) + 0.5 * rng.normal(size=(each, 16))
        made.append(made_of(f"t{number:04}", rows))
    return made


def made_of(name: str, rows: np.ndarray) -> TaskStatistics:
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return summed(name, [f"{name} {i}" for i in range(len(rows))], rows, WordEmbedder())


def requests(count: int) -> np.ndarray:
    rows = np.random.default_rng(1).normal(size=(count, 16)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def covariance_of(parts: list[np.ndarray], counts: list[int], scale: float | None = None) -> np.ndarray:
    """The shrunk covariance within tasks, from the raw rows."""
    within = sum((x - x.mean(0)).T @ (x - x.mean(0)) / n for x, n in zip(parts, counts, strict=True)) / len(parts)
    return (1 - SHRINKAGE) * within + SHRINKAGE * (scale or np.trace(within) / 16) * np.eye(16)


def test_distances_equal_scipys_and_neighbours_a_comparison_with_everything() -> None:
    kept = tasks(20)
    near = Nearness(sums_of(kept), 3)
    parts = [t.exemplars.astype(np.float64) for t in kept]
    covariance = covariance_of(parts, [12] * 20)
    prototypes = np.concatenate([t.prototypes for t in kept])
    owners = [t.task for t in kept for _ in t.prototypes]
    rows = requests(50)
    every = cdist(rows, prototypes, "mahalanobis", VI=np.linalg.inv(covariance)) / 4
    for row, apart, found in zip(rows, every, near.search(rows), strict=True):
        assert found.distance == pytest.approx(apart.min(), rel=1e-4) and found.task == owners[int(apart.argmin())]
        top = np.sort(np.concatenate([t.exemplars @ row for t in kept]))[::-1][:3]
        assert [n.similarity for n in found.neighbours] == pytest.approx(top, abs=1e-6)
        assert all(n.text.startswith(n.task) for n in found.neighbours)


def test_a_rows_bits_do_not_depend_on_the_rows_beside_it() -> None:
    near, rows = Nearness(sums_of(tasks(20)), 3), requests(50)
    together = near.search(rows)
    assert together == [near.search(row[None])[0] for row in rows]


def test_left_out_requests_are_as_far_as_from_sums_without_them() -> None:
    kept = tasks(4, each=7)
    near = Nearness(sums_of(kept), 3)
    found = near.left_out(kept[1:3])
    parts = [t.exemplars.astype(np.float64) for t in kept]
    scale = float(np.trace(covariance_of(parts, [7] * 4))) / 16
    expected = []
    for number in (1, 2):
        for place in range(7):
            rest = [np.delete(x, place, 0) if i == number else x for i, x in enumerate(parts)]
            covariance = covariance_of(rest, [7] * 4, scale)
            middle = rest[number].mean(0, keepdims=True)
            row = parts[number][place : place + 1]
            expected.append(cdist(row, middle, "mahalanobis", VI=np.linalg.inv(covariance))[0, 0] / 4)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert len(near.left_out([replace(kept[0], count=1)])) == 0


def test_beyond_the_stated_size_most_is_still_found(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = sums_of(tasks(400))
    own = np.concatenate([task.exemplars[:1] for task in sums.tasks])
    rows = own + 0.15 * requests(400)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    monkeypatch.setattr(nearness, "COMPARED", 5000)
    exact = Nearness(sums, 3)
    monkeypatch.setattr(nearness, "EXACT", 300)
    monkeypatch.setattr(nearness, "COMPARED", 300)
    large = Nearness(sums, 3)
    assert exact.exact and not large.exact
    pairs = list(zip(exact.search(rows), large.search(rows), strict=True))
    assert np.mean([a.neighbours[0].text == b.neighbours[0].text for a, b in pairs]) >= 0.95
    assert np.mean([a.task == b.task for a, b in pairs]) >= 0.95
    assert [near.neighbours[0].task for near in large.search(own)] == [task.task for task in sums.tasks]


def test_a_single_request_is_known_by_how_alike_others_are_to_it() -> None:
    near = Nearness(sums_of(tasks(1, each=1)), 3)
    found = near.search(requests(1))[0]
    assert len(found.neighbours) == 1
    row = tasks(1, each=1)[0].exemplars[0]
    assert near.search(row[None])[0].distance < 1e-3 < near.distance_of(0.5) < near.distance_of(0.1)
    aside = np.linalg.svd(row[None])[2][1]
    turned = (0.5 * row + 0.75**0.5 * aside).astype(np.float32)
    assert near.search(turned[None])[0].distance == pytest.approx(near.distance_of(0.5), rel=1e-3)
