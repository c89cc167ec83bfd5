"""Versions that come, go, break and move while requests go on, in one worker and in several that share a folder."""

import gc
import json
import shutil
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from server.errors import NotReady, UnknownModel
from server.models.card import CARD
from server.models.repository.shared_state import HEARTBEAT_TIMEOUT, SharedState
from server.models.repository.store import LoadedModel, LoadedVersion, Store
from server.models.repository.version_policy import VersionPolicy
from server.process.periodic import PeriodicTask
from server.protocols import NO_DEADLINE
from server.types import ModelCard
from tests.support.answers import errors_in
from tests.support.clock import Clock
from tests.support.models.fakes import Fake, Linear
from tests.support.models.stores import linear, loaded, make_store, poll_all, write_labels, write_version


def served(store: Store) -> list[str]:
    return list(store.served_models["fake"].versions)


def default(store: Store) -> str:
    with store.handle("fake") as version:
        return version.card.version


def spoil(root: Path, number: str) -> None:
    with (root / "fake" / number / "saved_model.pb").open("ab") as file:
        file.write(b"x")


def broken(number: str) -> Callable[[Path, ModelCard], Fake]:
    """A loader of SavedModels that cannot load one version."""

    def load(folder: Path, card: ModelCard) -> Fake:
        if card.version == number:
            raise RuntimeError("no such op: swordfish")
        return linear(folder, card)

    return load


# One worker


def test_a_new_version_is_served_when_it_is_loaded(tmp_path: Path) -> None:
    write_version(tmp_path, "fake", "1")
    store = make_store(tmp_path)
    write_version(tmp_path, "fake", "2")
    write_version(tmp_path, "other", "7")
    assert default(store) == "1"
    poll_all(store)
    assert (served(store), default(store)) == (["1", "2"], "2")
    with store.handle("other") as version:
        assert version.for_explain(NO_DEADLINE).card.version == "7"


def test_a_new_version_answers_nothing_before_it_is_loaded_and_checked(tmp_path: Path) -> None:
    gate = threading.Event()

    def slow(folder: Path, card: ModelCard) -> Fake:
        assert card.version == "1" or gate.wait(10)
        return linear(folder, card)

    write_version(tmp_path, "fake", "1")
    store = make_store(tmp_path, load_savedmodel=slow)
    write_version(tmp_path, "fake", "2")
    write_labels(tmp_path, {"stable": 2})
    store.poll()
    store.poll()
    assert default(store) == "1"
    with pytest.raises(UnknownModel), store.handle("fake", "2"):
        pass
    gate.set()
    loaded()
    assert default(store) == "2"


@pytest.mark.parametrize("when", ["at the start", "later"])
def test_a_broken_version_is_refused_whenever_it_appears(tmp_path: Path, when: str) -> None:
    write_version(tmp_path, "fake", "1")
    if when == "later":
        store = make_store(tmp_path, load_savedmodel=broken("2"))
    write_version(tmp_path, "fake", "2")
    write_version(tmp_path, "fake", "3")
    spoil(tmp_path, "3")
    if when == "at the start":
        store = make_store(tmp_path, load_savedmodel=broken("2"))
    poll_all(store)
    assert (served(store), default(store)) == (["1"], "1")
    refused = store.served_models["fake"].refused
    assert "could not be loaded" in refused["2"] and "saved_model.pb has SHA-256" in refused["3"]


def test_a_refused_version_is_tried_again_when_its_files_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_version(tmp_path, "fake", "1")
    write_version(tmp_path, "fake", "2")
    spoil(tmp_path, "2")
    store = make_store(tmp_path)
    for _ in range(3):
        poll_all(store)
    assert len(errors_in(caplog)) == 1
    (tmp_path / "fake" / "2" / "saved_model.pb").write_bytes(b"a graph")
    poll_all(store)
    assert served(store) == ["1", "2"] and store.served_models["fake"].refused == {}


def test_a_loaded_version_goes_on_when_its_files_are_spoilt(tmp_path: Path) -> None:
    write_version(tmp_path, "fake", "1")
    write_version(tmp_path, "fake", "2")
    store = make_store(tmp_path)
    spoil(tmp_path, "2")
    poll_all(store)
    assert served(store) == ["1", "2"] and "SHA-256" in store.served_models["fake"].refused["2"]
    with store.handle("fake") as version:
        assert version.for_explain(NO_DEADLINE).card.version == "2"


