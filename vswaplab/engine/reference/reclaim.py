"""Reclaim in the reference, in the order of rule 1; and rule 2: where a page that leaves goes."""

from __future__ import annotations

from vswaplab.base.backing import State
from vswaplab.engine.plan import NO_LIMIT
from vswaplab.engine.reference.tiers import Tiers


class Reclaim(Tiers):
    """Free frames, and keep the CRAM device below its marks."""

    def reclaim(self) -> None:
        """Free frames until the upper watermark, in the order of rule 1."""
        self.count["reclaim_runs"] += 1
        self.half_full = 2 * sum(self.slots_used) > sum(self.capacity)
        if self.plan.cram is not None and not self.is_removed:
            self._look_at_device()
            self._inflate()
            self._cram_writeback()
            self._cram_node_reclaim()
        self._demote()
        self._zswap_writeback()

    def _demote(self) -> None:
        self.resident.begin()
        while len(self.resident) and self._free_pages() < self.plan.high:
            page = self.resident.next_victim()
            if self._place(page, ("cram", "zswap")):
                self.cache_only.discard(page)
            else:  # no room anywhere: each resident is looked at once
                self.count["reclaim_fail"] += 1
                self.set_aside.append(page)
        while self.set_aside:  # as if they had come in just before this access
            self._make_resident(self.set_aside.pop(0))

    def _place(self, page: int, tiers: tuple[str, ...]) -> bool:
        # Give a page that leaves DRAM or CRAM the first of ``tiers``, or else the swapfile, that admits it (rule 2).
        is_tier = self.plan.cram is not None and self.plan.cram.is_tier
        if is_tier and "cram" in tiers and self._cram_store(page):
            return True
        if self.plan.holds_slots and page not in self.slot and self._free_device() is None:
            return False
        if self.plan.zero_of_row[self._row(page)]:
            self.count["swpout_zero"] += 1
            self._stored_elsewhere(page)
            self.state[page] = State.ZERO
            return True
        if page in self.clean:
            self.count["clean_drop"] += 1
            self.state[page] = State.SWAPFILE
            return True
        if not is_tier and "cram" in tiers and self._cram_store(page):
            if self.plan.holds_slots:
                self._stored_elsewhere(page)
            return True
        leaves_dram = "cram" in tiers
        if leaves_dram and self._store_away(page, before_zswap=True):
            return True
        if "zswap" in tiers and self.plan.zswap is not None:
            if self._zswap_store(page):
                return True
            if not self.plan.zswap.writeback:  # memory.zswap.writeback=0 forbids the swapfile too
                return False
        if leaves_dram and self._store_away(page, before_zswap=False):
            return True
        return self._swapfile_store(page)

    # The CRAM device -------------------------------------------------------------------------

    def _look_at_device(self) -> None:
        cram = self._cram_plan()
        if cram.report_lag == 0:
            self._take_report()
        stored = self.report[0]
        was_open = self.gate_open
        if stored >= cram.close_bytes:
            self.gate_open = False
        elif stored <= cram.open_bytes or cram.is_proportional:
            self.gate_open = True
        self.count["gate_closed_intervals"] += was_open and not self.gate_open
        if cram.is_proportional:  # RFC v4, mm/cram.c: watermark_boost = managed pages x pressure / 1000
            self.boost = cram.device_pages * cram.pressure(stored) // 1000

    def _inflate(self) -> None:
        # mm/cram.c, cram_wmark_work_fn: free pages first; with the zone withdrawn, pages that must be reclaimed.
        target = self._cram_plan().balloon_pages(*self.report)
        if self.balloon >= target:
            self.balloon, self.fruitless = target, 0
            return
        free = min(target - self.balloon, self._free_device_pages())
        self.balloon += free
        if self.balloon == target or self.gate_open:
            return
        before = len(self.cram)
        self._write_back_some(target - self.balloon, ("zswap",))
        moved = before - len(self.cram)
        self.balloon += moved
        self.fruitless = 0 if free or moved else self.fruitless + 1

    def _cram_writeback(self) -> None:
        cram = self._cram_plan()
        stored, pages = self.report
        if self.report_used or stored <= cram.high_bytes:
            return
        self.report_used = True
        wanted = -((cram.low_bytes - stored) * pages // stored)  # ceil((stored - low) x pages / stored)
        self._write_back_some(wanted, ("zswap",) if cram.to_zswap else ())

    def _cram_node_reclaim(self) -> None:
        cram = self._cram_plan()
        low, high = cram.node_low + self.boost, cram.node_high + self.boost
        if low and self._free_device_pages() <= low:
            self._write_back_some(NO_LIMIT, ("zswap",), until_free=high)

    def _write_back_some(self, wanted: int, tiers: tuple[str, ...], until_free: int = NO_LIMIT) -> None:
        # One step of writeback: so many victims, or fewer if enough device pages are free before.
        self.on_device.begin()
        unmapped: list[set[int]] = []
        stays: list[int] = []
        for _ in range(min(wanted, len(self.on_device))):  # each page is looked at once
            if self._free_device_pages() >= until_free:
                break
            page = self.on_device.next_victim()
            mapping = self.state[page]
            if self._place(page, tiers):
                unmapped.append(self._written_back(page, mapping))
            else:
                self.count["reclaim_fail"] += 1
                stays.append(page)
        for page in stays:
            self._note_touch(page)
            self.on_device.arrive(page)
        self._scan(*unmapped)

    def _written_back(self, page: int, mapping: State) -> set[int]:
        # Returns the mappers whose page-table entry had to change.
        backing = self.state[page]
        self.count[f"cram_writeback_{backing.name.lower()}"] += 1
        self.writable -= mapping == State.CRAM_WRITABLE
        mapped, mappers = self.mapped[page], self._mappers(page)
        rewritten = mappers if self.plan.holds_slots else mapped  # without a layer an entry names the device
        self.count["rmap_walks"] += bool(rewritten)
        self.count["pte_changed"] += len(rewritten)
        self.count["pte_unchanged"] += len(mappers) - len(rewritten)
        self.count["cram_writeback_multi_state"] += 0 < len(mapped) < len(mappers)
        self._leave_cram(page)
        return rewritten

    def _scan(self, *unmapped: set[int]) -> None:
        # Without a reverse map: one look through the page table of every process with an entry to change.
        self.count["pte_scanned"] += len(set().union(*unmapped)) * self.trace.n_pages
