"""Where the base of a registry lies on this machine: a registry names its base, and only a home knows the folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lynx_cl.base.card import find_base
from lynx_cl.errors import LynxError, UsageError

if TYPE_CHECKING:
    from lynx_cl.registry.store import Registry

FILE = "bases.json"  # in a home, beside its registry: fingerprint -> folder


def remember_base(registry: Registry, fingerprint: str, folder: Path) -> None:
    """Notes where a base, or another frozen model, lies, so that later commands on this home find it.

    Raises OSError.
    """
    known = _places(registry)
    place = str(folder.absolute())
    if known.get(fingerprint) == place:
        return
    path = registry.path.parent / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{FILE}.{os.getpid()}")
    unfinished.write_text(json.dumps({**known, fingerprint: place}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(unfinished, path)


def place_of(registry: Registry, fingerprint: str) -> str | None:
    """Where the model of a digest lay when it was last used, None where that is not known."""
    return _places(registry).get(fingerprint)


def base_of(registry: Registry, otherwise: str = "nano") -> str:
    """What to load as a registry's base: where it was when it was last used, else its name, else `otherwise`.

    `otherwise` is what a command line says; a registry that does not exist yet takes it. Whether it is the same base is
    for the fingerprint to say. Raises LynxError where the base was moved away.
    """
    if not registry.exists():
        return otherwise
    base = registry.head().base
    place = _places(registry).get(base.fingerprint)
    if place is not None and Path(place).is_dir():
        return place
    try:
        find_base(base.name)
        return base.name
    except LynxError:
        if Path(otherwise).expanduser().is_dir():
            return otherwise
        if place is None:
            return base.name  # whoever loads it says that it is nowhere
        raise LynxError(
            f"{registry.path}: its base '{base.name}' was at {place}, and is not there now; give its folder with --base"
        ) from None


def named_folder(name: str, what: str) -> Path | None:
    """The folder that a model is named by, None for a hub name, OWNER/NAME. Raises UsageError for neither."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        raise UsageError(f"{what} {name}: no such folder; give one that save_pretrained wrote, or a hub name")
    return None


def detector_place(name: str) -> Path | None:
    """The folder of a detector: one that ships, by its name, or a folder; None for a hub name. Raises as
    `named_folder`."""
    from lynx_cl.home import shipped

    own = shipped("registry") / "detectors" / name
    if len(Path(name).parts) == 1 and not Path(name).is_dir() and own.is_dir():
        return own
    return named_folder(name, "detector")


def _places(registry: Registry) -> dict[str, str]:
    path = registry.path.parent / FILE
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise LynxError(f"{path}: not valid JSON; remove it, and give the base's folder with --base") from None
