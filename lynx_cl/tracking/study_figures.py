"""Pictures of a study: forgetting curves with bands, scores by task, R, growth against ACC, where requests went."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lynx_cl.continual.comparison import CellTable, MethodRow
from lynx_cl.continual.measures import Matrix, forgetting_curve, seen_curve
from lynx_cl.registry.durable import write_whole

FIGURES = ("forgetting", "scores", "growth", "R", "routing")
_GRID = {"alpha": 0.3}
_COLOURS = 10  # of matplotlib's own cycle; past them lines are dashed, then dotted
_LINES, _MARKERS = ("-", "--", ":"), ("o", "s", "^")

Style = Mapping[str, Any]


def draw_study(rows: Sequence[MethodRow], folder: Path) -> list[Path]:
    """Every figure of one study that its results allow, as PNG files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = [row for row in rows if row.whole]
    made = _drawn(whole, folder) if whole else []
    for name in FIGURES:
        if (old := folder / f"{name}.png") not in made:  # what was not drawn now is of other results
            old.unlink(missing_ok=True)
    return made


def _drawn(whole: Sequence[MethodRow], folder: Path) -> list[Path]:
    styles = _styles(whole)
    made = []
    if any(not cell.at_once for row in whole for cell in row.whole):
        made.append(_forgetting(whole, styles, folder / "forgetting.png"))
        made.append(_scores(whole, styles, folder / "scores.png"))
    made.append(_growth(whole, styles, folder / "growth.png"))
    made.append(_heat_maps(whole, folder / "R.png"))
    if any(cell.routes for row in whole for cell in row.whole):
        made.append(_routing([c for row in whole for c in row.whole if c.routes], folder / "routing.png"))
    return made


def _styles(rows: Sequence[MethodRow]) -> dict[str, Style]:
    """How each method is drawn, alike in every figure: thick what routes, black the bounds, no two of thirty the same.

    What learns all tasks at once has points and no line: there is nothing between.
    """
    styles: dict[str, Style] = {}
    numbers = {True: 0, False: 0}
    for row in rows:
        cell = row.whole[0]
        bound = cell.given or cell.at_once
        place, turn = divmod(numbers[bound], 1 if bound else _COLOURS)
        numbers[bound] += 1
        styles[row.method] = {
            "color": "black" if bound else f"C{turn}",
            "linestyle": "none" if cell.at_once else _LINES[place % len(_LINES)],
            "marker": "*" if cell.at_once else _MARKERS[place % len(_MARKERS)],
            "markersize": 7 if cell.at_once else 3,
            "linewidth": 2.4 if cell.routes else 1.2,
            "zorder": 3 if cell.routes else 2,
        }
    return styles


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained")  # not pyplot: no display, no global state


