"""A lane: a Model in front of another one that puts the rows of many threads together (scheduler.py). Its answers
are those of the model to 1e-5, whatever they are put together with. Must not know TensorFlow.

Where it is used was measured on two cores, with the shipped nets:
- TensorFlow on the CPU, predictions by a twin: never. One explanation costs the same with and without a lane, to 3 %;
  two and four `shapley` of a CNN take 1.1 to 1.4 times as long by turns, for no less of the processor.
- TensorFlow on the CPU for a version without a twin: always. Eight clients beside two explanations by the CNN get 1.8
  times the predictions at half the p99. A lone one waits for `CPU_SLICE` rows at most: twice the median that it has
  without a lane, and the same p99. Any number of rows will do: none is traced anew, and filling up to powers of two
  costs 10 to 25 % every time.
- TensorFlow on a GPU, which was not measured: always. A call costs much the same for one row as for hundreds; the turns
  are filled up to a few sizes, because kernels are chosen anew for every other one.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from server.models.batching.request import Limits, Outputs, Terms
from server.models.batching.scheduler import Turns
from server.models.wrappers import ModelWrapper
from server.protocols import RequestContext
from server.types import Array, Features, Model, Verb

OnWait = Callable[[int], None]
"""Told that so many more rows wait, or, if negative, fewer."""

BUCKETS = (32, 64, 128, 256, 512)
TURN: Mapping[Verb, int] = {"forward": 512, "gradient": 128, "features": 128}  # rows that a SavedModel takes at once
CPU_SLICE = 64  # rows of explanations for which a prediction waits at most: 10 ms of a CNN
QUEUE = 8192  # rows that may wait: a second of a CNN on two cores


PREDICTION = Terms(first=True)


@dataclass(frozen=True)
class Lane(ModelWrapper):
    """`model`, asked on `terms`: those of a prediction without a deadline, unless it was bound to a request."""

    turns: Mapping[Verb, Turns]
    now: Callable[[], float]
    terms: Terms = PREDICTION

    def for_explain(self, context: RequestContext) -> "Lane":
        """This lane for one explanation: its rows come after predictions, and those that wait are dropped at the
        context's deadline or cancellation."""
        return self._bound(context, first=False)

    def for_predict(self, context: RequestContext) -> "Lane":
        """This lane for one prediction, whose rows are dropped as those of an explanation are."""
        return self._bound(context, first=True)

    def _bound(self, context: RequestContext, first: bool) -> "Lane":
        return replace(self, terms=Terms(first, self.now() + context.remaining(), context.raise_if_cancelled))

    def forward(self, images: Array) -> Array:
        """Logits (n, K) of images (n, H, W)."""
        if images is self.card.background:
            return self.model.forward(images)  # which it knows by heart
        return _array(self._ask("forward", self._images(images)))

    def gradient(self, images: Array, weights: Array) -> Array:
        """d(weights . logits) / d images, (n, H, W)."""
        return _array(self._ask("gradient", self._images(images), self._weights(weights, len(images))))

    def features(self, images: Array, weights: Array) -> Features:
        """The inner views of images (n, H, W)."""
        found = self._ask("features", self._images(images), self._weights(weights, len(images)))
        return Features(_array(found[:1]), *found[1:])

    def warm_up(self) -> None:
        """Run every size that turns are filled up to."""
        background = self.card.background
        for verb, turns in self.turns.items():
            if verb in self.verbs:
                for size in turns.limits.buckets:
                    images = np.resize(background, (size, *background.shape[1:])).astype(np.float32)
                    weights = np.zeros((size, len(self.card.classes)), np.float32)
                    turns.compute(*((images,) if verb == "forward" else (images, weights)))

    def _ask(self, verb: Verb, *arrays: Array) -> Outputs:
        return self.turns[verb].ask(arrays, self.terms)

    def _images(self, images: Array) -> Array:
        return _checked("images", images, (len(images), self.card.image.height, self.card.image.width))

    def _weights(self, weights: Array, rows: int) -> Array:
        return _checked("weights", weights, (rows, len(self.card.classes)))


def lane_for(model: Model, gpu: bool, twin: bool, on_wait: OnWait = lambda change: None) -> Lane | None:
    """A lane before `model` where that serves better, else None; a `twin` answers its predictions."""
    if twin and not gpu:
        return None
    slices = TURN if gpu else dict.fromkeys(TURN, CPU_SLICE)
    buckets = BUCKETS if gpu else ()
    limits = {
        verb: Limits(most, slices[verb], QUEUE, tuple(size for size in buckets if size <= most))
        for verb, most in TURN.items()
    }
    found = lane(model, limits, on_wait=on_wait)
    found.warm_up()
    return found


def lane(
    model: Model,
    limits: Mapping[Verb, Limits],
    now: Callable[[], float] = time.monotonic,
    on_wait: OnWait = lambda change: None,
) -> Lane:
    """The lane before `model`."""

    def features(images: Array, weights: Array) -> Outputs:
        found = model.features(images, weights)
        return (found.embedding, found.feature_map, found.feature_gradient, found.attention)

    verbs: dict[Verb, Callable[..., Outputs]] = {
        "forward": lambda images: (model.forward(images),),
        "gradient": lambda images, weights: (model.gradient(images, weights),),
        "features": features,
    }
    turns = {verb: Turns(compute, limits[verb], now, on_wait) for verb, compute in verbs.items()}
    return Lane(model, turns, now)


def _checked(name: str, array: Array, shape: tuple[int, ...]) -> Array:
    """The array as float32 that may stand beside those of others.

    Raises:
        ValueError: it has another shape, or holds what is no finite number.
    """
    found = np.asarray(array, np.float32)
    if found.shape != shape:
        raise ValueError(f"{name} of shape {found.shape}; expected {shape}")
    # a sum is quicker; where it is not finite, the numbers may yet be finite but large
    if not math.isfinite(found.sum()) and not np.isfinite(found).all():
        raise ValueError(f"{name} hold NaN or infinity")
    return found


def _array(outputs: Sequence[Array | None]) -> Array:
    (array,) = outputs
    assert array is not None
    return array
