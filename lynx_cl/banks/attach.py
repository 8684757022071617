"""Where a bank acts: every module that a bank has a part for asks, at each forward, which rows are whose.

The bank of a row is data. Rows without a bank go through the untouched module: the whole batch does, in the very call
that the base alone would make, and only then are the rows of banks replaced. A batch of one bank is never split.

A row may be answered by a mix of banks: at every site it gets y = F(x) + sum_b w_b (bank_b(x) - F(x)), F the untouched
module. A bank without a part at a site adds nothing there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lynx_cl.banks.base import Bank
from lynx_cl.base.spread import put_beside
from lynx_cl.base.taps import Tap
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.registry.snapshot import BASE_TASK

#: Who answers a row: a bank, the base (None), or banks by weight. A mix's missing weight, and that of `base`, is the
#: base's.
Owner = str | Mapping[str, float] | None
_ROUNDING = 1e-6  # by how much the weights of a mix may exceed 1


@dataclass(frozen=True)
class Plan:
    """Who answers a batch: each bank with the rows it takes, None for all of them. `size` None fits any batch.

    `mixes` holds each bank with the mixed rows that it has a share of, and its weights there, both (rows,).
    """

    groups: tuple[tuple[Bank, Tensor | None], ...]
    size: int | None
    mixes: tuple[tuple[Bank, Tensor, Tensor], ...] = ()


class Attachment:
    """Banks by name on the taps of one model, until `detach`.

    Without `rows` or `bank` a forward is the base's. One forward at a time: the plan belongs to the model, not to a
    thread. `generate` works, greedy or sampling, as long as the batch keeps its rows (no beams).
    """

    def __init__(self, model: nn.Module, taps: Sequence[Tap]) -> None:
        self.model = model
        self.banks: dict[str, Bank] = {}
        self.plan: Plan | None = None
        self._sites: dict[str, _Site] = {}
        for tap in taps:
            self._hook(tap.name)

    def add(self, name: str, bank: Bank) -> None:
        """Makes a bank known under a name. Raises LynxError for a name that is taken or a site the model lacks."""
        if name in self.banks:
            raise LynxError(f"bank '{name}' is attached already")
        for site in bank.sites:
            self._hook(site)
        put_beside(bank, self.model)
        self.banks[name] = bank

    def remove(self, name: str) -> None:
        """Forgets a bank. Raises UsageError for a name that is not attached."""
        self._known(name)
        del self.banks[name]

    @contextmanager
    def rows(self, names: Sequence[Owner]) -> Iterator[None]:
        """Within it, row i of every batch is answered by bank `names[i]`, by the base where that is None.

        A mapping of bank names to weights is answered by their mix; all weight on one bank is that bank to the bit.
        Raises UsageError for a name that is not attached, a weight that is negative or not finite, and weights that sum
        to more than 1.
        """
        with self.planned(self._plan_of(names)):
            yield

    @contextmanager
    def routed(self, layer: str, route: Callable[[Tensor], Sequence[Owner]]) -> Iterator[None]:
        """Within it, the first forward asks who answers its rows on its way into `layer`, and goes on as in `rows`.

        `route` is given the states that enter the layer, (rows, tokens, width), which no bank has touched: no site may
        come before that layer. Later forwards, as those of `generate`, have the same owners.
        """

        def ask(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if self.plan is None:
                self.plan = self._plan_of(route(args[0] if args else kwargs["hidden_states"]))

        before, self.plan = self.plan, None
        handle = self.model.get_submodule(layer).register_forward_pre_hook(ask, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()
            self.plan = before

    @contextmanager
    def bank(self, name: str | None) -> Iterator[None]:
        """Within it, every row is answered by one bank, or by the base where the name is None."""
        with self.planned(Plan(() if name is None else ((self._known(name), None),), None)):
            yield

    def detach(self) -> None:
        """Gives the model back as it was."""
        for site in reversed(self._sites.values()):
            site.restore()
        self._sites.clear()
        self.banks.clear()

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *exception: object) -> None:
        self.detach()

    def _plan_of(self, names: Sequence[Owner]) -> Plan:
        owners = [self._owner(name) for name in names]
        groups: list[tuple[Bank, Tensor | None]] = []
        for name in dict.fromkeys(owner for owner in owners if isinstance(owner, str)):
            rows = [i for i, owner in enumerate(owners) if owner == name]
            groups.append((self._known(name), torch.tensor(rows) if len(rows) < len(owners) else None))
        mixed = {i: owner for i, owner in enumerate(owners) if isinstance(owner, dict)}
        mixes: list[tuple[Bank, Tensor, Tensor]] = []
        for name in sorted({name for mix in mixed.values() for name in mix}):  # one order of summing, whoever is beside
            rows = [i for i, mix in mixed.items() if name in mix]
            weights = torch.tensor([mixed[i][name] for i in rows])
            mixes.append((self._known(name), torch.tensor(rows), weights))
        return Plan(tuple(groups), len(owners), tuple(mixes))

    def _hook(self, name: str) -> None:
        if name in self._sites:
            return
        try:
            module = self.model.get_submodule(name)
        except AttributeError:
            raise LynxError(f"bank site {name}: the base has no module of that name") from None
        self._sites[name] = _Site(name, module, self)

    def _owner(self, owner: Owner) -> str | dict[str, float] | None:
        """A row's owner without weights of nothing: a mix of one whole bank is that bank, one of none is the base."""
        if owner is None or isinstance(owner, str):
            return owner
        for name, weight in owner.items():
            if name != BASE_TASK:
                self._known(name)
            if not (math.isfinite(weight) and weight >= 0):
                raise UsageError(f"mix of banks: the weight of '{name}' is {weight}; give 0 to 1")
        total = math.fsum(owner.values())
        if total > 1 + _ROUNDING:
            names = ", ".join(sorted(owner))
            raise UsageError(f"mix of banks: the weights of {names} sum to {total:g}; give at most 1")
        shares = {name: float(weight) for name, weight in owner.items() if name != BASE_TASK and weight > 0}
        whole = next((name for name, weight in shares.items() if weight == 1), None)
        return whole if whole is not None else shares or None

    def _known(self, name: str) -> Bank:
        if name not in self.banks:
            raise UsageError(f"bank '{name}' is not attached; attached: {', '.join(sorted(self.banks)) or 'none'}")
        return self.banks[name]

    @contextmanager
    def planned(self, plan: Plan | None) -> Iterator[None]:
        """Within it, a plan that was in force before is so again; None is the base alone."""
        before, self.plan = self.plan, plan
        try:
            yield
        finally:
            self.plan = before


