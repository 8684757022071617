"""Pickles of plain data alone: lists, maps, texts and numbers. Anything that would run code on reading is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from lynx_cl.errors import LynxError


class _Plain(pickle.Unpickler):
    """An unpickler that knows no class and no function, so that no pickle can call one."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"asks for {module}.{name}; only lists, maps, texts and numbers are read")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("asks for an object from elsewhere")


def read_plain(path: Path) -> Any:
    """What a pickle holds, also of one that Python 2 wrote.

    Raises LynxError for a file that cannot be read, is no pickle, or holds more than plain data: nothing of it is run.
    """
    try:
        with path.open("rb") as file:
            return _Plain(file, encoding="utf-8", errors="replace").load()
    except OSError as error:
        raise LynxError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except RecursionError:
        raise LynxError(f"{path}: nested too deeply; fetch it again") from None
    except Exception as error:  # a broken pickle raises whatever its bytes lead to
        raise LynxError(f"{path}: not a pickle of plain data ({error}); nothing of it was run") from None
