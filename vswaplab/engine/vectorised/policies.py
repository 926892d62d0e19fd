"""Orders of DRAM and of the device other than LRU: queues of arrivals with accessed bits, the clairvoyant's calendar.

LRU needs none of this: its order is the log of all accesses. Here hits only
set a bit, or an entry of the calendar, for a whole window at once; pages move
when they arrive, leave, or are looked at in vain.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vswaplab.engine.plan import Plan
from vswaplab.engine.vectorised.logs import NO_PAGES, Log, Mask, Pages, which
from vswaplab.engine.vectorised.memory import Memory
from vswaplab.engine.vectorised.plugged import OneByOne, are_repeated
from vswaplab.engine.vectorised.states import (
    DRAM_HIT,
    FREE,
    FREED,
    IS_SERVED_IN_CRAM,
    NEEDS_FRAME,
    RESIDENT,
    UNMAP,
)
from vswaplab.engine.vectorised.window import Special, Window, goes_from_cram
from vswaplab.machine.policies import plugged_policy

MIN_GENERATIONS = 2
"""Generations from which nothing is taken: the youngest (MIN_NR_GENS, include/linux/mmzone.h)."""

_FEWEST = 1 << 10  # entries before a queue is worth shortening
_STEP = 64  # entries of a queue looked at together, at least
_CHUNK = 1 << 12  # days of the calendar looked at together, at first
_MOST_FAR = 1 << 11  # days that the calendar keeps apart


class Leaving(Protocol):
    """What decides which pages leave."""

    def arrive(self, pages: Pages) -> None:
        """Take in distinct pages, in this order."""
        ...

    def begin(self) -> None:
        """Note that a reclaim begins."""
        ...

    def candidates(self, wanted: int) -> Pages:
        """List pages that leave next, at least one if there is any; as if each one listed left at once."""
        ...

    def take(self, n: int) -> None:
        """Let the first n of the candidates listed last leave."""
        ...

    def ranking(self) -> Pages:
        """List all pages in the order in which they would be looked at."""
        ...


class ReclaimOrder(Leaving, Protocol):
    """What decides which pages of DRAM leave."""

    def settle(self, mem: Memory, window: Window, special: Special) -> None:
        """Take notice of the accesses of a window before its stop, which have been carried out."""
        ...


class DeviceOrder(Leaving, Protocol):
    """What decides which pages of the CRAM device leave."""

    def discard(self, pages: Pages) -> None:
        """Let distinct pages go that leave of their own, in this order."""
        ...

    def settle_on_device(self, mem: Memory, window: Window, special: Special) -> None:
        """Take notice of what the accesses of a window before its stop did there."""
        ...

    def takes_arrivals_first(self, special: Special) -> bool:
        """Say whether pages may arrive before accesses that were earlier, all in one window, are settled."""
        ...


def make_order(plan: Plan, mem: Memory) -> ReclaimOrder | None:
    """Make an empty order of DRAM for a plan's policy; None: LRU, which needs none."""
    n_pages = mem.state.size
    if plan.policy == "lru":
        return None
    if plan.policy == "clairvoyant":
        assert plan.next_use is not None
        return Calendar(n_pages, plan.next_use, mem.trace.page)
    if plan.policy in _QUEUES:
        return _QUEUES[plan.policy](n_pages)
    plugged = plugged_policy(plan.policy)
    vectorised: Callable[[int], ReclaimOrder] | None = getattr(plugged, "vectorised", None)
    return OneByOne(plugged()) if vectorised is None else vectorised(n_pages)


def make_device_order(plan: Plan, mem: Memory) -> DeviceOrder | None:
    """Make an empty order of the device for a plan's policy; None: LRU, or no device."""
    if plan.cram is None or plan.cram.policy == "lru":
        return None
    policy, n_pages = plan.cram.policy, mem.state.size
    if policy == "clairvoyant":
        assert plan.next_use is not None
        return DeviceCalendar(n_pages, plan.next_use, mem.trace.page)
    return _QUEUES[policy](n_pages) if policy in _QUEUES else OneByOne(plugged_policy(policy)())


