"""The application around the requests: starting, loading in the background, readiness, listings, and every header."""

import re
import threading
import uuid
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from server.app import create_app
from server.config import Settings
from server.explainers import EXPLAINERS
from server.types import Model, ModelCard
from tests.conftest import MakeApp, loaded
from tests.support.answers import check_error, errors_in, post_explain, post_predict
from tests.support.models.stores import CLASSES, SEVEN, linear, write_labels, write_version


class Gate:
    """A loader that waits until it is opened, and notes what it loaded."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.loaded: list[str] = []

    def __call__(self, folder: Path, card: ModelCard) -> Model:
        assert self.open.wait(10)
        self.loaded.append(f"{card.name} {card.version}")
        return linear(folder, card)


def test_while_models_load_predictions_answer_and_explanations_ask_for_patience(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    client = make_app(gate, wait=False).test_client()
    try:
        assert client.get("/livez").status_code == 200
        ready = client.get("/readyz")
        assert (ready.status_code, ready.get_json()) == (200, {"ready": True, "explain": "loading"})
        assert client.get("/v1/models/fake").get_json()["explain"] == "loading"
        early = post_predict(client)
        response = client.post("/v1/explain", data=SEVEN)
        check_error(response, 503, "not_ready", ("fake version 2", "loading", "try again"))
        assert 1 <= int(response.headers["Retry-After"]) <= 10
        assert not errors_in(caplog)
    finally:
        gate.open.set()
        loaded()
    assert client.get("/readyz").get_json() == {"ready": True, "explain": "ready"}
    assert client.get("/v1/models/fake").get_json()["explain"] == "ready"
    assert post_explain(client)["prediction"] == early["prediction"]
    assert set(gate.loaded[:2]) == {"fake 2", "plain 1"}  # the defaults come first
    assert set(gate.loaded) == {"fake 1", "fake 2", "fake 10", "plain 1"}


def test_without_a_twin_nothing_is_answered_before_the_savedmodel_is_there(make_app: MakeApp, tmp_path: Path) -> None:
    write_version(tmp_path, twin=False)
    gate = Gate()
    client = make_app(gate, wait=False, model_store=tmp_path).test_client()
    try:
        ready = client.get("/readyz")
        assert (ready.status_code, ready.get_json()["ready"]) == (503, False)
        response = client.post("/v1/predict", data=SEVEN)
        check_error(response, 503, "not_ready", ("loading", "predict"))
        assert response.headers["Retry-After"]
    finally:
        gate.open.set()
        loaded()
    assert client.get("/readyz").status_code == 200
    assert post_predict(client)["model"]["version"] == "1"
    assert post_explain(client)["explanation"]["method"] == "shapley"


def test_explanations_switched_off(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    def never(folder: Path, card: ModelCard) -> Model:
        raise AssertionError("nothing is loaded")

    client = make_app(never, explain="off").test_client()
    assert client.get("/readyz").get_json() == {"ready": True, "explain": "off"}
    assert client.get("/v1/models/fake").get_json()["explain"] == "off"
    assert post_predict(client)["model"]["version"] == "2"
    response = client.post("/v1/explain", data=SEVEN)
    check_error(response, 503, "not_ready", ("INKLING_EXPLAIN=off", "fake version 2"))
    assert int(response.headers["Retry-After"]) >= 10
    assert not errors_in(caplog)


def test_a_savedmodel_that_does_not_load_harms_only_its_own_version(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    def partly(folder: Path, card: ModelCard) -> Model:
        if (card.name, card.version) == ("fake", "2"):
            raise RuntimeError("no such op: swordfish")
        return linear(folder, card)

    client = make_app(partly).test_client()
    (record,) = errors_in(caplog)
    assert record.exc_info is not None and "swordfish" in str(record.exc_info[1])
    details = client.get("/v1/models/fake")
    assert details.get_json()["versions"] == ["1", "10"] and details.get_json()["default"] == "10"
    assert "could not be loaded" in details.get_json()["refused"]["2"] and "swordfish" not in details.text
    assert any("stable points at version 2" in note for note in details.get_json()["notes"])
    check_error(client.post("/v1/predict?version=2", data=SEVEN), 404, "unknown_model", ("'2'", "1, 10"))
    for other in ("", "?version=1", "?version=10", "?model=plain"):
        assert post_explain(client, other)["explanation"]["method"] == "shapley"
    assert client.get("/readyz").status_code == 200


def test_the_only_version_predicts_even_if_its_savedmodel_does_not_load(
    make_app: MakeApp, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def never(folder: Path, card: ModelCard) -> Model:
        raise RuntimeError("no such op: swordfish")

    write_version(tmp_path)
    client = make_app(never, model_store=tmp_path).test_client()
    assert post_predict(client)["model"]["version"] == "1"
    response = client.post("/v1/explain", data=SEVEN)
    check_error(response, 503, "not_ready", ("fake version 1", "could not be loaded", "log"))
    assert "swordfish" not in response.text and response.headers["Retry-After"]
    assert "could not be loaded" in client.get("/v1/models/fake").get_json()["refused"]["1"]
    assert client.get("/readyz").get_json() == {"ready": True, "explain": "off"}
    assert len(errors_in(caplog)) == 1


@pytest.mark.parametrize("exists", [True, False])
def test_without_models_the_service_starts_and_says_what_is_missing(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture, tmp_path: Path, exists: bool
) -> None:
    folder = tmp_path / "empty"
    if exists:
        folder.mkdir()
    client = make_app(model_store=folder).test_client()
    (record,) = errors_in(caplog)
    assert str(folder) in record.getMessage() and "'fake'" in record.getMessage()
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 503
    assert client.get("/v1/models").get_json() == {"models": [], "details": []}
    assert all(method["models"] == [] for method in client.get("/v1/methods").get_json()["methods"])
    for path in ("/v1/predict", "/v1/explain"):
        check_error(client.post(path, data=SEVEN), 404, "unknown_model", ("'fake'", "none"))


def test_what_this_worker_does_not_have_yet_is_not_ready_in_any_dialect(make_app: MakeApp, tmp_path: Path) -> None:
    """Other workers serve it: a second request will be answered."""
    store, shared = tmp_path / "store", tmp_path / "run"
    for number in ("1", "2"):
        write_version(store, version=number)
    write_labels(store, {"canary": 2})
    make_app(model_store=store, run_dir=shared)
    with (store / "fake" / "2" / "saved_model.pb").open("ab") as file:
        file.write(b"x")  # spoilt after the first worker had loaded it
    client = make_app(model_store=store, run_dir=shared).test_client()
    rows = {"instances": [[0.5] * 784]}
    for response in (
        client.post("/v1/predict", data=SEVEN),
        client.post("/v1/models/fake:predict", json=rows),
        client.post("/v1/models/fake/versions/2:predict", json=rows),
        client.post("/v1/models/fake/labels/canary:predict", json=rows),
        client.get("/v2/models/fake/ready"),
    ):
        check_error(response, 503, "not_ready", ("fake version 2 is loading",))
        assert response.headers["Retry-After"] == "2"
    assert client.post("/v1/models/fake/versions/1:predict", json=rows).status_code == 200
    for path in ("/readyz", "/v2/health/ready"):
        response = client.get(path)
        assert (response.status_code, response.get_json()["ready"]) == (503, False)


def test_another_default_model(make_app: MakeApp) -> None:
    client = make_app(model="plain").test_client()
    assert post_predict(client)["model"]["name"] == "plain"
    assert post_explain(client)["model"]["name"] == "plain"
    assert client.get("/readyz").status_code == 200


def test_the_root_and_livez_say_that_the_service_is_alive(client: FlaskClient) -> None:
    reported = client.get("/").get_json()
    assert reported["status"] == "alive" and {"POST /v1/predict", "/v2", "/docs"} <= set(reported["see"])
    assert client.get("/livez").get_json() == {"status": "alive"}


REQUESTS = [("GET", "/livez"), ("POST", "/v1/predict"), ("GET", "/nowhere"), ("PUT", "/v1/predict")]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
@pytest.mark.parametrize("given", ["a", "7f3.A_b-9", "x" * 128])
def test_a_valid_request_id_comes_back(client: FlaskClient, method: str, path: str, given: str) -> None:
    response = client.open(path, method=method, headers={"X-Request-ID": given})
    assert response.headers.getlist("X-Request-ID") == [given]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
@pytest.mark.parametrize("given", [None, "", " ", "a b", "x" * 129, "é", "a,b", "<b>"])
def test_any_other_request_id_is_replaced_by_a_new_one(
    client: FlaskClient, method: str, path: str, given: str | None
) -> None:
    headers = {} if given is None else {"X-Request-ID": given}
    first, second = (client.open(path, method=method, headers=headers).headers["X-Request-ID"] for _ in range(2))
    assert uuid.UUID(hex=first) != uuid.UUID(hex=second)


@pytest.mark.parametrize(
    ("method", "path", "stages"),
    [
        ("POST", "/v1/predict", ["decode", "predict", "render", "total"]),
        ("POST", "/v1/explain", ["decode", "predict", "explain", "render", "total"]),
        ("GET", "/v1/models", ["total"]),
        ("GET", "/nowhere", ["total"]),
    ],
)
def test_server_timing_says_where_the_time_went(client: FlaskClient, method: str, path: str, stages: list[str]) -> None:
    header = client.open(path, method=method, data=SEVEN).headers["Server-Timing"]
    times = dict(re.findall(r"(\w+);dur=(\d+\.\d\d)(?:, |$)", header))
    assert list(times) == stages
    milliseconds = [float(value) for value in times.values()]
    assert sum(milliseconds[:-1]) <= milliseconds[-1] + 0.01 * len(stages)


def test_create_app_needs_nothing_but_settings(model_store: Path) -> None:
    first, second = (
        create_app(Settings(model_store=model_store, model=model, explain="off", poll_ms=0), load_twin=linear)
        for model in ("fake", "plain")
    )
    assert post_predict(first.test_client())["model"]["name"] == "fake"
    assert post_predict(second.test_client())["model"]["name"] == "plain"


def test_methods_are_listed_with_the_models_that_they_fit(client: FlaskClient) -> None:
    answer = client.get("/v1/methods").get_json()
    assert answer["default"] == "shapley"
    methods = {method["name"]: method for method in answer["methods"]}
    assert list(methods) == list(EXPLAINERS)
    assert methods["shapley"]["aliases"] == ["shap"]
    assert methods["lime"]["models"] == ["fake", "plain"]
    assert methods["grad_cam"]["models"] == methods["attention"]["models"] == ["fake"]
    samples = next(one for one in methods["lime"]["options"] if one["name"] == "n_samples")
    assert (samples["type"], samples["default"], samples["minimum"], samples["maximum"]) == ("integer", 1000, 10, 20000)


def test_models_are_listed_with_all_that_is_known(client: FlaskClient) -> None:
    answer = client.get("/v1/models").get_json()
    assert answer["models"] == ["fake", "plain"]
    fake, plain = answer["details"]
    assert fake == client.get("/v1/models/fake").get_json()
    assert plain == client.get("/v1/models/plain").get_json()
    assert fake["versions"] == ["1", "2", "10"]
    assert (fake["labels"], fake["default"]) == ({"canary": "10", "stable": "2"}, "2")
    assert fake["digest"] == post_predict(client)["model"]["digest"]
    assert fake["classes"] == [str(k) for k in range(CLASSES)]
    assert (fake["explain"], fake["methods"]) == ("ready", list(EXPLAINERS))
    assert (plain["labels"], plain["default"], plain["verbs"]) == ({}, "1", ["forward", "gradient"])
    assert "grad_cam" not in plain["methods"] and "saliency" in plain["methods"]
    assert fake["card"]["metrics"] == {"accuracy": 0.9} and fake["card"]["image"] == {
        "height": 28,
        "width": 28,
        "preprocessing": "digit",
    }
