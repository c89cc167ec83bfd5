"""One yardstick for all methods: how much better a map's order of pixels is than none, the same for every map.

Methods cannot be compared by measures that take each map's own cells or its own baseline. Here single pixels are
taken away and put back for all alike, and what is taken away is replaced in three ways, so that no method's baseline
is favoured.
"""

import numpy as np

from server.types import Array, Model, Target
from training.referee.maps import pixel_order

STEPS = 10  # of a curve
BACKGROUND = 4  # background images that stand for all


class Yardstick:
    """Insertion less deletion over equal shares of change, of one image and target; 0 is no order.

    A pixel's change is |x - b| for a baseline b: black paper, the mean of the background images, and some of these.
    Pixels are replaced by b in the map's order until a share k / STEPS of all change is gone (deletion), or put back
    on b until that share is there (insertion). The areas' difference is related to f(x) - f(b), by the means of both
    over pictures: of a single one that may be next to nothing. The three kinds of baselines count equally.

    Petsiuk et al., RISE (2018), arXiv:1806.07421, by amount of change instead of number of pixels, so that a map does
    not win by naming empty paper first. Not RemOve And Retrain (Hooker et al. 2019, arXiv:1806.10758): nothing is
    trained again, so pictures with pixels gone are unlike those that the net knows, which three baselines soften and do
    not mend.
    """

    def __init__(self, model: Model, image: Array, target: Target) -> None:
        background = model.card.background
        some = background[np.linspace(0, len(background), BACKGROUND, endpoint=False).astype(int)]
        self._model, self._image, self._target = model, image, target
        self._kinds = (np.zeros((1, *image.shape), np.float32), background.mean(axis=0, keepdims=True), some)
        whole = float(self._scores(image[None])[0])
        self.spans = np.array([whole - float(self._scores(kind).mean()) for kind in self._kinds])  # (3,)

    def __call__(self, strengths: Array, seed: int = 0) -> Array:
        """The areas (3,), one for each kind of baseline, of the order of `strengths` (H, W), largest first; equal ones
        in the random order of `seed`."""
        order = pixel_order(strengths, seed)
        found = []
        for kind in self._kinds:
            deletion, insertion = np.mean([self._curves(order, baseline) for baseline in kind], axis=0)
            found.append(float(np.trapezoid(insertion - deletion, dx=1 / STEPS)))
        return np.array(found)

    def _curves(self, order: Array, baseline: Array) -> Array:
        """The score while pixels go, and while they come back: (2, STEPS + 1)."""
        change = np.abs(self._image - baseline).ravel()[order].astype(np.float64)
        done = np.concatenate([[0.0], np.cumsum(change)])
        counts = np.searchsorted(done, done[-1] * np.arange(STEPS + 1) / STEPS - 1e-9)
        place = np.empty(len(order), int)
        place[order] = np.arange(len(order))
        gone = (place[None] < counts[:, None]).reshape(-1, *self._image.shape)
        pictures = np.concatenate([np.where(gone, baseline, self._image), np.where(gone, self._image, baseline)])
        return self._scores(pictures).reshape(2, -1)

    def _scores(self, images: Array) -> Array:
        return self._target.score(self._model.forward(images.astype(np.float32)))


def summed_up(areas: Array, spans: Array) -> tuple[float, float]:
    """The yardstick of a method from its areas (n, 3) and the spans (n, 3) of n pictures, and half of its 95 %
    interval: a ratio of means, whose error is that of its first-order terms."""
    means = spans.mean(axis=0)
    ratios = areas.mean(axis=0) / means
    terms = ((areas - ratios * spans) / means).mean(axis=1)
    return float(ratios.mean()), 1.96 * float(terms.std(ddof=1)) / len(terms) ** 0.5
