"""What an expert bank is, how a kind registers itself, and how banks are built, written and read."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import safetensors.torch
import torch
from torch import Tensor, nn

from lynx_cl.base.settings import Settings, read_settings
from lynx_cl.base.taps import Tap, read_tap
from lynx_cl.errors import LynxError, UsageError

if TYPE_CHECKING:
    from lynx_cl.base.load import Base


class Frozen(Protocol):
    """The frozen module at one site, for the rows that a bank answers."""

    module: nn.Module

    @property
    def output(self) -> Tensor:
        """F(x): what the untouched module makes of these rows; computed when first asked for."""
        ...

    def call(self, x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """The module's own forward with other parameters in the place of its own."""
        ...


class Part(nn.Module):
    """What a bank adds at one site."""

    def forward(self, x: Tensor, frozen: Frozen) -> Tensor:
        raise NotImplementedError

    def active_parameters(self) -> int:
        """Parameters that one token touches: all, unless a gate chooses among them."""
        return sum(parameter.numel() for parameter in self.parameters())


class Bank(nn.Module):
    """The trainable, then frozen, parameters of one task.

    A bank acts at `sites`, module paths in the base; each is at one of its `taps`, inside it, or in the attention of a
    decoder layer. `forward(site, x, frozen)` takes and gives the rows of one site, (rows, tokens, width).
    """

    kind: ClassVar[str]
    settings: ClassVar[type[Settings]]

    def __init__(self, taps: Sequence[Tap], config: Settings, parts: Mapping[str, Part]) -> None:
        super().__init__()
        if not taps or not parts:
            raise LynxError(f"bank {self.kind}: no taps to act on")
        self.taps = tuple(taps)
        self.config = config
        self.sites = tuple(parts)
        self.parts = nn.ModuleDict({site.replace(".", "/"): part for site, part in parts.items()})

    @classmethod
    def build(cls, taps: Sequence[Tap], model: nn.Module, config: Any, generator: torch.Generator) -> Bank:
        """A new bank whose function is exactly the base's."""
        raise NotImplementedError

    def part(self, site: str) -> Part:
        """What the bank adds at a site."""
        return self.parts[site.replace(".", "/")]  # type: ignore[return-value]

    def forward(self, site: str, x: Tensor, frozen: Frozen) -> Tensor:
        return self.part(site)(x, frozen)

    @property
    def starts_by_gradient(self) -> bool:
        """Whether training must begin by `sketch` and `start_along`: never of a bank that has learned something."""
        return False

    def sketch(self, generator: torch.Generator) -> Sequence[nn.Parameter]:
        """Gets ready for a start by gradient, and gives the parameters whose gradients `start_along` wants."""
        raise NotImplementedError

    def start_along(self, gradients: Sequence[Tensor]) -> None:
        """Starts from the gradients of the parameters that `sketch` gave; the function is the base's still."""
        raise NotImplementedError

    def bank_config(self) -> dict[str, Any]:
        """What a manifest keeps so that `load_bank` can build the bank again: settings, and taps by name."""
        return {**self.config.model_dump(mode="json", exclude_none=True), "taps": [tap.name for tap in self.taps]}

    def parameters_per_tap(self) -> dict[str, int]:
        """Parameters by tap; those in attention by the attention's module path."""
        return self._per_tap(lambda part: sum(p.numel() for p in part.parameters()))

    def active_parameters_per_tap(self) -> dict[str, int]:
        """Parameters that one token touches, keyed as `parameters_per_tap`."""
        return self._per_tap(lambda part: part.active_parameters())

    def state(self) -> dict[str, Tensor]:
        """The bank's tensors by canonical name: site, then parameter."""
        return {public: tensor.detach() for public, tensor in self._named()}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes over tensors written by `state`. Raises LynxError where names, shapes or dtypes are not this bank's."""
        own = dict(self._named())
        missing, unknown = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
        if missing or unknown:
            what = f"lacks {missing[0]}" if missing else f"holds {unknown[0]}, which is not in the bank"
            raise LynxError(f"bank {self.kind}: the file {what} ({len(missing)} missing, {len(unknown)} unknown)")
        with torch.no_grad():
            for name, parameter in own.items():
                new = tensors[name]
                if new.shape != parameter.shape or new.dtype != parameter.dtype:
                    raise LynxError(
                        f"bank {self.kind}: {name} is {new.dtype} {tuple(new.shape)} in the file, "
                        f"{parameter.dtype} {tuple(parameter.shape)} in the bank"
                    )
                parameter.copy_(new)

    def _named(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in self.named_parameters():
            yield name.removeprefix("parts.").replace("/", "."), parameter

    def _per_tap(self, count: Callable[[Part], int]) -> dict[str, int]:
        counts: dict[str, int] = {}
        for site in self.sites:
            owner = next((tap.name for tap in self.taps if f"{site}.".startswith(f"{tap.name}.")), None)
            owner = owner or site.rpartition(".")[0]
            counts[owner] = counts.get(owner, 0) + count(self.part(site))
        return counts


_KINDS: dict[str, type[Bank]] = {}


def bank_kind(name: str, settings: type[Settings]) -> Callable[[type[Bank]], type[Bank]]:
    """Registers a bank class as a kind. A new kind is a new file in this folder with this decorator in it."""

    def register(cls: type[Bank]) -> type[Bank]:
        cls.kind, cls.settings = name, settings
        _KINDS[name] = cls
        return cls

    return register


def bank_kinds() -> dict[str, type[Bank]]:
    """Every kind by name."""
    package = importlib.import_module("lynx_cl.banks")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"lynx_cl.banks.{module.name}")
    return dict(sorted(_KINDS.items()))


