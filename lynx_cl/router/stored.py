"""The router of a registry: solved from the statistics kept with each current task and with the base."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lynx_cl.base.card import find_base
from lynx_cl.base.places import base_of
from lynx_cl.base.settings import read_settings
from lynx_cl.errors import LynxError
from lynx_cl.registry import Registry
from lynx_cl.registry.snapshot import BASE_TASK
from lynx_cl.router.embedders import embedder_named, needs_base
from lynx_cl.router.router import Router, RouterConfig
from lynx_cl.router.statistics import TaskStatistics

if TYPE_CHECKING:
    from lynx_cl.base.load import Base

FILE = "router.safetensors"  # beside a base's weights: the statistics of its own requests
ROLE = "router"


def load_router(
    registry: Registry,
    base_folder: str | Path | None,
    base: Base | None = None,
    changes: Mapping[str, object] | None = None,
) -> Router:
    """The router over a registry's current tasks and the base in `base_folder`, `changes` put over its settings.

    The base's own requests come from the file that the registry keeps with it, or else from `router.safetensors` in its
    folder; a base with neither answers only what is near no task. `base` is used where the embedder looks through it;
    it is loaded from `base_folder` if not given. A registry that does not exist yet has no task. Raises LynxError where
    statistics are missing, damaged, or of different embedders, UsageError for a setting that is wrong.
    """
    config = router_config(registry, changes)
    if needs_base(config.embedder) and base is None:
        from lynx_cl.base.load import load_base

        if base_folder is None:
            raise LynxError(f"{registry.path}: its router looks through the base's own eyes; give the base's folder")
        base = load_base(str(base_folder))
    return Router.solve(stored_statistics(registry, base_folder), embedder_named(config.embedder, base), config)


def router_config(registry: Registry, changes: Mapping[str, object] | None = None) -> RouterConfig:
    """The router's settings in a registry, or the usual ones, with `changes`. Raises UsageError for what is wrong."""
    kept = registry.head().router if registry.exists() else {}
    config = read_settings(RouterConfig, kept, f"{registry.path}: router")
    return read_settings(RouterConfig, {**config.model_dump(), **changes}, "router") if changes else config


def stored_statistics(registry: Registry, base_folder: str | Path | None) -> list[TaskStatistics]:
    """The statistics of the base, where there are any, and of every current task."""
    found = []
    path = Path(base_folder) / FILE if base_folder is not None else None
    snapshot = registry.head() if registry.exists() else None
    if snapshot is not None and ROLE in snapshot.base.files:
        found.append(_named(BASE_TASK, registry.read(snapshot.base.files[ROLE]), f"{registry.path}: base"))
    elif path is not None and path.is_file():
        found.append(_named(BASE_TASK, path.read_bytes(), str(path)))
    for name in registry.tasks():
        version = registry.task(name)
        where = f"{registry.path}: task {name}"
        if ROLE not in version.manifest.files:
            raise LynxError(f"{where} keeps no router statistics; train a new version with update-task")
        found.append(_named(name, registry.read(version.manifest.files[ROLE]), where))
    return found


def router_of(registry: Registry, default_base: str = "nano", changes: Mapping[str, object] | None = None) -> Router:
    """The router of a registry and of the base it was made for."""
    folder = find_base(base_of(registry, default_base))
    return load_router(registry, folder if isinstance(folder, Path) else None, changes=changes)


def _named(name: str, data: bytes, where: str) -> TaskStatistics:
    statistics = TaskStatistics.from_bytes(data, where)
    if statistics.task != name:
        raise LynxError(f"{where}: the router statistics are of {statistics.task!r}, not {name!r}; restore the file")
    return statistics
