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

from vswaplab.engine.outcome import Occupancy, PageTable
from vswaplab.engine.plan import FOOTPRINT_PAGE, Plan
from vswaplab.engine.vectorised.states import CRAM_READONLY, CRAM_SOFTLEAF, CRAM_WRITABLE, RESIDENT, SWAPFILE, ZERO
from vswaplab.engine.vectorised.stream import Stream
from vswaplab.results.counters import COUNTER_NAMES

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
        self.slots_used = [0] * len(plan.slots_of_device)
        self.half_full = False

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
        self.gate_open = True
        self.report = (0, 0)
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
        in_use = sum(self.slots_used)
        return max(0, min(self.plan.all_slots - in_use, self.plan.max_slots - in_use))

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
        self.give_back(stored)
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

    def give_back(self, stored: int) -> None:
        """Hand bytes back to the device: at once, or at the next periodic flush."""
        cram = self.plan.cram
        if cram is not None and cram.flush_period:
            self.unflushed += stored

    def release_slots(self, pages: Pages) -> None:
        """Free the swapfile slots that distinct pages hold, if any."""
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
        self.give_back(self.zombie_bytes)
        self.zombie_pages = self.zombie_bytes = 0

    def take_report(self) -> None:
        """Let the device report what it holds."""
        self.report, self.report_used = (self.media_bytes, self.device_pages), False

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
            zswap=self.pool_entries,
            zswap_bytes=self.pool_bytes,
            zswap_footprint=self.pool_footprint,
            swapped=self._count(SWAPFILE),
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

    def page_table(self) -> PageTable:
        """Lay the final state out as arrays."""
        rank = np.full(self.state.size, -1, np.int64)
        for in_cram in (False, True):
            pages, _ = self.coldest(0, self.log.length, self.state.size, in_cram=in_cram)
            rank[pages] = np.arange(pages.size)
        pages = self.live_queue(0)
        rank[pages] = np.arange(pages.size)
        return PageTable(
            self.state.copy(), self.content.copy(), self.stored.copy(), self.slot.copy(), self.clean.copy(),
            self.referenced.copy(), self.mappers.copy(), self._mapped(), rank,
        )  # fmt: skip

    def _mapped(self) -> NDArray[np.uint8]:
        readonly = self.readonly if self.trace.shares is not None else self.mappers
        mapped = np.where(self.state == CRAM_READONLY, readonly, 0).astype(np.uint8)
        return np.where(self.state == CRAM_WRITABLE, self.mappers, mapped)

    def live_queue(self, hand: int) -> Pages:
        """List zswap's live entries from a place in its queue on, oldest first."""
        places = np.arange(hand, self.queue.length)
        entries = self.queue.entries[hand : self.queue.length]
        live: Pages = entries[self.queue_stamp.take(entries) == places]
        return live
