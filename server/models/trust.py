"""Verifies who made a version, and who moved a label: Ed25519 signatures (RFC 8032) by trusted keys (INKLING_TRUST).

A signature covers the card's bytes, and the card has the hash of every other file, so that it covers the whole version;
the card also has its name and number, so that it cannot pass for another. Knows no folders. Imported only where keys
are trusted, or versions are signed.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)
SHOWN = 5  # keys in a message
OF_CARD, OF_LABELS = b"inkling version 1\n", b"inkling labels 1\n"  # so that one can never pass for the other


class Untrusted(ValueError):
    """No trusted key has signed this; the message says what there is instead."""


class Trust:
    """The keys whose signatures count, by their ids."""

    def __init__(self, keys: Mapping[str, Ed25519PublicKey]) -> None:
        self._keys = dict(keys)

    @staticmethod
    def read(path: Path) -> "Trust":
        """The public keys of a file: one or several in PEM, as `openssl pkey -pubout` writes them.

        Raises:
            ValueError: it cannot be read, or is no file of Ed25519 keys.
        """
        try:
            blocks = PEM.findall(path.read_bytes())
        except OSError as error:
            raise ValueError(f"{str(path)!r} cannot be read ({error.strerror})") from error
        if not blocks:
            raise ValueError(f"{str(path)!r} has no public key; expected -----BEGIN PUBLIC KEY----- and so on (PEM)")
        keys = [_public_key(block, path) for block in blocks]
        return Trust({key_id(key): key for key in keys})

    def check_card(self, card: bytes, signatures: Mapping[str, bytes]) -> None:
        """Check the signatures that lie beside a card: base64 by the id of the key.

        Raises:
            Untrusted: none of them is a trusted key's for this card.
        """
        self._check(OF_CARD + card, signatures, "the card")

    def check_labels(self, model: str, number: int, labels: Mapping[str, int], signatures: Any) -> None:
        """Check the signatures of numbered labels. Raises Untrusted as `check_card` does."""
        self._check(labels_payload(model, number, labels), signatures, f"labels {number}")

    def _check(self, payload: bytes, signatures: Any, what: str) -> None:
        found = signatures if isinstance(signatures, Mapping) else {}
        known = [key for key in self._keys if key in found]
        if any(_is_valid(self._keys[key], payload, found[key]) for key in known):
            return
        by = ", ".join(sorted(str(key)[:16] for key in found)[:SHOWN]) or "nobody"
        why = f"the signature by {known[0]} does not fit it" if known else f"it is signed by {by}"
        trusted = ", ".join(sorted(self._keys))
        raise Untrusted(f"{what} is not signed by a trusted key: {why}; trusted are {trusted}")


def labels_payload(model: str, number: int, labels: Mapping[str, int]) -> bytes:
    """What a signature of numbered labels covers."""
    facts = {"labels": dict(labels), "model": model, "number": number}
    return OF_LABELS + json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()


def key_id(key: Ed25519PublicKey) -> str:
    """A short name of a public key: the first 16 digits of its SHA-256."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _public_key(block: bytes, path: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(block)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{str(path)!r} has a public key that cannot be read ({error})") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(
            f"{str(path)!r} has a key of another kind; expected Ed25519: openssl genpkey -algorithm ed25519"
        )
    return key


def _is_valid(key: Ed25519PublicKey, payload: bytes, signature: Any) -> bool:
    try:
        key.verify(base64.b64decode(signature, validate=True), payload)
    except (InvalidSignature, ValueError, TypeError):  # of base64 too
        return False
    return True
