"""separate: a whole model of its own for each task, and the task is given: the bound in quality, and in growth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field
from torch import Tensor

from lynx_cl.continual.course import Course
from lynx_cl.continual.measure import TaskMeasurement, TaskUnderTest, measure
from lynx_cl.continual.method import Added, Learning, method
from lynx_cl.continual.one_model import FineTuning, OneModel


class SeparateSettings(FineTuning):
    """Each model learns one task, once: its rate is the best for that."""

    learning_rate: float = Field(4e-3, gt=0)


@method(SeparateSettings)
class Separate(OneModel):
    """Full fine-tuning from the base for every task, each result kept."""

    given = True

    def __init__(self, course: Course, settings: Any) -> None:
        super().__init__(course, settings)
        self.start = self.part.copy()
        self.models: dict[str, dict[str, Tensor]] = {}

    def learn(self, stage: int) -> Learning:
        self.part.load_state(self.start)
        took = super().learn(stage)
        self.models[self.course.lessons[stage - 1].task] = self.part.copy()
        return took

    def measured(self, tests: Sequence[TaskUnderTest], batch_size: int) -> dict[str, TaskMeasurement]:
        told: dict[str, TaskMeasurement] = {}
        for test in tests:
            self.part.load_state(self.models.get(test.name, self.start))
            told |= measure(self.course.base, None, None, [test], batch_size=batch_size)
        return told

    def added(self) -> Added:
        count = sum(parameter.numel() for parameter in self.part.parameters())
        return Added(len(self.models) * count, 0)  # a token goes through one model, as it does in the base

    def state(self) -> dict[str, Tensor]:
        return {f"{task}/{name}": t for task, model in self.models.items() for name, t in model.items()}

    def load_state(self, tensors: Mapping[str, Tensor], stage: int) -> None:
        for lesson in self.course.lessons[:stage]:
            self.models[lesson.task] = {name: tensors[f"{lesson.task}/{name}"] for name in self.part.names}
