"""What `lynx-cl doctor` tells: one thing looked at after the other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what was found, and what to do where it is not well."""

    name: str
    ok: bool
    value: str
    advice: str = ""
