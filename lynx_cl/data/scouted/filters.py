"""What is refused of an annotator's labels, and why: every refusal is counted under its name in REASONS."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from lynx_cl.base.settings import Settings
from lynx_cl.data.example import Box
from lynx_cl.data.scouted.expressions import Claim, Said, expressions
from lynx_cl.data.scouted.findings import Seen, Thing, area, iou

SAME = 0.9  # IoU from which on two questions ask for the same box
LONGEST = 12  # words of a phrase
_ARTICLES = re.compile(r"^(the|a|an|this|that)\s+", re.IGNORECASE)
_UNUSABLE = re.compile(r"[:;\[\]{}\n\d<>]")  # what no phrase holds: coordinates, lists, markup

#: What can be refused: pictures, then things, then questions.
REASONS = {
    "unreadable": "pictures that cannot be opened, or have another size than their annotation says",
    "same picture": "pictures that have the bytes of an earlier one, or look like it",
    "unlabelled": "pictures that the annotator knows nothing of, or finds nothing in",
    "not asked": "pictures of which no question is left",
    "wrong": "annotations without an area, outside their picture, or without a known label",
    "off the list": "things of labels that were not asked for",
    "doubled": "boxes on a thing that is boxed already, by --doubled",
    "tiny": "things whose box is narrower or lower than --smallest",
    "not confirmed": "things of a label that the second annotator finds nowhere in the picture",
    "disagreed": "things that the second annotator boxes elsewhere",
    "crowded": "things of a label of which the picture holds a crowd",
    "ambiguous": "things that no expression tells from all others",
    "unusable": "phrases of the annotator's own that are too long, empty, or hold coordinates",
    "led elsewhere": "phrases that do not lead their own annotator back to the box",
    "repeated": "questions that another one asks already: the same words about the same box",
}


class Filters(Settings):
    """The bounds of what is kept.

    - `doubled`: from which IoU on two boxes of one annotator and label are of one thing.
    - `iou`: from which on two annotators mean the same box, and a phrase leads back to one.
    - `smallest`: the least width and height of a box, as a fraction of the picture's.
    """

    doubled: float = Field(0.7, gt=0, le=1)
    iou: float = Field(0.5, gt=0, le=1)
    smallest: float = Field(0.02, ge=0, lt=1)


@dataclass(frozen=True)
class Kept:
    """A thing that passed, and how well the second annotator agreed: the IoU of its box, None without one."""

    thing: Thing
    agreed: float | None


@dataclass(frozen=True)
class Question:
    """A question: what is said, the thing that it means, and the things that one must look at, in order."""

    said: Said
    answer: Kept
    relevant: tuple[Kept, ...]


def questions(
    seen: Seen, second: Seen | None, filters: Filters, rng: random.Random, refused: Counter[str]
) -> list[Question]:
    """All questions about a picture that `seen` answers; what is refused is counted."""
    refused["wrong"] += len(seen.faults)
    refused["off the list"] += seen.unlisted
    things = _single(seen.things, filters.doubled, refused)
    kept = {i: one for i, thing in enumerate(things) if (one := _passed(thing, second, filters, refused)) is not None}
    claims = [Claim(thing.label, thing.box, sure=i in kept) for i, thing in enumerate(things)]
    if second is not None:  # what it alone sees may be there
        claims += [Claim(t.label, t.box, sure=False) for t in second.things if not _known(t, things, filters.iou)]
    crowded = {*seen.crowded, *(second.crowded if second is not None else ())}
    made: list[Question] = []
    for i, one in kept.items():
        if one.thing.label in crowded:
            refused["crowded"] += 1
            continue
        said = expressions(claims, i, rng) + _phrases(one.thing, i, things, filters, refused)
        sure = [s for s in said if all(claims[j].words not in crowded for j in s.relevant)]
        if not sure:
            refused["ambiguous"] += 1
        made += [Question(s, one, tuple(kept[j] for j in s.relevant)) for s in sure]
    return _once(made, refused)


def _single(things: Sequence[Thing], least: float, refused: Counter[str]) -> list[Thing]:
    """The surest box of each thing, from left to right."""
    chosen: list[Thing] = []
    for thing in sorted(things, key=lambda one: (-one.score, one.box, one.label)):
        if any(thing.label == other.label and iou(thing.box, other.box) >= least for other in chosen):
            refused["doubled"] += 1
        else:
            chosen.append(thing)
    return sorted(chosen, key=lambda one: (one.box, one.label))


def _passed(thing: Thing, second: Seen | None, filters: Filters, refused: Counter[str]) -> Kept | None:
    x0, y0, x1, y1 = thing.box
    if area(thing.box) <= 0 or min(x1 - x0, y1 - y0) < filters.smallest:
        refused["tiny"] += 1
        return None
    if second is None:
        return Kept(thing, None)
    same = [iou(thing.box, other.box) for other in second.things if other.label == thing.label]
    if not same:
        refused["not confirmed"] += 1
        return None
    if max(same) < filters.iou:
        refused["disagreed"] += 1
        return None
    return Kept(thing, round(max(same), 4))


def _known(thing: Thing, things: Sequence[Thing], least: float) -> bool:
    return any(thing.label == other.label and iou(thing.box, other.box) >= least for other in things)


def _phrases(thing: Thing, place: int, things: Sequence[Thing], filters: Filters, refused: Counter[str]) -> list[Said]:
    """An annotator's own words for a thing, where they lead it back to that thing rather than to another."""
    made = []
    for phrase in thing.phrases:
        words = _ARTICLES.sub("", " ".join(phrase.words.split()).strip(" .,!\"'")).strip()
        if not words or len(words.split()) > LONGEST or _UNUSABLE.search(words):
            refused["unusable"] += 1
        elif not _leads_back(phrase.back, thing, things, filters.iou):
            refused["led elsewhere"] += 1
        else:
            made.append(Said(words, "phrase", (place,)))
    return made


def _leads_back(back: Box | None, thing: Thing, things: Sequence[Thing], least: float) -> bool:
    if back is None or iou(back, thing.box) < least:
        return False
    return all(iou(back, other.box) < iou(back, thing.box) for other in things if other is not thing)


def _once(made: Sequence[Question], refused: Counter[str]) -> list[Question]:
    """No two questions of the same words about the same box; of the same words about two boxes none."""
    groups: dict[str, list[Question]] = {}
    for question in made:
        groups.setdefault(plain(question.said.request), []).append(question)
    chosen: list[Question] = []
    for group in groups.values():
        first, *others = group
        refused["repeated"] += len(others)
        if all(iou(first.answer.thing.box, other.answer.thing.box) >= SAME for other in others):
            chosen.append(first)
        else:
            refused["repeated"] += 1
    return chosen


def plain(request: str) -> str:
    """A request as it is compared: without letter case, articles and punctuation.

    >>> plain("Dog left of the CAT."), plain("a  dog, left of the cat")
    ('dog left of cat', 'dog left of cat')
    """
    words = re.sub(r"[^\w\s]", " ", request.lower()).split()
    return " ".join(word for word in words if word not in ("the", "a", "an"))
