"""A base's own task: image understanding. Questions that the embedded base was pretrained on, about held-out scenes.

They show what a base knew before any bank was added, and that it still knows it afterwards.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from lynx_cl.base.nano import wider_questions
from lynx_cl.base.nano.questions import KINDS
from lynx_cl.data.example import Example, Lazy, Provenance, Step, Target
from lynx_cl.data.scenes import SIDE, Scene, make_flock, make_scene, with_sign

TASK = "base"
_PROVENANCE = Provenance("scenes", "oracle", "CC BY-SA 4.0 (OpenMoji glyphs)")


def understanding(split: str, count: int, seed: int = 0, kinds: Sequence[str] = KINDS) -> Sequence[Example]:
    """`count` single-step examples, kinds in turn, each about a scene of its own; the same for the same arguments.

    `Example.kind` is the kind of question: one of those that the base's own task is made of, or of those of
    `wider_questions`. A scene about which a kind of question has no clear answer is passed over.
    """
    return Lazy(count, lambda index: _example(split, seed, index, kinds[index % len(kinds)]))


def _example(split: str, seed: int, index: int, kind: str) -> Example:
    rng = random.Random(f"understanding/{split}/{seed}/{index}")
    for attempt in range(200):
        scene = _scene(split, seed, 1_000_000 + 200 * index + attempt, kind)
        asked = wider_questions.ask(kind, scene, rng, stray=False)
        if asked is not None:
            step = Step(asked.question, asked.answer)
            targets = tuple(Target(o.category, _normalised(o.box)) for o in scene.objects)
            return Example(
                _picture(scene),
                (step,),
                targets,
                TASK,
                split,
                scene.key,
                _PROVENANCE,
                kind,
                (SIDE, SIDE),
                asked.template,
            )
    raise AssertionError(f"no scene allows a question of kind {kind!r}")


def _scene(split: str, seed: int, number: int, kind: str) -> Scene:
    """The scene of a number for a kind of question: with a sign where signs are asked about, and where several things
    of a kind are, every other one has few kinds."""
    if kind in wider_questions.OF_SEVERAL and number % 2:
        return make_flock(split, seed, number)
    scene = make_scene(split, seed, number)
    return with_sign(scene) if kind in wider_questions.OF_SIGNS else scene


def _picture(scene: Scene):
    return lambda: scene.image


def _normalised(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    return box[0] / SIDE, box[1] / SIDE, box[2] / SIDE, box[3] / SIDE
