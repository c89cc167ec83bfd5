"""Serialises an explanation as a cache entry: all that rendering reads, and no more of the model's card than that.

An entry is an npz, compressed: its arrays, and its facts as JSON. What was answered once is answered again byte for
byte, even if the model's version is gone by then. The frame is not kept: it belongs to the request. Knows no file.
"""

import dataclasses
import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, cast, get_args

import numpy as np

from server.errors import ServiceError
from server.explainers import EXPLAINERS
from server.options import parse
from server.reference import REFERENCES
from server.types import (
    Array,
    Attribution,
    Digit,
    Explainer,
    Explanation,
    ImageSpec,
    InDistribution,
    Kind,
    Measure,
    ModelCard,
    Part,
    Place,
    Placement,
    Prediction,
    PredictionSet,
    Quality,
    Runtime,
    Section,
    State,
    Stop,
    Target,
    TrackRecord,
    Unit,
)

FORMAT = 4  # raised when entries change; entries of another format are misses
LARGEST = 32 << 20  # bytes before compression; a picture of 512 x 512 is less than one MiB
KINDS = "fiub"  # of numpy's types: plain numbers
# zlib's level 1 around the npz takes 4 ms and 168 kB for a photo's picture of 512 pixels, 0.6 ms and 6 kB for a
# drawing; numpy's savez_compressed, which knows level 6 only, 19 ms and 137 kB, 1.1 ms and 5 kB. Storing differences of
# rows and colours leaves 102 kB of the photo, which is not worth its code.
LEVEL = 1
OPTIONAL = ("segments", "segment_values", "stderr")  # arrays that a method may not have
NUMBERS = (  # or None
    "score", "base_value", "convergence_delta", "uncorrected_delta", "local_r2", "bias_max", "top3_probability",
)  # fmt: skip


class StaleEntry(Exception):
    """An entry that cannot be read: damaged, of another format or of another explanation. It counts as a miss."""


def encode(explanation: Explanation) -> bytes:
    """The bytes of an explanation. Raises ValueError or TypeError for values that an entry cannot hold, or too many."""
    return pack(_facts(explanation), _arrays(explanation))


def decode(entry: bytes, identity: str) -> Explanation:
    """The explanation with that id, as kept; its card has neither background nor verbs, metrics or training.

    Raises:
        StaleEntry: it cannot be read, or is that of another explanation.
    """
    facts, arrays = unpack(entry)
    try:
        found = _explanation(facts, arrays)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, ServiceError) as error:
        raise StaleEntry(f"its fields cannot be read ({type(error).__name__}: {error})") from error
    if found.id != identity:
        raise StaleEntry(f"it is the entry of {found.id}")
    return found


def pack(facts: Mapping[str, Any], arrays: Mapping[str, Array]) -> bytes:
    """The bytes of `facts` (JSON values) and arrays. Raises ValueError or TypeError for others, or if they are too
    large."""
    if any(array.dtype.kind not in KINDS for array in arrays.values()):
        raise TypeError(f"only plain numbers are kept, got {[array.dtype.str for array in arrays.values()]}")
    encoded = json.dumps({"format": FORMAT, **facts}).encode()
    file = BytesIO()
    np.savez(file, allow_pickle=False, facts=np.frombuffer(encoded, np.uint8), **arrays)
    if file.tell() > LARGEST:
        raise ValueError(f"an entry of {file.tell()} bytes; at most {LARGEST} are kept")
    return zlib.compress(file.getbuffer(), LEVEL)


