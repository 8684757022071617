"""A vision-language model that labels pictures by answering questions about them, by itself or with a bank."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lynx_cl.banks.attach import Attachment, attach
from lynx_cl.base.load import Base, load_base
from lynx_cl.base.places import base_of
from lynx_cl.base.spread import move
from lynx_cl.continual.outside import read_bank
from lynx_cl.continual.programme import Programme, boxes_in, names_in, says_yes, write_box
from lynx_cl.data.grammar import BoxGrammar, get_grammar
from lynx_cl.data.scouted.findings import Maker, Phrase, Seen, Shown, Thing
from lynx_cl.data.words import plural, singular
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.evaluation.generate import Request, answer
from lynx_cl.registry.canonical import canonical, sha256
from lynx_cl.registry.store import Registry
from lynx_cl.tasks import TaskCard

FIRST = 20  # pictures with a question for boxes, after which an annotator that never gave one is given up
MOST = 12  # names that are looked for in a picture, and things of a name that are described


@dataclass
class VlmLabeller:
    """A model at work: the base answers every question, but those for boxes `bank` does, where there is one.

    `called` says what a thing is called in a question for boxes. Raises LynxError, while it labels, where the first
    FIRST pictures that it was asked about got no box.
    """

    maker: Maker
    base: Base
    attachment: Attachment
    programme: Programme
    grammar: BoxGrammar
    names: Sequence[str]
    batch_size: int
    bank: str | None = None
    called: Callable[[str], str] = str
    asked: int = 0
    boxed: bool = False

    def size(self, name: str) -> None:
        """It looks for itself."""
        return None

    def label(self, pictures: Sequence[Shown], names: Sequence[Sequence[str]] | None) -> list[Seen]:
        named = [list(own) for own in names] if names is not None else self._what(pictures)
        pairs = [(i, name) for i, own in enumerate(named) for name in own[:MOST]]
        prompts = [self.programme.where.format(x=self.called(name)) for _, name in pairs]
        told = self._ask([(pictures[i], prompt) for (i, _), prompt in zip(pairs, prompts, strict=True)], self.bank)
        found: list[list[Thing]] = [[] for _ in pictures]
        for (i, name), prompt, text in zip(pairs, prompts, told, strict=True):
            boxes = boxes_in(text, self.programme.boxes, pictures[i].picture.size, self.grammar)
            found[i] += [Thing(name, box, 1.0, prompt) for box in dict.fromkeys(boxes)]
        self._check(len({i for i, _ in pairs}), any(found), prompts, told)
        if self.programme.describe and names is None:
            found = self._described(pictures, found)
        return [Seen(tuple(things)) for things in found]

    def _what(self, pictures: Sequence[Shown]) -> list[list[str]]:
        """What is in each picture: of the categories where there are some, else whatever the model names."""
        if not self.names:
            told = self._ask([(shown, self.programme.what) for shown in pictures], None)
            return [list(dict.fromkeys(singular(name) for name in names_in(text))) for text in told]
        pairs = [(i, name) for i in range(len(pictures)) for name in self.names]
        told = self._ask([(pictures[i], self.programme.present.format(x=name)) for i, name in pairs], None)
        there = [pair for pair, text in zip(pairs, told, strict=True) if says_yes(text)]
        return [[name for place, name in there if place == i] for i in range(len(pictures))]

    def _described(self, pictures: Sequence[Shown], found: list[list[Thing]]) -> list[list[Thing]]:
        """The things with words of the model's own, each with the box that it gives for them."""
        form, described = self.programme.boxes, [things[:MOST] for things in found]
        places = [(i, thing) for i, things in enumerate(described) for thing in things]
        asked = [
            (
                pictures[i],
                self.programme.describe.format(
                    x=thing.label, box=write_box(thing.box, form, pictures[i].picture.size, self.grammar)
                ),
            )
            for i, thing in places
        ]
        said = self._ask(asked, None)
        short = [text.strip().split("\n")[0].rstrip(".") for text in said]
        back = self._ask(
            [
                (pictures[i], self.programme.back.format(x=words.removeprefix("the ").removeprefix("The ")))
                for (i, _), words in zip(places, short, strict=True)
            ],
            self.bank,
        )
        made: list[list[Thing]] = [[] for _ in pictures]
        for (i, thing), words, text in zip(places, short, back, strict=True):
            boxes = boxes_in(text, form, pictures[i].picture.size, self.grammar)
            phrase = Phrase(words, boxes[0] if len(boxes) == 1 else None)
            made[i].append(Thing(thing.label, thing.box, thing.score, thing.prompt, (phrase,)))
        return [[*made[i], *things[MOST:]] for i, things in enumerate(found)]

    def _ask(self, asked: Sequence[tuple[Shown, str]], bank: str | None) -> list[str]:
        requests = [Request(text, shown.picture) for shown, text in asked]
        return answer(
            self.base,
            self.attachment,
            requests,
            [bank] * len(requests),
            max_new_tokens=self.programme.tokens,
            batch_size=self.batch_size,
        )

    def _check(self, pictures: int, boxed: bool, prompts: Sequence[str], told: Sequence[str]) -> None:
        self.asked, self.boxed = self.asked + pictures, self.boxed or boxed
        if self.asked >= FIRST and not self.boxed:
            said = " ".join(told[-1].split())[:80]
            raise LynxError(
                f"annotator {self.maker.annotator}: no box in its answers about the first {self.asked} pictures (asked "
                f"'{prompts[-1]}' it says '{said}'); say with --prompts how to ask it, and how it writes boxes"
            )


