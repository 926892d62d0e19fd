"""Logs of page numbers, and the device's pages in the order of their last access."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 20
"""Pages or entries gone through at once where all of them are."""

BEYOND = 1 << 17
"""Entries that may come after a log has become worth shortening, before that is done."""

SPARE = 16
"""Places behind a log's last that marks of pages without an entry fall on: words below 0 count from the end."""

Pages = NDArray[np.int64]
Mask = NDArray[np.bool_]

NO_PAGES: Pages = np.empty(0, np.int64)


class Log:
    """A growing array of page numbers."""

    def __init__(self, room: int) -> None:
        self.entries = np.empty(room + BEYOND, np.int32)
        self.length = 0
        self.room = room
        """Entries before the log is worth shortening."""

    def append(self, pages: NDArray[np.integer]) -> NDArray[np.int32]:
        """Append pages; return their places."""
        start, stop = self.length, self.length + pages.size
        if stop > self.entries.size:
            grown = np.empty(max(stop, 2 * self.entries.size), np.int32)
            grown[:start] = self.entries[:start]
            self.entries = grown
        self.entries[start:stop] = pages
        self.length = stop
        return np.arange(start, stop, dtype=np.int32)

    def blocks(self, start: int, stop: int) -> Iterator[tuple[int, Pages]]:
        """Read entries from a place to another, a block at a time: its first place, and its pages.

        Entries may be appended at places that were read already.
        """
        for place in range(start, stop, BLOCK):
            yield place, self.entries[place : min(place + BLOCK, stop)].astype(np.int64)

    def widen(self) -> None:
        """See to it that the log is not worth shortening again at once."""
        self.room = max(self.room, self.length + self.length // 2)


class TouchLog(Log):
    """The log of accesses. ``is_last`` says of each entry from DRAM's hand on whether it is a resident page's last."""

    def __init__(self, room: int) -> None:
        super().__init__(room)
        self.is_last = np.empty(self.entries.size + SPARE, np.bool_)

    def append(self, pages: NDArray[np.integer]) -> NDArray[np.int32]:
        """Append pages, as if none were resident; return their places."""
        places = super().append(pages)
        if self.is_last.size < self.entries.size + SPARE:
            grown = np.empty(self.entries.size + SPARE, np.bool_)
            grown[: self.is_last.size - SPARE] = self.is_last[:-SPARE]
            self.is_last = grown
        self.is_last[self.length - pages.size : self.length] = False
        return places


class Order:
    """Pages of the CRAM device by their last access: a log in which every entry knows its place in the main log."""

    def __init__(self, room: int) -> None:
        self.pages, self.places = Log(room), Log(room)
        self.hand = 0

    def append(self, pages: NDArray[np.integer], places: NDArray[np.integer]) -> None:
        """Append pages; places ascend, and are beyond all before."""
        self.pages.append(pages)
        self.places.append(places)

    def clear(self) -> None:
        """Hold no page."""
        self.pages.length = self.places.length = self.hand = 0

    def coldest(self, is_live: Callable[[Pages, Pages], Mask], wanted: int, stop: int) -> Pages:
        """List the coldest live pages, about as many as wanted, as sortable keys: place and then page."""
        found: list[Pages] = []
        total, hand, step = 0, self.hand, max(64, 2 * wanted)
        last = self._behind(stop - 1)
        while hand < last and total < wanted:
            end = min(hand + step, last)
            pages, places = (
                self.pages.entries[hand:end].astype(np.int64),
                self.places.entries[hand:end].astype(np.int64),
            )
            live = which(is_live(pages, places))
            found.append((places.take(live) << 32) | pages.take(live))
            total += live.size
            hand, step = end, 2 * step
        return joined(found)

    def go_past(self, place: int) -> None:
        """Move the hand past a place: nothing before it is live."""
        self.hand = self._behind(place)

    def _behind(self, place: int) -> int:
        # Of the log's own type: another one would be converted, entry by entry.
        rest = self.places.entries[self.hand : self.places.length]
        return self.hand + int(rest.searchsorted(np.int32(place), "right"))


def which(mask: Mask) -> Pages:
    """List where a mask is true; numpy's ``flatnonzero`` with less in the way."""
    return mask.nonzero()[0]


def joined(parts: list[Pages]) -> Pages:
    """Put arrays of pages behind one another."""
    return np.concatenate(parts) if parts else NO_PAGES
