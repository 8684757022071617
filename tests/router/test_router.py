"""The router: free of order, exact on disk, and plain about what it cannot know."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from lynx_cl.errors import LynxError, UsageError
from lynx_cl.router.embedders import Request
from lynx_cl.router.router import Router, RouterConfig
from lynx_cl.router.statistics import TaskStatistics, fit_task
from tests.router.embedding import PROMPTS, WordEmbedder

EMBEDDER = WordEmbedder()
CONFIGS = [RouterConfig(), RouterConfig(method="ridge", shrinkage=0.01, temperature=0.1)]


def statistics() -> list[TaskStatistics]:
    return [fit_task(name, texts, EMBEDDER) for name, texts in PROMPTS.items()]


def requests() -> list[Request]:
    return [Request(text) for text in ("box the bird", "describe the dog", "show one leukocyte", "utterly unrelated")]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.method)
def test_order_of_tasks_changes_no_bit(config: RouterConfig) -> None:
    expected = Router.solve(statistics(), EMBEDDER, config).decide(requests(), explain=True)
    for order in itertools.permutations(statistics()):
        assert Router.solve(order, EMBEDDER, config).decide(requests(), explain=True) == expected


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.method)
def test_an_explanation_changes_no_decision(config: RouterConfig) -> None:
    router = Router.solve(statistics(), EMBEDDER, config)
    plain, explained = router.decide(requests()), router.decide(requests(), explain=True)
    assert all(one.nearest == () for one in plain) and all(one.nearest for one in explained)
    assert [replace(one, nearest=()) for one in explained] == plain


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.method)
def test_its_own_prompts_go_to_their_task_with_themselves_nearest(config: RouterConfig) -> None:
    router = Router.solve(statistics(), EMBEDDER, config)
    for task, texts in PROMPTS.items():
        for text, decision in zip(texts, router.decide([Request(t) for t in texts], explain=True), strict=True):
            assert (decision.task, decision.abstained) == (task, False)
            assert (decision.nearest[0].text, decision.nearest[0].task) == (text, task)
            assert decision.nearest[0].similarity == pytest.approx(1, abs=1e-5)
            assert sum(decision.probabilities.values()) == pytest.approx(1)
            assert max(decision.probabilities, key=decision.probabilities.__getitem__) == task
            assert len(decision.nearest) == 3


def test_a_task_that_leaves_leaves_no_trace() -> None:
    base, cells, grounding = statistics()
    never = Router.solve([base, grounding], EMBEDDER)
    assert "cells" not in never.decide(requests())[2].probabilities
    again = Router.solve([TaskStatistics.from_bytes(s.to_bytes(), "x") for s in (grounding, base)], EMBEDDER)
    assert again.decide(requests()) == never.decide(requests())


def test_what_is_near_nothing_goes_to_the_base() -> None:
    things = [f"{a} {b}" for a in ("red", "small", "old") for b in ("dog", "car", "cup", "bird", "boat")]
    ways = {"boxes": ("box the", "frame the"), "counts": ("how many of the", "count the")}
    tasks = [
        fit_task(
            name, [f"{w} {x}" for w in way for x in things[::2]], EMBEDDER, [f"{way[0]} {x}" for x in things[1::2]]
        )
        for name, way in ways.items()
    ]
    known, foreign = Router.solve(tasks, EMBEDDER).decide(
        [Request("box the old bird"), Request("quantum xylophone jurisprudence")], explain=True
    )
    assert (known.task, known.abstained) == ("boxes", False) and known.distance < known.bound
    assert (foreign.task, foreign.abstained, foreign.candidates) == ("base", True, ())
    assert foreign.distance > foreign.bound and foreign.nearest[0].similarity < 0.6


def test_statistics_on_disk_are_exact_and_their_bytes_deterministic() -> None:
    first = fit_task("grounding", PROMPTS["grounding"], EMBEDDER)
    data = first.to_bytes()
    assert fit_task("grounding", PROMPTS["grounding"][::-1] * 2, EMBEDDER).to_bytes() == data
    read = TaskStatistics.from_bytes(data, "here")
    assert read.to_bytes() == data
    assert np.array_equal(read.second_moment, first.second_moment) and read.second_moment.dtype == np.float64
    assert (read.count, read.texts, read.task) == (5, first.texts, "grounding")


@pytest.mark.parametrize("damage", [b"", b"no statistics", None])
def test_damaged_statistics_are_named(damage: bytes | None) -> None:
    data = statistics()[0].to_bytes()[:-9] if damage is None else damage
    with pytest.raises(LynxError, match="^here: no router statistics, or damaged"):
        TaskStatistics.from_bytes(data, "here")


def test_many_prompts_are_kept_as_few_exemplars() -> None:
    texts = [f"box number {i} of kind {i % 7}" for i in range(300)]
    made = fit_task("grounding", texts, EMBEDDER)
    assert (made.count, len(made.texts)) == (300, 128)
    assert 1 <= len(made.prototypes) <= 8
    assert (np.linalg.norm(made.prototypes, axis=1) <= 1).all()


@pytest.mark.parametrize("texts", [["box the dog"], ["box the dog"] * 9, ["box the dog", "box a cat"]])
def test_a_task_of_one_or_two_prompts_works(texts: list[str]) -> None:
    tasks = [fit_task("base", PROMPTS["base"], EMBEDDER), fit_task("grounding", texts, EMBEDDER)]
    decision = Router.solve(tasks, EMBEDDER).decide([Request("box the dog")])[0]
    assert (decision.task, decision.abstained) == ("grounding", False)


def test_without_any_task_the_base_answers() -> None:
    decision = Router.solve([], EMBEDDER).decide([Request("box the dog")])[0]
    assert (decision.task, decision.abstained, decision.probabilities) == ("base", True, {"base": 1.0})
    assert Router.solve(statistics(), EMBEDDER).decide([]) == []


@pytest.mark.parametrize("text", ["", "  \n", "\udcff"])
def test_a_prompt_that_is_no_text_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="^prompt: it is"):
        Request(text)


def test_mistakes_are_named() -> None:
    with pytest.raises(UsageError, match="task cells: the router needs at least one prompt"):
        fit_task("cells", [], EMBEDDER)
    with pytest.raises(LynxError, match="'base' is given twice"):
        Router.solve([statistics()[0]] * 2, EMBEDDER)
    with pytest.raises(LynxError, match="'base' was fitted with the embedder words"):
        Router.solve(statistics(), replace(EMBEDDER, digest="e" * 64))
    router = Router.solve(statistics(), EMBEDDER)
    for rows in (np.full((1, 16), np.nan, np.float32), np.ones((1, 5), np.float32)):
        with pytest.raises(LynxError, match="vectors must be finite and of 16 numbers"):
            router.decide_rows(rows)


def test_faiss_uses_one_thread_and_leaves_torchs_alone() -> None:
    program = """
