"""Scores of captions with boxes: whether the right things are named, and whether they are where the caption says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lynx_cl.data.example import Example
from lynx_cl.data.grammar import BoxGrammar
from lynx_cl.evaluation.detection import f1, items


def score(examples: Sequence[Example], answers: Sequence[str], grammar: BoxGrammar) -> dict[str, float]:
    """grounded_f1 (words and box right, over all things), caption_f1 (words alone, mean over pictures), parse_failure.

    Raises ValueError where there is nothing to score, or not one answer for each example."""
    if not examples or len(answers) != len(examples):
        raise ValueError(f"{len(answers)} answers against {len(examples)} examples")
    parsed = [items(grammar, text) for text in answers]
    found = [one or [] for one in parsed]
    true = [items(grammar, example.steps[-1].answer) or [] for example in examples]
    captions = []
    for one, other in zip(found, true, strict=True):
        said, held = (Counter(label for label, _ in both) for both in (one, other))
        captions.append(2 * (said & held).total() / max(1, said.total() + held.total()))
    return {
        "grounded_f1": f1(found, true),
        "caption_f1": sum(captions) / len(captions),
        "parse_failure": sum(one is None for one in parsed) / len(parsed),
    }
