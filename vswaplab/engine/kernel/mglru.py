"""The multi-generational LRU, in place of the active and the inactive list: sysfs ``lru_gen/enabled``.

Linux 6.12, mm/vmscan.c, mm/workingset.c and include/linux/mm_inline.h, of one
group's anonymous pages; a function has the kernel's name. What the tiers of
file pages decide is left out: anonymous pages are all of the first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vswaplab.engine.kernel.faults import Faults
from vswaplab.engine.kernel.folios import DRAM, PAGES_OF_TABLE, TICK_NS
from vswaplab.engine.kernel.lists import Lru, Lruvec
from vswaplab.engine.kernel.machine import KernelReference, KernelVectorised
from vswaplab.engine.kernel.vmscan import DEF_PRIORITY, KEEP, RECLAIM
from vswaplab.engine.plan import Plan
from vswaplab.trace.trace import Workload

MIN_NR_GENS, MAX_NR_GENS = 2, 4
MIN_LRU_BATCH, MAX_LRU_BATCH = 64, 64 * 64
YOUNG_SHARE = 8
"""suitable_to_scan: a page table is worth a walk if one page in so many was accessed, one for each cache line of it."""


class LruGen(Faults):
    """Generations of folios, numbered from ``min_seq``, the oldest, to ``max_seq``.

    A folio that is found accessed belongs to the youngest generation at once,
    and is moved to its list only when reclaim meets it.
    """

    in_lru_fault = False

    def __init__(self, plan: Plan, trace: Workload) -> None:
        super().__init__(plan, trace)
        n = plan.n_pages
        newer, older = [0] * (n + MAX_NR_GENS), [0] * (n + MAX_NR_GENS)
        self.folios_of = [Lru(newer, older, n + i) for i in range(MAX_NR_GENS)]
        self.min_seq, self.max_seq = 0, MIN_NR_GENS + 1
        self.gen = [-1] * n  # generation of each folio, -1: on no list
        self.list_no = bytearray(n)  # list that it lies on, until reclaim moves it
        self.nr_pages = [0] * MAX_NR_GENS
        self.has_young = bytearray(len(self.has_table))  # accessed bit of each page table's entry
        self.filters: list[set[int] | None] = [None, None]  # of even and odd max_seq: tables worth a walk; None: all
        self.last_walk: tuple[int, ...] = ()  # how far the machine was when page tables were last walked

    # Lists (include/linux/mm_inline.h, mm/swap.c) ---------------------------------------------------

    def lruvec_add_folio(self, page: int) -> None:
        """Put a folio at the head of its generation's list."""
        self.lru_gen_add_folio(page, is_reclaiming=False)

    def lruvec_add_folio_tail(self, page: int) -> None:
        """Put a folio that was written out where reclaim looks next."""
        self.lru_gen_add_folio(page, is_reclaiming=True)

    def lruvec_del_folio(self, page: int) -> None:
        """lru_gen_del_folio: take a folio off its list."""
        self.folios_of[self.list_no[page]].remove(page)
        self.nr_pages[self.gen[page] % MAX_NR_GENS] -= 1
        self.gen[page] = -1

    def lru_gen_add_folio(self, page: int, *, is_reclaiming: bool) -> None:
        """Put a folio on the list of the generation that its flags choose."""
        seq = self.lru_gen_folio_seq(page, is_reclaiming=is_reclaiming)
        self.active[page] = 0
        self.gen[page] = seq
        self.nr_pages[seq % MAX_NR_GENS] += 1
        self._put(page, is_tail=is_reclaiming)

    def lru_gen_folio_seq(self, page: int, *, is_reclaiming: bool) -> int:
        """Choose a generation: the youngest for what was faulted in, the one before it for what is being written."""
        if self.active[page]:
            self.referenced[page] = 0
            return self.max_seq
        if not self.cached[page] or self.is_on_its_way(page):
            return self.max_seq - 1
        if is_reclaiming or self.min_seq + MIN_NR_GENS >= self.max_seq:
            return self.min_seq
        return self.min_seq + 1

    def is_on_its_way(self, page: int) -> bool:
        """Whether a folio is to go as soon as it is written out (PG_reclaim)."""
        return bool(self.rotates[page] and (self.dirty[page] or self.writeback[page]))

    def _put(self, page: int, *, is_tail: bool = False) -> None:
        # Enter a folio on its generation's list.
        self.list_no[page] = self.gen[page] % MAX_NR_GENS
        lru = self.folios_of[self.list_no[page]]
        (lru.add_tail if is_tail else lru.add)(page)

    def folio_update_gen(self, page: int, seq: int) -> None:
        """Promote a folio; its list stays. One that is isolated is marked, so that reclaim keeps it."""
        if self.gen[page] < 0:
            self.referenced[page] = 1
            return
        self.nr_pages[self.gen[page] % MAX_NR_GENS] -= 1
        self.nr_pages[seq % MAX_NR_GENS] += 1
        self.gen[page], self.referenced[page] = seq, 0

    def folio_add_lru(self, page: int) -> None:
        """Collect a folio: of the youngest generation if a fault brings it, not if reclaim or the worker does."""
        if self.in_lru_fault and not (self.in_reclaim or self.in_worker):
            self.in_fault(page)
        super().folio_add_lru(page)

    def in_fault(self, page: int) -> None:
        """Flag a page that a fault brings."""
        self.active[page] = 1

    def handle_mm_fault(self, page: int, *, is_write: bool) -> int:
        """Serve a fault; return its outcome."""
        self.in_lru_fault = True  # lru_gen_enter_fault
        try:
            return super().handle_mm_fault(page, is_write=is_write)
        finally:
            self.in_lru_fault = False

    def map_page(self, page: int, *, is_write: bool) -> None:
        """Enter a folio into its page table."""
        super().map_page(page, is_write=is_write)
        self.has_young[page // PAGES_OF_TABLE] = 1

    def lru_order(self) -> list[int]:
        """List the folios in the order in which reclaim meets them."""
        lists = [self.folios_of[seq % MAX_NR_GENS] for seq in range(self.min_seq, self.max_seq + 1)]
        return [page for lru in lists for page in lru] + self.lru_add_batch

    # What came back (mm/workingset.c) ------------------------------------------------------------------

    def workingset_eviction(self, page: int) -> None:
        """lru_gen_eviction: remember the oldest generation of the time."""
        self.shadow[page] = (DRAM, self.min_seq, 0)

    def workingset_refault(self, page: int) -> None:
        """lru_gen_refault: count what came back before the oldest generation was through; no page is treated so."""
        shadow = self.shadow.pop(page, None)
        if shadow is not None:
            self.count["workingset_refault_anon"] += 1
            self.count["workingset_activate_anon"] += shadow[1] == self.min_seq

    # The aging (mm/vmscan.c) -------------------------------------------------------------------------------

    def should_run_aging(self) -> tuple[bool, int]:
        """Whether a new generation is due, and how many pages there are to scan."""
        if self.min_seq + MIN_NR_GENS > self.max_seq:
            return True, 0
        total = sum(self.nr_pages)
        if self.min_seq + MIN_NR_GENS < self.max_seq:
            return False, total
        young, old = self.nr_pages[self.max_seq % MAX_NR_GENS], self.nr_pages[self.min_seq % MAX_NR_GENS]
        return young * MIN_NR_GENS > total or old * (MIN_NR_GENS + 2) < total, total

    def try_to_inc_max_seq(self) -> None:
        """Begin a generation, with a walk of the page tables if the program was switched to since the last one."""
        moment = self.now // TICK_NS, self.count["pswpin"], self.count["zswpwb"]  # tasks run by the tick, or meanwhile
        if moment != self.last_walk:
            self.walk_mm(is_first=not self.last_walk)
            self.last_walk = moment
        self.max_seq += 1

    def walk_mm(self, *, is_first: bool) -> None:
        """Promote what was accessed; a page table with little of it is left out of the next walk."""
        worth = self.filters[self.max_seq % 2]
        later = self.filters[(self.max_seq + 1) % 2] = set()
        for table in range(len(self.has_table)):
            if not is_first:
                if not self.has_young[table]:
                    continue
                self.has_young[table] = 0
                if worth is not None and table not in worth:
                    continue
            if self.has_table[table] and self.walk_pte_range(table):
                later.add(table)

    def walk_pte_range(self, table: int) -> bool:
        """Promote the accessed pages of one page table; whether they were many."""
        start, end = self._pages_of(table)
        is_young = np.frombuffer(self.young, np.bool_)[start:end] & np.frombuffer(self.mapped, np.bool_)[start:end]
        pages = [page for page in (is_young.nonzero()[0] + start).tolist() if self.get_pfn_folio(page)]
        for page in pages:
            self.young[page] = 0
            self.folio_update_gen(page, self.max_seq)
        return len(pages) * YOUNG_SHARE >= end - start

    def get_pfn_folio(self, page: int) -> bool:
        """Whether a look at page tables takes note of a page: here of every one."""
        return True

    def _pages_of(self, table: int) -> tuple[int, int]:
        return table * PAGES_OF_TABLE, min((table + 1) * PAGES_OF_TABLE, self.plan.n_pages)

    def lru_gen_look_around(self, page: int) -> None:
        """Promote the accessed neighbours of an accessed page: 64 entries of its page table."""
        self.young[page] = 0
        start, end = self._pages_of(page // PAGES_OF_TABLE)
        if end - start == 1:
            return
        if end - start > MIN_LRU_BATCH:
            start = min(max(start, page - MIN_LRU_BATCH // 2), end - MIN_LRU_BATCH)
            end = start + MIN_LRU_BATCH
        n_young = 1
        for near in range(start, end):
            if self.mapped[near] and self.young[near] and self.get_pfn_folio(near):
                self.young[near] = 0
                n_young += 1
                self._look_at(near)
        worth = self.filters[self.max_seq % 2]
        if n_young * YOUNG_SHARE >= end - start and worth is not None:
            worth.add(page // PAGES_OF_TABLE)

    def _look_at(self, page: int) -> None:
        # folio_activate, or a mark on what is isolated; kswapd only changes the generation
        if self.in_kswapd:
            self.folio_update_gen(page, self.max_seq)
        elif self.gen[page] < 0:
            self.referenced[page] = 1
        elif self.gen[page] != self.max_seq:
            self.folio_activate(page)

    def folio_activate(self, page: int) -> None:
        """Move a folio to an active generation."""
        self.lruvec_del_folio(page)
        self.active[page] = 1
        self.lruvec_add_folio(page)
        self.count["pgactivate"] += 1

    # The eviction (mm/vmscan.c) -----------------------------------------------------------------------------

    def shrink_lruvec(self, lruvec: Lruvec, priority: int, wanted: int) -> None:
        """lru_gen_shrink_lruvec: one pass."""
        self.lru_add_drain()
        outer, self.plug = self.plug, []
        self.try_to_shrink_lruvec(priority, wanted)
        self.blk_flush_plug()
        self.plug = outer

    def try_to_shrink_lruvec(self, priority: int, wanted: int) -> None:
        """Take a share of all pages off the oldest generation, wanted or not; or begin a new one, and no more."""
        if not self.get_swappiness():
            return
        n_scanned = 0
        while True:
            is_due, n_pages = self.should_run_aging()
            if is_due and priority != DEF_PRIORITY:
                self.try_to_inc_max_seq()
                return
            n_more = self.evict_folios() if n_pages >> priority else 0
            n_scanned += n_more
            if not n_more or n_scanned >= n_pages >> priority or (self.is_global and self.should_abort_scan(wanted)):
                return

    def should_abort_scan(self, wanted: int) -> bool:
        """Whether enough is freed; kswapd also ends when the node is well above its high watermark."""
        is_balanced = self.in_kswapd and self.n_free(DRAM) > self.marks[DRAM].high + MIN_LRU_BATCH
        return self.n_reclaimed >= wanted or is_balanced

    def first_priority(self, node: int) -> int:
        """set_initial_priority: kswapd begins where a share of all pages is about what is wanted."""
        wanted = self.marks[node].high
        if wanted < MIN_LRU_BATCH:
            return DEF_PRIORITY
        n_inactive = sum(self.nr_pages) - sum(
            self.nr_pages[seq % MAX_NR_GENS] for seq in (self.max_seq - 1, self.max_seq)
        )
        priority = n_inactive.bit_length() - 1 - (wanted - 1).bit_length()
        return min(max(priority, DEF_PRIORITY // 2), DEF_PRIORITY)

    def get_swappiness(self) -> int:
        """memory.swappiness, and 0 if fewer than 64 pages could be swapped out."""
        can_swap = not self.plan.holds_slots and self.plan.zswap is not None  # of a layer zswap needs no slot
        return self.kernel.swappiness if can_swap or self.n_free_slots() >= MIN_LRU_BATCH else 0

    def evict_folios(self) -> int:
        """Reclaim up to 64 folios; return how many were looked at."""
        folios, n_scanned = self.scan_folios(MAX_LRU_BATCH)
        n_scanned = n_scanned if folios or n_scanned == MAX_LRU_BATCH else 0
        n_scanned += self.try_to_inc_min_seq()
        if self._nr_gens() == MIN_NR_GENS:
            n_scanned = 0
        self.shrink_folios(folios)
        return n_scanned

    def shrink_folios(self, folios: list[int]) -> None:
        """Reclaim what was isolated; what is clean by then is tried once more."""
        self.count["pgscan"] += len(folios)
        is_retry = False
        while folios:
            kept, _ = self.shrink_folio_list(folios, DRAM)
            self.n_reclaimed += len(folios) - len(kept)
            self.count["pgsteal"] += len(folios) - len(kept)
            folios = [page for page in kept if not self._put_back(page, is_retry=is_retry)]
            is_retry = True

    def _put_back(self, page: int, *, is_retry: bool) -> bool:
        # Return a folio to the lists; False: its write ended meanwhile, so it is tried once more.
        if not self.is_on_its_way(page):
            is_used = self.active[page] or self.referenced[page] or self.mapped[page]
            if not (is_retry or is_used or self.dirty[page] or self.writeback[page] or self.locked[page]):
                return False
            self.active[page], self.referenced[page] = 1, 0
        self.isolated[page] = 0
        self.lruvec_add_folio(page)
        return True

    def scan_folios(self, most: int) -> tuple[list[int], int]:
        """Isolate up to 64 folios of the oldest generation; return them, and how many were looked at, at most."""
        folios: list[int] = []
        if self._nr_gens() == MIN_NR_GENS:
            return folios, 0
        lru, n_scanned = self.folios_of[self.min_seq % MAX_NR_GENS], 0
        while lru and n_scanned < most and len(folios) < MIN_LRU_BATCH:
            n_scanned += 1
            page = lru.tail()
            if self.sort_folio(page):
                lru.remove(page)
                self._put(page)
                continue
            self.lruvec_del_folio(page)
            self.isolate_folio(page)
            folios.append(page)
        return folios, n_scanned

    def sort_folio(self, page: int) -> bool:
        """Whether a folio belongs on another list: it was promoted."""
        return self.gen[page] != self.min_seq

    def isolate_folio(self, page: int) -> None:
        """Take a folio for reclaim."""
        self.isolated[page], self.referenced[page] = 1, 0

    def try_to_inc_min_seq(self) -> bool:
        """Leave empty generations behind; whether there was one."""
        before = self.min_seq
        while self.min_seq + MIN_NR_GENS <= self.max_seq and not self.folios_of[self.min_seq % MAX_NR_GENS]:
            self.min_seq += 1
        if self.min_seq == before:
            return False
        self.reset_ctrl_pos()
        return True

    def reset_ctrl_pos(self) -> None:
        """Halve what is known of the tiers: before 6.14 nothing, as anonymous pages are all of one."""

    def _nr_gens(self) -> int:
        return self.max_seq - self.min_seq + 1

    def _shrink_folio(self, page: int, *, demotes: bool = False) -> tuple[int, bool]:
        return (KEEP, False) if self.is_promoted(page) else super()._shrink_folio(page, demotes=demotes)

    def is_promoted(self, page: int) -> bool:
        """Whether a folio was found accessed since it was isolated."""
        return bool(self.mapped[page] and self.referenced[page])

    def folio_check_references(self, page: int) -> int:
        """Judge a folio, and look around one that was accessed."""
        self.referenced[page] = 0
        if not (self.mapped[page] and self.young[page]):
            return RECLAIM
        self.lru_gen_look_around(page)
        self.referenced[page] = 1
        return KEEP


class LruGenReference(LruGen, KernelReference):
    """One access at a time, on generations."""

    def hit(self, page: int, *, is_write: bool) -> None:
        """Serve an access to a mapped page."""
        super().hit(page, is_write=is_write)
        self.has_young[page // PAGES_OF_TABLE] = 1


class LruGenVectorised(LruGen, KernelVectorised):
    """All hits between two faults at once, on generations."""

    def _mark(self, hit: NDArray[np.int64], is_write: NDArray[np.bool_]) -> None:
        super()._mark(hit, is_write)
        np.frombuffer(self.has_young, np.uint8)[hit // PAGES_OF_TABLE] = 1
