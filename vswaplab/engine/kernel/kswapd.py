"""kswapd (mm/vmscan.c): a task for each node, which brings free pages back to the high watermark."""

from __future__ import annotations

from vswaplab.engine.kernel.folios import CRAM, DRAM
from vswaplab.engine.kernel.vmscan import CLUSTER_MAX, DEF_PRIORITY, Reclaim


class Kswapd(Reclaim):
    """The nodes' tasks: they share the CPU with the program, and get it at a clock tick."""

    def run_kswapd(self) -> None:
        """Give the CPU to those that were woken and have waited for a tick."""
        for node in (DRAM, CRAM):
            at = self.kswapd_at[node]
            if at is not None and at <= self.now:
                self.in_kswapd = True
                self.balance_pgdat(node)
                self.in_kswapd, self.kswapd_at[node] = False, None

    def balance_pgdat(self, node: int) -> None:
        """Reclaim until the free pages are above the high watermark, or every priority was tried."""
        self.count["reclaim_runs"] += 1
        saved, lruvec, priority = self._scan_control(), self.lruvecs[node], self.first_priority(node)
        self.in_reclaim, self.force_deactivate, self.is_global = True, False, True
        while priority and self.n_free(node) <= self.marks[node].high:
            priority -= self._kswapd_shrink_node(node, priority)
        lruvec.refaults = lruvec.flushed[2]  # snapshot_refaults
        self._restore(saved)

    def first_priority(self, node: int) -> int:
        """Give the priority that a node's task begins with."""
        return DEF_PRIORITY

    def _kswapd_shrink_node(self, node: int, priority: int) -> bool:
        # One round; whether the next one should scan twice as much.
        lruvec, wanted = self.lruvecs[node], max(self.marks[node].high, CLUSTER_MAX)
        if lruvec.inactive_is_low():  # kswapd_age_node
            self.shrink_active_list(lruvec, CLUSTER_MAX)
        self.n_reclaimed, n_scanned = 0, self.count["pgscan"]
        self.shrink_node(lruvec, priority, wanted)
        return self.count["pgscan"] - n_scanned < wanted or not self.n_reclaimed
