"""Which promises of a registry's certificates hold on this machine: the base, each bank and the router run again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lynx_cl.banks.growth import growth
from lynx_cl.base.load import load_base
from lynx_cl.base.places import base_of
from lynx_cl.continual.certificate import BASE_ROW, Probe, libraries, machine, probe_digests, router_errors
from lynx_cl.continual.learned import learned
from lynx_cl.registry.store import Registry
from lynx_cl.registry.views import TaskVersion
from lynx_cl.router.router import Router
from lynx_cl.router.stored import load_router


@dataclass(frozen=True)
class Promise:
    """One promise of a task's certificate: whether it holds here, None where that cannot be told, and what was seen."""

    task: str
    promise: str
    holds: bool | None
    seen: str


def verify_deep(registry: Registry) -> list[Promise]:
    """Every promise of the current version of every task.

    Raises LynxError where the base is another one or cannot be loaded, or a bank is not one of it.
    """
    base = load_base(base_of(registry))
    registry.check_base(base.fingerprint, base.name)
    promises = [Promise(BASE_ROW, "fingerprint", True, base.fingerprint[:12])]
    known = learned(registry, base)
    with known.attached(base) as attachment:
        now = probe_digests(base, attachment)
    router = load_router(registry, base.path, base)
    statistics = {task.task: task for task in router.tasks}
    for name, version in known.versions.items():
        digest = version.record.files.get("certificate")
        if digest is None:
            promises.append(Promise(name, "certificate", None, "it has none"))
            continue
        proof = json.loads(registry.read(digest))
        promises += _logits(name, proof, now)
        promises.append(_growth(version, growth(known.banks[name], base.model).parameters))
        told = proof.get("router_error_after", {})
        if told and set(told) <= set(statistics):
            then = Router.solve([statistics[task] for task in told], router.embedder, router.config)
            seen = router_errors(then)
            differ = [task for task in told if seen[task] != told[task]]
            words = ", ".join(f"{task} {told[task]:.4f} -> {seen[task]:.4f}" for task in differ) or "as it was"
            promises.append(Promise(name, "router error on calibration requests", not differ, words))
        else:
            why = "its tasks are no longer all here" if told else "the certificate does not hold it"
            promises.append(Promise(name, "router error on calibration requests", None, why))
    return promises


def _logits(task: str, proof: Mapping[str, Any], now: Probe) -> Iterator[Promise]:
    """Of the base and of the task's own bank, as they were when it was added."""
    for row in (BASE_ROW, task):
        if row not in proof.get("logits_after", {}):
            yield Promise(task, f"logits of {row}", None, "the certificate does not hold them")
            continue
        exact = proof["logits_after"][row] == now.logits[row]
        same = exact or proof.get("answers_after", {}).get(row) == now.answers[row]
        if exact:
            yield Promise(task, f"logits of {row}", True, "equal to the bit")
        elif differences := _elsewhere(proof):
            seen = f"{'the same answers' if same else 'other answers'}; not comparable to the bit: {differences}"
            yield Promise(task, f"logits of {row}", None if same else False, seen)
        else:
            yield Promise(task, f"logits of {row}", False, "the same answers" if same else "other answers")


def _elsewhere(proof: Mapping[str, Any]) -> str:
    """How this machine and its libraries differ from those of a certificate."""
    parts = []
    for then, here in ((proof.get("libraries", {}), libraries()), (proof.get("machine", {}), machine())):
        parts += [f"{key} {then.get(key)} -> {value}" for key, value in here.items() if then.get(key) != value]
    return ", ".join(parts)


def _growth(version: TaskVersion, parameters: int) -> Promise:
    told = version.manifest.parameters
    return Promise(version.task, "parameters", parameters == told, f"{parameters:,} counted, {told:,} stated")
