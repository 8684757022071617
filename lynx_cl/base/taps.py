"""Finding taps: the feed-forward network (or sparse mixture) of each decoder layer at which a bank can act.

By structure, not by class: the decoder's list of layers, in each the child that holds weights and is no attention, in
that the projection back to the hidden width. Names are looked at first, since most families share them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from lynx_cl.base.quantise import shape_of
from lynx_cl.errors import LynxError, UsageError

FFN_NAMES = ("mlp", "feed_forward", "block_sparse_moe")
ATTENTION_NAMES = ("self_attn", "attention", "self_attention", "attn")
CROSS_NAMES = ("cross_attn", "encoder_attn", "crossattention")
EXITS = ("down_proj", "fc2", "w2", "c_proj", "linear2")
_ATTENDS = re.compile(
    r"(^|[._])(q|k|v|qkv|query|key|value|c_attn|wqkv|query_key_value|in_proj|o)(_proj)?(_weight)?(\.|$)", re.I
)
_ADVICE = "name them by `taps:` in the base card (lynx-cl base add FOLDER --taps 'model.layers.*.mlp')"


@dataclass(frozen=True)
class Tap:
    """One place where a bank can act.

    `name` is the module path in the base, `layer` the decoder layer's number from 0, `hidden` and `intermediate` the
    widths of the network (of one expert, where it is a sparse mixture).
    """

    name: str
    layer: int
    hidden: int
    intermediate: int
    sparse: bool


def find_taps(model: nn.Module, every: int = 2, pattern: str | None = None) -> list[Tap]:
    """The taps of a model: every `every`-th decoder layer's feed-forward network, counted so that the last is tapped.

    `pattern` is a module path with one `*` for the layer number, for a family whose layers are not found by structure.
    Raises LynxError where nothing matches, or not every decoder layer does: a bank never silently acts on less than was
    asked for.
    """
    if every < 1:
        raise UsageError(f"taps: every = {every}; it counts decoder layers and is at least 1")
    names = _by_pattern(model, pattern) if pattern else _by_structure(model)
    chosen = range(len(names) - 1, -1, -every)
    return [read_tap(model, names[layer], layer) for layer in sorted(chosen)]


def read_tap(model: nn.Module, name: str, layer: int | None = None) -> Tap:
    """The tap at a known module path. Raises LynxError where the model has no such module or it has no such shape."""
    try:
        module = model.get_submodule(name)
    except AttributeError:
        raise LynxError(f"tap {name}: the base has no module of that name") from None
    if layer is None:
        numbers = re.findall(r"(?<=\.)\d+(?=\.)", name)
        layer = int(numbers[0]) if numbers else 0
    sparse = is_sparse(module)
    core = module.get_submodule("experts") if sparse else module
    matrices = [(path, shape_of(parameter)) for path, parameter in core.named_parameters() if parameter.dim() > 1]
    known = [shape for path, shape in matrices if path.split(".")[-2 if path.endswith(".weight") else -1] in EXITS]
    if not known and matrices:
        hidden = _hidden_size(model, matrices[0][1])
        known = [shape for _, shape in matrices if shape[-2] == hidden]
    if not known:
        raise LynxError(f"tap {name}: a {type(module).__name__} has no projection back to the hidden width; {_ADVICE}")
    hidden = _hidden_size(model, known[0])
    intermediate = next((n for n in known[0][-2:] if n != hidden), hidden)
    return Tap(name, layer, hidden, intermediate, sparse)


def is_sparse(module: nn.Module) -> bool:
    """Whether a feed-forward module is a sparse mixture: it owns `experts`."""
    return isinstance(getattr(module, "experts", None), nn.Module)


def projections(model: nn.Module, taps: Sequence[Tap], attention: Literal["all", "taps", "none"]) -> list[str]:
    """Module paths of every linear projection in the dense taps, then in self-attention: of all decoder layers, of the
    tapped ones, or of none. Raises LynxError where a dense tap has none.
    """
    paths: list[str] = []
    for tap in (tap for tap in taps if not tap.sparse):
        inside = [name for name, m in model.get_submodule(tap.name).named_modules() if isinstance(m, nn.Linear)]
        if not inside:
            raise LynxError(f"tap {tap.name}: no linear projections for a bank to act on; no bank fits this family yet")
        paths += [f"{tap.name}.{name}" for name in inside]
    if attention != "none":
        paths += attention_projections(model, [tap.layer for tap in taps] if attention == "taps" else None)
    return paths


def attention_projections(model: nn.Module, layers: Iterable[int] | None = None) -> list[str]:
    """Module paths of every linear projection in the self-attention of the given decoder layers (all, where None).

    A layer that looks at the picture alone, by cross-attention, has none: its keys come in rows of pictures, not of
    requests. Raises LynxError where a layer's attention has no linear projection.
    """
    prefix, stack = decoder_layers(model)
    wanted = range(len(stack)) if layers is None else layers
    paths = []
    for number in wanted:
        attention = _child(stack[number], ATTENTION_NAMES)
        if attention is None and _child(stack[number], CROSS_NAMES) is not None:
            continue
        linears = [] if attention is None else [k for k, m in attention[1].named_modules() if isinstance(m, nn.Linear)]
        if attention is None or not linears:
            raise LynxError(f"layer {prefix}.{number}: no attention projections found for a bank to act on")
        paths += [f"{prefix}.{number}.{attention[0]}.{linear}" for linear in linears]
    return paths


def decoder_layers(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """The module path and list of a model's text decoder layers. Raises LynxError where there is none."""
    get_decoder = getattr(model, "get_decoder", None)
    decoder = get_decoder() if callable(get_decoder) else model
    stacks = list(_stacks(decoder, _number_of_layers(model)))
    if not stacks:
        raise LynxError(f"base {type(model).__name__}: no decoder layers found; {_ADVICE}")
    stack = next((stack for name, stack in stacks if name.split(".")[-1] == "layers"), stacks[0][1])
    path = next(name for name, module in model.named_modules() if module is stack)
    return path, stack


