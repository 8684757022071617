"""Greedy answers in batches, each row by its own bank or mix of banks.

Requests of equal length in tokens share a batch, so that nothing is padded and an answer does not depend on its
company. Where a processor still makes rows of one batch differ, they are padded on the left. Rows of a bank outside the
base (banks/external.py) are answered by it, and take no part in a forward.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from lynx_cl.banks.external import answer_outside
from lynx_cl.base.chat import chat_text, model_inputs, picture_tokens
from lynx_cl.data.template import stops
from lynx_cl.router.embedders import Request, Rows, Sight

if TYPE_CHECKING:
    from lynx_cl.banks.attach import Attachment, Owner
    from lynx_cl.base.load import Base

LONGEST = 192  # tokens of an answer, where nothing else is said: a list of eight things with their boxes
__all__ = ["LONGEST", "Request", "Said", "answer", "answer_on_the_way", "answer_weighed"]


@dataclass(frozen=True)
class Said:
    """An answer, and for each of its tokens where in the text it stands, (start, end), and its log probability.

    The probability is the one that the model gave the token it chose, after whatever the base's own generation settings
    do to it (none of ours does anything). What ends an answer is no part of it; a token may stand for no letter.
    """

    text: str
    spans: tuple[tuple[int, int], ...] = ()
    logs: tuple[float, ...] = ()


class _Watch(LogitsProcessor):
    """Notes the log probability of the likeliest token of each step and row; that is the token which greedy takes."""

    def __init__(self) -> None:
        self.steps: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.steps.append(scores.float().log_softmax(-1).max(-1).values)
        return scores


def answer(
    base: Base,
    attachment: Attachment | None,
    requests: Sequence[Request],
    banks: Sequence[Owner],
    *,
    max_new_tokens: int = LONGEST,
    batch_size: int = 32,
) -> list[str]:
    """The answer to each request, by the bank named for it (None: the base), decoded greedily and stripped.

    A mapping of names to weights in the place of a name is answered by their mix. `attachment` None is the plain base.
    Raises ValueError where banks are named without an attachment, or not one for each request; UsageError for a bank
    that is not attached, and for wrong weights.
    """
    answers = [""] * len(requests)
    for places, inputs in _owned(base, attachment, requests, banks, answers, batch_size):
        _answer_batch(base, inputs, places, answers, max_new_tokens)
    return answers


def answer_weighed(
    base: Base,
    attachment: Attachment | None,
    requests: Sequence[Request],
    banks: Sequence[Owner],
    *,
    max_new_tokens: int = LONGEST,
    batch_size: int = 32,
) -> list[Said]:
    """As `answer`, with how probable each token of an answer was; raises as it does.

    What a bank outside the base answers has no tokens, and counts as certain.
    """
    texts = [""] * len(requests)
    inside: dict[int, Said] = {}
    for places, inputs in _owned(base, attachment, requests, banks, texts, batch_size):
        watch = _Watch()
        new = _new_tokens(base, inputs, max_new_tokens, logits_processor=LogitsProcessorList([watch])).tolist()
        logs = torch.stack(watch.steps, 1).tolist()
        for index, ids, own in zip(places, new, logs, strict=True):
            inside[index] = _said(base, ids, own)
    return [inside.get(i, Said(text, ((0, len(text)),), (0.0,))) for i, text in enumerate(texts)]


def answer_on_the_way(
    base: Base,
    attachment: Attachment,
    requests: Sequence[Request],
    embedder: Sight,
    route: Callable[[Sequence[int], Rows], Sequence[Owner]],
    *,
    max_new_tokens: int = LONGEST,
    batch_size: int = 32,
) -> list[str]:
    """As `answer`, each request routed within its own forward: nothing below the first tap is computed twice.

    `route` is given the places of some requests and their vectors, and says who answers each. Every request needs a
    picture. Vectors of requests that share a forward may differ in their last bits from those of each alone.
    """
    answers = [""] * len(requests)
    owners: dict[int, Owner] = {}
    for rows, inputs in _batches(base, requests, batch_size):
        own = [requests[i] for i in rows]

        def ask(states: Tensor, rows: Any = rows, own: Any = own, inputs: Any = inputs) -> Sequence[Owner]:
            chosen = route(rows, embedder.pooled(own, states, inputs))
            owners.update(zip(rows, chosen, strict=True))
            return chosen

        with attachment.routed(embedder.layer, ask):
            _answer_batch(base, inputs, rows, answers, max_new_tokens)
    _answer_outside(attachment, requests, [owners[i] for i in range(len(requests))], answers)
    return answers


def _owned(
    base: Base,
    attachment: Attachment | None,
    requests: Sequence[Request],
    banks: Sequence[Owner],
    answers: list[str],
    batch_size: int,
) -> Iterator[tuple[list[int], Any]]:
    """As `_batches`; while a batch is out, its rows are those of their banks.

    Rows of a bank outside the base are in no batch: their answers are filled in. Raises as `answer`.
    """
    if len(banks) != len(requests):
        raise ValueError(f"{len(requests)} requests, but banks for {len(banks)}")
    if attachment is None and any(bank is not None for bank in banks):
        raise ValueError("a bank is named, but none is attached")
    told = _answer_outside(attachment, requests, banks, answers)
    inside = [i for i in range(len(requests)) if i not in told]
    for rows, inputs in _batches(base, [requests[i] for i in inside], batch_size):
        places = [inside[row] for row in rows]
        with attachment.rows([banks[i] for i in places]) if attachment is not None else nullcontext():
            yield places, inputs


def _answer_outside(
    attachment: Attachment | None, requests: Sequence[Request], banks: Sequence[Owner], answers: list[str]
) -> set[int]:
    """Fills in the answers of the rows that a bank outside the base answers, and gives their places."""
    if attachment is None:
        return set()
    outside = [answer_outside(attachment.banks, bank) for bank in banks]
    for i, (request, bank) in enumerate(zip(requests, outside, strict=True)):
        if bank is not None:
            answers[i] = bank.answer(request.text, request.image)
    return {i for i, bank in enumerate(outside) if bank is not None}


def _answer_batch(base: Base, inputs: Any, rows: Sequence[int], answers: list[str], max_new_tokens: int) -> None:
    """Fills in the answers of some rows."""
    new = _new_tokens(base, inputs, max_new_tokens)
    for index, text in zip(rows, base.processor.batch_decode(new, skip_special_tokens=True), strict=True):
        answers[index] = text.strip()


def _new_tokens(base: Base, inputs: Any, max_new_tokens: int, **options: Any) -> Tensor:
    """The tokens that greedy decoding writes behind the inputs: (batch, tokens)."""
    with torch.inference_mode():
        output = base.model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            pad_token_id=base.processor.tokenizer.pad_token_id,
            **_ends(base),
            **options,
        )
    return output[:, inputs["input_ids"].shape[1] :]


def _said(base: Base, ids: list[int], logs: list[float]) -> Said:
    """One row's answer: its text is what `answer` gives, a token stands where its text comes in addition."""
    ends = set(_ends(base).get("eos_token_id", ()))
    length = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    decode = base.processor.tokenizer.decode
    starts = [decode(ids[:count], skip_special_tokens=True) for count in range(length + 1)]
    whole = starts[-1]
    text, lead = whole.strip(), len(whole) - len(whole.lstrip())
    marks = [min(max(len(start) - lead, 0), len(text)) for start in starts]
    return Said(text, tuple(itertools.pairwise(marks)), tuple(logs[:length]))


