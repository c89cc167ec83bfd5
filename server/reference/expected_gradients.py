"""Expected gradients by the shap package: GradientExplainer."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from server.errors import MethodNotPossible
from server.options import option
from server.reference.exclusive import seeded_global_rng
from server.reference.keras_model import KerasModel
from server.reference.score import ScoreFunction
from server.types import Array, Attribution, Model, Target, Verb


@dataclass(frozen=True)
class ExpectedGradientsPackage:
    """GradientExplainer over the SavedModel's graph as a keras.Model with one output, the target's score; the
    background is that of the card.

    The package draws background and step at random and says neither a base value nor how far the values miss the sum:
    base_value is the mean score of the background, and the gap is reported. `stderr` comes from what it calls
    variances, which are var / sqrt(n). It cannot be stopped once it has begun, so the clock is looked at just before.
    Cost: n_samples gradients, a forward for each of the background, two for the image, and seconds to trace an LSTM.
    """

    name: ClassVar[str] = "expected_gradients"
    revision: ClassVar[int] = 1
    packages: ClassVar[tuple[str, ...]] = ("shap", "tensorflow")
    summary: ClassVar[str] = "GradientExplainer of the shap package, over the model's background."
    needs: ClassVar[frozenset[Verb]] = frozenset({"gradient"})
    signed: ClassVar[bool] = True
    complete: ClassVar[bool] = True
    paper: ClassVar[str] = (
        "Erion et al., Learning Explainable Models Using Attribution Priors (2019), arXiv:1906.10670; "
        "package shap, github.com/shap/shap"
    )

    n_samples: int = option(200, "gradients", 10, 2000)

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        if not isinstance(model, KerasModel):
            raise MethodNotPossible(
                f"GradientExplainer takes a Keras model and {model.card.name} cannot be had as one; use engine=inkling"
            )
        background = model.card.background
        score = ScoreFunction(model, target)
        with seeded_global_rng(seed):
            keras_model = model.score_of(target)
            base = float(score(background).mean())
            full = float(score(image[None])[0])
            values, variances = _explainer(keras_model, _ByIdentity(background)).shap_values(
                image[None], nsamples=self.n_samples, rseed=seed, return_variances=True
            )
        found = values[0, ..., 0]  # (1, H, W, 1): of one image and one output
        yield Attribution(
            found, "logit", "converged", self.n_samples + 1 + score.rows,  # 1: it asks for the image's own score
            score=full, base_value=base, convergence_delta=float(found.sum() - (full - base)),
            stderr=np.sqrt(variances[0][0] / np.sqrt(self.n_samples)),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _ByIdentity:
    """An array that is equal to itself only, for a cache."""

    array: Array

    def __hash__(self) -> int:
        return id(self.array)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and other.array is self.array


@lru_cache(maxsize=8)
def _explainer(keras_model: Any, background: _ByIdentity) -> Any:
    """The package's explainer, which traces its graphs once and then keeps them."""
    import shap

    return shap.GradientExplainer(keras_model, background.array)
