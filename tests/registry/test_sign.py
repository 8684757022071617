"""Signatures: made with a key, checked against those that are trusted, broken by any change."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from lynx_cl.cli.main import main
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.registry import Registry, verify
from lynx_cl.registry.algebra import remove_task
from lynx_cl.registry.collect import collect
from lynx_cl.registry.sign import FOLDER, new_key, sign, signer
from tests.registry.samples import made


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return made(tmp_path / "registry", "counting", "cells")


def test_a_signed_state_is_known_by_its_key(tmp_path, registry):
    ours, others = new_key(tmp_path / "ours.pem"), new_key(tmp_path / "others.pem")
    with pytest.raises(LynxError, match="no key that was given has signed"):
        signer(registry, [ours])
    sign(registry, tmp_path / "ours.pem")
    assert signer(registry, [others, ours]) == ours and verify(registry) == []
    with pytest.raises(LynxError, match="no key that was given has signed"):
        signer(registry, [others])
    remove_task(registry, "cells")
    with pytest.raises(LynxError, match="no key that was given has signed"):
        signer(registry, [ours])
    collect(registry)
    assert not list((registry.path / FOLDER).glob("*"))


def test_no_changed_signature_is_taken(tmp_path, registry):
    public = new_key(tmp_path / "ours.pem")
    sign(registry, tmp_path / "ours.pem")
    (path,) = (registry.path / FOLDER).glob("*")
    data = path.read_bytes()
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(LynxError):
            signer(registry, [public])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no other implementation here to compare with")
def test_openssl_agrees(tmp_path, registry):
    """The signature as another implementation checks it, and a key that another one made."""
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", tmp_path / "k.pem"], check=True)
    subprocess.run(["openssl", "pkey", "-in", tmp_path / "k.pem", "-pubout", "-out", tmp_path / "k.pub"], check=True)
    made = sign(registry, tmp_path / "k.pem")
    (tmp_path / "message").write_bytes(b"lynx-cl snapshot " + made.snapshot.encode())
    (tmp_path / "signature").write_bytes(bytes.fromhex(made.signature))
    check = ["openssl", "pkeyutl", "-verify", "-pubin", "-rawin", "-inkey", tmp_path / "k.pub"]
    subprocess.run([*check, "-in", tmp_path / "message", "-sigfile", tmp_path / "signature"], check=True)
    assert signer(registry, [tmp_path / "k.pub"]) == tmp_path / "k.pub"


def test_a_private_key_is_its_owners_and_is_never_overwritten(tmp_path):
    new_key(tmp_path / "k.pem")
    assert stat.S_IMODE((tmp_path / "k.pem").stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="never overwritten"):
        new_key(tmp_path / "k.pem")


@pytest.mark.parametrize("fails_at", [1, 3])  # while the private key is written, and the public one
def test_a_disk_that_is_full_leaves_no_key(tmp_path, monkeypatch, fails_at):
    calls = []
    sync = os.fsync

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == fails_at:
            raise OSError(28, "No space left on device")
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            new_key(tmp_path / "k.pem")
    assert list(tmp_path.iterdir()) == []
    new_key(tmp_path / "k.pem")


def test_a_private_key_alone_is_kept_and_its_public_one_told_of(tmp_path):
    public = new_key(tmp_path / "k.pem")
    public.unlink()
    with pytest.raises(UsageError, match="openssl pkey -in .*k.pem -pubout"):
        new_key(tmp_path / "k.pem")


def test_the_commands(tmp_path, capsys):
    home = ["--home", str(tmp_path)]
    key, other = str(tmp_path / "k.pem"), str(new_key(tmp_path / "o.pem"))
    assert main(["registry", "sign", "--key", key, "--new-key", *home]) == 1  # there is no registry yet
    made(tmp_path / "registry", "counting")
    assert main(["registry", "sign", "--key", key, *home]) == 2
    assert main(["registry", "sign", "--key", key, "--new-key", *home]) == 0
    assert main(["registry", "verify", "--signed", f"{key}.pub", *home]) == 0
    assert main(["registry", "verify", "--signed", other, *home]) == 1
    assert main(["registry", "verify", "--signed", key, *home]) == 2  # the private one
    assert main(["registry", "sign", "--key", other, *home]) == 2  # a public one
    assert "Traceback" not in capsys.readouterr().err
