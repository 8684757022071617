"""What an annotator says of a picture: the things it found, how, and which of them are beyond telling apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from lynx_cl.data.example import Box

if TYPE_CHECKING:
    from PIL import Image

DIGITS = 6  # of a box's coordinates, fractions of the picture


@dataclass(frozen=True)
class Maker:
    """Who labels: `annotator` is its name for the guard against shared annotators, `version` the sha256 of its weights
    or of the file of its boxes, `settings` whatever else its labels are a function of, its prompts included."""

    annotator: str
    kind: str
    version: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Phrase:
    """Words of an annotator's own for a thing, and the box that they led it back to; None where they led to none."""

    words: str
    back: Box | None


@dataclass(frozen=True)
class Thing:
    """A thing that an annotator found: `score` is how sure it was, from 0 to 1, `prompt` what it was asked."""

    label: str
    box: Box
    score: float = 1.0
    prompt: str = ""
    phrases: tuple[Phrase, ...] = ()


@dataclass(frozen=True)
class Seen:
    """All that an annotator says of a picture.

    `crowded` are labels of which the picture holds more than is boxed one by one; `faults` say what was wrong and left
    out, `unlisted` counts the things of labels that were not wanted. `known` is False where it knows nothing of the
    picture at all; `size` is the picture's (width, height) as it has it, where it has.
    """

    things: tuple[Thing, ...] = ()
    crowded: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    unlisted: int = 0
    known: bool = True
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Shown:
    """A picture to be labelled: its path below the folder of pictures, and the picture in RGB, upright."""

    name: str
    picture: Image.Image


class Labeller(Protocol):
    """An annotator at work."""

    maker: Maker

    def size(self, name: str) -> tuple[int, int] | None:
        """The size that it takes a picture to have, (width, height) in pixels; None where it looks for itself."""
        ...

    def label(self, pictures: Sequence[Shown], names: Sequence[Sequence[str]] | None) -> list[Seen]:
        """What it says of each picture. `names` are the labels to look for in each; None leaves that to it."""
        ...


def rounded(box: Sequence[float]) -> Box:
    """A box as it is stored."""
    x0, y0, x1, y1 = (round(min(max(value, 0.0), 1.0), DIGITS) for value in box)
    return x0, y0, x1, y1


def record(seen: Seen) -> dict[str, Any]:
    """What JSON keeps of what was seen."""
    return asdict(seen)


def read_record(values: Mapping[str, Any]) -> Seen:
    """What `record` made, back."""
    things = tuple(
        Thing(
            one["label"],
            rounded(one["box"]),
            one["score"],
            one["prompt"],
            tuple(Phrase(p["words"], rounded(p["back"]) if p["back"] else None) for p in one["phrases"]),
        )
        for one in values["things"]
    )
    size = values["size"]
    return Seen(
        things,
        tuple(values["crowded"]),
        tuple(values["faults"]),
        values["unlisted"],
        values["known"],
        (size[0], size[1]) if size else None,
    )


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes.

    >>> iou((0.0, 0.0, 0.5, 1.0), (0.0, 0.0, 0.5, 0.5))
    0.5
    """
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    union = area(a) + area(b) - shared
    return shared / union if union > 0 else 0.0


def area(box: Box) -> float:
    """Of a box, as a fraction of the picture's."""
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)
