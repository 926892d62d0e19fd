"""One access at a time: the law. Read ``access`` first, then ``reclaim``."""

from __future__ import annotations

from vswaplab.base.backing import Op, State
from vswaplab.engine.plan import CramPlan, Plan
from vswaplab.engine.reference.drain import Drains
from vswaplab.engine.reference.memory import CRAM_MAPPED
from vswaplab.trace.trace import Piece, Trace, Workload

_FAULTS = {
    State.NONE: "first_touch",
    State.ZERO: "swpin_zero",
    State.ZSWAP: "zswpin",
    State.SWAPFILE: "pswpin",
}
_ZRAM_READS = ("zram_read", "zram_read_recompressed", "zram_bd_reads")


class Reference(Drains):
    """Simulate one access at a time.

    Parameters
    ----------
    plan : Plan
    trace : Trace or TraceFile
    """

    most_accesses = 1 << 12

    def __init__(self, plan: Plan, trace: Workload) -> None:
        super().__init__(plan, trace)
        if isinstance(trace, Trace):
            self.feed(next(trace.pieces()))

    def feed(self, piece: Piece) -> None:
        """Take the accesses that come next."""
        self.piece = piece

    def run(self, start: int, stop: int) -> int:
        """Process accesses start..stop-1; return the index of the first one not processed."""
        for index in range(start, stop):
            self._tick(index)
            if not self.access(index):
                return index
        return stop

    def access(self, index: int) -> bool:
        """Serve one access; False if the machine ran out of memory before it."""
        piece, place = self.piece, index - self.piece.start
        op, page = Op(int(piece.op[place])), int(piece.page[place])
        mapper = 0 if piece.mapper is None else int(piece.mapper[place])
        page = self.own.get((page, mapper), page)
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

    def _needs_frame(self, page: int, op: Op) -> bool:
        state = self._state(page)
        if op == Op.FREE or state in (State.RESIDENT, State.CRAM_POISONED):
            return False
        if state in CRAM_MAPPED:
            return op == Op.WRITE and not self._may_write_in_place(state)
        return True

    # Serving it ------------------------------------------------------------------------------

    def _serve(self, index: int, page: int, op: Op, mapper: int) -> None:
        state = self._state(page)
        if self.plan.next_use is not None:
            self.next_use[page] = int(self.plan.next_use[index])
        if state == State.CRAM_POISONED:
            self.count["sigbus"] += 1
            self._forget(page)
            return
        if state in CRAM_MAPPED:
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
        elif state == State.STORE:
            self.count[f"{self._leave_store(page)}_in"] += 1
        else:
            self.count[_FAULTS[state]] += 1
        if state == State.NONE:
            source, self.source = self.source, None
            if source is not None and self._state(source) != State.NONE:
                self.content[page] = self._row(source)
            else:  # a copy of what was never touched is a first touch, too
                self.content[page] = self._first_row(page) + self.redraws.shift(index)
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
            if not self._cram_plan().is_tier:
                self._swapped_in(page)
            self._make_resident(page)
            return
        else:
            self._write_in_place(page, state, mapper)
        self._note_touch(page)
        self.on_device.touch(page)

    def _write_in_place(self, page: int, state: State, mapper: int) -> None:
        self.credits -= self._cram_plan().is_device_budget
        if state == State.CRAM_WRITABLE:
            self.count["cram_write"] += 1
            return
        self.count["cram_made_writable"] += 1
        self.state[page] = State.CRAM_WRITABLE
        self.mapped[page].add(mapper)
        self.writable += 1
        self._release_slot(page)  # its swap entry is reaped, and with it the slot

    def _rewrite(self, index: int, page: int) -> None:
        row = self.redraws.row(index, self._first_row(page))
        if row >= 0:
            self.content[page] = row
        if self._state(page) == State.CRAM_WRITABLE:
            self._grow(page)

    def _grow(self, page: int) -> None:
        # The stored size of a writable page follows its content behind the kernel's back.
        old, new = self.cram[page], self._cram_bytes(page)
        if new > old and self._stored() - old + new > self._cram_plan().media_bytes:
            self.count["poison"] += 1
            self.state[page] = State.CRAM_POISONED
            self.on_device.discard(page)
            new = 0
        self.cram_bytes += new - old
        self.cram[page] = new

    def _repeats(self, index: int, page: int | None) -> None:
        piece, place = self.piece, index - self.piece.start
        reads = 0 if piece.repeat_reads is None else int(piece.repeat_reads[place])
        writes = 0 if piece.repeat_writes is None else int(piece.repeat_writes[place])
        if page is None:
            self.count["repeat_unserved"] += reads + writes
            return
        state = self._state(page)
        if state == State.RESIDENT:
            self.count["repeat_dram"] += reads + writes
            if reads + writes:
                self.resident.touch(page)
        elif state in CRAM_MAPPED:
            self.count["repeat_cram_read"] += reads
            self.count["repeat_cram_write"] += writes
            if reads + writes:
                self.on_device.touch(page)
        else:
            self.count["repeat_unserved"] += reads + writes

    # Free ------------------------------------------------------------------------------------

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
            self.resident.discard(page)
        elif state == State.ZSWAP:
            self._pool_remove(page)
        elif state == State.STORE:
            self._leave_store(page)
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

    # Before an access ------------------------------------------------------------------------

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
