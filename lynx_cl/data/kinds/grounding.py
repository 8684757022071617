"""Grounding: one thing is asked for, its box is the answer. Examples: `data/regions.py`, `data/scout.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lynx_cl.data.kinds import TaskKind, register

if TYPE_CHECKING:
    from lynx_cl.data.pictures import PictureSet
    from lynx_cl.data.sources import DataSource, Wanted


def _source(pictures: PictureSet, wanted: Wanted) -> DataSource:
    from lynx_cl.data.regions import region_source

    return region_source(pictures, wanted)


KIND = register(
    TaskKind(
        "grounding",
        metrics=("acc_iou50", "mean_iou"),
        keys=("grammar", "only_single", "chains", "expressions", "views"),
        boxes=True,
        source=_source,
        phrases=True,
    )
)
