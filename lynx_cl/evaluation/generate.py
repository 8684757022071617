"""Greedy answers in batches, each row by its own bank or mix of banks.

Requests of equal length in tokens share a batch, so that nothing is padded and an answer does not depend on its
company. Where a processor still makes rows of one batch differ, they are padded on the left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

from lynx_cl.router.embedders import Request

if TYPE_CHECKING:
    from lynx_cl.banks.attach import Attachment, Owner
    from lynx_cl.base.load import Base

__all__ = ["Request", "answer", "chat_text"]


def chat_text(processor: Any, request: Request) -> str:
    """The request in the processor's own chat template, ready for the answer."""
    content = [{"type": "image"}] if request.image is not None else []
    content.append({"type": "text", "text": request.text})
    turns = [{"role": "user", "content": content}]
    return processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)


def answer(
    base: Base,
    attachment: Attachment | None,
    requests: Sequence[Request],
    banks: Sequence[Owner],
    *,
    max_new_tokens: int = 64,
    batch_size: int = 32,
) -> list[str]:
    """The answer to each request, by the bank named for it (None: the base), decoded greedily and stripped.

    A mapping of names to weights in the place of a name is answered by their mix. `attachment` None is the plain base.
    Raises ValueError where banks are named without an attachment, or not one for each request; UsageError for a bank
    that is not attached, and for wrong weights.
    """
    if len(banks) != len(requests):
        raise ValueError(f"{len(requests)} requests, but banks for {len(banks)}")
    if attachment is None and any(bank is not None for bank in banks):
        raise ValueError("a bank is named, but none is attached")
    texts = [chat_text(base.processor, request) for request in requests]
    answers = [""] * len(requests)
    for rows in _batches(base.processor.tokenizer, texts, requests, batch_size):
        inputs = _inputs(base, [texts[i] for i in rows], [requests[i].image for i in rows])
        routed = attachment.rows([banks[i] for i in rows]) if attachment is not None else nullcontext()
        with torch.inference_mode(), routed:
            output = base.model.generate(
                **inputs,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                num_beams=1,
                pad_token_id=base.processor.tokenizer.pad_token_id,
            )
        new = output[:, inputs["input_ids"].shape[1] :]
        for index, text in zip(rows, base.processor.batch_decode(new, skip_special_tokens=True), strict=True):
            answers[index] = text.strip()
    return answers


def _batches(
    tokenizer: Any, texts: Sequence[str], requests: Sequence[Request], batch_size: int
) -> list[tuple[int, ...]]:
    """Indices of requests that go together: equally long, all with a picture or all without."""
    groups: dict[tuple[int, bool], list[int]] = defaultdict(list)
    for index, (text, request) in enumerate(zip(texts, requests, strict=True)):
        groups[len(tokenizer(text)["input_ids"]), request.image is not None].append(index)
    return [
        tuple(members[start : start + batch_size])
        for _, members in sorted(groups.items())
        for start in range(0, len(members), batch_size)
    ]


def _inputs(base: Base, texts: list[str], images: list[Any]) -> Any:
    start = base.processor.tokenizer.bos_token
    inputs = base.processor(
        text=texts,
        images=[[image.convert("RGB")] for image in images] if images[0] is not None else None,
        padding=True,
        padding_side="left",
        add_special_tokens=not (start and texts[0].startswith(start)),  # a template that writes it needs no second one
        return_tensors="pt",
    )
    return inputs.to(base.model.device, base.model.dtype)
