"""Scores of every task: with the task given (task-aware) and through the router (task-blind), and where requests went.

Only requests that the router sends elsewhere are answered twice: a request that reaches its own bank gets the same
answer either way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lynx_cl.data.example import Example
from lynx_cl.evaluation.generate import Request, answer
from lynx_cl.registry.snapshot import BASE_TASK

if TYPE_CHECKING:
    from lynx_cl.banks.attach import Attachment
    from lynx_cl.base.load import Base
    from lynx_cl.router.router import Router

Scores = dict[str, float]


@dataclass(frozen=True)
class TaskUnderTest:
    """A task's test examples, how its answers are scored, and which of its scores is the one of matrix R."""

    name: str
    examples: Sequence[Example]
    score: Callable[[Sequence[Example], Sequence[str]], Scores]
    metric: str


@dataclass(frozen=True)
class TaskMeasurement:
    """What one task scored. `routed` counts its requests by the bank they were sent to."""

    name: str
    metric: str
    aware: Scores
    blind: Scores
    routed: dict[str, int]
    answers: tuple[str, ...] = field(repr=False, default=())

    @property
    def routing_accuracy(self) -> float:
        """Share of requests that abstention or the classifier sent to the right place."""
        return self.routed.get(self.name, 0) / max(1, sum(self.routed.values()))


def measure(
    base: Base,
    attachment: Attachment | None,
    router: Router | None,
    tasks: Sequence[TaskUnderTest],
    *,
    batch_size: int = 64,
    on_task: Callable[[str], None] = lambda name: None,
) -> dict[str, TaskMeasurement]:
    """Scores every task on its own examples.

    Without `router` there is nothing to be blind about: every request reaches its own bank. A task without a bank in
    `attachment` is answered by the base.
    """
    known = attachment.banks if attachment is not None else {}
    results = {}
    for task in tasks:
        on_task(task.name)
        requests = [Request(example.prompt, example.open()) for example in task.examples]
        own = task.name if task.name in known else None
        aware = answer(base, attachment, requests, [own] * len(requests), batch_size=batch_size)
        sent = [task.name] * len(requests)
        if router is not None:
            sent = [decision.task for decision in router.decide(requests)]
        blind = list(aware)
        astray = [i for i, name in enumerate(sent) if (name if name in known else None) != own]
        if astray:
            banks = [sent[i] if sent[i] in known else None for i in astray]
            others = answer(base, attachment, [requests[i] for i in astray], banks, batch_size=batch_size)
            for i, text in zip(astray, others, strict=True):
                blind[i] = text
        results[task.name] = TaskMeasurement(
            name=task.name,
            metric=task.metric,
            aware=task.score(task.examples, aware),
            blind=task.score(task.examples, blind),
            routed={name: sent.count(name) for name in sorted(set(sent))},
            answers=tuple(blind),
        )
    return results


def routing(measured: Mapping[str, TaskMeasurement]) -> dict:
    """Routing accuracy over all requests, and the confusion {task: {sent to: requests}}."""
    total = sum(sum(m.routed.values()) for m in measured.values())
    right = sum(m.routed.get(name, 0) for name, m in measured.items())
    return {"accuracy": right / max(1, total), "confusion": {name: m.routed for name, m in measured.items()}}


def main_scores(measured: Mapping[str, TaskMeasurement], which: str = "blind") -> dict[str, float]:
    """The one score of each task that enters R; `which` is 'blind' or 'aware'."""
    return {name: getattr(m, which)[m.metric] for name, m in measured.items()}


def base_first(names: Sequence[str]) -> list[str]:
    """Tasks in the order of R's columns: the base's own, then the others as they came."""
    return [BASE_TASK, *(name for name in names if name != BASE_TASK)]
