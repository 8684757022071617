"""Gates: what an add may cost, refused by the number, whatever the add."""

from __future__ import annotations

import pytest

from lynx_cl.continual.gates import Gates
from lynx_cl.errors import LynxError, UsageError

GROWTHS = {"total": 0.3, "tasks": {"grounding": {"total": 0.2}, "cells": {"total": 0.1}}}
ROUTED = {"base": {"base": 97, "cells": 3}, "grounding": {"grounding": 100}}


def test_open_gates_let_everything_through() -> None:
    Gates().check_growth("cells", GROWTHS)
    Gates().check_forgetting("cells", {"base": 1.0}, ROUTED)


def test_growth_is_held_to_its_limit_and_no_less() -> None:
    Gates(max_growth=10.0, max_total_growth=30.0).check_growth("cells", GROWTHS)
    with pytest.raises(LynxError, match=r"its bank would be 10.0 % .*--max-growth allows 9.9 %.*--bank lora"):
        Gates(max_growth=9.9).check_growth("cells", GROWTHS)
    with pytest.raises(LynxError, match="all banks together would be 30.0 %"):
        Gates(max_total_growth=29.0).check_growth("cells", GROWTHS)


def test_forgetting_names_the_task_the_loss_and_where_requests_went() -> None:
    gates = Gates(max_forgetting=2.0)
    gates.check_forgetting("cells", {"base": 0.02, "grounding": -0.1, "cells": 0.5}, ROUTED)
    with pytest.raises(LynxError, match=r"base would lose 3.0 points, --max-forgetting allows 2; .*cells \(3\)"):
        gates.check_forgetting("cells", {"base": 0.03, "grounding": 0.0}, ROUTED)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_gate_is_a_number(value: float) -> None:
    with pytest.raises(UsageError, match="--max-growth"):
        Gates(max_growth=value)
