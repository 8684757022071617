"""One task in one file, to hand to someone else: an uncompressed tar of a snapshot and of all that it reaches.

    snapshot.json             a state that holds this task alone, at one version
    objects/<sha256>          weights, router statistics, manifest, record, certificate, task tree

Taking one in is a merge with that state. Before anything is written, every member is checked: where it would lie, what
it is, its size, its digest, and by its role what it holds. Nothing in an archive is ever unpickled or executed.
"""

from __future__ import annotations

import io
import re
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lynx_cl.errors import LynxError, UsageError
from lynx_cl.registry.algebra import Merged, take_in
from lynx_cl.registry.canonical import sha256
from lynx_cl.registry.durable import write_whole
from lynx_cl.registry.merge import Prefer
from lynx_cl.registry.objects import ObjectStore
from lynx_cl.registry.reach import references
from lynx_cl.registry.snapshot import BaseRef, Snapshot, TaskEntry, TaskManifest
from lynx_cl.registry.store import Registry
from lynx_cl.registry.tree import TaskMap
from lynx_cl.registry.views import parse
from lynx_cl.registry.weights import check_weights

SNAPSHOT = "snapshot.json"
LIMIT = 8 << 30  # bytes that an archive may hold unless more is allowed
_MEMBERS = 256
_OBJECT = re.compile(r"objects/([0-9a-f]{64})")

#: Looks at the bytes of a role; raises LynxError, beginning with `where`, for what should not come in.
Check = Callable[[bytes, str], None]


@dataclass(frozen=True)
class Exported:
    """What was put into an archive: the task, its version, the digest of its bank, and the bytes of the file."""

    task: str
    version: int
    bank: str
    bytes: int


def export_task(registry: Registry, address: str, path: Path) -> Exported:
    """Write one version of a task to `path`, whole or not at all; what is there is replaced.

    The record goes along, with the data source as it was named on this machine. Raises UsageError for an unknown task,
    LynxError where a byte of it is missing or damaged.
    """
    version = registry.task(address)
    head = registry.head()
    stored = registry.entries(head)[version.task].versions[version.version]
    with tempfile.TemporaryDirectory() as folder:
        scratch = ObjectStore(Path(folder) / "objects", Path(folder) / "tmp")
        entry = TaskEntry(current=version.version, versions={version.version: stored})
        tree = TaskMap(scratch).put(version.task, entry)
        base = BaseRef(name=head.base.name, fingerprint=head.base.fingerprint)
        snapshot = Snapshot(
            base=base,
            tasks=tree.root,
            certificate=version.record.files.get("certificate"),
            time=head.time,
            command="export",
            task=version.task,
            who=head.who,
        )
        parts = {path.parent.name + path.name: path.read_bytes() for path in scratch}
    for digest in (stored.manifest, stored.record, *version.manifest.files.values(), *version.record.files.values()):
        parts[digest] = registry.read(digest)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        _append(archive, SNAPSHOT, snapshot.to_bytes())
        for digest in sorted(parts):
            _append(archive, f"objects/{digest}", parts[digest])
    data = buffer.getvalue()
    folder_of = path.absolute().parent
    if not folder_of.is_dir():
        raise UsageError(f"{path}: there is no folder {folder_of}; make it first")
    write_whole(path.absolute(), data, scratch=folder_of, what="archive")
    return Exported(version.task, version.version, version.bank, len(data))


def import_archive(
    registry: Registry,
    path: Path,
    prefer: Prefer | None = None,
    *,
    limit: int = LIMIT,
    checks: Mapping[str, Check] | None = None,
) -> Merged:
    """Take in the task of an archive, by a merge: `prefer` settles a conflict as there.

    `checks` look at what a file of a role holds; a bank is always checked to be finite safetensors. Raises UsageError
    where there is no such file, LynxError for one that is not an archive, is damaged, holds anything that it should
    not, or whose bank fits another base; nothing has been written to the registry then.
    """
    snapshot, parts = read_archive(path, limit)
    if registry.exists():
        registry.check_base(snapshot.base.fingerprint, f"{snapshot.base.name} as {path} does")
    with tempfile.TemporaryDirectory() as folder:
        source = Registry(folder)
        for data in parts.values():
            source.objects.put(data)
        _check_whole(source, snapshot, parts, path)
        _check_contents(source, snapshot, path, {"bank": check_weights, **(checks or {})})
        return take_in(registry, source, snapshot, prefer, settings=False, command="import")


