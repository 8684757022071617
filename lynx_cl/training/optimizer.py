"""The optimiser of all that is trained: Muon for matrices and stacks of matrices, AdamW for vectors, scalars and words.

Muon (Jordan et al. 2024) moves a matrix along the orthogonal factor of its momentum, found by Newton-Schulz iteration;
with the step scaled to the size of AdamW's (Liu et al. 2025, arXiv 2502.16982) both share one learning rate.
torch.optim.Muon takes single matrices only, and a bank's experts are stacks of them. Embeddings of words are no such
matrices: a row is a vector of its own, and one token's step must not hang on which others a batch holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of Jordan et al.'s quintic
_ITERATIONS = 5
_SCALE = 0.2  # root mean square of an AdamW step, in learning rates


def orthogonal(matrices: Tensor) -> Tensor:
    """About the nearest (semi-)orthogonal matrix to each of a stack (..., rows, columns): singular values near 1."""
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-12)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class BankOptimizer(torch.optim.Optimizer):
    """Muon and AdamW behind one learning rate; `weight_decay` is decoupled and holds under Muon alone.

    A group of parameters may say `muon=False`, and a `scale` that whoever sets its "lr" multiplies the rate by.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-8,
    ) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "betas": betas, "eps": eps}
        super().__init__(parameters, defaults | {"muon": True, "scale": 1.0})

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # a checkpoint of before there were such groups
            group.setdefault("muon", True)
            group.setdefault("scale", 1.0)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if parameter.ndim >= 2 and group["muon"]:
                    self._muon(parameter, group)
                else:
                    self._adam(parameter, group)
        return loss

    def _muon(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(state["momentum"], group["momentum"])
        size = _SCALE * max(parameter.shape[-2:]) ** 0.5
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(orthogonal(ahead), alpha=-group["lr"] * size)

    def _adam(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if "step" not in state:
            state["step"] = torch.zeros(())
            state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        first, second = group["betas"]
        state["mean"].lerp_(gradient, 1 - first)
        state["square"].lerp_(gradient.square(), 1 - second)
        steps = float(state["step"])
        mean = state["mean"] / (1 - first**steps)
        root = (state["square"] / (1 - second**steps)).sqrt() + group["eps"]
        parameter.addcdiv_(mean, root, value=-group["lr"])
