"""Annotation files in the form of COCO's instances, of any size: read record by record into arrays.

What a picture's annotations say takes 56 bytes each, whatever else the file holds (outlines are passed over), and a
picture its name and 24 bytes. Boxes are (x, y, width, height) in pixels, 0-based. https://cocodataset.org/#format-data
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lynx_cl.data.example import BrokenPicture, Target, normalise
from lynx_cl.data.json_walk import Record, walk
from lynx_cl.errors import LynxError

TOLERANCE = 1.0  # pixels by which COCO's own boxes stick out of their pictures, from rounding


@dataclass(frozen=True)
class Instances:
    """The pictures of a file, and their annotations in the order of the file.

    `names` are paths as the file has them; `ids`, `sizes` (width, height in pixels) and `first` have a row a picture,
    where its annotations stand from first[i] to first[i + 1] in `numbers` (the annotations' ids), `categories` and
    `boxes`. `strays` counts annotations of pictures that the file does not name; `general` has the supercategory of
    each label, empty where the file says none. `crowds` are (image id, category id) of what is marked as a crowd.
    """

    file: Path
    names: tuple[str, ...]
    ids: Any
    sizes: Any
    first: Any
    numbers: Any
    categories: Any
    boxes: Any
    labels: dict[int, str]
    strays: int
    general: dict[str, str]
    crowds: frozenset[tuple[int, int]] = frozenset()

    def size(self, row: int) -> tuple[int, int]:
        return int(self.sizes[row, 0]), int(self.sizes[row, 1])

    def targets(self, row: int) -> tuple[Target, ...]:
        """What a picture holds. Raises BrokenPicture for annotations that are wrong, each of them told."""
        made, faults = [], []
        for place in range(int(self.first[row]), int(self.first[row + 1])):
            try:
                made.append(self.target(place, self.size(row)))
            except LynxError as error:
                faults.append(str(error))
        if faults:
            raise BrokenPicture(faults)
        return tuple(made)

    def crowded(self, row: int) -> frozenset[str]:
        """The labels of which a picture holds a crowd."""
        number = int(self.ids[row])
        return frozenset(label for category, label in self.labels.items() if (number, category) in self.crowds)

    def target(self, place: int, size: tuple[int, int]) -> Target:
        """One annotation, by its place in the arrays. Raises LynxError for a wrong one."""
        where = f"{self.file}, annotation {int(self.numbers[place])}"
        category = int(self.categories[place])
        if category not in self.labels:
            raise LynxError(f"{where}: category_id {category} is no category of the file; correct it or add it")
        x, y, width, height = (float(value) for value in self.boxes[place])
        try:
            box = normalise((x, y, x + width, y + height), size, where, TOLERANCE)
        except LynxError as error:
            if x < width <= size[0] + TOLERANCE and y < height <= size[1] + TOLERANCE and "outside" in str(error):
                raise LynxError(
                    f"{error}: its numbers fit as (x0, y0, x1, y1), COCO's are (x, y, width, height)"
                ) from None
            raise
        return Target(self.labels[category], box)


def read_instances(file: Path, name_key: str = "file_name") -> Instances:
    """Reads a file; crowds (iscrowd 1) are no single things and are told apart, without boxes.

    `name_key` is where an image's record has its file. Raises LynxError naming file and line for a record that lacks
    what it needs, a file without pictures, categories or annotations, and two pictures of one id.
    """
    names: list[str] = []
    ids, sizes = array("q"), array("q")
    owners, numbers, categories, boxes = array("q"), array("q"), array("q"), array("d")
    labels: dict[int, str] = {}
    general: dict[str, str] = {}
    crowds: set[tuple[int, int]] = set()
    sections = set()
    for record in walk(file):
        sections.add(record.section)
        try:
            value = record.value
            if record.section == "images":
                ids.append(value["id"])
                sizes.extend((value["width"], value["height"]))
                names.append(_text(value[name_key]))
            elif record.section == "annotations" and value.get("iscrowd"):
                crowds.add((int(value["image_id"]), int(value["category_id"])))
            elif record.section == "annotations":
                _x, _y, _width, _height = value["bbox"]
                boxes.extend((_x, _y, _width, _height))
                owners.append(value["image_id"])
                numbers.append(value["id"])
                categories.append(value["category_id"])
            elif record.section == "categories":
                labels[value["id"]] = _text(value["name"])
                general[value["name"]] = str(value.get("supercategory") or "")
        except KeyError as error:
            raise LynxError(f"{_at(file, record)}: {error} is missing; give a COCO detection file") from None
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            raise LynxError(f"{_at(file, record)}: not a COCO detection file ({error})") from None
    for section in ("images", "categories", "annotations"):
        if section not in sections:
            raise LynxError(f"{file}: '{section}' is missing or empty; give a COCO detection file")
    own, counts = np.unique(np.array(ids, np.int64), return_counts=True)
    if (counts > 1).any():
        raise LynxError(f"{file}: {counts[counts > 1][0]} pictures have the id {own[counts > 1][0]}; give each its own")
    made = _sorted(file, names, ids, sizes, (owners, numbers, categories, boxes), labels, general)
    return replace(made, crowds=frozenset(crowds))


def _sorted(
    file: Path,
    names: list[str],
    ids: array,
    sizes: array,
    things: tuple[array, ...],
    labels: dict[int, str],
    general: dict[str, str],
) -> Instances:
    image_ids, owners = np.array(ids, np.int64), np.array(things[0], np.int64)
    by_id = np.argsort(image_ids, kind="stable")
    place = np.searchsorted(image_ids, owners, sorter=by_id)
    rows = by_id[np.minimum(place, len(by_id) - 1)] if len(by_id) else np.zeros_like(owners)
    known = image_ids[rows] == owners if len(by_id) else np.zeros(len(owners), bool)
    kept = np.flatnonzero(known)
    kept = kept[np.argsort(rows[kept], kind="stable")]
    counts = np.bincount(rows[kept], minlength=len(names))
    return Instances(
        file,
        tuple(names),
        image_ids,
        np.array(sizes, np.int64).reshape(-1, 2),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.array(things[1], np.int64)[kept],
        np.array(things[2], np.int64)[kept],
        np.array(things[3], np.float64).reshape(-1, 4)[kept],
        labels,
        len(owners) - len(kept),
        general,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is no name")
    return value


def _at(file: Path, record: Record) -> str:
    return f"{file}, {record.place}, in '{record.section}'"
