"""Checking data before it is learned from: what is broken in it, and what is tested on that is also learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lynx_cl.base.card import find_base, read_card
from lynx_cl.base.places import base_of
from lynx_cl.data.hygiene import Drawn, learned_by_base, shared_pictures
from lynx_cl.data.readers import absolute, find_reader, problems
from lynx_cl.errors import LynxError
from lynx_cl.home import Home
from lynx_cl.registry.store import Registry
from lynx_cl.tasks import TaskCard


@dataclass(frozen=True)
class Checked:
    """What a check found: broken records and pictures, and pictures that are tested on and learned from, a line each.

    `sources` are those whose pictures were compared, empty where that was not asked for.
    """

    source: str
    broken: tuple[str, ...]
    sources: tuple[str, ...]
    shared: tuple[str, ...]

    def verdict(self) -> str:
        """The result in a sentence."""
        broken = f"{self.source}: {len(self.broken) or 'nothing'} broken"
        if not self.sources:
            return broken
        among = f"{len(self.sources)} sources: {', '.join(self.sources)}"
        return f"{broken}; {len(self.shared) or 'no'} shared pictures among {among}"


def check(source: str, against: Sequence[str], home: Home | None, limit: int | None = None) -> Checked:
    """Goes through all of a source. Where `against` names sources, or `home` a registry whose tasks are meant, also
    compares the pictures of all their test splits with all that they, and the registry's base, learn from; `limit` is
    the most of a split.

    Raises UsageError for an unknown source, LynxError for a source to compare with that cannot be opened.
    """
    broken: list[str] = []
    try:
        broken.extend(problems(source))
    except LynxError as error:
        if error.exit_code == 2:
            raise
        broken.append(str(error))  # a file that is broken as a whole
    others = [Drawn(absolute(spec), limit=limit) for spec in against]
    for one in others:
        find_reader(one.spec)
    known: list[Drawn] = []
    if home is not None:
        registry = Registry(home.registry)
        others += registered(registry)
        known = known_to_base(registry)
    if not others and not known:
        return Checked(source, tuple(broken), (), ())
    drawn = {one.name: one for one in [Drawn(absolute(source), limit=limit), *others]}
    more = {one.name: one for one in known if one.name not in drawn}
    shared = tuple(str(twin) for twin in shared_pictures([*drawn.values()], [*more.values()]))
    return Checked(source, tuple(broken), (*drawn, *more), shared)


def registered(registry: Registry) -> list[Drawn]:
    """The data of every task of a registry, as it was learned from. Raises LynxError for a task that names none."""
    drawn = []
    for name in registry.tasks():
        version = registry.task(name)
        if version.record.source is None:
            raise LynxError(f"task '{name}': its record names no data source, so its pictures cannot be compared")
        data: Any = version.manifest.data
        card = TaskCard(**version.manifest.card)
        drawn.append(Drawn(version.record.source, card, data["seed"], data["limit"]))
    return drawn


def known_to_base(registry: Registry) -> list[Drawn]:
    """What the base of a registry learned from, by its card; nothing where the card does not say or is not here."""
    folder = find_base(base_of(registry)) if registry.exists() else ""
    return [learned_by_base(absolute(spec)) for spec in read_card(folder).data] if isinstance(folder, Path) else []
