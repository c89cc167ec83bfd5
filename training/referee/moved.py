"""How far explanations moved from one version to another: the same method on the same digits, both for their label."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from server.explainers import EXPLAINERS
from server.types import Target
from training.data import Array
from training.referee.versions import opened

METHOD = "shapley"  # what is served by default


@dataclass(frozen=True)
class Moved:
    """Rank correlations (n,) of two versions' maps over a digit's ink, as /v1/compare has them, and its label (n,)."""

    correlations: Array
    labels: Array

    @property
    def median(self) -> float:
        return float(np.median(self.correlations))

    def of_class(self) -> dict[int, float]:
        """The median of each label that there is."""
        return {
            int(label): float(np.median(self.correlations[self.labels == label])) for label in np.unique(self.labels)
        }


def moved(before: Path, after: Path, images: Array, labels: Array) -> Moved:
    """Compare two stored versions on digits (n, H, W) with labels (n,). Raises BrokenVersion."""
    models, explainer = (opened(before), opened(after)), EXPLAINERS[METHOD]()
    correlations = []
    for image, label in zip(images, labels, strict=True):
        maps = []
        for model in models:
            target = Target.of_class(int(label), model.card.classes)
            *_, last = explainer.refine(model, image, target, 0)
            maps.append(last.painted[image > 0])
        correlations.append(float(spearmanr(*maps).statistic))
    return Moved(np.nan_to_num(np.array(correlations)), np.asarray(labels))


def told(found: Moved) -> str:
    """In words: how alike the maps are, and of which digit least."""
    label, least = min(found.of_class().items(), key=lambda one: one[1])
    return (
        f"explanations of {len(found.labels)} of the test digits by {METHOD}: median rank correlation with the "
        f"parent's {found.median:.2f}, least for {label}: {least:.2f}"
    )
