"""The router: solved from the tasks present, it says which bank answers a request, how sure it is, and why."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lynx_cl.base.settings import Settings
from lynx_cl.errors import LynxError
from lynx_cl.registry.snapshot import BASE_TASK
from lynx_cl.router import calibration
from lynx_cl.router.calibration import conformal_bound, promise, softmax
from lynx_cl.router.classifier import METHODS, Classifier, Matrix, Sums, sums_of
from lynx_cl.router.embedders import Embedder, Request
from lynx_cl.router.nearness import Nearest, Nearness, Neighbour
from lynx_cl.router.shrinkage import choose, evenly
from lynx_cl.router.statistics import TaskStatistics

CALIBRATED_ON = 2048  # calibration requests at most
SCORES = 16_000_000  # of calibration requests times tasks
FITTED = 1_000_000  # of these that the temperature is fitted to

LEAST = -1e6  # a score of tasks that are not on a shortlist, below the best one

Several = Literal["top", "mix", "ask"]
#: The tasks that were scored by number, None for all of them; their scores; and what is near.
Scored = tuple[tuple[int, ...] | None, Matrix, Nearest]


class RouterConfig(Settings):
    """How the router is solved and decides.

    `embedder` is what its requests are embedded by. `method` is the closed form; `shrinkage` None chooses it by leaving
    requests out; `temperature`, which divides scores before the softmax, None fits it to the calibration requests.

    `error` is how often the set of banks kept for a request may miss the right one. `several` says who answers where
    the set holds more than one: the `top` one, a `mix` of them by probability, or nobody (`ask`).

    A request is near something known where its distance to the nearest prototype is at most a bound, which half of
    `error` of the calibration requests may exceed; and of a task that has none, as many of its kept requests, each left
    out in turn. `neighbours` is how many kept prompts a decision shows.
    """

    embedder: str = "text"
    method: Literal["ridge", "lda", "mda"] = "mda"
    shrinkage: Annotated[float, Field(gt=0, le=1)] | None = None
    temperature: Annotated[float, Field(gt=0)] | None = None
    error: Annotated[float, Field(gt=0, lt=1)] = 0.01
    several: Several = "top"
    neighbours: Annotated[int, Field(ge=1)] = 3


@dataclass(frozen=True)
class Decision:
    """Which task's bank answers (`base`: none), and why.

    `abstained`: nothing known is near, so the base answers whatever the `probabilities`, which sum to 1 over the tasks;
    of more tasks than `nearness.SCORED`, over those of the nearest prototypes.
    `nearest`: the nearest kept prompts, the nearest first, where they were asked for. `candidates`: the set of banks
    kept, the likeliest first; it misses the right one no more often than promised, and is empty where the router
    abstained. `distance` is that to the nearest prototype, see `nearness`, None where no task is known; the router
    abstains where it is above `bound`.
    """

    task: str
    abstained: bool
    probabilities: dict[str, float]
    nearest: tuple[Neighbour, ...]
    candidates: tuple[str, ...] = ()
    distance: float | None = None
    bound: float | None = None

    def mix(self) -> dict[str, float]:
        """The candidates' probabilities, scaled to sum to 1; empty where the router abstained."""
        total = sum(self.probabilities[name] for name in self.candidates)
        return {name: self.probabilities[name] / total for name in self.candidates}


