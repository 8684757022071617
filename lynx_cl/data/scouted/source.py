"""Reads what `lynx-cl data build scout --images` wrote: chains about real pictures, asked in a card's words."""

from __future__ import annotations

import json
import random
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lynx_cl.data.example import SPLITS, Example, Lazy, Picture, Provenance, Target
from lynx_cl.data.pictures import CHECKED, DIGESTED, check_file, digest_file
from lynx_cl.data.scout import CHAINS, EACH, Chain, ask
from lynx_cl.data.scouted.findings import rounded
from lynx_cl.data.scouted.writing import MANIFEST
from lynx_cl.data.sources import DataSource, Wanted
from lynx_cl.data.specs import Spec
from lynx_cl.errors import LynxError, UsageError

FORMAT = 1  # of what a build writes
ASKED = 1  # one more whenever the same build and arguments would give other examples
OPTIONS = {"images": "folder of the pictures, where they are no longer where they were"}
OWN = "phrase"  # the kind of questions in an annotator's own words, which no card weighs


def scouted_source(spec: Spec, wanted: Wanted) -> DataSource:
    """The examples of a build, at most CHAINS about a picture, in the card's phrasings and by its kinds of expression.

    Raises UsageError for a task of another kind, LynxError for a folder that no build wrote or whose files have changed
    since, and where pictures are missing.
    """
    folder, card = Path(spec.place), wanted.card
    if card.kind != "grounding":
        raise UsageError(f"data source '{spec.text}': teaches grounding; task '{card.name}' is of kind {card.kind}")
    manifest = read_manifest(folder)
    images = spec.folder("images", Path(manifest["images"]))
    if not images.is_dir():
        raise LynxError(
            f"{folder / MANIFEST}: its pictures were in {images}; name their folder, scout:{folder}?images="
        )
    (annotator, *confirmed_by), licence = (one["annotator"] for one in manifest["annotators"]), manifest["licence"]
    provenance = Provenance(f"scout:{folder.name}", annotator, licence)
    lines = {split: _Lines(folder, split, manifest["files"], wanted.limit) for split in SPLITS}

    def maker(split: str) -> Callable[[int], tuple[Example, ...]]:
        return lambda index: _examples(lines[split][index], images, provenance, wanted, split)

    left = CHECKED
    for split in SPLITS:
        for index in range(min(left, len(lines[split]))):
            check_file(_picture(lines[split][index], images, provenance))
        left = max(0, left - len(lines[split]))

    def recipe() -> Mapping[str, Any]:
        if sum(map(len, lines.values())) <= DIGESTED:
            for fault in _changed(lines, images):
                raise LynxError(fault)
        counts = {split: len(part) for split, part in lines.items()}
        made = {"format": ASKED, "source": "scout", "build": manifest["digest"], "card": card.digest()}
        return {**made, "grammar": wanted.grammar.name, "seed": wanted.seed, "pictures": counts}

    return DataSource(
        f"scout:{folder}",
        card.name,
        annotator,
        licence,
        wanted.grammar.name,
        {split: Lazy(len(lines[split]), maker(split)) for split in SPLITS},
        recipe,
        confirmed_by=tuple(confirmed_by),
        problems=lambda: _problems(lines, images, provenance),
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a build says of itself. Raises LynxError for a folder without one, unfinished, or of another version."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LynxError(
            f"{folder}: no {MANIFEST}; give a folder that 'lynx-cl data build scout --images' finished"
        ) from None
    except ValueError:
        raise LynxError(f"{path}: not JSON; build the data anew") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise LynxError(f"{path}: of another version of lynx-cl; build the data anew")
    return manifest


class _Lines(Sequence[Any]):
    """The pictures of a split, each read from its file when it is asked for; the files are as the manifest says."""

    def __init__(self, folder: Path, split: str, files: Mapping[str, Any], limit: int | None) -> None:
        self._paths = [folder / name for name in sorted(files) if name.startswith(f"{split}-")]
        self._part, self._offset = array("I"), array("Q")
        for number, path in enumerate(self._paths):
            if not path.is_file() or digest_file(path) != files[path.name]["sha256"]:
                raise LynxError(f"{path}: missing, or changed since it was built; build the data anew")
            offset = 0
            with path.open("rb") as file:
                for row in file:
                    if limit is not None and len(self._offset) >= limit:
                        return
                    self._part.append(number)
                    self._offset.append(offset)
                    offset += len(row)

    def __len__(self) -> int:
        return len(self._offset)

    def __getitem__(self, index: Any) -> Any:
        with self._paths[self._part[index]].open("rb") as file:
            file.seek(self._offset[index])
            return json.loads(file.readline())


def _picture(row: Mapping[str, Any], images: Path, provenance: Provenance) -> Picture:
    targets = tuple(Target(one["label"], rounded(one["box"])) for one in row["things"])
    return Picture(row["name"], images / row["name"], (row["size"][0], row["size"][1]), targets, provenance)


def _examples(
    row: Mapping[str, Any], images: Path, provenance: Provenance, wanted: Wanted, split: str
) -> tuple[Example, ...]:
    picture = _picture(row, images, provenance)
    rng = random.Random(f"scout/{wanted.seed}/{row['sha256']}")
    things, weights = picture.targets, wanted.card.expressions
    drawn = []
    for question in row["questions"]:
        weight = weights.get(question["kind"], 1.0 if question["kind"] == OWN else 0.0)
        key = rng.random() ** (1 / weight) if weight else 0.0  # a weighted draw without replacement
        if weight:
            drawn.append((key, question))
    drawn.sort(key=lambda pair: -pair[0])
    chains = [
        Chain(q["request"], q["kind"], tuple(things[i] for i in q["relevant"]), things[q["answer"]])
        for _, q in drawn[: min(CHAINS, EACH * len(things))]
    ]
    made = (ask(chain, picture, wanted.card, wanted.grammar, split, rng) for chain in chains)
    return tuple({example.prompt: example for example in made}.values())


def _changed(lines: Mapping[str, _Lines], images: Path) -> Iterator[str]:
    """Pictures whose bytes are no longer those that were labelled."""
    for part in lines.values():
        for row in part:
            try:
                if digest_file(images / row["name"]) != row["sha256"]:
                    yield f"{images / row['name']}: has changed since it was labelled; restore it or build anew"
            except LynxError as error:
                yield str(error)


def _problems(lines: Mapping[str, _Lines], images: Path, provenance: Provenance) -> Iterator[str]:
    yield from _changed(lines, images)
    for part in lines.values():
        for row in part:
            try:
                _picture(row, images, provenance).open()
            except LynxError as error:
                yield str(error)
