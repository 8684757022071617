"""What a study came to: R and its measures cell by cell, and method by method with intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from lynx_cl.continual import measures
from lynx_cl.continual.bootstrap import Run, interval
from lynx_cl.continual.measures import Matrix
from lynx_cl.continual.results import StageResult, StudyFolder
from lynx_cl.continual.study import Cell
from lynx_cl.errors import UsageError
from lynx_cl.registry.snapshot import BASE_TASK

MEASURES: dict[str, Callable[[Matrix, Sequence[int]], float]] = {
    "acc": lambda table, learned: measures.accuracy(table),
    "forgetting": measures.mean_forgetting,
    "bwt": measures.backward_transfer,
    "fwt": measures.forward_transfer,
    "mft": measures.mean_fine_tuned,
    "mfn": measures.mean_final,
    "maa": measures.mean_average,
}

FORMS = ("strict", "normalised")
OLD = ("forgetting", "bwt", "maa")  # of what was learned earlier: nothing was, where all is learned at once


@dataclass(frozen=True)
class CellTable:
    """What one cell came to so far. `stages` begins with the base alone; `failure` says why the cell stopped."""

    study: str
    cell: Cell
    routes: bool
    given: bool
    at_once: bool
    stages: tuple[StageResult, ...]
    failure: str | None

    @property
    def whole(self) -> bool:
        """Whether every stage is there."""
        return bool(self.stages) and self.stages[-1].stage == len(self.cell.order)

    @property
    def columns(self) -> list[str]:
        """R's tasks: the base's own where it has one, then as they were learned."""
        own = [BASE_TASK] if self.stages and BASE_TASK in self.stages[0].blind else []
        return [*own, *self.cell.order]

    @property
    def learned(self) -> list[int]:
        """The stage at which each of R's tasks was learned, 0 for the base's own."""
        last = len(self.cell.order)
        stages = {task: last if self.at_once else number for number, task in enumerate(self.cell.order, 1)}
        return [stages.get(name, 0) for name in self.columns]

    def table(self, which: str = "blind") -> Matrix:
        """R of shape (stages + 1, tasks), NaN where a stage is missing.

        `which` is 'blind' or 'aware', or 'strict' or 'normalised' for the task-blind answers read so.
        """
        made = np.full((len(self.cell.order) + 1, len(self.columns)), np.nan)
        for stage in self.stages:
            made[stage.stage] = [getattr(stage, which).get(name, np.nan) for name in self.columns]
        return made

    @cached_property
    def measures(self) -> dict[str, float]:
        """Every measure of R; NaN for a cell that is not whole, as its last row is missing.

        NaN too for those of old tasks where all are learned at once: of the base's own questions alone they would be
        no measure to stand beside those of a sequence.
        """
        table = self.table()
        return {name: self.measure(name, table) if self.whole else float("nan") for name in MEASURES}

    def measure(self, name: str, table: Matrix) -> float:
        """A measure of some R of this cell's shape, as `measures` has it."""
        return float("nan") if self.at_once and name in OLD else MEASURES[name](table, self.learned)

    @cached_property
    def forms(self) -> dict[str, float]:
        """ACC and forgetting of the answers read strictly and normalised; NaN as `measures`, and where none was read.

        What is forgotten strictly and not normalised is the form of answers alone.
        """
        told = {}
        for form in FORMS:
            table = self.table(form)
            known = self.whole and np.isfinite(table[-1]).any()
            for name in ("acc", "forgetting"):
                told[f"{name}_{form}"] = self.measure(name, table) if known else float("nan")
        return told

    @property
    def last(self) -> StageResult | None:
        """The last stage that is there, None where only the base was measured."""
        return self.stages[-1] if len(self.stages) > 1 else None

    def facts(self) -> dict[str, Any]:
        """What `experiment compare --json` prints; growth is that of the last stage there is."""
        return {
            "study": self.study,
            "method": self.cell.label,
            "order": list(self.cell.order),
            "seed": self.cell.seed,
            "R": _rows(self.table()),
            **{name: _number(self.measures[name]) for name in ("acc", "bwt", "fwt", "forgetting", "mft", "mfn", "maa")},
            "growth_total": self.last.growth_total if self.last else 0.0,
            "growth_active": self.last.growth_active if self.last else 0.0,
            **{f"R_{form}": _rows(self.table(form)) for form in FORMS},
            **{name: _number(value) for name, value in self.forms.items()},
        }

    def run(self) -> Run:
        """R with the scores of its examples, for intervals."""
        examples = []
        for name in self.columns:
            counts = {len(stage.examples[name]) for stage in self.stages if name in stage.examples}
            scores = np.full((len(self.cell.order) + 1, max(counts, default=0)), np.nan)
            for stage in self.stages:
                if len(stage.examples.get(name, ())) == scores.shape[1]:
                    scores[stage.stage] = stage.examples[name]
            examples.append(scores)
        return Run(self.table(), tuple(examples), tuple(self.columns))