def test_another_version_in_the_same_folder_takes_its_place(tmp_path: Path) -> None:
    write_version(tmp_path, "fake", "1")
    store = make_store(tmp_path)
    for time in range(6):  # for each order of the stamps
        before = store.served_models["fake"].default_version.card.digest
        shutil.rmtree(tmp_path / "fake" / "1")
        write_version(tmp_path, "fake", "1", architecture=f"another {time}")
        poll_all(store)
        card = store.served_models["fake"].default_version.card
        assert card.architecture == f"another {time}" and card.digest != before


def test_while_no_version_is_known_to_be_good_all_that_predict_go_on(tmp_path: Path) -> None:
    """TensorFlow may be what is broken, and then no version's label is."""

    def never(folder: Path, card: ModelCard) -> Fake:
        raise RuntimeError("no such op: swordfish")

    for number in ("1", "2", "3"):
        write_version(tmp_path, "fake", number)
    write_labels(tmp_path, {"stable": 2})
    store = make_store(tmp_path, load_savedmodel=never)
    poll_all(store)
    assert served(store) == ["1", "2", "3"] and default(store) == "2"
    assert list(store.served_models["fake"].refused) == ["1", "2", "3"]


def test_of_the_latest_two_the_earlier_stays_while_a_third_loads(tmp_path: Path) -> None:
    gate = threading.Event()

    def slow(folder: Path, card: ModelCard) -> Fake:
        assert card.version != "3" or gate.wait(10)
        return linear(folder, card)

    for number in ("1", "2"):
        write_version(tmp_path, "fake", number)
    store = make_store(tmp_path, load_savedmodel=slow, policy="latest:2")
    write_version(tmp_path, "fake", "3")
    for _ in range(3):
        store.poll()
    assert served(store) == ["1", "2"]
    gate.set()
    poll_all(store)
    assert served(store) == ["2", "3"]


def test_a_version_whose_folder_is_gone_goes_unless_it_is_the_last(tmp_path: Path) -> None:
    for number in ("1", "2", "3"):
        write_version(tmp_path, "fake", number)
    write_labels(tmp_path, {"stable": 2})
    store = make_store(tmp_path)
    shutil.rmtree(tmp_path / "fake" / "3")
    poll_all(store)
    assert served(store) == ["1", "2"] and store.served_models["fake"].notes == ()
    shutil.rmtree(tmp_path / "fake")
    poll_all(store)
    assert served(store) == ["2"] and "version 2 is gone" in store.served_models["fake"].notes[0]
    with store.handle("fake") as version:
        assert version.for_explain(NO_DEADLINE).card.version == "2"
    write_version(tmp_path, "fake", "4")
    poll_all(store)
    assert served(store) == ["4"] and store.served_models["fake"].notes == ()


def test_a_label_moves_when_its_version_is_served_and_not_to_one_that_is_not(tmp_path: Path) -> None:
    write_version(tmp_path, "fake", "1")
    write_version(tmp_path, "fake", "2")
    write_labels(tmp_path, {"stable": 1})
    store = make_store(tmp_path)
    write_labels(tmp_path, {"stable": 7, "canary": 2})
    poll_all(store)
    assert default(store) == "1" and store.served_models["fake"].labels == {"stable": "1", "canary": "2"}
    assert store.served_models["fake"].notes == (
        "label stable points at version 7, which is not served; it stays at 1",
    )
    write_labels(tmp_path, {"stable": 2})
    poll_all(store)
    assert default(store) == "2" and store.served_models["fake"].labels == {"stable": "2"}


