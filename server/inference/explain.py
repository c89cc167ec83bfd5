"""explain(): why one picture is the digit that predict.py sees in it, from its bytes to an explanation.

Knows neither HTTP nor TensorFlow: it asks a store for a version, explainers for attributions, and a session
(scheduling/) to run them.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from server import explainers, reference
from server.errors import InvalidOption, OutOfTime
from server.inference.certificate import certified
from server.inference.predict import ModelSelector, Stages, class_index, decode_and_predict
from server.inference.trial import best, track_record
from server.models.wrappers import AddedForwards, DeadlineModel, Memo, MemoizedModel, ProbabilityModel
from server.parts import Pieces
from server.protocols import ModelStore, ModelVersion, RequestContext
from server.quality import assess, unmeasured
from server.scheduling import ImmediateSession, Interrupt, Outcome, Publish, Session, TaskKey
from server.types import (
    Attribution,
    Digit,
    Explainer,
    Explanation,
    Model,
    Picture,
    Placement,
    Prediction,
    Quality,
    Runtime,
    Target,
    Unit,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

OTHER_ANSWER = "files-disagree"
FEW_SLOPES = (
    "errors-too-small: a probability is steep in few places, and draws that missed them miss them in their errors too; "
    "two standard errors held 60 to 93 % of the truth where that was tried, instead of 95 %"
)
OF_PROBABILITY: Mapping[str, Unit] = {"logit": "probability", "logit_per_ink": "probability_per_ink"}


@dataclass(frozen=True)
class ExplainRequest:
    """What is to be explained, and how. `target` and `versus` are classes; None = the predicted class, and no
    contrast."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    target: str | None = None
    versus: str | None = None
    output: Literal["logit", "probability"] = "logit"
    seed: int = 0
    frame: Literal["original", "model"] = "original"
    engine: Literal["inkling", "reference"] = "inkling"
    quality: bool = False  # whether the map is measured too


def explain(
    store: ModelStore,
    picture: Picture,
    selector: ModelSelector,
    request: ExplainRequest,
    session: Session | None = None,
    stages: Stages | None = None,
) -> Outcome[Explanation]:
    """Why it is that digit: the explanation that is kept, or else the best that the session's deadline allows. Without
    a session it is computed here, for as long as it takes.

    Raises:
        ServiceError: the picture cannot be read; no such model, method, option or class; the model cannot do the
            method or is still loading; no permit or place to wait is left; the client left; or the deadline passed
            before there was any attribution.
    """
    session, stages = session or ImmediateSession(), stages or Stages()
    context = session.context
    with ExitStack() as resources:
        version = resources.enter_context(store.handle(selector.model, selector.version))
        explainer = build_explainer(request, version)
        context.raise_if_expired()
        digit, prediction = decode_and_predict(version, picture, selector, context, stages)
        return explain_digit(version, digit, prediction, explainer, request, session, stages, resources)


def explain_digit(
    version: ModelVersion,
    digit: Digit,
    prediction: Prediction,
    explainer: Explainer,
    request: ExplainRequest,
    session: Session,
    stages: Stages,
    resources: ExitStack,
) -> Outcome[Explanation]:
    """Why a digit was predicted as it was. `resources` hold the version; they go over to the work when it begins.

    Raises:
        ServiceError: as `explain` does once it has predicted.
    """
    context = session.context

    def work(publish: Publish[Explanation], interrupt: Interrupt) -> Explanation:
        run_context = context.cancelled_by(interrupt)
        memo = Memo() if request.quality else None
        return run_explainer(version, run_context, digit, prediction, explainer, request, stages, memo, publish)

    key = TaskKey(
        explanation_id(digit, prediction, explainer, request), frozenset({"quality"} if request.quality else ())
    )
    is_enough = partial(is_complete, quality=request.quality)
    outcome = session.submit(work, key, resources, is_enough).result()
    return replace(outcome, value=rebase_on_picture(outcome.value, digit, request, session))


