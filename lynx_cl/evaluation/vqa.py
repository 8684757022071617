"""Accuracy of visual question answering, as the VQA challenge counts it: an answer is right as far as people gave it.

Antol et al. 2015 (VQA), Goyal et al. 2017 (VQA v2); https://visualqa.org/evaluation.html.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_BETWEEN_DIGITS = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {**{word: str(number) for number, word in enumerate(_NUMBERS)}, "none": "0"}
_ARTICLES = ("a", "an", "the")
_WITH_ONE = (  # contractions that are written without their apostrophe; lower case, since the text is
    "ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll how's "
    "isn't it'd it'll ma'am mightn't might've mustn't must've needn't not've o'clock oughtn't shan't should've "
    "shouldn't somebody'll somebody's someone'd someone'll someone's something'd something'll that's there'd there're "
    "there's they'd they'll they're they've 'twas wasn't we've weren't what'll what're what's what've when's where'd "
    "where's where've who'd who'll who's who've why'll why're why's won't would've wouldn't y'all you'd "
    "you'll you're you've"
)
_WITH_MORE = (  # those that are written with one apostrophe too few
    "couldn't've hadn't've he'd've it'd've mightn't've 'ow's'at she'd've shouldn't've somebody'd've someone'd've "
    "something'd've there'd've they'd've we'd've who'd've wouldn't've y'all'll y'all'd've you'd've"
)
_CONTRACTED = {
    **{word.replace("'", ""): word for word in _WITH_ONE.split()},
    **{
        word[:place] + word[place + 1 :]: word
        for word in _WITH_MORE.split()
        for place, letter in enumerate(word)
        if letter == "'"
    },
    "somebody'd": "somebodyd",  # the published table has this one the wrong way round
}


def vqa_normalise(text: str) -> str:
    """An answer as the challenge compares it: lower case, no punctuation or articles, numbers as digits, apostrophes.

    >>> vqa_normalise("The two dogs, dont run!")
    "2 dogs don't run"
    """
    plain = _as_written(text)
    glued = bool(_BETWEEN_DIGITS.search(plain))
    made = plain
    for mark in _MARKS:
        if mark in made:
            alone = f"{mark} " in plain or f" {mark}" in plain or glued
            made = made.replace(mark, "" if alone else " ")
    words = (_DIGITS.get(word, word) for word in _PERIOD.sub("", made).lower().split())
    return " ".join(_CONTRACTED.get(word, word) for word in words if word not in _ARTICLES)


def textvqa_normalise(text: str) -> str:
    """An answer as TextVQA compares it: commas and question marks out, 's a word of its own, then as `vqa_normalise`.

    Singh et al. 2019; the evaluation that its authors publish with Pythia and MMF.

    >>> textvqa_normalise("Macy's, 1,000?")
    "macy 's 1000"
    """
    return vqa_normalise(text.lower().replace(",", "").replace("?", "").replace("'s", " 's"))


def vqa_accuracy(answer: str, references: Sequence[str], form: Callable[[str], str] = vqa_normalise) -> float:
    """Mean over the references of min(1, how many of the others are the same as the answer / 3), in [0, 1].

    A single reference must be the same. Answers are compared in the `form` given, also where all references agree (see
    `published_vqa_accuracy`). Raises ValueError where there is no reference.

    >>> vqa_accuracy("2", ["two"] * 2 + ["three"] * 8), vqa_accuracy("A dog.", ["dog"])
    (0.6, 1.0)
    """
    if not references:
        raise ValueError("no reference to compare an answer with")
    given = form(answer)
    same = [form(reference) == given for reference in references]
    if len(same) == 1:
        return float(same[0])
    return sum(min(1.0, (sum(same) - one) / 3) for one in same) / len(same)


def published_vqa_accuracy(answer: str, references: Sequence[str]) -> float:
    """As the challenge's own script counts, which normalises nothing where all references are written alike.

    >>> published_vqa_accuracy("Two", ["2"] * 10), published_vqa_accuracy("Two", ["2"] * 9 + ["3"])
    (0.0, 1.0)
    """
    return vqa_accuracy(answer, references, vqa_normalise if len(set(references)) > 1 else _as_written)


def _as_written(text: str) -> str:
    return re.sub(r"[\n\t]", " ", text).strip()
