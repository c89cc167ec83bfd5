"""What counts as a version, which one answers, and that a broken one is refused with its reason."""

import json
import shutil
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.errors import NotReady, UnknownModel
from server.models.card import BACKGROUND, CARD, TWIN, BrokenVersion, read_card
from server.protocols import NO_DEADLINE
from server.types import Array, ModelCard
from tests.support.answers import errors_in
from tests.support.models.fakes import Fake, Linear
from tests.support.models.stores import (
    CLASSES,
    REASONS,
    linear,
    loaded,
    make_store,
    poll_all,
    sha256,
    write_labels,
    write_version,
)


def versions(root: Path) -> list[str]:
    served_models = make_store(root).served_models
    return list(served_models["fake"].versions) if "fake" in served_models else []


def test_a_card_is_read_with_all_that_it_says(tmp_path: Path) -> None:
    folder = write_version(tmp_path, "fake", "12", in_distribution={"threshold": 4.5})
    card = read_card(folder)
    assert (card.name, card.version, card.architecture) == ("fake", "12", "fake")
    assert card.digest == "sha256:" + sha256(folder / CARD)
    assert card.classes == tuple(str(k) for k in range(CLASSES))
    assert (card.image.height, card.image.width) == (28, 28)
    assert (card.temperature, card.energy_threshold) == (2.0, 4.5)
    assert (card.metrics, card.training) == (REASONS["metrics"], REASONS["training"])
    with np.load(folder / BACKGROUND) as stored:
        assert np.array_equal(card.background, stored["centroids"])


def append(name: str | Path) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with (folder / name).open("ab") as file:
            file.write(b"x")

    return change


def replaced_card(text: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / CARD).write_bytes(text)


