"""Push and pull: a folder, memory and a real S3 over HTTP (moto on loopback); nothing lost, only what lacks travels."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from lynx_cl.cli.main import main
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.registry import Registry, faults, verify
from lynx_cl.registry.algebra import remove_task
from lynx_cl.registry.collect import collect
from lynx_cl.registry.remote import pull, push
from tests.registry.samples import BASE, OTHER_BASE, files, made, manifest, record

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    patch = pytest.MonkeyPatch()
    for key, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        patch.setenv(key, value)
    boto3.client("s3").create_bucket(Bucket="team")
    yield "s3://team"
    patch.undo()
    server.stop()


@pytest.fixture(params=["folder", "memory", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    name = uuid.uuid4().hex
    if request.param == "folder":
        return str(tmp_path / "shared" / name)
    if request.param == "memory":
        return f"memory://{name}"
    return f"{request.getfixturevalue('s3')}/{name}"


def test_what_was_pushed_comes_back(tmp_path, address):
    ours = made(tmp_path / "a", "counting", "grounding")
    done = push(ours, address)
    assert done.objects > 0 and done.state == ours.head().state
    again = push(ours, address)
    assert (again.objects, again.bytes, again.snapshot) == (0, 0, done.snapshot)
    theirs = Registry(tmp_path / "b")
    (merged,) = pull(theirs, address)
    assert merged.taken == ("counting", "grounding") and verify(theirs) == []
    assert theirs.task("grounding") == ours.task("grounding")
    assert [m.taken for m in pull(theirs, address)] == [()]


def test_only_what_lacks_travels(tmp_path, address):
    ours = made(tmp_path / "a", "counting")
    push(ours, address)
    ours.add(manifest("cells"), files("cells"), record(), record_files={"certificate": b"{}"})
    assert push(ours, address).objects == 6  # bank, statistics, manifest, record, certificate, one node of the tree


def test_two_registries_meet_at_an_address(tmp_path, address):
    one, two = made(tmp_path / "a", "counting"), made(tmp_path / "b", "cells")
    push(one, address)
    done = push(two, address)
    both = made(tmp_path / "c", "cells", "counting")
    assert done.merged == 1 and done.state == both.head().state
    assert two.tasks() == ("cells",)  # a push changes nothing at home
    pull(one, address)
    pull(two, address)
    assert one.head().state == two.head().state == both.head().state
    assert verify(one) == verify(two) == []


def test_what_was_removed_at_home_goes_with_the_next_push(tmp_path, address):
    ours = made(tmp_path / "a", "counting", "cells")
    push(ours, address)
    remove_task(ours, "cells")
    push(ours, address)
    other = Registry(tmp_path / "b")
    pull(other, address)
    assert other.tasks() == ("counting",)


def test_a_conflict_is_refused_and_settled(tmp_path, address):
    one, two = made(tmp_path / "a", "counting"), made(tmp_path / "b")
    two.add(manifest("counting"), {**files(), "bank": b"others"}, record("2026-02-01T00:00:00Z"))
    push(one, address)
    head = two.head_digest()
    for change in (push, pull):
        with pytest.raises(LynxError, match="1 conflicts, nothing was taken: counting"):
            change(two, address)
    assert two.head_digest() == head
    (merged,) = pull(two, address, "both")
    assert merged.settled == ("counting",)


def test_another_base_is_refused_with_both_names(tmp_path, address):
    push(made(tmp_path / "a", "counting"), address)
    other = Registry(tmp_path / "b")
    other.init(OTHER_BASE, "other")
    for change in (push, pull):
        with pytest.raises(LynxError, match=f"base other .{OTHER_BASE[:12]}., not nano .{BASE[:12]}"):
            change(other, address)


def test_damage_there_is_found_on_arrival(tmp_path, address):
    ours = made(tmp_path / "a", "counting")
    push(ours, address)
    fs, root = fsspec.url_to_fs(address)
    bank = ours.task("counting").bank
    path = f"{root}/objects/sha256/{bank[:2]}/{bank[2:]}"
    for harm, words in ((lambda: fs.pipe_file(path, b"x"), "have changed"), (lambda: fs.rm_file(path), "is missing")):
        harm()
        other = Registry(tmp_path / uuid.uuid4().hex)
        with pytest.raises(LynxError, match=words):
            pull(other, address)
        assert other.tasks() == ()
    push(ours, address)  # what is missing, or of another size, is brought again
    other = Registry(tmp_path / "b")
    pull(other, address)
    assert other.tasks() == ("counting",)


def test_mistakes_are_one_line(tmp_path, capsys):
    home = ["--home", str(tmp_path / "home")]
    made(tmp_path / "home" / "registry", "counting")
    assert main(["registry", "push", "nothing://x", *home]) == 2
    assert main(["registry", "pull", str(tmp_path / "empty"), *home]) == 1
    assert main(["registry", "push", str(tmp_path / "home" / "registry"), *home]) == 2
    assert main(["registry", "push", str(tmp_path / "file" / "x"), "--prefer", "mine", *home]) == 2
    (tmp_path / "file").write_text("")
    assert main(["registry", "push", str(tmp_path / "file" / "x"), *home]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 5 and "Traceback" not in "".join(lines)
    assert "holds no registry" in lines[1] and "worked in" in lines[2]
    with pytest.raises(UsageError):
        push(Registry(tmp_path / "home" / "registry"), "nothing://x")


def test_a_bucket_that_is_not_there_is_one_line(tmp_path, s3, capsys):
    made(tmp_path / "home" / "registry", "counting")
    assert main(["registry", "push", "s3://nobody/x", "--home", str(tmp_path / "home")]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_the_folder_of_a_working_registry_can_be_pulled_from(tmp_path):
    made(tmp_path / "a", "counting")
    other = Registry(tmp_path / "b")
    pull(other, str(tmp_path / "a"))
    assert other.tasks() == ("counting",)


def test_a_collection_during_a_push_takes_nothing_of_it(tmp_path, monkeypatch):
    """What came from the address to be merged is named by no snapshot of the registry that pushes."""
    address = str(tmp_path / "shared")
    push(made(tmp_path / "a", "counting"), address)
    ours = made(tmp_path / "b", "cells")
    seen = []

    def meanwhile(name):
        if name == "push.object" and not seen:
            seen.append(collect(ours).objects)

    with monkeypatch.context() as patch:
        patch.setattr(faults, "fault_point", meanwhile)
        push(ours, address)
    assert seen == [0]
    other = Registry(tmp_path / "c")
    pull(other, address)
    assert other.tasks() == ("cells", "counting") and verify(other) == []
    assert collect(ours).objects > 0 and verify(ours) == []


PUSHER = """
import sys
from lynx_cl.registry import Registry
from lynx_cl.registry.collect import collect
from lynx_cl.registry.remote import pull, push
from tests.registry.samples import BASE, files, manifest, record
verb, path, address, *tasks = sys.argv[1:]
registry = Registry(path)
if verb == "pull":
    pull(registry, address)
    tasks = []
