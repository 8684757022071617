"""A base whose linear layers are kept in 8 or 4 bits: by torchao and by bitsandbytes, through transformers.

A bank on such a base is kept in fp32 as any other. It fits that base alone: its fingerprint is not that of the same
weights in full, since a bank makes up for what is there.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lynx_cl.errors import LynxError

LIBRARIES = {"int8": "torchao", "nf4": "bitsandbytes"}
BYTES = {"int8": 1.0, "nf4": 0.5 + 4 / 64}  # of a weight; for nf4 with its block's scale in fp32
WHOLE = ("embed", "lm_head")  # in the names of matrices that stay as they are
DISK = {"F32": 4, "F64": 8}  # bytes of a number by safetensors' name of its type, where they are not two


def quantisation(scheme: str) -> Any:
    """What transformers is to be told so that it quantises as it loads; None for the scheme `none`.

    int8: each output channel's weights as 8-bit integers, computed with in the base's own dtype. nf4: blocks of 64
    weights as 4-bit normal floats (QLoRA, Dettmers et al. 2023). Raises LynxError where the library is missing.
    """
    if scheme == "none":
        return None
    library = LIBRARIES[scheme]
    if importlib.util.find_spec(library) is None:
        raise LynxError(f"its card says quantise: {scheme}, which needs {library}; pip install 'lynx-cl[quantised]'")
    if scheme == "int8":
        from torchao.quantization import Int8WeightOnlyConfig
        from transformers import TorchAoConfig

        return TorchAoConfig(Int8WeightOnlyConfig())
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")


def settle(model: Any) -> None:
    """Keeps bitsandbytes from changing a model at its first forward.

    On a CPU it would repack the weights, which rounds their scales, and it turns biases into the type that it computes
    in: that is made the model's own.
    """
    for module in model.modules():
        if is_packed(getattr(module, "weight", None)):
            module.support_avx512bf16_for_cpu = False
            module.compute_dtype, module.compute_type_is_set = model.dtype, True


def quantised_fingerprint(plain: str, scheme: str) -> str:
    """The fingerprint of a base that is quantised as it is loaded, from that of its weights on disk.

    >>> quantised_fingerprint("ab", "none"), quantised_fingerprint("ab", "int8")[:8]
    ('ab', 'e61b8925')
    """
    if scheme == "none":
        return plain
    return hashlib.sha256(f"{plain} quantised {scheme}".encode()).hexdigest()


def scheme_of(fingerprint: str, plain: str) -> str | None:
    """How a base of weights `plain` must be quantised to have a fingerprint; None where it is another base."""
    schemes = ("none", *LIBRARIES)
    return next((scheme for scheme in schemes if quantised_fingerprint(plain, scheme) == fingerprint), None)


def plain_tensors(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The tensors that one holds inside: an 8-bit one its integers and scales, a part of a shared one itself."""
    if not hasattr(tensor, "__tensor_flatten__"):
        yield name, tensor
        return
    for inner in tensor.__tensor_flatten__()[0]:
        held = getattr(tensor, inner)
        if isinstance(held, Tensor):  # a part of a shared one names the processes it is shared by, too
            yield from plain_tensors(f"{name}.{inner}", held)


def shape_of(parameter: Tensor) -> torch.Size:
    """A parameter's shape; of one that is packed in 4 bits, that of the weights it stands for."""
    state = getattr(parameter, "quant_state", None)
    return parameter.shape if state is None else torch.Size(state.shape)


def is_quantised(parameter: Tensor) -> bool:
    """Whether a parameter is no tensor of plain numbers."""
    return is_packed(parameter) or hasattr(parameter, "__tensor_flatten__")


def is_packed(parameter: Tensor | None) -> bool:
    """Whether a parameter's weights are packed, so that only its own module can compute with them."""
    return getattr(parameter, "quant_state", None) is not None


def held_bytes(tensor: Tensor) -> int:
    """Bytes that a tensor takes as it is kept, scales included."""
    scales = getattr(getattr(tensor, "quant_state", None), "absmax", None)
    inner = [t for _, t in plain_tensors("", tensor)] + ([] if scales is None else [scales])
    return sum(t.numel() * t.element_size() for t in inner)


def quantised_bytes(folder: Path, scheme: str, size: int | None) -> int:
    """Bytes that a folder's weights will take once loaded by a scheme, from their headers alone: linear layers but for
    the head in few bits; everything else at `size` bytes a number, as on disk where that is None.

    Raises LynxError for a broken file.
    """
    total = 0.0
    for path in sorted(folder.glob("model*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 (not a mapping)
                    weights = file.get_slice(name)
                    shape, dtype = weights.get_shape(), weights.get_dtype()
                    few = len(shape) == 2 and name.endswith(".weight") and not any(one in name for one in WHOLE)
                    each = BYTES[scheme] if few else size or DISK.get(dtype, 2)
                    total += math.prod(shape) * each
        except (SafetensorError, OSError) as error:
            raise LynxError(f"{path}: not a safetensors file ({error}); restore it") from None
    return int(total)
