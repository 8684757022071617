"""Measures of R against matrices computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lynx_cl.continual.measures import (
    accuracy,
    backward_transfer,
    benchmark_transfer,
    forgetting_by_task,
    forgetting_curve,
    forward_transfer,
    growth,
    intransigence,
    learning_curve_area,
    loss_parts,
    mean_average,
    mean_final,
    mean_fine_tuned,
    mean_forgetting,
    seen_curve,
)

NAN = float("nan")
ONE = np.array([[0.2], [0.9]])
TWO = np.array([[0.1, 0.3], [0.8, 0.4], [0.6, 0.9]])
THREE = np.array(
    [
        [0.10, 0.20, 0.30],
        [0.90, 0.25, 0.20],
        [0.70, 0.80, 0.50],
        [0.75, 0.60, 0.95],
    ]
)


def test_one_task() -> None:
    assert accuracy(ONE) == pytest.approx(0.9)
    assert np.isnan(backward_transfer(ONE, [1]))
    assert np.isnan(forward_transfer(ONE, [1]))
    assert forgetting_by_task(ONE).tolist() == pytest.approx([-0.7])
    assert mean_forgetting(ONE, [1]) == 0.0


def test_two_tasks() -> None:
    assert accuracy(TWO) == pytest.approx(0.75)
    assert backward_transfer(TWO, [1, 2]) == pytest.approx(-0.2)
    assert forward_transfer(TWO, [1, 2]) == pytest.approx(0.1)
    assert forgetting_by_task(TWO).tolist() == pytest.approx([0.2, -0.5])
    assert mean_forgetting(TWO, [1, 2]) == pytest.approx(0.2)


def test_three_tasks() -> None:
    assert accuracy(THREE) == pytest.approx((0.75 + 0.6 + 0.95) / 3)
    assert backward_transfer(THREE, [1, 2, 3]) == pytest.approx(((0.75 - 0.9) + (0.6 - 0.8)) / 2)
    assert forward_transfer(THREE, [1, 2, 3]) == pytest.approx(((0.25 - 0.2) + (0.5 - 0.3)) / 2)
    # from the best earlier score, which need not be the one right after learning
    assert forgetting_by_task(THREE).tolist() == pytest.approx([0.9 - 0.75, 0.8 - 0.6, 0.5 - 0.95])
    assert mean_forgetting(THREE, [1, 2, 3]) == pytest.approx((0.15 + 0.2) / 2)


def test_the_last_old_task_counts() -> None:
    """A released library leaves it out."""
    table = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 0, 1]], dtype=float)
    assert mean_forgetting(table, [1, 2, 3]) == pytest.approx(0.5)
    assert backward_transfer(table, [1, 2, 3]) == pytest.approx(-0.5)


def test_a_relearned_task_is_measured_from_its_best() -> None:
    table = np.array([[0.0, 0.0, 0.0], [0.6, 0.0, 0.0], [0.9, 0.5, 0.0], [0.7, 0.5, 0.5]])
    assert forgetting_by_task(table)[0] == pytest.approx(0.2)
    assert backward_transfer(table, [1, 2, 3]) == pytest.approx(0.05)


def test_the_base_s_own_task_is_learned_at_row_0() -> None:
    table = np.array([[0.8, 0.0], [0.7, 0.9]])
    assert backward_transfer(table, [0, 1]) == pytest.approx(-0.1)
    assert mean_forgetting(table, [0, 1]) == pytest.approx(0.1)
    assert np.isnan(forward_transfer(table, [0, 1]))


def test_what_was_not_measured_is_left_out() -> None:
    table = np.array([[NAN, 0.2, NAN], [0.8, NAN, NAN], [0.6, 0.7, NAN], [NAN, 0.5, 0.9]])
    assert accuracy(table) == pytest.approx(0.7)
    assert backward_transfer(table, [1, 2, 3]) == pytest.approx(-0.2)  # the first task has no last score
    assert np.isnan(forward_transfer(table, [1, 2, 3]))
    lost = forgetting_by_task(table)
    assert np.isnan(lost[0]) and lost[1] == pytest.approx(0.2) and np.isnan(lost[2])
    assert mean_forgetting(table, [1, 2, 3]) == pytest.approx(0.2)


def test_a_task_first_seen_late() -> None:
    table = np.array([[0.1, NAN], [0.9, NAN], [0.9, NAN], [0.8, 0.7]])
    assert accuracy(table) == pytest.approx(0.75)
    assert backward_transfer(table, [1, 3]) == pytest.approx(-0.1)
    assert np.isnan(forward_transfer(table, [1, 3]))
    assert mean_forgetting(table, [1, 3]) == pytest.approx(0.1)


def test_nothing_measured() -> None:
    table = np.full((3, 2), NAN)
    assert np.isnan(accuracy(table)) and np.isnan(backward_transfer(table, [1, 2]))
    assert np.isnan(forgetting_by_task(table)).all() and np.isnan(mean_forgetting(table, [1, 2]))
    assert mean_forgetting(table, [2, 2]) == 0.0  # nothing is old yet
    lost = np.array([[0.1, 0.1], [0.9, 0.2], [NAN, 0.8]])
    assert np.isnan(mean_forgetting(lost, [1, 2])) and np.isnan(backward_transfer(lost, [1, 2]))


def test_inputs_are_left_alone_and_checked() -> None:
    before = THREE.copy()
    forgetting_by_task(THREE)
    assert np.array_equal(THREE, before)
    for learned in ([1, 2], [1, 2, 4], [-1, 1, 2]):
        with pytest.raises(ValueError, match="learned at stages"):
            backward_transfer(THREE, learned)


def test_growth_adds_up() -> None:
    assert growth([], 100).tolist() == [0.0]
    assert growth([5, 5, 20], 100).tolist() == pytest.approx([0.0, 0.05, 0.1, 0.3])


def close(part: np.ndarray, expected: list) -> None:
    assert part == pytest.approx(np.array(expected), nan_ok=True)


def test_loss_of_one_task_has_no_part_before_it_is_learned() -> None:
    bank, routing = loss_parts(np.array([[0.2], [0.8]]), np.array([[0.2], [0.9]]), [1])
    close(bank, [[NAN], [0.0]])
    close(routing, [[NAN], [0.1]])


def test_loss_of_two_tasks() -> None:
    """The second add left the first one's bank alone, and drew a fifth of its requests away."""
    blind = np.array([[0.1, 0.3], [0.8, 0.4], [0.6, 0.9]])
    aware = np.array([[0.1, 0.3], [0.8, 0.4], [0.8, 0.85]])
    bank, routing = loss_parts(blind, aware, [1, 2])
    close(bank, [[NAN, NAN], [0.0, NAN], [0.0, 0.0]])
    close(routing, [[NAN, NAN], [0.0, NAN], [0.2, -0.05]])


