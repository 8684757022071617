"""How each kind of task is scored, and the tasks that a registry's tests are made of."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from itertools import islice

from lynx_cl.continual.measure import Scores, TaskUnderTest
from lynx_cl.data.example import Example
from lynx_cl.data.grammar import BoxGrammar
from lynx_cl.data.scenes.categories import COCO
from lynx_cl.data.scenes.scene import SIZES
from lynx_cl.data.sources import DataSource, Groups
from lynx_cl.data.understanding import understanding
from lynx_cl.evaluation.forms import Forms, box_forms, plain_words, word_forms
from lynx_cl.evaluation.text import exact_match, mean_by_kind, object_f1, prefix_match
from lynx_cl.registry.snapshot import BASE_TASK
from lynx_cl.tasks import KINDS, TaskCard

UNDERSTANDING_METRIC = "score"


def task_test(card: TaskCard, source: DataSource, grammar: BoxGrammar, count: int) -> TaskUnderTest:
    """The first `count` test examples of a task, taken over its pictures evenly, and its kind's scores."""

    kind = KINDS[card.kind]
    scoring = importlib.import_module(f"lynx_cl.evaluation.{card.kind.replace('-', '_')}")

    def score(examples: Sequence[Example], answers: Sequence[str]) -> Scores:
        return scoring.score(examples, answers, grammar)

    def forms(example: Example, text: str, right: bool) -> Forms:
        truth = example.steps[-1].answer
        return box_forms(text, truth, grammar) if kind.boxes else word_forms(text, truth, right)

    groups = source.groups("test")
    chosen = [example for turn in _turns(groups, count) for example in turn]
    return TaskUnderTest(card.name, chosen[:count], score, card.metric, kind.tokens, forms)


def _turns(groups: Groups, count: int) -> Iterator[list[Example]]:
    """First examples of every group, then second ones, and so on, until there are `count`."""
    depth, given = 0, 0
    while given < count:
        turn = [group[depth] for group in islice(iter(groups), count) if len(group) > depth]
        if not turn:
            return
        yield turn
        depth, given = depth + 1, given + len(turn)


def understanding_test(count: int, seed: int = 0) -> TaskUnderTest:
    """The base's own questions on held-out scenes; `score` is the mean over kinds of question."""
    return TaskUnderTest(
        BASE_TASK,
        understanding("test", count, seed),
        understanding_scores,
        UNDERSTANDING_METRIC,
        forms=understanding_forms,
    )


def understanding_scores(examples: Sequence[Example], answers: Sequence[str]) -> Scores:
    """Share of right answers by kind of question, F1 of named objects for captions, and their mean as `score`.

    A yes or no is right by itself, whatever follows the comma; every other answer must match whole.
    """
    names = [category.name for category in COCO]
    values = []
    for example, text in zip(examples, answers, strict=True):
        truth = example.steps[-1].answer
        if example.kind == "caption":
            values.append(object_f1(text, truth, names))
        elif example.kind == "presence":
            values.append(float(prefix_match(text, truth.partition(",")[0])))
        else:
            values.append(float(exact_match(text, truth)))
    scores = mean_by_kind([example.kind for example in examples], values)
    return {UNDERSTANDING_METRIC: sum(scores.values()) / len(scores), **scores}


def understanding_forms(example: Example, text: str, right: bool) -> Forms:
    """The two readings of an answer to one of the base's own questions.

    Strictly, a caption counts where it says 'a SIZE NAME', and a yes or no where it stands as such before the comma.
    """
    truth = example.steps[-1].answer
    if example.kind == "caption":
        names = {category.name for category in COCO}
        parts = [part.removeprefix("a ").partition(" ") for part in text.split(", ")]
        kept = [f"a {size} {name}" for size, _, name in parts if size in SIZES and name in names]
        return Forms(", ".join(kept), text)
    if example.kind == "presence":
        first = truth.partition(",")[0]
        wrong = right and text.partition(",")[0].strip() != first
        words = plain_words(text).split()
        return Forms("" if wrong else text, first if words[:1] == plain_words(first).split() else text)
    return word_forms(text, truth, right)
