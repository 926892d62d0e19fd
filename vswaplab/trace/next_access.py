"""When the page of each access is accessed next: what a simulation would otherwise find out again in every run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BEYOND = (1 << 31) - 1
"""Place of an access that is not among those looked at."""

_AT_ONCE = 1 << 20  # accesses sorted together if there are no more of them
_BLOCK = 1 << 16  # and if there are more


@dataclass(frozen=True)
class NextAccess:
    """What follows each of several accesses; arrays are (n_accesses,)."""

    at: NDArray[np.int32]
    """Place of the next access to the same page, ``BEYOND``: none."""
    is_first: NDArray[np.bool_]
    """No access before it is to the same page."""


def next_accesses(page: NDArray[np.int32], n_pages: int) -> NextAccess:
    """Find the next access to the page of each access.

    Parameters
    ----------
    page : (n_accesses,) numbers below ``n_pages``
    n_pages : int

    Examples
    --------
    >>> found = next_accesses(np.array([7, 8, 7, 7], np.int32), 9)
    >>> found.at[:3].tolist(), found.is_first.tolist()
    ([2, 2147483647, 3], [True, True, False, False])
    """
    n = page.size
    at, is_first = np.empty(n, np.int32), np.zeros(n, np.bool_)
    step = n if n <= _AT_ONCE else _BLOCK
    upcoming = np.full(n_pages if n > step else 0, BEYOND, np.int32)  # of each page, behind the block
    for start in reversed(range(0, n, max(1, step))):
        block = page[start : start + step]
        pages, places, is_last = _by_page(block)
        places += start
        after = np.append(places[1:], BEYOND)
        firsts = np.append(True, is_last[:-1])
        if n > step:
            after[is_last] = upcoming.take(pages[is_last])
            upcoming[pages[firsts]] = places[firsts]
        else:
            after[is_last] = BEYOND
            is_first[places[firsts]] = True
        at[places] = after
    if n > step:
        is_first[upcoming[upcoming < BEYOND]] = True
    return NextAccess(at, is_first)


def _by_page(page: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.bool_]]:
    # Pages and their places, by page and then by place; and which is a page's last. One packed key sorts fastest.
    shift = int(page.size).bit_length()
    key = (page.astype(np.int64) << shift) | np.arange(page.size)
    key.sort()
    pages = key >> shift
    is_last = np.append(pages[1:] != pages[:-1], True)
    return pages, (key & ((1 << shift) - 1)).astype(np.int32), is_last
