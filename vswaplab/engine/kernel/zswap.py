"""zswap (mm/zswap.c): stores, loads, the pool's limit, and the worker that writes back beside the program."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator

from vswaplab.base.units import PAGE_SIZE
from vswaplab.engine.kernel.cram import CramNode
from vswaplab.engine.kernel.folios import CRAM, DISK, NONE, ZERO, ZSWAP, OutOfMemoryError
from vswaplab.engine.kernel.memcg import RETRIES

SHRINK_BATCH = 128
DEFAULT_SEEKS = 2
MAX_REQUEST_COUNT = 32
"""Disk writes held back at most (BLK_MAX_REQUEST_COUNT, block/blk-mq.c), where a node is reclaimed from. Requests of
neighbouring slots merge, and the model does not know where a slot lies: a group's passes, which are short, are held
back whole. With 32 there too, runs with a full pool are much further off [fit]."""
SLICE_NS = 750_000
"""How long a worker keeps the CPU once the program sleeps (sysctl_sched_base_slice, kernel/sched/fair.c)."""


def do_shrink_slab(n_freeable: int, deferred: int, priority: int, scan: Callable[[int], int]) -> int:
    """Scan a share of what a shrinker holds in batches of 128; return what is left for later.

    Parameters
    ----------
    n_freeable, deferred
        What it holds, and what was left the last time.
    priority
        Of the reclaim.
    scan : callable
        Given a batch, says what that freed; 0 ends the scan.

    Examples
    --------
    1,106 at priority 3: 276, of which two batches are scanned.

    >>> do_shrink_slab(1106, 0, 3, lambda n: n)
    20
    """
    delta = (n_freeable >> priority) * 4 // DEFAULT_SEEKS
    left, n_scanned = min((deferred >> priority) + delta, 2 * n_freeable), 0
    while left >= min(SHRINK_BATCH, n_freeable):
        step = min(SHRINK_BATCH, left)
        if not scan(step):
            break
        left, n_scanned = left - step, n_scanned + step
    return min(max(deferred + delta - n_scanned, 0), 2 * n_freeable)


class ZswapPool(CramNode):
    """Swap-out of one page, and the pool."""

    is_global = False  # reclaim is for a node that runs short, not for a group at its limit
    plug: list[int] | None = None  # disk writes held back until the end of a pass (blk_start_plug)
    worker_starts = worker_again = in_worker = False
    credit = 0  # CPU time that the worker may take, ns

    @abstractmethod
    def swap_cache_alloc(self, page: int) -> None:
        """Put a new folio into the swap cache."""

    @abstractmethod
    def folio_alloc_swap(self, page: int) -> bool:
        """Give a page a swap entry; False: no slot is free."""

    @abstractmethod
    def has_free_slot(self) -> bool:
        """Whether a page can be given a slot on a device."""

    @abstractmethod
    def free_slot(self, page: int) -> None:
        """Free a page's slot, if it has one."""

    @abstractmethod
    def disk_slot(self, page: int) -> int:
        """Find the device that a page is written to, -1: none has room."""

    # mm/page_io.c -------------------------------------------------------------------------------

    def swap_writepage(self, page: int) -> bool:
        """Write a folio out: nothing for a zero page, to zswap, or to disk; False: it must stay."""
        self.use_cpu(self.kernel.swapout_ns)
        self.dirty[page] = 0
        if self.plan.zero_of_row[self.content[page]]:
            self.count["swpout_zero"] += 1
            self.count["cram_writeback_zero"] += self.node[page] == CRAM
            self._is_elsewhere(page, ZERO)
            return True
        if self.zswap_store(page):
            self.count["cram_writeback_zswap"] += self.node[page] == CRAM
            self._is_elsewhere(page, ZSWAP)
            return True
        if (self.plan.zswap is not None and not self.plan.zswap.writeback) or not self.swap_writepage_bdev(page):
            self.dirty[page] = 1
            self.count["reclaim_fail"] += 1
            return False
        self.count["cram_writeback_swapfile"] += self.node[page] == CRAM
        return True

    def _is_elsewhere(self, page: int, backing: int) -> None:
        # With a layer a slot that the page had on disk is freed.
        self.backing[page] = backing
        if not self.plan.holds_slots:
            self.free_slot(page)

    def swap_writepage_bdev(self, page: int) -> bool:
        """Start writing a folio to its device; False: no slot is free."""
        device = self.disk_slot(page)
        if device < 0:
            return False
        self.count["pswpout"] += 1
        self.device_out[device] += 1
        self.backing[page], self.writeback[page] = DISK, 1
        if self.plug is None:
            self.submit_bio(page)
        else:
            if self.is_global and len(self.plug) == MAX_REQUEST_COUNT:
                self.blk_flush_plug()
            self.plug.append(page)
        return True

    def blk_flush_plug(self) -> None:
        """Start the writes that were held back."""
        for page in self.plug or ():
            self.submit_bio(page)
        if self.plug:
            self.plug.clear()

    # Stores and loads -----------------------------------------------------------------------------

    def zswap_check_limits(self) -> bool:
        """Whether the pool is full: at its limit, or not yet back at the accept threshold."""
        zswap = self.plan.zswap
        assert zswap is not None
        if self.zs_pool.pages >= zswap.max_pages:
            self.count["pool_limit_hit"] += 1
            self.zswap_pool_reached_full = True
        elif self.zswap_pool_reached_full:
            self.zswap_pool_reached_full = self.zs_pool.pages > zswap.accept_pages
            self.count["reject_accept_threshold"] += self.zswap_pool_reached_full
        return self.zswap_pool_reached_full

    def zswap_store(self, page: int) -> bool:
        """Compress a page into the pool; a full pool wakes the worker."""
        if self.plan.zswap is None:
            return False
        may_store = self.may_zswap() or self.shrink_memcg() > 0
        if not may_store or self.zswap_check_limits() or not self.zswap_store_page(page):
            if self.zswap_pool_reached_full:
                self.queue_work()
            return False
        self.count["zswpout"] += 1
        self.use_cpu(self.kernel.compress_ns)
        return True

    def may_zswap(self) -> bool:
        """obj_cgroup_may_zswap: whether the group is below memory.zswap.max."""
        zswap = self.plan.zswap
        assert zswap is not None
        if zswap.group_pages is None:
            return True
        if zswap.group_pages:
            self.flush_stats()  # "Force flush to get accurate stats for charging"
        return self.zswap_bytes // PAGE_SIZE < zswap.group_pages

    def zswap_store_page(self, page: int) -> bool:
        """Allocate, charge and remember an entry; False: the page does not compress."""
        zswap = self.plan.zswap
        assert zswap is not None
        length = int(zswap.length_of_row[self.content[page]])
        if length >= PAGE_SIZE and not zswap.stores_raw:
            self.count["reject_compress_poor"] += 1
            return False
        self.zspage[page] = self.zs_pool.malloc(length)
        self.obj_cgroup_charge(length)
        self.zswap_length[page] = length
        self.zswap_bytes += length
        self.count["zswpout_bytes"] += length
        self.zswap_lru[page] = True
        return True

    def zswap_entry_free(self, page: int) -> None:
        """Drop an entry and give its bytes back."""
        length = self.zswap_length.pop(page)
        self.zs_pool.free(self.zspage.pop(page))
        del self.zswap_lru[page]
        self.zswap_bytes -= length
        self.obj_cgroup_uncharge(length)

    def zswap_load(self, page: int) -> None:
        """Decompress: the entry goes, the folio is dirty."""
        self.zswap_entry_free(page)
        self.backing[page], self.dirty[page] = NONE, 1
        self.count["zswpin"] += 1
        self.use_cpu(self.kernel.decompress_ns)

    # Writeback ------------------------------------------------------------------------------------

    def zswap_writeback_entry(self, page: int) -> bool:
        """Bring an entry into the swap cache and start its write; False: it is being loaded, or has no slot."""
        if self.cached[page] or self.disk_slot(page) < 0:  # the slot first: nothing may take it meanwhile
            return False
        try:
            self.swap_cache_alloc(page)
        except OutOfMemoryError:
            if not self.plan.holds_slots:
                self.free_slot(page)
            return False
        self.zswap_entry_free(page)
        self.count["zswpwb"] += 1
        self.rotates[page] = 1
        loses_cpu = self.in_worker and self.kernel.preempts_in_reclaim
        self.use_cpu(self.kernel.writeback_ns + (self.kernel.switch_ns if loses_cpu else 0))
        return self.swap_writepage_bdev(page)

    def _try_oldest(self, n: int) -> int:
        # How many of the n oldest entries are written back; a reclaim meanwhile may take the last one away.
        n_written = 0
        for _ in range(min(n, len(self.zswap_lru))):
            n_written += bool(self.zswap_lru) and self.shrink_memcg_cb()
        return n_written

    def shrink_memcg_cb(self) -> bool:
        """Take the oldest entry: its second chance, or writeback; either way it goes to the end."""
        page, is_referenced = next(iter(self.zswap_lru.items()))
        self.zswap_lru.move_to_end(page)
        if is_referenced:
            self.zswap_lru[page] = False
            return False
        return self.zswap_writeback_entry(page)

    def shrink_memcg(self) -> int:
        """Try the group's oldest entries, one or 32 of them; return how many were written back."""
        if self.plan.zswap is None or not self.plan.zswap.writeback:
            return 0
        return self._try_oldest(self.kernel.nr_to_walk)

    def shrink_worker(self) -> Iterator[int]:
        """Write back until the pool is at the accept threshold, or sixteen tries failed.

        Yields
        ------
        ns : CPU time of one try besides its writes, after which the worker can lose the CPU
        """
        zswap = self.plan.zswap
        assert zswap is not None
        n_failures = 0
        while True:
            n_tried = min(self.kernel.nr_to_walk, len(self.zswap_lru)) * zswap.writeback
            n_written = self.shrink_memcg()
            if not n_written:
                n_failures += 1
                if n_failures == RETRIES:
                    return
            if self.zs_pool.pages <= zswap.accept_pages:
                return
            yield self.kernel.try_ns + (n_tried - n_written) * self.kernel.rotate_ns

    # Shrinkers (mm/shrinker.c): zsmalloc's, and zswap's if shrinker_enabled ------------------------------

    zs_deferred = n_deferred = n_disk_swapins = 0

    def shrink_zs_pool(self, priority: int) -> None:
        """Shrink what belongs to no group: the pool's holes. Only reclaim for a node comes here."""
        n_freeable = self.zs_pool.to_free()
        if n_freeable:
            self.zs_deferred = do_shrink_slab(n_freeable, self.zs_deferred, priority, lambda _: self.zs_pool.compact())

    def shrink_slab(self, priority: int) -> None:
        """Shrink what belongs to the group: zswap's entries."""
        zswap = self.plan.zswap
        if zswap is None or not (zswap.shrinker_enabled and zswap.writeback):
            return
        n_freeable = self.zswap_shrinker_count()
        if n_freeable:
            deferred, self.n_deferred = self.n_deferred, 0
            left = do_shrink_slab(n_freeable, deferred, priority, self.zswap_shrinker_scan)
            self.n_deferred += left  # a scan may come here again

    def zswap_shrinker_count(self) -> int:
        """Say how many entries could go: reads from disk protect as many, and what compresses well weighs less."""
        if not (self.plan.holds_slots or self.has_free_slot()):
            return 0
        if self.kernel.shrinker_flushes:
            self.flush_stats()
        n_stored, n_backing = self.flushed_zswap
        if not n_stored:
            return 0
        n_entries = len(self.zswap_lru)
        n_protected = min(n_entries, self.n_disk_swapins)
        self.n_disk_swapins -= n_protected
        return (n_entries - n_protected) * n_backing // n_stored

    def zswap_shrinker_scan(self, n: int) -> int:
        """Take so many of the oldest entries; return how many were written back, 0 if one of them is being loaded.

        That one ends the scan (-EEXIST in shrink_memcg_cb): what is wanted back is not cold.
        """
        n_written = 0
        for _ in range(min(n, len(self.zswap_lru))):
            if not self.zswap_lru:
                break
            page, is_referenced = next(iter(self.zswap_lru.items()))
            n_written += self.shrink_memcg_cb()
            if self.cached[page] and not is_referenced and page in self.zswap_lru:
                return 0
        return n_written

    # The worker and the program share a CPU ----------------------------------------------------------

    def queue_work(self) -> None:
        """Wake the worker; one that is only pending is not queued twice."""
        if self.worker is None:
            self.worker, self.credit, self.worker_starts = self.shrink_worker(), 0, False
        elif self.worker_starts:
            self.worker_again = True

    def use_cpu(self, ns: int) -> None:
        """Let program or kswapd use the CPU: a worker that waits has a claim to as much as each of those awake."""
        self.pass_time(ns)
        if self.in_worker:
            self.credit -= ns
        elif self.worker is not None:
            self.credit += ns // (1 + self.n_awake())

    def run_worker(self, asleep_ns: int = 0) -> None:
        """Give the worker the CPU for its share, and for as long as the program sleeps."""
        if self.worker is None or self.in_worker:
            return
        in_reclaim, plug = self.in_reclaim, self.plug
        self.in_worker, self.in_reclaim, self.plug, self.need_resched = True, False, None, False
        self.credit += asleep_ns
        while self.credit > 0 and self.worker is not None:
            self.worker_starts = True
            ns = next(self.worker, None)
            if ns is not None:
                self.use_cpu(ns)
                continue
            self.worker = None
            if self.worker_again:
                self.worker, self.worker_again, self.worker_starts = self.shrink_worker(), False, False
        self.credit = min(self.credit, 0)
        self.in_worker, self.in_reclaim, self.plug = False, in_reclaim, plug
