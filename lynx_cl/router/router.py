"""The router: solved from the tasks present, it says which bank answers a request, how sure it is, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch  # noqa: F401  before faiss, see prototypes

import faiss  # isort: skip
from numpy.typing import NDArray
from pydantic import Field

from lynx_cl.base.settings import Settings
from lynx_cl.errors import LynxError
from lynx_cl.registry.snapshot import BASE_TASK
from lynx_cl.router.classifier import METHODS, Classifier
from lynx_cl.router.embedders import Embedder, Request
from lynx_cl.router.prototypes import one_thread
from lynx_cl.router.statistics import TaskStatistics


class RouterConfig(Settings):
    """How the router is solved and decides.

    `method` and `shrinkage` choose the closed form, `temperature` divides its scores before the softmax. A request is
    near something known where its greatest similarity to what is kept is at least the `quantile` of the similarities of
    the task that it is nearest to, or else at least the embedder's own `near`.

    Method and shrinkage are from leaving out eighths of the training phrasings of grounding and of the embedded base's
    questions (text embedder, 1,500 prompts each): of ridge and lda with shrinkage 0.001 to 0.7, lda at 0.03 and 0.1 was
    best, 0.999 and 0.998. The temperature is from the held-out phrasings of tests/router/prompts.py, by log-likelihood.
    """

    method: Literal["ridge", "lda"] = "lda"
    shrinkage: Annotated[float, Field(gt=0, le=1)] = 0.05
    temperature: Annotated[float, Field(gt=0)] = 8.0
    quantile: Annotated[float, Field(ge=0, le=1)] = 0.01
    neighbours: Annotated[int, Field(ge=1)] = 3


@dataclass(frozen=True)
class Neighbour:
    """A kept prompt near a request; `similarity` is the cosine, in [-1, 1]."""

    text: str
    task: str
    similarity: float


@dataclass(frozen=True)
class Decision:
    """Which task's bank answers (`base`: none), and why.

    `abstained`: nothing known is near, so the base answers whatever the `probabilities`, which sum to 1 over the tasks.
    `nearest`: the nearest kept prompts, the nearest first.
    """

    task: str
    abstained: bool
    probabilities: dict[str, float]
    nearest: tuple[Neighbour, ...]


class Router:
    """Made by `Router.solve`. Decisions do not depend, to the bit, on the order in which tasks were given."""

    def __init__(
        self, embedder: Embedder, tasks: Sequence[TaskStatistics], classifier: Classifier | None, config: RouterConfig
    ) -> None:
        self.embedder, self.classifier, self.config = embedder, classifier, config
        self.tasks = tuple(sorted(tasks, key=lambda task: task.task))
        self._texts = [(text, task.task) for task in self.tasks for text in task.texts]
        self._owners = [task.task for task in self.tasks for _ in range(len(task.exemplars))]
        self._owners += [task.task for task in self.tasks for _ in range(len(task.prototypes))]
        self._bounds = {task.task: self._bound(task) for task in self.tasks}
        self._exemplars = faiss.IndexFlatIP(embedder.dimension)
        self._prototypes = faiss.IndexFlatIP(embedder.dimension)
        for task in self.tasks:
            self._exemplars.add(np.ascontiguousarray(task.exemplars))
            self._prototypes.add(np.ascontiguousarray(task.prototypes))

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
        classifier = METHODS[config.method](tasks, config.shrinkage) if tasks else None
        return cls(embedder, tasks, classifier, config)

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
        kept = min(self.config.neighbours, len(self._texts))
        with one_thread():
            similar, places = self._exemplars.search(rows, kept)
            central, centres = self._prototypes.search(rows, 1)
        scores = self.classifier.scores(rows)
        return [
            self._decision(scores[i], similar[i], places[i], float(central[i, 0]), int(centres[i, 0]))
            for i in range(len(rows))
        ]

    def _decision(
        self,
        scores: NDArray[np.float64],
        similar: NDArray[np.float32],
        places: NDArray[np.int64],
        central: float,
        centre: int,
    ) -> Decision:
        assert self.classifier is not None
        probabilities = softmax(scores / self.config.temperature)
        names = self.classifier.tasks
        near = tuple(
            Neighbour(text, task, float(s))
            for (text, task), s in zip((self._texts[p] for p in places), similar, strict=True)
        )
        best, owner = near[0].similarity, near[0].task
        if central > best:
            best, owner = central, self._owners[len(self._texts) + centre]
        abstained = best < self._bounds[owner]
        task = BASE_TASK if abstained else names[int(np.argmax(probabilities))]
        return Decision(task, abstained, dict(zip(names, map(float, probabilities), strict=True)), near)

    def _bound(self, task: TaskStatistics) -> float:
        if not len(task.similarities):  # a task of one prompt
            return self.embedder.near
        return min(float(np.quantile(task.similarities, self.config.quantile)), self.embedder.near)


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """exp(scores) scaled to sum to 1, over the last axis."""
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)
