"""Evaluating a registry as it is, without changing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lynx_cl.base.load import Base, load_base
from lynx_cl.base.places import base_of
from lynx_cl.continual.composition import composing, run_composition
from lynx_cl.continual.history import Stage, forgetting, loss, stages_of
from lynx_cl.continual.learned import learned, tests
from lynx_cl.continual.measure import main_scores, measure, routing
from lynx_cl.continual.outcome import task_facts
from lynx_cl.continual.plan import labels_of
from lynx_cl.continual.scores import task_test
from lynx_cl.data.annotators import ORACLE, Labels, check_shared
from lynx_cl.data.composed import composed_examples
from lynx_cl.data.readers import absolute
from lynx_cl.data.sources import DataSource, open_source
from lynx_cl.errors import UsageError
from lynx_cl.evaluation.generate import Request
from lynx_cl.registry.store import Registry
from lynx_cl.router.stored import load_router
from lynx_cl.tasks import TaskCard


def evaluate(
    registry: Registry,
    base_name: str,
    examples: int,
    questions: int,
    say: Callable[[str], None],
    changes: Mapping[str, object] | None = None,
    *,
    more_tests: Sequence[str] = (),
    allow_shared: bool = False,
) -> dict[str, Any]:
    """`{tasks, forgetting, loss, growth, routing}` of a registry's head, against every earlier stage's record; and
    `annotators`, unless all labels are exact and nothing more is tested.

    `changes` are put over the router's settings. `more_tests`, each 'TASK=SOURCE', are sources on whose test splits a
    task is scored as well, for `annotators` alone. Raises LynxError where a task's data is no longer there and, unless
    `allow_shared`, where a task would be scored on labels of a model that it learned from; UsageError for a setting or
    a test that is wrong.
    """
    own = {name: labels_of(registry.task(name)) for name in registry.tasks()}
    asked = [_named_test(registry, text) for text in more_tests]
    check_shared(own.values(), allow_shared)
    base = load_base(base_of(registry, base_name))
    others = [_test_source(registry, base, task, spec) for task, spec in asked]
    across = [replace(own[task], tested=source.labels.tested) for (task, _), source in zip(asked, others, strict=True)]
    check_shared(across, allow_shared)
    known = learned(registry, base)
    tested = tests(list(known.versions.values()), base, examples, questions)
    router = load_router(registry, base.path, base, changes)
    with known.attached(base) as attachment:
        measured = measure(
            base,
            attachment,
            router,
            tested,
            several=router.config.several,
            batch_size=64,
            on_task=lambda task: say(f"evaluate: {task}"),
        )
        table = Across()
        for name, labels in own.items():
            table.put(labels, "its own", main_scores({name: measured[name]})[name])
        for labels, source in zip(across, others, strict=True):
            say(f"evaluate: {labels.task} on {source.name}")
            card = TaskCard(**known.versions[labels.task].manifest.card)
            test = task_test(card, source, card.box_grammar(base.card.grammar), examples)
            scored = measure(base, attachment, router, [test], several=router.config.several, batch_size=64)
            table.put(labels, source.name, main_scores(scored)[labels.task])
    counts = {name: len(one.answers) for name, one in measured.items()}
    now = Stage("now", {}, main_scores(measured, "blind"), main_scores(measured, "aware"), counts)
    stages = [*stages_of(registry), now]
    grown = {
        task: {"total": v.manifest.growth_total, "active": v.manifest.growth_active}
        for task, v in known.versions.items()
    }
    return {
        "tasks": task_facts(measured),
        "forgetting": forgetting(stages),
        "loss": loss(stages),
        "growth": {
            "total": sum(g["total"] for g in grown.values()),
            "active": max((g["active"] for g in grown.values()), default=0.0),
            "tasks": grown,
        },
        "routing": routing(measured),
        **({"annotators": table.scores} if more_tests or table.names - {ORACLE} else {}),
    }


class Across:
    """`scores`, by whose labels a task learned from, whose it is tested on, and task: its main score, task-blind."""

    def __init__(self) -> None:
        self.scores: dict[str, dict[str, dict[str, float]]] = {}

    @property
    def names(self) -> set[str]:
        """Whose labels were learned from or tested on."""
        return {*self.scores, *(name for cells in self.scores.values() for name in cells)}

    def put(self, labels: Labels, source: str, score: float) -> None:
        """Takes in a score; of two on labels of one annotator, the second is named with its source."""
        cells = self.scores.setdefault(" + ".join(labels.trained) or "unknown", {})
        tested = labels.tested or "unknown"
        if labels.task in cells.get(tested, {}):
            tested = f"{tested} ({source})"
        cells.setdefault(tested, {})[labels.task] = score


def _named_test(registry: Registry, text: str) -> tuple[str, str]:
    task, equals, spec = text.partition("=")
    if not (task and equals and spec):
        raise UsageError(f"--test {text}: give it as TASK=SOURCE, as in grounding=coco:FOLDER")
    if task not in registry.tasks():
        raise UsageError(f"--test {text}: no task '{task}'; known: {', '.join(registry.tasks()) or 'none'}")
    return task, absolute(spec)


def _test_source(registry: Registry, base: Base, task: str, spec: str) -> DataSource:
    manifest = registry.task(task).manifest
    data: Any = manifest.data
    return open_source(
        spec, TaskCard(**manifest.card), seed=data.get("seed", 0), limit=None, base_grammar=base.card.grammar
    )


def evaluate_composed(
    registry: Registry, examples: int, say: Callable[[str], None], changes: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """`composition` of a registry's head on drawn scenes, routed by its own router.

    Raises LynxError where the registry lacks a task of either kind, UsageError for a setting that is wrong.
    """
    tasks = composing(registry)
    base = load_base(base_of(registry))
    router = load_router(registry, base.path, base, changes)

    def decide(requests: Sequence[Request]) -> list[str]:
        return [decision.task for decision in router.decide(requests)]

    def weigh(requests: Sequence[Request]) -> list[dict[str, float]]:
        return [decision.probabilities for decision in router.decide(requests)]

    say(f"evaluate: {examples} composed requests")
    return run_composition(registry, composed_examples(examples), decide, weigh=weigh, tasks=tasks, base=base)
