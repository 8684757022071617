"""What a registry's stages tell of loss, and how an add tells it: as facts, and as metrics by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lynx_cl.continual.history import Stage, forgetting, loss, loss_by_stage, matrix, stage_of, uncompared
from lynx_cl.continual.measure import TaskMeasurement
from lynx_cl.continual.outcome import Outcome, log_outcome
from lynx_cl.registry import AddRecord
from lynx_cl.training.trainer import TrainResult

NAN = float("nan")
GROWTH = {"total": 0.1, "active": 0.1, "tasks": {}}
STAGES = (
    Stage("a", {"base": 0.5, "a": 0.1}, {"base": 0.45, "a": 0.75}, {"base": 0.5, "a": 0.75}),
    Stage("b", {"b": 0.2}, {"base": 0.5, "a": 0.5, "b": 0.9}, {"base": 0.5, "a": 0.75, "b": 1.0}),
)


@dataclass
class Run:
    """What an add logs, kept."""

    records: list[tuple[int, Mapping[str, float]]] = field(default_factory=list)

    def log_history(self, records: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        self.records += records

    def log_artifact(self, path: Path) -> None:
        raise AssertionError(path)


@pytest.fixture
def training() -> Any:
    result = object.__new__(TrainResult)
    object.__setattr__(result, "seconds", 1.0)
    return result


def test_loss_by_stage() -> None:
    first, second, third = loss_by_stage(STAGES)
    assert first == {"base": {"bank": 0.0, "routing": 0.0}}
    assert second == {"base": {"bank": 0.0, "routing": pytest.approx(0.05)}, "a": {"bank": 0.0, "routing": 0.0}}
    assert third == loss(STAGES)
    assert third == {
        "base": {"bank": 0.0, "routing": 0.0},
        "a": {"bank": 0.0, "routing": 0.25},
        "b": {"bank": 0.0, "routing": pytest.approx(0.1)},
    }


def test_scores_on_other_examples_are_not_compared() -> None:
    """The same bank on fewer examples scores otherwise, and has lost nothing."""
    first = Stage("a", {"base": 0.5, "a": 0.1}, {"base": 0.5, "a": 0.75}, {"base": 0.5, "a": 0.75}, {"base": 9, "a": 9})
    fewer = Stage("b", {"b": 0.2}, {"a": 0.5, "b": 0.9}, {"a": 0.5, "b": 1.0}, {"base": 9, "a": 4, "b": 4})
    assert forgetting([first, fewer])["tasks"] == {}
    told = loss([first, fewer])
    assert np.isnan(told["a"]["bank"]) and told["a"]["routing"] == 0.0
    table, columns = matrix([first, fewer])
    assert columns == ["base", "a", "b"] and np.isnan(table[:2, 1]).all() and table[2, 1] == 0.5 and table[1, 0] == 0.5
    assert uncompared([first, fewer], {"base": 9, "a": 9, "b": 9}) == ["b"]
    assert uncompared([first, fewer], {"a": 4, "b": 4}) == [] and uncompared(STAGES, {"a": 4, "c": 1}) == ["c"]
    assert stage_of("b", AddRecord(created="2026-01-01T00:00:00Z", scores=fewer.record())) == fewer


def test_an_update_that_does_worse_is_the_bank_s_loss() -> None:
    worse = Stage("a", {}, {"base": 0.5, "a": 0.25, "b": 0.9}, {"base": 0.5, "a": 0.5, "b": 1.0})
    assert loss([*STAGES, worse])["a"] == {"bank": 0.25, "routing": 0.25}


def test_a_task_that_came_from_elsewhere_has_only_the_loss_that_is_known() -> None:
    now = Stage("now", {}, {"merged": 0.5, "gone": NAN}, {"merged": 0.75, "gone": NAN})
    told = loss([now])
    assert set(told) == {"merged"} and np.isnan(told["merged"]["bank"]) and told["merged"]["routing"] == 0.25


def test_an_add_tells_its_loss(training: Any) -> None:
    measured = {name: TaskMeasurement(name, "acc", {"acc": 1.0}, {"acc": 0.9}, {name: 1}) for name in "ab"}
    outcome = Outcome("b", measured, STAGES, GROWTH, training, "run", 1.0, "digest", None)
    assert outcome.facts()["loss"] == loss(STAGES)
    run: Any = Run()
    log_outcome(run, STAGES, measured, GROWTH, training, [])
    logged = {(name, step): value for step, metrics in run.records for name, value in metrics.items()}
    told = {key: value for key, value in logged.items() if key[0].startswith("loss/")}
    assert told == {
        (f"loss/{part}/{task}", step): value
        for step, losses in enumerate(loss_by_stage(STAGES))
        for task, parts in losses.items()
        for part, value in parts.items()
    }
    assert told["loss/routing/a", 2] == 0.25 and logged["score/a", 2] == 0.5
