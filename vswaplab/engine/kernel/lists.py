"""The kernel's lists of folios: doubly linked, in two arrays that all lists of a machine share; and those of a node."""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt


class Lru:
    """A list of folios, most recent first, by page number.

    Parameters
    ----------
    newer, older : lists of (n_pages + n_lists)
        Neighbours of each folio on its list; shared by lists, as no folio is
        on two.
    head : int
        This list's own place in them, behind the pages.

    Examples
    --------
    >>> newer, older = [0] * 4, [0] * 4
    >>> inactive = Lru(newer, older, 3)
    >>> for page in (0, 1, 2):
    ...     inactive.add(page)
    >>> inactive.remove(1)
    >>> list(inactive), len(inactive)
    ([0, 2], 2)
    """

    __slots__ = ("head", "newer", "older", "size")

    def __init__(self, newer: list[int], older: list[int], head: int) -> None:
        self.newer, self.older, self.head, self.size = newer, older, head, 0
        newer[head] = older[head] = head

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        """Go from the tail, the next to be scanned, to the head."""
        page = self.newer[self.head]
        while page != self.head:
            yield page
            page = self.newer[page]

    def add(self, page: int) -> None:
        """Put a folio at the head: the most recent."""
        older, newer, head = self.older, self.newer, self.head
        first = older[head]
        older[head], newer[page], older[page], newer[first] = page, head, first, page
        self.size += 1

    def add_tail(self, page: int) -> None:
        """Put a folio at the tail: the next to be scanned."""
        older, newer, head = self.older, self.newer, self.head
        last = newer[head]
        newer[head], older[page], newer[page], older[last] = page, head, last, page
        self.size += 1

    def remove(self, page: int) -> None:
        """Take a folio off, wherever it is."""
        older, newer = self.older, self.newer
        a, b = newer[page], older[page]
        older[a], newer[b] = b, a
        self.size -= 1

    def tail(self) -> int:
        """Give the next to be scanned; of an empty list its head."""
        return self.newer[self.head]

    def isolate(self, most: int) -> list[int]:
        """Take up to so many off the tail, in order."""
        newer, head = self.newer, self.head
        taken: list[int] = []
        page = newer[head]
        while len(taken) < most and page != head:
            taken.append(page)
            page = newer[page]
        newer[head], self.older[page] = page, head
        self.size -= len(taken)
        return taken


class Lruvec:
    """The lists of one memory node, and what reclaim remembers about them (struct lruvec).

    Parameters
    ----------
    newer, older : lists
        As in ``Lru``.
    head : int
        The first of two places of its own in them.
    node : int
    """

    def __init__(self, newer: list[int], older: list[int], head: int, node: int) -> None:
        self.node = node
        self.inactive, self.active = Lru(newer, older, head), Lru(newer, older, head + 1)
        self.nonresident_age = 0
        self.workingset_activate = 0
        self.flushed = (0, 0, 0)
        """Statistics of the last flush: inactive, active, activations by refault."""
        self.refaults = 0
        """Those activations when it was reclaimed from last."""
        self.anon_cost = 0
        """What scanning cost; file_cost stays 0: there is no page cache."""

    def flush(self) -> None:
        """Bring the statistics up to date."""
        self.flushed = (len(self.inactive), len(self.active), self.workingset_activate)

    def inactive_is_low(self) -> bool:
        """inactive_is_low: below 1 GiB, fewer inactive than active pages, by the last flush."""
        inactive, active, _ = self.flushed
        gigabytes = (inactive + active) >> 18
        return inactive * (isqrt(10 * gigabytes) if gigabytes else 1) < active

    def note_cost(self, cost: int) -> None:
        """lru_note_cost: remember what scanning cost, for get_scan_count."""
        self.anon_cost += cost
        if self.anon_cost > (self.flushed[0] + self.flushed[1]) // 4:
            self.anon_cost //= 2
