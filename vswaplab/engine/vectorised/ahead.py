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


def _first_touches(mem: Memory, window: Window, places: Pages) -> list[int]:
    # Where in the window each victim is first touched; far away if it is not.
    first = np.full(places.size, _NEVER, np.int64)
    if places.size:
        stamps = mem.stamp.take(window.ids)
        touched = np.flatnonzero((stamps <= places[-1]) & (stamps >= places[0]))
        victim = places.searchsorted(stamps[touched])
        is_victim = places[np.minimum(victim, places.size - 1)] == stamps[touched]
        first[victim[is_victim][::-1]] = touched[is_victim][::-1]
    return first.tolist()


def _reclaims(mem: Memory, window: Window, placed: Placement, first_touch: list[int]) -> int:
    # Run the reclaims one after the other; return how many victims they took.
    plan = mem.plan
    low_mark, high_mark = (plan.low + 1) * plan.page_charge, plan.high * plan.page_charge
    freed = placed.freed_charge(mem, plan.page_charge).cumsum().data
    # Free memory only falls between reclaims, but for frees: search in its running minimum, negated to ascend.
    lowest = (-np.minimum.accumulate(window.free_before)).data
    free_before, needs = window.free_before.data, window.needs.data
    given, n_out, n_runs, stop = 0, 0, 0, window.limit
    wants_reclaim = False
    while True:
        i = bisect_left(lowest, given - low_mark + 1)
        if i == len(needs) or needs[i] >= stop:
            break
        at = needs[i]
        n = bisect_left(freed, high_mark - free_before[i], lo=n_out) + 1
        if n > len(freed) or min(first_touch[n_out:n]) < at:
            stop, wants_reclaim = at, True
            break
        stop = min(stop, *first_touch[n_out:n])
        n_out, given, n_runs = n, freed[n - 1], n_runs + 1
    if n_out:
        mem.count["reclaim_runs"] += n_runs
        window.stop, window.wants_reclaim = stop, wants_reclaim
    return n_out
