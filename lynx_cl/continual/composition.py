"""What answers a composed request best: one bank, a mix of two in one forward, or a plan of two calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from lynx_cl.base.load import load_base
from lynx_cl.base.places import base_of
from lynx_cl.continual.compose import Decide, answer_plan
from lynx_cl.continual.learned import learned
from lynx_cl.data.composed import COUNTING, GROUNDING, ComposedExample
from lynx_cl.data.example import Box
from lynx_cl.data.grammar import BoxGrammar, get_grammar
from lynx_cl.data.words import read_number
from lynx_cl.errors import LynxError
from lynx_cl.evaluation.generate import Request, answer
from lynx_cl.evaluation.grounding import NO_BOX, THRESHOLD, box_iou
from lynx_cl.tasks import TaskCard

if TYPE_CHECKING:
    from lynx_cl.banks.attach import Attachment, Owner
    from lynx_cl.base.load import Base
    from lynx_cl.registry.store import Registry

OWN_NAMES = {GROUNDING: GROUNDING, COUNTING: COUNTING}  # a kind: the task of that name
#: Requests -> how probable each task is for each, as a router has it.
Weigh = Callable[[Sequence[Request]], Sequence[Mapping[str, float]]]


def read_composed(text: str, grammar: BoxGrammar) -> tuple[int | None, Box | None]:
    """The first number that an answer says outside its boxes, and its first box; None for what it lacks.

    >>> read_composed("left 0 top 33 right 66 bottom 99; two", get_grammar("keyed"))
    (2, (0.005, 0.335, 0.665, 0.995))
    """
    boxes, rest = grammar.find(text)
    return read_number(rest), boxes[0] if boxes else None


def composed_right(
    examples: Sequence[ComposedExample], answers: Sequence[str], grammar: BoxGrammar
) -> list[tuple[bool, bool]]:
    """Of each answer, whether its number is right, and whether its box has an IoU of 0.5 or more with the true one.

    Raises ValueError where there is nothing to score, or not one answer for each example.
    """
    if not examples or len(answers) != len(examples):
        raise ValueError(f"{len(answers)} answers to {len(examples)} composed requests")
    read = [read_composed(text, grammar) for text in answers]
    found = torch.tensor([box or NO_BOX for _, box in read], dtype=torch.float64)
    truth = torch.tensor([example.box for example in examples], dtype=torch.float64)
    hits = (box_iou(found, truth) >= THRESHOLD).tolist()
    return [(number == e.number, hit) for (number, _), e, hit in zip(read, examples, hits, strict=True)]


def composed_scores(right: Sequence[tuple[bool, bool]]) -> dict[str, float]:
    """The share of answers with the right number (`count`), the right box (`box`), and with both.

    >>> composed_scores([(True, True), (True, False)])
    {'count': 1.0, 'box': 0.5, 'both': 0.5}
    """
    parts = {
        "count": [count for count, _ in right],
        "box": [box for _, box in right],
        "both": [count and box for count, box in right],
    }
    return {name: sum(values) / len(values) for name, values in parts.items()}


def composition(
    base: Base,
    attachment: Attachment,
    examples: Sequence[ComposedExample],
    decide: Decide,
    *,
    weigh: Weigh | None = None,
    tasks: Mapping[str, str] = OWN_NAMES,
    batch_size: int = 64,
) -> dict[str, Any]:
    """Scores of every policy: `{policies, words, single, split, routed, examples}`.

    `tasks` names the task of each of the two kinds.

    `policies` are the two banks alone, `mix` (half of each), `mix_weighted` (where `weigh` is given: each attached bank
    by its probability for the whole request) and `plan`. `single` names the better bank, by `both`, then by the sum of
    count and box. `words` holds the scores by policy and word. `split` is the share of requests that are split into
    the true clauses, `routed` the share whose clauses reach the true tasks as well.
    Raises UsageError where one of the two banks is not attached, ValueError where there are no examples.
    """
    grammar = get_grammar(base.card.grammar)
    requests = [Request(example.text, example.image()) for example in examples]
    pair = (tasks[GROUNDING], tasks[COUNTING])
    owners: dict[str, list[Owner]] = {name: [name] * len(requests) for name in pair}
    owners["mix"] = [dict.fromkeys(pair, 0.5)] * len(requests)
    if weigh is not None:
        owners["mix_weighted"] = [
            {task: weight for task, weight in weights.items() if task in attachment.banks}
            for weights in weigh(requests)
        ]
    answers = {name: answer(base, attachment, requests, banks, batch_size=batch_size) for name, banks in owners.items()}
    plans = answer_plan(base, attachment, requests, decide, batch_size=batch_size)
    answers["plan"] = ["; ".join(part.answer for part in plan) for plan in plans]
    right = {name: composed_right(examples, texts, grammar) for name, texts in answers.items()}
    scores = {name: composed_scores(values) for name, values in right.items()}
    same = [tuple(part.text for part in plan) == e.clauses for plan, e in zip(plans, examples, strict=True)]
    true = [tuple(tasks[kind] for kind in example.tasks) for example in examples]
    sent = [tuple(part.task for part in plan) == names for plan, names in zip(plans, true, strict=True)]
    return {
        "policies": scores,
        "words": {name: _by_word(examples, values) for name, values in right.items()},
        "single": max(pair, key=lambda n: (scores[n]["both"], scores[n]["count"] + scores[n]["box"])),
        "split": sum(same) / len(same),
        "routed": sum(a and b for a, b in zip(same, sent, strict=True)) / len(same),
        "examples": len(examples),
    }


def run_composition(
    registry: Registry,
    examples: Sequence[ComposedExample],
    decide: Decide,
    batch_size: int = 64,
    weigh: Weigh | None = None,
    tasks: Mapping[str, str] = OWN_NAMES,
    base: Base | None = None,
) -> dict[str, Any]:
    """`composition` with the banks of a registry's head on its base, which is loaded where it is not given."""
    base = base or load_base(base_of(registry))
    with learned(registry, base).attached(base) as attachment:
        return composition(base, attachment, examples, decide, weigh=weigh, tasks=tasks, batch_size=batch_size)


def composing(registry: Registry) -> dict[str, str]:
    """The tasks of a registry that composed requests are answered with: of each kind, the one of that name, or else
    the first. Raises LynxError where there is none of a kind."""
    kinds: dict[str, list[str]] = {}
    for name in registry.tasks():
        card = TaskCard(**registry.task(name).manifest.card)
        kinds.setdefault(card.kind, []).append(name)
    lacking = [kind for kind in OWN_NAMES if kind not in kinds]
    if lacking:
        raise LynxError(
            f"evaluate --composed: {registry.path} has no task of kind {' and none of kind '.join(lacking)}; "
            "composed requests take one of each, see add-task"
        )
    return {kind: kind if kind in kinds[kind] else kinds[kind][0] for kind in OWN_NAMES}


def _by_word(examples: Sequence[ComposedExample], right: Sequence[tuple[bool, bool]]) -> dict[str, dict[str, float]]:
    words = sorted({example.word for example in examples})
    chosen = {w: [r for example, r in zip(examples, right, strict=True) if example.word == w] for w in words}
    return {word: composed_scores(values) for word, values in chosen.items()}