def _first_live(place: NDArray[np.int32], log: Log, start: int, stop: int) -> int:
    # The first place whose entry is live; stop: none.
    step = _STEP
    while start < stop:
        _, places = _live(place, log, start, min(start + step, stop))
        if places.size:
            return int(places[0])
        start, step = start + step, 2 * step
    return stop


def _live(place: NDArray[np.int32], log: Log, start: int, stop: int) -> tuple[Pages, Pages]:
    # Pages whose entry lies between two places of a log, and those places.
    entries = log.entries[start:stop].astype(np.int64)
    live = which(place.take(entries) == np.arange(start, start + entries.size, dtype=np.int32))
    return entries.take(live), live + start


class Queue:
    """FIFO: pages by arrival.

    A log of arrivals, of which an entry is live if it is its page's last one.

    Parameters
    ----------
    n_pages : int
    """

    has_bits = False

    def __init__(self, n_pages: int) -> None:
        self.log = Log(_FEWEST)
        self.room = _FEWEST
        self.hand = 0
        self.place = np.full(n_pages, -1, np.int32)  # of each page's entry, -1: not here
        self.is_accessed = np.zeros(n_pages if self.has_bits else 0, np.bool_)
        self._last_hit = np.empty(n_pages if self.has_bits else 0, np.int32)  # in a window that has frees
        self._seen: tuple[Pages, Pages, Mask] = (NO_PAGES, NO_PAGES, np.zeros(0, np.bool_))

    def arrive(self, pages: Pages) -> None:
        """Take in distinct pages, in this order."""
        self.place[pages] = self.log.append(pages)
        if self.has_bits:
            self.is_accessed[pages] = False

    def settle(self, mem: Memory, window: Window, special: Special) -> None:
        """Take notice of a window: pages come and go, hits set bits."""
        moves = which(NEEDS_FRAME.take(special.outcome) | (special.outcome == FREED))
        pages, comes = special.page.take(moves), NEEDS_FRAME.take(special.outcome.take(moves))
        self._before(special.take(moves), comes)
        if self.has_bits:
            self._set_bits(mem, window, special, special.take(moves[comes]))
        places = np.full(pages.size, -1, np.int32)
        places[comes] = self.log.append(pages[comes])
        self.place[pages] = places  # of a page that comes and goes the last one stays
        self.shorten()

    def _before(self, moves: Special, comes: Mask) -> None:
        # Hook: the places are still those of the window's start.
        pass

    def _set_bits(self, mem: Memory, window: Window, special: Special, arrivals: Special) -> None:
        # An arrival clears its page's bit; hits after it set it, and so do its own dropped repeats.
        n = window.stop
        is_hit = np.ones(n, np.bool_)
        is_hit[special.at[special.outcome != DRAM_HIT]] = False
        if mem.trace.shares is not None:
            is_hit &= window.touches.op[:n] != UNMAP
        hits = window.touches.page[:n][is_hit]
        is_touched = are_repeated(mem, window.start + arrivals.at)
        if window.freed.size:  # a page may be touched, freed, and come in: its last hit must be later than that
            last = self._last_hit
            last[arrivals.page] = -1
            last[hits] = which(is_hit)
            is_touched |= last.take(arrivals.page) > arrivals.at
            self.is_accessed[hits] = True
            self.is_accessed[arrivals.page] = is_touched
        else:
            self.is_accessed[arrivals.page] = is_touched
            self.is_accessed[hits] = True

    def discard(self, pages: Pages) -> None:
        """Let pages go that leave of their own."""
        self.place[pages] = -1

    def settle_on_device(self, mem: Memory, window: Window, special: Special) -> None:
        """Take notice of a window: accesses in place set bits, pages go."""
        if self.has_bits:
            self.is_accessed[special.page.take(which(IS_SERVED_IN_CRAM.take(special.outcome)))] = True
        self.discard(special.page.take(which(goes_from_cram(special))))
        self.shorten()

    def takes_arrivals_first(self, special: Special) -> bool:
        """Say that pages may arrive before others are touched or go: their order is all that counts."""
        return True

    def begin(self) -> None:
        """Do nothing."""

    def candidates(self, wanted: int) -> Pages:
        """List pages that leave next."""
        while self.hand < self._end():
            stop = min(self.hand + max(_STEP, 2 * wanted), self._end())
            pages, places = _live(self.place, self.log, self.hand, stop)
            leaves = self._leaves(pages)
            if leaves.any():
                self._seen = pages, places, leaves
                return pages[leaves]
            self._spare(pages)
            self.hand = stop
        return NO_PAGES

    def take(self, n: int) -> None:
        """Let the first n of the candidates listed last leave; what stands between them is spared."""
        pages, places, leaves = self._seen
        end = int(which(leaves)[n - 1]) + 1
        passed, leaves = pages[:end], leaves[:end]
        self.place[passed[leaves]] = -1
        self.hand = int(places[end - 1]) + 1
        self._spare(passed[~leaves])

    def ranking(self) -> Pages:
        """List all pages in the order in which they would be looked at."""
        return _live(self.place, self.log, self.hand, self.log.length)[0]

    def _end(self) -> int:
        # Where the hand must stop and think.
        return self.log.length

    def _leaves(self, pages: Pages) -> Mask:
        return ~self.is_accessed.take(pages) if self.has_bits else np.ones(pages.size, np.bool_)

    def _spare(self, pages: Pages) -> None:
        # What becomes of pages that the hand has looked at and that do not leave.
        if pages.size:
            self.arrive(pages)

    def shorten(self) -> None:
        """Drop dead entries if there are many."""
        if self.log.length <= self.room:
            return
        marks = np.array(self._marks())
        pages, places = _live(self.place, self.log, 0, self.log.length)
        self.log.length = 0
        self.place[pages] = self.log.append(pages)
        self._set_marks(places.searchsorted(marks).tolist())
        self.room = max(_FEWEST, 2 * pages.size)

    def _marks(self) -> list[int]:
        # Places that mean something.
        return [self.hand]

    def _set_marks(self, marks: list[int]) -> None:
        self.hand = marks[0]


