"""What methods put into a LLaVA acts in each text decoder that it comes with, and goes on in generation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from lynx_cl.base.load import Base
from lynx_cl.continual.course import Budget, Course
from lynx_cl.continual.method import method_named, read_method
from lynx_cl.errors import LynxError
from tests.families.tiny import IMAGE_TOKEN, IMAGE_TOKENS, TEXTS, VOCABULARY, tiny_base, tiny_inputs

GREEDY: dict[str, Any] = {"do_sample": False, "eos_token_id": None, "suppress_tokens": [IMAGE_TOKEN]}


class Tokens:
    """A tokenizer that only knows how to take in one more token."""

    def add_tokens(self, tokens: list[Any]) -> None:
        self.known = [str(token) for token in tokens]

    def convert_tokens_to_ids(self, token: str) -> int:
        return VOCABULARY + self.known.index(token)


def course(base: Base) -> Course:
    base = replace(base, processor=SimpleNamespace(tokenizer=Tokens()))
    return Course(base, (), Budget(), 0, Path("nowhere"), print)


def built(name: str, base: Base, **settings: Any) -> Any:
    return method_named(name)(course(base), read_method(name, settings, "test"))


def greedy(model: nn.Module, inputs: dict[str, torch.Tensor], count: int) -> torch.Tensor:
    """The tokens of greedy decoding by whole forwards, nothing kept between them."""
    for _ in range(count):
        logits = model(**inputs).logits[:, -1]
        logits[:, IMAGE_TOKEN] = -torch.inf
        token = logits.argmax(-1, keepdim=True)
        ids = torch.cat([inputs["input_ids"], token], 1)
        inputs = {**inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return inputs["input_ids"][:, -count:]


@pytest.mark.parametrize("text", TEXTS)
def test_a_positional_insert(text: str) -> None:
    base = tiny_base(text)
    inputs = tiny_inputs(2)
    plain = base.model(**inputs).logits
    method = built("pin", base, hidden=4)
    assert torch.equal(base.model(**inputs).logits, plain)
    method.part.requires_grad_(True)
    base.model(**inputs).logits.square().sum().backward()
    nn.init.normal_(base.model.positional_insert.second.weight)
    assert bool(base.model.positional_insert.second.weight.grad.any())
    with torch.no_grad():
        assert not torch.allclose(base.model(**inputs).logits, plain, atol=1e-2)
        wanted = greedy(base.model, inputs, 5)
        got = base.model.generate(**inputs, max_new_tokens=5, **GREEDY)
    assert torch.equal(got[:, -5:], wanted)


@pytest.mark.parametrize("text", TEXTS)
def test_prompts_of_a_pool(text: str) -> None:
    base = tiny_base(text)
    method = built("prompt-pool", base, prompts=5, chosen=2, length=2)
    plain = tiny_inputs(2)
    before = base.model(**plain).logits
    marks = torch.full((2, 4), method.marks.token)
    ids = torch.cat([plain["input_ids"][:, :IMAGE_TOKENS], marks, plain["input_ids"][:, IMAGE_TOKENS:]], 1)
    inputs = {**plain, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
    assert torch.equal(base.model(**plain).logits, before)  # without marks it is the base
    method.part.requires_grad_(True)
    first = base.model(**inputs).logits
    first.square().sum().backward()
    moved = method.pool.prompts.grad.view(5, -1).any(1)
    assert sorted(moved.nonzero().flatten().tolist()) == sorted(method.pool.chosen.unique().tolist())
    with torch.no_grad():
        method.pool.prompts.add_(torch.randn(method.pool.prompts.shape, generator=torch.Generator().manual_seed(1)))
        assert not torch.allclose(base.model(**inputs).logits, first, atol=1e-2)
        method.pool.keys.copy_(torch.randn(method.pool.keys.shape, generator=torch.Generator().manual_seed(2)))
        got = base.model.generate(**inputs, max_new_tokens=4, **GREEDY)
        chosen = method.pool.chosen
        wanted = torch.cat([fixed(base.model, method, {k: v[i : i + 1] for k, v in inputs.items()}, 4) for i in (0, 1)])
    assert torch.equal(got[:, -4:], wanted) and chosen.shape == (2, 2)


def fixed(model: nn.Module, method: Any, inputs: dict[str, torch.Tensor], count: int) -> torch.Tensor:
    """As `greedy`, with the prompts that the request itself chose: what is said later must not change them."""
    model(**inputs)
    own, pool = method.pool.chosen, method.pool
    vectors = pool.prompts.view(pool.config.prompts, -1)[own].reshape(1, -1, pool.hidden)
    method.marks.fill = lambda queries: vectors
    try:
        return greedy(model, inputs, count)
    finally:
        method.marks.fill = pool


def test_pin_needs_a_projector() -> None:
    base = replace(tiny_base(), model=nn.Linear(2, 2))
    with pytest.raises(LynxError, match="base Linear: no multi_modal_projector with a linear layer found"):
        built("pin", base)
