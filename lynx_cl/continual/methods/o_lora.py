"""o-lora: a new low-rank adapter for each task, in a subspace orthogonal to the earlier ones (Wang et al. 2023).

All adapters act together, whatever the task; only the newest is trained, and the loss gains strength times the sum of
the absolute inner products of its input directions with those of every earlier adapter of its layer. Adapters are at
linear projections alone: stacks of experts have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from lynx_cl.base.settings import Settings
from lynx_cl.continual.adapters import adapter_names, inject, linear_names
from lynx_cl.continual.course import Course
from lynx_cl.continual.method import Added, Learning, method
from lynx_cl.continual.one_model import OneModel
from lynx_cl.training.module import Added as AddedLoss
from lynx_cl.training.module import StepModule
from lynx_cl.training.part import ModelPart


class OLoraSettings(Settings):
    """`rank` and peft's `alpha` of each adapter at the decoder's linear projections; `strength` of orthogonality."""

    rank: int = Field(8, ge=1)
    alpha: float = Field(16, gt=0)
    strength: float = Field(0.5, ge=0)
    learning_rate: float = Field(2e-3, gt=0)


@method(OLoraSettings)
class OLora(OneModel):
    """One adapter a task, named by its stage; `part` is the newest."""

    def __init__(self, course: Course, settings: Any) -> None:
        self.targets = linear_names(course.base.model)
        self.stages = 0
        super().__init__(course, settings)

    def build_part(self) -> ModelPart:
        """Puts the next stage's adapter beside those that are there."""
        from peft import LoraConfig
        from peft.tuners.lora import LoraLayer

        model, number = self.course.base.model, self.stages + 1
        config = LoraConfig(r=self.config.rank, lora_alpha=self.config.alpha, target_modules=self.targets)
        inject(model, config, self.course.seed + number, name=f"task{number}")
        for module in model.modules():
            if isinstance(module, LoraLayer):
                module.set_adapter([f"task{i}" for i in range(1, number + 1)])
        model.requires_grad_(False)
        self.stages = number
        return ModelPart(model, adapter_names(model, f".task{number}."))

    def learn(self, stage: int) -> Learning:
        if self.stages < stage:
            self.part = self.build_part()
        return super().learn(stage)

    def added_loss(self, stage: int) -> AddedLoss | None:
        known = dict(self.course.base.model.named_parameters())
        own = [name for name in self.part.names if "lora_A" in name]
        pairs = [
            (known[name], torch.cat([known[name.replace(f".task{stage}.", f".task{i}.")] for i in range(1, stage)]))
            for name in (own if stage > 1 else [])
        ]
        if not pairs:
            return None

        def overlap(module: StepModule, batch: Any, logits: Tensor) -> Tensor:
            inner = [(old.to(new.device) @ new.T).abs().sum() for new, old in pairs]
            return self.config.strength * torch.stack(inner).sum()

        return overlap

    def added(self) -> Added:
        count = sum(tensor.numel() for tensor in self.state().values())
        return Added(count, count)

    def state(self) -> dict[str, Tensor]:
        model = self.course.base.model
        return ModelPart(model, adapter_names(model, "lora_")).state()

    def load_state(self, tensors: Mapping[str, Tensor], stage: int) -> None:
        while self.stages < stage:
            self.part = self.build_part()
        model = self.course.base.model
        ModelPart(model, adapter_names(model, "lora_")).load_state(tensors)
