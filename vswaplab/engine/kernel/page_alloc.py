"""Memory of the nodes (mm/page_alloc.c): free pages, watermarks, and who wakes kswapd."""

from __future__ import annotations

from abc import abstractmethod

from vswaplab.base.units import PAGE_SIZE
from vswaplab.engine.kernel.folios import DRAM, TICK_NS, OutOfMemoryError
from vswaplab.engine.kernel.memcg import RETRIES, Memcg
from vswaplab.engine.plan import Plan
from vswaplab.trace.trace import Workload

ENTRY_BYTES = 56 + 8 + 9
"""Slab memory of a zswap entry, with its zsmalloc handle and its share of the tree (vswap-truth, metadata.csv) [M]."""


class PageAlloc(Memcg):
    """Free pages of each node. Of DRAM there is no end where a group's memory.max is the limit."""

    def __init__(self, plan: Plan, trace: Workload) -> None:
        super().__init__(plan, trace)
        self.marks = self.kernel.watermarks
        self.used = [self.kernel.base_pages, 0]  # of each node, but for the pages of the zswap pool
        self.kswapd_at: list[int | None] = [None, None]  # when it gets the CPU, None: it sleeps
        self.in_kswapd = False

    @abstractmethod
    def try_to_free_pages(self) -> int:
        """Reclaim from DRAM; return the pages freed."""

    def n_free(self, node: int) -> int:
        """Count the free pages of a node."""
        free = self.kernel.node_pages[node] - self.used[node]
        if node == DRAM:
            free -= self.zs_pool.pages + len(self.zswap_lru) * ENTRY_BYTES // PAGE_SIZE
        return free

    def new_page(self) -> None:
        """Allocate a page of DRAM, and charge it to the group.

        Raises
        ------
        OutOfMemoryError
            Sixteen reclaims in a row freed nothing.
        """
        self.alloc_page()
        try:
            self.try_charge_memcg(1)
        except OutOfMemoryError:
            self.used[DRAM] -= 1
            raise

    def alloc_page(self) -> None:
        """__alloc_pages: below the low watermark kswapd is woken, at the lowest one it takes a reclaim first."""
        retries = RETRIES
        while not self.may_take(DRAM):
            if self.in_reclaim:  # PF_MEMALLOC: down to the last page
                if self.n_free(DRAM) <= 0:
                    raise OutOfMemoryError
                break
            if self.try_to_free_pages():
                retries = RETRIES
            elif not retries:
                raise OutOfMemoryError
            else:
                retries -= 1
                self.wait_for_write()
        self.used[DRAM] += 1

    def may_take(self, node: int) -> bool:
        """Whether a page can be allocated without a reclaim (zone_watermark_ok); kswapd is woken in time."""
        free, marks = self.n_free(node), self.marks[node]
        if free <= marks.low and marks.low:
            self.wakeup_kswapd(node)
        return free > marks.least

    def wakeup_kswapd(self, node: int) -> None:
        """Wake a node's kswapd: it waits for the clock tick that takes the CPU from the program."""
        if self.kswapd_at[node] is None:
            self.kswapd_at[node] = self.now if self.in_kswapd else self.now // TICK_NS * TICK_NS + TICK_NS

    def n_awake(self) -> int:
        """Count the kswapds that have the CPU or wait for it."""
        return sum(at is not None for at in self.kswapd_at)

    def free_pages(self, n_pages: int, node: int) -> None:
        """Give pages back, to the node and to the group (free_unref_folios, mem_cgroup_uncharge_folios)."""
        self.used[node] -= n_pages
        self.uncharge(n_pages)
