"""Answers to the questions of a suite: as many as there are, by one bank that is named or by whoever the router sends.

They are asked in portions of a fixed number, so that memory stays flat and what is asked together does not hang on the
batch size.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lynx_cl.continual.learned import learned
from lynx_cl.continual.policy import owner
from lynx_cl.data.grammar import BoxGrammar, get_grammar
from lynx_cl.evaluation.generate import Request, Said, answer_weighed
from lynx_cl.registry.snapshot import BASE_TASK
from lynx_cl.registry.store import Registry
from lynx_cl.router.stored import load_router
from lynx_cl.tasks import TaskCard

if TYPE_CHECKING:
    from lynx_cl.banks.attach import Attachment, Owner
    from lynx_cl.base.load import Base

PORTION = 256  # requests


@dataclass(frozen=True)
class Told:
    """An answer, and the grammar of the task that gave it."""

    said: Said
    grammar: BoxGrammar


@dataclass
class Asker:
    """Asks a registry's banks. `by` counts the answers of each task; a mix counts for its greatest share."""

    base: Base
    attachment: Attachment
    grammars: Mapping[str, BoxGrammar]
    decide: Callable[[Sequence[Request]], Sequence[Owner]]
    batch_size: int
    tokens: int
    by: Counter[str] = field(default_factory=Counter)

    def answers(self, requests: Iterable[Request]) -> Iterator[Told]:
        """The answers in the order of the requests, which are drawn from as they are needed."""
        left = iter(requests)
        while portion := list(itertools.islice(left, PORTION)):
            owners = self.decide(portion)
            said = answer_weighed(
                self.base,
                self.attachment,
                portion,
                owners,
                max_new_tokens=self.tokens,
                batch_size=self.batch_size,
            )
            for one, text in zip(owners, said, strict=True):
                name = named(one)
                self.by[name] += 1
                yield Told(text, self.grammars[name])


@contextmanager
def asker(
    registry: Registry,
    base: Base,
    task: str | None,
    changes: Mapping[str, object] | None,
    batch_size: int,
    tokens: int,
) -> Iterator[Asker]:
    """Asks `task` (`base`: no bank), or, where that is None, whoever the router sends each request to.

    `changes` are put over the router's settings. Where the router would hand a request back, the likeliest task
    answers. Raises LynxError for banks that cannot be read, UsageError for a setting that is wrong.
    """
    known = learned(registry, base)
    plain = get_grammar(base.card.grammar)
    cards = {name: TaskCard(**version.manifest.card) for name, version in known.versions.items()}
    grammars = {BASE_TASK: plain, **{name: card.box_grammar(base.card.grammar) for name, card in cards.items()}}
    if task is not None or not known.banks:
        decide: Callable[[Sequence[Request]], Sequence[Owner]] = _always(task if task != BASE_TASK else None)
    else:
        router = load_router(registry, base.path, base, changes)

        def decide(requests: Sequence[Request]) -> Sequence[Owner]:
            return [owner(decision, router.config.several, known.banks) for decision in router.decide(requests)]

    with known.attached(base) as attachment:
        yield Asker(base, attachment, grammars, decide, batch_size, tokens)


def _always(task: str | None) -> Callable[[Sequence[Request]], Sequence[Owner]]:
    return lambda requests: [task] * len(requests)


def named(answerer: Owner) -> str:
    """The task that an answer is told by: of a mix that of the greatest share, of none the base."""
    if answerer is None or isinstance(answerer, str):
        return answerer or BASE_TASK
    return max(sorted(answerer), key=lambda name: answerer[name])
