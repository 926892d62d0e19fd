"""The reference: the model one access at a time, in dicts and loops.

This is the law. Every rule of the model stands here once, in the plainest
form; the vectorised engine must give the same counters, occupancy and final
state, bit for bit. Read ``access`` first, then ``reclaim``.
"""

from __future__ import annotations

from collections import OrderedDict

from vswaplab.base.backing import Op, State
from vswaplab.base.draws import CHOICE, REDRAW, draw
from vswaplab.base.units import PAGE_SIZE
from vswaplab.engine.outcome import Drain, Occupancy, PageTable
from vswaplab.engine.plan import FOOTPRINT_PAGE, CramPlan, Plan, ZramPlan
from vswaplab.results.counters import COUNTER_NAMES
from vswaplab.trace.sharing import MAX_MAPPERS
from vswaplab.trace.trace import Trace

_CRAM_MAPPED = (State.CRAM_SOFTLEAF, State.CRAM_READONLY, State.CRAM_WRITABLE)
_FAULTS = {
    State.NONE: "first_touch",
    State.ZERO: "swpin_zero",
    State.ZSWAP: "zswpin",
    State.SWAPFILE: "pswpin",
}
_ZRAM_READS = ("zram_read", "zram_read_recompressed", "zram_bd_reads")
_FIRST, _SECOND, _BACKING = range(3)  # where a zram page lies: under which compressor, or on the backing device
_LAST_RUNG = 3  # looks in vain before the balloon's OOM kill, facts/kernel.md 6.3


