"""osf: orthogonal subspace fine-tuning (Nayak et al. 2025, by peft).

Before each task every linear projection of the decoder is taken apart by its singular values. The directions of the
greatest ones are kept as they are, and the task is learned in the rest; then both are one matrix again. The paper
trains the whole model and keeps more of the layers that change their input less; here one share holds for all, and
stacks of experts, which peft's OSF does not take, stay as they are.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from lynx_cl.base.settings import Settings
from lynx_cl.continual.adapters import adapter_names, inject, linear_names
from lynx_cl.continual.course import Course
from lynx_cl.continual.method import Learning, method
from lynx_cl.continual.one_model import OneModel
from lynx_cl.training.part import ModelPart


class OsfSettings(Settings):
    """`kept` is the share of the directions that the first task leaves alone; it rises to 1 after the last."""

    kept: float = Field(0.5, gt=0, lt=1)
    learning_rate: float = Field(2e-3, gt=0)


@method(OsfSettings)
class Osf(OneModel):
    """Fine-tuning of the decoder's linear projections within their lesser directions."""

    def __init__(self, course: Course, settings: Any) -> None:
        self.targets = linear_names(course.base.model)
        super().__init__(course, settings)

    def build_part(self) -> ModelPart:
        """The projections themselves, whole."""
        return ModelPart(self.course.base.model, [f"{name}.weight" for name in self.targets])

    def learn(self, stage: int) -> Learning:
        from peft import OSFConfig
        from peft.tuners.osf.layer import OSFLayer

        model, whole = self.course.base.model, self.part
        share = self.config.kept + (1 - self.config.kept) * (stage - 1) / len(self.course.lessons)
        inject(model, OSFConfig(target_modules=self.targets, effective_rank=share), self.course.seed)
        self.part = ModelPart(model, adapter_names(model, "osf_svd_params"))
        took = super().learn(stage)
        for name, layer in list(model.named_modules()):
            if isinstance(layer, OSFLayer):
                layer.merge()
                model.set_submodule(name, layer.get_base_layer())
        model.requires_grad_(False)
        self.part = whole
        return took
