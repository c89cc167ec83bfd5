"""Measures what is usual for a version, so that a server can tell drift: classes, confidence, how much is out of
distribution, and where the evidence for each class lies."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from server.explainers.shapley import Shapley
from server.models.card import read_card
from server.rollout.evidence import cell_shares
from server.types import REFERENCE_BOUNDS, REFERENCE_CELLS, Target
from training.calibrate import energy_score
from training.data import Array, Dataset
from training.errors import DataError
from training.evaluate import logits_by
from training.mix import calibration_set
from training.referee.versions import opened
from training.store.card import EXTRA, checked_card
from training.store.next_version import with_file

FORMAT = 1
REFERENCE = f"{EXTRA}/reference.json"
EXPLAINED = 30  # images of each class


def with_reference(version: Path, data: Dataset) -> Path:
    """Write the next version of the model in the folder MODEL/NUMBER: the same one with what is usual for it, on the
    images that it was calibrated on. It takes over the labels of the other; returns its folder.

    Raises:
        DataError: `version` is none, or the labels beside it cannot be read.
    """
    card = checked_card(version)
    images, _ = calibration_set(data, bool(card["training"].get("mixed")))
    found = json.dumps(reference(version, images))
    return with_file(version, "reference", REFERENCE, found, "measured_from")


def reference(version: Path, images: Array) -> dict[str, Any]:
    """The content of reference.json, on images (n, H, W). Raises DataError."""
    card = read_card(version)
    logits = logits_by(version)(images)
    probabilities, predicted = softmax(logits / card.temperature, axis=1).max(axis=1), logits.argmax(axis=1)
    energy = energy_score(logits, card.temperature)
    bins = np.searchsorted(REFERENCE_BOUNDS, probabilities)
    confidence = np.bincount(bins, minlength=len(REFERENCE_BOUNDS) + 1)
    classes = np.bincount(predicted, minlength=len(card.classes))
    if not classes.all():
        missing = [label for label, count in zip(card.classes, classes, strict=True) if not count]
        raise DataError(f"no image is read as {', '.join(missing)}; expected images of all classes")
    return {
        "format": FORMAT,
        "images": len(images),
        "classes": _shares(classes),
        "confidence": _shares(confidence),
        "out_of_distribution": round(float((energy < card.energy_threshold).mean()), 6),
        "evidence": {"method": Shapley.name, "cells": _cells(version, images, predicted)},
    }


def _cells(version: Path, images: Array, predicted: Array) -> list[list[float]]:
    """The mean shares of cells by class, of the first images that are read as it."""
    model, explainer, found = opened(version), Shapley(), []
    for index in range(len(model.card.classes)):
        target, shares = Target.of_class(index, model.card.classes), []
        for image in images[predicted == index][:EXPLAINED]:
            *_, attribution = explainer.refine(model, image, target, 0)
            shares.append(cell_shares(attribution.values).ravel())
        found.append(_shares(np.mean(shares, axis=0)))
    assert all(len(one) == REFERENCE_CELLS**2 for one in found)
    return found


def _shares(counts: Array) -> list[float]:
    return [round(float(one), 6) for one in np.asarray(counts) / np.sum(counts)]
