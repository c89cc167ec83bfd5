"""What a version costs and what it is worth: bytes, time, accuracy, calibration, and how its maps differ."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import softmax
from scipy.stats import binomtest

from training import synthetic
from training.calibrate import energy_score, expected_calibration_error
from training.data import Dataset
from training.evaluate import CARD, TWIN, logits_by
from training.litert.conversion import seconds_of
from training.referee.moved import moved

NOT_DIGITS, SEED = 2000, 77  # pictures of none, of kinds that training holds out
MOVED = 40  # test digits whose maps are compared


@dataclass(frozen=True)
class Costs:
    """Of one version: bytes of the file that predicts, parameters, share of test images read right with its 95 %
    interval, expected calibration error, share of what is no digit that is let through, microseconds of a prediction on
    one core, and the median rank correlation of its maps with those of another version."""

    name: str
    bytes: int
    parameters: int
    accuracy: float
    interval: tuple[float, float]
    ece: float
    let_through: float
    microseconds: float
    maps: float


def costs(version: Path, data: Dataset, other: Path) -> Costs:
    """Of a stored version that has a LiteRT file, measured on the test images, its maps beside those of `other`."""
    card = json.loads((version / CARD).read_text())
    logits_of, content = logits_by(version), (version / TWIN).read_bytes()
    logits = logits_of(data.test_images)
    right = logits.argmax(axis=1) == data.test_labels
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    temperature, threshold = card["temperature"], card["in_distribution"]["threshold"]
    unlike = logits_of(synthetic.not_digits(NOT_DIGITS, SEED, held_out=True).images)
    few = slice(None, None, -(-len(data.test_images) // MOVED))
    return Costs(
        name=f"{card['name']}/{card['version']}",
        bytes=len(content),
        parameters=card["parameters"],
        accuracy=float(right.mean()),
        interval=(float(interval.low), float(interval.high)),
        ece=expected_calibration_error(softmax(logits / temperature, axis=1), data.test_labels),
        let_through=float(np.mean(energy_score(unlike, temperature) >= threshold)),
        microseconds=1e6 * seconds_of(content),
        maps=moved(other, version, data.test_images[few], data.test_labels[few]).median,
    )


def table(found: Sequence[Costs]) -> str:
    """Versions beside each other, the first of which the maps are compared with, as Markdown."""
    heads = ("version", "bytes", "parameters", "read, %", "ECE, %", "no digits let through, %", "microseconds", "maps")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for one in found:
        low, high = (100 * end for end in one.interval)
        cells = (
            one.name,
            f"{one.bytes:,}",
            f"{one.parameters:,}",
            f"{100 * one.accuracy:.2f} ({low:.2f} to {high:.2f})",
            f"{100 * one.ece:.2f}",
            f"{100 * one.let_through:.1f}",
            f"{one.microseconds:.0f}",
            f"{one.maps:.2f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
