"""Our methods against the packages that people know them from, on the same model in the same process."""

import warnings
from typing import Any

import numpy as np
import pytest

from server.explainers.lime import Lime, superpixels
from server.explainers.shapley import Shapley
from server.types import Array, Model, Target
from tests.fakes import CLASSES, Linear, Square, Wavy, ink

pytestmark = pytest.mark.filterwarnings("default")  # the packages' own warnings are not ours to mend


def lime_package(model: Model, image: Array, seed: int, kernel_size: float, samples: int) -> Any:
    """The package's explanation over our superpixels, of every class."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lime.lime_image import LimeImageExplainer
    segments = superpixels(image, kernel_size)
    classes = len(model.card.classes)
    return LimeImageExplainer(random_state=seed).explain_instance(
        image,
        lambda pictures: model.forward(pictures[..., 0].astype(np.float32)),
        top_labels=classes,
        num_samples=samples,
        segmentation_fn=lambda _: segments,
    )


def agrees_with_lime(model: Model, image: Array, seed: int, kernel_size: float = 1.0, samples: int = 1000) -> None:
    """Coefficients and intercept of every class to 1e-6; R2 of the top one, which is all that the package keeps."""
    theirs = lime_package(model, image, seed, kernel_size, samples)
    for index in range(len(model.card.classes)):
        ours = next(Lime(samples, kernel_size).refine(model, image, Target.of_class(index, model.card.classes), seed))
        assert ours.segment_values is not None
        expected = [value for _, value in sorted(theirs.local_exp[index])]
        assert ours.segment_values == pytest.approx(expected, abs=1e-6)
        assert ours.base_value == pytest.approx(theirs.intercept[index], abs=1e-6)
        if index == theirs.top_labels[0]:
            assert ours.local_r2 == pytest.approx(theirs.score, abs=1e-6)


@pytest.mark.parametrize("fake", [Linear, Square, Wavy])
@pytest.mark.parametrize("seed", [0, 11])
def test_lime_gives_what_the_lime_package_gives(fake: Any, seed: int) -> None:
    agrees_with_lime(fake(), ink(seed), seed)


def test_the_lime_oracle_rejects_another_seed() -> None:
    """The seed matters to the sixth digit, so agreement is not for lack of attention."""
    found = next(Lime().refine(Square(), ink(), Target.of_class(1, ("0", "1", "2")), 1))
    other = next(Lime().refine(Square(), ink(), Target.of_class(1, ("0", "1", "2")), 2))
    assert np.abs(found.segment_values - other.segment_values).max() > 1e-4


def test_shapley_gives_what_shaps_exact_explainer_gives() -> None:
    shap = pytest.importorskip("shap")
    model = Square()
    image = ink(4)
    image[:, 4:] = 0  # ink in eight of the sixteen cells
    ours = next(Shapley().refine(model, image, Target.of_class(2, tuple(str(k) for k in range(CLASSES))), 0))
    assert ours.segment_values is not None and ours.segments is not None
    segments = ours.segments
    players = np.unique(segments[image > 0])

    def worth(kept: Array) -> Array:
        pictures = [np.where(np.isin(segments, players[row.astype(bool)]), image, 0) for row in kept]
        return model.forward(np.array(pictures, np.float32))[:, 2]

    theirs = shap.explainers.Exact(worth, np.zeros((1, len(players))))(np.ones((1, len(players))))
    assert ours.segment_values[players] == pytest.approx(theirs.values[0], abs=1e-6)
    assert ours.base_value == pytest.approx(float(theirs.base_values[0]), abs=1e-6)
