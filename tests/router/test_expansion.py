"""Random features: what a linear classifier could not tell apart it can, and nothing else of an embedder changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from lynx_cl.errors import UsageError
from lynx_cl.router.embedders import Request, Rows, Sight, embedder_named, needs_base, unit
from lynx_cl.router.expansion import ExpandedEmbedder, expanded
from lynx_cl.router.router import Router, RouterConfig
from lynx_cl.router.statistics import fit_task
from tests.router.embedding import PROMPTS, WordEmbedder


class Plane:
    """A request's text is a point of the plane, as '0.5 -1'."""

    name, dimension, digest, near, pictures = "plane", 3, "e" * 64, 0.5, False

    def embed(self, requests: Sequence[Request]) -> Rows:
        return unit(np.array([[*map(float, r.text.split()), 0.3] for r in requests], np.float32), self.name)


def xor(count: int, seed: int) -> dict[str, list[Request]]:
    """Two tasks that lie in opposite quadrants each, so that no line parts them."""
    draw = np.random.default_rng(seed)
    sides = draw.choice([-1, 1], size=(2 * count, 2))
    points = sides * draw.uniform(0.2, 1, size=(2 * count, 2))
    names = np.where(sides.prod(1) > 0, "same", "other")
    told = [Request(f"{x:.4f} {y:.4f}") for x, y in points]
    return {name: [r for r, own in zip(told, names, strict=True) if own == name] for name in ("other", "same")}


def accuracy(embedder: object) -> float:
    seen, unseen = xor(120, 1), xor(60, 2)
    tasks = [fit_task(name, own[20:], embedder, own[:20]) for name, own in seen.items()]  # type: ignore[arg-type]
    router = Router.solve(tasks, embedder, RouterConfig(method="lda", error=0.1))  # type: ignore[arg-type]
    right = [d.probabilities[name] > 0.5 for name, own in unseen.items() for d in router.decide(own)]
    return float(np.mean(right))


def test_quadrants_are_told_apart_by_random_features_and_not_without() -> None:
    assert accuracy(Plane()) < 0.7
    assert accuracy(expanded(Plane(), 256)) > 0.95


def test_features_are_those_of_the_formula_row_by_row() -> None:
    inner = WordEmbedder()
    embedder = expanded(inner, 40)
    requests = [Request(text) for text in PROMPTS["grounding"]]
    rows = embedder.embed(requests)
    assert rows.shape == (5, 40) and rows.dtype == np.float32 and embedder.dimension == 40
    drawn = np.random.Generator(np.random.PCG64(20_410_491)).standard_normal((16, 40))
    wanted = np.maximum(inner.embed(requests).astype(np.float64) @ drawn, 0)
    np.testing.assert_allclose(rows, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-6)
    assert all(np.array_equal(embedder.embed([one])[0], row) for one, row in zip(requests, rows, strict=True))
    assert embedder.expanded(np.zeros((0, 16), np.float32)).shape == (0, 40)


def test_near_is_the_cosine_that_many_features_give() -> None:
    embedder = ExpandedEmbedder(Plane(), 4096)
    angle = np.arccos(Plane.near)
    pair = np.array([[1, 0, 0], [np.cos(angle), np.sin(angle), 0]], np.float32)
    first, second = embedder.expanded(pair)
    assert embedder.near == pytest.approx(float(first @ second), abs=0.02)


def test_digests_tell_number_and_embedder_apart() -> None:
    inner = WordEmbedder()
    digests = {inner.digest, *(expanded(inner, count).digest for count in (8, 16)), expanded(Plane(), 8).digest}
    assert len(digests) == 4
    assert expanded(inner, 8).digest == expanded(WordEmbedder(), 8).digest


def test_names() -> None:
    embedder = embedder_named("text+random:64", None)
    assert (embedder.name, embedder.dimension, embedder.pictures) == ("text+random:64", 64, False)
    assert not isinstance(embedder, Sight)
    assert needs_base("trunk+random:64") and not needs_base("text:./a+random:64")
    for name, words in (("text+random:many", "'many' is no number"), ("text+random:0", "between 1 and 4096")):
        with pytest.raises(UsageError, match=words):
            embedder_named(name, None)
    with pytest.raises(UsageError, match="'eyes' is unknown"):
        embedder_named("eyes+random:8", None)


def test_what_looks_through_the_base_still_does() -> None:
    class Looking(Plane):
        layer = "layers.2"

        def whole(self, request: Request) -> bool:
            return len(request.text) < 9

        def pooled(self, requests: Sequence[Request], states: torch.Tensor, inputs: object) -> Rows:
            return self.embed(requests)

    embedder = expanded(Looking(), 32)
    assert isinstance(embedder, Sight) and embedder.layer == "layers.2"
    asked = [Request("1 0.5"), Request("0.2 -1")]
    assert np.array_equal(embedder.pooled(asked, torch.zeros(0), {}), embedder.embed(asked))
    assert embedder.whole(asked[0]) and not embedder.whole(Request("0.2000 -1.0000"))
