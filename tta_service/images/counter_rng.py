"""A counter-based random generator: the draws of view i depend on (seed, i) only.

It is SplitMix64's finaliser (Steele, Lea, Flood, OOPSLA 2014, doi:10.1145/2660193.2660195) over a counter, in integers.
So the numbers are the same on every platform and in every version, and views share no state.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GOLDEN = 0x9E3779B97F4A7C15  # 2⁶⁴ divided by the golden ratio


def uniforms(seed: int, views: int, draws: int) -> NDArray[np.float64]:
    """[v, draws] numbers in [0, 1): row i is for view i of `seed`, of which the lowest 64 bits are used."""
    view = _mix(_steps(views) + _mix(np.array([seed % 2**64], np.uint64)))  # [v]
    word = _mix(view[:, None] + _steps(draws))  # [v, draws]
    return (word >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _steps(count: int) -> NDArray[np.uint64]:
    return np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLDEN)  # overflow is intended


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
