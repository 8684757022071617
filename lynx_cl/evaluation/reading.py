"""Scores of answers that say what is written: how often they are right, and how many letters are wrong."""

from __future__ import annotations

from collections.abc import Sequence

from torchmetrics.text import CharErrorRate

from lynx_cl.data.example import Example
from lynx_cl.data.grammar import BoxGrammar
from lynx_cl.evaluation.text import accuracy_scores, normalise


def score(examples: Sequence[Example], answers: Sequence[str], grammar: BoxGrammar) -> dict[str, float]:
    """accuracy (of words and numbers too) and character_error_rate, letter case aside."""
    scores = accuracy_scores(examples, answers)
    errors = CharErrorRate()
    errors.update([normalise(text) for text in answers], [normalise(e.steps[-1].answer) for e in examples])
    return {**scores, "character_error_rate": float(errors.compute())}
