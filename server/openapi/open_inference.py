"""The dialect of the Open Inference Protocol, as server/routes/open_inference/ speaks it."""

from collections.abc import Mapping
from typing import Any

from server.openapi.inkling import PARAMETERS
from server.openapi.parts import JSON, answer, errors, in_path, listed, operation, record
from server.openapi.schemas import FLAG, FREE, TEXT, WHOLE

TAG = "v2"
ABOUT = "Open Inference Protocol (KServe V2, Triton, MLServer): typed tensors, as JSON or as raw bytes."
MODEL = "/v2/models/{model}"
OF_MODEL = in_path("model", "name of the model")
ADDRESSES = {MODEL: [OF_MODEL], MODEL + "/versions/{version}": [OF_MODEL, in_path("version", "a number or a label")]}
LENGTH = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "schema": {"type": "integer", "minimum": 0},
    "description": "bytes of JSON at the start of the body, where raw bytes follow",
}
BINARY = "application/octet-stream"
TENSOR = {
    "type": "object",
    "properties": {
        "name": TEXT,
        "datatype": TEXT,
        "shape": listed({"type": "integer"}),
        "parameters": FREE,
        "data": {"type": "array"},
    },
    "required": ["name", "datatype", "shape"],
}
OF_EVERY_REQUEST = {
    "timeout": {"type": "integer", "minimum": 0, "description": "microseconds that may be taken; 0 = any"},
    "binary_data_output": {"type": "boolean", "description": "numbers as raw bytes, unless an output says otherwise"},
}


def _request(parameters: Mapping[str, Any]) -> dict[str, Any]:
    output = {"type": "object", "properties": {"name": TEXT, "parameters": FREE}, "required": ["name"]}
    return {
        "type": "object",
        "properties": {
            "id": TEXT,
            "parameters": {"type": "object", "properties": {**OF_EVERY_REQUEST, **parameters}},
            "inputs": {"type": "array", "items": TENSOR, "minItems": 1, "maxItems": 1},
            "outputs": listed(output),
        },
        "required": ["inputs"],
    }


RESPONSE = {
    "type": "object",
    "properties": {
        "model_name": TEXT,
        "model_version": TEXT,
        "id": TEXT,
        "parameters": {
            "type": "object",
            "properties": {
                "warnings": {**TEXT, "description": "`looks-blank`, and the rows in which no ink stands out"},
            },
        },
        "outputs": listed(TENSOR),
    },
    "required": ["model_name", "model_version", "outputs"],
}
DESCRIBED = listed(record(name=TEXT, datatype=TEXT, shape=listed(WHOLE)))
METADATA = record(name=TEXT, versions=listed(TEXT), platform=TEXT, inputs=DESCRIBED, outputs=DESCRIBED)
IN_CONFIG = {"name": TEXT, "data_type": TEXT, "dims": listed(WHOLE)}
CONFIG = record(
    name=TEXT,
    platform=TEXT,
    backend=TEXT,
    max_batch_size=WHOLE,
    input=listed(record(**IN_CONFIG, format=TEXT)),
    output=listed(record(**IN_CONFIG)),
)
ENTRY = record(name=TEXT, version=TEXT, state=TEXT, reason=TEXT)


def _get(summary: str, schema: Any, *mistakes: int, about: Any = (), **more: Any) -> dict[str, Any]:
    answers = {"200": answer(summary, {JSON: schema}), **errors(*mistakes), **more}
    return {"get": operation(TAG, summary, answers, about)}


def _post(summary: str, contents: Any, *mistakes: int, about: Any = (), body: Any = None) -> dict[str, Any]:
    answers = {"200": answer(summary, contents), **errors(*mistakes)}
    return {"post": operation(TAG, summary, answers, about, body)}


def _tensors(summary: str, about: list[dict[str, Any]], **parameters: Any) -> dict[str, Any]:
    body = {"required": True, "content": {JSON: {"schema": _request(parameters)}, BINARY: {}}}
    contents = {JSON: RESPONSE, BINARY: {}}
    return _post(summary, contents, 400, 404, 413, 503, 504, about=[*about, LENGTH], body=body)


def _one_model(address: str, about: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        address: _get("The tensors of a model", METADATA, 404, 503, about=about),
        f"{address}/config": _get("The tensors of a model, as Triton has them", CONFIG, 404, 503, about=about),
        f"{address}/ready": _get("Whether it can predict", record(name=TEXT, ready=FLAG), 404, 503, about=about),
        f"{address}/infer": _tensors("Predict", about),
        f"{address}/explain": _tensors("Explain", about, **PARAMETERS),
    }


SERVER = _get("This server", record(name=TEXT, version=TEXT, extensions=listed(TEXT)))
LIVE = record(live=FLAG, ready=FLAG)
OPTIONAL = {"required": False, "content": {JSON: {"schema": FREE}}}
PATHS: dict[str, Any] = {
    "/v2": SERVER,
    "/v2/": SERVER,
    "/v2/health/live": _get("Whether the server is alive", record(live=FLAG)),
    "/v2/health/ready": _get(
        "Whether the default model can predict", LIVE, **{"503": answer("Not yet.", {JSON: LIVE})}
    ),
    "/v2/models": _get("The models", record(models=listed(TEXT))),
    **{path: item for address, about in ADDRESSES.items() for path, item in _one_model(address, about).items()},
    "/v2/repository/index": _post("All versions and their states", {JSON: listed(ENTRY)}, 400, 413, body=OPTIONAL),
    **{
        f"/v2/repository/models/{{model}}/{verb}": _post(
            f"{verb.capitalize()} a model, on all workers",
            {JSON: record(name=TEXT, **{verb: FLAG})},
            400, 404, 409, 413, 503, about=[OF_MODEL], body=OPTIONAL,
        )
        for verb in ("load", "unload")
    },
}  # fmt: skip