@dataclass(frozen=True)
class MethodRow:
    """One method of a study over its orders and seeds: means, and 95 % intervals of some."""

    study: str
    method: str
    cells: tuple[CellTable, ...]

    @property
    def whole(self) -> list[CellTable]:
        """The cells that are whole."""
        return [cell for cell in self.cells if cell.whole]

    def mean(self, measure: str) -> float:
        """The mean of a measure over the whole cells that have it: one of `measures` or of `forms`."""
        values = [{**cell.measures, **cell.forms}[measure] for cell in self.whole]
        known = [value for value in values if np.isfinite(value)]
        return float(np.mean(known)) if known else float("nan")

    def interval(self, measure: str) -> tuple[float, float]:
        """The bootstrapped 95 % interval of that mean, over test examples and cells; that of ACC within [0, 1]."""
        ours = [partial(cell.measure, measure) for cell in self.whole]
        low, high = interval([cell.run() for cell in self.whole], ours)
        return (max(0.0, low), min(1.0, high)) if measure == "acc" and low == low else (low, high)

    def of_last(self, key: str) -> float:
        """The mean over whole cells of what their last stage says of itself, as growth_total or size."""
        values = [float(getattr(cell.last, key)) for cell in self.whole]
        return float(np.mean(values)) if values else float("nan")

    def ends(self, task: str) -> tuple[float, float]:
        """A task's score by the base alone and after the last stage, in the mean over the whole cells that have it."""
        columns = [(cell.table(), cell.columns) for cell in self.whole]
        values = [(t[0, names.index(task)], t[-1, names.index(task)]) for t, names in columns if task in names]
        before, after = np.mean(values, axis=0) if values else (np.nan, np.nan)
        return float(before), float(after)

    @property
    def training(self) -> float:
        """Seconds of training a cell, in the mean."""
        values = [sum(stage.training for stage in cell.stages) for cell in self.whole]
        return float(np.mean(values)) if values else float("nan")

    def by_order(self, measure: str) -> dict[int, float]:
        """The mean of a measure in each order, by its number; NaN for an order without a whole cell.

        It is over seeds that ran in the same orders, as many as any ran in: orders are compared with the same seeds.
        """
        ran: dict[int, set[int]] = {}
        for cell in self.whole:
            ran.setdefault(cell.cell.seed, set()).add(cell.cell.number)
        alike = Counter(frozenset(numbers) for numbers in ran.values())
        most = max(alike, key=lambda numbers: (len(numbers), alike[numbers]), default=frozenset())
        seeds = {seed for seed, numbers in ran.items() if numbers == most}
        told = {}
        for number in sorted({cell.cell.number for cell in self.cells}):
            own = tuple(c for c in self.whole if c.cell.number == number and c.cell.seed in seeds)
            told[number] = MethodRow(self.study, self.method, own).mean(measure)
        return told

    @property
    def order_spread(self) -> float:
        """The greatest ACC of an order minus the least with the same seed, in the mean over the seeds that ran in two
        orders or more; NaN where none did. Orders of other seeds are not compared: that would be a spread of seeds."""
        by_seed: dict[int, list[float]] = {}
        for cell in self.whole:
            by_seed.setdefault(cell.cell.seed, []).append(cell.measures["acc"])
        spreads = [max(values) - min(values) for values in by_seed.values() if len(values) > 1]
        return float(np.mean(spreads)) if spreads else float("nan")

    def losses(self) -> tuple[float, float]:
        """What the old tasks lost in banks and on the way to them at the last stage, in the mean (`loss_parts`)."""
        parts = []
        for cell in (cell for cell in self.whole if not cell.at_once):
            bank, routing = measures.loss_parts(cell.table(), cell.table("aware"), cell.learned)
            old = [j for j, stage in enumerate(cell.learned) if stage < len(cell.cell.order)]
            parts.append((np.nanmean(bank[-1, old]), np.nanmean(routing[-1, old])) if old else (np.nan, np.nan))
        if not parts:
            return float("nan"), float("nan")
        return float(np.mean([p[0] for p in parts])), float(np.mean([p[1] for p in parts]))

    @property
    def unreadable(self) -> float:
        """The share of answers after the last stage that are not even of their task's form, over tasks that tell it.

        It tells drift of the answer's form from knowledge that is lost: what is readable and wrong was not known.
        """
        shares = [
            own["parse_failure"]
            for cell in self.whole
            for own in cell.stages[-1].metrics.values()
            if "parse_failure" in own
        ]
        return float(np.mean(shares)) if shares else float("nan")

    @property
    def status(self) -> str:
        """How many cells are whole and how many failed."""
        failed = sum(cell.failure is not None for cell in self.cells)
        told = f"{len(self.whole)} of {len(self.cells)}"
        return f"{told}, {failed} failed" if failed else told


