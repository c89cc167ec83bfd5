"""engine=reference on models with known explanations: it gives the packages' values, without side effects."""

import ast
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from server.errors import (
    EngineNotInstalled,
    InvalidOption,
    MethodNotPossible,
    OutOfTime,
    PackageBusy,
    UnknownMethod,
    UnknownOption,
)
from server.explainers import EXPLAINERS
from server.explainers.segmentation import grid
from server.explainers.shapley import Shapley
from server.inference.explain import ExplainRequest, explain, explanation_id
from server.inference.predict import ModelSelector
from server.protocols import RequestContext
from server.reference import REFERENCES, build
from server.reference.exclusive import exclusive
from server.reference.shapley import ShapleyPackage
from server.scheduling import ImmediateSession
from server.types import Array, Explanation, Model, Picture, Target
from tests.inference.test_inference import One
from tests.support.answers import check_error, logits, post_explain
from tests.support.clock import Clock
from tests.support.models.fakes import EVERYTHING, Fake, Linear, Square, Wavy, ink
from tests.support.models.stores import SEVEN, card_28
from tests.support.processes.servers import ROOT
from tests.support.removal import removal_rows

# of shap's import: it calls functions of matplotlib that are going to go
pytestmark = pytest.mark.filterwarnings("ignore:The set_.* function will be deprecated:PendingDeprecationWarning")


class Cubic(Linear):
    """logits_k = (w_k . x + k)^3: cells interact by three, so a sample of coalitions does not tell all."""

    def logits(self, images: Array) -> Array:
        return super().logits(images) ** 3


KINDS: list[tuple[str, dict[str, Any]]] = [
    ("lime", {"n_samples": 100}),
    ("shapley", {"n_samples": 128, "grid": 5}),
    ("shapley", {"explainer": "exact", "grid": 3}),
    ("shapley", {"explainer": "partition", "max_evals": 100}),
]
STOCHASTIC = [KINDS[0], KINDS[1]]
ROWS = {"instances": [[0.5] * 784]}


def explanation_by(
    model: Model, method: str, options: dict[str, Any], engine: str = "reference", **why: Any
) -> Explanation:
    clock = why.pop("clock", Clock())
    session = ImmediateSession(RequestContext.within(why.pop("budget", 30.0), clock))
    request = ExplainRequest(method, options, engine=engine, **why)  # type: ignore[arg-type]
    return explain(One(model), Picture(SEVEN), ModelSelector("fake"), request, session).value


LIKE_LIME: dict[str, Any] = {"segmentation": "quickshift", "baseline": "colours"}
LIKE_SHAP: dict[str, Any] = {"grid": 4, "baseline": "black", "within": "even"}


@pytest.mark.parametrize("fake", [Linear, Square, Wavy])
@pytest.mark.parametrize(
    "why",
    [
        {},
        {"seed": 2**32 - 1, "options": {"segmentation": "slic"}},
        {"versus": "0", "seed": 3},
        {"output": "probability", "target": "0"},
        {"options": {"compat": True}},
    ],
)
def test_the_lime_package_gives_what_our_lime_gives(fake: type[Fake], why: dict[str, Any]) -> None:
    why = {"options": {}, **why}
    found = explanation_by(fake(card_28()), "lime", **why)
    package = found.attribution
    alike = {**why, "options": {**LIKE_LIME, **why["options"]}}
    inkling = explanation_by(fake(card_28()), "lime", engine="inkling", **alike).attribution
    assert package.segment_values is not None
    assert package.segment_values == pytest.approx(inkling.segment_values, abs=1e-6)
    assert package.values == pytest.approx(inkling.values, abs=1e-6)
    assert np.array_equal(package.segments, inkling.segments)
    for name in ("score", "base_value", "convergence_delta", "local_r2"):
        assert getattr(package, name) == pytest.approx(getattr(inkling, name), abs=1e-6), name
    assert (package.warnings, package.unit) == (inkling.warnings, inkling.unit)
    assert package.state == package.stop == "converged"
    assert package.rows == 1001 + removal_rows(found) > inkling.rows
    assert package.stderr is None


