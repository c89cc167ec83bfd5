"""Follows a model store elsewhere (INKLING_MODEL_SOURCE): mirrors its versions and labels into the served folder.

A version is downloaded aside, checked against the hashes of its card, and renamed when it is whole; what is wrong with
one that is not taken is said in the notes of its model. While the source is away, what is served goes on. Of the
processes that share a folder one follows. Knows no requests.
"""

import errno
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
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeVar

from server.models.card import CARD, SIGNATURES, UNREADABLE
from server.models.repository.scan import FROM_SOURCE
from server.models.repository.version_labels import (
    FILE,
    LABELS,
    NUMBERED,
    label_numbers,
    numbered,
    parse_labels,
    read_labels,
)

if TYPE_CHECKING:
    from server.models.trust import Trust

T = TypeVar("T")

LOCK = ".source.lock"
ASIDE = ".aside-of-source"  # how folders end that are not whole yet
LARGEST_CARD, LARGEST_LABELS, LARGEST_SIGNATURE = 16 << 20, 1 << 20, 1024  # bytes
FEW = 3  # errors after which a version has to wait
AFTER_ERRORS = 30.0  # seconds before it is tried again then
REMOVAL = 30.0  # seconds that a version has to be gone from the source before it is removed here
SIGNATURE = re.compile(r"[0-9a-f]{16}\.sig")
MOST_SIGNATURES = 32  # of one version
NAME = re.compile(r"[^./\\:\s][^/\\:\s]{0,127}")

log = logging.getLogger(__name__)


class Source(Protocol):
    """What it needs of an object store."""

    def listing(self) -> Mapping[str, str]: ...

    def read(self, path: str, most: int) -> bytes: ...

    def download(self, path: str, target: str) -> None: ...


class NotTaken(Exception):
    """Why a version, or labels, cannot be taken as they are."""


@dataclass
class RemoteModel:
    """What the source has of one model."""

    versions: dict[str, dict[str, str]] = field(default_factory=dict)  # number -> path in the version -> tag
    labels: dict[int, str] = field(default_factory=dict)  # number -> tag
    plain_labels: str | None = None  # the tag of labels.json


