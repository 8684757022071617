"""Questions and answers in tables: parquet files, and data sets of a hub, both read by the library `datasets`.

A row holds a picture, a question and an answer, or a list of accepted answers. The library keeps tables as Arrow files
that are mapped into memory, so that only the rows in use are read. It comes with the extra `hub`.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lynx_cl.data.example import SPLITS, Lazy, Provenance
from lynx_cl.data.instruct import FORMAT, question_example
from lynx_cl.data.pictures import digest_file, licence_of, split_of
from lynx_cl.data.records import LEARN, ONLY, WHOLE, Tally
from lynx_cl.data.sources import DataSource, Wanted
from lynx_cl.errors import LynxError, UsageError

if TYPE_CHECKING:
    from PIL import Image

    from lynx_cl.data.example import Example

COLUMNS = {"image": ("image",), "question": ("question", "text"), "answer": ("answer", "answers", "label")}
_PARTS = {"train": "train", "val": "calibration", "dev": "calibration", "calibration": "calibration", "test": "test"}
BATCH = 256  # rows looked at together


@dataclass(frozen=True)
class RowImage:
    """The picture in a row of a table. Called, it is read and decoded."""

    table: Any
    row: int
    column: str
    name: str

    def __call__(self) -> Image.Image:
        from lynx_cl.data.opening import open_stream

        stored = self.table[self.row][self.column]
        data = stored["bytes"] if stored["bytes"] is not None else Path(stored["path"]).read_bytes()
        return open_stream(io.BytesIO(data), f"{self.name}, row {self.row}")


@dataclass(frozen=True)
class _Row:
    table: Any
    name: str
    row: int
    key: str


class _Tables:
    """The tables of a data set by their own splits, and where each split of ours has its rows."""

    def __init__(self, tables: Mapping[str, Any], wanted: Wanted) -> None:
        self.wanted, self.tables = wanted, tables
        first = next(iter(tables.values()))
        self.columns = {what: self._column(what, first.column_names) for what in COLUMNS}
        self.tally = Tally()

    @cached_property
    def rows(self) -> dict[str, list[_Row]]:
        """The sound rows of each split, `limit` at most. Raises LynxError for too many broken ones."""
        rows: dict[str, list[_Row]] = {split: [] for split in SPLITS}
        for name, splits in self._parts():
            for row, split in self._look(name, splits):
                if self.wanted.limit is None or len(rows[split]) < self.wanted.limit:
                    rows[split].append(row)
        self.tally.check(self.wanted.spec.text, self.wanted.spec.max_broken())
        return rows

    def problems(self) -> Iterator[str]:
        """What is wrong, row by row, pictures included."""
        for name in self.tables:
            for number in range(len(self.tables[name])):
                try:
                    self.words(self.tables[name][number])
                    RowImage(self.tables[name], number, self.columns["image"], self._name(name))()
                except (LynxError, _Wrong) as error:
                    told = str(error)
                    yield told if ", row " in told else f"{self._name(name)}, row {number}: {told}"

    def words(self, row: Mapping[str, Any]) -> tuple[str, str, tuple[str, ...]]:
        """Question, answer and accepted answers of a row. Raises _Wrong."""
        question, answer = row[self.columns["question"]], row[self.columns["answer"]]
        if row[self.columns["image"]] is None:
            raise _Wrong("has no picture")
        if not isinstance(question, str) or not question.strip():
            raise _Wrong("has no question")
        given = tuple(str(one) for one in answer) if isinstance(answer, list) else ()
        if isinstance(answer, list):
            answer = Counter(given).most_common(1)[0][0] if given else None
        if answer is None or not str(answer).strip():
            raise _Wrong("has no answer")
        return question.strip(), str(answer).strip(), given

    def _look(self, name: str, splits: Mapping[str, str]) -> Iterator[tuple[_Row, str]]:
        table = self.tables[name]
        for start in range(0, len(table), BATCH):
            batch = table[start : start + BATCH]
            for place in range(len(batch[self.columns["question"]])):
                row = {column: batch[column][place] for column in self.columns.values()}
                self.tally.seen += 1
                try:
                    self.words(row)
                except _Wrong as error:
                    self.tally.note(f"{self._name(name)}, row {start + place}: {error}")
                    continue
                key = _key(row[self.columns["image"]])
                yield _Row(table, self._name(name), start + place, key), splits[split_of(key)]

    def _parts(self) -> list[tuple[str, Mapping[str, str]]]:
        """Their splits, with where the pictures of each go."""
        ours: dict[str, str] = {}
        for name in self.tables:
            part = next((part for prefix, part in _PARTS.items() if name.startswith(prefix)), None)
            if part is not None:
                ours.setdefault(part, name)
        if len(self.tables) == 1:
            return [(next(iter(self.tables)), WHOLE)]
        if "train" not in ours:
            raise LynxError(f"{self.wanted.spec.text}: has no split 'train', but: {', '.join(self.tables)}")
        if "test" not in ours and "calibration" in ours:
            ours["test"] = ours.pop("calibration")
        learn = LEARN if "calibration" not in ours else ONLY["train"]
        return [(ours["train"], learn), *((ours[part], ONLY[part]) for part in ("calibration", "test") if part in ours)]

    def _column(self, what: str, there: Sequence[str]) -> str:
        asked = self.wanted.spec.options.get(what)
        found = next((column for column in ((asked,) if asked else COLUMNS[what]) if column in there), None)
        if found is None:
            raise UsageError(
                f"{self.wanted.spec.text}: no column '{asked or COLUMNS[what][0]}' for {what}s; "
                f"name one with {what}=...; there are: {', '.join(there)}"
            )
        return found

    def _name(self, name: str) -> str:
        return f"{self.wanted.spec.kind}:{self.wanted.spec.place}, split {name}"


class _Wrong(Exception):
    """A row that says nothing that can be used, and why."""


def parquet_source(folder: Path, wanted: Wanted) -> DataSource:
    """Parquet files train*, val* and test* of a folder. Options: `image`, `question` and `answer`, the columns' names,
    and `max_broken`. Raises UsageError for a folder without such files and a column that is not there."""
    files = {
        part: [str(path) for path in sorted(folder.rglob(f"{prefix}*.parquet"))]
        for prefix, part in (("train", "train"), ("val", "validation"), ("test", "test"))
    }
    there = {part: paths for part, paths in files.items() if paths}
    if "train" not in there:
        raise UsageError(f"{wanted.spec.text}: no train*.parquet in {folder}; give the folder that holds them")
    paths = [Path(path) for own in there.values() for path in own]
    tables = _load(wanted, "parquet", data_files=there)
    return _source(tables, wanted, licence_of(folder), {path.name: path for path in paths})


def hub_source(name: str, wanted: Wanted) -> DataSource:
    """A data set of a hub, or its copy in a folder, by name. Options as for parquet, and `config` and `revision`."""
    options = {key: wanted.spec.options.get(key) for key in ("config", "revision")}
    tables = _load(wanted, name, name=options["config"], revision=options["revision"])
    first = next(iter(tables.values()))
    kept = {
        f"{split}-{i}": Path(file["filename"])
        for split, table in tables.items()
        for i, file in enumerate(table.cache_files)
    }
    return _source(tables, wanted, first.info.license or "unknown", kept)


def _load(wanted: Wanted, path: str, **options: Any) -> Mapping[str, Any]:
    try:
        import datasets
    except ImportError:
        raise UsageError(f"{wanted.spec.text}: needs the library 'datasets'; install lynx-cl[hub]") from None
    datasets.disable_progress_bars()
    try:
        tables = datasets.load_dataset(path, **{key: value for key, value in options.items() if value is not None})
    except Exception as error:  # whatever a hub, a network or a broken file gives
        raise LynxError(f"{wanted.spec.text}: cannot be loaded ({' '.join(str(error).split())})") from None
    made = {}
    for name, table in tables.items():
        for column, feature in table.features.items():
            if isinstance(feature, datasets.Image):
                table = table.cast_column(column, datasets.Image(decode=False))
        made[name] = table
    return made


def _source(tables: Mapping[str, Any], wanted: Wanted, licence: str, files: Mapping[str, Path]) -> DataSource:
    if wanted.card.kind != "instruct":
        raise UsageError(
            f"{wanted.spec.text}: holds questions and answers; task '{wanted.card.name}' is of kind "
            f"{wanted.card.kind}, give a card of kind instruct"
        )
    own = _Tables(tables, wanted)
    spec = wanted.spec
    source = Provenance(
        f"{spec.kind}:{Path(spec.place).name if spec.kind == 'parquet' else spec.place}", "table", licence
    )

    def groups(split: str) -> Sequence[tuple[Example, ...]]:
        rows = own.rows[split]

        def group(number: int) -> tuple[Example, ...]:
            row = rows[number]
            question, answer, given = own.words(row.table[row.row])
            image = RowImage(row.table, row.row, own.columns["image"], row.name)
            return (question_example(image, row.key, ((question, answer),), split, wanted, source, references=given),)

        return Lazy(len(rows), group)

    def recipe() -> Mapping[str, Any]:
        return {
            "source": spec.kind,
            "format": FORMAT,
            "card": wanted.card.digest(),
            "seed": wanted.seed,
            "limit": wanted.limit,
            "columns": own.columns,
            "files": {name: digest_file(path) for name, path in files.items()},
        }

    return DataSource(
        spec.text,
        wanted.card.name,
        "table",
        licence,
        wanted.grammar.name,
        {split: groups(split) for split in SPLITS},
        recipe,
        own.tally.remarks,
        own.problems,
    )


def _key(image: Any) -> str:
    """What names a picture: its bytes, or the file they are in."""
    if isinstance(image, Mapping) and image.get("bytes") is not None:
        return hashlib.sha256(image["bytes"]).hexdigest()[:16]
    return str(image.get("path") if isinstance(image, Mapping) else image)
