"""python -m benchmarks.read: how posted pictures are read, kind by kind, beside others' recipes; for RESULTS.md."""

import argparse
import csv
import os
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from benchmarks.case import Array
from benchmarks.pictures import KINDS, Kind
from benchmarks.pictures.camera import png
from benchmarks.reading import recipes, table
from benchmarks.reading.table import MNIST, STRANGERS, Reading
from benchmarks.results import write_part
from benchmarks.store import shipped
from server.errors import PictureError
from server.images import decode
from server.inference.predict import to_prediction
from server.models.card import read_card
from server.models.litert import predictor
from server.types import ImageSpec, Model

NETS = ("cnn", "mlp", "lstm")
SPEC = ImageSpec(28, 28)
FEW = {"large_photo": 20}  # pictures at most: each takes seconds to make
SURE = 0.95  # probability
SEED = 1


@dataclass(frozen=True)
class Posted:
    """A picture as it is sent, and the digit that a person sees in it."""

    body: bytes
    label: int


@dataclass(frozen=True)
class Answer:
    """What one net says of one picture; `index` is None where the picture was refused."""

    index: int | None
    surely: bool = False  # probable above SURE and in distribution


def main() -> None:
    given = arguments()
    mnist()  # says at once if there is none
    load = os.getloadavg()[0]
    names = [name for name in (MNIST, *KINDS) if not given.kinds or name in given.kinds]
    with ProcessPoolExecutor() as pool:  # most of the time goes into making the pictures
        readings = list(pool.map(partial(reading_of, each=given.each, failures=given.failures), names))
    if given.images:
        readings.append(reading(STRANGERS, list(strangers(given.images)), nets(), given.failures))
    text = table.document(readings, f"{datetime.now(UTC):%Y-%m-%d}", load)
    if given.kinds:
        print(text)
    else:
        write_part("reading", text)


def reading_of(name: str, each: int, failures: Path | None) -> Reading:
    """How one kind is read, in whichever process."""
    kind: Kind = KINDS.get(name, lambda image, label, rng: png(Image.fromarray(image)))
    return reading(name, list(made(name, kind, *mnist(), each)), nets(), failures)


@cache
def nets() -> Mapping[str, Model]:
    """The shipped nets by their names."""
    return {name: predictor(shipped(name), read_card(shipped(name))) for name in NETS}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=200, help="pictures of each kind")
    parser.add_argument("--kinds", nargs="+", choices=[MNIST, *KINDS], help="these only; printed, RESULTS.md stays")
    parser.add_argument("--images", type=Path, help="a folder of other pictures, with index.tsv: file, label, ...")
    parser.add_argument("--failures", type=Path, help="a folder for the pictures that the CNN misreads")
    return parser.parse_args()


def made(name: str, kind: Kind, images: Array, labels: Array, each: int) -> Iterator[Posted]:
    """Pictures of one kind, of every digit as many, from images (n, 28, 28) and their labels; each has a seed of its
    own, whatever other kinds there are."""
    for index in range(min(each, FEW.get(name, each))):
        rng = np.random.default_rng([SEED, zlib.crc32(name.encode()), index])
        chosen = int(rng.choice(np.flatnonzero(labels == index % 10)))
        yield Posted(kind(images[chosen], index % 10, rng), index % 10)


def mnist() -> tuple[Array, Array]:
    """The test images (n, 28, 28) uint8 of the file that INKLING_MNIST names, and their labels."""
    named = os.environ.get("INKLING_MNIST")
    if not named:
        raise SystemExit("needs MNIST: set INKLING_MNIST to an mnist.npz")
    with np.load(named) as stored:
        return stored["x_test"], stored["y_test"]


def strangers(folder: Path) -> Iterator[Posted]:
    """What index.tsv lists; nothing of it is kept."""
    with (folder / "index.tsv").open() as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            yield Posted((folder / row["file"]).read_bytes(), int(row["label"]))


def reading(name: str, posted: list[Posted], models: Mapping[str, Model], failures: Path | None) -> Reading:
    """How one kind is read by our nets, and by the CNN after others' recipes."""
    pixels, seconds = zip(*(decoded(one.body) for one in posted), strict=True)
    answers = {net: [answer(model, one) for one in pixels] for net, model in models.items()}
    for recipe in (recipes.naive, recipes.tutorial):
        answers[recipe.__name__] = [answer(models["cnn"], recipe(one.body)) for one in posted]
    labels = [one.label for one in posted]
    right = {
        by: float(np.mean([one.index == label for one, label in zip(said, labels, strict=True)]))
        for by, said in answers.items()
    }
    wrong = [one.surely and one.index != label for one, label in zip(answers["cnn"], labels, strict=True)]
    refused = float(np.mean([one is None for one in pixels]))
    found = Reading(name, len(posted), right, refused, float(np.mean(wrong)), 1000 * median(seconds))
    if failures is not None:
        keep(failures, name, posted, answers["cnn"])
    print(table.line(found), file=sys.stderr)
    return found


def decoded(body: bytes) -> tuple[Array | None, float]:
    """The model's image (28, 28), None where nothing was found in the picture, and the seconds that it took."""
    start = time.perf_counter()
    try:
        pixels = decode(body, SPEC).pixels
    except PictureError:
        pixels = None
    return pixels, time.perf_counter() - start


def answer(model: Model, pixels: Array | None) -> Answer:
    if pixels is None:
        return Answer(None)
    prediction = to_prediction(model.card, model.forward(pixels[None]))
    sure = float(prediction.probabilities.max()) > SURE and prediction.in_distribution.ok
    return Answer(prediction.index, bool(sure))


def keep(folder: Path, name: str, posted: list[Posted], answers: list[Answer]) -> None:
    """Every misread picture as KIND_INDEX_LABEL_READ."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, (one, said) in enumerate(zip(posted, answers, strict=True)):
        if said.index != one.label:
            read = "refused" if said.index is None else f"{said.index}{'_surely' if said.surely else ''}"
            form = "png" if one.body.startswith(b"\x89PNG") else "jpg"
            (folder / f"{name.replace(' ', '-')}_{index}_{one.label}_{read}.{form}").write_bytes(one.body)


if __name__ == "__main__":
    main()
