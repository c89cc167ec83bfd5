"""A Model in front of another one that computes the rows of many threads together (dynamic batching, scheduler.py). Its
answers are those of the model to 1e-5, whatever else is in the batch. Must not know TensorFlow.

Where it is used was measured on two cores, with the shipped nets:
- TensorFlow on the CPU, predictions by a twin: never. One explanation costs the same with and without batching, to 3 %;
  two and four `shapley` of a CNN take 1.1 to 1.4 times as long in batches, for no less of the processor.
- TensorFlow on the CPU for a version without a twin: always. Eight clients beside two explanations by the CNN get 1.8
  times the predictions at half the p99. A single one waits for `CPU_EXPLAIN_ROWS` rows at most: twice the median
  that it has without batching, and the same p99. Any number of rows will do: none is traced anew, and padding to powers
  of two costs 10 to 25 % every time.
- TensorFlow on a GPU, which was not measured: always. A call costs much the same for one row as for hundreds; batches
  are padded to a few sizes, because kernels are chosen anew for every other one.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from server.models.batching.request import CallOptions, Limits, Outputs
from server.models.batching.scheduler import BatchScheduler
from server.models.wrappers import ModelWrapper
from server.protocols import RequestContext
from server.types import Array, Features, Model, Verb

OnWait = Callable[[int], None]
"""Called with the number of rows that began to wait or, if negative, no longer do."""

BUCKETS = (32, 64, 128, 256, 512)
BATCH_ROWS: Mapping[Verb, int] = {
    "forward": 512,
    "gradient": 128,
    "features": 128,
}  # rows that a SavedModel takes at once
CPU_EXPLAIN_ROWS = 64  # of explanations that a prediction waits for at most: 10 ms of a CNN
QUEUE_ROWS = 8192  # rows that may wait: a second of a CNN on two cores


PREDICTION = CallOptions(is_prediction=True)


@dataclass(frozen=True)
class BatchedModel(ModelWrapper):
    """`model`, called with `options`: those of a prediction without a deadline, unless it was bound to a request."""

    schedulers: Mapping[Verb, BatchScheduler]
    now: Callable[[], float]
    options: CallOptions = PREDICTION

    def for_explain(self, context: RequestContext) -> "BatchedModel":
        """The model for one explanation: its rows come after predictions, and waiting rows are dropped at the context's
        deadline or cancellation."""
        return self._bound(context, is_prediction=False)

    def for_predict(self, context: RequestContext) -> "BatchedModel":
        """The model for one prediction, whose waiting rows are dropped as those of an explanation are."""
        return self._bound(context, is_prediction=True)

    def _bound(self, context: RequestContext, is_prediction: bool) -> "BatchedModel":
        deadline = self.now() + context.remaining()
        return replace(self, options=CallOptions(is_prediction, deadline, context.raise_if_cancelled))

    def forward(self, images: Array) -> Array:
        """Logits (n, K) of images (n, H, W)."""
        if images is self.card.background:
            return self.model.forward(images)  # which keeps them
        return _array(self._submit("forward", self._images(images)))

    def gradient(self, images: Array, weights: Array) -> Array:
        """d(weights . logits) / d images, (n, H, W)."""
        return _array(self._submit("gradient", self._images(images), self._weights(weights, len(images))))

    def features(self, images: Array, weights: Array) -> Features:
        """The inner views of images (n, H, W)."""
        found = self._submit("features", self._images(images), self._weights(weights, len(images)))
        return Features(_array(found[:1]), *found[1:])

    def warm_up(self) -> None:
        """Run every size that batches are padded to."""
        background = self.card.background
        for verb, scheduler in self.schedulers.items():
            if verb in self.verbs:
                for size in scheduler.limits.buckets:
                    images = np.resize(background, (size, *background.shape[1:])).astype(np.float32)
                    weights = np.zeros((size, len(self.card.classes)), np.float32)
                    scheduler.compute(*((images,) if verb == "forward" else (images, weights)))

    def _submit(self, verb: Verb, *arrays: Array) -> Outputs:
        return self.schedulers[verb].submit(arrays, self.options)

    def _images(self, images: Array) -> Array:
        return _checked("images", images, (len(images), self.card.image.height, self.card.image.width))

    def _weights(self, weights: Array, rows: int) -> Array:
        return _checked("weights", weights, (rows, len(self.card.classes)))


def batched_model_for(
    model: Model, gpu: bool, twin: bool, on_wait: OnWait = lambda change: None
) -> BatchedModel | None:
    """`model` with batching where that serves better, else None; a `twin` answers its predictions."""
    if twin and not gpu:
        return None
    explain = BATCH_ROWS if gpu else dict.fromkeys(BATCH_ROWS, CPU_EXPLAIN_ROWS)
    buckets = BUCKETS if gpu else ()
    limits = {
        verb: Limits(limit, explain[verb], QUEUE_ROWS, tuple(size for size in buckets if size <= limit))
        for verb, limit in BATCH_ROWS.items()
    }
    found = batched_model(model, limits, on_wait=on_wait)
    found.warm_up()
    return found


def batched_model(
    model: Model,
    limits: Mapping[Verb, Limits],
    now: Callable[[], float] = time.monotonic,
    on_wait: OnWait = lambda change: None,
) -> BatchedModel:
    """`model` with batching, within `limits` for each verb."""

    def features(images: Array, weights: Array) -> Outputs:
        found = model.features(images, weights)
        return (found.embedding, found.feature_map, found.feature_gradient, found.attention)

    verbs: dict[Verb, Callable[..., Outputs]] = {
        "forward": lambda images: (model.forward(images),),
        "gradient": lambda images, weights: (model.gradient(images, weights),),
        "features": features,
    }
    schedulers = {verb: BatchScheduler(compute, limits[verb], now, on_wait) for verb, compute in verbs.items()}
    return BatchedModel(model, schedulers, now)


def _checked(name: str, array: Array, shape: tuple[int, ...]) -> Array:
    """The array as float32, fit to be in one batch with others.

    Raises:
        ValueError: it has another shape, or a number that is not finite.
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
