"""LIME by the lime package: LimeImageExplainer."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from server.explainers.lime import cautions
from server.explainers.perturbation import CHUNK, spread
from server.explainers.segmentation import Segmentation, segment
from server.options import option
from server.reference.exclusive import seeded_global_rng
from server.reference.score import ScoreFunction
from server.types import Array, Attribution, Model, Target, Verb


@dataclass(frozen=True)
class LimePackage:
    """LimeImageExplainer(random_state=seed).explain_instance over the segments that our lime takes.

    It is given one output, the target's score, where people often give it all classes: the coefficients are the same,
    and the package keeps `score`, our `local_r2`, of the last output that it fits alone. Cost: n_samples forwards, as
    it does not notice masks that it draws again, and one of ours for the score.
    """

    name: ClassVar[str] = "lime"
    revision: ClassVar[int] = 1
    packages: ClassVar[tuple[str, ...]] = ("lime",)
    summary: ClassVar[str] = "LimeImageExplainer of the lime package, over the same segments and from the same seed."
    needs: ClassVar[frozenset[Verb]] = frozenset({"forward"})
    signed: ClassVar[bool] = True
    complete: ClassVar[bool] = False
    paper: ClassVar[str] = (
        "Ribeiro et al., Why Should I Trust You? (2016), doi:10.1145/2939672.2939778, arXiv:1602.04938; "
        "package lime, github.com/marcotcr/lime"
    )

    n_samples: int = option(1000, "sampled masks, the unmasked image included", 10, 20000)
    segmentation: Segmentation = option("quickshift", "how the image is cut; always into at least 5 segments")
    kernel_size: float = option(1.0, "of quickshift: pixels; larger gives fewer superpixels", 1.0, 6.0)
    n_segments: int = option(16, "of slic and grid: about how many segments", 5, 49)
    compat: bool = option(False, "the package cuts the image itself, which gives most digits one or two superpixels")

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        score = ScoreFunction(model, target)
        with seeded_global_rng(seed):
            full = float(score(image[None])[0])
            found = self._explain(score, image, seed)
        (fitted,) = found.local_exp.values()
        coefficients = np.array([value for _, value in sorted(fitted)])
        intercept, r2 = float(found.intercept[0]), float(found.score)
        yield Attribution(
            spread(coefficients, found.segments), "logit", "converged", score.rows,
            segments=found.segments, segment_values=coefficients, score=full, base_value=intercept,
            convergence_delta=float(coefficients.sum() + intercept - full), local_r2=r2,
            warnings=cautions(len(coefficients), r2),
        )  # fmt: skip

    def _explain(self, score: ScoreFunction, image: Array, seed: int) -> Any:
        """The package's ImageExplanation of output 0, the score."""
        from lime import lime_image

        lime_image.tqdm = iter  # else a progress bar in the server's log; this version has no switch for it
        segments = None if self.compat else segment(image, self.segmentation, self.kernel_size, self.n_segments)
        return lime_image.LimeImageExplainer(random_state=seed).explain_instance(
            image,
            lambda pictures: score(pictures[..., 0])[:, None],  # it makes the image (H, W, 3)
            labels=(0,),
            top_labels=None,
            num_samples=self.n_samples,
            batch_size=CHUNK,  # more than its 10 at once, which changes no value
            segmentation_fn=None if segments is None else lambda _: segments,
        )
