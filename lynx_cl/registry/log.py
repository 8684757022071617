"""The log: one line for each commit, written before the head moves, so that no acknowledged commit is missing.

A crash between the two leaves a line that leads nowhere. What counts is therefore read backwards from the head, from
each snapshot to its parent.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from lynx_cl.registry.canonical import canonical
from lynx_cl.registry.durable import append_line
from lynx_cl.registry.snapshot import Snapshot


class LogEntry(BaseModel):
    """One commit: what was done, when, by whom, from which snapshot (`parent`) to which, and the state reached."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    snapshot: str
    state: str
    parent: str | None
    time: str
    command: str
    task: str | None
    who: str

    @classmethod
    def of(cls, snapshot: Snapshot) -> LogEntry:
        """The entry that a snapshot must have; so a log can be checked, and made anew, from the snapshots."""
        return cls(
            snapshot=snapshot.digest,
            state=snapshot.state,
            parent=snapshot.parent,
            time=snapshot.time,
            command=snapshot.command,
            task=snapshot.task,
            who=snapshot.who,
        )

    def line(self) -> bytes:
        """The entry as it stands in the file, without the line's end."""
        return canonical(self.model_dump(mode="json"))


def append(path: Path, entry: LogEntry) -> None:
    """Write an entry to the disk. Raises OSError."""
    append_line(path, entry.line(), what="log")


def read(path: Path) -> dict[str, LogEntry]:
    """All legible entries by the snapshot they lead to; torn and altered lines are left out. Empty without a file."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    entries: dict[str, LogEntry] = {}
    for line in lines:
        try:
            entry = LogEntry.model_validate_json(line)
        except ValidationError:
            continue
        if entry.line() == line:
            entries[entry.snapshot] = entry
    return entries
