"""The search space: what a trial may choose of each architecture, and of how it is trained."""

from typing import Any

import optuna

Chosen = dict[str, Any]
"""Options as `fit` has them on its command line, by their name there without dashes."""


def sizes(trial: optuna.Trial, architecture: str) -> Chosen:
    """Width, depth and dropout of a net."""
    dropout = trial.suggest_float("dropout", 0.0, 0.4)
    if architecture == "mlp":
        depth = trial.suggest_int("layers", 1, 3)
        units = [trial.suggest_int(f"units_{layer}", 32, 512, log=True) for layer in range(depth)]
        return {"units": units, "dropout": dropout}
    if architecture == "lstm":
        return {"units": trial.suggest_int("units", 32, 128, step=16), "dropout": dropout}
    filters = [trial.suggest_int("filters_0", 8, 32, step=4), trial.suggest_int("filters_1", 16, 64, step=8)]
    depth, heads = trial.suggest_int("depth", 1, 2), trial.suggest_categorical("heads", [1, 2, 4, 8])
    return {"filters": filters, "depth": depth, "heads": heads, "dropout": dropout}


def training(trial: optuna.Trial) -> Chosen:
    """Learning rate, batch, decay, and augmentation."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [64, 128, 256]),
        "weight_decay": trial.suggest_float("weight_decay", 1e-4, 1e-1, log=True),
        "augment": trial.suggest_categorical("augment", [True, False]),
    }


def of_trial(trial: optuna.trial.FrozenTrial, architecture: str) -> tuple[Chosen, Chosen]:
    """The sizes and the training that a trial chose."""
    fixed: Any = optuna.trial.FixedTrial(trial.params)
    return sizes(fixed, architecture), training(fixed)


def arguments(chosen: Chosen) -> list[str]:
    """The same as options of `python -m training fit`."""
    given = []
    for name, value in chosen.items():
        option = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            given.append(option if value else f"--no-{name}")
        else:
            text = ",".join(map(str, value)) if isinstance(value, list) else f"{value:.6g}"
            given += [option, text]
    return given
