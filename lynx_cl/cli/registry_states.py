"""`lynx-cl registry` over time: the steps that led here, how two states differ, going back, and what nothing needs."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lynx_cl.cli.options import HomeOption, JsonOption, open_registry
from lynx_cl.cli.output import note, print_json, print_table
from lynx_cl.errors import UsageError

if TYPE_CHECKING:
    from lynx_cl.registry import Registry
    from lynx_cl.registry.snapshot import TaskEntry


def show_log(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Print the commits that led to the present state, the first one first.

    Example: lynx-cl registry log --json
    """
    registry = open_registry(home)
    entries = registry.log()
    if as_json:
        print_json(entries)
        return
    columns = ("snapshot", "state", "time", "command", "task", "who")
    print_table(columns, ((e.snapshot[:12], e.state[:12], e.time, e.command, e.task, e.who) for e in entries))


def show_tree(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Print the base, the tasks below it and the versions of each, with their sizes.

    Example: lynx-cl registry tree
    """
    registry = open_registry(home)
    if not registry.exists():
        print_json({}) if as_json else note(f"{registry.path}: no tasks yet")
        return
    head = registry.head()
    tasks: dict[str, list[dict[str, Any]]] = {
        name: [
            {
                "version": number,
                "current": number == entry.current,
                "kind": version.kind,
                "parameters": version.parameters,
                "bytes": _size(registry, version.bank),
                "bank": version.bank,
                "created": version.created,
            }
            for number, version in sorted(entry.versions.items())
        ]
        for name, entry in registry.entries(head).all().items()
    }
    if as_json:
        base = {"name": head.base.name, "fingerprint": head.base.fingerprint}
        print_json({"base": base, "snapshot": head.digest, "state": head.state, "tasks": tasks})
        return
    from rich.console import Console
    from rich.tree import Tree

    drawn = Tree(f"{head.base.name}  {head.base.fingerprint[:12]}")
    for name, versions in tasks.items():
        branch = drawn.add(name)
        for v in versions:
            mark = "*" if v["current"] else " "
            branch.add(
                f"{mark} {name}@{v['version']}  {v['kind']}  {v['parameters']:,} parameters  "
                f"{v['bytes'] / 1e6:.1f} MB  {v['bank'][:12]}  {v['created']}",
                highlight=False,
            )
    Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(drawn)


def show_diff(
    before: Annotated[str, typer.Argument(help="A snapshot: its digest or at least 4 digits of it.")],
    after: Annotated[str | None, typer.Argument(help="Another; by default the present one.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how two snapshots differ: tasks, versions, main scores, the router's settings.

    Example: lynx-cl registry diff 3fa0
    """
    from lynx_cl.registry.algebra import difference, find_snapshot

    registry = open_registry(home)
    old = find_snapshot(registry, before)
    new = find_snapshot(registry, after) if after else registry.head()
    found = difference(registry, old, new)
    change = {name: _score_change(*pair) for name, pair in found.tasks.items()}
    rows = [
        (name, _brief(one), _brief(other), "" if change[name] is None else f"{change[name]:+.4f}")
        for name, (one, other) in found.tasks.items()
    ]
    if found.router:
        rows.append(("router", json.dumps(found.router[0]), json.dumps(found.router[1]), ""))
    if as_json:
        tasks = {
            name: {"before": one, "after": other, "score_change": change[name]}
            for name, (one, other) in found.tasks.items()
        }
        router = found.router and {"before": found.router[0], "after": found.router[1]}
        print_json({"before": old.digest, "after": new.digest, "tasks": tasks, "router": router})
    elif not rows:
        note(f"{old.digest[:12]} and {new.digest[:12]} hold the same")
    else:
        print_table(("task", old.digest[:12], new.digest[:12], "score"), rows)


def roll_back_to(
    snapshot: Annotated[str, typer.Argument(help="The snapshot: its digest or at least 4 digits of it.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Return to the tasks and the router of an earlier snapshot, by a commit of its own.

    Example: lynx-cl registry rollback 3fa0
    """
    from lynx_cl.registry.algebra import roll_back

    registry = open_registry(home)
    made = roll_back(registry, snapshot)
    if as_json:
        print_json({"snapshot": made.digest, "state": made.state})
    else:
        note(f"{registry.path}: as it was; its snapshot is {made.digest[:12]} now")


def collect_garbage(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    keep: Annotated[int | None, typer.Option("--keep", min=1, help="Keep at most so many snapshots.")] = None,
    old_versions: Annotated[bool, typer.Option("--old-versions", help="Drop versions that are not current.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove what nothing needs: bytes of removed tasks, snapshots before a removal, files of killed processes.

    Example: lynx-cl registry gc --dry-run
    """
    from lynx_cl.registry.algebra import drop_versions
    from lynx_cl.registry.collect import collect

    registry = open_registry(home)
    if old_versions and dry_run:
        raise UsageError("--old-versions changes the registry; give it without --dry-run")
    if old_versions:
        drop_versions(registry)
    report = collect(registry, keep=keep, dry_run=dry_run)
    if as_json:
        print_json({**dataclasses.asdict(report), "dry_run": dry_run})
        return
    word = "would remove" if dry_run else "removed"
    note(
        f"{registry.path}: {word} {report.objects} objects, {report.snapshots} snapshots and {report.leftovers} "
        f"unfinished files, {report.bytes / 1e6:.1f} MB"
    )


COMMANDS: dict[str, Callable[..., None]] = {
    "log": show_log,
    "tree": show_tree,
    "diff": show_diff,
    "rollback": roll_back_to,
    "gc": collect_garbage,
}


def _size(registry: Registry, digest: str) -> int:
    path = registry.objects.path(digest)
    return path.stat().st_size if path.is_file() else 0


def _brief(entry: TaskEntry | None) -> str:
    if entry is None:
        return "-"
    version = entry.versions[entry.current]
    score = f", score {version.score:.4g}" if version.score is not None else ""
    return f"version {entry.current} of {len(entry.versions)}, {version.kind}, {version.bank[:12]}{score}"


def _score_change(before: TaskEntry | None, after: TaskEntry | None) -> float | None:
    """The later main score minus the earlier one, where there are both."""
    scores = [entry.versions[entry.current].score for entry in (before, after) if entry is not None]
    return scores[1] - scores[0] if len(scores) == 2 and None not in scores else None  # type: ignore[operator]
