"""Versions and labels are pushed into a store elsewhere, and pulled from it; none of two writers undoes the other's."""

import json
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from server.models.card import CARD, TWIN
from server.models.repository.object_store import AlreadyThere, ObjectStore
from tests.support.models.stores import write_labels, write_version
from training.commands import main
from training.errors import DataError
from training.store import labels, remote
from training.store.signing import numbered_labels, read_key


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A store with versions 1 and 2 of `fake`."""
    for number in ("1", "2"):
        write_version(tmp_path / "here", "fake", number)
    return tmp_path / "here"


@pytest.fixture
def there(tmp_path: Path) -> ObjectStore:
    return ObjectStore((tmp_path / "there").as_uri())


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


def test_a_pushed_version_is_pulled_as_it_was(here: Path, there: ObjectStore, tmp_path: Path) -> None:
    assert run("push", "fake/2", "--from", here, "--store", there.address).output == f"{there.address}/fake/2\n"
    assert "is there already" in run("push", "fake/2", "--from", here, "--store", there.address).output
    assert run("pull", "--store", there.address, "--into", tmp_path / "copy").exit_code == 0
    files = [path.relative_to(here) for path in (here / "fake/2").rglob("*") if path.is_file()]
    assert files
    assert all((tmp_path / "copy" / path).read_bytes() == (here / path).read_bytes() for path in files)


def test_one_version_is_pulled(here: Path, there: ObjectStore, tmp_path: Path) -> None:
    for number in "12":
        remote.push(there, here / "fake" / number)
    write_version(here, "other", "1")
    remote.push(there, here / "other/1")
    run("pull", "fake/2", "--store", there.address, "--into", tmp_path / "copy")
    assert sorted(path.name for path in (tmp_path / "copy/fake").iterdir() if path.name.isdecimal()) == ["2"]
    assert not (tmp_path / "copy/other").exists()


def test_the_card_is_written_last(here: Path, there: ObjectStore) -> None:
    written: list[str] = []
    remote.push(there, here / "fake/1", written.append)
    assert written[-1] == CARD.as_posix()
    assert len(written) > 3


def test_another_version_of_the_same_number_is_refused(here: Path, there: ObjectStore, tmp_path: Path) -> None:
    remote.push(there, here / "fake/1")
    before = there.listing()
    other = write_version(tmp_path / "others", "fake", "1", temperature=3.0)
    with pytest.raises(DataError, match=r"has another fake/1.*give this one the next number"):
        remote.push(there, other)
    assert there.listing() == before


def test_a_push_that_was_cut_is_completed_by_the_next(here: Path, there: ObjectStore) -> None:
    def cut(path: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        remote.push(there, here / "fake/1", cut)
    assert remote.versions_of(there, "fake") == []
    remote.push(there, here / "fake/1")
    assert remote.versions_of(there, "fake") == [1]


def test_a_damaged_version_is_not_pushed(here: Path, there: ObjectStore) -> None:
    (here / "fake/1" / TWIN).write_bytes(b"other")
    found = run("push", "fake/1", "--from", here, "--store", there.address)
    assert (found.exit_code, "is damaged" in found.output) == (1, True)
    assert there.listing() == {}


def test_labels_are_numbered_and_none_is_lost_between_writers(here: Path, there: ObjectStore) -> None:
    remote.push(there, here / "fake/1")
    remote.push(there, here / "fake/2")
    names = [f"label{number}" for number in range(6)]
    threads = [threading.Thread(target=remote.point, args=(there, "fake", name, 1)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert remote.labels_of(there, "fake") == (6, dict.fromkeys(names, 1))


def test_an_object_is_created_once(there: ObjectStore) -> None:
    there.create("a/b.json", b"first")
    with pytest.raises(AlreadyThere):
        there.create("a/b.json", b"second")
    assert there.read("a/b.json", 1 << 20) == b"first"


def test_the_label_command_moves_labels_there(here: Path, there: ObjectStore) -> None:
    for number in "12":
        remote.push(there, here / "fake" / number)
    assert run("label", "fake", "--store", there.address).output == "fake/1\nfake/2 (answers by default)\n"
    found = run("label", "fake", "stable", 1, "--store", there.address)
    assert found.output == "fake/1 stable (answers by default)\nfake/2\n"
    assert run("label", "fake", "stable", 7, "--store", there.address).output.startswith("Error: fake of file://")
    run("label", "fake", "stable", "--remove", "--store", there.address)
    assert remote.labels_of(there, "fake") == (2, {})
    assert run("label", "nothing", "--store", there.address).exit_code == 1


def test_the_index_has_all_that_there_is(here: Path, there: ObjectStore) -> None:
    remote.push(there, here / "fake/1")
    remote.point(there, "fake", "stable", 1)
    index = json.loads(there.read("index.json", 1 << 20))["objects"]
    assert index == {path: tag for path, tag in there.listing().items() if path != "index.json"}
    assert "fake/labels/000001.json" in index


def test_signed_versions_and_labels_are_pulled_by_those_who_trust_the_key(
    here: Path, there: ObjectStore, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    assert run("sign", "--new-key", key).exit_code == 0
    assert key.stat().st_mode & 0o777 == 0o600
    assert run("sign", "--new-key", key).output.startswith("Error: ")
    run("sign", "fake/1", "--key", key, "--store", here)
    for number in "12":
        run("push", f"fake/{number}", "--from", here, "--store", there.address)
    run("label", "fake", "stable", 1, "--key", key, "--store", there.address)
    found = run("pull", "--store", there.address, "--into", tmp_path / "copy", "--trust", f"{key}.pub")
    assert found.exit_code == 1
    assert "fake/2 is not taken: the card is not signed by a trusted key" in found.output
    assert sorted(path.name for path in (tmp_path / "copy/fake").iterdir() if path.name.isdecimal()) == ["1"]
    assert labels.all_of(tmp_path / "copy/fake") == {"stable": 1}


def test_labels_of_a_folder_stay_signed(here: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    run("sign", "--new-key", key)
    write_labels(here, {"stable": 2})
    found = run("label", "fake", "stable", 1, "--store", here, "--key", key)
    assert "(stable at 2) are not signed by this key; give --adopt" in found.output
    assert run("label", "fake", "stable", 1, "--store", here, "--key", key, "--adopt").exit_code == 0
    assert labels.all_of(here / "fake") == {"stable": 1}
    found = run("label", "fake", "stable", 2, "--store", here)
    assert "are signed; give --key FILE" in found.output
    run("label", "fake", "canary", 2, "--store", here, "--key", key)
    assert labels.all_of(here / "fake") == {"stable": 1, "canary": 2}
    assert labels.greatest(here / "fake") == 2


def test_a_signature_is_of_whole_versions_only(here: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    run("sign", "--new-key", key)
    (here / "fake/1/more.bin").write_bytes(b"unlisted")
    assert "more.bin is not in its card" in run("sign", "fake/1", "--key", key, "--store", here).output
    assert run("sign", "fake/2", "--key", key, "--store", here).exit_code == 0
    assert run("sign", "fake/2", "--key", key, "--store", here).exit_code == 0  # again: the same


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_is_no_key_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(DataError, match="is no private key"):
        read_key(tmp_path / "key")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("pull", "--store", "https://127.0.0.1:1/store"), "cannot be read"),
        (("push", "fake/1", "--store", "https://127.0.0.1:1/store"), "can only be read"),
        (("push", "fake/1", "--store", "zz://bucket/store"), "Protocol not known"),
        (("push", "fake/7", "--store", "file:///nowhere"), "got fake/7"),
        (("sign",), "expected VERSION --key FILE, or --new-key FILE"),
        (("sign", "fake/1", "--key", "nothing"), "is no private key"),
        (("pull", "fake/stable", "--store", "file:///nowhere"), "expected MODEL/NUMBER or MODEL"),
    ],
)
def test_what_cannot_be_is_one_line(here: Path, arguments: tuple[str, ...], expected: str) -> None:
    folder = {"push": ("--from", here), "sign": ("--store", here)}.get(arguments[0], ())
    more = folder if len(arguments) > 1 else ()
    found = run(*arguments, *more)
    assert found.exit_code in (1, 2)
    assert expected in found.output
    assert "Traceback" not in found.output


def test_a_key_signs_nothing_that_somebody_else_wrote(here: Path, there: ObjectStore, tmp_path: Path) -> None:
    key = tmp_path / "key"
    run("sign", "--new-key", key)
    for number in "12":
        remote.push(there, here / "fake" / number)
    run("label", "fake", "stable", 2, "--key", key, "--store", there.address)
    there.create("fake/labels/000002.json", numbered_labels("fake", 2, {"stable": 1}, None))
    found = run("label", "fake", "canary", 2, "--key", key, "--store", there.address)
    assert (found.exit_code, "(stable at 1) are not signed by this key; give --adopt" in found.output) == (1, True)
    run("label", "fake", "canary", 2, "--key", key, "--adopt", "--store", there.address)
    assert remote.labels_of(there, "fake") == (3, {"stable": 1, "canary": 2})


def test_signed_labels_are_not_moved_without_a_key(here: Path, there: ObjectStore, tmp_path: Path) -> None:
    key = tmp_path / "key"
    run("sign", "--new-key", key)
    remote.push(there, here / "fake/1")
    run("label", "fake", "stable", 1, "--key", key, "--store", there.address)
    found = run("label", "fake", "canary", 1, "--store", there.address)
    assert "are signed; give --key FILE" in found.output
    assert remote.labels_of(there, "fake")[0] == 1


@pytest.mark.parametrize("address", ["s3://", "file://", "models", "s3:/bucket", "s3:// bucket", "file://relative"])
def test_what_is_no_address_writes_nothing(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    found = run("push", "fake/1", "--from", here, "--store", address)
    assert (found.exit_code, "got the address" in found.output) == (1, True)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("wanted", [("nothing",), ("fake/77",), ()])
def test_what_is_not_there_cannot_be_pulled(here: Path, there: ObjectStore, tmp_path: Path, wanted: tuple) -> None:
    if wanted:
        remote.push(there, here / "fake/1")
    found = run("pull", *wanted, "--store", there.address, "--into", tmp_path / "copy")
    assert found.exit_code == 1
    assert "there is n" in found.output


def test_a_password_in_an_address_is_not_shown(here: Path) -> None:
    secret = "sword" + "fish"
    for command in (("pull",), ("push", "fake/1", "--from", here), ("label", "fake")):
        found = run(*command, "--store", f"https://user:{secret}@127.0.0.1:1/store")
        assert found.exit_code == 1
        assert secret not in found.output


def test_labels_beyond_counting_are_refused(here: Path, there: ObjectStore) -> None:
    remote.push(there, here / "fake/1")
    there.create(f"fake/labels/{10**12 - 1}.json", b"{}")
    assert "leave no number for the next ones" in run("label", "fake", "stable", 1, "--store", there.address).output


def test_what_a_killed_writer_left_is_no_object(there: ObjectStore, tmp_path: Path) -> None:
    there.create("a", b"a")
    (tmp_path / "there/.written-x").write_bytes(b"half")
    there.write_index()
    assert sorted(there.listing()) == ["a", "index.json"]
    assert list(json.loads(there.read("index.json", 1 << 20))["objects"]) == ["a"]
