"""Digests of tensors: the fingerprint of a base, and the proof that frozen parameters stayed as they were."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lynx_cl.base.quantise import plain_tensors
from lynx_cl.base.spread import owners, weight
from lynx_cl.errors import LynxError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CHUNK = 1 << 24  # bytes read at a time
UNSTABLE_KEYS = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")


def digest(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """sha256 over the canonically sorted (name, dtype, shape, bytes) of named tensors.

    >>> digest([("a", torch.zeros(2))]) == digest([("a", torch.zeros(2))])
    True
    >>> digest([("a", torch.zeros(2))]) == digest([("a", torch.zeros(1, 2))])
    False
    """
    sha = hashlib.sha256()
    whole = [plain for name, tensor in tensors for plain in plain_tensors(name, tensor)]
    for name, tensor in sorted(whole, key=lambda item: item[0]):
        _take_in(sha, name, tensor)
    return sha.hexdigest()


def model_digest(model: nn.Module) -> str:
    """The digest of a model's state; what lies elsewhere (`lynx_cl.base.spread`) is read one tensor at a time.

    >>> model = nn.Linear(2, 3)
    >>> model_digest(model) == digest(model.state_dict().items())
    True
    """
    if not any(parameter.is_meta for parameter in model.parameters()):
        return digest(model.state_dict().items())
    sha = hashlib.sha256()
    for name, module, own in sorted(owners(model), key=lambda item: item[0]):
        _take_in(sha, name, weight(module, own))
    return sha.hexdigest()


def _take_in(sha: Any, name: str, tensor: Tensor) -> None:
    header = json.dumps([name, str(tensor.dtype), list(tensor.shape)])
    sha.update(header.encode())
    flat = tensor.detach().contiguous().reshape(-1).cpu()
    sha.update(flat.view(torch.uint8).numpy().data)


def fingerprint(model: PreTrainedModel) -> str:
    """Digest of a model in memory: its state and its configuration, less the keys that loading changes."""
    config = json.loads(model.config.to_json_string(use_diff=False))
    text = json.dumps(_without(config), sort_keys=True)
    return hashlib.sha256((model_digest(model) + text).encode()).hexdigest()


def fingerprint_folder(path: str | Path, more: Sequence[str] = ()) -> str:
    """Digest of a model on disk: the bytes of config.json and of every model*.safetensors file, by name, and of the
    files that the patterns `more` stand for.

    Kept in memory by size and time of change, so that a second call reads nothing. Raises LynxError where a file cannot
    be read.
    """
    folder = Path(path)
    files = [folder / "config.json", *sorted(folder.glob("model*.safetensors"))]
    files += sorted({file for pattern in more for file in folder.glob(pattern)} - set(files))
    sha = hashlib.sha256()
    for file in files:
        try:
            state = file.stat()
            sha.update(f"{file.name} {_file_digest(file.resolve(), state.st_size, state.st_mtime_ns)}\n".encode())
        except OSError as error:
            raise LynxError(f"base {folder}: cannot read {file.name}: {error.strerror}") from None
    return sha.hexdigest()


@lru_cache(maxsize=256)
def _file_digest(file: Path, size: int, changed: int) -> str:
    sha = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


def _without(config: dict) -> dict:
    return {
        key: _without(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if key not in UNSTABLE_KEYS
    }
