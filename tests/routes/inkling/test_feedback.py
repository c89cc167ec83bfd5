"""Right labels that people tell: what is kept, that training takes it, and what is refused."""

import base64
import json
import os
import resource
import signal
from collections.abc import Iterator
from io import BytesIO
from multiprocessing import Process
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from server.errors import FeedbackNotKept
from server.feedback import FeedbackLog
from tests.auth.test_keys import bearer, write_keys
from tests.conftest import MakeApp
from tests.support.answers import check_error, post_explain
from tests.support.models.stores import SEVEN
from training.data import load
from training.errors import DataError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "labels.jsonl"


@pytest.fixture
def client(make_app: MakeApp, file: Path) -> Iterator[FlaskClient]:
    with make_app(feedback=file).test_client() as client:
        yield client


def entries(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def pixels_of(entry: dict[str, Any]) -> Any:
    return np.frombuffer(base64.b64decode(entry["pixels"]), np.uint8).reshape(entry["shape"])


def test_a_picture_is_kept_as_the_model_got_it_with_its_right_label(client: FlaskClient, file: Path) -> None:
    answer = client.post("/v1/feedback?label=7", data=SEVEN)
    predicted = client.post("/v1/predict?pixels=true", data=SEVEN).get_json()
    assert answer.status_code == 200, answer.text
    told = {"kept": True, "label": "7", "answered": predicted["prediction"]["label"]}
    assert answer.get_json() == {**told, "model": {"name": "fake", "version": "2"}}
    (entry,) = entries(file)
    assert entry["label"] == "7" and entry["answered"] == told["answered"] and entry["model"] == "fake/2"
    assert pixels_of(entry) / 255 == pytest.approx(np.array(predicted["preprocessing"]["pixels"]), abs=1 / 510 + 1e-6)
    assert os.stat(file).st_mode & 0o777 == 0o600


def test_the_label_may_lie_beside_the_picture(client: FlaskClient, file: Path) -> None:
    pixels = (np.eye(28) * 255).astype(int)
    assert client.post("/v1/feedback", json={"pixels": pixels.tolist(), "label": 3}).status_code == 200
    assert np.array_equal(pixels_of(entries(file)[0]), pixels) and entries(file)[0]["label"] == "3"


def test_an_explanation_that_is_kept_is_enough(client: FlaskClient, file: Path) -> None:
    explained = post_explain(client)
    answer = client.post(f"/v1/feedback?id={explained['id']}&label=1")
    assert answer.status_code == 200 and answer.get_json()["answered"] == explained["prediction"]["label"]
    client.post("/v1/feedback?label=1", data=SEVEN)
    of_id, of_picture = entries(file)
    assert of_id["pixels"] == of_picture["pixels"]


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "words"),
    [
        ("", SEVEN, 400, "invalid_option", ("label is missing", "label=7")),
        ("?label=77", SEVEN, 400, "invalid_option", ("'77'", "tells 0, 1")),
        ("?label=7", b"", 400, "empty_body", ()),
        ("?label=7&target=3", SEVEN, 400, "unknown_option", ("target",)),
        ("?label=7&id=" + 32 * "0", SEVEN, 400, "bad_request", ("an id and a body",)),
        ("?label=7&id=" + 32 * "0", b"", 404, "unknown_explanation", ("send its picture",)),
        ("?label=7&id=..", b"", 404, "unknown_explanation", ("send its picture",)),
        ("?label=7&id=" + 32 * "0" + "&model=fake", b"", 400, "unknown_option", ("model",)),
    ],
)
def test_what_cannot_be_kept_is_said_and_nothing_is_written(
    client: FlaskClient, file: Path, path: str, body: bytes, status: int, code: str, words: tuple[str, ...]
) -> None:
    check_error(client.post("/v1/feedback" + path, data=body), status, code, words)
    assert not file.exists()


def test_several_pictures_need_several_requests(client: FlaskClient, file: Path) -> None:
    images = [(BytesIO(SEVEN), f"{number}.png") for number in range(2)]
    answer = client.post("/v1/feedback?label=7", data={"image": images})
    check_error(answer, 400, "bad_request", ("2 pictures with one label",))
    assert not file.exists()


