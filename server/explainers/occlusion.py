"""Occlusion: how far the target's output falls when a patch of the image is covered."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np

from server.explainers.perturbation import MaskedScores, Masks, baselines_of
from server.options import option
from server.types import Array, Attribution, Model, State, Target, Verb

SMALL = 200  # patches; of more, some that cover the image are evaluated first


@dataclass(frozen=True)
class Occlusion:
    """a = mean over the patches that cover a pixel of target(x) - target(x with the patch covered).

    With several baselines, target(x with the patch covered) is the mean over them. Patches that change nothing (on
    black: without ink) are not evaluated. Cost: at most one forward for each patch position and one for the image, for
    each baseline. Patches overlap, so values do not add up to the score, and two strokes that can stand in for each
    other both look unimportant.
    """

    name: ClassVar[str] = "occlusion"
    revision: ClassVar[int] = 3
    summary: ClassVar[str] = "How far the output falls when a small patch is covered."
    needs: ClassVar[frozenset[Verb]] = frozenset({"forward"})
    signed: ClassVar[bool] = True
    complete: ClassVar[bool] = False
    paper: ClassVar[str] = (
        "Zeiler & Fergus, Visualizing and Understanding Convolutional Networks (2013), arXiv:1311.2901"
    )

    patch: int = option(4, "side of the covered square, in pixels", 1, 14)
    stride: int = option(
        2, "pixels between neighbouring patches; more than patch counts as patch, so that nothing is missed", 1, 14
    )
    baseline: Literal["typical", "black", "mean"] = option(
        "typical",
        "what covers: typical digits, faint and strong by turns; empty paper (black); or the mean of the background "
        "images",
    )

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        stride = min(self.stride, self.patch)
        segments, masks, glance = _patches(image.shape, self.patch, stride)
        masked = MaskedScores(model, image, target, segments, baselines_of(self.baseline, model.card, image))
        unmasked = np.ones_like(masks[:1])
        for evaluated in [masks[glance], masks] if len(masks) > SMALL else [masks]:
            covered = ~evaluated[:, segments]  # (p, H, W)
            score, *scores = masked.scores(np.concatenate([unmasked, evaluated]))
            drops = score - np.array(scores)
            values = np.tensordot(drops, covered, axes=1) / covered.sum(axis=0)
            state: State = "exact" if evaluated is masks else "partial"
            yield Attribution(values, "logit", state, masked.rows, score=float(score))


@lru_cache(maxsize=8)
def _patches(shape: tuple[int, ...], patch: int, stride: int) -> tuple[Array, Masks, Array]:
    """Cells (H, W) so fine that every patch is a union of cells; for each patch the cells that it does not
    cover, (p, n); and which patches (p,) are enough to cover the image."""
    side = math.gcd(patch, stride, *shape)
    across = shape[1] // side
    cell = np.arange(shape[0])[:, None] // side * across + np.arange(shape[1])[None, :] // side
    tops, lefts = ([*range(0, length - patch, stride), length - patch] for length in shape)
    masks = np.ones((len(tops) * len(lefts), cell.max() + 1), bool)
    for row, (top, left) in enumerate((top, left) for top in tops for left in lefts):
        masks[row, np.unique(cell[top : top + patch, left : left + patch])] = False
    sparse = [_every_nth(len(starts), patch // stride) for starts in (tops, lefts)]
    return cell, masks, (sparse[0][:, None] & sparse[1]).ravel()


def _every_nth(count: int, every: int) -> Array:
    """Which of `count` starts (count,) are enough to cover a side: each `every`-th, and the last."""
    place = np.arange(count)
    return np.asarray((place % every == 0) | (place == count - 1))
