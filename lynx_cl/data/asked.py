"""Examples of a kind of task about a set of pictures: its questions in the card's phrasings."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

from lynx_cl.data.example import SPLITS, Example, Lazy, Picture, Step
from lynx_cl.data.kinds import Asking, Queries
from lynx_cl.data.pictures import PictureSet, check_classes
from lynx_cl.data.sources import DataSource, Groups, Wanted, picture_source
from lynx_cl.tasks import KINDS

FORMAT = 1  # one more whenever the same arguments would give other examples


def asked_source(pictures: PictureSet, wanted: Wanted, queries: Queries) -> DataSource:
    """The examples that `queries` makes of the pictures; pictures about which it asks nothing are passed over.

    All annotations are read here. Raises LynxError for what is wrong in them, and where no picture has a class of the
    card.
    """
    pictures.check()
    seen: Counter[str] = Counter()
    phrased = pictures.phrased and KINDS[wanted.card.kind].phrases
    usable: dict[str, Sequence[int]] = {}
    for split in SPLITS:
        source = pictures.splits.get(split, ())
        usable[split] = range(len(source))[: wanted.limit] if phrased else _usable(source, wanted, queries, seen)
    if not phrased:
        check_classes(pictures.name, wanted.card.name, wanted.card.classes, seen)
    labels = sorted(label for label in seen if not wanted.card.classes or label in wanted.card.classes)
    splits: dict[str, Groups] = {
        split: Lazy(
            len(usable[split]), _maker(pictures.splits.get(split, ()), usable[split], labels, split, wanted, queries)
        )
        for split in SPLITS
    }
    return picture_source(pictures, wanted, splits, {"format": FORMAT, "grammar": wanted.grammar.name})


def _usable(source: Sequence[Picture], wanted: Wanted, queries: Queries, seen: Counter[str]) -> list[int]:
    """The places of the pictures about which something is asked; all labels are counted in `seen`."""
    usable: list[int] = []
    for index, picture in enumerate(source):
        seen.update(target.label for target in picture.targets)
        if wanted.limit is None or len(usable) < wanted.limit:
            if queries(picture, Asking(wanted, (), _chance(picture, wanted))):
                usable.append(index)
    return usable


def _chance(picture: Picture, wanted: Wanted) -> random.Random:
    return random.Random(f"{wanted.card.kind}/{wanted.seed}/{picture.key}")


def _maker(
    pictures: Sequence[Picture], usable: Sequence[int], labels: list[str], split: str, wanted: Wanted, queries: Queries
) -> Callable[[int], tuple[Example, ...]]:
    card = wanted.card
    prompts = card.prompts.test if split == "test" else card.prompts.train

    def make(index: int) -> tuple[Example, ...]:
        picture = pictures[usable[index]]
        rng = _chance(picture, wanted)
        made = queries(picture, Asking(wanted, labels, rng))
        chosen = [(query, rng.choice(prompts)) for query in made]
        return tuple(
            Example(
                image=picture.image,
                steps=(Step(phrasing.format(**query.words), query.answer, card.step_weights.answer),),
                targets=query.targets,
                task=card.name,
                split=split,
                image_key=picture.key,
                provenance=picture.provenance,
                kind=query.kind,
                size=picture.size,
                phrasing=phrasing,
            )
            for query, phrasing in chosen
        )

    return make