def attach(model: nn.Module, taps: Sequence[Tap]) -> Attachment:
    """Hooks the taps of a model, so that banks can be added. Raises LynxError for a tap that the model lacks."""
    return Attachment(model, taps)


class _Site:
    """One hooked module: its forward is shadowed on the instance, so module, names and state stay as they were."""

    def __init__(self, name: str, module: nn.Module, attachment: Attachment) -> None:
        self.name, self.module, self.attachment = name, module, attachment
        self.shadowed = module.__dict__.get("forward")
        self.original = module.forward
        self.inside = False
        module.forward = self.dispatch

    def restore(self) -> None:
        if self.shadowed is None:
            del self.module.forward
        else:
            self.module.forward = self.shadowed

    def dispatch(self, x: Tensor, *more: Any) -> Any:
        plan = self.attachment.plan
        if more and plan is not None:
            raise LynxError(
                f"{self.name}: it is given more than hidden states, so no bank can act there; set other taps"
            )
        if plan is None or self.inside:
            return self.original(x, *more)
        groups = [(bank, rows) for bank, rows in plan.groups if self.name in bank.sites]
        mixes = [mix for mix in plan.mixes if self.name in mix[0].sites]
        if not groups and not mixes:
            return self.original(x)
        if plan.size is not None and x.shape[0] != plan.size:
            raise LynxError(f"{self.name}: a batch of {x.shape[0]} rows, but banks were named for {plan.size}")
        whole: _Rows | None = None
        mixed = x
        for bank, rows in groups:
            if rows is None:
                everything = _Rows(self, x)
                return everything.packed(bank(self.name, x, everything))
            if whole is None:
                whole = _Rows(self, x)
                mixed = whole.output
            rows = rows.to(x.device)
            own = x.index_select(0, rows)
            answer = bank(self.name, own, _Rows(self, own, whole.output.index_select(0, rows)))
            mixed = mixed.index_copy(0, rows, answer.to(mixed.dtype))
        if not mixes:
            return whole.packed(mixed) if whole is not None else mixed
        if whole is None:
            whole = _Rows(self, x)
            mixed = whole.output
        # where a bank of the mix acts inside this module as well, `whole` is F with that bank's share in it
        inner = any(site.startswith(f"{self.name}.") for bank, _, _ in plan.mixes for site in bank.sites)
        for bank, rows, weights in mixes:
            rows = rows.to(x.device)
            own = x.index_select(0, rows)
            with self.attachment.planned(None):
                output = _Rows(self, own).output if inner else whole.output.index_select(0, rows)
                delta = bank(self.name, own, _Rows(self, own, output)) - output
            shares = weights.to(delta).reshape(-1, *[1] * (delta.dim() - 1))
            mixed = mixed.index_add(0, rows, (shares * delta).to(mixed.dtype))
        return whole.packed(mixed)

    def call(self, x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        self.inside = True
        try:
            return _tensor(functional_call(self.module, dict(parameters), (x,)), x)
        finally:
            self.inside = False


class _Rows:
    """`Frozen` for some rows at a site."""

    def __init__(self, site: _Site, x: Tensor, output: Tensor | None = None) -> None:
        self.module, self._site, self._x, self._output = site.module, site, x, output
        self._whole: Any = None  # what the module gave, where that is more than a tensor

    @property
    def output(self) -> Tensor:
        if self._output is None:
            whole = self._site.original(self._x)
            self._output = _tensor(whole, self._x)
            self._whole = whole if isinstance(whole, tuple) else None
        return self._output

    def call(self, x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        return self._site.call(x, parameters)

    def packed(self, output: Tensor) -> Any:
        """An output as the module would give it: with whatever it gives beside it, a router's logits for instance."""
        if self._whole is None:
            return output
        return output.reshape(self._whole[0].shape), *self._whole[1:]


def _tensor(output: Any, x: Tensor) -> Tensor:
    """A module's output in the shape of its input: some sparse mixtures give their tokens flat, in a tuple."""
    if isinstance(output, tuple):
        return output[0].reshape(*x.shape[:-1], -1)
    return output
