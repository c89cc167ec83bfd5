"""Explains the pictures of one shard after the other: the same class in a process of this machine and on a cluster."""

import json
import logging
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from server.bulk.errors import RunError, SourceError
from server.bulk.rows import Row, error_row, explanation_row, prediction_row, schema, table
from server.bulk.sources import Item, open_source
from server.errors import DamagedImage, ServiceError
from server.inference.explain import ExplainRequest, build_explainer, run_explainer
from server.inference.explain_if import Condition
from server.inference.explain_request import ABOUT, explain_request_of
from server.inference.predict import ModelSelector, Stages, decode_and_predict
from server.models.card import BrokenVersion
from server.models.litert import predictor
from server.models.loading import Loading
from server.models.model_loaders import litert_loader, savedmodel_loader
from server.models.versions import LoadedVersion
from server.process.preflight import has_tensorflow
from server.protocols import NO_DEADLINE

INTERPRETER_BYTES = 64 << 20
ENDED = "the process that read this picture ended, more than once; the run went on without the picture"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunSpec:
    """What a run is to do; two runs with equal orders give the same rows."""

    source: str  # path or address
    array: str | None  # in the source
    fingerprint: str  # of the source
    rows: int
    shard_rows: int
    model: str
    requested_version: str  # version, as it was asked for: a number, a label, or "" for the default
    version: str  # number
    digest: str  # of its card
    options: Mapping[str, str]  # as in a query: method, target, seed, ..., and those of the method
    explain_if: str | None
    preprocess: str
    float16: bool
    max_picture_bytes: int

    @property
    def shards(self) -> int:
        return -(-self.rows // self.shard_rows)

    def rows_of(self, shard: int) -> range:
        return range(shard * self.shard_rows, min((shard + 1) * self.shard_rows, self.rows))

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> "RunSpec":
        return RunSpec(**json.loads(text))


class InternalError(ServiceError):
    """What was not expected of a picture."""


def request_of(options: Mapping[str, str]) -> ExplainRequest:
    """The explanation that an order requests. Raises ServiceError."""
    return explain_request_of(options, ABOUT, "this run")


class ShardWorker:
    """A version and a source that are open (worker object): `explain` gives the rows of a shard."""

    def __init__(self, spec: RunSpec, store: Path, cores: int = 1, device: str = "cpu") -> None:
        """Open them. `store` is the folder of models here; rows are computed on so many `cores`.

        Raises:
            BulkError: the source or the version is not there, or not the one that was ordered.
            ServiceError: the version cannot do what the order requests.
        """
        self._order = spec
        self._source = open_source(spec.source, spec.array, spec.max_picture_bytes)
        if self._source.fingerprint != spec.fingerprint:
            raise SourceError(f"{spec.source} is not what it was when the run began; begin another in a new folder")
        self._version = open_version(store / spec.model / spec.version, cores, device)
        if self._version.card.digest != spec.digest:
            raise RunError(f"{spec.model}/{spec.version} is not the version that the run began with")
        self._request = request_of(spec.options)
        self._explainer = build_explainer(self._request, self._version)
        self._condition = None if spec.explain_if is None else Condition.parse(spec.explain_if)
        self._selector = ModelSelector(spec.model, None, "none" if spec.preprocess == "none" else "auto")
        card = self._version.card
        self.schema = schema(card.image, len(card.classes), spec.float16)

    def explain(
        self, shard: int, skip: Collection[int] = (), on_row: Callable[[int], object] = lambda row: None
    ) -> pa.Table:
        """The rows of a shard; those to `skip` are not read, and get an error. `on_row` is called with each before."""
        found: list[Row] = []
        for row in self._order.rows_of(shard):
            on_row(row)
            found.append(error_row(row, str(row), InternalError(ENDED)) if row in skip else self._row(row))
        return table(found, self.schema)

    def _row(self, row: int) -> Row:
        try:
            item = self._source.read(row)
        except Exception as error:  # what strangers send may raise anything in those that read it
            log.exception("row %d cannot be read", row)
            return error_row(row, str(row), DamagedImage(f"it cannot be read ({type(error).__name__})"))
        if item.picture is None:
            assert item.error is not None  # an item has either
            return error_row(row, item.name, item.error)
        try:
            return self._explained(row, item)
        except ServiceError as error:
            return error_row(row, item.name, error)
        except Exception:
            log.exception("row %d (%s) could not be explained", row, item.name)
            return error_row(row, item.name, InternalError("an internal error; the log of the run says more"))

    def _explained(self, row: int, item: Item) -> Row:
        assert item.picture is not None
        stages, version = Stages(), self._version
        digit, prediction = decode_and_predict(version, item.picture, self._selector, NO_DEADLINE, stages)
        if self._condition is not None and not self._condition.holds(prediction):
            return prediction_row(row, item.name, digit, prediction)
        found = run_explainer(version, NO_DEADLINE, digit, prediction, self._explainer, self._request, stages)
        return explanation_row(row, item.name, found)


def open_version(folder: Path, cores: int, device: str) -> LoadedVersion:
    """A version with what explains it: its LiteRT files, or TensorFlow on a GPU and where it has no such files."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    savedmodel = savedmodel_loader("auto" if device == "gpu" else "cpu", 0) if has_tensorflow() else None
    litert = None if device == "gpu" else litert_loader(savedmodel, INTERPRETER_BYTES, savedmodel is None, cores=cores)
    loading = Loading(predictor, savedmodel, load_litert=litert)
    try:
        version = loading.open(folder)
        loading.complete(version)
    except BrokenVersion as error:
        raise RunError(f"{folder.parent.name}/{folder.name} cannot be used: {error}") from error
    return version
