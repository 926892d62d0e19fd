"""The state of a simulated machine: arrays over pages, logs and running sums.

Recency is one log of touches, which is the trace itself as far as it has been
carried out; an entry is live until its page is accessed next, and the trace
knows when that is. DRAM and CRAM share the log; each has a hand, a place before
which it has no live entry. When copied entries are dropped, pages of CRAM last
accessed before DRAM's hand get places below 0, in their order. zswap's queue is
a second log.

Whether an access finds its page in DRAM is noted when the page leaves, or comes
in and goes nowhere: on its next access. So an access to a page in DRAM needs no
look at the page.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vswaplab.engine.outcome import Occupancy, PageTable, constant
from vswaplab.engine.plan import FOOTPRINT_PAGE, Plan
from vswaplab.engine.vectorised.logs import (
    BLOCK,
    Entries,
    Log,
    Mask,
    Order,
    Pages,
    Queue,
    TouchLog,
    joined_entries,
    next_step,
    which,
)
from vswaplab.engine.vectorised.rows import row_facts
from vswaplab.engine.vectorised.states import CRAM_READONLY, CRAM_SOFTLEAF, CRAM_WRITABLE, NONE, RESIDENT, STORE, ZSWAP
from vswaplab.engine.vectorised.stream import Stream

if TYPE_CHECKING:
    from vswaplab.engine.vectorised.policies import DeviceOrder, ReclaimOrder
    from vswaplab.trace.trace import Piece

__all__ = ["BACKING", "FIRST", "SECOND", "Log", "Mask", "Memory", "Pages", "log_room", "which"]

LAST_RUNG = 3
"""Looks in vain before the balloon's OOM kill (mm/cram.c, autumn 2026)."""

_LEAST_PLACE = -(1 << 29)
"""Places below it are numbered anew."""

FIRST, SECOND, BACKING = range(3)
"""Where a zram page lies: under the first or second compressor, or on the backing device."""


