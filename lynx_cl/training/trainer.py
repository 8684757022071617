"""Training a bank, or a part of a model, with Lightning: best validation kept, checkpoints that a killed run goes on
from, what is frozen proven unchanged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, Timer
from torch import Tensor
from torch.utils.data import DataLoader

from lynx_cl.banks.attach import attach
from lynx_cl.banks.base import Bank
from lynx_cl.base.fingerprint import digest, model_digest
from lynx_cl.base.load import Base
from lynx_cl.errors import LynxError
from lynx_cl.training.checkpoint import FILE, Checkpoint, optimizer_tensors, read_checkpoint, restore_optimizer
from lynx_cl.training.config import TrainConfig, autocasts
from lynx_cl.training.launch import placement
from lynx_cl.training.module import Added, BankModule, PartModule, Parts, StepModule, mean_by_name, tensors_of
from lynx_cl.training.part import ModelPart
from lynx_cl.training.process import ending_at_once, interruptible, quiet
from lynx_cl.training.progress import StepBar
from lynx_cl.training.ranks import ALONE, Rank
from lynx_cl.training.result import Record, TrainResult
from lynx_cl.training.stream import Epochs, Stream

FIRST = 8  # batches, those of the first steps, that a bank which starts by gradient looks at before them
FREE = {"max_minutes", "log_every", "cache_mb"}  # settings that a resumed run may change


def train_bank(
    base: Base,
    bank: Bank,
    train_batches: Epochs,
    val_batches: Sequence[Any],
    config: TrainConfig,
    run_dir: Path,
    *,
    resume: bool = False,
    on_log: Callable[[Record], None] | None = None,
    progress: bool = False,
    rank: Rank = ALONE,
    shard: bool = False,
) -> TrainResult:
    """Trains a bank in place and leaves it at its best validation loss, frozen.

    `train_batches` gives the batches of an epoch from its seed, the same for the same seed (a Sequence is resumed
    without making what is skipped); `val_batches` are kept in memory. `run_dir` holds the checkpoint, rewritten at
    every validation; with `resume` the run goes on from it, and ends as if it had never stopped. `on_log` gets a record
    every `log_every` steps and at each validation.

    Where several processes train, `rank` says which this is: each is given its share of every training batch, and all
    of the validation batches. Rank 0 alone reads and writes `run_dir` and calls `on_log`; all end with the same bank.
    With `shard` each keeps a part of the base's decoder layers.

    Raises LynxError for a loss that is not finite, an interrupt, a disk that refuses, a checkpoint of another run, and
    a frozen tensor that changed.
    """
    base.model.requires_grad_(False).eval()
    bank.requires_grad_(True)

    model = base.model
    if shard:
        from lynx_cl.training.shards import sharded

        model = sharded(base.model, rank)

    def frozen() -> str:
        return model_digest(model)

    before = frozen()
    with attach(model, bank.taps) as attachment:
        module = BankModule(model, attachment, bank, config)
        what = {"kind": bank.kind, "bank": bank.bank_config()}
        module.rank, module.meets = rank, shard
        module.first = Stream(train_batches, config.seed, 0, min(FIRST, config.steps), config.steps)
        run = _fit(base, bank, what, module, train_batches, val_batches, run_dir, resume, on_log, progress)
    bank.requires_grad_(False).eval()
    return run.result(before, frozen())


def train_part(
    base: Base,
    part: ModelPart,
    train_batches: Epochs,
    val_batches: Sequence[Any],
    config: TrainConfig,
    run_dir: Path,
    *,
    added: Added | None = None,
    resume: bool = False,
    on_log: Callable[[Record], None] | None = None,
) -> TrainResult:
    """Trains a part of the base's own model in place, as `train_bank` trains a bank; `added` is added to the step loss.

    `added` must be a function of its arguments and of the module's `steps_done`, so that a run can go on where it was.
    Raises as `train_bank`.
    """
    base.model.requires_grad_(False).eval()
    part.requires_grad_(True)
    before = part.frozen_digest()
    module = PartModule(base.model, part, config, added)
    run = _fit(base, part, {"part": part.names}, module, train_batches, val_batches, run_dir, resume, on_log, False)
    part.requires_grad_(False)
    return run.result(before, part.frozen_digest())


def _fit(
    base: Base,
    trained: Bank | ModelPart,
    what: dict[str, Any],
    module: StepModule,
    train_batches: Epochs,
    val_batches: Sequence[Any],
    run_dir: Path,
    resume: bool,
    on_log: Callable[[Record], None] | None,
    progress: bool,
) -> _Run:
    """Trains to the end and leaves what is trained at its best; `what` tells it from others in a checkpoint."""
    if not val_batches:
        raise LynxError("training: no validation batches; the data source needs more examples")
    identity = {
        "base": base.fingerprint,
        **what,
        "start": digest(trained.state().items()),
        "training": module.config.model_dump(exclude=FREE),
        "validation": digest(
            (f"{i} {name}", t) for i, batch in enumerate(val_batches) for name, t in tensors_of(batch)
        ),
    }
    rank = module.rank
    rank.check_alike(identity)
    point = None
    if rank.leads:
        if not resume:
            (run_dir / FILE).unlink(missing_ok=True)
        point = read_checkpoint(run_dir, identity)
    point = rank.of_lead(point)
    run = _Run(trained, identity, run_dir, module.config, on_log, point, rank)
    torch.manual_seed(module.config.seed)
    run.fit(module, train_batches, val_batches, progress)
    trained.load_state(run.best)
    return run


class _Run(Callback):
    """One run's memory: the best state, the history, and the checkpoint after each validation."""

    def __init__(
        self,
        trained: Bank | ModelPart,
        identity: dict[str, Any],
        folder: Path,
        config: TrainConfig,
        on_log: Callable[[Record], None] | None,
        point: Checkpoint | None,
        rank: Rank,
    ) -> None:
        self.trained, self.identity, self.folder, self.config = trained, identity, folder, config
        self.on_log = on_log or (lambda record: None)
        self.point, self.rank = point, rank
        limit = None if config.max_minutes is None else timedelta(minutes=config.max_minutes)
        self.timer = Timer(limit, interval="step", verbose=False)
        self.plateau = EarlyStopping(
            "val/loss",
            min_delta=config.min_delta,
            patience=config.patience,
            check_finite=False,
            check_on_train_epoch_end=False,
        )
        self.step, self.best_step, self.best_val = 0, 0, float("inf")
        self.best: dict[str, Tensor] = {}
        self.history: list[Record] = []
        self._recent: list[tuple[Record, Parts]] = []
        if point is not None:
            progress = point.progress
            self.step, self.best_step, self.best_val = progress["step"], progress["best_step"], progress["best_val"]
            self.history, self.best = progress["history"], point.best
            trained.load_state(point.bank)
            self.timer.load_state_dict(progress["timer"])
            self.plateau.wait_count = progress["wait"]
            self.plateau.best_score = torch.tensor(progress["plateau"])

    @property
    def stopped(self) -> str:
        if self.step >= self.config.steps:
            return "steps"
        return "plateau" if self.plateau.wait_count >= self.config.patience else "time"

    def fit(self, module: StepModule, epochs: Epochs, val_batches: Sequence[Any], progress: bool) -> None:
        """Trains from the run's step to its end."""
        stream = Stream(epochs, self.config.seed, self.step, self.config.steps, self.config.val_every)
        if stream.chunks == 0 or (self.point is not None and self.stopped == "plateau"):
            return
        module.steps_done = self.step
        if self.config.max_minutes is not None:
            module.elapsed = lambda: self.rank.of_lead(self.timer.time_elapsed())
        callbacks: list[Callback] = [self.timer, self.plateau, self]
        if progress and self.rank.leads:
            callbacks.append(StepBar(self.config.steps))
        with quiet(), interruptible(lambda: self.step, self.folder / FILE):
            trainer = pl.Trainer(
                accelerator="auto",
                **placement(self.rank),
                max_epochs=stream.chunks,
                precision="bf16-mixed" if autocasts(self.config, _device()) else "32-true",
                gradient_clip_val=self.config.gradient_clip,
                callbacks=callbacks,
                enable_progress_bar=False,
                enable_model_summary=False,
                enable_checkpointing=False,
                logger=False,
                num_sanity_val_steps=0,
                use_distributed_sampler=False,
                default_root_dir=self.folder,
            )
            trainer.fit(module, stream, DataLoader(list(val_batches), batch_size=None))  # type: ignore[arg-type]

    def result(self, frozen_before: str, frozen_after: str) -> TrainResult:
        """What the run did. Raises LynxError where a frozen tensor changed meanwhile."""
        if frozen_after != frozen_before:
            raise LynxError("training: a frozen tensor of the base changed; nothing is kept, please report this")
        return TrainResult(
            seconds=self.timer.time_elapsed(),
            steps=self.step,
            stopped=self.stopped,
            best_step=self.best_step,
            best_val=self.best_val,
            history=self.history,
            frozen_digest_before=frozen_before,
            frozen_digest_after=frozen_after,
            bank_digest=digest(self.trained.state().items()),
        )

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.rank.world > 1:
            ending_at_once()
        if self.point is not None:
            restore_optimizer(trainer.optimizers[0], self.point.optimizer)
            torch.set_rng_state(self.point.random["cpu"])

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.step += 1
        module.steps_done = self.step
        self._recent.append((module.last, module.parts))
        if self.step % self.config.log_every == 0:
            shares = self.rank.gather([parts for _, parts in self._recent])
            named = [mean_by_name(step) for step in zip(*shares, strict=True)]
            records = [
                {**last, **{f"loss/{name}": value for name, value in each.items()}}
                for (last, _), each in zip(self._recent, named, strict=True)
            ]
            keys = dict.fromkeys(key for record in records for key in record)
            means = {k: _mean([r[k] for r in records if k in r]) for k in keys}
            self._log({**means, "learning_rate": trainer.optimizers[0].param_groups[0]["lr"]})
            self._recent.clear()

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        metrics = {k: v.item() for k, v in trainer.callback_metrics.items() if k.startswith("val/")}
        if metrics["val/loss"] < self.best_val:
            self.best_val, self.best_step = metrics["val/loss"], self.step
            self.best = {name: tensor.cpu().clone() for name, tensor in self.trained.state().items()}
        self._log(metrics)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._recent.clear()
        if not self.rank.leads:
            return
        progress = {
            "step": self.step,
            "best_step": self.best_step,
            "best_val": self.best_val,
            "history": self.history,
            "timer": self.timer.state_dict(),
            "wait": self.plateau.wait_count,
            "plateau": self.plateau.best_score.item(),
        }
        random = {"cpu": torch.get_rng_state()}
        optimizer = optimizer_tensors(trainer.optimizers[0])
        Checkpoint(self.identity, progress, self.trained.state(), self.best, optimizer, random).write(self.folder)

    def _log(self, values: Record) -> None:
        record = {"step": self.step, "seconds": round(self.timer.time_elapsed(), 2), **values}
        self.history.append(record)
        if self.rank.leads:
            self.on_log(record)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
