"""Before torch is imported: processes of pytest-xdist share the cores, so each computes on one."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
