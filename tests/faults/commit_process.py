"""A process to be killed: it changes a registry, and says each change that was acknowledged.

Steps are NAME (add a task), -NAME (remove it), +FOLDER (merge another registry), gc.
"""

from __future__ import annotations

import sys

from lynx_cl.registry import Registry
from lynx_cl.registry.algebra import merge, remove_task
from lynx_cl.registry.collect import collect
from tests.registry.samples import BASE, files, manifest, record


def main(path: str, *steps: str) -> None:
    registry = Registry(path)
    registry.init(BASE, "nano", files={"router": b"statistics of the base"})
    for step in steps:
        if step == "gc":
            collect(registry)
        elif step.startswith("-"):
            remove_task(registry, step[1:])
        elif step.startswith("+"):
            merge(registry, Registry(step[1:]))
        else:
            registry.add(manifest(step), files(step), record(), record_files={"certificate": b"{}"})
        print(step, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
