"""Files of questions and answers as lazy splits: streamed, or by an index of places that one pass over them makes.

Nothing of a record is kept but where it stands: 13 bytes a record while the index is made, and 4 more for its split.
Broken records are passed over, told with file and line, and refused where they are more than a stated share.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lynx_cl.data.example import SPLITS, open_image
from lynx_cl.data.json_walk import Record, read_at, walk
from lynx_cl.data.pictures import CHECKED, split_of
from lynx_cl.data.record_cache import load_index, store_index
from lynx_cl.errors import LynxError

SHOWN = 5  # problems that a report holds
#: Which split a picture goes to, by the split that its name gives it: all three, train and calibration, or one.
WHOLE = {split: split for split in SPLITS}
LEARN = {**WHOLE, "test": "train"}
ONLY = {one: dict.fromkeys(SPLITS, one) for one in SPLITS}


@dataclass(frozen=True)
class Talk:
    """A picture's path, empty for none, and what is asked and answered about it in turns.

    `key` names the picture in its source, or what is asked where there is none; `references` are all accepted answers
    to the last question, where there are several; `kind` is the type of question.
    """

    key: str
    image: str
    turns: tuple[tuple[str, str], ...]
    references: tuple[str, ...] = ()
    kind: str = ""


class Broken(Exception):
    """A record that says nothing that can be used, and why."""


@dataclass(frozen=True)
class Part:
    """A file of records. `read` makes a Talk of one, None where it is no question about a picture.

    `read` raises Broken. `splits` maps the split of a picture's name to the one it goes to; `section` is the part of
    the JSON object that holds the records, empty where the file is an array or lines, None where it is an object whose
    members are records. `apart` says that its pictures are known to be others than those of every other part; `lines`
    that each of its lines is a record, whatever its name ends with.
    """

    path: Path
    read: Callable[[Record], Talk | None]
    splits: Mapping[str, str]
    section: str | None = ""
    apart: bool = False
    lines: bool = False

    def records(self) -> Iterator[Record]:
        """Its records. Raises LynxError where the file is broken as a whole."""
        if self.section is None:
            return walk(self.path, named=True)
        return (record for record in walk(self.path, lines=self.lines) if record.section == self.section)


@dataclass(frozen=True)
class Problem:
    """What is wrong with one record of a file."""

    path: Path
    place: str  # in the file: line, and record
    what: str

    def __str__(self) -> str:
        return f"{self.path}, {self.place}: {self.what}"


@dataclass
class Tally:
    """How many records were seen, were broken, or were passed over: since they are about no picture, or since their
    picture, or prompt without one, is `shared` with a file that is tested on or calibrated with."""

    seen: int = 0
    broken: int = 0
    passed: int = 0
    shared: int = 0
    first: list[str] = field(default_factory=list)

    def note(self, problem: str) -> None:
        """Counts a broken record, and keeps the first ones."""
        self.broken += 1
        if len(self.first) < SHOWN:
            self.first.append(problem)

    def check(self, name: str, share: float, advice: str = "'lynx-cl data check' lists them all") -> None:
        """Raises LynxError where more than `share` of the records seen are broken."""
        if self.broken > share * self.seen:
            raise LynxError(
                f"{name}: {self.broken} of {self.seen} records are broken, more than the share {share:g} that "
                f"max_broken allows; the first: {self.first[0]}; {advice}"
            )

    def remarks(self) -> list[str]:
        """What a user should know of them, a line each."""
        said = []
        if self.broken:
            said.append(f"{self.broken} of {self.seen} records are broken and passed over; the first of them:")
            said += [f"  {problem}" for problem in self.first]
        if self.passed:
            said.append(f"{self.passed} of {self.seen} records are about no picture and passed over")
        if self.shared:
            what = "about pictures or prompts of another split; left out of train"
            said.append(f"{self.shared} of {self.seen} records are {what}")
        return said


@dataclass(frozen=True)
class Index:
    """Where the records of each split stand: their places in the arrays, in the order of the files."""

    offset: Any  # (records,) uint64, bytes
    length: Any  # (records,) uint32, bytes
    part: Any  # (records,) uint8
    rows: Mapping[str, Any]  # by split, (records of it,) uint32
    tally: Tally


class Records:
    """The records of some files, by split. `limit` is the most of a split."""

    def __init__(self, name: str, parts: tuple[Part, ...], max_broken: float, limit: int | None = None) -> None:
        self.name, self.parts, self.max_broken, self.limit = name, parts, max_broken, limit

    def stream(self, split: str) -> Iterator[Talk]:
        """The talks of a split from the first on, without an index. Raises LynxError for too many broken records."""
        if "index" in self.__dict__:
            yield from (self.read(split, i) for i in range(self.count(split)))
            return
        tally = Tally()
        parts = (part for part in self.parts if split in part.splits.values())
        talks = (found[1] for part in parts for found in self._usable(part, tally) if found[2] == split)
        yield from islice(talks, self.limit)

    def count(self, split: str) -> int:
        """How many talks a split has. Makes the index, if it is not made yet."""
        return len(self.index.rows[split])

    def read(self, split: str, number: int) -> Talk:
        """One talk of a split. Raises LynxError where its file has changed since the index was made."""
        row = int(self.index.rows[split][number])
        part = self.parts[int(self.index.part[row])]
        offset, length = int(self.index.offset[row]), int(self.index.length[row])
        try:
            with part.path.open("rb") as file:
                talk = part.read(Record(read_at(file, offset, length), offset, length, 0, part.section or ""))
        except (OSError, ValueError, Broken) as error:
            raise LynxError(f"{part.path}: has changed since it was opened ({error}); start again") from None
        assert talk is not None
        return talk

    @cached_property
    def index(self) -> Index:
        """The places of all records, from one pass over the files that checks each of them, or from an earlier one.

        With a limit the pass ends where every split has as many. Raises LynxError for too many broken records.
        """
        stored = load_index(self._facts(), self.paths)
        if stored is not None:
            facts = stored["tally"]
            tally = Tally(*facts)
            tally.check(self.name, self.max_broken)
            arrays = [stored[name] for name in ("offset", "length", "part", "split")]
        else:
            tally = Tally()
            arrays = self._pass(tally)
            told = [tally.seen, tally.broken, tally.passed, tally.shared, tally.first]
            names = ("offset", "length", "part", "split")
            store_index(self._facts(), self.paths, dict(zip(names, arrays, strict=True)), told)
        offset, length, part, split = arrays
        rows = {name: np.flatnonzero(split == i)[: self.limit].astype(np.uint32) for i, name in enumerate(SPLITS)}
        return Index(offset, length, part, rows, tally)

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(part.path for part in self.parts)

    @cached_property
    def _held(self) -> frozenset[int]:
        """Hashes of what all records are about, of files that are for one split alone other than train."""
        ours = {"calibration", "test"}
        own = [part for part in self.parts if set(part.splits.values()) <= ours and not part.apart]
        found = (found for part in own for found in look(part, Tally()) if isinstance(found, tuple))
        return frozenset(_about(talk) for _, talk in found)

    def problems(self) -> Iterator[str]:
        """What is wrong in the files, a line a record, however much it is; broken pictures too."""
        tally = Tally()
        for part in self.parts:
            for found in look(part, tally):
                if isinstance(found, Problem):
                    yield str(found)
                elif found is not None:
                    record, talk = found
                    try:
                        if talk.image:
                            open_image(Path(talk.image))
                    except LynxError as error:
                        yield f"{part.path}, {record.place}: {error}"
        if not tally.seen:
            yield f"{', '.join(str(part.path) for part in self.parts)}: no record; give a file that holds some"

    def _pass(self, tally: Tally) -> list[Any]:
        offset, length, parts, splits = array("Q"), array("I"), array("B"), array("B")
        for number, part in enumerate(self.parts):
            left = {split: self.limit for split in part.splits.values()}
            for record, _, split in self._usable(part, tally):
                offset.append(record.offset)
                length.append(record.length)
                parts.append(number)
                splits.append(SPLITS.index(split))
                if self.limit is not None:
                    left[split] = (left[split] or 0) - 1
                    if all((rest or 0) <= 0 for rest in left.values()):
                        break
        types = (np.uint64, np.uint32, np.uint8, np.uint8)
        return [np.frombuffer(one, kind) for one, kind in zip((offset, length, parts, splits), types, strict=True)]

    def _usable(self, part: Part, tally: Tally) -> Iterator[tuple[Record, Talk, str]]:
        """The records of a part that are sound, with their talks and splits; the others are counted."""
        held = self._held if "train" in part.splits.values() else frozenset()
        for found in look(part, tally):
            if isinstance(found, Problem):
                tally.note(str(found))
            elif found is not None:
                record, talk = found
                if held and _about(talk) in held:
                    tally.shared += 1
                else:
                    yield record, talk, part.splits[split_of(talk.key)]
            if tally.seen % CHECKED == 0:
                tally.check(self.name, self.max_broken)
        tally.check(self.name, self.max_broken)

    def _facts(self) -> list[Any]:
        """What an index is a function of, beside the files."""
        return [[sorted(part.splits.items()), part.section] for part in self.parts] + [self.name, self.limit]


def _about(talk: Talk) -> int:
    """A hash of a talk's picture, or of its key where it has none."""
    return hash(os.path.normpath(talk.image) if talk.image else talk.key)


def look(part: Part, tally: Tally) -> Iterator[tuple[Record, Talk] | Problem | None]:
    """The records of a part with what each says, or what is wrong with it; None for one that is passed over. Those seen
    and passed over are counted. Raises LynxError where the file is broken as a whole."""
    for record in part.records():
        tally.seen += 1
        if record.error:
            yield Problem(part.path, record.place, record.error)
            continue
        try:
            talk = part.read(record)
        except Broken as error:
            yield Problem(part.path, record.place, str(error))
            continue
        if talk is None:
            tally.passed += 1
            yield None
        elif talk.image and not os.path.isfile(talk.image):
            yield Problem(part.path, record.place, f"its picture {talk.image} is missing")
        else:
            yield record, talk
