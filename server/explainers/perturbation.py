"""Perturbs an image for black-box methods: masks keep cells of it or replace them by a baseline.

Every distinct picture is evaluated once, for all classes at once; the pictures are made a chunk at a time, so memory
does not grow with the number of masks.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from server.types import Array, Model, ModelCard, Target

Masks = npt.NDArray[np.bool_]  # (m, n): mask i keeps cell j

CHUNK = 512  # pictures made at once, 1.6 MB of 28 x 28
# Times the mean of typical digits, which is blurred: only more ink than it has closes a gap, and paper that keeps a
# little opens none. No grey equals both, so that whatever differs from paper or from ink is seen.
FAINT, STRONG = 0.25, 1.25
BLUR = 4.0  # pixels, standard deviation: twice the width of a stroke


class MaskedOutputs:
    """The model's outputs for one image with cells replaced by one baseline (memoised): each distinct picture is
    evaluated once, however many masks, stages, classes and methods need it.
    """

    def __init__(self, model: Model, image: Array, segments: Array, baseline: Array) -> None:
        """`segments` (H, W) says which cell, 0 .. n-1, a pixel of `image` (H, W) belongs to."""
        self._model, self._image, self._segments, self._baseline = model, image, segments, baseline
        self.cells = int(segments.max()) + 1
        self.rows = 0  # pictures that have been put through the model
        self.seen = np.unique(segments[image != baseline])  # dropping another cell does not change the picture
        self._keys = packed_masks(np.empty((0, len(self.seen)), bool))  # masks of the seen cells, ascending
        self._outputs: Array = np.empty((0, len(model.card.classes)))  # of those masks

    def outputs(self, masks: Masks) -> Array:
        """Outputs (m, K) of the image with the cells that each mask (m, n) drops replaced by the baseline."""
        keys = packed_masks(masks[:, self.seen])
        distinct, first = np.unique(keys, return_index=True)
        new = np.sort(first[~np.isin(distinct, self._keys)])
        if len(new):
            chunks = (new[start : start + CHUNK] for start in range(0, len(new), CHUNK))
            self._insert(keys[new], np.concatenate([self._evaluate(masks[chunk]) for chunk in chunks]))
        return self._outputs[np.searchsorted(self._keys, keys)]

    def _insert(self, keys: Array, outputs: Array) -> None:
        keys, outputs = np.concatenate([self._keys, keys]), np.concatenate([self._outputs, outputs])
        order = np.argsort(keys)
        self._keys, self._outputs = keys[order], outputs[order]

    def _evaluate(self, masks: Masks) -> Array:
        kept = np.take(masks, self._segments, axis=1)  # (m, H, W), row after row, which indexing would not be
        pictures = np.where(kept, self._image, self._baseline).astype(np.float32, copy=False)
        self.rows += len(pictures)
        return self._model.forward(pictures)


class MaskedScores:
    """The target's score of one image with cells replaced by a baseline: the mean over some baselines."""

    def __init__(self, model: Model, image: Array, target: Target, segments: Array, baselines: Array) -> None:
        """`baselines` (m, H, W); `segments` and `image` as for MaskedOutputs."""
        self._target = target
        self._maskings = [MaskedOutputs(model, image, segments, baseline) for baseline in baselines]
        self.cells = self._maskings[0].cells
        self.seen = np.unique(np.concatenate([masked.seen for masked in self._maskings]))

    @property
    def rows(self) -> int:
        """Pictures that have been put through the model."""
        return sum(masked.rows for masked in self._maskings)

    def scores(self, masks: Masks) -> Array:
        """The score (m,) with the cells that each mask (m, n) drops replaced."""
        total = np.zeros(len(masks))
        for masked in self._maskings:
            total += self._target.score(masked.outputs(masks))
        return total / len(self._maskings)


def packed_masks(masks: Masks) -> Array:
    """Each mask (m, n) packed into one byte string (m,), by which masks are sorted and compared.

    numpy releases the interpreter lock while it sorts byte strings, but not while it sorts rows. It drops zero bytes
    from the end of a string, which keeps strings of one length distinct."""
    packed = np.packbits(masks, axis=1) if masks.shape[1] else np.zeros((len(masks), 1), np.uint8)
    return np.ascontiguousarray(packed).view(f"S{packed.shape[1]}").ravel()


def blended_scores(model: Model, image: Array, target: Target, masks: Array, baselines: Array) -> Array:
    """The target's score (m,) of m x image + (1 - m) x baseline for each soft mask m of masks (m, H, W) in [0, 1]; the
    mean over baselines (b, H, W)."""
    total = np.zeros(len(masks))
    for baseline in baselines:
        chunks = (masks[start : start + CHUNK] for start in range(0, len(masks), CHUNK))
        outputs = [model.forward(baseline + chunk * (image - baseline)) for chunk in chunks]
        total += target.score(np.concatenate(outputs))
    return total / len(baselines)


def spread(segment_values: Array, segments: Array) -> Array:
    """Each segment's value divided evenly among its pixels, (H, W): sums are kept."""
    sizes = np.bincount(segments.ravel(), minlength=len(segment_values))
    shares: Array = (segment_values / np.maximum(sizes, 1))[segments]
    return shares


def baseline_of(name: str, card: ModelCard) -> Array:
    """The picture (H, W) that stands for "nothing there": `black` (empty paper) or `mean` of the background."""
    if name == "black":
        return np.zeros((card.image.height, card.image.width), np.float32)
    mean: Array = card.background.mean(axis=0).astype(np.float32)
    return mean


def baselines_of(name: str, card: ModelCard, image: Array) -> Array:
    """The pictures (m, H, W) that stand for "nothing there", over which a method takes the mean: one for `black` and
    `mean`, FAINT and STRONG times the mean for `typical`, one for `blur` (the image itself without its strokes), every
    background image for `background`."""
    if name == "typical":
        mean = baseline_of("mean", card)
        return np.clip(np.stack([FAINT * mean, STRONG * mean]), 0, 1)
    if name == "background":
        return card.background
    if name == "blur":
        from scipy.ndimage import gaussian_filter  # 29 MB, of no use to a process that only predicts

        blurred: Array = gaussian_filter(image, BLUR)[None].astype(np.float32)
        return blurred
    return baseline_of(name, card)[None]


@lru_cache(maxsize=8)
def all_masks(n: int) -> Masks:
    """All 2^n masks of n cells, (2^n, n); row i keeps cell j when bit j of i is set, so the last keeps everything."""
    bits = np.arange(1 << n, dtype="<u4").view(np.uint8).reshape(-1, 4)
    masks: Masks = np.unpackbits(bits, axis=1, count=n, bitorder="little").astype(bool)
    masks.flags.writeable = False
    return masks


def not_met(gap: float, allowed: float, about: str) -> tuple[str, ...]:
    """The warning that values miss what they should sum to by more than `tolerance` allows; none where they do not."""
    missed = f"values miss score - base_value by {abs(gap):.3g} {about}; tolerance allows {allowed:.3g}"
    return (missed,) if abs(gap) > allowed else ()


def score_of(model: Model, images: Array, target: Target) -> Array:
    """The target's score (n,) float64 of images (n, H, W)."""
    return target.score(model.forward(np.asarray(images, np.float32)))
