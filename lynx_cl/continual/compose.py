"""A request that needs several banks, answered as a plan: each clause routed by itself and answered by its own bank."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lynx_cl.continual.clauses import split_request
from lynx_cl.evaluation.generate import LONGEST, Request, answer

if TYPE_CHECKING:
    from lynx_cl.banks.attach import Attachment
    from lynx_cl.base.load import Base

__all__ = ["Decide", "Part", "answer_plan", "split_request"]

#: Requests -> the task that answers each, as a router decides.
Decide = Callable[[Sequence[Request]], Sequence[str]]


@dataclass(frozen=True)
class Part:
    """One clause of a request, the task that it was routed to, and the answer."""

    text: str
    task: str
    answer: str


def answer_plan(
    base: Base,
    attachment: Attachment,
    requests: Sequence[Request],
    decide: Decide,
    *,
    max_new_tokens: int = LONGEST,
    batch_size: int = 32,
) -> list[tuple[Part, ...]]:
    """The parts of each request's answer, in the order of its clauses, all about its picture.

    A task without a bank in `attachment` is answered by the base. Raises ValueError where `decide` does not give one
    task for each clause.
    """
    clauses = [split_request(request.text) for request in requests]
    asked = [Request(text, request.image) for request, texts in zip(requests, clauses, strict=True) for text in texts]
    tasks = list(decide(asked))
    if len(tasks) != len(asked):
        raise ValueError(f"{len(asked)} clauses, but tasks for {len(tasks)}")
    banks = [task if task in attachment.banks else None for task in tasks]
    texts = answer(base, attachment, asked, banks, max_new_tokens=max_new_tokens, batch_size=batch_size)
    parts = iter(Part(request.text, *rest) for request, *rest in zip(asked, tasks, texts, strict=True))
    return [tuple(next(parts) for _ in texts) for texts in clauses]
