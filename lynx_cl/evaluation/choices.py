"""Which option of a multiple-choice question an answer takes: three rules, from the strictest to the most lenient.

Strict: the option's letter and nothing else, as it was asked for. Published: as the evaluations of ScienceQA read
answers (Lu et al. 2022, and Liu et al. 2023 for LLaVA): the letter alone, the letter with a full stop at the beginning,
or 'The answer is B' once. Normalised, the first of these that fits:

1. a letter with nothing but marks about it: 'B', 'b', '(B)', 'B.', '[b]:';
2. a letter at the beginning, marked off as such: '(B) a dog', 'B. a dog', 'B) a dog', 'B: a dog';
3. a letter behind 'answer', 'option' or 'choice': 'The answer is B.', 'Answer: (b)', 'I take option C'; a small letter
   counts only in brackets, since 'the answer is a dog' names no letter;
4. the text of one option, but for how it is written (`forms.plain_words`): 'A dog.', 'The answer is: the dog'.

A letter past the last option is none, and where rule 3 finds two different letters it finds none. Nothing is guessed.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from lynx_cl.evaluation.forms import plain_words

LETTERS = string.ascii_uppercase
_MARKS = r"[\s()\[\]{}.,:;*\"'`]*"
_ALONE = re.compile(rf"{_MARKS}([A-Za-z]){_MARKS}")
_FIRST = re.compile(r"\s*(?:\(([A-Za-z])\)|\[([A-Za-z])\]|([A-Za-z])[).:](?=\s|$))")
_NAMED = re.compile(r"\b(?i:answer|option|choice)\b(?:\s+(?i:is))?\s*:?\s*(?:([A-Z])(?![\w'])|[(\[]([A-Za-z])[)\]])")
_PUBLISHED = re.compile(r"The answer is ([A-Z]).")


def strict_choice(answer: str, options: Sequence[str]) -> int | None:
    """The place of the option whose letter an answer is.

    >>> strict_choice(" B", ["dog", "cat"]), strict_choice("B.", ["dog", "cat"]), strict_choice("C", ["dog", "cat"])
    (1, None, None)
    """
    return _place(answer.strip(), options)


def published_choice(answer: str, options: Sequence[str]) -> int | None:
    """As the published evaluations read it, which guess at random where they read nothing; here that is None.

    >>> options = ["dog", "cat"]
    >>> [published_choice(text, options) for text in ("B", "B. cat", "B.", "The answer is B.", "(B)", "cat")]
    [1, 1, 1, 1, None, None]
    """
    text = answer.strip()
    if len(text) == 1 or text[1:3] == ". " or text[1:] == ".":
        return _place(text[0], options)
    found = _PUBLISHED.findall(text)
    return _place(found[0], options) if len(found) == 1 else None


def normalised_choice(answer: str, options: Sequence[str]) -> int | None:
    """By the rules at the top of this file.

    >>> options = ["a dog", "a cat", "two cats"]
    >>> [normalised_choice(text, options) for text in ("(b)", "B) a cat", "I think the answer is (b)", "The cat.")]
    [1, 1, 1, 1]
    >>> [normalised_choice(text, options) for text in ("The answer is a horse", "E", "A or B", "cats", "")]
    [None, None, None, None, None]
    """
    alone = _ALONE.fullmatch(answer)
    if alone:
        return _place(alone[1].upper(), options)
    first = _FIRST.match(answer)
    if first:
        return _place(next(filter(None, first.groups())).upper(), options)
    named = {next(filter(None, match.groups())).upper() for match in _NAMED.finditer(answer)}
    if named:
        return _place(named.pop(), options) if len(named) == 1 else None
    said = plain_words(answer)
    same = [place for place, option in enumerate(options) if said and plain_words(option) == said]
    return same[0] if len(same) == 1 else None


def _place(letter: str, options: Sequence[str]) -> int | None:
    place = LETTERS.find(letter) if len(letter) == 1 else -1
    return place if 0 <= place < len(options) else None
