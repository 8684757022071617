"""Evaluating a registry as it is, without changing it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lynx_cl.base.card import find_base
from lynx_cl.base.load import load_base
from lynx_cl.continual.history import Stage, forgetting, stages_of
from lynx_cl.continual.learned import learned, tests
from lynx_cl.continual.measure import main_scores, measure, routing
from lynx_cl.continual.outcome import task_facts
from lynx_cl.registry.store import Registry
from lynx_cl.router.stored import load_router


def evaluate(
    registry: Registry, base_name: str, examples: int, questions: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """`{tasks, forgetting, growth, routing}` of a registry's head; forgetting against every earlier stage's record.

    Raises LynxError where a task's data is no longer there.
    """
    name = registry.head().base.name if registry.exists() else base_name
    base = load_base(name)
    known = learned(registry, base)
    tested = tests(list(known.versions.values()), base, examples, questions)
    place = find_base(name)
    router = load_router(registry, place if isinstance(place, Path) else None, base)
    with known.attached(base) as attachment:
        measured = measure(
            base, attachment, router, tested, batch_size=64, on_task=lambda task: say(f"evaluate: {task}")
        )
    now = Stage("now", {}, main_scores(measured, "blind"), main_scores(measured, "aware"))
    grown = {
        task: {"total": v.manifest.growth_total, "active": v.manifest.growth_active}
        for task, v in known.versions.items()
    }
    return {
        "tasks": task_facts(measured),
        "forgetting": forgetting([*stages_of(registry), now]),
        "growth": {
            "total": sum(g["total"] for g in grown.values()),
            "active": max((g["active"] for g in grown.values()), default=0.0),
            "tasks": grown,
        },
        "routing": routing(measured),
    }
