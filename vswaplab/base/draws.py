"""Counted randomness: a draw depends on (seed, index, purpose) and on nothing else.

So results cannot depend on how accesses were batched.
The generator is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA
2014) applied to a mix of the three numbers; the scalar and the array form
give the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.checks import whole
from vswaplab.base.errors import InputError, shown

MASK = (1 << 64) - 1
MOST_SEED = (1 << 63) - 1
"""Largest seed anywhere: tables keep it in 64 bits, and seeds that differ by 2**64 would draw the same."""
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_INDEX = 0xD1B54A32D192ED03

REDRAW = 1  # does this write change the page's content?
CHOICE = 2  # which content does it get?
CONTENT = 3  # which region of the corpus does a synthetic page belong to?
MAKER = 4  # seeds of the synthetic makers' parts
SAMPLE = 5  # which group does a page belong to when only some are looked at?
DESIGN = 6  # points of a random design


def checked_seed(seed: object) -> int:
    """Check a seed, a whole number of at least 0 and below 2**63; give it as an int."""
    return whole("seed", seed, 0, MOST_SEED, expected="a whole number of at least 0 and below 2**63")


def checked_seeds(seeds: object) -> list[int]:
    """Check a list of seeds, at least one and none twice; give them as ints."""
    is_list = isinstance(seeds, Iterable) and not isinstance(seeds, str | bytes)
    numbers = [checked_seed(seed) for seed in seeds] if is_list else []  # type: ignore[attr-defined]
    if not numbers or len(set(numbers)) < len(numbers):
        raise InputError(f"seeds must be different whole numbers of at least 0, such as range(5), got {shown(seeds)}")
    return numbers


def draw(seed: int, index: int, purpose: int) -> int:
    """Draw one 64-bit number.

    Examples
    --------
    >>> draw(0, 7, REDRAW) == draw(0, 7, REDRAW) != draw(0, 8, REDRAW)
    True
    """
    z = (seed * _GOLDEN + index * _INDEX + purpose * _MIX_1) & MASK
    z = ((z ^ (z >> 30)) * _MIX_1) & MASK
    z = ((z ^ (z >> 27)) * _MIX_2) & MASK
    return z ^ (z >> 31)


def draws(seed: int, indexes: NDArray[np.int64], purpose: int) -> NDArray[np.uint64]:
    """Draw one 64-bit number for each index; equal to ``draw`` element by element.

    Examples
    --------
    >>> [int(d) for d in draws(3, np.array([5, 6]), CHOICE)] == [draw(3, 5, CHOICE), draw(3, 6, CHOICE)]
    True
    """
    start = np.uint64((seed * _GOLDEN + purpose * _MIX_1) & MASK)
    z = indexes.astype(np.uint64) * np.uint64(_INDEX) + start
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_MIX_1)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_MIX_2)
    return z ^ (z >> np.uint64(31))


def threshold(probability: float) -> int:
    """Turn a probability into the bound that a draw's upper 53 bits must stay below.

    Examples
    --------
    >>> threshold(0.0), threshold(1.0) == 2**53
    (0, True)
    """
    return int(probability * (1 << 53))
