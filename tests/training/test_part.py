"""Training a part of a model in place: what is named changes, the rest is proven frozen, a run goes on where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lynx_cl.base.fingerprint import digest
from lynx_cl.errors import LynxError
from lynx_cl.training.config import TrainConfig
from lynx_cl.training.module import PartModule
from lynx_cl.training.part import ModelPart, all_but_tower
from lynx_cl.training.trainer import TrainResult, train_part
from tests.families.tiny import Batch, tiny_base, tiny_batch, tiny_causal, tiny_llava

CONFIG = TrainConfig(steps=12, val_every=4, log_every=4, learning_rate=1e-2, precision="float32")


def epochs(seed: int) -> list[Batch]:
    return [tiny_batch(4, seed=seed % 1000 + i) for i in range(5)]


def train(folder: Path, config: TrainConfig = CONFIG, **options: Any) -> tuple[dict[str, Tensor], TrainResult]:
    base = tiny_base()
    part = ModelPart(base.model, all_but_tower(base.model))
    result = train_part(base, part, epochs, [tiny_batch(4, seed=5000)], config, folder, **options)
    return part.copy(), result


def test_the_part_learns_and_the_tower_stays(tmp_path: Path) -> None:
    base = tiny_base()
    part = ModelPart(base.model, all_but_tower(base.model))
    before = {name: tensor.clone() for name, tensor in base.model.state_dict().items()}
    result = train_part(base, part, epochs, [tiny_batch(4, seed=5000)], CONFIG, tmp_path)
    losses = [record["val/loss"] for record in result.history if "val/loss" in record]
    assert losses[-1] < losses[0] and result.frozen_digest_before == result.frozen_digest_after
    changed = {name for name, tensor in base.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed and not any("vision_tower" in name for name in changed) and changed <= set(part.names)
    assert {"model.multi_modal_projector.linear_1.weight", "lm_head.weight"} <= changed
    assert result.bank_digest == digest(part.state().items())
    assert not any(parameter.requires_grad for parameter in base.model.parameters())


def test_words_move_by_a_tenth_of_the_rate_each_for_itself(tmp_path: Path) -> None:
    base = tiny_base()
    part = ModelPart(base.model, all_but_tower(base.model))
    words = [base.model.get_input_embeddings().weight, base.model.get_output_embeddings().weight]
    assert {id(parameter) for parameter in part.words} == {id(parameter) for parameter in words}
    before = part.copy()
    one = CONFIG.model_copy(update={"steps": 1, "warmup": 0.0, "final": 1.0})
    train_part(base, part, epochs, [tiny_batch(4, seed=5000)], one, tmp_path)
    moved = {name: (tensor - before[name]).abs().max().item() for name, tensor in part.copy().items()}
    told = {name for name, p in base.model.named_parameters() if any(p is word for word in words)}
    assert told and all(0.9e-3 < moved[name] < 1.01e-3 for name in told)  # AdamW's first step is the rate, 0.1 * 1e-2
    assert max(value for name, value in moved.items() if name not in told) > 5e-3
    inner = [name for name in part.names if "layers" in name]
    assert ModelPart(base.model, inner).words == []


def test_a_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole, _ = train(tmp_path / "whole")

    def stop(record: dict[str, float]) -> None:
        if record["step"] >= 8 and "val/loss" not in record:
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        train(tmp_path / "cut", on_log=stop)
    resumed, _ = train(tmp_path / "cut", resume=True)
    assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())


def test_the_plain_loss_is_the_mean_over_answer_tokens() -> None:
    """Against transformers' own loss; the step loss of the same batch is another."""
    base = tiny_base()
    part, batch = ModelPart(base.model, all_but_tower(base.model)), tiny_batch(3)
    inputs = {"attention_mask": batch.attention_mask, "pixel_values": batch.pixel_values, "labels": batch.labels}
    with torch.no_grad():
        theirs = base.model(batch.input_ids, **inputs).loss
        ours = {
            loss: PartModule(base.model, part, CONFIG.model_copy(update={"loss": loss})).losses(batch)
            for loss in ("plain", "step")
        }
    torch.testing.assert_close(ours["plain"][0], theirs)
    assert ours["plain"][1] == ours["step"][1] and not torch.allclose(ours["step"][0], theirs, rtol=1e-3)


def test_what_is_added_to_the_loss_is_trained_on_and_told(tmp_path: Path) -> None:
    seen: list[int] = []

    def added(module: Any, batch: Any, logits: Tensor) -> Tensor:
        seen.append(module.steps_done)
        assert logits.shape == (12, 64)
        return 100 * logits.square().mean()

    plain, _ = train(tmp_path / "plain")
    pulled, result = train(tmp_path / "pulled", added=added)
    assert seen == list(range(12))
    assert any("loss/added" in record for record in result.history)
    assert "loss/added" not in {key for record in result.history if "val/loss" in record for key in record}
    assert any(not torch.equal(plain[name], pulled[name]) for name in plain)


def test_a_checkpoint_of_another_part(tmp_path: Path) -> None:
    train(tmp_path)
    base = tiny_base()
    part = ModelPart(base.model, all_but_tower(base.model)[:3])
    with pytest.raises(LynxError, match="the checkpoint was made with part = "):
        train_part(base, part, epochs, [tiny_batch(4, seed=5000)], CONFIG, tmp_path, resume=True)


def test_pictures_are_cached_where_nothing_below_the_decoder_is_trained() -> None:
    model = tiny_llava()
    inner = [name for name, _ in model.named_parameters() if ".layers.1.mlp" in name and "vision" not in name]
    assert ModelPart(model, inner).below_is_frozen and not ModelPart(model, all_but_tower(model)).below_is_frozen


def test_a_state_must_fit() -> None:
    model = tiny_llava()
    part = ModelPart(model, all_but_tower(model))
    state = part.copy()
    name = part.names[0]
    with pytest.raises(LynxError, match=f"{name} is in one of them alone"):
        part.load_state({key: tensor for key, tensor in state.items() if key != name})
    with pytest.raises(LynxError, match=f"{name} is .*, not"):
        part.load_state({**state, name: state[name][:1]})
    with pytest.raises(LynxError, match="no parameter absent"):
        ModelPart(model, ["absent"])


def test_a_model_without_a_tower_is_trained_whole() -> None:
    model = tiny_causal()
    assert all_but_tower(model) == [name for name, _ in model.named_parameters()]
