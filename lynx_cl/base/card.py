"""The base card (`base.yaml` beside the weights) and where a base is found; reads no weights and imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field

from lynx_cl.base.settings import Settings, read_settings
from lynx_cl.errors import LynxError, UsageError

CARD_FILE = "base.yaml"


class BaseCard(Settings):
    """What a base says about itself.

    `taps` is a module path pattern with one `*` for the layer number; without it they are found by structure.
    `packs` is True for a base that was trained on several conversations about one picture in one row.
    `chat_template` is a file beside the weights that is used in place of the processor's own template.
    `dtype` is what the base computes in: `auto` is that of its weights as they lie on disk.
    `quantise` keeps its linear layers in 8 bits (int8) or 4 (nf4): see `lynx_cl.base.quantise`.
    `device_map` spreads it over GPUs, main memory and disk as accelerate's strategies of that name do, within the
    `max_memory` of each ({"0": "20GiB", "cpu": "40GiB"}): see `lynx_cl.base.spread`.
    `understanding` is True for a base whose own task is the embedded world's image understanding: then it is measured.
    `pretraining` tells how the base was made, `data` from which sources, as `--data` names them: test pictures are
    looked for among theirs (`lynx-cl data check --registry`).
    """

    name: str = ""
    family: str = ""
    description: str = ""
    licence: str = ""
    grammar: str = "keyed"
    packs: bool = False
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    quantise: Literal["none", "int8", "nf4"] = "none"
    device_map: Literal["none", "auto", "balanced", "sequential"] = "none"
    max_memory: dict[str, str] = Field(default_factory=dict)
    chat_template: str | None = None
    understanding: bool = False
    pretraining: str = ""
    data: list[str] = Field(default_factory=list)
    taps: str | None = None


def read_card(folder: Path) -> BaseCard:
    """The card of a base folder, defaults where it has none. Raises UsageError naming file, key and what is allowed."""
    path = folder / CARD_FILE
    if not path.exists():
        return BaseCard(name=folder.name)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{path}: a base card is a mapping of keys to values")
    return read_settings(BaseCard, {"name": folder.name, **values}, str(path))


def write_card(folder: Path, card: BaseCard) -> Path:
    """Writes what a base's card says otherwise than by default. Raises LynxError where it cannot be written."""
    path = folder / CARD_FILE
    text = yaml.safe_dump(card.model_dump(exclude_defaults=True), sort_keys=False, allow_unicode=True)
    try:
        path.write_text(f"# What Lynx-CL needs to know of this base; see `lynx-cl base show {folder}`.\n{text}")
    except OSError as error:
        raise LynxError(f"{path}: cannot be written ({error.strerror}); copy the base where you may write") from None
    return path


def find_base(name_or_path: str) -> Path | str:
    """Where a base lies: a shipped name ('nano'), a local folder, or else a hub name, returned as it came.

    Raises LynxError for something that looks like a folder and is none, or that holds no model.
    """
    from lynx_cl.home import shipped

    folder = Path(name_or_path).expanduser()
    if len(folder.parts) == 1 and (named := shipped("registry") / "bases" / name_or_path).is_dir():
        folder = named
    if not folder.is_dir():
        if (
            folder.exists()
            or folder.is_absolute()
            or name_or_path.startswith((".", "~"))
            or name_or_path.count("/") != 1
        ):
            known = ", ".join(sorted(path.name for path in shipped("registry").glob("bases/*")))
            raise UsageError(f"base '{name_or_path}': no such folder, and not a shipped base; known: {known or 'none'}")
        return name_or_path
    config = folder / "config.json"
    try:
        model_type = json.loads(config.read_text(encoding="utf-8"))["model_type"]
    except FileNotFoundError:
        raise LynxError(f"base {folder}: no config.json, so no model; give a folder saved by save_pretrained") from None
    except (ValueError, KeyError, TypeError):
        raise LynxError(f"base {folder}: config.json names no model_type, so it is not a transformers model") from None
    if not any(folder.glob("*.safetensors")):
        raise LynxError(f"base {folder}: a {model_type} config but no *.safetensors weights")
    _check_shards(folder)
    return folder


def _check_shards(folder: Path) -> None:
    """Raises LynxError where an index of weights names files that are not there."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return
    try:
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        raise LynxError(f"base {folder}: {index.name} is no index of weights; copy it again") from None
    missing = sorted(name for name in shards if not (folder / name).is_file())
    if missing:
        raise LynxError(
            f"base {folder}: {len(missing)} of {len(shards)} weight files are missing ({missing[0]} first); "
            "copy or download them again"
        )


def count_parameters(folder: Path) -> int:
    """Parameters in a folder's weight files, read from their headers alone. Raises LynxError for a broken file."""
    import math

    from safetensors import SafetensorError, safe_open

    total = 0
    for path in sorted(folder.glob("model*.safetensors")):
        try:
            with safe_open(path, framework="numpy") as file:
                total += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())
        except (SafetensorError, OSError) as error:
            raise LynxError(f"{path}: not a safetensors file ({error}); restore it") from None
    return total
