"""Our side: the shipped CNN, the digits that all are asked about, and our methods as `Explain`s."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.case import Array, Case
from benchmarks.peers.protocol import Explain
from benchmarks.store import shipped
from server.config import Settings
from server.explainers import build
from server.explainers.segmentation import grid, segment
from server.models.card import read_card
from server.models.model_loaders import litert_loader
from server.types import Attribution, Explainer, Model, Target
from training import data

FOLDER = shipped("cnn")
CELLS = (4, 4)  # that all Shapley values are of


def loaded(folder: Path = FOLDER) -> Model:
    """What explains in a server by default: LiteRT, with a helper for each further core."""
    found = litert_loader(None, Settings().interpreter_bytes, partly=False)(folder, read_card(folder))
    assert found is not None  # the shipped versions have all files
    return found.model


def digits(count: int) -> tuple[str, Array]:
    """`count` test images (n, 28, 28), spread evenly over all, and where they come from: the MNIST file that
    INKLING_MNIST names, or scikit-learn's digits."""
    named = os.environ.get("INKLING_MNIST")
    images = data.load(named or "digits").test_images
    chosen = np.linspace(0, len(images), count, endpoint=False).astype(int)
    return ("MNIST's test images" if named else "scikit-learn's digits, enlarged"), images[chosen]


def case_of(model: Model, images: Array, targets: Array | None = None) -> Case:
    """What all libraries are asked of these images (n, H, W): `targets` (n,), else the predicted classes, over our
    superpixels and grid."""
    logits = model.forward(images).astype(np.float64)
    targets = logits.argmax(axis=1) if targets is None else targets
    shape = images.shape[1:]
    return Case(
        images=images,
        targets=targets,
        background=model.card.background.astype(np.float32),
        segments=np.stack([segment(image, "quickshift", 1.0, 16) for image in images]),
        cells=grid(shape, CELLS),
        logits=logits,
        slopes=model.gradient(images, np.eye(logits.shape[1], dtype=np.float32)[targets]),
        scores=logits[np.arange(len(images)), targets],
        black=model.forward(np.zeros((1, *shape), np.float32))[0].astype(np.float64)[targets],
        typical=model.forward(model.card.background).astype(np.float64).mean(axis=0)[targets],
    )


def explain(model: Model, case: Case, name: str, options: Mapping[str, Any]) -> Explain:
    """Our method `name` with `options`."""
    explainer = build(name, options, model.card, model.verbs)
    targets = [Target.of_class(int(index), model.card.classes) for index in case.targets]

    def explained(index: int, seed: int) -> tuple[Array, int]:
        found = answered(explainer, model, case.images[index], targets[index], seed)
        return found.values if found.segment_values is None else found.segment_values, found.rows

    return explained


def answered(explainer: Explainer, model: Model, image: Array, target: Target, seed: int) -> Attribution:
    """What the server answers when it has time: the first attribution that is not partial, or the last."""
    for found in explainer.refine(model, image, target, seed):
        if found.state != "partial":
            break
    return found
