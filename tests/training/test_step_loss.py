"""The step loss by hand, and what it reduces to."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from lynx_cl.training.step_loss import step_loss
from tests.families.tiny import tiny_batch, tiny_llava


def test_one_step_in_one_row_is_plain_next_token_loss() -> None:
    model = tiny_llava("llama")
    batch = tiny_batch(rows=1)
    steps = torch.where(batch.labels == -100, -1, 0)
    out = model(batch.input_ids, pixel_values=batch.pixel_values, labels=batch.labels)
    loss, each = step_loss(out.logits, batch.labels, steps, torch.ones(1, 1))
    torch.testing.assert_close(loss, out.loss)
    torch.testing.assert_close(each, out.loss[None, None])


def test_by_hand() -> None:
    logits = torch.zeros(2, 5, 4)
    logits[0, 0, 1] = 3.0  # predicts token 1 of row 0
    labels = torch.tensor([[-100, 1, 2, 2, 2], [-100, -100, -100, 3, -100]])
    steps = torch.tensor([[-1, 0, 1, 1, 1], [-1, -1, -1, 1, -1]])
    weights = torch.tensor([[2.0, 1.0], [5.0, 1.0]])
    first, chance = math.log(math.exp(3) + 3) - 3, math.log(4)
    loss, each = step_loss(logits, labels, steps, weights)
    # row 1 lacks step 0, so its weight of 5 counts for nothing
    assert math.isclose(loss.item(), (2 * first + chance + chance) / 4, rel_tol=1e-6)
    torch.testing.assert_close(each, torch.tensor([[first, chance], [float("nan"), chance]]), equal_nan=True)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(0, 10_000))
def test_a_long_step_weighs_no_more_than_a_short_one(length: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, length + 2, 7, generator=generator)
    tokens = torch.randint(0, 7, (1, length + 2), generator=generator)
    labels = tokens.clone()
    labels[0, 0] = -100
    steps = torch.tensor([[-1, 0] + [1] * length])
    losses = F.cross_entropy(logits[0, :-1], tokens[0, 1:], reduction="none")
    loss, _ = step_loss(logits, labels, steps, torch.ones(1, 2))
    torch.testing.assert_close(loss, (losses[0] + losses[1:].mean()) / 2)
