"""Scores of answers in words."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lynx_cl.data.example import Example


def normalise(text: str) -> str:
    """Lower case, single spaces, no article before and no punctuation after.

    >>> normalise("  The top  left. ")
    'top left'
    """
    words = re.sub(r"\s+", " ", text.lower()).strip(" .!?,;:")
    return re.sub(r"^(?:the|an|a) ", "", words)


def exact_match(answer: str, truth: str) -> bool:
    """Whether two answers are the same once normalised.

    >>> exact_match("Small.", "small"), exact_match("a cat", "a dog")
    (True, False)
    """
    return normalise(answer) == normalise(truth)


def prefix_match(answer: str, truth: str) -> bool:
    """Whether an answer, once normalised, begins with the whole words of the truth, whatever follows them.

    >>> prefix_match("Yes, on the left.", "yes"), prefix_match("yesterday", "yes"), prefix_match("I say yes", "yes")
    (True, False, False)
    """
    wanted = normalise(truth)
    return bool(wanted) and re.match(rf"{re.escape(wanted)}(?!\w)", normalise(answer)) is not None


def named(text: str, names: Sequence[str]) -> Counter[str]:
    """How often each of the names, in lower case, occurs as whole words; a longer name hides a shorter one in it.

    >>> sorted(named("A hot dog, a dog, dogs", ["dog", "hot dog"]).items())
    [('dog', 1), ('hot dog', 1)]
    """
    if not names:
        return Counter()
    pattern = "|".join(re.escape(name.lower()) for name in sorted(names, key=len, reverse=True))
    return Counter(re.findall(rf"(?<!\w)(?:{pattern})(?!\w)", text.lower()))


def object_f1(answer: str, truth: str, names: Sequence[str]) -> float:
    """F1 of the bag of names in an answer against that of the truth, in [0, 1]; 1 where neither holds one.

    >>> object_f1("a dog, a cat", "a dog, a bus", ["dog", "cat", "bus"])
    0.5
    """
    given, wanted = named(answer, names), named(truth, names)
    if not given and not wanted:
        return 1.0
    return 2 * (given & wanted).total() / (given.total() + wanted.total())


def mean_by_kind(kinds: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    """The mean value of each kind of question, kinds in alphabetical order; with 0 and 1, accuracy by question type.

    >>> mean_by_kind(["size", "count", "size"], [1, 1, 0])
    {'count': 1.0, 'size': 0.5}
    """
    by_kind: dict[str, list[float]] = defaultdict(list)
    for kind, value in zip(kinds, values, strict=True):
        by_kind[kind].append(float(value))
    return {kind: sum(own) / len(own) for kind, own in sorted(by_kind.items())}


def accuracy_scores(examples: Sequence[Example], answers: Sequence[str]) -> dict[str, float]:
    """accuracy of answers that must match whole, and accuracy_KIND of each type of question where there are several.

    Raises ValueError where there is nothing to score, or not one answer for each example."""
    if not examples or len(answers) != len(examples):
        raise ValueError(f"{len(answers)} answers against {len(examples)} examples")
    right = [float(exact_match(text, e.steps[-1].answer)) for text, e in zip(answers, examples, strict=True)]
    by_kind = mean_by_kind([example.kind for example in examples], right)
    parts = {f"accuracy_{kind}": value for kind, value in by_kind.items()} if len(by_kind) > 1 else {}
    return {"accuracy": sum(right) / len(right), **parts}
