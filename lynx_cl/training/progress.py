"""The progress bar of a run on a terminal: one bar over all its steps, with the last losses."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class StepBar(Callback):
    """Shows steps done of `steps`, on standard error, while a BankModule trains."""

    def __init__(self, steps: int) -> None:
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("", total=steps)
        self._losses: dict[str, float] = {}

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._show("loss", module.last["loss"])
        self._bar.update(self._task, completed=module.steps_done)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._show("validation", trainer.callback_metrics["val/loss"].item())

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._bar.stop()

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        self._bar.stop()

    def _show(self, name: str, loss: float) -> None:
        self._losses[name] = loss
        self._bar.update(self._task, description=", ".join(f"{key} {value:.3f}" for key, value in self._losses.items()))