def test_loss_of_three_tasks_and_the_base() -> None:
    """A bank that is trained over at the end (column 1) loses by itself, the base (column 0) by what it is not sent."""
    blind = np.array([[0.7, 0.1, NAN], [0.6, 0.9, NAN], [0.65, 0.85, 0.5], [0.5, 0.4, 0.45]])
    aware = np.array([[0.7, 0.1, NAN], [0.7, 0.9, NAN], [0.7, 0.9, 0.6], [0.7, 0.6, 0.6]])
    bank, routing = loss_parts(blind, aware, [0, 1, 2])
    close(bank, [[0, NAN, NAN], [0, 0, NAN], [0, 0, 0], [0, 0.3, 0]])
    close(routing, [[0, NAN, NAN], [0.1, 0, NAN], [0.05, 0.05, 0.1], [0.2, 0.2, 0.15]])
    close((bank + routing)[1:, 1:2], [[0.0], [0.05], [0.5]])


def test_loss_of_a_task_first_seen_late() -> None:
    blind = np.array([[0.1, NAN], [0.9, NAN], [0.9, NAN], [0.8, 0.7]])
    aware = np.array([[0.1, NAN], [0.9, NAN], [0.9, NAN], [0.9, 0.75]])
    bank, routing = loss_parts(blind, aware, [1, 3])
    close(bank[1:], [[0, NAN], [0, NAN], [0, 0]])
    close(routing[1:], [[0, NAN], [0, NAN], [0.1, 0.05]])


def test_a_missing_score_takes_only_the_parts_that_need_it() -> None:
    aware = np.array([[NAN, 0.2], [0.9, 0.2], [0.8, NAN], [0.7, 0.2]])
    blind = np.array([[0.5, 0.2], [0.4, NAN], [0.3, 0.1], [0.2, 0.1]])
    bank, routing = loss_parts(blind, aware, [0, 0])
    close(bank, [[NAN, 0.0], [NAN, 0.0], [NAN, NAN], [NAN, 0.0]])
    close(routing, [[NAN, 0.0], [0.5, NAN], [0.5, NAN], [0.5, 0.1]])


