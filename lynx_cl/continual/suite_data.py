"""What the standard evaluations ask about: test pictures, the names of their categories, and published splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from lynx_cl.continual.general import general_of
from lynx_cl.data.example import Picture, Target
from lynx_cl.data.flickr30k import read_flickr30k
from lynx_cl.data.pictures import PictureSet, check_file, plain_label
from lynx_cl.data.readers import find_reader
from lynx_cl.data.refcoco import published_splits, read_refcoco
from lynx_cl.data.sources import Wanted
from lynx_cl.data.words import plural
from lynx_cl.data.world import scene_set
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.evaluation.text import normalise
from lynx_cl.tasks import TaskCard

LOCALISED = ("coco", "lvis", "voc", "scenes")
#: Supercategories of COCO whose plural, as a word, does not name the things in them.
_MANY = {
    "electronic": "electronic devices",
    "food": "pieces of food",
    "furniture": "pieces of furniture",
    "indoor": "indoor things",
    "kitchen": "kitchen things",
    "outdoor": "outdoor things",
    "sports": "pieces of sports equipment",
}


@dataclass(frozen=True)
class Boxed:
    """Test pictures with all their things, under the names that are asked for.

    `things` go with `pictures`. `names` are those of all categories of the set, `general` has the general category of
    each, where the set says them. `complete` says that a category of which a picture holds nothing is not there.
    """

    pictures: Sequence[Picture]
    things: Sequence[Sequence[Target]]
    names: tuple[str, ...]
    general: Mapping[str, str]
    complete: bool
    annotator: str
    remarks: tuple[str, ...]

    @property
    def ungrouped(self) -> list[str]:
        """The names whose general category the set does not say."""
        return [name for name in self.names if name not in self.general]


def boxed(text: str, card: TaskCard, most: int) -> Boxed:
    """The first `most` test pictures of a source of LOCALISED, in the card's classes.

    Raises UsageError for another source, LynxError for pictures that are missing or wrong, and where there are none.
    """
    reader, spec = find_reader(text)
    if spec.kind not in LOCALISED:
        fit = ", ".join(f"{kind}:FOLDER" if kind != "scenes" else kind for kind in LOCALISED)
        raise UsageError(f"--data {text}: the suite localisation needs every thing of a picture in a box; give {fit}")
    if reader.pictures is None:
        source = scene_set(0)
    else:
        source = reader.pictures(spec, Wanted(card, card.box_grammar(), spec=spec))
    pictures = chosen(source, most)
    labels = {target.label for picture in pictures for target in picture.targets}
    whole = labels <= set(source.categories)
    known = dict(source.categories) if whole else dict.fromkeys(sorted(labels), "")
    names = {label: _name(label, card) for label in known if not card.classes or label in card.classes}
    if not names:
        raise LynxError(f"{text}: holds none of the classes of task '{card.name}' ({', '.join(card.classes)})")
    return Boxed(
        pictures,
        [[replace(t, label=names[t.label]) for t in picture.targets if t.label in names] for picture in pictures],
        tuple(dict.fromkeys(names.values())),
        {names[label]: plain_label(general) for label, general in known.items() if label in names and general},
        spec.kind != "lvis",
        source.annotator,
        source.remarks,
    )


def grouped(held: Boxed) -> Boxed:
    """The same with a general category for every name: where the set says none, by a sentence encoder, and so told."""
    found = general_of(held.ungrouped)
    told = ", ".join(f"{name}: {general}" for name, general in list(found.items())[:3])
    more = ", ..." if len(found) > 3 else ""
    remark = f"{len(found)} of {len(held.names)} general categories are a sentence encoder's guess ({told}{more})"
    return replace(held, general={**held.general, **found}, remarks=(*held.remarks, remark))


def _name(label: str, card: TaskCard) -> str:
    return normalise(card.classes.get(label, plain_label(label)))


def chosen(source: PictureSet, most: int) -> list[Picture]:
    """The first test pictures of a set, each looked at. Raises LynxError for what is wrong with one, and for none."""
    pictures = list(islice(source.splits.get("test", ()), most))
    if not pictures:
        raise LynxError(f"{source.name}: holds no test pictures; check its lists")
    for picture in pictures:
        check_file(picture)
    return pictures


def words_for(kind: str, protocol: int, name: str | None) -> str:
    """How a question of a protocol names what it asks for, in the place of {x} of a phrasing of a kind of task.

    >>> words_for("detection", 1, None), words_for("detection", 2, "furniture"), words_for("grounding", 3, "dog")
    ('objects', 'pieces of furniture', 'the dog')
    """
    if name is not None and protocol == 3 and kind == "grounding":
        return f"the {name}"
    many = "objects" if name is None else _MANY.get(name, plural(name)) if protocol == 2 else plural(name)
    return many if kind == "detection" else f"all {many}"


def expressions(text: str, most: int) -> dict[str, list[Picture]]:
    """The pictures of each published split of a RefCOCO set, at most so many of each, under the split's own name.

    Those that its option `test` names, else all but train. Raises UsageError for another source, LynxError as its
    reader does.
    """
    _, spec = find_reader(text)
    if spec.kind != "refcoco":
        raise UsageError(
            f"--data {text}: the suite refexp is about RefCOCO, RefCOCO+ and RefCOCOg; give refcoco:FOLDER"
        )
    named = [spec.options["test"]] if "test" in spec.options else published_splits(spec)
    sets = {name: read_refcoco(replace(spec, options={**spec.options, "test": name})) for name in named}
    return {name: chosen(one, most) for name, one in sets.items()}


def phrases(text: str, most: int) -> dict[str, list[Picture]]:
    """The test pictures of a Flickr30k Entities set, a phrase as often as it is said; raises as `expressions`."""
    _, spec = find_reader(text)
    if spec.kind != "flickr30k":
        raise UsageError(f"--data {text}: the suite phrase is about Flickr30k Entities; give flickr30k:FOLDER")
    return {"test": chosen(read_flickr30k(spec, repeated=True), most)}


def said_of(picture: Picture) -> Counter[Target]:
    """The phrases of a picture, and how often each is said of the same box."""
    return Counter(picture.phrases)
