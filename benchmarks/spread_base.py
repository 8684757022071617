"""What a base takes of memory that its card spreads to disk, against the same base held in memory.

Makes a random Llama of some 1.6 GB in fp32 (8 layers, 2048 wide), and in a process each: loads it, answers one request,
trains a lora bank for two steps. Prints the peak of resident memory above a process that has imported the libraries
alone, and the seconds of a step; ratios are of the spread base to the one in memory.

    python benchmarks/spread_base.py --limit 300MB
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROWS, TOKENS = 2, 64


def make(folder: Path) -> None:
    """A random model in several files, with nano's tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from lynx_cl.home import shipped

    words = AutoTokenizer.from_pretrained(shipped("registry") / "bases" / "nano")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=2048, intermediate_size=5632, num_hidden_layers=8, num_attention_heads=16
    )
    LlamaForCausalLM(config).save_pretrained(folder, max_shard_size="300MB")
    words.save_pretrained(folder)


def measure(folder: Path, how: str, limit: str) -> dict[str, float]:
    """Peak memory above the libraries alone, in MB, after loading, after a forward and after two steps."""
    import torch

    from lynx_cl.banks.attach import attach
    from lynx_cl.banks.base import build_bank
    from lynx_cl.base.card import BaseCard
    from lynx_cl.base.load import load_base
    from lynx_cl.base.taps import find_taps
    from lynx_cl.training.config import TrainConfig
    from lynx_cl.training.module import BankModule
    from lynx_cl.training.optimizer import BankOptimizer

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    torch.set_num_threads(1)
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])
    before = peak()
    spread: dict[str, Any] = {} if how == "memory" else {"device_map": "auto", "max_memory": {"cpu": limit}}
    base = load_base(str(folder), card=BaseCard(name="bench", **spread))
    told = {"loaded": peak() - before}
    ids = torch.randint(10, 100, (ROWS, TOKENS))
    with torch.no_grad():
        base.model(input_ids=ids)
    told["answered"] = peak() - before
    taps = find_taps(base.model, 2)
    bank = build_bank("lora", taps, base.model, {}, 0)
    config = TrainConfig(cache_mb=0, gradient_checkpointing=how != "kept")
    batch = SimpleNamespace(
        input_ids=ids,
        labels=ids,
        step_ids=torch.zeros_like(ids),
        step_weights=torch.ones(ROWS, 1),
        attention_mask=torch.ones_like(ids),
    )
    with attach(base.model, taps) as attachment:
        module = BankModule(base.model, attachment, bank, config)
        optimizer = BankOptimizer(bank.parameters(), lr=1e-3, weight_decay=0.0)
        for _ in range(2):
            started = time.perf_counter()
            loss, _ = module.losses(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    told["trained"] = peak() - before
    told["step"] = time.perf_counter() - started
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", default="300MB", help="of main memory that the spread base may take")
    parser.add_argument("--one", nargs=2, metavar=("FOLDER", "HOW"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one and asked.one[1] == "make":
        make(Path(asked.one[0]))
        return
    if asked.one:
        print(json.dumps(measure(Path(asked.one[0]), asked.one[1], asked.limit)))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "base"
        subprocess.run([sys.executable, __file__, "--one", str(folder), "make"], check=True, capture_output=True)
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 2**20
        print(f"weights: {size:.0f} MB on disk; spread: {asked.limit} of main memory, the rest on disk")
        results = {}
        for how, what in (
            ("memory", "in memory"),
            ("kept", "spread, activations kept"),
            ("spread", "spread, activations computed anew"),
        ):
            command = [sys.executable, __file__, "--limit", asked.limit, "--one", str(folder), how]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            one = results[how] = json.loads(out.splitlines()[-1])
            ratios = ", ".join(
                f"{key} {one[key]:.0f} MB ({one[key] / results['memory'][key]:.2f})"
                for key in ("loaded", "answered", "trained")
            )
            slower = one["step"] / results["memory"]["step"]
            print(f"{what}: peak {ratios}; a step {one['step']:.2f} s ({slower:.2f})")


if __name__ == "__main__":
    main()