EIGHTHS = st.integers(0, 8).map(lambda number: number / 8) | st.just(NAN)


@given(arrays(float, (4, 3), elements=EIGHTHS), arrays(float, (4, 3), elements=EIGHTHS), st.data())
def test_the_parts_add_up_to_the_loss(blind: np.ndarray, aware: np.ndarray, data: st.DataObject) -> None:
    learned = data.draw(st.lists(st.integers(0, 3), min_size=3, max_size=3))
    bank, routing = loss_parts(blind, aware, learned)
    for j, first in enumerate(learned):
        for i in range(4):
            told = bank[i, j] + routing[i, j]
            whole = aware[first, j] - blind[i, j]
            assert told == whole if i >= first and not np.isnan([whole, aware[i, j]]).any() else np.isnan(told)


def test_loss_needs_two_matrices_of_one_shape() -> None:
    with pytest.raises(ValueError, match=r"R of shape \(4, 3\) through the router, but \(3, 2\)"):
        loss_parts(THREE, TWO, [1, 2, 3])
    with pytest.raises(ValueError, match="learned at stages"):
        loss_parts(TWO, TWO, [1, 3])


def test_the_benchmarks_measures_of_one_task() -> None:
    assert mean_fine_tuned(ONE, [1]) == mean_final(ONE, [1]) == mean_average(ONE, [1]) == pytest.approx(0.9)
    assert np.isnan(benchmark_transfer(ONE, [1]))


def test_the_benchmarks_measures_of_two_tasks() -> None:
    assert mean_fine_tuned(TWO, [1, 2]) == pytest.approx(0.85)
    assert mean_final(TWO, [1, 2]) == pytest.approx(0.75)
    assert mean_average(TWO, [1, 2]) == pytest.approx((0.8 + 0.75) / 2)
    assert benchmark_transfer(TWO, [1, 2]) == pytest.approx(-0.2)


def test_the_benchmarks_measures_of_three_tasks() -> None:
    assert mean_fine_tuned(THREE, [1, 2, 3]) == pytest.approx((0.9 + 0.8 + 0.95) / 3)
    assert mean_final(THREE, [1, 2, 3]) == pytest.approx((0.75 + 0.6 + 0.95) / 3)
    assert mean_average(THREE, [1, 2, 3]) == pytest.approx((0.9 + 0.75 + (0.75 + 0.6 + 0.95) / 3) / 3)
    assert benchmark_transfer(THREE, [1, 2, 3]) == pytest.approx((-0.15 - 0.2) / 2)


def test_the_base_s_own_task_is_no_part_of_the_benchmarks_measures() -> None:
    table = np.column_stack([[0.9, 0.1, 0.2, 0.3], THREE])
    for measure in (mean_fine_tuned, mean_final, mean_average, benchmark_transfer):
        assert measure(table, [0, 1, 2, 3]) == measure(THREE, [1, 2, 3])


def test_the_benchmarks_measures_of_a_task_first_seen_late() -> None:
    table = np.array([[0.1, NAN], [0.9, NAN], [0.7, NAN], [0.8, 0.6]])
    assert mean_fine_tuned(table, [1, 3]) == pytest.approx(0.75)
    assert mean_final(table, [1, 3]) == pytest.approx(0.7)
    assert mean_average(table, [1, 3]) == pytest.approx((0.9 + 0.7 + 0.7) / 3)
    assert benchmark_transfer(table, [1, 3]) == pytest.approx(-0.1)


def test_a_failed_run_has_no_measure() -> None:
    table = np.full((4, 3), NAN)
    for measure in (mean_fine_tuned, mean_final, mean_average, benchmark_transfer):
        assert np.isnan(measure(table, [1, 2, 3]))
    assert np.isnan(intransigence(table, [1, 2, 3], np.ones(3)))
    one_stage = THREE.copy()
    one_stage[2] = NAN
    assert mean_average(one_stage, [1, 2, 3]) == pytest.approx((0.9 + (0.75 + 0.6 + 0.95) / 3) / 2)


def test_joint_training_learns_all_at_the_last_stage() -> None:
    table = np.array([[0.8, 0.1, 0.1], [NAN, NAN, NAN], [0.7, 0.9, 0.6]])
    assert mean_final(table, [0, 2, 2]) == mean_fine_tuned(table, [0, 2, 2]) == pytest.approx(0.75)
    assert mean_forgetting(table, [0, 2, 2]) == pytest.approx(0.1)
    assert np.isnan(benchmark_transfer(table, [0, 2, 2]))


