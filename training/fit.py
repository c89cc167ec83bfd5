"""The training loop, one for all nets: AdamW with a cosine, augmentation on the fly, a checkpoint that can be resumed;
on one device, or spread over several, or over machines.

Written with strategy.run and a gradient tape, because Keras's own fit breaks under multi-worker strategies.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from training import distribute, outliers
from training.augment import augment, soiled
from training.compress import distil
from training.compress.distil import Teacher
from training.data import Array, Dataset
from training.errors import DataError, TrainingError
from training.mix import Mix

CHECKPOINT_EVERY = 500  # steps
LONGEST = 1.0  # norm of a variable's gradient
SOILED = (3.0, 0.25)  # in the last third of the steps soiled pictures get fewer, down to this share of them


@dataclass(frozen=True)
class FitOptions:
    """How to train: passes over the data, images per step, peak learning rate, decay of weights, seed, augmentation,
    share of a batch that comes from the mix, share that is replayed, weight of the outliers' loss, share of the loss
    that a teacher has, where there is one; and how a step is computed: partly in 16 bits (bfloat16, whose range is that
    of 32 bits, so that losses need no scaling), compiled as a whole."""

    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    seed: int = 0
    augment: bool = True
    mixed: float = 0.25
    replay: float = 0.0
    outliers: float = 0.5
    distil: float = 0.0
    half_precision: bool = False
    xla: bool = False


@dataclass(frozen=True)
class Progress:
    """Where a run stands; loss and accuracy are means over the running epoch."""

    step: int
    steps: int
    epoch: int
    loss: float
    accuracy: float
    steps_per_second: float  # in the running epoch


class Stopped(TrainingError):
    """Training was asked to end before its time; there is a checkpoint."""


class WorkerGone(TrainingError):
    """Another worker has ended, so that none can go on."""


class Fit:
    """One run of training: model, optimizer and step counter, which together are what a checkpoint holds."""

    def __init__(
        self,
        build: Callable[[], keras.Model],
        data: Dataset,
        options: FitOptions,
        strategy: tf.distribute.Strategy,
        mix: Mix | None = None,
        replayed: Dataset | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        """`replayed` is data that the net knows already, of which a share of every batch reminds it; `teacher` says
        what larger nets make of each digit."""
        self.data, self.options, self.strategy, self.mix, self.replayed = data, options, strategy, mix, replayed
        self.teacher = teacher if options.distil else None
        self._stopping = False
        self.of_mix = round(options.mixed * options.batch_size) if mix else 0
        self.of_replay = round(options.replay * options.batch_size) if replayed else 0
        self.steps_per_epoch = max(1, len(data.train_images) // (options.batch_size - self.of_replay))
        self.steps = self.steps_per_epoch * options.epochs
        keras.utils.set_random_seed(options.seed)
        self._compute = tf.function(self._replica_step, jit_compile=options.xla or None)
        policy = "mixed_bfloat16" if options.half_precision else "float32"
        with strategy.scope(), _policy(policy):
            self.model = build()
            warm_up = min(self.steps // 20 + 1, 500)
            schedule = keras.optimizers.schedules.CosineDecay(
                options.learning_rate / 100, self.steps, 1e-3, warmup_target=options.learning_rate, warmup_steps=warm_up
            )
            self.optimizer = keras.optimizers.AdamW(schedule, weight_decay=options.weight_decay)
            self.optimizer.build(self.model.trainable_variables)
            self.seconds = tf.Variable(0.0, trainable=False, dtype=tf.float64)  # trained so far, resumed runs included
            self.worker, self.workers = distribute.cluster() if distribute.is_multiworker(strategy) else (0, 1)
            self.checkpoint = tf.train.Checkpoint(model=self.model, optimizer=self.optimizer, seconds=self.seconds)

    def stop(self) -> None:
        """End after the step under way, on all workers, with a checkpoint; called again, at once."""
        if self._stopping:
            raise KeyboardInterrupt
        self._stopping = True

    def run(self, folder: Path, resume: bool) -> Iterator[Progress]:
        """Train to the end, telling after every step. However it ends, `folder` holds a checkpoint to resume from; of
        several workers, all read and only the first writes there what counts.

        Raises:
            FileNotFoundError: resume was asked for and there is nothing to resume.
            DataError: what there is to resume is of another net.
            Stopped: `stop` was called, here or on another worker.
            WorkerGone: another worker has ended; the checkpoint is of up to CHECKPOINT_EVERY steps before.
        """
        own = folder if self.worker == 0 else folder / f"worker-{self.worker}"  # all have to save for one to be able to
        manager = tf.train.CheckpointManager(self.checkpoint, str(own), max_to_keep=1)
        if resume:
            latest = tf.train.latest_checkpoint(str(folder))
            if latest is None:
                raise FileNotFoundError(f"no checkpoint in {folder}; start without --resume")
            try:
                self.checkpoint.restore(latest).assert_existing_objects_matched()
            except (AssertionError, ValueError) as error:
                raise DataError(
                    f"the checkpoint in {folder} is of another net ({str(error).splitlines()[0][:150]}); give the "
                    "options that it was begun with, or start without --resume"
                ) from error
        together = self.workers == 1
        try:
            yield from self._steps(manager)
            together = True
        except Stopped:
            together = True
            raise
        except tf.errors.OpError as error:
            if self.workers == 1:
                raise
            said = str(error)[:200]
            raise WorkerGone(f"a worker has ended, so that none can go on ({said}); start all with --resume") from error
        finally:
            if together:  # one worker alone would wait for the others
                manager.save()

    def _steps(self, manager: tf.train.CheckpointManager) -> Iterator[Progress]:
        first = int(self.optimizer.iterations.numpy())
        batches = iter(distribute.spread_over(self.strategy, self._batches(first)))
        loss = accuracy = seen = 0.0  # means over the running epoch, and of how many steps
        began = time.monotonic()
        before = began - float(self.seconds.numpy())
        for step in range(first + 1, self.steps + 1):
            found = self._step(next(batches), tf.constant(float(self._stopping)))
            step_loss, step_accuracy, stopping = (float(one) for one in found)
            seen += 1
            loss += (step_loss - loss) / seen
            accuracy += (step_accuracy - accuracy) / seen
            now = time.monotonic()
            self.seconds.assign(now - before)
            if stopping:
                raise Stopped(f"stopped after step {step}")
            epoch = (step - 1) // self.steps_per_epoch + 1
            yield Progress(step, self.steps, epoch, loss, accuracy, round(seen / (now - began), 2))
            if step % self.steps_per_epoch == 0:
                loss = accuracy = seen = 0.0
                began = time.monotonic()
            if step % CHECKPOINT_EVERY == 0:
                manager.save()

    def _batches(self, first: int) -> tf.data.Dataset:
        """An endless stream of images, labels and outliers that, started at step `first`, has other orders and changes
        than the steps before."""
        size, seed = self.options.batch_size, self.options.seed
        parts = [(self.data.train_images, self.data.train_labels, size - self.of_mix - self.of_replay)]
        if self.replayed and self.of_replay:
            parts.append((self.replayed.train_images, self.replayed.train_labels, self.of_replay))
        if self.mix and self.of_mix:
            parts.append((self.mix.images, self.mix.labels, self.of_mix))
        digits = [_endless((images, labels), rows, seed + first) for images, labels, rows in parts]
        drawn = [_endless((self.mix.outliers,), size // outliers.DRAWN, seed + first)] if self.mix else []

        def batch(step: tf.Tensor, digits: Any, drawn: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            images, labels = (tf.concat(values, 0) for values in zip(*digits, strict=True))
            height, width = images.shape[1:]
            noise = outliers.noise(max(1, size // outliers.NOISE), height, width, tf.stack([seed, step]))
            unlike = tf.concat([part for (part,) in drawn], 0) if drawn else noise[:0]
            if self.options.augment:
                both = augment(tf.concat([images, unlike], 0), tf.stack([seed, step]))
                images, unlike = both[:size], both[size:]
                left = 1.0 - tf.cast(step, tf.float32) / self.steps
                strength = tf.clip_by_value(SOILED[0] * left, SOILED[1], 1.0)
                images = soiled(images, tf.concat([noise, unlike], 0), tf.stack([seed + 1, step]), strength)
            return images, labels, tf.concat([noise, unlike], 0) if self.options.outliers else noise[:0]

        steps = tf.data.Dataset.counter(first, dtype=tf.int32)
        return tf.data.Dataset.zip(steps, tuple(digits), tuple(drawn)).map(batch, num_parallel_calls=2).prefetch(2)

    @tf.function  # type: ignore[untyped-decorator]
    def _step(self, batch: Any, stopping: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Loss and accuracy over the batch, and above 0 where any worker is to stop."""
        losses, accuracies, stops = self.strategy.run(self._compute, args=(batch, stopping))
        add = partial(self.strategy.reduce, tf.distribute.ReduceOp.SUM, axis=None)
        return add(losses), add(accuracies), add(stops)

    def _replica_step(
        self, batch: tuple[tf.Tensor, tf.Tensor, tf.Tensor], stopping: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Sums over the replica's share divided by the whole batch, so that adding up replicas gives means."""
        images, labels, unlike = batch
        digits, whole = tf.shape(images)[0], float(self.options.batch_size)
        with tf.GradientTape() as tape:
            # together, as batch normalisation then knows at the end what it knew in training
            both = tf.cast(self.model(tf.concat([images, unlike], 0), training=True)["logits"], tf.float32)
            logits = both[:digits]
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            if self.teacher:
                taught = distil.losses(self.teacher(images), logits)
                losses = (1 - self.options.distil) * losses + self.options.distil * taught
            loss = tf.reduce_sum(losses) / whole
            if self.options.outliers:
                told = outliers.losses(logits, both[digits:])
                loss += self.options.outliers * tf.reduce_sum(told) / whole
        variables = self.model.trainable_variables
        self.optimizer.apply_gradients(zip(self._clipped(tape.gradient(loss, variables)), variables, strict=True))
        right = tf.cast(tf.argmax(logits, axis=1) == labels, tf.float32)
        return loss, tf.reduce_sum(right) / whole, stopping

    def _clipped(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """The replica's share of the whole batch's gradients after each was clipped: Keras clips what each replica has,
        which is another rule for every number of replicas, and then adds up."""
        replicas = self.strategy.num_replicas_in_sync
        if replicas > 1:
            gradients = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        return [tf.clip_by_norm(gradient, LONGEST) / replicas for gradient in gradients]

    def record(self) -> dict[str, Any]:
        """What the card says of the training."""
        data = {"name": Path(self.data.name).name, "train": len(self.data.train_images)}
        seconds, date = round(float(self.seconds.numpy())), time.strftime("%Y-%m-%d")
        of_mix = {"mixed": self.options.mixed, "fonts": self.mix.fonts} if self.mix else {"mixed": 0.0}
        replayed = {"replayed": Path(self.replayed.name).name} if self.replayed else {}
        return {"data": data, **asdict(self.options), **of_mix, **replayed, "seconds": seconds, "date": date}


@contextmanager
def _policy(name: str) -> Iterator[None]:
    """Layers that are built meanwhile compute in this precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _endless(arrays: tuple[Array, ...], rows: int, seed: int) -> tf.data.Dataset:
    """Batches of so many rows of all arrays, in another order each time through."""
    data = tf.data.Dataset.from_tensor_slices(arrays).shuffle(len(arrays[0]), seed=seed).repeat()
    return data.batch(rows, drop_remainder=True)
