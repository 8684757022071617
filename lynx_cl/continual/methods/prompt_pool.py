"""prompt-pool: learning to prompt (L2P, Wang et al. 2022): a pool of learned prompts with keys beside a frozen model.

The state that the frozen model would begin its answer from is a request's query. The prompts whose keys are nearest to
it by cosine stand before the request's text, whatever the task. Keys are pulled to the queries that chose them, and in
training a prompt is the further the more often earlier tasks chose it (the paper's diversified selection).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from lynx_cl.base.settings import Settings
from lynx_cl.continual.course import Course
from lynx_cl.continual.marks import Marks
from lynx_cl.continual.measure import TaskMeasurement, TaskUnderTest
from lynx_cl.continual.method import Added, method
from lynx_cl.continual.one_model import OneModel
from lynx_cl.training.module import Added as AddedLoss
from lynx_cl.training.module import PartModule
from lynx_cl.training.part import ModelPart


class PromptPoolSettings(Settings):
    """`prompts` of `length` vectors in the pool, `chosen` of them a request; `pull` weighs keys against queries."""

    prompts: int = Field(24, ge=1)
    length: int = Field(4, ge=1)
    chosen: int = Field(4, ge=1)
    pull: float = Field(0.5, ge=0)
    learning_rate: float = Field(4e-2, gt=0)

    @model_validator(mode="after")
    def _within(self) -> PromptPoolSettings:
        if self.chosen > self.prompts:
            raise ValueError(f"chosen = {self.chosen} exceeds prompts = {self.prompts}")
        return self


class Pool(nn.Module):
    """Prompts, which start as words drawn at random, and their keys; both flat: each vector is trained as it is."""

    def __init__(self, words: Tensor, config: PromptPoolSettings, generator: torch.Generator) -> None:
        super().__init__()
        self.config, self.hidden = config, words.shape[1]
        drawn = torch.randint(len(words), (config.prompts * config.length,), generator=generator)
        self.prompts = nn.Parameter(words.detach().float().cpu()[drawn].flatten())
        self.keys = nn.Parameter(torch.randn(config.prompts * self.hidden, generator=generator))
        self.used = torch.zeros(config.prompts)  # how often earlier tasks chose each prompt
        self.chosen = torch.zeros(0, dtype=torch.long)  # at the last forward, (requests, chosen)
        self.distance = torch.zeros(())  # of queries from the keys they chose, in the mean

    def forward(self, queries: Tensor) -> Tensor:
        """The vectors of requests (requests, chosen * length, hidden) from their queries (requests, hidden)."""
        keys, prompts = self.keys.view(-1, self.hidden), self.prompts.view(self.config.prompts, -1)
        apart = 1 - F.normalize(queries, dim=-1) @ F.normalize(keys.to(queries), dim=-1).T
        often = (1 + self.used) / (1 + self.used).sum() if torch.is_grad_enabled() else torch.ones_like(self.used)
        self.chosen = (apart.detach() * often.to(apart)).topk(self.config.chosen, largest=False).indices
        self.distance = apart.gather(1, self.chosen).mean()
        return prompts[self.chosen].reshape(len(queries), -1, self.hidden)


class _PoolPart(ModelPart):
    """The pool as what is trained; it acts on what enters the decoder, so that pictures come to it as ever."""

    def __init__(self, model: nn.Module, marks: Marks) -> None:
        super().__init__(model, ["prompt_pool.prompts", "prompt_pool.keys"])
        self.below_is_frozen, self._marks = True, marks

    def acting(self, batch: Any) -> AbstractContextManager[None]:
        return self._marks.training_on(batch)


@method(PromptPoolSettings)
class PromptPool(OneModel):
    """One pool for all tasks."""

    def __init__(self, course: Course, settings: Any) -> None:
        words = course.base.model.get_input_embeddings().weight
        self.pool = Pool(words, settings, torch.Generator().manual_seed(course.seed)).to(words.device)
        course.base.model.add_module("prompt_pool", self.pool)
        self.marks = Marks(course.base, settings.chosen * settings.length, self.pool)
        super().__init__(dataclasses.replace(course, lessons=tuple(map(self.marks.lesson, course.lessons))), settings)

    def build_part(self) -> ModelPart:
        return _PoolPart(self.course.base.model, self.marks)

    def added_loss(self, stage: int) -> AddedLoss | None:
        return lambda module, batch, logits: self.config.pull * self.pool.distance

    def after(self, stage: int) -> None:
        course, kept = self.course, self.course.lessons[stage - 1].source.groups("calibration")
        module = PartModule(course.base.model, self.part, course.training(self.config.learning_rate))
        for batch in course.validation(kept):
            with torch.no_grad():
                module.logits(batch)
            self.pool.used += self.pool.chosen.flatten().cpu().bincount(minlength=self.config.prompts)

    def measured(self, tests: Sequence[TaskUnderTest], batch_size: int) -> dict[str, TaskMeasurement]:
        return super().measured(list(map(self.marks.test, tests)), batch_size)

    def added(self) -> Added:
        one = self.config.chosen * (self.config.length + 1) * self.pool.hidden
        return Added(sum(parameter.numel() for parameter in self.part.parameters()), one)

    def state(self) -> dict[str, Tensor]:
        return super().state() | {"used": self.pool.used}

    def load_state(self, tensors: Mapping[str, Tensor], stage: int) -> None:
        super().load_state(tensors, stage)
        self.pool.used = tensors["used"].clone()
