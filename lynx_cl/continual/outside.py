"""Banks outside the base: what they must know of a task, and where the detectors of a registry lie."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lynx_cl.base.places import detector_place, place_of
from lynx_cl.errors import UsageError
from lynx_cl.home import shipped

if TYPE_CHECKING:
    from lynx_cl.banks.base import Bank
    from lynx_cl.base.load import Base
    from lynx_cl.registry.store import Registry
    from lynx_cl.registry.views import TaskVersion
    from lynx_cl.tasks import TaskCard

KIND = "external"
DETECTORS = "detectors"  # in a home: folders of detectors by name


def bank_settings(kind: str, values: Mapping[str, Any], card: TaskCard, base_grammar: str) -> dict[str, Any]:
    """A bank's settings for a task: an external one is told how the task asks, and how it writes boxes.

    Raises UsageError for an external bank without a detector, and for a task that a detector cannot answer.
    """
    if kind != KIND:
        return dict(values)
    if card.kind != "grounding":
        raise UsageError(
            f"task '{card.name}' is of kind {card.kind}; an external bank boxes the one thing asked for, which is "
            "what tasks of kind grounding ask"
        )
    if not isinstance(values.get("model"), str):
        raise UsageError("bank external: names no detector; give bank.external.model=FOLDER, or a hub name")
    detector_place(values["model"])
    return {**values, "grammar": card.box_grammar(base_grammar).name, "phrasings": list(card.prompts.train)}


def detector_name(values: Mapping[str, Any]) -> str:
    """What a detector is called in manifests, less the owner that a hub name begins with."""
    return Path(str(values.get("model", ""))).name


def read_bank(registry: Registry, version: TaskVersion, base: Base) -> Bank:
    """The bank of a task version, every byte checked; an external one knows where its detector may lie.

    Raises LynxError for a bank of another base.
    """
    from lynx_cl.banks.base import load_bank
    from lynx_cl.banks.external import ExternalBank

    bank = load_bank(version.manifest, registry.read(version.bank), base)
    if isinstance(bank, ExternalBank):
        known = place_of(registry, bank.config.digest)
        home = registry.path.parent / DETECTORS / Path(bank.config.model).name
        name = bank.config.model
        elsewhere = [name] if "/" in name or (shipped("registry") / DETECTORS / name).is_dir() else []
        bank.places = (*([known] if known is not None else []), home, *elsewhere)
    return bank
