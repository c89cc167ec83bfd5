"""Explanations through the door: what of them is complete, whose picture they lie on, and what a deadline leaves."""

from dataclasses import dataclass, field, replace

import pytest

from server.errors import OutOfTime, UnknownMethod
from server.explainers import EXPLAINERS
from server.inference.explain import ExplainRequest, explain, is_complete
from server.inference.predict import ModelSelector
from server.protocols import RequestContext
from server.scheduling import BoundedPool, ImmediateSession, Scheduler, TaskKey
from server.scheduling.session import Outcome, Work
from server.types import Explanation, Picture, Quality
from tests.inference.test_inference import One
from tests.support.models.fakes import Linear, Wavy
from tests.support.models.stores import SEVEN, card_28
from tests.support.waiting import Client

FAKE = ModelSelector("fake")


@dataclass
class InMemory:
    kept: dict[str, Explanation] = field(default_factory=dict)

    def get(self, identity: str) -> Explanation | None:
        return self.kept.get(identity)

    def put(self, explanation: Explanation) -> Explanation:
        self.kept[explanation.id] = replace(explanation, kept=True)
        return self.kept[explanation.id]


def test_what_more_time_would_change_is_not_complete() -> None:
    whole = explain(One(Linear(card_28())), Picture(SEVEN), FAKE, ExplainRequest("saliency")).value
    part = replace(whole, attribution=replace(whole.attribution, state="partial", stop="budget"))
    measured = replace(whole, quality=Quality(()))
    unfinished = replace(whole, quality=Quality((), finished=False))
    every = (whole, measured, part, unfinished)
    assert [is_complete(one, quality=False) for one in every] == [True, True, False, False]
    assert [is_complete(one, quality=True) for one in every] == [False, True, False, False]


def test_an_explanation_by_another_is_laid_back_over_ones_own_picture() -> None:
    """Two pictures that give the same pixels; the second asks for another frame, and for no quality."""
    store, cache = One(Linear(card_28())), InMemory()
    with Scheduler(BoundedPool(1), cache).session(Client().context()) as session:
        request = ExplainRequest("saliency", quality=True)
        first = explain(store, Picture(SEVEN), FAKE, request, session).value
        levels = first.digit.pixels.tolist()
        request = ExplainRequest("saliency", frame="model")
        outcome = explain(store, Picture(pixels=levels), FAKE, request, session)
    second = outcome.value
    assert outcome.source == "cache"
    assert second.id == first.id and second.attribution is cache.kept[first.id].attribution
    assert second.digit.placement != first.digit.placement
    assert cache.kept[first.id].digit.placement == second.digit.placement
    assert second.digit.placement.picture.shape[:2] != first.digit.placement.picture.shape[:2]
    assert (first.frame, second.frame) == ("original", "model")
    assert first.quality is not None and second.quality is None


def test_a_picture_that_the_deadline_does_not_reach_is_not_even_decoded() -> None:
    model, session = Linear(card_28()), ImmediateSession(RequestContext.within(0.0))
    with pytest.raises(OutOfTime):
        explain(One(model), Picture(b"no picture"), FAKE, ExplainRequest("saliency"), session)
    with pytest.raises(UnknownMethod):  # but what is asked is looked at
        explain(One(model), Picture(b""), FAKE, ExplainRequest("augury"), session)
    assert model.rows == 0


@dataclass(frozen=True)
class Listening(ImmediateSession):
    """Makes every partial at once and again in the end: nothing that is published may change later."""

    now: list[Explanation] = field(default_factory=list)
    later: list[Explanation] = field(default_factory=list)

    def submit(self, work: Work, key: TaskKey | None = None, *rest: object, **more: object) -> "Listening":  # type: ignore[override, type-arg]
        makers = []

        def publish(make):  # type: ignore[no-untyped-def]
            makers.append(make)
            self.now.append(make())

        value = work(publish, lambda: None)
        self.later.extend(make() for make in makers)
        object.__setattr__(self, "found", Outcome(value, "computed", 0.0))
        return self

    def result(self) -> Outcome[Explanation]:  # type: ignore[override]
        return self.found  # type: ignore[attr-defined, no-any-return]


REFINED = {
    "shapley": {"grid": "7", "max_rows": "4096"},
    "rise": {"n_samples": "4000"},
    "smooth_grad": {"n_samples": "500"},
    "integrated_gradients": {"n_steps": "2", "tolerance": "1e-6"},
    "lime": {"n_samples": "4000"},
    "expected_gradients": {"n_samples": "1000"},
}


@pytest.mark.parametrize("quality", [False, True])
@pytest.mark.parametrize("method", REFINED)
def test_partial_explanations_are_published_while_the_work_goes_on(method: str, quality: bool) -> None:
    assert method in EXPLAINERS
    session = Listening()
    request = ExplainRequest(method, REFINED[method], quality=quality)
    final = explain(One(Wavy(card_28())), Picture(SEVEN), FAKE, request, session).value
    assert session.now or method in ("lime",)
    for now, later in zip(session.now, session.later, strict=True):
        assert now.id == final.id and now.attribution.values.tobytes() == later.attribution.values.tobytes()
        assert now.attribution.rows <= final.attribution.rows
        assert not is_complete(now, quality)
        if quality:
            assert now.quality == Quality((), finished=False)
