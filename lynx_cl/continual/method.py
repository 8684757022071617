"""What a method of continual learning is, and how it registers itself.

A method is a file in `lynx_cl/continual/methods/` with a class under `@method`; its name is the file's, `o_lora.py`
being `o-lora`. One object lives through the stages of one sequence, and can be put back where it was from `state`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from lynx_cl.base.settings import Settings, read_settings
from lynx_cl.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from lynx_cl.continual.course import Course, Lesson
    from lynx_cl.continual.measure import TaskMeasurement, TaskUnderTest


@dataclass(frozen=True)
class Learning:
    """What learning one task took: seconds of training, and the score of validation answers by optimiser step.

    The score is the geometric mean of the probabilities of the right answers' tokens, in [0, 1].
    """

    seconds: float
    curve: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Added:
    """Parameters that a method has added to the base: in all, and those that one token touches."""

    total: int = 0
    active: int = 0


class Method:
    """One way to learn tasks one after another.

    `routes`: requests are answered task-blind through the method's own router. `given`: its answers need to be told the
    task, so they are a bound and no contender. `at_once`: it learns all tasks at the last stage. `learns`: False where
    it stays the base alone, which is not measured again then.
    """

    name: ClassVar[str]
    settings: ClassVar[type[Settings]]
    routes: ClassVar[bool] = False
    given: ClassVar[bool] = False
    at_once: ClassVar[bool] = False
    learns: ClassVar[bool] = True

    def __init__(self, course: Course, settings: Any) -> None:
        self.course, self.config = course, settings

    @classmethod
    def check(cls, settings: Any, lessons: Sequence[Lesson], grammar: str) -> None:
        """Checks settings against the tasks that are to be learned, before anything runs; `grammar` is the base's.

        Raises UsageError for what cannot be: what is wrong with the settings alone is found by reading them.
        """

    def learn(self, stage: int) -> Learning:
        """Learns the task of a stage, counted from 1, after those before it. Raises LynxError where training fails."""
        raise NotImplementedError

    def measured(self, tests: Sequence[TaskUnderTest], batch_size: int) -> dict[str, TaskMeasurement]:
        """The scores of every task as the method now is: here of the one model, whatever the task."""
        from lynx_cl.continual.measure import measure

        return measure(self.course.base, None, None, tests, batch_size=batch_size)

    def added(self) -> Added:
        """What it has added to the base so far."""
        return Added()

    def state(self) -> dict[str, Tensor]:
        """All that it has learned, by name."""
        return {}

    def load_state(self, tensors: Mapping[str, Tensor], stage: int) -> None:
        """Takes over what `state` gave after a stage."""


_METHODS: dict[str, type[Method]] = {}


def method(settings: type[Settings]) -> Callable[[type[Method]], type[Method]]:
    """Registers a class as the method that its file is named after."""

    def register(cls: type[Method]) -> type[Method]:
        cls.name, cls.settings = cls.__module__.rpartition(".")[2].replace("_", "-"), settings
        _METHODS[cls.name] = cls
        return cls

    return register


def method_names() -> list[str]:
    """Every method by name; nothing of them is imported."""
    import lynx_cl.continual.methods

    folder = Path(lynx_cl.continual.methods.__file__).parent
    return sorted(path.stem.replace("_", "-") for path in folder.glob("*.py") if not path.stem.startswith("__"))


def method_named(name: str) -> type[Method]:
    """The class of a method. Raises UsageError for a name that is unknown."""
    if name not in method_names():
        raise UsageError(f"method '{name}' is unknown; known: {', '.join(method_names())}")
    importlib.import_module(f"lynx_cl.continual.methods.{name.replace('-', '_')}")
    return _METHODS[name]


def read_method(name: str, values: Mapping[str, Any], where: str) -> Settings:
    """The checked settings of a method. Raises UsageError for an unknown method or key, or a wrong value."""
    try:
        kind = method_named(name)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
    return read_settings(kind.settings, values, where)
