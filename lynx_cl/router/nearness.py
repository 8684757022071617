"""Is a request near anything known? Distances to the tasks' prototypes, searched by FAISS.

They are Mahalanobis distances under the covariance within tasks, so that what all requests vary in counts little (as
Lee et al. 2018 tell foreign inputs of classifiers), in units of the root of the dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch  # noqa: F401  before faiss, see prototypes

import faiss  # isort: skip
from numpy.typing import NDArray

from lynx_cl.router.classifier import Matrix, Sums
from lynx_cl.router.prototypes import one_thread
from lynx_cl.router.shrinkage import kept_rows, without
from lynx_cl.router.statistics import TaskStatistics

Rows = NDArray[np.float32]
SHRINKAGE = 0.3  # of the covariance; from 0.1 to 0.5 foreign prompts are told equally well
SPREAD = 0.05  # the least variance within tasks, over all dimensions: that of prompts which are all but the same
LEFT_OUT = 4096  # kept requests at most that are left out to see how far a task's own lie
EXACT = 5_000  # prototypes up to which all are compared; of more, those in the PROBED nearest cells
PROBED = 24
COMPARED = 4096  # kept requests up to which all are compared; of more, those of the tasks of the nearest prototypes
LOOKED_INTO = 8  # of these
SCORED = 500  # tasks up to which all are scored; of more, those of the SHORTLIST nearest prototypes
SHORTLIST = 64
TOGETHER = 16  # rows in one search: FAISS takes another way through more, with other last bits


@dataclass(frozen=True)
class Neighbour:
    """A kept prompt near a request; `similarity` is the cosine, in [-1, 1]."""

    text: str
    task: str
    similarity: float


@dataclass(frozen=True)
class Nearest:
    """What is nearest to a request: the task of the nearest prototype, the `distance` to it, the nearest kept prompts,
    and the tasks of the nearest prototypes by number, in order; None where there are so few that all are to be scored.
    """

    task: str
    distance: float
    neighbours: tuple[Neighbour, ...]
    shortlist: tuple[int, ...] | None = None


class Nearness:
    """What tasks keep of their requests, to be searched. A row's bits do not depend on the rows beside it."""

    def __init__(self, sums: Sums, neighbours: int) -> None:
        self.tasks, self.neighbours = sums.tasks, neighbours
        self._sums = sums
        width = sums.means.shape[1]
        covariance = (1 - SHRINKAGE) * sums.within + SHRINKAGE * max(sums.scale, SPREAD / width) * np.eye(width)
        self._spread = float(np.trace(covariance))
        self._inverse = np.linalg.inv(covariance)
        self._whiten = np.linalg.cholesky(self._inverse / width).astype(np.float32)
        self._owners = np.repeat(np.arange(len(self.tasks)), [len(task.prototypes) for task in self.tasks])
        kept = [len(task.exemplars) for task in self.tasks]
        self._first = np.cumsum([0, *kept])
        prototypes = np.concatenate([task.prototypes for task in self.tasks])
        self._prototypes = _index(prototypes @ self._whiten)
        self._exemplars = _flat([task.exemplars for task in self.tasks]) if sum(kept) <= COMPARED else None

    @property
    def exact(self) -> bool:
        """Whether every prototype is compared."""
        return isinstance(self._prototypes, faiss.IndexFlatL2)

    def search(self, rows: Rows, explain: bool = True) -> list[Nearest]:
        """What is nearest to each row, (requests, dimension); kept prompts only to `explain`."""
        found = []
        with one_thread():
            for start in range(0, len(rows), TOGETHER):
                found += self._search(rows[start : start + TOGETHER], explain)
        return found

    def left_out(self, tasks: Sequence[TaskStatistics]) -> Matrix:
        """How far kept requests of some of the tasks lie from their task's mean, each left out of it and of the
        covariance: (requests). None of a task of one request."""
        numbers = {task.task: number for number, task in enumerate(self.tasks)}
        rows, owners = kept_rows(tasks, LEFT_OUT)
        if not len(rows):
            return np.zeros(0)
        counts = np.array([task.count for task in tasks], np.float64)[owners]
        away = rows - self._sums.means[[numbers[tasks[owner].task] for owner in owners]]
        squares = np.einsum("nd,nd->n", away @ self._inverse, away)
        squares += without(squares, SHRINKAGE, self._sums, counts) * squares**2
        return np.sqrt(squares / len(self._inverse)) * counts / (counts - 1)

    def distance_of(self, similarity: float) -> float:
        """How far a request would be that has this cosine similarity to a prototype, in a direction that counts as
        others do."""
        return float(np.sqrt((2 - 2 * similarity) / self._spread))

    def _centres(self, rows: Rows, count: int) -> tuple[Matrix, NDArray[np.int64]]:
        white = np.stack([row @ self._whiten for row in rows])
        squares, centres = self._prototypes.search(white, min(count, len(self._owners)))
        return np.sqrt(np.maximum(squares[:, 0].astype(np.float64), 0)), centres

    def _search(self, rows: Rows, explain: bool) -> list[Nearest]:
        listed = len(self.tasks) > SCORED
        distances, centres = self._centres(rows, SHORTLIST if listed else LOOKED_INTO)
        if not explain:
            similar, places = np.zeros((len(rows), 0), np.float32), np.zeros((len(rows), 0), np.int64)
        elif self._exemplars is not None:
            similar, places = self._exemplars.search(rows, min(self.neighbours, int(self._first[-1])))
        else:
            pairs = [self._look_into(row, own[:LOOKED_INTO]) for row, own in zip(rows, centres, strict=True)]
            similar, places = np.stack([s for s, _ in pairs]), np.stack([p for _, p in pairs])
        owners = [np.unique(self._owners[own[own >= 0]]) if listed else None for own in centres]
        return [self._nearest(*found) for found in zip(similar, places, distances, centres[:, 0], owners, strict=True)]

    def _nearest(
        self,
        similar: Rows,
        places: NDArray[np.int64],
        distance: np.float64,
        centre: np.int64,
        listed: NDArray[np.int64] | None,
    ) -> Nearest:
        owners = np.searchsorted(self._first, places, side="right") - 1
        near = tuple(
            Neighbour(self.tasks[owner].texts[place - self._first[owner]], self.tasks[owner].task, float(s))
            for s, place, owner in zip(similar, places, owners, strict=True)
            if place >= 0
        )
        shortlist = tuple(listed.tolist()) if listed is not None else None
        return Nearest(self.tasks[self._owners[centre]].task, float(distance), near, shortlist)

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


def _flat(parts: Sequence[Rows]) -> faiss.Index:
    index = faiss.IndexFlatIP(parts[0].shape[1])
    for part in parts:
        index.add(np.ascontiguousarray(part))
    return index


def _index(rows: Rows) -> faiss.Index:
    if len(rows) <= EXACT:
        whole = faiss.IndexFlatL2(rows.shape[1])
        whole.add(rows)
        return whole
    cells = 2 * int(len(rows) ** 0.5)
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(rows.shape[1]), rows.shape[1], cells, faiss.METRIC_L2)
    index.cp.niter, index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 5, 1, 64
    index.nprobe = PROBED
    with one_thread():
        index.train(rows)
        index.add(rows)
    return index
