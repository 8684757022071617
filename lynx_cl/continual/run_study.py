"""Running a study: its cells one after another, in processes of their own, or on a Ray cluster; what is done stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from filelock import FileLock, Timeout

from lynx_cl.continual.cell import Say, measure_alone, run_cell
from lynx_cl.continual.results import StudyFolder, study_folder
from lynx_cl.continual.study import Cell, Study, made_of
from lynx_cl.errors import Interrupted, LynxError
from lynx_cl.home import Home

POLL = 0.2  # seconds between looks at processes
PATIENCE = 20.0  # seconds that a process gets to stop in


@dataclass(frozen=True)
class Ran:
    """What came of a run: the cells that are whole, and those that failed."""

    whole: tuple[Cell, ...]
    failed: tuple[Cell, ...]


class Job(Protocol):
    """A cell that runs somewhere else."""

    def ended(self) -> str | None:
        """None while it runs, empty once its cell is whole, else why it is not."""
        ...

    def stop(self) -> None:
        """Asks it to stop, as Ctrl-C does."""
        ...

    def finish(self, seconds: float) -> None:
        """Waits for it to stop, and ends it by force where it does not."""
        ...


def run_study(
    home: Home,
    study: Study,
    say: Say,
    on_stage: Callable[[StudyFolder], None] = lambda folder: None,
    cells: Sequence[Cell] | None = None,
) -> Ran:
    """Runs every cell of a study, or of the `cells` alone, that is not whole yet.

    `on_stage` is called whenever there are new results. A cell that failed before is tried again from its last stage.
    Raises UsageError where the folder holds another study of that name, LynxError where another process runs it or a
    Ray cluster cannot be used, Interrupted where the user stopped it.
    """
    cells = study.cells() if cells is None else cells
    home.ensure_writable()
    folder = study_folder(home, study.name)
    folder.path.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder.path / "lock", timeout=0), ExitStack() as stack:
            folder.open(study, made_of(study, home))
            start: Callable[[Cell], Job] | None = None
            if study.executor == "processes":
                start = _Processes(home, study).start
            elif study.executor == "ray":
                from lynx_cl.continual.ray_cells import ray_cells

                start = stack.enter_context(ray_cells(home, study)).start
            measure_alone(home, study, say)
            on_stage(folder)
            if start is None:
                whole = in_turn(home, study, cells, say, lambda: on_stage(folder))
            else:
                whole = elsewhere(home, study, cells, say, lambda: on_stage(folder), start)
    except Timeout:
        raise LynxError(f"study '{study.name}' is being run by another process; wait for it, or stop it") from None
    except (KeyboardInterrupt, Interrupted):
        raise Interrupted(f"study '{study.name}': interrupted; the same command goes on where it was") from None
    return Ran(tuple(whole), tuple(cell for cell in cells if cell not in whole))


def in_turn(home: Home, study: Study, cells: Sequence[Cell], say: Say, on_stage: Callable[[], None]) -> list[Cell]:
    """Those of the cells that are whole, after running what is left of each in this process."""
    return [cell for cell in cells if run_cell(home, study, cell, say, on_stage)]


def elsewhere(
    home: Home,
    study: Study,
    cells: Sequence[Cell],
    say: Say,
    on_stage: Callable[[], None],
    start: Callable[[Cell], Job],
) -> list[Cell]:
    """Those of the cells that are whole, after running what is left of each as a job of its own, `workers` at a time.

    What a job says goes to the file `log` in its cell's folder. A job that dies fails its cell alone.
    """
    folder = study_folder(home, study.name)
    whole = [cell for cell in cells if folder.cell(cell).holds(len(cell.order))]
    waiting = [cell for cell in cells if cell not in whole][::-1]
    running: dict[Cell, Job] = {}
    told: dict[Cell, int] = {}  # stages
    try:
        while waiting or running:
            while waiting and len(running) < study.workers:
                cell = waiting.pop()
                folder.cell(cell).start()
                told[cell] = done = folder.cell(cell).last
                running[cell] = start(cell)
                say(f"{cell.key}: started" + (f" after stage {done}" if done else ""))
            for cell, job in list(running.items()):
                reason = job.ended()
                own = folder.cell(cell)
                if (done := own.last) > told[cell]:
                    told[cell] = done
                    row = own.stages()[-1]
                    say(
                        f"{cell.key}: stage {row.stage} of {len(cell.order)}, {row.task} {row.blind[str(row.task)]:.3f}"
                    )
                    on_stage()
                if reason is None:
                    continue
                del running[cell]
                if not reason:
                    whole.append(cell)
                elif own.failure is None:
                    own.fail(f"{reason}; see {own.path / 'log'}")
                how = f"failed: {own.failure}" if reason else "done"
                say(f"{cell.key}: {how}; {len(whole)} of {len(cells)} cells are whole")
            time.sleep(POLL)
    finally:
        _stop(list(running.values()))
    return [cell for cell in cells if cell in whole]


def _stop(jobs: Sequence[Job]) -> None:
    for job in jobs:
        job.stop()
    deadline = time.monotonic() + PATIENCE
    for job in jobs:
        job.finish(max(0.0, deadline - time.monotonic()))


class _Processes:
    """Cells as processes of this machine, which share its cores."""

    def __init__(self, home: Home, study: Study) -> None:
        self.home, self.study = home, study

    def start(self, cell: Cell) -> _Process:
        folder = study_folder(self.home, self.study.name).cell(cell)
        threads = str(max(1, (os.cpu_count() or 1) // self.study.workers))
        command = [sys.executable, "-m", "lynx_cl.continual.cell", str(self.home.path), self.study.name, cell.key]
        with (folder.path / "log").open("ab") as log:
            return _Process(
                subprocess.Popen(
                    [*command, "--with-parent"],
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.PIPE,  # ends with this process, and the child with it
                    env={"OMP_NUM_THREADS": threads, **os.environ},
                )
            )


class _Process:
    """A cell in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def ended(self) -> str | None:
        code = self.process.poll()
        if code is None:
            return None
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"its process ended with {how}" if code else ""

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def finish(self, seconds: float) -> None:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
