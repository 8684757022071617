"""What a registry has learned, ready to answer: its banks attached to the base, its router, its tasks' tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lynx_cl.banks.attach import Attachment, attach
from lynx_cl.banks.base import Bank
from lynx_cl.base.load import Base
from lynx_cl.continual.measure import TaskUnderTest
from lynx_cl.continual.outside import read_bank
from lynx_cl.continual.scores import task_test, understanding_test
from lynx_cl.data.sources import DataSource, open_source
from lynx_cl.errors import LynxError
from lynx_cl.registry.store import Registry
from lynx_cl.tasks import TaskCard

if TYPE_CHECKING:
    from lynx_cl.registry.views import TaskVersion


@dataclass(frozen=True)
class Learned:
    """The tasks of a registry's head, by name, and their banks."""

    versions: dict[str, TaskVersion]
    banks: dict[str, Bank]

    def without(self, task: str) -> Learned:
        """The other tasks."""
        return Learned(
            {name: version for name, version in self.versions.items() if name != task},
            {name: bank for name, bank in self.banks.items() if name != task},
        )

    @contextmanager
    def attached(self, base: Base) -> Iterator[Attachment]:
        """The base with every bank at its taps."""
        taps = {tap.name: tap for bank in self.banks.values() for tap in bank.taps}
        with attach(base.model, list(taps.values())) as attachment:
            for name, bank in self.banks.items():
                attachment.add(name, bank)
            yield attachment


def learned(registry: Registry, base: Base) -> Learned:
    """Reads every task of the head, each byte checked. Raises LynxError for a bank of another base."""
    versions = {name: registry.task(name) for name in registry.tasks()}
    banks = {name: read_bank(registry, version, base) for name, version in versions.items()}
    return Learned(versions, banks)


def test_of(version: TaskVersion, base: Base, count: int) -> TaskUnderTest:
    """The test of a task already in the registry, on the data it was learned from.

    Raises LynxError where that data is no longer there or has changed.
    """
    card = TaskCard(**version.manifest.card)
    return task_test(card, source_of(version, base), card.box_grammar(base.card.grammar), count)


def source_of(version: TaskVersion, base: Base) -> DataSource:
    """The data that a task was learned from. Raises LynxError where it is no longer there or has changed."""
    spec = version.record.source
    if spec is None:
        raise LynxError(f"task '{version.task}': its record names no data source, so its data cannot be read")
    data: Any = version.manifest.data
    card = TaskCard(**version.manifest.card)
    source = open_source(spec, card, seed=data["seed"], limit=data["limit"], base_grammar=base.card.grammar)
    if source.digest() != data["digest"]:
        raise LynxError(f"task '{version.task}': its data ({spec}) has changed since it was learned; restore it")
    return source


def tests(versions: Sequence[TaskVersion], base: Base, count: int, questions: int) -> list[TaskUnderTest]:
    """The base's own test, where it has one, then that of each task."""
    own = [understanding_test(questions)] if base.card.understanding else []
    return [*own, *(test_of(version, base, count) for version in versions)]
