"""The versions that are shipped, against the contract of model_store/README.md and the numbers on their cards."""

import io
import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from benchmarks.store import STORE
from server.explainers import EXPLAINERS, methods_for
from server.models.wrappers import ProbabilityModel, probabilities_of
from tests.explainers.test_oracles import agrees_with_lime
from tests.support.mnist import mnist_path, mnist_test
from tests.support.models.nets import card, digits, folder, net, one, twin
from training import data, evaluate

NETS = {"mlp": 0.992, "cnn": 0.995, "lstm": 0.990}  # and the accuracy on MNIST's test images that each must reach
METHODS = {"mlp": 11, "cnn": 13, "lstm": 12}

pytestmark = pytest.mark.parametrize("name", NETS)


def test_every_file_is_what_the_card_says(name: str) -> None:
    stored = json.loads((folder(name) / "assets.extra" / "model_card.json").read_text())
    on_disk = {path.relative_to(folder(name)).as_posix() for path in folder(name).rglob("*") if path.is_file()}
    assert on_disk - set(stored["files"]) == {"assets.extra/model_card.json"}
    assert card(name).name == name  # read_card compared the hashes


def test_the_twin_answers_like_the_savedmodel(name: str) -> None:
    computed, reference = twin(name).forward(digits()), net(name).forward(digits())
    assert np.abs(computed - reference).max() < 1e-4
    assert np.abs(reference).max() > 1  # an answer, not zeros


def test_a_row_does_not_depend_on_its_neighbours(name: str) -> None:
    together = net(name).forward(digits()[:100])
    for count in (1, 2, 7, 33):
        assert np.abs(net(name).forward(digits()[:count]) - together[:count]).max() < 1e-5
    weights = np.repeat(one(name).weights[None], 100, axis=0)
    slopes = net(name).gradient(digits()[:100], weights)
    assert np.abs(net(name).gradient(digits()[:1], weights[:1]) - slopes[:1]).max() < 1e-5


def test_probabilities_are_those_of_the_card(name: str) -> None:
    trackable = tf.saved_model.load(str(folder(name)))
    images = digits()[:20]
    outputs = trackable.signatures["serving_default"](images=tf.constant(images))
    computed = probabilities_of(net(name).forward(images), card(name).temperature)
    assert outputs["probabilities"].numpy() == pytest.approx(computed, abs=1e-6)


def test_pictures_as_bytes_give_what_their_pixels_give(name: str) -> None:
    pixels = (digits()[:3] * 255).round().astype(np.uint8)
    bodies = []
    for picture in pixels:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        bodies.append(buffer.getvalue())
    trackable = tf.saved_model.load(str(folder(name)))
    by_bytes = trackable.signatures["serving_bytes"](image_bytes=tf.constant(bodies))["logits"].numpy()
    assert by_bytes == pytest.approx(net(name).forward(pixels / np.float32(255)), abs=1e-4)


def test_the_gradient_is_the_slope(name: str) -> None:
    """Against central differences along random directions, where a ReLU's kinks matter little."""
    image, target = digits()[0].astype(np.float64), one(name)
    slope = net(name).gradient(image[None], target.weights[None])[0]
    rng = np.random.default_rng(0)
    for _ in range(5):
        direction = rng.normal(size=image.shape)
        direction /= np.abs(direction).sum()
        up, down = (target.score(net(name).forward((image + step * direction)[None]))[0] for step in (0.2, -0.2))
        assert (up - down) / 0.4 == pytest.approx((slope * direction).sum(), abs=0.02 * float(np.abs(slope).max()))


def test_features_are_what_the_verbs_say(name: str) -> None:
    weights = np.repeat(one(name).weights[None], 4, axis=0)
    features = net(name).features(digits()[:4], weights)
    assert (features.feature_map is not None) == ("feature_map" in card(name).verbs)
    assert (features.attention is not None) == ("attention" in card(name).verbs)
    if features.attention is not None:
        assert features.attention.sum(axis=(1, 2)) == pytest.approx(np.ones(4), abs=1e-5)
    if features.feature_map is not None:
        assert features.feature_gradient is not None
        doubled = net(name).features(digits()[:4], 2 * weights).feature_gradient
        assert doubled == pytest.approx(2 * features.feature_gradient, rel=1e-4, abs=1e-6)
        assert np.abs(features.feature_gradient).max() > 0


