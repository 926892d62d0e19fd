"""Emptying a device in the reference: swapoff, and the removal of CRAM (rule 7)."""

from __future__ import annotations

from vswaplab.base.backing import State
from vswaplab.engine.outcome import Drain
from vswaplab.engine.reference.memory import BACKING, CRAM_MAPPED, SECOND
from vswaplab.engine.reference.reclaim import Reclaim


class Drains(Reclaim):
    """Take devices away, a page at a time."""

    def swapoff(self, device: int, *, maps: bool) -> Drain:
        """Empty a swap device into DRAM and take it away (rule 7).

        Parameters
        ----------
        device : int
        maps : bool
            Page tables are scanned, so that loaded pages are mapped; else they
            stay in the swap cache and fault once more.
        """
        drain = Drain(store_loaded=[0] * len(self.plan.stores))
        self.capacity[device] = 0
        held = sorted(page for page, d in self.slot.items() if d == device)
        for page in held:
            if not self._is_behind_slot(page):
                drain.copies_dropped += 1
                self._release_slot(page)
        for page in held:
            if self.slot.get(page) != device:
                continue
            if not self._make_room():
                break
            if self.slot.get(page) == device:  # the reclaim may have moved it
                self._swap_in(page, drain, maps)
        return drain

    def remove_cram(self, *, maps: bool) -> Drain:
        """Take the CRAM device away: its pages go on through rule 2, what finds no room comes back to DRAM."""
        drain, cram = Drain(store_loaded=[0] * len(self.plan.stores)), self._cram_plan()
        self._reap()
        self._flush(cram)
        self.is_removed = True
        n_pages, before = len(self.cram), self.count["pte_changed"]
        self._write_back_some(len(self.on_device), ("zswap",) if cram.to_zswap else ())
        drain.written_back = n_pages - len(self.cram)
        drain.pte_changed = self.count["pte_changed"] - before
        for page in list(self.on_device) if self._fits() else ():
            if not self._make_room():
                break
            state, mapped = self.state[page], len(self.mapped[page])
            drain.cram_loaded += 1
            drain.pte_changed += 0 if maps else mapped
            self.writable -= state == State.CRAM_WRITABLE
            self._leave_cram(page)
            if not cram.is_tier:
                self._swapped_in(page)
            self._drained(page, drain, maps)
        self.unflushed = self.unflushed_pages = self.balloon = 0
        return drain

    def _is_behind_slot(self, page: int) -> bool:
        # Whether the slot names data that is nowhere else: on the device itself, or without a layer anywhere.
        state = self._state(page)
        return state == State.SWAPFILE or (self.plan.holds_slots and state != State.RESIDENT)

    def _fits(self) -> bool:
        # What went on to a pool costs DRAM: if there is not that much, others must go.
        return self._free_pages() >= 0 or self._make_room()

    def _make_room(self) -> bool:
        if self._free_pages() > self.plan.low:
            return True
        self.reclaim()
        return not self._is_out_of_memory()

    def _swap_in(self, page: int, drain: Drain, maps: bool) -> None:
        state = self._state(page)
        if state == State.SWAPFILE and self.zram.get(page, [0, BACKING])[1] == BACKING:
            drain.pages_read += 1
        elif state in (State.SWAPFILE, State.ZSWAP):
            drain.pages_loaded += 1
            drain.zswap_loaded += state == State.ZSWAP
            drain.recompressed_loaded += state == State.SWAPFILE and self.zram[page][1] == SECOND
        elif state == State.ZERO:
            drain.zero_loaded += 1
        elif state == State.STORE:
            drain.store_loaded[self.in_store[page][0]] += 1
        else:
            drain.cram_loaded += 1
        if state == State.ZSWAP:
            self._pool_remove(page)
        elif state == State.STORE:
            self._leave_store(page)
        elif state in CRAM_MAPPED:
            self._leave_cram(page)
        self._release_slot(page)
        self._drained(page, drain, maps)

    def _drained(self, page: int, drain: Drain, maps: bool) -> None:
        self._make_resident(page)
        if maps:
            drain.pte_changed += len(self._mappers(page))
        else:
            drain.cache_only += 1
            self.cache_only.add(page)
