"""The LightningModules that train one bank beside a frozen base, or a part of the model itself, by the step loss."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lynx_cl.banks.attach import Attachment
from lynx_cl.banks.base import Bank
from lynx_cl.banks.recompute import recomputed
from lynx_cl.base import heap
from lynx_cl.base.spread import device_of, is_spread, move, put_beside
from lynx_cl.errors import LynxError
from lynx_cl.training.config import TrainConfig, learning_rate
from lynx_cl.training.feature_cache import FeatureCache, caches
from lynx_cl.training.optimizer import BankOptimizer
from lynx_cl.training.part import ModelPart
from lynx_cl.training.ranks import ALONE, Rank
from lynx_cl.training.step_loss import answer_positions, next_tokens, sum_steps

NAME = "training"  # the bank's name in the attachment
WORD_RATE = 0.1  # of the learning rate, for embeddings of words: they are what a pretrained model reads and writes by

Parts = dict[str, tuple[float, int]]  # of each step's name: the sum of its losses, and how many there are


class StepModule(pl.LightningModule):
    """Trains parameters that act in a model's forward, on batches of answers.

    A batch has input_ids, labels, step_ids (rows, tokens), step_weights (rows, steps), attention_mask, and optionally
    pixel_values, position_ids, step_names (a name for each column of step_weights) and `more` (other inputs of the
    model by name). The model is no child of this module: its state cannot hold it.

    Where several processes train, each has its share of every batch, and `rank` says which; a share of nothing is any
    batch whose step_weights are all zero.
    """

    def __init__(self, model: Any, config: TrainConfig, cached: bool) -> None:
        super().__init__()
        self.config = config
        self.steps_done = 0
        self.rank: Rank = ALONE
        self.meets = False  # whether a forward needs all processes: each keeps a part of the model
        self.last: dict[str, float] = {}
        self.parts: Parts = {}
        self.elapsed: Callable[[], float] = lambda: 0.0
        self._checked: list[tuple[int, float, dict[str, float]]] = []  # of validation batches: rows, loss, that by name
        self._base = (model,)  # in a tuple, so that it does not become a child
        cached = cached and config.cache_mb > 0 and caches(model)
        self._cache = FeatureCache(model, config.cache_mb * 2**20) if cached else None

    def trained(self) -> Iterable[nn.Parameter]:
        """The parameters that are trained."""
        raise NotImplementedError

    def groups(self) -> list[dict[str, Any]]:
        """The parameters that are trained, in the optimiser's groups."""
        return [{"params": list(self.trained())}]

    def acting(self, batch: Any) -> AbstractContextManager[None]:
        """Within it, a forward of the model on a batch is that of what is trained."""
        return nullcontext()

    def added_loss(self, batch: Any, logits: Tensor) -> Tensor | None:
        """What a training step adds to the step loss; `logits` (answer tokens, vocabulary) are the batch's."""
        return None

    def losses(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch, the step loss unless told otherwise, and the mean loss of each step by name."""
        return self.losses_of(batch, self.logits(batch))

    def logits(self, batch: Any) -> Tensor:
        """The logits (answer tokens, vocabulary) that predict a batch's answers, rows one after another."""
        model = self._base[0]
        answers = answer_positions(batch.labels)
        if not bool(answers.any()):
            raise LynxError("training: a batch has no answer token; every example needs an answer")
        with self.acting(batch), _only(model, answers):
            return model(**self._inputs(batch), use_cache=False).logits

    def losses_of(self, batch: Any, logits: Tensor) -> tuple[Tensor, dict[str, float]]:
        """As `losses`, of the logits that a batch's answers got."""
        total, weight, parts = self._sums(batch, logits)
        return total / weight, mean_by_name([parts])

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        logits = self.logits(batch)
        total, weight, self.parts = self._sums(batch, logits)
        if self.rank.world > 1:
            everywhere = self.rank.total(torch.stack([total.detach(), weight]))
            # gradients are averaged over the processes, so each gives its sum of losses times their number
            loss, told = total * (self.rank.world / everywhere[1]), (everywhere[0] / everywhere[1]).item()
            # and each waits for a gradient of every parameter, also of one that no row of its share reaches
            loss = loss + 0 * sum(p.sum() for p in self.trained())
        else:
            loss = total / weight
            told = loss.item()
        more = self.added_loss(batch, logits)
        self.last = {}
        if more is not None:
            loss = loss + more
            told = loss.item()
            self.last["loss/added"] = more.item()
        if not math.isfinite(told):
            raise LynxError(
                f"training: the loss is {told} at step {self.steps_done}; "
                f"lower learning_rate (it is {self.config.learning_rate}) or use precision=float32"
            )
        self.last["loss"] = told
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        owner = batch_idx % self.rank.world
        mine = owner == self.rank.number
        # where the processes meet in each forward, those that a last round leaves without a batch come along
        idle = self.rank.number > owner and batch_idx + 1 == self.trainer.num_val_batches[0]
        if not mine and not (self.meets and idle):
            return
        loss, each = self.losses(batch)
        if not mine:
            return
        if not bool(torch.isfinite(loss)):
            raise LynxError(f"training: the validation loss is {loss.item()} at step {self.steps_done}")
        self._checked.append((batch.labels.shape[0], loss.item(), each))

    def on_validation_epoch_end(self) -> None:
        checked = [one for share in self.rank.gather(self._checked) for one in share]
        self._checked = []
        parts = [
            {"": (rows * loss, rows), **{n: (rows * v, rows) for n, v in each.items()}} for rows, loss, each in checked
        ]
        for name, value in mean_by_name(parts).items():
            self.log(f"val/loss/{name}".rstrip("/"), value)

    def on_fit_start(self) -> None:
        self._home = device_of(self._base[0])
        move(self._base[0], self.device)

    def on_fit_end(self) -> None:
        move(self._base[0], self._home)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        rate = learning_rate(self.config, self.steps_done, self.elapsed())
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate * group["scale"]
        if self.steps_done % heap.EVERY == 0:
            heap.give_back()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return BankOptimizer(self.groups(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        moved: dict[str, Any] = {name: tensor.to(device) for name, tensor in tensors_of(batch)}
        if getattr(batch, "more", None):
            moved["more"] = {name: tensor.to(device) for name, tensor in batch.more.items()}
        return dataclasses.replace(batch, **moved)

    def placed(self, batch: Any) -> Any:
        """A batch that was made beside the stream, on the device of this one's training."""
        return self.transfer_batch_to_device(batch, self.device, 0)

    def _sums(self, batch: Any, logits: Tensor) -> tuple[Tensor, Tensor, Parts]:
        """What the loss of a batch is the quotient of, and the losses of each step by name."""
        answers = answer_positions(batch.labels)
        losses = F.cross_entropy(logits.float(), next_tokens(batch.labels)[answers], reduction="none")
        rows = answers.nonzero()[:, 0]
        total, weight, each = sum_steps(losses, rows, next_tokens(batch.step_ids)[answers], batch.step_weights)
        if self.config.loss == "plain":
            counts = bool(batch.step_weights.any())
            total, weight = losses.sum() * counts, torch.full_like(weight, counts * losses.numel())
        names = getattr(batch, "step_names", None) or [f"step {i}" for i in range(each.shape[1])]
        return total, weight, sums_by_name(each, names) if bool(batch.step_weights.any()) else {}

    def _inputs(self, batch: Any) -> dict[str, Any]:
        pixels = getattr(batch, "pixel_values", None)
        inputs = {"attention_mask": batch.attention_mask, "position_ids": getattr(batch, "position_ids", None)}
        if pixels is not None and self._cache is not None:
            inputs["inputs_embeds"] = self._cache.embed(batch.input_ids, pixels)
        else:
            inputs |= {"input_ids": batch.input_ids, "pixel_values": pixels, **getattr(batch, "more", {})}
        dtype = self._base[0].dtype  # a half-precision base wants its pictures so
        given = {name: value for name, value in inputs.items() if value is not None}
        return {name: value.to(dtype) if value.is_floating_point() else value for name, value in given.items()}


class BankModule(StepModule):
    """Trains `bank` through `attachment`: the base runs frozen, and only the bank is the module's own."""

    def __init__(self, model: Any, attachment: Attachment, bank: Bank, config: TrainConfig) -> None:
        super().__init__(model, config, cached=True)
        self.bank = bank
        self._attachment = attachment
        self.first: Iterable[Any] = ()  # batches that a bank may look at before its first step
        attachment.add(NAME, bank)

    def trained(self) -> Iterable[nn.Parameter]:
        return self.bank.parameters()

    def on_train_start(self) -> None:
        if is_spread(self._base[0]):  # Lightning has moved all of the bank to one device
            put_beside(self.bank, self._base[0])
        if self.bank.starts_by_gradient:
            self._start_by_gradient()

    def _start_by_gradient(self) -> None:
        """Starts the bank along the gradient of the loss of `first`, the same on every process."""
        wanted = list(self.bank.sketch(torch.Generator().manual_seed(self.config.seed)))
        sums = [torch.zeros_like(parameter, dtype=torch.float32) for parameter in wanted]
        for batch in self.first:
            placed = self.placed(batch)
            with self.trainer.precision_plugin.forward_context():
                total, weight, _ = self._sums(placed, self.logits(placed))
            loss = total / self.rank.total(weight)  # a process gives its share of the mean
            for held, gradient in zip(sums, torch.autograd.grad(loss, wanted, allow_unused=True), strict=True):
                if gradient is not None:
                    held += gradient
        gradients = [self.rank.total(held) for held in sums]
        if not all(bool(torch.isfinite(gradient).all()) for gradient in gradients):
            raise LynxError("training: the gradient before the first step is not finite; use precision=float32")
        self.bank.start_along(gradients)

    @contextmanager
    def acting(self, batch: Any) -> Iterator[None]:
        thrifty = recomputed(self._base[0], self._attachment) if self.config.gradient_checkpointing else nullcontext()
        with self._attachment.bank(NAME), thrifty:
            yield


#: What a method adds to the step loss of a training step: of the module, a batch and its logits.
Added = Callable[[StepModule, Any, Tensor], Tensor]


class PartModule(StepModule):
    """Trains a part of the model in place; `added` is what each training step adds to the loss."""

    def __init__(self, model: Any, part: ModelPart, config: TrainConfig, added: Added | None = None) -> None:
        super().__init__(model, config, cached=part.below_is_frozen)
        self._part, self._added = part, added

    def trained(self) -> Iterable[nn.Parameter]:
        return self._part.parameters()

    def groups(self) -> list[dict[str, Any]]:
        words = {id(parameter) for parameter in self._part.words}
        others = [parameter for parameter in self._part.parameters() if id(parameter) not in words]
        groups: list[dict[str, Any]] = [{"params": others}]
        return [*groups, {"params": self._part.words, "muon": False, "scale": WORD_RATE}] if words else groups

    def acting(self, batch: Any) -> AbstractContextManager[None]:
        return self._part.acting(batch)

    def added_loss(self, batch: Any, logits: Tensor) -> Tensor | None:
        return None if self._added is None else self._added(self, batch, logits)


def tensors_of(batch: Any) -> list[tuple[str, Tensor]]:
    """The tensors of a batch (a dataclass), by field name."""
    fields = [(field.name, getattr(batch, field.name)) for field in dataclasses.fields(batch)]
    return [(name, value) for name, value in fields if isinstance(value, Tensor)]


def sums_by_name(each: Tensor, names: Sequence[str]) -> Parts:
    """Each step's loss (rows, steps) summed over rows, steps of one name together; a step no row has is left out.

    >>> sums_by_name(torch.tensor([[1.0, 2.0, float("nan")], [3.0, float("nan"), 4.0]]), ["where", "answer", "answer"])
    {'where': (4.0, 2), 'answer': (6.0, 2)}
    """
    sums = {}
    for name in dict.fromkeys(names):
        own = each[:, [i for i, other in enumerate(names) if other == name]]
        count = int((own == own).sum())
        if count:
            sums[name] = (own.nansum().item(), count)
    return sums


def mean_by_name(shares: Sequence[Parts]) -> dict[str, float]:
    """The mean of each name's losses over all shares.

    >>> mean_by_name([{"where": (4.0, 2)}, {"where": (5.0, 1), "answer": (1.0, 1)}])
    {'where': 3.0, 'answer': 1.0}
    """
    means = {}
    for name in dict.fromkeys(name for share in shares for name in share):
        own = [share[name] for share in shares if name in share]
        means[name] = sum(total for total, _ in own) / sum(count for _, count in own)
    return means


@contextmanager
def _only(model: Any, positions: Tensor) -> Iterator[None]:
    """Within it, the model's head computes logits at the given positions (rows, tokens) alone: (N, vocabulary)."""
    head = model.get_output_embeddings()
    handle = head.register_forward_pre_hook(lambda module, inputs: (inputs[0][positions],))
    try:
        yield
    finally:
        handle.remove()
