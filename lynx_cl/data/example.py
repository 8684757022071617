"""What a task is learned from: an example is a picture, the steps asked and answered about it, and the true boxes.

Examples in words alone, for bases that read no pictures, have none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar, overload

from lynx_cl.errors import LynxError

if TYPE_CHECKING:
    from PIL import Image

#: (x0, y0, x1, y1) as fractions of the original picture's width and height, each in [0, 1], x0 < x1 and y0 < y1.
Box = tuple[float, float, float, float]
#: A file, or something that draws the picture when it is called.
ImageRef = Path | Callable[[], "Image.Image"]

SPLITS = ("train", "calibration", "test")
STEPS = ("relevant", "where", "answer")
T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """A thing in a picture: what it is called, and its box."""

    label: str
    box: Box


@dataclass(frozen=True)
class Step:
    """One question and its answer. `weight` is its share in the step loss; `name` is one of STEPS."""

    question: str
    answer: str
    weight: float = 1.0
    name: str = "answer"


@dataclass(frozen=True)
class Provenance:
    """Where an example comes from: its data source, who said what is true in it, and the picture's licence."""

    source: str
    annotator: str
    licence: str


class BrokenPicture(LynxError):
    """A picture whose annotations are wrong: the first fault is the message, `faults` are all of them."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(faults[0])
        self.faults = tuple(faults)


@dataclass(frozen=True)
class Picture:
    """A picture and the things in it that its source names. `size` is (width, height) in pixels; `key` names it in its
    source, and equal keys mean equal pixels; `text` is what is written in it, where its source says so. `phrases` are
    things under words of people's own, where the source has such: 'the man in red', of one thing or some together;
    `faults` say what was broken and left out, where the source is known to have such; `crowds` are labels of which it
    holds more than is boxed one by one, so that nothing can be said of 'the' or of all such things."""

    key: str
    image: ImageRef
    size: tuple[int, int]
    targets: tuple[Target, ...]
    provenance: Provenance
    text: str = ""
    phrases: tuple[Target, ...] = ()
    faults: tuple[str, ...] = ()
    crowds: frozenset[str] = frozenset()

    def open(self) -> Image.Image:
        """The picture in RGB. Raises LynxError where its file is missing or broken."""
        return open_image(self.image, self.size)


@dataclass(frozen=True)
class Example:
    """Steps asked in one conversation about one picture, and the boxes that its last answer must find.

    A user types `prompt`, the first question. `image` is None where it is about none. `kind` is the type of question,
    for scores by type. `size` is the original picture's (width, height) in pixels. `phrasing` is the pattern that the
    prompt was made of, empty where it was made of none. `references` are all accepted answers, where there is more than
    that of the last step.
    """

    image: ImageRef | None
    steps: tuple[Step, ...]
    targets: tuple[Target, ...]
    task: str
    split: str
    image_key: str
    provenance: Provenance
    kind: str = ""
    size: tuple[int, int] = field(default=(0, 0))
    phrasing: str = ""
    references: tuple[str, ...] = ()

    @property
    def prompt(self) -> str:
        return self.steps[0].question

    def open(self) -> Image.Image:
        """The picture in RGB. Raises LynxError where its file is missing or broken, or where there is none."""
        if self.image is None:
            raise LynxError(f"example {self.image_key}: is about no picture, but one is needed")
        return open_image(self.image, self.size)

    def picture(self) -> Image.Image | None:
        """As `open`, None where the example is about none."""
        return None if self.image is None else self.open()


class Lazy(Sequence[T], Generic[T]):
    """A sequence whose items are made when they are asked for, so that it may stand for more than memory holds.

    >>> Lazy(3, lambda i: i * i)[-1]
    4
    """

    def __init__(self, length: int, make: Callable[[int], T]) -> None:
        self._length, self._make = length, make

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            chosen = range(self._length)[index]
            return Lazy(len(chosen), lambda i: self._make(chosen[i]))
        return self._make(range(self._length)[index])

    def __iter__(self) -> Iterator[T]:
        return map(self._make, range(self._length))


def open_image(image: ImageRef, size: tuple[int, int] | None = None) -> Image.Image:
    """Opens or draws a picture, whole, in RGB; `size` is what its source says of a file's (width, height) in pixels.

    Raises LynxError naming a file that is missing, broken, too large or no picture; see `data/opening.py`.
    """
    if not isinstance(image, Path):
        return image().convert("RGB")
    from lynx_cl.data.opening import open_file

    return open_file(image, size)


def normalise(pixels: Sequence[float], size: tuple[int, int], where: str, tolerance: float = 0.0) -> Box:
    """The Box of (x0, y0, x1, y1) given in pixels, x1 and y1 exclusive, of a picture of (width, height).

    What lies outside by `tolerance` pixels at most is cut off. Raises LynxError beginning with `where` (file and
    record) for a box outside its picture or of no area.

    >>> normalise((10, 20, 40, 60), (100, 80), "a.xml")
    (0.1, 0.25, 0.4, 0.75)
    """
    width, height = size
    shown = ", ".join(f"{value:g}" for value in pixels)
    x0, y0, x1, y1 = pixels
    if not (width > 0 and height > 0):
        raise LynxError(f"{where}: its picture is said to be {width} x {height} pixels; correct that")
    if not (x0 < x1 and y0 < y1):
        raise LynxError(f"{where}: box ({shown}) has no area; correct it or take it out")
    if not (min(x0, y0) >= -tolerance and x1 <= width + tolerance and y1 <= height + tolerance):
        raise LynxError(f"{where}: box ({shown}) lies outside its picture of {width} x {height} pixels; correct it")
    box = max(0.0, x0 / width), max(0.0, y0 / height), min(1.0, x1 / width), min(1.0, y1 / height)
    if not (box[0] < box[2] and box[1] < box[3]):
        raise LynxError(f"{where}: box ({shown}) lies outside its picture of {width} x {height} pixels; correct it")
    return box


def to_pixels(box: Box, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """A Box in pixels of a picture of (width, height), x1 and y1 exclusive.

    >>> to_pixels((0.1, 0.25, 0.4, 0.75), (100, 80))
    (10.0, 20.0, 40.0, 60.0)
    """
    width, height = size
    return box[0] * width, box[1] * height, box[2] * width, box[3] * height
