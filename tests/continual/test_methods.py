"""Every method learns two tasks on a tiny base, does what it promises, and can be put back where it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lynx_cl.base.chat import chat_text, model_inputs
from lynx_cl.base.fingerprint import digest
from lynx_cl.base.load import Base, load_base
from lynx_cl.continual.buffer import Buffer
from lynx_cl.continual.cell import all_tests
from lynx_cl.continual.course import Course
from lynx_cl.continual.method import Method, method_named, method_names, read_method
from lynx_cl.continual.study import Study, lessons, read_study
from lynx_cl.data.grammar import GRAMMARS
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.home import Home
from lynx_cl.training.module import PartModule
from lynx_cl.training.step_loss import answer_positions
from tests.banks.detectors import owlv2
from tests.continual.study_tiny import write_base, write_study

FULL = ("sequential", "ewc", "replay", "lwf", "derpp")
GIVEN = {"lwf": {"strength": 1.0}, "ewc": {"pictures": 3}, "replay": {"buffer": 4}, "derpp": {"buffer": 4}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("methods") / "tiny")


@pytest.fixture(scope="module")
def make(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Method]:
    """A method on the short study, at its beginning."""
    home = Home(tmp_path_factory.mktemp("home"))
    study = read_study(str(write_study(home.path / "short.yaml", folder, {"zero-shot": {}})), [], home)
    taught = lessons(study, ["counting", "grounding"], home)

    def made(name: str, **settings: Any) -> Method:
        place = tmp_path_factory.mktemp("stage")
        for stage in ("1", "2"):
            (place / stage).mkdir()
        course = Course(load_base(str(folder)), taught, study.budget, 0, place, lambda text: None)
        return method_named(name)(course, read_method(name, {**GIVEN.get(name, {}), **settings}, "test"))

    return made


def answers(method: Method) -> dict[str, tuple[str, ...]]:
    """What it says to three test questions of each task."""
    study = Study(name="x", tasks={"counting": {}}, methods={"lynx": {}}, evaluation={"examples": 3})
    tests = all_tests(study, method.course.base, method.course.lessons)
    return {name: measured.answers for name, measured in method.measured(tests, 4).items()}


def weights(base: Base) -> str:
    return digest(base.model.state_dict().items())


def test_the_methods_are_the_files() -> None:
    assert set(method_names()) >= {"lynx", "zero-shot", "lora", "o-lora", "osf", "joint", "separate", "moelora", *FULL}
    assert set(method_names()) >= {"prompt-pool", "pin"}
    for name in method_names():
        kind = method_named(name)
        assert kind.name == name
        source = Path(str(__import__(kind.__module__, fromlist=["x"]).__file__))
        assert len(source.read_text().splitlines()) < 120
    assert [name for name in method_names() if method_named(name).routes] == ["lynx"]


@pytest.mark.parametrize("name", method_names())
def test_a_method_goes_on_from_its_state(make: Callable[..., Method], name: str) -> None:
    """After the first stage its state, put into a new object, leads to the same second stage, bit for bit."""
    first, second = make(name), make(name)
    stages = [2] if first.at_once else [1, 2]
    for stage in stages[:-1]:
        took = first.learn(stage)
        assert name == "zero-shot" or (took.seconds > 0 and took.curve[-1][0] == 2)
        kept = {key: tensor.clone() for key, tensor in first.state().items()}
        second.load_state(kept, stage)
        assert answers(second) == answers(first)
    for method in (first, second):
        method.learn(stages[-1])
    one, other = first.state(), second.state()
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", FULL)
def test_full_fine_tuning_leaves_the_tower(make: Callable[..., Method], name: str) -> None:
    method = make(name)
    model = method.course.base.model
    tower = {k: v.clone() for k, v in model.model.vision_tower.state_dict().items()}
    before = {k: v.clone() for k, v in model.state_dict().items()}
    method.learn(1)
    assert all(torch.equal(v, tower[k]) for k, v in model.model.vision_tower.state_dict().items())
    changed = [k for k, v in model.state_dict().items() if not torch.equal(v, before[k])]
    assert any("experts" in k for k in changed) and any("embed_tokens" in k for k in changed)
    assert any("projector" in k for k in changed) and method.added().total == 0


def test_zero_shot_is_the_base(make: Callable[..., Method]) -> None:
    method = make("zero-shot")
    before = weights(method.course.base)
    assert method.learn(1).seconds == 0 and weights(method.course.base) == before and method.state() == {}


def test_lynx_leaves_the_base_and_earlier_banks(make: Callable[..., Method]) -> None:
    method = make("lynx", bank="twin")
    before = weights(method.course.base)
    method.learn(1)
    first = {key: tensor.clone() for key, tensor in method.state().items()}
    grown = method.added().total
    method.learn(2)
    assert weights(method.course.base) == before
    assert all(torch.equal(method.state()[key], tensor) for key, tensor in first.items())
    assert method.added().total == 2 * grown and method.added().active < method.added().total


def test_lynx_knows_the_base_s_own_requests_by_one_embedder_alone() -> None:
    """Found before anything is trained: the sums that ship with a base are of the embedder that they were made with."""
    course = Course(load_base("nano"), (), Study(name="x", tasks={"a": {}}, methods={"a": {}}).budget, 0, Path(), print)
    with pytest.raises(LynxError, match=r"lynx: embedder = trunk: base nano knows its own requests by .* text"):
        method_named("lynx")(course, read_method("lynx", {"embedder": "trunk"}, "test"))


def test_separate_models_stay_and_cost_a_model_each(make: Callable[..., Method]) -> None:
    method = make("separate")
    method.learn(1)
    first = answers(method)["counting"]
    one = method.added().total
    method.learn(2)
    assert answers(method)["counting"] == first and method.added().total == 2 * one and method.added().active == 0


def test_ewc_s_penalty_is_the_weighted_distance(make: Callable[..., Method]) -> None:
    method: Any = make("ewc", strength=100.0)
    assert method.added_loss(1) is None
    method.learn(1)
    assert all((tensor >= 0).all() for tensor in method.fisher.values())
    penalty = method.added_loss(2)
    assert penalty(None, None, None).item() == 0  # nothing has moved yet
    with torch.no_grad():
        for parameter in method.part.parameters():
            parameter.add_(0.01)
    expected = 50 * sum(float((tensor * 0.01**2).sum()) for tensor in method.fisher.values())
    assert expected > 0 and penalty(None, None, None).item() == pytest.approx(expected, rel=1e-2)


def test_distillation_costs_nothing_before_the_first_step(make: Callable[..., Method]) -> None:
    method: Any = make("lwf")
    lesson = method.course.lessons[0]
    batch = method.course.validation(lesson.train)[0]
    module = PartModule(method.course.base.model, method.part, method.course.training(1e-3))
    distilled = method.added_loss(1)
    before = module.logits(batch).detach()
    assert distilled(module, batch, before).item() == pytest.approx(0, abs=1e-5)
    with torch.no_grad():
        next(method.part.parameters()).add_(0.5)
    now = module.logits(batch).detach()
    told, then = (torch.softmax(logits / method.config.temperature, -1) for logits in (now, before))
    # the divergence of new from old, softened, in the mean over answer tokens: no factor of the temperature's square
    expected = method.config.strength * (then * (then.log() - told.log())).sum(-1).mean()
    assert expected > 1e-4 and distilled(module, batch, now).item() == pytest.approx(expected.item(), rel=1e-4)


def test_joint_learns_from_every_task(make: Callable[..., Method]) -> None:
    method: Any = make("joint")
    said: list[str] = []
    object.__setattr__(method.course, "say", said.append)
    method.learn(2)
    assert any("step 4 of 4" in line for line in said)  # as many steps as the others take for both tasks


def test_a_buffer_keeps_its_size(make: Callable[..., Method]) -> None:
    course = make("zero-shot").course
    one, two = Buffer(course, 1, 4), Buffer(course, 2, 4)
    assert [len(kept) for kept in one.kept] == [4] and [len(kept) for kept in two.kept] == [2, 2]
    assert one.kept[0][:2] == two.kept[0]
    drawn = {two.draw(step, 2)[0] for step in range(20)}
    assert drawn == {1, 2} and two.draw(3, 2) == two.draw(3, 2)


def test_lora_trains_its_adapter_alone(make: Callable[..., Method]) -> None:
    method = make("lora", rank=4)
    model = method.course.base.model
    before = {k: v.clone() for k, v in model.state_dict().items()}
    method.learn(1)
    changed = [k for k, v in model.state_dict().items() if not torch.equal(v, before[k])]
    assert changed and all("lora_" in k for k in changed) and any("experts" in k for k in changed)
    assert method.added().total == sum(t.numel() for t in method.state().values())


def test_o_lora_s_new_adapter_is_pushed_off_the_old_one(make: Callable[..., Method]) -> None:
    method: Any = make("o-lora", rank=2)
    assert method.added_loss(1) is None
    method.learn(1)
    first = {key: tensor.clone() for key, tensor in method.state().items()}
    assert all(".task1." in key for key in first)
    method.learn(2)
    second = method.state()
    assert all(torch.equal(second[key], tensor) for key, tensor in first.items())
    assert len(second) == 2 * len(first) and method.added().total == sum(t.numel() for t in second.values())
    inner = [
        second[key.replace(".task2.", ".task1.")] @ tensor.T for key, tensor in second.items() if "lora_A.task2." in key
    ]
    expected = 0.5 * sum(float(product.abs().sum()) for product in inner)
    assert method.added_loss(2)(None, None, None).item() == pytest.approx(expected, rel=1e-5)


def test_osf_keeps_the_greatest_directions(make: Callable[..., Method]) -> None:
    method: Any = make("osf", kept=0.5)
    before = {key: tensor.clone() for key, tensor in method.state().items()}
    method.learn(1)
    after = method.state()
    assert after.keys() == before.keys() and not any(
        "osf" in name for name, _ in method.course.base.model.named_parameters()
    )
    for key, old in before.items():
        left, _, right = torch.linalg.svd(old, full_matrices=False)
        half = len(right) // 2
        change = after[key] - old
        assert change.abs().max() > 0
        kept = left[:, :half].T @ change @ right[:half].T
        assert kept.abs().max() < 1e-4 * max(1.0, float(change.abs().max()))


def frozen_but(method: Method, own: str) -> str:
    """The digest of all that a method leaves alone."""
    return digest((name, t) for name, t in method.course.base.model.state_dict().items() if not name.startswith(own))


def test_a_prompt_pool_is_seen_alike_in_training_and_in_answering(make: Callable[..., Method]) -> None:
    """What predicts the first answer token of each question of a packed row is what generation would begin from."""
    method: Any = make("prompt-pool", prompts=6, chosen=2, length=3)
    course, module = method.course, None
    groups = course.lessons[0].train
    batch = course.validation(groups)[0]
    module = PartModule(course.base.model, method.part, course.training(1e-3))
    with torch.no_grad():
        packed = module.logits(batch)
    picks = method.pool.chosen.clone()
    examples = [example for index in (0, 1) for example in groups[index]]
    assert len(picks) == len(examples) > len(batch.input_ids)  # several questions share a row
    firsts = [i for i in range(len(packed)) if i == 0 or _starts(batch)[i]]
    alone = []
    for example in examples:
        text = chat_text(course.base.processor, example.prompt, True)
        inputs = model_inputs(course.base, [text], [example.open()])
        with torch.no_grad():
            alone.append((course.base.model(**inputs).logits[0, -1], method.pool.chosen[0]))
    ours = sorted(packed[firsts].tolist())
    for got, expected in zip(ours, sorted(logits.tolist() for logits, _ in alone), strict=True):
        assert got == pytest.approx(expected, abs=1e-3)
    assert sorted(map(sorted, picks.tolist())) == sorted(sorted(chosen.tolist()) for _, chosen in alone)


def _starts(batch: Any) -> list[bool]:
    """For each answer token of a batch, rows one after another, whether it is the first of its question's answer."""
    answers = answer_positions(batch.labels)
    before = torch.nn.functional.pad(answers[:, :-1], (1, 0))
    return (~before)[answers].tolist()


