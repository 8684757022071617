"""What a study came to, as files to be kept beside it: CSV tables, one page of Markdown, where and how it was run.

Documents show such tables between two marks, and are written anew by

    python -m lynx_cl.tracking.study_tables README.md docs/studies.md

    <!-- table experiments/results/smoke/methods.csv: method, ACC, forgetting -->
    ...
    <!-- end of table -->
"""

from __future__ import annotations

import csv
import io
import json
import platform
import re
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from lynx_cl.continual.comparison import FORMS, CellTable, MethodRow
from lynx_cl.continual.study import Study
from lynx_cl.errors import UsageError
from lynx_cl.registry.durable import write_whole

_MARKED = re.compile(
    r"(?P<begin><!-- table (?P<file>\S+?)(?:: (?P<columns>[^\n]+?))? -->\n).*?(?P<end><!-- end of table -->)", re.DOTALL
)
_LIBRARIES = ("torch", "transformers", "peft", "lightning", "numpy", "faiss-cpu")


def write_tables(
    study: Study, rows: Sequence[MethodRow], header: Sequence[str], cells: Sequence[Sequence[str]], folder: Path
) -> list[Path]:
    """`methods.csv` (the comparison as it is printed: `header` and its `cells`), `R.csv`, `tables.md` and `study.json`.

    R.csv has a line for each cell, stage and task. study.json holds the settings, what of it was run, and on what. A
    study of several orders has `orders.csv` too: what each method came to in each of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    methods = _write(folder / "methods.csv", header, cells)
    lines = [line for row in rows for cell in row.cells for line in _lines(cell)]
    names = ("method", "order", "seed", "stage", "learned", "task", "blind", "given", *FORMS)
    matrix = _write(folder / "R.csv", names, lines)
    page = folder / "tables.md"
    title = study.title or study.name
    parts = [f"# {title}", f"Run by `lynx-cl experiment run {study.name}`; settings in study.json.", markdown(methods)]
    several = len(study.sequences()) > 1
    orders = [_write(folder / "orders.csv", *order_table(rows, [cell[0] for cell in cells]))] if several else []
    parts += [f"## In each order\n\n{markdown(file)}" for file in orders]
    for row in rows:
        for cell in row.whole:
            stages = zip(["base alone", *cell.cell.order], cell.table().tolist(), strict=True)
            body = [(name, *map(_score, line)) for name, line in stages]
            parts += [f"## {cell.cell.key}", _markdown(("after", *cell.columns), body)]
    _saved(page, "\n\n".join(parts) + "\n")
    told = {
        "study": study.model_dump(mode="json"),
        "cells": {cell.cell.key: _state(cell) for row in rows for cell in row.cells},
        "seconds_of_training": round(sum(stage.training for row in rows for c in row.cells for stage in c.stages)),
        "machine": f"{platform.machine()}, {platform.system()}",
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in _LIBRARIES},
    }
    facts = folder / "study.json"
    _saved(facts, json.dumps(told, indent=1) + "\n")
    return [methods, *orders, matrix, page, facts]


def order_table(rows: Sequence[MethodRow], names: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """ACC and forgetting of each method in each order, as `by_order`: a header, and a line for each name."""
    numbers = sorted({cell.cell.number for row in rows for cell in row.cells})
    header = ["method", "cells", *(f"{name} order {number}" for name in ("ACC", "forgetting") for number in numbers)]
    lines = []
    for row, name in zip(rows, names, strict=True):
        told = [row.by_order(measure) for measure in ("acc", "forgetting")]
        values = [by_order.get(number, float("nan")) for by_order in told for number in numbers]
        lines.append([name, row.status, *(f"{value:.3f}" if value == value else "-" for value in values)])
    return header, lines


def markdown(file: Path, columns: Sequence[str] = ()) -> str:
    """A CSV file as a Markdown table, all of it or some columns. Raises UsageError for a file or column that is not."""
    try:
        with file.open(newline="", encoding="utf-8") as opened:
            header, *rows = list(csv.reader(opened))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: no CSV table ({error})") from None
    for name in columns:
        if name not in header:
            raise UsageError(f"{file}: has no column '{name}'; it has {', '.join(header)}")
    places = [header.index(name) for name in columns or header]
    return _markdown([header[i] for i in places], [[row[i] for i in places] for row in rows])


def refreshed(text: str, root: Path) -> str:
    """A document with every marked table as its CSV file, a path from `root`, has it now. Raises as `markdown`."""

    def table(found: re.Match[str]) -> str:
        columns = [name.strip() for name in (found["columns"] or "").split(",") if name.strip()]
        return f"{found['begin']}\n{markdown(root / found['file'], columns)}\n\n{found['end']}"

    return _MARKED.sub(table, text)


def _lines(cell: CellTable) -> list[tuple[str, ...]]:
    tables = [cell.table(which).tolist() for which in ("blind", "aware", *FORMS)]
    names = ["", *cell.cell.order]
    key = (cell.cell.label, str(cell.cell.number), str(cell.cell.seed))
    return [
        (*key, str(stage), names[stage], task, *(_score(table[stage][place]) for table in tables))
        for stage in range(len(names))
        if any(value == value for value in tables[0][stage])
        for place, task in enumerate(cell.columns)
    ]


def _state(cell: CellTable) -> str:
    if cell.failure is not None:
        return f"failed: {cell.failure}"
    return "whole" if cell.whole else f"{max(0, len(cell.stages) - 1)} of {len(cell.cell.order)} stages"


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Path:
    made = io.StringIO(newline="")
    csv.writer(made, lineterminator="\n").writerows([header, *rows])
    return _saved(path, made.getvalue())


def _saved(path: Path, text: str) -> Path:
    write_whole(path, text.encode(), scratch=path.parent, what="study.table")
    return path


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _score(value: float) -> str:
    return f"{value:.4f}" if value == value else ""


if __name__ == "__main__":
    for name in sys.argv[1:]:
        document = Path(name)
        document.write_text(refreshed(document.read_text(encoding="utf-8"), Path.cwd()), encoding="utf-8")
