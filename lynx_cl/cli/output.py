"""Printing: facts on standard output (table, plain lines or JSON), everything else on standard error."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def print_json(facts: Any) -> None:
    """Print facts as JSON. Dataclasses and pydantic models become maps, paths text, NaN and infinities null."""
    print(json.dumps(plain(facts), indent=2, ensure_ascii=False))


def plain(value: Any) -> Any:
    """What JSON can hold of a value.

    >>> plain({"acc": float("nan"), "where": Path("a")})
    {'acc': None, 'where': 'a'}
    """
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif hasattr(value, "tolist"):  # arrays, tensors and their scalars
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Print rows under columns: a drawn table on a terminal, lines with tabs otherwise."""
    cells = [[text(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for line in [list(columns), *cells]:
            print("\t".join(line))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        numbers = all(_is_number(line[index]) for line in cells)
        table.add_column(column, justify="right" if numbers and cells else "left", overflow="fold")
    for line in cells:
        table.add_row(*map(escape, line))
    Console().print(table)


def print_facts(facts: Mapping[str, Any], indent: int = 0) -> None:
    """Print one fact a line: its name, padded, and its value. Maps and lists of lists go on below, indented."""
    width = max(map(len, facts), default=0)
    space = " " * indent
    for name, value in facts.items():
        if isinstance(value, Mapping) and value:
            print(f"{space}{name}")
            print_facts({str(key): item for key, item in value.items()}, indent + 2)
        elif isinstance(value, list | tuple) and value and all(isinstance(item, list | tuple) for item in value):
            print(f"{space}{name}")
            for item in value:
                print(f"{space}  {' | '.join(map(text, item))}")
        else:
            print(f"{space}{name:<{width}}  {text(value)}")


def note(line: str) -> None:
    """Say something that is no fact asked for: on standard error, so that JSON stays whole."""
    print(line, file=sys.stderr, flush=True)


def text(value: Any) -> str:
    """A value as a person reads it.

    >>> text(0.5), text(None), text(("a", "b")), text(True)
    ('0.5', '-', 'a, b', 'yes')
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={text(item)}" for key, item in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(text, value)) or "-"
    return str(value)


def percent(fraction: float) -> str:
    """A fraction of the base as percent.

    >>> percent(0.1234)
    '12.3 %'
    """
    return f"{100 * fraction:.1f} %"


def _is_number(cell: str) -> bool:
    return cell.removesuffix(" %").replace(",", "").replace(".", "", 1).isdigit() or cell == "-"
