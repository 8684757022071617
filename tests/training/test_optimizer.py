"""The optimiser of banks against torch's own Muon and AdamW."""

from __future__ import annotations

import torch
from torch import nn

from lynx_cl.training.optimizer import BankOptimizer, orthogonal


def test_orthogonal_brings_singular_values_near_one():
    generator = torch.Generator().manual_seed(0)
    for shape in ((6, 6), (4, 12), (12, 4), (3, 8, 5)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape, generator=generator)))
        assert values.min() > 0.5 and values.max() < 1.4


def run(optimizer, parameter, steps=5):
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    return parameter.detach()


def test_a_matrix_moves_as_torchs_muon_moves_it():
    start = torch.randn(16, 8, generator=torch.Generator().manual_seed(2))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    moved = run(BankOptimizer([ours], lr=0.01, weight_decay=0.1), ours)
    muon = torch.optim.Muon([theirs], lr=0.01, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    expected = run(muon, theirs)
    # torch iterates in bfloat16
    assert (moved - expected).norm() < 0.05 * (expected - start).norm()


def test_each_matrix_of_a_stack_moves_as_it_would_alone():
    start = torch.randn(3, 8, 6, generator=torch.Generator().manual_seed(3))
    stack = nn.Parameter(start.clone())
    alone = nn.Parameter(start[1].clone())
    gradient = torch.randn(3, 8, 6, generator=torch.Generator().manual_seed(4))
    stack.grad, alone.grad = gradient, gradient[1].clone()
    BankOptimizer([stack], lr=0.01).step()
    BankOptimizer([alone], lr=0.01).step()
    torch.testing.assert_close(stack[1], alone)


def test_a_vector_moves_as_torchs_adamw_moves_it():
    start = torch.randn(7, generator=torch.Generator().manual_seed(5))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    moved = run(BankOptimizer([ours], lr=0.01, weight_decay=0.1), ours)
    expected = run(torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.0, betas=(0.9, 0.98)), theirs)
    torch.testing.assert_close(moved, expected)


def test_a_group_that_is_no_matrix_to_muon_moves_as_adamw_moves_it() -> None:
    start = torch.randn(9, 4, generator=torch.Generator().manual_seed(6))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    moved = run(BankOptimizer([{"params": [ours], "muon": False}], lr=0.01), ours)
    expected = run(torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.0, betas=(0.9, 0.98)), theirs)
    torch.testing.assert_close(moved, expected)


def test_a_checkpoint_of_before_there_were_groups_goes_on() -> None:
    matrix = nn.Parameter(torch.eye(3))
    optimizer = BankOptimizer([matrix], lr=0.01)
    run(optimizer, matrix, steps=1)
    kept = optimizer.state_dict()
    for group in kept["param_groups"]:
        del group["muon"], group["scale"]
    again = BankOptimizer([matrix], lr=0.01)
    again.load_state_dict(kept)
    assert again.param_groups[0]["muon"] is True and again.param_groups[0]["scale"] == 1.0
    run(again, matrix, steps=1)


def test_no_gradient_no_step_and_a_zero_gradient_is_finite():
    still, zero = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.zeros(2, 2))
    zero.grad = torch.zeros(2, 2)
    BankOptimizer([still, zero], lr=0.1).step()
    assert still.tolist() == [[1, 1], [1, 1]] and torch.isfinite(zero).all()