def cell_tables(folder: StudyFolder) -> list[CellTable]:
    """Every cell of a study, whole or not. Raises LynxError for a folder that holds no study or is damaged."""
    study = folder.study()
    alone = folder.alone()
    tables = []
    for cell in study.cells():
        own = folder.cell(cell)
        kind = study.kind(cell.label)
        own.check(kind.at_once, len(cell.order))
        stages = (*([alone] if alone is not None else []), *own.stages())
        tables.append(CellTable(study.name, cell, kind.routes, kind.given, kind.at_once, stages, own.failure))
    return tables


def rows(tables: Sequence[CellTable]) -> list[MethodRow]:
    """The methods of each study, in the order of its cells."""
    grouped: dict[tuple[str, str], list[CellTable]] = {}
    for table in tables:
        grouped.setdefault((table.study, table.cell.label), []).append(table)
    return [MethodRow(study, label, tuple(cells)) for (study, label), cells in grouped.items()]


def chosen(tables: Sequence[CellTable], runs: Sequence[str]) -> Sequence[CellTable]:
    """The cells that are named: a study, STUDY/METHOD, or STUDY/METHOD/CELL; all of them where nothing is.

    Raises UsageError for a name that fits none.
    """
    if not runs:
        return tables
    for run in runs:
        if not any(_called(table, run) for table in tables):
            study = run.partition("/")[0]
            own = {table.cell.label: None for table in tables if table.study == study}
            if own:
                raise UsageError(
                    f"run '{run}' is unknown; study '{study}' has methods {', '.join(own)}, "
                    f"with cells as {next(t.cell.key for t in tables if t.study == study)}"
                )
            known = ", ".join(sorted({table.study for table in tables}))
            raise UsageError(f"run '{run}' is unknown; known studies: {known or 'none'}; or STUDY/METHOD")
    return [table for table in tables if any(_called(table, run) for run in runs)]


def _called(table: CellTable, run: str) -> bool:
    study, _, name = run.partition("/")
    return table.study == study and (not name or table.cell.called(name))


def _rows(table: Matrix) -> list[list[float | None]]:
    return [[_number(value) for value in row] for row in table.tolist()]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
