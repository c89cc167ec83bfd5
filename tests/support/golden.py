"""What every method answers and how an explanation is rendered, each beside the revision that it belongs to.

Kept explanations and ETags carry revisions: where values or bytes change and the revision does not, a server would
answer with what it kept before. `python -m tests.support.golden` writes golden.json anew, but never under the same
revision.
"""

import base64
import hashlib
import io
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from server import render
from server.explainers import EXPLAINERS
from server.reference import REFERENCES
from server.types import Explainer, Explanation, Target, TrackRecord
from tests.render.test_render import Unsigned, explain, placed, quarters
from tests.support.models.fakes import Wavy, ink

PATH = Path(__file__).with_name("golden.json")
RENDERING = "rendering"
RELATIVE = 1e-6  # other processors differ by less
NEEDS_KERAS = {"reference expected_gradients"}  # asks a Keras model, and those differ more

Golden = dict[str, dict[str, Any]]
"""By name: the revision, and what belongs to it: numbers, or hashes by media type."""


def explainers() -> dict[str, Explainer]:
    engines = {"inkling": EXPLAINERS, "reference": REFERENCES}
    every = {f"{engine} {name}": kind() for engine, kinds in engines.items() for name, kind in kinds.items()}
    return {name: explainer for name, explainer in every.items() if name not in NEEDS_KERAS}


def of_method(explainer: Explainer) -> dict[str, Any]:
    """Its last values for class 1 of a fixed net and picture, as many digits as are compared and some more."""
    model = Wavy()
    *_, last = explainer.refine(model, ink(), Target.of_class(1, model.card.classes), 0)
    return {"revision": explainer.revision, "values": [float(f"{value:.9g}") for value in last.values.ravel()]}


def of_rendering() -> dict[str, Any]:
    """Hashes of three explanations in all formats, but for what compressors add: their versions differ."""
    kinds = {"image/png": _pixels, "image/svg+xml": _svg, "application/x-npz": _arrays}
    hashes = {}
    for media_type, renderer in render.RENDERERS.items():
        content = [kinds.get(media_type, bytes)(renderer(one)) for one in _rendered()]
        hashes[media_type] = hashlib.sha256(b"".join(content)).hexdigest()
    return {"revision": render.REVISION, "values": hashes}


def _rendered() -> list[Explanation]:
    values = ((np.arange(784) * 37 % 101 - 50) / 64).reshape(28, 28).astype(np.float32)
    picture = (np.arange(56 * 56 * 3) * 7 % 251).reshape(56, 56, 3).astype(np.uint8) // 128 * 255
    cells = {"segments": quarters(), "segment_values": np.array([0.5, -0.25, 0.125, 1.0])}
    turned = placed(picture, (2, 0, 0, 0, 2, 0), scale=2)
    return [
        explain(values, placement=turned, versus=1, stderr=values / 8, score=3.5, base_value=-1.25, **cells),
        explain(np.abs(values), explainer=Unsigned(), known=False, warnings=("faint",)),
        replace(explain(values), trial=TrackRecord({"mark": 60, "decoy": 3}, 60, 0.25, 0.5)),
    ]


def _pixels(content: bytes) -> bytes:
    with Image.open(io.BytesIO(content)) as image:
        return repr((image.size, sorted(image.info.items()))).encode() + image.convert("RGB").tobytes()


def _svg(content: bytes) -> bytes:
    data = re.compile(rb"base64,([A-Za-z0-9+/=]+)")
    return data.sub(lambda found: hashlib.sha256(_pixels(base64.b64decode(found[1]))).digest(), content)


def _arrays(content: bytes) -> bytes:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file}
    return b"".join(repr((name, one.dtype, one.shape)).encode() + one.tobytes() for name, one in arrays.items())


def computed() -> Golden:
    return {**{name: of_method(one) for name, one in explainers().items()}, RENDERING: of_rendering()}


def stored() -> Golden:
    return dict(json.loads(PATH.read_text())) if PATH.exists() else {}


def is_same(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) or isinstance(other, Mapping):
        return bool(one == other)
    first, second = np.asarray(one), np.asarray(other)
    return first.shape == second.shape and bool(np.abs(first - second).max() <= RELATIVE * np.abs(first).max())


def complaint(name: str, before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> str:
    """What is wrong, and what to do; nothing where nothing is."""
    if before is None or now["revision"] > before["revision"]:
        return f"{name} has a new revision: run `python -m tests.support.golden`, and commit golden.json"
    if now["revision"] < before["revision"]:
        return f"{name} has revision {now['revision']}, but there was a revision {before['revision']}: raise it"
    if is_same(before["values"], now["values"]):
        return ""
    where = "REVISION in server/render/__init__.py" if name == RENDERING else "`revision` of its class"
    return (
        f"{name} gives something else than at revision {now['revision']}: if that is meant, raise {where} and run "
        "`python -m tests.support.golden`"
    )


def renewed(before: Golden, now: Golden) -> Golden:
    """Golden values as they are to be stored: new ones only under new revisions.

    Raises:
        SystemExit: something changed and its revision did not.
    """
    reported = {name: complaint(name, before.get(name), one) for name, one in now.items()}
    wrong = [text for text in reported.values() if text and "new revision" not in text]
    if wrong:
        raise SystemExit("\n".join(wrong))
    return {name: one if reported[name] else before[name] for name, one in now.items()}


if __name__ == "__main__":
    lines = [f"{json.dumps(name)}: {json.dumps(one)}" for name, one in renewed(stored(), computed()).items()]
    PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    sys.stdout.write(f"{PATH}: {len(lines)} entries\n")
