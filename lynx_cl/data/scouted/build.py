"""Builds SCouT data from a folder of pictures: labels them shard by shard, filters the labels, and writes questions.

`OUT/labels` holds what the annotators said, in shards that are written whole and never made twice: a killed build goes
on where it was, and one with other bounds only filters anew. `OUT/scout.json` names the files of questions; it is
written last.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lynx_cl.data.example import SPLITS
from lynx_cl.data.pictures import licence_of, split_of
from lynx_cl.data.scouted.filters import Filters, questions
from lynx_cl.data.scouted.findings import Labeller, Seen, Shown, read_record, record
from lynx_cl.data.scouted.pictures import Listed, list_pictures, look_of, open_listed
from lynx_cl.data.scouted.shards import clear_unfinished, read_shard, whole, write_shard, write_whole
from lynx_cl.data.scouted.writing import MANIFEST, REPORT, Files, Report, question_line
from lynx_cl.data.twins import Gallery
from lynx_cl.errors import LynxError
from lynx_cl.registry.canonical import canonical, sha256

FORMAT = 1
PLAN, LOCK = "labels/plan.json", ".lock"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """What is built: of the pictures in `images`, the first `limit`, into `out`.

    `shard` is how many pictures a file has, `batch_size` how many are looked at in a forward; neither changes what
    comes out. `licence` None takes the first line of a licence file beside the pictures.
    """

    images: Path
    out: Path
    filters: Filters = Filters()
    limit: int | None = None
    licence: str | None = None
    shard: int = 200
    batch_size: int = 8


@dataclass(frozen=True)
class Plan:
    """A build whose labels are a function of `facts`; `shards` are its pictures, file by file."""

    facts: Mapping[str, Any]
    shards: tuple[tuple[Listed, ...], ...]


def build_scout(order: Order, first: Labeller, second: Labeller | None, say: Say) -> dict[str, Any]:
    """Labels, filters, writes; returns the report.

    Raises UsageError for a folder of pictures that is none, LynxError where it holds no picture, where `out` holds
    another build or is being built by another process, and where no question is left.
    """
    plan = plan_build(order, first, second)
    order.out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(order.out / LOCK, timeout=0):
            write_whole(order.out / PLAN, canonical(plan.facts))
            clear_unfinished(order.out / "labels")
            clear_unfinished(order.out)
            _label(order, plan, first, second, say)
            return _compose(order, plan, say)
    except Timeout:
        raise LynxError(f"--out {order.out}: another process is building there; wait for it") from None


def plan_build(order: Order, first: Labeller, second: Labeller | None) -> Plan:
    """What a build will do. Raises as `build_scout`."""
    pictures = list_pictures(order.images, order.limit)
    makers = [asdict(one.maker) for one in (first, *([second] if second is not None else []))]
    facts: dict[str, Any] = {
        "format": FORMAT,
        "annotators": makers,
        "pictures": {"count": len(pictures), "digest": sha256(canonical([[p.name, p.bytes] for p in pictures]))},
        "shard": order.shard,
    }
    before = _planned(order.out)
    if before is not None:
        for key in ("format", "annotators", "pictures"):
            if before.get(key) != json.loads(canonical(facts[key])):
                raise LynxError(
                    f"--out {order.out}: holds a build with other {key}; give another folder, or remove this one"
                )
        facts["shard"] = before["shard"]
    size = facts["shard"]
    return Plan(facts, tuple(tuple(pictures[i : i + size]) for i in range(0, len(pictures), size)))


def _planned(out: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads((out / PLAN).read_text(encoding="utf-8")))
    except FileNotFoundError:
        pass
    except ValueError:
        raise LynxError(f"{out / PLAN}: not JSON; give another folder with --out, or remove this one") from None
    strange = sorted(p.name for p in out.iterdir() if p.name not in (LOCK, "labels")) if out.is_dir() else []
    if strange:
        raise LynxError(f"--out {out}: holds other files ({strange[0]}); give a folder of its own")
    return None


def _shard_path(out: Path, number: int) -> Path:
    return out / "labels" / f"{number:05}.jsonl"


def _label(order: Order, plan: Plan, first: Labeller, second: Labeller | None, say: Say) -> None:
    done = 0
    for number, pictures in enumerate(plan.shards):
        path = _shard_path(order.out, number)
        if not whole(path, len(pictures)):
            batches = [pictures[i : i + order.batch_size] for i in range(0, len(pictures), order.batch_size)]
            write_shard(path, [one for batch in batches for one in _labelled(order.images, batch, first, second)])
            say(f"labels: {done + len(pictures)} of {plan.facts['pictures']['count']} pictures")
        done += len(pictures)


def _labelled(
    folder: Path, batch: Sequence[Listed], first: Labeller, second: Labeller | None
) -> Iterator[dict[str, Any]]:
    labellers = [first, *([second] if second is not None else [])]
    opened = [
        open_listed(folder, one.name, next(filter(None, (who.size(one.name) for who in labellers)), None))
        for one in batch
    ]
    shown = [Shown(one.name, one.picture) for one in opened if one.picture is not None]
    said: list[list[Seen]] = [first.label(shown, None)] if shown else []
    if second is not None and shown:
        said.append(second.label(shown, [sorted({thing.label for thing in seen.things}) for seen in said[0]]))
    seen = {one.name: [part[i] for part in said] for i, one in enumerate(shown)}
    for one in opened:
        yield {**one.facts, "seen": [record(part) for part in seen.get(one.name, ())]}


def _compose(order: Order, plan: Plan, say: Say) -> dict[str, Any]:
    refused: Counter[str] = Counter()
    report = Report(refused)
    files = Files(order.out, plan.facts["shard"])
    makers = plan.facts["annotators"]
    for row in _asked(order, plan, report):
        files.put(split_of(row["sha256"]), question_line(row, makers))
        report.keep(row["questions"])
    facts = report.facts(files.counts)
    if not report.questions:
        write_whole(order.out / REPORT, json.dumps(facts, indent=1, ensure_ascii=False).encode() + b"\n")
        most = ", ".join(f"{count} {reason}" for reason, count in refused.most_common(3) if count)
        raise LynxError(
            f"{order.images}: no question is left of {report.seen} pictures ({most}); see {order.out / REPORT}"
        )
    files.close()
    content = {
        "format": FORMAT,
        "annotators": makers,
        "filters": order.filters.model_dump(mode="json"),
        "licence": order.licence or licence_of(order.images),
        "splits": files.digests(),
    }
    manifest = {
        **content,
        "digest": sha256(canonical(content)),
        "images": str(order.images.absolute()),
        "pictures": files.counts,
        "questions": facts["questions"]["kept"],
        "files": files.written,
    }
    told = {"digest": manifest["digest"], "out": str(order.out), **facts}
    write_whole(order.out / REPORT, json.dumps(told, indent=1, ensure_ascii=False).encode() + b"\n")
    write_whole(order.out / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False).encode() + b"\n")
    for split in SPLITS:
        if not files.counts[split]:
            say(f"no picture fell into the split '{split}': it takes more pictures to train on these alone")
    return told


def _asked(order: Order, plan: Plan, report: Report) -> Iterator[dict[str, Any]]:
    """The pictures of which questions are left, each once, with their questions."""
    gallery, digests = Gallery(), set()
    for number in range(len(plan.shards)):
        for row in read_shard(_shard_path(order.out, number)):
            report.seen += 1
            if "fault" in row:
                report.fault("unreadable", row["fault"])
                continue
            seen, *others = map(read_record, row["seen"])
            for fault in seen.faults:
                report.fault("", fault)
            if not seen.things:
                report.refused["unlabelled"] += 1
                continue
            if row["sha256"] in digests or gallery.add(look_of(row)) is not None:
                report.refused["same picture"] += 1
                continue
            digests.add(row["sha256"])
            report.found += len(seen.things) + len(seen.faults) + seen.unlisted
            rng = random.Random(f"scout/{row['sha256']}")
            made = questions(seen, others[0] if others else None, order.filters, rng, report.refused)
            if not made:
                report.refused["not asked"] += 1
            else:
                yield {**row, "questions": made}
