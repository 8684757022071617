"""Reads the regions of Visual Genome: region_descriptions.json, image_data.json, and VG_100K, VG_100K_2.

A region is a phrase about a box (x, y, width, height) in pixels. Many boxes stick out of their pictures and are cut off
at the edge. Krishna et al. 2017; https://homes.cs.washington.edu/~ranjay/visualgenome/api.html.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lynx_cl.data.example import SPLITS, BrokenPicture, Lazy, Picture, Provenance, Target, normalise
from lynx_cl.data.json_walk import read_at, walk
from lynx_cl.data.pictures import PictureSet, licence_of, split_of
from lynx_cl.data.specs import Spec
from lynx_cl.errors import LynxError, UsageError

ANNOTATOR = "visual genome"
FILES = ("region_descriptions.json", "image_data.json")
_FOLDERS = ("VG_100K", "VG_100K_2", "images")


def read_visual_genome(spec: Spec) -> PictureSet:
    """The pictures of a Visual Genome folder, with their regions as phrases; split by the pictures' numbers.

    Only where each picture's regions stand is kept; they are read when it is asked for. Option: `images`, the folder
    that holds VG_100K and VG_100K_2. Raises UsageError for a folder without its files, LynxError naming file and record
    for what is wrong.
    """
    folder = Path(spec.place)
    for name in FILES:
        if not (folder / name).is_file():
            raise UsageError(f"{spec.text}: no {name} in {folder}; give the folder that holds it")
    images = spec.folder("images", folder)
    sizes = _sizes(folder / FILES[1])
    places = _places(folder / FILES[0])
    licence = licence_of(folder)
    source = Provenance(f"vg:{folder.name}", ANNOTATOR, licence)

    def pictures(rows: Any) -> Sequence[Picture]:
        return Lazy(len(rows), lambda i: _picture(folder / FILES[0], places[rows[i]], sizes, images, source))

    names = [split_of(str(number)) for number in places[:, 0]]
    splits = {split: pictures(np.flatnonzero([name == split for name in names])) for split in SPLITS}
    files = tuple(folder / name for name in FILES)
    return PictureSet(spec.text, ANNOTATOR, licence, splits, folder, files, phrased=True)


def _sizes(file: Path) -> dict[int, tuple[int, int]]:
    sizes = {}
    for record in walk(file):
        try:
            value = record.value
            sizes[int(value.get("image_id", value.get("id")))] = int(value["width"]), int(value["height"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LynxError(f"{file}, {record.place}: not a record of a picture ({error})") from None
    return sizes


def _places(file: Path) -> Any:
    """(pictures, 4) int64: number, and offset, length and line of its regions; of those that have some."""
    told = array("q")
    for record in walk(file):
        try:
            regions = record.value["regions"]
            number = record.value.get("id", record.value.get("image_id"))
            if regions:
                number = regions[0].get("image_id", number)
                told.extend((int(number), record.offset, record.length, record.line))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LynxError(f"{file}, {record.place}: not the regions of a picture ({error})") from None
    return np.array(told, np.int64).reshape(-1, 4)


def _picture(file: Path, place: Any, sizes: dict[int, tuple[int, int]], images: Path, source: Provenance) -> Picture:
    number, offset, length, line = (int(value) for value in place)
    with file.open("rb") as opened:
        regions = read_at(opened, offset, length)["regions"]
    if number not in sizes:
        raise LynxError(f"{file}, line {line}: picture {number} is not in {FILES[1]}; fetch both files again")
    phrases, faults = [], []
    for region in regions:
        where = f"{file}, line {line}, region {region.get('region_id', '?')}"
        try:
            words = " ".join(str(region["phrase"]).split())
            x, y, width, height = (float(region[name]) for name in ("x", "y", "width", "height"))
            box = normalise((x, y, x + width, y + height), sizes[number], where, tolerance=float("inf"))
            if words:
                phrases.append(Target(words, box))
        except (KeyError, TypeError, ValueError) as error:
            faults.append(f"{where}: {error} is missing or no number; correct it")
        except LynxError as error:
            faults.append(str(error))
    if faults and not phrases:
        raise BrokenPicture(faults)
    return Picture(
        str(number), _image(images, number), sizes[number], (), source, phrases=tuple(phrases), faults=tuple(faults)
    )


def _image(images: Path, number: int) -> Path:
    places = [images / folder / f"{number}.jpg" for folder in _FOLDERS]
    return next((place for place in places if place.is_file()), places[0])
