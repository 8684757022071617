"""Dense labels of the wider stages: what a patch says of its object and of the sign on it."""

from __future__ import annotations

from lynx_cl.base.nano.labels import ALPHABET, COVERED_BY_SIGN, NAMES, WIDER, Codebook, patch_labels
from lynx_cl.base.nano.model import GRID
from lynx_cl.base.nano.stages import draw_wider_scenes
from lynx_cl.data.scenes import SIDE
from lynx_cl.data.scenes.signs import TEXTS

SCENES = draw_wider_scenes("train", 500, 60, 0.5)
CELL = SIDE // GRID


def patches(scene):
    """Each patch with the object (0: none) that covers most of it."""
    owners = scene.owners()
    for row in range(GRID):
        for column in range(GRID):
            part = owners[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
            counts = [(part == i + 1).sum() for i in range(len(scene.objects))]
            best = max(range(len(counts)), key=counts.__getitem__)
            yield row * GRID + column, best if counts[best] >= 10 else None


def test_objects_know_how_many_are_of_their_kind():
    labels = patch_labels(SCENES)
    for number, scene in enumerate(SCENES):
        for patch, best in patches(scene):
            if labels.size[number, patch] < 0:
                assert labels.same[number, patch] == labels.own[number, patch] == -100
                continue
            thing = scene.objects[best]
            kin = [o for o in scene.objects if o.category == thing.category]
            assert labels.same[number, patch] == len(kin) - 1
            assert labels.alike[number, patch] == sum(o.size == thing.size for o in kin) - 1
            if labels.own[number, patch] >= 0:
                assert labels.own[number, patch] == sorted(o.center[0] for o in kin).index(thing.center[0])


def test_patches_of_a_sign_say_its_text():
    labels = patch_labels(SCENES)
    seen = 0
    for number, scene in enumerate(SCENES):
        mine = labels.word[number] >= 0
        if scene.sign is None:
            assert not mine.any()
            continue
        seen += int(mine.sum())
        assert set(labels.word[number, mine].tolist()) <= {TEXTS.index(scene.sign.text)}
        assert (labels.category[number] == len(NAMES) + 1).tolist() == mine.tolist()
        assert (labels.size[number, mine] == -100).all()
        spelt = "".join(f"{ALPHABET}_"[i] for i in labels.letters[number][mine][0].tolist())
        assert spelt.rstrip("_") == scene.sign.text
        shares = labels.glyphs[number].sum(0)
        assert {ALPHABET[i] for i in shares.nonzero().flatten().tolist()} == set(scene.sign.text)
    assert seen > 60 and COVERED_BY_SIGN < CELL * CELL


def test_the_first_stages_have_the_codebook_that_they_had():
    import torch

    words = torch.randn(50, 16, generator=torch.Generator().manual_seed(0))
    ids = {name: [i % 50] for i, name in enumerate(Codebook.vocabulary())}
    narrow, wide = Codebook(words, ids), Codebook(words, ids, wider=True)
    assert set(wide.tables) - set(narrow.tables) == set(WIDER)
    for name, table in narrow.tables.items():
        assert torch.equal(wide.tables[name][: len(table)], table)
    assert torch.equal(narrow.margins, wide.margins)