Work = Callable[[str, str, RemoteModel], T]


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
        self._errors: dict[tuple[str, str], tuple[int, float]] = {}  # -> how many, and when the last was
        self._was_empty = False

    def poll(self) -> list[str]:
        """Look at the source once, and take what is new; what was taken, by its path. Nothing where another process
        follows.

        Raises:
            Exception: the source does not answer, or the folder cannot be written; all that could be taken is.
        """
        if not self.lead():
            return []
        models = _models(self._source.listing())
        if not models and not self._was_empty:
            log.warning("the store that is followed has no model; expected MODEL/VERSION/%s there", CARD.as_posix())
        self._was_empty = not models
        failures: list[Exception] = []
        taken: list[str] = []
        for name, remote in models.items():
            self._follow(name, remote, taken, failures)
        if failures:
            raise failures[0]
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

    def _follow(self, name: str, remote: RemoteModel, taken: list[str], failures: list[Exception]) -> None:
        """Take what is new of a model. What fails for reasons that may pass is added to `failures`, and holds nothing
        else up."""
        family = self._folder / name
        record = _record(family)
        mirrored: dict[str, str] = dict(record["versions"])
        for number in sorted(remote.versions, key=int, reverse=True):  # the latest first
            was_here = (family / number).is_dir()
            if self._wanted(name, number) and self._tried((name, number), failures, self._take_once, remote):
                taken.append(f"{name}/{number}")
                if not was_here:  # else it came otherwise, and only a signature is new
                    mirrored[number] = remote.versions[number][CARD.as_posix()]
        if any(self._wanted(name, number) for number in remote.versions) or not remote.versions:
            found = self._tried((name, NUMBERED), failures, self._take_labels, remote)
            taken += [f"{name}/{path}" for path in found or ()]
        self._tried((name, "removal"), failures, partial(self._remove_gone, mirrored), remote)
        self._tell(name, remote, mirrored, record)

    def _tried(self, key: tuple[str, str], failures: list[Exception], work: Work[T], remote: RemoteModel) -> T | None:
        """What `work` gives; None where it fails, or has failed several times a short while ago."""
        count, last = self._errors.get(key, (0, 0.0))
        if count >= FEW and self._now() < last + AFTER_ERRORS:
            return None
        try:
            found = work(*key, remote)
        except Exception as error:  # of a client that may raise anything
            self._errors[key] = (count + 1, self._now())
            failures.append(error)
            return None
        self._errors.pop(key, None)
        return found

    def _tell(self, name: str, remote: RemoteModel, mirrored: Mapping[str, str], record: Mapping[str, Any]) -> None:
        """Write what was not taken, for the notes of the model."""
        known = {*remote.versions, *(f"{NUMBERED}/{numbered(number)}" for number in remote.labels), LABELS}
        for key in [key for key in self._seen if key[0] == name and key[1] not in known]:
            del self._seen[key]  # it is gone from the source
        notes = [
            f"{what} of the source is not taken: {why}"
            for (of, what), (_, why) in sorted(self._seen.items())
            if of == name and why is not None
        ]
        here, there = self._numbers_here(name), max(remote.labels, default=0)
        if here and 0 < there < here[-1]:
            notes.append(f"labels {there} of the source do not count: here are {here[-1]}, and numbers never fall")
        after = {"versions": dict(mirrored), "notes": notes}
        if after != record and (self._folder / name).is_dir():
            _write(self._folder / name / FROM_SOURCE, json.dumps(after, indent=1).encode())

    def _labelled(self, name: str) -> set[str]:
        """The versions that labels in the folder point at."""
        try:
            return set(read_labels(self._folder / name, self._trust).pointed.values())
        except UNREADABLE:
            return set()

    def _numbers_here(self, name: str) -> list[int]:
        """The numbers of the labels in the folder that count, ascending."""
        family = self._folder / name
        return [number for number in label_numbers(family) if self._is_good(family, number)]

    def _is_good(self, family: Path, number: int) -> bool:
        try:
            parse_labels((family / NUMBERED / numbered(number)).read_bytes(), family.name, number, self._trust)
        except (OSError, ValueError):
            return False
        return True

    def _take_once(self, name: str, number: str, remote: RemoteModel) -> bool:
        """Take a version unless it was looked at as it is; whether it is there now and was not before."""
        tags = remote.versions[number]
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
        card = self._read(name, number, CARD, LARGEST_CARD)
        family, folder = self._folder / name, self._folder / name / number
        signatures = {path: self._read(name, number, path, LARGEST_SIGNATURE) for path in _signatures(tags)}
        if self._trust is not None:
            try:
                self._trust.check_card(card, {path.stem: content for path, content in signatures.items()})
            except ValueError as error:
                raise NotTaken(str(error)) from None
        if folder.is_dir():
            if not (folder / CARD).is_file() or (folder / CARD).read_bytes() != card:
                raise NotTaken("another version of this number is here; versions never change, and this one stays")
            return _add_signatures(folder, signatures)
        files = _files(card, name, number)
        if missing := [path for path in files if path not in tags]:
            raise NotTaken(f"{missing[0]} is not there; its card lists it")
        aside = family / f".{number}{ASIDE}"
        shutil.rmtree(aside, ignore_errors=True)
        try:
            _make_folders(aside, files)
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

    def _read(self, name: str, number: str, path: Path, most: int) -> bytes:
        try:
            return self._source.read(f"{name}/{number}/{path.as_posix()}", most)
        except FileNotFoundError:
            raise NotTaken(f"{path.as_posix()} is gone") from None
        except ValueError as error:
            raise NotTaken(str(error)) from None

    def _download(self, version: str, path: str, expected: str, aside: Path) -> None:
        target = aside / path
        try:
            self._source.download(f"{version}/{path}", str(target))
        except FileNotFoundError:
            raise NotTaken(f"{path} is gone") from None
        with target.open("rb") as file:
            got = hashlib.file_digest(file, "sha256").hexdigest()
        if got != expected:
            raise NotTaken(f"{path} has SHA-256 {got[:12]}..., its card says {expected[:12]}...")

    def _take_labels(self, name: str, _: str, remote: RemoteModel) -> list[str]:
        """Take the greatest numbered labels that are good, or labels.json where there are none."""
        family = self._folder / name
        here = self._numbers_here(name)
        for number in sorted(remote.labels, reverse=True):
            if here and number <= here[-1]:
                return []  # an older one is never taken: who can remove the newest cannot bring the one before back
            key, seen = (name, f"{NUMBERED}/{numbered(number)}"), remote.labels[number]
            if key in self._seen and self._seen[key][0] == seen:
                continue
            try:
                content = self._source.read(f"{name}/{NUMBERED}/{numbered(number)}", LARGEST_LABELS)
                parse_labels(content, name, number, self._trust)
            except FileNotFoundError:
                self._refuse(key, seen, "it is gone")
                continue
            except ValueError as error:
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
            content = self._source.read(f"{name}/{LABELS}", LARGEST_LABELS)
        except FileNotFoundError:
            return False
        (self._folder / name).mkdir(parents=True, exist_ok=True)
        _write(self._folder / name / LABELS, content)
        self._seen[key] = (tag, None)
        return True

    def _remove_gone(self, mirrored: dict[str, str], name: str, _: str, remote: RemoteModel) -> None:
        """Remove versions that came from the source and have been gone from it for a while: neither the last ones, nor
        what a label points at, so that who can delete there cannot choose what answers."""
        gone = set(mirrored) - set(remote.versions) - self._labelled(name) if remote.versions else set()
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


def _add_signatures(folder: Path, signatures: Mapping[Path, bytes]) -> bool:
    """Add those that a version here does not have; whether there were any."""
    new = {path: content for path, content in signatures.items() if not (folder / path).exists()}
    for path, content in new.items():
        (folder / path).parent.mkdir(exist_ok=True)
        _write(folder / path, content)
    return bool(new)


def _make_folders(aside: Path, files: Mapping[str, str]) -> None:
    """The folders of a version's files. Raises NotTaken where they cannot be."""
    try:
        for path in files:
            (aside / path).parent.mkdir(parents=True, exist_ok=True)
            (aside / path).touch(exist_ok=False)
    except (FileExistsError, NotADirectoryError, IsADirectoryError, UnicodeError, ValueError) as error:
        raise NotTaken(f"its card lists files that cannot lie beside each other ({type(error).__name__})") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise NotTaken("its card lists a file of too long a name") from None
        raise


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
        elif first == NUMBERED and (match := FILE.fullmatch(inner)) and inner == numbered(int(match[1])):
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