class Router:
    """Made by `Router.solve`. Decisions do not depend, to the bit, on the order in which tasks were given.

    `shrinkage` and `temperature` are those in force; `promise` is what can be said of the candidates' error.
    """

    def __init__(self, embedder: Embedder, sums: Sums | None, shrinkage: float, config: RouterConfig) -> None:
        self.embedder, self.config = embedder, config
        self.tasks: tuple[TaskStatistics, ...] = ()
        self.classifier: Classifier | None = None
        self.temperature = config.temperature or 1.0
        self.promise = promise(config.error, 0)
        if sums is not None:
            self.tasks, self.sums = sums.tasks, sums
            self.classifier = METHODS[config.method](sums, shrinkage)
            self.nearness = Nearness(sums, config.neighbours)
            self._bound, self._gap = self._calibrated()

    @classmethod
    def solve(cls, tasks: Sequence[TaskStatistics], embedder: Embedder, config: RouterConfig | None = None) -> Router:
        """The router over these tasks, the base's own requests being the task `base`. With no task, the base answers.

        Raises LynxError where a task is given twice or another embedder made its statistics.
        """
        config = config or RouterConfig()
        times = Counter(task.task for task in tasks)
        for task in tasks:
            if times[task.task] > 1:
                raise LynxError(f"router: task {task.task!r} is given twice; give each once")
            if (task.embedder_digest, task.dimension) != (embedder.digest, embedder.dimension):
                raise LynxError(
                    f"router: task {task.task!r} was fitted with the embedder {task.embedder} "
                    f"({task.embedder_digest[:12]}), not {embedder.name} ({embedder.digest[:12]}); add it again"
                )
        if not tasks:
            return cls(embedder, None, 0.0, config)
        sums = sums_of(tasks)
        return cls(embedder, sums, config.shrinkage or choose(sums, config.method), config)

    @property
    def shrinkage(self) -> float | None:
        return self.classifier.shrinkage if self.classifier is not None else None

    def decide(self, requests: Sequence[Request], explain: bool = False) -> list[Decision]:
        """One decision a request; to `explain`, with the kept prompts that are nearest."""
        if not requests or self.classifier is None:
            return [Decision(BASE_TASK, True, {BASE_TASK: 1.0}, ()) for _ in requests]
        return self.decide_rows(self.embedder.embed(requests), explain)

    def decide_rows(self, rows: NDArray[np.float32], explain: bool = False) -> list[Decision]:
        """As `decide`, of rows of the embedder's vectors, (requests, dimension)."""
        if self.classifier is None or not len(rows):
            return [Decision(BASE_TASK, True, {BASE_TASK: 1.0}, ()) for _ in rows]
        if rows.ndim != 2 or rows.shape[1] != self.embedder.dimension or not np.isfinite(rows).all():
            raise LynxError(f"router: vectors must be finite and of {self.embedder.dimension} numbers each")
        rows = np.ascontiguousarray(rows, np.float32)
        return [self._decision(*scored) for scored in self._scored(rows, explain)]

    def _scored(self, rows: NDArray[np.float32], explain: bool = False) -> list[Scored]:
        assert self.classifier is not None
        found = self.nearness.search(rows, explain)
        if found[0].shortlist is None:
            return [(None, scores, near) for scores, near in zip(self.classifier.scores(rows), found, strict=True)]
        return [
            (near.shortlist, self.classifier.scores_of(row, near.shortlist or ()), near)
            for row, near in zip(rows, found, strict=True)
        ]

    def _decision(self, listed: tuple[int, ...] | None, scores: Matrix, near: Nearest) -> Decision:
        assert self.classifier is not None
        names = self.classifier.tasks if listed is None else [self.classifier.tasks[number] for number in listed]
        best = int(np.argmax(scores))
        abstained = near.distance > self._bound
        close = np.flatnonzero(scores[best] - scores <= self._gap)
        close = close[np.argsort(-scores[close], kind="stable")]
        kept = () if abstained else tuple(names[i] for i in close)
        told = dict(zip(names, softmax(scores / self.temperature).tolist(), strict=True))
        task = BASE_TASK if abstained else names[best]
        return Decision(task, abstained, told, near.neighbours, kept, near.distance, self._bound)

    def _calibrated(self) -> tuple[float, float]:
        """Fits the temperature to requests that nothing was solved from.

        Returns the greatest distance at which a request is near something known, and the greatest gap of its score to
        the best one at which a task is a candidate.
        """
        rows, owners = calibration_rows(self.tasks)
        own = self.nearness.left_out([task for task in self.tasks if not len(task.calibration)])
        bounds = [float(np.quantile(own, 1 - self.config.error / 2))] if len(own) else []
        gap = 0.0
        if len(rows):
            self.promise = promise(self.config.error, len(owners))
            assert self.promise.error is not None
            scored = self._scored(rows)
            if self.config.temperature is None and len(self.tasks) > 1:
                self.temperature = self._fitted(scored, owners)
            gaps = [_gap(*one[:2], int(owner)) for one, owner in zip(scored, owners, strict=True)]
            gap = conformal_bound(np.array(gaps), self.promise.error / 2)
            bounds.append(conformal_bound(np.array([near.distance for *_, near in scored]), self.promise.error / 2))
        return max(bounds, default=self.nearness.distance_of(self.embedder.near)), gap

    def _fitted(self, scored: list[Scored], owners: NDArray[np.int64]) -> float:
        """The temperature of calibration requests; of those whose task is not on their shortlist nothing is learned."""
        few = evenly(len(scored), max(1, FITTED // len(self.tasks))) if scored[0][0] is None else range(len(scored))
        chosen = [(scored[i][0], scored[i][1], int(owners[i])) for i in few]
        known = [one for one in chosen if one[0] is None or one[2] in one[0]]
        if not known:
            return 1.0
        places = np.array([owner if listed is None else listed.index(owner) for listed, _, owner in known])
        table = np.full((len(known), max(len(scores) for _, scores, _ in known)), LEAST)
        for row, (_, scores, _) in zip(table, known, strict=True):
            row[: len(scores)] = np.maximum(scores - scores.max(), LEAST)
        return calibration.temperature(table, places, 1 / (len(known) + 2))


def _gap(listed: tuple[int, ...] | None, scores: Matrix, owner: int) -> float:
    """By how much the best score is above that of the right task; infinite where that is not on the shortlist."""
    if listed is not None and owner not in listed:
        return math.inf
    return float(scores.max() - scores[owner if listed is None else listed.index(owner)])


def calibration_rows(tasks: Sequence[TaskStatistics]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Calibration requests, (requests, dimension), and each one's task by number: as many of each task as of any other,
    or one of every so many tasks; at most CALIBRATED_ON, and no more scores than SCORES."""
    most = min(CALIBRATED_ON, SCORES // max(1, len(tasks)))
    having = [number for number, task in enumerate(tasks) if len(task.calibration)]
    chosen = [having[place] for place in evenly(len(having), most)] if having else []
    rows = [tasks[number].calibration[: max(1, most // len(chosen))] for number in chosen]
    owners = np.repeat(np.array(chosen, np.int64), [len(own) for own in rows])
    return np.ascontiguousarray(np.concatenate(rows)) if rows else np.zeros((0, 0), np.float32), owners
