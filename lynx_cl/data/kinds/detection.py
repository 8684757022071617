"""Detection: everything, or all things of one label, each with its box, from left to right; or that there is none."""

from __future__ import annotations

from lynx_cl.data.example import Picture
from lynx_cl.data.kinds import Asking, Query, TaskKind, register
from lynx_cl.data.words import plural

MOST = 8  # things in one answer; a question whose answer would be longer is not asked
LABELS = 2  # labels of a picture that are asked about by themselves
NONE = "none"
_ALL = ("objects", "things")


def queries(picture: Picture, asking: Asking) -> list[Query]:
    things, crowds, rng = asking.things(picture), asking.crowds(picture), asking.rng
    if not things:
        return []
    held = sorted({target.label for target in things})
    groups = {label: [t for t in things if t.label == label] for label in rng.sample(held, min(LABELS, len(held)))}
    made = [] if crowds else [(rng.choice(_ALL), things, "all")]
    made += [(plural(asking.name(label)), own, "label") for label, own in groups.items()]
    absent = [label for label in asking.labels if label not in held and label not in crowds]
    if absent and rng.random() < asking.wanted.card.absent:
        made.append((plural(asking.name(rng.choice(absent))), [], "none"))
    return [
        Query(
            {"x": words},
            asking.wanted.grammar.write_all((asking.name(t.label), t.box) for t in own) or NONE,
            tuple(own),
            kind,
        )
        for words, own, kind in made
        if len(own) <= MOST
    ]


KIND = register(
    TaskKind("detection", metrics=("f1", "map50"), queries=queries, keys=("grammar", "absent"), boxes=True, tokens=192)
)
