"""The trial of a version: what is read of it, and that a malformed one breaks the version and says what is wrong."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from server.explainers.occlusion import Occlusion
from server.models.card import CARD, BrokenVersion, read_card
from tests.support.models.stores import TRIAL, sha256, write_version
from tests.support.models.trials import KINDS, TRIED, trial, tried


def read(root: Path, content: Any) -> Any:
    return read_card(write_version(root, trial=content)).trial


def test_a_card_with_a_trial_has_what_it_found(tmp_path: Path) -> None:
    found = read(tmp_path, TRIED)
    assert (found.pictures, found.digits, found.ink, found.random) == (60, 500, 0.27, -0.02)
    assert [one.method for one in found.results] == ["saliency", "shapley", "lime", "occlusion"]
    occlusion = found.results[3]
    assert (occlusion.revision, occlusion.options) == (Occlusion.revision, asdict(Occlusion(patch=5, stride=1)))
    assert occlusion.named == dict.fromkeys(KINDS, 60)
    assert (occlusion.yardstick, occlusion.interval) == (0.78, (0.75, pytest.approx(0.81)))


def test_a_card_without_a_trial_is_read_as_before(tmp_path: Path) -> None:
    assert read_card(write_version(tmp_path)).trial is None


def test_names_that_nobody_knows_are_no_mistake(tmp_path: Path) -> None:
    new = {**tried("lime"), "method": "crystal_ball", "options": {"depth": 3}, "named": {"smell": 60}, "more": []}
    found = read(tmp_path, trial(new, siblings=[{"kind": "smell"}], more={}))
    assert (found.results[0].method, found.results[0].named) == ("crystal_ball", {"smell": 60})


def changed(**fields: Any) -> Any:
    """A trial of one method with other fields."""
    return trial({**tried("lime"), **fields})


WRONG = [
    ([], "its JSON; expected an object"),
    (trial(), "list of 0 as methods"),
    (trial(tried("lime"), format=2), "2 as format"),
    (trial(tried("lime"), format=True), "True as format"),
    (trial(tried("lime"), pictures=0), "0 as pictures"),
    (trial(tried("lime"), pictures=10**9), "as pictures"),
    (trial(tried("lime"), pictures=59), "60 as named.mark of lime; expected a whole number from 0 to 59"),
    (trial(tried("lime"), digits="500"), "'500' as digits"),
    (trial(tried("lime"), controls={"ink": 0.2}), "None as controls.random"),
    (trial(tried("lime"), controls=None), "None as controls"),
    (trial(tried("lime"), siblings=[]), "list of 0 as siblings"),
    (trial(tried("lime"), siblings=["mark"]), "'mark' as a sibling"),
    (trial(tried("lime"), siblings=[{"kind": "mark"}]), "expected those of siblings, mark"),
    (trial(tried("lime"), siblings=[{"kind": f"k{k}"} for k in range(33)]), "list of 33 as siblings"),
    (trial(*257 * [tried("lime")]), "list of 257 as methods"),
    (trial(tried("lime"), methods={"lime": {}}), "as methods; expected a list"),
    (trial(None), "None as a method"),  # type: ignore[arg-type]
    (changed(method=""), "'' as method"),
    (changed(method=7), "7 as method"),
    (changed(method="l" * 65), "as method"),
    (changed(method="li\ud800me"), "as method"),
    (changed(revision=1.5), "1.5 as revision of lime"),
    (changed(options=None), "None as options of lime"),
    (changed(options={"a": []}), "[] as option a of lime"),
    (changed(options={"a": float("nan")}), "nan as option a of lime"),
    (changed(options={f"o{k}": 1 for k in range(65)}), "65 options of lime"),
    (changed(named=dict.fromkeys(KINDS, 61)), "61 as named.mark of lime"),
    (changed(named=dict.fromkeys(KINDS, -1)), "-1 as named.mark of lime"),
    (changed(named=dict.fromkeys(KINDS, True)), "True as named.mark of lime"),
    (changed(named=dict.fromkeys(KINDS, 7.0)), "7.0 as named.mark of lime"),
    (changed(named={"mark": 7}), "the kinds mark; expected those of siblings"),
    (changed(yardstick=float("inf")), "inf as yardstick of lime"),
    (changed(yardstick=10**400), "as yardstick of lime"),
    (changed(yardstick=None), "None as yardstick of lime"),
    (changed(yardstick_interval=[0.1]), "[0.1] of lime; expected [low, high]"),
    (changed(yardstick_interval=[0.6, 0.7]), "outside of its interval"),
]


@pytest.mark.parametrize(("content", "told"), WRONG, ids=[told for _, told in WRONG])
def test_a_malformed_trial_breaks_the_version(tmp_path: Path, content: Any, told: str) -> None:
    with pytest.raises(BrokenVersion) as caught:
        read(tmp_path, content)
    assert str(caught.value).startswith("assets.extra/trial.json has ") and told in str(caught.value)
    assert len(str(caught.value)) < 400


def rewritten(root: Path, content: bytes = b"", **changes: Any) -> Path:
    """A version with other fields of its card, and other bytes of its trial whose hash it lists."""
    folder = write_version(root, trial=TRIED)
    stored = json.loads((folder / CARD).read_text())
    if content:
        (folder / TRIAL).write_bytes(content)
        stored["files"][TRIAL.as_posix()] = sha256(folder / TRIAL)
    (folder / CARD).write_text(json.dumps({**stored, **changes}))
    return folder


@pytest.mark.parametrize("content", [b" ", b"{", b'"\xff"', b"[" * 100_000, b" " * (1 << 20) + b"{}"])
def test_what_is_no_json_or_too_long_breaks_it_too(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BrokenVersion, match=r"^assets.extra/trial.json (is not JSON|has 1048578 bytes)"):
        read_card(rewritten(tmp_path, content))


@pytest.mark.parametrize("name", [7, "assets.extra/other.json", ["assets.extra/trial.json"]])
def test_a_trial_that_has_no_hash_breaks_it(tmp_path: Path, name: Any) -> None:
    with pytest.raises(BrokenVersion, match="which has no SHA-256 in its card"):
        read_card(rewritten(tmp_path, trial=name))
