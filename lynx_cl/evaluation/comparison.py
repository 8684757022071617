"""Scores of answers that say which of two things: how often they are right."""

from __future__ import annotations

from collections.abc import Sequence

from lynx_cl.data.example import Example
from lynx_cl.data.grammar import BoxGrammar
from lynx_cl.evaluation.text import accuracy_scores


def score(examples: Sequence[Example], answers: Sequence[str], grammar: BoxGrammar) -> dict[str, float]:
    """accuracy, and that of each type of question."""
    return accuracy_scores(examples, answers)
