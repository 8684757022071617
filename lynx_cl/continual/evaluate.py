"""Evaluating a registry as it is, without changing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lynx_cl.base.load import load_base
from lynx_cl.base.places import base_of
from lynx_cl.continual.across import Across, read_test, score_across
from lynx_cl.continual.composition import composing, run_composition
from lynx_cl.continual.history import Stage, forgetting, loss, stages_of
from lynx_cl.continual.learned import learned, tests
from lynx_cl.continual.measure import main_scores, measure, routing
from lynx_cl.continual.outcome import task_facts
from lynx_cl.continual.plan import labels_of
from lynx_cl.data.annotators import ORACLE, check_shared
from lynx_cl.data.composed import composed_examples
from lynx_cl.evaluation.generate import Request
from lynx_cl.registry.store import Registry
from lynx_cl.router.stored import load_router


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

    `changes` are put over the router's settings. `more_tests`, each 'TASK=SOURCE' or 'TASK@VERSION=SOURCE', are sources
    on whose test splits a task is scored as well, for `annotators` alone; an earlier version with the task given.
    Raises LynxError where a task's data is no longer there and, unless `allow_shared`, where a task would be scored on
    labels of a model that it learned from; UsageError for a setting or a test that is wrong.
    """
    own = {name: labels_of(registry.task(name)) for name in registry.tasks()}
    asked = [read_test(registry, text) for text in more_tests]
    check_shared(own.values(), allow_shared)
    base = load_base(base_of(registry, base_name))
    others = [(one, one.open(base)) for one in asked]
    check_shared([one.labels(source) for one, source in others], allow_shared)
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
    for one, source in others:
        say(f"evaluate: {one.address} on {source.name}")
        score = score_across(registry, base, known, router, one, source, examples)
        table.put(one.labels(source), source.name, score)
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
