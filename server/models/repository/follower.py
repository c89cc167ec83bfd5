"""Follows a model store elsewhere (INKLING_MODEL_SOURCE): mirrors its versions and labels into the served folder.

A version is downloaded aside, checked against the hashes of its card, and renamed when it is whole; what is wrong with
one that is not taken is said in the notes of its model. While the source is away, what is served goes on. Of the
processes that share a folder one follows. Knows no requests.
"""

import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Protocol

from server.models.card import CARD, SIGNATURES, UNREADABLE
from server.models.repository.scan import FROM_SOURCE
from server.models.repository.version_labels import FILE, LABELS, NUMBERED, label_numbers, numbered, parse_labels

if TYPE_CHECKING:
    from server.models.trust import Trust

LOCK = ".source.lock"
ASIDE = ".aside-of-source"  # how folders end that are not whole yet
REMOVAL = 30.0  # seconds that a version has to be gone from the source before it is removed here
SIGNATURE = re.compile(r"[0-9a-f]{16}\.sig")
MOST_SIGNATURES = 32  # of one version
NAME = re.compile(r"[^./\\:\s][^/\\:\s]{0,127}")

log = logging.getLogger(__name__)


class Source(Protocol):
    """What it needs of an object store."""

    def listing(self) -> Mapping[str, str]: ...

    def read(self, path: str) -> bytes: ...

    def download(self, path: str, target: str) -> None: ...


class NotTaken(Exception):
    """Why a version, or labels, cannot be taken as they are."""


@dataclass
class RemoteModel:
    """What the source has of one model."""

    versions: dict[str, dict[str, str]] = field(default_factory=dict)  # number -> path in the version -> tag
    labels: dict[int, str] = field(default_factory=dict)  # number -> tag
    plain_labels: str | None = None  # the tag of labels.json