def test_it_is_off_until_a_file_is_named(make_app: MakeApp) -> None:
    answer = make_app().test_client().post("/v1/feedback?label=7", data=SEVEN)
    check_error(answer, 403, "forbidden", ("INKLING_FEEDBACK=FILE",))


def test_pages_of_other_sites_may_not_teach(client: FlaskClient, file: Path) -> None:
    answer = client.post("/v1/feedback?label=7", data=SEVEN, headers={"Sec-Fetch-Site": "cross-site"})
    check_error(answer, 403, "forbidden", ("page of another site",))
    assert not file.exists()


def test_where_keys_are_on_one_of_scope_predict_is_needed(make_app: MakeApp, file: Path, tmp_path: Path) -> None:
    keys = write_keys(tmp_path / "keys", web="predict", other="explain")
    client = make_app(feedback=file, keys_file=tmp_path / "keys").test_client()
    statuses = [client.post("/v1/feedback?label=7", data=SEVEN).status_code]
    statuses += [
        client.post("/v1/feedback?label=7", data=SEVEN, headers=bearer(keys[name])).status_code
        for name in ("other", "web")
    ]
    assert statuses == [401, 403, 200]


def test_a_full_file_takes_no_more_and_keeps_what_it_has(make_app: MakeApp, file: Path) -> None:
    client = make_app(feedback=file, feedback_bytes=4096).test_client()
    statuses = [client.post("/v1/feedback?label=7", data=SEVEN).status_code for _ in range(4)]
    assert statuses == [200] * statuses.count(200) + [507] * statuses.count(507) and statuses[-1] == 507
    assert len(entries(file)) == statuses.count(200) > 0
    check_error(client.post("/v1/feedback?label=7", data=SEVEN), 507, "feedback_not_kept", ("FEEDBACK_BYTES",))
    assert client.post("/v1/predict", data=SEVEN).status_code == 200


def test_a_folder_that_is_not_there_is_said_without_its_path(make_app: MakeApp, tmp_path: Path) -> None:
    client = make_app(feedback=tmp_path / "none" / "labels.jsonl").test_client()
    answer = client.post("/v1/feedback?label=7", data=SEVEN)
    check_error(answer, 507, "feedback_not_kept", ("No such file",))
    assert str(tmp_path) not in answer.text


# The file.


def add(file: Path, label: int, times: int = 1) -> None:
    for _ in range(times):
        FeedbackLog(file, 1 << 20).add(np.full((28, 28), label / 10), str(label), "0", "cnn", "3")


def test_processes_write_whole_lines_at_the_same_time(file: Path) -> None:
    writers = [Process(target=add, args=(file, label, 50)) for label in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    labels = [entry["label"] for entry in entries(file)]
    assert sorted(labels) == sorted(50 * ["0", "1", "2", "3"])


def test_a_line_that_a_full_disk_cuts_off_is_taken_back(file: Path) -> None:
    add(file, 1)
    size = file.stat().st_size
    process = Process(target=add_within, args=(file, size + 100))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert file.stat().st_size == size and len(entries(file)) == 1


def add_within(file: Path, limit: int) -> None:
    """Write where no file may be larger: the kernel then takes the part that fits, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    with pytest.raises(FeedbackNotKept):
        add(file, 2)


def test_training_takes_the_file(file: Path) -> None:
    for label in range(10):
        add(file, label, 3)
    data = load(str(file))
    assert len(data.train_images) + len(data.validation_images) == 24 and len(data.test_images) == 6
    assert data.train_images.shape[1:] == (28, 28) and data.classes == 10
    assert np.allclose(data.train_images.mean(axis=(1, 2)), np.rint(data.train_labels * 25.5) / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2: is no labelled digit"),
        ('{"label": "7"}', "line 2: is no labelled digit"),
        ('{"label": "x", "pixels": "AA==", "shape": [1, 1]}', "line 2: is no labelled digit"),
        ('{"label": "7", "pixels": "AA==", "shape": [2, 1]}', "line 2: is no labelled digit"),
        ("", "has 1 labelled digits; expected 10"),
    ],
)
def test_a_broken_file_is_said_with_its_line(file: Path, line: str, words: str) -> None:
    add(file, 1)
    with file.open("a") as lines:
        lines.write(line)
    with pytest.raises(DataError, match=words):
        load(str(file))
