"""Data sets as checked arrays: MNIST, an .npz file of the same form, or scikit-learn's bundled digits.

Everything wrong with the data is said here, before the first training step. Must not know models or TensorFlow graphs.
"""

import base64
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from training import quiet
from training.errors import DataError

SIDE = 28  # pixels, height and width of an image
INK = 20  # pixels, longest side of a digit inside its image, as in MNIST

LEAST_TOLD = 10  # labelled digits that can be trained on at all

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Dataset:
    """Images (n, H, W) float32 in [0, 1], 0 = paper, 1 = ink; labels (n,) int64 in 0 .. K-1."""

    name: str
    train_images: Array
    train_labels: Array
    validation_images: Array
    validation_labels: Array
    test_images: Array
    test_labels: Array

    @property
    def classes(self) -> int:
        return int(max(self.train_labels.max(), self.test_labels.max())) + 1


def load(source: str, seed: int = 0) -> Dataset:
    """The data set that `source` names: `mnist`, `digits`, the path of an .npz file, or that of a .jsonl file of labels
    that people told a server (INKLING_FEEDBACK). A twelfth of the training images is set aside for validation.

    Raises:
        DataError: unknown name, unreadable file, or arrays that are not images with labels.
    """
    if source == "mnist":
        arrays = _mnist()
    elif source == "digits":
        arrays = _digits()
    elif source.endswith(".npz"):
        arrays = _npz(Path(source))
    elif source.endswith(".jsonl"):
        arrays = _told(Path(source))
    else:
        raise DataError(f"unknown data {source!r}; expected mnist, digits or the path of an .npz or .jsonl file")
    x_train, y_train = _checked(source, "train", arrays["x_train"], arrays["y_train"])
    x_test, y_test = _checked(source, "test", arrays["x_test"], arrays["y_test"])
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DataError(
            f"{source}: train images are {x_train.shape[1:]}, test images {x_test.shape[1:]}; make them equal"
        )
    order = np.random.default_rng(seed).permutation(len(x_train))
    held, kept = np.split(order, [max(1, len(order) // 12)])
    return Dataset(source, x_train[kept], y_train[kept], x_train[held], y_train[held], x_test, y_test)


def joined(one: Dataset, other: Dataset) -> Dataset:
    """Two data sets of images of one size as one.

    Raises:
        DataError: their images have different sizes.
    """
    if one.train_images.shape[1:] != other.train_images.shape[1:]:
        shapes = f"{one.train_images.shape[1:]} and {other.train_images.shape[1:]}"
        raise DataError(f"{one.name} and {other.name} have images of {shapes}; make them equal")
    names = [field.name for field in fields(Dataset) if field.name != "name"]
    arrays = (np.concatenate([getattr(one, name), getattr(other, name)]) for name in names)
    return Dataset(f"{one.name} and {other.name}", *arrays)


def _mnist() -> dict[str, Array]:
    quiet.import_tensorflow()
    import keras  # heavy, and only needed here

    try:
        (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
    except Exception as error:  # Keras raises bare Exceptions for a failed download
        raise DataError(f"MNIST cannot be downloaded ({error}); use --data FILE.npz or --data digits") from error
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _npz(path: Path) -> dict[str, Array]:
    names = ("x_train", "y_train", "x_test", "y_test")
    try:
        with np.load(path, allow_pickle=False) as stored:
            missing = [name for name in names if name not in stored]
            if missing:
                raise DataError(f"{path}: has {sorted(stored)}, lacks {missing}; expected the arrays {list(names)}")
            return {name: stored[name] for name in names}
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: cannot be read as .npz ({error})") from error


def _digits() -> dict[str, Array]:
    """scikit-learn's 1,797 digits of 8 x 8, enlarged and centred the way MNIST is; every fifth is a test image."""
    from sklearn.datasets import load_digits  # heavy, and only needed here

    bunch = load_digits()
    images = np.stack([as_mnist(image / 16.0) for image in bunch.images])
    test = np.arange(len(images)) % 5 == 0
    return {
        "x_train": images[~test],
        "y_train": bunch.target[~test],
        "x_test": images[test],
        "y_test": bunch.target[test],
    }


def _told(path: Path) -> dict[str, Array]:
    """The lines that server/feedback.py writes; every fifth is a test image."""
    images, labels = [], []
    try:
        with path.open() as lines:
            for line in lines:
                entry = json.loads(line)
                levels = np.frombuffer(base64.b64decode(entry["pixels"], validate=True), np.uint8)
                images.append(levels.reshape(entry["shape"]))
                labels.append(int(entry["label"]))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}, line {len(labels) + 1}: is no labelled digit ({error!r}); remove it") from error
    if len(images) < LEAST_TOLD:
        raise DataError(f"{path}: has {len(images)} labelled digits; expected {LEAST_TOLD} at least")
    if len(shapes := {image.shape for image in images}) > 1:
        raise DataError(f"{path}: has images of {sorted(shapes)}; expected one size")
    test = np.arange(len(images)) % 5 == 0
    pixels, truths = np.stack(images), np.array(labels)
    return {"x_train": pixels[~test], "y_train": truths[~test], "x_test": pixels[test], "y_test": truths[test]}


def as_mnist(image: Array) -> Array:
    """A small digit (h, w) in [0, 1] as MNIST has it: longest side 20 of 28 pixels, centre of mass at index 14."""
    rows, columns = np.nonzero(image > 0)
    box = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    digit = np.clip(ndimage.zoom(box, INK / max(box.shape), order=1, grid_mode=True, mode="nearest"), 0, 1)
    canvas = np.zeros((SIDE, SIDE), np.float32)
    canvas[: digit.shape[0], : digit.shape[1]] = digit
    shift = np.round(SIDE / 2 - np.array(ndimage.center_of_mass(canvas))).astype(int)
    room = SIDE - np.array(digit.shape)
    top, left = np.clip(shift, 0, room)
    return np.roll(canvas, (top, left), axis=(0, 1))


def _checked(source: str, part: str, images: Array, labels: Array) -> tuple[Array, Array]:
    where = f"{source}, {part}"
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if images.ndim != 3 or not len(images):
        raise DataError(f"{where}: images have shape {images.shape}; expected (n, {SIDE}, {SIDE}) with n > 0")
    if images.shape[1:] != (SIDE, SIDE):
        raise DataError(f"{where}: images are {images.shape[1]} x {images.shape[2]}; expected {SIDE} x {SIDE}")
    if labels.shape != (len(images),):
        raise DataError(f"{where}: {len(images)} images but labels of shape {labels.shape}; expected ({len(images)},)")
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{where}: labels are {labels.dtype}; expected whole numbers 0 .. 9")
    if labels.min() < 0 or labels.max() > 9:
        raise DataError(f"{where}: labels reach from {labels.min()} to {labels.max()}; expected 0 .. 9")
    return _in_unit_range(where, images), labels.astype(np.int64)


def _in_unit_range(where: str, images: Array) -> Array:
    if images.dtype == np.uint8:
        return (images / np.float32(255)).astype(np.float32)
    if not np.issubdtype(images.dtype, np.floating):
        raise DataError(f"{where}: pixels are {images.dtype}; expected uint8 (0 .. 255) or floats in [0, 1]")
    low, high = float(images.min()), float(images.max())
    if not (np.isfinite(images).all() and low >= 0 and high <= 1):
        raise DataError(f"{where}: float pixels reach from {low:g} to {high:g}; expected finite values in [0, 1]")
    return images.astype(np.float32)
