"""Words that questions and answers are made of: numbers, and names for more than one."""

from __future__ import annotations

import re

NUMBERS = (
    "none one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
).split()
_ZERO = ("none", "no", "zero", "nothing")
_PLURALS = {
    "person": "people",
    "man": "men",
    "woman": "women",
    "child": "children",
    "sheep": "sheep",
    "skis": "skis",
    "knife": "knives",
    "couch": "couches",
    "scissors": "scissors",
    "mouse": "mice",
    "fish": "fish",
    "aircraft": "aircraft",
}
_SINGULARS = {many: one for one, many in _PLURALS.items()}


def plural(name: str) -> str:
    """A name for more than one of a thing; of several words the last one changes.

    >>> [plural(name) for name in ("bench", "butterfly", "hot dog", "wine glass", "person", "toy", "scissors")]
    ['benches', 'butterflies', 'hot dogs', 'wine glasses', 'people', 'toys', 'scissors']
    """
    start, _, word = name.rpartition(" ")
    if word in _PLURALS:
        word = _PLURALS[word]
    elif re.search(r"[^aeiou]y$", word):
        word = word[:-1] + "ies"
    elif word.endswith(("s", "sh", "ch", "x")):
        word += "es"
    else:
        word += "s"
    return f"{start} {word}".strip()


def singular(name: str) -> str:
    """The name for one of what `plural` names, for every category of the embedded world; of several words the last one
    changes. What is no plural stays.

    >>> [singular(name) for name in ("benches", "butterflies", "ties", "buses", "vases", "wine glasses", "knives")]
    ['bench', 'butterfly', 'tie', 'bus', 'vase', 'wine glass', 'knife']
    """
    start, _, word = name.rpartition(" ")
    if word in _SINGULARS:
        word = _SINGULARS[word]
    elif re.search(r"...ies$", word):
        word = word[:-3] + "y"
    elif re.search(r"(ss|sh|ch|x|[^ao]us)es$", word):
        word = word[:-2]
    elif re.search(r"[^su]s$", word):
        word = word[:-1]
    return f"{start} {word}".strip()


def number_word(number: int) -> str:
    """A number as nano says it: a word up to twenty, figures from there on; nothing is 'none'.

    >>> number_word(0), number_word(3), number_word(21)
    ('none', 'three', '21')
    """
    return NUMBERS[number] if number < len(NUMBERS) else str(number)


def read_number(text: str) -> int | None:
    """The first number that a text says, in a word or in figures; None where it says none at all.

    >>> read_number("There are three dogs."), read_number("12"), read_number("None."), read_number("a dog")
    (3, 12, 0, None)
    """
    for word in re.findall(r"[a-z]+|\d+", text.lower()):
        if word.isdecimal():
            return int(word)
        if word in _ZERO:
            return 0
        if word in NUMBERS:
            return NUMBERS.index(word)
    return None
