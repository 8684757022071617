"""Grounding on annotated pictures: each label that a picture holds exactly once is asked for; its box is the answer."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from lynx_cl.data.example import SPLITS, Example, Lazy, Picture, Step, Target
from lynx_cl.data.pictures import PictureSet, check_classes, plain_label
from lynx_cl.data.sources import DataSource, Groups, Wanted, picture_source
from lynx_cl.data.views import view

FORMAT = 2  # one more whenever the same arguments would give other examples


def region_source(pictures: PictureSet, wanted: Wanted) -> DataSource:
    """Examples about the pictures of a set, in the card's classes, phrasings and views.

    All annotations are read here. Raises LynxError for what is wrong in them, and where no picture has a class of the
    card.
    """
    pictures.check()
    classes, single = wanted.card.classes, wanted.card.only_single
    seen: Counter[str] = Counter()
    splits: dict[str, Groups] = {}
    for split in SPLITS:
        source = pictures.splits.get(split, ())
        usable: list[int] = []
        for index, picture in enumerate(source):
            seen.update(target.label for target in picture.targets)
            if asked(picture, classes, single) and (wanted.limit is None or len(usable) < wanted.limit):
                usable.append(index)
        views = wanted.card.views if split == "train" else 1
        splits[split] = Lazy(len(usable) * views, _maker(source, usable, views, split, wanted))
    check_classes(pictures.name, wanted.card.name, classes, seen)
    return picture_source(pictures, wanted, splits, {"format": FORMAT, "grammar": wanted.grammar.name})


def asked(picture: Picture, classes: Mapping[str, str], only_single: bool) -> tuple[Target, ...]:
    """What can be asked for: the targets of `classes` (empty: of any) whose label no other in the picture has.

    With `only_single`, nothing in a picture that holds more than one target of `classes`.
    """
    fit = [target for target in picture.targets if not classes or target.label in classes]
    if only_single and len(fit) > 1:
        return ()
    counts = Counter(target.label for target in fit)
    return tuple(target for target in fit if counts[target.label] == 1)


def _maker(
    pictures: Sequence[Picture], usable: list[int], views: int, split: str, wanted: Wanted
) -> Callable[[int], tuple[Example, ...]]:
    card = wanted.card
    prompts = card.prompts.test if split == "test" else card.prompts.train

    def make(index: int) -> tuple[Example, ...]:
        whole = pictures[usable[index % len(usable)]]
        picture = view(whole, index // len(usable), asked(whole, card.classes, card.only_single))
        rng = random.Random(f"{wanted.seed}/{picture.key}")
        chosen = [(target, rng.choice(prompts)) for target in picture.targets]
        return tuple(
            Example(
                image=picture.image,
                steps=(
                    Step(
                        phrasing.format(x=f"the {card.classes.get(target.label, plain_label(target.label))}"),
                        wanted.grammar.write(target.box),
                        card.step_weights.answer,
                    ),
                ),
                targets=(target,),
                task=card.name,
                split=split,
                image_key=picture.key,
                provenance=picture.provenance,
                kind="category",
                size=picture.size,
                phrasing=phrasing,
            )
            for target, phrasing in chosen
        )

    return make
