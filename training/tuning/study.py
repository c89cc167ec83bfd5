"""A study of one architecture: trials train for a few epochs and are judged on validation images, never on test images.

Akiba et al., Optuna: A Next-generation Hyperparameter Optimization Framework (2019), arXiv:1907.10902. One goal is
sought by TPE, and hopeless trials are pruned after each epoch (median rule); several goals by multi-objective TPE,
where nothing is pruned. A trial whose process died is tried again.
"""

import math
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
import tensorflow as tf
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import TrialState
from scipy.stats import mannwhitneyu

from training import architectures, synthetic
from training.calibrate import energy_score, in_rows
from training.data import Array, Dataset
from training.errors import TrainingError
from training.fit import Fit, FitOptions
from training.litert.conversion import FIRST, converter_of, functions, seconds_of
from training.mix import Mix
from training.quiet import muted
from training.store.fold import folded
from training.store.signatures import signatures
from training.tuning import space

GOALS: dict[str, Literal["maximize", "minimize"]] = {  # name -> which way is better
    "accuracy": "maximize",
    "not-a-digit": "maximize",
    "microseconds": "minimize",
    "bytes": "minimize",
}
HEARTBEAT, GRACE, RETRIES = 30, 120, 2  # seconds between signs of life, and without one; tries of a trial that died
NOT_DIGITS, SEED = 1000, 5  # pictures of none that a trial is judged by, which it was not trained on
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


class StudyError(TrainingError):
    """A study cannot be opened, or has nothing to give."""


@dataclass(frozen=True)
class Setting:
    """What all trials of a study share."""

    architecture: str
    goals: tuple[str, ...]
    epochs: int
    seed: int
    data: Dataset
    mix: Mix | None = None
    outliers: float = 0.5


def opened(
    file: Path, name: str, goals: Sequence[str], seed: int, shared: Mapping[str, Any] | None = None
) -> optuna.Study:
    """The study in this file, made where there is none. `shared` is what all of its trials have to have in common, such
    as the data.

    Raises:
        StudyError: it is there for other goals, other trials, or the file is no such database.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    directions = [GOALS[goal] for goal in goals]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with _experimental():
            storage = RDBStorage(
                f"sqlite:///{file}",
                engine_kwargs={"connect_args": {"timeout": 60}},
                heartbeat_interval=HEARTBEAT,
                grace_period=GRACE,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=RETRIES),
            )
            study = optuna.create_study(
                storage=storage,
                study_name=name,
                directions=directions,
                load_if_exists=True,
                sampler=optuna.samplers.TPESampler(seed=seed),
                pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1),
            )
    except Exception as error:  # SQLAlchemy and Alembic raise what they like
        raise StudyError(f"{file} cannot be opened as a study ({str(error).splitlines()[0][:200]})") from error
    if study.user_attrs:  # it was begun: the same seed would draw again what was drawn at the first start
        study.sampler.reseed_rng()
    for key, value in {"goals": ",".join(goals), **(shared or {})}.items():
        before = study.user_attrs.get(key, value)
        if before != value:
            raise StudyError(f"the study in {file} has the {key} {before}; got {value}: give another --study")
        study.set_user_attr(key, value)
    return study


@contextmanager
def _experimental() -> Iterator[None]:
    """Signs of life are an experimental part of Optuna, which says so each time; its version is pinned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def search(study: optuna.Study, setting: Setting, trials: int, tell: Callable[[str], None]) -> None:
    """Work on a study until it has so many finished trials, those of other processes and earlier runs included."""

    def told(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        tell(line(trial, setting.goals))
        if len(study.get_trials(deepcopy=False, states=FINISHED)) >= trials:
            study.stop()

    if len(study.get_trials(deepcopy=False, states=FINISHED)) < trials:
        full = (tf.errors.ResourceExhaustedError,)  # a net too large for memory fails its trial, not the study
        with _experimental():
            study.optimize(lambda trial: _values(trial, setting), callbacks=[told], catch=full)


def line(trial: optuna.trial.FrozenTrial, goals: Sequence[str]) -> str:
    """What came out of a trial."""
    if trial.state != TrialState.COMPLETE:
        return f"trial {trial.number}: {trial.state.name.lower()}"
    values = zip(goals, trial.values, strict=True)
    return f"trial {trial.number}: " + ", ".join(f"{goal} {value:.6g}" for goal, value in values)


def best(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that none is better than in all goals: one for one goal. Raises StudyError where none is finished."""
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        raise StudyError("the study has no finished trial yet")
    return list(study.best_trials)


def numbered(study: optuna.Study, number: int | None) -> optuna.trial.FrozenTrial:
    """A finished trial by its number, or the best one by the first goal.

    Raises:
        StudyError: there is none.
    """
    if number is None:
        way = 1 if study.directions[0] == optuna.study.StudyDirection.MAXIMIZE else -1
        return max(best(study), key=lambda trial: way * trial.values[0])
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    for trial in complete:
        if trial.number == number:
            return trial
    raise StudyError(f"got trial {number}; finished are {', '.join(str(one.number) for one in complete) or 'none'}")


def _values(trial: optuna.Trial, setting: Setting) -> list[float]:
    """What the trial's net reaches, goal by goal."""
    sizes, how = space.sizes(trial, setting.architecture), space.training(trial)
    options = architectures.all_options(setting.architecture, sizes)
    height, width = setting.data.train_images.shape[1:]
    build = architectures.ARCHITECTURES[setting.architecture]
    fit = Fit(
        lambda: build(height, width, setting.data.classes, **options),
        setting.data,
        FitOptions(epochs=setting.epochs, seed=setting.seed, outliers=setting.outliers, **how),
        tf.distribute.get_strategy(),
        setting.mix,
    )
    images, labels = setting.data.validation_images, setting.data.validation_labels

    def logits_of(images: Array) -> Array:
        return in_rows(lambda rows: fit.model(rows, training=False)["logits"].numpy(), images)

    accuracy = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for progress in fit.run(Path(folder), resume=False):
            if progress.step % fit.steps_per_epoch == 0:
                if not math.isfinite(progress.loss):
                    raise optuna.TrialPruned
                accuracy = float(np.mean(logits_of(images).argmax(axis=1) == labels))
                if len(setting.goals) == 1:
                    trial.report(accuracy, progress.epoch)
                    if trial.should_prune():
                        raise optuna.TrialPruned
    found = {"accuracy": accuracy}
    if "not-a-digit" in setting.goals:
        found["not-a-digit"] = _told_apart(logits_of, images)
    if {"microseconds", "bytes"} & set(setting.goals):
        content = _converted(fit.model)
        found |= {"microseconds": 1e6 * seconds_of(content), "bytes": float(len(content))}
    return [found[goal] for goal in setting.goals]


def _told_apart(logits_of: Callable[[Array], Array], images: Array) -> float:
    """The area under the curve of telling digits from what is none by their energy: how often a digit has more."""
    unlike = synthetic.not_digits(NOT_DIGITS, SEED).images
    digits, others = (energy_score(logits_of(one), 1.0) for one in (images, unlike))
    return float(mannwhitneyu(digits, others).statistic / (len(digits) * len(others)))


def _converted(model: Any) -> bytes:
    """The file that would predict."""
    net = folded(model)
    module = tf.Module()
    module.weights = [weight.value for weight in net.variables]
    with tempfile.TemporaryDirectory() as folder, muted():
        tf.saved_model.save(module, folder, signatures=signatures(net, 1.0))
        trackable = tf.saved_model.load(folder)
        content: bytes = converter_of(functions(trackable)["forward"], FIRST.partition("_")[0], 1, trackable).convert()
    return content
