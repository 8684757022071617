"""Walking through JSON files that are larger than memory: their records one by one, with the place of each.

A record is a line of a JSON-lines file, an element of a JSON array, or an element of an array or object that a JSON
object holds by name (as COCO's `annotations`), or where that is asked for what an object itself holds by name. Only the
record at hand is in memory. `read_at` reads one again later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from lynx_cl.errors import LynxError

LINES = (".jsonl", ".jsonlines", ".ndjson")  # suffixes of files with one record a line
CHUNK = 1 << 20  # bytes read at a time
LONGEST = 1 << 26  # bytes of one record
_BOM = b"\xef\xbb\xbf"
_SPACE = " \t\n\r"
_NUMBER = 64  # letters, more than which end no number
_decode = json.JSONDecoder().raw_decode


@dataclass(frozen=True, slots=True)
class Record:
    """A record and where it stands: `offset` and `length` in bytes, `line` counted from 1.

    `section` is the name of what holds it within an object, `key` its own name there; both are empty where there is
    none. `number` counts the elements of its array or object from 1, and is 0 of a line that is a record. `error` says
    why a line is no JSON; its value is then None.
    """

    value: Any
    offset: int
    length: int
    line: int
    section: str = ""
    key: str = ""
    error: str = ""
    number: int = 0

    @property
    def place(self) -> str:
        """Where it stands, for people.

        >>> Record({}, 0, 2, 4).place, Record({}, 0, 2, 1, number=3).place
        ('line 4', 'line 1, record 3')
        """
        return f"line {self.line}, record {self.number}" if self.number else f"line {self.line}"


def walk(path: Path, *, named: bool = False, lines: bool = False) -> Iterator[Record]:
    """The records of a file, in their order. A broken line of JSON lines is a record with an `error`.

    With `named` what an object holds is its records, each with its name as `key`, whatever they hold in turn. With
    `lines` each line is a record, whatever the file's name ends with.

    Raises LynxError naming file and line where the file cannot be read, and where a JSON array or object breaks off or
    is broken: what follows cannot be told apart any more.
    """
    try:
        with path.open("rb") as file:
            by_line = lines or path.suffix.lower() in LINES
            yield from _lines(file) if by_line else _Document(file, path).records(named)
    except OSError as error:
        raise LynxError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def read_at(file: BinaryIO, offset: int, length: int) -> Any:
    """The value at a place that `walk` told. Raises ValueError where the file has changed since."""
    file.seek(offset)
    return json.loads(file.read(length))


def _lines(file: BinaryIO) -> Iterator[Record]:
    offset = 0
    for number, line in enumerate(file, 1):
        start, offset = offset, offset + len(line)
        text = line.removeprefix(_BOM) if number == 1 else line
        if not text.strip():
            continue
        try:
            yield Record(json.loads(text), start + len(line) - len(text), len(text), number)
        except (ValueError, RecursionError) as error:
            reason = f"no JSON ({error.msg})" if isinstance(error, json.JSONDecodeError) else "not UTF-8"
            reason = "no JSON (nested too deeply)" if isinstance(error, RecursionError) else reason
            yield Record(None, start, len(line), number, error=reason)


class _Document:
    """A JSON document read in chunks. Bytes are held as Latin-1, one letter a byte, so that places are in bytes."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.file, self.path = file, path
        self.text, self.at, self.base = "", 0, 0  # what is held, the place in it, and where it begins in the file
        self.line, self.counted = 1, 0  # the line of place `counted`
        self.ended = False
        if file.read(len(_BOM)) == _BOM:
            self.base = len(_BOM)
        else:
            file.seek(0)

    def records(self, named: bool) -> Iterator[Record]:
        opened = self._next()
        if opened == "[" or (opened == "{" and named):
            yield from self._members("]" if opened == "[" else "}", "")
        elif opened == "{":
            yield from self._sections()
        else:
            raise self._broken("neither a JSON array nor a JSON object")
        if self._next():
            raise self._broken("goes on after its end")

    def _sections(self) -> Iterator[Record]:
        """What a JSON object holds: the elements of its arrays and objects, and its other values as they are."""
        self.at += 1
        while self._next() != "}":
            name = self._name()
            opened = self._next()
            if opened in ("[", "{"):
                yield from self._members("]" if opened == "[" else "}", name)
            else:
                yield self._record(name, "")
            self._comma("}")
        self.at += 1

    def _members(self, closing: str, section: str) -> Iterator[Record]:
        self.at += 1
        number = 0
        while self._next() != closing:
            key = self._name() if closing == "}" else ""
            self._next()
            number += 1
            yield self._record(section, key, number)
            self._comma(closing)
        self.at += 1

    def _record(self, section: str, key: str, number: int = 0) -> Record:
        value, start, end = self._whole()
        return Record(value, self.base + start, end - start, self._line(start), section, key, number=number)

    def _whole(self) -> tuple[Any, int, int]:
        """As `_value`, with its letters as they are meant."""
        value, start, end = self._value()
        raw = self.text[start:end]
        if not raw.isascii():
            try:
                value = json.loads(raw.encode("latin-1"))
            except ValueError:
                raise self._broken("not UTF-8") from None
        return value, start, end

    def _name(self) -> str:
        name = self._whole()[0]
        if not isinstance(name, str):
            raise self._broken("a name in quotes is expected")
        if self._next() != ":":
            raise self._broken("':' is expected")
        self.at += 1
        return name

    def _comma(self, closing: str) -> None:
        found = self._next()
        if found == ",":
            self.at += 1
            if self._next() == closing:
                raise self._broken("a comma before the end")
        elif found != closing:
            raise self._broken("breaks off" if not found else "',' is expected")

    def _value(self) -> tuple[Any, int, int]:
        """The value here, and where it begins and ends in the text held."""
        while True:
            try:
                value, end = _decode(self.text, self.at)
                if len(self.text) - end > _NUMBER or not self._fill():  # a number may go on in the next chunk
                    start, self.at = self.at, end
                    return value, start, end
            except (json.JSONDecodeError, RecursionError) as error:
                if len(self.text) - self.at > LONGEST or not self._fill():
                    if self.ended and not self.text[self.at :].strip():
                        raise self._broken("breaks off") from None
                    reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
                    raise self._broken(f"no JSON ({reason})") from None

    def _next(self) -> str:
        """The next letter that is no white space; empty at the end of the file."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in _SPACE:
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._fill():
                return ""

    def _fill(self) -> bool:
        """Reads on, at least as much as is held, so that a long record is not read over and over."""
        if self.ended:
            return False
        more = self.file.read(max(CHUNK, len(self.text) - self.at))
        self.ended = not more
        if more:
            self._line(self.at)
            self.text, self.base = self.text[self.at :] + more.decode("latin-1"), self.base + self.at
            self.at = self.counted = 0
        return bool(more)

    def _line(self, place: int) -> int:
        self.line += self.text.count("\n", self.counted, place)
        self.counted = place
        return self.line

    def _broken(self, what: str) -> LynxError:
        return LynxError(f"{self.path}, line {self._line(self.at)}: {what}; correct the file or fetch it again")
