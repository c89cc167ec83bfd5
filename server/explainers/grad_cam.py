"""Grad-CAM: which cells of the last convolution's feature map speak for the target."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from server.explainers.perturbation import score_of, spread
from server.explainers.segmentation import grid
from server.types import Array, Attribution, Model, Target, Verb


@dataclass(frozen=True)
class GradCam:
    """a = ReLU(sum over channels c of w_c A_c), w_c the mean over positions of d(target) / dA_c, A the feature map.

    The map is as coarse as the feature map and is shown in its cells, not smoothed up to the image. Cost: one row
    through the graph of features, one forward. Do not read single pixels out of it.

    Do not trust it as evidence where the net does not average its feature map. With attention pooling the gradient is
    not the same at every position, and its mean, which the method takes, cancels: in the shipped cnn half of it. There
    the strongest cell meets the stroke whose removal costs most no more often than a cell with ink does by chance
    (37 and 39 of 100); weighing position by position, as HiResCAM does (Draelos & Carin 2020, arXiv:2011.08891), 44.
    Nor does a cell see only the pixels that it is shown on: in the shipped cnn 21 x 21, centred 1.5 pixels to the lower
    right of them, because convolutions with stride 2 pad an even side at its end.
    """

    name: ClassVar[str] = "grad_cam"
    revision: ClassVar[int] = 1
    summary: ClassVar[str] = "Where a convolutional net looked, in coarse regions of its last feature map."
    needs: ClassVar[frozenset[Verb]] = frozenset({"features", "feature_map"})
    signed: ClassVar[bool] = False
    complete: ClassVar[bool] = False
    paper: ClassVar[str] = "Selvaraju et al., Grad-CAM (2017), doi:10.1109/ICCV.2017.74, arXiv:1610.02391"

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        features = model.features(image[None], target.weights[None])
        assert features.feature_map is not None  # promised by `needs`
        assert features.feature_gradient is not None
        feature_map = features.feature_map[0].astype(np.float64)  # (h, w, c)
        weights = features.feature_gradient[0].astype(np.float64).mean(axis=(0, 1))  # (c,)
        cells = (feature_map @ weights).clip(min=0)  # (h, w)
        segments = grid(image.shape, cells.shape)
        score = float(score_of(model, image[None], target)[0])
        yield Attribution(
            spread(cells.ravel(), segments), "score", "exact", rows=2,
            segments=segments, segment_values=cells.ravel(), score=score,
        )  # fmt: skip
