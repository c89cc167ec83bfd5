"""The dialects of TensorFlow Serving's REST API and of KServe V1, as server/routes/tensorflow_serving/ speaks them."""

from typing import Any

from server.openapi.inkling import PARAMETERS
from server.openapi.parts import JSON, answer, errors, in_path, listed, operation, record, ref
from server.openapi.schemas import FREE, NUMBER, TEXT

TAG = "v1"
ABOUT = "TensorFlow Serving's REST API and KServe V1: tensors in JSON."
MODEL = "/v1/models/{model}"
ADDRESSES = {  # each verb is there for the default version, a number and a label
    MODEL: [in_path("model", "name of the model")],
    MODEL + "/versions/{version}": [
        in_path("model", "name of the model"),
        {**in_path("version", "number of the version"), "schema": {"type": "integer", "minimum": 0}},
    ],
    MODEL + "/labels/{label}": [in_path("model", "name of the model"), in_path("label", "such as stable or canary")],
}
ROW = record(logits=listed(NUMBER), probabilities=listed(NUMBER))
TENSOR = {"type": "array", "description": "(n, 28, 28), (n, 28, 28, 1) or (n, 784), each number from 0 to 1"}
INPUTS = {"anyOf": [TENSOR, FREE]}
WRONG = (400, 404, 413, 503, 504)


def _body(**more: Any) -> dict[str, Any]:
    """Rows or a column of numbers, and `more`; the content type is not looked at."""
    properties = {"signature_name": TEXT, "instances": {"type": "array", "minItems": 1}, "inputs": INPUTS, **more}
    either = {"oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}]}
    return {"required": True, "content": {JSON: {"schema": {"type": "object", "properties": properties, **either}}}}


def _post(summary: str, schema: dict[str, Any], about: list[dict[str, Any]], body: dict[str, Any]) -> dict[str, Any]:
    answers = {"200": answer(summary, {JSON: schema}), **errors(*WRONG)}
    return {"post": operation(TAG, summary, answers, about, body)}


def _get(summary: str, schema: dict[str, Any], about: list[dict[str, Any]]) -> dict[str, Any]:
    return {"get": operation(TAG, summary, {"200": answer(summary, {JSON: schema}), **errors(400, 404, 503)}, about)}


PREDICTED = {"anyOf": [record(predictions={"type": "array"}), record(outputs={})]}
EXPLAINED = record(predictions=listed(ROW), explanations=listed(ref("Explanation")))
METADATA = record(
    model_spec=record(name=TEXT, signature_name=TEXT, version=TEXT),
    metadata=record(signature_def=record(signature_def=FREE)),
)
OPTIONS = {"type": "object", "properties": PARAMETERS}
PATHS: dict[str, Any] = {}
for _address, _about in ADDRESSES.items():
    PATHS |= {
        f"{_address}:predict": _post("Predict", PREDICTED, _about, _body()),
        f"{_address}:explain": _post("Predict and explain", EXPLAINED, _about, _body(parameters=OPTIONS)),
        f"{_address}:{{verb}}": {
            "post": operation(
                TAG,
                "Classify or regress: no model here takes tf.Examples",
                errors(400, 404, 413),
                [*_about, {**in_path("verb", "of the verbs"), "schema": {"enum": ["classify", "regress"]}}],
                _body(),
            )
        },
        f"{_address}/metadata": _get("The signatures", METADATA, _about),
    }
    if _address != MODEL:
        PATHS[_address] = _get("The state", record(model_version_status=listed(ref("VersionStatus"))), _about)
