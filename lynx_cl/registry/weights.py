"""Weight files from elsewhere: safetensors with finite numbers, or nothing. A pickle is never opened."""

from __future__ import annotations

from lynx_cl.errors import LynxError

_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
_WHOLE = ("I64", "I32", "I16", "I8", "U8", "BOOL")


def check_weights(data: bytes, where: str) -> None:
    """Raises LynxError, beginning with `where`, for bytes that are not safetensors, or hold a NaN or an infinity."""
    import numpy as np
    import safetensors

    try:
        tensors = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise LynxError(f"{where}: no safetensors file ({error}); other weight files are not taken in") from None
    for name, tensor in tensors:
        kind, content = tensor["dtype"], tensor["data"]
        if kind in _WHOLE:
            continue
        if kind == "BF16":  # all bits of the exponent set: infinite or no number
            finite = bool(((np.frombuffer(content, "<u2") & 0x7F80) != 0x7F80).all())
        elif kind in _FLOATS:
            finite = bool(np.isfinite(np.frombuffer(content, _FLOATS[kind])).all())
        else:
            raise LynxError(f"{where}: tensor {name!r} is of type {kind}; known: BF16, {', '.join(_FLOATS)}")
        if not finite:
            raise LynxError(f"{where}: tensor {name!r} holds numbers that are not finite")
