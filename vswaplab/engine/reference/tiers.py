"""The tiers of the reference: what each admits, and how pages leave it."""

from __future__ import annotations

from vswaplab.base.backing import State
from vswaplab.base.units import PAGE_SIZE
from vswaplab.engine.plan import FOOTPRINT_PAGE, CramPlan, ZramPlan
from vswaplab.engine.reference.memory import BACKING, FIRST, SECOND, Memory


class Tiers(Memory):
    """CRAM, zswap and the swap devices, one page at a time."""

    # CRAM ------------------------------------------------------------------------------------

    def _cram_store(self, page: int) -> bool:
        cram = self.plan.cram
        if cram is None or self.is_removed:
            return False
        size = self._cram_bytes(page)
        if not self.gate_open:
            self.count["cram_refused_gate"] += 1
        elif self._free_device_pages() <= 0:
            self.count["cram_refused_full"] += 1
        elif self._stored() + size + self.credits * cram.worst_bytes > cram.media_bytes:
            self.count["cram_refused"] += 1
        else:
            self.count["cram_in"] += 1
            self.count["cram_in_bytes"] += size
            self.cram[page] = size
            self.cram_bytes += size
            self.state[page] = State.CRAM_READONLY if cram.is_tier else State.CRAM_SOFTLEAF
            self.mapped[page] = set(self._mappers(page)) if cram.is_tier else set()
            self.on_device.arrive(page)
            return True
        return False

    def _leave_cram(self, page: int) -> None:
        self._give_back(self._cram_remove(page))

    def _cram_remove(self, page: int) -> int:
        if page in self.on_device:
            self.on_device.discard(page)
        stored = self.cram.pop(page)
        del self.mapped[page]
        self.cram_bytes -= stored
        return stored

    def _give_back(self, stored: int) -> None:
        if self._cram_plan().flush_period:
            self.unflushed += stored
            self.unflushed_pages += 1

    def _flush(self, cram: CramPlan) -> None:
        if self.unflushed:
            self.count["flushes"] += 1
            self.count["trims"] += -(-self.unflushed_pages // cram.trim_batch)
            self.unflushed = self.unflushed_pages = 0

    def _take_report(self) -> None:
        self.report, self.report_used = (self._stored(), self._device_pages()), False
        self.credits = self._grant()

    def _reap(self) -> None:
        self.count["reaped"] += len(self.zombies)
        self.writable -= len(self.zombies)
        for stored in self.zombies:
            self._give_back(stored)
        self.zombies.clear()

    def _may_write_in_place(self, state: State) -> bool:
        cram = self._cram_plan()
        if cram.is_device_budget:
            return self.credits > 0
        return state == State.CRAM_WRITABLE or (not cram.is_tier and self.writable < cram.budget)

    def _cram_bytes(self, page: int) -> int:
        return int(self._cram_plan().bytes_of_row[self._row(page)])

    # zswap -----------------------------------------------------------------------------------

    def _zswap_store(self, page: int) -> bool:
        zswap = self.plan.zswap
        assert zswap is not None
        if self._pool_pages() >= zswap.max_pages:
            self.count["pool_limit_hit"] += 1
            self.pool_full = True
            return False
        if self.pool_full and self._pool_pages() > zswap.accept_pages:
            self.count["reject_accept_threshold"] += 1
            return False
        self.pool_full = False
        length = int(zswap.length_of_row[self._row(page)])
        if length >= PAGE_SIZE and not zswap.stores_raw:
            self.count["reject_compress_poor"] += 1
            return False
        self._stored_elsewhere(page)
        self.count["zswpout"] += 1
        self.count["zswpout_bytes"] += length
        self.pool[page] = [length, True]
        self._pool_add(length, 1)
        self.state[page] = State.ZSWAP
        return True

    def _zswap_writeback(self) -> None:
        # Oldest entries first, one second chance each.
        zswap = self.plan.zswap
        if zswap is None or not self.pool_full or not zswap.writeback:
            return
        while self.pool and self._pool_pages() > zswap.accept_pages and self._can_write_back():
            page, entry = next(iter(self.pool.items()))
            if entry[1]:
                entry[1] = False
                self.pool.move_to_end(page)
            elif self._swapfile_store(page):
                self._pool_remove(page)
                self.count["zswpwb"] += 1
            else:
                break

    def _pool_remove(self, page: int) -> None:
        self._pool_add(self.pool.pop(page)[0], -1)

    def _pool_add(self, length: int, sign: int) -> None:
        zswap = self.plan.zswap
        assert zswap is not None
        self.pool_bytes += sign * length
        self.pool_footprint += sign * int(zswap.footprint_of_length[length])
        self.pool_charge += sign * int(zswap.charge_of_length[length])

    def _pool_pages(self) -> int:
        return -(-self.pool_footprint // FOOTPRINT_PAGE)

    # Tiers of plug-ins -----------------------------------------------------------------------

    def _store_away(self, page: int, *, before_zswap: bool) -> bool:
        for k, store in enumerate(self.plan.stores):
            if store.is_before_zswap != before_zswap:
                continue
            size = int(store.bytes_of_row[self._row(page)])
            if not size or self.store_bytes[k] + size > store.capacity_bytes:
                self.count[f"{store.name}_refused"] += 1
                continue
            self._stored_elsewhere(page)
            self.count[f"{store.name}_out"] += 1
            self.count[f"{store.name}_out_bytes"] += size
            self.in_store[page] = k, size
            self.store_bytes[k] += size
            self.state[page] = State.STORE
            return True
        return False

    def _leave_store(self, page: int) -> str:
        # Returns the name of the tier that it was in.
        k, size = self.in_store.pop(page)
        self.store_bytes[k] -= size
        return self.plan.stores[k].name

    # Swap devices ----------------------------------------------------------------------------

    def _swapfile_store(self, page: int) -> bool:
        device = self.slot.get(page, self._free_device())
        if device is None or (device == self.plan.zram_device and not self._zram_store(page)):
            return False
        if page not in self.slot:
            self._take_slot(page, device)
        self.clean.add(page)
        self.device_out[device] += 1
        self.count["pswpout"] += 1
        self.state[page] = State.SWAPFILE
        return True

    def _stored_elsewhere(self, page: int) -> None:
        # A copy outside the swapfile: with a layer the page's slot goes, without one it names the page.
        if not self.plan.holds_slots:
            self._release_slot(page)
        elif page not in self.slot:
            self._take_slot(page, self._free_device())

    def _take_slot(self, page: int, device: int | None) -> None:
        assert device is not None
        self.slot[page] = device
        self.slots_used[device] += 1

    def _can_write_back(self) -> bool:
        return self.plan.holds_slots or self._free_device() is not None

    def _free_device(self) -> int | None:
        if sum(self.slots_used) >= self.plan.max_slots:
            return None
        with_room = (d for d in self.plan.device_order if self.slots_used[d] < self.capacity[d])
        return next(with_room, None)

    def _swapped_in(self, page: int) -> None:
        # The slot stays behind a page that is loaded, unless swap was over half full at the last reclaim, or it is
        # one of zram: mm/memory.c, should_try_to_free_swap, always frees those of synchronous devices.
        if self.half_full or self._is_on_zram(page):
            self._release_slot(page)

    # zram ------------------------------------------------------------------------------------

    def _zram_store(self, page: int) -> bool:
        zram = self.plan.zram
        assert zram is not None
        length = int(zram.length_of_row[self._row(page)])
        if self.zram_footprint + int(zram.footprint_of_length[length]) > zram.limit_footprint:
            self.count["zram_failed_writes"] += 1
            return False
        self.count["zram_huge"] += length == PAGE_SIZE
        self.count["zram_bytes"] += length
        self.zram[page] = [length, FIRST, False]
        self._zram_add(length, 1)
        return True

    def _zram_pass(self, zram: ZramPlan) -> None:
        # What the administrator's script does, slot by slot: recompress, write back, mark everything idle.
        for page in sorted(self.zram):
            if zram.second_length_of_row is not None:
                self._recompress(zram, page, int(zram.second_length_of_row[self._row(page)]))
        for page in sorted(self.zram):
            self._zram_writeback(zram, page)
        for entry in self.zram.values():
            entry[2] = True

    def _recompress(self, zram: ZramPlan, page: int, length: int) -> None:
        old, where, is_idle = self.zram[page]
        if where != FIRST or not is_idle:
            return
        if zram.footprint_of_length[length] < zram.footprint_of_length[old]:
            self.count["zram_recompressed"] += 1
            self.zram[page][:2] = length, SECOND
            self._zram_add(old, -1)
            self._zram_add(length, 1)

    def _zram_writeback(self, zram: ZramPlan, page: int) -> None:
        length, _, is_idle = self.zram[page]
        # Nothing is in the pool of a page that is written back already, or same-filled.
        if not length or (zram.writes_idle and not is_idle) or (zram.writes_huge and length < PAGE_SIZE):
            return
        if self.zram_backed < zram.backing_slots and self.count["zram_bd_writes"] < zram.writeback_limit:
            self.count["zram_bd_writes"] += 1
            self.zram_backed += 1
            self.zram[page][:2] = 0, BACKING
            self._zram_add(length, -1)
