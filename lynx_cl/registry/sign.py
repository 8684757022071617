"""Signatures: an Ed25519 key says that it stands for a snapshot. Off unless asked for.

Below the registry, `signatures/<snapshot>.<first digits of the public key>.json`. What is signed is the snapshot's
digest, and so all that the snapshot names: the state, the certificate, the history behind it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import StringConstraints

from lynx_cl.errors import LynxError, UsageError
from lynx_cl.registry.durable import write_new, write_whole
from lynx_cl.registry.snapshot import Digest, Stored
from lynx_cl.registry.store import Registry
from lynx_cl.registry.views import parse

_MESSAGE = b"lynx-cl snapshot "
FOLDER = "signatures"


class Signature(Stored):
    """`key` is the raw public key and `signature` the signature of the snapshot's digest, both in hexadecimal."""

    format: Literal[1] = 1
    snapshot: Digest
    key: Digest
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]


def new_key(path: Path) -> Path:
    """Make a private key at `path`, which only its owner can read, and its public key beside it; returns that path.

    Each of the two files is there whole or not at all, the private key first. Raises UsageError where there is a file
    already, OSError where there is no room; no key is left then.
    """
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    public = path.with_name(path.name + ".pub")
    for place in (path, public):
        if place.exists():
            lacks = f"; its public key: openssl pkey -in {path} -pubout -out {public}" if not public.exists() else ""
            raise UsageError(f"{place}: exists already; a key is never overwritten{lacks}")
    write_new(path, key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()), mode=0o600, what="key")
    try:
        write_new(
            public, key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo), what="public"
        )
    except BaseException:
        path.unlink()
        raise
    return public


def sign(registry: Registry, key: Path) -> Signature:
    """Sign the present snapshot with the private key in a PEM file. Raises UsageError for a file that holds none."""
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    data = _bytes(key)
    try:
        loaded = s.load_pem_private_key(data, password=None)
    except TypeError:
        raise UsageError(f"{key}: the key is encrypted; give one without a pass phrase") from None
    except ValueError:
        raise UsageError(f"{key}: no private key in PEM; --new-key makes one") from None
    if not isinstance(loaded, Ed25519PrivateKey):
        raise UsageError(f"{key}: a {type(loaded).__name__}, not an Ed25519 key; --new-key makes one")
    digest = registry.head().digest
    raw = loaded.public_key().public_bytes(s.Encoding.Raw, s.PublicFormat.Raw).hex()
    made = Signature(snapshot=digest, key=raw, signature=loaded.sign(_MESSAGE + digest.encode()).hex())
    path = registry.path / FOLDER / f"{digest}.{raw[:16]}.json"
    write_whole(path, made.to_bytes(), scratch=registry.scratch, what="signature")
    return made


def signer(registry: Registry, trusted: list[Path]) -> Path:
    """Which of the trusted public keys (PEM files) signed the present snapshot.

    Raises UsageError where a file holds no such key, LynxError where none of them signed it, or a signature is wrong.
    """
    from cryptography.exceptions import InvalidSignature

    digest = registry.head().digest
    keys = {raw: (path, public) for path in trusted for raw, public in [_public(path)]}
    for path in sorted((registry.path / FOLDER).glob(f"{digest}.*.json")):
        found = parse(Signature, path.read_bytes(), path)
        if found.key not in keys or found.snapshot != digest:
            continue
        place, public = keys[found.key]
        try:
            public.verify(bytes.fromhex(found.signature), _MESSAGE + digest.encode())
        except InvalidSignature:
            raise LynxError(f"{path}: the signature is wrong; do not trust this registry") from None
        return place
    raise LynxError(f"{registry.path}: no key that was given has signed the snapshot {digest[:12]}")


def _public(path: Path):
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = s.load_pem_public_key(_bytes(path))
    except ValueError:
        raise UsageError(f"{path}: no public key in PEM; give the file that ends in .pub") from None
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{path}: a {type(key).__name__}, not an Ed25519 key")
    return key.public_bytes(s.Encoding.Raw, s.PublicFormat.Raw).hex(), key


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; give a key file") from None
