"""Which predictions are worth an explanation: a condition such as `probability<0.9`, for `explain_if`.

Several, with commas between them, hold where any of them does. Knows no HTTP.
"""

import operator
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from server.errors import ClientLeft, InvalidOption, ServiceError
from server.inference.explain import ExplainRequest, build_explainer, explain_digit
from server.inference.predict import ModelSelector, Stages, decode_and_predict
from server.options import shown
from server.protocols import ModelStore
from server.scheduling import Outcome, Session
from server.types import Digit, Explanation, Picture, Prediction

EXPECTED = "expected such as probability<0.9, margin<0.2 or out_of_distribution, with commas between several"
COMPARISON = re.compile(r"\s*(probability|margin)\s*(<=|>=|<|>)\s*(\d?\.?\d{1,12}|\d\.)\s*", re.ASCII)
COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
UNLIKE = "out_of_distribution"
MOST = 8  # conditions in one text


def margin(prediction: Prediction) -> float:
    """How much likelier the predicted class is than the next one, 0 .. 1."""
    first, second = sorted(prediction.probabilities.tolist(), reverse=True)[:2]
    return float(first - second)


@dataclass(frozen=True)
class Condition:
    """What was asked for, and its parts."""

    text: str
    comparisons: tuple[tuple[str, str, float], ...]
    unlike: bool

    @staticmethod
    def parse(text: str) -> "Condition":
        """Raises InvalidOption: it is no condition."""
        comparisons, unlike, parts = [], False, text.split(",")
        if len(parts) > MOST:
            raise InvalidOption(f"explain_if has {len(parts)} conditions; expected {MOST} at most")
        for part in parts:
            if part.strip() == UNLIKE:
                unlike = True
                continue
            found = COMPARISON.fullmatch(part)
            if found is None or float(found[3]) > 1:
                raise InvalidOption(f"explain_if={shown(text)}; {EXPECTED}, and numbers from 0 to 1")
            comparisons.append((found[1], found[2], float(found[3])))
        return Condition(text, tuple(comparisons), unlike)

    def holds(self, prediction: Prediction) -> bool:
        """Whether it asks for an explanation of this prediction."""
        if self.unlike and not prediction.in_distribution.ok:
            return True
        values = {"probability": prediction.probability, "margin": margin(prediction)}
        return any(COMPARE[sign](values[name], bound) for name, sign, bound in self.comparisons)


def predict_and_explain_if(
    condition: Condition,
    store: ModelStore,
    picture: Picture,
    selector: ModelSelector,
    request: ExplainRequest,
    session: Session,
    stages: Stages,
) -> tuple[Digit, Prediction, Outcome[Explanation] | ServiceError | None]:
    """The digit in a picture, its prediction, and by the same version its explanation: None where the condition does
    not hold, and the error where it could not be had, so that nobody loses a prediction by it.

    Raises:
        ServiceError: as `predict` does; or the version cannot do the method.
    """
    with ExitStack() as resources:
        version = resources.enter_context(store.handle(selector.model, selector.version))
        explainer = build_explainer(request, version)
        digit, prediction = decode_and_predict(version, picture, selector, session.context, stages)
        if not condition.holds(prediction):
            return digit, prediction, None
        try:
            found = explain_digit(version, digit, prediction, explainer, request, session, stages, resources)
        except ClientLeft:
            raise
        except ServiceError as error:
            return digit, prediction, error
        return digit, prediction, found
