"""Which version answers by default, as training reads and writes it."""

import json
from pathlib import Path

import pytest

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


def test_pointing_keeps_other_labels(tmp_path: Path) -> None:
    folder = family(tmp_path, 2, 3, canary=3)
    labels.point(folder, "stable", 2)
    assert json.loads((folder / "labels.json").read_text()) == {"canary": 3, "stable": 2}
    assert sorted(path.name for path in folder.iterdir()) == ["2", "3", "labels.json"]


@pytest.mark.parametrize("text", ["{", "[1]", '{"stable": "2"}', '{"stable": true}'])
def test_labels_that_cannot_be_read_are_said(tmp_path: Path, text: str) -> None:
    folder = family(tmp_path, 2)
    (folder / "labels.json").write_text(text)
    with pytest.raises(DataError, match=r"labels\.json"):
        labels.default_of(folder)
    with pytest.raises(DataError, match=r"labels\.json"):
        labels.point(folder, "stable", 2)
    assert (folder / "labels.json").read_text() == text
