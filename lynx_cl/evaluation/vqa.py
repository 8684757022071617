"""Accuracy of visual question answering, as the VQA challenge counts it: an answer is right as far as people gave it.

Antol et al. 2015 (VQA), Goyal et al. 2017 (VQA v2); https://visualqa.org/evaluation.html.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_BETWEEN_DIGITS = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {**{word: str(number) for number, word in enumerate(_NUMBERS)}, "none": "0"}
_ARTICLES = ("a", "an", "the")
_CONTRACTIONS = (
    "ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd "
    "he'd've he's how'd how'll how's I'd've I'm I've isn't it'd it'd've it'll let's ma'am mightn't mightn't've "
    "might've mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't "
    "shouldn't've somebody'd somebody'd've somebody'll somebody's someone'd someone'd've someone'll someone's "
    "something'd something'd've something'll that's there'd there'd've there're there's they'd they'd've they'll "
    "they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's where'd where's "
    "where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all "
    "y'all'll y'all'd've you'd you'd've you'll you're you've"
)
_CONTRACTED = {word.replace("'", ""): word for word in _CONTRACTIONS.split()}


def vqa_normalise(text: str) -> str:
    """An answer as the challenge compares it: lower case, no punctuation or articles, numbers as digits, apostrophes.

    >>> vqa_normalise("The two dogs, dont run!")
    "2 dogs don't run"
    """
    plain = re.sub(r"[\n\t]", " ", text).strip()
    glued = bool(_BETWEEN_DIGITS.search(plain))
    made = plain
    for mark in _MARKS:
        if mark in made:
            alone = f"{mark} " in plain or f" {mark}" in plain or glued
            made = made.replace(mark, "" if alone else " ")
    words = (_DIGITS.get(word, word) for word in _PERIOD.sub("", made).lower().split())
    return " ".join(_CONTRACTED.get(word, word) for word in words if word not in _ARTICLES)


def vqa_accuracy(answer: str, references: Sequence[str]) -> float:
    """Mean over the references of min(1, how many of the others are the same as the answer / 3), in [0, 1].

    A single reference must be the same. Answers are compared normalised, also where all references agree (there the
    challenge's script compares them as they are written). Raises ValueError where there is no reference.

    >>> vqa_accuracy("2", ["two"] * 2 + ["three"] * 8), vqa_accuracy("A dog.", ["dog"])
    (0.6, 1.0)
    """
    if not references:
        raise ValueError("no reference to compare an answer with")
    same = [vqa_normalise(reference) == vqa_normalise(answer) for reference in references]
    if len(same) == 1:
        return float(same[0])
    return sum(min(1.0, (sum(same) - one) / 3) for one in same) / len(same)