class Reference:
    """Simulate one access at a time.

    Parameters
    ----------
    plan : Plan
    trace : Trace
    """

    def __init__(self, plan: Plan, trace: Trace) -> None:
        self.plan, self.trace = plan, trace
        self.count = dict.fromkeys(COUNTER_NAMES, 0)
        self.device_in = [0] * len(plan.slots_of_device)
        self.device_out = [0] * len(plan.slots_of_device)

        self.mappers: dict[int, set[int]] = {}  # page -> processes that map it; absent: the trace's
        self.own: dict[tuple[int, int], int] = {}  # page, mapper -> number of the mapper's own copy
        self.first: dict[int, int] = {}  # copy -> page of the trace that it descends from
        self.touched: dict[int, set[int]] = {}  # page -> mappers that touched it since it appeared

        self.state: dict[int, State] = {}  # absent: NONE
        self.content: dict[int, int] = {}  # page -> row of the corpus; absent: the trace's
        self.resident: OrderedDict[int, None] = OrderedDict()  # coldest first
        self.clock = 0  # grows with every touch and put-back
        self.last: dict[int, int] = {}  # page -> clock of its last touch: orders CRAM pages
        self.slot: dict[int, int] = {}  # page -> swap device of its slot
        self.clean: set[int] = set()  # pages whose slot holds a valid copy
        self.capacity = list(plan.slots_of_device)  # 0 after swapoff
        self.slots_used = [0] * len(plan.slots_of_device)
        self.half_full = False
        self.cache_only: set[int] = set()  # resident pages that a swapoff left in the swap cache

        self.zram: dict[int, list[int]] = {}  # page -> [bytes stored, where it lies, is idle]
        self.zram_footprint = 0
        self.zram_charge = 0
        self.zram_backed = 0  # pages on its backing device

        self.pool: OrderedDict[int, list[int]] = OrderedDict()  # page -> [length, referenced], oldest first
        self.pool_bytes = 0
        self.pool_footprint = 0
        self.pool_charge = 0
        self.pool_full = False

        self.cram: dict[int, int] = {}  # page -> bytes on the device
        self.cram_bytes = 0  # their sum
        self.mapped: dict[int, set[int]] = {}  # page on CRAM -> mappers that have it mapped
        self.writable = 0  # budget slots in use
        self.zombies: list[int] = []  # bytes held by freed pages the kernel has not seen
        self.unflushed = 0  # bytes freed but not yet given back
        self.unflushed_pages = 0
        self.gate_open = True
        self.report = (0, 0)  # the device's last report: stored bytes, pages
        self.report_used = True  # whether writeback has acted on it
        self.boost = 0  # device pages by which pressure raises the node's watermarks
        self.balloon = 0  # device pages held back
        self.fruitless = 0  # looks in a row at which the balloon wanted pages and got none
        self.credits = self._grant()  # writes in place that the device still takes
        self.is_removed = False  # the device is gone
        self.source: int | None = None  # shared page that the access being served copies

    # One access -----------------------------------------------------------------------------

    def run(self, start: int, stop: int) -> int:
        """Process accesses start..stop-1; return the index of the first one not processed."""
        for index in range(start, stop):
            self._tick(index)
            if not self.access(index):
                return index
        return stop

    def access(self, index: int) -> bool:
        """Serve one access; False if the machine ran out of memory before it."""
        op = Op(int(self.trace.op[index]))
        mapper = 0 if self.trace.mapper is None else int(self.trace.mapper[index])
        page = self.own.get((int(self.trace.page[index]), mapper), int(self.trace.page[index]))
        wants_own = op != Op.FREE and self._wants_own(page, op, mapper)
        if (wants_own or self._needs_frame(page, op)) and self._free_pages() <= self.plan.low:
            self.reclaim()
            if self._is_out_of_memory():
                return False
        self.count["accesses"] += 1
        if op == Op.FREE:
            self.count["frees"] += 1
            self._free(page, mapper)
            self._repeats(index, None)
            return True
        self.count["writes" if op == Op.WRITE else "reads"] += 1
        if wants_own:
            page = self._own_page(page, mapper)
        self._serve(index, page, op, mapper)
        self._repeats(index, page)
        return True

    def _is_out_of_memory(self) -> bool:
        is_out = self._free_pages() < 1 or self.fruitless >= _LAST_RUNG
        self.count["oom"] = int(is_out)
        return is_out

    def _wants_own(self, page: int, op: Op, mapper: int) -> bool:
        # A writer that is not alone, or a mapper that comes back after its free.
        mappers = self._mappers(page)
        return mapper not in mappers or (op == Op.WRITE and len(mappers) > 1)

    def _own_page(self, page: int, mapper: int) -> int:
        new = self.trace.n_pages + len(self.own)
        self.own[page, mapper] = new
        self.first[new] = page
        self.mappers[new] = {mapper}
        if mapper in self._mappers(page):
            self._leave(page, mapper)
            self.source = page
        return new

    def _leave(self, page: int, mapper: int) -> None:
        # One of several mappers goes; the page stays where it is for the rest.
        self._mappers(page).discard(mapper)
        if page in self.mapped:
            self.mapped[page].discard(mapper)
            if not self.mapped[page]:
                self.state[page] = State.CRAM_SOFTLEAF

    def _mappers(self, page: int) -> set[int]:
        if page not in self.mappers:
            bits = 1 if self.trace.mappers is None else int(self.trace.mappers[page])
            self.mappers[page] = {m for m in range(MAX_MAPPERS) if bits >> m & 1}
        return self.mappers[page]

    def _needs_frame(self, page: int, op: Op) -> bool:
        state = self._state(page)
        if op == Op.FREE or state in (State.RESIDENT, State.CRAM_POISONED):
            return False
        if state in _CRAM_MAPPED:
            return op == Op.WRITE and not self._may_write_in_place(state)
        return True

    def _serve(self, index: int, page: int, op: Op, mapper: int) -> None:
        state = self._state(page)
        if state == State.CRAM_POISONED:
            self.count["sigbus"] += 1
            self._forget(page)
            return
        if state in _CRAM_MAPPED:
            self._serve_cram(page, op, state, mapper)
        else:
            self._serve_dram(index, page, state, mapper)
        self.touched.setdefault(page, set()).add(mapper)
        if op == Op.WRITE:
            self.clean.discard(page)
            self._rewrite(index, page)

    def _serve_dram(self, index: int, page: int, state: State, mapper: int) -> None:
        if state == State.RESIDENT:
            self.count["dram_hit"] += 1
            if page in self.cache_only:
                self.count["swap_cache"] += 1
            else:
                self.count["minor_fault"] += mapper not in self.touched[page]
        elif self.source is not None:
            self.count["copy_on_write"] += 1
        else:
            self.count[_FAULTS[state]] += 1
        if state == State.NONE:
            first = self._first_row(page) + self._shift(index)
            self.content[page] = first if self.source is None else self._row(self.source)
            self.source = None
        elif state == State.ZSWAP:
            self._pool_remove(page)
        elif state == State.SWAPFILE:
            self.device_in[self.slot[page]] += 1
            if page in self.zram:
                self.count[_ZRAM_READS[self.zram[page][1]]] += 1
        if state not in (State.NONE, State.RESIDENT):
            self._swapped_in(page)
        self.cache_only.discard(page)
        self._make_resident(page)

    def _swapped_in(self, page: int) -> None:
        # The slot stays behind a page that is loaded, unless swap was over half full at the last reclaim, or it is
        # one of zram: mm/memory.c, should_try_to_free_swap, always frees those of synchronous devices.
        if self.half_full or self._is_on_zram(page):
            self._release_slot(page)

    def _serve_cram(self, page: int, op: Op, state: State, mapper: int) -> None:
        if op == Op.READ and mapper not in self.mapped[page]:
            self.count["cram_soft_fault"] += 1
            self.state[page] = State.CRAM_READONLY
            self.mapped[page].add(mapper)
        elif op == Op.READ:
            self.count["cram_read"] += 1
        elif not self._may_write_in_place(state):
            self.count["cram_promote"] += 1
            self.writable -= state == State.CRAM_WRITABLE
            self._leave_cram(page)
            if self.plan.holds_slots and not self._cram_plan().is_tier:
                self._swapped_in(page)
            self._make_resident(page)
            return
        else:
            self._write_in_place(page, state, mapper)
        self.last[page] = self._now()

    def _write_in_place(self, page: int, state: State, mapper: int) -> None:
        self.credits -= self._cram_plan().is_device_budget
        if state == State.CRAM_WRITABLE:
            self.count["cram_write"] += 1
            return
        self.count["cram_made_writable"] += 1
        self.state[page] = State.CRAM_WRITABLE
        self.mapped[page].add(mapper)
        self.writable += 1
        if self.plan.holds_slots:  # its swap entry is reaped, and with it the slot
            self._release_slot(page)

    def _rewrite(self, index: int, page: int) -> None:
        # A write redraws the content with a set probability, from the region of the page's first content.
        if draw(self.plan.seed, index, REDRAW) >> 11 < self.plan.redraw_below:
            corpus, first = self.trace.corpus, self._first_row(page)
            offset = draw(self.plan.seed, index, CHOICE) % int(corpus.region_rows[first])
            self.content[page] = int(corpus.region_start[first]) + offset + self._shift(index)
        if self._state(page) == State.CRAM_WRITABLE:
            self._grow(page)

    def _grow(self, page: int) -> None:
        # The stored size of a writable page follows its content behind the kernel's back.
        old, new = self.cram[page], self._cram_bytes(page)
        if new > old and self._stored() - old + new > self._cram_plan().media_bytes:
            self.count["poison"] += 1
            self.state[page] = State.CRAM_POISONED
            new = 0
        self.cram_bytes += new - old
        self.cram[page] = new

    def _repeats(self, index: int, page: int | None) -> None:
        reads = 0 if self.trace.repeat_reads is None else int(self.trace.repeat_reads[index])
        writes = 0 if self.trace.repeat_writes is None else int(self.trace.repeat_writes[index])
        state = State.NONE if page is None else self._state(page)
        if state == State.RESIDENT:
            self.count["repeat_dram"] += reads + writes
        elif state in _CRAM_MAPPED:
            self.count["repeat_cram_read"] += reads
            self.count["repeat_cram_write"] += writes
        else:
            self.count["repeat_unserved"] += reads + writes

    def _free(self, page: int, mapper: int) -> None:
        mappers = self._mappers(page)
        if mapper not in mappers:
            return
        if len(mappers) > 1:
            self._leave(page, mapper)
            return
        self.touched.pop(page, None)
        state = self._state(page)
        if state == State.RESIDENT:
            del self.resident[page]
        elif state == State.ZSWAP:
            self._pool_remove(page)
        elif state == State.CRAM_WRITABLE:  # its swap slot was reaped: the kernel misses the free
            self.count["zombies"] += 1
            self.zombies.append(self._cram_remove(page))
            if self._cram_plan().reaper_period == 0:
                self._reap()
        elif state in (State.CRAM_SOFTLEAF, State.CRAM_READONLY):
            self._leave_cram(page)
        if state == State.CRAM_POISONED:
            self._forget(page)
        else:
            self._release_slot(page)
            self.cache_only.discard(page)
            self.state.pop(page, None)

    def _forget(self, page: int) -> None:
        # A poisoned page becomes NONE: its device page (0 bytes) and budget slot return.
        self._cram_remove(page)
        self.writable -= 1
        self._release_slot(page)
        del self.state[page]

    # Before an access -----------------------------------------------------------------------

    def _tick(self, index: int) -> None:
        if index == 0:
            return
        cram, zram = self.plan.cram, self.plan.zram
        if cram is not None:
            self._tick_cram(index, cram)
        if zram is not None and zram.idle_period and index % zram.idle_period == 0:
            self._zram_pass(zram)

    def _tick_cram(self, index: int, cram: CramPlan) -> None:
        if cram.reaper_period and index % cram.reaper_period == 0:
            self._reap()
        if cram.flush_period and index % cram.flush_period == 0:
            self._flush(cram)
        if cram.report_lag and index % cram.report_lag == 0:
            self._take_report()

    def _flush(self, cram: CramPlan) -> None:
        if self.unflushed:
            self.count["flushes"] += 1
            self.count["trims"] += -(-self.unflushed_pages // cram.trim_batch)
            self.unflushed = self.unflushed_pages = 0

    def _take_report(self) -> None:
        self.report, self.report_used = (self._stored(), self._device_pages()), False
        self.credits = self._grant()

    def _grant(self) -> int:
        # A device that owns the budget grants what its free media can take if no page that is written compresses.
        cram = self.plan.cram
        if cram is None or not cram.is_device_budget:
            return 0
        return min(cram.budget, (cram.media_bytes - self._stored()) // cram.worst_bytes)

    def _reap(self) -> None:
        self.count["reaped"] += len(self.zombies)
        self.writable -= len(self.zombies)
        for stored in self.zombies:
            self._give_back(stored)
        self.zombies.clear()

    # Reclaim --------------------------------------------------------------------------------

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
        self.balloon += min(target - self.balloon, self._free_device_pages())
        if self.balloon == target or self.gate_open:
            return
        before = len(self.cram)
        self._scan(*(self._write_back(page, ("zswap",)) for page in self._coldest_cram()[: target - self.balloon]))
        moved = before - len(self.cram)
        self.balloon += moved
        self.fruitless = 0 if moved else self.fruitless + 1

    def _cram_writeback(self) -> None:
        cram = self._cram_plan()
        stored, pages = self.report
        if self.report_used or stored <= cram.high_bytes:
            return
        self.report_used = True
        wanted = -((cram.low_bytes - stored) * pages // stored)  # ceil((stored - low) x pages / stored)
        tiers = ("zswap",) if cram.to_zswap else ()
        self._scan(*(self._write_back(page, tiers) for page in self._coldest_cram()[:wanted]))

    def _cram_node_reclaim(self) -> None:
        cram = self._cram_plan()
        low, high = cram.node_low + self.boost, cram.node_high + self.boost
        if not low or self._free_device_pages() > low:
            return
        unmapped: list[set[int]] = []
        for page in self._coldest_cram():
            if self._free_device_pages() >= high:
                break
            unmapped.append(self._write_back(page, ("zswap",)))
        self._scan(*unmapped)

    def _scan(self, *unmapped: set[int]) -> None:
        # Without a reverse map: one look through the page table of every process with an entry to change.
        self.count["pte_scanned"] += len(set().union(*unmapped)) * self.trace.n_pages

    def _coldest_cram(self) -> list[int]:
        pages = [page for page in self.cram if self.state[page] != State.CRAM_POISONED]
        return sorted(pages, key=self.last.__getitem__)

    def _write_back(self, page: int, tiers: tuple[str, ...]) -> set[int]:
        # Returns the mappers whose page-table entry had to change.
        mapping = self.state[page]
        if not self._place(page, tiers):
            self.count["reclaim_fail"] += 1
            self.last[page] = self._now()
            return set()
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

    def _demote(self) -> None:
        for _ in range(len(self.resident)):  # each resident is looked at once
            if self._free_pages() >= self.plan.high:
                break
            page = next(iter(self.resident))
            if self._place(page, ("cram", "zswap")):
                del self.resident[page]
                self.cache_only.discard(page)
            else:  # no room anywhere: as if touched just before this access
                self.count["reclaim_fail"] += 1
                self._make_resident(page)

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
        if "zswap" in tiers and self.plan.zswap is not None:
            if self._zswap_store(page):
                return True
            if not self.plan.zswap.writeback:  # memory.zswap.writeback=0 forbids the swapfile too
                return False
        return self._swapfile_store(page)

    # CRAM -----------------------------------------------------------------------------------

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
            return True
        return False

    def _leave_cram(self, page: int) -> None:
        self._give_back(self._cram_remove(page))

    def _cram_remove(self, page: int) -> int:
        stored = self.cram.pop(page)
        del self.mapped[page]
        self.cram_bytes -= stored
        return stored

    def _give_back(self, stored: int) -> None:
        if self._cram_plan().flush_period:
            self.unflushed += stored
            self.unflushed_pages += 1

    def _stored(self) -> int:
        # What the device holds: pages, zombies, and what is freed but not yet flushed.
        return self.cram_bytes + sum(self.zombies) + self.unflushed

    def _device_pages(self) -> int:
        return len(self.cram) + len(self.zombies)

    def _free_device_pages(self) -> int:
        return self._cram_plan().device_pages - self._device_pages() - self.balloon

    def _may_write_in_place(self, state: State) -> bool:
        cram = self._cram_plan()
        if cram.is_device_budget:
            return self.credits > 0
        return state == State.CRAM_WRITABLE or (not cram.is_tier and self.writable < cram.budget)

    def _cram_bytes(self, page: int) -> int:
        return int(self._cram_plan().bytes_of_row[self._row(page)])

    # zswap ----------------------------------------------------------------------------------

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

    # Swap devices ---------------------------------------------------------------------------

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

    def _release_slot(self, page: int) -> None:
        self.clean.discard(page)
        if page in self.zram:
            self._zram_remove(page)
        if page in self.slot:
            self.slots_used[self.slot.pop(page)] -= 1

    # zram -----------------------------------------------------------------------------------

    def _zram_store(self, page: int) -> bool:
        zram = self.plan.zram
        assert zram is not None
        length = int(zram.length_of_row[self._row(page)])
        if self.zram_footprint + int(zram.footprint_of_length[length]) > zram.limit_footprint:
            self.count["zram_failed_writes"] += 1
            return False
        self.count["zram_huge"] += length == PAGE_SIZE
        self.count["zram_bytes"] += length
        self.zram[page] = [length, _FIRST, False]
        self._zram_add(length, 1)
        return True

    def _is_on_zram(self, page: int) -> bool:
        return self.slot.get(page) == self.plan.zram_device

    def _zram_remove(self, page: int) -> None:
        length, where, _ = self.zram.pop(page)
        self.zram_backed -= where == _BACKING
        self._zram_add(length, -1)

    def _zram_add(self, length: int, sign: int) -> None:
        zram = self.plan.zram
        assert zram is not None
        if length:
            self.zram_footprint += sign * int(zram.footprint_of_length[length])
            self.zram_charge += sign * int(zram.charge_of_length[length])

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
        if where != _FIRST or not is_idle:
            return
        if zram.footprint_of_length[length] < zram.footprint_of_length[old]:
            self.count["zram_recompressed"] += 1
            self.zram[page][:2] = length, _SECOND
            self._zram_add(old, -1)
            self._zram_add(length, 1)

    def _zram_writeback(self, zram: ZramPlan, page: int) -> None:
        length, where, is_idle = self.zram[page]
        if where == _BACKING or (zram.writes_idle and not is_idle) or (zram.writes_huge and length < PAGE_SIZE):
            return
        if self.zram_backed < zram.backing_slots and self.count["zram_bd_writes"] < zram.writeback_limit:
            self.count["zram_bd_writes"] += 1
            self.zram_backed += 1
            self.zram[page][:2] = 0, _BACKING
            self._zram_add(length, -1)

    # Emptying a device ----------------------------------------------------------------------

    def swapoff(self, device: int, *, maps: bool) -> Drain:
        """Empty a swap device into DRAM and take it away (model.md rule 7).

        Parameters
        ----------
        device : int
        maps : bool
            Page tables are scanned, so that loaded pages are mapped; else they
            stay in the swap cache and fault once more.
        """
        drain = Drain()
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

    def _is_behind_slot(self, page: int) -> bool:
        # Whether the slot names data that is nowhere else: on the device itself, or without a layer anywhere.
        state = self._state(page)
        return state == State.SWAPFILE or (self.plan.holds_slots and state != State.RESIDENT)

    def _make_room(self) -> bool:
        if self._free_pages() > self.plan.low:
            return True
        self.reclaim()
        return not self._is_out_of_memory()

    def _swap_in(self, page: int, drain: Drain, maps: bool) -> None:
        state = self._state(page)
        if state == State.SWAPFILE and self.zram.get(page, [0, _BACKING])[1] == _BACKING:
            drain.pages_read += 1
        elif state in (State.SWAPFILE, State.ZSWAP):
            drain.pages_loaded += 1
        elif state == State.ZERO:
            drain.zero_loaded += 1
        else:
            drain.cram_loaded += 1
        if state == State.ZSWAP:
            self._pool_remove(page)
        elif state in _CRAM_MAPPED:
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

    def remove_cram(self, *, maps: bool) -> Drain:
        """Take the CRAM device away: its pages go on through rule 2, what finds no room comes back to DRAM."""
        drain, cram = Drain(), self._cram_plan()
        self._reap()
        self._flush(cram)
        self.is_removed = True
        n_pages, before = len(self.cram), self.count["pte_changed"]
        self._scan(*(self._write_back(page, ("zswap",) if cram.to_zswap else ()) for page in self._coldest_cram()))
        drain.written_back = n_pages - len(self.cram)
        drain.pte_changed = self.count["pte_changed"] - before
        for page in self._coldest_cram():
            if not self._make_room():
                break
            state, mapped = self.state[page], len(self.mapped[page])
            drain.cram_loaded += 1
            drain.pte_changed += 0 if maps else mapped
            self.writable -= state == State.CRAM_WRITABLE
            self._leave_cram(page)
            if self.plan.holds_slots:
                self._release_slot(page)
            self._drained(page, drain, maps)
        self.unflushed = self.unflushed_pages = 0
        return drain

    # DRAM and bookkeeping -------------------------------------------------------------------

    def _free_pages(self) -> int:
        plan = self.plan
        used = len(self.resident) * plan.page_charge + self.pool_charge + self.zram_charge
        if plan.cram is not None:
            used += len(self.cram) * plan.cram.charge
        return (plan.capacity_charge - used) // plan.page_charge

    def _make_resident(self, page: int) -> None:
        self.resident[page] = None
        self.resident.move_to_end(page)
        self.state[page] = State.RESIDENT
        self.last[page] = self._now()

    def _now(self) -> int:
        self.clock += 1
        return self.clock

    def _state(self, page: int) -> State:
        return self.state.get(page, State.NONE)

    def _row(self, page: int) -> int:
        return self.content.get(page, self._first_row(page))

    def _shift(self, index: int) -> int:
        # How far down the corpus lies what is first touched or redrawn now.
        return next((by for at, by in reversed(self.trace.content_shifts) if at <= index), 0)

    def _first_row(self, page: int) -> int:
        return int(self.trace.content[self.first.get(page, page)])

    def _cram_plan(self) -> CramPlan:
        assert self.plan.cram is not None
        return self.plan.cram

    # What came out --------------------------------------------------------------------------

    def occupancy(self) -> Occupancy:
        """Count what each tier holds now."""
        where = list(self.state.values())
        zram = [length for length, _, _ in self.zram.values()]
        return Occupancy(
            resident=len(self.resident),
            zero=where.count(State.ZERO),
            cram=len(self.cram),
            cram_bytes=self.cram_bytes,
            cram_media_bytes=self._stored(),
            multi_state=sum(0 < len(mapped) < len(self._mappers(page)) for page, mapped in self.mapped.items()),
            writable=self.writable,
            zombies=len(self.zombies),
            balloon=self.balloon,
            zswap=len(self.pool),
            zswap_bytes=self.pool_bytes,
            zswap_footprint=self.pool_footprint,
            swapped=where.count(State.SWAPFILE) - len(zram),
            zram=len(zram),
            zram_bytes=sum(zram),
            zram_footprint=self.zram_footprint,
            cache_only=len(self.cache_only),
            slots=tuple(self.slots_used),
            free_pages=self._free_pages(),
            gate_open=self.gate_open,
            pool_full=self.pool_full,
        )

    def page_table(self, *, is_ranked: bool = True) -> PageTable:
        """Lay the final state out as arrays."""
        table = PageTable.empty(self.trace.first_content)
        for page, state in self.state.items():
            table.state[page] = state
        for page, row in self.content.items():
            table.content[page] = row
        if self.trace.mappers is not None:
            table.mappers[:] = self.trace.mappers if self.trace.sharing is None else self.trace.sharing.mappers
        for page, mappers in self.mappers.items():
            table.mappers[page] = sum(1 << m for m in mappers)
        for page, mapped in self.mapped.items():
            if self.state[page] != State.CRAM_POISONED:
                table.mapped[page] = sum(1 << m for m in mapped)
        for page, device in self.slot.items():
            table.slot[page] = device
        table.clean[list(self.clean)] = True
        for page, stored in self.cram.items():
            table.stored_bytes[page] = stored
        for page, (length, referenced) in self.pool.items():
            table.stored_bytes[page] = length
            table.referenced[page] = bool(referenced)
        for page, (length, where, _) in self.zram.items():
            table.stored_bytes[page] = length
            table.zram_level[page] = where
        table.cache_only[list(self.cache_only)] = True
        poisoned = [page for page in self.cram if self.state[page] == State.CRAM_POISONED]
        for queue in (self.resident, self._coldest_cram(), self.pool) if is_ranked else ():
            for rank, page in enumerate(queue):
                table.rank[page] = rank
        assert not any(table.stored_bytes[page] for page in poisoned)
        return table

    def check(self) -> None:
        """Assert the invariants of the model (model.md section 6, item 2)."""
        where = [page for page, state in self.state.items() if state == State.RESIDENT]
        assert set(where) == set(self.resident)
        in_cram = {page for page, state in self.state.items() if state >= State.CRAM_SOFTLEAF}
        assert in_cram == set(self.cram)
        assert {page for page, state in self.state.items() if state == State.ZSWAP} == set(self.pool)
        assert self.cram_bytes == sum(self.cram.values())
        assert self.pool_bytes == sum(length for length, _ in self.pool.values())
        assert self.clean <= set(self.slot)
        zram = {page for page, state in self.state.items() if state == State.SWAPFILE and self._is_on_zram(page)}
        assert zram == set(self.zram)
        assert self.cache_only <= set(self.resident)
        assert all(page in self.clean for page, state in self.state.items() if state == State.SWAPFILE)
        for device, used in enumerate(self.slots_used):
            assert used == sum(d == device for d in self.slot.values()) <= self.plan.slots_of_device[device]
        if self.plan.cram is not None:
            assert self._stored() + self.credits * self.plan.cram.worst_bytes <= self.plan.cram.media_bytes
            assert self._free_device_pages() >= 0
            assert self.plan.cram.is_device_budget or self.writable <= self.plan.cram.budget
        assert self._free_pages() >= 0 or self.count["oom"]