def test_every_method_that_fits_explains(name: str) -> None:
    """Complete methods sum to the score; every map says something."""
    answer = int(net(name).forward(digits()[1:2]).argmax())
    assert len(methods_for(net(name).verbs)) == METHODS[name]
    for method in methods_for(net(name).verbs):
        *_, found = EXPLAINERS[method]().refine(net(name), digits()[1], one(name, answer), 0)
        assert np.isfinite(found.values).all()
        assert np.abs(found.values).max() > 0
        assert found.score == pytest.approx(float(net(name).forward(digits()[1:2])[0, answer]), abs=1e-4)
        if EXPLAINERS[method].complete:
            difference = found.score - found.base_value
            assert found.values.sum() - difference == pytest.approx(found.convergence_delta, abs=1e-6)
            allowed = {"exact": 1e-9, "converged": 0.02, "partial": 0.1}[found.state]
            assert abs(found.convergence_delta) <= allowed * abs(difference)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("output", ["logit", "probability"])
@pytest.mark.parametrize("compat", [False, True])
def test_lime_gives_what_the_lime_package_gives(name: str, output: str, compat: bool) -> None:
    model: Any = net(name) if output == "logit" else ProbabilityModel(net(name))
    # a row's logits differ with the rows beside it by rounding: of logits above 8, float32 has a spacing of 1e-6
    agrees_with_lime(model, digits()[5], seed=3, compat=compat, within=4e-6)


def test_the_background_is_made_of_means(name: str) -> None:
    """No centroid is an image of MNIST."""
    with np.load(mnist_path()) as stored:
        images = np.concatenate([stored["x_train"], stored["x_test"]]).reshape(-1, 784)
    for centroid in card(name).background.reshape(-1, 784):
        near = images[np.argsort(((images - centroid * 255) ** 2).sum(axis=1))[:3]]
        assert np.abs(near - centroid * 255).max(axis=1).min() > 60


def test_the_accuracy_on_the_card_is_measured_and_enough(name: str) -> None:
    images, labels = mnist_test()
    mnist = data.Dataset("mnist", *(np.empty(0),) * 4, images / np.float32(255), labels)
    stored = json.loads((folder(name) / "assets.extra" / "model_card.json").read_text())
    measured = evaluate.evaluate(
        evaluate.logits_by(folder(name)), mnist, stored["temperature"], stored["in_distribution"]["threshold"]
    )
    assert measured["accuracy"] >= NETS[name]
    assert measured == pytest.approx(stored["metrics"], abs=2e-4)


def test_the_store_stays_small(name: str) -> None:
    sizes = {path: path.stat().st_size for path in STORE.rglob("*") if path.is_file()}
    assert sum(sizes.values()) < 16e6
    assert sum(size for path, size in sizes.items() if name in path.parts) > 1e5


def test_the_views_are_those_of_the_net(name: str) -> None:
    views, background = card(name).views, card(name).background
    assert views is not None
    logits = net(name).forward(background)
    assert (logits.argmax(axis=1) == views.classes).all()
    weights = np.eye(10, dtype=np.float32)[views.classes]
    found = np.concatenate([net(name).features(background[i : i + 1], weights[i : i + 1]).embedding for i in range(20)])
    assert found == pytest.approx(views.embeddings[:20], abs=1e-3)
    read = net(name).forward(views.prototypes.astype(np.float32)).argmax(axis=1)
    assert (read == np.arange(10)).all()
    near = np.linalg.norm(views.positions[:, None] - views.positions, axis=2) + 9 * np.eye(len(background))
    assert np.mean(views.classes[near.argmin(axis=1)] == views.classes) > 0.9  # like lies beside like
