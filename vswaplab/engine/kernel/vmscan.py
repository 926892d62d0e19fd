"""Direct reclaim of a group at its limit (mm/vmscan.c), with active and inactive lists."""

from __future__ import annotations

from abc import abstractmethod

from vswaplab.engine.kernel.folios import CRAM, DRAM, FOLIO_BATCH, NONE
from vswaplab.engine.kernel.lists import Lru, Lruvec
from vswaplab.engine.kernel.zswap import ZswapPool

CLUSTER_MAX = 32
"""SWAP_CLUSTER_MAX: what one reclaim frees at least, and one scan takes at most."""
DEF_PRIORITY = 12
"""The first scan looks at this power of two's share of a list; each next one at twice as much."""
RECLAIM, KEEP, ACTIVATE, DEMOTE = range(4)
"""What becomes of a folio that is scanned."""


class Reclaim(ZswapPool):
    """try_to_free_mem_cgroup_pages and what it calls, each under the kernel's name."""

    n_reclaimed = 0
    may_deactivate = force_deactivate = skipped_deactivate = False
    file_is_tiny = False

    def try_to_free_mem_cgroup_pages(self, n_pages: int) -> int:
        """Free at least 32 pages of the group if that can be done; return how many were freed."""
        return self.do_try_to_free_pages(max(n_pages, CLUSTER_MAX), is_global=False)

    def try_to_free_pages(self) -> int:
        """Free 32 pages of DRAM if that can be done; return how many were freed."""
        return self.do_try_to_free_pages(CLUSTER_MAX, is_global=True)

    def do_try_to_free_pages(self, wanted: int, *, is_global: bool) -> int:
        """Scan at every priority until so many pages are freed; return how many were."""
        self.count["reclaim_runs"] += 1
        saved = self._scan_control()
        self.in_reclaim, self.force_deactivate, self.is_global = True, False, is_global
        lruvec = self.lruvecs[DRAM]
        while True:
            self.n_reclaimed, self.may_deactivate, self.skipped_deactivate = 0, False, False
            for priority in range(DEF_PRIORITY, -1, -1):
                self.shrink_node(lruvec, priority, wanted)
                if self.n_reclaimed >= wanted:
                    break
            lruvec.refaults = lruvec.flushed[2]  # snapshot_refaults
            if self.n_reclaimed or not self.skipped_deactivate:
                break
            self.force_deactivate = True
        n_freed = self.n_reclaimed
        self._restore(saved)
        return n_freed

    def _scan_control(self) -> tuple[int, bool, bool, bool, bool, bool]:
        return (
            self.n_reclaimed, self.may_deactivate, self.force_deactivate, self.skipped_deactivate, self.is_global,
            self.in_reclaim,
        )  # fmt: skip

    def _restore(self, saved: tuple[int, bool, bool, bool, bool, bool]) -> None:
        (
            self.n_reclaimed, self.may_deactivate, self.force_deactivate, self.skipped_deactivate, self.is_global,
            self.in_reclaim,
        ) = saved  # fmt: skip

    def shrink_node(self, lruvec: Lruvec, priority: int, wanted: int) -> None:
        """Scan a share of a node's lists, and of what shrinkers hold."""
        self.prepare_scan_control(lruvec, priority)
        if self.is_global:  # shrink_node_memcgs: the root group comes first
            self.shrink_zs_pool(priority)
        self.shrink_lruvec(lruvec, priority, wanted)
        self.shrink_slab(priority)

    def prepare_scan_control(self, lruvec: Lruvec, priority: int) -> None:
        """Decide whether to scan the active list: it is too long, or pages came back that had been active."""
        refaulted = lruvec.flushed[2] != lruvec.refaults
        self.may_deactivate = self.force_deactivate or refaulted or lruvec.inactive_is_low()
        is_short = self.is_global and self.n_free(lruvec.node) <= self.marks[lruvec.node].high
        self.file_is_tiny = is_short and not self.may_deactivate and len(lruvec.inactive) >> priority > 0

    def get_scan_count(self, lruvec: Lruvec, priority: int) -> tuple[int, int]:
        """How much of the inactive and of the active list to scan, pages."""
        inactive, active = len(lruvec.inactive), len(lruvec.active)
        if self.is_global and not self.can_reclaim_anon_pages(lruvec.node):
            return 0, 0
        if priority == 0 and self.kernel.swappiness:  # SCAN_EQUAL
            return inactive, active
        if self.file_is_tiny:  # SCAN_ANON
            return inactive >> priority, active >> priority
        total = 3 * lruvec.anon_cost
        anon = self.kernel.swappiness * (total + 1) // (2 * lruvec.anon_cost + 1)
        file = (200 - self.kernel.swappiness) * (total + 1) // (lruvec.anon_cost + 1)
        return (inactive >> priority) * anon // (anon + file), (active >> priority) * anon // (anon + file)

    def can_reclaim_anon_pages(self, node: int) -> bool:
        """Whether pages of a node have anywhere to go; a virtual device always has a slot."""
        return self.has_free_slot() or self.can_demote(node) or not (self.plan.holds_slots or self.plan.zswap is None)

    def shrink_lruvec(self, lruvec: Lruvec, priority: int, wanted: int) -> None:
        """One pass over the lists, in steps of 32 pages."""
        inactive, active = self.get_scan_count(lruvec, priority)
        n_freed, outer, self.plug = 0, self.plug, []
        while inactive:
            step = min(inactive, CLUSTER_MAX)
            inactive -= step
            n_freed += self.shrink_inactive_list(lruvec, step)
            if active:
                step = min(active, CLUSTER_MAX)
                active -= step
                if self.may_deactivate:
                    self.shrink_active_list(lruvec, step)
                else:
                    self.skipped_deactivate = True
            if n_freed >= wanted:
                break
        self.n_reclaimed += n_freed
        if lruvec.inactive_is_low():
            self.shrink_active_list(lruvec, CLUSTER_MAX)
        self.blk_flush_plug()  # blk_finish_plug
        self.plug = outer

    # One step ------------------------------------------------------------------------------------

    def shrink_inactive_list(self, lruvec: Lruvec, most: int) -> int:
        """Scan the tail of the inactive list; return the pages freed."""
        folios = self._isolate(lruvec.inactive, most)
        if not folios:
            return 0
        self.count["pgscan"] += len(folios)
        kept, n_pageout = self.shrink_folio_list(folios, lruvec.node)
        for page in kept:  # move_folios_to_lru
            self.isolated[page] = 0
            self.lruvec_add_folio(page)
            lruvec.nonresident_age += self.active[page]
        n_freed = len(folios) - len(kept)
        lruvec.note_cost(n_pageout * CLUSTER_MAX + len(kept))
        self.count["pgsteal"] += n_freed
        return n_freed

    def shrink_active_list(self, lruvec: Lruvec, most: int) -> None:
        """Move the tail of the active list to the inactive one, accessed or not: the pages are anonymous."""
        folios = self._isolate(lruvec.active, most)
        self.count["pgdeactivate"] += len(folios)
        for page in folios:
            self.young[page] = self.active[page] = self.isolated[page] = 0
            self.workingset[page] = 1
            lruvec.inactive.add(page)

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

    def shrink_folio_list(self, folios: list[int], node: int) -> tuple[list[int], int]:
        """Free what can be freed, or move it to a slower node; return what is kept, and how many were written out."""
        kept, n_pageout, n_freed = [], 0, 0
        demotes = self.can_demote(node)
        while folios:
            demoted: list[int] = []
            for page in folios:
                if self.kernel.preempts_in_reclaim or self.need_resched:  # cond_resched
                    self.run_worker()
                if self.locked[page]:
                    kept.append(page)
                    continue
                fate, is_written = self._shrink_folio(page, demotes=demotes)
                n_pageout += is_written
                if fate == DEMOTE:
                    demoted.append(page)
                elif fate == RECLAIM:
                    self.remove_mapping(page)
                    n_freed += 1
                    if n_freed == FOLIO_BATCH:  # free_folios is full
                        self.free_pages(n_freed, node)
                        n_freed = 0
                else:
                    if fate == ACTIVATE:
                        self._activate(page)
                    kept.append(page)
            folios, demotes = self._demote_all(demoted), False  # what the slower node did not take goes to swap
        self.free_pages(n_freed, node)
        return kept, n_pageout

    @abstractmethod
    def mem_cgroup_swap_full(self) -> bool:
        """Whether slots are short."""

    @abstractmethod
    def folio_free_swap(self, page: int) -> None:
        """Take a folio out of the swap cache and free its slot."""

    def _activate(self, page: int) -> None:
        # activate_locked: one that is mapped and not being written out gives its slot back where slots are short.
        self.active[page] = 1
        self.count["pgactivate"] += 1
        if self.cached[page] and self.mapped[page] and not self.writeback[page] and self.mem_cgroup_swap_full():
            self.folio_free_swap(page)

    def _demote_all(self, folios: list[int]) -> list[int]:
        if not folios:
            return []
        left = self.demote_folio_list(folios)
        self.use_cpu((len(folios) - len(left)) * self.kernel.swapout_ns)
        return left

    def _shrink_folio(self, page: int, *, demotes: bool = False) -> tuple[int, bool]:
        # What becomes of a folio, and whether it was written out.
        if self.writeback[page]:  # met again before its write ended
            self.rotates[page] = 1
            return ACTIVATE, False
        fate = self.folio_check_references(page)
        if fate != RECLAIM:
            return fate, False
        if demotes:
            return DEMOTE, False
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
        if self.node[page] == CRAM:
            self.leave_cram(page)
        self.cached[page] = self.isolated[page] = self.node[page] = 0
        self.active[page] = self.referenced[page] = self.workingset[page] = self.rotates[page] = 0

    def workingset_eviction(self, page: int) -> None:
        """Remember the age of the node that the page goes from, and whether it had been active."""
        node = self.node[page]
        self.shadow[page] = (node, self.lruvecs[node].nonresident_age, self.workingset[page])
        self.lruvecs[node].nonresident_age += 1
