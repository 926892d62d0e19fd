"""Which page an access really means when several processes map a page.

A page may have up to eight mappers. A write by one of several gives the
writer a page of its own, and from then on its accesses to the old number mean
the copy; a free by one of several only takes that mapper away. Who has left a
page, and when, follows from the trace alone, wherever the page lies, so it is
worked out once, for all accesses together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.backing import MAX_MAPPERS, Op

UNMAP = len(Op)
"""Op of a free by one of several mappers: it takes nothing but that mapper away."""

_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Sharing:
    """A trace's accesses with every copy under its own number.

    Arrays are (n_accesses,) unless said otherwise.
    """

    page: NDArray[np.int32]
    """The page that is meant: the mapper's own copy, if it has one."""
    op: NDArray[np.uint8]
    """As in the trace, or ``UNMAP``."""
    copied_from: NDArray[np.int32]
    """Page that a write copies for its writer, -1: none."""
    leaves: NDArray[np.int32]
    """Page that the access's mapper leaves, by a copy or an unmap, -1: none."""
    is_further: NDArray[np.bool_]
    """First touch of the page by a mapper that did not bring it in."""
    n_pages: int
    """Pages, own copies included."""
    mappers: NDArray[np.uint8]
    """(n_pages,) mapper set of each page at the start, one bit a mapper."""
    root: NDArray[np.int32]
    """(n_pages,) page of the trace that each page descends from."""


def resolve(
    page: NDArray[np.int32], op: NDArray[np.uint8], mapper: NDArray[np.uint8], mappers: NDArray[np.uint8]
) -> Sharing:
    """Follow every mapper of every shared page through a trace.

    Parameters
    ----------
    page, op, mapper : (n_accesses,)
    mappers : (n_pages,)
        Mapper set of each page at the start, one bit a mapper.
    """
    is_shared = np.bitwise_count(mappers) > 1
    at = np.flatnonzero(is_shared[page])
    # A pair is one mapper of one shared page; its accesses in time order.
    pair = page[at].astype(np.int64) * MAX_MAPPERS + mapper[at]
    order = np.lexsort((at, pair))
    at, pair = at[order], pair[order]
    leaving = _departures(at, pair, op[at], mappers)
    return _renumber(page, op, mapper, mappers, at, pair, leaving)


def _departures(
    at: NDArray[np.int64], pair: NDArray[np.int64], op: NDArray[np.uint8], mappers: NDArray[np.uint8]
) -> NDArray[np.int64]:
    # (n,) access at which the pair of each access leaves its page; _NEVER for the last mapper of a page.
    n_pairs = mappers.size * MAX_MAPPERS
    first = np.full(n_pairs, _NEVER)
    acts = np.flatnonzero(op != Op.READ)[::-1]
    first[pair[acts]] = at[acts]  # reversed: the earliest write or free stays
    left = np.flatnonzero(first < _NEVER)
    left = left[np.lexsort((first[left], left // MAX_MAPPERS))]
    owner = left // MAX_MAPPERS
    starts = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
    rank = np.arange(left.size) - np.repeat(starts, np.diff(np.r_[starts, left.size]))
    is_last = rank >= np.bitwise_count(mappers)[owner].astype(np.int64) - 1
    first[left[is_last]] = _NEVER
    return first[pair]


def _renumber(
    page: NDArray[np.int32],
    op: NDArray[np.uint8],
    mapper: NDArray[np.uint8],
    mappers: NDArray[np.uint8],
    at: NDArray[np.int64],
    pair: NDArray[np.int64],
    leaving: NDArray[np.int64],
) -> Sharing:
    n_pages = mappers.size
    acts = op[at]
    is_gone = at >= leaving
    # A mapper gets its own page at the write it leaves by, or at its first access after the free it left by.
    is_birth = is_gone & (acts != Op.FREE)
    pairs_first = np.ones(at.size, np.bool_)
    births_so_far = is_birth.cumsum()
    pairs_first[1:] = pair[1:] != pair[:-1]
    before_pair = np.repeat(
        (births_so_far - is_birth)[pairs_first], np.diff(np.r_[np.flatnonzero(pairs_first), at.size])
    )
    births_in_pair = births_so_far - before_pair
    is_birth &= births_in_pair == 1
    born = np.flatnonzero(is_birth)
    number = np.full(mappers.size * MAX_MAPPERS, -1, np.int64)
    number[pair[born][np.argsort(at[born])]] = n_pages + np.arange(born.size)
    has_own = is_gone & (births_in_pair >= 1)

    meant, what = page.copy(), op.copy()
    copied_from, leaves = np.full(page.size, -1, np.int32), np.full(page.size, -1, np.int32)
    meant[at[has_own]] = number[pair[has_own]]
    in_limbo = is_gone & ~has_own  # left by a free, not back yet: nothing is there to free again
    what[at[in_limbo]] = UNMAP
    goes = at == leaving
    leaves[at[goes]] = page[at[goes]]
    copies = goes & (acts == Op.WRITE)
    copied_from[at[copies]] = page[at[copies]]

    by_time = born[np.argsort(at[born])]
    own_bits = (1 << mapper[at[by_time]]).astype(np.uint8)
    root = np.concatenate((np.arange(n_pages, dtype=np.int32), page[at[by_time]]))
    everyone = np.concatenate((mappers, own_bits))
    return Sharing(
        page=meant,
        op=what,
        copied_from=copied_from,
        leaves=leaves,
        is_further=_further_touches(meant, what, mapper, everyone),
        n_pages=n_pages + born.size,
        mappers=everyone,
        root=root,
    )


def _further_touches(
    page: NDArray[np.int32], op: NDArray[np.uint8], mapper: NDArray[np.uint8], mappers: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    # First touch by each mapper since the page appeared, but for the one that made it appear.
    further = np.zeros(page.size, np.bool_)
    at = np.flatnonzero((np.bitwise_count(mappers) > 1)[page] & (op != UNMAP))
    at = at[np.lexsort((at, page[at]))]
    is_free = op[at] == Op.FREE
    starts = np.ones(at.size, np.bool_)
    starts[1:] = (page[at][1:] != page[at][:-1]) | is_free[:-1]
    life = starts.cumsum()
    touched = np.flatnonzero(~is_free)
    order = touched[np.lexsort((touched, mapper[at[touched]], life[touched]))]
    is_first = np.ones(order.size, np.bool_)
    same_life = life[order][1:] == life[order][:-1]
    is_first[1:] = ~(same_life & (mapper[at[order]][1:] == mapper[at[order]][:-1]))
    further[at[order[is_first]]] = True
    further[at[touched[starts[touched]]]] = False
    return further
