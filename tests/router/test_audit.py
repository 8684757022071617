"""The audit finds what is wrong with a router, and says it in words that help."""

from __future__ import annotations

from dataclasses import replace

from lynx_cl.router.audit import audit
from lynx_cl.router.router import Router
from lynx_cl.router.statistics import TaskStatistics, fit_task
from tests.router.embedding import PROMPTS, WordEmbedder

EMBEDDER = WordEmbedder(dimension=64)
THINGS = "dog cat bird car bus boat cup fork knife chair lamp door tree rose hat ball kite shoe book key".split()


def task(name: str, *patterns: str, things: list[str] = THINGS, aside: int = 5) -> TaskStatistics:
    texts = [pattern.format(x) for pattern in patterns for x in things]
    return fit_task(name, texts[aside:], EMBEDDER, texts[:aside])


def solved(*tasks: TaskStatistics) -> Router:
    return Router.solve(tasks, EMBEDDER)


CLEAR = (
    task("boxes", "box the {}", "put a frame around the {}"),
    task("counts", "how many {} are there", "count the {}"),
)


def test_a_sound_router_has_nothing_to_say() -> None:
    assert audit(solved(*CLEAR)).lines() == []


def test_a_task_that_is_there_already_is_recognised_with_and_without_calibration() -> None:
    for aside in (0, 8):
        first = task("grounding", "box the {}", "put a frame around the {}", aside=aside)
        found = audit(solved(CLEAR[1], first, replace(first, task="grounding2")), "grounding2")
        (alike,) = found.alike
        assert (alike.task, alike.other) == ("grounding2", "grounding") and alike.share >= 0.4
        assert alike.text().startswith("grounding2 looks like grounding: ")
        assert alike.text().endswith("; update grounding instead?")
        assert {pair for c in found.confusions for pair in [(c.task, c.other)]} <= {
            ("grounding", "grounding2"),
            ("grounding2", "grounding"),
        }


def test_a_confusion_is_told_with_the_prompts_that_go_astray() -> None:
    counts = fit_task("counts", ["how many dogs", "how many cats"] * 3, EMBEDDER, ["box the dog", "how many birds"])
    found = audit(solved(CLEAR[0], counts))
    (confusion,) = found.confusions
    assert (confusion.task, confusion.other, confusion.share) == ("counts", "boxes", 0.5)
    assert confusion.examples == ("box the dog",)
    assert "50.0% of the requests of counts go to boxes, for instance 'box the dog'" in found.lines()


def test_few_prompts_are_told_and_lines_can_be_of_one_task() -> None:
    few = fit_task("reading", ["read the sign", "read the label"], EMBEDDER)
    found = audit(solved(*CLEAR, few))
    assert found.lines("reading") == ["reading is known by 2 prompts; give it 20 or more that differ"]
    assert found.lines("boxes") == []


def test_one_task_alone_and_none() -> None:
    assert audit(solved(CLEAR[0])).lines() == [] and audit(solved()).lines() == []
    single = fit_task("base", PROMPTS["base"][:1], EMBEDDER)
    assert [few.count for few in audit(solved(CLEAR[0], single)).few] == [1]
