"""derpp: dark experience replay ++ (Buzzega et al. 2020).

Beside each batch, a few kept pictures of earlier tasks are held to the logits that the model gave them once, and others
to their true answers: the loss gains alpha times the mean squared difference, and beta times the step loss. The paper
fills its buffer while it trains, by reservoir; here each task has its share, and its logits are of its stage's end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from lynx_cl.continual.buffer import Buffer
from lynx_cl.continual.course import Course
from lynx_cl.continual.method import method
from lynx_cl.continual.methods.replay import ReplaySettings
from lynx_cl.continual.one_model import OneModel
from lynx_cl.training.module import Added as AddedLoss
from lynx_cl.training.module import PartModule, StepModule


class DerppSettings(ReplaySettings):
    """`alpha` weighs the logits of old, `beta` the true answers; the rest as of replay."""

    alpha: float = Field(0.1, ge=0)
    beta: float = Field(0.5, ge=0)


@method(DerppSettings)
class Derpp(OneModel):
    """Full fine-tuning with replay of answers and of logits, which are those at the end of a picture's own stage."""

    def __init__(self, course: Course, settings: Any) -> None:
        super().__init__(course, settings)
        self.dark: dict[tuple[int, int], Tensor] = {}  # by stage and place: (answer tokens, vocabulary)

    def added_loss(self, stage: int) -> AddedLoss | None:
        if stage == 1:
            return None
        buffer = Buffer(self.course, stage - 1, self.config.buffer)

        def replayed(module: StepModule, batch: Any, logits: Tensor) -> Tensor:
            own, places = buffer.draw(2 * module.steps_done, self.config.replayed)
            now = module.logits(module.placed(buffer.batch(own, places))).float()
            then = torch.cat([self.dark[own, place] for place in places]).to(now)
            told = buffer.batch(*buffer.draw(2 * module.steps_done + 1, self.config.replayed))
            return self.config.alpha * F.mse_loss(now, then) + self.config.beta * module.losses(module.placed(told))[0]

        return replayed

    def after(self, stage: int) -> None:
        course = self.course
        buffer = Buffer(course, stage, self.config.buffer)
        module = PartModule(course.base.model, self.part, course.training(self.config.learning_rate))
        kept = {(s, p) for s, places in enumerate(buffer.kept, 1) for p in range(len(places))}
        self.dark = {key: logits for key, logits in self.dark.items() if key in kept}
        with torch.no_grad():
            for place in range(len(buffer.kept[-1])):
                self.dark[stage, place] = module.logits(buffer.batch(stage, [place])).to(torch.bfloat16)

    def state(self) -> dict[str, Tensor]:
        return super().state() | {f"dark/{stage}/{place}": t for (stage, place), t in self.dark.items()}

    def load_state(self, tensors: Mapping[str, Tensor], stage: int) -> None:
        super().load_state(tensors, stage)
        for key, logits in tensors.items():
            if key.startswith("dark/"):
                _, own, place = key.split("/")
                self.dark[int(own), int(place)] = logits
