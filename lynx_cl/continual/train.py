"""The third stage of an add: training the bank, on one device or, with other processes, on several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lynx_cl.banks.base import Bank, build_bank
from lynx_cl.banks.external import ExternalBank
from lynx_cl.banks.peft_format import import_adapter
from lynx_cl.base.fingerprint import digest, model_digest
from lynx_cl.base.load import Base, check_scheme, load_base
from lynx_cl.base.taps import find_taps
from lynx_cl.continual.learned import Learned, learned
from lynx_cl.continual.outside import KIND
from lynx_cl.continual.plan import Plan
from lynx_cl.tracking.mlflow import AddRun
from lynx_cl.training.batches import epochs, fixed_batches
from lynx_cl.training.launch import joined
from lynx_cl.training.ranks import Rank
from lynx_cl.training.trainer import TrainResult, train_bank

Say = Callable[[str], None]
VALIDATION_PICTURES = 60


def load(plan: Plan, say: Say) -> tuple[Base, Learned, str | None]:
    """The base and the banks that are there, and the head they were read from."""
    say(f"base: loading {plan.base}")
    base = load_base(plan.base)
    head = plan.registry.head_digest()
    if head is not None:
        check_scheme(base, plan.registry.head().base.fingerprint)
        plan.registry.check_base(base.fingerprint, base.name)
    return base, learned(plan.registry, base), head


def first_bank(plan: Plan, base: Base, known: Learned) -> Bank:
    """The bank as training begins: new, or for an update the present one, which was read for this add alone."""
    if plan.adapter is not None:
        return import_adapter(base.model, plan.adapter, plan.base_card.taps)
    if plan.update and not plan.anew:
        return known.banks[plan.card.name]
    taps = find_taps(base.model, plan.config.taps.every, plan.base_card.taps)
    return build_bank(plan.kind, taps, base.model, plan.bank_settings, plan.config.train.seed)


def follow(plan: Plan, *, resume: bool = False) -> None:
    """What a process that does not lead has to do of an add: to train its share of every batch.

    Raises LynxError as `train_bank`, and where the lead is gone.
    """
    if plan.adapter is not None or plan.kind == KIND:
        return

    def hush(text: str) -> None:
        """Rank 0 says it."""

    base, known, _ = load(plan, hush)
    bank = first_bank(plan, base, known)
    with joined(plan.config.trainer, (), plan.run_dir) as rank:
        _train(plan, base, bank, rank, resume=resume)


def train(
    plan: Plan, base: Base, bank: Bank, run: AddRun, say: Say, *, resume: bool, progress: bool, again: Sequence[str]
) -> TrainResult:
    """Trains the bank and logs its history; one that was trained elsewhere is taken as it is."""
    if plan.adapter is not None or isinstance(bank, ExternalBank):
        what = bank.config.model if isinstance(bank, ExternalBank) else plan.adapter
        say(f"train: nothing; the bank is {what}")
        frozen, own = model_digest(base.model), digest(bank.state().items())
        stopped = "adapter" if plan.adapter is not None else plan.kind
        return TrainResult(0.0, 0, stopped, 0, 0.0, [], frozen, frozen, own)

    def on_log(record: dict[str, float]) -> None:
        shown = {key: value for key, value in record.items() if key in ("loss", "val/loss")}
        text = ", ".join(f"{key} {value:.4f}" for key, value in shown.items())
        say(f"train: step {record['step']:.0f} of {plan.config.train.steps}, {text}, {record['seconds']:.0f} s")

    with joined(plan.config.trainer, again, plan.run_dir) as rank:
        if rank.world > 1:
            say(f"train: {rank.world} processes share each batch")
        result = _train(plan, base, bank, rank, resume=resume, on_log=on_log, progress=progress)
    run.log_history([(int(r["step"]), {f"train/{k}": v for k, v in r.items() if k != "step"}) for r in result.history])
    say(f"train: {result.steps} steps in {result.seconds:.0f} s, stopped by {result.stopped}")
    return result


def _train(plan: Plan, base: Base, bank: Bank, rank: Rank, *, resume: bool, **how: Any) -> TrainResult:
    if rank.world > 1:
        rank.check_alike({"data": plan.source.digest(), "pictures_per_batch": plan.config.pictures_per_batch})
    pictures = plan.config.pictures_per_batch
    return train_bank(
        base,
        bank,
        epochs(base, plan.source.groups("train"), pictures, rank),
        fixed_batches(base, plan.source.groups("calibration"), pictures, VALIDATION_PICTURES),
        plan.config.train,
        plan.run_dir,
        resume=resume,
        rank=rank,
        shard=plan.config.trainer.strategy == "fsdp",
        **how,
    )
