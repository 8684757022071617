"""Pictures of a study: forgetting curves with bands, R as heat maps, growth against ACC, where requests went."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lynx_cl.continual.comparison import CellTable, MethodRow

_GRID = {"alpha": 0.3}


def draw_study(rows: Sequence[MethodRow], folder: Path) -> list[Path]:
    """Every figure of one study that its results allow, as PNG files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = [row for row in rows if row.whole]
    if not whole:
        return []
    made = []
    if any(not cell.at_once for row in whole for cell in row.whole):
        made.append(_curves(whole, folder / "forgetting.png"))
    made.append(_heat_maps(whole, folder / "R.png"))
    made.append(_growth(whole, folder / "growth.png"))
    if any(cell.routes for row in whole for cell in row.whole):
        made.append(_routing([c for row in whole for c in row.whole if c.routes], folder / "routing.png"))
    return made


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained")  # not pyplot: no display, no global state


def _curves(rows: Sequence[MethodRow], path: Path) -> Path:
    """One panel a task: its score after each stage by method, the band from least to greatest over seeds.

    The first order is drawn; a dotted line marks the stage at which the task is learned.
    """
    drawn = [(row.method, [cell for cell in row.whole if cell.cell.number == 1]) for row in rows]
    drawn = [(name, cells) for name, cells in drawn if cells]
    first = drawn[0][1][0]
    columns = first.columns
    stages = np.arange(len(first.cell.order) + 1)
    across = min(3, len(columns))
    down = -(-len(columns) // across)
    figure = _figure(3.6 * across + 1.6, 2.6 * down)
    panels = list(figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).flat)
    for column, (task, axes) in enumerate(zip(columns, panels, strict=False)):
        for name, cells in drawn:
            scores = np.array([cell.table()[:, column] for cell in cells])
            known = np.isfinite(scores).all(0)
            mean, low, high = scores.mean(0), scores.min(0), scores.max(0)
            (line,) = axes.plot(stages[known], mean[known], marker="o", markersize=3, label=name)
            axes.fill_between(stages[known], low[known], high[known], color=line.get_color(), alpha=0.2)
        if task in first.cell.order:
            axes.axvline(first.cell.order.index(task) + 1, color="grey", linestyle=":", linewidth=1)
        axes.set_title(task, fontsize=9)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xticks(stages, ["base alone", *first.cell.order], rotation=30, fontsize=7)
        axes.grid(**_GRID)
    for axes in panels[len(columns) :]:
        axes.set_visible(False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8)
    figure.supylabel("score, task-blind", fontsize=9)
    figure.savefig(path, format="png")
    return path


def _heat_maps(rows: Sequence[MethodRow], path: Path) -> Path:
    """R of each method's first whole cell: stages down, tasks across."""
    cells = [row.whole[0] for row in rows]
    across = min(4, len(cells))
    down = -(-len(cells) // across)
    size = 0.55 * len(cells[0].columns) + 1.2
    figure = _figure(size * across, (0.4 * len(cells[0].table()) + 1.3) * down)
    for cell, axes in zip(cells, figure.subplots(down, across, squeeze=False).flat, strict=False):
        _matrix(axes, cell.table(), ["base alone", *cell.cell.order], cell.columns, "{:.2f}")
        axes.set_title(cell.cell.label, fontsize=9)
    for axes in figure.axes[len(cells) :]:
        axes.set_visible(False)
    figure.savefig(path, format="png")
    return path


def _growth(rows: Sequence[MethodRow], path: Path) -> Path:
    """ACC with its interval against total growth, a point a method."""
    figure = _figure(5.4, 3.6)
    axes = figure.subplots()
    for row in rows:
        low, high = row.interval("acc")
        acc, grown = row.mean("acc"), 100 * row.of_last("growth_total")
        error = [[max(0.0, acc - low)], [max(0.0, high - acc)]]
        axes.errorbar([grown], [acc], yerr=error, marker="o", capsize=3, label=row.method)
        axes.annotate(row.method, (grown, acc), textcoords="offset points", xytext=(6, 4), fontsize=8)
    axes.set_xscale("symlog", linthresh=1.0)
    axes.set_xlabel("growth in all, % of the base")
    axes.set_ylabel("ACC, task-blind")
    axes.grid(**_GRID)
    figure.savefig(path, format="png")
    return path


def _routing(cells: Sequence[CellTable], path: Path) -> Path:
    """Where a router sent each task's requests after the last stage, as shares; the first cell of each method."""
    first = list({cell.cell.label: cell for cell in reversed(cells)}.values())[::-1]
    size = 0.6 * len(first[0].columns) + 1.4
    figure = _figure(size * len(first), size)
    for cell, axes in zip(first, figure.subplots(1, len(first), squeeze=False).flat, strict=True):
        routed = cell.stages[-1].routed
        counts = np.array([[routed.get(task, {}).get(to, 0) for to in cell.columns] for task in cell.columns], float)
        shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
        _matrix(axes, shares, cell.columns, cell.columns, "{:.2f}")
        axes.set_title(f"{cell.cell.label}: sent to", fontsize=9)
    figure.savefig(path, format="png")
    return path


def _matrix(axes: Any, values: Any, down: Sequence[str], across: Sequence[str], form: str) -> None:
    axes.imshow(np.ma.masked_invalid(values), vmin=0, vmax=1, cmap="viridis", aspect="auto")
    axes.set_xticks(range(len(across)), across, rotation=40, ha="right", fontsize=7)
    axes.set_yticks(range(len(down)), down, fontsize=7)
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            if np.isfinite(value):
                ink = "black" if value > 0.6 else "white"
                axes.text(j, i, form.format(value), ha="center", va="center", fontsize=6, color=ink)
