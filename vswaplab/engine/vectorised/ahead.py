"""Look ahead: many reclaims inside one window.

The victims of the next reclaims are the coldest resident pages, in order, but
for those that are touched before they leave. So only touches of those pages
are in doubt. They are taken one after the other in time, in plain Python, and
everything between two of them is a bisection in a prefix sum: when free memory
runs out, and how many victims bring it back.

This holds while no reclaim changes how the next one works: the device stays
below its marks, the pool below its limit, swap on its side of half full. The
window stops before the first reclaim of which that is not certain.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vswaplab.engine.plan import FOOTPRINT_PAGE, CramPlan, ZswapPlan
from vswaplab.engine.vectorised.memory import Memory, Pages, which
from vswaplab.engine.vectorised.placement import Placement, keep_in_cram, second_choice
from vswaplab.engine.vectorised.states import STAYS, WRITE, ZERO, ZSWAP
from vswaplab.engine.vectorised.window import Window, leaves_cram

_UNTOUCHED, _IN_CRAM, _STAYED, _CAME_BACK = range(4)
"""What became of a victim-to-be: not touched, read in place on the device, touched in time, back in DRAM."""


def look_ahead(mem: Memory, window: Window) -> Walk | None:
    """Move a window's stop past as many reclaims as are certain; the memory is steady.

    Returns
    -------
    walk : Walk or None
        Which pages those reclaims let go, and which of them came back. None:
        no reclaim is certain, and the window is unchanged.
    """
    short = mem.plan.high - int(window.free_before.min()) // mem.plan.page_charge
    wanted = int(short * mem.victims_per_frame) + 64
    pages, places, next_at = mem.coldest(mem.dram_hand, mem.log.end, wanted)
    if not pages.size:
        return None
    victims = Victims(mem, window, pages, places, next_at)
    walk = (LruWalk if victims.is_lru(mem, window) else Walk)(mem, window, victims)
    walk.go()
    if not walk.n_runs:
        return None
    aim = 1.5 * mem.victims_per_frame if walk.is_short else 1.1 * walk.hand / short
    mem.victims_per_frame = min(4.0, max(1.0, aim))
    mem.count["reclaim_runs"] += walk.n_runs
    mem.dram_hand = int(places[walk.hand - 1]) + 1
    window.stop, window.wants_reclaim = walk.stop, walk.wants_reclaim
    return walk


def is_steady(mem: Memory) -> bool:
    """Say whether the next reclaim looks at device, pool and half-full mark without changing anything."""
    plan = mem.plan
    if plan.cram is not None and not mem.is_removed and not _is_device_steady(mem, plan.cram):
        return False
    if plan.zswap is not None and not _is_pool_steady(mem, plan.zswap):
        return False
    return mem.half_full == (2 * sum(mem.slots_used) > mem.all_slots)


def _is_pool_steady(mem: Memory, zswap: ZswapPlan) -> bool:
    # A pool that is still called full is so only until the next store, if it is small enough to admit that one.
    if mem.pool_full and mem.pool_pages > zswap.accept_pages:
        return False
    return zswap.writeback or not mem.plan.holds_slots


def _is_device_steady(mem: Memory, cram: CramPlan) -> bool:
    if cram.budget or cram.is_proportional or (cram.node_low and mem.free_device_pages <= cram.node_low):
        return False
    if cram.balloon_ratio and (cram.report_lag == 0 or mem.balloon != cram.balloon_pages(*mem.report)):
        return False
    if cram.report_lag == 0:
        return mem.gate_open and mem.media_bytes < cram.close_bytes and mem.media_bytes <= cram.high_bytes
    stored = mem.report[0]
    if stored > cram.high_bytes and not mem.report_used:
        return False
    return not mem.gate_open if stored >= cram.close_bytes else mem.gate_open or stored > cram.open_bytes


class Victims:
    """The pages that may leave DRAM in a window, coldest first, and prefix sums over them.

    ``entering[k]`` is how many of the first k pages CRAM takes if it takes all that
    it may take, ``freed`` what they free without CRAM, and so on.
    """

    def __init__(self, mem: Memory, window: Window, pages: Pages, places: Pages, next_at: NDArray[np.int32]) -> None:
        plan = mem.plan
        self.places, self.next_at = places, next_at
        self.choice = choice = second_choice(mem, pages)
        self.n = choice.n_with_slots(mem, n_loads=window.special.at.size + pages.size)
        self.freed = _prefix(choice.freed)
        self.entering = self.cram_bytes = _prefix(np.zeros(0, np.int64))
        self.freed_in_cram = 0
        self.stuck = _prefix(choice.target == STAYS) if choice.may_stay else None
        self.footprint = None if choice.footprint is None else _prefix(choice.footprint)
        self.has_cram = plan.cram is not None and not mem.is_removed
        self.may_enter = memoryview(b"")
        if self.has_cram and plan.cram is not None:
            # In swap mode zero pages and clean copies have a better place than CRAM.
            is_other = choice.is_clean_drop | (choice.target == ZERO)
            may_enter = np.ones(pages.size, np.uint8) if mem.is_tier else (~is_other).view(np.uint8)
            self.may_enter = may_enter.data
            if mem.gate_open:
                self._add_cram(plan.page_charge, plan.cram, may_enter)

    def _add_cram(self, page_charge: int, cram: CramPlan, may_enter: NDArray[np.uint8]) -> None:
        self.cram_bytes = _prefix(cram.bytes_of_row.take(self.choice.rows) * may_enter)
        self.entering = _prefix(may_enter)
        self.freed_in_cram = page_charge - cram.charge

    def is_lru(self, mem: Memory, window: Window) -> bool:
        """Say whether every victim gives just the page that every fault takes, one at a time."""
        plan, page_charge = mem.plan, mem.plan.page_charge
        return (
            plan.high - plan.low == 1
            and not (self.has_cram and mem.gate_open)
            and self.footprint is None
            and mem.settles_returns
            and not window.freed.size
            and mem.free_pages >= plan.low
            and int(window.free_at[0] - window.free_at[-1]) == window.n_frames * page_charge
            and self.freed[self.n] == self.n * page_charge
        )


def _prefix(values: NDArray[np.generic]) -> memoryview:
    # A memoryview bisects several times faster than an array.
    sums = np.empty(values.size + 1, np.int64)
    sums[0] = 0
    values.astype(np.int64, copy=False).cumsum(out=sums[1:])  # twice as fast as from other numbers
    return sums.data


class Walk:
    """One pass in time over a window's reclaims and doubtful touches."""

    def __init__(self, mem: Memory, window: Window, victims: Victims) -> None:
        plan = mem.plan
        self.victims, self.window = victims, window
        self.page_charge = plan.page_charge
        self.low_mark, self.high_mark = (plan.low + 1) * plan.page_charge, plan.high * plan.page_charge
        self.needs, self.times = window.needs.data, window.special.at.data
        self.falling = (-window.free_before).data
        self.gate_open = victims.has_cram and mem.gate_open
        self.node_low = 0 if plan.cram is None else plan.cram.node_low
        self.device_room = mem.free_device_pages if victims.has_cram else 0
        self.cram_room = self._room_on_media(mem)
        self.mem = mem
        self.pool_room = 0
        if plan.zswap is not None:
            self.pool_room = (plan.zswap.max_pages - 1) * FOOTPRINT_PAGE - mem.pool_footprint
        self._find_doubtful(mem)

        self.gap = plan.high - plan.low
        self.rises = window.freed.size > 0  # else free memory only falls between reclaims
        self.is_plain = not (self.rises or self.node_low)
        self.given = 0  # by reclaims, less what pages that came back take
        self.hand = 0
        self.holes: list[int] = []  # victims-to-be that were touched in time
        self.fate, self.entered = bytearray(victims.n + 1), bytearray(victims.n + 1)
        self.came_back: list[int] = []
        self.n_runs = 0
        self.searched = 0
        self.next_at = -1  # before it no reclaim is due; -1: not known
        self.stop, self.wants_reclaim, self.is_short = window.limit, False, False

    def _room_on_media(self, mem: Memory) -> int:
        cram = mem.plan.cram
        if cram is None or not self.gate_open:
            return 0
        room = cram.media_bytes
        if cram.report_lag == 0:
            room = min(room, cram.close_bytes - 1, cram.high_bytes)
        return room - mem.media_bytes

    @cached_property
    def n_needs(self) -> list[int]:
        """How many certain faults there are before each touch in doubt."""
        found: list[int] = self.window.needs.searchsorted(self.touches).tolist()
        return found

    # Worked out only where room is short: what leaves without being a victim.

    @cached_property
    def cram_departures(self) -> Sequence[int]:
        """When special accesses take pages off the device."""
        window = self.window
        at = window.special.at.take(which(leaves_cram(window.special, has_frees=window.has_frees)))
        return at.data

    @cached_property
    def cram_given_back(self) -> Sequence[int]:
        """The bytes that the first k of those give back at once."""
        mem, cram = self.mem, self.mem.plan.cram
        gives = mem.stored.take(self.window.touches.page.take(np.asarray(self.cram_departures)))
        if cram is not None and cram.flush_period:
            gives[:] = 0
        return _prefix(gives)

    @cached_property
    def pool_departures(self) -> Sequence[int]:
        """The footprint that the first k special accesses take out of the pool, in time order."""
        mem, zswap, special = self.mem, self.mem.plan.zswap, self.window.special
        assert zswap is not None
        index = which(special.was == ZSWAP)
        lengths = mem.stored.take(special.page.take(index))
        left = np.zeros(special.at.size, np.int64)
        left[index] = zswap.footprint_of_length.take(lengths)
        return _prefix(left)

    def _find_doubtful(self, mem: Memory) -> None:
        window, victims, touches = self.window, self.victims, self.window.touches
        comes_at = victims.next_at[: victims.n] - touches.first
        touched = which(comes_at < window.limit)
        at = comes_at.take(touched).astype(np.int64)
        if self.gate_open and touched.size:
            later, of = touches.read_on(at, window.limit)
            at, touched = np.concatenate((at, later)), np.concatenate((touched, touched.take(of)))
        order = at.argsort()
        self.touches, self.touched = at.take(order), touched.take(order)
        self.writes = touches.op.take(self.touches) == WRITE
        self.free_then = window.free_at.take(window.special.at.searchsorted(self.touches))
        self.is_hard = np.zeros(self.touches.size, np.bool_)
        if not mem.settles_returns:
            self.is_hard[:] = True
        elif window.freed.size:
            self.is_hard = mem.are_among(touches.page.take(self.touches), window.freed)

    # In time ----------------------------------------------------------------------------------

    def go(self) -> None:
        """Reclaim and touch until the window's end, or until something is not certain."""
        fate, holes = self.fate, self.holes
        for i, (at, victim) in enumerate(zip(self.touches.tolist(), self.touched.tolist(), strict=True)):
            if at > self.next_at and not self._reclaim_before(at):
                return
            if victim >= self.hand:
                if not fate[victim]:
                    fate[victim] = _STAYED
                    insort(holes, victim)
            elif fate[victim] < _STAYED and not self._come_back(i, at, victim):
                return
        self._reclaim_before(self.stop)

    def _reclaim_before(self, at: int) -> bool:
        # Every reclaim that accesses before this one start.
        needs, falling = self.needs, self.falling
        while True:
            mark = self.given - self.low_mark + 1
            short = self._next_short(mark) if self.rises else bisect_left(falling, mark, self.searched)
            self.next_at = next_at = needs[short] if short < len(needs) else self.stop
            if next_at >= at:
                return True
            self.searched = short
            if self.is_plain and self._reclaim_plainly(at):
                continue
            if not self._reclaim(next_at, self.given - falling[short]):
                return False

    def _reclaim_plainly(self, at: int) -> int:
        # ``_reclaim`` in one loop, as long as no victim-to-be in the way was touched and all is certain: where many
        # small reclaims follow one another, calls would cost more than the work. Returns how many there were.
        victims, n, start = self.victims, self.victims.n, self.hand
        hole = bisect_left(self.holes, start)
        stop = self.holes[hole] if hole < len(self.holes) else n
        if stop - start < self.gap:
            return 0
        needs, falling, given, searched, n_runs = self.needs, self.falling, self.given, self.searched, 0
        freed, stuck, footprint, entering = victims.freed, victims.stuck, victims.footprint, victims.entering
        while True:
            short = bisect_left(falling, given - self.low_mark + 1, searched)
            if short == len(needs) or needs[short] >= at:
                break
            owed, cram_end, got, room = self.high_mark - given + falling[short], start, 0, 0
            if self.gate_open:
                room = self.device_room
                if room < entering[n]:
                    room += bisect_left(self.cram_departures, needs[short])
            if room > 0:
                cram_end = bisect_left(entering, entering[start] + room, start)
                cram_end = min(cram_end, n)
                got = (cram_end - start) * victims.freed_in_cram
                if got > owed:
                    n_leave = -(-owed // victims.freed_in_cram)
                    cram_end, got = start + n_leave, n_leave * victims.freed_in_cram
            end = cram_end if got >= owed else bisect_left(freed, freed[cram_end] + owed - got, cram_end)
            if end > stop or (stuck is not None and stuck[end] != stuck[cram_end]):
                break
            if cram_end > start:
                cram_room = self.cram_room - victims.cram_bytes[cram_end] + victims.cram_bytes[start]
                if cram_room < 0:
                    break
                self.cram_room = cram_room
            if footprint is not None:
                pool_room = self.pool_room - footprint[end] + footprint[cram_end]
                if pool_room < 0 and pool_room + self.pool_departures[bisect_left(self.times, needs[short])] < 0:
                    break
                self.pool_room = pool_room
            if cram_end > start:
                self.entered[start:cram_end] = victims.may_enter[start:cram_end]
                self.device_room -= entering[cram_end] - entering[start]
            given += got + freed[end] - freed[cram_end]
            start, searched = end, short
            n_runs += 1
        self.hand, self.given, self.searched, self.n_runs = start, given, searched, self.n_runs + n_runs
        return n_runs

    def _next_short(self, mark: int) -> int:
        # The next access that finds no frame, where the program's frees give some back in between.
        is_short = self.window.free_before[self.searched :] <= -mark
        first = int(is_short.argmax()) if is_short.size else 0
        return self.searched + first if is_short.size and is_short[first] else len(self.needs)

    def _come_back(self, i: int, at: int, victim: int) -> bool:
        # A page that left is touched: it is loaded, or read in place on the device until it is written.
        if self.fate[victim] == _UNTOUCHED:
            if self.is_hard.data[i]:
                return self._end(at, wants_reclaim=False)
            self.came_back.append(victim)
        entered = self.entered[victim]
        if entered and not self.writes.data[i]:
            self.fate[victim] = _IN_CRAM
            return True
        self.fate[victim] = _CAME_BACK
        free = self.free_then.data[i] + self.given
        if free < self.low_mark and not self._reclaim(at, free):
            return False
        freed = self.victims.freed  # the fault takes back what the page had freed
        self.given -= self.victims.freed_in_cram if entered else freed[victim + 1] - freed[victim]
        self.device_room += entered
        self.searched, self.next_at = self.n_needs[i], -1
        return True

    def _end_of_victims(self, at: int) -> bool:
        # If there may be more of them, the next window can go on from here.
        self.is_short = self.victims.n == self.victims.places.size
        return self._end(at, wants_reclaim=not (self.is_short and at))

    def _end(self, at: int, *, wants_reclaim: bool) -> bool:
        self.stop, self.wants_reclaim = at, wants_reclaim
        return False

    # One reclaim ------------------------------------------------------------------------------

    def _reclaim(self, at: int, free: int) -> bool:
        # Victims go to CRAM while it has device pages, then where they go without it.
        victims, start, owed = self.victims, self.hand, self.high_mark - free
        cram_end, given = start, 0
        if self.gate_open:
            room = self.device_room
            if room < victims.entering[victims.n] or self.node_low:
                room += bisect_left(self.cram_departures, at)
            if room <= self.node_low and self.node_low:
                return self._end(at, wants_reclaim=True)
            cram_end, given, n_entered = self._fill_cram(start, owed, room)
            self.device_room -= n_entered
        end = cram_end
        if given < owed:
            end, more = self._advance(victims.freed, cram_end, owed - given)
            given += more
        if end > victims.n:
            return self._end_of_victims(at)
        if not self._is_certain(at, start, cram_end, end):
            return self._end(at, wants_reclaim=True)
        if cram_end > start:
            self.entered[start:cram_end] = victims.may_enter[start:cram_end]
        self.given += given
        self.hand = end
        self.n_runs += 1
        return True

    def _fill_cram(self, start: int, owed: int, room: int) -> tuple[int, int, int]:
        # How far victims go to CRAM, what they free, and how many it took.
        if room <= 0:
            return start, 0, 0
        victims, n = self.victims, self.victims.n
        if room * victims.freed_in_cram >= owed and (found := self._fill_enough(start, owed))[0] <= n:
            return found
        end, _ = self._advance(victims.entering, start, room)
        if end > n:
            end, room = n, self._sum(victims.entering, start, n)
        given = victims.freed_in_cram * (end - start - self._n_holes(start, end))
        return (end, given, room) if given < owed else self._fill_enough(start, owed)

    def _fill_enough(self, start: int, owed: int) -> tuple[int, int, int]:
        # The same where the device has room for all that it takes; beyond the last victim: there are too few.
        victims = self.victims
        n_leave = -(-owed // victims.freed_in_cram)
        end = self._after(start, n_leave)
        n_entered = self._sum(victims.entering, start, end) if end <= victims.n else 0
        return end, n_leave * victims.freed_in_cram, n_entered

    def _after(self, start: int, n_leave: int) -> int:
        # The place behind so many victims from start on.
        end, holes = start + n_leave, self.holes
        i = bisect_left(holes, start)
        while i < len(holes) and holes[i] < end:
            end, i = end + 1, i + 1
        return end

    def _n_holes(self, start: int, end: int) -> int:
        return bisect_left(self.holes, end) - bisect_left(self.holes, start)

    def _is_certain(self, at: int, start: int, cram_end: int, end: int) -> bool:
        # Whether all find room where they go. Victims that were touched again in time are counted too: they only
        # make the answer careful, as does what comes back without being a special access.
        victims = self.victims
        if victims.stuck is not None and victims.stuck[end] != victims.stuck[cram_end]:
            return False
        if cram_end > start:
            self.cram_room -= victims.cram_bytes[cram_end] - victims.cram_bytes[start]
            if self.cram_room < 0 and self.cram_room + self.cram_given_back[bisect_left(self.cram_departures, at)] < 0:
                return False
        if victims.footprint is not None:
            self.pool_room -= victims.footprint[end] - victims.footprint[cram_end]
            if self.pool_room < 0:
                return self.pool_room + self.pool_departures[bisect_left(self.times, at)] >= 0
        return True

    def _advance(self, sums: memoryview, start: int, owed: int) -> tuple[int, int]:
        # The first place where victims from start on, holes left out, give what is owed, and what they give;
        # beyond the last: too few.
        goal = sums[start] + owed
        end = bisect_left(sums, goal, start)
        holes = self.holes
        i = bisect_left(holes, start)
        while i < len(holes) and holes[i] < end:
            hole = holes[i]
            goal += sums[hole + 1] - sums[hole]
            end = bisect_left(sums, goal, end)
            i += 1
        return end, owed if end >= len(sums) else owed + sums[end] - goal

    def _sum(self, sums: memoryview, start: int, end: int) -> int:
        total: int = sums[end] - sums[start]
        holes = self.holes
        for hole in holes[bisect_left(holes, start) : bisect_left(holes, end)]:
            total -= sums[hole + 1] - sums[hole]
        return total

    # What came out ----------------------------------------------------------------------------

    @property
    def n_steps(self) -> int:
        """What the touches in doubt cost, in steps of plain Python."""
        return self.touches.size + 10 * len(self.came_back)

    def released(self, mem: Memory) -> tuple[Placement, NDArray[np.int32], Pages]:
        """List the victims and where they go, when each is accessed next, and their places in the log."""
        keep = np.ones(self.hand, np.bool_)
        keep[self.holes[: bisect_left(self.holes, self.hand)]] = False
        index = which(keep)
        placed = self.victims.choice.place(mem, index)
        log = self.victims.next_at.take(index), self.victims.places.take(index)
        if not self.victims.has_cram:
            return placed, *log
        may_enter = np.asarray(self.victims.may_enter).take(index) > 0
        in_cram = np.frombuffer(self.entered, np.uint8).take(index) > 0
        return keep_in_cram(mem, placed, may_enter, in_cram), *log

    def returns(self) -> Pages:
        """List the places in the window, before its stop, at which pages that left are touched first."""
        times = np.sort(self.victims.next_at.take(self.came_back) - self.window.touches.first)
        return times[: times.searchsorted(self.stop)].astype(np.int64)


class LruWalk(Walk):
    """The same for textbook LRU, where every fault takes a page and lets exactly one go.

    A page is then resident if fewer pages than fit were touched after it: a
    count, which needs no walk. At a touch in doubt these are the resident
    pages warmer than it, the certain faults so far, and those colder ones of
    the doubtful that were touched before.
    """

    def go(self) -> None:
        """Settle all touches in doubt at once."""
        mem, window = self.mem, self.window
        at, victim = self.touches, self.touched
        taken = (mem.free_charge - self.free_then) // self.page_charge
        fit = mem.resident_pages + mem.free_pages - mem.plan.low  # a tier's pages may take of the capacity too
        stays = mem.resident_pages - 1 - victim + taken + count_smaller_before(victim) < fit
        faults = np.concatenate((window.needs, at[~stays]))
        slack = max(0, int(window.free_before[0]) // self.page_charge - mem.plan.low)
        self.n_runs = max(0, faults.size - slack)
        n_most = self.victims.n - int(np.count_nonzero(stays))
        if self.n_runs > n_most:
            self.n_runs = max(0, n_most)
            self._end_of_victims(int(np.sort(faults)[slack + self.n_runs]))
        in_time = at < self.stop
        holes = np.sort(victim[stays & in_time])
        self.holes, self.came_back = holes.tolist(), victim[~stays & in_time].tolist()
        if self.n_runs:
            self.hand = self.n_runs + int((holes - np.arange(holes.size)).searchsorted(self.n_runs))

    @property
    def n_steps(self) -> int:
        """What the touches in doubt cost, in steps of plain Python."""
        return self.touches.size // 3


def count_smaller_before(values: Pages) -> Pages:
    """Count, for each of several distinct numbers, the smaller ones before it.

    Examples
    --------
    >>> count_smaller_before(np.array([3, 1, 2, 5])).tolist()
    [0, 0, 1, 3]
    """
    n = values.size
    if (values[1:] > values[:-1]).all():
        return np.arange(n)
    rank = np.empty(n, np.int32)
    rank[values.argsort()] = np.arange(n, dtype=np.int32)
    count, has_come, upto = np.empty(n, np.int64), np.zeros(n, np.bool_), np.zeros(n + 1, np.int32)
    for start in range(0, n, _BLOCK):  # pairs in one block, and smaller ones that came in blocks before
        block = rank[start : start + _BLOCK]
        in_block = np.empty(block.size, np.uint8)  # compared several times as fast as the ranks of all
        in_block[block.argsort()] = _RANKS[: block.size]
        is_smaller = in_block < in_block[:, np.newaxis]
        is_smaller &= _IS_BEFORE[: block.size, : block.size]
        count[start : start + _BLOCK] = upto.take(block) + is_smaller.view(np.uint8).sum(1, dtype=np.int16)
        has_come[block] = True
        has_come.cumsum(out=upto[1:])
    return count


_BLOCK = 256
_RANKS = np.arange(_BLOCK, dtype=np.uint8)
_IS_BEFORE = np.tri(_BLOCK, k=-1, dtype=np.bool_)