def test_broken_labels_leave_the_old_ones(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_version(tmp_path, "fake", "1")
    write_version(tmp_path, "fake", "2")
    write_labels(tmp_path, {"stable": 1})
    store = make_store(tmp_path)
    (tmp_path / "fake" / "labels.json").write_text('{"stable": ')
    for _ in range(3):
        poll_all(store)
    assert default(store) == "1" and "JSONDecodeError" in store.served_models["fake"].refused["labels.json"]
    assert len(errors_in(caplog)) == 1
    write_labels(tmp_path, {"stable": 2})
    poll_all(store)
    assert default(store) == "2" and store.served_models["fake"].refused == {}
    (tmp_path / "fake" / "labels.json").unlink()
    poll_all(store)
    assert store.served_models["fake"].labels == {}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("all", ["1", "2", "3", "10"]),
        ("latest:1", ["2", "10"]),
        ("latest:2", ["2", "3", "10"]),
        ("latest:9", ["1", "2", "3", "10"]),
        ("specific:1,3", ["1", "2", "3"]),
        ("specific:77", ["2"]),
        ("fake=latest:1", ["2", "10"]),
        ("other=latest:1", ["1", "2", "3", "10"]),
        ("latest:1;fake=specific:1", ["1", "2"]),
        ("other=specific:1;fake=latest:2", ["2", "3", "10"]),
    ],
)
def test_the_policy_says_which_versions_are_served_beside_labelled_ones(
    tmp_path: Path, policy: str, expected: list[str]
) -> None:
    for number in ("1", "2", "3", "10"):
        write_version(tmp_path, "fake", number)
    write_labels(tmp_path, {"old": 2})
    opened = []

    def noting(path: Path, card: ModelCard) -> Fake:
        opened.append(card.version)
        return linear(path, card)

    store = make_store(tmp_path, noting, policy=policy)
    assert served(store) == expected
    assert sorted(opened, key=int) == expected  # others are not even opened


@pytest.mark.parametrize("text", ["", "latest", "latest:0", "specific:", "specific:a", "all;all", "fake=", "=all",
                                  "fake=all;fake=latest:1", "all,all", "newest:2"])  # fmt: skip
def test_a_policy_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected all, latest:N"):
        VersionPolicy.parse(text)


def test_the_latest_go_on_until_later_ones_are_good(tmp_path: Path) -> None:
    for number in ("1", "2"):
        write_version(tmp_path, "fake", number)
    store = make_store(tmp_path, load_savedmodel=broken("3"), policy="latest:1")
    assert served(store) == ["2"]
    write_version(tmp_path, "fake", "3")
    poll_all(store)
    assert served(store) == ["2"]
    write_version(tmp_path, "fake", "4")
    poll_all(store)
    assert served(store) == ["4"]


def test_a_server_that_only_predicts_refuses_what_has_no_twin(tmp_path: Path) -> None:
    write_version(tmp_path, "fake", "1")
    store = make_store(tmp_path, explains=False)
    write_version(tmp_path, "fake", "2", twin=False)
    poll_all(store)
    assert (served(store), default(store)) == (["1"], "1")
    assert "no model.tflite" in store.served_models["fake"].refused["2"]


@pytest.mark.parametrize(("labels", "first"), [({"stable": 2}, "2"), ({"canary": 1}, "3")])
def test_of_a_new_model_the_version_that_is_to_answer_comes_first(
    tmp_path: Path, labels: dict[str, int], first: str
) -> None:
    second, gate = threading.Event(), threading.Event()

    def slow(folder: Path, card: ModelCard) -> Fake:
        if card.version != first:
            second.set()
            assert gate.wait(10)
        return linear(folder, card)

    store = make_store(tmp_path, load_savedmodel=slow)
    for number in ("1", "2", "3"):
        write_version(tmp_path, "fake", number)
    write_labels(tmp_path, labels)
    store.poll()
    assert second.wait(10)
    try:
        assert (served(store), default(store)) == ([first], first)
    finally:
        gate.set()
        loaded()
    poll_all(store)
    assert (served(store), default(store)) == (["1", "2", "3"], first)


def test_a_request_keeps_its_version_and_the_last_one_to_leave_frees_it(tmp_path: Path) -> None:
    closed: list[str] = []

    def closing(folder: Path, card: ModelCard) -> LoadedModel:
        return LoadedModel(Linear(card, card.verbs), close=lambda: closed.append(card.version))

    for number in ("1", "2"):
        write_version(tmp_path, "fake", number)
    store = make_store(tmp_path, load_savedmodel=closing)
    with store.handle("fake") as first, store.handle("fake") as second:
        lane = weakref.ref(first.for_explain(NO_DEADLINE))
        shutil.rmtree(tmp_path / "fake" / "2")
        poll_all(store)
        assert default(store) == "1"
        loaded()
        assert first is second and first.for_explain(NO_DEADLINE) is lane() and closed == []
        del first
    loaded()
    assert closed == ["2"]
    gc.collect()
    assert lane() is None


