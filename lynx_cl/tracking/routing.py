"""The results of a routing study as files: one CSV a table, all of it as JSON, tables to read, and figures."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

TABLES = ("usual", "prompts", "tasks", "coverage", "foreign", "hard", "confusion")
READABLE = ("usual", "prompts", "tasks", "coverage", "foreign", "hard")
Row = dict[str, Any]


def write_study(facts: dict[str, Any], folder: Path) -> None:
    """Writes what `router.study.run_study` gave into a folder."""
    for name in TABLES:
        write_csv(facts[name], folder / f"{name}.csv")
    (folder / "results.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    tables = {**facts, "coverage": coverage_summary(facts["coverage"])}
    parts = [f"## {name}\n\n{markdown(tables[name])}" for name in READABLE if tables[name]]
    (folder / "tables.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    _lines(facts["prompts"], "prompts", "training prompts of a task", folder / "prompts.png")
    _lines(facts["tasks"], "tasks", "tasks (made up)", folder / "tasks.png", logarithmic=True)
    _coverage(facts["coverage"], folder / "coverage.png")
    _confusion(facts["confusion"], folder / "confusion.png")


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Rows of the same keys; what was not measured is left empty, fractions have six digits."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows[0].keys() if rows else ())
        for row in rows:
            writer.writerow([round(value, 6) if isinstance(value, float) else value for value in row.values()])


def coverage_summary(rows: Sequence[Row]) -> list[Row]:
    """Over the resamplings of each error: means, and how many lie no lower than the bounds allow.

    >>> one = {"error": 0.1, "coverage": 0.875, "low": 0.75, "high": 1.0, "set_size": 1.5, "empty": 0.0}
    >>> coverage_summary([one, {**one, "coverage": 0.625}])[0]["not_below_bound"]
    '1 of 2'
    """
    summary = []
    for error in dict.fromkeys(row["error"] for row in rows):
        own = [row for row in rows if row["error"] == error]
        kept = sum(row["coverage"] >= row["low"] for row in own)
        means = {name: float(np.mean([row[name] for row in own])) for name in ("coverage", "set_size", "empty")}
        summary.append({"promised": 1 - error, **means, "not_below_bound": f"{kept} of {len(own)}"})
    return summary


def markdown(rows: Sequence[Row]) -> str:
    """A table in Markdown; fractions with three digits."""
    head = [name.replace("_", " ") for name in rows[0]]
    lines = [[_text(value) for value in row.values()] for row in rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *lines))


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _axes(width: float = 6.4, height: float = 3.8) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="tight")
    return figure, figure.subplots()


def _lines(rows: Sequence[Row], key: str, label: str, path: Path, logarithmic: bool = False) -> None:
    figure, axes = _axes()
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        spread = [row["accuracy_sd"] for row in own]
        style = {"linewidth": 2.5, "color": "black", "zorder": 3} if method == "router" else {"linewidth": 1.2}
        places, values = [row[key] for row in own], [row["balanced_accuracy"] for row in own]
        axes.errorbar(places, values, yerr=spread, marker="o", markersize=3, label=method.replace("_", " "), **style)
    if logarithmic:
        axes.set_xscale("log")
    axes.set_xlabel(label)
    axes.set_ylabel("balanced accuracy")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, format="png")


def _coverage(rows: Sequence[Row], path: Path) -> None:
    figure, axes = _axes(4.4, 3.8)
    promised = np.array([1 - row["error"] for row in rows])
    shift = (np.array([row["resampling"] for row in rows]) / (1 + max(row["resampling"] for row in rows)) - 0.5) * 0.01
    axes.scatter(promised + shift, [row["coverage"] for row in rows], s=10, alpha=0.7, label="a resampling")
    ends = [promised.min() - 0.02, 1.0]
    axes.plot(ends, ends, color="black", linewidth=1, label="promised")
    axes.set_xlabel("promised coverage")
    axes.set_ylabel("measured coverage")
    axes.legend(frameon=False, fontsize=8)
    axes.grid(alpha=0.3)
    figure.savefig(path, format="png")


def _confusion(rows: Sequence[Row], path: Path) -> None:
    names = list(dict.fromkeys(row["task"] for row in rows))
    table = np.array([row["requests"] for row in rows], float).reshape(len(names), len(names))
    table /= np.maximum(table.sum(1, keepdims=True), 1)
    figure, axes = _axes(6.4, 5.6)
    axes.imshow(table, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    for i, j in np.ndindex(table.shape):
        if table[i, j] >= 0.005:
            shade = "white" if table[i, j] > 0.5 else "black"
            axes.text(j, i, f"{100 * table[i, j]:.0f}", ha="center", va="center", fontsize=7, color=shade)
    axes.set_xlabel("chosen")
    axes.set_ylabel("right")
    figure.savefig(path, format="png")
