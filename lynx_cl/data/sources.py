"""Data sources by name: `open_source` turns 'scout' or 'voc:FOLDER' and a task card into lazy examples by split.

A new kind of source is an entry of SOURCES and a function that opens it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lynx_cl.data.example import SPLITS, Example
from lynx_cl.data.grammar import BoxGrammar
from lynx_cl.data.pictures import PictureSet, file_digests
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.registry.canonical import canonical, sha256
from lynx_cl.tasks import KINDS, TaskCard, load_card

Groups = Sequence[tuple[Example, ...]]


@dataclass(frozen=True)
class DataSource:
    """The examples of one task, made when they are asked for.

    `splits` holds for each of train, calibration and test a lazy sequence of groups; a group is the examples about one
    picture. `recipe` gives what the examples are a function of, file contents as digests.
    """

    name: str
    task: str
    annotator: str
    licence: str
    grammar: str
    splits: Mapping[str, Groups]
    recipe: Callable[[], Mapping[str, Any]]

    def groups(self, split: str) -> Groups:
        """The examples of a split, those about one picture together. Raises UsageError for an unknown split."""
        if split not in self.splits:
            raise UsageError(f"{self.name}: split '{split}' is unknown; known: {', '.join(self.splits)}")
        return self.splits[split]

    def examples(self, split: str) -> Iterator[Example]:
        """The examples of a split one by one, those about one picture in a row."""
        return (example for group in self.groups(split) for example in group)

    def digest(self) -> str:
        """Hexadecimal sha256 of the recipe: equal digests, equal examples. Reads every file of a source of files."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        return sha256(canonical(self.recipe()))

    def summary(self) -> dict[str, Any]:
        """The facts to show and to record: source, task, annotator, licence, grammar, pictures by split."""
        return {
            "source": self.name,
            "task": self.task,
            "annotator": self.annotator,
            "licence": self.licence,
            "grammar": self.grammar,
            "pictures": {split: len(groups) for split, groups in self.splits.items()},
        }


@dataclass(frozen=True)
class Wanted:
    """What a source is opened for: the card, how boxes are written, and which part of the data.

    `limit` is the most pictures of a split; scout and scenes, which have no end, give just as many for training.
    """

    card: TaskCard
    grammar: BoxGrammar
    seed: int = 0
    limit: int | None = None


def picture_source(
    pictures: PictureSet, wanted: Wanted, splits: Mapping[str, Groups], made: Mapping[str, Any]
) -> DataSource:
    """The source whose examples about a set of pictures are `splits`; they are a function of `made` besides the set,
    the card and the seed."""

    def recipe() -> dict[str, Any]:
        return {
            "source": pictures.name.partition(":")[0],
            "card": wanted.card.digest(),
            "seed": wanted.seed,
            "pictures": {split: len(groups) for split, groups in splits.items()},
            "files": file_digests(pictures),
            **made,
        }

    return DataSource(
        pictures.name, wanted.card.name, pictures.annotator, pictures.licence, wanted.grammar.name, splits, recipe
    )


@dataclass(frozen=True)
class SourceKind:
    """A kind of source. `card` names the task it is shown with where none is given; `folder` says whether its name goes
    on with a colon and a folder."""

    summary: str
    open: Callable[[Path, Wanted], DataSource]
    card: str = "grounding"
    folder: bool = True


def open_source(
    spec: str,
    card: TaskCard | None = None,
    *,
    seed: int = 0,
    limit: int | None = None,
    base_grammar: str = "keyed",
) -> DataSource:
    """Opens 'scout', 'scenes', 'voc:FOLDER', 'coco:FOLDER' or 'built:FOLDER' for a task (by default grounding).

    Raises UsageError for an unknown source or a wrong folder, LynxError naming file and record for data that is empty
    or broken: the annotations are all read here, the pictures of a large set only in part (see `pictures.CHECKED`).
    """
    name, colon, path = spec.partition(":")
    kind = SOURCES.get(name)
    known = ", ".join(f"{key}:FOLDER" if value.folder else key for key, value in SOURCES.items())
    if kind is None:
        close = difflib.get_close_matches(name, SOURCES, n=1)
        raise UsageError(
            f"data source '{spec}' is unknown; " + (f"did you mean {close[0]}?" if close else f"known: {known}")
        )
    if kind.folder != bool(path) or (colon and not path):
        raise UsageError(
            f"data source '{spec}': give it as {name}:FOLDER"
            if kind.folder
            else f"data source '{spec}': takes no folder; give it as {name}"
        )
    if limit is not None and limit < 1:
        raise UsageError(f"data source '{spec}': limit {limit} leaves no picture; give 1 or more")
    folder = Path(path).expanduser()
    if kind.folder and not folder.is_dir():
        raise UsageError(f"data source '{spec}': no folder {folder}")
    card = card or load_card(kind.card)
    source = kind.open(folder, Wanted(card, card.box_grammar(base_grammar), seed, limit))
    for split in SPLITS:
        if not len(source.splits.get(split, ())):
            raise LynxError(f"{source.name}: no example for task '{card.name}' in split '{split}'; add pictures to it")
    return source


def questions_about(pictures: PictureSet, wanted: Wanted) -> DataSource:
    """Annotated pictures asked about as the card's kind of task does."""
    return KINDS[wanted.card.kind].open(pictures, wanted)


def _scout(folder: Path, wanted: Wanted) -> DataSource:
    if wanted.card.kind != "grounding":
        raise UsageError(
            f"data source 'scout': teaches grounding; task '{wanted.card.name}' is of kind {wanted.card.kind}, "
            "for which scenes, voc:FOLDER and coco:FOLDER are made"
        )
    from lynx_cl.data.scout import scout_source

    return scout_source(wanted)


def _scenes(folder: Path, wanted: Wanted) -> DataSource:
    from lynx_cl.data.world import scene_set

    signs = KINDS[wanted.card.kind].signs
    return questions_about(scene_set(wanted.seed, wanted.limit, signs), wanted)


def _voc(folder: Path, wanted: Wanted) -> DataSource:
    from lynx_cl.data.voc import read_voc

    return questions_about(read_voc(folder), wanted)


def _coco(folder: Path, wanted: Wanted) -> DataSource:
    from lynx_cl.data.coco import read_coco

    return questions_about(read_coco(folder), wanted)


def _built(folder: Path, wanted: Wanted) -> DataSource:
    from lynx_cl.data.built import built_source

    return built_source(folder, wanted)


SOURCES: dict[str, SourceKind] = {
    "scout": SourceKind(
        "drawn scenes, grounded in steps: what is relevant, where it is, the answer", _scout, folder=False
    ),
    "scenes": SourceKind("drawn scenes with exact boxes, asked about as the task does", _scenes, folder=False),
    "voc": SourceKind("a Pascal VOC folder: Annotations, JPEGImages, ImageSets/Main", _voc),
    "coco": SourceKind("a COCO folder: annotations/instances_*.json and its pictures", _coco),
    "built": SourceKind("examples that 'lynx-cl data build' wrote", _built),
}
