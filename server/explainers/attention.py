"""Attention: how much the net's own attention pooling let each part of the image count."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from server.explainers.perturbation import score_of
from server.types import Array, Attribution, Model, Target, Verb


@dataclass(frozen=True)
class Attention:
    """a = the learned pooling shares, spread evenly over the pixels that each of them stands for; they sum to 1.

    Cost: one row through the graph of features, one forward. It is the same for every target: attention says where the
    net looked, not what for, and a net may look where it learns nothing (Jain & Wallace 2019, arXiv:1902.10186).
    """

    name: ClassVar[str] = "attention"
    revision: ClassVar[int] = 1
    summary: ClassVar[str] = "Where a net with attention pooling looked; the same for every target."
    needs: ClassVar[frozenset[Verb]] = frozenset({"features", "attention"})
    signed: ClassVar[bool] = False
    complete: ClassVar[bool] = False
    paper: ClassVar[str] = (
        "Bahdanau et al., Neural Machine Translation by Jointly Learning to Align (2014), arXiv:1409.0473"
    )

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        attention = model.features(image[None], target.weights[None]).attention
        assert attention is not None  # promised by `needs`
        score = float(score_of(model, image[None], target)[0])
        yield Attribution(attention[0], "share", "exact", rows=2, score=score)
