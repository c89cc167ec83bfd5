"""A folder follows a store elsewhere: what is whole and good is taken, and nothing that happens there stops what is
served here."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from server.models.card import CARD, TWIN, BrokenVersion, read_card
from server.models.repository.follower import AFTER_ERRORS, ASIDE, FEW, REMOVAL, Follower
from server.models.repository.object_store import ObjectStore
from server.models.repository.scan import scan
from tests.support.models.stores import make_store, poll_all, write_labels, write_version
from tests.support.sources import MemorySource, new_key, signed


@pytest.fixture
def source(tmp_path: Path) -> MemorySource:
    """Versions 1 and 2 of `fake`, the label stable at 1."""
    root = tmp_path / "source"
    write_version(root, "fake", "1")
    write_version(root, "fake", "2")
    found = MemorySource.of(root)
    found.label(1, {"stable": 1})
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "here"


def versions(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "fake").iterdir() if path.name.isdecimal())


def notes(folder: Path) -> str:
    return " ".join(scan(folder)["fake"].notes)


def test_what_the_source_has_is_served(source: MemorySource, folder: Path) -> None:
    assert Follower(source, folder).poll() == ["fake/2", "fake/1", "fake/labels/000001.json"]
    model = make_store(folder).served_models["fake"]
    assert (list(model.versions), model.default_number) == (["1", "2"], "1")
    assert {path: (folder / path).read_bytes() for path in source.objects} == source.objects


def test_a_new_version_and_a_moved_label_follow(source: MemorySource, folder: Path, tmp_path: Path) -> None:
    follower = Follower(source, folder)
    follower.poll()
    store = make_store(folder)
    source.objects |= MemorySource.of(write_version(tmp_path / "more", "fake", "3").parent.parent).objects
    source.label(2, {"stable": 3})
    assert follower.poll() == ["fake/3", "fake/labels/000002.json"]
    assert follower.poll() == []
    poll_all(store)
    assert store.served_models["fake"].default_number == "3"


def test_a_version_is_seen_only_when_it_is_whole(source: MemorySource, folder: Path) -> None:
    seen: list[list[str]] = []

    def cut(path: str) -> None:
        seen.append(versions(folder))
        if path == f"fake/1/{TWIN.as_posix()}":
            raise OSError("the line is cut")

    source.fault = cut
    follower = Follower(source, folder)
    with pytest.raises(OSError, match="cut"):
        follower.poll()
    assert (versions(folder), seen[0]) == (["2"], [])
    source.fault = lambda path: None
    follower.poll()
    assert versions(folder) == ["1", "2"]


def test_what_a_killed_process_left_is_removed(source: MemorySource, folder: Path) -> None:
    left = folder / "fake" / f".2{ASIDE}" / "half"
    left.mkdir(parents=True)
    Follower(source, folder).poll()
    assert not left.exists()
    assert versions(folder) == ["1", "2"]


def test_a_file_that_is_not_its_hash_is_told_and_taken_when_it_is_mended(source: MemorySource, folder: Path) -> None:
    path = f"fake/2/{TWIN.as_posix()}"
    good, source.objects[path] = source.objects[path], b"other bytes"
    follower = Follower(source, folder)
    follower.poll()
    assert versions(folder) == ["1"]
    assert f"2 of the source is not taken: {TWIN.as_posix()} has SHA-256" in notes(folder)
    assert make_store(folder).served_models["fake"].notes[-1].startswith("2 of the source is not taken")
    source.objects[path] = good
    follower.poll()
    assert (versions(folder), notes(folder)) == (["1", "2"], "")


def test_a_version_without_a_file_that_its_card_lists_waits_for_it(source: MemorySource, folder: Path) -> None:
    content = source.objects.pop("fake/2/saved_model.pb")
    follower = Follower(source, folder)
    follower.poll()
    assert "saved_model.pb is not there" in notes(folder)
    source.objects["fake/2/saved_model.pb"] = content
    assert follower.poll() == ["fake/2"]


def test_a_version_that_is_here_never_changes(source: MemorySource, folder: Path) -> None:
    follower = Follower(source, folder)
    follower.poll()
    before = (folder / "fake/2" / CARD).read_bytes()
    source.change_card("fake/2", temperature=3.0)
    follower.poll()
    assert (folder / "fake/2" / CARD).read_bytes() == before
    assert "another version of this number is here" in notes(folder)


def test_what_is_served_goes_on_while_the_source_is_away(source: MemorySource, folder: Path) -> None:
    follower = Follower(source, folder)
    follower.poll()
    source.away = True
    store = make_store(folder)
    with pytest.raises(OSError, match="away"):
        follower.poll()
    poll_all(store)
    assert list(store.served_models["fake"].versions) == ["1", "2"]


def test_a_version_is_removed_some_time_after_it_is_gone(source: MemorySource, folder: Path) -> None:
    now = [0.0]
    follower = Follower(source, folder, now=lambda: now[0])
    follower.poll()
    content = {path: data for path, data in source.objects.items() if path.startswith("fake/2/")}
    source.remove("fake/2/")
    follower.poll()
    now[0] = REMOVAL - 1
    follower.poll()
    assert versions(folder) == ["1", "2"]
    source.objects |= content  # it was only away for a moment
    follower.poll()
    source.remove("fake/2/")
    now[0] = REMOVAL + 1
    follower.poll()
    assert versions(folder) == ["1", "2"]
    now[0] += REMOVAL
    follower.poll()
    assert versions(folder) == ["1"]


def test_a_source_that_was_emptied_takes_nothing_away(source: MemorySource, folder: Path) -> None:
    now = [0.0]
    follower = Follower(source, folder, now=lambda: now[0])
    follower.poll()
    source.objects.clear()
    for _ in range(3):
        now[0] += 2 * REMOVAL
        follower.poll()
    assert versions(folder) == ["1", "2"]


def test_a_version_that_came_otherwise_stays(source: MemorySource, folder: Path) -> None:
    write_version(folder, "fake", "9")
    now = [0.0]
    follower = Follower(source, folder, now=lambda: now[0])
    for _ in range(3):
        now[0] += 2 * REMOVAL
        follower.poll()
    assert versions(folder) == ["1", "2", "9"]


def test_one_process_follows_until_it_ends(source: MemorySource, folder: Path) -> None:
    first, second = Follower(source, folder), Follower(source, folder)
    assert (len(first.poll()), second.poll()) == (3, [])
    first.close()
    assert second.lead()


def test_the_greatest_labels_count_and_an_older_one_never_comes_back(source: MemorySource, folder: Path) -> None:
    follower = Follower(source, folder)
    follower.poll()
    source.label(12, {"stable": 2})
    follower.poll()
    source.remove("fake/labels/000012.json")
    follower.poll()
    assert scan(folder)["fake"].labels == {"stable": "2"}
    assert [path.name for path in (folder / "fake/labels").iterdir()] == ["000012.json"]


def test_labels_that_cannot_be_read_are_passed_over(source: MemorySource, folder: Path) -> None:
    source.objects["fake/labels/000002.json"] = b"{"
    source.objects["fake/labels/000003.json"] = source.objects["fake/labels/000001.json"]
    Follower(source, folder).poll()
    assert scan(folder)["fake"].labels == {"stable": "1"}
    assert "labels/000002.json of the source is not taken" in notes(folder)
    assert "they are labels 1 of 'fake'" in notes(folder)


def test_a_plain_labels_file_is_followed_where_there_are_no_numbered_ones(source: MemorySource, folder: Path) -> None:
    source.remove("fake/labels/")
    source.objects["fake/labels.json"] = b'{"stable": 1}'
    follower = Follower(source, folder)
    follower.poll()
    source.objects["fake/labels.json"] = b'{"stable": 2}'
    follower.poll()
    assert scan(folder)["fake"].labels == {"stable": "2"}


def test_numbered_labels_win_over_a_plain_file_and_that_is_said(source: MemorySource, folder: Path) -> None:
    Follower(source, folder).poll()
    write_labels(folder, {"stable": 2})
    listing = scan(folder)["fake"]
    assert listing.labels == {"stable": "1"}
    assert "labels.json does not count" in " ".join(listing.notes)


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../../outside", "a\\b", ""])
def test_a_card_reaches_nothing_outside_of_its_version(source: MemorySource, folder: Path, path: str) -> None:
    listed = json.loads(source.objects[f"fake/2/{CARD.as_posix()}"])["files"]
    source.change_card("fake/2", files={**listed, path: "0" * 64})
    source.objects[f"fake/2/{path}"] = b"evil"
    Follower(source, folder).poll()
    assert versions(folder) == ["1"]
    assert "lie outside" in notes(folder)


@pytest.mark.parametrize("name", ["..", ".hidden", "a:b", "a\\b", " "])
def test_models_of_impossible_names_are_left_out(source: MemorySource, folder: Path, name: str) -> None:
    source.move("fake/1/", f"{name}/1/")
    assert all(what.startswith("fake/") for what in Follower(source, folder).poll())
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["fake"]


def test_a_folder_elsewhere_is_a_source_too(source: MemorySource, folder: Path, tmp_path: Path) -> None:
    store = ObjectStore((tmp_path / "source").as_uri())
    assert Follower(store, folder).poll() == ["fake/2", "fake/1"]


# Signed versions: an attacker who can write objects can replace any card. The follower refuses each of these and takes
# the rest.


@pytest.fixture
def key_and_trust() -> tuple:
    return new_key()


@pytest.fixture
def signed_source(tmp_path: Path, key_and_trust: tuple) -> MemorySource:
    key, _ = key_and_trust
    for name, version in (("fake", "1"), ("fake", "2"), ("other", "3")):
        signed(write_version(tmp_path / "signed", name, version), key)
    found = MemorySource.of(tmp_path / "signed")
    found.label(1, {"stable": 2}, key)
    found.label(2, {"stable": 1}, key)
    return found


def rewritten(source: MemorySource, other: object) -> None:
    source.change_card("fake/2", temperature=9.0)


def unsigned(source: MemorySource, other: object) -> None:
    rewritten(source, other)
    source.remove("fake/2/assets.extra/signatures/")


def signed_by_another(source: MemorySource, other: object) -> None:
    source.remove("fake/2/")
    root = Path(str(other))
    signed(write_version(root, "fake", "2", temperature=9.0), new_key()[0])
    source.objects |= MemorySource.of(root).objects


def named_as_trusted(source: MemorySource, other: object) -> None:
    """The signature of another key under the trusted one's name."""
    (trusted,) = [path for path in source.objects if path.startswith("fake/2/assets.extra/signatures/")]
    signed_by_another(source, other)
    (made,) = [path for path in source.objects if path.startswith("fake/2/assets.extra/signatures/")]
    source.objects[trusted] = source.objects.pop(made)


