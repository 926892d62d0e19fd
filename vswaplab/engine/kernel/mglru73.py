"""Generations of folios as Linux 7.3 has them: a folio is promoted when it is found accessed for the second time.

The first time only marks it (PG_referenced), the second makes it one of the
working set for as long as it is not reclaimed. Tiers count how often what was
evicted came back: one that refaults more than the first is spared once.
"""

from __future__ import annotations

from vswaplab.engine.kernel.folios import DRAM
from vswaplab.engine.kernel.mglru import (
    MAX_NR_GENS,
    MIN_LRU_BATCH,
    MIN_NR_GENS,
    LruGen,
    LruGenReference,
    LruGenVectorised,
)
from vswaplab.engine.kernel.vmscan import ACTIVATE, DEF_PRIORITY, KEEP, RECLAIM
from vswaplab.engine.plan import Plan
from vswaplab.trace.trace import Workload

MAX_NR_TIERS = 4
MOST_REFS = 3
"""LRU_REFS_MASK: accesses counted beyond the first."""


class LruGen73(LruGen):
    """What differs from 6.12."""

    tier_idx = MAX_NR_TIERS - 1
    has_walked = False

    def __init__(self, plan: Plan, trace: Workload) -> None:
        super().__init__(plan, trace)
        self.refs = bytearray(plan.n_pages)  # accesses beyond the first, of a folio that is marked as referenced
        self.evicted, self.refaulted, self.protected = [0] * MAX_NR_TIERS, [0] * MAX_NR_TIERS, [0] * MAX_NR_TIERS
        self.avg_total, self.avg_refaulted = [0] * MAX_NR_TIERS, [0] * MAX_NR_TIERS

    # Flags -----------------------------------------------------------------------------------------

    def folio_lru_refs(self, page: int) -> int:
        """Say how often a folio was accessed since it was last sorted."""
        return self.refs[page] + 1 if self.referenced[page] else 0

    def tier_of(self, page: int) -> int:
        """lru_tier_from_refs: of the working set the last one, else the logarithm of its accesses."""
        refs = self.folio_lru_refs(page)
        return MAX_NR_TIERS - 1 if self.workingset[page] else (refs - 1).bit_length() if refs else 0

    def _mark_first(self, page: int) -> None:
        # The first access.
        self.referenced[page], self.refs[page] = 1, 0

    def lru_gen_inc_refs(self, page: int) -> None:
        """folio_mark_accessed: count an access; the fifth makes the folio one of the working set."""
        if not self.referenced[page]:
            self._mark_first(page)
        elif self.refs[page] == MOST_REFS:
            self.workingset[page] = 1
        else:
            self.refs[page] += 1

    def lru_gen_set_refs(self, page: int) -> bool:
        """Count an access that reclaim found; whether it was not the first."""
        if not (self.referenced[page] or self.workingset[page]):
            self._mark_first(page)
            return False
        if self.folio_lru_refs(page) > 1:
            self.referenced[page], self.workingset[page] = 0, 1
        else:
            self.lru_gen_inc_refs(page)
        return True

    # Lists ------------------------------------------------------------------------------------------

    def lru_gen_folio_seq(self, page: int, *, is_reclaiming: bool) -> int:
        """Choose a generation, counted from the youngest."""
        if self.active[page]:
            age = MIN_NR_GENS - self.workingset[page]
        elif is_reclaiming:
            age = MAX_NR_GENS
        elif not self.cached[page] or self.is_on_its_way(page):
            age = MIN_NR_GENS
        else:
            age = MAX_NR_GENS - (self.workingset[page] | self.referenced[page])
        return max(self.max_seq - age + 1, self.min_seq)

    def folio_update_gen(self, page: int, seq: int) -> None:
        """Promote a folio that a walk of the page tables found accessed for the second time."""
        if not (self.referenced[page] or self.workingset[page]):
            self._mark_first(page)
        else:
            super().folio_update_gen(page, seq)
            self.workingset[page] = 1

    def get_pfn_folio(self, page: int) -> bool:
        """Whether a look at page tables takes note of a page: not of one that is on no list."""
        return self.gen[page] >= 0

    def _look_at(self, page: int) -> None:
        if (
            self.has_walked or self.in_kswapd
        ):  # walk_update_folio: a pass that began a generation promotes as its walk did
            self.folio_update_gen(page, self.max_seq)
        elif self.lru_gen_set_refs(page) and self.gen[page] != self.max_seq:
            self.folio_activate(page)

    def in_fault(self, page: int) -> None:
        """folio_add_lru: what a fault brings back is active if it was one of the working set, else accessed once."""
        if self.workingset[page]:
            self.active[page] = 1
        elif not self.referenced[page]:
            self._mark_first(page)

    # What came back ------------------------------------------------------------------------------------

    def workingset_eviction(self, page: int) -> None:
        """lru_gen_eviction: remember the oldest generation, the accesses and the working set."""
        self.evicted[self.tier_of(page)] += 1
        token = self.min_seq << 2 | max(self.folio_lru_refs(page) - 1, 0)
        self.shadow[page] = (DRAM, token, self.workingset[page])

    def workingset_refault(self, page: int) -> None:
        """lru_gen_refault: what comes back within four generations is of the tier it was of."""
        shadow = self.shadow.pop(page, None)
        if shadow is None:
            return
        self.count["workingset_refault_anon"] += 1
        _, token, was_workingset = shadow
        if abs(self.max_seq - (token >> 2)) >= MAX_NR_GENS:
            return
        refs = token & MOST_REFS
        self.refaulted[MAX_NR_TIERS - 1 if was_workingset else refs.bit_length()] += 1
        if was_workingset:
            self.count["workingset_activate_anon"] += self.in_lru_fault and not self.in_worker
            self.workingset[page] = 1
        else:
            self.refs[page] = refs

    # Tiers -----------------------------------------------------------------------------------------------

    def get_tier_idx(self) -> int:
        """Find the last tier to evict: those after it refault more than the first, by 2 to 3."""
        total, refaulted = self._ctrl_pos(0)
        for tier in range(1, MAX_NR_TIERS):
            its_total, its_refaulted = self._ctrl_pos(tier)
            if its_refaulted < MIN_LRU_BATCH:
                continue
            if its_refaulted * (total + MIN_LRU_BATCH) * 2 > (refaulted + 1) * its_total * 3:  # positive_ctrl_err
                return tier - 1
        return MAX_NR_TIERS - 1

    def _ctrl_pos(self, tier: int) -> tuple[int, int]:
        total = self.avg_total[tier] + self.protected[tier] + self.evicted[tier]
        return total, self.avg_refaulted[tier] + self.refaulted[tier]

    def reset_ctrl_pos(self) -> None:
        """Halve what is known of the tiers, with each oldest generation that is through."""
        for tier in range(MAX_NR_TIERS):
            total, refaulted = self._ctrl_pos(tier)
            self.avg_total[tier], self.avg_refaulted[tier] = total // 2, refaulted // 2
            self.evicted[tier] = self.refaulted[tier] = self.protected[tier] = 0

    # The eviction ------------------------------------------------------------------------------------------

    def try_to_shrink_lruvec(self, priority: int, wanted: int) -> None:
        """Take a share of all pages off the oldest generation, 64 at a time, until enough are freed."""
        if not self.get_swappiness():
            return
        left, self.has_walked = sum(self.nr_pages) >> priority, False
        while left > 0:
            if self._is_aging_due(priority):
                self.try_to_inc_max_seq()
                self.has_walked = True
            n_scanned = self.evict_batch(min(left, MIN_LRU_BATCH))
            left -= n_scanned
            if not n_scanned or self.should_abort_scan(wanted) or (self.is_global and self.has_walked):
                return

    def _is_aging_due(self, priority: int) -> bool:
        # should_run_aging: nothing can be evicted; or, after a first gentle pass, three generations are left.
        n_more = self.max_seq - self.min_seq - MIN_NR_GENS
        return n_more < 0 or (n_more == 0 and priority != DEF_PRIORITY)

    def evict_batch(self, most: int) -> int:
        """evict_folios: reclaim up to so many folios; return how many were looked at."""
        self.try_to_inc_min_seq()
        self.tier_idx = self.get_tier_idx()
        folios, n_scanned = self.scan_folios(most)
        if n_scanned:
            self.try_to_inc_min_seq()
        self.shrink_folios(folios)
        return n_scanned

    def sort_folio(self, page: int) -> bool:
        """Whether a folio belongs on another list: promoted, or of a tier that is spared."""
        if super().sort_folio(page):
            return True
        is_last = self.folio_lru_refs(page) + self.workingset[page] == MOST_REFS + 2
        tier = self.tier_of(page)
        if tier <= self.tier_idx and not is_last:
            return False
        self.protected[tier] += not is_last
        LruGen.folio_update_gen(self, page, self.min_seq + 1)  # folio_inc_gen
        return True

    def isolate_folio(self, page: int) -> None:
        """Take a folio for reclaim: its flags stay."""
        self.isolated[page] = 1

    def is_promoted(self, page: int) -> bool:
        """No folio is kept for what its neighbour's look found."""
        return False

    def folio_check_references(self, page: int) -> int:
        """Judge a folio: accessed, it is kept; not for the first time, it is active."""
        if not (self.mapped[page] and self.young[page]):
            return RECLAIM
        self.lru_gen_look_around(page)
        return ACTIVATE if self.lru_gen_set_refs(page) else KEEP

    def _put_back(self, page: int, *, is_retry: bool) -> bool:
        is_busy = self.active[page] or self.mapped[page] or self.dirty[page] or self.writeback[page]
        if not (is_retry or is_busy):
            return False
        if self.lru_gen_folio_seq(page, is_reclaiming=False) == self.min_seq:  # not where reclaim looks next
            self.active[page], self.referenced[page] = 1, 0
        self.isolated[page] = 0
        self.lruvec_add_folio(page)
        return True


class LruGen73Reference(LruGen73, LruGenReference):
    """One access at a time."""


class LruGen73Vectorised(LruGen73, LruGenVectorised):
    """All hits between two faults at once."""
