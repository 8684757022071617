"""Scores of every task: with the task given (task-aware) and through the router (task-blind), and where requests went.

Only requests that the router sends elsewhere are answered twice: a request that reaches its own bank gets the same
answer either way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lynx_cl.base.heap import give_back
from lynx_cl.continual.policy import handed_back, owner
from lynx_cl.data.example import Example
from lynx_cl.evaluation.generate import Request, answer
from lynx_cl.registry.snapshot import BASE_TASK

if TYPE_CHECKING:
    from lynx_cl.banks.attach import Attachment
    from lynx_cl.base.load import Base
    from lynx_cl.evaluation.forms import Forms
    from lynx_cl.router.router import Router, Several

Scores = dict[str, float]


@dataclass(frozen=True)
class TaskUnderTest:
    """A task's test examples, how its answers are scored, and which of its scores is the one of matrix R.

    `tokens` is the most that one of its answers may have. `forms` reads an answer strictly and normalised, given its
    example and whether the main score takes it for fully right.
    """

    name: str
    examples: Sequence[Example]
    score: Callable[[Sequence[Example], Sequence[str]], Scores]
    metric: str
    tokens: int = 64
    forms: Callable[[Example, str, bool], Forms] | None = None


@dataclass(frozen=True)
class TaskMeasurement:
    """What one task scored. `routed` counts its requests by the likeliest bank that the router sent them to.

    `asked` is how many of them the router would have handed back, None where it was not told to.
    """

    name: str
    metric: str
    aware: Scores
    blind: Scores
    routed: dict[str, int]
    answers: tuple[str, ...] = field(repr=False, default=())
    asked: int | None = None

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
    shared: str | None = None,
    several: Several = "top",
    batch_size: int = 64,
    on_task: Callable[[str], None] = lambda name: None,
) -> dict[str, TaskMeasurement]:
    """Scores every task on its own examples.

    Without `router` there is nothing to be blind about: every request reaches its own bank, or the one that is `shared`
    by all tasks. A task without a bank in `attachment` is answered by the base. `several` says who answers where the
    router keeps several banks; under `ask` the likeliest is scored, and the requests that would have been handed back
    are counted.
    """
    known = attachment.banks if attachment is not None else {}
    results = {}
    for task in tasks:
        on_task(task.name)
        requests = [Request(example.prompt, example.picture()) for example in task.examples]
        own = shared or (task.name if task.name in known else None)
        most = {"batch_size": batch_size, "max_new_tokens": task.tokens}
        aware = answer(base, attachment, requests, [own] * len(requests), **most)
        decisions = router.decide(requests) if router is not None else []
        sent = [decision.task for decision in decisions] if router is not None else [task.name] * len(requests)
        owners = [owner(decision, several, known) for decision in decisions]
        blind = list(aware)
        astray = [i for i, one in enumerate(owners) if one != own]
        if astray:
            banks = [owners[i] for i in astray]
            others = answer(base, attachment, [requests[i] for i in astray], banks, **most)
            for i, text in zip(astray, others, strict=True):
                blind[i] = text
        results[task.name] = TaskMeasurement(
            name=task.name,
            metric=task.metric,
            aware=task.score(task.examples, aware),
            blind=task.score(task.examples, blind),
            routed={name: sent.count(name) for name in sorted(set(sent))},
            answers=tuple(blind),
            asked=sum(handed_back(decision, several) for decision in decisions) if several == "ask" else None,
        )
        give_back()
    return results


def routing(measured: Mapping[str, TaskMeasurement]) -> dict:
    """Routing accuracy over all requests, and the confusion {task: {sent to: requests}}.

    Where requests with several candidates were to be handed back, `asked` is the share of them.
    """
    total = sum(sum(m.routed.values()) for m in measured.values())
    right = sum(m.routed.get(name, 0) for name, m in measured.items())
    facts = {"accuracy": right / max(1, total), "confusion": {name: m.routed for name, m in measured.items()}}
    back = [m.asked for m in measured.values() if m.asked is not None]
    return {**facts, "asked": sum(back) / max(1, total)} if back else facts


def main_scores(measured: Mapping[str, TaskMeasurement], which: str = "blind") -> dict[str, float]:
    """The one score of each task that enters R; `which` is 'blind' or 'aware'."""
    return {name: getattr(m, which)[m.metric] for name, m in measured.items()}


def base_first(names: Sequence[str]) -> list[str]:
    """Tasks in the order of R's columns: the base's own, then the others as they came."""
    return [BASE_TASK, *(name for name in names if name != BASE_TASK)]
