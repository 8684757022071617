"""What methods share: training one model, or adapters in it, task after task; and training a bank."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from lynx_cl.banks.base import Bank
from lynx_cl.base.settings import Settings
from lynx_cl.continual.course import Course
from lynx_cl.continual.method import Learning, Method
from lynx_cl.training.module import Added as AddedLoss
from lynx_cl.training.part import ModelPart, all_but_tower
from lynx_cl.training.trainer import TrainResult, train_bank, train_part

if TYPE_CHECKING:
    from torch import Tensor


class FineTuning(Settings):
    """Settings of a method that trains the whole model but the tower that looks at pictures.

    The rate is one for sequences: what learns each task best by itself wears out what was learned before.
    """

    learning_rate: float = Field(5e-4, gt=0)


class OneModel(Method):
    """Trains `part` of the base's own model in place, one task after another."""

    def __init__(self, course: Course, settings: Any) -> None:
        super().__init__(course, settings)
        self.part = self.build_part()

    def build_part(self) -> ModelPart:
        """What of the model is trained."""
        model = self.course.base.model
        return ModelPart(model, all_but_tower(model))

    def added_loss(self, stage: int) -> AddedLoss | None:
        """What a stage's training steps add to the step loss."""
        return None

    def after(self, stage: int) -> None:
        """What is to be remembered of a task once it is learned."""

    def learn(self, stage: int) -> Learning:
        lesson = self.course.lessons[stage - 1]
        result = train_part(
            self.course.base,
            self.part,
            self.course.batches(lesson.train),
            self.course.validation(lesson.source.groups("calibration")),
            self.course.training(self.config.learning_rate),
            self.course.run_dir(stage),
            added=self.added_loss(stage),
            resume=True,
            on_log=self.course.progress(lesson.task),
        )
        self.after(stage)
        return learning(result)

    def state(self) -> dict[str, Tensor]:
        return self.part.state()

    def load_state(self, tensors: Mapping[str, Tensor], stage: int) -> None:
        self.part.load_state({name: tensors[name] for name in self.part.names})


def learn_bank(course: Course, bank: Bank, stage: int, learning_rate: float) -> Learning:
    """Trains a bank on the task of a stage."""
    lesson = course.lessons[stage - 1]
    result = train_bank(
        course.base,
        bank,
        course.batches(lesson.train),
        course.validation(lesson.source.groups("calibration")),
        course.training(learning_rate),
        course.run_dir(stage),
        resume=True,
        on_log=course.progress(lesson.task),
    )
    return learning(result)


def learning(result: TrainResult) -> Learning:
    """What a training took, as a method tells it."""
    checked = [record for record in result.history if "val/loss" in record]
    curve = tuple(
        (int(record["step"]), math.exp(-record.get("val/loss/answer", record["val/loss"]))) for record in checked
    )
    return Learning(result.seconds, curve)
