"""Which version answers by default, as training reads and writes it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from training.commands import main
from training.errors import DataError
from training.store import labels


def family(tmp_path: Path, *versions: int, **pointed: int) -> Path:
    folder = tmp_path / "cnn"
    for version in versions:
        (folder / str(version)).mkdir(parents=True)
    if pointed:
        (folder / "labels.json").write_text(json.dumps(pointed))
    return folder


def test_the_latest_answers_where_no_label_says_otherwise(tmp_path: Path) -> None:
    assert labels.default_of(tmp_path / "none") is None
    assert labels.default_of(family(tmp_path, 2, 10, 9)) == tmp_path / "cnn" / "10"


def test_the_label_stable_stands_above_the_latest(tmp_path: Path) -> None:
    assert labels.default_of(family(tmp_path, 2, 10, stable=2)) == tmp_path / "cnn" / "2"


def test_numbers_may_be_strings_as_the_server_takes_them(tmp_path: Path) -> None:
    folder = family(tmp_path, 2, 10)
    (folder / "labels.json").write_text('{"stable": "2"}')
    assert labels.default_of(folder) == tmp_path / "cnn" / "2"


def test_pointing_keeps_other_labels(tmp_path: Path) -> None:
    folder = family(tmp_path, 2, 3, canary=3)
    labels.point(folder, "stable", 2)
    assert json.loads((folder / "labels.json").read_text()) == {"canary": 3, "stable": 2}
    assert sorted(path.name for path in folder.iterdir()) == ["2", "3", "labels.json"]


@pytest.mark.parametrize("text", ["{", "[1]", '{"stable": "two"}', '{"stable": true}'])
def test_labels_that_cannot_be_read_are_said(tmp_path: Path, text: str) -> None:
    folder = family(tmp_path, 2)
    (folder / "labels.json").write_text(text)
    with pytest.raises(DataError, match=r"labels\.json"):
        labels.default_of(folder)
    with pytest.raises(DataError, match=r"labels\.json"):
        labels.point(folder, "stable", 2)
    assert (folder / "labels.json").read_text() == text


def said(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["label", *map(str, arguments)])
    return result.exit_code, result.output


def test_the_command_points_lists_and_removes(tmp_path: Path) -> None:
    folder = family(tmp_path, 2, 3, 10)
    assert said("cnn", "stable", 3, "--store", tmp_path) == (
        0,
        "cnn/2\ncnn/3 stable (answers by default)\ncnn/10\n",
    )
    assert json.loads((folder / "labels.json").read_text()) == {"stable": 3}
    assert said("cnn", "stable", "--remove", "--store", tmp_path)[0] == 0
    assert said("cnn", "--store", tmp_path) == (0, "cnn/2\ncnn/3\ncnn/10 (answers by default)\n")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["mlp", "stable", "3"], 1, "no model 'mlp'"),
        (["cnn", "stable", "4"], 1, "it has 2, 3"),
        (["cnn", "7", "3"], 1, "numbers are versions"),
        (["cnn", "stable"], 2, "MODEL LABEL VERSION"),
        (["cnn", "--remove"], 2, "MODEL LABEL --remove"),
        (["cnn", "stable", "3", "--remove"], 2, "MODEL LABEL --remove"),
        (["cnn", "stable", "0"], 2, "x>=1"),
    ],
)
def test_the_command_changes_nothing_where_it_is_asked_wrongly(
    tmp_path: Path, arguments: list[str], code: int, told: str
) -> None:
    folder = family(tmp_path, 2, 3, stable=2)
    status, output = said(*arguments, "--store", tmp_path)
    assert status == code and told in output
    assert json.loads((folder / "labels.json").read_text()) == {"stable": 2}


def test_a_version_is_named_by_number_label_or_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family = tmp_path / "store" / "cnn"
    for number in ("1", "2", "10"):
        (family / number).mkdir(parents=True)
    labels.point(family, "edge", 1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cnn" / "1").mkdir(parents=True)  # no part of the store
    for name, number in {"cnn": "10", "cnn/2": "2", "cnn/edge": "1", "store/cnn/2": "2", "store/cnn": "10"}.items():
        assert labels.version_in(Path("store"), name).resolve() == family / number
    monkeypatch.chdir(family / "2")
    assert labels.version_in(tmp_path / "store", ".") == family / "2"
    for name in ("cnn/3", "cnn/none", "mlp"):
        with pytest.raises(DataError, match=f"got {name}; .* has cnn/1, cnn/10, cnn/2"):
            labels.version_in(tmp_path / "store", name)
