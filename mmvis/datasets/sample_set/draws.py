"""Random draws whose values are the same on every machine and under every NumPy."""
from typing import List, Sequence, TypeVar

import numpy as np

T = TypeVar('T')


class Draws:
    """Draws from a seed.

    Only the raw doubles of PCG64 are used: NumPy promises them for good, but not the streams of ``choice``,
    ``permutation`` and the like.
    """

    def __init__(self, *seed: int) -> None:
        self._rng = np.random.Generator(np.random.PCG64(seed))

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(self._rng.random())

    def integer(self, low: int, high: int) -> int:
        """An integer in low .. high, both included."""
        return low + int(self._rng.random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        return bool(self._rng.random() < probability)

    def pick(self, items: Sequence[T]) -> T:
        return items[self.integer(0, len(items) - 1)]

    def shuffled(self, items: Sequence[T]) -> List[T]:
        keys = self._rng.random(len(items))
        return [items[i] for i in np.argsort(keys, kind='stable')]

    def array(self, *shape: int) -> np.ndarray:
        """float64 in [0, 1)."""
        return self._rng.random(shape)