def test_a_version_that_was_let_go_of_is_not_used_again(tmp_path: Path) -> None:
    """Between finding a version and holding it, it may be freed; then the one that is served by now is given."""
    for number in ("1", "2"):
        write_version(tmp_path, "fake", number)
    store = make_store(tmp_path)
    old = store.served_models["fake"].default_version
    shutil.rmtree(tmp_path / "fake" / "2")
    poll_all(store)
    loaded()
    assert old.hold() is False
    with pytest.raises(NotReady, match="served no more"):
        old.for_predict(NO_DEADLINE)


def test_a_version_held_at_the_last_moment_stays_loaded(tmp_path: Path) -> None:
    """It is retired and idle, and about to be freed, when a request that found it before begins."""
    write_version(tmp_path, "fake", "1")
    version = make_store(tmp_path).served_models["fake"].default_version
    idle: list[LoadedVersion] = []
    version.retire(idle.append)
    assert version.hold() and idle == [version]
    assert version.free() is False and version.for_explain(NO_DEADLINE).card.version == "1"
    version.release()
    assert idle == [version, version] and version.free() is True


def test_served_models_are_immutable_snapshots(tmp_path: Path) -> None:
    write_version(tmp_path, "fake", "1")
    store = make_store(tmp_path)
    before = store.served_models
    write_version(tmp_path, "fake", "2")
    poll_all(store)
    assert list(before["fake"].versions) == ["1"] and served(store) == ["1", "2"]
    after = store.served_models
    poll_all(store)
    assert store.served_models is after  # nothing new, nothing swapped


def test_a_folder_that_cannot_be_read_changes_nothing_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_version(tmp_path, "fake", "1")
    store = make_store(tmp_path)
    failing = True

    def poll() -> None:
        if failing:
            raise PermissionError("model_store")
        store.poll()

    watch = PeriodicTask(poll, 60, "it failed")
    for _ in range(3):
        watch.run_once()
    assert served(store) == ["1"] and len(errors_in(caplog)) == 1
    failing = False
    write_version(tmp_path, "fake", "2")
    watch.run_once()
    loaded()
    assert served(store) == ["1", "2"]


# Several workers


def test_workers_serve_a_new_version_together(tmp_path: Path) -> None:
    gate = threading.Event()

    def slow(folder: Path, card: ModelCard) -> Fake:
        assert card.version == "1" or gate.wait(10)
        return linear(folder, card)

    write_version(tmp_path, "fake", "1")
    first = make_store(tmp_path)
    second = make_store(tmp_path, load_savedmodel=slow, wait=False)
    write_version(tmp_path, "fake", "2")
    first.poll()
    second.poll()
    for _ in range(50):  # the first has it long before the second
        first.poll()
    assert default(first) == default(second) == "1"
    gate.set()
    loaded()
    poll_all(first, second)
    assert default(first) == default(second) == "2"


def test_what_one_worker_refuses_none_serves_and_none_tries_again(tmp_path: Path) -> None:
    tried = []

    def noting(folder: Path, card: ModelCard) -> Fake:
        tried.append(card.version)
        return linear(folder, card)

    write_version(tmp_path, "fake", "1")
    first = make_store(tmp_path, load_savedmodel=broken("2"))
    second = make_store(tmp_path, load_savedmodel=noting)
    write_version(tmp_path, "fake", "2")
    poll_all(first, second)
    poll_all(first, second)
    assert served(first) == served(second) == ["1"]
    assert first.served_models["fake"].refused == second.served_models["fake"].refused != {}
    third = make_store(tmp_path, load_savedmodel=noting)
    assert served(third) == ["1"] and "2" not in tried[tried.index("1") + 2 :]


