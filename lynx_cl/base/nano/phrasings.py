"""How nano's pretraining questions are put: several phrasings for each kind, and what people do to a sentence."""

from __future__ import annotations

import random

TEMPLATES: dict[str, tuple[str, ...]] = {
    "caption": (
        "Describe the picture.",
        "What does the picture show?",
        "What can you see in this picture?",
        "Give a short caption.",
        "List the things in the image from left to right.",
        "Write a caption for this image.",
        "Tell me what is in the picture.",
    ),
    "describe": (
        "Describe the {x}.",
        "Tell me about the {x}.",
        "What can you say about the {x}?",
        "Say something about the {x} in the picture.",
        "Give a description of the {x}.",
    ),
    "presence": (
        "Is there {a} in the picture?",
        "Is there {a}?",
        "Do you see {a}?",
        "Can you see {a} in the image?",
        "Does the picture show {a}?",
        "Is {a} visible?",
        "Does the image contain {a}?",
    ),
    "size": (
        "What size is the {x}?",
        "How large is the {x}?",
        "How big is the {x}?",
        "Is the {x} small, medium or large?",
        "Tell me the size of the {x}.",
    ),
    "place": (
        "In which part of the picture is the {x}?",
        "Which part of the image holds the {x}?",
        "Roughly in which area is the {x}?",
        "In what region of the picture would you look for the {x}?",
    ),
    "at": (
        "What is in the {p}?",
        "Which object is at the {p}?",
        "What do you see at the {p} of the picture?",
        "What is shown in the {p} part?",
        "Name the thing at the {p}.",
    ),
    "next": (
        "What is next to the {x}?",
        "Which object is nearest to the {x}?",
        "What stands closest to the {x}?",
        "Name the thing beside the {x}.",
        "Which object is next to the {x}?",
    ),
    "relation-x": (
        "Is the {x} left or right of the {y}?",
        "Is the {x} to the left or to the right of the {y}?",
        "On which side of the {y} is the {x}, left or right?",
        "Left or right: where is the {x} seen from the {y}?",
    ),
    "relation-y": (
        "Is the {x} above or below the {y}?",
        "Is the {x} higher or lower than the {y}, above or below?",
        "Above or below: where is the {x} seen from the {y}?",
        "Does the {x} lie above or below the {y}?",
    ),
    "count": (
        "How many objects are there?",
        "How many things are in the picture?",
        "Count all the objects.",
        "What is the number of things shown?",
        "How many objects do you see in total?",
    ),
    "odd": (
        "Which object is the odd one out?",
        "What does not belong with the others?",
        "Which one is different from the rest?",
        "Name the odd one out.",
    ),
    "ground": (
        "What colour is the background?",
        "What is the colour of the ground?",
        "Which colour is behind the objects?",
        "Name the background colour.",
    ),
    "kind": (
        "Which {s} is in the picture?",
        "What {s} do you see?",
        "Name the {s} in the image.",
    ),
    "which": (
        "What is the {e}?",
        "Which thing is the {e}?",
        "Name the {e}.",
        "What do you call the {e}?",
        "Tell me what the {e} is.",
    ),
    "many": (
        "How many {xs} are there?",
        "How many {xs} are in the picture?",
        "What is the number of {xs}?",
        "Count the {xs}.",
        "How many {xs} do you see?",
    ),
    "more": (
        "Are there more {xs} or more {ys}?",
        "Which are there more of, {xs} or {ys}?",
        "What do you see more of, {xs} or {ys}?",
        "More {xs} or more {ys}?",
    ),
    "larger": (
        "Which is larger, the {x} or the {y}?",
        "What is bigger, the {x} or the {y}?",
        "Which of the two is larger: the {x} or the {y}?",
    ),
    "smaller": (
        "Which is smaller, the {x} or the {y}?",
        "What is smaller, the {x} or the {y}?",
        "Which of the two is smaller: the {x} or the {y}?",
    ),
    "further": (
        "Which is further {way}, the {x} or the {y}?",
        "What lies further {way}, the {x} or the {y}?",
        "Which of the two is more to the {way} side: the {x} or the {y}?",
    ),
    "list": (
        "List the {xs}.",
        "Describe the {xs} one by one.",
        "Name all {xs} by size and place.",
        "Tell me about each of the {xs}.",
    ),
    "read": (
        "What does the sign say?",
        "What is on the sign?",
        "Which word or number is on the sign?",
        "Give the text of the sign.",
        "What can one read on the sign?",
    ),
}

_POLITE = ("please", "now", "quickly", "look and tell me", "in a few words", "just briefly", "for me", "if you can")
_FILLERS = (
    "well ok hey so then also first next could would you kindly help I want to know my friend asks a question about "
    "this photo here carefully exact exactly answer show give find locate point mark draw say tell where what"
).split()


def vary(text: str, rng: random.Random, stray: bool) -> str:
    """A human's habits: a polite word, no capital, no question mark, a stray word before."""
    if rng.random() < 0.15:
        text = f"{rng.choice(_POLITE)}, {text[0].lower()}{text[1:]}"
    if stray and rng.random() < 0.1:
        text = " ".join(rng.sample(_FILLERS, rng.randint(1, 3))) + " " + text
    if rng.random() < 0.2:
        text = text.lower()
    if rng.random() < 0.15:
        text = text.rstrip("?.")
    return text
