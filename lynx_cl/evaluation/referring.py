"""Scores of one box for one expression: accuracy at IoU 0.5, and how it falls with the IoU that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from lynx_cl.data.example import Box
from lynx_cl.evaluation.grounding import NO_BOX, THRESHOLD, box_iou

LEVELS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))  # COCO's


def referring_scores(
    predicted: Sequence[Box | None], true: Sequence[Box], weights: Sequence[int] | None = None
) -> dict[str, Any]:
    """acc_iou50, mean_iou, `curve` ({level: accuracy at that IoU}) and parse_failure; None is an answer without a box,
    and a miss. `weights` say how often each expression counts, once if not given.

    An IoU that equals a level reaches it. Raises ValueError where there is nothing to score, or not one box for each.

    >>> scores = referring_scores([(0.0, 0.0, 0.5, 1.0), None], [(0.0, 0.0, 0.5, 0.5)] * 2)
    >>> scores["acc_iou50"], scores["curve"]["0.55"], scores["mean_iou"], scores["parse_failure"]
    (0.5, 0.0, 0.25, 0.5)
    """
    counts = torch.tensor(list(weights) if weights is not None else [1] * len(true), dtype=torch.float64)
    if not true or len(predicted) != len(true) or len(counts) != len(true):
        raise ValueError(f"{len(predicted)} predicted boxes and {len(counts)} weights against {len(true)} true boxes")
    boxes = torch.tensor([box or NO_BOX for box in predicted], dtype=torch.float64)
    iou = box_iou(boxes, torch.tensor(list(true), dtype=torch.float64))
    missed = torch.tensor([float(box is None) for box in predicted], dtype=torch.float64)

    def share(values: torch.Tensor) -> float:
        return float((values.double() * counts).sum() / counts.sum())

    return {
        "acc_iou50": share(iou >= THRESHOLD),
        "mean_iou": share(iou),
        "curve": {f"{level:.2f}": share(iou >= level) for level in LEVELS},
        "parse_failure": share(missed),
    }
