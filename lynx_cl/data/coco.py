"""Reads COCO detection sets, annotations/instances_*.json beside folders of pictures, and LVIS, which has their form.

Formats: https://cocodataset.org/#format-data, https://www.lvisdataset.org/dataset (Gupta et al. 2019).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from lynx_cl.data.example import SPLITS, Lazy, Picture, Provenance
from lynx_cl.data.instances import Instances, read_instances
from lynx_cl.data.pictures import PictureSet, check_disjoint, licence_of, split_of
from lynx_cl.errors import LynxError, UsageError

ANNOTATOR = "coco json"
_PARTS = {"train": "train", "val": "calibration", "calibration": "calibration", "test": "test"}
Row = tuple[Instances, int, Path]  # a file, the row of a picture in it, and the folder that its pictures lie in


def read_coco(folder: Path) -> PictureSet:
    """The pictures of a COCO folder: `annotations/instances_NAME.json`, pictures in `NAME/` or `images/`.

    NAME says the split: train*, val* or calibration*, test*. Without a test file val is the test split, and a tenth of
    train the calibration split. Crowds (iscrowd 1) are no single things: they are told apart, without boxes. Raises
    UsageError for a path that is no COCO folder, LynxError naming file and record for what is wrong.
    """
    parts: dict[str, dict[str, Row]] = defaultdict(dict)
    files = sorted((folder / "annotations").glob("instances_*.json"))
    for file in files:
        name = file.stem.removeprefix("instances_")
        part = next((part for prefix, part in _PARTS.items() if name.startswith(prefix)), None)
        if part is None:
            raise LynxError(f"{file}: rename it to instances_train*, _val*, _calibration* or _test*, for its split")
        place = folder / name if (folder / name).is_dir() else folder / "images"
        parts[part] |= _rows(read_instances(file), place)
    if "train" not in parts:
        raise UsageError(
            f"coco:{folder}: no annotations/instances_train*.json; give the folder that holds 'annotations'"
        )
    return _set("coco", folder, parts, files)


def read_lvis(folder: Path) -> PictureSet:
    """The pictures of an LVIS folder: `lvis_v1_train.json` and `lvis_v1_val.json`, there or in `annotations/`, pictures
    in `train2017/` and `val2017/` as their `coco_url` says.

    val is the test split, a tenth of train the calibration split. LVIS names only some of the things of a picture:
    tasks that count or list everything get wrong answers from it. Raises as `read_coco` does.
    """
    parts: dict[str, dict[str, Row]] = defaultdict(dict)
    files = sorted([*folder.glob("lvis_v*.json"), *(folder / "annotations").glob("lvis_v*.json")])
    for file in files:
        part = {"train": "train", "val": "calibration"}.get(file.stem.rpartition("_")[2])
        if part is not None:
            parts[part] |= _rows(read_instances(file, "coco_url"), folder)
    if "train" not in parts:
        raise UsageError(f"lvis:{folder}: no lvis_v1_train.json; give the folder that holds it")
    return _set("lvis", folder, parts, files)


def _rows(instances: Instances, place: Path) -> dict[str, Row]:
    return {Path(name).name: (instances, row, place) for row, name in enumerate(instances.names)}


def _set(kind: str, folder: Path, parts: dict[str, dict[str, Row]], files: Sequence[Path]) -> PictureSet:
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
    name = instances.names[row]
    url = name.startswith(("http://", "https://"))
    image = place.joinpath(*name.split("/")[-2:]) if url else place / name
    targets, crowds = instances.targets(row), instances.crowded(row)
    return Picture(key, image, instances.size(row), targets, source, crowds=crowds)
