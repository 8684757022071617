"""What a task is tested on: its kind's scores, and room for its kind's longest answer."""

from __future__ import annotations

import pytest

from lynx_cl.continual.scores import task_test
from lynx_cl.data.kinds import kinds
from lynx_cl.data.sources import open_source
from lynx_cl.home import shipped
from lynx_cl.tasks import load_card


@pytest.mark.parametrize("name", [name for name, kind in kinds().items() if not kind.own_words])
def test_true_answers_score_one_and_fit(name):
    from transformers import PreTrainedTokenizerFast

    card = load_card(name)
    tested = task_test(card, open_source("scenes", card, limit=80), card.box_grammar(), 60)
    true = [example.steps[-1].answer for example in tested.examples]
    assert len(true) == 60 and tested.metric == kinds()[name].metrics[0]
    assert tested.score(tested.examples, true)[tested.metric] == pytest.approx(1.0)
    assert tested.score(tested.examples, ["a"] * 60)[tested.metric] == 0.0
    tokenizer = PreTrainedTokenizerFast.from_pretrained(shipped("registry") / "bases" / "nano")
    assert max(len(tokenizer(text)["input_ids"]) for text in true) < tested.tokens
