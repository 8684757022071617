"""The last step of making scenes-dino: how often it finds what the task `grounding` asks for, on held-out scenes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch

from lynx_cl.banks.external import ExternalBank, ExternalConfig
from lynx_cl.continual.scores import task_test
from lynx_cl.data.sources import open_source
from lynx_cl.evaluation.text import mean_by_kind
from lynx_cl.home import shipped
from lynx_cl.tasks import load_card

REQUESTS = 300


def finish_detector(folder: Path, say: Callable[[str], None]) -> dict[str, float]:
    """Writes `scores.json` into a detector's folder: accuracy at IoU 0.5, mean IoU, and the accuracy of each kind of
    referring expression, on requests in held-out phrasings, each answered as the bank would."""
    say(f"scores: {REQUESTS} requests on held-out scenes")
    card = load_card(shipped("tasks") / "grounding")
    source = open_source("scout", card, seed=0, limit=REQUESTS, base_grammar="keyed")
    grammar = card.box_grammar("keyed")
    test = task_test(card, source, grammar, REQUESTS)
    config = ExternalConfig(model=str(folder), grammar=grammar.name, phrasings=tuple(card.prompts.train))
    bank = ExternalBank(config, (folder,), torch.device("cpu"))
    bank.folder = folder  # its own, as it is: there is no digest yet that it must have
    answers = [bank.answer(example.prompt, example.open()) for example in test.examples]
    right = [test.score([e], [text])[test.metric] for e, text in zip(test.examples, answers, strict=True)]
    scores = test.score(test.examples, answers) | mean_by_kind([e.kind for e in test.examples], right)
    rounded = {name: round(value, 4) for name, value in scores.items()}
    (folder / "scores.json").write_text(json.dumps({"requests": REQUESTS, **rounded}, indent=1) + "\n")
    return rounded
