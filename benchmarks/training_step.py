"""python -m benchmarks.training_step: where the time of a training step goes, for each net; needs INKLING_MNIST."""

import os
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from training import architectures
from training.data import Dataset, load
from training.fit import Fit, FitOptions

STEPS, WARM = 60, 5


def main() -> None:
    named = os.environ.get("INKLING_MNIST")
    if not named:
        raise SystemExit("needs MNIST: set INKLING_MNIST to an mnist.npz")
    data, lines = load(named), ["| milliseconds | input | step | both | both, with XLA |", "|---|---|---|---|---|"]
    for name in sys.argv[1:] or architectures.ARCHITECTURES:
        alone, step, both = measured(data, name, xla=False)
        compiled = measured(data, name, xla=True)[2] if name != "lstm" else None  # minutes of compiling, unrolled
        told = "" if compiled is None else f"{compiled:.0f}"
        lines.append(f"| `{name}` | {alone:.0f} | {step:.0f} | {both:.0f} | {told} |")
    sys.stdout.write("\n".join(lines) + "\n")


def measured(data: Dataset, name: str, xla: bool) -> tuple[float, float, float]:
    """Milliseconds of a batch's input alone, of a step on a batch that is there, and of both."""
    height, width = data.train_images.shape[1:]
    build = architectures.ARCHITECTURES[name]
    options = FitOptions(epochs=1, mixed=0.0, xla=xla)
    fit = Fit(lambda: build(height, width, data.classes), data, options, tf.distribute.get_strategy())
    batches, going_on = iter(fit._batches(0)), tf.constant(0.0)
    batch = next(batches)

    def step(given: Any) -> None:
        for part in fit._step(given, going_on):
            float(part)

    return (
        milliseconds(lambda: next(batches)),
        milliseconds(lambda: step(batch)),
        milliseconds(lambda: step(next(batches))),
    )


def milliseconds(call: Callable[[], Any]) -> float:
    taken = []
    for _ in range(WARM + STEPS):
        before = time.perf_counter()
        call()
        taken.append(time.perf_counter() - before)
    return 1000 * median(taken[WARM:])


if __name__ == "__main__":
    main()
