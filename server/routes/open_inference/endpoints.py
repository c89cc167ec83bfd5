"""The endpoints of the Open Inference Protocol (KServe V2, Triton, MLServer): typed tensors, as JSON or raw bytes."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from math import inf
from typing import Any

import numpy as np
from flask import Blueprint, Response, g, request

from server import __version__
from server.errors import NotReady, ServiceError
from server.inference import tensors
from server.protocols import RequestContext
from server.render import explanation_json, json_text
from server.routes import rollout, states
from server.routes.bodies import request_body
from server.routes.errors import answer_in_protocol
from server.routes.middleware import access_log
from server.routes.open_inference import messages
from server.routes.parameters import explain_request_in
from server.routes.responses import json_answer
from server.routes.service import disconnection_check, service, session
from server.types import Array, Explanation, ModelCard

blueprint = Blueprint("open_inference", __name__)
blueprint.register_error_handler(ServiceError, answer_in_protocol)

MODEL = "/v2/models/<name:model>"
NUMBERED = f"{MODEL}/versions/<name:version>"
EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository", "model_repository_extension", "explain"]
ARRAYS = ("values", "stderr", "segments", "segment_values", "segment_stderr")
PLATFORM = "tensorflow_savedmodel"
MAX_LISTED = 10  # blank rows that are listed by number
OUTPUTS = ("logits", "probabilities")
EXPLAINED = ("attributions", "predictions", "probabilities", "target", "certificates")


@blueprint.get("/v2")
@blueprint.get("/v2/")
def server() -> Response:
    return json_answer({"name": "inkling", "version": __version__, "extensions": EXTENSIONS})


@blueprint.get("/v2/health/live")
def live() -> Response:
    return json_answer({"live": True})


@blueprint.get("/v2/health/ready")
def ready() -> Response:
    found = states.is_server_ready()
    return json_answer({"live": True, "ready": found}, 200 if found else 503)


@blueprint.get("/v2/models")
def models() -> Response:
    return json_answer({"models": list(service().store.served_models)})


@blueprint.get(MODEL)
@blueprint.get(NUMBERED)
def metadata(model: str, version: str | None = None) -> Response:
    with service().store.handle(model, version) as served:
        return json_answer(_metadata(served.card, list(service().store.served_model(model).versions)))


@blueprint.get(f"{MODEL}/config")
@blueprint.get(f"{NUMBERED}/config")
def config(model: str, version: str | None = None) -> Response:
    with service().store.handle(model, version) as served:
        return json_answer(_config(served.card, service().max_rows))


@blueprint.get(f"{MODEL}/ready")
@blueprint.get(f"{NUMBERED}/ready")
def model_ready(model: str, version: str | None = None) -> Response:
    with service().store.handle(model, version) as served:
        if not states.is_ready(model, served.card.version):
            raise NotReady(f"model {model} version {served.card.version} is not ready; try again")
        return json_answer({"name": model, "ready": True})


@blueprint.post(f"{MODEL}/infer")
@blueprint.post(f"{NUMBERED}/infer")
def predict(model: str, version: str | None = None) -> Response:
    start = time.monotonic()
    with g.stages("decode"):
        infer_request = messages.read_request()
    with service().store.handle(model, rollout.answering_version(model, version)) as served:
        infer_request.wanted(OUTPUTS)
        images = tensors.checked_images(infer_request.images, served.card.image, service().max_rows)
        budget = infer_request.seconds() or inf
        context = RequestContext(start + budget, budget, raise_if_cancelled=disconnection_check(request.environ))
        with g.stages("predict"):
            outputs = tensors.predict_rows(served, images, context)
        access_log.record_rows(served.card, *tensors.judged(served.card, outputs))
        rollout.offer_rows(served.card, images, outputs)
        return messages.answer(model, served.card.version, infer_request, outputs, _warnings(images))


@blueprint.post(f"{MODEL}/explain")
@blueprint.post(f"{NUMBERED}/explain")
def explain(model: str, version: str | None = None) -> Response:
    with g.stages("decode"):
        infer_request = messages.read_request()
    with ExitStack() as resources:
        served = resources.enter_context(service().store.handle(model, rollout.answering_version(model, version)))
        infer_request.wanted(EXPLAINED)
        images = tensors.checked_images(infer_request.images, served.card.image, service().max_images)
        wanted, budget = explain_request_in(infer_request.parameters, f"{model}/explain", infer_request.seconds())
        with session(budget) as explain_session:
            found = tensors.explain_rows(served, images, wanted, explain_session, resources, g.stages)
        for one in found:
            access_log.record_explanation(one)
        with g.stages("render"):
            return messages.answer(
                model, served.card.version, infer_request, _explain_outputs(found), _warnings(images)
            )


@blueprint.post("/v2/repository/index")
def index() -> Response:
    body = request_body.whole_body()
    wants = request_body.json_object(body) if body else {}
    return json_answer(
        [one for one in service().store.index() if one["state"] == "READY" or wants.get("ready") is not True]
    )


@blueprint.post("/v2/repository/models/<name:model>/load")
def load(model: str) -> Response:
    service().store.load(model)
    return json_answer({"name": model, "load": True})


@blueprint.post("/v2/repository/models/<name:model>/unload")
def unload(model: str) -> Response:
    service().store.unload(model)
    return json_answer({"name": model, "unload": True})


def _config(card: ModelCard, max_rows: int) -> dict[str, Any]:
    """Triton's model configuration, as far as clients read it: `dims` are those of one row."""
    image = {"name": messages.INPUT, "dims": [card.image.height, card.image.width], "format": "FORMAT_NONE"}
    return {
        "name": card.name,
        "platform": PLATFORM,
        "backend": "tensorflow",
        "max_batch_size": max_rows,
        "input": [{**image, "data_type": "TYPE_FP32"}],
        "output": [{"name": name, "dims": [len(card.classes)], "data_type": "TYPE_FP32"} for name in OUTPUTS],
    }


