"""Logs of page numbers, and the device's pages in the order of their last access."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vswaplab.trace.access_index import AccessIndex

BLOCK = 1 << 20
"""Pages or entries gone through at once where all of them are."""

LATE = 1 << 17
"""Entries that may come after a log has become worth shortening, before that is done."""

DEAD = -1
"""For a next access: the entry is not live, whatever comes."""

Pages = NDArray[np.int64]
Mask = NDArray[np.bool_]
Entries = tuple[Pages, Pages, NDArray[np.int32]]
"""Pages, their places in a log, and when they are accessed next."""

_T = TypeVar("_T", bound=np.generic)
_IsLive = Callable[[NDArray[np.integer], NDArray[np.integer]], Mask]

NO_PAGES: Pages = np.empty(0, np.int64)


class Log:
    """A growing array of page numbers."""

    def __init__(self, room: int) -> None:
        self.entries = np.empty(room + LATE, np.int32)
        self.length = 0
        self.room = room
        """Entries before the log is worth shortening."""

    @property
    def held(self) -> NDArray[np.int32]:
        """The entries up to the length, not a copy."""
        return self.entries[: self.length]

    def append(self, pages: NDArray[np.integer]) -> NDArray[np.int32]:
        """Append pages; return their places."""
        start = self.extend(pages)
        return np.arange(start, self.length, dtype=np.int32)

    def extend(self, pages: NDArray[np.integer]) -> int:
        """Append pages; return the place of the first one."""
        start, stop = self.length, self.length + pages.size
        if stop > self.entries.size:
            grown = np.empty(max(stop, 2 * self.entries.size), np.int32)
            grown[:start] = self.entries[:start]
            self.entries = grown
        self.entries[start:stop] = pages
        self.length = stop
        return start

    def widen(self) -> None:
        """See to it that the log is not worth shortening again at once."""
        self.room = max(self.room, self.length + self.length // 2)


class Queue(Log):
    """zswap's entries, oldest first, each with a mark that means nothing behind the hand that goes through them."""

    GONE, LIVE, REFERENCED = range(3)
    """The entry is no longer there; it is; and it still has its second chance."""

    def __init__(self, room: int) -> None:
        super().__init__(room)
        self.mark = np.empty(self.entries.size, np.uint8)

    def append(self, pages: NDArray[np.integer], mark: NDArray[np.uint8] | int = REFERENCED) -> NDArray[np.int32]:
        """Append entries; return their places."""
        places = super().append(pages)
        self.mark = _as_long(self.mark, self.entries)
        self.mark[self.length - pages.size : self.length] = mark
        return places

    def live(self, start: int, stop: int) -> tuple[Pages, Pages, Mask]:
        """List the entries that are there from a place on, before another.

        Returns
        -------
        pages, places : (n,)
        is_referenced : (n,)
        """
        places = which(self.mark[start:stop] != self.GONE)
        places += start
        return self.entries.take(places).astype(np.int64), places, self.mark.take(places) == self.REFERENCED


class TouchLog(Log):
    """DRAM's pages in the order of their last touch: entries before the hand that goes through it mean nothing.

    The accesses of a piece of a trace are its newest entries, and are not
    copied before they must: another piece follows, or entries that are no
    accesses. An entry is live until its page is accessed next.
    """

    def __init__(self, room: int) -> None:
        super().__init__(room)
        self.next_at = np.empty(self.entries.size, np.int32)
        """Place in the piece of the next access to the page of each copied entry, or ``DEAD``."""
        self.now = 0
        """Place in the piece of the first access that has not been carried out."""
        self.is_elsewhere = np.zeros(1, np.bool_)
        """(piece + 1,) The access's page is not in DRAM: before it if it is still to come, after it if it has been
        carried out. The last element means nothing."""
        self._copied = 0  # accesses of the piece
        self._page, self._next_at = self.entries[:0], self.next_at[:0]

    @property
    def end(self) -> int:
        """Place of the next entry."""
        return self.length + self.now - self._copied

    def begin_piece(self, page: NDArray[np.int32], index: AccessIndex, hand: int) -> None:
        """Go on to other accesses; those before have all been carried out."""
        self.copy_accesses()
        length = self._page.size
        for start in range(hand, self.length, BLOCK):
            next_at = self.next_at[start : min(start + BLOCK, self.length)]
            next_at[:] = np.where(next_at == length, page.size, DEAD)
        self._page, self._next_at = page, index.next_at
        self._copied = self.now = 0
        self.is_elsewhere = np.append(index.is_first, False)

    def carry_out(self, n: int) -> None:
        """Take in the next n accesses, as if each of them left its page in DRAM."""
        self.is_elsewhere[self.now : self.now + n] = False
        self.now += n

    def append(self, pages: NDArray[np.integer], next_at: NDArray[np.int32] | int = DEAD) -> NDArray[np.int32]:
        """Append entries that are no accesses; return their places."""
        self.copy_accesses()
        start = self.extend(pages, next_at)
        return np.arange(start, self.length, dtype=np.int32)

    def extend(self, pages: NDArray[np.integer], next_at: NDArray[np.int32] | int = DEAD) -> int:
        """Append entries behind those that are copied; return the place of the first one."""
        start = super().extend(pages)
        self.next_at = _as_long(self.next_at, self.entries)
        self.next_at[start : self.length] = next_at
        return start

    def kill(self, places: NDArray[np.integer]) -> None:
        """Note that entries are not live."""
        at = places.astype(np.int64) - (self.length - self._copied)
        is_copied = at < self._copied
        if is_copied.any():
            self.next_at[places[is_copied]] = DEAD
            at = at[~is_copied]
        self.is_elsewhere[at] = True

    def next_of(self, places: NDArray[np.integer]) -> NDArray[np.int32]:
        """Say when the pages of entries are accessed next."""
        at = places.astype(np.int64) - (self.length - self._copied)
        is_copied = at < self._copied
        if not is_copied.any():
            return self._next_at.take(at)
        next_at = self.next_at.take(places, mode="clip")
        next_at[~is_copied] = self._next_at.take(at[~is_copied])
        return next_at

    def read(self, start: int, stop: int) -> Entries:
        """List the live entries from a place on, before another: their pages, places, and next accesses."""
        if stop <= self.length:
            return self._read_copied(start, stop)
        if start >= self.length:
            return self._read_piece(start, stop)
        return joined_entries([self._read_copied(start, self.length), self._read_piece(self.length, stop)])

    def _read_copied(self, start: int, stop: int) -> Entries:
        next_at = self.next_at[start:stop]
        live = which(next_at >= self.now)
        return self.entries[start:stop].take(live).astype(np.int64), live + start, next_at.take(live)

    def _read_piece(self, start: int, stop: int) -> Entries:
        before = self.length - self._copied
        stretch = slice(start - before, stop - before)
        next_at = self._next_at[stretch]
        live = which((next_at >= self.now) > self.is_elsewhere[stretch])
        return self._page[stretch].take(live).astype(np.int64), live + start, next_at.take(live)

    def copy_accesses(self) -> None:
        """Copy the accesses that have been carried out and were not copied yet; places stay."""
        for start in range(self._copied, self.now, BLOCK):
            stretch = slice(start, min(start + BLOCK, self.now))
            next_at = np.where(self.is_elsewhere[stretch], np.int32(DEAD), self._next_at[stretch])
            self.extend(self._page[stretch], next_at)
        self._copied = self.now


