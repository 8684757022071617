"""Judging a router on a file of labelled prompts: figures against other ways to the same, and files that are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lynx_cl.cli.main import main
from lynx_cl.errors import UsageError
from lynx_cl.router import bench
from lynx_cl.router.baselines import BASELINES
from lynx_cl.router.embedders import Request
from lynx_cl.router.router import RouterConfig
from tests.router.embedding import WordEmbedder
from tests.router.test_audit import THINGS

PATTERNS = {
    "boxes": ("box the {}", "put a frame around the {}"),
    "counts": ("how many {} are there", "count the {}"),
    "names": ("what is the {} called", "name the {}"),
}
FOREIGN = ("utterly unrelated gibberish", "quantum xylophone law", "bonjour tout le monde")


def records() -> list[dict[str, Any]]:
    made = []
    for task, patterns in PATTERNS.items():
        texts = [pattern.format(x) for x in THINGS for pattern in patterns]
        splits = ["train"] * 20 + ["calibration"] * 10 + ["test"] * 10
        made += [{"text": x, "task": task, "split": s} for x, s in zip(texts, splits, strict=True)]
    return made + [{"text": text, "task": None, "split": "test"} for text in FOREIGN]


def written(path: Path, lines: list[Any]) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


def test_figures_equal_those_worked_out_from_the_decisions(tmp_path: Path) -> None:
    from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

    embedder = WordEmbedder(dimension=24)
    splits = bench.embed(bench.read_prompts(written(tmp_path / "p.jsonl", records())), embedder)
    router = bench.fit(splits, embedder, RouterConfig())
    told = bench.judge(router, splits, ["nearest_mean", "knn", "joint_logistic"])
    test = [r for r in records() if r["split"] == "test"]
    inside = [r for r in test if r["task"] is not None]
    decisions = router.decide([Request(r["text"]) for r in inside])
    outside = router.decide([Request(text) for text in FOREIGN])
    truth = [r["task"] for r in inside]
    chosen = [max(d.probabilities, key=d.probabilities.__getitem__) for d in decisions]
    assert told["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, chosen))
    assert told["macro_f1"] == pytest.approx(f1_score(truth, chosen, average="macro"))
    held = [task in d.candidates for task, d in zip(truth, decisions, strict=True)]
    assert told["coverage"] == pytest.approx(np.mean(held))
    assert told["set_size"] == pytest.approx(np.mean([len(d.candidates) for d in decisions]))
    near = [-d.distance for d in (*decisions, *outside)]
    assert told["ood_auroc"] == pytest.approx(roc_auc_score([1] * len(inside) + [0] * 3, near), abs=1e-6)
    assert told["promised"] == pytest.approx(2 / 31) and told["tasks"] == 3
    assert set(told["baselines"]) == {"nearest_mean", "knn", "joint_logistic"}
    assert all(peer["balanced_accuracy"] > 0.5 for peer in told["baselines"].values())


def test_every_baseline_learns_what_is_easy_but_the_sequential_one_forgets() -> None:
    rng = np.random.default_rng(0)
    middles = rng.normal(size=(6, 32))
    owners = np.repeat(np.arange(6), 30)
    rows = (middles[owners] + 0.8 * rng.normal(size=(180, 32))).astype(np.float32)
    right = {
        name: float((fit(rows[::2], owners[::2])(rows[1::2]) == owners[1::2]).mean()) for name, fit in BASELINES.items()
    }
    assert right.pop("sequential_logistic") < 0.9
    assert all(share > 0.95 for share in right.values()), right


def test_without_prompts_of_no_task_there_is_no_such_figure(tmp_path: Path) -> None:
    embedder = WordEmbedder()
    path = written(tmp_path / "p.jsonl", [r for r in records() if r["task"]])
    splits = bench.embed(bench.read_prompts(path), embedder)
    told = bench.judge(bench.fit(splits, embedder, RouterConfig()), splits, [])
    assert told["ood_auroc"] is None and told["ood_fpr95"] is None and told["foreign_abstained"] is None


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["{"], "line 1: the line: Invalid JSON"),
        ([{"text": "a", "task": "t"}], "line 1: split: Field required"),
        ([{"text": "a", "task": "t", "split": "dev"}], "line 1: split: Input should be"),
        ([{"text": "  ", "task": "t", "split": "test"}], "line 1: prompt: it is empty"),
        ([*records()[:1], {"text": "a", "task": 3, "split": "test"}], "line 2: task:"),
        ([r for r in records() if r["task"] == "boxes"], "prompts of split 'train' for 1 tasks"),
        ([*records(), {"text": "a", "task": "new", "split": "test"}], "task 'new' has prompts to test but none"),
        ([r for r in records() if r["split"] == "train"], "no prompt of split 'test' with a task"),
    ],
)
def test_wrong_files_are_named_by_line(tmp_path: Path, lines: list[Any], words: str) -> None:
    path = written(tmp_path / "p.jsonl", lines)
    with pytest.raises(UsageError) as caught:
        bench.read_prompts(path)
    assert words in str(caught.value) and str(path) in str(caught.value)


def test_the_command_prints_the_agreed_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "p.jsonl", records())
    home = ["--home", str(tmp_path / "home")]
    assert main(["route", "--bench", str(path), "--json", *home]) == 0
    told = json.loads(capsys.readouterr().out)
    wanted = "balanced_accuracy macro_f1 ece coverage set_size ood_auroc ood_fpr95 microseconds baselines".split()
    assert set(wanted) <= set(told) and set(told["baselines"]) == {"nearest_mean", "knn", "joint_logistic"}
    assert not (tmp_path / "home").exists()
    assert main(["route", "--bench", str(path), "--route-error", "0.2", *home]) == 0
    assert "joint_logistic" in capsys.readouterr().out
    for arguments, code, words in (
        (["--bench", str(tmp_path / "no.jsonl")], 2, "cannot be read"),
        (["--bench", str(tmp_path)], 2, "holds 0 files in intents/"),
        (["--bench", str(path), "--audit"], 2, "give one of a PROMPT, --audit and --bench"),
        ([], 2, "give one of"),
        (["box the dog", "--route-error", "1.5"], 2, "error = 1.5"),
    ):
        assert main(["route", *arguments, *home]) == code
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
