"""One byte string for one value: canonical JSON and the sha256 of it. Every digest in a registry is made here."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from lynx_cl.errors import LynxError


def canonical(value: Any) -> bytes:
    """JSON of `value` in UTF-8 with sorted keys, no spaces, and the shortest floats that read back equal.

    >>> canonical({"b": 0.1, "a": [1, None]})
    b'{"a":[1,null],"b":0.1}'

    Raises LynxError for what JSON cannot hold: infinities, NaN, lone surrogates, other types.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError) as error:
        raise LynxError(f"the registry cannot store this: {error}; use finite numbers, text, lists and maps") from error


def sha256(data: bytes) -> str:
    """Hexadecimal sha256, by which content is named.

    >>> sha256(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(data).hexdigest()
