"""Other settings for a registry's router. Another embedder means other statistics for the base and for every task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lynx_cl.base.card import find_base
from lynx_cl.base.load import Base, load_base
from lynx_cl.base.places import base_of
from lynx_cl.continual.config import read_config
from lynx_cl.continual.learned import source_of
from lynx_cl.continual.nano import base_statistics
from lynx_cl.errors import LynxError
from lynx_cl.registry.snapshot import BASE_TASK, Snapshot, TaskEntry, Version
from lynx_cl.registry.store import Registry
from lynx_cl.registry.views import TaskVersion
from lynx_cl.router.embedders import Embedder, embedder_named
from lynx_cl.router.requests import task_requests
from lynx_cl.router.router import Router
from lynx_cl.router.statistics import TaskStatistics, fit_task
from lynx_cl.router.stored import FILE, ROLE, router_config, stored_statistics

COMMAND = "router"
Say = Callable[[str], None]


def change_router(registry: Registry, base_name: str, changes: Mapping[str, Any], say: Say) -> Snapshot:
    """Commits other router settings; a registry that does not exist yet is made, for the base of that name.

    With another embedder every task's requests are embedded anew: from the data it was learned from, or where that is
    gone and pictures do not matter, from the requests that the registry keeps of it. Only current versions change, and
    only in their router statistics. Raises UsageError for a setting that is wrong, LynxError naming the tasks that lack
    what the embedder needs; nothing has changed then.
    """
    wanted, present = router_config(registry, changes), router_config(registry)
    name = base_of(registry, base_name)
    place = find_base(name)
    folder = place if isinstance(place, Path) else None
    if wanted.embedder == present.embedder and registry.exists():
        Router.solve(stored_statistics(registry, folder), _embedder(wanted.embedder, name), wanted)
        return registry.commit(lambda parent: {"router": {**parent.router, **changes}}, command=COMMAND)
    base = load_base(name)
    if not registry.exists():
        registry.init(base.fingerprint, base.name)
        if wanted.embedder == present.embedder:
            return registry.commit(lambda parent: {"router": {**parent.router, **changes}}, command=COMMAND)
    registry.check_base(base.fingerprint, base.name)
    head = registry.head_digest()
    embedder = embedder_named(wanted.embedder, base)
    made = _embedded(registry, folder, base, embedder, say)
    Router.solve(list(made.values()), embedder, wanted)

    def with_statistics(parent: Snapshot) -> dict[str, Any]:
        digests = {task: registry.objects.put(statistics.to_bytes()) for task, statistics in made.items()}
        shipped = folder / FILE if folder is not None else None
        own = made.get(BASE_TASK)
        files = {role: digest for role, digest in parent.base.files.items() if role != ROLE}
        if own is not None and not (shipped and shipped.is_file() and shipped.read_bytes() == own.to_bytes()):
            files[ROLE] = digests[BASE_TASK]
        entries = registry.entries(parent)
        changed = {
            task: _with_statistics(registry, task, entry, digests[task]) for task, entry in entries.all().items()
        }
        root = entries.put_all(changed).root
        return {"base": parent.base.but(files=files), "tasks": root, "router": {**parent.router, **changes}}

    return registry.commit(with_statistics, command=COMMAND, expect=head)


def _embedder(name: str, base_name: str) -> Embedder:
    from lynx_cl.router.embedders import needs_base

    return embedder_named(name, load_base(base_name) if needs_base(name) else None)


def _embedded(
    registry: Registry, folder: Path | None, base: Base, embedder: Embedder, say: Say
) -> dict[str, TaskStatistics]:
    """The statistics of the base, where it has requests of its own, and of every task. Raises LynxError naming those
    whose requests cannot be had."""
    kept = {statistics.task: statistics for statistics in stored_statistics(registry, folder)}
    made, lacking = {}, []
    if base.card.understanding:
        say("router: embedding the base's own requests")
        made[BASE_TASK] = base_statistics(embedder, embedder.pictures)
    elif BASE_TASK in kept and not embedder.pictures:
        made[BASE_TASK] = _from_kept(kept[BASE_TASK], embedder)
    elif BASE_TASK in kept:
        lacking.append(BASE_TASK)
    most = read_config().router.prompts
    for task in registry.tasks():
        say(f"router: embedding the requests of {task}")
        try:
            source = source_of(registry.task(task), base)
        except LynxError as error:
            if embedder.pictures:
                lacking.append(task)
            else:
                say(f"{error}; its {len(kept[task].texts)} kept requests are taken instead")
                made[task] = _from_kept(kept[task], embedder)
            continue
        splits = source.examples("train"), source.examples("calibration")
        asked = task_requests(*splits, most, pictures=embedder.pictures)
        made[task] = fit_task(task, asked.fit, embedder, asked.calibration)
    if lacking:
        raise LynxError(
            f"router: the embedder {embedder.name} needs the pictures of {', '.join(lacking)}, whose data is gone; "
            "restore it, or remove the task"
        )
    return made


def _from_kept(kept: TaskStatistics, embedder: Embedder) -> TaskStatistics:
    return fit_task(kept.task, kept.texts, embedder, kept.calibration_texts)


def _with_statistics(registry: Registry, task: str, entry: TaskEntry, digest: str) -> TaskEntry:
    """An entry whose current version has other router statistics."""
    present: TaskVersion = registry.task_of(task, entry)
    manifest = present.manifest.but(files={**present.manifest.files, ROLE: digest})
    registry.objects.put(manifest.to_bytes())
    return entry.but(versions={**entry.versions, entry.current: Version.of(manifest, present.record)})
