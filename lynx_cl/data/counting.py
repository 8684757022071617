"""Counting on annotated pictures: how many of one label a picture holds, and that it holds none of another.

The annotations must be complete: a thing that is there and not annotated makes a wrong answer.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

from lynx_cl.data.example import SPLITS, Example, Lazy, Picture, Step
from lynx_cl.data.pictures import PictureSet, check_classes, plain_label
from lynx_cl.data.sources import DataSource, Groups, Wanted, picture_source
from lynx_cl.data.words import number_word, plural

FORMAT = 1  # one more whenever the same arguments would give other examples
OTHERS = 0.35  # of the labels of a picture after its most frequent one, how many are asked about
PLAIN = 0.4  # of the pictures that hold no label twice, how many are asked about: else most answers would be 'one'


def counting_source(pictures: PictureSet, wanted: Wanted) -> DataSource:
    """Questions about the pictures of a set, in the card's classes and phrasings.

    All annotations are read here. Raises LynxError for what is wrong in them, and where no picture has a class of the
    card.
    """
    pictures.check()
    classes = wanted.card.classes
    labels: set[str] = set()
    seen: Counter[str] = Counter()
    usable: dict[str, list[int]] = {split: [] for split in SPLITS}
    for split in SPLITS:
        for index, picture in enumerate(pictures.splits.get(split, ())):
            seen.update(target.label for target in picture.targets)
            held = counts(picture, wanted)
            labels.update(held)
            if _chosen(picture, held, wanted) and (wanted.limit is None or len(usable[split]) < wanted.limit):
                usable[split].append(index)
    check_classes(pictures.name, wanted.card.name, classes, seen)
    vocabulary = sorted(labels)
    splits: dict[str, Groups] = {
        split: Lazy(
            len(usable[split]), _maker(pictures.splits.get(split, ()), usable[split], vocabulary, split, wanted)
        )
        for split in SPLITS
    }
    return picture_source(pictures, wanted, splits, {"format": FORMAT})


def counts(picture: Picture, wanted: Wanted) -> Counter[str]:
    """How many of each label of the card's classes (empty: of any) a picture holds; none of those of a crowd."""
    classes = wanted.card.classes
    labels = (target.label for target in picture.targets if target.label not in picture.crowds)
    return Counter(label for label in labels if not classes or label in classes)


def _chosen(picture: Picture, held: Counter[str], wanted: Wanted) -> bool:
    if not held:
        return False
    return max(held.values()) > 1 or random.Random(f"counting/{wanted.seed}/{picture.key}").random() < PLAIN


def _maker(
    pictures: Sequence[Picture], usable: list[int], vocabulary: list[str], split: str, wanted: Wanted
) -> Callable[[int], tuple[Example, ...]]:
    card = wanted.card
    prompts = card.prompts.test if split == "test" else card.prompts.train

    def make(index: int) -> tuple[Example, ...]:
        picture = pictures[usable[index]]
        held = counts(picture, wanted)
        rng = random.Random(f"{wanted.seed}/{picture.key}")
        ranked = sorted(held, key=lambda label: (-held[label], label))
        asked = [ranked[0], *(label for label in ranked[1:] if rng.random() < OTHERS)]
        absent = [label for label in vocabulary if label not in held and label not in picture.crowds]
        if absent and rng.random() < card.absent:
            asked.append(rng.choice(absent))
        rng.shuffle(asked)
        chosen = [(label, rng.choice(prompts)) for label in asked]
        return tuple(
            Example(
                image=picture.image,
                steps=(
                    Step(
                        phrasing.format(x=plural(card.classes.get(label, plain_label(label)))),
                        number_word(held[label]),
                        card.step_weights.answer,
                    ),
                ),
                targets=tuple(target for target in picture.targets if target.label == label),
                task=card.name,
                split=split,
                image_key=picture.key,
                provenance=picture.provenance,
                kind=("none", "one")[held[label]] if held[label] < 2 else "several",
                size=picture.size,
                phrasing=phrasing,
            )
            for label, phrasing in chosen
        )

    return make