def _saved(figure: Any, path: Path) -> Path:
    """A figure as a file, whole or not at all."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    write_whole(path, drawn.getvalue(), scratch=path.parent, what="study.figure")
    return path


def _forgetting(rows: Sequence[MethodRow], styles: Mapping[str, Style], path: Path) -> Path:
    """Mean forgetting so far, and the mean score of what was seen so far, against the number of tasks learned.

    Lines are means over all whole cells, orders and seeds alike, bands reach from the least cell to the greatest.
    """
    figure = _figure(10.6, 4.2)
    panels = figure.subplots(1, 2)
    shown = ((forgetting_curve, "forgetting so far (0: nothing lost)"), (seen_curve, "score of what was seen so far"))
    for axes, (curve, name) in zip(panels, shown, strict=True):
        for row in rows:
            cells = [cell for cell in row.whole if curve is not forgetting_curve or not cell.at_once]
            if cells:
                _band(axes, np.array([curve(cell.table(), cell.learned) for cell in cells]), styles[row.method])
        axes.set_xlabel("tasks learned")
        axes.set_xticks(range(max(len(cell.cell.order) for row in rows for cell in row.whole) + 1))
        axes.set_title(f"{name}, task-blind", fontsize=9)
        axes.grid(**_GRID)
    _legend(figure, rows, styles)
    return _saved(figure, path)


def _scores(rows: Sequence[MethodRow], styles: Mapping[str, Style], path: Path) -> Path:
    """One panel a task: its score after each stage by method, the band from least to greatest over seeds.

    The first order that has whole cells is drawn; a dotted line marks the stage at which the task is learned.
    """
    order = min(cell.cell.number for row in rows for cell in row.whole)
    drawn = [(row, [cell for cell in row.whole if cell.cell.number == order]) for row in rows]
    drawn = [(row, cells) for row, cells in drawn if cells]
    first = drawn[0][1][0]
    columns = first.columns
    across = min(3, len(columns))
    down = -(-len(columns) // across)
    figure = _figure(3.6 * across + 1.6, 2.6 * down)
    panels = list(figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).flat)
    for column, (task, axes) in enumerate(zip(columns, panels, strict=False)):
        for row, cells in drawn:
            _band(axes, np.array([cell.table()[:, column] for cell in cells]), styles[row.method])
        if task in first.cell.order:
            axes.axvline(first.cell.order.index(task) + 1, color="grey", linestyle=":", linewidth=1)
        axes.set_title(task, fontsize=9)
        axes.set_ylim(-0.03, 1.03)
        names = ["base alone", *first.cell.order]
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=7)
        axes.grid(**_GRID)
    for axes in panels[len(columns) :]:
        axes.set_visible(False)
    _legend(figure, [row for row, _ in drawn], styles)
    figure.supylabel("score, task-blind", fontsize=9)
    return _saved(figure, path)


def _band(axes: Any, curves: Matrix, style: Style) -> None:
    """The mean of some curves, (curves, stages), and the band that they fill, where all of them are known."""
    known = np.isfinite(curves).all(0)
    stages, of_all = np.arange(curves.shape[1])[known], curves[:, known]
    axes.plot(stages, of_all.mean(0), **style)
    axes.fill_between(stages, of_all.min(0), of_all.max(0), color=style["color"], alpha=0.15, linewidth=0)


def _legend(figure: Any, rows: Sequence[MethodRow], styles: Mapping[str, Style]) -> None:
    """The methods beside the panels, the best at the end (ACC) first."""
    from matplotlib.lines import Line2D

    ranked = sorted(rows, key=lambda row: -row.mean("acc"))
    handles = [Line2D([], [], **styles[row.method], label=row.method) for row in ranked]
    figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=8)


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
    return _saved(figure, path)


def _growth(rows: Sequence[MethodRow], styles: Mapping[str, Style], path: Path) -> Path:
    """ACC with its interval against total growth, a point a method."""
    figure = _figure(6.6, 4.0)
    axes = figure.subplots()
    for row in rows:
        low, high = row.interval("acc")
        acc, grown = row.mean("acc"), 100 * row.of_last("growth_total")
        error = [[max(0.0, acc - low)], [max(0.0, high - acc)]]
        style = {**styles[row.method], "linestyle": "none", "markersize": 7}
        axes.errorbar([grown], [acc], yerr=error, capsize=3, elinewidth=1.2, **style)
    axes.set_xscale("symlog", linthresh=1.0)
    axes.set_xlim(left=-0.3)
    axes.set_xlabel("growth in all, % of the base")
    axes.set_ylabel("ACC, task-blind")
    axes.grid(**_GRID)
    _legend(figure, rows, styles)
    return _saved(figure, path)


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
    return _saved(figure, path)


def _matrix(axes: Any, values: Any, down: Sequence[str], across: Sequence[str], form: str) -> None:
    axes.imshow(np.ma.masked_invalid(values), vmin=0, vmax=1, cmap="viridis", aspect="auto")
    axes.set_xticks(range(len(across)), across, rotation=40, ha="right", fontsize=7)
    axes.set_yticks(range(len(down)), down, fontsize=7)
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            if np.isfinite(value):
                ink = "black" if value > 0.6 else "white"
                axes.text(j, i, form.format(value), ha="center", va="center", fontsize=6, color=ink)