for task in tasks:
    if task not in registry.tasks():
        registry.init(BASE, "nano")
        registry.add(manifest(task), files(task), record(), record_files={"certificate": b"{}"})
    push(registry, address)
    print(task, flush=True)
"""


def process(*arguments: str, fault: str | None = None) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **({faults.VARIABLE: fault} if fault else {})}
    return subprocess.Popen([sys.executable, "-c", PUSHER, *arguments], stdout=subprocess.PIPE, env=environment)


@pytest.mark.parametrize("where", ["folder", "s3"])
def test_two_at_once_lose_nothing(tmp_path, where, request):
    address = str(tmp_path / "shared") if where == "folder" else f"{request.getfixturevalue('s3')}/{uuid.uuid4().hex}"
    tasks = {name: [f"{name}{i}" for i in range(6)] for name in ("a", "b")}
    running = [process("push", str(tmp_path / name), address, *tasks[name]) for name in tasks]
    assert [one.wait(120) for one in running] == [0, 0]
    other = Registry(tmp_path / "c")
    pull(other, address)
    assert set(other.tasks()) == {*tasks["a"], *tasks["b"]} and verify(other) == []


POINTS = ["push.object", "push.object:4", "push.snapshot", "push.head", "remote.written", "remote.renamed:3"]


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_push_loses_nothing_and_goes_on(tmp_path, point):
    address = str(tmp_path / "shared")
    ours = made(tmp_path / "a", "counting")
    push(ours, address)
    killed = process("push", str(tmp_path / "a"), address, "cells", fault=point)
    assert killed.wait(60) == -signal.SIGKILL
    other = Registry(tmp_path / "b")
    pull(other, address)
    assert other.tasks() in (("counting",), ("cells", "counting")) and verify(other) == []
    push(ours, address)
    pull(other, address)
    assert other.tasks() == ("cells", "counting") and verify(other) == []


@pytest.mark.parametrize("point", ["pull.object", "pull.object:5", "merge.objects", "head.synced"])
def test_a_killed_pull_changes_nothing_and_goes_on(tmp_path, point):
    address = str(tmp_path / "shared")
    push(made(tmp_path / "a", "counting", "cells"), address)
    ours = made(tmp_path / "b", "grounding")
    assert process("pull", str(tmp_path / "b"), address, fault=point).wait(60) == -signal.SIGKILL
    assert ours.tasks() == ("grounding",) and verify(ours) == []
    (merged,) = pull(ours, address)
    assert merged.taken == ("cells", "counting") and verify(ours) == []
