"""Scenes as a COCO detection data set: true COCO JSON, exact by construction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from pycocotools import mask as rle

from lynx_cl.data.scenes.categories import BY_NAME, Category
from lynx_cl.data.scenes.places import SIDE
from lynx_cl.data.scenes.scene import Scene


def to_coco(scenes: Iterable[Scene]) -> dict[str, Any]:
    """The COCO detection JSON of scenes, ids from 1 in order; `file_name` is what `data build` calls pictures.

    Boxes are (x, y, width, height) in pixels of the visible part, areas count visible pixels, and segmentations are
    run lengths (COCO's compressed RLE) of just those pixels.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    used: dict[int, Category] = {}
    for number, scene in enumerate(scenes, 1):
        name = f"{scene.key.replace('/', '-')}.png"
        images.append({"id": number, "file_name": name, "width": SIDE, "height": SIDE, "license": 1})
        owners = scene.owners()
        for index, thing in enumerate(scene.objects, 1):
            category = BY_NAME[thing.category]
            used[category.id] = category
            visible = np.asfortranarray(owners == index, dtype=np.uint8)
            run_lengths = rle.encode(visible)
            x0, y0, x1, y1 = thing.box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": category.id,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": int(visible.sum()),
                    "segmentation": {"size": [SIDE, SIDE], "counts": run_lengths["counts"].decode("ascii")},
                    "iscrowd": 0,
                }
            )
    return {
        "info": {"description": "Lynx-CL scenes", "version": "1"},
        "licenses": [{"id": 1, "name": "CC BY-SA 4.0 (OpenMoji)", "url": "https://openmoji.org"}],
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": c.id, "name": c.name, "supercategory": c.supercategory}
            for c in sorted(used.values(), key=lambda c: c.id)
        ],
    }
