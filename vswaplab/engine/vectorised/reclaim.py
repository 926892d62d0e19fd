"""Reclaim on settled state, in the order of rule 1.

Look at the device, write CRAM back, demote from DRAM, write zswap back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vswaplab.engine.plan import FOOTPRINT_PAGE, CramPlan, ZswapPlan
from vswaplab.engine.vectorised.logs import NO_PAGES, Queue
from vswaplab.engine.vectorised.memory import Memory, Pages, which
from vswaplab.engine.vectorised.placement import (
    Placement,
    batch_limit,
    commit,
    decide,
    next_devices,
    swapfile_store,
)
from vswaplab.engine.vectorised.policies import ReclaimOrder
from vswaplab.engine.vectorised.states import CRAM_SOFTLEAF, CRAM_WRITABLE, STAYS, SWAPFILE, ZERO, ZSWAP
from vswaplab.engine.vectorised.zram import zram_footprints

_ALL = 1 << 62


def reclaim(mem: Memory) -> None:
    """Free frames until the upper watermark."""
    mem.count["reclaim_runs"] += 1
    mem.half_full = 2 * sum(mem.slots_used) > mem.all_slots
    if mem.plan.cram is not None and not mem.is_removed:
        _look_at_device(mem, mem.plan.cram)
        _inflate(mem, mem.plan.cram)
        _cram_writeback(mem, mem.plan.cram)
        _cram_node_reclaim(mem, mem.plan.cram)
    _demote(mem)
    if mem.plan.zswap is not None:
        _zswap_writeback(mem, mem.plan.zswap)


def _look_at_device(mem: Memory, cram: CramPlan) -> None:
    if cram.report_lag == 0:
        mem.take_report()
    stored, was_open = mem.report[0], mem.gate_open
    if stored >= cram.close_bytes:
        mem.gate_open = False
    elif stored <= cram.open_bytes or cram.is_proportional:
        mem.gate_open = True
    mem.count["gate_closed_intervals"] += was_open and not mem.gate_open
    if cram.is_proportional:
        mem.boost = cram.device_pages * cram.pressure(stored) // 1000


def _inflate(mem: Memory, cram: CramPlan) -> None:
    target = cram.balloon_pages(*mem.report)
    if mem.balloon >= target:
        mem.balloon, mem.fruitless = target, 0
        return
    free = min(target - mem.balloon, mem.free_device_pages)
    mem.balloon += free
    if mem.balloon == target or mem.gate_open:
        return
    before = mem.cram_pages
    _write_back_some(mem, cram, target - mem.balloon, until_free=_ALL, zswap=True)
    moved = before - mem.cram_pages
    mem.balloon += moved
    mem.fruitless = 0 if free or moved else mem.fruitless + 1


def _cram_writeback(mem: Memory, cram: CramPlan) -> None:
    stored, pages = mem.report
    if mem.report_used or stored <= cram.high_bytes:
        return
    mem.report_used = True
    wanted = -((cram.low_bytes - stored) * pages // stored)
    _write_back_some(mem, cram, wanted, until_free=_ALL, zswap=cram.to_zswap)


def _cram_node_reclaim(mem: Memory, cram: CramPlan) -> None:
    low = cram.node_low + mem.boost
    if low and mem.free_device_pages <= low:
        _write_back_some(mem, cram, _ALL, until_free=cram.node_high + mem.boost, zswap=True)


def write_back_all(mem: Memory, cram: CramPlan) -> None:
    """Send every CRAM page on through rule 2, each looked at once."""
    _write_back_some(mem, cram, _ALL, until_free=_ALL, zswap=cram.to_zswap)


def _write_back_some(mem: Memory, cram: CramPlan, wanted: int, *, until_free: int, zswap: bool) -> None:
    # One step of writeback. Each page is looked at once: those that find no room arrive again when it is over.
    stop, unmapped, stays = mem.log.end, 0, [NO_PAGES]
    if mem.cram_order is not None:
        mem.cram_order.begin()
    while wanted > 0 and (missing := until_free - mem.free_device_pages) > 0:
        pages = _next_victims(mem, stop, min(wanted, missing))
        if not pages.size:
            break
        wanted -= pages.size
        bits, stay = _write_back(mem, cram, pages, zswap=zswap)
        unmapped |= bits
        stays.append(stay)
    _arrive_again(mem, np.concatenate(stays))
    mem.count["pte_scanned"] += unmapped.bit_count() * mem.address_space


def _next_victims(mem: Memory, stop: int, most: int) -> Pages:
    # Take at most so many pages out of the device's order that were last accessed before a place in the log.
    if mem.cram_order is not None:
        pages = mem.cram_order.candidates(most)
        pages = pages[: batch_limit(mem, min(most, pages.size))]
        if pages.size:
            mem.cram_order.take(pages.size)
        return pages
    pages, places = mem.coldest_in_cram(stop, batch_limit(mem, most))
    if pages.size:
        mem.go_past_in_cram(int(places[-1]))
    return pages


def _arrive_again(mem: Memory, pages: Pages) -> None:
    if mem.cram_order is not None:
        mem.cram_order.arrive(pages)
    elif pages.size:  # to append nothing would copy the log for nothing
        mem.place[pages] = places = mem.log.append(pages)
        mem.accessed.append(pages, places)


def _write_back(mem: Memory, cram: CramPlan, pages: Pages, *, zswap: bool) -> tuple[int, Pages]:
    # Returns the mappers with an entry that had to change, one bit each, and the pages that found no room.
    placed = decide(mem, pages, cram=False, zswap=zswap)
    goes = placed.target != STAYS
    leaving = pages[goes]
    unmapped = _unmap(mem, leaving)
    if mem.has_budget:
        mem.writable -= int(np.count_nonzero(mem.states(leaving) == CRAM_WRITABLE))
    mem.free_charge += cram.charge * leaving.size
    mem.cram_release(leaving)
    for name, state in (("zero", ZERO), ("zswap", ZSWAP), ("swapfile", SWAPFILE)):
        mem.count[f"cram_writeback_{name}"] += int(np.count_nonzero(placed.target == state))
    commit(mem, placed)
    stays = pages[~goes]
    mem.count["reclaim_fail"] += stays.size
    return unmapped, stays


def _unmap(mem: Memory, pages: Pages) -> int:
    # What moving CRAM pages does to their page-table entries: mapped ones go, swap entries stay valid.
    mappers, mapped = mem.mappers.take(pages), mem.mapped_by(pages)
    mem.count["cram_writeback_multi_state"] += int(np.count_nonzero((mapped != 0) & (mapped != mappers)))
    if mem.plan.holds_slots:  # an entry names the device, so every one is rewritten
        mapped = mappers
    n_mapped = np.bitwise_count(mapped)
    mem.count["rmap_walks"] += int(np.count_nonzero(n_mapped))
    mem.count["pte_changed"] += int(n_mapped.sum())
    mem.count["pte_unchanged"] += int(np.bitwise_count(mappers & ~mapped).sum())
    return int(np.bitwise_or.reduce(mapped)) if mapped.size else 0


def _demote(mem: Memory) -> None:
    stop, goal = mem.log.end, mem.plan.high * mem.plan.page_charge
    if mem.order is not None:
        _demote_by(mem, mem.order, goal)
        return
    while mem.free_charge < goal and mem.dram_hand < stop:
        pages, places, next_at = mem.coldest(mem.dram_hand, stop, _wanted(mem, goal))
        if not pages.size:
            mem.dram_hand = stop
            break
        placed = _place(mem, pages, goal)
        mem.dram_hand = int(places[placed.pages.size - 1]) + 1
        n = placed.pages.size
        stays = let_go(mem, placed, next_at[:n], places[:n])
        if stays.size:  # ordered as if touched just before the current access
            mem.touch(placed.pages.take(stays), next_at.take(stays))


def _demote_by(mem: Memory, order: ReclaimOrder, goal: int) -> None:
    # Pages that find no room are set aside until it is over.
    order.begin()
    stays: list[Pages] = []
    while mem.free_charge < goal:
        pages = order.candidates(_wanted(mem, goal))
        if not pages.size:
            break
        placed = _place(mem, pages, goal)
        order.take(placed.pages.size)
        places = mem.place.take(placed.pages)
        stays.append(placed.pages.take(let_go(mem, placed, mem.log.next_of(places), places)))
    if stays:
        order.arrive(np.concatenate(stays))


def _wanted(mem: Memory, goal: int) -> int:
    # Victims that may be enough: a guess that only costs time.
    missing = -((mem.free_charge - goal) // mem.plan.page_charge)
    return missing + missing // 2


def _place(mem: Memory, pages: Pages, goal: int) -> Placement:
    # As many of the pages, in order, as it takes to reach the goal, or as can be decided together.
    pages = pages[: batch_limit(mem, pages.size)]
    placed = decide(mem, pages, cram=True, zswap=True)
    freed = placed.freed_charge(mem, mem.plan.page_charge)
    enough = which(freed.cumsum() >= goal - mem.free_charge)
    return placed.cut(int(enough[0]) + 1 if enough.size else pages.size)


def let_go(mem: Memory, placed: Placement, next_at: NDArray[np.int32], places: NDArray[np.integer]) -> Pages:
    """Let victims of DRAM go where they were placed.

    Parameters
    ----------
    mem : Memory
    placed : Placement of (n,) pages
    next_at : (n,) when each is accessed next
    places : (n,) their last entries in the log

    Returns
    -------
    stays : which of them found no room anywhere
    """
    goes = placed.target != STAYS
    to_cram = int(np.count_nonzero(placed.target >= CRAM_SOFTLEAF))
    stays = which(~goes)
    mem.free_charge += mem.plan.page_charge * (goes.size - stays.size)
    if mem.has_cache_only:
        mem.cache_only[placed.pages[goes]] = False
    if mem.plan.cram is not None:
        mem.free_charge -= mem.plan.cram.charge * to_cram
    mem.miss(next_at[goes] if stays.size else next_at)
    if mem.order is not None:  # they come from anywhere in the log
        mem.log.kill(places[goes])
    commit(mem, placed, places)
    mem.count["reclaim_fail"] += stays.size
    return stays


def _zswap_writeback(mem: Memory, zswap: ZswapPlan) -> None:
    # Oldest entries first; one that still has its second chance loses it and goes to the queue's end.
    if not mem.pool_full or not zswap.writeback:
        return
    while mem.pool_entries and mem.pool_pages > zswap.accept_pages and _room_for_writeback(mem):
        surplus = mem.pool_footprint - zswap.accept_pages * FOOTPRINT_PAGE
        step = min(mem.queue_hand + 256 + 2 * mem.pool_entries * surplus // mem.pool_footprint, mem.queue.length)
        pages, live, is_referenced = mem.queue.live(mem.queue_hand, step)
        is_out = ~is_referenced
        n = _visits(mem, zswap, pages, is_out)
        n_fit = _zram_fits(mem, pages[:n], is_out[:n])
        if n_fit < n:
            mem.queue_hand = int(live[n_fit])
        else:
            mem.queue_hand = int(live[n - 1]) + 1 if n < pages.size else step
        _rotate(mem, pages[:n_fit][~is_out[:n_fit]])
        _zswap_to_swapfile(mem, pages[:n_fit][is_out[:n_fit]])
        if n_fit < n:
            mem.count["zram_failed_writes"] += 1
            break


def _room_for_writeback(mem: Memory) -> int:
    # Entries that can be written back; without a layer each has its slot already.
    return mem.pool_entries if mem.plan.holds_slots else mem.free_slots


def _visits(mem: Memory, zswap: ZswapPlan, pages: Pages, is_out: np.ndarray) -> int:
    # How many entries are visited before the pool is small enough or the slots run out.
    out, room = which(is_out), _room_for_writeback(mem)
    gone = zswap.footprint_of_length.take(mem.stored.take(pages.take(out))).cumsum()
    n_out = 1 + int(gone.searchsorted(mem.pool_footprint - zswap.accept_pages * FOOTPRINT_PAGE))
    n_out = min(n_out, room)
    return int(out[n_out - 1]) + 1 if n_out <= out.size else pages.size


def _zram_fits(mem: Memory, pages: Pages, is_out: np.ndarray) -> int:
    # How many visits there are before an entry whose slot is on zram meets its memory limit: that ends the writeback.
    zram = mem.plan.zram
    if zram is None or not is_out.any():
        return pages.size
    out = which(is_out)
    footprint = zram_footprints(mem, zram, pages[out])
    footprint[_writeback_devices(mem, pages[out]) != zram.device] = 0
    over = which(mem.zram_footprint + footprint.cumsum() > zram.limit_footprint)
    on_zram = over[footprint[over] > 0]
    return int(out[on_zram[0]]) if on_zram.size else pages.size


def _writeback_devices(mem: Memory, pages: Pages) -> np.ndarray:
    return mem.slot.take(pages) if mem.plan.holds_slots else next_devices(mem, pages.size)


def _rotate(mem: Memory, pages: Pages) -> None:
    mem.place[pages] = mem.queue.append(pages, Queue.LIVE)


def _zswap_to_swapfile(mem: Memory, pages: Pages) -> None:
    if not pages.size:
        return
    mem.count["zswpwb"] += pages.size
    mem.pool_remove(pages)
    mem.swapped_pages += pages.size
    mem.move(pages, SWAPFILE)
    swapfile_store(mem, pages, _writeback_devices(mem, pages))
