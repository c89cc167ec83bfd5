"""Plans a run: finds the pictures and the version, and checks what is ordered before anything is computed."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from server.bulk.errors import RunError, SourceError
from server.bulk.sources import Bounds, open_source
from server.bulk.worker import RunSpec, request_of
from server.errors import InvalidOption
from server.inference.explain_if import Condition
from server.inference.explain_request import check_possible
from server.models.card import BrokenVersion, read_card
from server.models.repository.scan import ModelListing, scan
from server.models.repository.served_model import STABLE
from server.types import ModelCard

if TYPE_CHECKING:
    from server.models.trust import Trust

SHARDS, LEAST_SHARD, MOST_SHARD = 64, 20, 500  # files that results are divided into where they can be, and rows of one


def plan_run(
    spec: RunSpec,
    store: Path,
    trust: "Trust | None" = None,
    bounds: Bounds | None = None,
    resumed: RunSpec | None = None,
) -> RunSpec:
    """The order with the version that its label, or "" for the default, stands for now, and with what its source
    holds. One that was `begun` keeps its version, wherever the label has moved.

    Raises:
        BulkError: no pictures, or more than `bounds` allow; no such model or version.
        ServiceError: no such method, option or class, or the version cannot do it.
    """
    if resumed is not None and (resumed.model, resumed.requested_version) == (spec.model, spec.requested_version):
        number = resumed.version
    else:
        number = _number(spec.model, spec.requested_version, store, trust)
    try:
        card = read_card(store / spec.model / number, trust)
    except BrokenVersion as error:
        raise RunError(f"{spec.model}/{number} cannot be used: {error}") from error
    _check_request(spec, card)
    with closing(open_source(spec.source, spec.array, spec.max_picture_bytes, bounds)) as source:
        rows, fingerprint = len(source), source.fingerprint
    if not rows:
        raise SourceError(f"{spec.source} has no pictures")
    if bounds is not None and rows > bounds.rows:
        raise SourceError(f"{rows} pictures; at most {bounds.rows} are taken, send them in several parts")
    shard_rows = spec.shard_rows or max(LEAST_SHARD, min(-(-rows // SHARDS), MOST_SHARD))
    return replace(spec, version=number, digest=card.digest, fingerprint=fingerprint, rows=rows, shard_rows=shard_rows)


def run_spec(
    source: str,
    model: str,
    version: str | None,
    options: Mapping[str, str],
    max_picture_bytes: int,
    *,
    array: str | None = None,
    explain_if: str | None = None,
    preprocess: str = "auto",
    float16: bool = False,
    shard_rows: int = 0,
) -> RunSpec:
    """An order as it is given, for `planned` to complete; with 0 `shard_rows` as fits the number of pictures."""
    return RunSpec(
        source, array, "", 0, shard_rows, model, version or "", "", "", dict(options), explain_if, preprocess, float16,
        max_picture_bytes,
    )  # fmt: skip


def _check_request(spec: RunSpec, card: ModelCard) -> None:
    """Raises ServiceError: what the version of this card cannot do."""
    check_possible(request_of(spec.options), card, card.verbs)
    if spec.explain_if is not None:
        Condition.parse(spec.explain_if)
    if spec.preprocess not in ("auto", "none"):
        raise InvalidOption(f"preprocess={spec.preprocess!r}; expected one of auto, none")


def _number(model: str, version: str, store: Path, trust: "Trust | None") -> str:
    """The number of a version: of a label, or of the version that answers by default."""
    try:
        found = scan(store, trust)
    except OSError as error:
        raise RunError(
            f"{store} cannot be read ({error.strerror}); INKLING_MODEL_STORE names the folder of models"
        ) from error
    listing = found.get(model, ModelListing())
    if not listing.versions:
        there = ", ".join(name for name, one in found.items() if one.versions) or "none"
        raise RunError(f"no model {model!r} is in {store}; there is {there}")
    labels = listing.labels or {}
    number = labels.get(version or STABLE, version) or max(listing.versions, key=int)
    if number not in listing.versions:
        raise RunError(f"{model} has no version or label {version!r}; it has {', '.join([*listing.versions, *labels])}")
    return number
