"""Our methods against the packages that people know them from, on the same model in the same process."""

import warnings
from typing import Any

import numpy as np
import pytest

from server.explainers.lime import Lime
from server.explainers.segmentation import Segmentation, segment, superpixels
from server.explainers.shapley import Shapley
from server.types import Array, Model, Target
from tests.support.models.fakes import CLASSES, Linear, Square, Wavy, ink, make_card

pytestmark = pytest.mark.filterwarnings("default")  # the packages' own warnings are not ours to mend


def lime_package(model: Model, image: Array, seed: int, segments: Array | None, samples: int) -> Any:
    """The package's explanation of every class, over our segments or, without, over its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lime.lime_image import LimeImageExplainer
    classes = len(model.card.classes)
    return LimeImageExplainer(random_state=seed).explain_instance(
        image,
        lambda pictures: model.forward(pictures[..., 0].astype(np.float32)),
        top_labels=classes,
        num_samples=samples,
        segmentation_fn=None if segments is None else lambda _: segments,
    )


def agrees_with_lime(
    model: Model, image: Array, seed: int, how: Segmentation = "quickshift", compat: bool = False, within: float = 1e-6
) -> None:
    """Coefficients and intercepts of all classes within so much; R2 of the top one, which is all that it keeps."""
    reference = lime_package(model, image, seed, None if compat else segment(image, how, 1.0, 16), 1000)
    explainer = Lime(segmentation=how, baseline="colours", compat=compat)
    for index in range(len(model.card.classes)):
        *_, computed = explainer.refine(model, image, Target.of_class(index, model.card.classes), seed)
        assert computed.segment_values is not None
        expected = [value for _, value in sorted(reference.local_exp[index])]
        assert computed.segment_values == pytest.approx(expected, abs=within)
        assert computed.base_value == pytest.approx(reference.intercept[index], abs=within)
        if index == reference.top_labels[0]:
            assert computed.local_r2 == pytest.approx(reference.score, abs=within)


@pytest.mark.parametrize("fake", [Linear, Square, Wavy])
@pytest.mark.parametrize("seed", [0, 11])
def test_lime_gives_what_the_lime_package_gives(fake: Any, seed: int) -> None:
    agrees_with_lime(fake(), ink(seed), seed)


@pytest.mark.parametrize("how", ["slic", "grid"])
def test_other_segmentations_are_fitted_alike(how: Segmentation) -> None:
    agrees_with_lime(Square(), ink(2), 5, how)


def test_compat_gives_the_packages_own_segments() -> None:
    """Nothing is handed over but the image: the package cuts it itself."""
    image = ink(1, side=28)
    agrees_with_lime(Square(make_card(side=28)), image, 4, compat=True)
    assert superpixels(image, 4.0).max() < superpixels(image, 1.0).max()


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
    computed = next(
        Shapley(grid=4, baseline="black").refine(
            model, image, Target.of_class(2, tuple(str(k) for k in range(CLASSES))), 0
        )
    )
    assert computed.segment_values is not None and computed.segments is not None
    segments = computed.segments
    players = np.unique(segments[image > 0])

    def worth(kept: Array) -> Array:
        pictures = [np.where(np.isin(segments, players[row.astype(bool)]), image, 0) for row in kept]
        return model.forward(np.array(pictures, np.float32))[:, 2]

    reference = shap.explainers.Exact(worth, np.zeros((1, len(players))))(np.ones((1, len(players))))
    assert computed.segment_values[players] == pytest.approx(reference.values[0], abs=1e-6)
    assert computed.base_value == pytest.approx(float(reference.base_values[0]), abs=1e-6)
