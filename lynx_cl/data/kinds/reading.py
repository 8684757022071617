"""Reading: the word or number that is written in the picture."""

from __future__ import annotations

from lynx_cl.data.example import Picture
from lynx_cl.data.kinds import Asking, Query, TaskKind, register


def queries(picture: Picture, asking: Asking) -> list[Query]:
    if not picture.text:
        return []
    return [Query({}, picture.text, (), "number" if picture.text.isdecimal() else "word")]


KIND = register(TaskKind("reading", metrics=("accuracy",), queries=queries, places=(), signs=True))
