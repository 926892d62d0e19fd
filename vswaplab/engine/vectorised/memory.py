"""The state of a simulated machine: arrays over pages, logs and running sums.

Recency is one log of page numbers: every touch appends its page, and
``stamp[page]`` is the place of the page's last entry, so an entry is live
only if its place is still the page's stamp. DRAM and CRAM share the log;
each has a hand, a place before which it has no live entry. zswap's queue is
a second log of the same kind.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vswaplab.engine.outcome import Occupancy, PageTable, constant
from vswaplab.engine.plan import FOOTPRINT_PAGE, Plan
from vswaplab.engine.vectorised.states import CRAM_READONLY, CRAM_SOFTLEAF, CRAM_WRITABLE, RESIDENT, SWAPFILE, ZERO
from vswaplab.engine.vectorised.stream import Stream
from vswaplab.results.counters import COUNTER_NAMES

LAST_RUNG = 3
"""Looks in vain before the balloon's OOM kill (facts/kernel.md 6.3)."""

FIRST, SECOND, BACKING = range(3)
"""Where a zram page lies: under the first or second compressor, or on the backing device."""

Pages = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Log:
    """A growing array of page numbers."""

    def __init__(self, room: int) -> None:
        self.entries = np.empty(max(room, 1024), np.int64)
        self.length = 0

    def append(self, pages: Pages) -> int:
        """Append pages; return the place of the first."""
        start, stop = self.length, self.length + pages.size
        if stop > self.entries.size:
            grown = np.empty(max(stop, 2 * self.entries.size), np.int64)
            grown[:start] = self.entries[:start]
            self.entries = grown
        self.entries[start:stop] = pages
        self.length = stop
        return start


