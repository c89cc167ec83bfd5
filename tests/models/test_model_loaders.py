"""Which runtime computes explanations, LiteRT or TensorFlow, as set or as a version allows; and what is imported."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from flask.testing import FlaskClient

from benchmarks.store import shipped
from server.app import create_app
from server.config import Settings, SettingsError
from server.errors import ClientLeft, NotReady
from server.models.card import CARD, TWIN, BrokenVersion, read_card
from server.models.loading import Loading
from server.models.model_loaders import litert_loader, savedmodel_loader
from server.models.on_demand import OnDemand
from server.models.repository.store import LoadedModel
from server.protocols import RequestContext
from server.types import Array
from tests.support.models.fakes import Linear
from tests.support.models.nets import NAMES, lite, net
from tests.support.models.nets import card as nets_card
from tests.support.models.nets import folder as nets_folder
from tests.support.models.stores import card_28, copy_version, linear, loaded, write_version
from tests.support.models.tiny import sign, write_tiny
from tests.support.processes.servers import ROOT, Running, ask, serving

SEVEN = (ROOT / "examples" / "7.png").read_bytes()
METHODS = (
    "shapley", "lime", "occlusion", "rise", "saliency", "gradient_x_input", "smooth_grad", "square_grad", "var_grad",
    "integrated_gradients", "expected_gradients", "grad_cam", "attention",
)  # fmt: skip
FIXED = {"integrated_gradients": "&n_steps=32&tolerance=1", "expected_gradients": "&n_samples=100"}


QUESTIONS = [f"/v1/explain?model={name}&method={one}{FIXED.get(one, '')}" for name in NAMES for one in METHODS]


@pytest.fixture(scope="module")
def by_default() -> FlaskClient:
    return create_app(Settings(poll_ms=0)).test_client()


@pytest.fixture(scope="module")
def by_tensorflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("by_tensorflow"), {"RUNTIME": "tensorflow"}, explain="ready") as server:
        yield server


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_method_is_answered_alike_by_both(question: str, by_default: FlaskClient, by_tensorflow: Running) -> None:
    answer = by_default.post(question, data=SEVEN)
    status, _, expected_answer = ask(f"{by_tensorflow.url}{question}", SEVEN)
    assert answer.status_code == status
    if status != 200:
        assert status == 422 and answer.get_json()["code"] == expected_answer["code"] == "method_not_possible"
        return
    found = answer.get_json()
    assert found["id"] == expected_answer["id"]
    assert found["explanation"]["certificate"]["rows"] == expected_answer["explanation"]["certificate"]["rows"]
    one, other = (np.array(answer["explanation"]["values"]) for answer in (found, expected_answer))
    assert np.abs(one - other).max() <= 1e-4 * np.abs(other).max()
    assert (found["explanation"]["runtime"], expected_answer["explanation"]["runtime"]) == ("litert", "tensorflow")


def worker(server: Running) -> Path:
    """The process of the only worker, below /proc."""
    (child,) = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return Path("/proc") / child


def has_imported(server: Running, library: str) -> bool:
    return library in (worker(server) / "maps").read_text()


def resident(server: Running) -> float:
    """Megabytes."""
    lines = (worker(server) / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1000


def test_tensorflow_is_imported_only_for_a_package_that_needs_it(tmp_path: Path) -> None:
    with serving(tmp_path, {"RUNTIME": "auto"}, explain="ready") as server:
        for question in QUESTIONS:
            assert ask(f"{server.url}{question}", SEVEN)[0] in (200, 422)
        assert resident(server) < 230  # 200 where nothing else runs
        for method in ("lime", "shapley"):
            status, _, answer = ask(f"{server.url}/v1/explain?engine=reference&method={method}&budget_ms=30000", SEVEN)
            assert (status, answer["explanation"]["runtime"]) == (200, "litert"), answer
        assert not has_imported(server, "tensorflow")
        reference = f"{server.url}/v1/explain?engine=reference&method=expected_gradients&n_samples=20"
        status, _, answer = ask(f"{reference}&budget_ms=1", SEVEN)
        assert (status, answer["code"]) in ((503, "not_ready"), (504, "out_of_time"))
        status, _, answer = ask(f"{reference}&budget_ms=30000", SEVEN)
        assert (status, answer["explanation"]["runtime"]) == (200, "tensorflow"), answer
        assert has_imported(server, "tensorflow")
        assert ask(f"{server.url}/v1/explain?method=saliency&seed=5", SEVEN)[2]["explanation"]["runtime"] == "litert"


def listed(client: FlaskClient, name: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/models/{name}").get_json()
    return found


def app_over(store: Path, **settings: Any) -> FlaskClient:
    client = create_app(Settings(model_store=store, model="tiny", poll_ms=0, **settings)).test_client()
    loaded()
    return client


def test_a_version_without_the_files_is_explained_by_tensorflow(tmp_path: Path) -> None:
    write_tiny(tmp_path)
    client = app_over(tmp_path)
    reported = listed(client, "tiny")
    assert (reported["explain"], reported["runtime"], "saliency" in reported["methods"]) == (
        "ready",
        "tensorflow",
        True,
    )
    answer = client.post("/v1/explain?method=saliency", data=SEVEN).get_json()
    assert answer["explanation"]["runtime"] == "tensorflow"


def test_with_runtime_litert_the_twin_explains_what_it_can(tmp_path: Path) -> None:
    write_tiny(tmp_path)
    client = app_over(tmp_path, runtime="litert")
    reported = listed(client, "tiny")
    assert (reported["explain"], reported["runtime"]) == ("ready", "litert")
    assert reported["methods"] == ["shapley", "lime", "occlusion", "rise"]
    assert client.post("/v1/explain?method=lime", data=SEVEN).status_code == 200
    refused = client.post("/v1/explain?method=saliency", data=SEVEN)
    assert refused.status_code == 422 and "it has no gradient" in refused.get_json()["error"]


def test_nothing_explains_where_explaining_is_off() -> None:
    client = create_app(Settings(poll_ms=0, explain="off")).test_client()
    assert (listed(client, "cnn")["explain"], listed(client, "cnn")["runtime"]) == ("off", None)
    assert client.post("/v1/explain", data=SEVEN).status_code == 503
    assert client.post("/v1/predict", data=SEVEN).get_json()["prediction"]["label"] == "7"


def test_litert_has_no_gpu() -> None:
    with pytest.raises(SettingsError, match="INKLING_RUNTIME=litert computes on the processor"):
        Settings.from_env({"INKLING_RUNTIME": "litert", "INKLING_DEVICE": "gpu"})
    with pytest.raises(SettingsError, match="one of auto, litert, tensorflow"):
        Settings.from_env({"INKLING_RUNTIME": "onnx"})


def broken(store: Path, name: str, change: Any) -> Path:
    """The shipped MLP as version 1, with the content of one of its LiteRT files changed and hashed anew."""
    folder = copy_version(store, 1)
    path = folder / "assets.extra" / name
    path.write_bytes(change(path.read_bytes()))
    sign(folder)
    return folder


OTHERS = shipped("cnn") / "assets.extra" / "explain.tflite"
BROKEN: dict[str, tuple[Any, str]] = {
    "no LiteRT file at all": (lambda content: b"hello", "its LiteRT files cannot"),
    "the file of another net": (lambda content: OTHERS.read_bytes(), "its LiteRT f"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_version_whose_files_do_not_explain_is_refused(tmp_path: Path, name: str) -> None:
    change, words = BROKEN[name]
    broken(tmp_path, "explain.tflite", change)
    client = create_app(Settings(model_store=tmp_path, model="mlp", poll_ms=0)).test_client()
    response = client.get("/v1/models/mlp")
    assert response.status_code == 404 and words in response.get_json()["error"]


def changed_card(folder: Path, **changes: Any) -> None:
    path = folder / CARD
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_version_without_any_litert_file_is_refused_with_what_helps(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path)
    (folder / TWIN).unlink()
    sign(folder)
    client = create_app(Settings(model_store=tmp_path, model="tiny", poll_ms=0, runtime="litert")).test_client()
    reported = client.get("/v1/models/tiny").get_json()["error"]
    assert "no model.tflite" in reported and "python -m training convert" in reported


def test_a_file_that_predicts_only_is_served_and_says_why_nothing_explains(tmp_path: Path) -> None:
    folder = copy_version(tmp_path, 1)
    reported = json.loads((folder / CARD).read_text())["litert"][0]
    changed_card(folder, litert=[{**reported, "roles": ["predict"]}])
    client = create_app(Settings(model_store=tmp_path, model="mlp", poll_ms=0, runtime="litert")).test_client()
    loaded()
    assert client.post("/v1/predict", data=SEVEN).get_json()["prediction"]["label"] == "7"
    assert (listed(client, "mlp")["explain"], listed(client, "mlp")["runtime"]) == ("off", None)
    refused = client.post("/v1/explain?method=lime", data=SEVEN)
    assert refused.status_code == 503 and "no LiteRT file that explains" in refused.get_json()["error"]


def test_functions_that_the_card_lists_are_all_tried(tmp_path: Path) -> None:
    folder = copy_version(tmp_path, 1)
    twin, explain = json.loads((folder / CARD).read_text())["litert"]
    changed_card(folder, litert=[twin, {**explain, "rows": {**explain["rows"], "forward": [400]}}])
    client = create_app(Settings(model_store=tmp_path, model="mlp", poll_ms=0)).test_client()
    assert "cannot explain the background images (ValueError)" in client.get("/v1/models/mlp").get_json()["error"]


def test_inner_views_that_the_card_lists_are_there(tmp_path: Path) -> None:
    folder = copy_version(tmp_path, 1)
    changed_card(folder, verbs=["forward", "gradient", "features", "feature_map"])
    client = create_app(Settings(model_store=tmp_path, model="mlp", poll_ms=0)).test_client()
    assert "have no feature_map, of which its card tells" in client.get("/v1/models/mlp").get_json()["error"]


class OnlyForward(Linear):
    """Gives no number for one image alone."""

    def forward(self, images: Array) -> Array:
        return super().forward(images) * (np.nan if len(images) == 1 else 1)


def test_what_is_refused_lets_go_of_what_it_holds(tmp_path: Path) -> None:
    folder, closed = write_version(tmp_path), list[None]()
    model = OnlyForward(card_28(), frozenset({"forward"}))
    explains = LoadedModel(model, "litert", close=lambda: closed.append(None))
    loading = Loading(linear, None, load_litert=lambda folder, card: explains)
    with pytest.raises(BrokenVersion, match="alone nan otherwise than among others"):
        loading.open(folder)
    assert closed == [None]


@pytest.mark.parametrize("change", [lambda folder: None, sign])
def test_a_package_gets_the_savedmodel_that_was_opened_or_none(tmp_path: Path, change: Any) -> None:
    """Files may have changed since, whether the card was signed anew or not."""
    folder = copy_version(tmp_path, 1)
    card = read_card(folder)
    view = lambda weights, output: "the view"  # noqa: E731
    load = litert_loader(lambda folder, card: LoadedModel(Linear(), keras_view=lambda context: view), 64 << 20, False)
    opened = load(folder, card)
    assert opened is not None and opened.keras_view is not None
    (folder / "saved_model.pb").write_bytes(b"another graph")
    change(folder)
    with pytest.raises(NotReady, match="could not be loaded"):
        opened.keras_view(RequestContext.within(10))(WEIGHTS, "logit")


def test_savedmodels_that_are_loaded_at_once_do_not_take_each_others_gradients() -> None:
    load = savedmodel_loader("cpu", 0)
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda name: load(nets_folder(name), nets_card(name)), ("mlp", "cnn"))
    second.close()
    assert np.isfinite(first.model.gradient(first.model.card.background[:3], np.ones((3, 10), np.float32))).all()
    keras = first.keras_view(RequestContext.within(60)) if first.keras_view else None
    assert keras is not None
    with tf.GradientTape() as tape:
        images = tf.constant(first.model.card.background[:2])
        tape.watch(images)
        score = keras(np.ones(10, np.float32), "logit")(images)
    assert np.isfinite(tape.gradient(score, images).numpy()).all()


HELPED = """
import os
from server.models import model_loaders
os.nice(15)
if os.getuid() == 0:
    os.setuid(65534)  # only root may take less niceness than it has
