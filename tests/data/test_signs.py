"""Signs: what they say is legible where they are, they cover nothing, and scenes without one stay as they were."""

from __future__ import annotations

import hashlib

import numpy as np

from lynx_cl.data.scenes import COCO, SIDE, make_flock, make_scene, with_sign
from lynx_cl.data.scenes.signs import LETTERS, NUMBERS, TEXTS, WORDS, plate_pixels

#: sha256 of the first scenes of each split, from before there were signs.
BEFORE = "1e72efb5ad2378029f6d4571a17aa75cd9efdcfae5114a59182efb0d5945b17f"


def signed(count=300):
    scenes = (with_sign(make_scene("train", 7, index)) for index in range(count))
    return [scene for scene in scenes if scene.sign is not None]


def test_scenes_without_a_sign_are_what_they_were():
    digest = hashlib.sha256()
    for split in ("pretrain", "train", "calibration", "test"):
        for index in range(25):
            scene = make_scene(split, 0, index)
            digest.update(scene.key.encode() + repr(scene.objects).encode())
    assert digest.hexdigest() == BEFORE


def test_a_sign_changes_its_own_plate_alone():
    found = signed()
    assert len(found) > 240
    for scene in found:
        plain = make_scene("train", 7, scene.index)
        assert plain.objects == scene.objects and plain.key != scene.key
        x0, y0, x1, y1 = (int(v) for v in scene.sign.box)
        rows, columns = np.nonzero((plain.pixels() != scene.pixels()).any(-1))
        assert x0 <= columns.min() and columns.max() < x1 and y0 <= rows.min() and rows.max() < y1
        assert 0 <= x0 and x1 <= SIDE and 0 <= y0 and y1 <= SIDE
        assert not scene.owners()[y0:y1, x0:x1].any()


def test_no_two_texts_look_alike():
    plates = [plate_pixels(text, 0) for text in TEXTS]
    assert len({plate.tobytes() + bytes(plate.shape) for plate in plates}) == len(TEXTS)
    for i, one in enumerate(plates):
        for other in plates[:i]:
            if one.shape == other.shape:
                assert (np.abs(one - other) > 128).any(-1).sum() >= 6  # pixels


def test_words_are_short_and_name_nothing_in_the_scenes():
    assert len(WORDS) == 60 and len(NUMBERS) == 100 and max(map(len, TEXTS)) == LETTERS
    assert not set(WORDS) & {word for c in COCO for word in (c.name, c.plural)}


def test_letters_lie_side_by_side_on_the_plate():
    for scene in signed(60):
        letters = scene.sign.letters()
        assert "".join(letter for letter, _ in letters) == scene.sign.text
        x0, y0, x1, y1 = scene.sign.box
        edges = [box[0] for _, box in letters] + [letters[-1][1][2]]
        assert edges == sorted(edges) and x0 < edges[0] and edges[-1] <= x1 + 1
        assert all(y0 < box[1] < box[3] < y1 for _, box in letters)


def test_flocks_hold_few_categories_and_are_pictures_of_their_own():
    flocks = [make_flock("train", 7, index) for index in range(100)]
    assert max(len({o.category for o in scene.objects}) for scene in flocks) <= 3
    assert sum(len(scene.objects) > len({o.category for o in scene.objects}) for scene in flocks) > 60
    assert all(make_scene("train", 7, scene.index).key != scene.key for scene in flocks)
    assert flocks[3] == make_flock("train", 7, 3)
