"""Where digits lie in the net's last representation, in two dimensions."""

import numpy as np

from server.types import Model
from training.data import Array
from training.store.views import placed
from training.visualise.figures import Figure, canvas

ABOUT = (
    "t-SNE (van der Maaten & Hinton 2008) of what the last layer before the logits sees: near points are alike to the "
    "net. Distances between groups, and their sizes, say nothing."
)
SHOWN = 2000  # images at most


def draw(model: Model, images: Array, labels: Array, seed: int) -> list[Figure]:
    """Of images (n, H, W) with labels (n,)."""
    images, labels = images[:SHOWN], labels[:SHOWN]
    weights = np.eye(len(model.card.classes), dtype=np.float32)[labels]
    embeddings = np.concatenate(
        [model.features(images[i : i + 1], weights[i : i + 1]).embedding for i in range(len(images))]
    )
    points = placed(embeddings, seed)
    with canvas(7, 6) as (figure, buffer):
        place = figure.subplots()
        for label in np.unique(labels):
            of = points[labels == label]
            place.scatter(of[:, 0], of[:, 1], s=6, color=f"C{label}", label=model.card.classes[label])
            x, y = np.median(of, axis=0)
            place.text(x, y, model.card.classes[label], fontsize=16, weight="bold", ha="center")
        place.set_axis_off()
    return [
        Figure(
            "embedding", buffer.getvalue(), f"{len(images):,} test images; a number stands at the median of its class."
        )
    ]
