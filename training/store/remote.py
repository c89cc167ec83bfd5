"""Writes versions and labels into a store elsewhere (s3://..., gs://..., file:///...), and mirrors one into a folder.

Objects are created once and never changed. A version's card is the last of them, so that half of it is never seen; of
two writers of one number, the second is told so at the first file in which they differ. Labels are numbered, and of two
writers the second makes its change again upon the first one's.
"""

import json
from collections.abc import Callable
from pathlib import Path

from server.models.repository.follower import LARGEST_LABELS, LOCK, Follower
from server.models.repository.object_store import AlreadyThere, ObjectStore
from server.models.repository.object_store import masked as masked
from server.models.trust import Trust
from training.errors import DataError
from training.store.card import CARD, EXTRA
from training.store.labels import NUMBERED, greatest_of, moved
from training.store.signing import PrivateKey, check_base, numbered_labels, whole_card

TRIES = 20  # of writing labels: as often, others were faster


def connect(address: str, writes: bool = True) -> ObjectStore:
    """The store at an address.

    Raises:
        DataError: it cannot be had, with what to do.
    """
    try:
        store = ObjectStore(address)
        if writes and store.is_web:
            where = masked(address)
            raise DataError(
                f"{where} can only be read; push to where its web server takes its files from (s3://, file://)"
            )
        store.listing()
    except FileNotFoundError:
        if not writes:
            raise DataError(f"there is no store at {masked(address)}") from None
    except DataError:
        raise
    except (OSError, ValueError) as error:
        raise DataError(f"the store cannot be read: {str(error)[:400]}") from None
    return store


def trusted(path: Path) -> Trust:
    """The public keys of a file. Raises DataError."""
    try:
        return Trust.read(path)
    except ValueError as error:
        raise DataError(str(error)) from error


def push(store: ObjectStore, version: Path, on_file: Callable[[str], None] = lambda path: None) -> int:
    """Write a version; how many of its files were not there yet.

    Raises:
        DataError: its files are not as its card says, or another version has this number there.
    """
    card, where = whole_card(version), f"{version.parent.name}/{version.name}"
    card_path = f"{EXTRA}/{CARD}"
    paths = sorted(path.relative_to(version).as_posix() for path in version.rglob("*") if path.is_file())
    new = 0
    for path in sorted(paths, key=lambda path: path == card_path):  # the card last
        content = card if path == card_path else (version / path).read_bytes()
        try:
            store.create(f"{where}/{path}", content)
            new += 1
        except AlreadyThere:
            if not _is_same(store, f"{where}/{path}", content):
                raise DataError(
                    f"{masked(store.address)} has another {where}, or half of one: {path} differs; versions are never "
                    "changed, so give this one the next number"
                ) from None
        on_file(path)
    store.write_index()
    return new


def _is_same(store: ObjectStore, path: str, content: bytes) -> bool:
    try:
        return store.read(path, len(content)) == content
    except ValueError:  # it is larger
        return False


def labels_of(store: ObjectStore, model: str) -> tuple[int, dict[str, int]]:
    """The number of the labels that count, and what they point at; 0 where there are none. Raises DataError."""
    number, labels, _ = _labels_of(store, model)
    return number, labels


def _labels_of(store: ObjectStore, model: str) -> tuple[int, dict[str, int], bytes | None]:
    """These, and the file that they are in."""
    start = f"{model}/{NUMBERED}/"
    number = greatest_of(path[len(start) :] for path in store.listing() if path.startswith(start))
    if number is None:
        return 0, {}, None
    path = f"{start}{number:06}.json"
    try:
        stored = store.read(path, LARGEST_LABELS)
        return number, {str(name): int(to) for name, to in json.loads(stored)["labels"].items()}, stored
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} of the store cannot be read ({type(error).__name__}: {error})") from error


def versions_of(store: ObjectStore, model: str) -> list[int]:
    """The versions of a model that are whole, ascending."""
    parts = [path.split("/", 2) for path in store.listing()]
    card = f"{EXTRA}/{CARD}"
    return sorted(int(one[1]) for one in parts if one[0] == model and one[1].isdecimal() and one[2:] == [card])


def point(
    store: ObjectStore,
    model: str,
    label: str,
    version: int | None,
    key: PrivateKey | None = None,
    adopt: bool = False,
) -> int:
    """Let a label point at a version there, or take it away; the number of the labels that say so. Raises DataError as
    `training.store.labels.point` does."""
    for _ in range(TRIES):
        number, labels, stored = _labels_of(store, model)
        check_base(model, labels, stored, key, adopt)
        content = numbered_labels(model, number + 1, moved(labels, label, version), key)
        try:
            store.create(f"{model}/{NUMBERED}/{number + 1:06}.json", content)
        except AlreadyThere:
            continue  # somebody was faster: make the same change upon theirs
        store.write_index()
        return number + 1
    raise DataError(f"others move labels of {model} all the time; try again")


def pull(
    store: ObjectStore, folder: Path, model: str | None, number: str | None, trust: Trust | None
) -> tuple[list[str], list[str]]:
    """Mirror all of it, one model or one version into a folder; what was taken, and what was not with the reasons.

    Raises:
        DataError: there is nothing of it; or a server follows a store into this folder already.
    """
    there = {tuple(path.split("/", 2)[:2]) for path in store.listing() if path.endswith(f"/{EXTRA}/{CARD}")}
    if not any(model in (None, one[0]) and number in (None, one[1]) for one in there):
        known = ", ".join(sorted("/".join(one) for one in there)) or "no version"
        raise DataError(f"there is nothing of that; {masked(store.address)} has {known}")

    def wanted(name: str, version: str) -> bool:
        return model in (None, name) and number in (None, version)

    follower = Follower(store, folder, trust, wanted)
    try:
        if not follower.lead():
            raise DataError(f"a server follows a store into {folder} already ({LOCK} is locked)")
        taken = follower.poll()
        return taken, [f"{what} is not taken: {why}" for what, why in follower.refusals().items()]
    finally:
        follower.close()