def open_vlm(place: str, programme: Programme, names: Sequence[str], batch_size: int) -> VlmLabeller:
    """A model as a labeller. Raises UsageError, LynxError for one that cannot be loaded or reads no pictures."""
    base = load_base(place)
    if not base.reads_pictures:
        raise UsageError(f"annotator 'vlm:{place}': reads text alone; give a vision-language model")
    grammar = get_grammar(base.card.grammar)
    settings = _settings(programme, names, grammar)
    _to_device(base)
    return VlmLabeller(
        Maker(base.name, "vlm", base.fingerprint, settings),
        base,
        attach(base.model, []),
        programme,
        grammar,
        sorted(names),
        batch_size,
    )


def open_bank(
    registry: Registry, task: str, programme: Programme, names: Sequence[str], batch_size: int
) -> VlmLabeller:
    """A bank as a labeller: its base says what is in a picture, the bank where, in its task's first phrasing.

    Raises UsageError for a task that boxes nothing by name, LynxError for a bank or base that cannot be read.
    """
    version = registry.task(task)
    card: Any = TaskCard(**version.manifest.card)
    called: dict[str, Callable[[str], str]] = {"grounding": lambda name: f"the {name}", "detection": plural}
    if card.kind not in called:
        raise UsageError(f"annotator 'bank:{task}': is of kind {card.kind}; give a task of kind {' or '.join(called)}")
    base = load_base(base_of(registry))
    _to_device(base)
    bank = read_bank(registry, version, base)
    attachment = attach(base.model, list(bank.taps))
    attachment.add(task, bank)
    programme = programme.model_copy(update={"where": card.prompts.train[0], "describe": "", "boxes": "grammar"})
    grammar = card.box_grammar(base.card.grammar)
    return VlmLabeller(
        Maker(
            f"{base.name}/{task}@{version.version}",
            "bank",
            sha256(canonical([base.fingerprint, version.bank])),
            _settings(programme, names, grammar),
        ),
        base,
        attachment,
        programme,
        grammar,
        sorted(names),
        batch_size,
        task,
        called[card.kind],
    )


def _settings(programme: Programme, names: Sequence[str], grammar: BoxGrammar) -> dict[str, Any]:
    return {"programme": programme.model_dump(mode="json"), "names": sorted(names), "grammar": grammar.name}


def _to_device(base: Base) -> None:
    if torch.cuda.is_available():
        move(base.model, torch.device("cuda"))
