"""What a study has found, as figures: how it went, what mattered, and what cannot be had together."""

import warnings
from collections.abc import Sequence
from functools import partial

import numpy as np
import optuna
from optuna.trial import TrialState

from training.visualise.figures import Figure, canvas

LEAST = 5  # finished trials, for what mattered


def draw(study: optuna.Study, goals: Sequence[str]) -> list[Figure]:
    """History of each goal, importance of each choice for it, and for two goals or more the front of the first two."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    figures = [_history(study, done, goals)]
    if len(done) >= LEAST:
        figures.append(_importance(study, goals))
    if len(goals) > 1:
        figures.append(_front(study, done, goals))
    return figures


def _history(study: optuna.Study, done: Sequence[optuna.trial.FrozenTrial], goals: Sequence[str]) -> Figure:
    with canvas(7, 2.4 * len(goals)) as (figure, buffer):
        places = np.atleast_1d(figure.subplots(len(goals), 1, squeeze=False)).ravel()
        for index, (goal, place) in enumerate(zip(goals, places, strict=True)):
            numbers, values = [one.number for one in done], np.array([one.values[index] for one in done])
            best = study.directions[index] == optuna.study.StudyDirection.MAXIMIZE
            place.scatter(numbers, values, s=12)
            place.plot(numbers, (np.maximum if best else np.minimum).accumulate(values), color="C1")
            place.set(xlabel="trial", ylabel=goal)
    caption = f"{len(done)} finished trials; the line is the best so far."
    return Figure("history", buffer.getvalue(), caption)


def _importance(study: optuna.Study, goals: Sequence[str]) -> Figure:
    """Of being among the best trials: Watanabe et al., PED-ANOVA (2023), arXiv:2304.10255."""
    with canvas(7, 2.6 * len(goals)) as (figure, buffer):
        places = np.atleast_1d(figure.subplots(len(goals), 1, squeeze=False)).ravel()
        for index, (goal, place) in enumerate(zip(goals, places, strict=True)):
            sign = -1 if study.directions[index] == optuna.study.StudyDirection.MAXIMIZE else 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that low is taken for good, as the sign makes it
                found = optuna.importance.get_param_importances(study, target=partial(_value, index, sign))
            names = list(found)[::-1]
            place.barh(names, [found[name] for name in names])
            place.set(xlabel=f"importance for {goal}")
    return Figure(
        "importance", buffer.getvalue(), "How much each choice has to do with being among the best tenth of the trials."
    )


def _value(index: int, sign: int, trial: optuna.trial.FrozenTrial) -> float:
    return sign * float(trial.values[index])


def _front(study: optuna.Study, done: Sequence[optuna.trial.FrozenTrial], goals: Sequence[str]) -> Figure:
    front = {one.number for one in study.best_trials}
    with canvas(6, 4.5) as (figure, buffer):
        place = figure.subplots()
        for one in done:
            x, y = one.values[1], one.values[0]
            place.scatter([x], [y], s=24, color="C1" if one.number in front else "C7")
            if one.number in front:
                place.annotate(str(one.number), (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7)
        place.set(xlabel=goals[1], ylabel=goals[0])
    return Figure("front", buffer.getvalue(), "Trials that none is better than in all goals are orange, with numbers.")
