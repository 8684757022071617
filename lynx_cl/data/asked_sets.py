"""Questions of a set that image understanding is measured by, and how the records of its files become such."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from lynx_cl.data.json_walk import Record
from lynx_cl.data.pictures import CHECKED
from lynx_cl.data.records import ONLY, Broken, Part, Problem, Talk, Tally, look
from lynx_cl.data.specs import Spec
from lynx_cl.data.vqa import most_given
from lynx_cl.errors import LynxError

#: What is added to a question, as the published evaluations of LLaVA-1.5 do (Liu et al. 2023); `prompt=plain`: nothing.
SHORT = "\nAnswer the question using a single word or phrase."


@dataclass(frozen=True)
class GqaFacts:
    """What GQA says of a question: which others follow from a right answer to it (`entailed`), whether it is in the
    balanced set, the `group` whose answers it shares, and the answers that fit the question (`valid`) or the world
    (`plausible`), None where no file of choices was given."""

    entailed: tuple[str, ...] = ()
    balanced: bool = True
    group: str = ""
    valid: frozenset[str] | None = None
    plausible: frozenset[str] | None = None


@dataclass(frozen=True)
class Question(Talk):
    """A Talk of one turn, with what its score needs.

    `number` is its name in its set; `options` are the texts to choose from, the answer being the place of one in
    letters; `facets` are the kinds of question that it belongs to, by name; `gqa` is what GQA alone has.
    """

    number: str = ""
    options: tuple[str, ...] = ()
    facets: Mapping[str, str] = field(default_factory=dict)
    gqa: GqaFacts | None = None

    @property
    def counted(self) -> bool:
        """Whether it enters means: one outside GQA's balanced set is asked for the sake of consistency alone."""
        return self.gqa is None or self.gqa.balanced

    @property
    def text(self) -> str:
        return self.turns[0][0]

    @property
    def answer(self) -> str:
        return self.turns[0][1]


@dataclass(frozen=True)
class AskedSet:
    """Questions of one split of a set. `rule` says how they are scored; `remarks` what a user should know of them."""

    name: str
    rule: str
    questions: Sequence[Question]
    remarks: tuple[str, ...] = ()


def people_asked(text: str, answers: Iterable[Any], image: Path, facets: Mapping[str, str]) -> Question:
    """A question that several people answered."""
    given = tuple(str(one) for one in answers)
    return Question(image.name, str(image), ((text, most_given(given)),), given, facets=facets)


def part_of(path: Path, read: Callable[[Any, str], Question | None], section: str | None, lines: bool = False) -> Part:
    """A file of questions; `read` is given a record and its name, and None from it passes the record over."""

    def told(record: Record) -> Question | None:
        try:
            return read(record.value, record.key)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Broken(f"{error} is missing or of the wrong kind") from None

    return Part(path, told, ONLY["test"], section, lines=lines)


def asked_set(
    spec: Spec, split: str, rule: str, part: Part, most: int, lacking: Callable[[], Sequence[str]] = tuple
) -> AskedSet:
    """The first `most` questions of a file that are sound; `lacking` names those that the whole file lacks.

    Broken records are counted and told. Raises LynxError where there are more than the share that the set's name
    allows, or no question at all.
    """
    tally, share = Tally(), spec.max_broken()

    def sound() -> Iterable[Question]:
        for found in look(part, tally):
            if isinstance(found, Problem):
                tally.note(str(found))
            elif found is None:  # of another split: the share is about this one
                tally.seen -= 1
            else:
                assert isinstance(found[1], Question)
                yield found[1]
            if tally.seen % CHECKED == 0:
                tally.check(spec.text, share, "correct them or take them out")
        for number in lacking():
            tally.note(f"{part.path}: holds no question '{number}', which split '{split}' lists")

    questions = list(islice(sound(), most))
    tally.check(spec.text, share, "correct them or take them out")
    if not questions:
        raise LynxError(f"{part.path}: holds no question of split '{split}'")
    tally.passed = 0
    return AskedSet(f"{spec.kind} {split}", rule, questions, tuple(tally.remarks()))


def asking(spec: Spec) -> Callable[[str], str]:
    """What a question is asked as."""
    more = SHORT if spec.one_of("prompt", ("short", "plain")) != "plain" else ""
    return lambda text: text + more


def said(value: Any, name: str) -> str:
    """A text that a record holds. Raises Broken where it is none, KeyError where it is not there."""
    text = value[name]
    if not isinstance(text, str) or not text.strip():
        raise Broken(f"'{name}' holds no text")
    return text.strip()
