"""What is mixed into the batches beside the data set: drawn digits, the data set's own worn out, and what is no digit.

Must not know nets. Pictures are made once, before the first step; `augment` changes them anew in every batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from training import synthetic
from training.augment import augment
from training.data import Array, Dataset

DRAWN, ALIKE, PRINTED, WORN, UNLIKE = 30_000, 15_000, 20_000, 20_000, 40_000  # pictures of each part of a mix
FULL, LEAST = 55_000, 256  # images of a data set that has all of these, and of these for the smallest
ALIKES = ("1", "7")  # the digits that MNIST's writers tell apart otherwise than half of the world does
LETTERS = 0.2  # of what is no digit, letters of fonts, where there are fonts
UNSEEN = 1 << 20  # the seed of drawn digits that no net is trained on
CHANGES = (7, 0)  # the seed of those that are augmented
WEAR = 0.5  # strength of what wears digits out, on half of the drawn and the printed ones and on all worn ones


@dataclass(frozen=True)
class Mix:
    """Pictures beside a data set's: `images` (n, H, W) float32 in [0, 1] of digits with their `labels` (n,) int64, and
    `outliers` (m, H, W) without any; and by how many `fonts` some of them are."""

    images: Array
    labels: Array
    outliers: Array
    fonts: int = 0


def mixed(data: Dataset, seed: int, fonts: Sequence[Path] = ()) -> Mix:
    """The mix for a data set: as many pictures for one as large as MNIST as is said above, which takes two minutes;
    fewer for a smaller one.

    Raises:
        DataError: a file of `fonts` is no font with digits.
    """
    share = min(1.0, len(data.train_images) / FULL)
    drawn, alike, printed, worn, unlike = (
        max(LEAST, int(count * share)) for count in (DRAWN, ALIKE, PRINTED, WORN, UNLIKE)
    )
    alikes = [name for name in synthetic.VARIANTS if name.startswith(ALIKES)]
    parts = [synthetic.digits(drawn, seed), synthetic.digits(alike, seed + 1, variants=alikes)]
    outliers = [synthetic.not_digits(unlike, seed).images]
    if fonts:
        parts.append(synthetic.font_digits(fonts, printed, seed))
        outliers.append(synthetic.font_letters(fonts, int(LETTERS * unlike), seed).images)
    images = [np.concatenate([part.images[::2], synthetic.finish(part.images[1::2], seed, WEAR)]) for part in parts]
    labels = [np.concatenate([part.labels[::2], part.labels[1::2]]) for part in parts]
    chosen = np.random.default_rng(seed).permutation(len(data.train_images))[:worn]
    images.append(synthetic.finish(data.train_images[chosen], seed, WEAR))
    labels.append(data.train_labels[chosen])
    all_images, all_labels = np.concatenate(images), np.concatenate(labels)
    known = all_labels < data.classes  # a data set may have fewer digits than there are
    return Mix(all_images[known], all_labels[known], np.concatenate(outliers), len(fonts))


def calibration_set(data: Dataset, drawn: bool) -> tuple[Array, Array]:
    """Images (n, H, W) with labels (n,) that say how sure a net may be: the validation images, and as many augmented
    ones; where it was trained on a mix, half as many worn and as many drawn ones too, none of which it was trained on.
    """
    images, labels = data.validation_images, data.validation_labels
    changed = augment(tf.constant(images), tf.constant(CHANGES)).numpy()
    parts, truths = [images, changed], [labels, labels]
    if drawn:
        few = np.arange(0, len(images), 2)
        digits = synthetic.digits(len(images), UNSEEN)
        half = len(images) // 2
        parts += [synthetic.finish(images[few], UNSEEN, WEAR), digits.images[:half]]
        parts.append(synthetic.finish(digits.images[half:], UNSEEN, WEAR))
        truths += [labels[few], digits.labels]
    every, known = np.concatenate(parts), np.concatenate(truths)
    return every[known < data.classes], known[known < data.classes]  # a data set may have fewer digits than there are
