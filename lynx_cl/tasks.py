"""Task cards: a task is a folder with `task.yaml` and `prompts.txt`, read and checked here.

The folder's name is the task's name. A task on new data, or asked in other words, needs no Python.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationInfo, field_validator, model_validator

from lynx_cl.base.settings import Settings, read_settings
from lynx_cl.data.grammar import GRAMMARS, BoxGrammar, get_grammar
from lynx_cl.data.kinds import kinds
from lynx_cl.data.refer import KINDS as EXPRESSIONS
from lynx_cl.errors import UsageError
from lynx_cl.home import Home, shipped
from lynx_cl.registry.canonical import canonical

CARD_FILE, PROMPTS_FILE = "task.yaml", "prompts.txt"
KINDS = kinds()
_NAMED = ("train", "test", "answer")  # sections whose phrasings must name what is asked for


class Prompts(Settings):
    """The ways to ask, by section. `{x}` in a phrasing stands for the thing asked for; a kind of task may have other
    places, or none."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    relevant: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    answer: tuple[str, ...] = ()


class StepWeights(Settings):
    """The share of each step of a conversation in the step loss."""

    relevant: float = Field(default=1.0, gt=0)
    where: float = Field(default=1.0, gt=0)
    answer: float = Field(default=1.0, gt=0)


class TaskCard(Settings):
    """What a task is.

    - `grammar`: how boxes are written; None leaves it to the base.
    - `source`: the data source that is used where none is named.
    - `classes`: the labels of a data set that are asked for, and the words for each; empty asks for all of them.
    - `only_single`: leave out pictures of a data set that hold more than one thing of these classes.
    - `chains`: the fraction of training conversations that go through the steps of SCouT.
    - `expressions`: how often scout asks by each kind of referring expression, relative to the others; what is not
      named is not asked.
    - `views`: how many times each training picture of a data set is seen, once as it is, else mirrored and cropped.
    - `absent`: of the pictures, how many are also asked about something that they do not hold.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    title: str
    description: str
    kind: str = "grounding"
    metric: str = Field("", validate_default=True)  # else a card that names none has none
    grammar: str | None = None
    source: str | None = None
    classes: dict[str, str] = {}
    only_single: bool = False
    chains: float = Field(0.0, ge=0, le=1)
    step_weights: StepWeights = StepWeights()
    expressions: dict[str, float] = dict.fromkeys(EXPRESSIONS, 1.0)
    views: int = Field(1, ge=1, le=64)
    absent: float = Field(0.2, ge=0, le=1)
    prompts: Prompts

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, value: str) -> str:
        if value not in KINDS:
            raise ValueError(f"unknown; known: {', '.join(KINDS)}")
        return value

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, value: str, info: ValidationInfo) -> str:
        kind = KINDS.get(info.data.get("kind", ""))
        if kind is None:
            return value
        if value not in ("", *kind.metrics):
            raise ValueError(f"unknown; known: {', '.join(kind.metrics)}")
        return value or kind.metrics[0]

    @model_validator(mode="before")
    @classmethod
    def _keys_of_the_kind(cls, values: dict[str, Any]) -> dict[str, Any]:
        kind = values.get("kind", "grounding")
        for key in sorted({key for other in KINDS.values() for key in other.keys}):
            if kind not in KINDS or key in KINDS[kind].keys or key not in values:
                continue
            if values[key] != cls.model_fields[key].get_default():
                others = " or ".join(name for name, other in KINDS.items() if key in other.keys)
                raise ValueError(f"key '{key}' is for tasks of kind {others}, this one is of kind {kind}")
        return values

    @field_validator("grammar")
    @classmethod
    def _known_grammar(cls, value: str | None) -> str | None:
        if value is not None and value not in GRAMMARS:
            raise ValueError(f"unknown; known: {', '.join(GRAMMARS)}")
        return value

    @field_validator("expressions")
    @classmethod
    def _known_expressions(cls, value: dict[str, float]) -> dict[str, float]:
        for key, weight in value.items():
            if key not in EXPRESSIONS:
                raise ValueError(f"'{key}' is unknown; known: {', '.join(EXPRESSIONS)}")
            if weight < 0:
                raise ValueError(f"'{key}' must be 0 or more")
        if sum(value.values()) == 0:
            raise ValueError("at least one must be more than 0")
        return value

    def box_grammar(self, base: str = "keyed") -> BoxGrammar:
        """How this task writes boxes: its own grammar, else the base's, given by name."""
        return get_grammar(self.grammar or base)

    def digest(self) -> str:
        """Hexadecimal sha256 of everything the card says that is not the default, prompts included."""
        return hashlib.sha256(canonical(self.model_dump(mode="json", exclude_defaults=True))).hexdigest()