def _ends(base: Base) -> dict[str, list[int]]:
    """What ends an answer: what the base says ends one, and what banks learned to end theirs with."""
    own = base.model.generation_config.eos_token_id
    own = [] if own is None else own if isinstance(own, list) else [own]
    ends = sorted({*own, *stops(base.processor)})
    return {"eos_token_id": ends} if ends else {}


def _batches(base: Base, requests: Sequence[Request], batch_size: int) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Places of requests that go together, and their inputs."""
    texts = [chat_text(base.processor, request.text, request.image is not None) for request in requests]
    for rows in _together(base.processor, texts, requests, batch_size):
        yield rows, model_inputs(base, [texts[i] for i in rows], [requests[i].image for i in rows])


def _together(
    processor: Any, texts: Sequence[str], requests: Sequence[Request], batch_size: int
) -> list[tuple[int, ...]]:
    """Places of requests that share a forward: equally long, all with a picture or all without."""
    sizes = {request.image.size for request in requests if request.image is not None}
    tokens = {size: picture_tokens(processor, size) for size in sizes}
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, (text, request) in enumerate(zip(texts, requests, strict=True)):
        of_picture = 0 if request.image is None else tokens[request.image.size]
        groups[len(processor.tokenizer(text)["input_ids"]), of_picture].append(index)
    return [
        tuple(members[start : start + batch_size])
        for _, members in sorted(groups.items())
        for start in range(0, len(members), batch_size)
    ]
