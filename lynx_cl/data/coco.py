"""Reads COCO detection sets: annotations/instances_*.json beside folders of pictures.

Boxes of COCO are (x, y, width, height) in pixels, 0-based. Format: https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lynx_cl.data.example import SPLITS, Lazy, Picture, Provenance, Target, normalise
from lynx_cl.data.pictures import PictureSet, check_disjoint, licence_of, split_of
from lynx_cl.errors import LynxError, UsageError

ANNOTATOR = "coco json"
TOLERANCE = 1.0  # pixels by which COCO's own boxes stick out of their pictures, from rounding
_PARTS = {"train": "train", "val": "calibration", "calibration": "calibration", "test": "test"}


@dataclass(frozen=True)
class _Record:
    """One picture as the JSON names it, and the (id, label, box in pixels) of its annotations."""

    image: Path
    size: tuple[int, int]
    things: tuple[tuple[int, str, tuple[float, float, float, float]], ...]
    file: Path


def read_coco(folder: Path) -> PictureSet:
    """The pictures of a COCO folder: `annotations/instances_NAME.json`, pictures in `NAME/` or `images/`.

    NAME says the split: train*, val* or calibration*, test*. Without a test file val is the test split, and a tenth of
    train the calibration split. Crowds (iscrowd 1) are no single things and are left out. Raises UsageError for a path
    that is no COCO folder, LynxError naming file and annotation for what is wrong.
    """
    files = sorted((folder / "annotations").glob("instances_*.json"))
    parts: dict[str, dict[str, _Record]] = defaultdict(dict)
    for file in files:
        name = file.stem.removeprefix("instances_")
        part = next((part for prefix, part in _PARTS.items() if name.startswith(prefix)), None)
        if part is None:
            raise LynxError(f"{file}: rename it to instances_train*, _val*, _calibration* or _test*, for its split")
        parts[part] |= {record.image.name: record for record in _read(file, folder, name)}
    if "train" not in parts:
        raise UsageError(
            f"coco:{folder}: no annotations/instances_train*.json; give the folder that holds 'annotations'"
        )
    if "test" not in parts and "calibration" in parts:
        parts["test"] = parts.pop("calibration")
    if "calibration" not in parts:
        train = parts["train"]
        parts["calibration"] = {key: train[key] for key in train if split_of(key) == "calibration"}
        parts["train"] = {key: train[key] for key in train if split_of(key) != "calibration"}
    check_disjoint(parts, f"coco:{folder}")
    licence = licence_of(folder)
    source = Provenance(f"coco:{folder.name}", ANNOTATOR, licence)

    def pictures(records: Mapping[str, _Record]) -> Sequence[Picture]:
        keys = list(records)
        return Lazy(len(keys), lambda i: _picture(keys[i], records[keys[i]], source))

    splits = {split: pictures(parts[split]) for split in SPLITS if split in parts}
    return PictureSet(f"coco:{folder}", ANNOTATOR, licence, splits, folder, tuple(files))


def _read(file: Path, folder: Path, name: str) -> list[_Record]:
    try:
        whole = json.loads(file.read_text(encoding="utf-8"))
        labels = {item["id"]: item["name"] for item in whole["categories"]}
        things: dict[int, list[tuple[int, str, tuple[float, float, float, float]]]] = defaultdict(list)
        for item in whole["annotations"]:
            if not item.get("iscrowd"):
                x, y, width, height = item["bbox"]
                things[item["image_id"]].append(
                    (item["id"], labels[item["category_id"]], (x, y, x + width, y + height))
                )
        place = folder / name if (folder / name).is_dir() else folder / "images"
        return [
            _Record(place / item["file_name"], (item["width"], item["height"]), tuple(things[item["id"]]), file)
            for item in whole["images"]
        ]
    except KeyError as error:
        raise LynxError(f"{file}: {error} is missing or names nothing; give a COCO detection file") from None
    except (ValueError, TypeError) as error:
        raise LynxError(f"{file}: not a COCO detection file ({error})") from None


def _picture(key: str, record: _Record, source: Provenance) -> Picture:
    targets = tuple(
        Target(label, normalise(box, record.size, f"{record.file}, annotation {number}", TOLERANCE))
        for number, label, box in record.things
    )
    return Picture(key, record.image, record.size, targets, source)
