"""Loading and unloading on request: all workers follow, and the index has the state of each version."""

import threading
from pathlib import Path

import pytest

from server.errors import BrokenModel, NotReady, UnknownModel
from server.models.repository.store import Store
from server.protocols import NO_DEADLINE
from server.types import ModelCard
from tests.support.models.fakes import Fake
from tests.support.models.stores import linear, loaded, make_store, poll_all, write_version


def states(store: Store, name: str = "fake") -> dict[str, tuple[str, str]]:
    return {one["version"]: (one["state"], one["reason"]) for one in store.index() if one["name"] == name}


class Ticks:
    """A clock that advances by half a second at each reading, so that no test waits for long."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        self.time += 0.5
        return self.time


def test_all_workers_unload_and_load(tmp_path: Path) -> None:
    write_version(tmp_path, "fake", "1")
    write_version(tmp_path, "plain", "3")
    first, second = make_store(tmp_path), make_store(tmp_path)
    first.unload("fake", Ticks())
    second.poll()
    for store in (first, second):
        assert list(store.served_models) == ["plain"]
        assert states(store) == {"1": ("UNAVAILABLE", "unloaded")}
        assert states(store, "plain") == {"3": ("READY", "")}
        with pytest.raises(UnknownModel, match="unloaded"), store.handle("fake"):
            pass
    third = make_store(tmp_path)
    poll_all(first, second, third)
    assert [list(store.served_models) for store in (first, second, third)] == 3 * [["plain"]]

    stop = threading.Event()

    def others() -> None:
        while not stop.is_set():
            for store in (second, third):
                store.poll()

    polling = threading.Thread(target=others)
    polling.start()
    try:
        first.load("fake")
        for store in (first, second, third):  # they followed before the request was answered
            assert list(store.served_models) == ["fake", "plain"] and states(store) == {"1": ("READY", "")}
    finally:
        stop.set()
        polling.join()
    with first.handle("fake") as version:
        assert version.for_explain(NO_DEADLINE).card.version == "1"


def test_a_load_says_that_another_request_unloaded_the_model_meanwhile(tmp_path: Path) -> None:
    write_version(tmp_path, "fake", "1")
    first, second = make_store(tmp_path), make_store(tmp_path)

    def meanwhile() -> float:
        second.unload("fake", Ticks())
        first.poll()
        return clock()

    clock = Ticks()
    with pytest.raises(NotReady, match="unloaded by another request"):
        first.load("fake", meanwhile)


def test_an_unload_that_other_workers_ignore_returns_after_two_seconds(tmp_path: Path) -> None:
    write_version(tmp_path, "fake", "1")
    first, second = make_store(tmp_path), make_store(tmp_path)
    clock = Ticks()
    first.unload("fake", clock)
    assert 2 <= clock.time <= 4
    assert "fake" not in first.served_models and "fake" in second.served_models


@pytest.mark.parametrize("name", ["nothing", "", "..", "."])
def test_an_unknown_model_is_neither_loaded_nor_unloaded(tmp_path: Path, name: str) -> None:
    write_version(tmp_path, "fake", "1")
    store = make_store(tmp_path)
    for wish in (store.load, store.unload):
        with pytest.raises(UnknownModel, match="fake"):
            wish(name)
    assert states(store) == {"1": ("READY", "")}


def test_error_says_why_a_broken_model_is_not_loaded(tmp_path: Path) -> None:
    write_version(tmp_path, "fake", "1")
    folder = write_version(tmp_path, "broken", "2")
    (folder / "saved_model.pb").write_bytes(b"x")
    store = make_store(tmp_path)
    with pytest.raises(BrokenModel, match=r"version 2: saved_model\.pb has SHA-256"):
        store.load("broken")
    assert states(store, "broken")["2"][0] == "UNAVAILABLE" and "SHA-256" in states(store, "broken")["2"][1]
    with pytest.raises(UnknownModel, match="SHA-256"), store.handle("broken"):
        pass


def test_loading_tries_again_what_was_refused(tmp_path: Path) -> None:
    fails = True

    def sometimes(folder: Path, card: ModelCard) -> Fake:
        if fails and card.version == "2":
            raise MemoryError
        return linear(folder, card)

    write_version(tmp_path, "fake", "1")
    write_version(tmp_path, "fake", "2")
    store = make_store(tmp_path, load_savedmodel=sometimes)
    assert states(store)["2"] == ("UNAVAILABLE", "its SavedModel could not be loaded; the server's log says why")
    before = store.served_models["fake"].versions["1"]
    store.load("fake")
    assert states(store)["2"][0] == "UNAVAILABLE"
    fails = False
    store.load("fake")
    assert states(store) == {"1": ("READY", ""), "2": ("READY", "")}
    assert store.served_models["fake"].refused == {}
    assert store.served_models["fake"].versions["1"] is before  # what was good is not loaded again


def test_loading_finds_a_folder_before_the_next_poll(tmp_path: Path) -> None:
    write_version(tmp_path, "fake", "1")
    store = make_store(tmp_path)
    write_version(tmp_path, "new", "5")
    store.load("new")
    with store.handle("new") as version:
        assert version.for_explain(NO_DEADLINE).card.version == "5"


def test_the_index_tells_loading_and_unwanted_versions(tmp_path: Path) -> None:
    gate = threading.Event()

    def slow(folder: Path, card: ModelCard) -> Fake:
        assert card.version != "3" or gate.wait(10)
        return linear(folder, card)

    for number in ("1", "2"):
        write_version(tmp_path, "fake", number)
    store = make_store(tmp_path, load_savedmodel=slow, policy="latest:1")
    write_version(tmp_path, "fake", "3")
    store.poll()
    store.poll()
    assert states(store) == {
        "1": ("UNAVAILABLE", "INKLING_VERSIONS leaves it out"),
        "2": ("READY", ""),
        "3": ("LOADING", "it is being loaded and checked"),
    }
    gate.set()
    loaded()
    poll_all(store)
    assert states(store)["3"] == ("READY", "")
