"""Intervals of measures of R by the bootstrap, over test examples and over runs (Efron & Tibshirani 1993).

The scores of one task's examples are drawn together for all stages and runs: every stage answers the same questions, so
that a difference of stages is known better than each of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lynx_cl.continual.measures import Matrix

DRAWS = 500
LEVEL = 0.95


@dataclass(frozen=True)
class Run:
    """One run's scores by example: for each task, R's columns, (stages + 1, examples), NaN where nothing was measured.

    `table` is R itself, from which a draw departs by what its examples do to the mean. `tasks` names the columns, which
    another run may have in another order.
    """

    table: Matrix
    examples: tuple[Matrix, ...]
    tasks: tuple[str, ...]


def interval(
    runs: Sequence[Run],
    measures: Sequence[Callable[[Matrix], float]],
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile interval of a mean over runs; `measures` holds the measure of R for each run.

    NaN twice where no run has the measure. Raises ValueError where there is not one measure for each run, or R, its
    tasks and its examples do not have one shape.

    >>> run = Run(np.array([[0.0], [0.5]]), (np.array([[0.0] * 4, [0.0, 0.0, 1.0, 1.0]]),), ("counting",))
    >>> low, high = interval([run], [lambda table: float(table[-1, 0])])
    >>> low < 0.5 < high
    True
    """
    if len(measures) != len(runs):
        raise ValueError(f"{len(runs)} runs, but {len(measures)} measures")
    for run in runs:
        if run.table.shape != (*{len(part) for part in run.examples}, len(run.examples)):
            raise ValueError(f"R of shape {run.table.shape}, but examples of {[part.shape for part in run.examples]}")
        if len(run.tasks) != len(run.examples):
            raise ValueError(f"R of shape {run.table.shape}, but tasks {', '.join(run.tasks)}")
    generator = np.random.default_rng(seed)
    drawn = _drawn_tables(runs, draws, generator)
    values = np.array(
        [[measure(table) for table in tables] for measure, tables in zip(measures, drawn, strict=True)]
    ).reshape(len(runs), draws)
    means = []
    for draw, chosen in enumerate(generator.integers(0, max(1, len(runs)), (draws, len(runs)))):
        known = values[chosen, draw]
        known = known[np.isfinite(known)]
        if len(known):
            means.append(known.mean())
    if not means:
        return float("nan"), float("nan")
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _drawn_tables(runs: Sequence[Run], draws: int, generator: np.random.Generator) -> list[list[Matrix]]:
    """R of each run with its examples drawn anew, `draws` times; a task's examples are drawn alike in all runs."""
    weights: dict[tuple[str, int], Matrix] = {}
    tables = []
    for run in runs:
        made = np.empty((draws, *run.table.shape))
        for column, (task, scores) in enumerate(zip(run.tasks, run.examples, strict=True)):
            count = scores.shape[1]
            if count == 0:
                made[:, :, column] = run.table[:, column]
                continue
            if (task, count) not in weights:
                weights[task, count] = generator.multinomial(count, np.full(count, 1 / count), draws) / count
            made[:, :, column] = run.table[:, column] + (weights[task, count] - 1 / count) @ scores.T
        tables.append(list(made))
    return tables
