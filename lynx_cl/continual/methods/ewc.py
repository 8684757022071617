"""ewc: elastic weight consolidation (Kirkpatrick et al. 2017), in its online form (Schwarz et al. 2018).

What earlier tasks need stays near where it was: the loss gains strength / 2 * sum_i F_i (theta_i - theta*_i)^2, theta*
being the parameters after the last task and F the sum of the tasks' diagonal Fisher information, each earlier one
weighted by `decay` once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from lynx_cl.continual.course import Course
from lynx_cl.continual.method import method
from lynx_cl.continual.one_model import FineTuning, OneModel
from lynx_cl.training.batches import make_batch
from lynx_cl.training.module import Added as AddedLoss
from lynx_cl.training.module import PartModule, StepModule


class EwcSettings(FineTuning):
    """`strength` of the penalty; `decay` of earlier tasks; `pictures` of a task that its Fisher information is of."""

    strength: float = Field(1e4, ge=0)
    decay: float = Field(1.0, ge=0, le=1)
    pictures: int = Field(64, ge=1)


@method(EwcSettings)
class Ewc(OneModel):
    """Full fine-tuning under a quadratic penalty."""

    def __init__(self, course: Course, settings: Any) -> None:
        super().__init__(course, settings)
        self.fisher: dict[str, Tensor] = {}
        self.anchor: dict[str, Tensor] = {}

    def added_loss(self, stage: int) -> AddedLoss | None:
        if not self.fisher:
            return None

        def penalty(module: StepModule, batch: Any, logits: Tensor) -> Tensor:
            own = dict(zip(self.part.names, self.part.parameters(), strict=True))
            parts = [
                (self.fisher[name].to(p) * (p - self.anchor[name].to(p)).square()).sum() for name, p in own.items()
            ]
            return self.config.strength / 2 * torch.stack(parts).sum()

        return penalty

    def after(self, stage: int) -> None:
        self.anchor = self.part.copy()
        fisher = self._fisher(stage)
        before = self.fisher or {name: torch.zeros_like(tensor) for name, tensor in fisher.items()}
        self.fisher = {name: self.config.decay * before[name] + fisher[name] for name in fisher}

    def _fisher(self, stage: int) -> dict[str, Tensor]:
        """The mean over pictures of the squared gradient of the step loss: the empirical diagonal."""
        course, groups = self.course, self.course.lessons[stage - 1].train
        count = min(self.config.pictures, len(groups))
        self.part.requires_grad_(True)
        module = PartModule(course.base.model, self.part, course.training(self.config.learning_rate))
        total = {name: torch.zeros_like(tensor) for name, tensor in self.anchor.items()}
        for index in range(count):
            loss, _ = module.losses(make_batch(course.base, [groups[index]]))
            gradients = torch.autograd.grad(loss, list(self.part.parameters()), allow_unused=True)
            for name, gradient in zip(self.part.names, gradients, strict=True):
                if gradient is not None:
                    total[name] += gradient.square() / count
        self.part.requires_grad_(False)
        return total

    def state(self) -> dict[str, Tensor]:
        more = {"fisher": self.fisher, "anchor": self.anchor}
        return super().state() | {f"{kind}/{name}": t for kind, own in more.items() for name, t in own.items()}

    def load_state(self, tensors: Mapping[str, Tensor], stage: int) -> None:
        super().load_state(tensors, stage)
        self.fisher = {name: tensors[f"fisher/{name}"] for name in self.part.names}
        self.anchor = {name: tensors[f"anchor/{name}"] for name in self.part.names}
