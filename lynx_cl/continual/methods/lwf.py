"""lwf: learning without forgetting (Li & Hoiem 2016).

On the new task's questions the model is held to what it would have said before: the loss gains strength times the
Kullback-Leibler divergence of its answer tokens from those of the model before the task, at a temperature. In the
paper each task has a head of its own, and the old heads alone are held; a language model has one, in which new and old
answers are at odds wherever they differ.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from lynx_cl.base.spread import move
from lynx_cl.continual.method import method
from lynx_cl.continual.one_model import FineTuning, OneModel
from lynx_cl.training.module import Added as AddedLoss
from lynx_cl.training.module import PartModule, StepModule
from lynx_cl.training.part import ModelPart


class LwfSettings(FineTuning):
    """`strength` of the divergence, and the `temperature` that both answers are softened by."""

    strength: float = Field(1.0, ge=0)
    temperature: float = Field(2.0, gt=0)


@method(LwfSettings)
class Lwf(OneModel):
    """Full fine-tuning, distilled from the model before each task, the base before the first."""

    def added_loss(self, stage: int) -> AddedLoss | None:
        course, heat = self.course, self.config.temperature
        model = copy.deepcopy(course.base.model)
        before = PartModule(model, ModelPart(model, self.part.names), course.training(self.config.learning_rate))

        def distilled(module: StepModule, batch: Any, logits: Tensor) -> Tensor:
            move(model, logits.device)
            with torch.no_grad():
                told = before.logits(batch)
            now, then = (F.log_softmax(part.float() / heat, -1) for part in (logits, told))
            return self.config.strength * F.kl_div(now, then, reduction="batchmean", log_target=True)

        return distilled
