"""Growth counted by the tool equals growth counted by hand, total and active."""

from __future__ import annotations

from lynx_cl.banks.base import build_bank
from lynx_cl.banks.growth import active_parameters, growth, total_parameters
from lynx_cl.base.taps import find_taps
from tests.families.tiny import HIDDEN, LAYERS, VOCABULARY, tiny_causal

H, INNER, EXPERT, EXPERTS, TOP = HIDDEN, 48, 24, 4, 2
ATTENTION = 4 * H * H
DENSE_LAYER = ATTENTION + 3 * H * INNER + 2 * H  # projections, gate / up / down, two norms
HEADS = 2 * VOCABULARY * H + H  # embeddings, head, last norm
MIXTURE = EXPERTS * 3 * H * EXPERT + EXPERTS * H  # experts and gate


def test_dense_base_by_hand() -> None:
    model = tiny_causal("llama")
    assert total_parameters(model) == active_parameters(model) == LAYERS * DENSE_LAYER + HEADS
    bank = build_bank("twin", find_taps(model), model, {"experts": 4, "top_k": 2}, 0)  # two taps
    counted = growth(bank, model)
    assert counted.parameters == 2 * (4 * 3 * H * INNER + 4 * H + 1)
    assert counted.active_parameters == 2 * (2 * 3 * H * INNER + 4 * H + 1)
    assert counted.total == counted.parameters / total_parameters(model)
    assert counted.active == counted.active_parameters / total_parameters(model)
    assert bank.parameters_per_tap().keys() == {"model.layers.1.mlp", "model.layers.3.mlp"}


def test_sparse_base_by_hand() -> None:
    model = tiny_causal("qwen3_moe")
    dense, sparse = 2 * DENSE_LAYER, 2 * (ATTENTION + MIXTURE + 2 * H)
    head_norms = LAYERS * 2 * 16
    idle = 2 * (EXPERTS - TOP) * 3 * H * EXPERT
    assert total_parameters(model) == dense + sparse + head_norms + HEADS
    assert active_parameters(model) == total_parameters(model) - idle
    bank = build_bank("twin", find_taps(model), model, {}, 0)
    counted = growth(bank, model)
    assert counted.parameters == 2 * (MIXTURE + 1)
    assert counted.active_parameters == 2 * (TOP * 3 * H * EXPERT + EXPERTS * H + 1)
    assert counted.active == counted.active_parameters / active_parameters(model)


def test_lora_by_hand() -> None:
    rank, experts = 3, 2
    config = {"rank": rank, "experts": experts, "attention": True}
    square = rank * experts * 2 * H + experts * H
    sparse = tiny_causal("qwen3_moe")
    counted = growth(build_bank("lora", find_taps(sparse), sparse, config, 0), sparse)
    assert counted.parameters == counted.active_parameters == 2 * square + LAYERS * 4 * square
    dense = tiny_causal("llama")
    wide = rank * experts * (H + INNER)
    network = 3 * wide + experts * (2 * H + INNER)
    bank = build_bank("lora", find_taps(dense), dense, {**config, "attention_layers": "taps"}, 0)
    assert growth(bank, dense).parameters == 2 * network + 2 * 4 * square
    assert bank.parameters_per_tap()["model.layers.1.mlp"] == network
    assert bank.parameters_per_tap()["model.layers.3.self_attn"] == 4 * square


def test_blocks_by_hand() -> None:
    blocks = 8
    sparse = tiny_causal("qwen3_moe")
    counted = growth(build_bank("block", find_taps(sparse), sparse, {"blocks": blocks}, 0), sparse)
    attention, experts = LAYERS * ATTENTION // blocks, 2 * 3 * H * EXPERT // blocks  # the same change for all experts
    assert counted.parameters == counted.active_parameters == attention + experts
    dense = tiny_causal("llama")
    counted = growth(build_bank("block", find_taps(dense), dense, {"blocks": blocks, "attention": False}, 0), dense)
    assert counted.parameters == 2 * 3 * H * INNER // blocks
