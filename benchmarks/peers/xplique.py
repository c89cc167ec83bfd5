"""xplique over the same SavedModel. Run as `python -m benchmarks.peers.xplique CASE.npz WEIGHTS.npz MODEL_FOLDER`;
with `own` behind it, by xplique's own defaults.
"""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from xplique import attributions

from benchmarks.case import Array, Case, per_segment
from benchmarks.peers.protocol import Explain, Method, serve
from training.architectures import cnn
from training.store.fold import folded

BATCHES = (64, 256, 1024)
PATCHES = 13 * 13  # positions of a patch of 4 with stride 2 on 28 x 28


def served(folder: Path, height: int, width: int) -> keras.Model:
    """The SavedModel as a Keras model: images (n, H, W, 1) -> logits (n, K)."""
    images = keras.Input((height, width, 1))
    layer = keras.layers.TFSMLayer(str(folder), call_endpoint="serving_default")
    return keras.Model(images, layer(keras.layers.Reshape((height, width))(images))["logits"])


def rebuilt(case: Case, weights: Path) -> keras.Model:
    """The same net layer by layer, which Grad-CAM needs; refuses one that answers otherwise."""
    height, width = case.images.shape[1:]
    with np.load(weights) as stored:
        filters = [stored[name].shape[3] for name in stored.files if stored[name].ndim == 4][::2]  # a stage has two
        net = folded(cnn(height, width, case.logits.shape[1], filters))
        own = [one for one in net.variables if "seed" not in one.path]
        for variable, name in zip(own, stored.files, strict=True):
            variable.assign(stored[name])
    model = keras.Model(net.inputs, net.output["logits"])
    error = float(np.abs(model(case.images, training=False).numpy() - case.logits).max())
    if not error <= 1e-3:
        raise ValueError(f"the rebuilt net is another one: logits differ by {error:g}")
    return model


class Subject:
    """The digits in the form that xplique takes."""

    def __init__(self, case: Case) -> None:
        self.images = [image[None, ..., None] for image in case.images]  # (1, H, W, 1)
        self.targets = np.eye(case.logits.shape[1], dtype=np.float32)[case.targets][:, None]
        self.cells = case.segments[0]  # those of the image that is being explained

    def method(self, explainer: Any, rows: int, segments: Array | None = None) -> Explain:
        """`explainer` as an Explain; `rows` as its options say, because graphs hide what they call. Its graphs draw
        anew at each call, whatever the seed: setting one would make all of them draw the same."""

        def explain(index: int, _: int) -> tuple[Array, int]:
            if segments is not None:
                self.cells = segments[index]
            found = np.asarray(explainer(self.images[index], self.targets[index]))[0, ..., 0]
            return found if segments is None else per_segment(found, segments[index]), rows

        return explain

    def mapping(self, _: Any) -> tf.Tensor:
        """Which feature a pixel belongs to."""
        return tf.constant(self.cells, tf.int32)


def methods(case: Case, weights: Path, folder: Path) -> dict[str, Method]:
    """Each with the options that ours has beside it."""
    subject = Subject(case)
    net = served(folder, *case.images.shape[1:])
    grids = np.repeat(case.cells[None], len(case.images), axis=0)

    def of(name: str, rows: int, segments: Array | None = None, **options: Any) -> Method:
        kind = getattr(attributions, name)
        if segments is not None:
            options["map_to_interpret_space"] = subject.mapping
        return Method(lambda batch: subject.method(kind(net, batch_size=batch, **options), rows, segments), BATCHES)

    def grad_cam(batch: int) -> Explain:
        model = rebuilt(case, weights)
        last = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Activation)][-1]
        return subject.method(attributions.GradCAM(model, batch_size=batch, conv_layer=last), 1)

    return {
        "Saliency": of("Saliency", 1),
        "GradientInput": of("GradientInput", 1),
        "SmoothGrad": of("SmoothGrad", 50, nb_samples=50, noise=0.2),
        "IntegratedGradients": of("IntegratedGradients", 50, steps=50),
        "Occlusion": of("Occlusion", PATCHES + 1, patch_size=4, patch_stride=2),
        "Rise": of("Rise", 1000, nb_samples=1000),
        "Lime": of("Lime", 1000, case.segments, nb_samples=1000),
        "KernelShap": of("KernelShap", 1000, grids, nb_samples=1000),
        "GradCAM": Method(grad_cam, BATCHES[:1]),
    }


def by_default(case: Case, weights: Path, folder: Path) -> dict[str, Method]:
    """Each with xplique's own defaults. Its Lime and KernelShap cut the image themselves;
    then each pixel has the value of its segment."""
    subject = Subject(case)
    net = served(folder, *case.images.shape[1:])
    of_pixels = (
        "Saliency", "GradientInput", "SmoothGrad", "SquareGrad", "VarGrad", "IntegratedGradients", "Occlusion", "Rise",
        "SobolAttributionMethod", "HsicAttributionMethod",
    )  # fmt: skip

    def of(name: str, model: keras.Model = net, **options: Any) -> Method:
        return Method(lambda _: subject.method(getattr(attributions, name)(model, **options), 0))

    def of_layers(name: str) -> Method:
        return Method(lambda _: of(name, rebuilt(case, weights)).make(None))

    return {
        **{name: of(name) for name in of_pixels},
        **{name: of_layers(name) for name in ("GradCAM", "GradCAMPP", "GuidedBackprop", "DeconvNet")},
        **{f"{name} of its segments": of(name) for name in ("Lime", "KernelShap")},
    }


if __name__ == "__main__":
    own = Case.load(Path(sys.argv[1]))
    table = by_default if sys.argv[4:] == ["own"] else methods
    serve(
        {"xplique": version("xplique"), "xplique's tensorflow": tf.__version__},
        table(own, Path(sys.argv[2]), Path(sys.argv[3])),
        len(own.images),
    )
