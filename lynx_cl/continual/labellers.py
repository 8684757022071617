"""Who labels pictures for SCouT, as a user names them: given boxes, a detector, a vision-language model, a bank."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lynx_cl.data.scouted.categories import read_categories
from lynx_cl.data.scouted.findings import Labeller
from lynx_cl.data.scouted.given import given_boxes
from lynx_cl.errors import UsageError
from lynx_cl.home import Home

SCORE = 0.3  # least score of a detector's box


@dataclass(frozen=True)
class Wanted:
    """Who is to label, and what each of them needs, as the command line has it."""

    annotator: str
    second: str | None = None
    boxes: str | None = None
    categories: str | None = None
    score: float | None = None
    prompts: Path | None = None
    batch_size: int = 8


@dataclass(frozen=True)
class Given:
    """What a labeller is opened with; `asked` says that another one says what to look for."""

    wanted: Wanted
    categories: Mapping[str, str]
    home: Home
    asked: bool = False


def _oracle(place: str, given: Given) -> Labeller:
    if place:
        raise UsageError(f"annotator 'oracle:{place}': give 'oracle', and its boxes with --boxes")
    return given_boxes(given.wanted.boxes, given.categories)


def _detector(place: str, given: Given) -> Labeller:
    if not given.categories and not given.asked:
        raise UsageError(
            f"annotator 'detector:{place}': a detector looks for what it is told: give --categories dog,cat or a file"
        )
    from lynx_cl.base.places import detector_place

    detector_place(place)  # a wrong name is told before anything heavy is imported
    from lynx_cl.banks.detector import DetectorLabeller

    score = SCORE if given.wanted.score is None else given.wanted.score
    return DetectorLabeller(place, list(given.categories.values()), score)


def _vlm(place: str, given: Given) -> Labeller:
    from lynx_cl.base.card import find_base
    from lynx_cl.continual.programme import read_programme

    find_base(place)
    programme = read_programme(given.wanted.prompts)
    from lynx_cl.continual.asking import open_vlm

    return open_vlm(place, programme, list(given.categories.values()), given.wanted.batch_size)


def _bank(place: str, given: Given) -> Labeller:
    from lynx_cl.continual.programme import read_programme
    from lynx_cl.registry.store import Registry

    registry = Registry(given.home.registry)
    if place not in registry.tasks():
        raise UsageError(f"annotator 'bank:{place}': no such task in {registry.path}; see 'lynx-cl registry list'")
    programme = read_programme(given.wanted.prompts)
    from lynx_cl.continual.asking import open_bank

    return open_bank(registry, place, programme, list(given.categories.values()), given.wanted.batch_size)


_OPEN: dict[str, tuple[str, Callable[[str, Given], Labeller]]] = {
    "oracle": ("", _oracle),
    "detector": ("FOLDER or hub name", _detector),
    "vlm": ("FOLDER or hub name", _vlm),
    "bank": ("TASK of the registry", _bank),
}


def open_labellers(wanted: Wanted, home: Home) -> tuple[Labeller, Labeller | None]:
    """The annotator, and the second one where there is one.

    Raises UsageError for a name that is unknown or lacks what it needs, and for options that nobody reads; LynxError
    for boxes or models that cannot be read.
    """
    named = [wanted.annotator, *([wanted.second] if wanted.second is not None else [])]
    kinds = [name.partition(":")[0] for name in named]
    for name, kind in zip(named, kinds, strict=True):
        place = name.partition(":")[2]
        if kind not in _OPEN or bool(place) != bool(_OPEN[kind][0]):
            forms = ", ".join(f"{one}:{what.split()[0]}" if what else one for one, (what, _) in _OPEN.items())
            raise UsageError(f"annotator '{name}' is unknown; known: {forms}")
    if len(set(named)) < len(named):
        raise UsageError(f"--second {wanted.second}: is the annotator itself, which agrees with whatever it said")
    for option, value, readers in (
        ("--boxes", wanted.boxes, ("oracle",)),
        ("--score", wanted.score, ("detector",)),
        ("--prompts", wanted.prompts, ("vlm", "bank")),
    ):
        if value is not None and not set(kinds) & set(readers):
            raise UsageError(f"{option} is for an annotator of kind {' or '.join(readers)}; leave it out")
    if wanted.score is not None and not 0 <= wanted.score < 1:
        raise UsageError(f"--score {wanted.score:g}: give a share from 0 to less than 1")
    categories = read_categories(wanted.categories) if wanted.categories is not None else {}
    given = Given(wanted, categories, home)
    opened = [
        _OPEN[kind][1](name.partition(":")[2], replace(given, asked=number > 0))
        for number, (name, kind) in enumerate(zip(named, kinds, strict=True))
    ]
    return opened[0], opened[1] if len(opened) > 1 else None
