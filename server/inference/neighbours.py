"""Where a digit lands among what a version has learned: the nearest centroids of its own class and of the next one.

Deep k-nearest neighbours, on centroids in place of training images: Papernot and McDaniel (2018), arXiv:1803.04765.
"""

import numpy as np

from server.errors import MethodNotPossible
from server.inference.predict import ModelSelector, Stages, decode_and_predict
from server.protocols import ModelStore, ModelVersion, RequestContext
from server.types import Array, Digit, Neighbour, Neighbours, Picture, Prediction, Views

NEAREST = 3  # centroids of a class, and to place a digit on the map


def predict_with_neighbours(
    store: ModelStore, picture: Picture, selector: ModelSelector, context: RequestContext, stages: Stages
) -> tuple[Digit, Prediction, Neighbours]:
    """As `predict`, and where the digit lands.

    Raises:
        ServiceError: as `predict` does; or the version has no map, or cannot explain, or not yet.
    """
    with store.handle(selector.model, selector.version) as version:
        views_of(version)
        digit, prediction = decode_and_predict(version, picture, selector, context, stages)
        with stages("explain"):
            return digit, prediction, neighbours(version, digit.pixels, prediction, context)


def views_of(version: ModelVersion) -> Views:
    """What the version shows of what it has learned.

    Raises:
        MethodNotPossible: it has nothing to show.
    """
    views = version.card.views
    if views is None:
        card = version.card
        raise MethodNotPossible(
            f"{card.name} version {card.version} has no views.npz, so that it has no map, neighbours or prototypes; "
            "`python -m training convert` makes the next version with one, where the net gives an embedding"
        )
    return views


def neighbours(version: ModelVersion, pixels: Array, prediction: Prediction, context: RequestContext) -> Neighbours:
    """Of a model's image (H, W) with its prediction.

    Raises:
        ServiceError: the version has no map, or cannot explain, or not yet.
    """
    views, card = views_of(version), version.card
    weights = np.eye(len(card.classes), dtype=np.float32)[[prediction.index]]
    embedding = version.for_explain(context).features(pixels[None], weights).embedding[0].astype(np.float64)
    distances = 1 - _unit(views.embeddings) @ _unit(embedding)
    order = np.argsort(distances, kind="stable")
    own = [index for index in order if views.classes[index] == prediction.index]
    others = [index for index in order if views.classes[index] != prediction.index]
    following = [index for index in others if views.classes[index] == views.classes[others[0]]]
    near = order[:NEAREST]
    closeness = 1 / np.maximum(distances[near], 1e-9)
    x, y = closeness @ views.positions[near] / closeness.sum()

    def named(indices: list[int]) -> tuple[Neighbour, ...]:
        return tuple(
            Neighbour(int(index), card.classes[views.classes[index]], float(distances[index]))
            for index in indices[:NEAREST]
        )

    return Neighbours((float(x), float(y)), named(own), named(following))


def _unit(vectors: Array) -> Array:
    """Of length 1 along the last axis."""
    lengths: Array = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-12)
