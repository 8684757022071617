"""What a study is: a base, tasks in some orders, methods, seeds and one budget, read from YAML and checked whole.

Every mistake a user can make is caught here, before anything runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from lynx_cl.base.card import BaseCard, find_base, read_card
from lynx_cl.base.settings import Seed, Settings, layered, read_settings
from lynx_cl.continual.config import EvaluationSettings
from lynx_cl.continual.course import Budget, Lesson, Terms
from lynx_cl.continual.method import Method, method_named, read_method
from lynx_cl.continual.study_files import find_study, name_in, places, study_files
from lynx_cl.data.kinds import kinds
from lynx_cl.data.sources import open_source
from lynx_cl.errors import UsageError
from lynx_cl.home import Home
from lynx_cl.registry.snapshot import BASE_TASK
from lynx_cl.tasks import load_card

NAME = r"^[a-z0-9][a-z0-9-]*$"
TASK = r"^[a-z][a-z0-9-]*$"  # as the names of cards
LONGEST = 64  # letters of a name: folders and MLflow's metrics are called by it
EXAMPLE = "budget.steps=100"


class StudyTask(Settings):
    """A task of a study. What is not named is what its card says: the data source, and the metric that enters R.

    `card` names the card where that is not the task's own name, so that several tasks can share one.
    """

    card: str | None = None
    data: str | None = None
    metric: str | None = None


class RaySettings(Settings):
    """Where executor=ray finds its cluster, and the `cpus` and `gpus` that a cell asks it for.

    `address` is `auto` or the HOST:PORT of its head; without one it is that of RAY_ADDRESS, else a cluster is started
    on this machine. A cell that asks for no GPU sees none.
    """

    address: str = ""
    cpus: int = Field(1, ge=1)
    gpus: float = Field(0.0, ge=0)


class Study(Settings):
    """A study as its YAML says it.

    `orders` are the sequences in which the tasks are learned, by default one, as they are named. `methods` holds the
    settings of each method under a label: the method's name, or any other with `method` among its settings; `learns`
    among them is what of the data a label learns (`Terms`). `data_seed` draws the questions, `seeds` everything else.
    `executor` is `turn`, one cell after another in this process, or `processes` or `ray`, `workers` at a time.
    """

    name: str = Field(pattern=NAME, max_length=LONGEST)
    title: str = ""
    base: str = "nano"
    tasks: dict[Annotated[str, Field(pattern=TASK, max_length=LONGEST)], StudyTask] = Field(min_length=1)
    orders: tuple[tuple[str, ...], ...] = ()
    methods: dict[str, dict[str, Any]] = Field(min_length=1)
    seeds: tuple[Seed, ...] = Field((0,), min_length=1)
    data_seed: Seed = 0
    budget: Budget = Budget()
    evaluation: EvaluationSettings = EvaluationSettings()
    executor: Literal["turn", "processes", "ray"] = "turn"
    workers: int = Field(2, ge=1)
    ray: RaySettings = RaySettings()

    @field_validator("tasks", "methods", mode="before")
    @classmethod
    def _empty_is_default(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): {} if item is None else item for key, item in value.items()}
        return value

    @field_validator("methods")
    @classmethod
    def _labels(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for label in value:
            if not label.replace("-", "").replace("_", "").isalnum() or len(label) > LONGEST:
                raise ValueError(f"label '{label}': give letters, digits and dashes, at most {LONGEST}")
        return value

    @field_validator("tasks")
    @classmethod
    def _tasks(cls, value: dict[str, StudyTask]) -> dict[str, StudyTask]:
        if BASE_TASK in value:
            raise ValueError(f"'{BASE_TASK}' is the name of what the base itself is asked; give the task another name")
        return value

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value):
            raise ValueError("give each seed once")
        return value

    @model_validator(mode="after")
    def _orders(self) -> Study:
        for number, order in enumerate(self.orders, 1):
            for task, times in Counter(order).items():
                if task not in self.tasks:
                    raise ValueError(f"order {number} names '{task}', which is no task of the study")
                if times > 1:
                    raise ValueError(f"order {number} repeats '{task}'; name each task once")
            for task in self.tasks:
                if task not in order:
                    raise ValueError(f"order {number} misses '{task}'; name each task once")
            if self.orders.index(order) < number - 1:
                raise ValueError(f"order {number} is order {self.orders.index(order) + 1} again")
        return self

    def sequences(self) -> tuple[tuple[str, ...], ...]:
        """The orders in force."""
        return self.orders or (tuple(self.tasks),)

    def cells(self) -> list[Cell]:
        """Every cell, methods first, so that an early look at a study compares them."""
        return [
            Cell(label, number, order, seed)
            for seed in self.seeds
            for number, order in enumerate(self.sequences(), 1)
            for label in self.methods
        ]

    def kind(self, label: str) -> type[Method]:
        """The method behind a label."""
        return method_named(method_of(label, self.methods[label])[0])

    def shared(self) -> dict[str, Any]:
        """What results of one study must have in common to be compared; methods, orders and seeds may be added.

        Where a task's data lie is no part of it: they are told by their digests (`made_of`).
        """
        told = self.model_dump(mode="json")
        tasks = {name: {"card": own["card"], "metric": own["metric"]} for name, own in told["tasks"].items()}
        return {"base": told["base"], "tasks": tasks, **{k: told[k] for k in ("data_seed", "budget", "evaluation")}}

    def joined(self, other: Study) -> Study:
        """This study with the methods, orders and seeds that another has more; those that both have are equal."""
        orders = max(self.sequences(), other.sequences(), key=len)
        seeds = tuple(dict.fromkeys((*self.seeds, *other.seeds)))
        return self.model_copy(update={"orders": orders, "methods": {**self.methods, **other.methods}, "seeds": seeds})


@dataclass(frozen=True)
class Cell:
    """One method on one order with one seed; `number` is the order's, counted from 1."""

    label: str
    number: int
    order: tuple[str, ...]
    seed: int

    @property
    def key(self) -> str:
        """Its name among the study's cells.

        >>> Cell("lynx", 1, ("a", "b"), 0).key
        'lynx/order-1-seed-0'
        """
        return f"{self.label}/order-{self.number}-seed-{self.seed}"

    def called(self, name: str) -> bool:
        """Whether METHOD or METHOD/CELL names it."""
        return name in (self.label, self.key)