def build_explainer(request: ExplainRequest, version: ModelVersion) -> Explainer:
    """The method of the request with its options, for this version; for the method `best`, the one that the version's
    trial says to believe first.

    Raises:
        ServiceError: no such method or option; or the version cannot do it.
    """
    if request.method == explainers.BEST and request.engine == "inkling":
        return best(version.card, version.verbs)
    build = reference.build if request.engine == "reference" else explainers.build
    return build(request.method, request.options, version.card, version.verbs)


def is_complete(explanation: Explanation, quality: bool) -> bool:
    """Whether more time would have changed nothing; and whether it has its quality, if that is wanted."""
    found = explanation.quality
    is_tested = all(part.drop is not None for part in explanation.parts)
    if explanation.attribution.stop == "budget" or not is_tested or (quality and found is None):
        return False
    return found is None or found.finished


def rebase_on_picture(found: Explanation, digit: Digit, request: ExplainRequest, session: Session) -> Explanation:
    """The explanation, placed on the picture of this request: a cached one may come from another picture with the same
    pixels, and may have more than this request wants. The prediction stays the one that was explained: computed again
    in another batch, its last digits may differ."""
    placed = replace(found, digit=digit)
    if found.kept and not _is_same_picture(found.digit.placement, digit.placement):
        placed = session.keep(placed)
    return replace(placed, frame=request.frame, quality=found.quality if request.quality else None)


def run_explainer(
    version: ModelVersion,
    context: RequestContext,
    digit: Digit,
    prediction: Prediction,
    explainer: Explainer,
    request: ExplainRequest,
    stages: Stages,
    memo: Memo | None = None,
    publish: Publish[Explanation] = lambda make: None,
) -> Explanation:
    """The best attribution that the context's deadline allows, what each part of the digit is worth and, if it is asked
    for, how faithful the map is. Partial explanations are published on the way; pictures in `memo` are not computed
    again."""
    target = _target(request, prediction)
    added = AddedForwards()
    model = _model_of(version, context, request, memo, added)
    runtime = _runtime(version, request, explainer)
    pieces = Pieces.of(digit.pixels)
    notes = _disagreement(model, digit, prediction)

    def explanation(attribution: Attribution, out_of_time: bool, quality: Quality | None) -> Explanation:
        attribution = certified(_with(attribution, pieces.rows, notes), out_of_time)
        if request.output == "probability":
            attribution = _of_probability(attribution, explainer)
        return Explanation(
            explanation_id(digit, prediction, explainer, request), digit, prediction, target, attribution, explainer,
            request.seed, request.output, request.frame, request.engine, quality, runtime=runtime,
            parts=pieces.parts(attribution), trial=track_record(version.card, explainer, request.output),
        )  # fmt: skip

    def test_parts() -> None:
        nonlocal pieces
        if pieces.drops is None:
            pieces = pieces.tested(model, target)

    def publish_partial(attribution: Attribution) -> None:
        test_parts()  # as soon as there is any map, so that an answer that runs out of time has them too
        publish(lambda: explanation(attribution, True, unmeasured() if request.quality else None))

    quality = None
    with _exclusive(request, context):
        with stages("explain"):
            attributions = explainer.refine(model, digit.pixels, target, request.seed)
            counted = (replace(found, rows=found.rows + added.rows) for found in attributions)
            attribution, out_of_time = _best(counted, publish_partial)
            if not out_of_time:
                with suppress(OutOfTime):
                    test_parts()
        if request.quality:
            publish_partial(attribution)
            with stages("quality"):
                quality = assess(model, digit.pixels, target, explainer, attribution, request.seed)
    return explanation(attribution, out_of_time, quality)


def _with(attribution: Attribution, rows: int, warnings: tuple[str, ...]) -> Attribution:
    return replace(attribution, rows=attribution.rows + rows, warnings=(*warnings, *attribution.warnings))


