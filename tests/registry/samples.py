"""Small registries for the tests: a made-up base, and banks of a few bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lynx_cl.registry import AddRecord, Registry, TaskManifest

BASE = "b" * 64
OTHER_BASE = "c" * 64


def manifest(task: str = "grounding", **changes: Any) -> TaskManifest:
    """A manifest as an add would give it: without files."""
    facts: dict[str, Any] = {
        "task": task,
        "kind": "twin",
        "bank_config": {"experts": 4, "top_k": 2},
        "base": BASE,
        "parameters": 1000,
        "growth_total": 0.1,
        "growth_active": 0.05,
        "card": {"metric": "acc_iou50"},
        "data": {"source": "scout"},
        "training": {"seed": 0},
    }
    return TaskManifest.model_validate({**facts, **changes})


def files(task: str = "grounding") -> dict[str, bytes]:
    return {"bank": f"weights of {task}".encode(), "router": f"statistics of {task}".encode()}


def record(created: str = "2026-01-01T00:00:00Z") -> AddRecord:
    return AddRecord(created=created, seconds=1.5, run_id="r1", scores={"grounding": {"acc_iou50": 0.9}})


def made(path: Path, *tasks: str) -> Registry:
    """A registry in `path` to which these tasks were added in this order."""
    registry = Registry(path)
    registry.init(BASE, "nano", files={"router": b"statistics of the base"})
    for task in tasks:
        registry.add(manifest(task), files(task), record(), record_files={"certificate": b'{"retention":"held"}'})
    return registry