def test_a_prompt_pool_trains_what_it_chooses(make: Callable[..., Method]) -> None:
    method: Any = make("prompt-pool", prompts=12, chosen=2, length=2)
    before, words = frozen_but(method, "prompt_pool."), answers(method)
    start = method.pool.prompts.detach().view(12, -1).clone()
    method.learn(1)
    moved = (method.pool.prompts.view(12, -1) != start).any(1)
    assert 2 <= int(moved.sum()) < 12 and frozen_but(method, "prompt_pool.") == before
    first, used = method.pool.prompts.detach().view(12, -1).clone(), method.pool.used.clone()
    assert used.sum() > 0 and answers(method).keys() == words.keys()
    method.learn(2)
    again = (method.pool.prompts.view(12, -1) != first).any(1)
    assert not bool(again[used > 0].all()) and method.added().total == sum(p.numel() for p in method.part.parameters())
    assert method.added().active == 2 * (2 + 1) * 32 and bool((method.pool.used >= used).all())


def test_pin_starts_at_the_base_and_adds_one_insert(make: Callable[..., Method]) -> None:
    method, plain = make("pin", hidden=8), make("zero-shot")
    before = frozen_but(method, "positional_insert.")
    assert answers(method) == answers(plain)
    method.learn(1)
    assert frozen_but(method, "positional_insert.") == before and answers(method) != answers(plain)
    insert = method.course.base.model.positional_insert(36).detach()
    assert insert.shape == (36, 16) and len(insert.unique(dim=0)) == 36  # every place has its own
    assert method.added().total == sum(t.numel() for t in method.state().values()) == 16 * 8 * 2 + 8 + 16


