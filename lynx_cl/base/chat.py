"""Requests as a base reads them: in its processor's own chat template, as the inputs of a forward."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lynx_cl.base.processor import continues_in_suffix
from lynx_cl.base.spread import device_of
from lynx_cl.errors import LynxError

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from lynx_cl.base.load import Base

Message = Mapping[str, Any]

_REASONED = "</think>"  # ends the reasoning before an answer
_OPENED = re.compile(r"<think>\s*$")
_MARK = "\u2460"  # stands for an answer


def message(role: str, text: str, images: int = 0) -> Message:
    """One turn of a conversation, its pictures before its text."""
    return {"role": role, "content": [{"type": "image"}] * images + [{"type": "text", "text": text}]}


def render(processor: Any, messages: Sequence[Message], *, prompt: bool) -> str:
    """A conversation as text, each picture one image token; with `prompt`, ready for the next answer.

    In the chat template of the processor or its tokenizer. A base without one (PaliGemma, a language model that is no
    assistant) gets each turn on a line of its own, an answer followed by the end-of-text token.

    A base that reasons before it answers is asked not to: with `enable_thinking` off where its template knows that,
    with the empty reasoning that its template writes before an answer (Qwen3's) at the prompt's end, and where a prompt
    opens the reasoning, with its end.
    """
    own = getattr(processor, "chat_template", None) or getattr(processor.tokenizer, "chat_template", None)
    if own:
        options: dict[str, Any] = {} if processor.chat_template else {"chat_template": own}
        if "enable_thinking" in str(own):
            options["enable_thinking"] = False

        def written(turns: Sequence[Message], asking: bool) -> str:
            text = processor.apply_chat_template(list(turns), add_generation_prompt=asking, tokenize=False, **options)
            return str(text)

        text = written(messages, prompt)
        if prompt and _REASONED in str(own):
            whole = written([*messages, message("assistant", _MARK)], False)
            lead = whole.removeprefix(text).partition(_MARK)[0] if whole.startswith(text) else ""
            text += lead if _REASONED in lead else ""
        if prompt and _OPENED.search(text):
            text = f"{text.rstrip()}\n\n{_REASONED}\n\n"
        return text
    plain = ""
    for turn in messages:
        parts = [part.get("text", processor.image_token) for part in turn["content"]]
        plain += "".join(parts) + (processor.tokenizer.eos_token if turn["role"] == "assistant" else "\n")
    ends_itself = continues_in_suffix(processor)  # such a processor ends each prompt with a line break
    return plain.removesuffix("\n") if prompt and ends_itself else plain


def without_reasoning(text: str) -> str:
    """A text without the empty reasoning in it.

    >>> without_reasoning("assistant: <think>\\n\\n</think>\\n\\n")
    'assistant: '
    """
    return re.sub(r"<think>\s*</think>\s*", "", text)


def chat_text(processor: Any, text: str, image: bool | int) -> str:
    """A prompt, about a picture (or so many) or none, in the processor's own chat template, ready for the answer."""
    return render(processor, [message("user", text, int(image))], prompt=True)


def check_template(processor: Any) -> None:
    """Raises LynxError where a chat template drops the picture or the question, or cannot render either."""
    from jinja2 import TemplateError

    mark = "Where is it?"
    try:
        text = chat_text(processor, mark, processor.image_token is not None)
    except (TemplateError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise LynxError(f"its chat template fails: {reason}; give it a template that works") from None
    if mark not in text:
        raise LynxError("its chat template drops the question; give it a template that writes the text of each turn")
    if processor.image_token is not None and text.count(processor.image_token) != 1:
        raise LynxError(
            f"its chat template drops the picture: no {processor.image_token} in what it writes of a question about "
            "one; give it the template that the model was trained with (chat_template.jinja beside the weights)"
        )


def writes_start(processor: Any, text: str) -> bool:
    """Whether a rendered text begins with the tokenizer's start token, so that no second one must be added."""
    start = getattr(processor.tokenizer, "bos_token", None)
    return bool(start and text.startswith(start))


def picture_tokens(processor: Any, size: tuple[int, int]) -> int:
    """How many tokens a prompt about a picture of (width, height) pixels has, its text empty.

    In many families that depends on the picture's size, and on nothing else of it.
    """
    from PIL import Image

    made = processor(text=[chat_text(processor, "", True)], images=[[Image.new("RGB", size)]], return_tensors="pt")
    return len(made["input_ids"][0])


def model_inputs(
    base: Base,
    texts: Sequence[str],
    images: Sequence[Image.Image | Sequence[Image.Image] | None],
    *,
    side: str = "left",
) -> dict[str, Tensor]:
    """The inputs of a forward over texts of `chat_text`, all with pictures or all without, padded on one side.

    `images` holds each text's picture, or its list of pictures. Floating inputs are in the model's dtype.
    """
    pictures = [[image] if hasattr(image, "convert") else list(image) for image in images if image is not None]
    # a prompt without a picture goes straight to the tokenizer: some processors refuse text alone
    read = base.processor if pictures else base.processor.tokenizer
    options = {"images": [[image.convert("RGB") for image in row] for row in pictures]} if pictures else {}
    inputs = read(
        text=list(texts),
        padding=True,
        padding_side=side,
        add_special_tokens=not writes_start(base.processor, texts[0]),
        return_tensors="pt",
        **options,
    )
    inputs.pop("labels", None)  # PaliGemma's writes them for every call
    device = device_of(base.model)
    kept = {name: value.to(device) for name, value in inputs.items()}
    return {name: value.to(base.model.dtype) if value.is_floating_point() else value for name, value in kept.items()}
