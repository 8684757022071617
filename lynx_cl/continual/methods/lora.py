"""lora: one low-rank adapter (Hu et al. 2022, by peft) is trained on one task after another."""

from __future__ import annotations

from pydantic import Field

from lynx_cl.base.settings import Settings
from lynx_cl.continual.adapters import adapter_names, inject, linear_names, stacked_names
from lynx_cl.continual.method import Added, method
from lynx_cl.continual.one_model import OneModel
from lynx_cl.training.part import ModelPart


class LoraSettings(Settings):
    """`rank` of the adapter at every projection of the decoder; `alpha` as peft means it."""

    rank: int = Field(16, ge=1)
    alpha: float = Field(32, gt=0)
    learning_rate: float = Field(2e-3, gt=0)


@method(LoraSettings)
class Lora(OneModel):
    """Sequential fine-tuning of one adapter at every linear projection and stack of experts of the decoder."""

    def build_part(self) -> ModelPart:
        from peft import LoraConfig

        model = self.course.base.model
        config = LoraConfig(
            r=self.config.rank,
            lora_alpha=self.config.alpha,
            target_modules=linear_names(model),
            target_parameters=stacked_names(model),
            init_lora_weights=True,
        )
        inject(model, config, self.course.seed)
        return ModelPart(model, adapter_names(model, "lora_"))

    def added(self) -> Added:
        count = sum(parameter.numel() for parameter in self.part.parameters())
        return Added(count, count)