def swapped(source: MemorySource, other: object) -> None:
    source.remove("fake/2/")
    source.move("fake/1/", "fake/2/")


def of_another_model(source: MemorySource, other: object) -> None:
    source.remove("fake/2/")
    source.move("other/3/", "fake/2/")


def altered_file(source: MemorySource, other: object) -> None:
    source.objects[f"fake/2/{TWIN.as_posix()}"] = b"evil"


def labels_as_a_card(source: MemorySource, other: object) -> None:
    """A trusted signature, of something else."""
    (path,) = [path for path in source.objects if path.startswith("fake/2/assets.extra/signatures/")]
    stored = json.loads(source.objects["fake/labels/000002.json"])
    source.change_card("fake/2", temperature=9.0)
    source.objects[path] = next(iter(stored["signatures"].values())).encode()


@pytest.mark.parametrize(
    "tamper",
    [
        rewritten,
        unsigned,
        signed_by_another,
        named_as_trusted,
        swapped,
        of_another_model,
        altered_file,
        labels_as_a_card,
    ],
)
def test_a_tampered_version_is_refused(
    signed_source: MemorySource, key_and_trust: tuple, folder: Path, tmp_path: Path, tamper: Callable[..., None]
) -> None:
    _, trust = key_and_trust
    tamper(signed_source, tmp_path / "forged")
    Follower(signed_source, folder, trust).poll()
    assert versions(folder) == ["1"]
    assert "2 of the source is not taken" in notes(folder)
    # and where it lies in the served folder already
    for path, content in signed_source.objects.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    store = make_store(folder, trust=trust)
    assert list(store.served_models["fake"].versions) == ["1"]
    assert store.served_models["fake"].refused["2"]


