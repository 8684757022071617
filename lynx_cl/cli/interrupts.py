"""Ctrl-C at any time: one that Python or a library would lose, or turn into another error, still ends the command."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

AGAIN = 0.05  # seconds after which a lost one is sent once more


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Gives whether Ctrl-C was pressed since: an error that comes after it may be what an import made of it.

    In the finaliser of an object it is lost to Python; there it is sent again a moment later.
    """
    pressed: list[int] = []

    def note(number: int, frame: Any) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    def lost(unraisable: Any) -> None:
        if unraisable.exc_type is KeyboardInterrupt:
            threading.Timer(AGAIN, os.kill, (os.getpid(), signal.SIGINT)).start()
        else:
            hook(unraisable)

    ours = threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not where a shell has it ignored
    )
    hook = sys.unraisablehook
    if ours:
        signal.signal(signal.SIGINT, note)
        sys.unraisablehook = lost
    try:
        yield lambda: bool(pressed)
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.unraisablehook = hook