def _as_long(marks: NDArray[_T], entries: NDArray[np.int32]) -> NDArray[_T]:
    if marks.size == entries.size:
        return marks
    grown = np.empty(entries.size, marks.dtype)
    grown[: marks.size] = marks
    return grown


def joined_entries(parts: list[Entries]) -> Entries:
    """Put entries behind one another."""
    if not parts:
        return NO_PAGES, NO_PAGES, np.empty(0, np.int32)
    pages, places, next_at = zip(*parts, strict=True)
    return np.concatenate(pages), np.concatenate(places), np.concatenate(next_at)


class Order:
    """Pages of the CRAM device by their last access: a log in which every entry knows its place in the main log."""

    def __init__(self, room: int) -> None:
        self.pages, self.places = Log(room), Log(room)
        self.hand = 0

    def append(self, pages: NDArray[np.integer], places: NDArray[np.integer]) -> None:
        """Append pages; places ascend, and are beyond all before."""
        self.pages.extend(pages)
        self.places.extend(places)

    def shorten(self, is_live: _IsLive) -> None:
        """Drop entries that are not live, a block at a time."""
        hand, length, n = self.hand, self.pages.length, 0
        for start in range(hand, length, BLOCK):
            block = slice(start, min(start + BLOCK, length))
            pages, places = self.pages.entries[block], self.places.entries[block]
            live = which(is_live(pages, places))
            self.pages.entries[n : n + live.size], self.places.entries[n : n + live.size] = pages[live], places[live]
            n += live.size
        self.pages.length, self.places.length, self.hand = n, n, 0
        self.pages.widen()

    def coldest(self, is_live: _IsLive, wanted: int, stop: int) -> Pages:
        """List the coldest live pages, about as many as wanted, as sortable keys: place and then page."""
        found: list[Pages] = []
        total, hand, step = 0, self.hand, max(64, wanted + wanted // 4)
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
            step, hand = next_step(step, live.size, wanted - total), end
        return joined(found)

    @property
    def is_long(self) -> bool:
        """Whether it is worth shortening."""
        return self.pages.length > self.pages.room

    def go_past(self, place: int) -> None:
        """Move the hand past a place: nothing before it is live."""
        self.hand = self._behind(place)

    def _behind(self, place: int) -> int:
        # Of the log's own type: another one would be converted, entry by entry.
        rest = self.places.entries[self.hand : self.places.length]
        return self.hand + int(rest.searchsorted(np.int32(place), "right"))


def next_step(step: int, n_live: int, missing: int) -> int:
    """Say how many entries may hold the missing ones, at the share of live ones seen last and a little to spare."""
    return max(64, min(4 * step, missing * step * 9 // (8 * max(1, n_live))))


def which(mask: Mask) -> Pages:
    """List where a mask is true; numpy's ``flatnonzero`` with less in the way."""
    return mask.nonzero()[0]


def joined(parts: list[Pages]) -> Pages:
    """Put arrays of pages behind one another."""
    return np.concatenate(parts) if parts else NO_PAGES
