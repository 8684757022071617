"""What an add did, for people and for MLflow: facts, growth, R as metrics by stage, pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lynx_cl.banks.base import Bank
from lynx_cl.banks.growth import Growth
from lynx_cl.base.load import Base
from lynx_cl.continual.history import Stage, forgetting, loss, loss_by_stage, matrix
from lynx_cl.continual.learned import Learned
from lynx_cl.continual.measure import TaskMeasurement, TaskUnderTest, routing
from lynx_cl.continual.plan import Plan
from lynx_cl.evaluation.grounding import parsed_box
from lynx_cl.tracking.figures import Sample, forgetting_curve, sample_sheet
from lynx_cl.tracking.mlflow import AddRun
from lynx_cl.training.trainer import TrainResult

SAMPLES = 8  # answers on the sheet of samples


@dataclass(frozen=True)
class Outcome:
    """What an add did; `digest` is that of the bank's bytes, `snapshot` the new head, None in a dry run."""

    task: str
    measured: dict[str, TaskMeasurement]
    stages: tuple[Stage, ...]
    growth: dict[str, Any]
    training: TrainResult
    run_id: str
    seconds: float
    digest: str
    snapshot: str | None

    def facts(self) -> dict[str, Any]:
        """What `add-task --json` prints."""
        return {
            "tasks": task_facts(self.measured),
            "forgetting": forgetting(self.stages),
            "loss": loss(self.stages),
            "growth": self.growth,
            "routing": routing(self.measured),
            "run_id": self.run_id,
            "seconds": round(self.seconds, 1),
            "digest": self.digest,
            "snapshot": self.snapshot,
        }


def task_facts(measured: dict[str, TaskMeasurement]) -> dict[str, dict[str, float]]:
    """Every score of every task through the router, and its main one with the task given."""
    return {name: {**m.blind, f"{m.metric}_task_given": m.aware[m.metric]} for name, m in measured.items()}


def growth_facts(known: Learned, task: str, grown: Growth) -> dict[str, Any]:
    """Growth in all and by task. One token is answered by one bank, so active growth is that of the largest."""
    by_task = {
        name: {"total": v.manifest.growth_total, "active": v.manifest.growth_active}
        for name, v in known.versions.items()
    }
    by_task[task] = {"total": grown.total, "active": grown.active}
    return {
        "total": sum(g["total"] for g in by_task.values()),
        "active": max(g["active"] for g in by_task.values()),
        "tasks": by_task,
    }


def draw(
    folder: Path,
    plan: Plan,
    stages: tuple[Stage, ...],
    tested: list[TaskUnderTest],
    measured: dict[str, TaskMeasurement],
) -> list[Path]:
    """The forgetting curve and a sheet of samples, as PNG files."""
    curve, sheet = folder / "forgetting.png", folder / "samples.png"
    table, columns = matrix(stages)
    forgetting_curve(table, ["base alone", *(stage.task for stage in stages)], columns, curve)
    task = next(t for t in tested if t.name == plan.card.name)
    answers = measured[plan.card.name].answers
    pairs = list(zip(task.examples, answers, strict=True))[:SAMPLES]
    found = [parsed_box(plan.grammar, text) if plan.card.kind == "grounding" else None for _, text in pairs]
    samples = [
        Sample(example.picture(), example.prompt, tuple(t.box for t in example.targets), box, text)
        for (example, text), box in zip(pairs, found, strict=True)
    ]
    sample_sheet(samples, sheet)
    return [curve, sheet]


def log_outcome(
    run: AddRun,
    stages: tuple[Stage, ...],
    measured: dict[str, TaskMeasurement],
    growths: dict[str, Any],
    result: TrainResult,
    figures: list[Path],
) -> None:
    """R's rows so far and the losses in them, each at its stage, so that runs compare as curves in MLflow."""
    table, columns = matrix(stages)
    rows = [
        (number, {f"score/{name}": value for name, value in zip(columns, row, strict=True)})
        for number, row in enumerate(table)
    ]
    for number, losses in enumerate(loss_by_stage(stages)):
        parts = {f"loss/{part}/{name}": value for name, both in losses.items() for part, value in both.items()}
        rows.append((number, parts))
    last = len(stages)
    lost = forgetting(stages)
    sent = routing(measured)
    rows.append(
        (
            last,
            {
                "forgetting/mean": lost["mean"],
                **{f"forgetting/{name}": value for name, value in lost["tasks"].items()},
                **{f"forgetting_task_given/{name}": value for name, value in lost["task_given"].items()},
                "growth/total": growths["total"],
                "growth/active": growths["active"],
                "routing/accuracy": sent["accuracy"],
                "seconds/training": result.seconds,
                **{f"metric/{task}/{k}": v for task, m in measured.items() for k, v in m.blind.items()},
            },
        )
    )
    run.log_history(rows)
    for figure in figures:
        run.log_artifact(figure)


def params(plan: Plan, base: Base, bank: Bank) -> dict[str, Any]:
    """What MLflow keeps of an add's settings."""
    return {
        "task": plan.card.name,
        "data": plan.spec,
        "data_digest": plan.source.digest(),
        "base": base.name,
        "base_fingerprint": base.fingerprint,
        "bank": plan.kind,
        **{f"bank.{key}": value for key, value in bank.bank_config().items()},
        **{f"train.{key}": value for key, value in plan.config.train.model_dump().items()},
    }
