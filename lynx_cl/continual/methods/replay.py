"""replay: each step also trains on a few pictures of earlier tasks, kept in a buffer (Chaudhry et al. 2019)."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor

from lynx_cl.continual.buffer import Buffer
from lynx_cl.continual.method import method
from lynx_cl.continual.one_model import FineTuning, OneModel
from lynx_cl.training.module import Added as AddedLoss
from lynx_cl.training.module import StepModule


class ReplaySettings(FineTuning):
    """`buffer` pictures are kept of all earlier tasks together, `replayed` of them go beside each batch."""

    buffer: int = Field(200, ge=1)
    replayed: int = Field(6, ge=1)


@method(ReplaySettings)
class Replay(OneModel):
    """Full fine-tuning, the step loss of a replayed batch added to that of the new one."""

    def added_loss(self, stage: int) -> AddedLoss | None:
        if stage == 1:
            return None
        buffer = Buffer(self.course, stage - 1, self.config.buffer)

        def replayed(module: StepModule, batch: Any, logits: Tensor) -> Tensor:
            kept = buffer.batch(*buffer.draw(module.steps_done, self.config.replayed))
            return module.losses(module.placed(kept))[0]

        return replayed
