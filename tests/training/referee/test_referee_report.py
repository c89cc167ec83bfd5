"""`python -m training referee`: the tables of stored trials, which versions they are of, and what is refused."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from server.inference.trial import tried as believed
from server.models.trial import parse_trial
from tests.support.models.fakes import make_card
from tests.support.models.stores import TRIAL, write_version
from tests.support.models.trials import TRIED, trial, tried
from training.commands import main
from training.referee.report import Wanted, report
from training.referee.table import held_out_table


def referee(store: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["referee", "--store", str(store), *options])


def rows(text: str) -> list[list[str]]:
    """The cells of the lines of all tables, without their heads."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return [[*cells, ""] if len(cells) == 9 else cells for cells in lines]


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 1 and not isinstance(result.exception, AssertionError)
    assert all(word in result.output for word in words), result.output


def test_the_table_has_each_configuration_and_flags_those_that_fail(tmp_path: Path) -> None:
    write_version(tmp_path, trial=TRIED)
    result = referee(tmp_path)
    assert result.exit_code == 0, result.output
    assert "## `fake` version 1" in result.output and "over 500 digits" in result.output
    shown = {cells[0]: cells for cells in rows(result.output)}
    assert list(shown) == ["`occlusion&patch=5&stride=1`", "`saliency`", "`shapley`", "`lime`"]  # most named first
    assert shown["`shapley`"][1:] == [
        *["59 (6)"] * 5,
        "295 of 300, 96 % to 99 %",
        "0.900",
        "0.600 (0.570 to 0.630)",
        "",
    ]
    flagged = {name: cells[-1].strip() for name, cells in shown.items() if cells[-1].strip()}
    assert flagged == {"`lime`": "names too few", "`saliency`": "no better than ink"}


@pytest.mark.parametrize(("named", "yardstick", "flags"), [
    (57, 0.271, ""), (56, 0.271, "names too few"), (57, 0.27, "no better than ink"),
    (56, 0.27, "names too few; no better than ink"),
])  # fmt: skip
def test_what_is_flagged_names_fewer_than_95_percent_or_does_not_beat_the_ink(
    tmp_path: Path, named: int, yardstick: float, flags: str
) -> None:
    write_version(tmp_path, trial=trial(tried("lime", named, yardstick)))
    ((*_, found),) = rows(referee(tmp_path).output)
    assert found == flags


def test_each_model_has_the_table_of_its_latest_version_with_a_trial(tmp_path: Path) -> None:
    for version, content in (("2", trial(tried("rise"))), ("10", trial(tried("lime"))), ("11", None)):
        write_version(tmp_path, "a", version, trial=content)
    write_version(tmp_path, "b", trial=trial(tried("saliency")))
    text = referee(tmp_path).output
    assert [cells[0] for cells in rows(text)] == ["`lime`", "`saliency`"] and "## `a` version 10" in text
    assert [cells[0] for cells in rows(referee(tmp_path, "--models", "b").output)] == ["`saliency`"]


WRONG: list[tuple[Sequence[str], Sequence[str]]] = [
    (["--models", "fake,other"], ["got --models other", "has fake"]),
    (["--methods", "lime,deeplift"], ["got --methods deeplift", "lime,shap,captum,xplique"]),
    (["--methods", "captum"], ["captum", "CNN only"]),
    (["--pictures", "20"], ["has a trial of 60 pictures", "add --again"]),
    (["--again"], ["siblings can be made of mlp, cnn, lstm"]),
    (["--errors", "--again"], ["--errors is no trial", "--again"]),
    (["--held-out", "--digits", "20"], ["--held-out asks what a trial says to believe", "--digits"]),
    (["--held-out"], ["siblings can be made of mlp, cnn, lstm"]),
    (["--errors", "--held-out"], ["--errors is no trial", "--held-out"]),
    (["--errors", "--methods", "saliency"], ["got --methods saliency", "shapley"]),
]


@pytest.mark.parametrize(("options", "words"), WRONG, ids=[" ".join(options) for options, _ in WRONG])
def test_what_cannot_be_done_is_said(tmp_path: Path, options: Sequence[str], words: Sequence[str]) -> None:
    write_version(tmp_path, trial=TRIED)
    refused(referee(tmp_path, *options), *words)


def test_without_a_trial_nothing_is_believed_of_kinds_held_out(tmp_path: Path) -> None:
    write_version(tmp_path)
    refused(referee(tmp_path, "--held-out"), "no version with a trial", "certify one")


def test_of_a_trial_of_methods_as_they_were_nothing_is_believed(tmp_path: Path) -> None:
    write_version(tmp_path, trial=trial({**tried("lime"), "revision": 1}))
    refused(referee(tmp_path, "--held-out"), "of methods as they were", "certify it again")


def test_of_kinds_held_out_what_the_trial_says_to_believe_is_judged() -> None:
    """Belief is the trial's: neither the method with the best yardstick, which is flagged, nor the one that names most
    of the new causes comes first."""
    kinds = ["slant", "tone"]
    of_trial = trial(tried("saliency", 20, 0.9), tried("shapley", 60, 0.5), tried("rise", 60, 0.7))
    named = {"saliency": (60, 59), "shapley": (60, 60), "rise": (58, 57)}
    methods = [
        {**tried(name), "named": dict(zip(kinds, counts, strict=True))} for name, counts in reversed(named.items())
    ]
    found = {"pictures": 60, "siblings": [{"kind": kind} for kind in kinds], "methods": methods, "controls": {}}
    card = replace(make_card(), trial=parse_trial(json.dumps(of_trial).encode()))
    text = held_out_table("a net", believed(card, card.verbs), found)
    assert "Believed first of all was `rise`: it names 115 of 120 (91 % to 98 %)" in " ".join(text.split())
    assert [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")] == [
        ["`rise`", "58", "57", "115"],
        ["`shapley`", "60", "60", "120"],
        ["`saliency`", "60", "59", "119", "flagged"],
    ]


def test_a_store_without_versions_is_none(tmp_path: Path) -> None:
    refused(referee(tmp_path), "no model store")
    refused(referee(tmp_path / "nowhere"), "no model store")


@pytest.mark.parametrize(("content", "words"), [
    ([], "expected an object"),
    (trial(tried("lime"), format=2), "2 as format"),
    (trial({name: value for name, value in tried("lime").items() if name != "auroc"}), "no chance or auroc of lime"),
])  # fmt: skip
def test_a_file_that_is_no_trial_is_refused(tmp_path: Path, content: Any, words: str) -> None:
    write_version(tmp_path, trial=content)
    refused(referee(tmp_path), words, "trial.json", "certify again")


def test_a_damaged_trial_is_refused(tmp_path: Path) -> None:
    (write_version(tmp_path, trial=TRIED) / TRIAL).write_text("{}")
    refused(referee(tmp_path), "damaged", "trial.json")


def test_the_tables_go_into_their_part_of_the_results(tmp_path: Path) -> None:
    write_version(tmp_path / "store", trial=TRIED)
    results = tmp_path / "RESULTS.md"
    results.write_text("<!-- page -->\nkept\n<!-- end page -->\n")
    wanted = Wanted(tmp_path / "store", "none", lambda name: pytest.fail("no data is needed"), models=["fake"])
    for _ in range(2):
        text = report(wanted, results)
    assert results.read_text().count(text.rstrip()) == 1
    assert "kept" in results.read_text() and "`python -m training referee --models fake`" in text
