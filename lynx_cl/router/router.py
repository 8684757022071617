"""The router: solved from the tasks present, it says which bank answers a request, how sure it is, and why."""

from __future__ import annotations

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
from lynx_cl.router.classifier import METHODS, Classifier
from lynx_cl.router.embedders import Embedder, Request
from lynx_cl.router.nearness import Nearest, Nearness, Neighbour
from lynx_cl.router.shrinkage import choose
from lynx_cl.router.statistics import TaskStatistics

CALIBRATED_ON = 4096  # calibration requests at most, as many of each task as of any other

Several = Literal["top", "mix", "ask"]


class RouterConfig(Settings):
    """How the router is solved and decides.

    `embedder` is what its requests are embedded by. `method` is the closed form; `shrinkage` None chooses it by leaving
    requests out; `temperature`, which divides scores before the softmax, None fits it to the calibration requests.

    `error` is how often the set of banks kept for a request may miss the right one. `several` says who answers where
    the set holds more than one: the `top` one, a `mix` of them by probability, or nobody (`ask`).

    A request is near something known where its greatest similarity to what is kept is at least a bound: the `quantile`
    of the similarities of the task that it is nearest to, or the embedder's own `near` if that is less, both moved by
    what the calibration requests ask for. `neighbours` is how many kept prompts a decision shows.
    """

    embedder: str = "text"
    method: Literal["ridge", "lda"] = "lda"
    shrinkage: Annotated[float, Field(gt=0, le=1)] | None = None
    temperature: Annotated[float, Field(gt=0)] | None = None
    error: Annotated[float, Field(gt=0, lt=1)] = 0.01
    several: Several = "top"
    quantile: Annotated[float, Field(ge=0, le=1)] = 0.01
    neighbours: Annotated[int, Field(ge=1)] = 3


@dataclass(frozen=True)
class Decision:
    """Which task's bank answers (`base`: none), and why.

    `abstained`: nothing known is near, so the base answers whatever the `probabilities`, which sum to 1 over the tasks.
    `nearest`: the nearest kept prompts, the nearest first. `candidates`: the set of banks kept, the likeliest first; it
    misses the right one no more often than promised, and is empty where the router abstained. `similarity` is the
    greatest to anything kept, in [-1, 1]; the router abstains where it is below `bound`.
    """

    task: str
    abstained: bool
    probabilities: dict[str, float]
    nearest: tuple[Neighbour, ...]
    candidates: tuple[str, ...] = ()
    similarity: float = -1.0
    bound: float = 1.0

    def mix(self) -> dict[str, float]:
        """The candidates' probabilities, scaled to sum to 1; empty where the router abstained."""
        total = sum(self.probabilities[name] for name in self.candidates)
        return {name: self.probabilities[name] / total for name in self.candidates}


class Router:
    """Made by `Router.solve`. Decisions do not depend, to the bit, on the order in which tasks were given.

    `shrinkage` and `temperature` are those in force; `promise` is what can be said of the candidates' error.
    """

    def __init__(
        self, embedder: Embedder, tasks: Sequence[TaskStatistics], classifier: Classifier | None, config: RouterConfig
    ) -> None:
        self.embedder, self.classifier, self.config = embedder, classifier, config
        self.tasks = tuple(sorted(tasks, key=lambda task: task.task))
        self.nearness = Nearness(self.tasks, embedder.near, config.quantile, config.neighbours)
        self.temperature = config.temperature or 1.0
        self.promise = promise(config.error, 0)
        self._slack, self._gap = 0.0, 0.0
        if classifier is not None:
            self._calibrate()

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
            return cls(embedder, tasks, None, config)
        shrinkage = config.shrinkage if config.shrinkage is not None else choose(tasks, config.method)
        return cls(embedder, tasks, METHODS[config.method](tasks, shrinkage), config)

    @property
    def shrinkage(self) -> float | None:
        return self.classifier.shrinkage if self.classifier is not None else None

    def decide(self, requests: Sequence[Request]) -> list[Decision]:
        """One decision a request."""
        if not requests or self.classifier is None:
            return [Decision(BASE_TASK, True, {BASE_TASK: 1.0}, ()) for _ in requests]
        return self.decide_rows(self.embedder.embed(requests))

    def decide_rows(self, rows: NDArray[np.float32]) -> list[Decision]:
        """One decision a row of the embedder's vectors, (requests, dimension)."""
        if self.classifier is None or not len(rows):
            return [Decision(BASE_TASK, True, {BASE_TASK: 1.0}, ()) for _ in rows]
        if rows.ndim != 2 or rows.shape[1] != self.embedder.dimension or not np.isfinite(rows).all():
            raise LynxError(f"router: vectors must be finite and of {self.embedder.dimension} numbers each")
        rows = np.ascontiguousarray(rows, np.float32)
        scores = self.classifier.scores(rows)
        return [self._decision(*pair) for pair in zip(scores, self.nearness.search(rows), strict=True)]

    def _decision(self, scores: NDArray[np.float64], near: Nearest) -> Decision:
        assert self.classifier is not None
        names = self.classifier.tasks
        probabilities = softmax(scores / self.temperature)
        bound = near.bound - self._slack
        abstained = near.similarity < bound
        order = np.argsort(-scores, kind="stable")
        kept = () if abstained else tuple(names[i] for i in order if scores[order[0]] - scores[i] <= self._gap)
        task = BASE_TASK if abstained else names[int(order[0])]
        told = dict(zip(names, map(float, probabilities), strict=True))
        return Decision(task, abstained, told, near.neighbours, kept, near.similarity, bound)

    def _calibrate(self) -> None:
        """Temperature and the two bounds, from requests that nothing was solved from."""
        assert self.classifier is not None
        each = max(1, CALIBRATED_ON // len(self.tasks))
        rows = [task.calibration[:each] for task in self.tasks]
        owners = np.repeat(np.arange(len(rows)), [len(own) for own in rows])
        if not len(owners):
            return
        self.promise = promise(self.config.error, len(owners))
        together = np.ascontiguousarray(np.concatenate(rows))
        scores = self.classifier.scores(together)
        if self.config.temperature is None and len(self.tasks) > 1:
            self.temperature = calibration.temperature(scores, owners, 1 / (len(owners) + 2))
        found = self.nearness.search(together)
        short = np.array([near.bound - near.similarity for near in found])
        gaps = scores.max(1) - scores[np.arange(len(owners)), owners]
        assert self.promise.error is not None
        self._slack = conformal_bound(short, self.promise.error / 2)
        self._gap = conformal_bound(gaps, self.promise.error / 2)
