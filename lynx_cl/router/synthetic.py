"""Made-up intents for judging a router of many tasks: an action on a kind of thing, in several wordings each."""

from __future__ import annotations

import random
from itertools import product

ACTIONS = {
    "list": ("list all {}", "name every one of the {}", "give me an inventory of the {}"),
    "count": ("count the {}", "how many {} are there", "give the number of {}"),
    "box": ("draw a box around the {}", "put a rectangle on the {}", "give the coordinates of the {}"),
    "outline": ("trace the outline of the {}", "segment the {}", "cut the {} out of the background"),
    "colour": ("tell me the colour of the {}", "which colour do the {} have", "say what hue the {} are"),
    "read": ("read what is written on the {}", "transcribe the words on the {}", "type out the text on the {}"),
    "compare": ("compare the {} by size", "which of the {} is the largest", "rank the {} from large to small"),
    "age": ("estimate how old the {} are", "guess the age of the {}", "date the {}"),
    "damage": ("look for damage on the {}", "are the {} broken anywhere", "inspect the {} for defects"),
    "caption": ("write a caption about the {}", "describe the {} in a sentence", "sum up the {} in words"),
    "price": ("estimate what the {} cost", "put a price on the {}", "say how much the {} are worth"),
    "distance": ("how far away are the {}", "estimate the distance to the {}", "tell how near the {} are"),
    "material": ("what are the {} made of", "name the material of the {}", "which stuff are the {} built from"),
    "blur": ("blur the {}", "make the {} unrecognisable", "hide the {} by pixelation"),
    "story": ("make up a story about the {}", "invent a tale in which the {} appear", "write a fiction on the {}"),
    "warn": ("warn me of hazards near the {}", "are the {} dangerous", "check the {} for safety risks"),
    "order": ("name the {} from left to right", "read the row of {} in order", "say which of the {} comes first"),
    "pair": ("find two {} that match", "which {} belong together", "pair up the {}"),
    "weather": ("tell the weather from the {}", "do the {} look wet or dry", "infer rain or sun from the {}"),
    "pose": ("describe how the {} are turned", "which way do the {} face", "tell the orientation of the {}"),
    "brand": ("name the maker of the {}", "which brand are the {}", "recognise the logo on the {}"),
    "empty": ("check whether the {} are empty", "are the {} full", "tell how filled the {} are"),
    "translate": ("translate the labels on the {}", "put the words on the {} into English", "say the {} in French"),
    "move": ("say which of the {} are moving", "are the {} in motion", "tell moving {} from still ones"),
    "sort": ("group the {} by kind", "sort the {} into classes", "arrange the {} in categories"),
}  # fmt: skip
THINGS = {
    "traffic": ("cars", "lorries on the road", "vehicles"),
    "birds": ("birds", "gulls", "feathered animals"),
    "kitchen": ("pots and pans", "kitchen tools", "cooking utensils"),
    "fruit": ("apples and pears", "pieces of fruit", "berries"),
    "books": ("books", "volumes on the shelf", "paperbacks"),
    "people": ("people", "men and women", "passers-by"),
    "cells": ("blood cells", "cells under the microscope", "leukocytes"),
    "plants": ("plants", "flowers in the pots", "houseplants"),
    "ships": ("ships", "boats in the harbour", "sailing vessels"),
    "clothes": ("clothes", "shirts on the rack", "garments"),
    "tools": ("hammers and saws", "tools on the bench", "workshop tools"),
    "houses": ("houses", "buildings along the street", "facades"),
    "signs": ("road signs", "traffic signs", "signposts"),
    "toys": ("toys", "dolls and teddy bears", "building bricks"),
    "animals": ("cows and sheep", "farm animals", "cattle"),
    "screens": ("screens", "monitors on the desk", "displays"),
    "bottles": ("bottles", "jars in the cupboard", "flasks"),
    "coins": ("coins", "pieces of money", "medals"),
    "maps": ("maps", "charts on the wall", "floor plans"),
    "tyres": ("tyres", "wheels of the bicycle", "rims"),
}
FRAMES = ("{}", "please {}", "could you {}", "{}, thanks", "i want you to {}", "in this picture, {}")
MOST = len(ACTIONS) * len(THINGS)


def synthetic_intents(count: int, each: int) -> dict[str, tuple[str, ...]]:
    """`count` intents (MOST at most) of `each` different prompts (54 at most), by name; the same at every call.

    >>> made = synthetic_intents(3, 5)
    >>> len(made), {len(set(texts)) for texts in made.values()}
    (3, {5})
    """
    if not 0 < count <= MOST:
        raise ValueError(f"{count} intents; 1 to {MOST} can be made")
    pairs = list(product(ACTIONS, THINGS))
    random.Random(0).shuffle(pairs)
    made = {}
    for action, thing in pairs[:count]:
        texts = [frame.format(way.format(name)) for frame, way, name in product(FRAMES, ACTIONS[action], THINGS[thing])]
        made[f"{action}-{thing}"] = tuple(random.Random(f"{action}/{thing}").sample(texts, each))
    return made
