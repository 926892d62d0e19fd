"""Serve a trace on a kernel's memory: one access at a time, or all hits between two faults at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.backing import Op, State
from vswaplab.base.units import PAGE_SIZE
from vswaplab.engine.kernel.faults import HIT
from vswaplab.engine.kernel.folios import CRAM, DISK, DRAM, NONE, ZERO, ZSWAP, OutOfMemoryError
from vswaplab.engine.kernel.swapoff import Swapoff
from vswaplab.engine.outcome import Occupancy, PageTable, constant
from vswaplab.engine.plan import FOOTPRINT_PAGE, Plan
from vswaplab.trace.redraws import DrawnAhead, Redraws
from vswaplab.trace.trace import Piece, Trace, Workload

_WRITE, _FREE = int(Op.WRITE), int(Op.FREE)
_STATE = {NONE: State.NONE, ZERO: State.ZERO, ZSWAP: State.ZSWAP, DISK: State.SWAPFILE}
_FEW = 48
"""Hits that are quicker one by one: a speed setting."""
_WINDOW = 1 << 10
"""Accesses looked up at once: a speed setting."""


class _Machine(Swapoff):
    """What both engines share: the trace, and what is handed back.

    Parameters
    ----------
    plan : Plan
        Of a machine with ``kernel`` set.
    trace : Trace or TraceFile
    """

    most_accesses = 1 << 13

    def __init__(self, plan: Plan, trace: Workload) -> None:
        super().__init__(plan, trace)
        self.redraws = Redraws(trace, plan.seed)
        if isinstance(trace, Trace):
            self.feed(next(trace.pieces()))

    def feed(self, piece: Piece) -> None:
        """Take the accesses that come next."""
        self.piece = piece
        self.drawn = DrawnAhead(self.redraws, self.trace.content, piece.start, piece.page, piece.op)

    def _fault(self, index: int, page: int, *, is_write: bool) -> bool:
        # Serve an access that faults: no page is mapped, or a write is to one on the CRAM node; False: out of memory.
        is_new = self.is_new(page)
        try:
            code = self.handle_mm_fault(page, is_write=is_write)
        except OutOfMemoryError:
            self.count["oom"] = 1
            return False
        self._record(index, code)
        if is_new:
            self.content[page] = int(self.trace.content[page]) + self.redraws.shift(index)
        if is_write:
            self._rewrite(index, page)
        return True

    def _is_hit(self, page: int, op: int) -> bool:
        return op != _FREE and bool(self.mapped[page]) and not (op == _WRITE and self.node[page] == CRAM)

    def _record(self, index: int, code: int) -> None:
        if self.codes is not None:
            self.codes[index] = code

    def _rewrite(self, index: int, page: int) -> None:
        row = self.redraws.row(index, int(self.trace.content[page]))
        if row >= 0:
            self.content[page] = row

    def _repeats(self, start: int, stop: int) -> None:
        # Dropped repeat touches of records start..stop-1: of a free nobody is served, of the others DRAM serves.
        stretch = slice(start - self.piece.start, stop - self.piece.start)
        for repeats in (self.piece.repeat_reads, self.piece.repeat_writes):
            if repeats is not None:
                n = repeats[stretch]
                lost = int(n[self.piece.op[stretch] == _FREE].sum())
                self.count["repeat_unserved"] += lost
                self.count["repeat_dram"] += int(n.sum()) - lost

    def _repeats_on_cram(self, start: int, stop: int) -> None:
        # Of those, the repeats that the CRAM node serves, as the pages lie now.
        if self.plan.cram is None:
            return
        stretch = slice(start - self.piece.start, stop - self.piece.start)
        is_on_cram = (self._nodes().take(self.piece.page[stretch]) == CRAM) & (self.piece.op[stretch] != _FREE)
        for kind, repeats in (("read", self.piece.repeat_reads), ("write", self.piece.repeat_writes)):
            if repeats is not None:
                away = int(repeats[stretch][is_on_cram].sum())
                self.count["repeat_dram"] -= away
                self.count[f"repeat_cram_{kind}"] += away

    # What came out --------------------------------------------------------------------------

    def occupancy(self) -> Occupancy:
        """Count what each tier holds now."""
        backing, present, on_cram = self._backings(), self._present(), self._on_cram()
        away, resident = backing[~present], present & ~on_cram
        return Occupancy(
            resident=int(resident.sum()), zero=int((away == ZERO).sum()), cram=int(on_cram.sum()),
            cram_bytes=self.cram_bytes, cram_media_bytes=self.cram_bytes,
            multi_state=0, writable=0, zombies=0, balloon=0, zswap=len(self.zswap_lru), zswap_bytes=self.zswap_bytes,
            zswap_footprint=self.zs_pool.pages * FOOTPRINT_PAGE, swapped=int((away == DISK).sum()), zram=0,
            zram_bytes=0, zram_footprint=0, cache_only=int((resident & ~self._mapped()).sum()),
            slots=tuple(self.slots_used), free_pages=min(self.max_pages - self.usage, self.n_free(DRAM)),
            gate_open=self.has_room,
            pool_full=self.zswap_pool_reached_full, cram_cache_only=int((on_cram & ~self._mapped()).sum()),
        )  # fmt: skip

    @property
    def swap_cache(self) -> int:
        """Pages in the swap cache, mapped or not."""
        return sum(self.cached)

    def page_table(self, *, is_ranked: bool = True) -> PageTable:
        """Lay the state out as arrays; the rank is the order in which reclaim would scan."""
        n, backing, present = self.plan.n_pages, self._backings(), self._present()
        state = np.array([_STATE[b] for b in range(4)], np.uint8)[backing]
        state[present] = State.RESIDENT
        on_cram, mapped = self._on_cram(), self._mapped()
        state[on_cram] = np.where(mapped[on_cram], State.CRAM_READONLY, State.CRAM_SOFTLEAF)
        stored, referenced = np.zeros(n, np.int32), np.zeros(n, np.bool_)
        for page, is_referenced in self.zswap_lru.items():
            stored[page], referenced[page] = self.zswap_length[page], is_referenced
        for page in on_cram.nonzero()[0].tolist():
            stored[page] = self.bytes_on_cram(page)
        slot = np.frombuffer(self.slot, np.int8)
        return PageTable(
            state, np.array(self.content, np.int32), stored, slot.copy(), (slot >= 0) & (backing == DISK), referenced,
            constant(1, n, np.uint8), (on_cram & mapped).astype(np.uint8), present & ~mapped & ~on_cram,
            constant(0, n, np.uint8),
            self._ranks() if is_ranked else constant(-1, n, np.int32), constant(-1, n, np.int8),
        )  # fmt: skip

    def _mapped(self) -> NDArray[np.bool_]:
        return np.frombuffer(self.mapped, np.bool_)

    def _nodes(self) -> NDArray[np.uint8]:
        return np.frombuffer(self.node, np.uint8)

    def _on_cram(self) -> NDArray[np.bool_]:
        on_cram: NDArray[np.bool_] = self._present() & (self._nodes() == CRAM)
        return on_cram

    def _present(self) -> NDArray[np.bool_]:
        return self._mapped() | np.frombuffer(self.cached, np.bool_)

    def _backings(self) -> NDArray[np.uint8]:
        return np.frombuffer(self.backing, np.uint8)

    def _ranks(self) -> NDArray[np.int32]:
        rank = np.full(self.plan.n_pages, -1, np.int32)
        for queue in (self.lru_order(), list(self.zswap_lru)):
            rank[queue] = np.arange(len(queue))
        return rank

    def check(self) -> None:
        """Assert what must hold between two accesses."""
        present, backing = self._present(), self._backings()
        on_lists = self.lru_order()
        assert len(on_lists) == len(set(on_lists))
        assert set(on_lists) == set(present.nonzero()[0].tolist())
        assert set(self.zswap_lru) == set((backing == ZSWAP).nonzero()[0].tolist())
        assert self.zswap_bytes == sum(self.zswap_length.values())
        being_read = {page for _, page in self.reads}
        assert being_read == {page for page in range(self.plan.n_pages) if self.locked[page]}
        assert all(self.cached[page] and self.backing[page] == DISK for page in being_read)
        assert not (present & (backing == ZSWAP) & self._mapped()).any()
        slot = np.frombuffer(self.slot, np.int8)
        assert self.slots_used == [int((slot == d).sum()) for d in range(len(self.slots_used))]
        assert (slot[backing == DISK] >= 0).all()
        n_tables = sum(self.has_table)
        held = len(on_lists) + n_tables + self.kernel.base_pages + self.stock
        assert self.usage == held + (self.zswap_bytes + self.object_stock) // PAGE_SIZE
        n_on_cram = int(self._nodes().sum())
        assert self.used == [len(on_lists) - n_on_cram + n_tables + self.kernel.base_pages, n_on_cram]
        assert self.cram_bytes == sum(self.bytes_on_cram(page) for page in self._nodes().nonzero()[0].tolist())
        assert (self._mapped() | (np.frombuffer(self.cached, np.bool_)))[self._nodes() == CRAM].all()


class KernelReference(_Machine):
    """Simulate one access at a time."""

    def run(self, start: int, stop: int) -> int:
        """Process accesses start..stop-1; return the index of the first one not processed."""
        next_read = self.kernel.next_stat_read(start)
        for index in range(start, stop):
            if index == next_read:
                self.flush_stats()
                next_read = self.kernel.next_stat_read(index + 1)
            if not self.access(index):
                return index
        return stop

    def access(self, index: int) -> bool:
        """Serve one access; False if the machine ran out of memory before it."""
        place = index - self.piece.start
        page, op = int(self.piece.page[place]), int(self.piece.op[place])
        is_write = op == _WRITE
        if op == _FREE:
            self.free(page)
        elif self._is_hit(page, op):
            self.hit(page, is_write=is_write)
            self._record(index, HIT)
            if is_write:
                self._rewrite(index, page)
        elif not self._fault(index, page, is_write=is_write):
            return False
        self.count["accesses"] += 1
        self.count[("reads", "writes", "frees")[op]] += 1
        self._repeats(index, index + 1)
        self._repeats_on_cram(index, index + 1)
        return True


class KernelVectorised(_Machine):
    """Take all hits between two faults at once: they only set accessed and dirty bits, in any order."""

    def run(self, start: int, stop: int) -> int:
        """Process accesses start..stop-1; return the index of the first one not processed."""
        at = start
        while at < stop:
            if at == self.kernel.next_stat_read(at):
                self.flush_stats()
            end = min(at + _WINDOW, stop, self.kernel.next_stat_read(at + 1))
            done = self._window(at, end)
            self._count(at, done)
            at = done
            if self.count["oom"]:
                return at
        return stop

    def _window(self, start: int, stop: int) -> int:
        # Up to the first access behind a reclaim, which may have unmapped what comes later.
        stretch = slice(start - self.piece.start, stop - self.piece.start)
        pages, op = self.piece.page[stretch].astype(np.int64), self.piece.op[stretch]
        rows = self.drawn.rows(start, stop)
        is_event = (self._mapped().take(pages) == 0) | (op == _FREE)
        if self.plan.cram is not None:
            is_event |= (self._nodes().take(pages) == CRAM) & (op == _WRITE)
        events = is_event.nonzero()[0]
        places: list[int] = events.tolist()
        done, before = 0, self.n_unmapped
        for i, page, what in zip(places, pages[events].tolist(), op[events].tolist(), strict=True):
            if self._is_hit(page, what):  # an earlier fault in the window brought it
                continue
            if i > done:
                self._hits(start, pages, op, rows, done, i)
                done = i
            if what == _FREE:
                self.free(page)
            elif not self._fault(start + i, page, is_write=what == _WRITE):
                return start + i
            self._repeats_on_cram(start + i, start + i + 1)
            done = i + 1
            if self.n_unmapped != before:
                return start + done
        self._hits(start, pages, op, rows, done, pages.size)
        return stop

    def _hits(
        self,
        start: int,
        pages: NDArray[np.int64],
        op: NDArray[np.uint8],
        rows: NDArray[np.int32] | None,
        first: int,
        stop: int,
    ) -> None:
        # Accesses first..stop-1 of the window find their pages mapped.
        n = stop - first
        if not n:
            return
        hit, is_write = pages[first:stop], op[first:stop] == _WRITE
        self._mark(hit, is_write)
        if rows is not None:
            for i in (rows[first:stop] >= 0).nonzero()[0].tolist():
                self.content[int(hit[i])] = int(rows[first + i])
        if self.codes is not None:
            self.codes[start + first : start + stop] = HIT
        n_away = 0 if self.plan.cram is None else int(self._nodes()[hit].sum())  # all reads
        self.count["dram_hit"] += n - n_away
        self.count["cram_read"] += n_away
        self._repeats_on_cram(start + first, start + stop)
        self.pass_time(n * self.kernel.hit_ns)

    def _mark(self, hit: NDArray[np.int64], is_write: NDArray[np.bool_]) -> None:
        # Accessed and dirty bits of the pages that were hit.
        if hit.size <= _FEW:
            for page, writes in zip(hit.tolist(), is_write.tolist(), strict=True):
                self.young[page] = 1
                self.pte_dirty[page] |= writes
        else:
            np.frombuffer(self.young, np.uint8)[hit] = 1
            np.frombuffer(self.pte_dirty, np.uint8)[hit[is_write]] = 1

    def _count(self, start: int, stop: int) -> None:
        if stop > start:
            op = self.piece.op[start - self.piece.start : stop - self.piece.start]
            self.count["accesses"] += op.size
            for name, n in zip(("reads", "writes", "frees"), np.bincount(op, minlength=3).tolist(), strict=True):
                self.count[name] += n
            self._repeats(start, stop)
