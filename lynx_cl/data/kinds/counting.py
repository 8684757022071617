"""Counting: how many things of one label there are, as a word. Examples: `data/counting.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lynx_cl.data.kinds import TaskKind, register

if TYPE_CHECKING:
    from lynx_cl.data.pictures import PictureSet
    from lynx_cl.data.sources import DataSource, Wanted


def _source(pictures: PictureSet, wanted: Wanted) -> DataSource:
    from lynx_cl.data.counting import counting_source

    return counting_source(pictures, wanted)


KIND = register(TaskKind("counting", metrics=("accuracy",), keys=("absent",), source=_source))
