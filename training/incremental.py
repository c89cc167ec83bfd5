"""Training on from a stored version: its net built again with its weights, and what got better and worse since.

A version holds no batch normalisation (see training/store/fold.py), so that the net that goes on learning has none.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from training.architectures import ARCHITECTURES, all_options
from training.data import Array
from training.errors import DataError
from training.store import labels
from training.store.card import checked_card
from training.store.fold import folded

NORMAL_95 = 1.96  # standard errors either side


def parent_in(store: Path, name: str) -> Path:
    """The version that `name` means, as `labels.version_in` finds it.

    Raises:
        DataError: there is none, or its files are not those of its card.
    """
    found = labels.version_in(store, name)
    checked_card(found)
    return found


def rebuilt(version: Path, freeze: Sequence[str] = ()) -> keras.Model:
    """The net of a stored version with its weights, as a Keras model that can be trained; layers whose names match one
    of the patterns `freeze`, such as conv2d*, keep theirs.

    Raises:
        DataError: it is of no architecture known here, was built with other defaults, or a pattern matches no layer.
    """
    card = checked_card(version)
    if card["architecture"] not in ARCHITECTURES:
        there = ", ".join(ARCHITECTURES)
        raise DataError(
            f"{version} is of the architecture {card['architecture']!r}; what can be built again are {there}"
        )
    image, classes = card["image"], len(card["classes"])
    options = all_options(card["architecture"], card["options"])
    model = folded(ARCHITECTURES[card["architecture"]](image["height"], image["width"], classes, **options))
    _fill(model, version)
    by_name = named(model)
    for pattern in freeze:
        chosen = [layer for name, layer in by_name.items() if fnmatch(name, pattern)]
        if not chosen:
            raise DataError(f"got --freeze {pattern}, which is no layer; there are {', '.join(by_name)}")
        for layer in chosen:
            layer.trainable = False
    if not model.trainable_variables:
        raise DataError("--freeze leaves nothing to train")
    return model


def named(model: keras.Model) -> dict[str, keras.Layer]:
    """The layers that have weights, named as in a process that built nothing before: dense, dense_1, ..."""
    kinds = Counter[str]()
    found = {}
    for layer in model.layers:
        if layer.weights:
            kind = layer.name.rstrip("0123456789").rstrip("_")
            found[kind if not kinds[kind] else f"{kind}_{kinds[kind]}"] = layer
            kinds[kind] += 1
    return found


def _fill(model: keras.Model, version: Path) -> None:
    stored = tf.train.load_checkpoint(str(version / "variables" / "variables"))
    shapes = stored.get_variable_to_shape_map()
    keys = [f"weights/{index}/.ATTRIBUTES/VARIABLE_VALUE" for index in range(len(model.variables))]
    if any(shapes.get(key) != list(one.shape) for key, one in zip(keys, model.variables, strict=True)):
        raise DataError(f"the weights of {version} are not those of the net that its card describes")
    for key, variable in zip(keys, model.variables, strict=True):
        variable.assign(stored.get_tensor(key))


@dataclass(frozen=True)
class Change:
    """How two nets read the same images: shares read right before and after, in all and by class (None where a class
    has no image), and the gain with its 95 % interval, from the images that they read differently."""

    images: int
    before: float
    after: float
    classes: tuple[tuple[float, float] | None, ...]
    interval: tuple[float, float]

    @property
    def gain(self) -> float:
        return self.after - self.before


def change(before: Callable[[Array], Array], after: Callable[[Array], Array], images: Array, truths: Array) -> Change:
    """Compare two nets, each a function from images (n, H, W) to logits (n, K), on images with labels (n,).

    The interval is of paired proportions (McNemar's, with the normal approximation): Agresti, Categorical Data Analysis
    (2002), 10.1.1, doi:10.1002/0471249688.
    """
    logits = before(images)
    was, now = logits.argmax(axis=1) == truths, after(images).argmax(axis=1) == truths
    step = now.astype(float) - was
    half = NORMAL_95 * float(np.sqrt((np.mean(step**2) - np.mean(step) ** 2) / len(step)))
    by_class: list[tuple[float, float] | None] = []
    for label in range(logits.shape[1]):
        of = truths == label
        by_class.append((float(was[of].mean()), float(now[of].mean())) if of.any() else None)
    gain = float(step.mean())
    return Change(len(step), float(was.mean()), float(now.mean()), tuple(by_class), (gain - half, gain + half))


def told(name: str, found: Change) -> str:
    """A change in words: one line in all, and one for each class that changed."""
    low, high = (100 * end for end in found.interval)
    lines = [
        f"{name}: {found.before:.2%} before, {found.after:.2%} now ({100 * found.gain:+.2f} points, "
        f"95 % {low:+.2f} to {high:+.2f}; {found.images} images)"
    ]
    for label, shares in enumerate(found.classes):
        if shares is not None and shares[0] != shares[1]:
            lines.append(f"  {label}: {shares[0]:.2%} before, {shares[1]:.2%} now")
    return "\n".join(lines)
