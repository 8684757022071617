"""sequential: the model is fine-tuned on one task after another, and nothing is done against forgetting."""

from __future__ import annotations

from lynx_cl.continual.method import method
from lynx_cl.continual.one_model import FineTuning, OneModel


@method(FineTuning)
class Sequential(OneModel):
    """Full fine-tuning in sequence."""
