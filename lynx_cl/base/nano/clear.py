"""What is clear in a scene: which thing stands alone, which is nearest, which comes first, each with a margin."""

from __future__ import annotations

from collections import Counter

from lynx_cl.data.scenes.scene import Scene, SceneObject

MARGIN = 4.0  # pixels: a place, a side or a nearest neighbour is asked for only when it is this clear


def single(scene: Scene) -> list[SceneObject]:
    """The objects that are the only ones of their category."""
    counts = Counter(o.category for o in scene.objects)
    return [o for o in scene.objects if counts[o.category] == 1]


def nearest(thing: SceneObject, scene: Scene) -> SceneObject | None:
    """The object whose centre is nearest, if it is nearest by MARGIN pixels; else None."""
    ranked = sorted(
        ((_distance(thing, other), i) for i, other in enumerate(scene.objects) if other is not thing),
    )
    if not ranked or (len(ranked) > 1 and ranked[1][0] - ranked[0][0] < MARGIN):
        return None
    return scene.objects[ranked[0][1]]


def rank(thing: SceneObject, scene: Scene, axis: int, from_end: bool) -> int | None:
    """How many objects come before this one along an axis (0: x, 1: y), counted from its start or its end.

    None where the centre of another lies within MARGIN pixels of its own on that axis."""
    mine = thing.center[axis]
    others = [other.center[axis] for other in scene.objects if other is not thing]
    if any(abs(place - mine) < MARGIN for place in others):
        return None
    return sum((place > mine) if from_end else (place < mine) for place in others)


def _distance(a: SceneObject, b: SceneObject) -> float:
    return ((a.center[0] - b.center[0]) ** 2 + (a.center[1] - b.center[1]) ** 2) ** 0.5
