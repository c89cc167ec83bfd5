"""The server as `make serve-lite` starts it: TensorFlow, lime and shap are not installed, and all but engine=reference
is answered, explanations as TensorFlow would compute them.
"""

import json
import subprocess
from base64 import b64encode
from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image

from server.attacks import ATTACKS
from server.explainers import EXPLAINERS, methods_for
from server.images import decode
from server.models.wrappers import probabilities_of
from server.reference import REFERENCES
from server.types import Array, Attribution, Target
from tests.support.models.nets import NAMES, card, digits, net
from tests.support.models.stores import encoded
from tests.support.needs import lite_python
from tests.support.processes.servers import ROOT, Running, ask
from tests.test_layers import ADDRESSES

NOT_THERE = ("tensorflow", "keras", "lime", "shap", "sklearn", "numba")
IMPORTED = """
import importlib, json, pkgutil, sys
import server
found = {}
for name in [*sys.argv[1:], *(module.name for module in pkgutil.walk_packages(server.__path__, "server."))]:
    try:
        importlib.import_module(name)
        found[name] = None
    except ImportError as error:
        found[name] = error.name
print(json.dumps(found))
"""
PICTURES = {**{f"{digit}.png": str(digit) for digit in range(10)}, "photo.jpg": "4"}
SEVEN = (ROOT / "examples" / "7.png").read_bytes()
STARTS = {"png": b"\x89PNG", "svg": b"<svg", "npz": b"PK"}
ROWS = digits()[:3]
every_net = pytest.mark.parametrize("name", NAMES)


def answered(without_tensorflow: Running, path: str, sent: Any = SEVEN) -> Any:
    """What is answered to a picture, or to anything else as JSON; no error."""
    status, _, answer = ask(
        f"{without_tensorflow.url}{path}", sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    )
    assert status == 200, (path, answer)
    return answer


MORE = {"fsspec", "redis", "cryptography", "opentelemetry", "pyarrow"}  # imported where settings ask for them


