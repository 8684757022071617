"""Average precision of boxes with confidences, by pycocotools. (TorchMetrics' class for it asks for torchvision.)"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lynx_cl.data.example import Box, to_pixels


@dataclass(frozen=True)
class Thing:
    """A thing as an answer has it: its label, its box as fractions of the picture, and a confidence in [0, 1]."""

    label: str
    box: Box
    confidence: float = 1.0


def coco_precision(
    found: Sequence[Sequence[Thing]], true: Sequence[Sequence[Thing]], sizes: Sequence[tuple[int, int]]
) -> dict[str, float]:
    """COCO's map (over IoU 0.5 to 0.95), map50, map75, and mar100, for things picture by picture.

    `sizes` are the pictures' (width, height) in pixels; the confidences of `true` do not matter. A picture's 100 most
    confident things of a label count, and only labels that occur in the truth; 0 where the truth is empty. Source:
    pycocotools, COCOeval with its own parameters (Lin et al. 2014).
    """
    labels = sorted({one.label for things in true for one in things})
    if not labels:
        return dict.fromkeys(("map", "map50", "map75", "mar100"), 0.0)
    numbers = {label: number for number, label in enumerate(labels, 1)}
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truth, answers = COCO(), COCO()
        truth.dataset = {
            "images": [{"id": number} for number in range(len(true))],
            "categories": [{"id": number} for number in numbers.values()],
            "annotations": _records(true, numbers, sizes),
        }
        answers.dataset = {**truth.dataset, "annotations": _records(found, numbers, sizes)}
        truth.createIndex()
        answers.createIndex()
        evaluation = COCOeval(truth, answers, "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0.0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # (IoU levels, recall levels, labels) at 100 things
    return {
        "map": _mean(precision),
        "map50": _mean(precision[0]),
        "map75": _mean(precision[5]),
        "mar100": _mean(evaluation.eval["recall"][:, :, 0, -1]),
    }


def _mean(values: Any) -> float:
    kept = values[values > -1]  # -1: no truth there to find
    return float(np.mean(kept)) if kept.size else 0.0


def _records(
    lists: Sequence[Sequence[Thing]], numbers: Mapping[str, int], sizes: Sequence[tuple[int, int]]
) -> list[dict[str, Any]]:
    """COCO annotations, in pixels, of the things whose label has a number."""
    made: list[dict[str, Any]] = []
    for number, (things, size) in enumerate(zip(lists, sizes, strict=True)):
        for one in things:
            if one.label not in numbers:
                continue
            x0, y0, x1, y1 = to_pixels(one.box, size)
            made.append(
                {
                    "id": len(made) + 1,
                    "image_id": number,
                    "category_id": numbers[one.label],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": 0,
                    "score": one.confidence,
                }
            )
    return made
