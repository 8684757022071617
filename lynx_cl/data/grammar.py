"""The box grammar: boxes as text that a language model writes, and the strict reading back of that text.

    answer   = item , { "; " , item } ;
    item     = [ label , ": " ] , box ;
    label    = character , { character } ;           (* no ":" ";" "[" "]", no line break, no space at an end *)
    number   = "0" | nonzero , [ digit ] ;           (* 0 to 99 *)
    box      = keyed | brackets ;                    (* one of the two, by the grammar's name *)
    keyed    = "left " , number , " top " , number , " right " , number , " bottom " , number ;
    brackets = "[" , number , ", " , number , ", " , number , ", " , number , "]" ;

A coordinate c, a fraction of the picture's width (left, right) or height (top, bottom), is written as floor(100 c), at
most 99; a number n is read as (n + 0.5) / 100, the middle of its bin, so the error is at most half a hundredth of a
side. Right is more than left, bottom more than top: a side within one bin is written one bin long.
White space around an answer is not part of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from lynx_cl.data.example import Box
from lynx_cl.errors import LynxError, UsageError

BINS = 100  # along each side of a picture
_LABEL = r"[^:;\[\]\s](?:[^:;\[\]\n\r]*[^:;\[\]\s])?"


class GrammarError(LynxError):
    """A text that is no answer in the grammar."""


@dataclass(frozen=True)
class BoxGrammar:
    """One way to write boxes: `form` has four places, for left, top, right and bottom.

    >>> keyed = GRAMMARS["keyed"]
    >>> keyed.write((0.125, 0.34, 0.5, 1.0))
    'left 12 top 34 right 50 bottom 99'
    >>> keyed.parse("dog: left 0 top 33 right 66 bottom 99")
    [('dog', (0.005, 0.335, 0.665, 0.995))]
    """

    name: str
    form: str

    def write(self, box: Box) -> str:
        """One box as text. Raises GrammarError for a box outside [0, 1] or of no area."""
        x0, y0, x1, y1 = box
        if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
            raise GrammarError(f"box {box}: must lie in [0, 1] and have an area")
        (left, right), (top, bottom) = _span(x0, x1), _span(y0, y1)
        return self.form.format(left, top, right, bottom)

    def write_all(self, items: Iterable[tuple[str | None, Box]]) -> str:
        """Boxes with their labels, None or empty for no label. Raises GrammarError for a label it cannot hold."""
        return "; ".join(self._item(label, box) for label, box in items)

    def parse(self, text: str) -> list[tuple[str | None, Box]]:
        """The labels (None where there is none) and boxes of an answer. Raises GrammarError for any other text."""
        found: list[tuple[str | None, Box]] = []
        for item in text.strip().split("; "):
            match = self._pattern.fullmatch(item)
            if match is None:
                raise GrammarError(f"answer {text!r}: {item!r} is no box; expected {self.form.format(*'1234')!r}")
            left, top, right, bottom = (int(number) for number in match.groups()[1:])
            if left >= right or top >= bottom:
                raise GrammarError(f"answer {text!r}: the box {item!r} has no area")
            found.append((match.group(1), (_middle(left), _middle(top), _middle(right), _middle(bottom))))
        return found

    def find(self, text: str) -> tuple[list[Box], str]:
        """The boxes that stand anywhere in a text, and the text without them; one without an area is no box, and goes.

        >>> GRAMMARS["keyed"].find("three, the first at left 0 top 33 right 66 bottom 99.")
        ([(0.005, 0.335, 0.665, 0.995)], 'three, the first at .')
        """
        boxes = []
        for match in self._box.finditer(text):
            left, top, right, bottom = (int(number) for number in match.groups())
            if left < right and top < bottom:
                boxes.append((_middle(left), _middle(top), _middle(right), _middle(bottom)))
        return boxes, self._box.sub("", text)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(f"(?:({_LABEL}): )?{self._box.pattern}")

    @cached_property
    def _box(self) -> re.Pattern[str]:
        return re.compile("(0|[1-9][0-9]?)(?![0-9])".join(re.escape(part) for part in self.form.split("{}")))

    def _item(self, label: str | None, box: Box) -> str:
        if not label:
            return self.write(box)
        if not re.fullmatch(_LABEL, label):
            raise GrammarError(f"label {label!r}: must not hold ':', ';', brackets, a line break or outer spaces")
        return f"{label}: {self.write(box)}"


GRAMMARS: dict[str, BoxGrammar] = {
    "keyed": BoxGrammar("keyed", "left {} top {} right {} bottom {}"),
    "brackets": BoxGrammar("brackets", "[{}, {}, {}, {}]"),
}


def get_grammar(name: str) -> BoxGrammar:
    """The grammar of that name. Raises UsageError naming those there are."""
    if name not in GRAMMARS:
        raise UsageError(f"grammar '{name}' is unknown; known: {', '.join(GRAMMARS)}")
    return GRAMMARS[name]


def _span(low: float, high: float) -> tuple[int, int]:
    first, second = _bin(low), _bin(high)
    if first == second:
        return (first, second + 1) if second < BINS - 1 else (first - 1, second)
    return first, second


def _bin(coordinate: float) -> int:
    return min(int(coordinate * BINS + 1e-9), BINS - 1)  # 0.29 * 100 is 28.999999999999996


def _middle(number: int) -> float:
    return (number + 0.5) / BINS
