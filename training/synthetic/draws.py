"""Seeded random numbers in two splits: every range is cut into ten bands, of which held-out drawings use three and
trained ones the others. So no style parameter of a held-out drawing has a value that was ever trained on, while all of
them lie between trained ones."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

HELD_OUT_BANDS = (2, 5, 8)  # tenths of every range
TRAINED_BANDS = tuple(band for band in range(10) if band not in HELD_OUT_BANDS)


class Draws:
    """Random numbers that are reproducible from (seed, index, stream); `held_out` says of which split they are.

    The `rng` is for what is no parameter of a style: noise, order, places.
    """

    def __init__(self, seed: int, index: int, stream: int, held_out: bool = False) -> None:
        self.rng = np.random.default_rng((seed, index, stream, held_out))
        self._bands = HELD_OUT_BANDS if held_out else TRAINED_BANDS

    def __call__(self, low: float, high: float) -> float:
        """A number between `low` and `high`, uniform over the bands of this split."""
        place = self.rng.random() * len(self._bands)
        return low + (high - low) * (self._bands[int(place)] + place % 1) / 10

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[int(self.rng.random() * len(choices))]
