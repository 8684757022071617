"""The shipped settings on close intents: phrasings and things that were never seen, and prompts of no task."""

from __future__ import annotations

import pytest

from lynx_cl.router.embedders import Request, TextEmbedder
from lynx_cl.router.requests import held_out
from lynx_cl.router.router import Decision, Router
from lynx_cl.router.statistics import fit_task
from tests.router import prompts


@pytest.fixture(scope="module")
def router() -> Router:
    embedder = TextEmbedder()
    tasks = []
    for name, texts in prompts.seen().items():
        aside = held_out(texts)  # phrasings that the router is calibrated on, as those of a task
        fit, calibration = ([x for t, own in texts.items() if (t in aside) == w for x in own] for w in (False, True))
        tasks.append(fit_task(name, fit, embedder, calibration))
    return Router.solve(tasks, embedder)


def decide(router: Router, texts: list[str]) -> list[Decision]:
    return router.decide([Request(text) for text in texts])


def test_held_out_phrasings_reach_their_task(router: Router) -> None:
    right = {task: [d.task == task for d in decide(router, texts)] for task, texts in prompts.unseen().items()}
    shares = {task: sum(found) / len(found) for task, found in right.items()}
    assert sum(shares.values()) / 3 >= 0.98, shares
    assert min(shares.values()) >= 0.95, shares


def test_training_prompts_reach_their_task(router: Router) -> None:
    for task, phrasings in prompts.seen().items():
        texts = [text for own in phrasings.values() for text in own]
        assert sum(d.task == task for d in decide(router, texts)) >= 0.99 * len(texts)


def test_prompts_of_no_task_are_mostly_told_apart(router: Router) -> None:
    foreign = decide(router, list(prompts.FOREIGN))
    assert sum(decision.abstained for decision in foreign) >= 0.8 * len(foreign)
    held_out = decide(router, [text for texts in prompts.unseen().values() for text in texts])
    assert sum(decision.abstained for decision in held_out) <= 0.03 * len(held_out)


def test_a_long_prompt_is_read_up_to_256_tokens(router: Router) -> None:
    start = "locate the dog " * 100
    short, long = router.embedder.embed([Request(start), Request(start + "and describe it " * 6000)])
    assert float(short @ long) == pytest.approx(1, abs=1e-5)
