"""What a training run did."""

from __future__ import annotations

from dataclasses import dataclass

Record = dict[str, float]


@dataclass(frozen=True)
class TrainResult:
    """What a run did. `stopped` is steps, plateau or time; `seconds` covers the run's earlier parts too.

    `bank_digest` is that of what was trained.
    """

    seconds: float
    steps: int
    stopped: str
    best_step: int
    best_val: float
    history: list[Record]
    frozen_digest_before: str
    frozen_digest_after: str
    bank_digest: str
