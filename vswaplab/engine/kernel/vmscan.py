"""Direct reclaim of a group at its limit (mm/vmscan.c), with active and inactive lists."""

from __future__ import annotations

from math import isqrt

from vswaplab.engine.kernel.folios import FOLIO_BATCH, NONE
from vswaplab.engine.kernel.lists import Lru
from vswaplab.engine.kernel.zswap import ZswapPool

CLUSTER_MAX = 32
"""SWAP_CLUSTER_MAX: what one reclaim frees at least, and one scan takes at most."""
DEF_PRIORITY = 12
"""The first scan looks at this power of two's share of a list; each next one at twice as much."""
RECLAIM, KEEP, ACTIVATE = range(3)
"""What becomes of a folio that is scanned."""


class Reclaim(ZswapPool):
    """try_to_free_mem_cgroup_pages and what it calls, each under the kernel's name."""

    n_reclaimed = 0
    may_deactivate = force_deactivate = skipped_deactivate = False
    refaults = 0
    anon_cost = 0  # file_cost stays 0: there is no page cache

    def try_to_free_mem_cgroup_pages(self, n_pages: int) -> int:
        """Free at least 32 pages if that can be done; return how many were freed."""
        self.count["reclaim_runs"] += 1
        saved = self.n_reclaimed, self.may_deactivate, self.force_deactivate, self.skipped_deactivate, self.in_reclaim
        self.in_reclaim, self.force_deactivate = True, False
        wanted = max(n_pages, CLUSTER_MAX)
        while True:
            self.n_reclaimed, self.may_deactivate, self.skipped_deactivate = 0, False, False
            for priority in range(DEF_PRIORITY, -1, -1):
                self.prepare_scan_control()
                self.shrink_lruvec(priority, wanted)
                self.shrink_slab(priority)
                if self.n_reclaimed >= wanted:
                    break
            self.refaults = self.flushed[2]  # snapshot_refaults
            if self.n_reclaimed or not self.skipped_deactivate:
                break
            self.force_deactivate = True
        n_freed = self.n_reclaimed
        self.n_reclaimed, self.may_deactivate, self.force_deactivate, self.skipped_deactivate, self.in_reclaim = saved
        return n_freed

    def inactive_is_low(self) -> bool:
        """inactive_is_low: below 1 GiB, fewer inactive than active pages, by the last flush."""
        inactive, active, _ = self.flushed
        gigabytes = (inactive + active) >> 18
        return inactive * (isqrt(10 * gigabytes) if gigabytes else 1) < active

    def prepare_scan_control(self) -> None:
        """Decide whether to scan the active list: it is too long, or pages came back that had been active."""
        refaulted = self.flushed[2] != self.refaults
        self.may_deactivate = self.force_deactivate or refaulted or self.inactive_is_low()

    def get_scan_count(self, priority: int) -> tuple[int, int]:
        """How much of the inactive and of the active list to scan, pages."""
        inactive, active = len(self.inactive_list), len(self.active_list)
        if priority == 0 and self.kernel.swappiness:  # SCAN_EQUAL
            return inactive, active
        total = 3 * self.anon_cost
        anon = self.kernel.swappiness * (total + 1) // (2 * self.anon_cost + 1)
        file = (200 - self.kernel.swappiness) * (total + 1) // (self.anon_cost + 1)
        return (inactive >> priority) * anon // (anon + file), (active >> priority) * anon // (anon + file)

    def shrink_lruvec(self, priority: int, wanted: int) -> None:
        """One pass over the lists, in steps of 32 pages."""
        inactive, active = self.get_scan_count(priority)
        n_freed, outer, self.plug = 0, self.plug, []
        while inactive:
            step = min(inactive, CLUSTER_MAX)
            inactive -= step
            n_freed += self.shrink_inactive_list(step)
            if active:
                step = min(active, CLUSTER_MAX)
                active -= step
                if self.may_deactivate:
                    self.shrink_active_list(step)
                else:
                    self.skipped_deactivate = True
            if n_freed >= wanted:
                break
        self.n_reclaimed += n_freed
        if self.inactive_is_low():
            self.shrink_active_list(CLUSTER_MAX)
        held, self.plug = self.plug, outer  # blk_finish_plug
        for page in held:
            self.submit_bio(page)

    def lru_note_cost(self, n_io: int, n_rotated: int) -> None:
        """Remember what scanning cost, for get_scan_count."""
        self.anon_cost += n_io * CLUSTER_MAX + n_rotated
        if self.anon_cost > (self.flushed[0] + self.flushed[1]) // 4:
            self.anon_cost //= 2

    # One step ------------------------------------------------------------------------------------

    def shrink_inactive_list(self, most: int) -> int:
        """Scan the tail of the inactive list; return the pages freed."""
        folios = self._isolate(self.inactive_list, most)
        if not folios:
            return 0
        self.count["pgscan"] += len(folios)
        kept, n_pageout = self.shrink_folio_list(folios)
        for page in kept:  # move_folios_to_lru
            self.isolated[page] = 0
            self.list_of(page).add(page)
            self.nonresident_age += self.active[page]
        n_freed = len(folios) - len(kept)
        self.lru_note_cost(n_pageout, len(kept))
        self.count["pgsteal"] += n_freed
        return n_freed

    def shrink_active_list(self, most: int) -> None:
        """Move the tail of the active list to the inactive one, accessed or not: the pages are anonymous."""
        folios = self._isolate(self.active_list, most)
        self.count["pgdeactivate"] += len(folios)
        for page in folios:
            self.young[page] = self.active[page] = self.isolated[page] = 0
            self.workingset[page] = 1
            self.inactive_list.add(page)

    def _isolate(self, lru: Lru, most: int) -> list[int]:
        self.lru_add_drain()
        folios = lru.isolate(most)
        for page in folios:
            self.isolated[page] = 1
        return folios

    def folio_check_references(self, page: int) -> int:
        """Judge a folio: accessed since the last scan, it goes round the list again; twice in a row, it is active."""
        was_referenced, self.referenced[page] = self.referenced[page], 0
        if not (self.mapped[page] and self.young[page]):
            return RECLAIM
        self.young[page], self.referenced[page] = 0, 1
        return ACTIVATE if was_referenced else KEEP

    def shrink_folio_list(self, folios: list[int]) -> tuple[list[int], int]:
        """Free what can be freed; return what is kept, and how many were written out."""
        kept, n_pageout, n_freed = [], 0, 0
        for page in folios:
            if self.kernel.preempts_in_reclaim or self.need_resched:  # cond_resched
                self.run_worker()
            if page == self.locked:
                kept.append(page)
                continue
            fate, is_written = self._shrink_folio(page)
            n_pageout += is_written
            if fate == RECLAIM:
                self.remove_mapping(page)
                n_freed += 1
                if n_freed == FOLIO_BATCH:  # free_folios is full: mem_cgroup_uncharge_folios
                    self.uncharge(n_freed)
                    n_freed = 0
                continue
            if fate == ACTIVATE:
                self.active[page] = 1
                self.count["pgactivate"] += 1
            kept.append(page)
        self.uncharge(n_freed)
        return kept, n_pageout

    def _shrink_folio(self, page: int) -> tuple[int, bool]:
        # What becomes of a folio, and whether it was written out.
        if self.writeback[page]:  # met again before its write ended
            self.rotates[page] = 1
            return ACTIVATE, False
        fate = self.folio_check_references(page)
        if fate != RECLAIM:
            return fate, False
        if not self.cached[page] and not self.add_to_swap(page):
            return ACTIVATE, False
        was_mapped = self.mapped[page]
        if was_mapped:
            self.try_to_unmap(page)
        if not self.dirty[page]:
            self.count["clean_drop"] += was_mapped
            return RECLAIM, False
        if not self.swap_writepage(page):
            return ACTIVATE, False
        if self.writeback[page]:
            self.rotates[page] = 1
            return KEEP, True
        return RECLAIM, True

    def try_to_unmap(self, page: int) -> None:
        """Replace the page-table entry by a swap entry."""
        self.mapped[page] = 0
        self.n_unmapped += 1
        self.dirty[page] |= self.pte_dirty[page]
        self.pte_dirty[page] = 0

    def add_to_swap(self, page: int) -> bool:
        """Give a folio a swap entry; False: no slot is free."""
        if not self.folio_alloc_swap(page):
            return False
        self.cached[page], self.dirty[page], self.backing[page] = 1, 1, NONE
        return True

    def remove_mapping(self, page: int) -> None:
        """__remove_mapping: the swap cache keeps only a shadow."""
        self.workingset_eviction(page)
        self.cached[page] = self.isolated[page] = 0
        self.active[page] = self.referenced[page] = self.workingset[page] = self.rotates[page] = 0

    def workingset_eviction(self, page: int) -> None:
        """Remember the group's age, and whether the page had been active."""
        self.shadow[page] = (self.nonresident_age, self.workingset[page])
        self.nonresident_age += 1
