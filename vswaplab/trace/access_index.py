"""What each run of a trace would otherwise find out again: when pages are accessed next, where writes and frees are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.backing import Op
from vswaplab.trace.sharing import UNMAP

_AT_ONCE = 1 << 20  # accesses sorted together if there are no more of them
_BLOCK = 1 << 16  # and if there are more


@dataclass(frozen=True)
class AccessIndex:
    """What is known of (n,) accesses beforehand. An unmap is no access to its page."""

    next_at: NDArray[np.int32]
    """(n,) place of the next access to the same page; n: none, -1: an unmap."""
    is_first: NDArray[np.bool_]
    """(n,) no access before it is to the same page; not so of unmaps."""
    write_at: NDArray[np.int32]
    """(writes,) their places, ascending."""
    written: NDArray[np.int32]
    """(writes,) their pages."""
    free_at: NDArray[np.int32]
    """(frees and unmaps,) their places, ascending."""

    def writes(self, start: int, stop: int) -> NDArray[np.int32]:
        """Give the pages of the writes from one place on, before another."""
        return self.written[self.write_at.searchsorted(np.int32(start)) : self.write_at.searchsorted(np.int32(stop))]

    def has_frees(self, start: int, stop: int) -> bool:
        """Say whether there are frees or unmaps from one place on, before another."""
        i = self.free_at.searchsorted(np.int32(start))
        return bool(i < self.free_at.size and self.free_at[i] < stop)


def index_accesses(page: NDArray[np.int32], op: NDArray[np.uint8], n_pages: int) -> AccessIndex:
    """Look through accesses once.

    Parameters
    ----------
    page : (n,) numbers below ``n_pages``
    op : (n,) an ``Op`` each, or ``UNMAP``
    n_pages : int

    Examples
    --------
    >>> index = index_accesses(np.array([7, 8, 7, 7], np.int32), np.array([0, 1, 1, 2], np.uint8), 9)
    >>> index.next_at.tolist(), index.is_first.tolist()
    ([2, 4, 3, 4], [True, True, False, False])
    >>> index.writes(0, 2), index.has_frees(0, 3)
    (array([8], dtype=int32), False)
    """
    n = page.size
    write_at, free_at = (np.flatnonzero(mask).astype(np.int32) for mask in (op == Op.WRITE, op >= Op.FREE))
    acts = np.flatnonzero(op != UNMAP).astype(np.int32) if (op[free_at] == UNMAP).any() else None
    next_at, is_first = _next_accesses(page if acts is None else page[acts], n_pages)
    if acts is not None:
        every_at, every_first = np.full(n, -1, np.int32), np.zeros(n, np.bool_)
        every_at[acts], every_first[acts] = np.append(acts, np.int32(n)).take(next_at), is_first
        next_at, is_first = every_at, every_first
    return AccessIndex(next_at, is_first, write_at, page[write_at], free_at)


def _next_accesses(page: NDArray[np.int32], n_pages: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    # A block at a time, from the last one on: what comes behind it is known of every page.
    n = page.size
    next_at, is_first = np.empty(n, np.int32), np.zeros(n, np.bool_)
    step = n if n <= _AT_ONCE else _BLOCK
    upcoming = np.full(n_pages if n > step else 0, n, np.int32)
    for start in reversed(range(0, n, max(1, step))):
        pages, places, is_last = _by_page(page[start : start + step])
        places += start
        after, firsts = np.append(places[1:], np.int32(n)), np.append(True, is_last[:-1])
        if n > step:
            after[is_last] = upcoming.take(pages[is_last])
            upcoming[pages[firsts]] = places[firsts]
        else:
            after[is_last] = n
            is_first[places[firsts]] = True
        next_at[places] = after
    if n > step:
        is_first[upcoming[upcoming < n]] = True
    return next_at, is_first


def _by_page(page: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.bool_]]:
    # Pages and their places, by page and then by place; and which is a page's last. One packed key sorts fastest.
    shift = int(page.size).bit_length()
    key = (page.astype(np.int64) << shift) | np.arange(page.size)
    key.sort()
    pages = key >> shift
    is_last = np.append(pages[1:] != pages[:-1], True)
    return pages, (key & ((1 << shift) - 1)).astype(np.int32), is_last
