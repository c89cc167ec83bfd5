"""lime and shap over the same SavedModel. Run as `python -m benchmarks.peers.lime_shap CASE.npz WEIGHTS.npz FOLDER`.

In a process of their own, because they reseed numpy's global generator. shap's DeepExplainer is never called: when it
fails it leaves TensorFlow's gradients broken for the whole process.
"""

import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import shap
import tensorflow as tf
from lime.lime_image import LimeImageExplainer

from benchmarks.case import Array, Case
from benchmarks.peers.protocol import Explain, Method, serve


class Subject:
    """The SavedModel as a function of arrays, and how many rows it has seen."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case = case
        self.loaded = tf.saved_model.load(str(folder))
        self.rows = 0

    def forward(self, images: Array) -> Array:
        """Logits (n, K) of images (n, H, W)."""
        self.rows += len(images)
        serve = self.loaded.signatures["serving_default"]
        logits: Array = serve(images=tf.constant(images.astype(np.float32)))["logits"].numpy()
        return logits

    def method(self, explain: Callable[[int, int], Array]) -> Explain:
        def counted(index: int, seed: int) -> tuple[Array, int]:
            self.rows = 0
            values = explain(index, seed)
            return values, self.rows

        return counted

    def coalition_values(self, index: int) -> tuple[Array, Callable[[Array], Array]]:
        """The cells with ink (n,), the only ones that can matter, and the target's logit (m,) of coalitions (m, n)."""
        image, cells, target = self.case.images[index], self.case.cells, int(self.case.targets[index])
        inked = np.unique(cells[image > 0])

        def worth(kept: Array) -> Array:
            masks = np.zeros((len(kept), int(cells.max()) + 1), bool)
            masks[:, inked] = kept > 0.5
            logits = self.forward(masks[:, cells] * image)
            return logits[:, target]

        return inked, worth

    def spread(self, inked: Array, values: Array) -> Array:
        """Values of the cells with ink as those of all cells."""
        all_cells = np.zeros(int(self.case.cells.max()) + 1)
        all_cells[inked] = values
        return all_cells


def lime_package(subject: Subject, index: int, seed: int) -> Array:
    """Over the same superpixels; asked for the one class only, which is less work than its default of five."""
    target = int(subject.case.targets[index])
    found = LimeImageExplainer(random_state=seed, verbose=False).explain_instance(
        subject.case.images[index],
        lambda pictures: subject.forward(pictures[..., 0]),
        labels=(target,),
        top_labels=None,
        num_samples=1000,
        segmentation_fn=lambda _: subject.case.segments[index],
    )
    return np.array([value for _, value in sorted(found.local_exp[target])])


def kernel_explainer(subject: Subject, index: int, seed: int) -> Array:
    inked, worth = subject.coalition_values(index)
    np.random.seed(seed)
    explainer = shap.KernelExplainer(worth, np.zeros((1, len(inked))))
    values = explainer.shap_values(np.ones((1, len(inked))), silent=True, l1_reg=False)
    return subject.spread(inked, np.asarray(values).reshape(-1))


def exact_explainer(subject: Subject, batch: Any, index: int, seed: int) -> Array:
    inked, worth = subject.coalition_values(index)
    explainer = shap.explainers.Exact(worth, np.zeros((1, len(inked))))
    return subject.spread(inked, explainer(np.ones((1, len(inked))), batch_size=batch).values[0])


def partition_explainer(subject: Subject, batch: Any, index: int, seed: int) -> Array:
    """Owen values of pixels: another game, in which halves of the image are the first players."""
    image, target = subject.case.images[index], int(subject.case.targets[index])
    masker = shap.maskers.Image(np.zeros((*image.shape, 1)), (*image.shape, 1))
    explainer = shap.explainers.Partition(lambda pictures: subject.forward(pictures[..., 0])[:, target], masker)
    found = explainer(image[None, ..., None], max_evals=500, batch_size=batch, silent=True)
    return np.asarray(found.values)


def gradient_explainer(subject: Subject, folder: Path, every_class: bool, batch: int) -> Explain:
    """200 samples for the one class, or, as is its default, for each of all classes."""
    case = subject.case
    images = keras.Input(case.images.shape[1:])
    logits = keras.layers.TFSMLayer(str(folder), call_endpoint="serving_default")(images)["logits"]
    model = keras.Model(images, keras.layers.Activation("linear")(logits))  # shap takes its last layer's only output
    explainer = shap.GradientExplainer(model, case.background, batch_size=batch)

    def explain(index: int, seed: int) -> tuple[Array, int]:
        image, target = case.images[index][None], int(case.targets[index])
        if every_class:
            return explainer.shap_values(image, nsamples=200, rseed=seed)[0, ..., target], 200 * case.logits.shape[1]
        # "custom" names the class; "max_abs" with ranked_outputs=1 would take the smallest logit
        asked_for: Any = np.array([[target]])
        found, _ = explainer.shap_values(
            image, nsamples=200, ranked_outputs=asked_for, output_rank_order="custom", rseed=seed
        )
        return np.asarray(found).reshape(image.shape), 200

    return explain


def methods(case: Case, folder: Path) -> dict[str, Method]:
    """Each with the options that ours has beside it."""
    subject = Subject(case, folder)
    return {
        "LimeImageExplainer": Method(lambda _: subject.method(partial(lime_package, subject))),
        "ExactExplainer": Method(lambda b: subject.method(partial(exact_explainer, subject, b)), (256,)),
        "KernelExplainer": Method(lambda _: subject.method(partial(kernel_explainer, subject))),
        "PartitionExplainer": Method(lambda b: subject.method(partial(partition_explainer, subject, b)), (10, 64)),
        "GradientExplainer": Method(lambda b: gradient_explainer(subject, folder, False, b), (50, 200)),
        "GradientExplainer, all classes": Method(lambda b: gradient_explainer(subject, folder, True, b), (50,)),
    }


if __name__ == "__main__":
    own = Case.load(Path(sys.argv[1]))
    serve({name: version(name) for name in ("lime", "shap")}, methods(own, Path(sys.argv[3])), len(own.images))
