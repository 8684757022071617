"""moelora: one mixture of low-rank experts with a gate is trained on task after task (as in CoIN, Chen et al. 2024).

It is the bank of kind `lora`, but a single one that every task writes to and every request goes through. The gate sees
the token, so that no task need be told; that of MOELoRA (Liu et al. 2023) is driven by the task's number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field
from torch import Tensor

from lynx_cl.banks.attach import attach
from lynx_cl.banks.base import build_bank, read_bank_config
from lynx_cl.banks.growth import growth
from lynx_cl.base.settings import Settings
from lynx_cl.base.taps import find_taps
from lynx_cl.continual.course import Course, Lesson
from lynx_cl.continual.measure import TaskMeasurement, TaskUnderTest, measure
from lynx_cl.continual.method import Added, Learning, Method, method
from lynx_cl.continual.one_model import learn_bank

SHARED = "shared"


class MoeLoraSettings(Settings):
    """`rank` of each of the `experts`, which act in and beside every feed-forward network and in attention."""

    rank: int = Field(14, ge=1)
    experts: int = Field(4, ge=2)
    learning_rate: float = Field(2e-3, gt=0)


@method(MoeLoraSettings)
class MoeLora(Method):
    """Sequential fine-tuning of one gated mixture."""

    def __init__(self, course: Course, settings: Any) -> None:
        super().__init__(course, settings)
        base, shape = course.base, {"rank": settings.rank, "experts": settings.experts, "attention": True}
        taps = find_taps(base.model, 1, base.card.taps)
        self.bank = build_bank("lora", taps, base.model, shape, course.seed)

    @classmethod
    def check(cls, settings: MoeLoraSettings, lessons: Sequence[Lesson], grammar: str) -> None:
        read_bank_config("lora", {"rank": settings.rank, "experts": settings.experts})

    def learn(self, stage: int) -> Learning:
        return learn_bank(self.course, self.bank, stage, self.config.learning_rate)

    def measured(self, tests: Sequence[TaskUnderTest], batch_size: int) -> dict[str, TaskMeasurement]:
        with attach(self.course.base.model, self.bank.taps) as attachment:
            attachment.add(SHARED, self.bank)
            return measure(self.course.base, attachment, None, tests, batch_size=batch_size, shared=SHARED)

    def added(self) -> Added:
        grown = growth(self.bank, self.course.base.model)
        return Added(grown.parameters, grown.active_parameters)

    def state(self) -> dict[str, Tensor]:
        return self.bank.state()

    def load_state(self, tensors: Mapping[str, Tensor], stage: int) -> None:
        self.bank.load_state(tensors)
        self.bank.requires_grad_(False).eval()
