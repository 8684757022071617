"""Is a request near anything known? FAISS over the tasks' prototypes, and over the requests that they keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch  # noqa: F401  before faiss, see prototypes

import faiss  # isort: skip
from numpy.typing import NDArray

from lynx_cl.router.prototypes import one_thread
from lynx_cl.router.statistics import TaskStatistics

Rows = NDArray[np.float32]
EXACT = 50_000  # prototypes, and kept requests, up to which all are compared; beyond it see Nearness
PROBED = 16  # of the cells of an index of more prototypes
LOOKED_INTO = 8  # tasks whose kept requests are compared where there are more


@dataclass(frozen=True)
class Neighbour:
    """A kept prompt near a request; `similarity` is the cosine, in [-1, 1]."""

    text: str
    task: str
    similarity: float


@dataclass(frozen=True)
class Nearest:
    """What is nearest to a request: the greatest `similarity`, the task that has it, that task's own bound, and the
    nearest kept prompts."""

    similarity: float
    task: str
    bound: float
    neighbours: tuple[Neighbour, ...]


class Nearness:
    """What tasks keep of their requests, to be searched.

    Up to EXACT kept requests and prototypes every one is compared. Where more requests are kept, those of the tasks of
    the LOOKED_INTO nearest prototypes are; where there are more prototypes, those in the PROBED nearest cells are.
    """

    def __init__(self, tasks: Sequence[TaskStatistics], near: float, quantile: float, neighbours: int) -> None:
        self.tasks, self.neighbours = tasks, neighbours
        self._bounds = [_bound(task, near, quantile) for task in tasks]
        self._owners = np.repeat(np.arange(len(tasks)), [len(task.prototypes) for task in tasks])
        kept = [len(task.exemplars) for task in tasks]
        self._first = np.cumsum([0, *kept])
        self._prototypes = _index([task.prototypes for task in tasks])
        self._exemplars = _flat([task.exemplars for task in tasks]) if tasks and sum(kept) <= EXACT else None

    @property
    def exact(self) -> bool:
        """Whether everything kept is compared."""
        return self._exemplars is not None and isinstance(self._prototypes, faiss.IndexFlatIP)

    def search(self, rows: Rows) -> list[Nearest]:
        """What is nearest to each row, (requests, dimension)."""
        assert self._prototypes is not None
        with one_thread():
            central, centres = self._prototypes.search(rows, min(LOOKED_INTO, len(self._owners)))
            if self._exemplars is not None:
                similar, places = self._exemplars.search(rows, min(self.neighbours, int(self._first[-1])))
            else:
                pairs = [self._look_into(row, own) for row, own in zip(rows, centres, strict=True)]
                similar, places = np.stack([s for s, _ in pairs]), np.stack([p for _, p in pairs])
        return [self._nearest(*found) for found in zip(similar, places, central[:, 0], centres[:, 0], strict=True)]

    def _nearest(
        self, similar: NDArray[np.float32], places: NDArray[np.int64], central: np.float32, centre: np.int64
    ) -> Nearest:
        owners = np.searchsorted(self._first, places, side="right") - 1
        near = tuple(
            Neighbour(self.tasks[owner].texts[place - self._first[owner]], self.tasks[owner].task, float(s))
            for s, place, owner in zip(similar, places, owners, strict=True)
            if place >= 0
        )
        best, owner = near[0].similarity, int(owners[0])
        if float(central) > best:
            best, owner = float(central), int(self._owners[centre])
        return Nearest(best, self.tasks[owner].task, self._bounds[owner], near)

    def _look_into(self, row: Rows, centres: NDArray[np.int64]) -> tuple[Rows, NDArray[np.int64]]:
        """The nearest kept requests of the tasks of these prototypes: similarities and places, the nearest first."""
        owners = np.unique(self._owners[centres[centres >= 0]])
        places = np.concatenate([np.arange(self._first[owner], self._first[owner + 1]) for owner in owners])
        similar = np.concatenate([self.tasks[owner].exemplars @ row for owner in owners])
        order = np.argsort(-similar, kind="stable")[: self.neighbours]
        missing = self.neighbours - len(order)
        return (
            np.pad(similar[order], (0, missing), constant_values=-1),
            np.pad(places[order], (0, missing), constant_values=-1),
        )


def _bound(task: TaskStatistics, near: float, quantile: float) -> float:
    if not len(task.similarities):  # a task of one prompt
        return near
    return min(float(np.quantile(task.similarities, quantile)), near)


def _flat(parts: Sequence[Rows]) -> faiss.Index:
    index = faiss.IndexFlatIP(parts[0].shape[1])
    for part in parts:
        index.add(np.ascontiguousarray(part))
    return index


def _index(parts: Sequence[Rows]) -> faiss.Index | None:
    if not parts:
        return None
    total = sum(map(len, parts))
    if total <= EXACT:
        return _flat(parts)
    rows = np.concatenate(parts)
    cells = 2 * int(total**0.5)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(rows.shape[1]), rows.shape[1], cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter, index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 5, 1, 64
    index.nprobe = PROBED
    with one_thread():
        index.train(rows)
        index.add(rows)
    return index
