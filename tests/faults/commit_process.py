"""A process to be killed: it changes a registry, and says each change that was acknowledged.

Steps are VERB:ARGUMENT, or NAME alone to add a task; `VERBS` lists them. Objects and records are made of the step
alone, so that the same steps end in the same state whenever they are run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import safetensors.numpy

from lynx_cl.registry import Registry
from lynx_cl.registry.algebra import drop_versions, merge, remove_task, roll_back
from lynx_cl.registry.archive import export_task, import_archive
from lynx_cl.registry.collect import collect
from lynx_cl.registry.remote import pull, push
from lynx_cl.registry.sign import new_key, sign
from tests.registry.samples import BASE, manifest, record


def _files(task: str, version: int = 1) -> dict[str, bytes]:
    """A bank that an archive may hold, and statistics."""
    bank = safetensors.numpy.save({f"{task}.alpha": np.full(3, version, np.float32)})
    return {"bank": bank, "router": f"statistics of {task} {version}".encode()}


def _add(registry: Registry, task: str) -> None:
    registry.add(manifest(task), _files(task), record(), record_files={"certificate": b"{}"})


def _update(registry: Registry, task: str) -> None:
    parts, kept = _files(task, registry.task(task).version + 1), {"certificate": b"{}"}
    registry.add(manifest(task), parts, record(), record_files=kept, update=True, command="update-task")


VERBS: dict[str, Callable[[Registry, str], object]] = {
    "add": _add,
    "update": _update,
    "remove": remove_task,
    "merge": lambda registry, folder: merge(registry, Registry(folder)),
    "rollback": roll_back,
    "undo": lambda registry, steps: roll_back(registry, registry.log()[-1 - int(steps)].snapshot),
    "drop": lambda registry, _: drop_versions(registry),
    "router": lambda registry, error: registry.commit(lambda _: {"router": {"error": error}}, command="router"),
    "import": lambda registry, file: import_archive(registry, Path(file)),
    "export": lambda registry, file: export_task(registry, "grounding", Path(file)),
    "pull": lambda registry, address: pull(registry, address),
    "push": lambda registry, address: push(registry, address),
    "sign": lambda registry, key: sign(registry, Path(key)),
    "key": lambda _, path: new_key(Path(path)),
    "gc": lambda registry, _: collect(registry),
}


def run(path: Path, *steps: str) -> Iterator[tuple[str, Registry]]:
    """Run the steps on the registry at `path`, which is made if need be; gives each one when it is done."""
    registry = Registry(path)
    registry.init(BASE, "nano", files={"router": b"statistics of the base"})
    for step in steps:
        verb, colon, argument = step.partition(":")
        if colon:
            VERBS[verb](registry, argument)
        else:
            _add(registry, step)
        yield step, registry


def after(path: Path, *steps: str) -> Registry:
    """The registry at `path` after these steps."""
    for _ in run(path, *steps):
        pass
    return Registry(path)


def main(path: str, *steps: str) -> None:
    for step, _ in run(Path(path), *steps):
        print(step, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
