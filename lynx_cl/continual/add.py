"""Adding a task: resolve, prepare, train, measure, certify, commit. Or nothing at all.

`make_plan` (plan.py) is the first of the six; here are the other five. An MLflow run wraps them. Nothing is written to
the registry before the commit, which is one transaction.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lynx_cl.banks.base import Bank, bank_bytes
from lynx_cl.banks.external import ExternalBank
from lynx_cl.banks.growth import Growth, growth
from lynx_cl.base.load import Base
from lynx_cl.base.places import remember_base
from lynx_cl.continual.before import all_tests, base_alone, scores_before
from lynx_cl.continual.certificate import certificate, check_retention, libraries, machine, probe_digests, router_errors
from lynx_cl.continual.history import Stage, forgetting, stages_of
from lynx_cl.continual.measure import main_scores, measure, routing
from lynx_cl.continual.outcome import Outcome, draw, growth_facts, log_outcome, params, task_facts
from lynx_cl.continual.outside import KIND
from lynx_cl.continual.plan import Plan
from lynx_cl.continual.train import Say, first_bank, load, train
from lynx_cl.errors import LynxError
from lynx_cl.registry.faults import fault_point
from lynx_cl.registry.snapshot import AddRecord, Snapshot, TaskManifest
from lynx_cl.registry.store import now
from lynx_cl.router.audit import audit
from lynx_cl.router.embedders import Embedder, embedder_named
from lynx_cl.router.requests import task_requests
from lynx_cl.router.router import Router
from lynx_cl.router.statistics import TaskStatistics, fit_task
from lynx_cl.router.stored import router_config, stored_statistics
from lynx_cl.tracking.mlflow import AddRun
from lynx_cl.training.launch import placed
from lynx_cl.training.trainer import TrainResult


def add_task(
    plan: Plan,
    run: AddRun,
    say: Say,
    *,
    resume: bool = False,
    progress: bool = False,
    dry_run: bool = False,
    again: Sequence[str] = (),
) -> Outcome:
    """Stages 2 to 6 of a plan, inside an open MLflow run.

    `again` is the command that does the same: for the other processes, where several train the bank.

    Raises LynxError where training fails, data turns out broken, a proof fails, or the registry's head moved meanwhile:
    the registry is then as it was.
    """
    started = time.monotonic()
    placed(plan.config.trainer)

    def on_task(name: str) -> None:
        say(f"measure: {name}")
        fault_point("add.measure")

    base, known, head = load(plan, say)
    bank = first_bank(plan, base, known)
    known = known.without(plan.card.name)
    grown = growth(bank, base.model)
    growths = growth_facts(known, plan.card.name, grown)
    say(
        f"bank: {plan.kind} on {len(bank.taps)} taps, {grown.parameters:,} parameters: "
        f"{100 * grown.total:.1f} % of the base, {100 * grown.active:.1f} % active"
    )
    plan.gates.check_growth(plan.card.name, growths)
    run.log_params(params(plan, base, bank))
    settings = router_config(plan.registry)
    embedder = embedder_named(settings.embedder, base)
    others, own = router_statistics(plan, embedder, say)
    router_before, router = (Router.solve(tasks, embedder, settings) for tasks in (others, [*others, own]))
    for line in audit(router, plan.card.name).lines(plan.card.name):
        say(f"router: {line}")
    tested = all_tests(plan, base, known)
    with known.attached(base) as attachment:
        before = probe_digests(base, attachment)
    alone = base_alone(plan, base, known, tested, say)
    earlier = scores_before(plan, base, known, tested, router_before, say)
    result = train(plan, base, bank, run, say, resume=resume, progress=progress, again=again)
    with known.attached(base) as attachment:
        attachment.add(plan.card.name, bank)
        measured = measure(
            base,
            attachment,
            router,
            tested,
            batch_size=plan.config.evaluation.batch_size,
            on_task=on_task,
        )
        after = probe_digests(base, attachment)
    check_retention(before, after)
    asked = {name: len(one.answers) for name, one in measured.items()}
    stage = Stage(plan.card.name, alone, main_scores(measured, "blind"), main_scores(measured, "aware"), asked)
    stages = (*stages_of(plan.registry), stage)
    proof = certificate(
        base={"name": base.name, "fingerprint": base.fingerprint},
        banks_before={name: version.bank for name, version in known.versions.items()},
        logits_before=before.logits,
        logits_after=after.logits,
        answers_before=before.answers,
        answers_after=after.answers,
        tolerance=0.0,
        frozen_before=result.frozen_digest_before,
        frozen_after=result.frozen_digest_after,
        bank=result.bank_digest,
        growth=growths,
        forgetting=forgetting(stages),
        routing=routing(measured),
        router_error_before=router_errors(router_before),
        router_error_after=router_errors(router),
        libraries=libraries(),
        machine=machine(),
    )
    with tempfile.TemporaryDirectory() as scratch:
        figures = draw(Path(scratch), plan, stages, tested, measured)
        log_outcome(run, stages, measured, growths, result, figures)
        routed = {name: m.routed for name, m in measured.items()}
        try:
            lost = {name: score - stage.blind[name] for name, score in earlier.items()}
            plan.gates.check_forgetting(plan.card.name, {**lost, **forgetting(stages)["tasks"]}, routed)
        except LynxError:
            shutil.rmtree(plan.run_dir, ignore_errors=True)
            raise
        outcome = Outcome(plan.card.name, measured, stages, growths, result, run.run_id, 0.0, result.bank_digest, None)
        if dry_run:
            shutil.rmtree(plan.run_dir, ignore_errors=True)
            return replace(outcome, seconds=time.monotonic() - started)
        say("commit")
        fault_point("add.commit")
        data = bank_bytes(bank)
        record = AddRecord(
            created=now(),
            seconds=round(time.monotonic() - started, 1),
            run_id=run.run_id,
            source=plan.spec,
            scores={**stage.record(), "metrics": dict(task_facts(measured))},
            libraries=libraries(),
        )
        snapshot = commit(plan, base, bank, grown, result, record, data, own, proof, figures, head)
    shutil.rmtree(plan.run_dir, ignore_errors=True)
    digest = plan.registry.task(plan.card.name).bank
    return replace(outcome, seconds=time.monotonic() - started, digest=digest, snapshot=snapshot.digest)


def router_statistics(plan: Plan, embedder: Embedder, say: Say) -> tuple[list[TaskStatistics], TaskStatistics]:
    """The statistics of the base and of every other task, and those of the new one."""
    say(f"data: {plan.source.name}, pictures " + str(plan.source.summary()["pictures"]))
    for line in plan.source.remarks():
        say(f"data: {line}")
    asked = task_requests(
        plan.source.examples("train"),
        plan.source.examples("calibration"),
        plan.config.router.prompts,
        pictures=embedder.pictures,
    )
    stored = stored_statistics(plan.registry, _folder(plan))
    others = [statistics for statistics in stored if statistics.task != plan.card.name]
    return others, fit_task(plan.card.name, asked.fit, embedder, asked.calibration)


def commit(
    plan: Plan,
    base: Base,
    bank: Bank,
    grown: Growth,
    result: TrainResult,
    record: AddRecord,
    data: bytes,
    statistics: TaskStatistics,
    proof: bytes,
    figures: list[Path],
    head: str | None,
) -> Snapshot:
    """The one transaction. Raises HeadMoved where another process committed since `head`."""
    if base.path is not None:
        remember_base(plan.registry, base.fingerprint, base.path)
    if isinstance(bank, ExternalBank):
        remember_base(plan.registry, bank.config.digest, bank.folder)
    if head is None:
        head = plan.registry.init(base.fingerprint, base.name).digest
    manifest = TaskManifest(
        task=plan.card.name,
        kind=plan.kind,
        bank_config=bank.bank_config(),
        base=base.fingerprint,
        parameters=grown.parameters,
        growth_total=grown.total,
        growth_active=grown.active,
        card=plan.card.model_dump(mode="json"),
        data={
            **plan.source.summary(),
            **({"annotators": list(plan.labels.trained)} if plan.annotators else {}),
            "source": plan.spec.partition(":")[0],
            "digest": plan.source.digest(),
            "seed": plan.config.data.seed,
            "limit": plan.config.data.limit,
        },
        training=_training(plan),
    )
    return plan.registry.add(
        manifest,
        {"bank": data, "router": statistics.to_bytes()},
        record,
        record_files={"certificate": proof, **{path.stem: path.read_bytes() for path in figures}},
        update=plan.update,
        command=plan.command,
        expect=head,
    )


def _training(plan: Plan) -> dict[str, Any]:
    if plan.adapter is not None:
        return {"adapter": plan.adapter.name}
    if plan.kind == KIND:
        return {}
    return {**plan.config.train.model_dump(mode="json"), "pictures_per_batch": plan.config.pictures_per_batch}


def _folder(plan: Plan) -> Path | None:
    from lynx_cl.base.card import find_base

    place = find_base(plan.base)
    return place if isinstance(place, Path) else None
