"""What may go wrong in a router, before it does: tasks it confuses, tasks that are alike, tasks it knows little of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lynx_cl.registry.snapshot import BASE_TASK
from lynx_cl.router.router import Router
from lynx_cl.router.shrinkage import WITHOUT

FEW = 20  # prompts below which routing was measurably worse: see experiments/routing
CONFUSED = 0.02  # of a task's requests, from which a confusion is told
ALIKE = 0.25  # of the requests of two tasks, taken for the other's, from which the two look like one
SHOWN = 3


@dataclass(frozen=True)
class Confusion:
    """`share` of the requests of `task` that go to `other`, in [0, 1], and some of them."""

    task: str
    other: str
    share: float
    examples: tuple[str, ...]

    def text(self) -> str:
        """For people."""
        return f"{self.share:.1%} of the requests of {self.task} go to {self.other}, for instance {self.examples[0]!r}"


@dataclass(frozen=True)
class Few:
    """A task of which the router knows few prompts, and how many would do."""

    task: str
    count: int
    enough: int = FEW

    def text(self) -> str:
        """For people."""
        return f"{self.task} is known by {self.count} prompts; give it {self.enough} or more that differ"


@dataclass(frozen=True)
class Alike:
    """Two tasks of whose requests a `share` goes to the other one, in [0, 1]; a half is no difference at all."""

    task: str
    other: str
    share: float

    def text(self) -> str:
        """For people."""
        told = f"{self.task} looks like {self.other}: {self.share:.0%} of their requests go to the wrong one"
        return told if BASE_TASK in (self.task, self.other) else f"{told}; update {self.other} instead?"


@dataclass(frozen=True)
class Audit:
    """What was found; the worst of each kind first."""

    confusions: tuple[Confusion, ...]
    alike: tuple[Alike, ...]
    few: tuple[Few, ...]

    def lines(self, task: str | None = None) -> list[str]:
        """Sentences, those about one task if it is named."""
        found: list[Confusion | Alike | Few] = [*self.alike, *self.confusions, *self.few]
        named = (item for item in found if task in (None, item.task, getattr(item, "other", None)))
        return [item.text() for item in named]


def audit(router: Router, about: str | None = None) -> Audit:
    """Audits a router. `about` names the task that two alike ones are told from the side of: the newcomer."""
    confusions = sorted(_confusions(router), key=lambda c: (-c.share, c.task, c.other))
    alike = sorted(_alike(confusions, about), key=lambda a: (-a.share, a.task, a.other))
    few = [Few(task.task, task.count) for task in router.tasks if task.count < FEW]
    return Audit(tuple(confusions), tuple(alike), tuple(sorted(few, key=lambda f: (f.count, f.task))))


def _confusions(router: Router) -> Iterator[Confusion]:
    """By the calibration requests of a task, or where it has none by its kept requests, each left out in turn."""
    if router.classifier is None or len(router.tasks) < 2:
        return
    names = router.classifier.tasks
    for number, task in enumerate(router.tasks):
        if len(task.calibration):
            rows, texts = task.calibration, task.calibration_texts
            scores = router.classifier.scores(rows)
        else:
            rows, texts = task.exemplars, task.texts
            owners = np.full(len(rows), number)
            if task.count < 2:
                continue
            shrinkage = router.classifier.shrinkage
            scores = WITHOUT[router.config.method](router.sums, rows.astype(np.float64), owners, shrinkage)
        sent: dict[str, list[tuple[float, str]]] = defaultdict(list)
        for row, text in zip(scores, texts, strict=True):
            best = int(np.argmax(row))
            if best != number:
                sent[names[best]].append((float(row[number] - row[best]), text))
        for other, wrong in sent.items():
            if len(wrong) >= CONFUSED * len(rows):
                yield Confusion(task.task, other, len(wrong) / len(rows), tuple(t for _, t in sorted(wrong)[:SHOWN]))


def _alike(confusions: Sequence[Confusion], about: str | None) -> Iterator[Alike]:
    shares = {(found.task, found.other): found.share for found in confusions}
    for first, second in sorted({(min(pair), max(pair)) for pair in shares}):
        share = (shares.get((first, second), 0.0) + shares.get((second, first), 0.0)) / 2
        if share >= ALIKE:
            newcomer, other = (first, second) if about == first else (second, first)
            yield Alike(newcomer, other, share)
