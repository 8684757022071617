"""The registry of task versions: immutable content, atomic commits, digests for everything. It imports no torch."""

from lynx_cl.registry.faults import fault_point
from lynx_cl.registry.snapshot import AddRecord, BaseRef, Snapshot, TaskManifest
from lynx_cl.registry.store import HeadMoved, Registry
from lynx_cl.registry.verify import Problem, verify
from lynx_cl.registry.views import Row, TaskVersion

__all__ = [
    "AddRecord",
    "BaseRef",
    "HeadMoved",
    "Problem",
    "Registry",
    "Row",
    "Snapshot",
    "TaskManifest",
    "TaskVersion",
    "fault_point",
    "verify",
]
