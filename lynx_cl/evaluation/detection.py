"""Scores of answers that list things with their boxes: F1 at IoU 0.5, and mean average precision.

Answers carry no confidence, so that average precision is that of one point of the curve.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lynx_cl.data.example import Box, Example
from lynx_cl.data.grammar import BoxGrammar, GrammarError
from lynx_cl.data.kinds.detection import NONE
from lynx_cl.evaluation.average_precision import Thing, coco_precision
from lynx_cl.evaluation.grounding import THRESHOLD, box_iou
from lynx_cl.evaluation.text import normalise

Item = tuple[str, Box]


def score(examples: Sequence[Example], answers: Sequence[str], grammar: BoxGrammar) -> dict[str, float]:
    """f1, map50 and parse_failure of answers to detection questions; the truth is what each example's answer says."""
    found = [items(grammar, text) for text in answers]
    true = [items(grammar, example.steps[-1].answer) or [] for example in examples]
    return detection_scores(found, true)


def items(grammar: BoxGrammar, text: str) -> list[Item] | None:
    """The labels and boxes of an answer, empty for 'none'; None where it is no answer in the grammar."""
    if normalise(text) == NONE:
        return []
    try:
        return [(normalise(label or ""), box) for label, box in grammar.parse(text)]
    except GrammarError:
        return None


def detection_scores(found: Sequence[list[Item] | None], true: Sequence[list[Item]]) -> dict[str, float]:
    """f1 (over all things of all answers, label and box right), map50 (COCO's mean over labels) and parse_failure.

    An answer that does not parse found nothing. Raises ValueError where there is nothing to score, or not one answer
    for each truth.

    >>> box = (0.0, 0.0, 0.5, 0.5)
    >>> scores = detection_scores([[("dog", box)], None], [[("dog", box)], [("cat", box)]])
    >>> tuple(round(scores[name], 3) for name in ("f1", "map50", "parse_failure"))
    (0.667, 0.5, 0.5)
    """
    if not true or len(found) != len(true):
        raise ValueError(f"{len(found)} answers against {len(true)} true lists")
    given = [one or [] for one in found]
    return {
        "f1": f1(given, true),
        "map50": mean_average_precision(given, true),
        "parse_failure": sum(one is None for one in found) / len(found),
    }


def f1(found: Sequence[list[Item]], true: Sequence[list[Item]]) -> float:
    """2 x hits / (things found + things there), over all pictures; 1 where both are none."""
    hits = sum(matches(a, b) for a, b in zip(found, true, strict=True))
    total = sum(map(len, found)) + sum(map(len, true))
    return 2 * hits / total if total else 1.0


def matches(found: list[Item], true: list[Item]) -> int:
    """How many things were found: pairs of equal label, the best IoU first, each thing once, down to THRESHOLD."""
    return sum(iou >= THRESHOLD for iou in pair_ious(found, true))


def pair_ious(found: list[Item], true: list[Item]) -> list[float]:
    """The IoUs of pairs of equal label, the best first, each thing in one pair at most."""
    pairs = [(i, j) for i, a in enumerate(found) for j, b in enumerate(true) if a[0] == b[0]]
    if not pairs:
        return []
    first = torch.tensor([found[i][1] for i, _ in pairs], dtype=torch.float64)
    second = torch.tensor([true[j][1] for _, j in pairs], dtype=torch.float64)
    ranked = sorted(zip(box_iou(first, second).tolist(), pairs, strict=True), reverse=True)
    left, right = set(range(len(found))), set(range(len(true)))
    paired = []
    for iou, (i, j) in ranked:
        if i in left and j in right:
            left.remove(i)
            right.remove(j)
            paired.append(iou)
    return paired


def mean_average_precision(found: Sequence[list[Item]], true: Sequence[list[Item]]) -> float:
    """COCO's mAP at IoU 0.5 over the labels that occur in the truth, every confidence 1; 0 where the truth is empty."""
    first, second = ([[Thing(*item) for item in one] for one in lists] for lists in (found, true))
    return coco_precision(first, second, [(1, 1)] * len(true))["map50"]
