"""Physical bytes of a compressed object: zsmalloc's size classes.

Rule (mm/zsmalloc.c and docs.kernel.org/mm/zsmalloc.html):
an object needs its length plus an 8-byte handle; classes are 16 bytes apart
from 32 to 4096; a class chains the number of pages, at most 8, that wastes
least; neighbouring classes with equal chain and object count merge upward. An
object costs its share of a zspage at full occupancy; fragmentation is left
out.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.units import PAGE_SIZE

HANDLE_BYTES = 8
CLASS_STEP = 16
MIN_CLASS = 32
CHAIN_SIZE = 8  # CONFIG_ZSMALLOC_CHAIN_SIZE default

SHARE_BITS = 20
"""Footprints are whole numbers of 2**-20 bytes, rounded down, so that sums are exact."""


class SizeClass(NamedTuple):
    """One class: object size in bytes, pages of a zspage, objects in it."""

    size: int
    pages: int
    objects: int


def _chain(size: int) -> int:
    if size & (size - 1) == 0:
        return 1
    return min(range(1, CHAIN_SIZE + 1), key=lambda k: (k * PAGE_SIZE % size, k))


@cache
def size_classes() -> tuple[SizeClass, ...]:
    """List the merged classes, smallest first.

    Examples
    --------
    >>> len(size_classes()), size_classes()[-1]
    (119, SizeClass(size=4096, pages=1, objects=1))
    """
    merged: list[SizeClass] = []
    for size in range(PAGE_SIZE, MIN_CLASS - 1, -CLASS_STEP):
        chain = _chain(size)
        objects = chain * PAGE_SIZE // size
        if not merged or merged[-1][1:] != (chain, objects):
            merged.append(SizeClass(size, chain, objects))
    return tuple(reversed(merged))


def class_of(length: int) -> SizeClass:
    """Find the class that an object of ``length`` bytes is stored in.

    Examples
    --------
    >>> class_of(2048), class_of(3625)
    (SizeClass(size=2176, pages=8, objects=15), SizeClass(size=4096, pages=1, objects=1))
    """
    need = min(length + HANDLE_BYTES, PAGE_SIZE)
    return next(c for c in size_classes() if c.size >= need)


@cache
def footprint_table() -> NDArray[np.int64]:
    """Give the footprint of every length.

    Returns
    -------
    footprint : (4097,) units of 2**-20 bytes, indexed by length in bytes
    """
    classes = [class_of(length) for length in range(PAGE_SIZE + 1)]
    shares = [(c.pages * PAGE_SIZE << SHARE_BITS) // c.objects for c in classes]
    table = np.array(shares, dtype=np.int64)
    table.flags.writeable = False
    return table
