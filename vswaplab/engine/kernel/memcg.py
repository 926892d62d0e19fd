"""Charges of a memory cgroup (mm/memcontrol.c): whole pages in batches, compressed objects in bytes."""

from __future__ import annotations

from abc import abstractmethod

from vswaplab.base.units import PAGE_SIZE
from vswaplab.engine.kernel.folios import Folios, OutOfMemoryError

CHARGE_BATCH = 64
"""MEMCG_CHARGE_BATCH: pages charged at once, the rest kept in the CPU's stock."""
RETRIES = 16
"""MAX_RECLAIM_RETRIES."""


class Memcg(Folios):
    """The group's usage against memory.max."""

    in_reclaim = False

    @abstractmethod
    def try_to_free_mem_cgroup_pages(self, n_pages: int) -> int:
        """Reclaim; return the pages freed."""

    def try_charge_memcg(self, n_pages: int) -> None:
        """Charge pages: from the stock, or a batch, or just these; else reclaim and try again.

        Raises
        ------
        OutOfMemoryError
            Sixteen reclaims in a row freed nothing.
        """
        retries, is_drained = RETRIES, False
        while not self._try_charge(n_pages):
            if self.in_reclaim:  # PF_MEMALLOC: charged beyond the limit
                self.usage += n_pages
                return
            n_freed = self.try_to_free_mem_cgroup_pages(n_pages)
            if self.max_pages - self.usage >= n_pages:
                continue
            if not is_drained:  # drain_all_stock
                self.usage, self.stock, is_drained = self.usage - self.stock, 0, True
            elif not n_freed:
                if not retries:
                    raise OutOfMemoryError
                retries -= 1
                self.wait_for_write()

    def wait_for_write(self) -> None:
        """Let the oldest disk write end: a fruitless look at all lists lasts longer than that."""
        if self.writes:
            self.pass_time(max(0, self.writes[0][0] - self.now))

    def _try_charge(self, n_pages: int) -> bool:
        if self.stock >= n_pages:
            self.stock -= n_pages
            return True
        if self.usage + CHARGE_BATCH <= self.max_pages:
            self.usage += CHARGE_BATCH
            self.refill_stock(CHARGE_BATCH - n_pages)
            return True
        if self.usage + n_pages <= self.max_pages:
            self.usage += n_pages
            return True
        return False

    def refill_stock(self, n_pages: int) -> None:
        """Keep charged pages for later; more than a batch goes back."""
        self.stock += n_pages
        if self.stock > CHARGE_BATCH:
            self.usage, self.stock = self.usage - self.stock, 0

    def uncharge(self, n_pages: int) -> None:
        """Give pages back to the group."""
        self.usage -= n_pages

    # Compressed objects ------------------------------------------------------------------------

    def obj_cgroup_charge(self, n_bytes: int) -> None:
        """Charge bytes: from the rest of a page charged before, or whole pages more."""
        if self.object_stock >= n_bytes:
            self.object_stock -= n_bytes
            return
        n_pages = -(-n_bytes // PAGE_SIZE)
        self.try_charge_memcg(n_pages)
        self.object_stock += n_pages * PAGE_SIZE - n_bytes

    def obj_cgroup_uncharge(self, n_bytes: int) -> None:
        """Give bytes back; whole pages of them go to the stock."""
        self.object_stock += n_bytes
        if self.object_stock > PAGE_SIZE:
            n_pages, self.object_stock = divmod(self.object_stock, PAGE_SIZE)
            self.refill_stock(n_pages)