def _metadata(card: ModelCard, versions: list[str]) -> dict[str, Any]:
    shape = [-1, card.image.height, card.image.width]
    return {
        "name": card.name,
        "versions": versions,
        "platform": PLATFORM,
        "inputs": [{"name": messages.INPUT, "datatype": "FP32", "shape": shape}],
        "outputs": [{"name": name, "datatype": "FP32", "shape": [-1, len(card.classes)]} for name in OUTPUTS],
    }


def _warnings(images: Array) -> dict[str, str]:
    """Parameters of the response: `warnings` where rows of the images (n, H, W) look blank."""
    blank = tensors.blank_rows(images)
    if not blank:
        return {}
    more = f" and {len(blank) - MAX_LISTED} more" if len(blank) > MAX_LISTED else ""
    rows = f"row{'s' * (len(blank) > 1)} {', '.join(map(str, blank[:MAX_LISTED]))}{more} of {len(images)}"
    return {"warnings": f"looks-blank: {rows} (from 0), where no ink stands out; their outputs mean nothing"}


def _explain_outputs(found: Sequence[Explanation]) -> dict[str, messages.Values]:
    """The outputs of an explanation; `certificates` are the rest of it beside the arrays, as JSON."""
    return {
        "attributions": np.stack([one.attribution.values.astype(np.float32) for one in found]),
        "predictions": np.array([one.prediction.index for one in found], np.int64),
        "probabilities": tensors.outputs_of(found)["probabilities"],
        "target": np.array([one.target.index for one in found], np.int64),
        "certificates": [_certificate(one) for one in found],
    }


def _certificate(explanation: Explanation) -> str:
    described = explanation_json(explanation)
    about = {name: value for name, value in described["explanation"].items() if name not in ARRAYS}
    return json_text(
        {**{name: described[name] for name in ("id", "model", "target", "trial", "alt")}, "explanation": about}
    ).decode()
