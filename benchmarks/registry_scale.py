"""How a registry of many tasks behaves: list, show, add, remove, roll back. The peer is git on as many files.

    python benchmarks/registry_scale.py --tasks 10000 --folder /tmp/scale

Prints one JSON object: seconds (medians), and the ratio of an add to a `git commit` of one file beside as many others.
Times are of this run on this machine; an add's own objects (bank, statistics, manifest, record) are timed apart.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lynx_cl.registry import AddRecord, Registry, TaskManifest
from lynx_cl.registry.algebra import remove_task, roll_back
from lynx_cl.registry.snapshot import TaskEntry, Version

BASE = "b" * 64


def manifest(name: str) -> TaskManifest:
    """A manifest of the size that a real add writes."""
    return TaskManifest(
        task=name,
        kind="lora",
        bank_config={"rank": 14, "experts": 4, "scale": 2.0, "attention": True},
        base=BASE,
        parameters=600_000,
        growth_total=0.09,
        growth_active=0.12,
        card={"name": name, "description": "x" * 600},
        data={"source": "scout", "digest": "d" * 64},
        training={"steps": 900, "seed": 0},
    )


def filled(path: Path, count: int) -> Registry:
    """A registry of `count` tasks, committed at once."""
    registry = Registry(path)
    registry.init(BASE, "made-up")
    entries = {}
    for number in range(count):
        name = f"task{number:06}"
        bank = registry.objects.put(f"weights of {name}".encode())
        made = manifest(name).but(files={"bank": bank})
        record = AddRecord(created="2026-01-01T00:00:00Z", scores={"blind": {name: 0.9}})
        registry.objects.put(made.to_bytes())
        registry.objects.put(record.to_bytes())
        entries[name] = TaskEntry(current=1, versions={1: Version.of(made, record)})
    registry.commit(lambda head: {"tasks": registry.entries(head).put_all(entries).root}, command="benchmark")
    return registry


def median(act: Callable[[int], object], times: int = 7) -> float:
    """Median seconds of act(0), act(1), ..."""
    taken = []
    for number in range(times):
        start = time.perf_counter()
        act(number)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, required=True, help="an empty folder, removed at the end")
    asked = parser.parse_args()
    home, repository = asked.folder / "home", asked.folder / "git"
    registry = filled(home / "registry", asked.tasks)

    def add(number: int) -> None:
        registry.add(manifest(f"new{number}"), {"bank": f"new weights {number}".encode()})

    def remove(number: int) -> None:
        remove_task(Registry(registry.path) if number == 0 else registry, f"task{number:06}")

    def own_objects(number: int) -> None:
        for data in (b"weights", b"manifest", b"record"):
            registry.objects.put(data + f" {number} of nothing".encode())

    def command(*arguments: str) -> float:
        line = [sys.executable, "-m", "lynx_cl", *arguments, "--json", "--home", str(home)]
        return median(lambda _: subprocess.run(line, check=True, capture_output=True))

    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(repository), *arguments], check=True, capture_output=True)

    repository.mkdir()
    git("init")
    git("config", "core.fsync", "all")  # as durable as the registry
    git("config", "gc.auto", "0")  # no collection in the background of what is timed
    for number in range(asked.tasks):
        (repository / f"task{number:06}.json").write_bytes(manifest(f"task{number:06}").to_bytes())
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-m", "all")

    def git_add(number: int) -> None:
        (repository / f"new{number}.json").write_bytes(manifest(f"new{number}").to_bytes())
        git("add", f"new{number}.json")
        git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-m", "one")

    seconds = {
        "add": median(add),
        "add_own_objects": median(own_objects),
        "git_add_and_commit": median(git_add),
        "first_remove": median(remove, times=1),  # sums the growth of all tasks for its certificate, once a process
        "remove": median(lambda number: remove(number + 1)),
        "rollback": median(lambda number: roll_back(registry, registry.log()[-1 - number].snapshot)),
        "list_in_process": median(lambda _: registry.list()),
        "list_command": command("registry", "list"),
        "show_command": command("registry", "show", f"task{asked.tasks - 1:06}"),
        "start_of_python_and_cli": median(
            lambda _: subprocess.run([sys.executable, "-m", "lynx_cl", "--help"], check=True, capture_output=True)
        ),
    }
    ratio = seconds["add"] / seconds["git_add_and_commit"]
    rounded = {name: round(value, 4) for name, value in seconds.items()}
    print(json.dumps({"tasks": asked.tasks, "seconds": rounded, "add_to_git_commit": round(ratio, 3)}, indent=1))
    shutil.rmtree(asked.folder)


if __name__ == "__main__":
    main()
