"""python -m benchmarks.nets: how well the shipped nets read, and what they know not to be a digit; for docs/nets.md."""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from benchmarks.case import Array
from benchmarks.read import decoded, strangers
from benchmarks.reading import nets_page
from benchmarks.reading.nets_page import FLAGGED, NETS, SPLITS, SURE
from benchmarks.store import STORE, shipped
from server.models.card import read_card
from server.types import COVERAGE, ConformalScores, ModelCard
from training import synthetic
from training.calibrate import energy_score, expected_calibration_error, prediction_sets
from training.data import Dataset, load
from training.evaluate import logits_by, of_attacks, of_corruptions
from training.synthetic import fonts

ROOT = Path(__file__).parent.parent
MARK = "<!-- nets -->\n"
PAGE = ROOT / "docs" / "nets.md"
SEED = 77  # of all that is drawn; training has others
DRAWN, PRINTED, NOT_DIGITS, LETTERS, LOOKALIKES, NOISE = 6000, 4000, 6000, 3000, 2000, 2000


@dataclass(frozen=True)
class Shown:
    """Pictures (n, H, W) and the digits that they show (n,); and how many more were refused, which are misread."""

    images: Array
    labels: Array
    refused: int = 0


@dataclass(frozen=True)
class Pictures:
    """All that nets are measured on; nothing of it was trained on."""

    data: Dataset
    digits: Mapping[str, Shown]
    others: Mapping[str, Array]  # by kind, what shows no digit


def main() -> None:
    given = arguments()
    pictures = gathered(given.fonts, given.images)
    figures = nets_page.figures()
    for store in (*given.before, STORE):
        for name in given.nets:
            version = shipped(name, store)
            print(f"measuring {name}/{version.name}", file=sys.stderr)
            figures[f"{name}/{version.name}"] = measured(version, pictures, given.images is not None)
    nets_page.FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
    page = PAGE.read_text()
    start, end = page.index(MARK) + len(MARK), page.index("<!-- end -->")
    PAGE.write_text(page[:start] + nets_page.document(figures) + page[end:])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--fonts", type=Path, required=True, help="folder of the fonts held out; npm fetches what it lacks"
    )
    parser.add_argument("--images", type=Path, help="a folder of strangers' pictures, with index.tsv: file, label, ...")
    parser.add_argument("--before", type=Path, action="append", default=[], help="another store, to measure as well")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=NETS, help="these only; figures of others stay")
    return parser.parse_args()


def gathered(font_folder: Path, images: Path | None) -> Pictures:
    named = os.environ.get("INKLING_MNIST")
    if not named:
        raise SystemExit("needs MNIST: set INKLING_MNIST to an mnist.npz")
    data, small = load(named), load("digits")
    files = fonts.fetched(font_folder, fonts.HELD_OUT_FONTS)
    digits = {
        "MNIST's test images": Shown(data.test_images, data.test_labels),
        "drawn, hands held out": shown(synthetic.digits(DRAWN, SEED, held_out=True)),
        "fonts held out": shown(synthetic.font_digits(files, PRINTED, SEED)),
        "scikit-learn's digits, 8 x 8 enlarged": Shown(
            np.concatenate([small.train_images, small.validation_images, small.test_images]),
            np.concatenate([small.train_labels, small.validation_labels, small.test_labels]),
        ),
        "MNIST's test images, worn": Shown(synthetic.finish(data.test_images, SEED), data.test_labels),
    }
    if images is not None:
        pairs = [(decoded(one.body)[0], one.label) for one in strangers(images)]
        found = [(pixels, label) for pixels, label in pairs if pixels is not None]
        pixels, labels = (np.array(part) for part in zip(*found, strict=True))
        digits["strangers' pictures"] = Shown(pixels, labels, len(pairs) - len(found))
    return Pictures(data, digits, dict(what_is_none(files)))


def shown(drawn: synthetic.Drawn) -> Shown:
    return Shown(drawn.images, drawn.labels)


