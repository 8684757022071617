"""Box scores against pycocotools, and at their edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask

from lynx_cl.evaluation.grounding import AccuracyAtIoU, MeanIoU, box_iou, constant_box, grounding_scores

sides = st.floats(0.0, 1.0, width=32)


@st.composite
def boxes(draw: st.DrawFn) -> tuple[float, float, float, float]:
    x0, x1 = sorted((draw(sides), draw(sides)))
    y0, y1 = sorted((draw(sides), draw(sides)))
    return x0, y0, x1 + 0.01, y1 + 0.01


def xywh(box: tuple[float, ...]) -> list[float]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


@given(st.lists(st.tuples(boxes(), boxes()), min_size=1, max_size=8))
def test_iou_is_that_of_pycocotools(pairs: list) -> None:
    a, b = (torch.tensor([pair[i] for pair in pairs], dtype=torch.float64) for i in (0, 1))
    expected = [mask.iou([xywh(p)], [xywh(t)], [0])[0, 0] for p, t in pairs]
    assert np.allclose(box_iou(a, b).numpy(), expected, atol=1e-9)
    assert torch.equal(box_iou(a, b), box_iou(b, a))
    assert torch.allclose(box_iou(a, a), torch.ones(len(pairs), dtype=torch.float64))


@pytest.mark.parametrize(
    "box",
    [(0.3, 0.3, 0.3, 0.5), (0.5, 0.5, 0.2, 0.2), (0.5, 0.2, 0.2, 0.5), (0.7, 0.7, 0.9, 0.9), (0.5, 0.0, 0.6, 0.5)],
    ids=["no area", "inverted", "inverted in x", "apart", "touching"],
)
def test_boxes_that_share_nothing(box: tuple[float, ...]) -> None:
    true = torch.tensor([[0.1, 0.1, 0.5, 0.5]])
    assert box_iou(torch.tensor([box]), true).item() == 0.0
    assert box_iou(torch.tensor([box]), torch.tensor([box]) * 0).item() == 0.0


def test_metrics_gather_over_updates() -> None:
    true = torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 3)
    predicted = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.5], [0.0, 0.0, 1.0, 0.25]])
    accuracy, mean = AccuracyAtIoU(), MeanIoU()
    for start, stop in ((0, 1), (1, 3)):
        accuracy.update(predicted[start:stop], true[start:stop])
        mean.update(predicted[start:stop], true[start:stop])
    assert accuracy.compute().item() == pytest.approx(2 / 3)
    assert mean.compute().item() == pytest.approx(1.75 / 3)
    accuracy.reset()
    accuracy.update(predicted[2:], true[2:])
    assert accuracy.compute().item() == 0.0


def test_an_answer_without_a_box_is_a_miss() -> None:
    box = (0.1, 0.1, 0.5, 0.5)
    scores = grounding_scores([box, None, None, box], [box, box, box, (0.6, 0.6, 0.9, 0.9)])
    assert scores == pytest.approx({"acc_iou50": 0.25, "mean_iou": 0.25, "parse_failure": 0.5})


def test_scores_of_nothing_are_refused() -> None:
    for predicted in ([], [None]):
        with pytest.raises(ValueError):
            grounding_scores(predicted, [])
    with pytest.raises(ValueError):
        constant_box([])


def test_the_constant_box_is_the_median_one() -> None:
    train = [(0.0, 0.1, 0.4, 0.5), (0.1, 0.2, 0.5, 0.6), (0.8, 0.8, 0.9, 0.9)]
    assert constant_box(train) == (0.1, 0.2, 0.5, 0.6)