def unpack(entry: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
    """Facts and arrays, in memory of LARGEST bytes twice at most.

    Raises:
        StaleEntry: it is damaged, or of another format.
    """
    try:
        arrays = _arrays_of(_inflated(entry))
        facts = json.loads(arrays.pop("facts").tobytes())
        if facts["format"] != FORMAT:
            raise ValueError(f"format {facts['format']}, expected {FORMAT}")
    except Exception as error:  # damaged zip files make zipfile and numpy raise nearly anything
        raise StaleEntry(f"it cannot be read ({type(error).__name__}: {error})") from error
    return facts, arrays


def _inflated(entry: bytes) -> bytes:
    inflater = zlib.decompressobj()
    npz = inflater.decompress(entry, LARGEST)
    if not inflater.eof or inflater.unused_data:
        raise ValueError("it does not end where it should")
    return npz


def _arrays_of(npz: bytes) -> dict[str, Array]:
    with zipfile.ZipFile(BytesIO(npz)) as members:  # which may be compressed themselves, or share their bytes
        if sum(member.file_size for member in members.infolist()) > LARGEST:
            raise ValueError(f"its arrays have more than {LARGEST} bytes")
    with np.load(BytesIO(npz), allow_pickle=False) as file:
        return {name: _plain(file[name]) for name in file.files}


def _plain(array: Any) -> Array:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in KINDS:
        raise TypeError("expected arrays of plain numbers")
    return array


def fingerprint(explanation: Explanation) -> str:
    """A hash of all that any rendering of it depends on, but for the code that renders."""
    facts = [_facts(explanation), explanation.frame, explanation.kept]
    found = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, array in _arrays(explanation).items():
        found.update(f"{name} {array.dtype.str} {array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def _facts(explanation: Explanation) -> dict[str, Any]:
    """All but the arrays, as JSON says it; floats come back as they were."""
    prediction, card, placement = explanation.prediction, explanation.prediction.card, explanation.digit.placement
    target, attribution = explanation.target, explanation.attribution
    known = prediction.in_distribution
    return {
        "id": explanation.id,
        "card": [card.name, card.version, card.digest, card.architecture, list(card.classes)],
        "calibration": [float(card.temperature), float(card.energy_threshold)],
        "prediction": [int(prediction.index), bool(known.ok), float(known.score), float(known.threshold)],
        "prediction_set": None if prediction.prediction_set is None else dataclasses.astuple(prediction.prediction_set),
        "placement": {
            "transform": [float(number) for number in placement.transform],
            "size": [int(placement.width), int(placement.height)],
            "steps": list(placement.steps),
            "warnings": list(placement.warnings),
        },
        "target": [int(target.index), None if target.versus is None else int(target.versus)],
        "explainer": [explanation.engine, explanation.explainer.name, _options(explanation.explainer)],
        "runtime": explanation.runtime,
        "seed": int(explanation.seed),
        "output": explanation.output,
        "attribution": {
            "unit": attribution.unit,
            "state": attribution.state,
            "stop": attribution.stop,
            "rows": int(attribution.rows),
            "warnings": list(attribution.warnings),
            "fine": bool(attribution.fine),
            **{name: _number(getattr(attribution, name)) for name in NUMBERS},
        },
        "parts": [dataclasses.astuple(part) for part in explanation.parts],
        "quality": None if explanation.quality is None else _measured(explanation.quality),
        "trial": None if explanation.trial is None else _recorded(explanation.trial),
    }


def _arrays(explanation: Explanation) -> dict[str, Array]:
    attribution, prediction = explanation.attribution, explanation.prediction
    optional = {name: getattr(attribution, name) for name in OPTIONAL}
    every = {
        "picture": explanation.digit.placement.picture,
        "pixels": explanation.digit.pixels,
        "probabilities": prediction.probabilities,
        "logits": prediction.logits,
        "values": attribution.values,
        **{name: array for name, array in optional.items() if array is not None},
    }
    return {name: np.asarray(array) for name, array in every.items()}


def _options(explainer: Explainer) -> dict[str, Any]:
    return {one.name: getattr(explainer, one.name) for one in dataclasses.fields(cast(Any, explainer))}


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _measured(quality: Quality) -> dict[str, Any]:
    measures = [
        [one.name, *map(_number, (one.value, one.random, one.intensity)), one.better, _number(one.beaten), one.can_tell]
        for one in quality.measures
    ]
    return {"measures": measures}


def _recorded(trial: TrackRecord) -> list[Any]:
    named = {kind: int(count) for kind, count in trial.named.items()}
    return [named, int(trial.pictures), float(trial.yardstick), float(trial.ink)]


def _trial(stored: Any) -> TrackRecord | None:
    if stored is None:
        return None
    named, pictures, yardstick, ink = stored
    _expect(named and all(type(count) is int for count in (pictures, *named.values())), "counts of a trial")
    _expect(pictures > 0 and type(yardstick) is type(ink) is float, "a trial's numbers")
    return TrackRecord(named, pictures, yardstick, ink)


def _prediction_set(stored: Any, classes: int) -> PredictionSet | None:
    if stored is None:
        return None
    members, coverage, n = stored
    _expect(members and all(type(one) is int and 0 <= one < classes for one in members), "classes that there are")
    _expect(type(coverage) is float and type(n) is int, "the numbers of a prediction set")
    return PredictionSet(tuple(members), coverage, n)


def _prediction(facts: Mapping[str, Any], arrays: Mapping[str, Array]) -> Prediction:
    name, version, digest, architecture, classes = facts["card"]
    temperature, threshold = facts["calibration"]
    index, ok, score, least = facts["prediction"]
    shape, probabilities, logits = arrays["pixels"].shape, arrays["probabilities"], arrays["logits"]
    _expect(probabilities.shape == logits.shape == (len(classes),), "one number for each class")
    _expect(0 <= index < len(classes), "a predicted class that there is")
    card = ModelCard(
        name, version, digest, architecture, tuple(classes), ImageSpec(*shape), temperature, threshold,
        np.zeros((0, *shape), np.float32), frozenset(),
    )  # fmt: skip
    found = _prediction_set(facts["prediction_set"], len(classes))
    return Prediction(card, index, probabilities, logits, InDistribution(ok, score, least), found)


def _explanation(facts: Mapping[str, Any], arrays: Mapping[str, Array]) -> Explanation:
    pixels, values = arrays["pixels"], arrays["values"]
    prediction = _prediction(facts, arrays)
    target, versus = facts["target"]
    _expect(values.shape == pixels.shape, "a value for each pixel")
    engine, method, options = facts["explainer"]
    known = {"inkling": EXPLAINERS, "reference": REFERENCES}[engine][method]
    measured = facts["quality"]
    _expect(facts["output"] in ("logit", "probability"), "output to be logit or probability")
    runtime = facts.get("runtime", "tensorflow")  # entries of before do not say it
    _expect(runtime in get_args(Runtime), "a runtime that there is")
    return Explanation(
        facts["id"],
        Digit(pixels, _placement(facts["placement"], arrays["picture"])),
        prediction,
        _target(target, versus, prediction.card.classes),
        _attribution(facts["attribution"], arrays),
        known(**parse(known, options)),
        facts["seed"],
        facts["output"],
        engine=engine,
        quality=None if measured is None else Quality(tuple(Measure(*one) for one in measured["measures"])),
        kept=True,
        runtime=runtime,
        parts=tuple(map(_part, facts["parts"])),
        trial=_trial(facts["trial"]),
    )


def _part(fields: Sequence[Any]) -> Part:
    kind, place, section, drop, box, supporting, opposing, stderr = fields
    for name, found, literal in (("kind", kind, Kind), ("place", place, Place), ("section", section, Section)):
        _expect(found in get_args(literal) or (found is None and name != "kind"), f"a {name} that there is")
    row, column, height, width = box
    return Part(kind, place, section, drop, (row, column, height, width), supporting, opposing, stderr)


def _placement(facts: Mapping[str, Any], picture: Array) -> Placement:
    a, b, c, d, e, f = facts["transform"]
    width, height = facts["size"]
    _expect(picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8, "a picture of 8 bits")
    _expect(width > 0 and height > 0 and picture.size > 0, "a picture with pixels")
    return Placement(
        (a, b, c, d, e, f), width, height, lambda: picture, tuple(facts["steps"]), tuple(facts["warnings"])
    )


def _target(index: int, versus: int | None, classes: tuple[str, ...]) -> Target:
    return Target.of_class(index, classes) if versus is None else Target.contrast(index, versus, classes)


def _attribution(facts: Mapping[str, Any], arrays: Mapping[str, Array]) -> Attribution:
    optional: dict[str, Any] = {name: arrays.get(name) for name in OPTIONAL}
    segments, per_segment = optional["segments"], optional["segment_values"]
    for name in ("segments", "stderr"):
        array = optional[name]
        _expect(array is None or array.shape == arrays["values"].shape, f"{name} for each pixel")
    if segments is not None and per_segment is not None:
        _expect(segments.dtype.kind in "iu" and 0 <= segments.min() <= segments.max() < len(per_segment), "segments")
    for name, literal in (("unit", Unit), ("state", State)):
        _expect(facts[name] in get_args(literal), f"{name} to be one that there is")
    _expect(isinstance(facts["fine"], bool), "fine to be true or false")
    _expect(facts["stop"] is None or facts["stop"] in get_args(Stop), "a reason for stopping that there is")
    return Attribution(
        arrays["values"], facts["unit"], facts["state"], facts["rows"], stop=facts["stop"],
        warnings=tuple(facts["warnings"]), fine=facts["fine"], **optional, **{name: facts[name] for name in NUMBERS},
    )  # fmt: skip


def _expect(holds: object, what: str) -> None:
    if not holds:
        raise ValueError(f"expected {what}")
