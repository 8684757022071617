"""Before torch is imported: processes of pytest-xdist share the cores, so each computes on one."""

import os

import hypothesis

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

hypothesis.settings.register_profile("shared", deadline=None)  # how long an example takes says nothing on shared cores
hypothesis.settings.load_profile("shared")
