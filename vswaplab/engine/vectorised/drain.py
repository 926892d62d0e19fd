"""Emptying a device: swapoff, and the removal of CRAM."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vswaplab.engine.outcome import Drain
from vswaplab.engine.plan import CramPlan
from vswaplab.engine.vectorised.logs import NO_PAGES
from vswaplab.engine.vectorised.memory import BACKING, SECOND, Mask, Memory, Pages, which
from vswaplab.engine.vectorised.reclaim import reclaim, write_back_all
from vswaplab.engine.vectorised.states import CRAM_SOFTLEAF, CRAM_WRITABLE, RESIDENT, STORE, SWAPFILE, ZERO, ZSWAP


def swapoff(mem: Memory, device: int, *, maps: bool) -> Drain:
    """Empty a swap device into DRAM, in the order of page numbers."""
    drain = Drain(store_loaded=[0] * len(mem.plan.stores))
    mem.capacity[device] = 0
    held = which(mem.slot == device)
    state = mem.states(held)
    behind = state == SWAPFILE if not mem.plan.holds_slots else state != RESIDENT
    drain.copies_dropped = int(np.count_nonzero(~behind))
    mem.release_slots(held[~behind])

    def load(pages: Pages) -> None:
        _swap_in(mem, pages, drain, maps=maps)

    _drain(mem, held[behind], lambda pages: mem.slot.take(pages) == device, load)
    return drain


def _swap_in(mem: Memory, pages: Pages, drain: Drain, *, maps: bool) -> None:
    state = mem.states(pages)
    is_read = state == SWAPFILE
    if mem.plan.zram is not None:
        level = mem.zram_level.take(pages)
        is_read &= ~mem.is_on_zram(pages) | (level == BACKING)
        drain.recompressed_loaded += int(np.count_nonzero((state == SWAPFILE) & ~is_read & (level == SECOND)))
    is_loaded = (state == ZSWAP) | ((state == SWAPFILE) & ~is_read)
    in_cram = state >= CRAM_SOFTLEAF
    drain.pages_read += int(np.count_nonzero(is_read))
    drain.pages_loaded += int(np.count_nonzero(is_loaded))
    drain.zswap_loaded += int(np.count_nonzero(state == ZSWAP))
    n_zero = int(np.count_nonzero(state == ZERO))
    mem.zero_pages -= n_zero
    mem.swapped_pages -= int(np.count_nonzero(state == SWAPFILE))
    drain.zero_loaded += n_zero
    drain.cram_loaded += int(np.count_nonzero(in_cram))
    if (state == ZSWAP).any():
        mem.pool_remove(pages[state == ZSWAP])
    _leave_stores(mem, pages[state == STORE], drain)
    if in_cram.any():
        _leave_cram(mem, pages[in_cram])
    mem.release_slots(pages)
    _arrive(mem, pages, drain, maps=maps)


def _leave_stores(mem: Memory, pages: Pages, drain: Drain) -> None:
    held = mem.store_of.take(pages)
    for k in range(len(mem.plan.stores)):
        drain.store_loaded[k] += int(np.count_nonzero(held == k))
    mem.store_remove(pages)


def _leave_cram(mem: Memory, pages: Pages) -> None:
    assert mem.plan.cram is not None
    mem.writable -= int(np.count_nonzero(mem.states(pages) == CRAM_WRITABLE))
    mem.free_charge += mem.plan.cram.charge * pages.size
    mem.cram_release(pages)
    if mem.cram_order is not None:
        mem.cram_order.discard(pages)


def _arrive(mem: Memory, pages: Pages, drain: Drain, *, maps: bool) -> None:
    mem.free_charge -= mem.plan.page_charge * pages.size
    mem.bring_in(pages)
    if mem.order is not None:
        mem.order.arrive(pages)
    if maps:
        drain.pte_changed += int(np.bitwise_count(mem.mappers.take(pages)).sum())
    else:
        drain.cache_only += pages.size
        mem.cache_only[pages] = True
        mem.has_cache_only = True


def _drain(mem: Memory, pages: Pages, is_left: Callable[[Pages], Mask], load: Callable[[Pages], None]) -> None:
    # One page after the other gets a frame; where one is missing, reclaim runs once for it and may move any of them.
    served = -1  # the page that has had its reclaim
    while True:
        pages = pages[is_left(pages)]
        if not pages.size:
            return
        if int(pages[0]) != served and mem.free_pages <= mem.plan.low:
            served = int(pages[0])
            if not _make_room(mem):
                return
            continue
        n = _loadable(mem, pages)
        load(pages[:n])
        pages = pages[n:]


def _make_room(mem: Memory) -> bool:
    if mem.free_pages > mem.plan.low:
        return True
    reclaim(mem)
    mem.count["oom"] = int(mem.is_out_of_memory)
    return not mem.count["oom"]


def _loadable(mem: Memory, pages: Pages) -> int:
    # How many pages in a row find more free frames than the lower watermark; the first one has its frame.
    plan = mem.plan
    gain = np.full(pages.size, -plan.page_charge)
    state = mem.states(pages)
    if plan.zswap is not None:
        gain[state == ZSWAP] += plan.zswap.charge_of_length.take(mem.stored.take(pages[state == ZSWAP]))
    if plan.zram is not None:
        on_zram = (state == SWAPFILE) & mem.is_on_zram(pages) & (mem.stored.take(pages) > 0)
        gain[on_zram] += plan.zram.charge_of_length.take(mem.stored.take(pages[on_zram]))
    if plan.stores:
        gain[state == STORE] += mem.store_charge(pages[state == STORE])
    if plan.cram is not None:
        gain[state >= CRAM_SOFTLEAF] += plan.cram.charge
    before = mem.free_charge + gain.cumsum() - gain
    short = which(before[1:] // plan.page_charge <= plan.low)
    return int(short[0]) + 1 if short.size else pages.size


def remove_cram(mem: Memory, *, maps: bool) -> Drain:
    """Take the CRAM device away: its pages go on through rule 2, what finds no room comes back to DRAM."""
    cram = mem.plan.cram
    assert cram is not None
    drain = Drain(store_loaded=[0] * len(mem.plan.stores))
    mem.reap()
    mem.flush()
    mem.is_removed = True
    n_pages, before = mem.cram_pages, mem.count["pte_changed"]
    write_back_all(mem, cram)
    drain.written_back = n_pages - mem.cram_pages
    drain.pte_changed = mem.count["pte_changed"] - before
    fits = mem.free_pages >= 0 or _make_room(mem)  # what went on to a pool costs DRAM
    left = mem.all_in_cram() if fits else NO_PAGES

    def load(pages: Pages) -> None:
        _bring_back(mem, cram, pages, drain, maps=maps)

    _drain(mem, left, lambda pages: mem.states(pages) >= CRAM_SOFTLEAF, load)
    mem.unflushed = mem.unflushed_pages = mem.balloon = 0
    return drain


def _bring_back(mem: Memory, cram: CramPlan, pages: Pages, drain: Drain, *, maps: bool) -> None:
    drain.cram_loaded += pages.size
    if not maps:
        drain.pte_changed += int(np.bitwise_count(mem.mapped_by(pages)).sum())
    _leave_cram(mem, pages)
    if not cram.is_tier:
        goes = mem.half_full | (mem.slot.take(pages) == mem.plan.zram_device)
        mem.release_slots(pages[goes])
    _arrive(mem, pages, drain, maps=maps)
