"""Reads Flickr30k Entities: Sentences/ID.txt, Annotations/ID.xml, train.txt, val.txt, test.txt, and the pictures.

In a sentence '[/EN#7/people Two young men]' is a phrase about entity 7; the XML gives an entity's boxes, in pixels,
1-based and inclusive. An entity of several boxes is their union, as phrase grounding counts it. Plummer et al. 2015;
https://github.com/BryanPlummer/flickr30k_entities.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from lynx_cl.data.example import SPLITS, BrokenPicture, Lazy, Picture, Provenance, Target, normalise
from lynx_cl.data.pictures import PictureSet, check_disjoint, licence_of
from lynx_cl.data.specs import Spec
from lynx_cl.data.voc import read_list, read_number
from lynx_cl.errors import LynxError, UsageError

ANNOTATOR = "flickr30k entities"
LISTS = {"train": "train.txt", "calibration": "val.txt", "test": "test.txt"}
_PHRASE = re.compile(r"\[/EN#(\d+)/\S+ ([^\]]+)\]")
_IMAGES = ("flickr30k-images", "flickr30k_images", "images", "Images")
Corners = tuple[float, float, float, float]


def read_flickr30k(spec: Spec, repeated: bool = False) -> PictureSet:
    """The pictures of a Flickr30k Entities folder, with the phrases of their sentences that have boxes.

    `repeated` keeps a phrase as often as it is said of its entity. Option: `images`. Raises UsageError for a folder
    without its parts, LynxError naming file and record for what is wrong; sentences and boxes are read when a picture
    is asked for.
    """
    folder = Path(spec.place)
    for name in ("Annotations", "Sentences"):
        if not (folder / name).is_dir():
            raise UsageError(f"{spec.text}: no folder {name}; give the folder that holds Annotations and Sentences")
    for name in LISTS.values():
        if not (folder / name).is_file():
            raise UsageError(f"{spec.text}: no {name} in {folder}; the lists of the splits come with the set")
    images = spec.folder("images", next((folder / n for n in _IMAGES if (folder / n).is_dir()), folder / _IMAGES[0]))
    keys = {split: read_list(folder / name) for split, name in LISTS.items()}
    check_disjoint(keys, spec.text)
    licence = licence_of(folder)
    source = Provenance(f"flickr30k:{folder.name}", ANNOTATOR, licence)

    def pictures(names: Sequence[str]) -> Sequence[Picture]:
        return Lazy(len(names), lambda i: read_picture(folder, names[i], images, source, repeated))

    splits = {split: pictures(keys[split]) for split in SPLITS}
    files = [folder / name for name in LISTS.values()]
    files += [folder / part for own in keys.values() for key in own for part in _parts(key)]
    return PictureSet(spec.text, ANNOTATOR, licence, splits, folder, tuple(files), phrased=True)


def _parts(key: str) -> tuple[str, str]:
    return f"Annotations/{key}.xml", f"Sentences/{key}.txt"


def read_picture(folder: Path, key: str, images: Path, source: Provenance, repeated: bool = False) -> Picture:
    """One picture with its phrases, each phrase of an entity once, or as often as it is said.

    Raises LynxError naming file and line.
    """
    boxes_file, words_file = (folder / part for part in _parts(key))
    try:
        root = ET.parse(boxes_file).getroot()
        lines = words_file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise LynxError(f"{error.filename}: missing, but a list names it; restore it or take it off the list") from None
    except ET.ParseError as error:
        raise LynxError(f"{boxes_file}: not valid XML ({error}); correct it") from None
    except UnicodeDecodeError as error:
        raise LynxError(f"{words_file}: not UTF-8 text (byte {error.start}); write it anew") from None
    width, height = (int(read_number(root, f"size/{side}", boxes_file)) for side in ("width", "height"))
    boxes: dict[str, list[Corners]] = defaultdict(list)
    faults = []
    for number, item in enumerate(root.iter("object"), 1):
        if item.find("bndbox") is None:  # scenes and things without a box
            continue
        where = f"{boxes_file}, object {number}"
        try:
            x0, y0, x1, y1 = (read_number(item, f"bndbox/{side}", where) for side in ("xmin", "ymin", "xmax", "ymax"))
            normalise((x0 - 1, y0 - 1, x1, y1), (width, height), where, 1.0)
        except LynxError as error:
            faults.append(str(error))
            continue
        for name in item.findall("name"):
            boxes[(name.text or "").strip()].append((x0 - 1, y0 - 1, x1, y1))
    if faults:
        raise BrokenPicture(faults)
    said = [(entity, words.strip()) for line in lines for entity, words in _PHRASE.findall(line)]
    phrases = tuple(
        Target(words, normalise(union(boxes[entity]), (width, height), str(boxes_file), 1.0))
        for entity, words in (said if repeated else dict.fromkeys(said))
        if boxes.get(entity) and words
    )
    return Picture(key, images / f"{key}.jpg", (width, height), (), source, phrases=phrases)


def union(boxes: Sequence[Corners]) -> Corners:
    """The smallest box that holds all of these.

    >>> union([(0, 0, 2, 2), (1, 1, 5, 3)])
    (0, 0, 5, 3)
    """
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)
