"""The trunk embedder: the base's own features below the first tap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BatchFeature

from lynx_cl.banks.attach import attach
from lynx_cl.banks.base import build_bank
from lynx_cl.base.load import Base
from lynx_cl.base.taps import find_taps
from lynx_cl.errors import LynxError
from lynx_cl.evaluation.generate import answer, answer_on_the_way
from lynx_cl.router.embedders import BothEmbedder, Request
from lynx_cl.router.trunk import PICTURE, PROMPT_LIMIT, TrunkEmbedder
from tests.banks.detectors import owlv2
from tests.families.tiny import HIDDEN, IMAGE_TOKEN, IMAGE_TOKENS, SIDE, tiny_base
from tests.router.embedding import WordEmbedder


class LetterProcessor:
    """A token a letter, and the picture's pixels as they are."""

    def __init__(self) -> None:
        self.tokenizer = self
        self.bos_token = None
        self.chat_template, self.image_token = "its own", "#"
        self.pad_token_id = 0
        self.longest = 0

    def batch_decode(self, rows: torch.Tensor, skip_special_tokens: bool) -> list[str]:
        return [self.decode(row) for row in rows.tolist()]

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))

    def apply_chat_template(self, turns: list[dict[str, Any]], **options: Any) -> str:
        return str(turns[0]["content"][1]["text"])

    def __call__(self, text: Any, images: Any = None, **options: Any) -> Any:
        if images is None:
            return {"input_ids": list(map(ord, text))}
        self.longest = len(text[0])
        ids = torch.tensor([[IMAGE_TOKEN] * IMAGE_TOKENS + [4 + ord(x) % 60 for x in one[:64]] for one in text])
        pixels = torch.stack([torch.from_numpy(np.asarray(i, np.float32)).permute(2, 0, 1) / 255 for (i,) in images])
        return BatchFeature({"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels})


@pytest.fixture(scope="module")
def base() -> Base:
    return replace(tiny_base("llama"), processor=LetterProcessor())


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (SIDE, SIDE, 3), np.uint8))


def test_rows_are_pooled_words_and_states_below_the_first_tap(base: Base) -> None:
    embedder = TrunkEmbedder(base)
    row = embedder.embed([Request("find the dog", picture(0))])[0]
    assert row.shape == (embedder.dimension,) == (3 * HIDDEN,) and row.dtype == np.float32
    inputs = base.processor(text=["find the dog"], images=[[picture(0)]])
    seen = base.model(**inputs, output_hidden_states=True).hidden_states
    words, states = seen[0][0], seen[find_taps(base.model)[0].layer][0]
    assert not torch.equal(words, states)
    parts = [
        *((x / x.norm(dim=1, keepdim=True)).mean(0) for x in (words[IMAGE_TOKENS:], states[IMAGE_TOKENS:])),
        states[:IMAGE_TOKENS].mean(0),
    ]
    expected = torch.cat([weight * part / part.norm() for part, weight in zip(parts, (1, 1, PICTURE), strict=True)])
    np.testing.assert_allclose(row, (expected / expected.norm()).numpy(), atol=1e-5)


def test_text_and_picture_both_matter_and_the_batch_does_not(base: Base) -> None:
    embedder = TrunkEmbedder(base)
    requests = [Request(text, picture(seed)) for text, seed in (("a", 0), ("a", 1), ("b", 0))]
    rows = embedder.embed(requests)
    assert not np.array_equal(rows[0, 2 * HIDDEN :], rows[1, 2 * HIDDEN :]) and not np.array_equal(rows[0], rows[2])
    assert np.array_equal(rows[2:], embedder.embed(requests[2:]))
    assert not any(layer._forward_pre_hooks for layer in base.model.model.language_model.layers)


def test_a_missing_picture_is_an_error_and_a_long_prompt_is_cut(base: Base) -> None:
    embedder = TrunkEmbedder(base)
    with pytest.raises(LynxError, match="give --image"):
        embedder.embed([Request("find the dog")])
    embedder.embed([Request("x" * 5000, picture(0))])
    assert base.processor.longest == PROMPT_LIMIT


def test_requests_are_routed_within_their_own_forward(base: Base) -> None:
    """The vectors are those of `embed`, each row goes on with the bank it was given, and no layer runs twice."""
    taps = find_taps(base.model)
    embedder = TrunkEmbedder(base)
    assert embedder.layer == taps[0].name.rpartition(".")[0]
    requests = [Request(text, picture(seed)) for seed, text in enumerate(("find it", "count x", "find me", "say why"))]
    owners = ["a", None, "b", {"a": 0.5, "b": 0.5}]
    seen: list[np.ndarray] = []
    passes: list[int] = []

    def route(places: Sequence[int], rows: np.ndarray) -> list[Any]:
        seen.append(rows)
        return [owners[place] for place in places]

    with attach(base.model, taps) as attachment:
        for seed, name in enumerate("ab"):
            bank = build_bank("lora", taps, base.model, {"rank": 2}, seed)
            for parameter in bank.parameters():
                parameter.data.normal_(generator=torch.Generator().manual_seed(seed))
            attachment.add(name, bank)
        expected = answer(base, attachment, requests, owners, max_new_tokens=4)
        handle = base.model.get_submodule(embedder.layer).register_forward_hook(lambda *_: passes.append(1))
        found = answer_on_the_way(base, attachment, requests, embedder, route, max_new_tokens=4)
        handle.remove()
        assert attachment.plan is None
    assert found == expected and len(set(expected)) > 1
    assert len(seen) == 1 and len(passes) == 4
    np.testing.assert_allclose(seen[0], embedder.embed(requests), atol=1e-5)


def test_a_detector_answers_a_request_that_is_routed_to_it_on_the_way(base: Base, tmp_path: Path) -> None:
    taps, embedder = find_taps(base.model), TrunkEmbedder(base)
    requests = [Request(text, picture(seed)) for seed, text in enumerate(("find it", "find me", "say why"))]
    owners: list[Any] = ["far", None, {"far": 0.75}]
    far = build_bank("external", [], base.model, {"model": str(owlv2(tmp_path / "owlv2"))}, 0)
    with attach(base.model, taps) as attachment:
        plain = answer(base, attachment, requests, [None] * 3, max_new_tokens=4)
        attachment.add("far", far)
        expected = answer(base, attachment, requests, owners, max_new_tokens=4)

        def route(places: Sequence[int], rows: np.ndarray) -> list[Any]:
            return [owners[place] for place in places]

        found = answer_on_the_way(base, attachment, requests, embedder, route, max_new_tokens=4)
    assert found == expected and found[1] == plain[1]
    assert found[0].startswith("left ") and found[2].startswith("left ")


def test_both_puts_the_two_behind_each_other(base: Base) -> None:
    text, trunk = WordEmbedder(), TrunkEmbedder(base)
    both = BothEmbedder(text, trunk)
    requests = [Request("find the dog", picture(0)), Request("count it", picture(1))]
    rows = both.embed(requests)
    assert rows.shape == (2, both.dimension) == (2, 16 + 3 * HIDDEN)
    np.testing.assert_allclose(rows[:, :16] * 2**0.5, text.embed(requests), atol=1e-6)
    np.testing.assert_allclose(rows[:, 16:] * 2**0.5, trunk.embed(requests), atol=1e-6)
    assert both.digest not in (text.digest, trunk.digest) and both.pictures
