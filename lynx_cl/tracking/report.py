"""A study as one HTML page with everything in it: tables, figures, settings. It opens without a network."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path

from lynx_cl.continual.comparison import FORMS, MethodRow
from lynx_cl.continual.study import Study

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
.wide { overflow-x: auto } table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; white-space: nowrap }
th { vertical-align: bottom } td:first-child, th:first-child { position: sticky; left: 0; background: #fff }
td { text-align: right; font-variant-numeric: tabular-nums } td:first-child, th:first-child { text-align: left }
img { max-width: 100% } pre { background: #f5f5f5; padding: .8rem; overflow: auto } .bad { color: #a00 }
"""


def report_page(
    study: Study,
    rows: Sequence[MethodRow],
    header: Sequence[str],
    cells: Sequence[Sequence[str]],
    figures: Sequence[Path],
) -> str:
    """The page: the comparison as it is printed (`header` and its `cells`), the figures, R of every cell, settings."""
    parts = [
        f"<h1>{html.escape(study.title or study.name)}</h1>",
        f"<p>Study <code>{html.escape(study.name)}</code> on base <code>{html.escape(study.base)}</code>: "
        f"{_many(len(study.tasks), 'task')}, {_many(len(study.sequences()), 'order')}, "
        f"{_many(len(study.methods), 'method')}, {_many(len(study.seeds), 'seed')}; "
        f"{study.budget.steps} optimiser steps and at most {study.budget.pictures} pictures "
        "a task for every method, unless a label's settings say that it learns less. Scores are task-blind, fractions; "
        "intervals are 95 % by the bootstrap over test examples and cells. Read strictly, an answer counts only as its "
        "task writes it; normalised, how it is written does not matter: what is forgotten strictly alone is the form "
        "of answers.</p>",
        _table(header, cells),
        *(_picture(path) for path in figures),
        "<h2>Cell by cell</h2>",
    ]
    for row in rows:
        for cell in row.cells:
            parts.append(f"<h3>{html.escape(cell.cell.key)}</h3>")
            if cell.failure is not None:
                parts.append(f'<p class="bad">failed: {html.escape(cell.failure)}</p>')
            names = ["base alone", *cell.cell.order]
            values = [[_score(value) for value in line] for line in cell.table().tolist()]
            parts.append(_matrix(names, cell.columns, values))
            forms = [cell.table(form).tolist() for form in FORMS]
            pairs = [list(zip(*lines, strict=True)) for lines in zip(*forms, strict=True)]
            both = [[" / ".join(map(_score, pair)) for pair in line] for line in pairs]
            parts.append("<p>The same answers read strictly / normalised:</p>")
            parts.append(_matrix(names, cell.columns, both))
    settings = json.dumps(study.model_dump(mode="json"), indent=1)
    parts.append(f"<h2>Settings</h2><pre>{html.escape(settings)}</pre>")
    title = html.escape(study.name)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _matrix(down: Sequence[str], across: Sequence[str], values: Sequence[Sequence[str]]) -> str:
    return _table(["after", *across], [[name, *line] for name, line in zip(down, values, strict=True)])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _picture(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<p><img alt="{html.escape(path.stem)}" src="data:image/png;base64,{data}"></p>'


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _score(value: float) -> str:
    return f"{value:.3f}" if value == value else "-"
