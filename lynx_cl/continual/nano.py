"""The last step of pretraining nano: what its router knows it by, and its scores on held-out scenes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from lynx_cl.base.load import load_base
from lynx_cl.base.nano.wider_questions import KINDS as WIDER
from lynx_cl.continual.measure import TaskUnderTest, measure
from lynx_cl.continual.scores import UNDERSTANDING_METRIC, understanding_scores, understanding_test
from lynx_cl.data.understanding import understanding
from lynx_cl.registry.snapshot import BASE_TASK
from lynx_cl.router.embedders import Embedder, TextEmbedder
from lynx_cl.router.requests import task_requests
from lynx_cl.router.statistics import TaskStatistics, fit_task
from lynx_cl.router.stored import FILE

PROMPTS = 1500
LOOKED_AT = 2200  # questions of a split, of which the router's are taken
QUESTIONS = 1950
WIDER_QUESTIONS = 1050


def finish(folder: Path, say: Callable[[str], None]) -> dict[str, float]:
    """Writes `router.safetensors` and `scores.json` into a base folder; greedy answers through `generate`.

    `score` is the mean over the kinds that the base's own task is made of, `wider` over those asked besides.
    """
    say("router: the base's own requests")
    (folder / FILE).write_bytes(base_statistics(TextEmbedder()).to_bytes())
    base = load_base(str(folder))
    say(f"scores: {QUESTIONS + WIDER_QUESTIONS} questions on held-out scenes")
    test = understanding_test(QUESTIONS)
    scores = measure(base, None, None, [test])[BASE_TASK].aware
    wider = TaskUnderTest(
        BASE_TASK, understanding("test", WIDER_QUESTIONS, kinds=WIDER), understanding_scores, UNDERSTANDING_METRIC
    )
    more = measure(base, None, None, [wider])[BASE_TASK].aware
    scores |= {"wider" if name == UNDERSTANDING_METRIC else name: value for name, value in more.items()}
    rounded = {name: round(value, 4) for name, value in scores.items()}
    counts = {"questions": QUESTIONS, "wider_questions": WIDER_QUESTIONS}
    (folder / "scores.json").write_text(json.dumps({**counts, **rounded}, indent=1) + "\n")
    return rounded


def base_statistics(embedder: Embedder, pictures: bool = False) -> TaskStatistics:
    """What a base that was pretrained as nano is known by: its own questions, with their pictures where they matter."""
    train = understanding("train", LOOKED_AT)
    asked = task_requests(train, understanding("calibration", LOOKED_AT), PROMPTS, pictures=pictures)
    return fit_task(BASE_TASK, asked.fit, embedder, asked.calibration)
