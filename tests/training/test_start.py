"""A lora bank that starts along the gradient: what it finds, still the function of the base, and repeatable."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from lynx_cl.banks.attach import attach
from lynx_cl.banks.base import bank_bytes, build_bank
from lynx_cl.banks.lora import LowRankExperts
from lynx_cl.base.taps import find_taps
from lynx_cl.training.trainer import train_bank
from tests.families.tiny import tiny_base, tiny_batch
from tests.training.test_trainer import CONFIG, epochs, train, validation

BANK = {"experts": 1, "rank": 4, "attention": True, "start": "gradient"}
STILL = CONFIG.model_copy(update={"learning_rate": 1e-30, "steps": 1, "val_every": 1})


def test_rows_span_the_gradient_where_it_has_that_rank() -> None:
    """Of a linear layer's loss with a gradient of rank 3, three rows find all of its row space."""
    base = tiny_base("llama")
    bank = build_bank("lora", find_taps(base.model), base.model, {**BANK, "rank": 3}, 0)
    site = next(site for site in bank.sites if site.endswith("q_proj"))
    linear, part = base.model.get_submodule(site), bank.part(site)
    assert isinstance(part, LowRankExperts)
    x, wanted = torch.randn(3, linear.in_features), torch.randn(3, linear.out_features)
    weight = linear.weight.detach().float().requires_grad_()
    (whole,) = torch.autograd.grad((F.linear(x, weight) - wanted).square().sum(), [weight])

    part.sketch(torch.Generator().manual_seed(1))

    class Untouched:
        module, output = linear, F.linear(x, weight.detach())

    answered = part(x, Untouched())  # type: ignore[arg-type]
    assert torch.equal(answered, Untouched.output)
    (gradient,) = torch.autograd.grad((answered - wanted).square().sum(), [part.A])
    part.start_along(gradient)
    rows = part.A.detach()
    torch.testing.assert_close(rows @ rows.T, torch.eye(3) / 3, rtol=0, atol=1e-5)
    kept = whole @ (3 * rows.T @ rows)  # the projection of every row of the whole gradient
    torch.testing.assert_close(kept, whole, rtol=1e-3, atol=1e-4)
    assert not part.B.any()


@pytest.mark.parametrize("family", ["llama", "qwen3_moe"])
def test_before_the_first_step_it_is_the_base_and_not_at_random(tmp_path: Path, family: str) -> None:
    """With a rate of zero training ends where it starts."""
    base, batch = tiny_base(family), tiny_batch(4, seed=3)
    bank = build_bank("lora", find_taps(base.model), base.model, BANK, 0)
    random = bank_bytes(bank)
    train_bank(base, bank, epochs, validation(), STILL, tmp_path)
    assert bank_bytes(bank) != random
    for part in bank.parts.children():
        assert isinstance(part, LowRankExperts)
        rows = part.A.detach()
        torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)) / 3, rtol=0, atol=1e-4)
        assert float(part.B.abs().max()) < 1e-20
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    before = base.model(**inputs).logits
    with torch.no_grad():
        for part in bank.parts.children():
            part.B.zero_()  # type: ignore[union-attr, operator]
    with attach(base.model, bank.taps) as attachment:
        attachment.add("one", bank)
        with attachment.bank("one"):
            assert torch.equal(base.model(**inputs).logits, before)


def test_the_start_is_along_the_loss_of_its_first_batches(tmp_path: Path) -> None:
    """It is another for other data, and the same for the same; both learn."""
    first, result = train(tmp_path / "a", kind="lora", bank=BANK)
    again, _ = train(tmp_path / "b", kind="lora", bank=BANK)
    assert bank_bytes(first) == bank_bytes(again)
    starts = []
    for number in (0, 100):
        base = tiny_base("llama")
        bank = build_bank("lora", find_taps(base.model), base.model, BANK, 0)
        others = [tiny_batch(8, seed=number + i) for i in range(7)]
        train_bank(base, bank, lambda seed, others=others: others, validation(), STILL, tmp_path / str(number))  # type: ignore[misc]
        starts.append(bank.state())
    apart = [float((one - starts[1][name]).norm() / one.norm()) for name, one in starts[0].items() if name[-1] == "A"]
    assert len(apart) == len(bank.sites) and min(apart) > 0.01
    losses = [r["val/loss"] for r in result.history if "val/loss" in r]
    assert losses[-1] < 0.8 * losses[0] and all(math.isfinite(loss) for loss in losses)


def test_a_run_that_goes_on_does_not_start_anew(tmp_path: Path) -> None:
    whole, _ = train(tmp_path / "whole", kind="lora", bank=BANK)
    stopped = tmp_path / "part"

    class Stopped(Exception):
        pass

    def stop(record: dict) -> None:
        if record["step"] == 25:
            raise Stopped

    with pytest.raises(Stopped):
        train(stopped, kind="lora", bank=BANK, on_log=stop)
    steps: list[int] = []
    resumed, _ = train(stopped, kind="lora", bank=BANK, resume=True, on_log=lambda r: steps.append(r["step"]))
    assert min(steps) > 20
    assert bank_bytes(resumed) == bank_bytes(whole)


def test_a_bank_that_has_learned_goes_on_from_there(tmp_path: Path) -> None:
    """As an update of a task does: the directions are those of the bank, not new ones."""
    base = tiny_base("llama")
    bank = build_bank("lora", find_taps(base.model), base.model, BANK, 0)
    train_bank(base, bank, epochs, validation(), CONFIG, tmp_path / "first")
    before = {name: tensor.clone() for name, tensor in bank.state().items()}
    train_bank(base, bank, epochs, validation(), STILL, tmp_path / "second")
    for name, tensor in bank.state().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=1e-20)
