"""What GQA's evaluation says beside accuracy: consistency, validity, plausibility, distribution.

Hudson and Manning 2019; https://cs.stanford.edu/people/dorarad/gqa/evaluate.html. The weights that a
model gives to places of the picture (its grounding score) are not asked for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from lynx_cl.data.asked_sets import Question


def gqa_form(answer: str) -> str:
    """An answer as it is compared: the evaluation of LLaVA-1.5 takes full stops at its end and upper case out first.

    >>> gqa_form("On the left.")
    'on the left'
    """
    return answer.strip().rstrip(".").lower()


def gqa_scores(questions: Sequence[Question], answers: Sequence[str]) -> dict[str, float]:
    """All that can be told of answers in the form of `gqa_form`; see the functions below."""
    right = [text == question.answer for question, text in zip(questions, answers, strict=True)]
    counted = [(question, text) for question, text in zip(questions, answers, strict=True) if question.counted]
    return {**consistency(questions, right), **sensible(counted), **distribution(counted)}


def consistency(questions: Sequence[Question], right: Sequence[bool]) -> dict[str, float]:
    """GQA's: over the questions answered right, the mean share of right answers to what follows from each.

    Only what was asked can be looked up; `consistency_over` is how many questions the mean is over. Empty where it is
    over none.
    """
    known = {question.number: one for question, one in zip(questions, right, strict=True)}
    shares = []
    for question in (question for question, one in zip(questions, right, strict=True) if one):
        follows = [
            float(known[number]) for number in (question.gqa.entailed if question.gqa else ()) if number in known
        ]
        if follows:
            shares.append(sum(follows) / len(follows))
    return {"consistency": sum(shares) / len(shares), "consistency_over": len(shares)} if shares else {}


def sensible(answered: Sequence[tuple[Question, str]]) -> dict[str, float]:
    """validity: how often an answer fits its question (a colour, asked for one); plausibility: how often it is one that
    occurs in the world. Empty where the choices of a question are not known."""
    known = [(one.gqa, text) for one, text in answered if one.gqa is not None]
    if not known or any(facts.valid is None or facts.plausible is None for facts, _ in known):
        return {}
    return {
        "validity": sum(text in (facts.valid or ()) for facts, text in known) / len(known),
        "plausibility": sum(text in (facts.plausible or ()) for facts, text in known) / len(known),
    }


def distribution(answered: Sequence[tuple[Question, str]]) -> dict[str, float]:
    """How far given answers are from true ones in how often each is given: chi square over the true answers of a group
    of questions, mean over groups by their size, in hundredths. Lower is better; empty where there are no groups."""
    true: dict[str, Counter[str]] = defaultdict(Counter)
    given: dict[str, Counter[str]] = defaultdict(Counter)
    for question, text in answered:
        if question.gqa is not None and question.gqa.group:
            true[question.gqa.group][question.answer] += 1
            given[question.gqa.group][text] += 1
    if not true:
        return {}
    total = sum(counts.total() for counts in true.values())
    squares = {
        group: sum((given[group][text] - count) ** 2 / count for text, count in counts.items())
        for group, counts in true.items()
    }
    return {"distribution": sum(squares[group] * counts.total() for group, counts in true.items()) / total / 100}
