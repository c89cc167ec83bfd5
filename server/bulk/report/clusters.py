"""Finds maps that are alike. Knows no rows and no page.

Clusters of maps show strategies of a net, and shortcuts among them: spectral relevance analysis (SpRAy), Lapuschkin et
al., Unmasking Clever Hans Predictors (2019), doi:10.1038/s41467-019-08987-4. Maps are made coarse, joined with those
most like them, and the graph's normalised Laplacian tells how many clusters there are: as many as eigenvalues lie below
the widest gap (von Luxburg, A Tutorial on Spectral Clustering, 2007, doi:10.1007/s11222-007-9033-z).
"""

from dataclasses import dataclass

import numpy as np

from server.types import Array

LEAST = 20  # maps in which clusters are looked for
MOST = 4  # clusters
POOL = 4  # pixels a side that are one when maps are compared
FEWEST_NEIGHBOURS = 7
NEAREST = 3  # maps shown for a cluster
FAINT = 1e-6  # an edge between all maps: the solver wants one graph, not several


@dataclass(frozen=True)
class Cluster:
    """Maps that are alike, by their indices."""

    members: Array  # (m,)
    nearest: Array  # (at most NEAREST,) the closest to the mean of all, closest first


def clusters(maps: Array, seed: int = 0) -> list[Cluster]:
    """Of maps (n, H, W), the largest first; a single one where they are of one kind."""
    coarse = _coarse(maps)
    affinity = _affinity(coarse)
    count = _count(affinity)
    labels = np.zeros(len(maps), int) if count == 1 else _assigned(affinity, count, seed)
    groups = (np.flatnonzero(labels == label) for label in np.unique(labels))
    return sorted(
        (_cluster(coarse, members) for members in groups), key=lambda one: (-len(one.members), one.members[0])
    )


def _coarse(maps: Array) -> Array:
    """Means over squares of pixels less their mean, of length 1: (n, d), whose products are correlations."""
    height, width = (max(1, side // POOL) for side in maps.shape[1:])
    inside = maps[:, : height * POOL, : width * POOL].astype(float)
    down, across = inside.shape[1] // height, inside.shape[2] // width
    flat = inside.reshape(len(maps), height, down, width, across).mean(axis=(2, 4)).reshape(len(maps), -1)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(np.divide(flat, length, out=np.zeros_like(flat), where=length > 0))


def _affinity(coarse: Array) -> Array:
    """Correlations (n, n) with the nearest neighbours, and next to nothing with the others."""
    alike = coarse @ coarse.T
    np.fill_diagonal(alike, -np.inf)
    count = min(len(coarse) - 1, max(FEWEST_NEIGHBOURS, round(2 * np.log(len(coarse)))))
    near = np.zeros(alike.shape, bool)
    np.put_along_axis(near, np.argsort(-alike, axis=1, kind="stable")[:, :count], True, axis=1)
    weights = np.where(near | near.T, np.clip(alike, 0, 1), 0) + FAINT
    np.fill_diagonal(weights, 0)
    return weights


def _count(affinity: Array) -> int:
    """How many clusters there are, by the widest gap between the lowest eigenvalues."""
    scale = 1 / np.sqrt(affinity.sum(axis=1))
    laplacian = np.eye(len(affinity)) - scale[:, None] * affinity * scale
    k_smallest = np.linalg.eigvalsh(laplacian)[: MOST + 1]
    return int(np.argmax(np.diff(k_smallest))) + 1


def _assigned(affinity: Array, count: int, seed: int) -> Array:
    """The cluster of each map, (n,)."""
    from sklearn.cluster import SpectralClustering

    found = SpectralClustering(count, affinity="precomputed", random_state=seed, assign_labels="cluster_qr")
    return np.asarray(found.fit_predict(affinity))


def _cluster(coarse: Array, members: Array) -> Cluster:
    closeness = coarse[members] @ coarse[members].mean(axis=0)
    return Cluster(members, members[np.argsort(-closeness, kind="stable")[:NEAREST]])