def load_card(name_or_folder: str | Path, home: Home | None = None) -> TaskCard:
    """The card of a task: a folder, else a name among the home's own tasks, else among the shipped ones.

    Raises UsageError for an unknown name and for a card that is wrong: it names file, key and what is allowed.
    """
    folder = _find(str(name_or_folder), home)
    path = folder / CARD_FILE
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: missing; a task is a folder with {CARD_FILE} and {PROMPTS_FILE}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UsageError(f"{path}: a task card is a mapping of keys to values")
    if "prompts" in values:
        raise UsageError(f"{path}: key 'prompts' does not belong here; phrasings are read from {PROMPTS_FILE}")
    kind = KINDS.get(values.get("kind", "grounding"))
    if kind is not None and kind.own_words and not (folder / PROMPTS_FILE).exists():
        prompts = Prompts(train=("{x}",), test=("{x}",))  # a question as the data says it
    else:
        prompts = read_prompts(folder / PROMPTS_FILE, kind.places if kind is not None else ("x",))
    card = read_settings(TaskCard, {**values, "prompts": prompts}, str(path))
    if card.name != folder.name:
        raise UsageError(f"{path}: name = {card.name!r}: must be the folder's name, {folder.name!r}")
    if card.chains and not (card.prompts.relevant and card.prompts.where and card.prompts.answer):
        raise UsageError(
            f"{path}: chains = {card.chains}: needs sections relevant:, where: and answer: in {PROMPTS_FILE}"
        )
    return card


def list_cards(home: Home | None = None) -> list[TaskCard]:
    """All cards, by name; a home's own comes before the shipped one of that name."""
    names = {path.parent.name for place in _places(home) for path in place.glob(f"*/{CARD_FILE}")}
    return [load_card(name, home) for name in sorted(names)]


def read_prompts(path: Path, places: Sequence[str] = ("x",)) -> Prompts:
    """Phrasings by section: a line `train:` opens a section, '#' opens a comment line. `places` are the names in braces
    that each phrasing of what is asked holds once.

    Raises UsageError naming file and line for a phrasing outside a section, an unknown section, a phrasing given twice,
    a wrong place holder, and a section `train` or `test` that is empty.
    """
    sections: dict[str, list[str]] = {name: [] for name in Prompts.model_fields}
    section, seen = None, dict[str, int]()
    for number, line in enumerate(_lines(path), 1):
        line, where = line.strip(), f"{path}, line {number}"
        if not line or line.startswith("#"):
            continue
        if line.endswith(":") and " " not in line:
            section = line[:-1]
            if section not in sections:
                raise UsageError(f"{where}: section '{section}' is unknown; known: {', '.join(sections)}")
            continue
        if section is None:
            raise UsageError(f"{where}: a phrasing before any section; begin with a line 'train:'")
        if line.lower() in seen:
            raise UsageError(f"{where}: {line!r} stands in line {seen[line.lower()]} already")
        _check_places(line, places if section in _NAMED else (), section, where)
        seen[line.lower()] = number
        sections[section].append(line)
    for name in ("train", "test"):
        if not sections[name]:
            raise UsageError(f"{path}: section '{name}:' holds no phrasing; give at least one")
    return Prompts(**{name: tuple(lines) for name, lines in sections.items()})


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UsageError(f"{path}: missing; give phrasings under 'train:' and 'test:'") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text (byte {error.start})") from None


def _check_places(line: str, places: Sequence[str], section: str, where: str) -> None:
    marks = [f"{{{name}}}" for name in places]
    rest = line
    for mark in marks:
        rest = rest.replace(mark, "", 1)
    if "{" in rest or "}" in rest or any(mark not in line for mark in marks):
        rule = f"exactly one {', one '.join(marks)} and no other braces" if marks else "no braces"
        raise UsageError(f"{where}: {line!r}: a phrasing of section '{section}' holds {rule}")


def _places(home: Home | None) -> Sequence[Path]:
    return [*([home.tasks] if home is not None else []), shipped("tasks")]


def _find(name: str, home: Home | None) -> Path:
    places = _places(home)
    if "/" not in name and name not in (".", ".."):
        for place in places:
            if (place / name).is_dir():
                return place / name
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder.resolve()
    known = sorted({path.parent.name for place in places for path in place.glob(f"*/{CARD_FILE}")})
    raise UsageError(f"task '{name}' is unknown; known: {', '.join(known)}; or give the path of a task folder")
