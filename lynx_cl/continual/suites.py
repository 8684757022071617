"""The standard evaluations of localisation: a registry as it is, on data that it need not have learned from."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lynx_cl.base.load import load_base
from lynx_cl.base.places import base_of
from lynx_cl.continual.suite_answers import Asker, asker
from lynx_cl.continual.suite_data import Boxed, boxed, expressions, grouped, phrases, said_of, words_for
from lynx_cl.errors import UsageError
from lynx_cl.evaluation.average_precision import Thing
from lynx_cl.evaluation.generate import Request
from lynx_cl.evaluation.localisation import PROTOCOLS, asked_for, counted, found_things, localisation_scores
from lynx_cl.evaluation.referring import referring_scores
from lynx_cl.registry.snapshot import BASE_TASK
from lynx_cl.registry.store import Registry
from lynx_cl.tasks import TaskCard, load_card

if TYPE_CHECKING:
    from lynx_cl.data.example import Picture
    from lynx_cl.home import Home

SUITES = {  # name: the kinds of task in whose phrasings it can ask, the usual one first
    "localisation": ("detection", "grounding"),
    "refexp": ("grounding",),
    "phrase": ("grounding",),
}


@dataclass(frozen=True)
class Suite:
    """What is asked, of whom.

    - `data`: the source; its test split is asked about, `pictures` of each split at most.
    - `task`: who answers, `base` for no bank; None leaves it to the router, with `changes` put over its settings.
    - `ask`: the card in whose test phrasings is asked; None: that of `task` if its kind can, else the kind's own.
    - `protocols`, `absent`: of localisation: which (None: all that the set has the names for), and how many categories
      that a picture lacks are asked for too (None: all).
    - `tokens`: the most that an answer may have.
    """

    name: str
    data: str
    pictures: int = 300
    task: str | None = None
    ask: str | None = None
    protocols: tuple[int, ...] | None = None
    absent: int | None = None
    batch_size: int = 32
    tokens: int = 512
    changes: Mapping[str, object] | None = None


def run_suite(
    suite: Suite, registry: Registry, base_name: str, home: Home | None, say: Callable[[str], None]
) -> dict[str, Any]:
    """The facts of a suite: what was asked of whom, and scores by protocol or split.

    Raises UsageError for a source, task, card or protocol that does not fit, before the base is loaded; LynxError for
    data, banks or a base that cannot be read.
    """
    if suite.task not in (None, BASE_TASK, *registry.tasks()):
        known = ", ".join((BASE_TASK, *registry.tasks()))
        raise UsageError(f"--task {suite.task}: not in the registry; known: {known}")
    card = _card(suite, registry, home)
    facts = {"suite": suite.name, "data": suite.data, "task": suite.task or "routed", "asked_as": card.name}
    if suite.name == "localisation":
        held = boxed(suite.data, card, suite.pictures)
        if 2 in (suite.protocols or PROTOCOLS) and held.ungrouped:
            held = grouped(held)
        with _asker(suite, registry, base_name) as ask:
            return {**facts, **_localisation(suite, card, held, ask, say)}
    splits = (expressions if suite.name == "refexp" else phrases)(suite.data, suite.pictures)
    with _asker(suite, registry, base_name) as ask:
        scores = {}
        for name, pictures in splits.items():
            say(f"{suite.name}: {name}, {len(pictures)} pictures")
            scores[name] = _referring(suite, card, pictures, ask)
        return {**facts, "splits": scores}


def _card(suite: Suite, registry: Registry, home: Home | None) -> TaskCard:
    kinds = SUITES[suite.name]
    if suite.ask is not None:
        card = load_card(suite.ask, home)
        if card.kind not in kinds:
            raise UsageError(
                f"--ask {suite.ask}: is of kind {card.kind}; the suite {suite.name} asks as {' or '.join(kinds)} does"
            )
        return card
    if suite.task not in (None, BASE_TASK):
        card = TaskCard(**registry.task(str(suite.task)).manifest.card)
        if card.kind in kinds:
            return card
    return load_card(kinds[0])


def _asker(suite: Suite, registry: Registry, base_name: str) -> Any:
    base = load_base(base_of(registry, base_name))
    return asker(registry, base, suite.task, suite.changes, suite.batch_size, suite.tokens)


def _localisation(suite: Suite, card: TaskCard, held: Boxed, ask: Asker, say: Callable[[str], None]) -> dict[str, Any]:
    absent = suite.absent if held.complete else 0
    scores = {}
    for protocol in suite.protocols or PROTOCOLS:
        say(f"localisation: protocol {protocol}, {len(held.pictures)} pictures")
        scores[str(protocol)] = _protocol(protocol, card, held, absent, ask)
    remarks = [*held.remarks]
    if not held.complete:
        remarks.append("not all things of its pictures are annotated: only categories that a picture holds count in it")
    return {
        "annotator": held.annotator,
        "pictures": len(held.pictures),
        "things": sum(map(len, held.things)),
        "categories": len(held.names),
        "absent": "all" if absent is None else absent,
        "remarks": remarks,
        "protocols": scores,
    }


def _protocol(protocol: int, card: TaskCard, held: Boxed, absent: int | None, ask: Asker) -> dict[str, Any]:
    """Asks the questions of a protocol and scores the answers."""

    def name(label: str) -> str:
        return held.general[label] if protocol == 2 else label

    true = [[Thing(name(target.label), target.box) for target in things] for things in held.things]
    names = sorted({*held.general.values()}) if protocol == 2 else held.names
    questions = [
        (place, asked)
        for place, picture in enumerate(held.pictures)
        for asked in asked_for(protocol, picture, names, {one.label for one in true[place]}, absent)
    ]
    found: list[list[Thing]] = [[] for _ in held.pictures]
    failed = 0
    before = ask.by.copy()
    requests = _requests(held.pictures, [(p, words_for(card.kind, protocol, asked)) for p, asked in questions], card)
    for (place, asked), told in zip(questions, ask.answers(requests), strict=True):
        things = found_things(told.said, told.grammar)
        failed += things is None
        found[place] += counted(protocol, asked, things or [], held.general)
    if not held.complete:
        kinds = [{one.label for one in things} for things in true]
        found = [[one for one in things if one.label in own] for things, own in zip(found, kinds, strict=True)]
    return {
        "questions": len(questions),
        **localisation_scores(found, true, [picture.size for picture in held.pictures]),
        "found": sum(map(len, found)),
        "parse_failure": failed / len(questions) if questions else 0.0,
        "answered_by": dict(sorted((ask.by - before).items())),
    }


def _referring(suite: Suite, card: TaskCard, pictures: Sequence[Picture], ask: Asker) -> dict[str, Any]:
    """Asks for each phrase once; phrases that are said several times of a thing count as often."""
    asked = [
        (place, target, count) for place, picture in enumerate(pictures) for target, count in said_of(picture).items()
    ]
    before = ask.by.copy()
    boxes = []
    for told in ask.answers(_requests(pictures, [(place, target.label) for place, target, _ in asked], card)):
        things = found_things(told.said, told.grammar)
        boxes.append(things[0].box if things else None)
    counts = [count for _, _, count in asked]
    scores = referring_scores(boxes, [target.box for _, target, _ in asked], counts)
    if suite.name == "phrase":
        scores = {"recall_1": scores.pop("acc_iou50"), **scores}
    return {
        "pictures": len(pictures),
        "expressions": sum(counts),
        **scores,
        "answered_by": dict(sorted((ask.by - before).items())),
    }


def _requests(pictures: Sequence[Picture], asked: Sequence[tuple[int, str]], card: TaskCard) -> Iterator[Request]:
    """The requests for what is asked of pictures by place; each picture is opened once, its questions being in a row.

    The phrasing, one of the card's test phrasings, hangs on the picture and the words alone.
    """
    last, image = -1, None
    for place, words in asked:
        picture = pictures[place]
        if place != last:
            last, image = place, picture.open()
        phrasing = random.Random(f"{picture.key}/{words}").choice(card.prompts.test)
        yield Request(phrasing.format(x=words), image)
