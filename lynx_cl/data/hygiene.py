"""Split hygiene across sources: no picture that one of them tests on may be among those that any learns from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from lynx_cl.data.example import open_image
from lynx_cl.data.readers import find_reader
from lynx_cl.data.scenes import SIDE
from lynx_cl.data.sources import Wanted, open_source
from lynx_cl.data.twins import Look, Twin, look, twins
from lynx_cl.data.views import View
from lynx_cl.data.world import NAME, SceneImage
from lynx_cl.errors import LynxError
from lynx_cl.tasks import TaskCard, load_card

LEARNED = ("train", "calibration")
LOOKED_AT = 6000  # scenes of those that an embedded base learned from, of which there are hundreds of thousands


@dataclass(frozen=True)
class Drawn:
    """A source as it is learned from: its name, and the card, seed and limit that it is opened with. `learned` are the
    splits that are learned from."""

    spec: str
    card: TaskCard | None = None
    seed: int = 0
    limit: int | None = None
    learned: ClassVar[tuple[str, ...]] = LEARNED

    @property
    def name(self) -> str:
        """What it is called where sources are listed."""
        return self.spec

    def looks(self, splits: Sequence[str]) -> Iterator[Look]:
        """How the pictures of some splits look, each once. Raises LynxError for what cannot be opened at all; a single
        broken picture is passed over."""
        for split in splits:
            seen: set[str] = set()
            for key, image, size in self._pictures(split):
                if key in seen or image is None or isinstance(image, View):  # a view's picture is here already
                    continue
                seen.add(key)
                try:
                    yield look(self.spec, split, key, open_image(image, size))
                except LynxError:  # 'data check' lists it
                    continue

    def _pictures(self, split: str) -> Iterator[tuple[str, Any, tuple[int, int]]]:
        reader, spec = find_reader(self.spec)
        if reader.pictures is not None:
            card = self.card or load_card(reader.card)
            part = reader.pictures(spec, Wanted(card, card.box_grammar(), self.seed, self.limit, spec)).splits
            most = self.limit if self.card is None else None  # which of a task's pictures count is not known yet
            for number in range(len(part.get(split, ())))[:most]:
                try:
                    picture = part[split][number]
                except LynxError:
                    continue
                yield picture.key, picture.image, picture.size
            return
        source = open_source(self.spec, self.card, seed=self.seed, limit=self.limit)
        for example in source.examples(split):
            yield example.image_key, example.image, example.size


@dataclass(frozen=True)
class PretrainingScenes(Drawn):
    """The first scenes that the embedded bases learned from."""

    spec: str = NAME
    learned: ClassVar[tuple[str, ...]] = ("pretrain",)

    @property
    def name(self) -> str:
        return f"{self.spec} (the first {LOOKED_AT} that the base learned from)"

    def _pictures(self, split: str) -> Iterator[tuple[str, Any, tuple[int, int]]]:
        for number in range(LOOKED_AT):
            image = SceneImage(split, self.seed, number)
            yield image.scene.key, image, (SIDE, SIDE)


def learned_by_base(spec: str) -> Drawn:
    """A source that a base learned from, as its card names it."""
    return PretrainingScenes() if spec == NAME else Drawn(spec)


def shared_pictures(sources: Sequence[Drawn], known: Sequence[Drawn] = ()) -> Iterator[Twin]:
    """Every picture of a test split of these sources that looks like one that any of them, or of those `known` already,
    learns from."""
    tested = [one for source in sources for one in source.looks(("test",))]
    yield from twins(tested, (one for source in (*sources, *known) for one in source.looks(source.learned)))
