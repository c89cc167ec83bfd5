"""Keeps the few of many that have the lowest keys."""

import heapq
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from server.types import Array

T = TypeVar("T")


class KSmallest(Generic[T]):
    """The things with the lowest keys of all that were given, at most so many; of equal keys, those with the lowest
    numbers. Which they are does not depend on the order in which they were given."""

    def __init__(self, most: int) -> None:
        self._most = most
        # keys and numbers less than 0, so that the worst comes first; what is given later comes before its equals
        self._heap: list[tuple[float, int, int, T]] = []
        self._given = 0

    def add(self, keys: Array, numbers: Array, make: Callable[[int], T]) -> None:
        """Things with these keys (n,) and numbers (n,), each another, those with infinite keys left out; `make` makes
        the one at an index where it is kept."""
        order = np.lexsort((numbers, keys))[: self._most]
        for at in order[np.isfinite(keys[order])].tolist():
            place = -float(keys[at]), -int(numbers[at]), -self._given
            self._given += 1
            if len(self._heap) < self._most:
                heapq.heappush(self._heap, (*place, make(at)))
            elif place > self._heap[0][:3]:
                heapq.heapreplace(self._heap, (*place, make(at)))
            else:
                break  # the next ones are higher still

    def ascending(self) -> list[T]:
        """What is kept, the lowest first."""
        return [one for *_, one in sorted(self._heap, key=lambda entry: entry[:3], reverse=True)]


def scrambled(numbers: Array) -> Array:
    """A key for each of these numbers (n,) from 0, as if drawn, and always the same: those with the lowest are an even
    sample. The finaliser of SplitMix64 (Steele et al. 2014, doi:10.1145/2660193.2660195)."""
    mixed = (np.asarray(numbers).astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))).astype(np.float64)
