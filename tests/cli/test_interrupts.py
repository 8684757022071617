"""Ctrl-C ends a command in one line, wherever it falls."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import os, signal, sys, time
from lynx_cl.cli import main as cli

def press():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)

class Finalised:
    def __del__(self):
        press()

def in_a_finaliser():
    Finalised()
    time.sleep(30)

def in_an_import_that_hides_it():
    try:
        press()
    except BaseException:
        raise RecursionError("half imported")

def anywhere():
    press()
    time.sleep(30)

def at_no_time():
    raise RecursionError("a true one")

def load(name):
    globals()[sys.argv[1]]()

cli.load = load
sys.exit(cli.main(["doctor"]))
"""


def run(where: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, where],
        capture_output=True,
        text=True,
        timeout=20,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a test runner in the background has it ignored
    )


@pytest.mark.parametrize("where", ["anywhere", "in_a_finaliser", "in_an_import_that_hides_it"])
def test_ctrl_c_is_one_line(where: str) -> None:
    began = time.monotonic()
    done = run(where)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "lynx-cl: interrupted\n")
    assert time.monotonic() - began < 15


def test_an_error_of_ours_is_still_shown_whole() -> None:
    done = run("at_no_time")
    assert done.returncode == 1 and done.stderr.strip().endswith("RecursionError: a true one")
