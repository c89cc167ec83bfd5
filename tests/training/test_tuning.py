"""Hyperparameter search: a study goes on, is shared, tries dead trials again, and what it chose is trained by fit."""

import json
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from click.testing import CliRunner
from optuna.trial import TrialState

from training import data
from training.commands import main
from training.tuning import space, study
from training.tuning.plots import draw

QUICK = ["--data", "digits", "--no-mixed", "--epochs", "1"]


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["tune", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def values(file: Path) -> list[list[float]]:
    found = optuna.load_study(study_name="mlp", storage=f"sqlite:///{file}")
    return [trial.values for trial in found.get_trials(states=(TrialState.COMPLETE,))]


def told(output: str) -> list[str]:
    """The trials that were reported as they ended."""
    return [line.partition(":")[0] for line in output.splitlines() if line.startswith("trial")]


def test_a_study_goes_on_and_is_exported(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    code, output = run("mlp", *QUICK, "--study", file, "--trials", "2")
    assert code == 0 and told(output) == ["trial 0", "trial 1"], output
    again = ("--trials", "3", "--export", "BEST", "--export-epochs", "1", "--store", tmp_path / "store")
    code, output = run("mlp", *QUICK, "--study", file, *again)
    assert code == 0, output
    assert told(output) == ["trial 2"]
    drawn = [trial.params for trial in study.opened(file, "mlp", ["accuracy"], 0).get_trials()]
    assert (
        drawn[2] != drawn[0] and drawn[2]["learning_rate"] != drawn[0]["learning_rate"]
    )  # another start, other trials
    assert (tmp_path / "a-history.png").read_bytes().startswith(b"\x89PNG")
    best = study.numbered(study.opened(file, "mlp", ["accuracy"], 0), None)
    assert best.values == max(values(file))
    card = json.loads((tmp_path / "store" / "mlp" / "1" / "assets.extra" / "model_card.json").read_text())
    sizes, how = space.of_trial(best, "mlp")
    assert card["options"]["units"] == sizes["units"]
    assert card["training"]["learning_rate"] == pytest.approx(how["learning_rate"], rel=1e-5)
    assert card["training"]["batch_size"] == how["batch_size"] and card["training"]["augment"] == how["augment"]
    assert card["training"]["mixed"] == card["training"]["outliers"] == 0  # as the trials had it
    code, output = run("mlp", *QUICK[:-1], "2", "--study", file, "--trials", "3")
    assert code == 1 and "has the epochs 1; got 2" in output


GOALS = ["accuracy", "not-a-digit", "microseconds", "bytes"]


def test_every_goal_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "b.db"
    code, output = run("mlp", *QUICK, "--study", file, "--trials", "1", "--goals", ",".join(GOALS))
    assert code == 0, output
    accuracy, told_apart, microseconds, size = values(file)[0]
    trial = study.numbered(study.opened(file, "mlp", GOALS, 0), 0)
    units = space.of_trial(trial, "mlp")[0]["units"]
    weights = sum(before * after for before, after in zip([784, *units], [*units, 10], strict=True))
    assert 4 * weights < size < 4 * weights + 20_000 and 0.05 < accuracy <= 1 and 0 < told_apart <= 1
    assert 0 < microseconds < 10_000
    code, output = run("mlp", *QUICK, "--study", file, "--trials", "1")
    assert code == 1 and "has the goals accuracy,not-a-digit,microseconds,bytes; got accuracy:" in output


def test_several_goals_give_a_front(tmp_path: Path) -> None:
    found, random = study.opened(tmp_path / "f.db", "mlp", GOALS[::3], 0), np.random.default_rng(0)
    points = random.random((20, 2))
    spread = {"dropout": optuna.distributions.FloatDistribution(0, 0.4)}
    for point in points:
        drawn = {"dropout": 0.4 * float(point[0])}
        trial = optuna.trial.create_trial(params=drawn, distributions=spread, values=list(map(float, point)))  # type: ignore[arg-type]
        found.add_trial(trial)
    front = {trial.number for trial in study.best(found)}
    less_is_better = points * [-1, 1]
    for number, point in enumerate(less_is_better):
        beaten = any((other <= point).all() and (other < point).any() for other in less_is_better)
        assert (number in front) == (not beaten)
    assert study.numbered(found, None).values[0] == points[:, 0].max()
    figures = draw(found, GOALS[::3])
    assert [figure.name for figure in figures] == ["history", "importance", "front"]
    assert all(figure.png.startswith(b"\x89PNG") for figure in figures)


def test_two_processes_share_a_study(tmp_path: Path) -> None:
    file = tmp_path / "c.db"
    study.opened(file, "mlp", ["accuracy"], 0)
    command = [sys.executable, "-m", "training", "tune", "mlp", *QUICK, "--study", str(file), "--trials", "3"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [one.communicate(timeout=240)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    both_told = [one for text in said for one in told(text)]
    assert len(set(both_told)) == len(both_told) == len(values(file))
    assert 3 <= len(both_told) <= 4  # both may be at the last one
    drawn = [trial.params["learning_rate"] for trial in study.opened(file, "mlp", ["accuracy"], 0).get_trials()]
    assert len(set(drawn)) == len(drawn)


def test_a_trial_whose_process_died_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "HEARTBEAT", 1)
    monkeypatch.setattr(study, "GRACE", 1)
    file = tmp_path / "d.db"
    found = study.opened(file, "mlp", ["accuracy"], 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna says that only its own loop keeps signs of life
        dead = found.ask()
    chosen = space.sizes(dead, "mlp") | space.training(dead)
    found._storage.record_heartbeat(dead._trial_id)  # type: ignore[attr-defined]
    deadline = time.monotonic() + 60
    while dead._trial_id not in found._storage._get_stale_trial_ids(found._study_id):  # type: ignore[attr-defined]
        assert time.monotonic() < deadline
    setting = study.Setting("mlp", ("accuracy",), 1, 0, data.load("digits"), outliers=0.0)
    study.search(found, setting, 1, lambda line: None)
    states = [trial.state for trial in found.get_trials()]
    assert states == [TrialState.FAIL, TrialState.COMPLETE]
    again = space.of_trial(found.get_trials()[1], "mlp")
    assert {**again[0], **again[1]} == chosen


@pytest.mark.parametrize("architecture", ["mlp", "cnn", "lstm"])
def test_what_is_chosen_is_what_fit_takes(architecture: str) -> None:
    """Every choice reaches the net, and the command line says the same."""
    from training import architectures
    from training.commands.fit import command

    chooser = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(20):
        trial = chooser.ask()
        sizes, how = space.sizes(trial, architecture), space.training(trial)
        given: dict[str, Any] = command.make_context("fit", [architecture, *space.arguments({**sizes, **how})]).params
        expected = {
            name: tuple(value) if isinstance(value, list) else value for name, value in {**sizes, **how}.items()
        }
        if architecture == "lstm":
            expected["units"] = (expected["units"],)
        assert {name: given[name] for name in expected} == {
            name: pytest.approx(value, rel=1e-5) if isinstance(value, float) else value
            for name, value in expected.items()
        }
        architectures.all_options(architecture, sizes)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--goals", "beauty"], "expected some of accuracy,not-a-digit,microseconds,bytes"),
        (["--goals", "bytes,bytes"], "each once"),
        (["--export", "first"], "expected BEST or the number of a trial"),
    ],
)
def test_wrong_usage_is_explained(given: list[str], said: str) -> None:
    code, output = run("mlp", *QUICK, *given)
    assert code == 2 and said in output


def test_a_file_that_is_no_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "e.db").write_text("no database" * 100)
    code, output = run("mlp", *QUICK, "--study", tmp_path / "e.db", "--trials", "0")
    assert code == 1 and "cannot be opened as a study" in output and len(output.splitlines()) == 1
    code, output = run("mlp", *QUICK, "--study", tmp_path / "f.db", "--trials", "0")
    assert code == 1 and "no finished trial yet" in output