def drawn_in(cells: int) -> Array:
    """A picture (8, 8) with ink in the first so many of the sixteen cells of a grid of four."""
    there = np.arange(16) < cells
    return np.where(there[segments_of(4)], ink() + np.float32(0.1), np.float32(0))


def segments_of(side: int) -> Array:
    return grid((8, 8), (side, side))


@pytest.mark.parametrize("explainer", ["kernel", "exact"])
@pytest.mark.parametrize("cells", [0, 1, 2, 3, 4, 7, 10, 11])
def test_shap_over_all_coalitions_gives_our_exact_values(explainer: Any, cells: int) -> None:
    model, image = Square(), drawn_in(cells)
    target = Target.contrast(1, 2, model.card.classes)
    (package,) = ShapleyPackage(explainer=explainer).refine(model, image, target, 0)
    *_, inkling = Shapley(**LIKE_SHAP).refine(model, image, target, 0)
    assert package.state == inkling.state == "exact"
    assert package.segment_values == pytest.approx(inkling.segment_values, abs=1e-6)
    assert package.values == pytest.approx(inkling.values, abs=1e-6)
    for name in ("score", "base_value", "convergence_delta"):
        assert getattr(package, name) == pytest.approx(getattr(inkling, name), abs=1e-6), name
    assert np.count_nonzero(package.segment_values) == cells


def test_shap_over_some_coalitions_is_near_and_does_not_say_exact() -> None:
    model, image = Cubic(), drawn_in(12)
    target = Target.of_class(0, model.card.classes)
    (package,) = ShapleyPackage().refine(model, image, target, 0)
    *_, inkling = Shapley(**LIKE_SHAP).refine(model, image, target, 0)
    assert (package.state, inkling.state) == ("converged", "exact")
    assert 1e-9 < np.abs(package.segment_values - inkling.segment_values).max() < 0.05 * np.ptp(inkling.segment_values)
    assert package.convergence_delta == pytest.approx(0, abs=1e-9)
    assert package.rows == 2048 + 24 + 3


@pytest.mark.parametrize("explainer", ["kernel", "exact"])
@pytest.mark.parametrize("why", [
    {"options": {"baseline": "mean"}, "versus": "0"},
    {"options": {"baseline": "blur"}, "output": "probability"},
    {"options": {"segmentation": "quickshift"}, "target": "0"},
])  # fmt: skip
def test_shaps_cells_and_baselines_are_ours(explainer: str, why: dict[str, Any]) -> None:
    options = {"grid": 3, **why["options"]}
    rest = {name: value for name, value in why.items() if name != "options"}
    package = explanation_by(Square(card_28()), "shapley", {**options, "explainer": explainer}, **rest).attribution
    alike = {**LIKE_SHAP, **options}
    inkling = explanation_by(Square(card_28()), "shapley", alike, engine="inkling", **rest).attribution
    assert package.state == inkling.state == "exact"
    assert np.array_equal(package.segments, inkling.segments)
    assert package.segment_values == pytest.approx(inkling.segment_values, abs=1e-6)
    assert package.base_value == pytest.approx(inkling.base_value, abs=1e-6)
    assert (package.score, package.unit) == (pytest.approx(inkling.score, abs=1e-6), inkling.unit)


@pytest.mark.parametrize("versus", [None, 0])
def test_partition_down_to_every_pixel_is_known_for_a_linear_model(versus: int | None) -> None:
    model, image = Linear(), ink()
    target = Target.of_class(2, model.card.classes) if versus is None else Target.contrast(2, 0, model.card.classes)
    weights = np.tensordot(target.weights, model.directions(), axes=1)
    (found,) = ShapleyPackage(explainer="partition", max_evals=20000).refine(model, image, target, 0)
    assert found.values == pytest.approx(weights * image, abs=1e-6)
    assert found.segments is None and found.segment_values is None


@pytest.mark.parametrize("max_evals", [16, 200])
@pytest.mark.parametrize("baseline", ["black", "blur"])
def test_partition_sums_to_the_score_however_soon_it_ends(max_evals: int, baseline: str) -> None:
    options = {"explainer": "partition", "max_evals": max_evals, "baseline": baseline}
    found = explanation_by(Square(card_28()), "shapley", options, versus="0").attribution
    assert found.values.sum() == pytest.approx(found.score - found.base_value, abs=1e-6)
    assert found.convergence_delta == pytest.approx(0, abs=1e-6)
    assert abs(found.score - found.base_value) > 0.1
    assert found.state == "converged"


