"""engine=reference on the shipped nets: each package on each of them, and what GradientExplainer takes for a net."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorflow.python.framework.func_graph import FuncGraph

from server.inference.explain import ExplainRequest, explain
from server.inference.predict import ModelSelector
from server.models.repository.store import LoadedModel, LoadedVersion
from server.models.wrappers import ProbabilityModel
from server.reference import REFERENCES, KerasModel
from server.render import RENDERERS
from server.types import Explanation, Picture, Target
from tests.support.explanations import again
from tests.support.models.nets import NAMES, card, digits, net
from tests.support.removal import removal_rows

# of shap's import: it calls functions of matplotlib that are going to go
pytestmark = pytest.mark.filterwarnings("ignore:The set_.* function will be deprecated:PendingDeprecationWarning")
every_net = pytest.mark.parametrize("name", NAMES)


def test_gradient_explainer_is_traced_once() -> None:
    """A graph for each request would never be given back."""
    graphs = []
    for target in (3, 4, 5, 6):
        explanation_by("mlp", "expected_gradients", target=str(target), options={"n_samples": 20})
        gc.collect()
        graphs.append(sum(isinstance(one, FuncGraph) for one in gc.get_objects()))
    assert graphs[1] == graphs[-1]


INDEX = 5  # the picture that is explained


@dataclass(frozen=True)
class Net:
    """A store of one shipped net."""

    name: str

    @contextmanager
    def handle(self, name: str, version: str | None) -> Iterator[LoadedVersion]:
        full = LoadedModel(net(self.name), keras_view=lambda context: net(self.name).keras_model)
        yield LoadedVersion(card(self.name), Path(), explaining=full)


def explanation_by(name: str, method: str, engine: str = "reference", **why: Any) -> Explanation:
    picture = Picture(pixels=digits()[INDEX].tolist())
    request = ExplainRequest(method, why.pop("options", {}), engine=engine, **why)  # type: ignore[arg-type]
    return explain(Net(name), picture, ModelSelector(name), request).value


@pytest.mark.parametrize("method", REFERENCES)
def test_what_is_kept_is_rendered_as_it_was_at_first(method: str) -> None:
    options = {} if method == "shapley" else {"n_samples": 20}
    first = explanation_by("mlp", method, options=options, output="probability", versus=versus("mlp"))
    for media_type, render in RENDERERS.items():
        assert render(again(first)) == render(first), media_type


def versus(name: str) -> str:
    """The runner-up."""
    return str(int(np.argsort(net(name).forward(digits()[INDEX : INDEX + 1])[0])[-2]))


@every_net
@pytest.mark.parametrize("output", ["logit", "probability"])
def test_lime(name: str, output: Any) -> None:
    why: dict[str, Any] = {"output": output, "versus": versus(name), "options": {"n_samples": 200}}
    package = explanation_by(name, "lime", "reference", **why).attribution
    alike = {**why, "options": {**why["options"], "segmentation": "quickshift", "baseline": "colours"}}
    inkling = explanation_by(name, "lime", "inkling", **alike).attribution
    assert package.segment_values == pytest.approx(inkling.segment_values, abs=1e-5)
    assert package.base_value == pytest.approx(inkling.base_value, abs=1e-5)
    assert package.local_r2 == pytest.approx(inkling.local_r2, abs=1e-5)
    assert package.score == pytest.approx(inkling.score, abs=1e-5)
    assert np.abs(package.segment_values).max() > 1e-4


@every_net
@pytest.mark.parametrize("explainer", ["kernel", "exact"])
def test_shapley_over_cells(name: str, explainer: str) -> None:
    why: dict[str, Any] = {"versus": versus(name), "options": {"grid": 3, "baseline": "black", "within": "even"}}
    inkling = explanation_by(name, "shapley", "inkling", **why).attribution
    package = explanation_by(
        name, "shapley", versus=versus(name), options={"grid": 3, "explainer": explainer}
    ).attribution
    assert package.state == inkling.state == "exact"
    assert package.segment_values == pytest.approx(inkling.segment_values, abs=1e-4)
    assert package.base_value == pytest.approx(inkling.base_value, abs=1e-4)


@every_net
@pytest.mark.parametrize("output", ["logit", "probability"])
def test_shapley_over_pixels(name: str, output: Any) -> None:
    """The first halving is at the middle row, so each half's sum is its Shapley value in a game of two."""
    options = {"explainer": "partition", "max_evals": 100}
    explanation = explanation_by(name, "shapley", versus=versus(name), output=output, options=options)
    found, pixels = explanation.attribution, explanation.digit.pixels
    shown = np.stack([pixels * 0, pixels, pixels, pixels])
    shown[1, 14:], shown[2, :14] = 0, 0
    model: Any = net(name) if output == "logit" else ProbabilityModel(net(name))
    none, top, bottom, full = explanation.target.score(model.forward(shown))
    assert (found.base_value, found.score) == (pytest.approx(none, abs=1e-4), pytest.approx(full, abs=1e-4))
    assert found.values[:14].sum() == pytest.approx((top - none + full - bottom) / 2, abs=1e-4)
    assert found.values[14:].sum() == pytest.approx((bottom - none + full - top) / 2, abs=1e-4)


@every_net
@pytest.mark.parametrize("why", [{}, {"contrast": True}, {"output": "probability"}])
def test_expected_gradients(name: str, why: dict[str, Any]) -> None:
    """200 draws of the package's are near our values, and the gap that they leave is reported."""
    asks = {"output": why.get("output", "logit"), "versus": versus(name) if "contrast" in why else None}
    found = explanation_by(name, "expected_gradients", seed=2, **asks)
    package = found.attribution
    inkling = explanation_by(name, "expected_gradients", "inkling", **asks).attribution
    assert np.corrcoef(package.values.ravel(), inkling.values.ravel())[0, 1] > 0.9
    assert package.unit == inkling.unit
    assert package.base_value == pytest.approx(inkling.base_value, abs=1e-4)
    assert package.score == pytest.approx(inkling.score, abs=1e-4)
    difference = package.score - package.base_value
    assert package.convergence_delta == pytest.approx(package.values.sum() - difference, abs=1e-6)
    assert 1e-6 < abs(package.convergence_delta) < 0.2 * np.abs(package.values).sum()
    assert package.rows == 200 + 1 + 1 + len(card(name).background) + removal_rows(found)
    # off by about what the standard errors say, where a pixel is drawn often enough to have one
    often = package.stderr > np.quantile(package.stderr, 0.8)
    errors = (package.values - inkling.values)[often] / package.stderr[often]
    assert 0.7 < np.sqrt(np.mean(errors**2)) < 1.4


@every_net
def test_a_keras_model_is_the_score(name: str) -> None:
    images = digits()[:4]
    target = Target.contrast(3, 8, card(name).classes)
    for model, output in ((net(name), "logit"), (ProbabilityModel(net(name)), "probability")):
        viewed = KerasModel(model, net(name).keras_model, output)  # type: ignore[arg-type]
        found = np.asarray(viewed.score_of(target)([images]))
        assert found.shape == (4, 1)
        assert found[:, 0] == pytest.approx(target.score(model.forward(images)), abs=1e-4)


def test_the_same_seed_gives_the_same_values() -> None:
    np.random.seed(4)
    before = np.random.get_state()[1].copy()
    first, again, other = (
        explanation_by("mlp", "expected_gradients", seed=seed, options={"n_samples": 20}).attribution.values
        for seed in (7, 7, 8)
    )
    assert first == pytest.approx(again, abs=1e-6)
    assert np.abs(first - other).max() > 1e-3
    assert np.array_equal(np.random.get_state()[1], before)