def test_settings_are_checked() -> None:
    with pytest.raises(UsageError, match="chosen = 9 exceeds prompts = 4"):
        read_method("prompt-pool", {"prompts": 4, "chosen": 9}, "here")
    with pytest.raises(UsageError, match="method 'ewcc' is unknown; known: derpp, ewc"):
        read_method("ewcc", {}, "here")
    with pytest.raises(UsageError, match="here: key 'strenght' is unknown; known: .*strength"):
        read_method("ewc", {"strenght": 1}, "here")


def test_lynx_gives_a_task_a_bank_of_its_own_kind(make: Callable[..., Method]) -> None:
    settings = {"tasks": {"grounding": {"bank": "block", "config": {"blocks": 4}}}}
    method, plain, blocks = make("lynx", **settings), make("lynx"), make("lynx", bank="block", config={"blocks": 4})
    for stage in (1, 2):
        for one in (method, plain, blocks):
            one.learn(stage)
    banks = [one.state() for one in (method, plain, blocks)]
    for task, other in (("counting", banks[1]), ("grounding", banks[2])):
        own = {name: tensor for name, tensor in banks[0].items() if name.startswith(f"{task}/bank/")}
        assert own and all(torch.equal(tensor, other[name]) for name, tensor in own.items())
    again = make("lynx", **settings)
    again.load_state(method.state(), 2)
    assert answers(again) == answers(method) and again.added() == method.added()


