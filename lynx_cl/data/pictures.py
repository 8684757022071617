"""Sets of annotated pictures, split and lazy: what the readers give and the sources ask questions about."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lynx_cl.data.example import SPLITS, BrokenPicture, Picture
from lynx_cl.data.opening import file_sizes
from lynx_cl.errors import LynxError

CHECKED = 2000  # pictures of a set whose files are looked at before any work begins; the others when they are opened
DIGESTED = 20_000  # pictures, up to which a digest covers every byte of theirs
_TAIL = 4096  # bytes at the end of a file in which its format's end mark is looked for
_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND"}  # by the first two bytes: JPEG, PNG


@dataclass(frozen=True)
class PictureSet:
    """Pictures by split, read when they are asked for. `files` hold their lists and annotations.

    `phrased` says that pictures hold phrases, so that none must be read to know whether it can be asked about;
    `remarks` are what a user should know of the set, a line each; `categories` are the labels that the set has words
    for, each with its supercategory, empty where none is said; empty as a whole where only the pictures tell. `crowded`
    says that some pictures hold crowds; `facts` is what its examples are a function of besides its files.
    """

    name: str
    annotator: str
    licence: str
    splits: Mapping[str, Sequence[Picture]]
    folder: Path | None = None
    files: tuple[Path, ...] = ()
    phrased: bool = False
    remarks: tuple[str, ...] = ()
    categories: Mapping[str, str] = field(default_factory=dict)
    crowded: bool = False
    facts: Mapping[str, object] = field(default_factory=dict)

    def check(self) -> None:
        """Raises LynxError for an empty set, a picture in two splits, and a picture whose annotation or file is wrong.

        The annotations and files of at most CHECKED pictures are read, in the order of the splits.
        """
        if not any(len(pictures) for pictures in self.splits.values()):
            raise LynxError(f"{self.name}: holds no pictures; check the path and its lists")
        left = CHECKED
        for split in SPLITS:
            pictures = self.splits.get(split, ())
            for picture in pictures[:left]:
                check_file(picture)
            left = max(0, left - len(pictures))


def check_file(picture: Picture) -> None:
    """A quick look at a picture's file: it exists, is a picture, has the size that is annotated, and is not cut off.

    Raises LynxError naming the file.
    """
    path = picture.image
    if not isinstance(path, Path):
        return
    from PIL import Image, UnidentifiedImageError

    try:
        stored, upright = file_sizes(path)
        with path.open("rb") as file:
            start = file.read(2)
            file.seek(max(0, path.stat().st_size - _TAIL))
            end = file.read()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        picture.open()  # says what is wrong
        raise LynxError(f"{path}: cannot be read; replace it or take it off the list") from None
    if picture.size not in (stored, upright):
        raise LynxError(
            f"{path}: is {stored[0]} x {stored[1]} pixels, its annotation says {picture.size[0]} x {picture.size[1]}; "
            "correct the annotation or replace the picture"
        )
    if start in _ENDS and _ENDS[start] not in end:
        picture.open()


def picture_problems(pictures: PictureSet) -> Iterator[str]:
    """What is wrong with the pictures of a set, a line each: annotations, and files, each of which is opened whole."""
    for split in SPLITS:
        part = pictures.splits.get(split, ())
        for number in range(len(part)):
            try:
                picture = part[number]
                yield from picture.faults
                check_file(picture)
                picture.open()
            except BrokenPicture as error:
                yield from error.faults
            except LynxError as error:
                yield str(error)


def check_disjoint(keys: Mapping[str, Iterable[str]], where: str) -> None:
    """Raises LynxError where two splits hold a picture of the same key. `where` is the source, for the message."""
    seen: dict[str, str] = {}
    for split, names in keys.items():
        for name in names:
            if seen.setdefault(name, split) != split:
                raise LynxError(f"{where}: picture '{name}' is in two splits, {seen[name]} and {split}; keep it in one")


def digest_file(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes. Raises LynxError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise LynxError(f"{path}: cannot be read ({error.strerror}); restore it or take it off the list") from None


def file_digests(pictures: PictureSet) -> dict[str, str]:
    """sha256 of every list, annotation and picture file, by its place in the folder.

    Of a set of more than DIGESTED pictures the lists and annotations alone, which name the pictures. Raises LynxError
    where two splits hold equal picture files: what was learned from cannot test.
    """
    if pictures.folder is None:
        return {}
    digests = {path: digest_file(path) for path in dict.fromkeys(pictures.files)}
    if sum(map(len, pictures.splits.values())) > DIGESTED:
        return {told_from(path, pictures.folder): digests[path] for path in sorted(digests)}
    seen: dict[str, tuple[str, Path]] = {}
    for split, part in pictures.splits.items():
        for image in (picture.image for picture in part):
            if not isinstance(image, Path):
                continue
            digest = digests[image] = digest_file(image)
            other, path = seen.setdefault(digest, (split, image))
            if other != split:
                raise LynxError(f"{image} ({split}) and {path} ({other}) are the same picture; keep it in one split")
    return {told_from(path, pictures.folder): digests[path] for path in sorted(digests)}


def told_from(path: Path, folder: Path) -> str:
    """A path as told from a folder, in it or beside it: a set that is moved as a whole keeps its digest."""
    return Path(os.path.relpath(path, folder)).as_posix()


def plain_label(label: str) -> str:
    """A data set's label as a word: 'Potted_Plant' is asked for as 'potted plant'."""
    return label.replace("_", " ").lower()


def check_classes(source: str, task: str, classes: Mapping[str, str], seen: Counter[str]) -> None:
    """Raises LynxError where a set whose labels are `seen` holds none of the classes that a task asks about."""
    if classes and not any(label in seen for label in classes):
        there = ", ".join(label for label, _ in seen.most_common(8)) or "none"
        raise LynxError(f"{source}: holds none of the classes of task '{task}' ({', '.join(classes)}); it has: {there}")


def split_of(key: str) -> str:
    """The split of a picture in a set without lists: 80 % train, 10 % calibration, 10 % test, by its key.

    >>> [split_of(key) for key in ("0002", "0003", "0006")]
    ['train', 'calibration', 'test']
    """
    place = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % 10
    return {8: "calibration", 9: "test"}.get(place, "train")


def licence_of(folder: Path) -> str:
    """The title of the licence file in a folder, or 'unknown'."""
    for path in sorted(folder.glob("LICEN[CS]E*")):
        lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
        if any(lines):
            return next(line for line in lines if line)
    return "unknown"
