"""What is near a request: all of it up to a stated size, and nearly all beyond."""

from __future__ import annotations

import numpy as np
import pytest

from lynx_cl.router import nearness
from lynx_cl.router.nearness import Nearness
from lynx_cl.router.statistics import TaskStatistics, summed
from tests.router.embedding import WordEmbedder


def tasks(count: int, each: int = 12) -> list[TaskStatistics]:
    rng = np.random.default_rng(0)
    made = []
    for number in range(count):
        rows = rng.normal(size=16) + 0.5 * rng.normal(size=(each, 16))
        rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        made.append(summed(f"t{number:04}", [f"t{number:04} {i}" for i in range(each)], rows, WordEmbedder()))
    return made


def requests(count: int) -> np.ndarray:
    rows = np.random.default_rng(1).normal(size=(count, 16)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_it_equals_a_comparison_with_everything() -> None:
    kept = tasks(20)
    every = np.concatenate([t.exemplars for t in kept] + [t.prototypes for t in kept])
    owners = [t.task for t in kept for _ in t.exemplars] + [t.task for t in kept for _ in t.prototypes]
    rows = requests(50)
    for row, found in zip(rows, Nearness(kept, 0.5, 0.01, 3).search(rows), strict=True):
        similar = every @ row
        assert found.similarity == pytest.approx(similar.max(), abs=1e-6)
        assert found.task == owners[int(similar.argmax())]
        top = np.sort(np.concatenate([t.exemplars @ row for t in kept]))[::-1][:3]
        assert [n.similarity for n in found.neighbours] == pytest.approx(top, abs=1e-6)
        assert all(n.text.startswith(n.task) for n in found.neighbours)


def test_beyond_the_stated_size_most_is_still_found(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tasks(400)
    own = np.concatenate([task.exemplars[:1] for task in kept])
    rows = own + 0.15 * requests(400)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    exact = Nearness(kept, 0.5, 0.01, 3)
    monkeypatch.setattr(nearness, "EXACT", 300)
    large = Nearness(kept, 0.5, 0.01, 3)
    assert exact.exact and not large.exact
    found = zip(exact.search(rows), large.search(rows), strict=True)
    same = [a.neighbours[0].text == b.neighbours[0].text for a, b in found]
    assert np.mean(same) >= 0.95
    assert [near.neighbours[0].task for near in large.search(own)] == [task.task for task in kept]


def test_fewer_kept_requests_than_neighbours_shown() -> None:
    found = Nearness(tasks(1, each=1), 0.5, 0.01, 3).search(requests(1))[0]
    assert len(found.neighbours) == 1 and found.bound == 0.5
