"""The oracle: boxes that are given, of a COCO file or of VOC's XML files, for pictures in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from lynx_cl.data import coco, voc
from lynx_cl.data.example import Target
from lynx_cl.data.instances import Instances, read_instances
from lynx_cl.data.pictures import digest_file
from lynx_cl.data.scouted.categories import words_for
from lynx_cl.data.scouted.findings import Maker, Seen, Shown, Thing, rounded
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.registry.canonical import canonical, sha256

KINDS = {"coco": "coco:FILE", "voc": "voc:FOLDER"}
ORACLE = "oracle"


def given_boxes(spec: str | None, categories: Mapping[str, str]) -> GivenBoxes:
    """The boxes that a name like 'coco:FILE' or 'voc:FOLDER' means. Raises UsageError for none, LynxError for broken
    ones."""
    if spec is None:
        raise UsageError(f"annotator '{ORACLE}': needs the boxes that are given: --boxes {' or '.join(KINDS.values())}")
    kind, _, place = spec.partition(":")
    path = Path(place).expanduser()
    if kind not in KINDS or not place:
        raise UsageError(f"--boxes {spec}: give {' or '.join(KINDS.values())}")
    if kind == "coco":
        if not path.is_file():
            raise UsageError(f"--boxes {spec}: no file {path}")
        return CocoBoxes(path, categories)
    folder = path / "Annotations" if (path / "Annotations").is_dir() else path
    if not folder.is_dir() or next(folder.glob("*.xml"), None) is None:
        raise UsageError(f"--boxes {spec}: no XML files in {folder}")
    return VocBoxes(folder, categories)


class GivenBoxes:
    """Boxes that lie on disk, as a labeller."""

    maker: Maker

    def __init__(self, categories: Mapping[str, str]) -> None:
        self.categories = categories

    def label(self, pictures: Sequence[Shown], names: Sequence[Sequence[str]] | None) -> list[Seen]:
        """What is given for each picture, whatever is asked for."""
        return [self.of(shown.name) for shown in pictures]

    def size(self, name: str) -> tuple[int, int] | None:
        """The size of a picture that the boxes are about, (width, height) in pixels."""
        return self.of(name).size

    def of(self, name: str) -> Seen:
        """What is given for the picture of a name, a path below the folder of pictures."""
        raise NotImplementedError

    def _seen(
        self, targets: Sequence[Target], size: tuple[int, int], faults: Sequence[str], crowded: Sequence[str] = ()
    ) -> Seen:
        named = [(words_for(target.label, self.categories), target.box) for target in targets]
        things = tuple(Thing(words, rounded(box)) for words, box in named if words)
        many = sorted({words for label in crowded if (words := words_for(label, self.categories))})
        return Seen(things, tuple(many), tuple(faults), len(named) - len(things), size=size)

    def _settings(self) -> dict[str, object]:
        return {"categories": dict(self.categories)} if self.categories else {}


class CocoBoxes(GivenBoxes):
    """Those of a COCO detection file; a picture is known by its path, else by its file's name if no two have it."""

    def __init__(self, file: Path, categories: Mapping[str, str]) -> None:
        super().__init__(categories)
        self.file = file
        self.maker = Maker(coco.ANNOTATOR, ORACLE, digest_file(file), self._settings())

    @cached_property
    def _instances(self) -> Instances:
        return read_instances(self.file)

    @cached_property
    def _rows(self) -> dict[str, int | None]:
        rows: dict[str, int | None] = {}
        for row, name in enumerate(self._instances.names):
            base = Path(name).name
            rows[base] = None if base in rows else row
        return rows | {name: row for row, name in enumerate(self._instances.names)}

    def of(self, name: str) -> Seen:
        instances = self._instances
        row = self._rows.get(name, self._rows.get(Path(name).name))
        if row is None:
            return Seen(known=False)
        size, targets, faults = instances.size(row), [], []
        for place in range(int(instances.first[row]), int(instances.first[row + 1])):
            try:
                targets.append(instances.target(place, size))
            except LynxError as error:
                faults.append(str(error))
        return self._seen(targets, size, faults, sorted(instances.crowded(row)))


class VocBoxes(GivenBoxes):
    """Those of VOC's XML files; a picture's is the one of its name."""

    def __init__(self, folder: Path, categories: Mapping[str, str]) -> None:
        super().__init__(categories)
        self.folder = folder
        files = {path.name: digest_file(path) for path in sorted(folder.glob("*.xml"))}
        self.maker = Maker(voc.ANNOTATOR, ORACLE, sha256(canonical(files)), self._settings())

    def of(self, name: str) -> Seen:
        beside = self.folder / Path(name).with_suffix(".xml")
        path = beside if beside.is_file() else self.folder / f"{Path(name).stem}.xml"
        if not path.is_file():
            return Seen(known=False)
        try:
            size, targets, faults = voc.read_things(path)
        except LynxError as error:
            return Seen(faults=(str(error),))
        return self._seen(targets, size, faults)
