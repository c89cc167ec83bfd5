"""How training is spread: over the GPUs of a machine, over machines that TF_CONFIG names, or not at all.

Each replica gets its part of every batch, so that all of them together see what one alone would see.
"""

import json
import os
from typing import Any, Literal, get_args

import tensorflow as tf

from training.errors import TrainingError

Spread = Literal["auto", "one", "mirrored", "multiworker", "tpu"]
SPREADS: tuple[Spread, ...] = get_args(Spread)


class StrategyError(TrainingError):
    """Training cannot be spread in the way that was asked for."""


def cluster() -> tuple[int, int]:
    """Which worker this process is, the chief being 0, and how many there are: by TF_CONFIG, as Kubernetes' operators
    and Ray Train set it.

    Raises:
        StrategyError: TF_CONFIG is not what TensorFlow expects.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        return 0, 1
    try:
        config = json.loads(text)
        workers = [("chief", index) for index in range(len(config["cluster"].get("chief", [])))]
        workers += [("worker", index) for index in range(len(config["cluster"].get("worker", [])))]
        return workers.index((config["task"]["type"], int(config["task"]["index"]))), len(workers)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StrategyError(
            f"TF_CONFIG is {text[:200]!r} ({error!r}); expected "
            '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
        ) from error


def strategy_of(spread: Spread) -> tf.distribute.Strategy:
    """The strategy of that name; `auto` takes several workers where TF_CONFIG names them, all GPUs where there are
    several, else one device. Has to be called before anything else of TensorFlow.

    Raises:
        StrategyError: there are no workers, no several GPUs, or no TPU.
    """
    workers, gpus = cluster()[1], len(tf.config.list_physical_devices("GPU"))
    if spread == "auto":
        spread = "multiworker" if workers > 1 else "mirrored" if gpus > 1 else "one"
    if spread == "multiworker":
        if workers < 2:
            raise StrategyError("--strategy multiworker needs the workers in TF_CONFIG, which names none but this one")
        return tf.distribute.MultiWorkerMirroredStrategy()
    if spread == "mirrored":
        if gpus < 2:
            raise StrategyError(f"--strategy mirrored needs several GPUs; there {'is one' if gpus else 'are none'}")
        return tf.distribute.MirroredStrategy()
    if spread == "tpu":
        return _tpu()
    return tf.distribute.get_strategy()


def has_gpu() -> bool:
    """Whether TensorFlow sees one."""
    return bool(tf.config.list_physical_devices("GPU"))


def is_multiworker(strategy: tf.distribute.Strategy) -> bool:
    """Whether other processes have a part in each step."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def _tpu() -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError) as error:
        raise StrategyError(f"there is no TPU to train on ({str(error)[:200]})") from error
    return tf.distribute.TPUStrategy(resolver)


def spread_over(strategy: tf.distribute.Strategy, batches: tf.data.Dataset) -> Any:
    """An iterable of batches, each divided among the replicas of a strategy: every n-th row to each of n."""
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return batches

    def own(context: tf.distribute.InputContext) -> tf.data.Dataset:
        here = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * here

        def divided(*tensors: tf.Tensor) -> tf.data.Dataset:
            parts = [
                tf.data.Dataset.from_tensors(tuple(x[first + i :: replicas] for x in tensors)) for i in range(here)
            ]
            joined = parts[0]
            for part in parts[1:]:
                joined = joined.concatenate(part)
            return joined

        return batches.flat_map(divided)

    return strategy.distribute_datasets_from_function(own)
