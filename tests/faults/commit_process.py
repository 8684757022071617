"""A process to be killed: it adds tasks to a registry, and says each one that was acknowledged."""

from __future__ import annotations

import sys

from lynx_cl.registry import Registry
from tests.registry.samples import BASE, files, manifest, record


def main(path: str, *tasks: str) -> None:
    registry = Registry(path)
    registry.init(BASE, "nano", files={"router": b"statistics of the base"})
    for task in tasks:
        registry.add(manifest(task), files(task), record(), record_files={"certificate": b"{}"})
        print(task, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
