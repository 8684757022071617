"""What an add may cost: an add that breaks a gate is refused, and says by how much and what would help."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lynx_cl.errors import LynxError, UsageError


@dataclass(frozen=True)
class Gates:
    """What an add may cost; None where it may cost anything.

    `max_forgetting`: points that any earlier task may lose, task-blind. `max_growth`: percent of the base's parameters
    that the new bank may have. `max_total_growth`: the same of all banks together.
    """

    max_forgetting: float | None = None
    max_growth: float | None = None
    max_total_growth: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_forgetting", "max_growth", "max_total_growth"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise UsageError(f"--{name.replace('_', '-')} {value}: give a number of at least 0")

    def check_growth(self, task: str, growths: Mapping[str, Any]) -> None:
        """Raises LynxError where the bank, or all banks together, have more parameters than allowed.

        `growths` are fractions of the base's parameters: `total`, and `tasks` with the `total` of each.
        """
        limits = (
            (growths["tasks"][task]["total"], self.max_growth, "its bank would be", "--max-growth"),
            (growths["total"], self.max_total_growth, "all banks together would be", "--max-total-growth"),
        )
        for fraction, most, what, option in limits:
            if most is not None and 100 * fraction > most:
                raise LynxError(
                    f"task '{task}' refused: {what} {100 * fraction:.1f} % of the base, {option} allows {most:g} %; "
                    "what helps: --bank lora, a smaller bank.lora.rank, a larger taps.every, or removing a task"
                )

    def check_forgetting(self, task: str, lost: Mapping[str, float], routed: Mapping[str, Mapping[str, int]]) -> None:
        """Raises LynxError where an earlier task lost more than allowed.

        `lost` is the forgetting of each task as a fraction, task-blind; `routed` counts each task's requests by the
        bank that they were sent to.
        """
        for name, fraction in lost.items():
            if self.max_forgetting is None or name == task or 100 * fraction <= self.max_forgetting:
                continue
            astray = [f"{other} ({count})" for other, count in routed[name].items() if other != name]
            raise LynxError(
                f"task '{task}' refused: {name} would lose {100 * fraction:.1f} points, --max-forgetting allows "
                f"{self.max_forgetting:g}; of its requests went to others: {', '.join(astray) or 'none'}; what helps: "
                "prompts that differ more from its own, or a larger router.prompts"
            )
