"""The comparison of a study's methods as it is printed, kept as methods.csv and reported: one line a method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lynx_cl.continual import measures
from lynx_cl.continual.comparison import FORMS, MethodRow

HEADER = (
    *("study", "method", "cells", "ACC", "forgetting", "BWT", "FWT", "MFT", "MFN", "MAA", "intransigence"),
    *("curve area", "unreadable", "ACC strict", "ACC normalised", "forgetting strict", "forgetting normalised"),
    "order spread",
    *("bank loss", "routing loss", "growth", "active", "MB", "training s", "answer ms", "peak MB"),
)  # and a column for each task: its score by the base alone, and after all


def methods_table(
    made: Sequence[MethodRow], study: Sequence[MethodRow] | None = None
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The comparison as it is printed: its header, and a line for each method.

    `study` has all rows of the studies where `made` has some of them: intransigence is against what is not shown too.
    """
    tasks = list(dict.fromkeys(task for row in made for cell in row.cells for task in cell.columns))
    lines = [
        (*_row(row, made if study is None else study), *(_before_and_after(row, task) for task in tasks))
        for row in made
    ]
    return (*HEADER, *tasks), lines


def _before_and_after(row: MethodRow, task: str) -> str:
    before, after = row.ends(task)
    return f"{_score(before)} -> {_score(after)}" if after == after else "-"


def _row(row: MethodRow, others: Sequence[MethodRow]) -> tuple[str, ...]:
    """A method's line but for its tasks; one that is told the task or learns all at once is marked as a bound."""
    bank, routing = row.losses()
    bound = any(cell.given or cell.at_once for cell in row.cells)
    return (
        row.study,
        f"{row.method} (bound)" if bound else row.method,
        row.status,
        *(_with_interval(row, measure) for measure in ("acc", "forgetting", "bwt")),
        *(_score(row.mean(measure)) for measure in ("fwt", "mft", "mfn", "maa")),
        _score(intransigence(row, others)),
        _score(area(row)),
        _score(row.unreadable),
        *(_score(row.mean(f"{name}_{form}")) for name in ("acc", "forgetting") for form in FORMS),
        _score(row.order_spread),
        _score(bank),
        _score(routing),
        _share(row.of_last("growth_total")),
        _share(row.of_last("growth_active")),
        _number(row.of_last("size") / 2**20, 1),
        _number(row.training, 0),
        _number(row.of_last("answer"), 1),
        _number(row.of_last("memory") / 2**20, 0),
    )


def _with_interval(row: MethodRow, measure: str) -> str:
    low, high = row.interval(measure)
    return "-" if low != low else f"{_score(row.mean(measure))} [{_score(low)}, {_score(high)}]"


def _score(value: float) -> str:
    return _number(value, 3)


def _share(value: float) -> str:
    return f"{100 * value:.1f} %" if value == value else "-"


def _number(value: Any, digits: int) -> str:
    return f"{value:.{digits}f}" if value == value else "-"


def intransigence(row: MethodRow, others: Sequence[MethodRow]) -> float:
    """The mean intransigence of a method, against the cell of `joint` on the same order with the same seed.

    NaN where the study has none.
    """
    joint = {
        (c.cell.number, c.cell.seed): c
        for other in others
        if other.study == row.study
        for c in other.whole
        if c.at_once
    }
    values = []
    for cell in row.whole:
        bound = joint.get((cell.cell.number, cell.cell.seed))
        if bound is not None:
            values.append(measures.intransigence(cell.table(), cell.learned, bound.table()[-1]))
    return float(np.mean(values)) if values else float("nan")


def area(row: MethodRow) -> float:
    """The mean learning-curve area over the stages of a method's whole cells; NaN where it did not train."""
    values = [
        measures.learning_curve_area(*zip(*stage.curve, strict=True))
        for cell in row.whole
        for stage in cell.stages
        if stage.curve
    ]
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
