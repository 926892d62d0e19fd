"""Page faults (mm/memory.c, mm/swap_state.c, mm/workingset.c), frees, and swap slots."""

from __future__ import annotations

from collections import deque

from vswaplab.engine.kernel.folios import CRAM, DISK, NONE, PAGES_OF_TABLE, ZERO, ZSWAP
from vswaplab.engine.kernel.kswapd import Kswapd
from vswaplab.engine.kernel.vmscan import CLUSTER_MAX
from vswaplab.engine.kernel.zswap import SLICE_NS

HIT, MINOR, MAJOR, DISK_READ = range(4)
"""Outcomes of an access: mapped; a minor fault (in the swap cache, or a first touch); loaded without a read; read."""
_NO_SLOT = 255
_MOST_HITS = 63
"""SWAP_RA_HITS_MAX."""


def swapin_nr_pages(last: int, page: int, hits: int, most: int, before: int) -> int:
    """Say how many pages a fault reads (__swapin_nr_pages, mm/swap_state.c).

    Parameters
    ----------
    last, page
        Of the fault before, and of this one.
    hits
        Pages read ahead that were wanted since.
    most, before : pages
        The limit, and what the fault before read.

    Examples
    --------
    Six hits make a window of eight; without a hit it is halved, and opens at neighbours only.

    >>> [swapin_nr_pages(0, 9, 6, 8, 8), swapin_nr_pages(0, 9, 0, 8, 8), swapin_nr_pages(0, 9, 0, 8, 1)]
    [8, 4, 1]
    >>> swapin_nr_pages(8, 9, 0, 8, 1)
    2
    """
    n = hits + 2
    if n > 2:
        n = max(4, 1 << (n - 1).bit_length())
    elif abs(page - last) != 1:
        n = 1
    return max(min(n, most), before // 2)


class Faults(Kswapd):
    """What an access does that finds its page not mapped, or write-protected on the CRAM node."""

    def hit(self, page: int, *, is_write: bool) -> None:
        """Serve an access to a mapped page: its entry is marked accessed, and dirty by a write."""
        self.count["cram_read" if self.node[page] else "dram_hit"] += 1
        self.young[page] = 1
        self.pte_dirty[page] |= is_write
        self.pass_time(self.kernel.hit_ns)

    def handle_mm_fault(self, page: int, *, is_write: bool) -> int:
        """Serve a fault; return its outcome.

        Raises
        ------
        OutOfMemoryError
            No page could be charged.
        """
        self.run_kswapd()
        code = self.do_wp_page(page) if self.mapped[page] else self._handle_pte_fault(page, is_write=is_write)
        self.use_cpu(self.kernel.fault_ns)
        self.run_worker()  # on the way back to user mode
        self.run_kswapd()
        return code

    def _handle_pte_fault(self, page: int, *, is_write: bool) -> int:
        is_new = self.is_new(page)
        code = self.do_anonymous_page(page) if is_new else self.do_swap_page(page, is_write=is_write)
        self.map_page(page, is_write=is_write or is_new)
        if is_write and self.node[page] == CRAM:  # found in the swap cache, there: mapped, and written to
            self.do_wp_page(page)
        return code

    def do_wp_page(self, page: int) -> int:
        """Write to a folio on the CRAM node: it is moved to DRAM first."""
        self.promote(page)
        self.count["cram_promote"] += 1
        self.young[page] = self.pte_dirty[page] = 1
        self.use_cpu(self.kernel.swapout_ns)
        return MINOR

    def is_new(self, page: int) -> bool:
        """Say whether a page has neither folio nor entry (pte_none)."""
        return self.backing[page] == NONE and not (self.mapped[page] or self.cached[page])

    def map_page(self, page: int, *, is_write: bool) -> None:
        """Enter a folio into the page table, accessed."""
        self.mapped[page] = self.young[page] = 1
        self.pte_dirty[page] |= is_write

    def do_anonymous_page(self, page: int) -> int:
        """First touch: a page, and a page table if it is the first in its reach."""
        table = page // PAGES_OF_TABLE
        if not self.has_table[table]:
            self.new_page()
            self.has_table[table] = 1
        self.new_page()
        self.count["first_touch"] += 1
        self.folio_add_lru(page)
        return MINOR

    def do_swap_page(self, page: int, *, is_write: bool) -> int:
        """Swap a page in, or find it in the swap cache."""
        code = MINOR
        if self.cached[page]:
            self.swap_update_readahead(page)
            self.wait_for_read(page)
        else:
            code = self.swapin_readahead(page)
        if code == MINOR and self.node[page] != CRAM:
            self.count["dram_hit"] += 1
            self.count["swap_cache"] += 1
        elif code == MINOR:
            self.count["cram_soft_fault"] += not is_write
        if is_write and self.in_batch[page]:
            self.lru_add_drain()
        if self.cached[page] and not self.writeback[page] and self.should_try_to_free_swap(page, is_write=is_write):
            self.folio_free_swap(page)
        return code

    def swap_in(self, page: int) -> int:
        """Bring a page into the swap cache from where it is; return the outcome."""
        code = self.swap_read_folio(page)
        if code == DISK_READ:
            self._sleep(self.kernel.read_ns)
            self.locked[page] = 0
        return code

    def swap_read_folio(self, page: int) -> int:
        """Begin to bring a page into the swap cache; what is read from disk is locked until it is there."""
        self.swap_cache_alloc(page)
        if self.backing[page] == ZSWAP:
            self.zswap_load(page)
            return MAJOR
        if self.backing[page] == ZERO:
            self.count["swpin_zero"] += 1
            return MAJOR
        self.count["pswpin"] += 1
        self.n_disk_swapins += 1
        self.device_in[self.slot[page]] += 1
        self.locked[page] = 1
        return DISK_READ

    def wait_for_read(self, page: int) -> None:
        """Sleep until a page that is being read is there."""
        while self.locked[page]:
            self._sleep(max(self.reads[0][0] - self.now, 0))

    def _sleep(self, ns: int) -> None:
        if self.worker is None:
            self.pass_time(ns)
        else:
            self.run_worker(max(ns, SLICE_NS))

    def swap_cache_alloc(self, page: int) -> None:
        """__read_swap_cache_async: in the swap cache before it is charged, on a list after."""
        self.cached[page] = 1
        try:
            self.new_page()
        except BaseException:
            self.cached[page] = 0
            raise
        self.dirty[page] = 0
        self.workingset_refault(page)
        self.folio_add_lru(page)

    def workingset_refault(self, page: int) -> None:
        """Make a page active that was away for less than the active list is long."""
        shadow = self.shadow.pop(page, None)
        if shadow is None:
            return
        self.count["workingset_refault_anon"] += 1
        node, age, was_workingset = shadow
        if self.lruvecs[node].nonresident_age - age > self.lruvecs[node].flushed[1]:
            return
        lruvec = self.lruvecs[self.node[page]]
        self.active[page] = 1
        lruvec.nonresident_age += 1
        lruvec.workingset_activate += 1
        self.count["workingset_activate_anon"] += 1
        if was_workingset:
            self.workingset[page] = 1
            lruvec.note_cost(CLUSTER_MAX)

    # Readahead (mm/swap_state.c) ------------------------------------------------------------------------

    ra_page, ra_window, ra_hits = -2, 0, 4
    """vma->swap_readahead_info: the page of the last fault, the pages read then, hits since. Nowhere, at first."""

    def swapin_readahead(self, page: int) -> int:
        """Swap a page in, and what was swapped out around it in the program's memory (swap_vma_readahead).

        On a device that does not rotate; the neighbours on a disk that does, read by swap_cluster_readahead, are
        not modelled, as a slot has no place on its device.
        """
        around = self.swap_vma_ra_win(page)
        if len(around) == 1:
            return self.swap_in(page)
        code = MAJOR
        for other in around:
            if self.mapped[other] or self.cached[other] or self.backing[other] == NONE:
                continue
            backing, found = self.backing[other], self.swap_read_folio(other)
            if found == DISK_READ:
                self.reads.append((self.now + self.kernel.read_ns, other))
            if other == page:
                code = found
                continue
            self.rotates[other] = 1  # PG_readahead, the same bit as PG_reclaim
            self.count["swapin_readahead"] += 1
            self.count["swapin_readahead_disk"] += found == DISK_READ
            self.count["swapin_readahead_zswap"] += backing == ZSWAP
            self.count["swapin_readahead_zero"] += backing == ZERO
        self.lru_add_drain()
        self.wait_for_read(page)
        return code if self.cached[page] else self.swap_in(page)  # a neighbour may have pushed it out again

    def swap_vma_ra_win(self, page: int) -> range:
        """Give the pages that a fault looks at: within its page table, and further the more of them were wanted."""
        most = self.kernel.readahead_pages
        if most == 1:
            return range(page, page + 1)
        n = swapin_nr_pages(self.ra_page, page, self.ra_hits, most, self.ra_window)
        before, self.ra_page, self.ra_window, self.ra_hits = self.ra_page, page, n, 0
        if n == 1:
            return range(page, page + 1)
        left = page if page == before + 1 else page - n + 1 if page == before - 1 else page - (n - 1) // 2
        table = page // PAGES_OF_TABLE * PAGES_OF_TABLE
        return range(max(left, table), min(left + n, table + PAGES_OF_TABLE, self.plan.n_pages))

    def swap_update_readahead(self, page: int) -> None:
        """Note that a page was found in the swap cache: a hit, if its bit says that it was read ahead.

        The bit is also that of a folio written out for reclaim. Found on its way, it counts as a hit too, and loses
        its place at the tail of the list: kernels with page-cluster 0 count 0 to 3 of them a run (swap_ra_hit of
        data/truth/kernel [M]).
        """
        self.ra_page = page
        self.ra_hits = min(self.ra_hits + self.rotates[page], _MOST_HITS)
        self.count["swapin_readahead_hit"] += self.rotates[page]
        self.rotates[page] = 0

    # Slots (mm/swapfile.c) --------------------------------------------------------------------------

    def should_try_to_free_swap(self, page: int, *, is_write: bool) -> bool:
        """Whether the slot goes now that the page is back.

        A virtual slot without a physical one goes; any slot if swap is half full; and that of a page that is
        written to, but for Linux 6.19 to 7.2, where FAULT_FLAG_WRITE is cleared before it is looked at.
        """
        if not self.plan.holds_slots and self.backing[page] != DISK:
            return True
        return self.mem_cgroup_swap_full() or (is_write and self.kernel.frees_on_write)

    def mem_cgroup_swap_full(self) -> bool:
        """Whether more than half of all slots is taken (vm_swap_full), or half of memory.swap.max."""
        in_use = sum(self.slots_used)
        return 2 * in_use > sum(self.capacity) or 2 * in_use >= self.plan.max_slots

    def folio_free_swap(self, page: int) -> None:
        """Take a folio out of the swap cache and free its slot."""
        self.cached[page] = 0
        self.free_slot(page)
        self.backing[page], self.dirty[page] = NONE, 1

    def free_slot(self, page: int) -> None:
        """Free a page's slot, if it has one."""
        if self.slot[page] != _NO_SLOT:
            self.slots_used[self.slot[page]] -= 1
            self.slot[page] = _NO_SLOT

    def folio_alloc_swap(self, page: int) -> bool:
        """Give a page a swap entry: without a layer it is a slot."""
        return not self.plan.holds_slots or self._take_slot(page) >= 0

    def disk_slot(self, page: int) -> int:
        """Give the device that a page is written to; with a layer the slot is taken only now."""
        return self._take_slot(page)

    def has_free_slot(self) -> bool:
        """Whether a page can be given a slot on a device."""
        return self.n_free_slots() > 0

    def n_free_slots(self) -> int:
        """Say how many more pages can be given a slot: get_nr_swap_pages, within memory.swap.max."""
        return min(self.plan.max_slots, sum(self.capacity)) - sum(self.slots_used)

    def _take_slot(self, page: int) -> int:
        if self.slot[page] != _NO_SLOT:
            return self.slot[page]
        if sum(self.slots_used) >= self.plan.max_slots:
            return -1
        for device in self.plan.device_order:
            if self.slots_used[device] < self.capacity[device]:
                self.slots_used[device] += 1
                self.slot[page] = device
                return device
        return -1

    def free(self, page: int) -> None:
        """Free a page for the program (zap_pte_range): folio, entry and slot go."""
        if self.mapped[page]:
            self.mapped[page] = self.young[page] = self.pte_dirty[page] = 0
            self.n_unmapped += 1
            self._drop_folio(page)
        elif self.cached[page]:
            self._drop_folio(page)
        elif self.backing[page] == ZSWAP:
            self.zswap_entry_free(page)
        self.free_slot(page)
        self.backing[page] = NONE
        self.shadow.pop(page, None)

    def _drop_folio(self, page: int) -> None:
        if self.in_batch[page]:
            self.lru_add_drain()
        self.lruvec_del_folio(page)
        if self.node[page] == CRAM:
            self.leave_cram(page)
        if self.backing[page] == ZSWAP:  # in the swap cache for a moment, beside its entry
            self.zswap_entry_free(page)
        if self.writeback[page]:
            self.writes = deque(write for write in self.writes if write[1] != page)
        if self.locked[page]:
            self.reads = deque(read for read in self.reads if read[1] != page)
            self.locked[page] = 0
        self.cached[page] = self.dirty[page] = self.writeback[page] = self.rotates[page] = 0
        self.referenced[page] = self.active[page] = self.workingset[page] = 0
        self.free_pages(1, self.node[page])
        self.node[page] = 0
