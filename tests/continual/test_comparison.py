"""Tables of a study out of its results: R, its measures, methods over cells, and what is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lynx_cl.continual import measures
from lynx_cl.continual.comparison import CellTable, MethodRow, rows
from lynx_cl.continual.results import StageResult
from lynx_cl.continual.study import Cell
from lynx_cl.tracking.methods_table import area, intransigence

ORDER = ("b", "a")
R = [[0.75, 0.25, 0.0], [0.5, 1.0, 0.25], [0.25, 0.5, 1.0]]  # base, b, a


def stage(number: int, scores: list[float], aware: list[float] | None = None, **more: Any) -> StageResult:
    names = ["base", *ORDER]
    return StageResult(
        stage=number,
        task=ORDER[number - 1] if number else None,
        blind=dict(zip(names, scores, strict=True)),
        aware=dict(zip(names, aware or scores, strict=True)),
        **{"metrics": {}, **more},
        examples={name: [1.0] * int(4 * s) + [0.0] * int(4 - 4 * s) for name, s in zip(names, scores, strict=True)},
    )


def made(label: str = "one", seed: int = 0, stages: int = 3, at_once: bool = False, **more: Any) -> CellTable:
    told = [stage(i, row, growth_total=i / 10, training=5.0 * i, **more) for i, row in enumerate(R)]
    if at_once:
        told = [told[0], told[2]]
    return CellTable("s", Cell(label, 1, ORDER, seed), False, False, at_once, tuple(told[:stages]), None)


def test_r_and_its_measures() -> None:
    cell = made()
    assert cell.columns == ["base", "b", "a"] and cell.learned == [0, 1, 2] and cell.table().tolist() == R
    facts = cell.facts()
    assert list(facts) == [
        *("study", "method", "order", "seed", "R", "acc", "bwt", "fwt", "forgetting", "mft", "mfn", "maa"),
        *("growth_total", "growth_active", "R_strict", "R_normalised"),
        *("acc_strict", "forgetting_strict", "acc_normalised", "forgetting_normalised"),
    ]
    assert facts["acc"] == pytest.approx((0.25 + 0.5 + 1.0) / 3)
    assert facts["forgetting"] == pytest.approx((0.5 + 0.5) / 2) == pytest.approx(-facts["bwt"])
    assert facts["fwt"] == pytest.approx(0.25) and facts["mft"] == 1.0 and facts["mfn"] == 0.75
    assert facts["maa"] == pytest.approx((1.0 + 0.75) / 2) and facts["growth_total"] == 0.2


def test_forgetting_of_form_alone() -> None:
    """After learning a, b is still known, but not said as it should be: worked out by hand."""
    strict = [[0.5, 0.25, 0.0], [0.5, 1.0, 0.0], [0.5, 0.0, 1.0]]
    normalised = [[0.75, 0.5, 0.25], [0.75, 1.0, 0.25], [0.5, 0.75, 1.0]]
    names = ["base", *ORDER]
    told = [
        stage(i, R[i], strict=dict(zip(names, strict[i], strict=True)), normalised=dict(zip(names, n, strict=True)))
        for i, n in enumerate(normalised)
    ]
    cell = CellTable("s", Cell("one", 1, ORDER, 0), False, False, False, tuple(told), None)
    facts = cell.facts()
    assert facts["R"] == R and facts["R_strict"] == strict and facts["R_normalised"] == normalised
    assert facts["acc_strict"] == pytest.approx(0.5) and facts["acc_normalised"] == pytest.approx(0.75)
    assert facts["forgetting_strict"] == pytest.approx((0.0 + 1.0) / 2)
    assert facts["forgetting_normalised"] == pytest.approx((0.25 + 0.25) / 2)
    assert MethodRow("s", "one", (cell, cell)).mean("forgetting_strict") == pytest.approx(0.5)
    old = made()  # results of before there were readings
    assert old.facts()["acc_strict"] is None and old.facts()["R_strict"] == [[None] * 3] * 3


def test_the_ends_of_a_task() -> None:
    other = CellTable("s", Cell("one", 1, ORDER, 1), False, False, False, (stage(0, R[0]), *made().stages[1:]), None)
    row = MethodRow("s", "one", (made(), other, made(stages=2)))
    assert row.ends("b") == (0.25, 0.5) and row.ends("base") == (0.75, 0.25)
    assert np.isnan(row.ends("nowhere")).all() and np.isnan(MethodRow("s", "one", (made(stages=1),)).ends("b")).all()


def test_a_cell_that_is_not_whole_has_no_measure() -> None:
    cell = made(stages=2)
    assert not cell.whole and np.isnan(cell.table()[2]).all() and cell.facts()["acc"] is None
    assert cell.facts()["R"][2] == [None, None, None] and cell.facts()["growth_total"] == 0.1
    row = MethodRow("s", "one", (made(), cell))
    assert row.status == "1 of 2" and row.mean("acc") == made().measures["acc"]


def test_what_learns_at_once_is_learned_at_the_end() -> None:
    cell = made("joint", at_once=True)
    assert cell.whole and cell.learned == [0, 2, 2] and np.isnan(cell.table()[1]).all()
    for measure in ("forgetting", "bwt", "maa"):  # no task of it is old, and the base's own alone would say little
        assert np.isnan(cell.measures[measure]) and cell.facts()[measure] is None
    assert cell.measures["acc"] == pytest.approx((0.25 + 0.5 + 1.0) / 3)
    assert all(np.isnan(end) for end in MethodRow("s", "joint", (cell,)).interval("forgetting"))
    assert np.isnan(MethodRow("s", "joint", (cell,)).losses()).all()
    one, joint = rows([made(), cell])
    assert intransigence(one, [one, joint]) == measures.intransigence(np.array(R), [0, 1, 2], np.array(R[2]))
    assert np.isnan(intransigence(one, [one]))


def test_methods_over_seeds() -> None:
    (row,) = rows([made(), made(seed=1)])
    low, high = row.interval("acc")
    assert low < row.mean("acc") < high and row.training == 15.0 and row.of_last("growth_total") == pytest.approx(0.2)
    assert np.isnan(area(row)) and np.isnan(row.unreadable)
    (curved,) = rows([made(curve=[(2, 0.25), (4, 0.75)])])
    assert area(curved) == 0.5
    told = {
        "a": {"acc_iou50": 0.5, "parse_failure": 0.25},
        "b": {"accuracy": 0.5, "parse_failure": 0.75},
        "c": {"f": 1.0},
    }
    (drifted,) = rows([made(metrics=told)])
    assert drifted.unreadable == 0.5


def test_the_spread_over_orders() -> None:
    def of_order(number: int, seed: int, last: float) -> CellTable:
        told = (stage(0, R[0]), stage(1, R[1]), stage(2, [last] * 3))
        return CellTable("s", Cell("one", number, ORDER, seed), False, False, False, told, None)

    (one,) = rows([of_order(1, 0, 0.5), of_order(1, 1, 0.75)])
    assert np.isnan(one.order_spread)  # one order alone
    (two,) = rows([of_order(1, 0, 0.5), of_order(1, 1, 0.75), of_order(2, 0, 0.25), of_order(3, 0, 0.5)])
    assert two.order_spread == pytest.approx(0.25)  # of seed 0; seed 1 ran in one order
    (three,) = rows(
        [of_order(n, seed, last) for n, seed, last in ((1, 0, 0.5), (2, 0, 0.25), (1, 1, 0.75), (2, 1, 0.75))]
    )
    assert three.order_spread == pytest.approx((0.25 + 0) / 2)


def test_orders_are_compared_with_the_same_seeds() -> None:
    def of_order(number: int, seed: int, last: float) -> CellTable:
        told = (stage(0, R[0]), stage(1, R[1]), stage(2, [last] * 3))
        return CellTable("s", Cell("one", number, ORDER, seed), False, False, False, told, None)

    (tied,) = rows([of_order(1, 0, 0.25), of_order(2, 0, 0.5), of_order(2, 1, 0.75), of_order(3, 1, 1.0)])
    told = tied.by_order("acc")
    assert (told[1], told[2]) == (0.25, 0.5) and np.isnan(told[3])  # not seed 0 here and seed 1 there
    (more,) = rows([of_order(n, s, v) for n, s, v in ((1, 0, 0.25), (2, 0, 0.5), (1, 1, 0.75), (2, 1, 1.0), (1, 2, 0))])
    assert more.by_order("acc") == {1: 0.5, 2: 0.75}
    assert rows([made(stages=1)])[0].by_order("acc").keys() == {1}


def test_losses_by_their_cause() -> None:
    told = [
        stage(0, R[0]),
        stage(1, R[1], [0.75, 1.0, 0.25]),
        stage(2, R[2], [0.5, 1.0, 1.0]),
    ]
    row = MethodRow("s", "one", (CellTable("s", Cell("one", 1, ORDER, 0), True, False, False, tuple(told), None),))
    bank, routing = row.losses()
    assert bank == pytest.approx((0.25 + 0.0) / 2) and routing == pytest.approx((0.25 + 0.5) / 2)
