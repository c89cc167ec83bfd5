"""What a version may show of what it has learned: where centroids lie in its embedding, and what excites each class.

Nothing of it is a picture that somebody drew: centroids are means of ten images at least, the rest is made from noise.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from scipy.ndimage import gaussian_filter, shift
from sklearn.manifold import TSNE

from training.calibrate import in_rows
from training.data import Array
from training.litert.conversion import functions

FILE = "views.npz"
PERPLEXITY = 30  # of a map of many; a third of the points where there are few
STEPS, RATE = 150, 0.2  # of the way to a picture
SMOOTH = 0.6  # pixels, of the gradient
FAINT = 0.02  # of the ink that is taken away at each step, so that only what matters stays

Slope = Callable[[Array], Array]


def write_views(folder: Path, centroids: Array) -> bool:
    """Write views.npz into `folder`, for a SavedModel in the folder above it and its centroids (m, H, W): `positions`
    (m, 2) in [0, 1] of the map, `classes` (m,) that the net reads in them, `embeddings` (m, D), and `prototypes`
    (K, H, W) by class. Not for a net without features, or with too few centroids for a map; says whether it was."""
    trackable = tf.saved_model.load(str(folder.parent))
    known = functions(trackable)
    if "features" not in known or len(centroids) < 4:
        return False
    serve = trackable.signatures["serving_default"]
    classes = int(serve.structured_outputs["logits"].shape[1])
    logits = in_rows(lambda rows: serve(images=tf.constant(rows))["logits"].numpy(), centroids)
    named = logits.argmax(axis=1)
    weights = tf.one_hot(named, classes)
    embeddings = known["features"](tf.constant(centroids), weights)["embedding"].numpy()
    wanted = tf.constant(np.eye(classes, dtype=np.float32) - 1 / classes)

    def slope(images: Array) -> Array:
        return np.asarray(known["gradient"](tf.constant(images), wanted)["gradient"])

    prototypes = maximised(slope, (classes, *centroids.shape[1:]), seed=0)
    np.savez_compressed(
        folder / FILE,
        positions=_unit(placed(embeddings, seed=0)),
        classes=named.astype(np.int64),
        embeddings=embeddings.astype(np.float32),
        prototypes=prototypes.astype(np.float16),
    )
    return True


def placed(embeddings: Array, seed: int) -> Array:
    """Embeddings (n, D) in two dimensions, (n, 2), near ones near: t-SNE (van der Maaten and Hinton, Visualizing Data
    using t-SNE (2008), JMLR 9)."""
    perplexity = min(PERPLEXITY, max(1, (len(embeddings) - 1) // 3))
    found: Array = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(embeddings)
    return found


def _unit(points: Array) -> Array:
    """Moved and scaled alike in both directions, so that they fill [0, 1]."""
    low = points.min(axis=0)
    extent = (points - low).max()
    scaled = (points - low) / (extent or 1.0)
    unit: Array = (scaled + (1 - scaled.max(axis=0)) / 2).astype(np.float32)
    return unit


def maximised(slope: Slope, shape: tuple[int, int, int], seed: int) -> Array:
    """Pictures (n, H, W) in [0, 1] from noise, uphill along slope(pictures), averaged over steps and shifts; steps
    are as long for each picture, however steep its way.

    Activation maximisation: Erhan et al., Visualizing Higher-Layer Features of a Deep Network (2009); regularised by
    shifts and by smoothness as in Olah et al., Feature Visualization (2017), doi:10.23915/distill.00007.
    """
    random = np.random.default_rng(seed)
    pictures, towards = random.uniform(0, 0.2, shape), np.zeros(shape)
    for _ in range(STEPS):
        way = random.integers(-1, 2, 2)
        moved = np.stack([shift(picture, way, order=1) for picture in pictures])
        uphill = np.stack([shift(one, -way, order=1) for one in slope(moved.astype(np.float32))])
        towards = 0.9 * towards + 0.1 * gaussian_filter(uphill, (0, SMOOTH, SMOOTH))
        steepest = np.abs(towards).max(axis=(1, 2), keepdims=True)
        pictures = np.clip(pictures + RATE * towards / np.maximum(steepest, 1e-12) - FAINT, 0, 1)
    return pictures.astype(np.float32)
