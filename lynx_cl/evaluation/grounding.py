"""Scores of predicted boxes: accuracy at IoU 0.5, mean IoU, and how often there was no box to score."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from lynx_cl.data.example import Box, Example
from lynx_cl.data.grammar import BoxGrammar, GrammarError

THRESHOLD = 0.5
NO_BOX: Box = (0.0, 0.0, 0.0, 0.0)


def score(examples: Sequence[Example], answers: Sequence[str], grammar: BoxGrammar) -> dict[str, float]:
    """Scores of answers that are one box; an example's first target is the truth."""
    found = [parsed_box(grammar, text) for text in answers]
    return grounding_scores(found, [example.targets[0].box for example in examples])


def parsed_box(grammar: BoxGrammar, text: str) -> Box | None:
    """The one box of an answer; None where the text is no answer in the grammar."""
    try:
        return grammar.parse(text)[0][1]
    except GrammarError:
        return None


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes pair by pair: (n, 4) xyxy and (n, 4) xyxy -> (n,). A box of no area gives 0.

    >>> box_iou(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 0.0, 3.0, 2.0]])).item()
    0.3333333432674408
    """
    size = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)
    shared = size.prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - shared
    return torch.where(union > 0, shared / union, torch.zeros_like(union))


class MeanIoU(Metric):
    """Mean IoU of one predicted with one true box each, both (n, 4) xyxy.

    >>> metric = MeanIoU()
    >>> metric.update(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[0.0, 0.0, 2.0, 1.0]]))
    >>> metric.compute().item()
    0.5
    """

    higher_is_better = True
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, true: Tensor) -> None:
        self.total += self.value(box_iou(predicted, true)).double().sum()
        self.count += len(true)

    def value(self, iou: Tensor) -> Tensor:
        """What one pair counts, of its IoU."""
        return iou

    def compute(self) -> Tensor:
        return self.total / self.count


class AccuracyAtIoU(MeanIoU):
    """Share of pairs whose IoU reaches a threshold, 0.5 as in referring expression comprehension (Yu et al. 2016).

    >>> metric = AccuracyAtIoU()
    >>> metric.update(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[0.0, 0.0, 2.0, 1.0]]))
    >>> metric.compute().item()
    1.0
    """

    def __init__(self, threshold: float = THRESHOLD) -> None:
        super().__init__()
        self.threshold = threshold

    def value(self, iou: Tensor) -> Tensor:
        return (iou >= self.threshold).to(iou.dtype)


def grounding_scores(predicted: Sequence[Box | None], true: Sequence[Box]) -> dict[str, float]:
    """acc_iou50, mean_iou and parse_failure of answers, each in [0, 1]; None is an answer without a box, and a miss.

    Raises ValueError where there is nothing to score, or not one truth for each answer.

    >>> grounding_scores([(0.0, 0.0, 0.5, 1.0), None], [(0.0, 0.0, 0.5, 0.5)] * 2)
    {'acc_iou50': 0.5, 'mean_iou': 0.25, 'parse_failure': 0.5}
    """
    if not true or len(predicted) != len(true):
        raise ValueError(f"{len(predicted)} predicted boxes against {len(true)} true ones")
    boxes = torch.tensor([box or NO_BOX for box in predicted], dtype=torch.float64)
    truth = torch.tensor(list(true), dtype=torch.float64)
    scores = {}
    for name, metric in (("acc_iou50", AccuracyAtIoU()), ("mean_iou", MeanIoU())):
        metric.update(boxes, truth)
        scores[name] = float(metric.compute())
    return {**scores, "parse_failure": parse_failure_rate(predicted)}


def parse_failure_rate(predicted: Sequence[Box | None]) -> float:
    """Share of answers that held no box.

    >>> parse_failure_rate([None, (0.0, 0.0, 1.0, 1.0)])
    0.5
    """
    return sum(box is None for box in predicted) / len(predicted)


def constant_box(train: Sequence[Box]) -> Box:
    """A guess that never looks, for a baseline: the median of each side over training boxes.

    Raises ValueError where there are none.
    """
    if not train:
        raise ValueError("no boxes to take the median of")
    sides = torch.tensor(list(train), dtype=torch.float64).median(0).values.tolist()
    return sides[0], sides[1], sides[2], sides[3]
