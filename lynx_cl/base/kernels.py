"""How a base computes on a CPU: results of a row that do not depend on its neighbours, and no slow path under bf16.

Both are set through transformers' own interfaces, and neither changes what is computed beyond rounding.

**Experts.** How many tokens reach an expert depends on the whole batch, and a row's last bits on its neighbours: a
matrix product of few rows takes another path, and a vectorised activation treats the last elements that fill no vector
otherwise. So each expert's group is filled up to whole blocks of rows. (transformers' default, `grouped_mm`, gave other
bits to a row in 24 of 36 batches whose other rows changed.) Under bf16 autocast this is also some 2.5 times as fast:
autocast does not know `grouped_mm`, which then runs in fp32.

**Attention.** Under bf16 autocast PyTorch's CPU attention takes three times as long backwards as in fp32 at 100 tokens,
so it stays in fp32; without autocast the bits are those of `sdpa`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

EXPERTS = "row_stable"
ATTENTION = "sdpa_float32"
BLOCK = 32  # rows; a multiple of every vector width, and past the sizes at which products take another path
OTHER_LAYOUTS = ("has_bias", "is_transposed", "has_post_expert_norm")


def row_stable_experts(experts: nn.Module, hidden: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
    """The mixture's output, (tokens, hidden), for tokens (tokens, hidden), their experts and weights (tokens, k)."""
    out = torch.zeros_like(hidden)
    entries, exits = experts.gate_up_proj.unbind(0), experts.down_proj.unbind(0)  # type: ignore[operator]
    for number, (entry, exit_) in enumerate(zip(entries, exits, strict=True)):
        token, slot = torch.where(chosen == number)
        count = token.shape[0]
        if count == 0:
            continue
        rows = F.pad(hidden[token], (0, 0, 0, -count % BLOCK))
        inner = experts._apply_gate(F.linear(rows, entry))  # type: ignore[operator]
        result = F.linear(inner, exit_)[:count]
        out.index_add_(0, token, (result * weights[token, slot, None]).to(out.dtype))
    return out


def float32_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """`sdpa` in fp32 whatever autocast says; same arguments and result."""
    with torch.autocast(query.device.type, enabled=False):
        out, _ = sdpa_attention_forward(module, query.float(), key.float(), value.float(), attention_mask, **options)
    return out.to(query.dtype), None


ALL_EXPERTS_FUNCTIONS.register(EXPERTS, row_stable_experts)
ALL_ATTENTION_FUNCTIONS.register(ATTENTION, float32_attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, sdpa_mask)


def use_cpu_kernels(model: PreTrainedModel) -> None:
    """Sets both on the text decoder of a base in fp32, each where the base has the layout it knows."""
    fused = [m for m in model.modules() if hasattr(m, "_apply_gate") and hasattr(m, "gate_up_proj")]
    if fused and not any(getattr(m, name, False) for m in fused for name in OTHER_LAYOUTS):
        model.set_experts_implementation(EXPERTS)
    decoder = model.get_decoder()
    if decoder.config._attn_implementation == "sdpa":
        decoder.set_attn_implementation(ATTENTION)
