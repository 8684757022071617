"""Learning rate, stream, checkpoint file and feature cache, each alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from lynx_cl.banks.attach import attach
from lynx_cl.banks.base import build_bank
from lynx_cl.base.settings import read_settings
from lynx_cl.base.taps import find_taps
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.training.checkpoint import FILE, Checkpoint, read_checkpoint
from lynx_cl.training.config import TrainConfig, learning_rate
from lynx_cl.training.feature_cache import FeatureCache, caches
from lynx_cl.training.module import BankModule
from lynx_cl.training.step_loss import step_loss
from lynx_cl.training.stream import Stream
from tests.families.tiny import IMAGE_TOKENS, tiny_batch, tiny_inputs, tiny_llava


def test_a_run_cut_by_the_clock_has_cooled_down() -> None:
    config = TrainConfig(steps=1000, learning_rate=1.0, warmup=0.0, final=0.1, max_minutes=10)
    assert learning_rate(config, 0, seconds=470) == 1.0  # the last fifth begins at 480 s
    assert learning_rate(config, 0, seconds=540) == pytest.approx(0.5)
    assert learning_rate(config, 0, seconds=600) == learning_rate(config, 0, seconds=700) == 0.1
    assert learning_rate(config, 1000, seconds=0) == pytest.approx(0.1)


def test_settings_are_checked() -> None:
    with pytest.raises(UsageError, match="training: key 'lr' is unknown; known: .*learning_rate"):
        read_settings(TrainConfig, {"lr": 1}, "training")
    with pytest.raises(UsageError, match="training: steps = 0: input should be greater than or equal to 1"):
        read_settings(TrainConfig, {"steps": 0}, "training")


def as_list(seed: int) -> list[tuple[int, int]]:
    return [(seed, i) for i in range(7)]


def as_iterator(seed: int) -> Iterator[tuple[int, int]]:
    return iter(as_list(seed))


@pytest.mark.parametrize("epochs", [as_list, as_iterator])
@pytest.mark.parametrize("start", [0, 3, 5, 7, 14, 16, 19])
def test_a_stream_begun_later_goes_on_as_the_first_would_have(epochs: Callable, start: int) -> None:
    whole = [batch for _ in range(4) for batch in Stream(epochs, 1, 0, 20, 20)][:20]
    stream = Stream(epochs, 1, start, 20, 5)
    chunks = [list(stream) for _ in range(stream.chunks)]
    assert sum(chunks, []) == whole[start:]
    assert [len(chunk) for chunk in chunks[1:]] == [5] * (len(chunks) - 1)
    assert list(stream) == []
    assert len({seed for seed, _ in whole}) == 3  # epochs are shuffled anew


def test_a_source_without_batches() -> None:
    with pytest.raises(LynxError, match="gave no batch"):
        list(Stream(lambda seed: [], 0, 0, 5, 5))


def checkpoint(**identity: object) -> Checkpoint:
    tensors = {"a.b": torch.arange(3.0), "c": torch.tensor(1.5)}
    moments = {name: tensor.clone() for name, tensor in tensors.items()}
    return Checkpoint(identity, {"step": 3, "history": [{"loss": 0.5}]}, tensors, {}, moments, {"cpu": torch.ones(2)})


def test_a_checkpoint_reads_back(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path, {}) is None
    checkpoint(seed=1).write(tmp_path)
    checkpoint(seed=2).write(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [FILE]
    back = read_checkpoint(tmp_path, {"seed": 2})
    assert back is not None and back.progress == {"step": 3, "history": [{"loss": 0.5}]}
    assert torch.equal(back.optimizer["a.b"], torch.arange(3.0)) and back.best == {}


def test_a_checkpoint_of_another_run_or_damaged(tmp_path: Path) -> None:
    checkpoint(seed=1).write(tmp_path)
    with pytest.raises(LynxError, match="made with seed = 1, this run has 2; start again without --resume"):
        read_checkpoint(tmp_path, {"seed": 2})
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(LynxError, match="damaged checkpoint"):
        read_checkpoint(tmp_path, {"seed": 1})


def test_a_disk_that_refuses_keeps_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint(seed=1).write(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(
        LynxError, match="cannot write the checkpoint .No space left on device.; the one before is kept"
    ):
        checkpoint(seed=2).write(tmp_path)
    assert read_checkpoint(tmp_path, {"seed": 1}) is not None


@pytest.mark.parametrize("limit", [0, 1, 10**6])
def test_cached_features_give_the_same_logits(limit: int) -> None:
    model = tiny_llava()
    assert caches(model)
    inputs = tiny_inputs(3)
    plain = model(**inputs).logits
    cache = FeatureCache(model, limit * 1000)
    for _ in range(2):
        embeddings = cache.embed(inputs["input_ids"], inputs["pixel_values"])
        out = model(inputs_embeds=embeddings, attention_mask=inputs["attention_mask"]).logits
        assert torch.equal(out, plain)
    assert cache.held <= limit * 1000
    assert len(cache) == {0: 0, 1: 0, 10**6: 3}[limit]
    assert all(f.shape == (IMAGE_TOKENS, 32) for f in cache.features(inputs["pixel_values"]))


def test_the_tower_runs_once_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_llava()
    calls = []
    original = model.get_image_features
    monkeypatch.setattr(model, "get_image_features", lambda *a, **k: calls.append(1) or original(*a, **k))
    cache = FeatureCache(model, 10**6)
    pixels = tiny_inputs(4)["pixel_values"]
    for order in ([0, 1, 2, 3], [3, 1, 1, 0], [2, 2, 2, 2]):
        cache.features(pixels[order])
    assert len(calls) == 1
    cache.features(pixels + 1)
    assert len(calls) == 2


@pytest.mark.parametrize("cache_mb", [0, 16])
def test_the_module_computes_the_step_loss_with_and_without_cache(cache_mb: int) -> None:
    model = tiny_llava()
    taps = find_taps(model)
    batch = tiny_batch(4)
    logits = model(batch.input_ids, attention_mask=batch.attention_mask, pixel_values=batch.pixel_values).logits
    expected, each = step_loss(logits, batch.labels, batch.step_ids, batch.step_weights)
    with attach(model, taps) as attachment:
        bank = build_bank("twin", taps, model, {}, 0)
        module = BankModule(model, attachment, bank, TrainConfig(cache_mb=cache_mb))
        loss, names = module.losses(batch)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.tensor([names["where"], names["answer"]]), each.mean(0))
    assert len(list(module.parameters())) == len(list(bank.parameters()))
    assert all(name.startswith("bank.") for name in module.state_dict())


def test_packed_rows_with_a_mask_of_four_axes() -> None:
    """Two conversations about one picture in one row give the losses of two rows."""
    from dataclasses import replace

    model = tiny_llava()
    taps = find_taps(model)
    batch = tiny_batch(2)
    batch = replace(batch, pixel_values=batch.pixel_values[:1].repeat(2, 1, 1, 1))
    words = slice(IMAGE_TOKENS, None)
    prefix, length = IMAGE_TOKENS, batch.input_ids.shape[1] - IMAGE_TOKENS
    width = prefix + 2 * length

    def side_by_side(values: torch.Tensor) -> torch.Tensor:
        return torch.cat([values[:1, :prefix], values[:1, words], values[1:, words]], 1)

    owner = torch.tensor([-1] * prefix + [0] * length + [1] * length)
    mask = (owner[None] == -1) | (owner[:, None] == owner[None])
    mask &= torch.ones(width, width).tril().bool()
    steps = side_by_side(batch.step_ids)
    steps[:, prefix + length :][steps[:, prefix + length :] >= 0] += 2
    packed = replace(
        batch,
        input_ids=side_by_side(batch.input_ids),
        labels=side_by_side(batch.labels),
        step_ids=steps,
        step_weights=torch.ones(1, 4),
        attention_mask=mask[None, None],
        pixel_values=batch.pixel_values[:1],
        position_ids=torch.tensor([[*range(prefix + length), *range(prefix, prefix + length)]]),
        step_names=("where", "answer", "where", "answer"),
    )
    with attach(model, taps) as attachment:
        module = BankModule(model, attachment, build_bank("twin", taps, model, {}, 0), TrainConfig())
        (loss, names), (expected, by_name) = module.losses(packed), module.losses(batch)
    torch.testing.assert_close(loss, expected)
    assert names == pytest.approx(by_name, rel=1e-5)