helpers = model_loaders.helper_threads(3, 10)
assert [helpers.submit(os.getpid).result(10) for _ in range(5)] == [os.getpid()] * 5
print("helped")
"""


def test_threads_help_also_where_the_server_is_nicer_than_they_are_to_be() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELPED], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "helped\n", done.stderr[-2000:]


# Loaded on demand.


class Loads:
    """A loader that waits until it may go on."""

    def __init__(self) -> None:
        self.go, self.closed, self.error = threading.Event(), list[None](), list[Exception]()
        self.calls = 0

    def __call__(self) -> LoadedModel:
        self.calls += 1
        assert self.go.wait(10)
        if self.error:
            raise self.error.pop()
        view = lambda weights, output: (weights, output)  # noqa: E731
        return LoadedModel(Linear(), keras_view=lambda context: view, close=lambda: self.closed.append(None))


WEIGHTS = np.ones(3, np.float32)


def test_loading_goes_on_after_a_request_was_out_of_time() -> None:
    loads = Loads()
    later = OnDemand(loads)
    assert loads.calls == 0
    with pytest.raises(NotReady, match="TensorFlow is loading"):
        later.keras_view(RequestContext.within(0.01))(WEIGHTS, "logit")
    loads.go.set()
    assert later.keras_view(RequestContext.within(10))(WEIGHTS, "logit") == (WEIGHTS, "logit")
    assert later.keras_view(RequestContext.within(10))(WEIGHTS, "logit") == (WEIGHTS, "logit")
    assert loads.calls == 1


def test_a_cancelled_request_does_not_wait_for_loading() -> None:
    later = OnDemand(loads := Loads())

    def gone() -> None:
        raise ClientLeft("gone")

    with pytest.raises(ClientLeft):
        later.keras_view(replace(RequestContext.within(60), raise_if_cancelled=gone))(WEIGHTS, "logit")
    loads.go.set()


def test_what_failed_is_tried_again() -> None:
    loads = Loads()
    loads.error.append(ValueError("no graph"))
    loads.go.set()
    later = OnDemand(loads)
    with pytest.raises(NotReady, match="could not be loaded"):
        later.keras_view(RequestContext.within(10))(WEIGHTS, "logit")
    assert later.keras_view(RequestContext.within(10))(WEIGHTS, "logit") == (WEIGHTS, "logit")
    assert loads.calls == 2


def test_what_was_loaded_is_closed_with_its_version() -> None:
    for early in (False, True):
        loads = Loads()
        later = OnDemand(loads)
        view = later.keras_view(RequestContext.within(0.01 if early else 10))
        if not early:
            loads.go.set()
            view(WEIGHTS, "logit")
            later.close()
        else:
            with pytest.raises(NotReady):
                view(WEIGHTS, "logit")
            later.close()
            loads.go.set()
        loaded()
        assert loads.closed == [None]


def test_kept_answers_name_what_computed_them(tmp_path: Path) -> None:
    with serving(tmp_path, {}, explain="ready") as server:
        first = ask(f"{server.url}/v1/explain?method=saliency", SEVEN)[2]
        again = ask(f"{server.url}/v1/explanations/{first['id']}")[2]
    assert json.dumps(first["explanation"]) == json.dumps(again["explanation"])
    assert first["explanation"]["runtime"] == "litert"


def test_the_fallback_is_the_whole_savedmodel() -> None:
    """What LiteRT can do is what the SavedModel can, for each shipped net."""
    assert all(lite(name).verbs == net(name).verbs for name in NAMES)