def test_the_heavy_packages_are_not_there_and_nothing_else_is_missed() -> None:
    command = [str(lite_python()), "-c", IMPORTED, *NOT_THERE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    lacks: dict[str, str | None] = json.loads(done.stdout)
    assert [lacks[name] for name in NOT_THERE] == list(NOT_THERE)
    ours = {name: missing for name, missing in lacks.items() if name.startswith("server.") and missing}
    assert set(ours.values()) == {"tensorflow", *MORE}
    assert all(name in ADDRESSES[str(missing)] or missing in MORE for name, missing in ours.items())


@every_net
def test_a_picture_is_predicted(without_tensorflow: Running, name: str) -> None:
    for file, label in PICTURES.items():
        body = (ROOT / "examples" / file).read_bytes()
        answer = answered(without_tensorflow, f"/v1/predict?model={name}", body)
        assert answer["prediction"]["label"] == label, file
        logits = net(name).forward(decode(body, card(name).image).pixels[None])
        expected = probabilities_of(logits, card(name).temperature)[0]
        assert answer["probabilities"] == pytest.approx(expected, abs=1e-4), file


@cache
def methods_of(name: str) -> list[str]:
    return methods_for(card(name).verbs)


def by_tensorflow(name: str, method: str) -> Attribution:
    """The last attribution of the 7 by the SavedModel, and by our own code for the method."""
    pixels = decode(SEVEN, card(name).image).pixels
    *_, last = EXPLAINERS[method]().refine(net(name), pixels, Target.of_class(7, card(name).classes), 0)
    return last


@every_net
def test_every_method_explains_as_with_tensorflow(without_tensorflow: Running, name: str) -> None:
    listed = ask(f"{without_tensorflow.url}/v1/methods")[2]["methods"]
    assert [method["name"] for method in listed if name in method["models"]] == methods_of(name)
    for method in methods_of(name):
        found = answered(without_tensorflow, f"/v1/explain?model={name}&method={method}&target=7")["explanation"]
        expected = by_tensorflow(name, method)
        assert found["certificate"]["state"] == expected.state, method
        assert_near(np.array(found["values"]), expected.values, method)
        if expected.score is not None:
            assert found["score"] == pytest.approx(expected.score, abs=1e-3), method


def assert_near(found: Array, expected: Array, what: str) -> None:
    """The same to a hundredth of the strongest value."""
    strongest = np.abs(expected).max()
    assert strongest > 0, what
    assert np.abs(found - expected).max() < 0.01 * strongest, what


@every_net
def test_a_contrast_of_probabilities_with_its_quality(without_tensorflow: Running, name: str) -> None:
    query = f"model={name}&method=integrated_gradients&versus=1&output=probability&quality=true"
    found = answered(without_tensorflow, f"/v1/explain?{query}")["explanation"]
    assert found["unit"] == "probability"
    assert found["quality"]["measures"]
    assert abs(sum(map(sum, found["values"])) - (found["score"] - found["base_value"])) < 0.02


@pytest.mark.parametrize("kind", STARTS)
def test_an_explanation_is_given_in_every_format_and_again_by_its_id(without_tensorflow: Running, kind: str) -> None:
    assert answered(without_tensorflow, f"/v1/explain?method=lime&format={kind}").startswith(STARTS[kind])
    links = answered(without_tensorflow, "/v1/explain?method=lime")["links"]
    status, _, again = ask(f"{without_tensorflow.url}{links[kind]}")
    assert status == 200 and again.startswith(STARTS[kind])


def test_methods_and_nets_are_compared(without_tensorflow: Running) -> None:
    methods = answered(without_tensorflow, "/v1/compare?methods=shapley,lime,saliency,expected_gradients")
    assert len(methods["explanations"]) == 4
    nets = answered(without_tensorflow, f"/v1/compare?models={','.join(NAMES)}&method=smooth_grad")
    assert nets["agreement"]["labels"] == list(NAMES)
    assert answered(without_tensorflow, "/v1/compare?methods=shapley,lime&format=png").startswith(STARTS["png"])


@every_net
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_would_flip_it(without_tensorflow: Running, name: str, attack: str) -> None:
    found = answered(without_tensorflow, f"/v1/adversarial?model={name}&method={attack}")["adversarial"]
    assert found["found"] or attack == "fgsm"  # which is a single step
    if found["found"]:
        assert found["label"] != "7"
        flipped = answered(without_tensorflow, f"/v1/predict?model={name}&preprocess=none", {"pixels": found["pixels"]})
        assert flipped["prediction"]["label"] == found["label"]


@every_net
def test_v1_predicts_numbers_and_files_and_explains(without_tensorflow: Running, name: str) -> None:
    rows = answered(without_tensorflow, f"/v1/models/{name}:predict", {"instances": ROWS.tolist()})["predictions"]
    assert np.array([row["logits"] for row in rows]) == pytest.approx(net(name).forward(ROWS), abs=1e-3)
    levels = np.rint(ROWS * 255).astype(np.uint8)
    files = [{"b64": b64encode(encoded(Image.fromarray(row))).decode()} for row in levels]
    sent = {"signature_name": "serving_bytes", "instances": files}
    by_bytes = answered(without_tensorflow, f"/v1/models/{name}:predict", sent)["predictions"]
    expected = net(name).forward(levels / np.float32(255))
    assert np.array([row["logits"] for row in by_bytes]) == pytest.approx(expected, abs=1e-3)
    requested = {"instances": ROWS.tolist(), "parameters": {"method": "gradient_x_input"}}
    found = answered(without_tensorflow, f"/v1/models/{name}:explain", requested)
    assert [one["prediction"]["class"] for one in found["explanations"]] == expected.argmax(axis=1).tolist()


@every_net
def test_v2_infers_and_explains(without_tensorflow: Running, name: str) -> None:
    tensor = {"name": "images", "datatype": "FP32", "shape": [3, 28, 28], "data": ROWS.ravel().tolist()}
    found = answered(
        without_tensorflow, f"/v2/models/{name}/infer", {"inputs": [tensor], "outputs": [{"name": "logits"}]}
    )
    (logits,) = found["outputs"]
    expected = net(name).forward(ROWS)
    assert np.reshape(logits["data"], logits["shape"]) == pytest.approx(expected, abs=1e-3)
    requested = {"inputs": [tensor], "parameters": {"method": "saliency"}, "outputs": [{"name": "predictions"}]}
    (predictions,) = answered(without_tensorflow, f"/v2/models/{name}/explain", requested)["outputs"]
    assert predictions["data"] == expected.argmax(axis=1).tolist()


@pytest.mark.parametrize("method", REFERENCES)
def test_engine_reference_is_not_installed(without_tensorflow: Running, method: str) -> None:
    listed = {one["name"]: one["reference"] for one in ask(f"{without_tensorflow.url}/v1/methods")[2]["methods"]}
    assert listed[method]["installed"] is False
    for query in (
        f"explain?engine=reference&method={method}",
        f"compare?engine=reference&method={method}&models=mlp,cnn",
    ):
        status, _, answer = ask(f"{without_tensorflow.url}/v1/{query}", SEVEN)
        assert (status, answer["code"]) == (422, "engine_not_installed")
        assert "requirements.txt" in answer["error"] and "engine=inkling" in answer["error"]
