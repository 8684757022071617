"""A base's own task: image understanding. Questions that the embedded base was pretrained on, about held-out scenes.

They show what a base knew before any bank was added, and that it still knows it afterwards.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from lynx_cl.base.nano.questions import KINDS, ask
from lynx_cl.data.example import Example, Lazy, Provenance, Step, Target
from lynx_cl.data.scenes import SIDE, Scene, make_scene

TASK = "base"
_PROVENANCE = Provenance("scenes", "oracle", "CC BY-SA 4.0 (OpenMoji glyphs)")


def understanding(split: str, count: int, seed: int = 0, kinds: Sequence[str] = KINDS) -> Sequence[Example]:
    """`count` single-step examples, kinds in turn, each about a scene of its own; the same for the same arguments.

    `Example.kind` is the kind of question. A scene about which a kind of question has no clear answer is passed over.
    """
    return Lazy(count, lambda index: _example(split, seed, index, kinds[index % len(kinds)]))


def _example(split: str, seed: int, index: int, kind: str) -> Example:
    rng = random.Random(f"understanding/{split}/{seed}/{index}")
    for attempt in range(200):
        scene = make_scene(split, seed, 1_000_000 + 200 * index + attempt)
        asked = ask(kind, scene, rng, stray=False)
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


def _picture(scene: Scene):
    return lambda: scene.image


def _normalised(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    return box[0] / SIDE, box[1] / SIDE, box[2] / SIDE, box[3] / SIDE