def chosen_cells(study: Study, only: Sequence[str]) -> list[Cell]:
    """The cells of a study that `only` names, METHOD or METHOD/CELL each, in their order; all where it names none.

    Raises UsageError for a name that fits none.
    """
    cells = study.cells()
    for name in only:
        if not any(cell.called(name) for cell in cells):
            known = ", ".join(study.methods)
            raise UsageError(f"--only {name}: no cell of '{study.name}'; name one of {known}, or one as {cells[0].key}")
    return [cell for cell in cells if not only or any(map(cell.called, only))]


def method_of(label: str, settings: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The method's name behind a label, and its own settings."""
    own = {key: value for key, value in settings.items() if key not in ("method", "learns")}
    return str(settings.get("method", label)), own


def in_full(label: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a label with those that it leaves to its method, so that a later default is not taken for them.

    Raises UsageError for an unknown method or key, or a wrong value.
    """
    name, own = method_of(label, settings)
    kept = {key: value for key, value in settings.items() if key not in own}
    return kept | read_method(name, own, f"methods.{label}").model_dump(mode="json")


def terms_of(label: str, settings: dict[str, Any], where: str = "") -> Terms:
    """What a label learns, by its key `learns`. Raises UsageError for what is wrong there."""
    told = settings.get("learns")
    if told is not None and not isinstance(told, dict):
        known = ", ".join(Terms.model_fields)
        raise UsageError(f"{where}methods.{label}.learns = {told!r}: give keys of it: {known}")
    return read_settings(Terms, told or {}, f"{where}methods.{label}.learns")


def read_study(name_or_path: str, overrides: Sequence[str], home: Home) -> Study:
    """The study of a file, or of a name among the home's own and the shipped ones, every part of it checked.

    Raises UsageError naming what is wrong: an unknown study, key, method, task, metric or data source, an order that
    misses or repeats a task, a budget of nothing, two studies of one name.
    """
    path = find_study(name_or_path, home)
    study = read_settings(Study, layered([path], overrides, EXAMPLE), str(path))
    for other in (other for folder in {path.parent, *places(home)} for other in study_files(folder)):
        if other.resolve() != path.resolve() and name_in(other) == study.name:
            raise UsageError(f"{path}: name = '{study.name}': is that of {other} already; give each study its own")
    read = {}
    for label, settings in study.methods.items():
        name, own = method_of(label, settings)
        checked = read_method(name, own, f"{path}: methods.{label}")
        read[label] = method_named(name), checked
        terms_of(label, settings, f"{path}: ")
    study = study.model_copy(update={"methods": {label: in_full(label, own) for label, own in study.methods.items()}})
    opened = lessons(study, tuple(study.tasks), home, where=f"{path}: ")
    for label, (kind, checked) in read.items():
        try:
            kind.check(checked, opened, _grammar(study))
        except UsageError as error:
            raise UsageError(f"{path}: methods.{label}: {error}") from None
    return study


def lessons(
    study: Study, order: Sequence[str], home: Home, where: str = "", terms: Terms | None = None
) -> tuple[Lesson, ...]:
    """The tasks of an order with their data, opened. Raises UsageError for an unknown task, metric or source."""
    terms, grammar = terms or Terms(), _grammar(study)
    opened = []
    for name in order:
        wanted = study.tasks[name]
        card = load_card(wanted.card or name, home).model_copy(update={"name": name})
        if wanted.metric is not None:
            if wanted.metric not in kinds()[card.kind].metrics:
                known = ", ".join(kinds()[card.kind].metrics)
                raise UsageError(f"{where}tasks.{name}.metric = '{wanted.metric}': unknown; known: {known}")
            card = card.model_copy(update={"metric": wanted.metric})
        if not terms.chains:
            card = card.model_copy(update={"chains": 0.0})
        spec = wanted.data or card.source
        if spec is None:
            raise UsageError(f"{where}tasks.{name}: its card names no data source; give one as tasks.{name}.data")
        source = open_source(spec, card, seed=study.data_seed, limit=study.budget.pictures, base_grammar=grammar)
        opened.append(Lesson(card, source).shared(terms.share))
    return tuple(opened)


def _grammar(study: Study) -> str:
    """How the study's base writes boxes, unless a task says otherwise."""
    place = find_base(study.base)
    return (read_card(place) if isinstance(place, Path) else BaseCard(name=str(place))).grammar


def made_of(study: Study, home: Home) -> dict[str, str]:
    """What a study's results are a function of beside its settings: digests of the base and of each task's data."""
    from lynx_cl.base.card import read_card
    from lynx_cl.base.fingerprint import fingerprint_folder
    from lynx_cl.base.quantise import quantised_fingerprint

    place = find_base(study.base)
    base = str(place)
    if isinstance(place, Path):
        base = quantised_fingerprint(fingerprint_folder(place), read_card(place).quantise)
    data = {f"data of {one.task}": one.source.digest() for one in lessons(study, tuple(study.tasks), home)}
    return {f"base {study.base}": base, **data}
