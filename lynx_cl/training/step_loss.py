"""The step loss: the mean over steps of each step's cross-entropy, so that a long answer does not drown a short one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE = -100


def step_loss(logits: Tensor, labels: Tensor, step_ids: Tensor, step_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean over the steps of a batch of each step's mean next-token cross-entropy.

    logits (rows, tokens, vocabulary): position t predicts token t + 1. labels (rows, tokens): IGNORE outside answers.
    step_ids (rows, tokens): at answer tokens the step's number in its row, a column of step_weights (rows, steps).

    Returns the loss, and the mean cross-entropy of each step, (rows, steps), NaN where a row lacks the step. With one
    step in one row the loss is plain next-token cross-entropy.

    >>> logits = torch.zeros(1, 4, 8)
    >>> labels = torch.tensor([[-100, 5, 6, 7]])
    >>> steps = torch.tensor([[-1, 0, 0, 1]])
    >>> loss, each = step_loss(logits, labels, steps, torch.ones(1, 2))
    >>> round(loss.item(), 4), each.shape  # log 8
    (2.0794, torch.Size([1, 2]))
    """
    answers = answer_positions(labels)
    losses = F.cross_entropy(logits[answers].float(), next_tokens(labels)[answers], reduction="none")
    total, weight, each = sum_steps(losses, answers.nonzero()[:, 0], next_tokens(step_ids)[answers], step_weights)
    return total / weight, each


def sum_steps(losses: Tensor, rows: Tensor, steps: Tensor, step_weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The step loss of answer tokens given one by one (their losses, rows and step numbers, each (tokens,)), in parts.

    Gives the weighted sum over steps of each one's mean loss and the sum of their weights, which add up over the shares
    of a batch, and the mean loss of each step as `step_loss` does.
    """
    place = rows * step_weights.shape[1] + steps
    size = step_weights.numel()
    count = torch.zeros(size, device=losses.device).index_add(0, place, torch.ones_like(losses))
    total = torch.zeros(size, device=losses.device).index_add(0, place, losses)
    present = count > 0
    mean = total / count.clamp(min=1)
    weight = step_weights.flatten().to(mean.dtype) * present
    each = mean.detach().masked_fill(~present, float("nan")).view(step_weights.shape)
    return (weight * mean).sum(), weight.sum(), each


def answer_positions(labels: Tensor) -> Tensor:
    """True at every position whose next token is part of an answer, (rows, tokens)."""
    return next_tokens(labels) != IGNORE


def next_tokens(values: Tensor) -> Tensor:
    """Values moved one position back, so that position t holds what belongs to token t + 1; IGNORE at the end."""
    return F.pad(values[:, 1:], (0, 1), value=IGNORE)
