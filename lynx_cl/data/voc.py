"""Reads Pascal VOC folders: ImageSets/Main/{train,val,test}.txt, Annotations/*.xml, JPEGImages/*.

Boxes of VOC are 1-based and inclusive: xmin 1 and xmax W span a picture of width W. Tools that export its form often
count from 0 (option first=0), where 0 and W span it. Format: the VOC 2012 development
kit (Everingham et al. 2012), section 'Annotations'.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from lynx_cl.data.example import BrokenPicture, Lazy, Picture, Provenance, Target, normalise
from lynx_cl.data.pictures import PictureSet, check_disjoint, licence_of, split_of
from lynx_cl.errors import LynxError, UsageError

LISTS = {"train": "train", "calibration": "val", "test": "test"}
_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".bmp")
ANNOTATOR = "voc xml"
#: The development kit's own classes, by the groups it puts them in.
GROUPS = {
    "person": ("person",),
    "animal": ("bird", "cat", "cow", "dog", "horse", "sheep"),
    "vehicle": ("aeroplane", "bicycle", "boat", "bus", "car", "motorbike", "train"),
    "indoor": ("bottle", "chair", "diningtable", "pottedplant", "sofa", "tvmonitor"),
}
CLASSES = {label: group for group, labels in GROUPS.items() for label in labels}


def read_voc(folder: Path, first: int = 1) -> PictureSet:
    """The pictures of a VOC folder, by its own lists: train, val (calibration) and test. `first` is what its boxes are
    counted from.

    Without a test list val is the test split, and a tenth of train the calibration split; without any list the pictures
    are split by their names. Raises UsageError for a path that is no VOC folder, LynxError for lists that are empty or
    share a picture. Annotations are read when a picture is asked for.
    """
    for name in ("Annotations", "JPEGImages"):
        if not (folder / name).is_dir():
            raise UsageError(f"voc:{folder}: no folder {name}; give the folder that holds Annotations and JPEGImages")
    keys, lists = _keys(folder)
    check_disjoint(keys, f"voc:{folder}")
    licence = licence_of(folder)
    source = Provenance(f"voc:{folder.name}", ANNOTATOR, licence)

    def pictures(names: Sequence[str]) -> Sequence[Picture]:
        return Lazy(len(names), lambda i: read_picture(folder, names[i], source, first))

    splits = {split: pictures(names) for split, names in keys.items()}
    annotations = [folder / "Annotations" / f"{name}.xml" for names in keys.values() for name in names]
    facts = {} if first == 1 else {"first": first}
    files = (*lists, *annotations)
    return PictureSet(f"voc:{folder}", ANNOTATOR, licence, splits, folder, files, categories=CLASSES, facts=facts)


def read_picture(folder: Path, key: str, provenance: Provenance, first: int = 1) -> Picture:
    """One picture of a VOC folder with all its objects.

    Raises LynxError naming the file, and the object's number from 1, for what is missing or wrong: BrokenPicture where
    objects are.
    """
    path = folder / "Annotations" / f"{key}.xml"
    root = _parsed(path)
    image = _image(folder, key, root.findtext("filename") or "")
    size, targets, faults = _things(root, path, first)
    if faults:
        raise BrokenPicture(faults)
    return Picture(key, image, size, targets, provenance)


def read_things(path: Path) -> tuple[tuple[int, int], tuple[Target, ...], tuple[str, ...]]:
    """An annotation by itself: its picture's (width, height) in pixels, its objects, and what is wrong in the others.

    Raises LynxError naming a file that is missing or no annotation.
    """
    return _things(_parsed(path), path, 1)


def _parsed(path: Path) -> ET.Element:
    try:
        return ET.parse(path).getroot()
    except FileNotFoundError:
        raise LynxError(f"{path}: missing, but a list names it; restore it or take it off the list") from None
    except ET.ParseError as error:
        raise LynxError(f"{path}: not valid XML ({error}); correct it") from None


def _things(root: ET.Element, path: Path, first: int) -> tuple[tuple[int, int], tuple[Target, ...], tuple[str, ...]]:
    size = (int(read_number(root, "size/width", path)), int(read_number(root, "size/height", path)))
    targets, faults = [], []
    for number, item in enumerate(root.iter("object"), 1):
        try:
            targets.append(_target(item, size, f"{path}, object {number}", first))
        except LynxError as error:
            faults.append(str(error))
    return size, tuple(targets), tuple(faults)


def _target(item: ET.Element, size: tuple[int, int], where: str, first: int) -> Target:
    label = (item.findtext("name") or "").strip()
    if not label:
        raise LynxError(f"{where}: has no name; give it one")
    x0, y0, x1, y1 = (read_number(item, f"bndbox/{side}", where) for side in ("xmin", "ymin", "xmax", "ymax"))
    try:
        return Target(label, normalise((x0 - first, y0 - first, x1, y1), size, where))
    except LynxError as error:
        if first == 1 and min(x0, y0) == 0 and "outside" in str(error):
            raise LynxError(f"{error}; where boxes are counted from 0, say so: voc:FOLDER?first=0") from None
        raise


def _keys(folder: Path) -> tuple[dict[str, list[str]], list[Path]]:
    lists = {split: folder / "ImageSets" / "Main" / f"{name}.txt" for split, name in LISTS.items()}
    there = {split: path for split, path in lists.items() if path.is_file()}
    if not there:
        names = sorted(path.stem for path in (folder / "Annotations").glob("*.xml"))
        return {split: [name for name in names if split_of(name) == split] for split in LISTS}, []
    if "train" not in there:
        raise LynxError(f"{lists['train']}: missing; add the list of the training pictures")
    keys = {split: read_list(path) for split, path in there.items()}
    if "test" not in there:
        keys["test"] = keys.pop("calibration", [])
    if "calibration" not in keys:
        train = keys["train"]
        keys["calibration"] = [name for name in train if split_of(name) == "calibration"]
        keys["train"] = [name for name in train if split_of(name) != "calibration"]
    return {split: keys[split] for split in LISTS}, list(there.values())


def read_list(path: Path) -> list[str]:
    """The names in a list, each once, in its order. Raises LynxError for an empty one, and for what is no text."""
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise LynxError(f"{path}: not UTF-8 text (byte {error.start}); write it anew") from None
    if not names:
        raise LynxError(f"{path}: names no picture; fill it or delete it")
    return list(dict.fromkeys(names))


def _image(folder: Path, key: str, filename: str) -> Path:
    images = folder / "JPEGImages"
    for name in (f"{key}{Path(filename).suffix}", *(key + suffix for suffix in _SUFFIXES)):
        if name != key and (images / name).is_file():
            return images / name
    raise LynxError(f"{images / key}.jpg: no such picture, but a list names it; restore it or take it off the list")


def read_number(element: ET.Element, tag: str, where: object) -> float:
    """The finite number in a tag. Raises LynxError beginning with `where` for anything else."""
    text = element.findtext(tag)
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise LynxError(f"{where}: {tag} is {text!r}, not a number; correct it")
    return value
