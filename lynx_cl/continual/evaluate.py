"""Evaluating a registry as it is, without changing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lynx_cl.base.load import load_base
from lynx_cl.base.places import base_of
from lynx_cl.continual.composition import composing, run_composition
from lynx_cl.continual.history import Stage, forgetting, loss, stages_of
from lynx_cl.continual.learned import learned, tests
from lynx_cl.continual.measure import main_scores, measure, routing
from lynx_cl.continual.outcome import task_facts
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
) -> dict[str, Any]:
    """`{tasks, forgetting, loss, growth, routing}` of a registry's head, against every earlier stage's record.

    `changes` are put over the router's settings. Raises LynxError where a task's data is no longer there, UsageError
    for a setting that is wrong.
    """
    base = load_base(base_of(registry, base_name))
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
    asked = {name: len(one.answers) for name, one in measured.items()}
    now = Stage("now", {}, main_scores(measured, "blind"), main_scores(measured, "aware"), asked)
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
