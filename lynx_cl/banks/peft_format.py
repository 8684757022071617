"""A lora bank as a PEFT adapter directory, and a PEFT LoRA as a bank: the same numbers under other names.

A bank of one expert adds scale * B A x at each site, which is LoRA (Hu et al. 2022) with lora_alpha / r = scale. What
PEFT has no name for does not go out: experts with a gate, the network beside a sparse mixture, and twins.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lynx_cl.banks.base import Bank, build_bank
from lynx_cl.base.taps import Tap, decoder_layers, find_taps
from lynx_cl.errors import LynxError, UsageError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
_KEY = re.compile(re.escape(PREFIX) + r"(.+)\.lora_(A|B)(?:\.default)?\.weight")


def export_adapter(
    kind: str, bank_config: Mapping[str, Any], tensors: Mapping[str, Tensor], folder: Path, base: str
) -> Path:
    """Writes a bank, as a manifest and its tensors tell it, as a PEFT adapter directory for the model at `base`.

    Its logits under peft are the bank's. Raises LynxError for a bank that PEFT cannot express, saying why, and for a
    folder that holds something else or cannot be written.
    """
    if kind == "external":
        raise LynxError("an external bank cannot go to PEFT: it is a detector of its own, and no change of the base")
    if kind != "lora":
        raise LynxError(f"a {kind} bank cannot go to PEFT: it has no adapter of that form; only lora banks do")
    if bank_config["experts"] != 1:
        raise LynxError(
            f"this bank mixes {bank_config['experts']} experts by a gate, which PEFT's LoRA cannot; "
            "train it with bank.lora.experts=1 to export it"
        )
    beside = [tap for tap in bank_config["taps"] if f"{tap}.A" in tensors]
    if beside:
        raise LynxError(
            f"this bank has a network beside the sparse mixture {beside[0]}, which PEFT's LoRA cannot express; "
            "only banks on dense layers and attention can be exported"
        )
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder}: not empty; give a new folder")
    from peft import LoraConfig

    rank, scale = bank_config["rank"], bank_config["scale"]
    sites = sorted({name.rpartition(".")[0] for name in tensors})
    names = {"A": "lora_A", "B": "lora_B"}
    renamed = {
        f"{PREFIX}{site}.{names[part]}.weight": tensor.contiguous()
        for site, part, tensor in ((*_split(name), tensor) for name, tensor in tensors.items())
    }
    config = LoraConfig(
        r=rank,
        lora_alpha=scale * rank,
        target_modules=sites,
        lora_dropout=0.0,
        bias="none",
        base_model_name_or_path=base,
    )
    config.inference_mode = True
    try:
        folder.mkdir(parents=True, exist_ok=True)
        config.save_pretrained(str(folder))
        save_file(renamed, folder / WEIGHTS, metadata={"format": "pt"})
    except OSError as error:
        raise LynxError(f"{folder}: cannot be written ({error.strerror})") from None
    return folder


def import_adapter(model: nn.Module, folder: Path, pattern: str | None = None) -> Bank:
    """A lora bank that does what a PEFT LoRA does on this model, frozen. `pattern` is the base card's `taps`.

    Modules of unlike rank are filled up with zeros, unlike scales go into B. Raises LynxError for an adapter of another
    method, one that acts where a bank cannot (outside the decoder layers), or one that does not fit the model.
    """
    config, tensors = _read(folder)
    sites: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        found = _KEY.fullmatch(key)
        if found is None:
            raise LynxError(
                f"{folder}: its tensor {key} is no low-rank matrix of a linear layer; a bank has only those"
            )
        sites.setdefault(found[1], {})[found[2]] = tensor.float()
    placed = {_place(model, name, pair, folder): (name, pair) for name, pair in sites.items()}
    rank = max(pair["A"].shape[0] for _, pair in placed.values())
    scale = _scale(config, "", rank)
    state = {}
    for site, (name, pair) in placed.items():
        own = pair["A"].shape[0]
        factor = _scale(config, name, own) / scale
        state[f"{site}.A"] = nn.functional.pad(pair["A"], (0, 0, 0, rank - own))
        state[f"{site}.B"] = nn.functional.pad(pair["B"] * factor, (0, rank - own))
    taps = _taps(model, list(placed), pattern)
    bank = build_bank("lora", taps, model, {"rank": rank, "experts": 1, "scale": scale, "sites": list(placed)}, 0)
    bank.load_state(state)
    return bank.requires_grad_(False)


def _split(name: str) -> tuple[str, str]:
    site, _, part = name.rpartition(".")
    return site, part


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        name = Path(str(error.filename or WEIGHTS)).name
        raise LynxError(
            f"{folder}: no {name}; give a folder that PEFT's save_pretrained wrote, in safetensors"
        ) from None
    except (ValueError, OSError, SafetensorError) as error:
        raise LynxError(f"{folder}: cannot be read ({str(error).splitlines()[0]}); copy it again") from None
    method = config.get("peft_type")
    if method != "LORA":
        raise LynxError(f"{folder}: a PEFT adapter of the method {method}; only LORA becomes a bank")
    for key, plain in (("use_dora", False), ("bias", "none"), ("modules_to_save", None), ("fan_in_fan_out", False)):
        if config.get(key) not in (plain, None, []):
            raise LynxError(f"{folder}: its {key} is {config[key]!r}, which a lora bank has no form for")
    if not tensors:
        raise LynxError(f"{folder}: {WEIGHTS} holds no tensors")
    return config, tensors


def _place(model: nn.Module, name: str, pair: Mapping[str, Tensor], folder: Path) -> str:
    """The module of the model that an adapter's name means: its own path, or one that ends alike in the decoder."""
    prefix, _ = decoder_layers(model)
    site = name
    within = re.search(r"layers\.\d+\..+|h\.\d+\..+|blocks\.\d+\..+", name)
    if not _has(model, site) and within is not None:  # saved under another release's module names
        site = f"{prefix.rpartition('.')[0]}.{within[0]}"
    if not _has(model, site):
        raise LynxError(f"{folder}: it acts on {name}, which the base does not have; it belongs to another model")
    if not site.startswith(f"{prefix}."):
        raise LynxError(
            f"{folder}: it acts on {name}, outside the decoder's layers ({prefix}), where rows are pictures and not "
            "requests; a bank cannot act there"
        )
    module = model.get_submodule(site)
    if not isinstance(module, nn.Linear):
        raise LynxError(f"{folder}: it acts on {name}, a {type(module).__name__} and no linear layer")
    if set(pair) != {"A", "B"}:
        raise LynxError(f"{folder}: of {name} it holds only lora_{min(pair)}; copy it again")
    wanted = (module.out_features, module.in_features)
    if (pair["B"].shape[0], pair["A"].shape[1]) != wanted or pair["B"].shape[1] != pair["A"].shape[0]:
        shapes = f"{tuple(pair['B'].shape)} x {tuple(pair['A'].shape)}"
        raise LynxError(f"{folder}: of {name} it holds {shapes}, the base has {wanted}; it belongs to another model")
    return site


def _has(model: nn.Module, name: str) -> bool:
    try:
        model.get_submodule(name)
    except AttributeError:
        return False
    return True


def _scale(config: Mapping[str, Any], name: str, rank: int) -> float:
    """lora_alpha / r of one module, or lora_alpha / sqrt(r) (rsLoRA, Kalajdzievski 2023)."""

    def setting(key: str, otherwise: float) -> float:
        patterns = config.get(key) or {}
        return next((v for k, v in patterns.items() if name and re.match(rf"(.*\.)?({k})$", name)), otherwise)

    alpha = setting("alpha_pattern", config.get("lora_alpha", 8))
    return float(alpha / (math.sqrt(rank) if config.get("use_rslora") else rank))


def _taps(model: nn.Module, sites: list[str], pattern: str | None) -> list[Tap]:
    """The taps of the layers that sites lie in."""
    prefix, _ = decoder_layers(model)
    layers = {int(site.removeprefix(f"{prefix}.").split(".")[0]) for site in sites}
    return [tap for tap in find_taps(model, 1, pattern) if tap.layer in layers]