class Follower:
    """Mirrors `source` into `folder`. With `trust`, versions and labels are taken only if a trusted key signed them.

    `wanted` says which models and versions, for those who want only some.
    """

    def __init__(
        self,
        source: Source,
        folder: Path,
        trust: "Trust | None" = None,
        wanted: Callable[[str, str], bool] = lambda model, number: True,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._folder, self._trust, self._wanted, self._now = source, folder, trust, wanted, now
        self._lock: IO[bytes] | None = None
        self._seen: dict[tuple[str, str], tuple[Any, str | None]] = {}  # -> the tags it had, and why it is not taken
        self._gone_since: dict[tuple[str, str], float] = {}

    def poll(self) -> list[str]:
        """Look at the source once, and take what is new; what was taken, by its path. Nothing where another process
        follows.

        Raises:
            Exception: the source does not answer, or the folder cannot be written; all that could be taken is.
        """
        if not self.lead():
            return []
        failure: Exception | None = None
        taken: list[str] = []
        for name, remote in _models(self._source.listing()).items():
            try:
                self._follow(name, remote, taken)
            except Exception as error:  # of a client that may raise anything; other models must go on
                failure = failure or error
        if failure is not None:
            raise failure
        return taken

    def close(self) -> None:
        """Let another process follow."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __del__(self) -> None:
        self.close()

    def refusals(self) -> dict[str, str]:
        """Why what the source has was not taken, by its path there."""
        return {f"{name}/{what}": why for (name, what), (_, why) in self._seen.items() if why is not None}

    def lead(self) -> bool:
        """Whether this process follows for all that share the folder: the first one, for as long as it lives."""
        if self._lock is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = (self._folder / LOCK).open("ab")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                return False
            self._lock = lock
            for aside in self._folder.glob(f"*/.*{ASIDE}"):  # of a process that was killed half-way
                shutil.rmtree(aside, ignore_errors=True)
        return True

    def _follow(self, name: str, remote: RemoteModel, taken: list[str]) -> None:
        family = self._folder / name
        record = _record(family)
        mirrored: dict[str, str] = dict(record["versions"])
        try:
            for number in sorted(remote.versions, key=int, reverse=True):  # the latest first
                if self._wanted(name, number) and self._take_once(name, number, remote.versions[number]):
                    mirrored[number] = remote.versions[number][CARD.as_posix()]
                    taken.append(f"{name}/{number}")
            if any(self._wanted(name, number) for number in remote.versions) or not remote.versions:
                taken += [f"{name}/{path}" for path in self._take_labels(name, remote)]
            self._remove_gone(name, remote, mirrored)
        finally:
            notes = [
                f"{what} of the source is not taken: {why}"
                for (of, what), (_, why) in sorted(self._seen.items())
                if of == name and why is not None
            ]
            after = {"versions": mirrored, "notes": notes}
            if after != record and family.is_dir():
                _write(family / FROM_SOURCE, json.dumps(after, indent=1).encode())

    def _take_once(self, name: str, number: str, tags: Mapping[str, str]) -> bool:
        """Take a version unless it was looked at with these tags; whether it is there now and was not before."""
        key, seen = (name, number), (dict(tags), (self._folder / name / number).is_dir())
        if key in self._seen and self._seen[key][0] == seen:
            return False
        try:
            is_new = self._take(name, number, tags)
        except NotTaken as error:
            self._refuse(key, seen, str(error))
            return False
        self._seen[key] = ((dict(tags), True), None)
        return is_new

    def _refuse(self, key: tuple[str, str], seen: Any, why: str) -> None:
        if self._seen.get(key, (None, None))[1] != why:
            log.error("%s/%s of the source is not taken: %s", *key, why)
        self._seen[key] = (seen, why)

    def _take(self, name: str, number: str, tags: Mapping[str, str]) -> bool:
        """Download a version that is not here, and make it visible. Raises NotTaken."""
        card = self._read(name, number, CARD)
        family, folder = self._folder / name, self._folder / name / number
        if folder.is_dir():
            if (folder / CARD).is_file() and (folder / CARD).read_bytes() == card:
                return False
            raise NotTaken("another version of this number is here; versions never change, and this one stays")
        files = _files(card, name, number)
        signatures = {path: self._read(name, number, path) for path in _signatures(tags)}
        if self._trust is not None:
            try:
                self._trust.check_card(card, {path.stem: content for path, content in signatures.items()})
            except ValueError as error:
                raise NotTaken(str(error)) from None
        if missing := [path for path in files if path not in tags]:
            raise NotTaken(f"{missing[0]} is not there; its card lists it")
        aside = family / f".{number}{ASIDE}"
        shutil.rmtree(aside, ignore_errors=True)
        try:
            for path, expected in files.items():
                self._download(f"{name}/{number}", path, expected, aside)
            for written, content in {**signatures, CARD: card}.items():
                (aside / written).parent.mkdir(parents=True, exist_ok=True)
                (aside / written).write_bytes(content)
            aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        log.info("%s/%s was taken from the source", name, number)
        return True

    def _read(self, name: str, number: str, path: Path) -> bytes:
        try:
            return self._source.read(f"{name}/{number}/{path.as_posix()}")
        except FileNotFoundError:
            raise NotTaken(f"{path.as_posix()} is gone") from None

    def _download(self, version: str, path: str, expected: str, aside: Path) -> None:
        target = aside / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._source.download(f"{version}/{path}", str(target))
        except FileNotFoundError:
            raise NotTaken(f"{path} is gone") from None
        with target.open("rb") as file:
            got = hashlib.file_digest(file, "sha256").hexdigest()
        if got != expected:
            raise NotTaken(f"{path} has SHA-256 {got[:12]}..., its card says {expected[:12]}...")

    def _take_labels(self, name: str, remote: RemoteModel) -> list[str]:
        """Take the greatest numbered labels that are good, or labels.json where there are none."""
        family = self._folder / name
        here = label_numbers(family)
        for number in sorted(remote.labels, reverse=True):
            if here and number <= here[-1]:
                return []  # an older one is never taken: who can remove the newest cannot bring the one before back
            key, seen = (name, f"{NUMBERED}/{numbered(number)}"), remote.labels[number]
            if key in self._seen and self._seen[key][0] == seen:
                continue
            try:
                content = self._source.read(f"{name}/{NUMBERED}/{numbered(number)}")
                parse_labels(content, name, number, self._trust)
            except (FileNotFoundError, ValueError) as error:
                self._refuse(key, seen, str(error))
                continue
            (family / NUMBERED).mkdir(parents=True, exist_ok=True)
            _write(family / NUMBERED / numbered(number), content)
            for old in here:
                (family / NUMBERED / numbered(old)).unlink(missing_ok=True)
            return [f"{NUMBERED}/{numbered(number)}"]
        if remote.labels or here or not self._take_plain_labels(name, remote.plain_labels):
            return []
        return [LABELS]

    def _take_plain_labels(self, name: str, tag: str | None) -> bool:
        key = (name, LABELS)
        if tag is None or self._seen.get(key, (None, None))[0] == tag:
            return False
        if self._trust is not None:
            self._refuse(key, tag, "it is not signed, and labels have to be")
            return False
        try:
            content = self._source.read(f"{name}/{LABELS}")
        except FileNotFoundError:
            return False
        (self._folder / name).mkdir(parents=True, exist_ok=True)
        _write(self._folder / name / LABELS, content)
        self._seen[key] = (tag, None)
        return True

    def _remove_gone(self, name: str, remote: RemoteModel, mirrored: dict[str, str]) -> None:
        """Remove versions that came from the source and have been gone from it for a while, but not the last ones."""
        gone = set(mirrored) - set(remote.versions) if remote.versions else set()
        for key in [key for key in self._gone_since if key[0] == name and key[1] not in gone]:
            del self._gone_since[key]
        for number in gone:
            if self._now() - self._gone_since.setdefault((name, number), self._now()) < REMOVAL:
                continue
            del mirrored[number]
            self._seen.pop((name, number), None)
            folder, aside = self._folder / name / number, self._folder / name / f".{number}.gone{ASIDE}"
            if folder.is_dir():
                folder.rename(aside)
                shutil.rmtree(aside, ignore_errors=True)
                log.info("%s/%s is removed: it is gone from the source", name, number)


def _models(listing: Mapping[str, str]) -> dict[str, RemoteModel]:
    """What the source has, by model; objects that belong to none are left out. A version without a card is not there
    yet."""
    found: dict[str, RemoteModel] = {}
    for path, tag in listing.items():
        name, _, rest = path.partition("/")
        if not NAME.fullmatch(name) or not rest:
            continue
        model = found.setdefault(name, RemoteModel())
        first, _, inner = rest.partition("/")
        if rest == LABELS:
            model.plain_labels = tag
        elif first == NUMBERED and (match := FILE.fullmatch(inner)):
            model.labels[int(match[1])] = tag
        elif first.isascii() and first.isdecimal() and str(int(first[:12])) == first and inner:
            model.versions.setdefault(first, {})[inner] = tag
    for model in found.values():
        model.versions = {number: tags for number, tags in model.versions.items() if CARD.as_posix() in tags}
    return {name: model for name, model in found.items() if model.versions or model.labels}


def _files(card: bytes, name: str, number: str) -> Mapping[str, str]:
    """The hashes of a version's files, as its card lists them. Raises NotTaken."""
    try:
        stored = json.loads(card)
        of, version, files = stored["name"], stored["version"], dict(stored["files"])
        is_listed = all(isinstance(digest, str) and _is_inside(path) for path, digest in files.items())
    except UNREADABLE as error:
        raise NotTaken(f"its card cannot be read ({type(error).__name__})") from None
    if (of, version) != (name, number):
        raise NotTaken(f"its card is that of {of!r:.100} version {version!r:.20}")
    if not is_listed:
        raise NotTaken("its card lists files that lie outside of the version")
    return files


def _signatures(tags: Mapping[str, str]) -> list[Path]:
    found = sorted(map(Path, tags))
    return [path for path in found if path.parent == SIGNATURES and SIGNATURE.fullmatch(path.name)][:MOST_SIGNATURES]


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and not {"\\", "\0"} & set(path)


def _record(family: Path) -> dict[str, Any]:
    """Which versions came from the source, and the notes, as they were written last."""
    try:
        stored = json.loads((family / FROM_SOURCE).read_bytes())
        return {
            "versions": {str(number): str(tag) for number, tag in stored["versions"].items()},
            "notes": stored["notes"],
        }
    except UNREADABLE:
        return {"versions": {}, "notes": []}


def _write(path: Path, content: bytes) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_bytes(content)
    aside.replace(path)
