"""Run a trace on the vectorised machine: windows, reclaims and the rare single access."""

from __future__ import annotations

import numpy as np

from vswaplab.engine.outcome import Drain, Occupancy, PageTable
from vswaplab.engine.plan import Plan
from vswaplab.engine.vectorised.ahead import is_steady, look_ahead
from vswaplab.engine.vectorised.drain import remove_cram, swapoff
from vswaplab.engine.vectorised.memory import Memory, Pages
from vswaplab.engine.vectorised.policies import make_device_order, make_order
from vswaplab.engine.vectorised.reclaim import let_go, reclaim
from vswaplab.engine.vectorised.settle import settle
from vswaplab.engine.vectorised.states import CRAM_POISONED, CRAM_WRITABLE, FREE, NONE
from vswaplab.engine.vectorised.stream import stream_of
from vswaplab.engine.vectorised.window import Window, classify, classify_again
from vswaplab.engine.vectorised.zram import zram_pass
from vswaplab.trace.trace import Piece, Workload

_MIN_WINDOW, _MAX_WINDOW = 256, 1 << 16
_MANY_STEPS = 500  # in plain Python, a window


class Vectorised:
    """Simulate whole windows of accesses at a time.

    Parameters
    ----------
    plan : Plan
    trace : Trace or TraceFile
    """

    most_accesses = 1 << 16

    def __init__(self, plan: Plan, trace: Workload) -> None:
        self.plan, self.trace = plan, stream_of(trace, plan)
        self.mem = Memory(plan, self.trace)
        self.mem.order = make_order(plan, self.mem)
        self.mem.cram_order = make_device_order(plan, self.mem)
        self.count = self.mem.count
        self.device_in, self.device_out = self.mem.device_in, self.mem.device_out
        self._window, self._ceiling = 1 << 12, _MAX_WINDOW
        self._short_window = 1 << 12  # where the next reclaim is certain to end it
        self._periods = _periods(plan)
        self._ticked = 0  # the access before which periodic events last ran
        self._reclaimed = -1  # the access that has had its reclaim

    def feed(self, piece: Piece) -> None:
        """Take the accesses that come next."""
        self.mem.feed(piece)

    def run(self, start: int, stop: int) -> int:
        """Process accesses start..stop-1; return the index of the first one not processed."""
        at = start
        while at < stop:
            if not self.count["oom"]:
                at = self._step(at, stop)
            if self.count["oom"]:
                return at
        return at

    def _step(self, at: int, stop: int) -> int:
        self._tick(at)
        self.mem.shorten_logs()
        steady = is_steady(self.mem)
        end = self._window_end(at, min(stop, self._next_tick(at)), self._window if steady else self._short_window)
        has_reclaimed = self._reclaimed == at
        if has_reclaimed and self.mem.is_out_of_memory:
            self.count["oom"] = 1
            return at
        window = classify(self.mem, at, end, has_reclaimed=has_reclaimed)
        if not window.stop and not window.wants_reclaim:
            self._one(at, window)
            return at + 1
        looks_ahead = window.wants_reclaim and steady and self._may_look_ahead(window)
        walk = look_ahead(self.mem, window) if looks_ahead else None
        returned = None
        if walk is not None:
            let_go(self.mem, *walk.released(self.mem))
            if walk.came_back:
                returned = classify_again(self.mem, window, walk.returns())
        if window.stop:
            settle(self.mem, window, returned)
        if window.wants_reclaim:
            reclaim(self.mem)
            self._reclaimed = at + window.stop
        if steady:
            self._choose_window(end - at, window.stop, 0 if walk is None else walk.n_steps)
        else:
            self._short_window = min(self._ceiling, max(_MIN_WINDOW, 2 * window.stop))
        return at + window.stop

    def _may_look_ahead(self, window: Window) -> bool:
        # Where a plug-in's tier may fill up each reclaim runs on settled state.
        mem = self.mem
        if mem.order is not None or self.plan.stores:
            return False
        return mem.cram_order is None or mem.cram_order.takes_arrivals_first(window.special)

    def _window_end(self, at: int, stop: int, aim: int) -> int:
        # A speed setting: even parts, rather than a small one left over.
        size = stop - at
        if size > min(aim * 3 // 2, self._ceiling):
            n_parts = -(-size // aim)
            size = -(-size // n_parts)
        return at + size

    def _choose_window(self, size: int, stop: int, n_steps: int) -> None:
        # A speed setting. What lies behind the stop is classified twice. Touches in doubt grow with the square, or come
        # all at once where a loop returns: a size that had too many is not tried again soon.
        aim = max(stop * 3 // 2, size * 3 // 4) if stop < size else max(2 * size, self._window)
        if n_steps > _MANY_STEPS:
            aim = int(size * (_MANY_STEPS / n_steps) ** 0.5)
            self._ceiling = max(aim, size * 3 // 4)
        else:
            self._ceiling = min(_MAX_WINDOW, self._ceiling * 17 // 16 + 1)
        self._window = min(self._ceiling, max(_MIN_WINDOW, aim))

    # Periodic events ------------------------------------------------------------------------

    def _next_tick(self, at: int) -> int:
        return min([(at // period + 1) * period for period in self._periods], default=1 << 62)

    def _tick(self, at: int) -> None:
        cram, zram = self.plan.cram, self.plan.zram
        if at <= self._ticked:
            return
        self._ticked = at
        if cram is not None:
            if cram.reaper_period and at % cram.reaper_period == 0:
                self.mem.reap()
            if cram.flush_period and at % cram.flush_period == 0:
                self.mem.flush()
            if cram.report_lag and at % cram.report_lag == 0:
                self.mem.take_report()
        if zram is not None and zram.idle_period and at % zram.idle_period == 0:
            zram_pass(self.mem, zram)

    # One access -----------------------------------------------------------------------------

    def _one(self, at: int, window: Window) -> None:
        # What only the writable budget makes possible: poison, sigbus, a zombie reaped at once.
        mem, place = self.mem, at - self.trace.start
        page, op = int(self.trace.page[place]), int(self.trace.op[place])
        pages = np.array([page])
        was = int(mem.states(pages)[0])
        self.count["accesses"] += 1
        self.count[("reads", "writes", "frees")[op]] += 1
        if was == CRAM_POISONED:
            self.count["sigbus"] += op != FREE
            self._forget(pages)
        elif op == FREE:
            mem.make_zombies(pages)
            self._discard(pages)
            mem.reap()
            mem.release_slots(pages)
            mem.move(pages, NONE)
        else:
            assert window.row is not None  # only a write that draws can grow
            self._overrun(pages, was, int(window.row[0]))
        mem.log.carry_out(1)
        mem.log.is_elsewhere[place] = True
        mem.miss(self.trace.index.next_at[place : place + 1])
        for repeats in (self.trace.repeat_reads, self.trace.repeat_writes):
            self.count["repeat_unserved"] += 0 if repeats is None else int(repeats[place])

    def _forget(self, pages: Pages) -> None:
        mem = self.mem
        mem.cram_pages -= 1
        mem.writable -= 1
        mem.release_slots(pages)
        mem.move(pages, NONE)

    def _overrun(self, pages: Pages, was: int, row: int) -> None:
        # The write that makes stored bytes exceed the media loses its page.
        mem = self.mem
        mem.content[pages] = row
        self.count["cram_write" if was == CRAM_WRITABLE else "cram_made_writable"] += 1
        mem.writable += was != CRAM_WRITABLE
        self.count["poison"] += 1
        mem.cram_bytes -= int(mem.stored.take(pages).sum())
        mem.stored[pages] = 0
        mem.clean[pages] = False
        mem.release_slots(pages)
        self._discard(pages)
        mem.move(pages, CRAM_POISONED)

    def _discard(self, pages: Pages) -> None:
        if self.mem.cram_order is not None:
            self.mem.cram_order.discard(pages)

    # Events ---------------------------------------------------------------------------------

    def swapoff(self, device: int, *, maps: bool) -> Drain:
        """Empty a swap device and take it away."""
        return swapoff(self.mem, device, maps=maps)

    def remove_cram(self, *, maps: bool) -> Drain:
        """Empty the CRAM device and take it away."""
        return remove_cram(self.mem, maps=maps)

    # What came out --------------------------------------------------------------------------

    def occupancy(self) -> Occupancy:
        """Count what each tier holds now."""
        return self.mem.occupancy()

    def page_table(self, *, is_ranked: bool = True) -> PageTable:
        """Lay the state out as arrays: the engine's own, where it has them."""
        return self.mem.page_table(is_ranked=is_ranked)


def _periods(plan: Plan) -> list[int]:
    cram, zram = plan.cram, plan.zram
    periods = [] if cram is None else [cram.reaper_period, cram.flush_period, cram.report_lag]
    return [period for period in (*periods, 0 if zram is None else zram.idle_period) if period]