class Clock(Queue):
    """The same; a page that was touched goes to the young end once."""

    has_bits = True


class Sieve(Clock):
    """The same; a page that was touched stays where it is, and the hand goes on."""

    def candidates(self, wanted: int) -> Pages:
        """List pages that leave next."""
        pages = super().candidates(wanted)
        if not pages.size:
            self.hand = 0
            pages = super().candidates(wanted)
        if not pages.size and self.log.length:  # all had been touched
            self.hand = 0
            pages = super().candidates(wanted)
        return pages

    def take(self, n: int) -> None:
        """Let the first n of the candidates listed last leave."""
        super().take(n)
        self._go_to_live()

    def discard(self, pages: Pages) -> None:
        """Let pages go that leave of their own; the hand goes on if it was there."""
        super().discard(pages)
        self._go_to_live()

    def takes_arrivals_first(self, special: Special) -> bool:
        """Say whether the hand finds a page that was there before, whatever goes."""
        if _first_live(self.place, self.log, 0, self.hand) == self.hand:  # it is at the oldest, and stays there
            return True
        n_ahead = _live(self.place, self.log, self.hand, self.log.length)[0].size
        return n_ahead > int(np.count_nonzero(goes_from_cram(special)))

    def ranking(self) -> Pages:
        """Go from the hand to the youngest page, then from the oldest to the hand."""
        return np.concatenate((super().ranking(), _live(self.place, self.log, 0, self.hand)[0]))

    def _spare(self, pages: Pages) -> None:
        self.is_accessed[pages] = False

    def _go_to_live(self) -> None:
        # Behind the youngest page the hand is at the oldest at once, before any other comes in.
        self.hand = _first_live(self.place, self.log, self.hand, self.log.length)
        if self.hand == self.log.length:
            self.hand = 0

    def _before(self, moves: Special, comes: Mask) -> None:
        # If frees take away all that is ahead of the hand, it is at the oldest page from then on.
        if comes.all():
            return
        pages = moves.page
        goes = ~comes & (moves.was == RESIDENT)
        place = self.place.take(pages)
        is_first = np.zeros(pages.size, np.bool_)
        is_first[np.unique(pages, return_index=True)[1]] = True
        is_behind = is_first & (place >= 0) & (place < self.hand)  # it was there before, on the far side
        change = np.where(comes, 1, np.where(goes & ~is_behind, -1, 0))
        ahead = _live(self.place, self.log, self.hand, self.log.length)[0].size
        left = ahead + change.cumsum()
        if ((left == 0) & goes).any():
            self.hand = 0


