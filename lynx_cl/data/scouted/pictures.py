"""The pictures of a folder, and what is kept of each so that it need not be opened again."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lynx_cl.data.opening import open_file
from lynx_cl.data.pictures import digest_file
from lynx_cl.data.twins import SIDE, Look, perceptual_hash, thumbnail
from lynx_cl.errors import LynxError, UsageError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


@dataclass(frozen=True)
class Listed:
    """A picture's file: its path below the folder, and its bytes' number."""

    name: str
    bytes: int


def list_pictures(folder: Path, limit: int | None = None) -> list[Listed]:
    """The pictures below a folder, by their paths, the first `limit` of them. Hidden files and folders are passed over.

    Raises UsageError for what is no folder, LynxError where it holds no picture.
    """
    if not folder.is_dir():
        raise UsageError(f"--images {folder}: no such folder")
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(place, name)
            if path.suffix.lower() in SUFFIXES and not name.startswith("."):
                found.append(path)
    if not found:
        raise LynxError(f"--images {folder}: holds no picture ({', '.join(sorted(SUFFIXES))}); give the folder of them")
    chosen = sorted((path.relative_to(folder).as_posix(), path) for path in found)[:limit]
    for name, _ in chosen:
        if not name.isprintable():  # letters that are no text, which no list could name
            raise LynxError(f"--images {folder}: the name of {name!r} is no text; rename it")
    return [Listed(name, path.stat().st_size) for name, path in chosen]


@dataclass(frozen=True)
class Opened:
    """A picture, its (width, height), the sha256 of its file, and how it looks; or `fault`, why there is none."""

    name: str
    picture: Image.Image | None
    facts: Mapping[str, Any]


def open_listed(folder: Path, name: str, size: tuple[int, int] | None) -> Opened:
    """Opens a picture, which an annotator takes to be of `size`; None is for itself to say."""
    try:
        digest = digest_file(folder / name)
        picture = open_file(folder / name, size)
    except LynxError as error:
        return Opened(name, None, {"name": name, "fault": str(error)})
    if size is not None and picture.size != size:
        fault = (
            f"{folder / name}: is {picture.size[0]} x {picture.size[1]} pixels, its annotation says "
            f"{size[0]} x {size[1]}; correct the annotation or replace the picture"
        )
        return Opened(name, None, {"name": name, "fault": fault})
    small = thumbnail(picture)
    looks = {"bits": f"{perceptual_hash(small):016x}", "thumbnail": base64.b64encode(small.tobytes()).decode()}
    return Opened(name, picture, {"name": name, "sha256": digest, "size": list(picture.size), **looks})


def look_of(facts: Mapping[str, Any]) -> Look:
    """How a picture looked when it was opened."""
    small = np.frombuffer(base64.b64decode(facts["thumbnail"]), np.uint8).reshape(SIDE, SIDE)
    return Look("", "", facts["name"], int(facts["bits"], 16), small)