def read_archive(path: Path, limit: int = LIMIT) -> tuple[Snapshot, dict[str, bytes]]:
    """The snapshot of an archive, and its objects by digest, each equal to its name. Raises as `import_archive`."""
    parts: dict[str, bytes] = {}
    snapshot: Snapshot | None = None
    try:
        if path.stat().st_size > limit + (_MEMBERS + 20) * 1024:
            raise LynxError(f"{path}: larger than {limit:,} bytes; allow more with --limit if you trust it")
        with tarfile.open(path, mode="r:") as archive:
            left = limit
            for count, member in enumerate(archive):
                where = f"{path}: member {member.name!r}"
                name = _OBJECT.fullmatch(member.name)
                if count >= _MEMBERS:
                    raise LynxError(f"{path}: holds more than {_MEMBERS} members; it is no export of one task")
                if not (name or member.name == SNAPSHOT):
                    raise LynxError(f"{where}: does not belong there; it is no export of lynx-cl")
                if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.pax_headers or member.linkname:
                    raise LynxError(f"{where}: is no plain file; it is no export of lynx-cl")
                left -= member.size
                if left < 0 or member.size < 0:
                    raise LynxError(f"{path}: unpacks to more than {limit:,} bytes; allow more with --limit")
                file = archive.extractfile(member)
                data = file.read() if file is not None else b""
                if len(data) != member.size:
                    raise LynxError(f"{where}: cut off; get the file again")
                if name is None:
                    if snapshot is not None:
                        raise LynxError(f"{where}: is there twice; it is no export of lynx-cl")
                    snapshot = parse(Snapshot, data, path)
                    if snapshot.to_bytes() != data:
                        raise LynxError(f"{where}: not as lynx-cl writes it; get the file again")
                elif name[1] in parts:
                    raise LynxError(f"{where}: is there twice; it is no export of lynx-cl")
                elif sha256(data) != name[1]:
                    raise LynxError(f"{where}: its bytes are not those of its name; get the file again")
                else:
                    parts[name[1]] = data
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise LynxError(f"{path}: no archive of lynx-cl, or cut off ({error}); get the file again") from None
    except IsADirectoryError:
        raise UsageError(f"{path}: is a folder; 'lynx-cl registry merge' takes in another registry") from None
    if snapshot is None:
        raise LynxError(f"{path}: holds no {SNAPSHOT}; it is no export of lynx-cl")
    return snapshot, parts


def _check_whole(source: Registry, snapshot: Snapshot, parts: Mapping[str, bytes], path: Path) -> None:
    """One task at one version, with all it needs and nothing else."""
    needed = dict(references(source, snapshot))
    for digest, what in needed.items():
        if digest not in parts:
            raise LynxError(f"{path}: lacks {what}; get the file again")
    for digest in parts:
        if digest not in needed:
            raise LynxError(f"{path}: holds {digest[:12]}, which nothing in it names; it is no export of lynx-cl")
    entries = list(source.entries(snapshot).all().values())
    if len(entries) != 1 or len(entries[0].versions) != 1:
        raise LynxError(f"{path}: holds {len(entries)} tasks, not one version of one; it is no export of lynx-cl")


def _check_contents(source: Registry, snapshot: Snapshot, path: Path, checks: Mapping[str, Check]) -> None:
    """The manifest is the entry's and for the archive's base; each file holds what its role says."""
    for name, entry in source.entries(snapshot).all().items():
        version = entry.versions[entry.current]
        manifest = parse(TaskManifest, source.read(version.manifest), path)
        record = source.task_of(name, entry).record
        told = version.of(manifest, record)
        if version.score is None:  # as entries were written before they held scores
            told = told.but(score=None)
        if manifest.task != name or told != version:
            raise LynxError(f"{path}: its list says other things of {name} than its manifest; get the file again")
        if manifest.base != snapshot.base.fingerprint:
            raise LynxError(f"{path}: its bank fits the base {manifest.base[:12]}, not {snapshot.base.name}")
        for role, check in checks.items():
            if role in manifest.files:
                check(source.read(manifest.files[role]), f"{path}: {role} of {name}")


def _append(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """A member without owner and time, so that equal content gives an equal file."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o644
    archive.addfile(member, io.BytesIO(data))
