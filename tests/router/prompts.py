"""Prompts of three close intents, written by hand: what is in the picture, where a thing is, where a cell is.

`unseen` phrasings and things appear in no training prompt; `FOREIGN` ones belong to no task.
"""

from __future__ import annotations

import random

from lynx_cl.base.nano.questions import KINDS, TEMPLATES

SEEN_THINGS = (
    "dog", "car", "small apple", "chair", "laptop at the top left", "bicycle", "largest cat", "bus", "pizza",
    "bottle on the left", "horse", "umbrella", "clock", "red sofa", "banana", "bench", "bird", "cup", "train", "person",
)  # fmt: skip
UNSEEN_THINGS = (
    "zebra", "toaster", "small boat", "kite at the bottom right", "teddy bear", "truck", "cake", "keyboard",
    "elephant", "traffic light", "woman with the hat", "leftmost sheep",
)  # fmt: skip
CELLS = ("a white blood cell", "the white blood cell", "the WBC", "the leukocyte")

GROUNDING = (
    "Locate {x}.", "Find {x}.", "Find {x} and give its box.", "Draw a box around {x}.", "Where is {x}? Give its box.",
    "Give the bounding box of {x}.", "Mark {x} with a box.", "Point out {x}.", "Give the coordinates of {x}.",
    "Show the position of {x}.", "Detect {x} and return its box.", "Highlight {x}.", "Can you locate {x}?",
    "Please draw a rectangle around {x}.", "I need the bounding box of {x}.", "Mark the spot of {x}.",
)  # fmt: skip
GROUNDING_UNSEEN = (
    "Locate {x} for me and answer with a box.", "Please find {x}.", "Put a box round {x}.", "Could you mark {x}?",
    "Which coordinates does {x} have?", "Show me {x} with a frame around it.", "Give me the exact box of {x}.",
)  # fmt: skip
CELL = (
    "Where is {x}?", "Where is {x} on the slide?", "Find {x} in this blood sample.", "Locate {x}.", "Mark {x}.",
    "Draw a box around {x} in this microscope image.", "Give the position of {x}.",
    "Point out {x} among the red cells.", "Detect {x} in this blood smear.", "Show me {x}.",
)  # fmt: skip
CELL_UNSEEN = (
    "Where can I find {x}?", "Where exactly is {x} under the microscope?", "Mark {x} in the photo of the blood.",
    "Give the box of {x}.", "Please point to {x} on this slide.",
)  # fmt: skip
BASE_UNSEEN = (
    "Say what this picture shows.", "Describe this image in one sentence.", "Can you tell whether there is a {x}?",
    "Is any {x} to be seen?", "Is the {x} a big one?", "Which area of the image has the {x}?",
    "What is beside the {x}?", "Is the {x} on the left of the {y} or on the right?",
    "Is the {x} over or under the {y}?",
    "How many things does the picture show?", "Which thing is the odd one?", "Tell me the colour of the background.",
    "What animal is shown?", "What do you see at the bottom left?", "Tell me something about the {x}.",
)  # fmt: skip
FOREIGN = (
    "What is the capital of France?", "Write a python function that sorts a list.", "Bonjour, comment allez-vous ?",
    "asdf qwer zxcv", "Tell me a joke.", "What is 17 times 23?", "Who won the football world cup in 1998?",
    "Translate this sentence into German.", "How do I cook rice?", "Good morning!", "Recommend a book on history.",
    "SELECT * FROM users WHERE id = 1;",
)  # fmt: skip


def seen() -> dict[str, dict[str, list[str]]]:
    """Training prompts by task and phrasing, about 150 a task."""
    rng = random.Random(0)
    base = {
        template: [template.format(**_fields(rng, SEEN_THINGS)) for _ in range(3 if "{" in template else 1)]
        for kind, templates in TEMPLATES.items()
        if kind.partition("-")[0] in KINDS  # not those that only the wider base was asked
        for template in templates
    }
    grounding = {t: [t.format(x=f"the {rng.choice(SEEN_THINGS)}") for _ in range(8)] for t in GROUNDING}
    return {"base": base, "grounding": grounding, "cells": {t: [t.format(x=x) for x in CELLS[:3]] for t in CELL}}


def unseen() -> dict[str, list[str]]:
    """Held-out prompts: other phrasings about other things."""
    rng = random.Random(1)
    base = [t.format(**_fields(rng, UNSEEN_THINGS)) for t in BASE_UNSEEN for _ in range(4 if "{" in t else 1)]
    grounding = [t.format(x=f"the {x}") for t in GROUNDING_UNSEEN for x in UNSEEN_THINGS]
    return {"base": base, "grounding": grounding, "cells": [t.format(x=x) for t in CELL_UNSEEN for x in CELLS]}


def _fields(rng: random.Random, things: tuple[str, ...]) -> dict[str, str]:
    x, y = rng.sample(things, 2)
    place = f"{rng.choice(('top', 'middle', 'bottom'))} {rng.choice(('left', 'center', 'right'))}"
    return {
        "x": x,
        "y": y,
        "a": f"a {x}",
        "p": place,
        "e": f"{x} left of the {y}",
        "s": rng.choice(("animal", "vehicle", "piece of furniture")),
    }
