"""Reads RefCOCO, RefCOCO+ and RefCOCOg: a folder with refs(SPLIT).p (or .json), instances.json, and COCO's pictures.

As published with https://github.com/lichengunc/refer (Yu et al. 2016; Mao et al. 2016 for RefCOCOg): a ref is one thing
of a picture, by its annotation, with some sentences that refer to it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lynx_cl.data.example import SPLITS, Lazy, Picture, Provenance, Target
from lynx_cl.data.instances import Instances, read_instances
from lynx_cl.data.pictures import PictureSet, licence_of, split_of
from lynx_cl.data.plain_pickle import read_plain
from lynx_cl.data.specs import Spec
from lynx_cl.errors import LynxError, UsageError

ANNOTATOR = "refcoco"
SPLIT_BY = ("unc", "google", "umd")  # who made the split; the first that is there, unless one is named
TESTS = ("test", "testA", "testB", "val")
_IMAGES = ("images/mscoco/images/train2014", "train2014", "images/train2014", "images")


@dataclass(frozen=True)
class _Ref:
    """One sentence that refers to an annotation, by the annotation's place."""

    place: int
    sentence: str


def read_refcoco(spec: Spec) -> PictureSet:
    """The pictures of a RefCOCO folder, each with its expressions as phrases and its annotated things as targets.

    Options: `split_by`, one of SPLIT_BY; `test`, the split that is tested on: test, testA, testB or val (all of test*
    where it is not given, val where there is none of them); `images`. val is the calibration split where it is not
    tested on, else a tenth of train. Pictures of train that are also in another split (as the google split of RefCOCOg
    has them) are left out of train, and that is said.

    Raises UsageError for a folder without its files and an unknown split, LynxError naming file and ref for what is
    wrong, and for a pickle that holds more than plain data.
    """
    folder = Path(spec.place)
    path = _refs_file(folder, spec)
    instances = read_instances(folder / "instances.json")
    refs = _read(path)
    rows = {int(number): row for row, number in enumerate(instances.ids)}
    places = {int(number): place for place, number in enumerate(instances.numbers)}
    named: dict[str, dict[int, list[_Ref]]] = defaultdict(lambda: defaultdict(list))
    for number, ref in enumerate(refs):
        where = f"{path}, ref {ref.get('ref_id', number) if isinstance(ref, dict) else number}"
        try:
            row, place, part = rows[ref["image_id"]], places[ref["ann_id"]], str(ref["split"])
            sentences = [str(sentence.get("sent") or sentence["raw"]).strip() for sentence in ref["sentences"]]
        except KeyError as error:
            raise LynxError(f"{where}: {error} is missing, or not in instances.json; fetch the set again") from None
        except (TypeError, AttributeError) as error:
            raise LynxError(f"{where}: not a ref ({error}); fetch the set again") from None
        named[part][row] += [_Ref(place, sentence) for sentence in sentences if sentence]
    parts, remarks = _parts(named, spec, instances)
    licence = licence_of(folder)
    source = Provenance(f"refcoco:{folder.name}({path.stem})", ANNOTATOR, licence)
    images = spec.folder("images", _images(folder, instances))

    def pictures(part: dict[int, list[_Ref]]) -> Sequence[Picture]:
        held = sorted(part)
        return Lazy(len(held), lambda i: _picture(instances, held[i], part[held[i]], images, source))

    splits = {split: pictures(parts[split]) for split in SPLITS}
    files = (path, folder / "instances.json")
    return PictureSet(spec.text, ANNOTATOR, licence, splits, folder, files, phrased=True, remarks=remarks)


def published_splits(spec: Spec) -> list[str]:
    """The splits of a RefCOCO folder that are there to test on, in the order of TESTS; raises as `read_refcoco`."""
    path = _refs_file(Path(spec.place), spec)
    named = {ref.get("split") for ref in _read(path) if isinstance(ref, dict)}
    there = [name for name in TESTS if name in named]
    if not there:
        raise LynxError(f"{path}: holds none of the splits {', '.join(TESTS)}; fetch the set again")
    return there


def _refs_file(folder: Path, spec: Spec) -> Path:
    wanted = spec.one_of("split_by", SPLIT_BY)
    for who in (wanted,) if wanted else SPLIT_BY:
        for suffix in ("p", "json"):
            path = folder / f"refs({who}).{suffix}"
            if path.is_file():
                if not (folder / "instances.json").is_file():
                    raise UsageError(f"{spec.text}: no instances.json in {folder}; it comes with the set")
                return path
    names = f"refs({wanted or 'unc'}).p"
    raise UsageError(f"{spec.text}: no {names} in {folder}; give the folder refcoco, refcoco+ or refcocog itself")


def _read(path: Path) -> Iterable[Any]:
    if path.suffix == ".p":
        refs = read_plain(path)
    else:
        try:
            refs = json.loads(path.read_bytes())
        except ValueError as error:
            raise LynxError(f"{path}: not JSON ({error}); fetch it again") from None
    if not isinstance(refs, list):
        raise LynxError(f"{path}: not a list of refs; fetch it again")
    return refs


def _parts(
    named: dict[str, dict[int, list[_Ref]]], spec: Spec, instances: Instances
) -> tuple[dict[str, dict[int, list[_Ref]]], tuple[str, ...]]:
    """The expressions by split and picture, and what is to be said of them."""
    if "train" not in named:
        raise LynxError(f"{spec.text}: has no split 'train', but: {', '.join(sorted(named)) or 'nothing'}")
    wanted = spec.one_of("test", TESTS)
    if wanted is not None and wanted not in named:
        raise UsageError(f"{spec.text}: test = '{wanted}': not in this set; it has: {', '.join(sorted(named))}")
    tested = [wanted] if wanted else sorted(name for name in named if name.startswith("test")) or ["val"]
    test = _joined(named[name] for name in tested)
    train = dict(named["train"])
    if "val" in named and "val" not in tested:
        calibration = {row: own for row, own in named["val"].items() if row not in test}
    else:
        calibration = {r: own for r, own in train.items() if split_of(instances.names[r]) == "calibration"}
        calibration = {row: own for row, own in calibration.items() if row not in test}
        train = {row: own for row, own in train.items() if row not in calibration}
    shared = [row for row in train if row in test or row in calibration]
    for row in shared:
        del train[row]
    said = f"{len(shared)} pictures of train are also in another split; left out of train"
    return {"train": train, "calibration": calibration, "test": test}, (said,) if shared else ()


def _joined(parts: Iterable[dict[int, list[_Ref]]]) -> dict[int, list[_Ref]]:
    joined: dict[int, list[_Ref]] = defaultdict(list)
    for part in parts:
        for row, refs in part.items():
            joined[row] += refs
    return dict(joined)


def _images(folder: Path, instances: Instances) -> Path:
    """Where the pictures lie, as far as the first of them tells."""
    first = instances.names[0] if instances.names else ""
    places = [home / place for home in (folder, folder.parent) for place in _IMAGES]
    return next((place for place in places if (place / first).is_file()), folder.parent / _IMAGES[0])


def _picture(instances: Instances, row: int, refs: list[_Ref], images: Path, source: Provenance) -> Picture:
    size = instances.size(row)
    phrases = tuple(Target(ref.sentence, instances.target(ref.place, size).box) for ref in refs)
    name = instances.names[row]
    return Picture(name, images / name, size, instances.targets(row), source, phrases=phrases)
