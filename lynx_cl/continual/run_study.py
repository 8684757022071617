"""Running a study: its cells one after another, or in processes of their own; what is done is never done again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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


def run_study(home: Home, study: Study, say: Say, on_stage: Callable[[StudyFolder], None] = lambda folder: None) -> Ran:
    """Runs every cell of a study that is not whole yet; `on_stage` is called whenever there are new results.

    A cell that failed before is tried again from its last stage. Raises UsageError where the folder holds another study
    of that name, LynxError where another process runs it, Interrupted where the user stopped it.
    """
    home.ensure_writable()
    folder = study_folder(home, study.name)
    folder.path.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder.path / "lock", timeout=0):
            folder.open(study, made_of(study, home))
            measure_alone(home, study, say)
            on_stage(folder)
            run = in_processes if study.executor == "processes" else in_turn
            whole = run(home, study, say, lambda: on_stage(folder))
    except Timeout:
        raise LynxError(f"study '{study.name}' is being run by another process; wait for it, or stop it") from None
    except (KeyboardInterrupt, Interrupted):
        raise Interrupted(f"study '{study.name}': interrupted; the same command goes on where it was") from None
    return Ran(tuple(whole), tuple(cell for cell in study.cells() if cell not in whole))


def in_turn(home: Home, study: Study, say: Say, on_stage: Callable[[], None]) -> list[Cell]:
    """The cells that are whole, after running what is left of each in this process."""
    return [cell for cell in study.cells() if run_cell(home, study, cell, say, on_stage)]


def in_processes(home: Home, study: Study, say: Say, on_stage: Callable[[], None]) -> list[Cell]:
    """The cells that are whole, after running what is left of each in a process of its own, some at a time.

    What a process says goes to the file `log` in its cell's folder. A process that dies fails its cell alone.
    """
    waiting, whole = study.cells()[::-1], list[Cell]()
    running: dict[Cell, subprocess.Popen[bytes]] = {}
    seen = 0
    try:
        while waiting or running:
            while waiting and len(running) < study.workers:
                cell = waiting.pop()
                say(f"{cell.key}: started")
                running[cell] = _start(home, study, cell)
            for cell, process in list(running.items()):
                code = process.poll()
                if code is None:
                    continue
                del running[cell]
                own = study_folder(home, study.name).cell(cell)
                if code == 0:
                    whole.append(cell)
                elif own.failure is None:
                    own.fail(f"its process ended with {_ending(code)}; see {own.path / 'log'}")
                say(f"{cell.key}: " + ("done" if code == 0 else f"failed: {own.failure}"))
            stages = len(list(study_folder(home, study.name).path.glob("cells/*/*/stage-*.json")))
            if stages != seen:
                seen = stages
                say(f"{stages} stages are done")
                on_stage()
            time.sleep(POLL)
    finally:
        _stop(list(running.values()))
    return [cell for cell in study.cells() if cell in whole]


def _start(home: Home, study: Study, cell: Cell) -> subprocess.Popen[bytes]:
    folder = study_folder(home, study.name).cell(cell)
    folder.start()
    threads = str(max(1, (os.cpu_count() or 1) // study.workers))
    command = [sys.executable, "-m", "lynx_cl.continual.cell", str(home.path), study.name, cell.key]
    with (folder.path / "log").open("ab") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={"OMP_NUM_THREADS": threads, **os.environ}
        )


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
