"""Split hygiene across sources: no picture that one of them tests on may be among those that any learns from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

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
PRETRAINED = "pretrain"  # the split of drawn scenes that the embedded bases learned from
LOOKED_AT = 6000  # of its pictures, of which there is no end


@dataclass(frozen=True)
class Drawn:
    """A source as it is learned from: its name, and the card, seed and limit that it is opened with.

    `tested` and `learned` are the splits that are tested on and learned from; the latter alone of what a base knows.
    """

    spec: str
    card: TaskCard | None = None
    seed: int = 0
    limit: int | None = None
    tested: tuple[str, ...] = ("test",)
    learned: tuple[str, ...] = LEARNED

    @classmethod
    def of_base(cls, spec: str) -> Drawn:
        """A source that a base learned from, by its card."""
        return cls(spec, tested=(), learned=(PRETRAINED,) if spec == NAME else LEARNED)

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
        if split == PRETRAINED:
            for number in range(self.limit or LOOKED_AT):
                image = SceneImage(split, self.seed, number)
                yield image.scene.key, image, (SIDE, SIDE)
            return
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


def shared_pictures(sources: Sequence[Drawn]) -> Iterator[Twin]:
    """Every picture of a test split of these sources that looks like one that any of them learns from."""
    tested = [one for source in sources for one in source.looks(source.tested)]
    yield from twins(tested, (one for source in sources for one in source.looks(source.learned)))
