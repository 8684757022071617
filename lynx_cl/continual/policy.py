"""Who answers a request for which the router keeps several banks: the likeliest, a mix of them, or nobody."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lynx_cl.banks.attach import Owner
    from lynx_cl.router.router import Decision, Several


def owner(decision: Decision, several: Several, banks: Container[str]) -> Owner:
    """Whoever of `banks` answers: a bank, the base (None), or banks by weight, what they lack to 1 being the base's.

    Under `ask` it is the likeliest, as under `top`: whether anybody answers is what
    `handed_back` says.

    >>> from lynx_cl.router.router import Decision
    >>> kept = Decision("a", False, {"a": 0.375, "base": 0.5, "b": 0.125}, (), ("a", "b"))
    >>> owner(kept, "mix", {"a", "b"}), owner(kept, "top", {"a", "b"})
    ({'a': 0.75, 'b': 0.25}, 'a')
    """
    if several != "mix" or len(decision.candidates) < 2:
        return decision.task if decision.task in banks else None
    shares = {name: share for name, share in decision.mix().items() if name in banks and share > 0}
    return next((name for name, share in shares.items() if share == 1), shares or None)


def handed_back(decision: Decision, several: Several) -> bool:
    """Whether the request goes back with its candidates, unanswered."""
    return several == "ask" and len(decision.candidates) > 1