def changed_card(**fields: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        stored = json.loads((folder / CARD).read_text())
        (folder / CARD).write_text(json.dumps({**stored, **fields}))

    return change


def without(field: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        stored = json.loads((folder / CARD).read_text())
        del stored[field]
        (folder / CARD).write_text(json.dumps(stored))

    return change


def background(content: bytes | np.ndarray) -> Callable[[Path], None]:
    """Another background, with its right hash in the card."""

    def change(folder: Path) -> None:
        if isinstance(content, bytes):
            (folder / BACKGROUND).write_bytes(content)
        else:
            np.savez(folder / BACKGROUND, centroids=content)
        stored = json.loads((folder / CARD).read_text())
        changed_card(files={**stored["files"], BACKGROUND.as_posix(): sha256(folder / BACKGROUND)})(folder)

    return change


def unlisted(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        stored = json.loads((folder / CARD).read_text())
        del stored["files"][name]
        changed_card(**stored)(folder)

    return change


def unpackable() -> bytes:
    """A background whose compressed numbers are no such stream."""
    file = BytesIO()
    np.savez_compressed(file, centroids=np.random.default_rng(0).random((2, 28, 28)).astype(np.float32))
    body = bytearray(file.getvalue())
    body[100:4000] = b"\xff" * 3900
    return bytes(body)


def litert(**changes: Any) -> Callable[[Path], Any]:
    """Tell of the twin as format 2 does, but for some of it."""
    reported = {
        "file": TWIN.as_posix(),
        "roles": ["predict"],
        "rows": {"forward": [1]},
        "memory_bytes": 1000,
        **changes,
    }
    return changed_card(format=2, litert=[reported])


BREAKS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a tampered graph": (append("saved_model.pb"), "saved_model.pb has SHA-256"),
    "a tampered twin": (append(TWIN), "model.tflite has SHA-256"),
    "a tampered background": (append(BACKGROUND), "background.npz has SHA-256"),
    "a missing file": (lambda folder: (folder / "saved_model.pb").unlink(), "saved_model.pb"),
    "a card that breaks off": (replaced_card(b'{"format": 1'), "JSONDecodeError"),
    "a card that is not text": (replaced_card(b'{"format": "\xff"}'), "UnicodeDecodeError"),
    "a card of another kind": (replaced_card(b"[1]"), "AttributeError"),
    "another format": (changed_card(format=3), "format 3; expected 1 or 2"),
    "no format": (without("format"), "format None; expected 1 or 2"),
    "format 2 without LiteRT files": (changed_card(format=2), "'litert'"),
    "a LiteRT file without a hash": (litert(file="assets.extra/other.tflite"), "other.tflite has no SHA-256"),
    "a LiteRT file for nothing": (litert(roles=[]), "roles []; expected some of explain, predict"),
    "a LiteRT file for something else": (litert(roles=["predict", "train"]), "'train'"),
    "a LiteRT file without functions": (litert(rows={}), "rows {}"),
    "an unknown function": (litert(rows={"backward": [1]}), "'backward'"),
    "a function of no rows": (litert(rows={"forward": [0]}), "expected numbers of rows"),
    "rows that are no number": (litert(rows={"forward": ["1"]}), "expected numbers of rows"),
    "memory that is no number": (litert(memory_bytes="4 MB"), "memory_bytes '4 MB'"),
    "pictures made otherwise": (
        changed_card(image={"height": 28, "width": 28, "preprocessing": "crop"}),
        "'crop'; expected digit or resize",
    ),
    "pixels in another range": (
        changed_card(image={"height": 28, "width": 28, "range": [0, 255]}),
        "range [0, 255]; expected [0, 1]",
    ),
    "no classes": (without("classes"), "'classes'"),
    "no temperature": (without("temperature"), "'temperature'"),
    "a threshold that is no number": (changed_card(in_distribution={"threshold": "high"}), "'high'"),
    "a file of another folder": (changed_card(files={"../2/saved_model.pb": "0"}), "lies outside"),
    "a file of the machine": (changed_card(files={"/etc/passwd": "0"}), "lies outside"),
    "files that are a list": (changed_card(files=["saved_model.pb"]), "model_card.json"),
    "the card of another version": (changed_card(version="9"), "that of fake version 9"),
    "the card of another model": (changed_card(name="plain"), "that of plain version 3"),
    "a background of another shape": (background(np.zeros((28, 28))), "(28, 28)"),
    "a background with NaN": (background(np.full((2, 28, 28), np.nan)), "expected finite"),
    "a background of another size than the images": (background(np.zeros((2, 27, 28))), "(2, 27, 28)"),
    "no background image": (background(np.zeros((0, 28, 28))), "(0, 28, 28)"),
    "a graph without a hash": (unlisted("saved_model.pb"), "saved_model.pb has no SHA-256"),
    "a twin without a hash": (unlisted(TWIN.as_posix()), "model.tflite has no SHA-256"),
    "a background that is text": (background(b"hello"), "model_card.json"),
    "an empty background": (background(b""), "cannot be used"),
    "a background that does not unpack": (background(unpackable()), "cannot be used"),
    "a temperature of 0": (changed_card(temperature=0), "temperature 0.0; expected"),
    "a temperature that is no number": (changed_card(temperature=float("nan")), "temperature nan; expected"),
    "a class that is no text": (changed_card(classes=["\ud800"] * 10), "can't encode character '\\ud800'"),
    "a threshold of NaN": (changed_card(in_distribution={"threshold": float("nan")}), "threshold nan; expected"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_version_is_refused_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    for version in ("1", "2", "3"):
        write_version(tmp_path, "fake", version)
    breaks, words = BREAKS[name]
    breaks(tmp_path / "fake" / "3")
    store = make_store(tmp_path)
    poll_all(store)
    assert list(store.served_models["fake"].versions) == ["1", "2"]
    (record,) = errors_in(caplog)
    assert str(tmp_path / "fake" / "3") in record.getMessage()
    assert words in record.getMessage()
    reported = store.served_models["fake"].refused
    assert list(reported) == ["3"] and words in reported["3"] and str(tmp_path) not in reported["3"]


def test_a_version_without_a_card_is_not_there_yet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for version in ("1", "2"):
        write_version(tmp_path, "fake", version)
    card = (tmp_path / "fake" / "2" / CARD).rename(tmp_path / "card")
    store = make_store(tmp_path)
    assert list(store.served_models["fake"].versions) == ["1"]
    assert store.served_models["fake"].refused == {} and not errors_in(caplog)
    card.rename(tmp_path / "fake" / "2" / CARD)
    poll_all(store)
    assert list(store.served_models["fake"].versions) == ["1", "2"]


def answering(change: Callable[[Array], Array], version: str = "2") -> Callable[[Path, ModelCard], Fake]:
    """A loader whose models answer wrong in one version."""

    class Wrong(Linear):
        def logits(self, images: Array) -> Array:
            return change(super().logits(images))

    return lambda path, card: Wrong(card, card.verbs) if card.version == version else linear(path, card)


WRONG: dict[str, tuple[Callable[[Array], Array], str]] = {
    "NaN": (lambda logits: logits * np.nan, "not finite"),
    "infinite for one class": (lambda logits: np.where(np.arange(CLASSES) == 3, np.inf, logits), "not finite"),
    "of too few classes": (lambda logits: logits[:, :9], "(6, 10)"),
    "of one row": (lambda logits: logits[0], "expected"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("lane", ["twin", "full"])
def test_wrong_answers_for_the_background_are_refused(tmp_path: Path, name: str, lane: str) -> None:
    for version in ("1", "2"):
        write_version(tmp_path, "fake", version)
    change, words = WRONG[name]
    wrong = answering(change)
    store = make_store(tmp_path, *((wrong, linear) if lane == "twin" else (linear, wrong)))
    assert list(store.served_models["fake"].versions) == ["1"]
    refused = store.served_models["fake"].refused["2"]
    assert ("model.tflite" if lane == "twin" else "the SavedModel") in refused
    assert words.replace("(6", "(1" if lane == "twin" else "(6") in refused


@pytest.mark.parametrize(("apart", "good"), [(0.9e-3, True), (1.2e-3, False)])
def test_a_twin_answers_what_its_savedmodel_does(tmp_path: Path, apart: float, good: bool) -> None:
    for version in ("1", "2"):
        write_version(tmp_path, "fake", version)
    store = make_store(tmp_path, answering(lambda logits: logits + apart * np.eye(CLASSES)[7]))
    assert ("2" in store.served_models["fake"].versions) == good
    assert good or "model.tflite and the SavedModel differ by 0.0012" in store.served_models["fake"].refused["2"]


def test_reading_a_broken_card_raises(tmp_path: Path) -> None:
    folder = write_version(tmp_path)
    append("saved_model.pb")(folder)
    with pytest.raises(BrokenVersion, match=r"saved_model\.pb"):
        read_card(folder)


def test_a_twin_that_does_not_load_harms_no_other_version(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for version in ("1", "2"):
        write_version(tmp_path, "fake", version)

    def partly(path: Path, card: ModelCard) -> Fake:
        if card.version == "2":
            raise ValueError("not a flatbuffer")
        return linear(path, card)

    store = make_store(tmp_path, partly)
    with store.handle("fake", "1") as served:
        assert served.for_predict(NO_DEADLINE).card.version == "1"
    (record,) = errors_in(caplog)
    assert record.exc_info is not None and "not a flatbuffer" in str(record.exc_info[1])


def test_only_whole_numbers_without_a_dot_are_versions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_version(tmp_path, "fake", "1")
    for name in (".2.77.aside", "2.aside", "aside", "-3", "v4", ".5"):
        shutil.copytree(folder, tmp_path / "fake" / name)
    shutil.copytree(tmp_path / "fake", tmp_path / ".fake.aside")
    (tmp_path / "fake" / "6").write_text("a file")
    (tmp_path / "README.md").write_text("a file")
    (tmp_path / "nothing").mkdir()
    store = make_store(tmp_path)
    assert {name: list(served_model.versions) for name, served_model in store.served_models.items()} == {"fake": ["1"]}
    assert not errors_in(caplog)


def test_the_latest_is_the_greatest_number(tmp_path: Path) -> None:
    for version in ("9", "10", "2"):
        write_version(tmp_path, "fake", version)
    assert versions(tmp_path) == ["2", "9", "10"]
    with make_store(tmp_path).handle("fake") as served:
        assert served.card.version == served.for_predict(NO_DEADLINE).card.version == "10"


@pytest.mark.parametrize(
    ("text", "labels", "default"),
    [
        ('{"stable": 1}', {"stable": "1"}, "1"),
        ('{"stable": "1"}', {"stable": "1"}, "1"),
        ('{"canary": 1}', {"canary": "1"}, "2"),
        ('{"stable": 7}', {"stable": "7"}, "2"),
        (None, {}, "2"),
    ],
)
def test_the_default_is_the_stable_label_where_it_points_at_a_version(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str | None, labels: dict[str, str], default: str
) -> None:
    for version in ("1", "2"):
        write_version(tmp_path, "fake", version)
    if text is not None:
        (tmp_path / "fake" / "labels.json").write_text(text)
    store = make_store(tmp_path)
    assert store.served_models["fake"].labels == labels
    with store.handle("fake") as served:
        assert served.card.version == default
    assert not errors_in(caplog)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        "null",
        '{"stable": null}',
        '{"stable": [1]}',
        '{"stable": "latest"}',
        '{"stable": 1e999}',
        '{"stable": 1.5}',
        '{"stable": true}',
    ],
)
def test_broken_labels_are_reported_and_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str) -> None:
    for version in ("1", "2"):
        write_version(tmp_path, "fake", version)
    (tmp_path / "fake" / "labels.json").write_text(text)
    store = make_store(tmp_path)
    with store.handle("fake") as served:
        assert served.card.version == "2"
    (record,) = errors_in(caplog)
    assert str(tmp_path / "fake") in record.getMessage() and "labels.json" in record.getMessage()
    assert list(store.served_models["fake"].refused) == ["labels.json"]


def test_versions_are_found_by_number_and_label_and_errors_list_them(tmp_path: Path) -> None:
    for version in ("1", "2"):
        write_version(tmp_path, "fake", version)
    write_labels(tmp_path, {"canary": 1, "gone": 7})
    store = make_store(tmp_path)
    for requested, version in ((None, "2"), ("1", "1"), ("2", "2"), ("canary", "1")):
        with store.handle("fake", requested) as served:
            assert served.card.version == version
    for requested in ("3", "stable", "gone", "", "01"):
        with pytest.raises(UnknownModel, match=f"'{requested}'.*1, 2, canary"), store.handle("fake", requested):
            pass
    with pytest.raises(UnknownModel, match=r"'other'.*fake"), store.handle("other"):
        pass


def test_the_twin_predicts_and_the_savedmodel_does_the_rest(tmp_path: Path) -> None:
    write_version(tmp_path)
    gate = threading.Event()

    def slow(folder: Path, card: ModelCard) -> Fake:
        assert gate.wait(10)
        return linear(folder, card)

    store = make_store(tmp_path, load_savedmodel=slow, wait=False)
    with store.handle("fake") as served:
        twin = served.for_predict(NO_DEADLINE)
        with pytest.raises(NotReady, match="loading"):
            served.for_explain(NO_DEADLINE)
        gate.set()
        loaded()
        full = served.for_explain(NO_DEADLINE)
        assert served.for_predict(NO_DEADLINE) is twin and full is not twin


def test_what_the_savedmodel_can_do_counts_more_than_its_card(tmp_path: Path) -> None:
    write_version(tmp_path)
    assert "attention" in read_card(tmp_path / "fake" / "1").verbs
    with make_store(tmp_path, load_savedmodel=lambda _, card: Linear(card, frozenset({"forward"}))).handle(
        "fake"
    ) as served:
        assert served.verbs == {"forward"}
