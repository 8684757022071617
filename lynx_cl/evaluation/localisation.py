"""Localisation as detectors are scored: things with confidences out of answers, and the scores of a protocol.

An answer is read item by item, so that one that is cut off or garbled loses the items that are broken and no others.
The confidence of an item is the geometric mean of the probabilities that the model gave to the tokens which the item
has a letter in, label and box together: exp(mean log p). It is rounded to four places, so that the last bits of a
float, which may depend on the rows that share a batch, do not decide what ranks before what; equal confidences rank in
the order of the answers.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lynx_cl.data.example import Picture
from lynx_cl.data.grammar import BoxGrammar, GrammarError
from lynx_cl.data.kinds.detection import NONE
from lynx_cl.evaluation.average_precision import Thing, coco_precision
from lynx_cl.evaluation.detection import f1, pair_ious
from lynx_cl.evaluation.text import normalise

if TYPE_CHECKING:
    from lynx_cl.evaluation.generate import Said

PROTOCOLS = {
    1: "name and box everything",
    2: "general categories, asked by name",
    3: "the set's categories, asked by name",
}
FEW = 3  # the most things of a picture in PIN's setting (Dorkenwald et al. 2024)
PLACES = 4  # of a confidence
_ITEM = re.compile(r"[^;]+")


def found_things(said: Said, grammar: BoxGrammar) -> list[Thing] | None:
    """The things of an answer with their confidences, empty for 'none'; None where it holds none and says so not.

    >>> from lynx_cl.data.grammar import GRAMMARS
    >>> from lynx_cl.evaluation.generate import Said
    >>> text = "dog: [1, 2, 30, 40]; cat: [1, 2,"
    >>> found_things(Said(text, ((0, 3), (3, 19), (19, 32)), (-0.1, -0.3, -4.0)), GRAMMARS["brackets"])
    [Thing(label='dog', box=(0.015, 0.025, 0.305, 0.405), confidence=0.8187)]
    """
    if normalise(said.text) == NONE:
        return []
    things = []
    for match in _ITEM.finditer(said.text):
        try:
            (label, box), *_ = grammar.parse(match.group())
        except GrammarError:
            continue
        things.append(Thing(normalise(label or ""), box, confidence(said, match.start(), match.end())))
    return things or None


def confidence(said: Said, start: int, end: int) -> float:
    """The geometric mean of the probabilities of the tokens with a letter in text[start:end]; 0 where there is none."""
    logs = [log for (a, b), log in zip(said.spans, said.logs, strict=True) if a < end and b > start and a < b]
    return round(math.exp(sum(logs) / len(logs)), PLACES) if logs else 0.0


def asked_for(
    protocol: int, picture: Picture, names: Sequence[str], held: set[str], absent: int | None
) -> list[str | None]:
    """What is asked about a picture: None for everything, else names, in their order.

    Protocol 1 asks once for everything; the others for each name that the picture holds, and for `absent` of those it
    does not hold, drawn by the picture's key (None: for all of them).
    """
    if protocol == 1:
        return [None]
    missing = [name for name in names if name not in held]
    if absent is not None and absent < len(missing):
        missing = random.Random(f"{protocol}/{picture.key}").sample(missing, absent)
    wanted = held | set(missing)
    return [name for name in names if name in wanted]


def counted(
    protocol: int, asked: str | None, things: Sequence[Thing], general: Mapping[str, str] | None = None
) -> list[Thing]:
    """The things of one answer under the labels that they are scored by.

    To protocol 1 a thing is what the answer calls it. To the others it is what was asked for, if the answer calls it
    that or nothing; under another name it is no answer to the question and left out. In protocol 2 the names of the
    categories of a general one (`general`: category -> general category) are as good as its own.
    """
    if protocol == 1 or asked is None:
        return list(things)
    known = general or {}
    return [
        Thing(asked, one.box, one.confidence)
        for one in things
        if one.label in ("", asked) or (protocol == 2 and known.get(one.label) == asked)
    ]


def localisation_scores(
    found: Sequence[Sequence[Thing]], true: Sequence[Sequence[Thing]], sizes: Sequence[tuple[int, int]]
) -> dict[str, Any]:
    """Scores of things found picture by picture: those of `coco_precision`, f1 at IoU 0.5, and miou_few.

    miou_few is over the true things of pictures with one to three of them: each with the found thing of its label that
    it overlaps most, best pairs first and no thing in two pairs, 0 where there is none; None where no picture has so
    few. Raises ValueError where there are no pictures.
    """
    if not true:
        raise ValueError("no pictures to score")
    pairs = [
        ([(one.label, one.box) for one in a], [(one.label, one.box) for one in b])
        for a, b in zip(found, true, strict=True)
    ]
    few = [(a, b) for a, b in pairs if 0 < len(b) <= FEW]
    count = sum(len(b) for _, b in few)
    return {
        **coco_precision(found, true, sizes),
        "f1": f1([a for a, _ in pairs], [b for _, b in pairs]),
        "miou_few": sum(sum(pair_ious(a, b)) for a, b in few) / count if count else None,
    }
