"""Requests as a base reads them: in its processor's own chat template, as the inputs of a forward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

    from lynx_cl.base.load import Base


def chat_text(processor: Any, text: str, image: bool) -> str:
    """A prompt, about a picture or not, in the processor's own chat template, ready for the answer."""
    content = [{"type": "image"}] if image else []
    content.append({"type": "text", "text": text})
    turns = [{"role": "user", "content": content}]
    return str(processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))


def model_inputs(base: Base, texts: Sequence[str], images: Sequence[Image.Image | None]) -> Any:
    """The inputs of a forward over texts of `chat_text`, all with a picture or all without, padded on the left."""
    start = getattr(base.processor.tokenizer, "bos_token", None)
    inputs = base.processor(
        text=list(texts),
        images=[[image.convert("RGB")] for image in images if image is not None] or None,
        padding=True,
        padding_side="left",
        add_special_tokens=not (start and texts[0].startswith(start)),  # a template that writes it needs no second one
        return_tensors="pt",
    )
    return inputs.to(base.model.device, base.model.dtype)
