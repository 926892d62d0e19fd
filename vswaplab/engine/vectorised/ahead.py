"""Look ahead: several reclaims inside one window, while nothing can go wrong.

The victims of the next reclaims are the coldest resident pages, in order.
Where each of them goes can be decided now if nothing that happens in between
can change it: the device stays below its marks, the pool below its limit, the
swapfile below half full, and no victim is touched before it leaves. Then a
reclaim is two bisections: when free memory runs out, and how many victims
bring it back. The window stops before the first thing that is in doubt.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from vswaplab.engine.plan import FOOTPRINT_PAGE, CramPlan
from vswaplab.engine.vectorised.memory import Mask, Memory, Pages
from vswaplab.engine.vectorised.placement import STAYS, Placement, decide
from vswaplab.engine.vectorised.states import CRAM_READONLY, CRAM_SOFTLEAF, SWAPFILE, ZSWAP
from vswaplab.engine.vectorised.window import Window

_NEVER = 1 << 62


def run_ahead(mem: Memory, window: Window, most: int) -> Placement | None:
    """Move a window's stop past as many reclaims as are certain.

    Parameters
    ----------
    mem : Memory
    window : Window
    most : int
        Victims worth looking for: a speed setting, it changes no number.

    Returns
    -------
    placed : Placement or None
        The victims of those reclaims, to be let go once the window is
        settled. None: no reclaim is certain, and the window is unchanged.
    """
    if not _is_steady(mem, window):
        return None
    wanted = min(window.needs.size, most) + mem.plan.high
    pages, places = mem.coldest(mem.dram_hand, mem.log.length, wanted, in_cram=False)
    if not pages.size:
        return None
    placed = decide(mem, pages, cram=True, zswap=True)
    n = _n_certain(mem, window, placed)
    n_out = _reclaims(mem, window, placed.cut(n), _first_touches(mem, window, places[:n]))
    if not n_out:
        return None
    mem.dram_hand = int(places[n_out - 1]) + 1
    return placed.cut(n_out)


def _is_steady(mem: Memory, window: Window) -> bool:
    # Whether a reclaim in this window looks at device, pool and half-full mark without changing anything.
    plan = mem.plan
    if plan.cram is not None and not mem.is_removed and not _is_device_steady(mem, plan.cram):
        return False
    if plan.zswap is not None and (mem.pool_full or (plan.holds_slots and not plan.zswap.writeback)):
        return False
    in_use, leaving = sum(mem.slots_used), window.at.size
    if mem.half_full:
        return 2 * (in_use - leaving) > mem.all_slots
    return 2 * in_use <= mem.all_slots


def _is_device_steady(mem: Memory, cram: CramPlan) -> bool:
    if cram.budget or cram.is_proportional or (cram.node_low and mem.free_device_pages <= cram.node_low):
        return False
    if cram.balloon_ratio and (cram.report_lag == 0 or mem.balloon != cram.balloon_pages(*mem.report)):
        return False
    if cram.report_lag == 0:
        return mem.gate_open and mem.media_bytes <= cram.high_bytes
    stored = mem.report[0]
    if stored > cram.high_bytes and not mem.report_used:
        return False
    return not mem.gate_open if stored >= cram.close_bytes else mem.gate_open or stored > cram.open_bytes


def _n_certain(mem: Memory, window: Window, placed: Placement) -> int:
    # How many victims fit whatever else happens in the window. What leaves a tier meanwhile only makes room.
    plan = mem.plan
    ends = [placed.target == STAYS]
    if plan.cram is not None and not mem.is_removed and mem.gate_open:
        room = plan.cram.media_bytes
        if plan.cram.report_lag == 0:
            room = min(room, plan.cram.close_bytes - 1, plan.cram.high_bytes)
        in_cram = (placed.target >= CRAM_SOFTLEAF).cumsum()
        ends.append(placed.cram_refusal != 0)  # what leaves meanwhile may make room for it after all
        ends.append(mem.media_bytes + placed.cram_bytes.cumsum() > room)
        ends.append(mem.free_device_pages - in_cram <= plan.cram.node_low)
    if plan.zswap is not None:
        lengths = np.where(placed.target == ZSWAP, placed.length, 0)
        footprint = np.where(lengths > 0, plan.zswap.footprint_of_length.take(lengths), 0).cumsum()
        ends.append(mem.pool_footprint + footprint > (plan.zswap.max_pages - 1) * FOOTPRINT_PAGE)
    if plan.slots_of_device:
        ends.append(_slots_in_doubt(mem, window, placed))
    doubtful = np.flatnonzero(np.logical_or.reduce(ends))
    return int(doubtful[0]) if doubtful.size else placed.target.size


def _slots_in_doubt(mem: Memory, window: Window, placed: Placement) -> Mask:
    # True from the victim on whose slot, or whose effect on the half-full mark, is not certain.
    plan, in_use = mem.plan, sum(mem.slots_used)
    held = mem.slot.take(placed.pages) >= 0
    to_swap = (placed.target == SWAPFILE) & ~placed.is_clean_drop
    if plan.holds_slots:
        to_swap = (placed.target != STAYS) & (placed.target != CRAM_READONLY) & ~placed.is_clean_drop
    takes = (to_swap & ~held).cumsum()
    top = mem.top_device
    no_room = takes > min(mem.capacity[top] - mem.slots_used[top], plan.max_slots - in_use)
    if mem.half_full:
        gives = 0 if plan.holds_slots else (~to_swap & held).cumsum()
        in_doubt: Mask = no_room | (2 * (in_use - window.at.size - gives) <= mem.all_slots)
    else:
        in_doubt = no_room | (2 * (in_use + takes) > mem.all_slots)
    return in_doubt


def _first_touches(mem: Memory, window: Window, places: Pages) -> Pages:
    # Where in the window each victim is first touched; far away if it is not.
    first = np.full(places.size, _NEVER, np.int64)
    if places.size:
        stamps = mem.stamp.take(window.ids)
        touched = np.flatnonzero((stamps <= places[-1]) & (stamps >= places[0]))
        victim = places.searchsorted(stamps[touched])
        is_victim = places[np.minimum(victim, places.size - 1)] == stamps[touched]
        first[victim[is_victim][::-1]] = touched[is_victim][::-1]
    return first


class _Run(NamedTuple):
    # Several reclaims: how many, the victims they take, and where the window stops.
    n_runs: int
    n_out: int
    stop: int
    wants_reclaim: bool


def _reclaims(mem: Memory, window: Window, placed: Placement, first_touch: Pages) -> int:
    # Find out how far the reclaims go; return how many victims they take.
    page_charge = mem.plan.page_charge
    freed = placed.freed_charge(mem, page_charge)
    is_even = (freed == page_charge).all() and (np.diff(window.free_before) == -page_charge).all()
    run = (_even_reclaims if is_even else _one_after_the_other)(mem, window, freed, first_touch)
    if run.n_out:
        mem.count["reclaim_runs"] += run.n_runs
        window.stop, window.wants_reclaim = run.stop, run.wants_reclaim
    return run.n_out


def _even_reclaims(mem: Memory, window: Window, freed: Pages, first_touch: Pages) -> _Run:
    # Every fault takes a page and every victim gives one, so reclaims come at even distances and are of one size.
    low, high = mem.plan.low, mem.plan.high
    free = int(window.free_before[0]) // mem.plan.page_charge
    fault = np.arange(max(0, free - low), window.needs.size, high - low)
    n_out = np.append(0, fault + high - free)  # victims gone before each reclaim, and after the last
    n = int(n_out.searchsorted(freed.size, "right")) - 1  # reclaims that have enough of them
    at = window.needs[fault[: n + 1]]
    touched = np.minimum.reduceat(np.append(first_touch, _NEVER), n_out[: n + 1])[:n]
    stop = np.minimum.accumulate(np.append(window.limit, touched))  # of the window, before each reclaim
    is_over = at >= stop[: at.size]
    ends = np.flatnonzero(is_over | (np.append(touched, -1)[: at.size] < at))
    if not ends.size:
        return _Run(n, int(n_out[n]), int(stop[n]), wants_reclaim=False)
    end = int(ends[0])
    return _Run(end, int(n_out[end]), int(stop[end] if is_over[end] else at[end]), wants_reclaim=not is_over[end])


def _one_after_the_other(mem: Memory, window: Window, freed: Pages, first_touch: Pages) -> _Run:
    plan = mem.plan
    low_mark, high_mark = (plan.low + 1) * plan.page_charge, plan.high * plan.page_charge
    given_by, touched = freed.cumsum().data, first_touch.tolist()
    # Free memory only falls between reclaims, but for frees: search in its running minimum, negated to ascend.
    lowest = (-np.minimum.accumulate(window.free_before)).data
    free_before, needs = window.free_before.data, window.needs.data
    given, n_out, n_runs, stop = 0, 0, 0, window.limit
    while True:
        i = bisect_left(lowest, given - low_mark + 1)
        if i == len(needs) or needs[i] >= stop:
            return _Run(n_runs, n_out, stop, wants_reclaim=False)
        at = needs[i]
        n = bisect_left(given_by, high_mark - free_before[i], lo=n_out) + 1
        if n > len(given_by) or min(touched[n_out:n]) < at:
            return _Run(n_runs, n_out, at, wants_reclaim=True)
        stop = min(stop, *touched[n_out:n])
        n_out, given, n_runs = n, given_by[n - 1], n_runs + 1
