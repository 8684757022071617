"""R, the matrix of scores, as a registry's own records tell it: one row an add, row 0 the base alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lynx_cl.continual import measures
from lynx_cl.registry.snapshot import BASE_TASK
from lynx_cl.registry.store import Registry

if TYPE_CHECKING:
    from lynx_cl.registry.snapshot import AddRecord

ADDS = ("add-task", "update-task")


@dataclass(frozen=True)
class Stage:
    """One add: the base's score on what was new, alone, and every task's score after it (task-blind and task-aware).

    `asked` is how many test examples each score is of; only scores of as many are compared.
    """

    task: str
    alone: dict[str, float]
    blind: dict[str, float]
    aware: dict[str, float]
    asked: dict[str, int] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """As it is kept in the record of a task version."""
        return {"alone": self.alone, "blind": self.blind, "aware": self.aware, "asked": self.asked}

    def compares(self, name: str, asked: Mapping[str, int]) -> bool:
        """Whether its scores of a task are of so many examples; True where it is not known of how many."""
        return self.asked.get(name) in (None, asked.get(name)) or name not in asked


def stage_of(task: str, record: AddRecord) -> Stage | None:
    """The stage that a record tells of; None for a record without scores."""
    scores: Any = record.scores
    if not all(key in scores for key in ("alone", "blind", "aware")):
        return None
    alone, blind, aware = (dict(scores[key]) for key in ("alone", "blind", "aware"))
    return Stage(task, alone, blind, aware, dict(scores.get("asked", {})))


def stages_of(registry: Registry) -> list[Stage]:
    """The adds that led to a registry's head and whose tasks are still there, the first one first."""
    stages = []
    present = set(registry.tasks())
    for entry in registry.log() if registry.exists() else []:
        if entry.command in ADDS and entry.task in present:
            version = registry.entries(registry.snapshot(entry.snapshot))[entry.task].current
            stage = stage_of(entry.task, registry.task(f"{entry.task}@{version}").record)
            if stage is not None:
                stages.append(stage)
    return stages


def uncompared(stages: Sequence[Stage], asked: Mapping[str, int]) -> list[str]:
    """Tasks that no stage scored on so many examples as are asked now."""
    return [name for name in asked if not any(name in s.blind and s.compares(name, asked) for s in stages)]


def matrix(stages: Sequence[Stage], which: str = "blind") -> tuple[NDArray[np.float64], list[str]]:
    """R of shape (stages + 1, tasks) and the tasks of its columns: the base's own first, then as they were added.

    NaN where a score was not measured: a task before it was added, a base without a test of its own; and where it was
    measured on fewer or more examples than at the last stage: other examples may be easier.
    """
    names = list(dict.fromkeys(name for stage in stages for name in getattr(stage, which)))
    columns = [*(n for n in names if n == BASE_TASK), *(n for n in names if n != BASE_TASK)]
    table = np.full((len(stages) + 1, len(columns)), np.nan)
    for number, stage in enumerate(stages, 1):
        for column, name in enumerate(columns):
            if not stage.compares(name, stages[-1].asked):
                continue
            if name in stage.alone and np.isnan(table[0, column]):
                table[0, column] = stage.alone[name]
            table[number, column] = getattr(stage, which).get(name, np.nan)
    return table, columns


def learned_at(stages: Sequence[Stage], columns: Sequence[str]) -> list[int]:
    """The stage at which each task of R's columns was learned, 0 for the base's own."""
    order = [stage.task for stage in stages]
    return [order.index(name) + 1 if name in order else 0 for name in columns]


def loss_by_stage(stages: Sequence[Stage]) -> list[dict[str, dict[str, float]]]:
    """`{task: {bank, routing}}` after each stage, the base alone first: what became worse since a task was learned.

    A part is NaN where a score that it needs was not measured, and a task that lacks both is left out. An update is no
    new beginning: what its bank does worse than the first one is the bank's loss.
    """
    blind, columns = matrix(stages, "blind")
    aware, _ = matrix(stages, "aware")
    bank, routing = measures.loss_parts(blind, aware, learned_at(stages, columns))
    return [
        {name: {"bank": float(b), "routing": float(r)} for name, b, r in row if np.isfinite([b, r]).any()}
        for row in (zip(columns, *parts, strict=True) for parts in zip(bank, routing, strict=True))
    ]


def loss(stages: Sequence[Stage]) -> dict[str, dict[str, float]]:
    """`loss_by_stage` at the last stage."""
    return loss_by_stage(stages)[-1]


def forgetting(stages: Sequence[Stage]) -> dict[str, Any]:
    """Forgetting at the last stage of each task learned before it, task-blind and task-aware, and the blind mean."""
    if not stages:
        return {"mean": 0.0, "tasks": {}, "task_given": {}}
    parts: dict[str, dict[str, float]] = {}
    for which in ("blind", "aware"):
        table, columns = matrix(stages, which)
        learned = learned_at(stages, columns)
        by_task = zip(columns, learned, measures.forgetting_by_task(table), strict=True)
        parts[which] = {name: float(v) for name, i, v in by_task if i < len(stages) and np.isfinite(v)}
        if which == "blind":
            mean = measures.mean_forgetting(table, learned)
    return {"mean": mean, "tasks": parts["blind"], "task_given": parts["aware"]}