import torch, numpy
torch.set_num_threads(2)
from lynx_cl.router import prototypes
import faiss
before = faiss.omp_get_max_threads()
with prototypes.one_thread():
    inside = faiss.omp_get_max_threads()
prototypes.cluster(numpy.eye(9, dtype="float32"), 3)
print(torch.get_num_threads(), inside, faiss.omp_get_max_threads() == before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["2", "1", "True"], done.stderr


def test_of_many_tasks_those_of_the_nearest_prototypes_are_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    things = "dog car cup bird boat tree lamp key hat rose door fish".split()
    wide = WordEmbedder(dimension=64)
    ways = "box count name read paint move sort blur weigh price".split()
    tasks = [
        fit_task(way, [f"{way} the {x}" for x in things[:8]], wide, [f"{way} the {x}" for x in things[8:10]])
        for way in ways
    ]
    asked = [Request(f"{way} the {x}") for way in ways for x in things[10:]]
    every = Router.solve(tasks, wide).decide(asked)
    monkeypatch.setattr("lynx_cl.router.nearness.SCORED", 9)
    monkeypatch.setattr("lynx_cl.router.nearness.SHORTLIST", 4)
    few = Router.solve(tasks, wide).decide(asked)
    for one, other in zip(every, few, strict=True):
        assert len(one.probabilities) == 10 and 1 <= len(other.probabilities) <= 4
        assert (other.task, other.abstained, other.distance) == (one.task, one.abstained, one.distance)
        assert sum(other.probabilities.values()) == pytest.approx(1) and set(other.candidates) <= set(one.probabilities)
    assert Router.solve(tasks[::-1], wide).decide(asked) == few


def test_a_task_that_is_not_on_the_shortlist_counts_as_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the promise holds for shortlists too: of so many misses every task on it must be a candidate."""
    tasks = [fit_task(name, [f"{name} {x}" for x in "abcdefgh"], EMBEDDER, ["t0 a"] * 1) for name in ("t0", "t1", "t2")]
    monkeypatch.setattr("lynx_cl.router.nearness.SCORED", 2)
    monkeypatch.setattr("lynx_cl.router.nearness.SHORTLIST", 1)
    (decision,) = Router.solve(tasks, EMBEDDER).decide([Request("t0 a")])
    assert decision.candidates == ("t0",) == tuple(decision.probabilities)
