"""The registry's algebra on real banks of nano: three tasks in two orders, by merging, and with one removed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from lynx_cl.home import shipped
from lynx_cl.registry import Registry, verify
from lynx_cl.registry.algebra import merge, remove_task
from lynx_cl.router.router import Decision
from lynx_cl.router.stored import router_of
from tests.continual.process import SHORT, lynx

TASKS = ("grounding", "shapes", "counting")
PROMPTS = (
    "Locate the dog.",
    "How many dogs are there?",
    "What size is the dog?",
    "Sketch the outline of the dog.",
    "Hi!",
)


def add(home: Path, task: str) -> None:
    """Trains for a few steps; `shapes` is a task of the home's own."""
    folder = home / "tasks" / "shapes"
    if not folder.exists():
        folder.mkdir(parents=True)
        card = yaml.safe_load((shipped("tasks") / "grounding" / "task.yaml").read_text())
        (folder / "task.yaml").write_text(yaml.safe_dump({**card, "name": "shapes", "source": "scenes", "chains": 0.0}))
        (folder / "prompts.txt").write_text("train:\nSketch the outline of {x}.\ntest:\nTrace the shape of {x}.\n")
    lynx("add-task", task, "--bank", "lora", *SHORT, "evaluation.examples=4", home=home)


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Registries by the tasks that were added to them, in this order."""
    made = {}
    for order in (TASKS, TASKS[::-1]):
        home = tmp_path_factory.mktemp("algebra") / "home"
        for number, task in enumerate(order, 1):
            add(home, task)
            name = "+".join(order[:number])
            made[name] = Path(shutil.copytree(home, tmp_path_factory.mktemp("at") / "home"))
    return made


def registry(home: Path, tmp_path: Path | None = None) -> Registry:
    if tmp_path is not None:
        home = Path(shutil.copytree(home, tmp_path / "home"))
    return Registry(home / "registry")


def decisions(made: Registry) -> list[Decision]:
    from lynx_cl.router.embedders import Request

    return router_of(made).decide([Request(prompt) for prompt in PROMPTS])


def test_the_order_of_adds_leaves_no_trace_in_the_state(homes):
    one, other = registry(homes["+".join(TASKS)]), registry(homes["+".join(TASKS[::-1])])
    assert one.tasks() == other.tasks() == tuple(sorted(TASKS))
    assert one.head().state == other.head().state and one.head_digest() != other.head_digest()
    assert {row.task: row.digest for row in one.list()} == {row.task: row.digest for row in other.list()}
    assert decisions(one) == decisions(other)


def test_merging_gives_the_state_of_adding(homes, tmp_path):
    merged, rest = registry(homes["grounding"], tmp_path), registry(homes["counting+shapes"])
    merge(merged, rest)
    whole = registry(homes["+".join(TASKS)])
    assert merged.head().state == whole.head().state and verify(merged) == []
    assert decisions(merged) == decisions(whole)


def test_a_removed_task_was_never_there(homes, tmp_path):
    whole = registry(homes["+".join(TASKS)], tmp_path)
    remove_task(whole, "counting")
    never = registry(homes["grounding+shapes"])
    assert whole.head().state == never.head().state and decisions(whole) == decisions(never)


def test_each_bank_answers_the_same_logits_in_all_of_them(homes):
    """Bit for bit, whatever else is in the registry."""
    seen: dict[str, set[str]] = {}
    for home in homes.values():
        made = registry(home)
        for version in map(made.task, made.tasks()):
            proof = json.loads(made.read(version.record.files["certificate"]))
            for name, digest in proof["logits_after"].items():
                seen.setdefault(name, set()).add(digest)
    assert seen.keys() == {"base", *TASKS} and all(len(digests) == 1 for digests in seen.values())
