"""Two readings of one answer, so that drift of an answer's form is told from knowledge that is lost.

Strict: what is not written just as the task's own answers are counts as not said. Normalised: what differs from a right
answer in how it is written alone is rewritten as the task writes it. Both give a text for the task's own scores.

Words are alike after these steps (in the manner of Rajpurkar et al. 2016 and of VQA's evaluation, Antol et al. 2015):
Unicode compatibility form, lower case; boxes taken out; every mark that is no letter or digit a space; number words in
figures, 'zero', 'no' and 'nothing' as 'none'; articles out; one lead-in out ('the answer is', 'it is', 'this is', 'that
is', 'there is', 'there are', 'i see'); single spaces.

Boxes are read wherever four numbers stand with nothing but white space, marks (',;:=()[]{}<>|/' and quotes), percent
signs and names of sides between them: in the order left, top, right, bottom unless the sides are named otherwise,
corners in either order, as hundredths or, where all four have a point and none exceeds 1, as fractions. What stands
before a box is its label, compared as words are where the task's answers have labels. A box of no area, or with a
number past 100, is none.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from lynx_cl.data.example import Box
from lynx_cl.data.grammar import BINS, BoxGrammar, GrammarError
from lynx_cl.data.kinds.detection import NONE
from lynx_cl.data.words import NUMBERS

_LEAD = re.compile(
    r"(?:answer(?: is)?|it is|it s|its|this is|that is|there is|there are|i see|i can see) (?=\S)"  # articles are out
)
_FIGURES = {word: str(number) for number, word in enumerate(NUMBERS) if number}
_NOTHING = ("none", "no", "zero", "nothing", "0")
_SIDES = ("left", "top", "right", "bottom")
_NUMBER = r"(?<![\w.-])\d+(?:\.\d+)?(?!\w|\.\d)"
_GAP = r"[\s,;:=()\[\]{}<>|/\"'%]*"
_GROUP = re.compile(
    rf"(?:\b(?P<side0>left|top|right|bottom)\b{_GAP})?(?P<n0>{_NUMBER})"
    + "".join(rf"{_GAP}(?:\b(?P<side{i}>left|top|right|bottom)\b{_GAP})?(?P<n{i}>{_NUMBER})" for i in (1, 2, 3)),
    re.IGNORECASE,
)


class Forms(NamedTuple):
    """What an answer says when read strictly, and normalised."""

    strict: str
    normalised: str


def plain_words(text: str) -> str:
    """A text of words with nothing left of how it is written; see the top of this file.

    >>> plain_words("The answer is: (Three) Traffic-Lights."), plain_words("dog: left 1 top 2 right 30 bottom 40")
    ('3 traffic lights', 'dog')
    """
    text = _GROUP.sub(" ", unicodedata.normalize("NFKC", text)).lower()
    words = re.sub(r"[^\w]|_", " ", text).split()
    words = ["none" if word in _NOTHING else _FIGURES.get(word, word) for word in words]
    return _LEAD.sub("", " ".join(word for word in words if word not in ("the", "a", "an")), count=1)


def word_forms(text: str, truth: str, right: bool) -> Forms:
    """An answer in words; `right` says whether the task's own score takes it for fully right.

    >>> word_forms("Dog.", "dog", right=True), word_forms("cat", "dog", right=False)
    (Forms(strict='', normalised='dog'), Forms(strict='cat', normalised='cat'))
    """
    strict = "" if right and text.strip() != truth else text
    return Forms(strict, truth if plain_words(text) == plain_words(truth) else text)


def box_forms(text: str, truth: str, grammar: BoxGrammar) -> Forms:
    """An answer in boxes, with labels or without; the truth says how labels are written.

    >>> from lynx_cl.data.grammar import GRAMMARS
    >>> box_forms("Dog (12, 34, 50, 99)", "dog: left 12 top 34 right 50 bottom 99", GRAMMARS["keyed"])
    Forms(strict='', normalised='dog: left 12 top 34 right 50 bottom 99')
    """
    try:
        labels = {plain_words(label): label for label, _ in grammar.parse(truth) if label}
        bare = not labels
    except GrammarError:
        labels, bare = {}, False
    try:
        items = grammar.parse(text)
    except GrammarError:
        items, well = read_boxes(text), False
        strict = text if text.strip() == NONE else ""
    else:
        well = True
        same = [(label, box) for label, box in items if not label or labels.get(plain_words(label), label) == label]
        strict = grammar.write_all(same)
    if not items:
        return Forms(strict, NONE if plain_words(text).split()[:1] == [NONE] else text)
    plain = ["" if bare else plain_words(label or "") for label, _ in items]
    named = [labels.get(p, label if well and not bare else p) for p, (label, _) in zip(plain, items, strict=True)]
    return Forms(strict, grammar.write_all(zip(named, (box for _, box in items), strict=True)))


def read_boxes(text: str) -> list[tuple[str | None, Box]]:
    """The boxes of a text with what stands before each, however they are written; see the top of this file.

    >>> read_boxes("a dog [0.5, 0.99, 0.12, 0.34]; cat: top 1, left 2, bottom 3, right 4")
    [('a dog', (0.125, 0.345, 0.505, 0.995)), ('cat', (0.025, 0.015, 0.045, 0.035))]
    """
    found: list[tuple[str | None, Box]] = []
    start = 0
    for match in _GROUP.finditer(text):
        label = text[start : match.start()].strip(" \t\r\n,;:=()[]{}<>|/\"'.-")
        start = match.end()
        box = _box(match)
        if box is not None:
            found.append((label or None, box))
    return found


def _box(match: re.Match[str]) -> Box | None:
    numbers = [match[f"n{i}"] for i in range(4)]
    sides = [(match[f"side{i}"] or "").lower() for i in range(4)]
    if set(sides) == set(_SIDES):
        numbers = [numbers[sides.index(side)] for side in _SIDES]
    fractions = all("." in number and float(number) <= 1 for number in numbers)
    values = [float(number) * (100 if fractions else 1) for number in numbers]
    if max(values) > 100:
        return None
    bins = [min(int(value + 1e-9), BINS - 1) for value in values]
    (left, right), (top, bottom) = sorted(bins[::2]), sorted(bins[1::2])
    if left == right or top == bottom:
        return None
    return (left + 0.5) / BINS, (top + 0.5) / BINS, (right + 0.5) / BINS, (bottom + 0.5) / BINS