def test_intransigence_by_hand() -> None:
    reference = np.array([0.95, 0.75, 1.0])
    assert intransigence(THREE, [1, 2, 3], reference) == pytest.approx((0.05 - 0.05 + 0.05) / 3)
    assert intransigence(ONE, [1], np.array([NAN])) != intransigence(ONE, [1], np.array([1.0]))
    with pytest.raises(ValueError, match="but 2 scores"):
        intransigence(THREE, [1, 2, 3], np.ones(2))


def test_learning_curve_area_by_hand() -> None:
    assert learning_curve_area([10, 20, 40], [0.2, 0.4, 0.8]) == pytest.approx((10 * 0.3 + 20 * 0.6) / 30)
    assert learning_curve_area([10, 20, 40], [0.2, NAN, 0.8]) == pytest.approx(0.5)
    assert np.isnan(learning_curve_area([10], [0.5])) and np.isnan(learning_curve_area([], []))
    with pytest.raises(ValueError, match="2 steps, but 1 scores"):
        learning_curve_area([1, 2], [0.5])


def chaudhry_forgetting(table: list[list[float]]) -> float:
    """Equations 2 and 3 of Chaudhry et al. 2018, as written there: tasks 1 to k, `table[l][j]` after task l + 1."""
    k = len(table)
    return sum(max(table[i][j] for i in range(j, k - 1)) - table[k - 1][j] for j in range(k - 1)) / (k - 1)


def gem_transfer(table: list[list[float]]) -> float:
    """BWT of Lopez-Paz & Ranzato 2017, as written there."""
    k = len(table)
    return sum(table[k - 1][j] - table[j][j] for j in range(k - 1)) / (k - 1)


@given(arrays(float, (5, 4), elements=st.integers(0, 16).map(lambda number: number / 16)))
def test_the_papers_own_sums_give_the_same(scores: np.ndarray) -> None:
    """Forgetting counts rows from a task's own on, ours from row 0: equal where nothing before is higher."""
    learned = [1, 2, 3, 4]
    assert benchmark_transfer(scores, learned) == pytest.approx(gem_transfer(scores[1:].tolist()))
    assert backward_transfer(scores, learned) == pytest.approx(gem_transfer(scores[1:].tolist()))
    rising = scores.copy()
    for j, stage in enumerate(learned):
        rising[:stage, j] = 0
    assert mean_forgetting(rising, learned) == pytest.approx(chaudhry_forgetting(scores[1:].tolist()))
    seen = [scores[i, :i].mean() for i in range(1, 5)]
    assert mean_average(scores, learned) == pytest.approx(np.mean(seen))
    assert mean_fine_tuned(scores, learned) == pytest.approx(np.trace(scores[1:]) / 4)


def test_curves_by_hand() -> None:
    learned = [0, 1, 2, 3]
    table = np.column_stack([[0.8, 0.7, 0.75, 0.6], THREE])
    assert forgetting_curve(table, learned).tolist() == pytest.approx(
        [0.0, 0.1, (0.05 + 0.2) / 2, (0.2 + 0.15 + 0.2) / 3]  # base; base and first; base, first and second
    )
    assert seen_curve(table, learned).tolist() == pytest.approx(
        [0.8, (0.7 + 0.9) / 2, (0.75 + 0.7 + 0.8) / 3, (0.6 + 0.75 + 0.6 + 0.95) / 4]
    )
    assert forgetting_curve(THREE, [1, 2, 3]).tolist() == pytest.approx([0.0, 0.0, 0.2, 0.175])
    assert np.isnan(seen_curve(THREE, [1, 2, 3])[0])  # nothing seen yet


def test_curves_end_where_the_measures_are() -> None:
    for table, learned in ((ONE, [1]), (TWO, [1, 2]), (THREE, [1, 2, 3]), (THREE, [0, 1, 2])):
        assert forgetting_curve(table, learned)[-1] == mean_forgetting(table, learned)
        assert seen_curve(table, learned)[-1] == accuracy(table)


def test_a_stage_that_was_not_measured_is_a_gap_in_the_curves() -> None:
    table = np.array([[0.8, 0.1, 0.1], [NAN, NAN, NAN], [0.7, 0.9, 0.6]])
    for learned in ([0, 1, 2], [0, 2, 2]):
        close(forgetting_curve(table, learned), [0.0, NAN, 0.1 if learned[1] == 2 else (0.1 + -0.8) / 2])
        close(seen_curve(table, learned), [0.8, NAN, (0.7 + 0.9 + 0.6) / 3])
