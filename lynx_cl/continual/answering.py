"""One request from end to end: route it, answer it by its bank, read the boxes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lynx_cl.banks.attach import attach
from lynx_cl.banks.base import load_bank
from lynx_cl.base.card import find_base
from lynx_cl.base.load import load_base
from lynx_cl.data.example import to_pixels
from lynx_cl.data.grammar import GrammarError
from lynx_cl.evaluation.generate import Request, answer
from lynx_cl.registry.snapshot import BASE_TASK
from lynx_cl.registry.store import Registry
from lynx_cl.router.stored import load_router
from lynx_cl.tasks import TaskCard

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class FoundBox:
    """A box of an answer, (x0, y0, x1, y1) in pixels of the given picture; `label` None where the answer has none."""

    label: str | None
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Answer:
    """The answer's text, the task that gave it (`base` for the base itself), and the boxes in it."""

    text: str
    task: str
    boxes: tuple[FoundBox, ...]


def ask(registry: Registry, base_name: str, picture: Image.Image, prompt: str, task: str | None = None) -> Answer:
    """Answers one request; `task` names the bank instead of the router, `base` for none.

    Raises LynxError for a registry or base that cannot be read, UsageError for an unknown task.
    """
    name = registry.head().base.name if registry.exists() else base_name
    base = load_base(name)
    request = Request(prompt, picture)
    if task is None:
        place = find_base(name)
        router = load_router(registry, place if isinstance(place, Path) else None, base)
        task = router.decide([request])[0].task
    if task == BASE_TASK:
        return Answer(answer(base, None, [request], [None])[0], task, ())
    version = registry.task(task)
    bank = load_bank(version.manifest, registry.read(version.bank), base)
    with attach(base.model, bank.taps) as attachment:
        attachment.add(task, bank)
        text = answer(base, attachment, [request], [task])[0]
    card = TaskCard(**version.manifest.card)
    try:
        found = card.box_grammar(base.card.grammar).parse(text)
    except GrammarError:
        found = []
    boxes = tuple(FoundBox(label, to_pixels(box, picture.size)) for label, box in found)
    return Answer(text, task, boxes)