def what_is_none(files: list[Path]) -> Iterator[tuple[str, Array]]:
    held = synthetic.not_digits(NOT_DIGITS, SEED, held_out=True)
    kinds = np.array([name.split()[0] for name in held.names])
    yield "noise", np.random.default_rng(SEED).random((NOISE, 28, 28), np.float32)
    for kind in sorted(set(kinds)):
        yield kind, held.images[kinds == kind]
    yield "letters of fonts held out", synthetic.font_letters(files, LETTERS, SEED).images
    yield "look-alikes", synthetic.lookalikes(LOOKALIKES, SEED).images


def measured(version: Path, pictures: Pictures, strange: bool) -> dict[str, Any]:
    """All figures of one version, by section and row."""
    card, logits_of = read_card(version), logits_by(version)
    known = {name: logits_of(one.images) for name, one in pictures.digits.items()}
    unlike = {name: logits_of(images) for name, images in pictures.others.items()}
    mnist = known["MNIST's test images"]
    figures = {
        "read": {name: read(known[name], one) for name, one in pictures.digits.items()},
        "corruptions": of_corruptions(logits_of, pictures.data),
        "attacks": of_attacks(version, pictures.data),
        "ece": {
            name: float(expected_calibration_error(shares(card, known[name]), pictures.digits[name].labels))
            for name in ("MNIST's test images", "drawn, hands held out")
        },
        "sets": sets(card, mnist, pictures.digits["MNIST's test images"].labels),
        "unlike": {name: told_apart(card, mnist, one) for name, one in unlike.items()},
        "flagged": {
            name: float(np.mean(energy_score(logits, card.temperature) < card.energy_threshold))
            for name, logits in known.items()
        },
    }
    if strange:
        name = "strangers' pictures"
        figures["strangers"] = surely_wrong(card, known[name], pictures.digits[name].labels)
    return figures


def read(logits: Array, wanted: Shown) -> list[float]:
    """How many of how many are read right."""
    return [int(np.sum(logits.argmax(axis=1) == wanted.labels)), len(wanted.labels) + wanted.refused]


def shares(card: ModelCard, logits: Array) -> Array:
    return np.asarray(softmax(logits.astype(np.float64) / card.temperature, axis=1))


def told_apart(card: ModelCard, digits: Array, others: Array) -> dict[str, float]:
    """AUROC of the energy score; what share passes where FLAGGED of the digits do not, and by the card's threshold."""
    inside, outside = (energy_score(logits, card.temperature) for logits in (digits, others))
    truth = np.append(np.ones(len(inside)), np.zeros(len(outside)))
    return {
        "auroc": float(roc_auc_score(truth, np.append(inside, outside))),
        "passing": float(np.mean(outside >= np.quantile(inside, FLAGGED))),
        "passing_card": float(np.mean(outside >= card.energy_threshold)),
    }


def sets(card: ModelCard, logits: Array, labels: Array) -> dict[str, float]:
    """Coverage and size of prediction sets on MNIST's test images, by the card's calibration, and by half of them."""
    probabilities = shares(card, logits)
    found = {"splits": float(np.mean([_covered(probabilities, labels, split) for split in range(SPLITS)]))}
    if card.conformal is not None:
        inside = probabilities >= card.conformal.threshold(COVERAGE)
        inside[np.arange(len(labels)), probabilities.argmax(axis=1)] = True
        sizes = inside.sum(axis=1)
        found |= {
            "covered": float(np.mean(inside[np.arange(len(labels)), labels])),
            "size": float(sizes.mean()),
            "several": float(np.mean(sizes > 1)),
        }
    return found


def _covered(probabilities: Array, labels: Array, split: int) -> float:
    """The share of one half of the digits whose right class is in the set that the other half calibrates."""
    known, new = np.split(np.random.default_rng(split).permutation(len(labels)), 2)
    stored = prediction_sets(probabilities[known], labels[known])
    least = ConformalScores(stored["n"], tuple(stored["lowest"])).threshold(COVERAGE)
    return float(np.mean(probabilities[new, labels[new]] >= least))


def surely_wrong(card: ModelCard, logits: Array, labels: Array) -> int:
    """How many are misread with a probability above SURE, and look like digits."""
    known = energy_score(logits, card.temperature) >= card.energy_threshold
    return int(np.sum((logits.argmax(axis=1) != labels) & (shares(card, logits).max(axis=1) > SURE) & known))


if __name__ == "__main__":
    main()