def test_lynx_leaves_a_task_to_a_detector_and_learns_the_others(make: Callable[..., Method], tmp_path: Path) -> None:
    detector = str(owlv2(tmp_path / "owlv2"))
    method, plain = make("lynx", detectors={"grounding": detector}), make("lynx")
    for stage in (1, 2):
        took = method.learn(stage), plain.learn(stage)
        assert bool(took[0].curve) is (stage == 1) and took[1].curve
    told, usual = answers(method), answers(plain)
    assert told["counting"] == usual["counting"] and told["grounding"] != usual["grounding"]
    boxes = [GRAMMARS["keyed"].parse(text) for text in told["grounding"]]
    assert all(len(found) == 1 for found in boxes)
    again = make("lynx", detectors={"grounding": detector})
    again.load_state(method.state(), 2)
    assert answers(again) == told and again.added() == method.added()
    changed = make("lynx", detectors={"grounding": str(owlv2(tmp_path / "other", seed=1))})
    with pytest.raises(LynxError, match="not of the detector other"):
        changed.load_state(method.state(), 2)
    with pytest.raises(UsageError, match="detectors names boats, which is no task of the study"):
        make("lynx", detectors={"boats": detector})
    with pytest.raises(UsageError, match="'counting' is of kind counting; an external bank"):
        make("lynx", bank="external", config={"model": detector}).learn(1)
