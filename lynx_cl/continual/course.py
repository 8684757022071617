"""What every method of a study meets alike: the base, the tasks in their order, the budget, the seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from lynx_cl.base.settings import Settings
from lynx_cl.training.batches import epochs, fixed_batches
from lynx_cl.training.config import TrainConfig

if TYPE_CHECKING:
    from lynx_cl.base.load import Base
    from lynx_cl.data.sources import DataSource, Groups
    from lynx_cl.tasks import TaskCard
    from lynx_cl.training.stream import Epochs

MOST = 10**9  # of anything that is counted
CHECKS = 4  # validations of a stage, each of them a checkpoint


class Budget(Settings):
    """What each task may cost, the same for all methods: training pictures, optimiser steps, pictures a step.

    `validation` is how many pictures of the calibration split are looked at to choose the best of a stage's steps.
    """

    pictures: int = Field(2000, ge=1, le=MOST)
    steps: int = Field(300, ge=1, le=MOST)
    pictures_per_batch: int = Field(12, ge=1, le=MOST)
    validation: int = Field(24, ge=1, le=MOST)


class Terms(Settings):
    """What of the data, and by which loss, a label of a study learns: everything, unless data or loss are its point.

    `share` is the fraction of the budget's pictures, `chains` False leaves out the conversations in steps (SCouT), and
    `loss` is the step loss or the plain one, the mean over all answer tokens.
    """

    share: float = Field(1.0, gt=0, le=1)
    chains: bool = True
    loss: Literal["step", "plain"] = "step"


@dataclass(frozen=True)
class Lesson:
    """A task of a sequence and the data that it is learned from."""

    card: TaskCard
    source: DataSource

    @property
    def task(self) -> str:
        return self.card.name

    @property
    def train(self) -> Groups:
        return self.source.groups("train")

    def shared(self, share: float) -> Lesson:
        """The lesson with a share of its training pictures: the first, so that a smaller share lies in a larger."""
        groups = self.train
        kept = groups[: max(1, round(share * len(groups)))]
        source = dataclasses.replace(self.source, splits={**self.source.splits, "train": kept})
        return dataclasses.replace(self, source=source)


@dataclass(frozen=True)
class Course:
    """One sequence: `lessons` in the order in which they are learned. `folder` holds the checkpoints of stages."""

    base: Base
    lessons: tuple[Lesson, ...]
    budget: Budget
    seed: int
    folder: Path
    say: Callable[[str], None]
    loss: Literal["step", "plain"] = "step"

    def run_dir(self, stage: int) -> Path:
        """Where the checkpoint of a stage's training lies."""
        return self.folder / str(stage)

    def batches(self, groups: Groups) -> Epochs:
        """The batches of an epoch over pictures and what is asked about them, from its seed."""
        return epochs(self.base, groups, self.budget.pictures_per_batch)

    def validation(self, groups: Groups) -> Sequence[Any]:
        """Batches to choose the best step by."""
        return fixed_batches(self.base, groups, self.budget.pictures_per_batch, self.budget.validation)

    def training(self, learning_rate: float, steps: int | None = None) -> TrainConfig:
        """The settings of a stage's training: all methods take every step of the budget."""
        steps = steps or self.budget.steps
        return TrainConfig(
            steps=steps,
            learning_rate=learning_rate,
            val_every=max(1, -(-steps // CHECKS)),
            patience=CHECKS + 1,
            log_every=max(1, steps // 10),
            seed=self.seed,
            loss=self.loss,
        )

    def progress(self, task: str, steps: int | None = None) -> Callable[[dict[str, float]], None]:
        """What a training tells of itself."""

        def on_log(record: dict[str, float]) -> None:
            losses = ", ".join(f"{key} {record[key]:.3f}" for key in ("loss", "val/loss") if key in record)
            self.say(f"{task}: step {record['step']:.0f} of {steps or self.budget.steps}, {losses}")

        return on_log
