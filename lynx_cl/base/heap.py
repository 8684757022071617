"""Memory that the C library keeps after tensors of ever other sizes are freed: given back between steps.

Without it a process that trains on a CPU comes to hold several times what it uses at once: glibc keeps what is freed in
pieces that the next batch, a little longer, does not fit into.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

EVERY = 10  # steps of training between two times


def give_back() -> None:
    """Hands free memory back to the system; does nothing where the C library is not glibc."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        found = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library; a system without this way to reach it
        return None
    found.argtypes, found.restype = [ctypes.c_size_t], ctypes.c_int
    return lambda pad: int(found(pad))
