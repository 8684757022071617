"""Reads COCO detection sets, annotations/instances_*.json beside folders of pictures, and LVIS, which has their form.

Formats: https://cocodataset.org/#format-data, https://www.lvisdataset.org/dataset (Gupta et al. 2019).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from lynx_cl.data.example import SPLITS, Lazy, Picture, Provenance
from lynx_cl.data.instances import Instances, read_instances
from lynx_cl.data.pictures import PictureSet, check_disjoint, licence_of, split_of, told_from
from lynx_cl.errors import LynxError, UsageError

ANNOTATOR = "coco json"
_ROBOFLOW = "_annotations.coco.json"
_PARTS = {"train": "train", "val": "calibration", "calibration": "calibration", "test": "test"}
Row = tuple[Instances, int, Path]  # a file, the row of a picture in it, and the folder that its pictures lie in


def read_coco(folder: Path) -> PictureSet:
    """The pictures of a COCO folder: `annotations/instances_NAME.json`, pictures in `NAME/` or `images/`; or as
    Roboflow exports it, `NAME/_annotations.coco.json` beside its pictures.

    NAME says the split: train*, val* or calibration*, test*; a single file of another name (CVAT's `default`) is split
    by the pictures' names. Without a test file val is the test split, and a tenth of train the calibration split.
    Crowds (iscrowd 1) are no single things: they are told apart, without boxes. Raises UsageError for a path that is no
    COCO folder, LynxError naming file and record for what is wrong.
    """
    places: list[tuple[str, Path, Path]] = []  # of each file: the name that says its split, and where its pictures lie
    for file in sorted((folder / "annotations").glob("instances_*.json")):
        name = file.stem.removeprefix("instances_")
        places.append((name, file, folder / name if (folder / name).is_dir() else folder / "images"))
    places += [(file.parent.name, file, file.parent) for file in sorted(folder.glob(f"*/{_ROBOFLOW}"))]
    parts: dict[str, list[Row]] = defaultdict(list)
    for name, file, place in places:
        part = next((part for prefix, part in _PARTS.items() if name.startswith(prefix)), None)
        if part is None and len(places) > 1:
            raise LynxError(
                f"{file}: rename it, to train*, val*, calibration* or test* in place of {name}, for its split"
            )
        rows = _rows(read_instances(file), place)
        if part is not None:
            parts[part] += rows
            continue
        for row in rows:
            parts[split_of(Path(row[0].names[row[1]]).name)].append(row)
    if "train" not in parts:
        raise UsageError(
            f"coco:{folder}: no annotations/instances_train*.json, and no train/{_ROBOFLOW}; give the folder that "
            "holds 'annotations'"
        )
    return _set("coco", folder, parts, [file for _, file, _ in places])


def read_lvis(folder: Path) -> PictureSet:
    """The pictures of an LVIS folder: `lvis_v1_train.json` and `lvis_v1_val.json`, there or in `annotations/`, pictures
    in `train2017/` and `val2017/` as their `coco_url` says.

    val is the test split, a tenth of train the calibration split. LVIS names only some of the things of a picture:
    tasks that count or list everything get wrong answers from it. Raises as `read_coco` does.
    """
    parts: dict[str, list[Row]] = defaultdict(list)
    files = sorted([*folder.glob("lvis_v*.json"), *(folder / "annotations").glob("lvis_v*.json")])
    for file in files:
        part = {"train": "train", "val": "calibration"}.get(file.stem.rpartition("_")[2])
        if part is not None:
            parts[part] += _rows(read_instances(file, "coco_url"), folder)
    if "train" not in parts:
        raise UsageError(f"lvis:{folder}: no lvis_v1_train.json; give the folder that holds it")
    return _set("lvis", folder, parts, files)


def _rows(instances: Instances, place: Path) -> list[Row]:
    return [(instances, row, place) for row in range(len(instances.names))]


def _keyed(folder: Path, listed: Mapping[str, Sequence[Row]]) -> dict[str, dict[str, Row]]:
    """The pictures of each split by key: a file's name, or its path in the folder where several have that name.

    Raises LynxError for a picture that one split lists twice."""
    places: dict[str, str] = {}  # of each file name: its one path, or nothing where there are several
    for row in chain.from_iterable(listed.values()):
        path = _file(row)
        if places.setdefault(os.path.basename(path), path) != path:
            places[os.path.basename(path)] = ""
    parts: dict[str, dict[str, Row]] = {}
    for split, rows in listed.items():
        own: dict[str, Row] = {}
        for row in rows:
            path = _file(row)
            key = os.path.basename(path) if places[os.path.basename(path)] else told_from(Path(path), folder)
            if key in own:
                raise LynxError(f"{row[0].file}: lists the picture {row[0].names[row[1]]} twice; list it once")
            own[key] = row
        parts[split] = own
    return parts


def _file(row: Row) -> str:
    """Where the file of a picture lies."""
    instances, number, place = row
    name = instances.names[number]
    url = name.startswith(("http://", "https://"))
    return os.path.join(place, *name.split("/")[-2:]) if url else os.path.join(place, name)


def _set(kind: str, folder: Path, listed: Mapping[str, Sequence[Row]], files: Sequence[Path]) -> PictureSet:
    parts = _keyed(folder, listed)
    if "test" not in parts and "calibration" in parts:
        parts["test"] = parts.pop("calibration")
    if "calibration" not in parts:
        train = parts["train"]
        parts["calibration"] = {key: train[key] for key in train if split_of(key) == "calibration"}
        parts["train"] = {key: train[key] for key in train if split_of(key) != "calibration"}
    check_disjoint(parts, f"{kind}:{folder}")
    licence = licence_of(folder)
    source = Provenance(f"{kind}:{folder.name}", ANNOTATOR, licence)

    def pictures(rows: Mapping[str, Row]) -> Sequence[Picture]:
        keys = list(rows)
        return Lazy(len(keys), lambda i: _picture(keys[i], *rows[keys[i]], source))

    splits = {split: pictures(parts[split]) for split in SPLITS if split in parts}
    strays = sum({row[0].file: row[0].strays for rows in parts.values() for row in rows.values()}.values())
    remarks = (f"{strays} annotations are of pictures that their file does not name; left out",) if strays else ()
    held = {id(row[0]): row[0] for rows in parts.values() for row in rows.values()}.values()
    categories = {label: general for instances in held for label, general in instances.general.items()}
    return PictureSet(
        f"{kind}:{folder}",
        ANNOTATOR,
        licence,
        splits,
        folder,
        tuple(files),
        remarks=remarks,
        categories=categories,
        crowded=any(instances.crowds for instances in held),
    )


def _picture(key: str, instances: Instances, row: int, place: Path, source: Provenance) -> Picture:
    targets, crowds = instances.targets(row), instances.crowded(row)
    return Picture(key, Path(_file((instances, row, place))), instances.size(row), targets, source, crowds=crowds)
