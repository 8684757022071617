"""lynx: a frozen bank for each task beside a frozen base, and a router solved in closed form over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from lynx_cl.banks.attach import attach
from lynx_cl.banks.base import Bank, build_bank
from lynx_cl.banks.growth import growth
from lynx_cl.base.taps import find_taps
from lynx_cl.continual.bank_choice import BankChoices
from lynx_cl.continual.course import Course, Lesson
from lynx_cl.continual.measure import TaskMeasurement, TaskUnderTest, measure
from lynx_cl.continual.method import Added, Learning, Method, method
from lynx_cl.continual.one_model import learn_bank
from lynx_cl.continual.outside import KIND
from lynx_cl.errors import LynxError
from lynx_cl.registry.snapshot import BASE_TASK
from lynx_cl.router.embedders import Embedder, embedder_named, needs_base
from lynx_cl.router.requests import task_requests
from lynx_cl.router.router import Router
from lynx_cl.router.statistics import TaskStatistics, fit_task
from lynx_cl.router.stored import FILE


class LynxSettings(BankChoices):
    """`every` is that of all banks' taps. `embedder` is the router's, which is solved from `prompts` of each task."""

    every: int = Field(2, ge=1)
    learning_rate: float = Field(8e-3, gt=0)
    embedder: str = "text"
    prompts: int = Field(1500, ge=3)


@method(LynxSettings)
class Lynx(Method):
    """Banks by task, in the order in which they were learned, and what the router knows each by."""

    routes = True

    def __init__(self, course: Course, settings: Any) -> None:
        super().__init__(course, settings)
        self.check(settings, course.lessons, course.base.card.grammar)
        self.banks: dict[str, Bank] = {}
        self.statistics: dict[str, TaskStatistics] = {}
        own = Path(course.base.path) / FILE if course.base.path is not None else None
        if own is not None and own.is_file():
            self.statistics[BASE_TASK] = TaskStatistics.from_bytes(own.read_bytes(), str(own))
        self.embedder: Embedder = embedder_named(settings.embedder, course.base)
        known = self.statistics.get(BASE_TASK)
        if known is not None and known.embedder_digest != self.embedder.digest:
            why = f"base {course.base.card.name} knows its own requests by the embedder {known.embedder}; name that one"
            raise LynxError(f"lynx: embedder = {settings.embedder}: {why}")

    @classmethod
    def check(cls, settings: LynxSettings, lessons: Sequence[Lesson], grammar: str) -> None:
        settings.check_banks([lesson.card for lesson in lessons], grammar)
        if not needs_base(settings.embedder):
            embedder_named(settings.embedder, None)

    def learn(self, stage: int) -> Learning:
        lesson, bank = self.course.lessons[stage - 1], self._new_bank(stage)
        outside = bank.kind == KIND
        took = Learning(0.0) if outside else learn_bank(self.course, bank, stage, self.config.learning_rate)
        asked = task_requests(
            lesson.source.examples("train"),
            lesson.source.examples("calibration"),
            self.config.prompts,
            pictures=self.embedder.pictures,
        )
        self.banks[lesson.task] = bank
        self.statistics[lesson.task] = fit_task(lesson.task, asked.fit, self.embedder, asked.calibration)
        return took

    def measured(self, tests: Sequence[TaskUnderTest], batch_size: int) -> dict[str, TaskMeasurement]:
        router = Router.solve(list(self.statistics.values()), self.embedder)
        taps = {tap.name: tap for bank in self.banks.values() for tap in bank.taps}
        with attach(self.course.base.model, list(taps.values())) as attachment:
            for name, bank in self.banks.items():
                attachment.add(name, bank)
            return measure(self.course.base, attachment, router, tests, batch_size=batch_size)

    def added(self) -> Added:
        grown = [growth(bank, self.course.base.model) for bank in self.banks.values()]
        return Added(sum(g.parameters for g in grown), max((g.active_parameters for g in grown), default=0))

    def state(self) -> dict[str, Tensor]:
        tensors = {f"{task}/bank/{name}": t for task, bank in self.banks.items() for name, t in bank.state().items()}
        for task, statistics in self.statistics.items():
            tensors[f"{task}/router"] = torch.from_numpy(np.frombuffer(statistics.to_bytes(), np.uint8).copy())
        return tensors

    def load_state(self, tensors: Mapping[str, Tensor], stage: int) -> None:
        for number, lesson in enumerate(self.course.lessons[:stage], 1):
            bank, prefix = self._new_bank(number), f"{lesson.task}/bank/"
            bank.load_state({k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)})
            self.banks[lesson.task] = bank.requires_grad_(False).eval()
            kept = tensors[f"{lesson.task}/router"].numpy().tobytes()
            self.statistics[lesson.task] = TaskStatistics.from_bytes(kept, f"task {lesson.task}")

    def _new_bank(self, stage: int) -> Bank:
        base, card, config = self.course.base, self.course.lessons[stage - 1].card, self.config
        kind, values = config.bank_of(card, base.card.grammar)
        taps = find_taps(base.model, config.every, base.card.taps)
        return build_bank(kind, taps, base.model, values, self.course.seed)