class Memory:
    """Everything that changes while a trace runs.

    Parameters
    ----------
    plan : Plan
    trace : Stream
    """

    def __init__(self, plan: Plan, trace: Stream) -> None:
        n = trace.n_pages
        self.plan, self.trace = plan, trace
        self.count = dict.fromkeys(COUNTER_NAMES, 0)
        self.device_in = [0] * len(plan.slots_of_device)
        self.device_out = [0] * len(plan.slots_of_device)

        self.state = np.zeros(n, np.uint8)
        self.content = trace.content.copy()
        self.stored = np.zeros(n, np.int32)  # bytes at rest: zswap length or bytes on the CRAM media
        self.slot = np.full(n, -1, np.int8)
        self.clean = np.zeros(n, np.bool_)
        self.stamp = np.full(n, -1, np.int64)
        self.log = Log(1 << 16)
        self.dram_hand = 0
        self.cram_hand = 0

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

        self.queue = Log(1 << 12)  # zswap entries, oldest first
        self.queue_hand = 0
        self.queue_stamp = np.full(n, -1, np.int64)
        self.referenced = np.zeros(n, np.bool_)
        self.pool_entries = 0
        self.pool_bytes = 0
        self.pool_footprint = 0
        self.pool_full = False

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
        # Mappers of each page, and those that have it mapped read-only while it is on CRAM; one bit each.
        self.mappers = trace.mappers.copy()
        self.readonly = np.zeros(n, np.uint8)
        self.report_used = True

    # Recency --------------------------------------------------------------------------------

    def touch(self, pages: Pages) -> None:
        """Make pages the most recent, in the order given."""
        start = self.log.append(pages)
        self.stamp[pages] = np.arange(start, start + pages.size)

    def coldest(self, hand: int, stop: int, wanted: int, *, in_cram: bool) -> tuple[Pages, Pages]:
        """Find the coldest live pages of DRAM or CRAM from a place in the log on.

        Returns
        -------
        pages : (at most about ``wanted``,) coldest first
        places : their places in the log
        """
        found: list[Pages] = []
        total, step = 0, max(64, 2 * wanted)
        while hand < stop and total < wanted:
            places = np.arange(hand, min(hand + step, stop))
            entries = self.log.entries[places[0] : places[-1] + 1]
            live = np.flatnonzero((self.stamp.take(entries) == places) & self._is_in(entries, in_cram))
            found.append(places[live])
            total += live.size
            hand, step = int(places[-1]) + 1, 2 * step
        all_places = np.concatenate(found) if found else np.empty(0, np.int64)
        return self.log.entries[all_places], all_places

    def _is_in(self, pages: Pages, in_cram: bool) -> Mask:
        state = self.state.take(pages)
        low, high = (CRAM_SOFTLEAF, CRAM_WRITABLE) if in_cram else (RESIDENT, RESIDENT)
        is_in: Mask = (state >= low) & (state <= high)
        return is_in

    # Running sums ---------------------------------------------------------------------------

    @property
    def free_pages(self) -> int:
        """Free DRAM, whole pages."""
        return self.free_charge // self.plan.page_charge

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

    def pool_remove(self, pages: Pages) -> None:
        """Drop zswap entries and give their DRAM back."""
        zswap = self.plan.zswap
        assert zswap is not None
        lengths = self.stored.take(pages)
        self.pool_entries -= pages.size
        self.pool_bytes -= int(lengths.sum())
        self.pool_footprint -= int(zswap.footprint_of_length.take(lengths).sum())
        self.free_charge += int(zswap.charge_of_length.take(lengths).sum())
        self.queue_stamp[pages] = -1
        self.referenced[pages] = False
        self.stored[pages] = 0

    def cram_release(self, pages: Pages) -> None:
        """Free the device pages of live CRAM pages; their bytes return at the next flush."""
        stored = int(self.stored.take(pages).sum())
        self.cram_pages -= pages.size
        self.cram_bytes -= stored
        self.give_back(stored, pages.size)
        self.stored[pages] = 0

    def make_zombies(self, pages: Pages) -> None:
        """Free writable pages unseen: device page, bytes and budget stay held."""
        stored = int(self.stored.take(pages).sum())
        self.count["zombies"] += pages.size
        self.cram_pages -= pages.size
        self.cram_bytes -= stored
        self.zombie_pages += pages.size
        self.zombie_bytes += stored
        self.stored[pages] = 0

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

    def release_slots(self, pages: Pages) -> None:
        """Free the swap slots that distinct pages hold, if any, and what zram holds in them."""
        if self.plan.zram is not None:
            on_zram = pages[self.is_on_zram(pages)]
            if on_zram.size:
                self.zram_drop(on_zram)
        self.clean[pages] = False
        devices = self.slot.take(pages)
        held = pages[devices >= 0]
        if held.size:
            for device, n in enumerate(np.bincount(devices[devices >= 0]).tolist()):
                self.slots_used[device] -= n
            self.slot[held] = -1

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
            resident=self._count(RESIDENT),
            zero=self._count(ZERO),
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
            swapped=self._count(SWAPFILE) - self.zram_pages,
            zram=self.zram_pages,
            zram_bytes=self.zram_bytes,
            zram_footprint=self.zram_footprint,
            cache_only=int(np.count_nonzero(self.cache_only)) if self.has_cache_only else 0,
            slots=tuple(self.slots_used),
            free_pages=self.free_pages,
            gate_open=self.gate_open,
            pool_full=self.pool_full,
        )

    def _multi_state(self) -> int:
        if self.trace.shares is None:
            return 0
        is_partly = (self.readonly != 0) & (self.readonly != self.mappers)
        return int(np.count_nonzero(is_partly & (self.state == CRAM_READONLY)))

    def _count(self, state: int) -> int:
        return int(np.count_nonzero(self.state == state))

    def page_table(self, *, is_ranked: bool) -> PageTable:
        """Lay the state out as arrays: the engine's own, where it has them."""
        n = self.state.size
        return PageTable(
            self.state, self.content, self.stored, self.slot, self.clean, self.referenced, self.mappers,
            self._mapped(), self.cache_only,
            self.zram_level if self.plan.zram else constant(0, n, np.uint8),
            self.ranks() if is_ranked else constant(-1, n, np.int32),
        )  # fmt: skip

    def ranks(self) -> NDArray[np.int32]:
        """Give every page's place in the reclaim order of its tier; -1: in none."""
        rank = np.full(self.state.size, -1, np.int32)
        for in_cram in (False, True):
            pages, _ = self.coldest(0, self.log.length, self.state.size, in_cram=in_cram)
            rank[pages] = np.arange(pages.size)
        pages = self.live_queue(0)
        rank[pages] = np.arange(pages.size)
        return rank

    def _mapped(self) -> NDArray[np.uint8]:
        if self.plan.cram is None:
            return constant(0, self.state.size, np.uint8)
        readonly = self.mappers if self.trace.shares is None else self.readonly
        mapped: NDArray[np.uint8] = (self.state == CRAM_WRITABLE) * self.mappers
        mapped += (self.state == CRAM_READONLY) * readonly
        return mapped

    def mapped_by(self, pages: Pages) -> NDArray[np.uint8]:
        """Give the mappers that have each CRAM page mapped, one bit each."""
        state, mappers = self.state.take(pages), self.mappers.take(pages)
        readonly = mappers if self.trace.shares is None else self.readonly.take(pages)
        mapped = np.where(state == CRAM_READONLY, readonly, 0).astype(np.uint8)
        return np.where(state == CRAM_WRITABLE, mappers, mapped)

    def live_queue(self, hand: int) -> Pages:
        """List zswap's live entries from a place in its queue on, oldest first."""
        places = np.arange(hand, self.queue.length)
        entries = self.queue.entries[hand : self.queue.length]
        live: Pages = entries[self.queue_stamp.take(entries) == places]
        return live
