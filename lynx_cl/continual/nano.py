"""The last step of pretraining nano: what its router knows it by, and its scores on held-out scenes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from lynx_cl.base.load import load_base
from lynx_cl.continual.measure import measure
from lynx_cl.continual.scores import understanding_test
from lynx_cl.data.understanding import prompts
from lynx_cl.registry.snapshot import BASE_TASK
from lynx_cl.router.embedders import TextEmbedder
from lynx_cl.router.statistics import fit_task
from lynx_cl.router.stored import FILE

PROMPTS = 1500
QUESTIONS = 1950


def finish(folder: Path, say: Callable[[str], None]) -> dict[str, float]:
    """Writes `router.safetensors` and `scores.json` into a base folder; greedy answers through `generate`."""
    say("router: the base's own requests")
    (folder / FILE).write_bytes(fit_task(BASE_TASK, prompts(PROMPTS), TextEmbedder()).to_bytes())
    base = load_base(str(folder))
    say(f"scores: {QUESTIONS} questions on held-out scenes")
    test = understanding_test(QUESTIONS)
    scores = measure(base, None, None, [test])[BASE_TASK].aware
    rounded = {name: round(value, 4) for name, value in scores.items()}
    (folder / "scores.json").write_text(json.dumps({"questions": QUESTIONS, **rounded}, indent=1) + "\n")
    return rounded