def test_a_worker_that_comes_later_serves_what_the_others_do(tmp_path: Path) -> None:
    for number in ("1", "2"):
        write_version(tmp_path, "fake", number)
    write_labels(tmp_path, {"stable": 1})
    first = make_store(tmp_path)
    (tmp_path / "fake" / "labels.json").write_text("{")
    write_version(tmp_path, "fake", "3")
    gate = threading.Event()

    def slow(folder: Path, card: ModelCard) -> Fake:
        assert gate.wait(10)
        return linear(folder, card)

    second = make_store(tmp_path, load_savedmodel=slow, wait=False)
    assert served(second) == ["1", "2"] and default(second) == "1"
    with second.handle("fake") as version:
        assert version.for_predict(NO_DEADLINE).card.version == "1"
        with pytest.raises(NotReady):
            version.for_explain(NO_DEADLINE)
    gate.set()
    loaded()
    poll_all(first, second)
    assert served(first) == served(second) == ["1", "2", "3"] and default(first) == default(second) == "1"


def test_a_worker_does_not_answer_by_another_version_than_the_one_it_cannot_open(tmp_path: Path) -> None:
    """The files of a version were spoilt after the others had loaded it."""
    for number in ("1", "2"):
        write_version(tmp_path, "fake", number)
    first = make_store(tmp_path)
    poll_all(first)
    spoil(tmp_path, "2")
    second = make_store(tmp_path)
    poll_all(first, second)
    assert default(first) == "2"
    for asked in (None, "2"):
        with pytest.raises(NotReady, match="fake version 2"), second.handle("fake", asked):
            pass
    with second.handle("fake", "1") as version:
        assert version.card.version == "1"


def test_a_dead_worker_does_not_delay_the_others(tmp_path: Path) -> None:
    write_version(tmp_path, "fake", "1")
    clock = Clock()
    alive, dead = make_store(tmp_path, now=clock), make_store(tmp_path, now=clock)
    poll_all(alive, dead)
    write_version(tmp_path, "fake", "2")
    for _ in range(5):
        clock.seconds += HEARTBEAT_TIMEOUT / 6
        alive.poll()
        loaded()
    assert default(alive) == "1"  # the other is only slow, as far as anyone knows
    clock.seconds += HEARTBEAT_TIMEOUT / 3
    alive.poll()
    assert default(alive) == "2"
    assert len(list((tmp_path / ".run" / "versions" / "workers").iterdir())) == 1
    dead.poll()  # it was only slow: it follows
    assert default(dead) == "2"


def test_a_dead_process_does_not_count_even_with_a_fresh_heartbeat(tmp_path: Path) -> None:
    write_version(tmp_path, "fake", "1")
    store = make_store(tmp_path)
    poll_all(store)
    (mine,) = (tmp_path / ".run" / "versions" / "workers").iterdir()
    gone = {**json.loads(mine.read_text()), "worker": "gone", "pid": 2**22 + 1}  # above what Linux gives out
    (mine.parent / "gone.json").write_text(json.dumps(gone))
    write_version(tmp_path, "fake", "2")
    poll_all(store)
    assert default(store) == "2"


def test_a_lock_held_for_long_does_not_keep_workers_from_answering(tmp_path: Path) -> None:
    for number in ("1", "2"):
        write_version(tmp_path, "fake", number)
    store = make_store(tmp_path)
    poll_all(store)
    write_labels(tmp_path, {"stable": 1})
    with SharedState(tmp_path / ".run").locked() as has_lock:
        assert has_lock
        store.poll()
        assert default(store) == "2"  # nothing is agreed yet
    poll_all(store)
    assert default(store) == "1"


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"generation": 1}', '{"generation": 1, "models": {"fake": {"x": 1}}}']
)
def test_a_state_that_cannot_be_read_is_made_anew(tmp_path: Path, text: str) -> None:
    write_version(tmp_path, "fake", "1")
    store = make_store(tmp_path)
    (tmp_path / ".run" / "versions" / "state.json").write_text(text)
    poll_all(store)
    assert served(store) == served(make_store(tmp_path)) == ["1"]


def test_a_card_that_goes_while_a_version_is_being_removed_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_version(tmp_path, "fake", "1")
    write_version(tmp_path, "fake", "2")
    store = make_store(tmp_path)
    (tmp_path / "fake" / "2" / CARD).unlink()
    poll_all(store)
    assert served(store) == ["1"] and not errors_in(caplog)
