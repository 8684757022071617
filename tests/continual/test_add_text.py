"""Tasks in words alone, added to a base that reads text alone, through the command line."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lynx_cl.continual.plan import make_plan
from lynx_cl.home import Home
from tests.continual.process import lynx
from tests.data.thinking import QWEN3, tokenizer

CARD = "name: {0}\ntitle: {0}\ndescription: Words alone.\nkind: instruct\n"
ASKED = {"next": "What follows {}?", "twice": "Double the number {}.", "french": "Say it in French: {}"}
SHORT = ["train.steps=4", "train.val_every=2", "evaluation.examples=8", "pictures_per_batch=4"]


@pytest.fixture
def home(tmp_path):
    """A home with a card of each task, a file of its questions beside it, and a tiny Llama whose template reasons."""
    words = tokenizer(QWEN3)
    torch.manual_seed(0)
    words.save_pretrained(tmp_path / "base")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    LlamaForCausalLM(
        LlamaConfig(vocab_size=len(words), eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id, **sizes)
    ).save_pretrained(tmp_path / "base")
    for name, asked in ASKED.items():
        folder = tmp_path / "home" / "tasks" / name
        folder.mkdir(parents=True)
        (folder / "task.yaml").write_text(CARD.format(name))
        lines = [json.dumps({"prompt": asked.format(n), "response": str(n)}) for n in range(60)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    return Home(tmp_path / "home")


def added(home, name, *more):
    told = lynx(
        "add-task", name, "--data", f"text:{name}.jsonl", "--bank", "lora", "--json", *more, *SHORT, home=home.path
    )
    return json.loads(told.stdout)


def test_a_card_of_three_lines_is_planned(home, monkeypatch):
    monkeypatch.chdir(home.path.parent)
    plan = make_plan(home, "next", data="text:next.jsonl", base="base", kind="lora")
    assert plan.card.metric == "accuracy" and plan.spec == f"text:{home.path.parent}/next.jsonl"


def test_a_task_in_words_alone_is_added(home):
    facts = added(home, "next", "--base", "base")
    assert set(facts["tasks"]) == {"next"} and "accuracy" in facts["tasks"]["next"]


@pytest.mark.slow
def test_three_tasks_in_words_alone_keep_what_was_learned(home):
    for number, name in enumerate(ASKED):
        facts = added(home, name, *(["--base", "base"] if number == 0 else []))
    assert set(facts["tasks"]) == set(ASKED)
    told = lynx("registry", "verify", "--deep", home=home.path)
    assert told.returncode == 0
    scores = json.loads(lynx("evaluate", "--json", home=home.path).stdout)
    assert set(scores["tasks"]) == set(ASKED)
