"""Renders an explanation or an attack as numpy arrays in one file, for further computation.

Opens with np.load(file, allow_pickle=False). Everything small is in `meta`, a JSON text; arrays that the
method does not give, or did not find, are absent.
"""

import io

import numpy as np

from server.attacks.types import AttackResult
from server.render.attack import attack_json
from server.render.json import explanation_json
from server.render.jsonable import json_text
from server.render.language import ENGLISH, Words
from server.types import Array, Explanation

LARGE = ("values", "stderr", "segments", "segment_values", "segment_stderr")  # stand beside `meta` as arrays


def npz_bytes(explanation: Explanation, words: Words = ENGLISH) -> bytes:
    """numpy dates every member 1980-01-01, so equal explanations are equal bytes. Raises ValueError as JSON does."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **_arrays(explanation, words))
    return buffer.getvalue()


def attack_npz_bytes(attacked: AttackResult, words: Words = ENGLISH) -> bytes:
    """The digit as the model takes it and, where one was found, the changed one, with what is answered to each."""
    buffer, document = io.BytesIO(), attack_json(attacked, words)
    arrays = {"image": attacked.digit.pixels, "logits": attacked.prediction.logits}
    if attacked.changed is not None:
        arrays |= {"pixels": np.asarray(attacked.adversarial.pixels), "changed_logits": attacked.changed.logits}
    for name in ("pixels", "image", "change"):  # the change is their difference
        del document["adversarial"][name]
    meta = np.array(json_text(document).decode())
    np.savez_compressed(buffer, allow_pickle=False, meta=meta, **arrays)
    return buffer.getvalue()


def _arrays(explanation: Explanation, words: Words) -> dict[str, Array]:
    attribution, prediction = explanation.attribution, explanation.prediction
    optional = {
        "segments": attribution.segments,
        "segment_values": attribution.segment_values,
        "stderr": attribution.stderr,
    }
    return {
        "values": np.asarray(attribution.values, np.float32),
        "image": np.asarray(explanation.digit.pixels, np.float32),
        **{name: np.asarray(array) for name, array in optional.items() if array is not None},
        "logits": np.asarray(prediction.logits),
        "probabilities": np.asarray(prediction.probabilities),
        "target_weights": np.asarray(explanation.target.weights),
        "transform": np.array(explanation.digit.placement.transform, np.float64),
        "meta": np.array(_meta(explanation, words)),
    }


def _meta(explanation: Explanation, words: Words) -> str:
    document = explanation_json(explanation, words)
    for name in LARGE:
        del document["explanation"][name]
    return json_text(document).decode()
