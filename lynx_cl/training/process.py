"""Lightning within a process that is not its own: no notices on the terminal, and a stop by signal as one sentence."""

from __future__ import annotations

import logging
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lynx_cl.errors import Interrupted


@contextmanager
def interruptible(step: Callable[[], int], checkpoint: Path) -> Iterator[None]:
    """Turns Lightning's exit on Ctrl-C or SIGTERM into Interrupted, and gives the signals back as they were.

    `step` says how far the run has come; `checkpoint` is the file that it goes on from, if it is there.
    """
    main = threading.current_thread() is threading.main_thread()
    handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)} if main else {}
    started = time.monotonic()
    try:
        yield
    except (SystemExit, KeyboardInterrupt):
        kept = checkpoint.exists()
        rest = "the last checkpoint is kept, go on with --resume" if kept else "no checkpoint had been written"
        raise Interrupted(
            f"training: interrupted at step {step()} after {time.monotonic() - started:.0f} s; {rest}"
        ) from None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def ending_at_once() -> Any:
    """SIGTERM raises SystemExit where this process is; gives what it did before, None outside the main thread.

    Lightning would first tell the other processes of a run, in a collective operation that they may not be ready for.
    """

    def end(number: int, frame: Any) -> None:
        raise SystemExit(1)

    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGTERM, end)


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps Lightning's notices off the terminal: they speak of its own options, not of the run."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
