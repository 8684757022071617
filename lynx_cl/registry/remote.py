"""Registries elsewhere: push to and pull from any address that fsspec reads, as a folder or an S3 bucket.

    objects/sha256/ab/cdef...   as in a registry; an object that is there is never written again
    snapshots/<digest>.json     states
    heads/<digest>              an empty file for each state that no later push has taken up

There is no lock, since most stores have none. A push adds a head and then takes away those that its state covers: the
ones it was merged with, and those of this registry's own history. Two at once leave two heads, and what the address
holds is their merge, which is the same in whatever order it is made. So no push is lost.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from lynx_cl.errors import LynxError, UsageError
from lynx_cl.registry import faults
from lynx_cl.registry.algebra import Merged, check_preference, copy_objects, take_in
from lynx_cl.registry.canonical import sha256
from lynx_cl.registry.durable import write_whole
from lynx_cl.registry.merge import Prefer, join
from lynx_cl.registry.reach import references
from lynx_cl.registry.scratch import writing
from lynx_cl.registry.snapshot import DIGEST, Snapshot
from lynx_cl.registry.store import Registry, now
from lynx_cl.registry.tree import TaskMap
from lynx_cl.registry.views import parse


@dataclass(frozen=True)
class Pushed:
    """What a push did: the state that the address now has a head for, and the objects and bytes that travelled."""

    snapshot: str
    state: str
    objects: int
    bytes: int
    merged: int


class Remote:
    """A registry at an fsspec address. What is read of it is checked and kept in `registry`, so that it comes once."""

    def __init__(self, address: str, registry: Registry) -> None:
        self.address, self.registry, self.objects = address, registry, registry.objects
        with told(address):
            from fsspec.core import url_to_fs

            self.fs, self.root = url_to_fs(address)
        self.local = "file" in (self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,))

    def heads(self) -> tuple[str, ...]:
        """The states that the address holds, as digests in order; their merge is what it holds."""
        with told(self.address):
            self.fs.invalidate_cache()
            names = [PurePosixPath(path).name for path in self._list("heads")]
            if self.is_home:
                names.append(self.fs.cat_file(self._at("head")).decode("ascii", "replace").strip())
        for name in names:
            if not DIGEST.fullmatch(name):
                raise LynxError(f"{self.address}: heads/{name} is no digest; it is no registry, or damaged")
        return tuple(sorted(set(names)))

    @property
    def is_home(self) -> bool:
        """Whether the address is the folder of a registry that someone works in: it can be pulled from."""
        with told(self.address):
            return bool(self.fs.exists(self._at("head")))

    def snapshot(self, digest: str) -> Snapshot:
        """A state that lies there. Raises LynxError where it is missing or damaged."""
        data = self._fetch(f"snapshots/{digest}.json", digest)
        return parse(Snapshot, data, Path(f"snapshots/{digest}.json"))

    def entries(self, snapshot: Snapshot) -> TaskMap:
        """The tasks of a state that lies there."""
        return TaskMap(_Through(self), snapshot.tasks)

    def read(self, digest: str) -> bytes:
        """An object, from the registry if it has it, else fetched, checked and kept there. Raises LynxError."""
        if self.registry.objects.path(digest).is_file():
            return self.registry.read(digest)
        data = self._fetch(f"objects/sha256/{digest[:2]}/{digest[2:]}", digest)
        self.registry.objects.put(data)
        faults.fault_point("pull.object")
        return data

    @cached_property
    def present(self) -> dict[str, int]:
        """Digest and size of every object that lay there when it was first asked."""
        with told(self.address):
            sizes = self._list("objects/sha256")
        return {"".join(PurePosixPath(path).parts[-2:]): size for path, size in sizes.items()}

    def write(self, name: str, data: bytes) -> None:
        """Put a file there, whole or not at all. Raises LynxError."""
        with told(self.address):
            if self.local:
                root = Path(self.root)
                write_whole(root / name, data, scratch=root / "tmp", what="remote")
                return
            self.fs.pipe_file(self._at(name), data)  # such stores show a file when all of it is there
            size = self.fs.info(self._at(name), refresh=True)["size"] if data else 0
        if size != len(data):
            raise LynxError(f"{self.address}: {name} arrived as {size:,} of {len(data):,} bytes; push again")

    def drop_head(self, digest: str) -> None:
        """Take a head away; one that another push took away before is no matter."""
        with told(self.address):
            try:
                self.fs.rm_file(self._at(f"heads/{digest}"))
            except FileNotFoundError:
                pass

    def _fetch(self, name: str, digest: str) -> bytes:
        with told(self.address):
            try:
                data = self.fs.cat_file(self._at(name))
            except FileNotFoundError:
                raise LynxError(
                    f"{self.address}: {name} is missing there; push again from a copy that has it"
                ) from None
        if sha256(data) != digest:
            raise LynxError(
                f"{self.address}: the bytes of {name} have changed; remove it there and push again from a sound copy"
            )
        return bytes(data)

    def _list(self, folder: str) -> dict[str, int]:
        try:
            found = self.fs.find(self._at(folder), detail=True)
        except FileNotFoundError:
            return {}
        return {path: facts["size"] for path, facts in found.items() if facts["type"] == "file"}

    def _at(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}"


@dataclass(frozen=True)
class _Through:
    """The objects of a remote, for a task map."""

    remote: Remote

    def put(self, data: bytes) -> str:
        return self.remote.registry.objects.put(data)

    def get(self, digest: str) -> bytes:
        return self.remote.read(digest)

    def path(self, digest: str) -> Path:
        return self.remote.registry.objects.path(digest)


def pull(registry: Registry, address: str, prefer: Prefer | None = None) -> list[Merged]:
    """Merge every state that an address holds into a registry. What is there already does not travel.

    Raises LynxError for a conflict that `prefer` does not settle, another base, an address that cannot be read or holds
    nothing, and what is damaged there; an earlier head may be taken in then, the one at fault is not.
    """
    remote = Remote(address, registry)
    heads = remote.heads()
    if not heads:
        raise LynxError(f"{address}: holds no registry; 'lynx-cl registry push {address}' makes one")
    theirs = [remote.snapshot(digest) for digest in heads]
    if registry.exists():
        for snapshot in theirs:
            registry.check_base(snapshot.base.fingerprint, snapshot.base.name)
    with writing(registry.scratch):  # what has come is in the registry before a snapshot names it
        return [take_in(registry, remote, snapshot, prefer, command="pull") for snapshot in theirs]


def push(registry: Registry, address: str, prefer: Prefer | None = None) -> Pushed:
    """Bring the head of a registry to an address: only objects that it lacks travel, each whole or not at all.

    States there that this registry does not come from are merged into what is pushed; the registry itself stays as it
    is. Raises LynxError for a conflict that `prefer` does not settle, another base, and an address that cannot be
    written; at worst objects lie there then that no head names, and the next push finds them.
    """
    check_preference(prefer)
    registry.head()
    remote = Remote(address, registry)
    if remote.is_home:
        raise UsageError(
            f"{address}: a registry that is worked in; run 'lynx-cl registry merge' there, or push elsewhere"
        )
    heads = remote.heads()
    with writing(registry.scratch):  # what is pushed may be collected otherwise, as may what came to be merged
        merged, others = _with_theirs(registry, remote, heads, prefer)
        objects, sent = _send(registry, remote, merged)
        remote.write(f"snapshots/{merged.digest}.json", merged.to_bytes())
        faults.fault_point("push.snapshot")
        if merged.digest not in heads:
            remote.write(f"heads/{merged.digest}", b"")
        faults.fault_point("push.head")
    for digest in heads:
        if digest != merged.digest:
            remote.drop_head(digest)
            faults.fault_point("push.dropped")
    return Pushed(merged.digest, merged.state, objects, sent, others)


def _with_theirs(
    registry: Registry, remote: Remote, heads: tuple[str, ...], prefer: Prefer | None
) -> tuple[Snapshot, int]:
    """The registry's head merged with the states of others at the address, and how many these were."""
    merged = registry.head()
    own = {entry.snapshot for entry in registry.log()}
    others = [remote.snapshot(digest) for digest in heads if digest not in own]
    for theirs in others:
        registry.check_base(theirs.base.fingerprint, theirs.base.name)
        ours = registry.entries(merged)
        joined = join(ours, remote.entries(theirs), (merged.router, theirs.router), prefer, "push")
        copy_objects(remote, registry, [theirs])
        if joined.entries or joined.router != merged.router:
            tasks = ours.put_all(joined.entries).root
            told = {"parent": None, "time": now(), "command": "push", "task": None, "certificate": None}
            merged = registry.certified(merged, merged.but(tasks=tasks, router=joined.router, **told))
    return merged, len(others)


def _send(registry: Registry, remote: Remote, snapshot: Snapshot) -> tuple[int, int]:
    """Bring there all objects of a snapshot that are not there, and tell how many objects and bytes that were."""
    objects = sent = 0
    for digest, _ in references(registry, snapshot):
        size = registry.objects.size(digest)
        if remote.present.get(digest) == size:
            continue
        remote.write(f"objects/sha256/{digest[:2]}/{digest[2:]}", registry.read(digest))
        objects, sent = objects + 1, sent + size
        faults.fault_point("push.object")
    return objects, sent


@contextmanager
def told(address: str) -> Iterator[None]:
    """Turns what a store's library raises into one line that names the address."""
    try:
        yield
    except LynxError:
        raise
    except ImportError as error:
        extra = ": pip install 'lynx-cl[s3]'" if address.startswith("s3") else ""
        raise UsageError(f"{address}: its library is not installed ({error}){extra}") from None
    except Exception as error:  # each store has its own
        if isinstance(error, ValueError) and "rotocol" in str(error):
            raise UsageError(f"{address}: {error}; give a folder, s3://BUCKET/PATH or another fsspec address") from None
        raise LynxError(f"{address}: {_reason(error)}; what was acknowledged is safe, try again") from None


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
