"""Values and renderings belong to a revision: what changes without a new one is found, and is not written over."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest

from server.explainers.saliency import Saliency
from server.types import Array, Attribution, Model, Target
from tests.support import golden
from tests.support.golden import RENDERING, complaint, explainers, of_method, of_rendering, renewed, stored

STORED = stored()
pytestmark = pytest.mark.filterwarnings("ignore:The set_.* function will be deprecated:PendingDeprecationWarning")


@pytest.mark.parametrize("name", explainers())
def test_values_are_those_of_their_revision(name: str) -> None:
    assert complaint(name, STORED.get(name), of_method(explainers()[name])) == ""


def test_renderings_are_those_of_their_revision() -> None:
    assert complaint(RENDERING, STORED.get(RENDERING), of_rendering()) == ""


def test_nothing_is_stored_that_is_no_more() -> None:
    assert STORED.keys() == {*explainers(), RENDERING}


@dataclass(frozen=True)
class Changed(Saliency):
    """The same method, whose last digits are others."""

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        for one in super().refine(model, image, target, seed):
            yield replace(one, values=one.values * (1 + 1e-5))


@dataclass(frozen=True)
class Raised(Changed):
    revision: ClassVar[int] = Saliency.revision + 1


NAME = "inkling saliency"


def test_values_that_change_under_their_revision_are_found_and_not_written_over() -> None:
    now = of_method(Changed())
    reported = complaint(NAME, STORED[NAME], now)
    assert NAME in reported and "raise" in reported and "python -m tests.support.golden" in reported
    with pytest.raises(SystemExit, match="raise"):
        renewed(STORED, {**STORED, NAME: now})


def test_values_of_a_new_revision_are_written() -> None:
    now = of_method(Raised())
    assert "python -m tests.support.golden" in complaint(NAME, STORED[NAME], now)
    written = renewed(STORED, {**STORED, NAME: now})
    assert written[NAME] == now and {**written, NAME: STORED[NAME]} == STORED
    assert complaint(NAME, written[NAME], now) == ""
    assert "raise it" in complaint(NAME, written[NAME], of_method(Saliency()))


def test_a_rendering_that_changes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for media_type, renderer in golden.render.RENDERERS.items():
        with monkeypatch.context() as patched:
            patched.setitem(golden.render.RENDERERS, media_type, changed(renderer))
            assert "REVISION" in complaint(RENDERING, STORED[RENDERING], of_rendering()), media_type


def changed(renderer: Any) -> Any:
    """A renderer of another explanation than it is given."""
    return lambda found: renderer(replace(found, attribution=replace(found.attribution, values=found.digit.pixels)))