def _of_probability(attribution: Attribution, explainer: Explainer) -> Attribution:
    """With its unit, and a warning where its errors come from draws of slopes."""
    unit = OF_PROBABILITY.get(attribution.unit, attribution.unit)
    is_pixelwise = attribution.stderr is not None and attribution.segment_values is None
    is_drawn = is_pixelwise and "gradient" in explainer.needs
    return replace(attribution, unit=unit, warnings=(*attribution.warnings, *[FEW_SLOPES] * is_drawn))


def _disagreement(model: Model, digit: Digit, prediction: Prediction) -> tuple[str, ...]:
    """What is to be said where the quantised file that predicted names another class than the net that is explained."""
    quantization, classes = prediction.card.quantization, prediction.card.classes
    if quantization is None:
        return ()
    named = int(model.forward(digit.pixels[None])[0].argmax())
    if named == prediction.index:
        return ()
    return (
        f"{OTHER_ANSWER}: the file that predicts ({quantization.scheme}) reads {prediction.label}, the net that is "
        f"explained reads {classes[named]}; this is what the net says of the class that was explained",
    )


def _model_of(
    version: ModelVersion, context: RequestContext, request: ExplainRequest, memo: Memo | None, added: AddedForwards
) -> Model:
    """The version's model, wrapped as this request's explainer needs it; `added` counts what its probabilities cost."""
    model = version.for_explain(context)
    if memo is not None:
        model = MemoizedModel(model, memo)
    model = DeadlineModel(model, context)
    if request.output == "probability":
        model = ProbabilityModel(model, added)
    view = version.keras_view(context) if request.engine == "reference" else None
    return model if view is None else reference.KerasModel(model, view, request.output)


def _runtime(version: ModelVersion, request: ExplainRequest, explainer: Explainer) -> Runtime:
    """What computes the explanation."""
    keras = request.engine == "reference" and "gradient" in explainer.needs  # then a package differentiates itself
    runtime: Runtime | None = "tensorflow" if keras else version.runtime
    assert runtime is not None  # the version that explains is loaded, or `_model_of` had raised
    return runtime


def _target(request: ExplainRequest, prediction: Prediction) -> Target:
    classes = prediction.card.classes
    index = prediction.index if request.target is None else class_index("target", request.target, classes)
    if request.versus is None:
        return Target.of_class(index, classes)
    versus = class_index("versus", request.versus, classes)
    if versus == index:
        raise InvalidOption(
            f"versus={request.versus} is the explained class itself; give another class, or another target"
        )
    return Target.contrast(index, versus, classes)


def _exclusive(request: ExplainRequest, context: RequestContext) -> AbstractContextManager[None]:
    """A lock on the packages where the request uses them."""
    return reference.exclusive(context) if request.engine == "reference" else nullcontext()


def _best(attributions: Iterator[Attribution], publish: Callable[[Attribution], None]) -> tuple[Attribution, bool]:
    """The last attribution before the method is done or out of time, and whether it was out of time; those before it
    are published.

    Raises:
        OutOfTime: there was none in time.
    """
    best = None
    try:
        for best in attributions:
            if best.state != "partial":
                break
            publish(best)
    except OutOfTime:
        if best is None:
            raise
        return best, True
    assert best is not None  # an explainer yields at least once
    return best, False


def _is_same_picture(one: Placement, other: Placement) -> bool:
    """Whether two pictures look the same and lie the same way under the model's image."""
    facts = ((of.transform, of.width, of.height, of.steps, of.warnings) for of in (one, other))
    return next(facts) == next(facts) and np.array_equal(one.picture, other.picture)


def explanation_id(digit: Digit, prediction: Prediction, explainer: Explainer, request: ExplainRequest) -> str:
    """The hash of all that changes the values of an explanation.

    Raises:
        InvalidOption: no such class.
    """
    target = _target(request, prediction)
    options = asdict(cast("DataclassInstance", explainer))
    method = [explainer.name, explainer.revision, options]
    facts = [prediction.card.digest, *method, target.index, target.versus, request.output, request.seed]
    if request.engine != "inkling":
        facts.append(request.engine)
    pixels = digit.pixels.astype("<f4").tobytes()
    return hashlib.sha256(pixels + json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
