"""Parses requests for a version's signatures, and describes these, as TensorFlow Serving's REST API does."""

from dataclasses import dataclass
from typing import Any

from server.errors import BadRequest, InvalidTensor, UnknownSignature
from server.options import shown
from server.render import plain_floats
from server.routes.bodies import base64_text, nested_lists
from server.types import Array, ModelCard

DEFAULT = "serving_default"
INPUTS = {DEFAULT: "images", "serving_bytes": "image_bytes"}  # signature -> its only input
OBJECT = "object of named values"


@dataclass(frozen=True)
class SignatureInput:
    """The value of the signature's input, and whether it came row by row (`instances`) or as one (`inputs`)."""

    name: str
    value: Any
    by_row: bool

    def images(self) -> Array:
        """Raises InvalidTensor: not numbers in nested lists of one shape."""
        return nested_lists.numbers(self.value, self.name)

    def files(self) -> list[bytes]:
        """Raises InvalidTensor: not a list of texts, those of bytes in base64."""
        no_list = isinstance(self.value, dict | nested_lists.Numbers)
        values, shape = ([], ()) if no_list else nested_lists.flat(self.value, self.name)
        if len(shape) != 1:
            raise InvalidTensor(f'{self.name} is no list of values; expected [{{"b64": "..."}}, ...]')
        return [_file(one, self.name) for one in values]


def signature_of(fields: dict[str, Any]) -> str:
    """The signature that a request names.

    Raises:
        UnknownSignature: there is none of that name.
    """
    name = fields.get("signature_name") or DEFAULT
    if not isinstance(name, str):
        raise BadRequest(f"signature_name is {shown(name)}; expected a text")
    if name not in INPUTS:
        raise UnknownSignature(
            f'Serving signature name: "{name[:256]}" not found in signature def; there are {", ".join(INPUTS)}'
        )
    return name


def input_of(fields: dict[str, Any], name: str) -> SignatureInput:
    """The value that a request gives for the input `name`.

    Raises:
        BadRequest: neither or both of `instances` and `inputs`, or no value for this input.
    """
    if "inputs" in fields:
        if "instances" in fields:
            raise BadRequest("expected only one of the keys 'inputs' and 'instances'; got both")
        return SignatureInput(name, _column(fields["inputs"], name), False)
    if "instances" not in fields:
        raise BadRequest("Missing 'inputs' or 'instances' key in the request")
    return SignatureInput(name, _rows(fields["instances"], name), True)


def _column(inputs: Any, name: str) -> Any:
    if not isinstance(inputs, dict) or _is_bytes(inputs):
        return inputs
    if name not in inputs:
        raise BadRequest(f"Missing named input: {name} in 'inputs' object.")
    return inputs[name]


def _rows(instances: Any, name: str) -> Any:
    if isinstance(instances, nested_lists.Numbers):
        return instances
    if not isinstance(instances, list) or not instances:
        raise BadRequest('Expected "instances" to be a non-empty list')
    if not isinstance(instances[0], dict) or _is_bytes(instances[0]):
        return instances
    for number, row in enumerate(instances):
        if not isinstance(row, dict) or set(row) != {name}:
            got = f"keys {', '.join(row)[:256]}" if isinstance(row, dict) else f"a {nested_lists.kind_of(row)}"
            raise BadRequest(f"instance {number} has {got}; expected an object with exactly the inputs: {name}")
    return [row[name] for row in instances]


def _is_bytes(value: dict[str, Any]) -> bool:
    return list(value) == ["b64"]


def _file(value: Any, name: str) -> bytes:
    match value:
        case str():
            return value.encode("utf-8", "surrogatepass")
        case {"b64": str(text)} if len(value) == 1:
            try:
                return base64_text.decoded(text)
            except ValueError as error:
                raise InvalidTensor(f"{name} holds what is not base64: {error}") from error
    raise InvalidTensor(f'{name} holds {shown(value)}; expected {{"b64": "..."}}')


def by_row(outputs: dict[str, Array]) -> Any:
    """Several outputs as an object for each row, a single one bare; for `json_text`."""
    arrays = [plain_floats(array, name) for name, array in outputs.items()]
    if len(arrays) == 1:
        return arrays[0]
    return [dict(zip(outputs, row, strict=True)) for row in zip(*arrays, strict=True)]


def by_output(outputs: dict[str, Array]) -> Any:
    """Several outputs as an object of tensors, a single one bare; for `json_text`."""
    arrays = {name: plain_floats(array, name) for name, array in outputs.items()}
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays


def metadata(card: ModelCard) -> dict[str, Any]:
    """The answer of GET .../metadata."""
    classes = len(card.classes)
    inputs = {
        DEFAULT: _tensor("DT_FLOAT", -1, card.image.height, card.image.width),
        "serving_bytes": _tensor("DT_STRING", -1),
    }
    described = {
        signature: {
            "inputs": {name: {**inputs[signature], "name": f"{signature}_{name}:0"}},
            "outputs": {one: _tensor("DT_FLOAT", -1, classes) for one in ("logits", "probabilities")},
            "method_name": "tensorflow/serving/predict",
            "defaults": {},
        }
        for signature, name in INPUTS.items()
    }
    return {
        "model_spec": {"name": card.name, "signature_name": "", "version": card.version},
        "metadata": {"signature_def": {"signature_def": described}},
    }


def _tensor(dtype: str, *sizes: int) -> dict[str, Any]:
    """A tensor in the shape of TensorInfo; its name in the graph is not known here."""
    dims = [{"size": str(size), "name": ""} for size in sizes]
    return {"dtype": dtype, "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": ""}
