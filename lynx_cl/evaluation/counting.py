"""Scores of answers that are a number: how often it is right, how far off it is, and how often there was none."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torchmetrics import MeanAbsoluteError

from lynx_cl.data.example import Example
from lynx_cl.data.grammar import BoxGrammar
from lynx_cl.data.words import read_number


def score(examples: Sequence[Example], answers: Sequence[str], grammar: BoxGrammar) -> dict[str, float]:
    """Scores of answers to counting questions; the truth is how many targets an example has."""
    return counting_scores(answers, [len(example.targets) for example in examples])


def counting_scores(answers: Sequence[str], true: Sequence[int]) -> dict[str, float]:
    """accuracy, accuracy_several (of those with a truth of two or more), mean_abs_error and parse_failure of answers.

    An answer without a number is wrong, and off by the whole truth. The second is left out where there is no such one.
    Raises ValueError where there is nothing to score, or not one truth for each answer.

    >>> scores = counting_scores(["two", "3", "none", "a dog"], [2, 2, 0, 1])
    >>> scores["accuracy"], scores["accuracy_several"], scores["mean_abs_error"], scores["parse_failure"]
    (0.5, 0.5, 0.5, 0.25)
    """
    if not true or len(answers) != len(true):
        raise ValueError(f"{len(answers)} answers against {len(true)} true numbers")
    numbers = [read_number(text) for text in answers]
    right = [float(number == truth) for number, truth in zip(numbers, true, strict=True)]
    several = [value for value, truth in zip(right, true, strict=True) if truth > 1]
    error = MeanAbsoluteError()
    error.update(torch.tensor([float(number or 0) for number in numbers]), torch.tensor([float(t) for t in true]))
    return {
        "accuracy": sum(right) / len(right),
        **({"accuracy_several": sum(several) / len(several)} if several else {}),
        "mean_abs_error": float(error.compute()),
        "parse_failure": sum(number is None for number in numbers) / len(numbers),
    }
