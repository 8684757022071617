"""Which of a run's processes this is, and what the processes of a run tell each other.

Every process takes its share of each batch's pictures, so a batch holds the same examples however many share it. What a
mean over the whole batch needs (sums and weights) is added up over the processes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from lynx_cl.errors import LynxError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from lynx_cl.training.config import TrainerSettings

T = TypeVar("T")
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # torchrun's protocol


@dataclass(frozen=True)
class Rank:
    """Process `number` of `world`; `local` of the `beside` that run on its machine. The default is a run alone.

    Process 0 leads: it alone prints, tracks, measures, writes checkpoints and commits.

    >>> [Rank(number, 2).share("abcde") for number in (0, 1)]
    ['ace', 'bd']
    """

    number: int = 0
    world: int = 1
    local: int = 0
    beside: int = 1

    @property
    def leads(self) -> bool:
        return self.number == 0

    def share(self, members: Sequence[T]) -> Sequence[T]:
        """This process's part of what all are to do."""
        return members[self.number :: self.world]

    def total(self, values: Tensor) -> Tensor:
        """The sum of a tensor over the processes; each must ask, with the same shape."""
        if self.world > 1:
            import torch.distributed as dist

            values = values.clone()
            dist.all_reduce(values)
        return values

    def gather(self, value: T) -> list[T]:
        """What each process has, by its number; each must ask."""
        if self.world == 1:
            return [value]
        import torch.distributed as dist

        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, value)
        return found

    def of_lead(self, value: T) -> T:
        """What process 0 has; each must ask."""
        if self.world == 1:
            return value
        import torch.distributed as dist

        told = [value]
        dist.broadcast_object_list(told, src=0)
        return told[0]

    def check_alike(self, facts: Mapping[str, Any]) -> None:
        """Raises LynxError, on every process, where another has other facts than process 0."""
        first, *others = self.gather(json.loads(json.dumps(facts)))
        for number, other in enumerate(others, 1):
            for key, value in first.items():
                if other.get(key) != value:
                    raise LynxError(
                        f"training: rank {number} has another {key} than rank 0; give every machine the same base, "
                        "data and settings"
                    )


ALONE = Rank()


def present_rank() -> Rank:
    """This process's place as torchrun's environment variables tell it. Raises UsageError for values that are wrong."""
    if any(name not in os.environ for name in VARIABLES):
        return ALONE
    try:
        number, world, local = (int(os.environ[name]) for name in VARIABLES[:3])
        beside = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    except ValueError:
        said = ", ".join(f"{name}={os.environ[name]}" for name in VARIABLES[:3])
        raise UsageError(f"environment: {said}: these are whole numbers; torchrun sets them") from None
    if not (0 <= number < world and 0 <= local < beside and world % beside == 0):
        raise UsageError(f"environment: rank {number} of {world}, {local} of {beside} here: torchrun sets other ones")
    return Rank(number, world, local, beside)


def asked_rank(settings: TrainerSettings) -> Rank:
    """This process's place in the run that the settings and the environment ask for.

    Raises UsageError where they contradict.
    """
    given = present_rank()
    rank = given if given.world > 1 else Rank(0, settings.devices, 0, settings.devices)
    if settings.devices not in (1, rank.beside):
        raise UsageError(
            f"trainer.devices={settings.devices}, but torchrun started {rank.beside} processes on this machine; "
            "leave one of the two out"
        )
    if settings.strategy == "fsdp" and rank.world == 1:
        raise UsageError("trainer.strategy=fsdp shares the base out over several devices; give trainer.devices as well")
    return rank