@pytest.mark.parametrize(("method", "options"), KINDS)
def test_rows_are_counted(method: str, options: dict[str, Any]) -> None:
    model = Wavy(card_28())
    assert explanation_by(model, method, options).attribution.rows == model.rows - 1  # one for the prediction


@pytest.mark.parametrize(("method", "options"), KINDS)
def test_the_same_seed_gives_the_same_values(method: str, options: dict[str, Any]) -> None:
    np.random.seed(1)
    first = explanation_by(Wavy(card_28()), method, options, seed=5)
    np.random.seed(2)
    again = explanation_by(Wavy(card_28()), method, options, seed=5)
    other = explanation_by(Wavy(card_28()), method, options, seed=6)
    assert np.array_equal(first.attribution.values, again.attribution.values)
    assert first.id == again.id != other.id
    if (method, options) in STOCHASTIC:
        assert not np.array_equal(first.attribution.values, other.attribution.values)


@pytest.mark.parametrize(("method", "options"), KINDS)
def test_nobody_notices(
    method: str, options: dict[str, Any], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither numpy's global generator nor the log changes."""
    caplog.set_level(logging.INFO)
    np.random.seed(77)
    expected = np.random.random(3)
    np.random.seed(77)
    explanation_by(Linear(card_28()), method, options)
    assert np.array_equal(np.random.random(3), expected)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


LONG: list[tuple[str, dict[str, Any]]] = [  # three chunks and more
    ("lime", {"n_samples": 2000}),
    ("shapley", {"grid": 5}),
    ("shapley", {"explainer": "exact", "baseline": "mean"}),
    ("shapley", {"explainer": "partition"}),
]


@dataclass
class Hourglass(Wavy):
    """A second of its own clock passes with every call."""

    clock: Clock = field(default_factory=Clock)

    def forward(self, images: Array) -> Array:
        self.clock.seconds += 1
        return super().forward(images)


@pytest.mark.parametrize("output", ["logit", "probability"])
@pytest.mark.parametrize(("method", "options"), LONG)
def test_a_request_out_of_time_leaves_nothing_behind(method: str, options: dict[str, Any], output: str) -> None:
    model = Hourglass(card_28())
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    with pytest.raises(OutOfTime, match="3000 ms") as caught:
        explanation_by(model, method, options, budget=3.0, clock=model.clock, output=output)
    assert caught.value.status == 504
    assert model.clock() == 103  # the prediction, the score, and one call of the package's
    assert np.array_equal(np.random.get_state()[1], before)
    assert_free()


def assert_free() -> None:
    """Another thread gets its turn at once."""
    got: list[bool] = []

    def take() -> None:
        with exclusive(RequestContext.within(0)):
            got.append(True)

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    assert got == [True]


@contextmanager
def somebody_else() -> Iterator[None]:
    """Another request is with the packages."""
    there, done = threading.Event(), threading.Event()

    def stay() -> None:
        with exclusive(RequestContext.within(0)):
            there.set()
            done.wait(60)

    thread = threading.Thread(target=stay)
    thread.start()
    assert there.wait(60)
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize(("method", "options"), KINDS)
def test_one_request_at_a_time(method: str, options: dict[str, Any]) -> None:
    model = Linear(card_28())
    with somebody_else():
        start = time.monotonic()
        with pytest.raises(PackageBusy, match="busy") as caught:
            explanation_by(model, method, options, budget=0.05, clock=time.monotonic)
        assert time.monotonic() - start < 4  # no longer than the budget, on the slowest machine
        assert model.rows == 1  # the prediction: it waited before the packages were asked
        assert explanation_by(model, method, {}, engine="inkling", budget=0.05)
    assert (caught.value.status, caught.value.retry_after) == (503, 2)
    assert explanation_by(model, method, options)


def test_busy_over_http(client: FlaskClient) -> None:
    with somebody_else():
        response = client.post("/v1/explain?engine=reference&budget_ms=20", data=SEVEN)
        check_error(response, 503, "not_ready", ("busy", "engine=inkling"))
        assert response.headers["Retry-After"] == "2"
        post_explain(client, "?engine=inkling&budget_ms=10000")


def test_a_waiting_request_gets_the_lock() -> None:
    found: list[Explanation] = []
    with somebody_else():
        thread = threading.Thread(target=lambda: found.append(explanation_by(Linear(card_28()), *KINDS[0])))
        thread.start()
    thread.join(60)
    assert len(found) == 1


def test_the_engine_is_in_the_answer_and_in_the_id(client: FlaskClient) -> None:
    query = "?method=lime&n_samples=50"
    alike = query + "&segmentation=quickshift&baseline=colours"
    inkling, package = post_explain(client, alike), post_explain(client, query + "&engine=reference")
    assert (inkling["explanation"]["engine"], package["explanation"]["engine"]) == ("inkling", "reference")
    assert package["explanation"]["options"] == {
        "n_samples": 50, "segmentation": "quickshift", "kernel_size": 1.0, "n_segments": 16, "compat": False,
    }  # fmt: skip
    assert "reference package" in package["alt"] and "reference package" not in inkling["alt"]
    assert package["id"] != inkling["id"] == post_explain(client, alike + "&engine=inkling")["id"]
    assert package["explanation"]["segment_values"] == pytest.approx(inkling["explanation"]["segment_values"], abs=1e-5)


def test_the_engine_alone_changes_the_id() -> None:
    found = explanation_by(Linear(card_28()), *KINDS[0])
    rest = (found.digit, found.prediction, found.explainer)
    target, versus = str(found.target.index), None if found.target.versus is None else str(found.target.versus)
    requests = [
        ExplainRequest("lime", target=target, versus=versus, engine=engine) for engine in ("inkling", "reference")
    ]
    ids = [explanation_id(*rest, request) for request in requests]
    assert ids[0] != ids[1] == found.id


def test_shap_is_another_name_here_too(client: FlaskClient) -> None:
    query = "?engine=reference&target=0&grid=3"
    answer = post_explain(client, query + "&method=shap")
    assert answer == post_explain(client, query)
    assert answer["explanation"]["score"] == pytest.approx(float(logits()[0]), abs=1e-4)
    png = client.post(f"/v1/explain{query}&format=png", data=SEVEN)
    assert png.status_code == 200 and png.data.startswith(b"\x89PNG")


def test_the_listing_has_engines_and_the_references_own_options(client: FlaskClient) -> None:
    listed = {method["name"]: method for method in client.get("/v1/methods").get_json()["methods"]}
    for name, method in listed.items():
        assert method["engines"] == (["inkling", "reference"] if name in REFERENCES else ["inkling"])
        assert (method["reference"] is None) == (name not in REFERENCES)
    reported = {name: {one["name"] for one in listed[name]["reference"]["options"]} for name in REFERENCES}
    assert reported["shapley"] == {"explainer", "segmentation", "grid", "baseline", "n_samples", "max_evals"}
    assert "package" in listed["lime"]["reference"]["summary"]


BOUNDS = [("lime", "n_samples", 10), ("lime", "kernel_size", 6.0), ("lime", "n_segments", 49)] + [
    ("shapley", name, value) for name, value in [("grid", 2), ("grid", 7), ("n_samples", 128), ("n_samples", 8192)]
]


@pytest.mark.parametrize(("method", "option", "value"), BOUNDS)
def test_the_ends_of_a_range_are_possible(client: FlaskClient, method: str, option: str, value: float) -> None:
    answer = post_explain(client, f"?engine=reference&method={method}&{option}={value}")
    assert answer["explanation"]["options"][option] == value


def test_impossible_requests_are_refused() -> None:
    model = Linear(card_28())
    with pytest.raises(MethodNotPossible, match=r"saliency.*shapley, lime, expected_gradients"):
        explanation_by(model, "saliency", {})
    with pytest.raises(UnknownMethod, match=r"'shapely'.*shapley, lime"):
        explanation_by(model, "shapely", {})
    with pytest.raises(UnknownOption, match="'max_rows' for method shapley"):
        explanation_by(model, "shapley", {"max_rows": 100})
    with pytest.raises(InvalidOption, match="kernel, partition, exact"):
        explanation_by(model, "shapley", {"explainer": "deep"})
    with pytest.raises(MethodNotPossible, match=r"at most 16 cells.*has 49.*smaller grid"):
        explanation_by(model, "shapley", {"explainer": "exact", "grid": 7, "baseline": "mean"})
    with pytest.raises(MethodNotPossible, match=r"Keras model.*fake.*engine=inkling"):
        explanation_by(model, "expected_gradients", {})
    with pytest.raises(MethodNotPossible, match="has no gradient"):
        build("expected_gradients", {}, model.card, EVERYTHING - {"gradient"})
    assert_free()


@pytest.mark.parametrize(("method", "missing", "reported"), [
    ("lime", ["lime"], "lime is not"),
    ("shapley", ["shap"], "shap is not"),
    ("expected_gradients", ["tensorflow"], "tensorflow is not"),
    ("expected_gradients", ["shap", "tensorflow"], "shap and tensorflow are not"),
])  # fmt: skip
def test_a_missing_package_is_reported_before_any_work(
    monkeypatch: pytest.MonkeyPatch, method: str, missing: list[str], reported: str
) -> None:
    for package in missing:
        monkeypatch.setitem(sys.modules, package, None)  # to Python, a package that cannot be imported
    model = Linear(card_28())
    with pytest.raises(EngineNotInstalled, match=rf"{reported} installed.*requirements\.txt.*engine=inkling") as caught:
        explanation_by(model, method, {})
    assert (caught.value.status, caught.value.code) == (422, "engine_not_installed")
    assert model.rows == 0
    with pytest.raises(UnknownOption):  # a mistake is reported as one, installed or not
        explanation_by(model, method, {"grids": 3})
    assert explanation_by(model, method, {}, engine="inkling")


def test_methods_say_whether_the_packages_are_installed(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def installed() -> dict[str, bool]:
        listed = {method["name"]: method["reference"] for method in client.get("/v1/methods").get_json()["methods"]}
        return {name: listed[name]["installed"] for name in REFERENCES}

    assert installed() == {"shapley": True, "lime": True, "expected_gradients": True}
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert installed() == {"shapley": True, "lime": True, "expected_gradients": False}
    monkeypatch.setitem(sys.modules, "shap", None)
    assert installed() == {"shapley": False, "lime": True, "expected_gradients": False}
    response = client.post("/v1/explain?engine=reference&method=shap", data=SEVEN)
    check_error(response, 422, "engine_not_installed", ("shap is not installed", "engine=inkling"))
    response = client.post("/v1/compare?engine=reference&methods=lime,shapley", data=SEVEN)
    check_error(response, 422, "engine_not_installed", ("shap is not installed", "engine=inkling"))
    answer = client.post("/v1/models/fake:explain", json={**ROWS, "parameters": {"engine": "reference"}})
    check_error(answer, 400, "engine_not_installed", ("shap is not installed",))  # as all that V1 has for content


@pytest.mark.parametrize("name", REFERENCES)
def test_a_reference_declares_the_packages_that_it_imports(name: str) -> None:
    tree = ast.parse((ROOT / "server" / "reference" / f"{name}.py").read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inside = [child for node in functions for child in ast.walk(node)]
    named = {alias.name for node in inside if isinstance(node, ast.Import) for alias in node.names}
    named |= {str(node.module) for node in inside if isinstance(node, ast.ImportFrom)}
    views = {"tensorflow"} if "KerasModel" in ast.unparse(tree) else set()  # a view is made by TensorFlow
    assert set(REFERENCES[name].packages) == {one.split(".")[0] for one in named} | views


def test_every_reference_is_of_a_method() -> None:
    assert set(REFERENCES) <= set(EXPLAINERS)
    for name, reference in REFERENCES.items():
        inkling = EXPLAINERS[name]
        assert (reference.needs, reference.signed, reference.complete) == (
            inkling.needs,
            inkling.signed,
            inkling.complete,
        )