def read_bank_config(kind: str, values: Mapping[str, Any]) -> Settings:
    """The checked settings of a bank kind. Raises UsageError for an unknown kind or key, or a wrong value."""
    kinds = bank_kinds()
    if kind not in kinds:
        raise UsageError(f"bank kind '{kind}' is unknown; known: {', '.join(kinds)}")
    return read_settings(kinds[kind].settings, values, f"bank {kind}")


def build_bank(kind: str, taps: Sequence[Tap], model: nn.Module, config: Mapping[str, Any], seed: int) -> Bank:
    """A new bank of a kind on the given taps; the same seed gives the same tensors.

    Its function is exactly the base's until it is trained. Raises UsageError for an unknown kind, key or value.
    """
    settings = read_bank_config(kind, config)
    return bank_kinds()[kind].build(taps, model, settings, torch.Generator().manual_seed(seed))


class BankManifest(Protocol):
    """What `load_bank` needs of a task's manifest."""

    @property
    def kind(self) -> str: ...

    @property
    def base(self) -> str: ...

    @property
    def bank_config(self) -> Mapping[str, Any]: ...


def load_bank(manifest: BankManifest, tensors: bytes | Mapping[str, Tensor], base: Base) -> Bank:
    """The bank that a manifest describes, with the given tensors (or the bytes of its safetensors file), frozen.

    Raises LynxError where the bank was trained on another base, or the tensors are not those of such a bank.
    """
    if manifest.base != base.fingerprint:
        from lynx_cl.base.load import check_scheme

        check_scheme(base, manifest.base)
        raise LynxError(
            f"bank {manifest.kind}: trained on base {manifest.base[:12]}, this one is {base.name} "
            f"({base.fingerprint[:12]}); load the base it belongs to"
        )
    config = dict(manifest.bank_config)
    taps = [read_tap(base.model, name) for name in config.pop("taps", [])]
    bank = build_bank(manifest.kind, taps, base.model, config, seed=0)
    bank.load_state(safetensors.torch.load(tensors) if isinstance(tensors, bytes) else tensors)
    return bank.requires_grad_(False).eval()


def bank_bytes(bank: Bank) -> bytes:
    """The bank as a safetensors file; equal tensors give equal bytes."""
    return safetensors.torch.save({name: tensor.cpu().contiguous() for name, tensor in bank.state().items()})
