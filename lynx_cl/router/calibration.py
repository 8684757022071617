"""How far the router's word can be trusted: probabilities that mean what they say, and sets with a promised error.

Both are measured on requests that the router was not solved from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
TEMPERATURES = (0.01, 1000.0)
STEPS = 40


def softmax(scores: Matrix) -> Matrix:
    """exp(scores) scaled to sum to 1, over the last axis."""
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def log_loss(scores: Matrix, owners: NDArray[np.int64], doubt: float = 0.0) -> float:
    """The mean over tasks of the mean negative log-probability of their own requests.

    scores (requests, tasks) before the softmax, owners (requests) the right task of each by number. With `doubt`, that
    much of each request's weight is spread over the other tasks.
    """
    top = scores.max(1, keepdims=True)
    logs = scores - top - np.log(np.exp(scores - top).sum(1, keepdims=True))
    own = logs[np.arange(len(scores)), owners]
    losses = -(1 - doubt) * own
    if doubt and scores.shape[1] > 1:
        losses -= doubt * (logs.sum(1) - own) / (scores.shape[1] - 1)
    counts = np.bincount(owners)
    sums = np.bincount(owners, losses)
    return float((sums[counts > 0] / counts[counts > 0]).mean())


def temperature(scores: Matrix, owners: NDArray[np.int64], doubt: float = 0.0, steps: int = STEPS) -> float:
    """What scores are divided by so that `log_loss` is least (Guo et al. 2017), between TEMPERATURES.

    By `steps` golden sections of its logarithm, in which the loss has one valley. `doubt` keeps the temperature from
    falling to nothing where every request is right; 1 / (n + 2) of n requests is Platt's (1999).
    """

    def loss(logarithm: float) -> float:
        return log_loss(scores / math.exp(logarithm), owners, doubt)

    low, high = math.log(TEMPERATURES[0]), math.log(TEMPERATURES[1])
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = loss(left), loss(right)
    for _ in range(steps):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = loss(right)
    return math.exp(left)


def expected_calibration_error(probabilities: Matrix, owners: NDArray[np.int64], bins: int = 15) -> float:
    """ECE: the mean over requests of |accuracy - confidence| of their bin, `bins` equally wide bins of the greatest
    probability (Guo et al. 2017). probabilities (requests, tasks), owners (requests).

    >>> expected_calibration_error(np.array([[0.8, 0.2]] * 5), np.array([0, 0, 0, 0, 1]))
    0.0
    """
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == owners
    places = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = [abs(right[places == b].mean() - confidence[places == b].mean()) * (places == b).sum() for b in set(places)]
    return round(float(sum(gaps)) / len(owners), 12)


def conformal_bound(values: NDArray[np.float64], error: float) -> float:
    """The value that a new one, exchangeable with `values`, exceeds with a probability of at most `error`.

    The ceil((n + 1)(1 - error))-th smallest of n values (Vovk et al. 2005); infinite where n is too small for it.

    >>> conformal_bound(np.arange(1.0, 100.0), 0.01), conformal_bound(np.arange(1.0, 99.0), 0.01)
    (99.0, inf)
    """
    place = math.ceil(round((len(values) + 1) * (1 - error), 9))
    return float(np.sort(values)[place - 1]) if 0 < place <= len(values) else math.inf


@dataclass(frozen=True)
class Promise:
    """What was asked for and what can be promised: the set of a request misses its task with a probability of at most
    `error`, for requests exchangeable with the `requests` that it was calibrated on. None: nothing can be promised."""

    asked: float
    error: float | None
    requests: int

    def text(self) -> str:
        """For people."""
        if self.error is None:
            return "none: no request was kept for calibration"
        short = "" if self.error <= self.asked else f" ({self.asked:.1%} asks for {needed(self.asked)} requests)"
        return f"at most {self.error:.1%}, calibrated on {self.requests} requests{short}"


def needed(error: float) -> int:
    """How many calibration requests a promise takes: half of the error goes to each of the two bounds.

    >>> needed(0.01), needed(0.1)
    (199, 19)
    """
    return math.ceil(round(2 / error, 9)) - 1


def promise(asked: float, requests: int) -> Promise:
    """The least error of at least `asked` that so many requests allow."""
    return Promise(asked, max(asked, 2 / (requests + 1)) if requests else None, requests)
