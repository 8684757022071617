"""Which requests of a task the router is solved from, and which it is calibrated on: other phrasings of other pictures.

A fifth of a task's training phrasings are held out from the router (not from the bank), so that its error is measured
on phrasings that it has not seen, as users' will be. Sources without phrasings give their calibration split instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

from lynx_cl.data.example import Example
from lynx_cl.router.embedders import Request

CALIBRATION = 200  # requests of a task: with those of one other task, enough to promise an error of 1 %
EVERY = 5
LOOKED_AT = 2  # times as many examples as are wanted are looked at to find them


@dataclass(frozen=True)
class TaskRequests:
    """What a task gives the router: requests to be solved from, and others to be calibrated on."""

    fit: tuple[Request, ...]
    calibration: tuple[Request, ...]


def held_out(phrasings: Iterable[str]) -> frozenset[str]:
    """One in EVERY phrasings, the same for the same set of them; none where there are fewer.

    >>> len(held_out(f"find {i}" for i in range(11)))
    2
    """
    ranked = sorted(set(phrasings) - {""}, key=lambda text: hashlib.sha256(text.encode()).digest())
    return frozenset(ranked[: len(ranked) // EVERY])


def task_requests(
    train: Iterable[Example], calibration: Iterable[Example], most: int, *, pictures: bool = False
) -> TaskRequests:
    """At most `most` requests to be solved from and CALIBRATION for calibration, each with its picture if `pictures`.

    Those for calibration are of the calibration split, and where that holds too few and pictures do not matter, of the
    training split in held-out phrasings.
    """
    trained = list(islice(train, LOOKED_AT * most))
    aside = held_out(example.phrasing for example in trained)
    fit = list(islice((e for e in trained if e.phrasing not in aside), most))
    known = {example.prompt for example in fit}
    kept = _distinct(e for e in calibration if (e.phrasing in aside if aside else e.prompt not in known))
    if aside and not pictures:
        kept = _distinct(chain(kept, (e for e in trained if e.phrasing in aside)))
    return TaskRequests(
        tuple(_request(example, pictures) for example in fit),
        tuple(_request(example, pictures) for example in islice(kept, CALIBRATION)),
    )


def _distinct(examples: Iterable[Example]) -> Iterator[Example]:
    seen: set[str] = set()
    for example in examples:
        if example.prompt not in seen:
            seen.add(example.prompt)
            yield example


def _request(example: Example, pictures: bool) -> Request:
    return Request(example.prompt, example.picture() if pictures else None)
