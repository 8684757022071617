"""Which prompts of a pool a query chooses, worked out by hand."""

from __future__ import annotations

import pytest
import torch

from lynx_cl.continual.methods.prompt_pool import Pool, PromptPoolSettings


def test_a_pool_chooses_the_nearest_keys_and_in_training_the_less_used() -> None:
    config = PromptPoolSettings(prompts=3, chosen=1, length=1)
    pool = Pool(torch.eye(4), config, torch.Generator().manual_seed(0))
    keys = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    with torch.no_grad():
        pool.keys.copy_(keys.flatten())
    pool.used = torch.tensor([9.0, 0.0, 0.0])
    query = torch.tensor([[2.0, 0.5, 0.0, 0.0]])
    apart = [1 - 2 / 4.25**0.5, 1 - 2.5 / (4.25 * 2) ** 0.5, 1.0]
    with torch.no_grad():
        assert torch.equal(pool(query)[0, 0], pool.prompts.view(3, 4)[0]) and pool.chosen.tolist() == [[0]]
        assert pool.distance.item() == pytest.approx(apart[0], abs=1e-5)
    pool(query)  # 10 / 12 x 0.03 against 1 / 12 x 0.14
    assert pool.chosen.tolist() == [[1]] and pool.distance.item() == pytest.approx(apart[1], abs=1e-5)
    pool.distance.backward()
    assert pool.keys.grad is not None and pool.keys.grad.view(3, 4)[[0, 2]].abs().sum() == 0
