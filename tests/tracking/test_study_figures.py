"""Figures of a study: what they draw, told by what was drawn and not by pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from lynx_cl.continual.comparison import CellTable, MethodRow
from lynx_cl.continual.measures import forgetting_curve
from lynx_cl.continual.results import StageResult
from lynx_cl.continual.study import Cell
from lynx_cl.tracking import study_figures
from tests.tracking.test_study_tracking import result

ORDERS = {1: ("counting", "grounding"), 2: ("grounding", "counting")}
SCORES = np.array([[0.8, 0.2, 0.1], [0.6, 0.9, 0.1], [0.5, 0.4, 0.7]])  # base, first task, second


def cell(label: str, number: int = 1, seed: int = 0, less: float = 0.0, **traits: bool) -> CellTable:
    """A whole cell whose scores after the base alone are `SCORES` less something."""
    order = ORDERS[number]
    kept: list[StageResult] = []
    for stage, row in enumerate(SCORES.tolist()):
        scores = {name: value - less * (stage > 0) for name, value in zip(("base", *order), row, strict=True)}
        examples = {name: [value] for name, value in scores.items()}
        told = result(stage).model_copy(update={"blind": scores, "aware": scores, "examples": examples})
        if stage in (0, 2) or not traits.get("at_once"):
            kept.append(told)
    own = {"routes": False, "given": False, "at_once": False, **traits}
    return CellTable("told", Cell(label, number, order, seed), stages=tuple(kept), failure=None, **own)


def row(label: str, *cells: CellTable) -> MethodRow:
    return MethodRow("told", label, cells or (cell(label),))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Every figure that is saved, by its file's name."""
    saved: dict[str, Any] = {}
    original = study_figures._saved

    def keep(figure: Figure, path: Path) -> Path:
        saved[path.name] = figure
        return original(figure, path)

    monkeypatch.setattr(study_figures, "_saved", keep)
    return saved


def test_no_two_of_thirty_methods_look_alike(drawn: dict[str, Any], tmp_path: Path) -> None:
    rows = [row(f"m{number}") for number in range(27)]
    rows += [row("lynx", cell("lynx", routes=True)), row("separate", cell("separate", given=True))]
    rows += [row("joint", cell("joint", at_once=True))]
    made = study_figures.draw_study(rows, tmp_path)
    assert [path.name for path in made] == ["forgetting.png", "scores.png", "growth.png", "R.png", "routing.png"]
    for name in ("forgetting.png", "scores.png"):
        lines = drawn[name].axes[-1].lines[:30]
        looks = {(str(line.get_color()), str(line.get_linestyle()), str(line.get_marker())) for line in lines}
        assert len(lines) == len(looks) == 30
    told = [text.get_text() for text in drawn["growth.png"].legends[0].get_texts()]
    assert sorted(told) == sorted(one.method for one in rows)


def test_the_curves_are_means_over_cells_and_bands_reach_from_least_to_greatest(
    drawn: dict[str, Any], tmp_path: Path
) -> None:
    cells = [cell("lora"), cell("lora", number=2, less=0.2), cell("lora", seed=1, less=0.1)]
    study_figures.draw_study([row("lora", *cells)], tmp_path)
    forgetting = drawn["forgetting.png"].axes[0]
    curves = np.array([forgetting_curve(one.table(), one.learned) for one in cells])
    assert forgetting.lines[0].get_ydata().tolist() == pytest.approx(curves.mean(0).tolist())
    edge = forgetting.collections[0].get_paths()[0].vertices
    for stage in range(3):
        at = edge[edge[:, 0] == stage, 1]
        assert (at.min(), at.max()) == pytest.approx((curves[:, stage].min(), curves[:, stage].max()))
    base = drawn["scores.png"].axes[0]
    assert base.get_title() == "base"  # the first order alone, over its two seeds
    assert base.lines[0].get_ydata().tolist() == pytest.approx([0.8, 0.55, 0.45])


def test_what_learns_all_at_once_has_no_line_where_nothing_was_measured(drawn: dict[str, Any], tmp_path: Path) -> None:
    study_figures.draw_study([row("lora"), row("joint", cell("joint", at_once=True))], tmp_path)
    assert len(drawn["forgetting.png"].axes[0].lines) == 1  # none of its tasks is old
    for name, panel in (("forgetting.png", 1), ("scores.png", 0)):
        joint = drawn[name].axes[panel].lines[1]
        assert joint.get_xdata().tolist() == [0, 2] and joint.get_linestyle() == "None"


def test_the_legend_names_the_best_first(drawn: dict[str, Any], tmp_path: Path) -> None:
    study_figures.draw_study([row("worse", cell("worse", less=0.3)), row("better")], tmp_path)
    assert [text.get_text() for text in drawn["forgetting.png"].legends[0].get_texts()] == ["better", "worse"]


def test_another_order_alone_is_drawn_and_old_figures_go(drawn: dict[str, Any], tmp_path: Path) -> None:
    study_figures.draw_study([row("lynx", cell("lynx", routes=True))], tmp_path)
    assert (tmp_path / "routing.png").exists()
    study_figures.draw_study([row("lora", cell("lora", number=2))], tmp_path)
    labels = [label.get_text() for label in drawn["scores.png"].axes[0].get_xticklabels()]
    assert labels == ["base alone", *ORDERS[2]] and not (tmp_path / "routing.png").exists()


def test_nothing_whole_draws_nothing(tmp_path: Path) -> None:
    begun = CellTable("told", Cell("lora", 1, ORDERS[1], 0), False, False, False, (), None)
    assert study_figures.draw_study([row("lora", begun)], tmp_path / "new") == []
