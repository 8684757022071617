"""What a release of transformers broke in a family, put right on the loaded model; each goes when its release does."""

from __future__ import annotations

from typing import Any


def repair(model: Any) -> None:
    """Puts a model right where its family is known not to run as released.

    Llama 4, transformers 5.24: the model reads `image_outputs` of its language model's output, which has no such field.
    """
    if model.config.model_type == "llama4":
        model.language_model.register_forward_hook(_with_image_outputs)


def _with_image_outputs(module: Any, inputs: Any, output: Any) -> Any:
    if not isinstance(output, tuple) and not hasattr(output, "image_outputs"):
        output.image_outputs = None
    return output
