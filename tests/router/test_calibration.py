"""Temperature, calibration error and conformal bounds, against other ways to the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lynx_cl.router.calibration import (
    conformal_bound,
    expected_calibration_error,
    log_loss,
    needed,
    promise,
    softmax,
    temperature,
)


def noisy(n: int = 4000, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose softmax is the truth when divided by `scale`."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(n, 3)) * 1.5
    owners = (rng.random(n)[:, None] > np.cumsum(softmax(logits), 1)).sum(1)
    return logits * scale, owners


@pytest.mark.parametrize("scale", [0.2, 1.0, 7.0])
def test_the_temperature_undoes_a_wrong_scale(scale: float) -> None:
    scores, owners = noisy(scale=scale)
    assert temperature(scores, owners) == pytest.approx(scale, rel=0.06)
    assert expected_calibration_error(softmax(scores / temperature(scores, owners)), owners) < 0.03


def test_log_loss_equals_torchs_mean_over_tasks() -> None:
    scores, owners = noisy(200)
    each = torch.nn.functional.cross_entropy(torch.tensor(scores), torch.tensor(owners), reduction="none").numpy()
    assert log_loss(scores, owners) == pytest.approx(np.mean([each[owners == t].mean() for t in range(3)]))
    smooth = torch.nn.functional.cross_entropy(
        torch.tensor(scores), torch.tensor(owners), reduction="none", label_smoothing=0.3
    ).numpy()  # torch spreads its share over all three tasks, the right one included
    assert log_loss(scores, owners, doubt=0.2) == pytest.approx(np.mean([smooth[owners == t].mean() for t in range(3)]))


def test_requests_that_are_all_right_leave_a_temperature_that_doubts() -> None:
    scores, owners = np.eye(3)[[0, 1, 2] * 20], np.array([0, 1, 2] * 20)
    assert temperature(scores, owners) == pytest.approx(0.01, rel=0.01)
    share = softmax(scores / temperature(scores, owners, doubt=1 / 62)).max(1)
    assert share == pytest.approx(1 - 1 / 62, abs=1e-4)


def test_calibration_error_equals_torchmetrics() -> None:
    from torchmetrics.functional.classification import multiclass_calibration_error

    scores, owners = noisy(500, scale=3.0)
    told = multiclass_calibration_error(torch.tensor(softmax(scores)), torch.tensor(owners), 3, n_bins=15)
    assert expected_calibration_error(softmax(scores), owners) == pytest.approx(float(told), abs=1e-6)


@pytest.mark.parametrize("error", [0.01, 0.05, 0.1])
def test_a_bound_is_exceeded_as_often_as_promised(error: float) -> None:
    rng = np.random.default_rng(1)
    n, draws = 300, 4000
    over = [rng.normal() > conformal_bound(rng.normal(size=n), error) for _ in range(draws)]
    assert np.mean(over) <= error + 3 * np.sqrt(error * (1 - error) / draws)
    assert np.mean(over) >= error - 1 / (n + 1) - 3 * np.sqrt(error * (1 - error) / draws)


def test_too_few_requests_promise_what_they_can() -> None:
    assert promise(0.01, 0).error is None and "no request" in promise(0.01, 0).text()
    few = promise(0.01, 24)
    assert few.error == pytest.approx(0.08) and "1.0% asks for 199 requests" in few.text()
    assert promise(0.01, needed(0.01)).error == pytest.approx(0.01)
    for n in (1, 24, 199, 1000):
        error = promise(0.01, n).error
        assert error is not None and np.isfinite(conformal_bound(np.arange(n), error / 2))