class Generations(Clock):
    """The same; and what was touched joins the youngest generation whenever only two are left.

    Generations are stretches of the log; ``starts`` are the places where they begin.
    """

    def __init__(self, n_pages: int) -> None:
        super().__init__(n_pages)
        self.starts = [0]

    def begin(self) -> None:
        """Age if the three generations are uneven."""
        self._drop_empty()
        if len(self.starts) == MIN_GENERATIONS + 1:
            _, places = _live(self.place, self.log, self.hand, self.log.length)
            total, oldest = places.size, int(places.searchsorted(self.starts[1]))
            youngest = total - int(places.searchsorted(self.starts[-1]))
            if MIN_GENERATIONS * youngest > total or (MIN_GENERATIONS + 2) * oldest < total:
                self._age()

    def candidates(self, wanted: int) -> Pages:
        """List pages that leave next."""
        while _first_live(self.place, self.log, self.hand, self.log.length) < self.log.length:
            self._drop_empty()
            while len(self.starts) <= MIN_GENERATIONS:
                self._age()
                self._drop_empty()
            pages = super().candidates(wanted)
            if pages.size:
                return pages
        return NO_PAGES

    def _drop_empty(self) -> None:
        while len(self.starts) > MIN_GENERATIONS:
            self.hand = _first_live(self.place, self.log, self.hand, self.starts[1])
            if self.hand < self.starts[1]:
                return
            del self.starts[0]

    def _age(self) -> None:
        pages, places = _live(self.place, self.log, self.hand, self.log.length)
        is_promoted = self.is_accessed.take(pages) & (places < self.starts[-1])
        self.is_accessed[pages] = False
        self.arrive(pages[is_promoted])
        self.starts.append(self.log.length)

    def _end(self) -> int:
        return self.starts[1] if len(self.starts) > 1 else self.log.length

    def _marks(self) -> list[int]:
        return [self.hand, *self.starts]

    def _set_marks(self, marks: list[int]) -> None:
        self.hand, *self.starts = marks