def _stacks(decoder: nn.Module, layers: int | None) -> Iterator[tuple[str, nn.ModuleList]]:
    """Lists of as many blocks as the model has decoder layers, outermost first."""
    for name, module in decoder.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) and layers in (None, len(module)):
            if any(len(list(block.children())) > 1 for block in module):
                yield name, module


def _number_of_layers(model: nn.Module) -> int | None:
    config = getattr(model, "config", None)
    return getattr(config.get_text_config(decoder=True), "num_hidden_layers", None) if config is not None else None


def _by_structure(model: nn.Module) -> list[str]:
    prefix, stack = decoder_layers(model)
    found = [_feed_forward(layer) for layer in stack]
    missing = [str(i) for i, child in enumerate(found) if child is None]
    if missing:
        raise LynxError(
            f"base {type(model).__name__}: no feed-forward network found in {len(missing)} of {len(stack)} layers of "
            f"{prefix} (layers {', '.join(missing)}); {_ADVICE}"
        )
    return [f"{prefix}.{i}.{child[0]}" for i, child in enumerate(found) if child is not None]


def _by_pattern(model: nn.Module, pattern: str) -> list[str]:
    if pattern.count("*") != 1:
        raise LynxError(f"taps: pattern '{pattern}' needs exactly one `*`, for the layer number")
    before, after = pattern.split("*")
    shape = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    matches = {int(m.group(1)): name for name, _ in model.named_modules() if (m := shape.fullmatch(name))}
    if not matches:
        raise LynxError(f"taps: pattern '{pattern}' matches no module of {type(model).__name__}")
    parent = before.rstrip(".")
    layers = len(list(model.get_submodule(parent).children()))
    missing = [str(i) for i in range(layers) if i not in matches]
    if missing:
        raise LynxError(
            f"taps: pattern '{pattern}' matches {len(matches)} of {layers} layers; not {', '.join(missing)}"
        )
    return [matches[i] for i in range(layers)]


def _child(layer: nn.Module, names: Sequence[str]) -> tuple[str, nn.Module] | None:
    for name in names:
        child = getattr(layer, name, None)
        if isinstance(child, nn.Module):
            return name, child
    return None


def _feed_forward(layer: nn.Module) -> tuple[str, nn.Module] | None:
    """The child of a layer that is its feed-forward network: of a known name, or the only one left with matrices."""
    named = _child(layer, FFN_NAMES)
    if named is not None:
        return named
    left = []
    for name, child in layer.named_children():
        matrices = [path for path, parameter in child.named_parameters() if parameter.dim() > 1]
        inner = any(path.count(".") for path in matrices)  # not a lone projection of a flat layer
        if matrices and inner and not any(_ATTENDS.search(path) for path in matrices):
            left.append((name, child))
    return left[0] if len(left) == 1 else None


def _hidden_size(model: nn.Module, shape: Sequence[int]) -> int:
    config = getattr(model, "config", None)
    if config is not None and hasattr(config, "get_text_config"):
        return int(config.get_text_config().hidden_size)
    return int(shape[-2])
