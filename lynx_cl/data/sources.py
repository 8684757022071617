"""Data sources: `open_source` turns 'scout' or 'voc:FOLDER' and a task card into lazy examples by split.

What kinds of source there are stands in `lynx_cl/data/readers.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from lynx_cl.data.annotators import OPTIONS, Labels, Relabelled, labels_told
from lynx_cl.data.example import SPLITS, Example
from lynx_cl.data.grammar import BoxGrammar
from lynx_cl.data.pictures import DIGESTED, PictureSet, file_digests
from lynx_cl.data.specs import Spec
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.registry.canonical import canonical, sha256
from lynx_cl.tasks import KINDS, TaskCard, load_card

Groups = Sequence[tuple[Example, ...]]


@dataclass(frozen=True)
class DataSource:
    """The examples of one task, made when they are asked for.

    `splits` holds for each of train, calibration and test a lazy sequence of groups; a group is the examples about one
    picture. `recipe` gives what the examples are a function of, file contents as digests. `remarks` says, a line each,
    what a user should know of the data before it is learned from; `problems` goes through all of it and tells, a line
    each, what is broken, where the source is of that kind. `confirmed_by` are further annotators without whose consent
    nothing was kept; where another made the test split's labels, of the others alone.
    """

    name: str
    task: str
    annotator: str
    licence: str
    grammar: str
    splits: Mapping[str, Groups]
    recipe: Callable[[], Mapping[str, Any]]
    remarks: Callable[[], Sequence[str]] = tuple
    problems: Callable[[], Iterator[str]] | None = None
    test_annotator: str = ""
    confirmed_by: tuple[str, ...] = ()

    @property
    def labels(self) -> Labels:
        """Whose labels are learned from and tested on."""
        return labels_told(self.task, self._annotators())

    def _annotators(self) -> dict[str, Any]:
        """Those facts of the summary that need no counting of records, which a large file takes minutes for."""
        return {
            "annotator": self.annotator,
            **({"test_annotator": self.test_annotator} if self.test_annotator else {}),
            **({"confirmed_by": list(self.confirmed_by)} if self.confirmed_by else {}),
        }

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
            **self._annotators(),
            "licence": self.licence,
            "grammar": self.grammar,
            "pictures": {split: len(groups) for split, groups in self.splits.items()},
        }


@dataclass(frozen=True)
class Wanted:
    """What a source is opened for: the card, how boxes are written, and which part of the data.

    `limit` is the most pictures of a split; scout and scenes, which have no end, give just as many for training.
    `spec` is the source as it was named.
    """

    card: TaskCard
    grammar: BoxGrammar
    seed: int = 0
    limit: int | None = None
    spec: Spec = Spec("", "")


CROWDS = 1  # one more whenever crowds are asked about otherwise


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
            **({"crowds": CROWDS} if pictures.crowded else {}),
            **pictures.facts,
            **made,
        }

    def remarks() -> Sequence[str]:
        if sum(map(len, pictures.splits.values())) <= DIGESTED:
            return pictures.remarks
        return (
            *pictures.remarks,
            f"more than {DIGESTED} pictures: the digest covers annotations, not the pictures' bytes",
        )

    return DataSource(
        pictures.name,
        wanted.card.name,
        pictures.annotator,
        pictures.licence,
        wanted.grammar.name,
        splits,
        recipe,
        remarks,
    )


def questions_about(pictures: PictureSet, wanted: Wanted) -> DataSource:
    """Annotated pictures asked about as the card's kind of task does."""
    return KINDS[wanted.card.kind].open(pictures, wanted)


def open_source(
    spec: str,
    card: TaskCard | None = None,
    *,
    seed: int = 0,
    limit: int | None = None,
    base_grammar: str = "keyed",
) -> DataSource:
    """Opens 'scout', 'voc:FOLDER', 'llava:FILE?images=FOLDER', ... for a task (by default the one it is shown with).

    Raises UsageError for an unknown source, a wrong place or option; LynxError naming file and record for data that is
    empty or broken. The annotations of pictures are all read here, the pictures of a large set only in part (see
    `pictures.CHECKED`); files of questions are read as far as the first of each split.
    """
    from lynx_cl.data.readers import find_reader

    reader, parsed = find_reader(spec)
    if limit is not None and limit < 1:
        raise UsageError(f"data source '{spec}': limit {limit} leaves no picture; give 1 or more")
    card = card or load_card(reader.card)
    wanted = Wanted(card, card.box_grammar(base_grammar), seed, limit, parsed)
    if reader.pictures is not None:
        source = questions_about(reader.pictures(parsed, wanted), wanted)
    else:
        assert reader.open is not None, f"{reader}: neither pictures nor examples"
        source = reader.open(parsed, wanted)
    for split in SPLITS:
        if next(iter(source.splits.get(split, ())), None) is None:
            raise LynxError(f"{source.name}: no example for task '{card.name}' in split '{split}'; add examples to it")
    return _annotated(source, parsed.options)


def _annotated(source: DataSource, options: Mapping[str, str]) -> DataSource:
    """A source as its name says who made its labels."""
    if not OPTIONS.keys() & options.keys():
        return source
    annotator = options.get("annotator", source.annotator)
    tested = options.get("test_annotator", annotator)
    renamed = replace(
        source,
        annotator=annotator,
        test_annotator=tested if tested != annotator else "",
        confirmed_by=() if "annotator" in options else source.confirmed_by,
    )
    if renamed.labels == source.labels:
        return source

    def recipe() -> dict[str, Any]:
        return {**source.recipe(), "annotator": annotator, "test_annotator": tested}

    splits = {
        name: Relabelled(groups, tested if name == "test" else annotator) for name, groups in source.splits.items()
    }
    return replace(renamed, splits=splits, recipe=recipe)