class Calendar:
    """Clairvoyant: pages by their next use.

    A day is an access. ``is_due`` marks the days on which a resident page is
    used next; as the past is cleared, the last marked day is the victim's.
    Those who know the future keep no page that is used far from now: the last
    days move little, but for pages that have just come in and leave soon. Their
    days, behind ``end``, are a heap of their own, so that nobody has to look
    through the empty days before them. Pages that are never used again queue by
    last touch, and leave first.

    Parameters
    ----------
    n_pages : int
    next_use : (n_accesses,)
        ``Plan.next_use``.
    page : (n_accesses,)
        Page of each access.
    """

    def __init__(self, n_pages: int, next_use: NDArray[np.int64], page: NDArray[np.int32]) -> None:
        self.next_use, self.page = next_use, page
        self.never = next_use.size
        self.upcoming = np.full(n_pages, self.never, np.int64)  # next use of each page
        self.is_due = np.zeros(next_use.size, np.bool_)
        self.end = 0
        self.far: list[int] = []  # heap of days from ``end`` on, negative; those in the past mean nothing
        self.idle = Queue(n_pages)
        self._days: Pages = NO_PAGES

    def arrive(self, pages: Pages) -> None:
        """Take in distinct pages, in this order."""
        self._note(pages)

    def _note(self, pages: Pages) -> None:
        # Pages are here and were touched last in this order; a page may be named twice.
        day = self.upcoming.take(pages)
        is_idle = day == self.never
        self.idle.arrive(pages[is_idle])
        day = day[~is_idle]
        self.is_due[day] = True
        far = day[day >= self.end]
        if far.size + len(self.far) <= _MOST_FAR:
            for each in far.tolist():
                heappush(self.far, -each)
        else:
            self.end = max(int(far.max()), -min(self.far, default=0)) + 1
            self.far.clear()

    def settle(self, mem: Memory, window: Window, special: Special) -> None:
        """Take notice of a window: of each page only its last touch counts."""
        stop = window.start + window.stop
        touches = which(window.touches.op[: window.stop] < FREE)
        day, pages = self.next_use.take(window.start + touches), window.touches.page.take(touches).astype(np.int64)
        self.upcoming[pages] = day
        gone = special.page[special.outcome == FREED]
        self.idle.place[gone] = -1
        pages = pages[day >= stop]  # else it is touched again in this window
        self._note(pages[self._are_here(mem, pages)])
        self.is_due[window.start : stop] = False
        self.idle.shorten()

    def _are_here(self, mem: Memory, pages: Pages) -> Mask:
        is_resident: Mask = mem.state.take(pages) == RESIDENT
        return is_resident

    def begin(self) -> None:
        """Do nothing."""

    def candidates(self, wanted: int) -> Pages:
        """List pages that leave next."""
        self._days = NO_PAGES
        pages = self.idle.candidates(wanted)
        return pages if pages.size else self._last_days(wanted)

    def _last_days(self, wanted: int) -> Pages:
        self._days = self._far_days(wanted)
        step = _CHUNK
        while self.end and not self._days.size:
            start = max(0, self.end - step)
            days = which(self.is_due[start : self.end]) + start
            self._days = days[::-1][:wanted]
            self.end, step = int(days[-1]) + 1 if days.size else start, 2 * step
        return self.page.take(self._days).astype(np.int64)

    def _far_days(self, wanted: int) -> Pages:
        days: list[int] = []
        while self.far and len(days) < wanted:
            day = -heappop(self.far)
            if self.is_due[day] and day not in days[-1:]:
                days.append(day)
        return np.array(days, np.int64)

    def take(self, n: int) -> None:
        """Let the first n of the candidates listed last leave."""
        if not self._days.size:
            self.idle.take(n)
            return
        taken, left = self._days[:n], self._days[n:]
        self.is_due[taken] = False
        if int(taken[-1]) < self.end:
            self.end = int(taken[-1])
        for day in left[left >= self.end].tolist():
            heappush(self.far, -day)

    def ranking(self) -> Pages:
        """Go from the farthest next use to the nearest."""
        return np.concatenate((self.idle.ranking(), self.page[which(self.is_due)[::-1]]))


class DeviceCalendar(Calendar):
    """The same for pages of the device."""

    def discard(self, pages: Pages) -> None:
        """Let pages go that leave of their own."""
        day = self.upcoming.take(pages)
        self.idle.place[pages] = -1
        self.is_due[day[day < self.never]] = False

    def settle_on_device(self, mem: Memory, window: Window, special: Special) -> None:
        """Take notice of a window: pages go, and of each one that is touched only its last touch counts."""
        self.discard(special.page.take(which(goes_from_cram(special))))
        self.settle(mem, window, special)

    def takes_arrivals_first(self, special: Special) -> bool:
        """Say no: pages that are never used again queue by last touch."""
        return False

    def _are_here(self, mem: Memory, pages: Pages) -> Mask:
        return mem.is_on_device(pages)


_QUEUES: dict[str, type[Queue]] = {"fifo": Queue, "clock": Clock, "sieve": Sieve, "generations": Generations}
