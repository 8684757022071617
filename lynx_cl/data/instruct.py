"""Examples of free questions and answers: what records say, made when it is asked for."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from lynx_cl.data.example import SPLITS, Example, ImageRef, Lazy, Provenance, Step
from lynx_cl.data.pictures import DIGESTED, digest_file, told_from
from lynx_cl.data.records import Records, Talk
from lynx_cl.data.sources import DataSource, Wanted
from lynx_cl.errors import UsageError

FORMAT = 1  # one more whenever the same arguments would give other examples
PLAIN = "{x}"  # the phrasing that is the question itself

Group = tuple[Example, ...]


class Talks(Sequence[Group]):
    """The examples of a split, one record a group. Going through them needs no index; length and places do."""

    def __init__(self, records: Records, split: str, wanted: Wanted, source: Provenance) -> None:
        self._records, self._split, self._wanted, self._source = records, split, wanted, source

    def __len__(self) -> int:
        return self._records.count(self._split)

    @overload
    def __getitem__(self, index: int) -> Group: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Group]: ...
    def __getitem__(self, index: int | slice) -> Group | Sequence[Group]:
        if isinstance(index, slice):
            chosen = range(len(self))[index]
            return Lazy(len(chosen), lambda i: self[chosen[i]])
        return self._group(self._records.read(self._split, range(len(self))[index]))

    def __iter__(self) -> Iterator[Group]:
        return map(self._group, self._records.stream(self._split))

    def _group(self, talk: Talk) -> Group:
        return (
            question_example(
                Path(talk.image) if talk.image else None,
                talk.key,
                talk.turns,
                self._split,
                self._wanted,
                self._source,
                references=talk.references,
                kind=talk.kind,
            ),
        )


def question_example(
    image: ImageRef | None,
    key: str,
    turns: Sequence[tuple[str, str]],
    split: str,
    wanted: Wanted,
    source: Provenance,
    *,
    references: tuple[str, ...] = (),
    kind: str = "",
) -> Example:
    """Questions and answers about a picture as an example: all turns, of a test picture the first one alone."""
    card = wanted.card
    prompts = card.prompts.test if split == "test" else card.prompts.train
    (first, answer), *more = turns[:1] if split == "test" else turns
    weight = card.step_weights.answer
    phrasing = random.Random(f"{wanted.seed}/{key}/{first}").choice(prompts)
    return Example(
        image=image,
        steps=(Step(phrasing.format(x=first), answer, weight), *(Step(q, a, weight) for q, a in more)),
        targets=(),
        task=card.name,
        split=split,
        image_key=key,
        provenance=source,
        kind=kind,
        phrasing="" if phrasing == PLAIN else phrasing,
        references=references,
    )


def record_source(
    records: Records, wanted: Wanted, *, annotator: str, licence: str, folder: Path, files: Sequence[Path] = ()
) -> DataSource:
    """The source whose examples are these records. `files` are further files that the records are made with; all paths
    in its recipe are told from `folder`. Raises UsageError for a card of another kind."""
    if wanted.card.kind != "instruct":
        raise UsageError(
            f"{records.name}: holds questions and answers; task '{wanted.card.name}' is of kind {wanted.card.kind}, "
            "give a card of kind instruct"
        )
    label = records.name.partition("?")[0]
    source = Provenance(f"{label.partition(':')[0]}:{Path(label.partition(':')[2]).name}", annotator, licence)

    def recipe() -> Mapping[str, Any]:
        return {
            "source": records.name.partition(":")[0],
            "format": FORMAT,
            "card": wanted.card.digest(),
            "seed": wanted.seed,
            "limit": wanted.limit,
            "files": {told_from(path, folder): digest_file(path) for path in dict.fromkeys((*records.paths, *files))},
            "pictures": _picture_digests(records, folder),
        }

    def remarks() -> list[str]:
        said = records.index.tally.remarks()
        if _total(records) > DIGESTED:
            said.append(f"more than {DIGESTED} records: the digest covers what is said, not the pictures' bytes")
        return said

    return DataSource(
        records.name,
        wanted.card.name,
        annotator,
        licence,
        wanted.grammar.name,
        {split: Talks(records, split, wanted, source) for split in SPLITS},
        recipe,
        remarks,
        records.problems,
    )


def _total(records: Records) -> int:
    return sum(records.count(split) for split in SPLITS)


def _picture_digests(records: Records, folder: Path) -> dict[str, str]:
    if _total(records) > DIGESTED:
        return {}
    images = {Path(talk.image) for split in SPLITS for talk in records.stream(split) if talk.image}
    return {told_from(path, folder): digest_file(path) for path in sorted(images)}
