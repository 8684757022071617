"""Cells as tasks of a Ray cluster: each in a process of its own on some node, its results in the home that all share.

What a task does is what `python -m lynx_cl.continual.cell` does here: a node needs this package, the base, the data and
the home at the very same paths. Ray carries nothing but names.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lynx_cl.continual.cell import main
from lynx_cl.continual.results import StudyFolder, study_folder
from lynx_cl.continual.study import Cell, Study
from lynx_cl.errors import LynxError
from lynx_cl.home import Home

LOCAL = "local"  # Ray's own word for a cluster that is started for this run, on this machine
REACH = 5.0  # seconds to wait for an address; Ray itself would try for minutes
LOOKS = 5  # times that a node looks for the folder, a second apart: a network's file system may show it late


@dataclass(frozen=True)
class Told:
    """What a task tells: where it ran, whether it saw the study's folder, and the exit code of its cell."""

    node: str
    seen: bool
    code: int


def work(home: str, name: str, key: str, identity: str) -> Told:
    """A cell on a node: its words go to the file `log` in its folder, as those of a local process."""
    node, folder = socket.gethostname(), StudyFolder(Path(home) / "studies" / name)
    for look in range(LOOKS):
        with contextlib.suppress(LynxError, OSError):
            if folder.identity == identity:
                break
        if look < LOOKS - 1:
            time.sleep(1)
    else:
        return Told(node, False, 1)
    log = folder.path / "cells" / key / "log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as lines, contextlib.redirect_stderr(lines):
        import ray

        print(f"node {node}, {ray.get_runtime_context().get_node_id()}, process {os.getpid()}", file=lines, flush=True)
        return Told(node, True, main([home, name, key]))


class RayJob:
    """A task that is on its way."""

    def __init__(self, home: Home, reference: Any) -> None:
        self.home, self.reference = home, reference

    def ended(self) -> str | None:
        """None while it runs, empty once its cell is whole, else why it is not.

        Raises LynxError where the node does not see the study's folder: then no cell can be run there.
        """
        import ray

        if not ray.wait([self.reference], timeout=0)[0]:
            return None
        try:
            told: Told = ray.get(self.reference)
        except ray.exceptions.RayError as error:
            return f"its Ray worker ended: {(str(error).strip().splitlines() or [type(error).__name__])[0]}"
        if not told.seen:
            raise LynxError(
                f"node {told.node} does not see {self.home.path} as this machine does; executor=ray needs the home in "
                "a folder that all nodes share: name one with --home, or use executor=processes"
            )
        return "" if told.code == 0 else f"it ended with exit code {told.code} on node {told.node}"

    def stop(self) -> None:
        """Asks it to stop, as Ctrl-C does."""
        import ray

        ray.cancel(self.reference)

    def finish(self, seconds: float) -> None:
        """Waits for it to stop, and ends it by force where it does not."""
        import ray

        if not ray.wait([self.reference], timeout=seconds)[0]:
            ray.cancel(self.reference, force=True)


class RayCells:
    """A connection to the cluster of a study, through which its cells are started."""

    def __init__(self, home: Home, study: Study) -> None:
        self.home, self.study = home, study
        self._identity = ""

    def start(self, cell: Cell) -> RayJob:
        """Sends a cell to the cluster; it waits there until a node has room."""
        import ray

        self._identity = self._identity or study_folder(self.home, self.study.name).identity
        own = self.study.ray
        task = ray.remote(
            num_cpus=own.cpus,
            num_gpus=own.gpus,
            max_retries=0,  # a cell that dies is shown as failed, and tried again by the next run
            max_calls=1,  # a process for each cell: what one leaves behind is not met by another
            scheduling_strategy="SPREAD",
        )(work)
        return RayJob(self.home, task.remote(str(self.home.path), self.study.name, cell.key, self._identity))


@contextlib.contextmanager
def ray_cells(home: Home, study: Study) -> Iterator[RayCells]:
    """Connected to the cluster that the study, or RAY_ADDRESS, names; without a name one is started on this machine.

    Raises LynxError in one line where Ray is not installed, the cluster cannot be reached, or none of its nodes has
    what a cell asks for.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise LynxError(
            f"study '{study.name}': executor = ray: Ray is not installed; "
            "pip install 'lynx-cl[ray]', or use executor=processes"
        ) from None
    address = study.ray.address or os.environ.get("RAY_ADDRESS") or LOCAL
    where = f"study '{study.name}': ray.address = '{address}'"
    more: dict[str, Any] = {}
    if address == LOCAL:
        more = {"num_cpus": max(os.cpu_count() or 1, study.ray.cpus), "include_dashboard": False}
    elif address != "auto":
        _reach(address, where)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **more)
    except (OSError, RuntimeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise LynxError(f"{where}: {reason}; start Ray there, or use executor=processes") from None
    try:
        wanted = {"CPU": study.ray.cpus, "GPU": study.ray.gpus}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(all(node.get(name, 0) >= need for name, need in wanted.items()) for node in nodes):
            raise LynxError(
                f"{where}: no node has {study.ray.cpus} CPUs and {study.ray.gpus:g} GPUs; lower ray.cpus or ray.gpus"
            )
        yield RayCells(home, study)
    finally:
        ray.shutdown()


def _reach(address: str, where: str) -> None:
    host, _, port = address.rpartition(":")
    if "//" in address or not host or not port.isdecimal():
        raise LynxError(f"{where}: give the HOST:PORT of its head, or auto for the one this machine is part of")
    try:
        socket.create_connection((host, int(port)), timeout=REACH).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise LynxError(f"{where}: cannot be reached ({reason}); start Ray there, or use executor=processes") from None
