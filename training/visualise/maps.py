"""What the net looks at for each class: the mean of its maps, and groups of maps that are alike.

Groups of maps show strategies, and shortcuts among them: Lapuschkin et al., Unmasking Clever Hans Predictors (2019),
doi:10.1038/s41467-019-08987-4 (spectral relevance analysis).
"""

import numpy as np
from sklearn.cluster import SpectralClustering

from server.explainers import EXPLAINERS
from server.types import Model, Target
from training.data import Array
from training.visualise.figures import Figure, grid

ABOUT = (
    "Means of the maps of what speaks for each class, red, and against it, blue; and for each class groups of maps "
    "that are alike. A group whose map lies at the edge would be a shortcut."
)
METHOD = "shapley"
EACH = 30  # images of a class
GROUPS = 3
POOL = 4  # pixels a side that are one when maps are compared


def draw(model: Model, images: Array, labels: Array, seed: int) -> list[Figure]:
    """Of images (n, H, W) with labels (n,), each explained for its label."""
    means, groups, titles = [], [], []
    classes = [label for label in range(len(model.card.classes)) if (labels == label).any()]
    for label in classes:
        chosen = images[labels == label][:EACH]
        target = Target.of_class(label, model.card.classes)
        found = np.stack([_map(model, image, target, seed) for image in chosen])
        means.append(found.mean(axis=0))
        for members in grouped(found, seed):
            groups.append(found[members].mean(axis=0))
            titles.append(f"{model.card.classes[label]}: {len(members)}")
    caption = f"Means of {METHOD} maps of {EACH} images at most of each class."
    about = "Means of groups of maps that are alike, by class, each with the number of its images."
    return [
        grid("mean-maps", caption, means, [model.card.classes[label] for label in classes], signed=True),
        grid("map-groups", about, groups, titles, signed=True),
    ]


def _map(model: Model, image: Array, target: Target, seed: int) -> Array:
    *_, last = EXPLAINERS[METHOD]().refine(model, image, target, seed)
    return np.asarray(last.painted)


def grouped(maps: Array, seed: int) -> list[Array]:
    """The indices of maps (n, H, W) that are alike, in groups, the largest first."""
    if len(maps) <= GROUPS:
        return [np.arange(len(maps))]
    height, width = (side // POOL * POOL for side in maps.shape[1:])
    pooled = maps[:, :height, :width].reshape(len(maps), height // POOL, POOL, width // POOL, POOL).mean(axis=(2, 4))
    flat = pooled.reshape(len(maps), -1)
    alike = np.clip(np.nan_to_num(np.corrcoef(flat)), 0, 1)
    found = SpectralClustering(
        GROUPS, affinity="precomputed", random_state=seed, assign_labels="cluster_qr"
    ).fit_predict(alike + 1e-6)
    groups = [np.flatnonzero(found == group) for group in np.unique(found)]
    return sorted(groups, key=len, reverse=True)
