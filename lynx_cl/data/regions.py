"""Grounding on annotated pictures: each label that a picture holds exactly once is asked for; its box is the answer."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from lynx_cl.data.example import SPLITS, Example, Lazy, Picture, Step, Target
from lynx_cl.data.pictures import PictureSet, check_classes, plain_label
from lynx_cl.data.sources import DataSource, Groups, Wanted, picture_source
from lynx_cl.data.views import view
from lynx_cl.tasks import TaskCard

MOST = 12  # phrases asked for about one picture that is learned from; of a test picture all
FORMAT = 2  # one more whenever the same arguments would give other examples


def region_source(pictures: PictureSet, wanted: Wanted) -> DataSource:
    """Examples about the pictures of a set, in the card's classes, phrasings and views.

    All annotations are read here. Raises LynxError for what is wrong in them, and where no picture has a class of the
    card.
    """
    pictures.check()
    seen: Counter[str] = Counter()
    splits: dict[str, Groups] = {}
    for split in SPLITS:
        source = pictures.splits.get(split, ())
        usable: Sequence[int] = range(len(source))[: wanted.limit]
        if not pictures.phrased:
            usable = _usable(source, wanted, seen)
        views = wanted.card.views if split == "train" else 1
        splits[split] = Lazy(len(usable) * views, _maker(source, usable, views, split, wanted))
    if not pictures.phrased:
        check_classes(pictures.name, wanted.card.name, wanted.card.classes, seen)
    return picture_source(pictures, wanted, splits, {"format": FORMAT, "grammar": wanted.grammar.name})


def _usable(source: Sequence[Picture], wanted: Wanted, seen: Counter[str]) -> list[int]:
    """The places of the pictures about which something can be asked; all labels are counted in `seen`."""
    usable: list[int] = []
    for index, picture in enumerate(source):
        seen.update(target.label for target in picture.targets)
        if asked(picture, wanted.card.classes, wanted.card.only_single):
            if wanted.limit is None or len(usable) < wanted.limit:
                usable.append(index)
    return usable


def asked(picture: Picture, classes: Mapping[str, str], only_single: bool) -> tuple[Target, ...]:
    """What can be asked for: a picture's phrases; where it has none, the targets of `classes` (empty: of any) whose
    label no other in the picture has, nor a crowd.

    With `only_single`, nothing in a picture that holds more than one target of `classes`.
    """
    if picture.phrases:
        return picture.phrases
    fit = [target for target in picture.targets if not classes or target.label in classes]
    crowds = {label for label in picture.crowds if not classes or label in classes}
    if only_single and len(fit) + len(crowds) > 1:
        return ()
    counts = Counter(target.label for target in fit)
    return tuple(target for target in fit if counts[target.label] == 1 and target.label not in crowds)


def _maker(
    pictures: Sequence[Picture], usable: Sequence[int], views: int, split: str, wanted: Wanted
) -> Callable[[int], tuple[Example, ...]]:
    card = wanted.card
    prompts = card.prompts.test if split == "test" else card.prompts.train

    def make(index: int) -> tuple[Example, ...]:
        whole = pictures[usable[index % len(usable)]]
        things = asked(whole, card.classes, card.only_single)
        if whole.phrases and split != "test" and len(things) > MOST:
            things = tuple(random.Random(f"{wanted.seed}/{whole.key}/{index}").sample(things, MOST))
        if not things:
            return ()
        picture = view(whole, index // len(usable), things)
        rng = random.Random(f"{wanted.seed}/{picture.key}")
        chosen = [(target, rng.choice(prompts)) for target in picture.targets]
        return tuple(
            Example(
                image=picture.image,
                steps=(
                    Step(
                        phrasing.format(x=_words(target, whole, card)),
                        wanted.grammar.write(target.box),
                        card.step_weights.answer,
                    ),
                ),
                targets=(target,),
                task=card.name,
                split=split,
                image_key=picture.key,
                provenance=picture.provenance,
                kind="phrase" if whole.phrases else "category",
                size=picture.size,
                phrasing=phrasing,
            )
            for target, phrasing in chosen
        )

    return make


def _words(target: Target, picture: Picture, card: TaskCard) -> str:
    """What is asked for: a phrase as people said it, a label with an article."""
    if picture.phrases:
        return target.label
    return f"the {card.classes.get(target.label, plain_label(target.label))}"