class Memory:
    """Everything that changes while a trace runs.

    Parameters
    ----------
    plan : Plan
    trace : Stream
    """

    def __init__(self, plan: Plan, trace: Stream) -> None:
        n = trace.n_pages
        self.plan, self.trace, self.row_facts = plan, trace, row_facts(plan)
        self.count = dict.fromkeys(plan.counter_names, 0)
        self.device_in = [0] * len(plan.slots_of_device)
        self.device_out = [0] * len(plan.slots_of_device)

        self.state = np.full(n, NONE, np.uint8)
        # Last entry: of a CRAM page in the log, of a zswap page in the queue. Of a page in DRAM in the log, where it is
        # needed: by orders of reclaim other than LRU, and when it is not accessed again in this piece of the trace.
        self.place = np.zeros(n, np.int32)
        self._mark = np.zeros(n, np.bool_)  # all clear between calls
        self.has_own_content = trace.changes_content
        self.content = trace.content.copy() if self.has_own_content else trace.content
        self.stored = np.zeros(n, np.int16)  # bytes at rest of a page on zswap, CRAM or zram; of others without meaning
        self.slot = np.full(n, -1, np.int8)
        self.clean = np.zeros(n, np.bool_)
        self.zero_pages = 0
        self.swapped_pages = 0  # on a swapfile or zram
        self.log = TouchLog(log_room(n))
        self.log.begin_piece(trace.page, trace.index, 0)
        self.order: ReclaimOrder | None = None  # None: LRU, which is the log itself
        self.dram_hand = 0
        self.victims_per_frame = 1.5  # a guess that only costs time
        self.cram_order: DeviceOrder | None = None  # None: LRU
        # Then the device's pages, coldest first, are the merge of two logs: those that came, and those accessed there.
        self.arrived, self.accessed = Order(self.log.room), Order(self.log.room)

        self.free_charge = plan.capacity_charge
        self.capacity = list(plan.slots_of_device)  # 0 after swapoff
        self.slots_used = [0] * len(plan.slots_of_device)
        self.half_full = False
        self.cache_only = np.zeros(n, np.bool_)  # resident, but only the swap cache knows it
        self.has_cache_only = False

        # zram: its pages are in state SWAPFILE, and ``stored`` holds their bytes.
        self.zram_level = np.zeros(n if plan.zram else 0, np.uint8)
        self.zram_idle = np.zeros(n if plan.zram else 0, np.bool_)
        self.zram_pages = 0
        self.zram_bytes = 0
        self.zram_footprint = 0
        self.zram_backed = 0

        self.queue = Queue(log_room(n // 4))
        self.queue_hand = 0
        self.pool_entries = 0
        self.pool_bytes = 0
        self.pool_footprint = 0
        self.pool_full = False

        # Tiers of plug-ins: their pages are in state STORE, and ``stored`` holds their bytes.
        self.store_of = np.full(n if plan.stores else 0, -1, np.int8)
        self.store_pages = [0] * len(plan.stores)
        self.store_bytes = [0] * len(plan.stores)

        self.cram_pages = 0  # live ones, poisoned ones included
        self.cram_bytes = 0
        self.writable = 0
        self.zombie_pages = 0
        self.zombie_bytes = 0
        self.unflushed = 0
        self.unflushed_pages = 0
        self.gate_open = True
        self.report = (0, 0)
        self.boost = 0
        self.balloon = 0
        self.fruitless = 0
        self.is_removed = False
        self.credits = self.grant()
        self.has_budget = plan.cram is not None and plan.cram.budget > 0  # pages of the device may be writable
        # Mappers of each page, and those that have it mapped read-only while it is on CRAM; one bit each.
        self.mappers = trace.mappers if trace.shares is None else trace.mappers.copy()
        self.readonly = np.zeros(n, np.uint8)
        self.report_used = True

    # Recency --------------------------------------------------------------------------------

    def feed(self, piece: Piece) -> None:
        """Go on to the accesses that come next."""
        self.trace.feed(piece)
        self.log.begin_piece(self.trace.page, self.trace.index, self.dram_hand)
        first_at = which(self.trace.index.is_first)
        pages = self.trace.page.take(first_at)
        here = which(self.state.take(pages) == RESIDENT)
        first_at, pages = first_at.take(here), pages.take(here)
        self.log.is_elsewhere[first_at] = False
        self.log.next_at[self.place.take(pages)] = first_at

    def carry_out(self, pages: NDArray[np.int32], next_at: NDArray[np.int32]) -> None:
        """Take in the next accesses, as if each of them left its page in DRAM."""
        start = self.log.end
        self.log.carry_out(pages.size)
        if self.order is not None:
            touches = which(next_at >= 0)
        elif self.trace.has_pieces:
            touches = which(next_at == self.trace.page.size)
        else:
            return
        self.place[pages.take(touches)] = touches + start

    def touch(self, pages: Pages, next_at: NDArray[np.int32]) -> None:
        """Make distinct pages of DRAM the most recent, in the order given; they are accessed next at ``next_at``."""
        self.place[pages] = self.log.append(pages, next_at)

    def bring_in(self, pages: Pages) -> None:
        """Make distinct pages resident that nobody accessed."""
        next_at = self.trace.next_of(pages, self.log.now)
        self.touch(pages, next_at)
        self.state[pages] = RESIDENT
        self.log.is_elsewhere[next_at] = False

    def miss(self, next_at: NDArray[np.int32]) -> None:
        """Note that pages are not in DRAM that are accessed next at these places."""
        self.log.is_elsewhere[next_at.astype(np.int64)] = True

    def are_among(self, pages: NDArray[np.integer], some: Pages) -> Mask:
        """Say which of several pages are among some others."""
        self._mark[some] = True
        among: Mask = self._mark.take(pages)
        self._mark[some] = False
        return among

    def states(self, pages: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Say where pages are, as a ``State`` each."""
        return self.state.take(pages)

    def move(self, pages: Pages, state: NDArray[np.uint8] | int) -> None:
        """Put pages in states other than resident."""
        self.state[pages] = state

    def coldest(self, hand: int, stop: int, wanted: int) -> Entries:
        """Find the coldest pages of DRAM from a place in the log on.

        Returns
        -------
        pages : (about ``wanted``,) coldest first
        places : their places in the log
        next_at : when they are accessed next
        """
        found: list[Entries] = []
        total, step = 0, max(64, wanted + wanted // 2)
        while hand < stop and total < wanted:
            end = min(hand + step, stop)
            found.append(self.log.read(hand, end))
            n_live = found[-1][0].size
            total += n_live
            step, hand = next_step(step, n_live, wanted - total), end
        return found[0] if len(found) == 1 else joined_entries(found)

    def coldest_in_cram(self, stop: int, wanted: int) -> tuple[Pages, NDArray[np.int64]]:
        """Find the coldest pages of the device that were last accessed before a place in the log.

        Returns
        -------
        pages : (at most ``wanted``,) coldest first
        places : of their last accesses
        """
        key = self.arrived.coldest(self.is_in_cram, wanted, stop)
        if key.size >= wanted > 0:  # what was accessed later is not among the coldest
            stop = int(key[wanted - 1] >> 32)
        key = np.concatenate((key, self.accessed.coldest(self.is_in_cram, wanted, stop)))
        key.sort(kind="stable")  # which merges what is in order already
        key = key[:wanted]
        return key & ((1 << 32) - 1), key >> 32

    def all_in_cram(self) -> Pages:
        """List the device's pages, poisoned ones left out, in the order in which they would leave."""
        if self.cram_order is not None:
            return self.cram_order.ranking()
        return self.coldest_in_cram(self.log.end, self.cram_pages)[0]

    def go_past_in_cram(self, place: int) -> None:
        """Leave behind what was last accessed up to a place: it is no longer on the device, or was accessed again."""
        for order in (self.arrived, self.accessed):
            order.go_past(place)

    def is_on_device(self, pages: NDArray[np.integer]) -> Mask:
        """Say which pages are on the device, and not poisoned."""
        state = self.state.take(pages)
        is_there: Mask = (state >= CRAM_SOFTLEAF) & (state <= CRAM_WRITABLE)
        return is_there

    def is_in_cram(self, pages: NDArray[np.integer], places: NDArray[np.integer]) -> Mask:
        """Say which pages are on the device, not poisoned, and were last accessed at these places."""
        is_live: Mask = self.is_on_device(pages) & (self.place.take(pages) == places)
        return is_live

    def shorten_logs(self) -> None:
        """Drop dead entries from logs that have grown long; places change, their order does not."""
        if self.log.length > self.log.room:
            self._shorten_log()
        for order in (self.arrived, self.accessed):
            if order.is_long:
                order.shorten(self.is_in_cram)
        if self.queue.length > self.queue.room:
            self._shorten_queue()

    def _shorten_log(self) -> None:
        # Places count from the hand on afterwards. Before it only pages of the device have any, which go below 0.
        self.log.copy_accesses()
        hand, self.dram_hand = self.dram_hand, 0
        length, self.log.length = self.log.length, 0
        for order in (self.arrived, self.accessed):
            order.shorten(self.is_in_cram)
        self._renumber_behind(hand)
        accessed = self.accessed.places.held
        for start in range(hand, length, BLOCK):
            stop = min(start + BLOCK, length)
            keep = which(self.log.next_at[start:stop] >= self.log.now) + start
            in_cram = accessed[accessed.searchsorted(np.int32(start)) : accessed.searchsorted(np.int32(stop))]
            if in_cram.size:
                keep = np.sort(np.concatenate((keep, in_cram)))
            pages, next_at = self.log.entries.take(keep), self.log.next_at.take(keep)
            self.place[pages] = places = self.log.append(pages, next_at)
            in_cram[:] = places.take(which(next_at < self.log.now))
        self.log.widen()

    def _renumber_behind(self, hand: int) -> None:
        # Of pages of the device that were last accessed before the hand only the order counts.
        arrived, accessed = self.arrived.places.held, self.accessed.places.held
        accessed = accessed[: accessed.searchsorted(np.int32(hand))]
        arrived -= hand
        accessed -= hand
        if min((int(places[0]) for places in (arrived, accessed) if places.size), default=0) < _LEAST_PLACE:
            before = accessed.searchsorted(arrived), arrived.searchsorted(accessed)
            arrived[:], accessed[:] = (np.arange(n.size) + n - arrived.size - accessed.size for n in before)
        self.place[self.arrived.pages.held] = arrived
        self.place[self.accessed.pages.held[: accessed.size]] = accessed

    def _shorten_queue(self) -> None:
        hand, self.queue_hand = self.queue_hand, 0  # nothing behind it is live
        length, self.queue.length = self.queue.length, 0
        for start in range(hand, length, BLOCK):
            pages, places, _ = self.queue.live(start, min(start + BLOCK, length))
            self.place[pages] = self.queue.append(pages, self.queue.mark.take(places))
        self.queue.widen()

    # Running sums ---------------------------------------------------------------------------

    @property
    def free_pages(self) -> int:
        """Free DRAM, whole pages."""
        return self.free_charge // self.plan.page_charge

    @property
    def resident_pages(self) -> int:
        """Pages in DRAM, from what they cost."""
        plan, used = self.plan, self.plan.capacity_charge - self.free_charge
        if plan.zswap is not None:
            used -= self.pool_footprint if plan.is_host_charge else self.pool_bytes
        if plan.zram is not None and plan.is_host_charge:
            used -= self.zram_footprint
        if plan.cram is not None:
            used -= plan.cram.charge * self.cram_pages
        used -= sum(store.charge * held for store, held in zip(plan.stores, self.store_bytes, strict=True))
        return used // plan.page_charge

    @property
    def pool_pages(self) -> int:
        """The pool's footprint, pages rounded up."""
        return -(-self.pool_footprint // FOOTPRINT_PAGE)

    @property
    def free_slots(self) -> int:
        """Swapfile slots that may still be taken."""
        room = sum(max(0, c - u) for c, u in zip(self.capacity, self.slots_used, strict=True))
        return max(0, min(room, self.plan.max_slots - sum(self.slots_used)))

    @property
    def top_device(self) -> int:
        """The swap device that is filled first."""
        order = self.plan.device_order
        return next((d for d in order if self.capacity[d]), order[0])

    @property
    def all_slots(self) -> int:
        """Slots of all swap devices together."""
        return sum(self.capacity)

    @property
    def is_out_of_memory(self) -> bool:
        """Whether a reclaim left no frame, or the balloon has used up its last rung."""
        return self.free_pages < 1 or self.fruitless >= LAST_RUNG

    @property
    def media_bytes(self) -> int:
        """Bytes taken on the CRAM media: live pages, zombies, freed but not flushed."""
        return self.cram_bytes + self.zombie_bytes + self.unflushed

    @property
    def settles_returns(self) -> bool:
        """Whether a page that leaves DRAM and comes back in one window is simple enough for it."""
        return self.plan.zram is None and not self.has_cache_only

    @property
    def is_tier(self) -> bool:
        """Whether CRAM is a memory tier, without swap entries."""
        return self.plan.cram is not None and self.plan.cram.is_tier

    @property
    def address_space(self) -> int:
        """Pages of one mapper's address space."""
        return self.state.size if self.trace.shares is None else self.trace.shares.address_space

    @property
    def device_pages(self) -> int:
        """CRAM device pages in use, zombies included."""
        return self.cram_pages + self.zombie_pages

    @property
    def free_device_pages(self) -> int:
        """CRAM device pages that may be taken."""
        assert self.plan.cram is not None
        return self.plan.cram.device_pages - self.device_pages - self.balloon

    @property
    def reserved_bytes(self) -> int:
        """Media that writes in place may still take, where the device grants them."""
        return self.credits * self.plan.cram.worst_bytes if self.plan.cram is not None else 0

    # Pages come and go ----------------------------------------------------------------------

    def pool_add(self, lengths: NDArray[np.integer], sign: int) -> int:
        """Add entries to the zswap pool, or take them out (sign -1), at DRAM's cost; return their bytes."""
        zswap = self.plan.zswap
        assert zswap is not None
        n_bytes, footprint = int(lengths.sum()), int(zswap.footprint_of_length.take(lengths).sum())
        self.pool_entries += sign * lengths.size
        self.pool_bytes += sign * n_bytes
        self.pool_footprint += sign * footprint
        self.free_charge -= sign * (footprint if self.plan.is_host_charge else n_bytes)
        return n_bytes

    def pool_remove(self, pages: Pages) -> None:
        """Drop zswap entries and give their DRAM back."""
        self.queue.mark[self.place.take(pages)] = Queue.GONE
        self.pool_add(self.stored.take(pages), -1)

    def cram_release(self, pages: Pages) -> None:
        """Free the device pages of live CRAM pages; their bytes return at the next flush."""
        stored = int(self.stored.take(pages).sum())
        self.cram_pages -= pages.size
        self.cram_bytes -= stored
        self.give_back(stored, pages.size)

    def make_zombies(self, pages: Pages) -> None:
        """Free writable pages unseen: device page, bytes and budget stay held."""
        stored = int(self.stored.take(pages).sum())
        self.count["zombies"] += pages.size
        self.cram_pages -= pages.size
        self.cram_bytes -= stored
        self.zombie_pages += pages.size
        self.zombie_bytes += stored

    def give_back(self, stored: int, n_pages: int) -> None:
        """Hand bytes back to the device: at once, or at the next periodic flush."""
        cram = self.plan.cram
        if cram is not None and cram.flush_period:
            self.unflushed += stored
            self.unflushed_pages += n_pages

    def flush(self) -> None:
        """Give freed bytes back, in batches of TRIM commands."""
        cram = self.plan.cram
        if cram is not None and self.unflushed:
            self.count["flushes"] += 1
            self.count["trims"] += -(-self.unflushed_pages // cram.trim_batch)
            self.unflushed = self.unflushed_pages = 0

    def store_charge(self, pages: Pages) -> NDArray[np.int64]:
        """Say what each page in a plug-in's tier costs DRAM, charge units."""
        charge = np.array([store.charge for store in self.plan.stores], np.int64)
        costs: NDArray[np.int64] = charge.take(self.store_of.take(pages)) * self.stored.take(pages)
        return costs

    def store_add(self, pages: Pages, which_store: NDArray[np.int8], n_bytes: NDArray[np.int64]) -> None:
        """Put pages into plug-ins' tiers, at DRAM's cost where they lie in it."""
        self.store_of[pages] = which_store
        self.stored[pages] = n_bytes
        self._store_sums(pages, 1)

    def store_remove(self, pages: Pages) -> None:
        """Take pages out of the plug-ins' tiers."""
        self._store_sums(pages, -1)
        self.store_of[pages] = -1

    def _store_sums(self, pages: Pages, sign: int) -> None:
        held, n_bytes = self.store_of.take(pages), self.stored.take(pages)
        for k in range(len(self.store_pages)):
            here = held == k
            self.store_pages[k] += sign * int(np.count_nonzero(here))
            self.store_bytes[k] += sign * int(n_bytes[here].sum(dtype=np.int64))
        self.free_charge -= sign * int(self.store_charge(pages).sum())

    def is_on_zram(self, pages: Pages) -> Mask:
        """Say which pages have their data on zram: a valid copy in a slot of it."""
        found: Mask = (self.slot.take(pages) == self.plan.zram_device) & self.clean.take(pages)
        return found

    def zram_drop(self, pages: Pages) -> None:
        """Free what zram holds of these pages; their slots are the caller's."""
        zram = self.plan.zram
        assert zram is not None
        self.zram_pages -= pages.size
        self.zram_backed -= int(np.count_nonzero(self.zram_level.take(pages) == BACKING))
        self.zram_resize(pages, np.zeros(pages.size, np.int64))
        self.zram_level[pages] = 0
        self.zram_idle[pages] = False

    def zram_resize(self, pages: Pages, length: NDArray[np.int64]) -> None:
        """Change how many bytes zram's pool holds of each page; DRAM pays, or gets it back."""
        zram = self.plan.zram
        assert zram is not None
        old = self.stored.take(pages)
        self.zram_bytes += int(length.sum() - old.sum())
        self.zram_footprint += zram.footprint(length) - zram.footprint(old)
        self.free_charge -= zram.charge(length) - zram.charge(old)
        self.stored[pages] = length

    def per_device(self, devices: NDArray[np.int8]) -> list[int]:
        """Count how many of these are on each swap device."""
        n = len(self.slots_used)
        return [devices.size] if n == 1 else np.bincount(devices, minlength=n).tolist()

    def release_slots(self, pages: Pages) -> None:
        """Free the swap slots that distinct pages hold, if any, and what zram holds in them."""
        if not any(self.slots_used):
            return
        if self.plan.zram is not None:
            on_zram = pages[self.is_on_zram(pages)]
            if on_zram.size:
                self.zram_drop(on_zram)
        devices = self.slot.take(pages)
        index = which(devices >= 0)
        if index.size:
            held = pages.take(index)
            for device, n in enumerate(self.per_device(devices.take(index))):
                self.slots_used[device] -= n
            self.slot[held] = -1
            self.clean[held] = False

    def reap(self) -> None:
        """Find the zombies: their device pages, bytes and budget return."""
        self.count["reaped"] += self.zombie_pages
        self.writable -= self.zombie_pages
        self.give_back(self.zombie_bytes, self.zombie_pages)
        self.zombie_pages = self.zombie_bytes = 0

    def take_report(self) -> None:
        """Let the device report what it holds."""
        self.report, self.report_used = (self.media_bytes, self.device_pages), False
        self.credits = self.grant()

    def grant(self) -> int:
        """Say how many writes in place the device takes until its next report, if it owns the budget."""
        cram = self.plan.cram
        if cram is None or not cram.is_device_budget:
            return 0
        return min(cram.budget, (cram.media_bytes - self.media_bytes) // cram.worst_bytes)

    # What came out --------------------------------------------------------------------------

    def occupancy(self) -> Occupancy:
        """Count what each tier holds now."""
        return Occupancy(
            resident=self.resident_pages,
            zero=self.zero_pages,
            cram=self.cram_pages,
            cram_bytes=self.cram_bytes,
            cram_media_bytes=self.media_bytes,
            multi_state=self._multi_state(),
            writable=self.writable,
            zombies=self.zombie_pages,
            balloon=self.balloon,
            zswap=self.pool_entries,
            zswap_bytes=self.pool_bytes,
            zswap_footprint=self.pool_footprint,
            swapped=self.swapped_pages - self.zram_pages,
            zram=self.zram_pages,
            zram_bytes=self.zram_bytes,
            zram_footprint=self.zram_footprint,
            cache_only=int(np.count_nonzero(self.cache_only)) if self.has_cache_only else 0,
            slots=tuple(self.slots_used),
            free_pages=self.free_pages,
            gate_open=self.gate_open,
            pool_full=self.pool_full,
            stores=tuple(zip(self.store_pages, self.store_bytes, strict=True)),
        )

    def _multi_state(self) -> int:
        if self.trace.shares is None:
            return 0
        n = 0
        for start in range(0, self.state.size, 1 << 15):  # so few that they stay in the caches
            part = slice(start, start + (1 << 15))
            readonly = self.readonly[part]
            is_partly = (readonly != 0) & (readonly != self.mappers[part])
            n += int(np.count_nonzero(is_partly & (self.state[part] == CRAM_READONLY)))
        return n

    def page_table(self, *, is_ranked: bool) -> PageTable:
        """Lay the state out as arrays: the engine's own, where it has them."""
        state = self.state.copy()
        n = state.size
        is_stored = (state == ZSWAP) | (state >= CRAM_SOFTLEAF) | (state == STORE)
        if self.plan.zram:
            is_stored |= (self.slot == self.plan.zram_device) & self.clean
        return PageTable(
            state, self.content, self.stored * is_stored, self.slot, self.clean, self._referenced(), self.mappers,
            self._mapped(state), self.cache_only,
            self.zram_level if self.plan.zram else constant(0, n, np.uint8),
            self._ranks() if is_ranked else constant(-1, n, np.int32),
            self.store_of if self.plan.stores else constant(-1, n, np.int8),
        )  # fmt: skip

    def _ranks(self) -> NDArray[np.int32]:
        rank = np.full(self.state.size, -1, np.int32)
        dram = self._live_pages() if self.order is None else [self.order.ranking()]
        cram = self._cram_in_order() if self.cram_order is None else [self.cram_order.ranking()]
        for parts in (dram, cram, (pages for pages, _, _ in self._queued())):
            n = 0
            for pages in parts:
                rank[pages] = np.arange(n, n + pages.size)
                n += pages.size
        return rank

    def _referenced(self) -> Mask:
        referenced = np.zeros(self.state.size, np.bool_)
        for pages, _, is_referenced in self._queued():
            referenced[pages] = is_referenced
        return referenced

    def _live_pages(self) -> Iterator[Pages]:
        for start in range(self.dram_hand, self.log.end, BLOCK):
            yield self.log.read(start, min(start + BLOCK, self.log.end))[0]

    def _queued(self) -> Iterator[tuple[Pages, Pages, Mask]]:
        for start in range(self.queue_hand, self.queue.length, BLOCK):
            yield self.queue.live(start, min(start + BLOCK, self.queue.length))

    def _cram_in_order(self) -> Iterator[Pages]:
        hands = self.arrived.hand, self.accessed.hand
        while (found := self.coldest_in_cram(self.log.end, BLOCK))[0].size:
            yield found[0]
            self.go_past_in_cram(int(found[1][-1]))
        self.arrived.hand, self.accessed.hand = hands

    def _mapped(self, state: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.plan.cram is None:
            return constant(0, state.size, np.uint8)
        mapped: NDArray[np.uint8] = (state == CRAM_WRITABLE) * self.mappers
        mapped += (state == CRAM_READONLY) * (self.mappers if self.trace.shares is None else self.readonly)
        return mapped

    def mapped_by(self, pages: Pages) -> NDArray[np.uint8]:
        """Give the mappers that have each CRAM page mapped, one bit each."""
        state, mappers = self.states(pages), self.mappers.take(pages)
        readonly = mappers if self.trace.shares is None else self.readonly.take(pages)
        mapped: NDArray[np.uint8] = (state == CRAM_READONLY) * readonly
        if self.has_budget:
            mapped += (state == CRAM_WRITABLE) * mappers
        return mapped


def log_room(n_pages: int) -> int:
    """Say how many entries a log may hold before it is shortened: seldom, but in little memory."""
    return min(max(1 << 16, 6 * n_pages), max(1 << 24, n_pages // 2))