def test_without_trust_the_same_forgery_is_taken(signed_source: MemorySource, folder: Path) -> None:
    unsigned(signed_source, None)
    Follower(signed_source, folder).poll()
    assert versions(folder) == ["1", "2"]


def replayed(source: MemorySource) -> None:
    source.objects["fake/labels/000003.json"] = source.objects["fake/labels/000001.json"]


def unsigned_labels(source: MemorySource) -> None:
    source.label(3, {"stable": 2})


def labels_by_another(source: MemorySource) -> None:
    source.label(3, {"stable": 2}, new_key()[0])


def changed_labels(source: MemorySource) -> None:
    stored = json.loads(source.objects["fake/labels/000002.json"])
    source.objects["fake/labels/000003.json"] = json.dumps({**stored, "number": 3, "labels": {"stable": 2}}).encode()


def removed_labels(source: MemorySource) -> None:
    source.remove("fake/labels/000002.json")


def plain_labels(source: MemorySource) -> None:
    source.objects["fake/labels.json"] = b'{"stable": 2}'


def twice_in_one(source: MemorySource) -> None:
    """Labels that say two things: JSON takes the last, and so does the signature."""
    text = source.objects["fake/labels/000002.json"].decode().rstrip().removesuffix("}")
    source.objects["fake/labels/000003.json"] = (text + ', "labels": {"stable": 2}, "number": 3}').encode()


