"""What a routing decision adds to the prefill of the same requests, in one run, taking turns.

    python benchmarks/router_prefill.py [--base FOLDER_OR_NAME] [--turns 40] [--threads 2]

Prints one JSON object an embedder and batch size: milliseconds (minima) of the prefill, of the decision (embedding
included), and their ratio `added`. `text` embeds the prompts by MiniLM; `trunk` pools the states that the prefill
passes anyway, so its decision is what comes on top. The last lines take a decoder of the shape of SmolLM2-135M with
random weights in the place of the base, fed with as many tokens: how much `text` adds to a base that is no toy.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lynx_cl.base.chat import chat_text, model_inputs
from lynx_cl.base.load import Base, load_base
from lynx_cl.data.understanding import understanding
from lynx_cl.router.embedders import Request, TextEmbedder
from lynx_cl.router.router import Router
from lynx_cl.router.statistics import fit_task
from lynx_cl.router.trunk import TrunkEmbedder

BATCHES = (1, 32)
TASKS = ("base", "counting", "grounding", "reading")


def requests(count: int) -> list[Request]:
    return [Request(example.prompt, example.open()) for example in islice(understanding("test", count), count)]


def router(embedder: Any, asked: list[Request]) -> Router:
    """Over four tasks of a few requests each: what they are does not matter for the time."""
    parts = [
        (name, [Request(f"{name}: {request.text}", request.image) for request in asked[place::4]])
        for place, name in enumerate(TASKS)
    ]
    return Router.solve([fit_task(name, own[2:], embedder, own[:2]) for name, own in parts], embedder)


def entering(base: Base, layer: str, inputs: Any) -> torch.Tensor:
    """The states that enter a layer."""
    kept: list[torch.Tensor] = []

    def keep(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        kept.append(args[0] if args else kwargs["hidden_states"])

    handle = base.model.get_submodule(layer).register_forward_pre_hook(keep, with_kwargs=True)
    with torch.inference_mode():
        base.model(**inputs, use_cache=True)
    handle.remove()
    return kept[0]


def smollm() -> LlamaForCausalLM:
    """SmolLM2-135M's shape, random weights."""
    config = LlamaConfig(
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        vocab_size=49152,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).eval()


def best(calls: dict[str, Callable[[], Any]], turns: int) -> dict[str, float]:
    """The least seconds of each call."""
    times: dict[str, float] = dict.fromkeys(calls, float("inf"))
    for turn in range(turns + 2):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn > 1:
                times[name] = min(times[name], time.perf_counter() - start)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="nano")
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    base, other = load_base(options.base), smollm()
    text, trunk = TextEmbedder(), TrunkEmbedder(base)
    asked = requests(64)
    by_text, by_trunk = router(text, asked), router(trunk, asked)
    for batch in BATCHES:
        own = asked[:batch]
        chats = [chat_text(base.processor, request.text, True) for request in own]
        inputs = model_inputs(base, chats, [request.image for request in own])
        states = entering(base, trunk.layer, inputs)

        def prefill(inputs: Any = inputs) -> None:
            with torch.inference_mode():
                base.model(**inputs, use_cache=True, logits_to_keep=1)

        def large(ids: Any = inputs["input_ids"] % 49152) -> None:
            with torch.inference_mode():
                other(input_ids=ids, use_cache=True, logits_to_keep=1)

        calls = {  # in the order in which they follow each other: text before the forward, trunk within it
            "text": lambda own=own: by_text.decide(own),
            "prefill": prefill,
            "trunk": lambda own=own, s=states, i=inputs: by_trunk.decide_rows(trunk.pooled(own, s, i)),
        }
        times = best(calls, options.turns)
        shape = {"batch": batch, "tokens": inputs["input_ids"].shape[1], "threads": options.threads}
        for name in ("text", "trunk"):
            show(shape, base.name, name, times["prefill"], times[name])
        del calls["trunk"]
        times = best({**calls, "prefill": large}, max(2, options.turns // 8))
        show(shape, "SmolLM2-135M's shape", "text", times["prefill"], times["text"])


def show(shape: dict[str, int], base: str, embedder: str, prefill: float, decision: float) -> None:
    told = {"base": base, "embedder": embedder, **shape, "prefill_ms": round(1e3 * prefill, 3)}
    print(
        json.dumps({**told, "decision_ms": round(1e3 * decision, 3), "added": round(decision / prefill, 4)}), flush=True
    )


if __name__ == "__main__":
    main()
