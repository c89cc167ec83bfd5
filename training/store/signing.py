"""Signs versions and labels by Ed25519 (RFC 8032), as model_store/README.md says."""

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from server.models.trust import Trust
from training.errors import DataError
from training.store.card import CARD, EXTRA, SIGNATURES, checked_card, hashes

PrivateKey = Ed25519PrivateKey
OF_CARD, OF_LABELS = b"inkling version 1\n", b"inkling labels 1\n"


def read_key(path: Path) -> Ed25519PrivateKey:
    """The private key of a file in PEM, as `new_key` and `openssl genpkey -algorithm ed25519` write it.

    Raises:
        DataError: it cannot be read, or is of another kind.
    """
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"{path} is no private key that can be used ({error}); `python -m training sign --new-key FILE` makes one"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise DataError(f"{path} has a key of another kind; expected Ed25519: `python -m training sign --new-key FILE`")
    return key


def new_key(path: Path) -> Path:
    """Write a new private key, which its user alone can read, and beside it the public one; returns that file.

    Raises:
        DataError: one of them is there already.
    """
    key, public = Ed25519PrivateKey.generate(), path.with_name(f"{path.name}.pub")
    if public.exists():
        raise DataError(f"{public} is there already; keys are not written over")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise DataError(f"{path} is there already; keys are not written over") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return public


def key_id(key: Ed25519PrivateKey) -> str:
    """How the key is called: the first 16 digits of the SHA-256 of the public one."""
    return hashlib.sha256(key.public_key().public_bytes_raw()).hexdigest()[:16]


def sign_version(folder: Path, key: Ed25519PrivateKey) -> Path:
    """Sign the card of a version, after checking every file against it; returns the signature's file.

    Raises:
        DataError: a file is not the one that the card lists, or is not listed.
    """
    card = whole_card(folder)
    where = folder / EXTRA / SIGNATURES
    where.mkdir(exist_ok=True)
    path = where / f"{key_id(key)}.sig"
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_bytes(_signature(key, OF_CARD + card).encode())
    aside.replace(path)
    return path


def whole_card(folder: Path) -> bytes:
    """The card of a version that has the files that it lists, and no others. Raises DataError."""
    listed = checked_card(folder)["files"]
    if others := sorted(set(hashes(folder)) - set(listed) - {f"{EXTRA}/{CARD}"}):
        raise DataError(f"{folder}: {others[0]} is not in its card; remove it, or write the next version")
    return (folder / EXTRA / CARD).read_bytes()


def numbered_labels(model: str, number: int, labels: Mapping[str, int], key: Ed25519PrivateKey | None) -> bytes:
    """The file of numbered labels, signed if there is a key."""
    facts = {"labels": dict(labels), "model": model, "number": number}
    payload = OF_LABELS + json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
    signatures = {} if key is None else {"signatures": {key_id(key): _signature(key, payload)}}
    return (json.dumps({"format": 1, **facts, **signatures}, indent=1) + "\n").encode()


def check_base(
    model: str, labels: Mapping[str, int], stored: bytes | None, key: Ed25519PrivateKey | None, adopt: bool
) -> None:
    """Check that the next labels may be made upon these, which are in the file `stored` where they are numbered: a key
    is not to vouch for what somebody else wrote.

    Raises:
        DataError: they are signed, and there is no key; or there is one, and it did not sign them.
    """
    signatures = {} if stored is None else json.loads(stored).get("signatures") or {}
    if key is None:
        if signatures:
            raise DataError(f"the labels of {model} are signed; give --key FILE, to sign the next ones")
        return
    if not labels or adopt:
        return
    public = key.public_key()
    try:
        number = 0 if stored is None else json.loads(stored)["number"]
        Trust({key_id(key): public}).check_labels(model, number, labels, signatures)
    except (ValueError, KeyError, TypeError):
        told = ", ".join(f"{name} at {number}" for name, number in sorted(labels.items()))
        raise DataError(
            f"the labels of {model} ({told}) are not signed by this key; give --adopt to sign them, too"
        ) from None


def _signature(key: Ed25519PrivateKey, payload: bytes) -> str:
    return base64.b64encode(key.sign(payload)).decode()