@pytest.mark.parametrize(
    "tamper",
    [replayed, unsigned_labels, labels_by_another, changed_labels, removed_labels, plain_labels, twice_in_one],
)
def test_tampered_labels_move_nothing(
    signed_source: MemorySource, key_and_trust: tuple, folder: Path, tamper: Callable[[MemorySource], None]
) -> None:
    _, trust = key_and_trust
    follower = Follower(signed_source, folder, trust)
    follower.poll()
    tamper(signed_source)
    follower.poll()
    assert scan(folder, trust)["fake"].labels == {"stable": "1"}
    assert make_store(folder, trust=trust).served_models["fake"].default_number == "1"


def test_labels_in_the_folder_need_a_signature_too(
    signed_source: MemorySource, key_and_trust: tuple, folder: Path
) -> None:
    _, trust = key_and_trust
    Follower(signed_source, folder, trust).poll()
    shutil.rmtree(folder / "fake/labels")
    write_labels(folder, {"stable": 1})
    listing = scan(folder, trust)["fake"]
    assert listing.labels is None
    assert "not signed" in str(listing.broken)


def test_a_file_that_the_signed_card_does_not_list_breaks_the_version(tmp_path: Path) -> None:
    key, trust = new_key()
    folder = signed(write_version(tmp_path, "fake", "1"), key)
    read_card(folder, trust)
    (folder / "assets.extra" / "more.tflite").write_bytes(b"unlisted")
    with pytest.raises(BrokenVersion, match=r"more\.tflite has no SHA-256"):
        read_card(folder, trust)


def test_a_signature_that_comes_later_is_taken(tmp_path: Path, folder: Path) -> None:
    key, trust = new_key()
    there = write_version(tmp_path / "there", "fake", "1")
    follower = Follower(MemorySource.of(tmp_path / "there"), folder)
    follower.poll()
    follower.close()
    signed(there, key)
    assert Follower(MemorySource.of(tmp_path / "there"), folder, trust).poll() == ["fake/1"]
    assert list(make_store(folder, trust=trust).served_models["fake"].versions) == ["1"]


def test_a_version_that_only_got_a_signature_stays_when_it_is_gone_there(tmp_path: Path, folder: Path) -> None:
    key, _ = new_key()
    write_version(folder, "fake", "1")
    for number in ("1", "2"):
        signed(write_version(tmp_path / "there", "fake", number), key)
    source, now = MemorySource.of(tmp_path / "there"), [0.0]
    follower = Follower(source, folder, now=lambda: now[0])
    assert follower.poll() == ["fake/2", "fake/1"]
    source.remove("fake/1/")
    for _ in range(3):
        now[0] += 2 * REMOVAL
        follower.poll()
    assert versions(folder) == ["1", "2"]


