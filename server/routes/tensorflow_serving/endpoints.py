"""The endpoints of TensorFlow Serving's REST API and of KServe V1, which share their addresses: tensors in JSON.

GET /v1/models/<model> is Inkling's own as well, and answers all three (inkling/models.py).
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from flask import Blueprint, Response, g

from server.errors import BadRequest, ServiceError, UnknownLabel, UnknownModel
from server.inference import tensors
from server.protocols import ModelVersion
from server.render import explanation_json
from server.routes import rollout, states
from server.routes.bodies import request_body
from server.routes.errors import answer_in_protocol
from server.routes.middleware import access_log
from server.routes.parameters import explain_request_in
from server.routes.responses import json_answer
from server.routes.service import request_context, service, session
from server.routes.tensorflow_serving import messages
from server.types import Array

blueprint = Blueprint("tensorflow_serving", __name__)
blueprint.register_error_handler(ServiceError, answer_in_protocol)

MODEL = "/v1/models/<name:model>"
VERSION = f"{MODEL}/versions/<int:version>"
LABEL = f"{MODEL}/labels/<name:label>"


@blueprint.post(f"{MODEL}:predict")
@blueprint.post(f"{VERSION}:predict")
@blueprint.post(f"{LABEL}:predict")
def predict(model: str, version: int | None = None, label: str | None = None) -> Response:
    with g.stages("decode"):
        fields = request_body.json_object(request_body.whole_body())
    with _served(model, version, label or _canary(model, version)) as served:
        signature_input = messages.input_of(fields, messages.INPUTS[messages.signature_of(fields)])
        images, outputs = _outputs(served, signature_input)
        access_log.record_rows(served.card, *tensors.judged(served.card, outputs))
        if images is not None:
            rollout.offer_rows(served.card, images, outputs)
    with g.stages("render"):
        if signature_input.by_row:
            return json_answer({"predictions": messages.by_row(outputs)})
        return json_answer({"outputs": messages.by_output(outputs)})


@blueprint.post(f"{MODEL}:explain")
@blueprint.post(f"{VERSION}:explain")
@blueprint.post(f"{LABEL}:explain")
def explain(model: str, version: int | None = None, label: str | None = None) -> Response:
    with g.stages("decode"):
        fields = request_body.json_object(request_body.whole_body())
    with ExitStack() as resources:
        served = resources.enter_context(_served(model, version, label or _canary(model, version)))
        name = messages.signature_of(fields)
        if name != messages.DEFAULT:
            raise BadRequest(f"signature {name} cannot be explained; post a picture to /v1/explain, or send numbers")
        wanted, budget = explain_request_in(request_body.parameters_of(fields), f"{model}:explain")
        sent = messages.input_of(fields, messages.INPUTS[name]).images()
        images = tensors.checked_images(sent, served.card.image, service().max_images)
        with session(budget) as explain_session:
            found = tensors.explain_rows(served, images, wanted, explain_session, resources, g.stages)
    for one in found:
        access_log.record_explanation(one)
    with g.stages("render"):
        predictions = messages.by_row(tensors.outputs_of(found))
        return json_answer({"predictions": predictions, "explanations": [explanation_json(one) for one in found]})


@blueprint.post(f"{MODEL}:<any(classify, regress):verb>")
@blueprint.post(f"{VERSION}:<any(classify, regress):verb>")
@blueprint.post(f"{LABEL}:<any(classify, regress):verb>")
def classify(model: str, verb: str, version: int | None = None, label: str | None = None) -> Response:
    """These take tf.Examples; no version of the contract has such a signature."""
    fields = request_body.json_object(request_body.whole_body())
    kind = {"classify": "classification", "regress": "regression"}[verb]
    with _served(model, version, label):
        raise BadRequest(
            f"Expected {kind} signature method_name to be tensorflow/serving/{verb}. Was: tensorflow/serving/predict, "
            f"as is that of {messages.signature_of(fields)}; use :predict"
        )


@blueprint.get(VERSION)
@blueprint.get(LABEL)
def status(model: str, version: int | None = None, label: str | None = None) -> Response:
    if label is None:
        return json_answer({"model_version_status": states.version_status(model, str(version))})
    with _served(model, None, label) as served:
        return json_answer({"model_version_status": states.version_status(model, served.card.version)})


@blueprint.get(f"{MODEL}/metadata")
@blueprint.get(f"{VERSION}/metadata")
@blueprint.get(f"{LABEL}/metadata")
def metadata(model: str, version: int | None = None, label: str | None = None) -> Response:
    with _served(model, version, label) as served:
        return json_answer(messages.metadata(served.card))


@contextmanager
def _served(model: str, version: int | None, label: str | None) -> Iterator[ModelVersion]:
    """The version that an address names.

    Raises:
        UnknownModel: no such model or version; UnknownLabel: no such label; NotReady: this worker does not have it yet.
    """
    served_models = service().store.served_models
    number = None if version is None else str(version)
    if label is not None and model in served_models:
        served_model = served_models[model]
        number = served_model.labels.get(label)
        if number not in (*served_model.versions, *served_model.missing):
            known = ", ".join(served_model.labels) or "none"
            raise UnknownLabel(f"Unrecognized servable version label: {label[:256]}; {model} has {known}")
    try:
        service().store.find(model, number)
    except UnknownModel as error:
        which = f"Latest({model[:256]})" if number is None else f"Specific({model[:256]}, {number[:256]})"
        raise UnknownModel(f"Servable not found for request: {which}; {error}") from error
    with service().store.handle(model, number) as served:
        yield served


def _canary(model: str, version: int | None) -> str | None:
    """The label of the canary that answers this caller, where no version is named."""
    return rollout.answering_version(model, None) if version is None else None


def _outputs(served: ModelVersion, signature_input: messages.SignatureInput) -> tuple[Array | None, tensors.Outputs]:
    """The images (n, H, W), where numbers were sent, and what the version gives for them."""
    limit = service().max_rows
    if signature_input.name == messages.INPUTS[messages.DEFAULT]:
        images = tensors.checked_images(signature_input.images(), served.card.image, limit)
        with g.stages("predict"):
            return images, tensors.predict_rows(served, images, request_context())
    files = signature_input.files()
    tensors.check_count(len(files), limit)
    with g.stages("predict"):
        return None, tensors.predict_bytes(served, files, request_context())
