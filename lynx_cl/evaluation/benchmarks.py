"""Scores of the sets that image understanding is measured by: each answer read by the set's published rule, strictly,
and normalised; then means by kind of question.

| rule | published | strict | normalised |
| --- | --- | --- | --- |
| vqav2 | the challenge's script | as one of ten people wrote it, min(1, n/3) | as forms.plain_words, min(1, n/3) |
| textvqa | the authors' evaluation | the same | the same |
| gqa | equal, once in lower case and without full stops at its end | equal | equal as plain_words |
| pope | no where the first sentence holds no or not, else yes | 'yes' or 'no' | its first plain word |
| scienceqa | see choices.py | see choices.py | see choices.py |

GQA's own script compares what it is given as it is; lower case and the full stops are what the evaluation of LLaVA-1.5
does to answers before. An answer that, normalised, says neither yes nor no (pope) or names no option (scienceqa) is
unread.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lynx_cl.data.asked_sets import Question
from lynx_cl.evaluation.choices import LETTERS, normalised_choice, published_choice, strict_choice
from lynx_cl.evaluation.forms import plain_words
from lynx_cl.evaluation.gqa import gqa_form, gqa_scores
from lynx_cl.evaluation.vqa import published_vqa_accuracy, textvqa_normalise, vqa_accuracy

_NEGATIVE = ("No", "not", "no")  # POPE's, letter case included


@dataclass(frozen=True)
class Reading:
    """How right an answer is by each rule, in [0, 1], and whether nothing could be read from it however it is taken."""

    published: float
    strict: float
    normalised: float
    unread: bool = False


Read = Callable[[Question, str], Reading]


def read_vqav2(question: Question, answer: str) -> Reading:
    given = question.references
    return Reading(published_vqa_accuracy(answer, given), *_people(answer, given))


def read_textvqa(question: Question, answer: str) -> Reading:
    given = question.references
    return Reading(vqa_accuracy(answer, given, textvqa_normalise), *_people(answer, given))


def read_gqa(question: Question, answer: str) -> Reading:
    """
    >>> read_gqa(Question("a", "a", (("Is it red?", "yes"),)), "Yes.")
    Reading(published=1.0, strict=0.0, normalised=1.0, unread=False)
    """
    truth = question.answer
    published = gqa_form(answer) == truth
    same = plain_words(answer) == plain_words(truth)
    return Reading(float(published), float(answer.strip() == truth), float(same))


def read_pope(question: Question, answer: str) -> Reading:
    """
    >>> read_pope(Question("a", "a", (("Is there a dog?", "no"),)), "It is not there, I see a cat.")
    Reading(published=1.0, strict=0.0, normalised=0.0, unread=True)
    """
    truth = question.answer
    word = (plain_words(answer).split() or [""])[0]
    said = {"yes": "yes", "none": "no"}.get(word)  # plain_words writes no as none
    return Reading(
        float(pope_says(answer) == truth), float(answer.strip() == truth), float(said == truth), said is None
    )


def pope_says(answer: str) -> str:
    """What POPE's script takes an answer for: 'no' where its first sentence holds a word of no, else 'yes'.

    >>> pope_says("No, there is not."), pope_says("Yes. No doubt"), pope_says(""), pope_says("NO")
    ('no', 'yes', 'yes', 'yes')
    """
    words = answer.partition(".")[0].replace(",", "").split(" ")
    return "no" if any(word in words for word in _NEGATIVE) else "yes"


def read_scienceqa(question: Question, answer: str) -> Reading:
    """
    >>> read_scienceqa(Question("a", "a", (("Which?", "B"),), options=("dog", "cat")), "(B) cat")
    Reading(published=0.0, strict=0.0, normalised=1.0, unread=False)
    """
    true = LETTERS.index(question.answer)
    published, strict, plain = (
        rule(answer, question.options) for rule in (published_choice, strict_choice, normalised_choice)
    )
    return Reading(float(published == true), float(strict == true), float(plain == true), plain is None)


RULES: Mapping[str, Read] = {
    "vqav2": read_vqav2,
    "textvqa": read_textvqa,
    "gqa": read_gqa,
    "pope": read_pope,
    "scienceqa": read_scienceqa,
}


def set_scores(
    rule: str, questions: Sequence[Question], answers: Sequence[str], readings: Sequence[Reading]
) -> dict[str, Any]:
    """The scores of a set: `accuracy` (published), `strict`, `normalised` and `unread`, means over its counted
    questions; of POPE those of `binary_scores`, of GQA those of `gqa_scores`.

    Raises ValueError where no question counts, or not one answer and reading for each.
    """
    counted = [one for question, one in zip(questions, readings, strict=True) if question.counted]
    if not counted or len(answers) != len(questions):
        raise ValueError(f"{len(counted)} questions that count, {len(answers)} answers to {len(questions)}")
    scores: dict[str, Any] = {
        "accuracy": _mean([one.published for one in counted]),
        "strict": _mean([one.strict for one in counted]),
        "normalised": _mean([one.normalised for one in counted]),
        "unread": _mean([float(one.unread) for one in counted]),
    }
    if rule == "pope":
        scores |= binary_scores([pope_says(one) for one in answers], [question.answer for question in questions])
    if rule == "gqa":
        scores |= gqa_scores(questions, [gqa_form(one) for one in answers])
    return scores


def binary_scores(said: Sequence[str], true: Sequence[str]) -> dict[str, float]:
    """precision, recall and F1 of 'yes', and how often it is said; 0 where there is nothing to divide by.

    >>> binary_scores(["yes", "yes", "no", "yes"], ["yes", "no", "yes", "yes"])
    {'precision': 0.6666666666666666, 'recall': 0.6666666666666666, 'f1': 0.6666666666666666, 'yes_ratio': 0.75}
    """
    both = sum(a == b == "yes" for a, b in zip(said, true, strict=True))
    given, there = said.count("yes"), true.count("yes")
    return {
        "precision": both / given if given else 0.0,
        "recall": both / there if there else 0.0,
        "f1": 2 * both / (given + there) if given + there else 0.0,
        "yes_ratio": given / len(said),
    }


def by_facet(questions: Sequence[Question], values: Sequence[float]) -> dict[str, dict[str, tuple[int, float]]]:
    """For each facet and kind in it how many counted questions there are, and the mean of their values."""
    groups: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for question, value in zip(questions, values, strict=True):
        for facet, kind in question.facets.items() if question.counted else ():
            groups[facet][kind].append(value)
    return {
        facet: {kind: (len(own), _mean(own)) for kind, own in sorted(kinds.items())} for facet, kinds in groups.items()
    }


def _people(answer: str, given: Sequence[str]) -> tuple[float, float]:
    return vqa_accuracy(answer, given, str.strip), vqa_accuracy(answer, given, plain_words)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
