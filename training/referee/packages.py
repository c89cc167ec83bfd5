"""The packages that people use, as the trial's entrants: each by its own defaults, or as its examples call it.

lime and shap explain in this process; captum and xplique in environments of their own (benchmarks/peers/), all
pictures at once, and their maps are then handed out picture by picture.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.explaining import ours, weights
from benchmarks.explaining.workers import PeerFailed, worker
from server.models.savedmodel import SavedModel
from server.models.wrappers import ProbabilityModel
from server.reference.exclusive import seeded_global_rng
from server.reference.expected_gradients import ExpectedGradientsPackage
from server.reference.keras_model import KerasModel
from server.reference.lime import LimePackage
from server.reference.score import ScoreFunction
from server.reference.shapley import ShapleyPackage
from server.types import Array, Attribution, Explainer, Model, Target
from training.referee.trial import Asked, last

log = logging.getLogger(__name__)

Explain = Callable[[Model, Array, Target, int], Attribution]


class Entrant:
    """A package's method as the trial asks an Explainer, under the name that people know it by; it has no options."""

    def __init__(self, name: str, explain: Explain) -> None:
        self.name, self._explain = name, explain

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        """The one map that the package gives."""
        yield self._explain(model, image, target, seed)


def lime(asked: Asked) -> list[Entrant]:
    """LimeImageExplainer with its defaults, which cut a digit into one or two segments, and over the superpixels and
    with the empty paper of its example of MNIST, with the default's 1000 samples."""
    defaults = LimePackage(compat=True)
    return [
        Entrant("lime LimeImageExplainer", lambda model, *rest: last(defaults.refine(ProbabilityModel(model), *rest))),
        Entrant("lime LimeImageExplainer of logits", lambda *rest: last(defaults.refine(*rest))),
        Entrant("lime LimeImageExplainer, kernel_size=1 hide_color=0", _lime_of_mnist),
    ]


def _lime_of_mnist(model: Model, image: Array, target: Target, seed: int) -> Attribution:
    from lime import lime_image
    from lime.wrappers.scikit_image import SegmentationAlgorithm

    lime_image.tqdm = iter  # else a progress bar for each picture
    score = ScoreFunction(ProbabilityModel(model), target)
    with seeded_global_rng(seed):
        found = lime_image.LimeImageExplainer(random_state=seed).explain_instance(
            image, lambda pictures: score(pictures[..., 0])[:, None], labels=(0,), top_labels=None, hide_color=0,
            segmentation_fn=SegmentationAlgorithm("quickshift", kernel_size=1, max_dist=200, ratio=0.2),
        )  # fmt: skip
    return _of_segments(found.segments, np.array([value for _, value in sorted(found.local_exp[0])]))


def shap(asked: Asked) -> list[Entrant]:
    """GradientExplainer over the model's background; PartitionExplainer with empty and with blurred pictures for what
    is missing; KernelExplainer of pixels with its defaults, and of segments as in its example of ImageNet. Not
    DeepExplainer: when it fails it leaves TensorFlow's gradients broken for the whole process."""
    view = SavedModel(asked.folder(), asked.model.card).keras_model
    gradient = ExpectedGradientsPackage()

    def partition(baseline: Any) -> Explain:
        return lambda *rest: last(ShapleyPackage(explainer="partition", baseline=baseline).refine(*rest))

    return [
        Entrant(
            "shap GradientExplainer",
            lambda model, *rest: last(gradient.refine(KerasModel(model, view, "logit"), *rest)),
        ),
        Entrant("shap PartitionExplainer", partition("black")),
        Entrant("shap PartitionExplainer, blur", partition("blur")),
        Entrant("shap KernelExplainer of pixels", _kernel_of_pixels),
        Entrant("shap KernelExplainer of 50 slic segments", _kernel_of_slic),
    ]


def _kernel_of_pixels(model: Model, image: Array, target: Target, seed: int) -> Attribution:
    score = ScoreFunction(model, target)
    values = _kernel(lambda rows: score(rows.reshape(-1, *image.shape)), image.ravel(), seed)
    return Attribution(values.reshape(image.shape), "logit", "converged", score.rows)


def _kernel_of_slic(model: Model, image: Array, target: Target, seed: int) -> Attribution:
    from skimage.segmentation import slic

    score = ScoreFunction(model, target)
    segments = slic(image, n_segments=50, compactness=30, sigma=3, start_label=0, channel_axis=None)
    kept = np.ones(int(segments.max()) + 1)
    return _of_segments(segments, _kernel(lambda rows: score(rows[:, segments] * image), kept, seed, nsamples=1000))


def _kernel(function: Callable[[Array], Array], features: Array, seed: int, **options: Any) -> Array:
    """The package's values (n,) of these features (n,), against zeros."""
    import shap as package

    logging.getLogger("shap").setLevel(logging.WARNING)
    with seeded_global_rng(seed):
        explainer = package.KernelExplainer(function, np.zeros((1, len(features))))
        values: Array = explainer.shap_values(features, silent=True, **options)
    return values


def _of_segments(segments: Array, values: Array) -> Attribution:
    return Attribution(values[segments], "score", "converged", 0, segments=segments, segment_values=values)


def captum(asked: Asked) -> list[Entrant]:
    """Over the same net in PyTorch, which there is for the CNN only."""
    return _peers("captum", asked)


def xplique(asked: Asked) -> list[Entrant]:
    """Over the same SavedModel; GradCAM over the net in Keras."""
    return _peers("xplique", asked)


def _peers(module: str, asked: Asked) -> list[Entrant]:
    """What the methods of benchmarks/peers/<module>.py say of all the pictures."""
    found = []
    with TemporaryDirectory() as place:
        case, file = Path(place, "case.npz"), Path(place, "weights.npz")
        ours.case_of(asked.model, asked.images, asked.labels).save(case)
        arrays: dict[str, Any] = weights.of(asked.folder())
        np.savez(file, **arrays)
        with worker(module, case, file, asked.folder(), "own") as running:
            for name in running.methods:
                try:
                    maps = running.burst(name, 0).values
                except PeerFailed as error:
                    log.warning("%s %s fails and is left out: %s", module, name, error)
                    continue
                found.append(Entrant(f"{module} {name}", told(asked.images, maps, name.endswith("segments"))))
    return found


def told(images: Array, maps: list[list[float]], by_segment: bool) -> Explain:
    """Hands out a map (H W,) for each of the images (n, H, W); pixels of one value are a segment where the method
    gives segments."""
    known = {image.tobytes(): np.reshape(values, image.shape) for image, values in zip(images, maps, strict=True)}

    def explain(model: Model, image: Array, target: Target, seed: int) -> Attribution:
        values = known[image.tobytes()]
        if not by_segment:
            return Attribution(values, "score", "converged", 0)
        each, segments = np.unique(values, return_inverse=True)
        return _of_segments(segments.reshape(image.shape), each)

    return explain


PACKAGES: Mapping[str, Callable[[Asked], list[Entrant]]] = {
    "lime": lime, "shap": shap, "captum": captum, "xplique": xplique,
}  # fmt: skip
CNN_ONLY = ("captum", "xplique")


def entrants(packages: tuple[str, ...], asked: Asked) -> list[Explainer]:
    """Bind `packages`, and it is Entrants."""
    found: list[Any] = [one for package in packages for one in PACKAGES[package](asked)]
    return found
