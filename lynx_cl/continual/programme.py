"""What a model that labels pictures is asked, step by step, and how its answers are read.

What is in the picture; where each of it is; what tells each thing from the others, and whether those words lead back to
it: the steps of SCouT (TWIST & SCOUT, arXiv 2410.10491, section 3.3) as questions to an annotator.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, field_validator

from lynx_cl.base.settings import Settings, read_settings
from lynx_cl.data.example import Box
from lynx_cl.data.grammar import BoxGrammar
from lynx_cl.data.scouted.findings import rounded
from lynx_cl.data.words import NUMBERS
from lynx_cl.errors import UsageError

_PLACES: Mapping[str, tuple[str, ...]] = {
    "what": (),
    "present": ("x",),
    "where": ("x",),
    "describe": ("x", "box"),
    "back": ("x",),
}
_NUMBER = r"\s*(-?\d+(?:\.\d+)?)\s*"
_CORNERS = re.compile(rf"[\[(]{_NUMBER},{_NUMBER}\)?\s*,\s*\(?{_NUMBER},{_NUMBER}[\])]")
_WIDEST = 1.02  # of a side: what lies further out is no coordinate of that form
_NAME = re.compile(r"[^\W\d_][\w' -]*")
_LONGEST = 4  # words of a name; what is longer is a sentence
_FIRST = {"a", "an", "the", "some", "one", "and", "there", "is", "are", *NUMBERS}
_SIZES = {"small", "medium", "large", "big", "little", "tiny", "huge"}  # no part of a kind's name


class Programme(Settings):
    """The questions. `{x}` stands for a thing's name, or in `back` for what was said of it, `{box}` for its box.

    - `what` is asked where no categories are given, else `present`, of each of them.
    - `where` asks for all things of a name; an empty `describe` leaves out the last two steps.
    - `boxes`: how boxes are written: as the base's card says (`grammar`), or four numbers in brackets, left, top,
      right, bottom, as fractions, thousandths or pixels of the picture.
    - `tokens`: most of an answer.
    """

    what: str = "What is in the picture? Name each kind of thing once, with commas between them."
    present: str = "Is there a {x} in the picture?"
    where: str = "Give the bounding box of each {x} in the picture."
    describe: str = "Describe the {x} at {box} in a few words, so that it is not taken for another {x}."
    back: str = "Give the bounding box of the {x}."
    boxes: Literal["grammar", "fractions", "thousandths", "pixels"] = "grammar"
    tokens: int = Field(128, ge=1)

    @field_validator(*_PLACES)
    @classmethod
    def _holds_its_places(cls, value: str, info: object) -> str:
        name = str(getattr(info, "field_name", ""))
        found = set(re.findall(r"{(.*?)}", value))
        if name == "describe" and not value:
            return value
        if not value.strip() or not found <= set(_PLACES[name]) or ("x" in _PLACES[name] and "x" not in found):
            held = " and ".join(f"{{{place}}}" for place in _PLACES[name]) or "no braces"
            raise ValueError(f"must be a question that holds {held}")
        return value


def read_programme(path: Path | None) -> Programme:
    """The questions of a YAML file; the usual ones for what it does not say, and without a file.

    Raises UsageError for a file that is missing or wrong.
    """
    if path is None:
        return Programme()
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--prompts {path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"--prompts {path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UsageError(f"--prompts {path}: give a mapping of {', '.join(Programme.model_fields)}")
    return read_settings(Programme, {str(key): value for key, value in values.items()}, str(path))


def names_in(text: str) -> list[str]:
    """The kinds of things that an answer names, each once, in its order, without articles, numbers and sizes.

    >>> names_in("A dog, two small cats and the red car. I hope that this helps you with it!")
    ['dog', 'cats', 'red car']
    """
    found = []
    for part in re.split(r"[,;.\n]|\band\b", text):
        words = part.strip(" -*\t").lower().split()
        while words and (words[0] in _FIRST | _SIZES or words[0].rstrip(".)").isdigit()):
            words.pop(0)
        name = " ".join(words)
        if words and len(words) <= _LONGEST and _NAME.fullmatch(name):
            found.append(name)
    return list(dict.fromkeys(found))


def says_yes(text: str) -> bool:
    """Whether an answer to a yes-or-no question is yes.

    >>> says_yes("Yes, there is."), says_yes("No.")
    (True, False)
    """
    return re.match(r"\W*yes\b", text, re.IGNORECASE) is not None


def boxes_in(text: str, form: str, size: tuple[int, int], grammar: BoxGrammar) -> list[Box]:
    """The boxes of an answer about a picture of (width, height) pixels; what has no area or lies outside is none.

    >>> from lynx_cl.data.grammar import GRAMMARS
    >>> boxes_in("dog [100, 200, 300, 400] (5,5),(2,2)", "thousandths", (80, 60), GRAMMARS["keyed"])
    [(0.1, 0.2, 0.3, 0.4)]
    """
    if form == "grammar":
        return [rounded(box) for box in grammar.find(text)[0]]
    scale = _scale(form, size)
    found = []
    for match in _CORNERS.finditer(text):
        sides = [float(value) / whole for value, whole in zip(match.groups(), scale, strict=True)]
        if min(sides) >= 1 - _WIDEST and max(sides) <= _WIDEST:
            box = rounded(sides)
            if box[0] < box[2] and box[1] < box[3]:
                found.append(box)
    return found


def write_box(box: Box, form: str, size: tuple[int, int], grammar: BoxGrammar) -> str:
    """A box as a model that answers in a form reads it."""
    if form == "grammar":
        return grammar.write(box)
    sides = [value * whole for value, whole in zip(box, _scale(form, size), strict=True)]
    return "[" + ", ".join(f"{value:.3f}" if form == "fractions" else f"{value:.0f}" for value in sides) + "]"


def _scale(form: str, size: tuple[int, int]) -> tuple[float, float, float, float]:
    width, height = {"fractions": (1, 1), "thousandths": (1000, 1000)}.get(form, size)
    return width, height, width, height
