"""Which requests the router is solved from, and which it is calibrated on."""

from __future__ import annotations

import pytest

from lynx_cl.data.sources import open_source
from lynx_cl.data.understanding import understanding
from lynx_cl.router.requests import CALIBRATION, TaskRequests, held_out, task_requests
from lynx_cl.tasks import load_card


@pytest.fixture(scope="module")
def asked() -> TaskRequests:
    source = open_source("scout", load_card("grounding"))
    return task_requests(source.examples("train"), source.examples("calibration"), 300)


def test_calibration_phrasings_are_not_among_those_solved_from(asked: TaskRequests) -> None:
    assert (len(asked.fit), len(asked.calibration)) == (300, CALIBRATION)
    starts = [phrasing.partition("{x}")[0] for phrasing in held_out(load_card("grounding").prompts.train)]
    assert len(starts) == len(load_card("grounding").prompts.train) // 5
    texts = {request.text for request in asked.fit}
    assert not texts & {request.text for request in asked.calibration}
    assert all(any(r.text.startswith(start) for start in starts) for r in asked.calibration)


def test_the_choice_does_not_hang_on_the_order_or_number_of_times() -> None:
    phrasings = [f"find {i}" for i in range(23)]
    assert held_out(phrasings) == held_out(phrasings[::-1] * 3) and len(held_out(phrasings)) == 4
    assert held_out(["only", "few", ""]) == frozenset()


def test_without_phrasings_the_calibration_split_is_kept() -> None:
    train = understanding("train", 30, kinds=("caption",))
    same = understanding("calibration", 40, kinds=("size",))
    plain = [type(e)(**{**vars(e), "phrasing": ""}) for e in train]
    made = task_requests(plain, [type(e)(**{**vars(e), "phrasing": ""}) for e in same], 20)
    assert len(made.fit) == 20 and len(made.calibration) > 20
    assert {r.text for r in made.calibration} <= {e.prompt for e in same}


def test_pictures_come_along_and_stay_of_their_split() -> None:
    train, calibration = understanding("train", 40), understanding("calibration", 60)
    made = task_requests(train, calibration, 20, pictures=True)
    assert all(request.image is not None for request in (*made.fit, *made.calibration))
    assert {r.text for r in made.calibration} <= {e.prompt for e in calibration}
