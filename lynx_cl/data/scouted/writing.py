"""What a build writes: files of questions, and the report of what was kept and refused."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lynx_cl.data.example import SPLITS
from lynx_cl.data.scouted.filters import Kept, Question
from lynx_cl.data.scouted.shards import line, write_whole

MANIFEST, REPORT = "scout.json", "report.json"
_TOLD = 1000  # faults that a report names; all of them are counted


def question_line(row: Mapping[str, Any], makers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is stored of a picture: its things, who found each and by which prompt, and the questions about them."""
    made: Sequence[Question] = row["questions"]
    things = list(dict.fromkeys(one for question in made for one in (question.answer, *question.relevant)))
    place = {one: i for i, one in enumerate(things)}

    def told(one: Kept) -> dict[str, Any]:
        by = {"annotator": makers[0]["annotator"], "version": makers[0]["version"], "prompt": one.thing.prompt}
        by["score"] = one.thing.score
        confirmed = {}
        if one.agreed is not None:
            second = {"annotator": makers[1]["annotator"], "version": makers[1]["version"], "iou": one.agreed}
            confirmed = {"confirmed": second}
        return {"label": one.thing.label, "box": list(one.thing.box), "by": by, **confirmed}

    return {
        "name": row["name"],
        "sha256": row["sha256"],
        "size": row["size"],
        "things": [told(one) for one in things],
        "questions": [
            {
                "request": question.said.request,
                "kind": question.said.kind,
                "answer": place[question.answer],
                "relevant": [place[one] for one in question.relevant],
            }
            for question in made
        ],
    }


class Files:
    """The files of questions, so many pictures each; those of an earlier filtering go first."""

    def __init__(self, out: Path, size: int) -> None:
        self.out, self.size = out, size
        (out / MANIFEST).unlink(missing_ok=True)
        for split in SPLITS:
            for path in out.glob(f"{split}-*.jsonl"):
                path.unlink()
        self.written: dict[str, dict[str, Any]] = {}
        self.counts: dict[str, int] = dict.fromkeys(SPLITS, 0)
        self._lines: dict[str, list[bytes]] = defaultdict(list)
        self._hashes = {split: hashlib.sha256() for split in SPLITS}

    def put(self, split: str, value: Mapping[str, Any]) -> None:
        """Takes the next picture of a split."""
        data = line(value)
        self._hashes[split].update(data)
        self._lines[split].append(data)
        self.counts[split] += 1
        if len(self._lines[split]) == self.size:
            self._write(split)

    def close(self) -> None:
        """Writes what is not yet written."""
        for split in SPLITS:
            if self._lines[split]:
                self._write(split)

    def digests(self) -> dict[str, str]:
        """sha256 of all lines of each split, however they are spread over files."""
        return {split: hashed.hexdigest() for split, hashed in self._hashes.items()}

    def _write(self, split: str) -> None:
        number = sum(name.startswith(f"{split}-") for name in self.written)
        name, lines = f"{split}-{number:05}.jsonl", self._lines.pop(split)
        body = b"".join(lines)
        write_whole(self.out / name, body)
        self.written[name] = {"sha256": hashlib.sha256(body).hexdigest(), "pictures": len(lines)}


class Report:
    """Counts of what was seen, refused and kept."""

    def __init__(self, refused: Counter[str]) -> None:
        self.refused = refused
        self.seen = self.found = self.kept = 0
        self.questions: Counter[str] = Counter()
        self.agreed: list[float] = []
        self.faults: list[str] = []

    def fault(self, reason: str, told: str) -> None:
        """A fault is named, and counted under its reason where it has one."""
        if reason:
            self.refused[reason] += 1
        if len(self.faults) < _TOLD:
            self.faults.append(told)

    def keep(self, made: Sequence[Question]) -> None:
        """The questions about one picture are kept."""
        things = {question.answer for question in made}
        self.kept += len(things)
        self.agreed += [one.agreed for one in things if one.agreed is not None]
        self.questions.update(question.said.kind for question in made)

    def facts(self, splits: Mapping[str, int]) -> dict[str, Any]:
        """All of it; `splits` are the kept pictures of each."""
        agreed = {"mean iou": round(sum(self.agreed) / len(self.agreed), 4)} if self.agreed else {}
        return {
            "pictures": {"seen": self.seen, "kept": sum(splits.values()), **splits},
            "things": {"found": self.found, "asked about": self.kept, **agreed},
            "questions": {"kept": self.questions.total(), **dict(sorted(self.questions.items()))},
            "refused": {reason: count for reason, count in sorted(self.refused.items()) if count},
            "faults": self.faults,
        }
