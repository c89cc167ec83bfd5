"""captum over the same CNN in PyTorch. Run as `python -m benchmarks.peers.captum CASE.npz WEIGHTS.npz MODEL_FOLDER`;
with `own` behind it, by captum's own defaults.
"""

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import captum
import numpy as np
import torch
from captum import attr

from benchmarks.case import Array, Case, per_segment
from benchmarks.explaining.weights import to_torch
from benchmarks.peers.protocol import Explain, Method, serve
from benchmarks.peers.torch_net import Net

TOLERANCE = 1e-3  # of logits, and of their slopes
BATCHES = (64, 256, 1024)


def net_of(case: Case, weights: Path) -> Net:
    """The net; refuses one that answers otherwise than the SavedModel, or whose slopes are others."""
    with np.load(weights) as stored:
        net = Net(to_torch({name: stored[name] for name in stored}))
    errors = [_error(net, case, index) for index in range(len(case.images))]
    if not max(errors) <= TOLERANCE:
        sys.exit(
            f"the net in PyTorch is another one: logits or slopes differ by {max(errors):g}, at most {TOLERANCE:g}"
        )
    return net


def _error(net: Net, case: Case, index: int) -> float:
    """The largest difference of one image's logits and slopes; one by one, as captum asks for them."""
    image = torch.from_numpy(case.images[index][None]).requires_grad_(True)
    logits = net(image)
    (slopes,) = torch.autograd.grad(logits[0, int(case.targets[index])], image)
    errors = logits.detach()[0].numpy() - case.logits[index], slopes[0].numpy() - case.slopes[index]
    return max(float(np.abs(one).max()) for one in errors)


class Subject:
    """The net with the images as tensors, and how many rows it has seen."""

    def __init__(self, case: Case, net: Net) -> None:
        self.net = net
        self.images = [torch.from_numpy(image[None]) for image in case.images]
        self.targets = [int(target) for target in case.targets]
        self.rows = 0
        net.register_forward_pre_hook(self._count)

    def _count(self, _: Any, inputs: tuple[torch.Tensor]) -> None:
        self.rows += len(inputs[0])

    def method(self, attribute: Callable[..., torch.Tensor], segments: Array | None = None, **options: Any) -> Explain:
        """`attribute` as an Explain. `segments` (n, H, W): the cells that are explained instead of pixels."""
        masks = None if segments is None else [torch.from_numpy(one[None].astype(np.int64)) for one in segments]

        def explain(index: int, seed: int) -> tuple[Array, int]:
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            self.rows = 0
            cells = {} if masks is None else {"feature_mask": masks[index]}
            found = attribute(self.images[index], target=self.targets[index], **cells, **options).detach().numpy()
            return found[0] if segments is None else per_segment(found[0], segments[index]), self.rows

        return explain


def methods(case: Case, net: Net) -> dict[str, Method]:
    """Each with the options that ours has beside it."""
    subject = Subject(case, net)
    grids = np.repeat(case.cells[None], len(case.images), axis=0)
    background = torch.from_numpy(case.background)
    saliency = attr.Saliency(net).attribute
    noisy = attr.NoiseTunnel(attr.Saliency(net)).attribute
    steps = attr.IntegratedGradients(net).attribute
    shap = attr.GradientShap(net).attribute
    cam = attr.LayerGradCam(net, net.feature_map).attribute

    def in_batches(attribute: Any, segments: Array | None = None, **options: Any) -> Method:
        return Method(lambda b: subject.method(attribute, segments, perturbations_per_eval=b, **options), BATCHES)

    return {
        "Saliency": Method(lambda _: subject.method(saliency, abs=False)),
        "InputXGradient": Method(lambda _: subject.method(attr.InputXGradient(net).attribute)),
        "NoiseTunnel": Method(lambda _: subject.method(noisy, nt_samples=50, stdevs=0.2, abs=False)),
        "IntegratedGradients": Method(lambda _: subject.method(steps, n_steps=50)),
        "GradientShap": Method(lambda _: subject.method(shap, baselines=background, n_samples=200)),
        "LayerGradCam": Method(lambda _: subject.method(cam, relu_attributions=True)),
        "Occlusion": in_batches(attr.Occlusion(net).attribute, sliding_window_shapes=(4, 4), strides=(2, 2)),
        "Lime": in_batches(attr.Lime(net).attribute, case.segments, n_samples=1000),
        "KernelShap": in_batches(attr.KernelShap(net).attribute, grids, n_samples=1000),
        "ShapleyValueSampling": in_batches(attr.ShapleyValueSampling(net).attribute, grids, n_samples=25),
    }


def by_default(case: Case, net: Net) -> dict[str, Method]:
    """Each with captum's own defaults, and what it demands beside them: a background, a window. Lime and KernelShap
    also over superpixels, as its documentation advises; then each pixel has the value of its segment.
    `at_once` is no default, and changes no value."""
    subject = Subject(case, net)
    cam = attr.LayerGradCam(net, net.feature_map).attribute

    def upsampled(*image: torch.Tensor, **options: Any) -> torch.Tensor:
        found = attr.LayerAttribution.interpolate(cam(*image, **options), case.images.shape[1:])
        return found[:, 0]

    def of(kind: Any, **options: Any) -> Method:
        return Method(lambda _: subject.method(kind.attribute, **options))

    def of_segments(kind: Any, **options: Any) -> Method:
        def make(_: Any) -> Explain:
            explain = subject.method(kind.attribute, case.segments, **options)
            return lambda index, seed: _spread(explain(index, seed), case.segments[index])

        return Method(make)

    background = torch.from_numpy(case.background)
    lime, shap = attr.Lime(net), attr.KernelShap(net)
    at_once = {"perturbations_per_eval": 256}
    return {
        "Saliency": of(attr.Saliency(net)),
        "InputXGradient": of(attr.InputXGradient(net)),
        "NoiseTunnel of Saliency": of(attr.NoiseTunnel(attr.Saliency(net))),
        "IntegratedGradients": of(attr.IntegratedGradients(net)),
        "GradientShap": of(attr.GradientShap(net), baselines=background),
        "LayerGradCam": Method(lambda _: subject.method(upsampled)),
        "Occlusion of 4 x 4": of(attr.Occlusion(net), sliding_window_shapes=(4, 4), **at_once),
        "Lime of pixels": of(lime, **at_once),
        "Lime of segments": of_segments(lime, **at_once),
        "Lime, n_samples=1000 of segments": of_segments(lime, n_samples=1000, **at_once),
        "KernelShap of pixels": of(shap, **at_once),
        "KernelShap of segments": of_segments(shap, **at_once),
        "KernelShap, n_samples=1000 of segments": of_segments(shap, n_samples=1000, **at_once),
    }


def _spread(found: tuple[Array, int], segments: Array) -> tuple[Array, int]:
    """Values of segments as those of pixels."""
    values, rows = found
    return values[np.unique(segments, return_inverse=True)[1].reshape(segments.shape)], rows


if __name__ == "__main__":
    own = Case.load(Path(sys.argv[1]))
    table = by_default if sys.argv[4:] == ["own"] else methods
    torch.set_num_threads(1 if table is by_default else os.cpu_count() or 1)  # several are asked at once then
    versions = {"captum": captum.__version__, "torch": torch.__version__}
    serve(versions, table(own, net_of(own, Path(sys.argv[2]))), len(own.images))
