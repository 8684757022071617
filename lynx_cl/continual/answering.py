"""One request from end to end: route it, answer it by its bank, read the boxes; as a whole, or clause by clause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lynx_cl.banks.attach import attach
from lynx_cl.base.load import load_base
from lynx_cl.base.places import base_of
from lynx_cl.continual.clauses import split_request
from lynx_cl.continual.outside import read_bank
from lynx_cl.continual.policy import handed_back, owner
from lynx_cl.data.example import to_pixels
from lynx_cl.data.grammar import GrammarError
from lynx_cl.evaluation.generate import Request, answer, answer_on_the_way
from lynx_cl.registry.snapshot import BASE_TASK
from lynx_cl.registry.store import Registry
from lynx_cl.router.embedders import Rows, Sight
from lynx_cl.router.router import Decision, Several
from lynx_cl.router.stored import load_router
from lynx_cl.tasks import TaskCard

if TYPE_CHECKING:
    from PIL import Image

    from lynx_cl.banks.attach import Owner
    from lynx_cl.base.load import Base
    from lynx_cl.registry.views import TaskVersion


@dataclass(frozen=True)
class FoundBox:
    """A box of an answer, (x0, y0, x1, y1) in pixels of the given picture; `label` None where the answer has none."""

    label: str | None
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Answer:
    """The answer's text, the task that gave it (`base` for the base itself), and the boxes in it.

    `candidates` are the banks that the router kept and how probable each is, the likeliest first; empty where the task
    was given or nothing known is near. A mix of them is told by its likeliest task. `task` is None and the text empty
    where several were kept and nobody was to answer.
    """

    text: str
    task: str | None
    boxes: tuple[FoundBox, ...]
    candidates: dict[str, float]


@dataclass(frozen=True)
class ClauseAnswer:
    """One clause of a request, `text`, and its answer; the rest as in `Answer`."""

    text: str
    task: str | None
    answer: str
    boxes: tuple[FoundBox, ...]
    candidates: dict[str, float]


@dataclass(frozen=True)
class PlanAnswer:
    """The answers to the clauses of a request, in their order."""

    parts: tuple[ClauseAnswer, ...]


def ask(
    registry: Registry,
    base_name: str,
    picture: Image.Image | None,
    prompt: str,
    task: str | None = None,
    changes: Mapping[str, object] | None = None,
) -> Answer:
    """Answers one request, of a picture or of none; `task` names the bank instead of the router, `base` for none.

    `changes` are put over the router's settings. Raises LynxError for a registry or base that cannot be read,
    UsageError for an unknown task and for a setting that is wrong.
    """
    base = _base(registry, base_name)
    request = Request(prompt, picture)
    if task is None:
        return _routed(registry, base, [request], changes)[0]
    known = [task] if task != BASE_TASK else []
    return _answers(registry, base, [request], [Decision(task, False, {task: 1.0}, ())], "top", known)[0]


def ask_plan(
    registry: Registry,
    base_name: str,
    picture: Image.Image | None,
    prompt: str,
    changes: Mapping[str, object] | None = None,
) -> PlanAnswer:
    """Answers a request clause by clause, each routed by itself; raises as `ask`."""
    base = _base(registry, base_name)
    clauses = [Request(text, picture) for text in split_request(prompt)]
    answers = _routed(registry, base, clauses, changes)
    return PlanAnswer(
        tuple(
            ClauseAnswer(clause.text, told.task, told.text, told.boxes, told.candidates)
            for clause, told in zip(clauses, answers, strict=True)
        )
    )


def _base(registry: Registry, base_name: str) -> Base:
    return load_base(base_of(registry, base_name))


def _routed(
    registry: Registry, base: Base, requests: Sequence[Request], changes: Mapping[str, object] | None
) -> list[Answer]:
    router = load_router(registry, base.path, base, changes)
    several, tasks = router.config.several, registry.tasks()
    sight = router.embedder if isinstance(router.embedder, Sight) and router.tasks else None
    if sight is None or not all(map(sight.whole, requests)):
        return _answers(registry, base, requests, router.decide(requests), several, tasks)
    banks = _Banks(registry, base)
    decisions: dict[int, Decision] = {}

    def route(places: Sequence[int], rows: Rows) -> list[Owner]:
        chosen = router.decide_rows(rows)
        decisions.update(zip(places, chosen, strict=True))
        owners = [owner(decision, several, tasks) for decision in chosen]
        banks.load(owners)
        return owners

    with banks.attachment:
        texts = answer_on_the_way(base, banks.attachment, requests, sight, route)
    return [
        banks.answer(request, decisions[i], several, tasks, text)
        for i, (request, text) in enumerate(zip(requests, texts, strict=True))
    ]


def _answers(
    registry: Registry,
    base: Base,
    requests: Sequence[Request],
    decisions: Sequence[Decision],
    several: Several,
    tasks: Sequence[str],
) -> list[Answer]:
    """Answers as decided, by the banks of `tasks`."""
    owners = [owner(decision, several, tasks) for decision in decisions]
    told = [i for i, decision in enumerate(decisions) if not handed_back(decision, several)]
    banks = _Banks(registry, base)
    with banks.attachment:
        banks.load([owners[i] for i in told])
        texts = answer(base, banks.attachment, [requests[i] for i in told], [owners[i] for i in told])
    said = dict(zip(told, texts, strict=True))
    return [
        banks.answer(request, decision, several, tasks, said.get(i, ""))
        for i, (request, decision) in enumerate(zip(requests, decisions, strict=True))
    ]


class _Banks:
    """The banks that have a part in an answer; only those are read."""

    def __init__(self, registry: Registry, base: Base) -> None:
        self.registry, self.base = registry, base
        self.attachment = attach(base.model, [])
        self.versions: dict[str, TaskVersion] = {}

    def load(self, owners: Sequence[Owner]) -> None:
        """Reads and attaches what is not yet there. Raises LynxError for a bank that cannot be read."""
        for name in sorted({name for one in owners for name in _banks(one)} - set(self.versions)):
            version = self.registry.task(name)
            with torch.inference_mode(False):  # a bank outlives the forward on whose way it is read
                bank = read_bank(self.registry, version, self.base)
            self.attachment.add(name, bank)
            self.versions[name] = version

    def answer(self, request: Request, decision: Decision, several: Several, tasks: Sequence[str], text: str) -> Answer:
        """What is told of a request that was decided so and answered by `text`."""
        candidates = {name: decision.probabilities[name] for name in decision.candidates}
        if handed_back(decision, several):
            return Answer("", None, (), candidates)
        first = next(iter(_banks(owner(decision, several, tasks))), None)
        boxes = _boxes(text, request, self.versions[first], self.base) if first is not None else ()
        return Answer(text, decision.task, boxes, candidates)


def _banks(answerer: Owner) -> list[str]:
    """The banks that have a part in an answer, that of the greatest share first."""
    if answerer is None or isinstance(answerer, str):
        return [answerer] if answerer is not None else []
    return list(answerer)


def _boxes(text: str, request: Request, version: TaskVersion, base: Base) -> tuple[FoundBox, ...]:
    if request.image is None:
        return ()
    card = TaskCard(**version.manifest.card)
    try:
        found = card.box_grammar(base.card.grammar).parse(text)
    except GrammarError:
        return ()
    return tuple(FoundBox(label, to_pixels(box, request.image.size)) for label, box in found)
