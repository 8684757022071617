"""A tiny base that has learned to ground and to count, in a real registry with a real router."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from lynx_cl.banks.base import Bank, bank_bytes, build_bank
from lynx_cl.base.load import Base
from lynx_cl.base.taps import find_taps
from lynx_cl.registry import Registry
from lynx_cl.router.embedders import Request, embedder_named
from lynx_cl.router.statistics import fit_task
from lynx_cl.tasks import load_card
from tests.banks.test_attach import disturbed
from tests.evaluation.test_generate import processor
from tests.families.tiny import tiny_base
from tests.registry.samples import manifest, record

THINGS = ("dog", "cat", "red car", "bird", "chair", "bottle", "green apple", "boat")
ASKED = {
    "base": ("Describe the {}.", "What colour is the {}?", "Is the {} large?"),
    "counting": ("How many {}s are there?", "Count the {}s.", "Give the number of {}s."),
    "grounding": ("Locate the {}.", "Draw a box around the {}.", "Where is the {}?"),
}
HARD = {"counting": ["Find the dogs."]}  # so that a router of few errors keeps two banks for BOTH, and one of many one
BOTH = "Count the dogs and locate the largest."


def learned_base() -> Base:
    """The tiny base, its processor included."""
    return replace(tiny_base(), processor=processor())


def bank_of(base: Base, task: str) -> Bank:
    """The bank of a task, as if trained."""
    seed = sorted(ASKED).index(task)
    return disturbed(build_bank("twin", find_taps(base.model), base.model, {}, seed), seed)


def learned_registry(
    path: Path,
    base: Base,
    *tasks: str,
    image: Image.Image | None = None,
    data: Mapping[str, Any] | None = None,
    **router: Any,
) -> Registry:
    """A registry of these tasks; `router` holds its router's settings. All is asked of `image`, if it is given; `data`
    is what some of their manifests say of the data."""
    embedder = embedder_named(router.get("embedder", "text"), base)

    def asked(name: str, things: Sequence[str], *more: str) -> list[Request]:
        return [Request(text, image) for text in (*(w.format(x) for w in ASKED[name] for x in things), *more)]

    statistics = {
        name: fit_task(
            name, asked(name, THINGS[::2]), embedder, asked(name, THINGS[1::2], *HARD.get(name, ()))
        ).to_bytes()
        for name in ("base", *tasks)
    }
    registry = Registry(path)
    registry.init(base.fingerprint, base.name, files={"router": statistics["base"]}, router=router)
    for task in tasks:
        bank = bank_of(base, task)
        card = load_card(task).model_dump(mode="json")
        more = {"data": data[task]} if data is not None else {}
        made = manifest(task, base=base.fingerprint, bank_config=bank.bank_config(), card=card, **more)
        registry.add(made, {"bank": bank_bytes(bank), "router": statistics[task]}, record())
    return registry
