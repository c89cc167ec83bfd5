"""Misspelt names, and names that others use: the error has what is nearest here, and all that is possible."""

import pytest
from flask.testing import FlaskClient

from server.attacks import ATTACKS
from server.attacks import COUNTERPARTS as ATTACK_COUNTERPARTS
from server.explainers import COUNTERPARTS, EXPLAINERS
from server.reference import REFERENCES
from tests.support.answers import check_error
from tests.support.models.stores import SEVEN

NEAREST = {
    "gradcam": "grad_cam", "Grad-CAM": "grad_cam", "grad_cam++": "grad_cam", "score_cam": "grad_cam",
    "Lime": "lime", "LIME": "lime", "SHAPLEY": "shapley", "shapely": "shapley", "SHAP": "shapley",
    "kernelshap": "shapley", "kernel_shap": "shapley", "KernelSHAP": "shapley",
    "ig": "integrated_gradients", "IG": "integrated_gradients", "integratedgradients": "integrated_gradients",
    "integrated-gradients": "integrated_gradients", "xrai": "integrated_gradients",
    "gradient_shap": "expected_gradients", "GradientExplainer": "gradient_x_input",
    "smoothgrad": "smooth_grad", "SmoothGrad": "smooth_grad", "noise_tunnel": "smooth_grad", "vargrad": "var_grad",
    "guided_backprop": "saliency", "vanilla_gradients": "saliency", "gradients": "saliency",
    "gradient*input": "gradient_x_input", "grad_x_input": "gradient_x_input", "input_x_gradient": "gradient_x_input",
    "feature_ablation": "occlusion", "attention_rollout": "attention",
}  # fmt: skip


@pytest.mark.parametrize("name", NEAREST)
def test_an_unknown_method_is_told_the_nearest(client: FlaskClient, name: str) -> None:
    for path in ("/v1/explain", "/v1/compare"):
        names = {"method": name} if path == "/v1/explain" else {"methods": f"{name},occlusion"}
        response = client.post(path, data=SEVEN, query_string=names)
        check_error(response, 404, "unknown_method", (repr(name), repr(NEAREST[name]), ", ".join(EXPLAINERS)))


@pytest.mark.parametrize(
    ("name", "near"), [("PGD", "pgd"), ("deep-fool", "deepfool"), ("bim", "pgd"), ("cw", "deepfool")]
)
def test_an_unknown_attack_is_told_the_nearest(client: FlaskClient, name: str, near: str) -> None:
    response = client.post("/v1/adversarial", data=SEVEN, query_string={"method": name})
    check_error(response, 404, "unknown_method", (repr(name), repr(near), ", ".join(ATTACKS)))


def test_a_name_like_none_is_told_all(client: FlaskClient) -> None:
    response = client.post("/v1/explain?method=" + "x" * 2000, data=SEVEN)
    check_error(response, 404, "unknown_method", ("there are shapley, lime",))
    assert "did you mean" not in response.text and len(response.data) < 1000


def test_the_reference_names_none_that_it_does_not_have(client: FlaskClient) -> None:
    response = client.post("/v1/explain?engine=reference&method=ig", data=SEVEN)
    check_error(response, 404, "unknown_method", ("'ig'", "there are " + ", ".join(REFERENCES)))
    assert "integrated_gradients" not in response.text


def test_counterparts_are_names_that_exist() -> None:
    assert set(COUNTERPARTS.values()) <= set(EXPLAINERS)
    assert set(ATTACK_COUNTERPARTS.values()) <= set(ATTACKS)


@pytest.mark.parametrize(("query", "words"), [
    ("engine=refrence", ("'refrence'", "inkling, reference")),
    ("output=logits", ("'logits'", "logit, probability")),
    ("frame=sent", ("'sent'", "original, model")),
    ("format=jpg", ("'jpg'", "json, png, svg, npz")),
    ("preprocess=yes", ("'yes'", "auto, none")),
    ("target=seven", ("'seven'", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9")),
    ("quality=yes", ("'yes'", "true or false")),
])  # fmt: skip
def test_a_wrong_value_is_told_what_is_possible(client: FlaskClient, query: str, words: tuple[str, ...]) -> None:
    check_error(client.post(f"/v1/explain?{query}", data=SEVEN), 400, "invalid_option", words)


@pytest.mark.parametrize("name", ["nSamples", "n-samples", "N_SAMPLES", "samples"])
def test_an_unknown_option_is_told_the_nearest(client: FlaskClient, name: str) -> None:
    response = client.post("/v1/explain", data=SEVEN, query_string={"method": "lime", name: "50"})
    check_error(response, 400, "unknown_option", (repr(name), "did you mean 'n_samples'?"))
