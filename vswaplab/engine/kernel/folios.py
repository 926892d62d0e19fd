"""What is kept of every page and of the group, and the passing of time."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.units import PAGE_SIZE
from vswaplab.engine.kernel.lists import Lru, Lruvec
from vswaplab.engine.plan import Plan
from vswaplab.engine.zspages import ZsPool
from vswaplab.machine.kernel import FLUSH_TIME_NS
from vswaplab.results.counters import COUNTER_NAMES
from vswaplab.trace.trace import Workload

DRAM, CRAM = range(2)
"""Memory nodes."""
NONE, ZSWAP, DISK, ZERO = range(4)
"""What stands behind a swap entry."""

FOLIO_BATCH = 31
"""Folios that a CPU collects before they go on a list, or back to the group (PAGEVEC_SIZE, Linux 6.8 and later)."""

TICK_NS = 4_000_000
"""The scheduler's clock tick (HZ 250)."""


class OutOfMemoryError(Exception):
    """The group is at its limit and nothing more can be reclaimed."""


class Folios:
    """The state of a machine: a page has at most one folio, which is named by the page's number.

    Flags are one byte a page, so that hits can be set in numpy.
    """

    def __init__(self, plan: Plan, trace: Workload) -> None:
        assert plan.kernel is not None
        n = plan.n_pages
        self.plan, self.trace, self.kernel = plan, trace, plan.kernel
        self.count = dict.fromkeys(COUNTER_NAMES, 0)
        self.device_in, self.device_out = [0] * len(plan.slots_of_device), [0] * len(plan.slots_of_device)
        self.content: list[int] = trace.content.tolist()
        self.codes: NDArray[np.uint8] | None = None
        """(n_accesses,) outcome of each access, where asked for."""

        # Page tables and folios.
        self.mapped, self.young, self.pte_dirty = bytearray(n), bytearray(n), bytearray(n)
        self.cached, self.dirty, self.writeback = bytearray(n), bytearray(n), bytearray(n)
        self.referenced, self.active, self.workingset = bytearray(n), bytearray(n), bytearray(n)
        self.rotates, self.isolated, self.in_batch = bytearray(n), bytearray(n), bytearray(n)
        self.locked = bytearray(n)  # being read or moved: reclaim passes by
        self.n_unmapped = 0  # how often a page was unmapped: what was looked up before no longer holds
        self.has_table = bytearray(-(-n // PAGES_OF_TABLE))

        # Swap entries.
        self.backing = bytearray(n)
        self.slot = bytearray(b"\xff" * n)  # swap device of the page's entry, 255: none
        self.slots_used = [0] * len(plan.slots_of_device)
        self.capacity = list(plan.slots_of_device)  # 0 after swapoff
        self.shadow: dict[int, tuple[int, int, int]] = {}  # evicted page -> node, its nonresident age, workingset flag

        # Lists.
        newer, older = [0] * (n + 4), [0] * (n + 4)
        self.lruvecs = Lruvec(newer, older, n, DRAM), Lruvec(newer, older, n + 2, CRAM)
        self.node = bytearray(n)  # whose memory a folio is in: DRAM, or CRAM
        self.lru_add_batch: list[int] = []

        # The group's charge, pages, and bytes of its last page of compressed objects.
        self.max_pages, self.usage = self.kernel.max_pages, self.kernel.base_pages
        self.stock = self.object_stock = 0

        # zswap.
        self.zs_pool = ZsPool()
        self.zswap_lru: OrderedDict[int, bool] = OrderedDict()  # page -> referenced, oldest first
        self.zspage: dict[int, int] = {}
        self.zswap_length: dict[int, int] = {}
        self.zswap_bytes = 0
        self.zswap_pool_reached_full = False

        # Time, and what happens by it.
        self.now = 0
        self.next_flush, self.next_tick = self.kernel.stat_flush_ns, TICK_NS
        self.worker: Iterator[int] | None = None  # of zswap: it waits for the CPU, or has it
        self.need_resched = False  # a clock tick has found the worker waiting
        self.writes: deque[tuple[int, int]] = deque()  # disk writes under way: when each ends, and its page
        self.reads: deque[tuple[int, int]] = deque()  # reads under way that nobody waits for, alike
        self.flushed_zswap = (0, 0)  # at the last flush: entries, and whole pages of their bytes

    def pass_time(self, ns: int) -> None:
        """Let time pass: disk reads and writes end, and the flusher runs."""
        self.now += ns
        while self.writes and self.writes[0][0] <= self.now:
            self.end_writeback(self.writes.popleft()[1])
        while self.reads and self.reads[0][0] <= self.now:
            self.locked[self.reads.popleft()[1]] = 0
        while self.now >= self.next_flush:
            self.next_flush += FLUSH_TIME_NS
            self.flush_stats()
        if self.now >= self.next_tick:
            self.next_tick = self.now // TICK_NS * TICK_NS + TICK_NS
            self.need_resched = self.worker is not None

    def flush_stats(self) -> None:
        """mem_cgroup_flush_stats: lruvec_page_state() sees what was flushed last, not what is."""
        for lruvec in self.lruvecs:
            lruvec.flush()
        self.flushed_zswap = (len(self.zswap_lru), self.zswap_bytes // PAGE_SIZE)

    # mm/swap.c ------------------------------------------------------------------------------

    def list_of(self, page: int) -> Lru:
        """Give the list that a folio belongs on."""
        lruvec = self.lruvecs[self.node[page]]
        return lruvec.active if self.active[page] else lruvec.inactive

    def lruvec_add_folio(self, page: int) -> None:
        """Put a folio at the head of its list."""
        self.list_of(page).add(page)

    def lruvec_add_folio_tail(self, page: int) -> None:
        """Put a folio where the next scan begins."""
        self.list_of(page).add_tail(page)

    def lruvec_del_folio(self, page: int) -> None:
        """Take a folio off its list."""
        self.list_of(page).remove(page)

    def lru_order(self) -> list[int]:
        """List the folios in the order in which reclaim would scan them, node by node."""
        found: list[int] = []
        for lruvec in self.lruvecs:
            found += [*lruvec.inactive, *lruvec.active]
        return found + self.lru_add_batch

    def folio_add_lru(self, page: int) -> None:
        """Collect a folio in the CPU's batch: it is on no list, can be neither reclaimed nor rotated."""
        self.lru_add_batch.append(page)
        self.in_batch[page] = 1
        if len(self.lru_add_batch) == FOLIO_BATCH:
            self.lru_add_drain()

    def lru_add_drain(self) -> None:
        """Put the CPU's batch on the lists."""
        for page in self.lru_add_batch:
            self.in_batch[page] = 0
            self.lruvec_add_folio(page)
        self.lru_add_batch.clear()

    # mm/filemap.c, mm/page_io.c --------------------------------------------------------------

    def submit_bio(self, page: int) -> None:
        """Start writing a page to disk."""
        self.writes.append((self.now + self.kernel.write_ns, page))

    def end_writeback(self, page: int) -> None:
        """folio_end_writeback, folio_rotate_reclaimable: written for reclaim, it is the next to be scanned."""
        self.writeback[page] = 0
        if not self.rotates[page]:
            return
        self.rotates[page] = 0
        if not (self.dirty[page] or self.in_batch[page] or self.isolated[page]):
            self.lruvec_del_folio(page)
            self.active[page] = 0
            self.lruvec_add_folio_tail(page)


PAGES_OF_TABLE = 512
"""Pages that one page table maps."""