def test_labels_of_before_trust_do_not_outrank_signed_ones(
    signed_source: MemorySource, key_and_trust: tuple, folder: Path
) -> None:
    _, trust = key_and_trust
    signed_source.label(5, {"stable": 2})
    follower = Follower(signed_source, folder)
    follower.poll()
    follower.close()
    Follower(signed_source, folder, trust).poll()
    assert scan(folder, trust)["fake"].labels == {"stable": "1"}


def test_a_labelled_version_is_not_removed(source: MemorySource, folder: Path) -> None:
    now = [0.0]
    follower = Follower(source, folder, now=lambda: now[0])
    follower.poll()
    source.remove("fake/1/")  # stable
    for _ in range(3):
        now[0] += 2 * REMOVAL
        follower.poll()
    assert versions(folder) == ["1", "2"]


def test_a_version_that_cannot_be_had_holds_up_nothing_else(source: MemorySource, folder: Path) -> None:
    tries: list[str] = []

    def denied(path: str) -> None:
        if path.startswith("fake/2/"):
            tries.append(path)
            raise PermissionError("403")

    source.fault = denied
    now = [0.0]
    follower = Follower(source, folder, now=lambda: now[0])
    for _ in range(10):
        with suppress(PermissionError):
            follower.poll()
    assert (versions(folder), scan(folder)["fake"].labels) == (["1"], {"stable": "1"})
    assert len(tries) == FEW  # and then not for a while
    now[0] += AFTER_ERRORS
    with pytest.raises(PermissionError):
        follower.poll()


@pytest.mark.parametrize("path", ["a/b", "saved_model.pb/c", "d" * 300, "\ud800"])
def test_files_that_cannot_lie_beside_each_other_are_told(source: MemorySource, folder: Path, path: str) -> None:
    listed = json.loads(source.objects[f"fake/2/{CARD.as_posix()}"])["files"]
    source.change_card("fake/2", files={**listed, "a": "0" * 64, path: "0" * 64})
    source.objects |= {"fake/2/a": b"a", f"fake/2/{path}": b"b"}
    follower = Follower(source, folder)
    follower.poll()
    assert versions(folder) == ["1"]
    assert "2 of the source is not taken" in notes(folder)


def test_a_signature_without_end_is_not_read(signed_source: MemorySource, key_and_trust: tuple, folder: Path) -> None:
    _, trust = key_and_trust
    signed_source.objects[f"fake/2/assets.extra/signatures/{'0' * 16}.sig"] = b"0" * 10_000
    Follower(signed_source, folder, trust).poll()
    assert versions(folder) == ["1"]
    assert "has more than 1024 bytes" in notes(folder)


def test_a_note_ends_with_what_it_is_about(source: MemorySource, folder: Path) -> None:
    source.objects[f"fake/2/{TWIN.as_posix()}"] = b"other bytes"
    follower = Follower(source, folder)
    follower.poll()
    assert notes(folder)
    source.remove("fake/2/")
    follower.poll()
    assert notes(folder) == ""


def test_labels_of_another_count_are_told(source: MemorySource, folder: Path) -> None:
    source.label(9, {"stable": 2})
    follower = Follower(source, folder)
    follower.poll()
    source.remove("fake/labels/000009.json")
    follower.poll()
    assert "labels 1 of the source do not count: here are 9" in notes(folder)


@pytest.mark.parametrize("name", ["0000000002.json", "2.json", "000002.json.bak", "x00002.json"])
def test_files_that_are_not_called_as_labels_are_none(source: MemorySource, folder: Path, name: str) -> None:
    source.objects[f"fake/labels/{name}"] = source.objects["fake/labels/000001.json"]
    Follower(source, folder).poll()
    assert (scan(folder)["fake"].labels, notes(folder)) == ({"stable": "1"}, "")


def test_a_source_without_any_model_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    follower = Follower(MemorySource(), folder)
    for _ in range(3):
        follower.poll()
    assert caplog.text.count("has no model") == 1


def test_what_kserve_copies_into_one_folder_is_served(signed_source: MemorySource, folder: Path) -> None:
    """Its storage initializer copies every object as it is called."""
    for path, content in signed_source.objects.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    store = make_store(folder)
    assert sorted(store.served_models) == ["fake", "other"]
    assert store.served_models["fake"].default_number == "1"
