"""The CRAM node: demotion to it (mm/vmscan.c), and back by a write (mm/cram.c, RFC v4)."""

from __future__ import annotations

from vswaplab.engine.kernel.folios import CRAM, DRAM
from vswaplab.engine.kernel.page_alloc import PageAlloc


class CramNode(PageAlloc):
    """A memory node below DRAM whose folios stay mapped, read-only, and on lists of their own."""

    has_room = True  # the driver reports a pressure below 1000
    is_removed = False  # the node is gone
    cram_bytes = 0  # on its media

    def can_demote(self, node: int) -> bool:
        """Whether folios of a node have a slower one to go to."""
        return node == DRAM and self.plan.cram is not None and not self.is_removed

    def demote_folio_list(self, folios: list[int]) -> list[int]:
        """Move folios to the CRAM node, whatever they contain; return those that it does not take."""
        self._look_at_pressure()
        left = [page for page in reversed(folios) if not self._demote(page)]
        self.n_unmapped += len(left) < len(folios)  # a write to what has gone is no hit
        return left

    def _look_at_pressure(self) -> None:
        cram, had_room = self.plan.cram, self.has_room
        assert cram is not None
        if self.cram_bytes >= cram.close_bytes:
            self.has_room = False
        elif self.cram_bytes <= cram.open_bytes:
            self.has_room = True
        self.count["gate_closed_intervals"] += had_room and not self.has_room

    def _demote(self, page: int) -> bool:
        # alloc_demote_folio, without reclaim; the folio keeps its flags.
        cram, n_bytes = self.plan.cram, self.bytes_on_cram(page)
        assert cram is not None
        if not self.has_room:
            self.count["cram_refused_gate"] += 1
        elif not self.may_take(CRAM):
            self.count["cram_refused_full"] += 1
        elif self.cram_bytes + n_bytes > cram.media_bytes:
            self.count["cram_refused"] += 1
        else:
            self.count["cram_in"] += 1
            self.count["cram_in_bytes"] += n_bytes
            self.cram_bytes += n_bytes
            self._move(page, CRAM)
            return True
        return False

    def bytes_on_cram(self, page: int) -> int:
        """Say what a folio takes on the media of the CRAM node."""
        assert self.plan.cram is not None
        return int(self.plan.cram.bytes_of_row[self.content[page]])

    def leave_cram(self, page: int) -> None:
        """Give back what a folio took on the media."""
        self.cram_bytes -= self.bytes_on_cram(page)

    def promote(self, page: int) -> None:
        """Move a folio to DRAM; it keeps its flags.

        Raises
        ------
        OutOfMemoryError
            DRAM has no page for it.
        """
        while self.writeback[page]:
            self.wait_for_write()
        self.locked[page] = 1
        try:
            self.alloc_page()
        finally:
            self.locked[page] = 0
        self.used[DRAM] -= 1  # the page just taken, which is counted when the folio moves
        self.lru_add_drain()
        self.lruvec_del_folio(page)
        self.leave_cram(page)
        self._move(page, DRAM)

    def _move(self, page: int, node: int) -> None:
        # An isolated folio gets memory of the other node.
        self.used[self.node[page]] -= 1
        self.used[node] += 1
        self.node[page], self.isolated[page] = node, 0
        self.folio_add_lru(page)
