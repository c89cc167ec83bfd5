"""What the referee says of standard errors: of methods that tell them rightly, and of some that do not."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from benchmarks.store import shipped
from server.explainers import EXPLAINERS
from server.explainers.rise import Rise
from server.types import Array, Attribution, Model, Target
from tests.support.models.fakes import Linear, Square, ink
from tests.support.models.nets import digits
from training.referee.errors import CASES, Case, judged, measure, table

IMAGES = np.stack([ink(), ink(1)])
RISE = Case("rise", {"keep": 0.4}, {"n_samples": 8000})


@dataclass(frozen=True)
class Boastful(Rise):
    """Tells a third of its error."""

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        for found in super().refine(model, image, target, seed):
            assert found.stderr is not None
            yield replace(found, stderr=found.stderr / 3)


def test_a_method_that_tells_its_error_is_within_it() -> None:
    row = judged(Square(), IMAGES, 20, RISE)
    assert row is not None
    assert (row.model, row.case) == ("fake", "rise&keep=0.4")
    assert row.told_over_true == pytest.approx(1, abs=0.1)
    assert row.within_1 == pytest.approx(0.683, abs=0.05) and row.within_2 == pytest.approx(0.954, abs=0.02)
    assert 0 <= row.top3_right <= 1 and 0 <= row.top3_told <= 1


def test_a_method_that_tells_too_little_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXPLAINERS, "rise", Boastful)
    row = judged(Square(), IMAGES, 20, RISE)
    assert row is not None
    assert row.told_over_true == pytest.approx(1 / 3, abs=0.05)
    assert row.within_2 < 0.6 and row.top3_told > row.top3_right


def test_what_is_exact_has_no_row() -> None:
    assert judged(Linear(), IMAGES, 2, Case("shapley", true={"max_rows": 65536})) is None


def test_every_method_that_tells_an_error_is_judged() -> None:
    telling = set()
    for name, explainer in EXPLAINERS.items():
        options: dict[str, Any] = {"shapley": {"grid": 7, "max_rows": 256}}.get(name, {})
        *_, found = explainer(**options).refine(Square(), ink(), Target.of_class(1, ("0", "1", "2")), 0)
        telling |= {name} if found.stderr is not None else set()
    assert {case.method for case in CASES} == telling
    for case in CASES:
        assert judged(Square(), IMAGES[:1], 2, replace(case, true={}, runs=1)) or case.method == "shapley"


def test_every_net_has_a_row_for_each_case() -> None:
    cases = [replace(case, true={}, runs=2) for case in CASES if case.method == "lime"]
    versions = [shipped(name) for name in ("cnn", "lstm", "mlp")]
    head, _, *rows = table(measure(versions, digits()[:1], 2, cases)).splitlines()
    assert head.split(" | ")[:3] == ["| net", "method", "told/true"]
    shown = [tuple(row.removeprefix("| ").split(" | ")[:2]) for row in rows]
    assert shown == list(itertools.product(("cnn", "lstm", "mlp"), (f"`{case.name}`" for case in cases)))
