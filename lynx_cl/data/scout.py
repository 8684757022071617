"""SCouT: grounding taught in steps. What is relevant for the request; where each of it is; the answer, grounded.

An annotator looks at a picture and says chains (what is asked, what is relevant, what the answer is); this module asks
and answers them in the words of a task card. The idea is that of TWIST & SCOUT (arXiv 2410.10491, section 3.3).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from lynx_cl.data import refer
from lynx_cl.data.example import Example, Lazy, Picture, Provenance, Step, Target, normalise
from lynx_cl.data.grammar import BoxGrammar
from lynx_cl.data.scenes import SIDE, SceneObject
from lynx_cl.data.sources import DataSource, Wanted
from lynx_cl.data.world import LICENCE, SceneImage, scene_counts, scene_picture
from lynx_cl.errors import LynxError
from lynx_cl.tasks import TaskCard

NAME = "scout"
CHAINS = 8  # at most, about one picture
EACH = 3  # at most for each thing in it, on average
FORMAT = 3  # one more whenever the same arguments would give other examples
_DRAWS = 8  # draws for each chain that is wanted, before a picture is taken to have no more
_STRIDE = 1 << 20  # from a scene that is passed over to the one in its place; more than any split has
_TARGETS = 3  # things that a kind of expression is tried on, before another kind is drawn


@dataclass(frozen=True)
class Chain:
    """What an annotator says: a request names one thing of a picture, without an article ('small dog left of the cat').

    `relevant` is what one must look at to answer, the answer included; `answer` is what is meant. `kind` is the type of
    the request.
    """

    request: str
    kind: str
    relevant: tuple[Target, ...]
    answer: Target


class Annotator(Protocol):
    """Who says what is asked and true in a picture: exact truth, a model, a person."""

    name: str

    def annotate(self, picture: Picture, count: int, rng: random.Random) -> Sequence[Chain]:
        """At most `count` chains about a picture. A request may come again, to be asked in other words."""
        ...


@dataclass(frozen=True)
class SceneOracle:
    """The exact truth of a scene. `weights` says how often each kind of referring expression is drawn."""

    weights: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(refer.KINDS, 1.0))
    name: str = "oracle"

    def annotate(self, picture: Picture, count: int, rng: random.Random) -> Sequence[Chain]:
        if not isinstance(picture.image, SceneImage):
            raise LynxError(f"annotator 'oracle': picture '{picture.key}' is no scene, so its truth is not known")
        scene = picture.image.scene
        chains: list[Chain] = []
        kinds = sorted(self.weights)  # not in the card's order, which a stored card does not keep
        weights = [self.weights[kind] for kind in kinds]
        for _ in range(_DRAWS * count):
            if len(chains) == count:
                break
            kind = rng.choices(kinds, weights)[0]
            for target in rng.sample(range(len(scene.objects)), min(_TARGETS, len(scene.objects))):
                expression = refer.propose(kind, target, scene, rng)
                if expression is not None:
                    relevant = tuple(_named(scene.objects[i]) for i in refer.candidates(expression, scene))
                    answer = Target(scene.objects[target].category, _box(scene.objects[target]))
                    chains.append(Chain(refer.phrase(expression, rng), kind, relevant, answer))
                    break
        return tuple(chains)


def ask(chain: Chain, picture: Picture, card: TaskCard, grammar: BoxGrammar, split: str, rng: random.Random) -> Example:
    """An example of a chain: once, as a user asks, or in steps, for the card's share of the training conversations.

    The test split is asked in the card's held-out phrasings and never in steps.
    """
    prompts, weights = card.prompts, card.step_weights
    thing = f"the {chain.request}"
    phrasing = rng.choice(prompts.test if split == "test" else prompts.train)
    question = phrasing.format(x=thing)
    answer = grammar.write(chain.answer.box)
    steps: tuple[Step, ...] = (Step(question, answer, weights.answer),)
    if split != "test" and rng.random() < card.chains:
        relevant = list(dict.fromkeys(target.label for target in chain.relevant))
        places = grammar.write_all((target.label, target.box) for target in chain.relevant)
        steps = (
            Step(f"{question} {rng.choice(prompts.relevant)}", ", ".join(relevant), weights.relevant, "relevant"),
            Step(rng.choice(prompts.where), places, weights.where, "where"),
            Step(rng.choice(prompts.answer).format(x=thing), answer, weights.answer),
        )
    return Example(
        image=picture.image,
        steps=steps,
        targets=(chain.answer,),
        task=card.name,
        split=split,
        image_key=picture.key,
        provenance=picture.provenance,
        kind=chain.kind,
        size=picture.size,
        phrasing=phrasing,
    )


def _named(thing: SceneObject) -> Target:
    return Target(f"{thing.size} {thing.category}", _box(thing))


def _box(thing: SceneObject) -> tuple[float, float, float, float]:
    return normalise(thing.box, (SIDE, SIDE), thing.category)


def scout_source(wanted: Wanted) -> DataSource:
    """SCouT on drawn scenes: at most CHAINS chains about each, from the scene's own truth, no prompt twice."""
    oracle = SceneOracle(wanted.card.expressions)
    provenance = Provenance(NAME, oracle.name, LICENCE)

    def maker(split: str) -> Callable[[int], tuple[Example, ...]]:
        def make(index: int) -> tuple[Example, ...]:
            rng = random.Random(f"scout/{wanted.seed}/{split}/{index}")
            chains: Sequence[Chain] = ()
            while not chains:  # a scene about which nothing can be asked is passed over
                picture = scene_picture(SceneImage(split, wanted.seed, index), provenance)
                chains = oracle.annotate(picture, min(CHAINS, EACH * len(picture.targets)), rng)
                index += _STRIDE
            examples = (ask(chain, picture, wanted.card, wanted.grammar, split, rng) for chain in chains)
            return tuple({example.prompt: example for example in examples}.values())

        return make

    counts = scene_counts(wanted.limit)

    def recipe() -> dict[str, Any]:
        return {
            "format": FORMAT,
            "source": NAME,
            "annotator": oracle.name,
            "card": wanted.card.digest(),
            "grammar": wanted.grammar.name,
            "seed": wanted.seed,
            "pictures": dict(counts),
        }

    splits = {split: Lazy(count, maker(split)) for split, count in counts.items()}
    return DataSource(NAME, wanted.card.name, oracle.name, LICENCE, wanted.grammar.name, splits, recipe)
