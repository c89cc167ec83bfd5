"""What is known of the version that a run was made with, and of its method."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from server.bulk.worker import RunSpec, request_of
from server.errors import ServiceError
from server.explainers import ALIASES, BEST, EXPLAINERS
from server.inference.explain import ExplainRequest
from server.inference.trial import best
from server.models.card import CARD, BrokenVersion, read_card
from server.options import parse
from server.reference import REFERENCES
from server.types import Explainer, ModelCard

if TYPE_CHECKING:
    from server.models.trust import Trust


@dataclass(frozen=True)
class VersionFacts:
    """The card of the version, or why there is none; the request, and the method that it comes to where that is
    known."""

    card: ModelCard | None
    missing: str
    request: ExplainRequest
    explainer: Explainer | None


def version_facts(spec: RunSpec, store: Path, trust: "Trust | None" = None) -> VersionFacts:
    """What the folder of models says of the version of an order.

    Raises:
        ServiceError: the order's options are not those of an explanation.
    """
    card, missing = _card(spec, store, trust)
    request = request_of(spec.options)
    return VersionFacts(card, missing, request, _explainer(request, card))


def _card(spec: RunSpec, store: Path, trust: "Trust | None") -> tuple[ModelCard | None, str]:
    named, folder = f"{spec.model}/{spec.version}", store / spec.model / spec.version
    # a manifest may come from anywhere, and must not lead out of the store
    inside = Path(spec.model).name == spec.model and spec.version.isdecimal()
    if not inside or not (folder / CARD).is_file():
        return None, f"the folder of models (INKLING_MODEL_STORE) does not have {named}"
    try:
        card = read_card(folder, trust)
    except BrokenVersion as error:
        return None, f"{named} cannot be used: {error}"
    if card.digest != spec.digest:
        return None, f"{named} in the folder of models is another version than the one that this run was made with"
    return card, ""


def _explainer(request: ExplainRequest, card: ModelCard | None) -> Explainer | None:
    if request.method == BEST and request.engine == "inkling":
        return None if card is None else best(card, card.verbs)
    kinds = REFERENCES if request.engine == "reference" else EXPLAINERS
    kind: Any = kinds.get(ALIASES.get(request.method, request.method))
    with suppress(ServiceError):  # another release may have had other options
        return None if kind is None else kind(**parse(kind, request.options))
    return None
