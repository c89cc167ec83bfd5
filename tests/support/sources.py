"""Model stores elsewhere, for tests: one in memory with faults on command, and versions and labels that are signed."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.models.card import CARD
from server.models.trust import Trust, key_id
from training.store.signing import numbered_labels, sign_version


@dataclass
class MemorySource:
    """Objects by path; `fault` is called with each path that is downloaded."""

    objects: dict[str, bytes] = field(default_factory=dict)
    fault: Callable[[str], None] = lambda path: None
    away: bool = False

    @staticmethod
    def of(root: Path) -> "MemorySource":
        """The objects that a folder would be."""
        files = [path for path in root.rglob("*") if path.is_file()]
        return MemorySource({path.relative_to(root).as_posix(): path.read_bytes() for path in files})

    def listing(self) -> Mapping[str, str]:
        self._raise_if_away()
        return {path: hashlib.md5(content).hexdigest() for path, content in self.objects.items()}

    def read(self, path: str, most: int = 1 << 30) -> bytes:
        self._raise_if_away()
        if path not in self.objects:
            raise FileNotFoundError(path)
        if len(self.objects[path]) > most:
            raise ValueError(f"{path} has more than {most} bytes")
        return self.objects[path]

    def download(self, path: str, target: str) -> None:
        self.fault(path)
        Path(target).write_bytes(self.read(path))

    def change_card(self, version: str, **fields: object) -> None:
        """Rewrite the card of a version, as one can who may write objects."""
        path = f"{version}/{CARD.as_posix()}"
        self.objects[path] = json.dumps({**json.loads(self.objects[path]), **fields}).encode()

    def move(self, start: str, to: str) -> None:
        """Copy all objects under one path to another."""
        for path in [path for path in self.objects if path.startswith(start)]:
            self.objects[to + path[len(start) :]] = self.objects[path]

    def remove(self, start: str) -> None:
        for path in [path for path in self.objects if path.startswith(start)]:
            del self.objects[path]

    def label(self, number: int, labels: Mapping[str, int], key: Ed25519PrivateKey | None = None) -> None:
        """Write numbered labels of the model `fake`."""
        self.objects[f"fake/labels/{number:06}.json"] = numbered_labels("fake", number, labels, key)

    def _raise_if_away(self) -> None:
        if self.away:
            raise OSError("the store is away")


def new_key() -> tuple[Ed25519PrivateKey, Trust]:
    """A private key, and the trust in it."""
    key = Ed25519PrivateKey.generate()
    return key, Trust({key_id(key.public_key()): key.public_key()})


def signed(folder: Path, key: Ed25519PrivateKey) -> Path:
    sign_version(folder, key)
    return folder
