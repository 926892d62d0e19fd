"""Carry out a classified window: what its accesses do to pages, tiers and counters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vswaplab.engine.vectorised.memory import Memory, Pages, which
from vswaplab.engine.vectorised.states import (
    COPIED,
    CRAM_OUTCOMES,
    CRAM_READ,
    CRAM_READONLY,
    CRAM_SOFTLEAF,
    CRAM_WRITABLE,
    DRAM_HIT,
    FIRST_TOUCH,
    FRAME_OUTCOMES,
    FREE,
    FREED,
    IS_LOAD,
    IS_SERVED_IN_CRAM,
    IS_SWAP_IN,
    LEAVING_OUTCOMES,
    MADE_WRITABLE,
    N_STATES,
    NONE,
    PROMOTE,
    PSWPIN,
    RESIDENT,
    SOFT_FAULT,
    STATE_AFTER,
    STORE,
    STORE_IN,
    SWAPFILE,
    SWPIN_ZERO,
    UNMAP,
    ZERO,
    ZSWAP,
    ZSWPIN,
)
from vswaplab.engine.vectorised.stream import Shares
from vswaplab.engine.vectorised.window import InPlace, Special, Window, leaves_cram
from vswaplab.engine.vectorised.zram import count_reads
from vswaplab.results.counters import OUTCOMES


def settle(mem: Memory, window: Window, returned: Special | None = None) -> None:
    """Carry out the accesses of a window before its stop.

    Parameters
    ----------
    mem : Memory
        Pages that left DRAM in the window are where they went.
    window : Window
    returned : Special
        Accesses to those of them that were touched again.
    """
    n, touches = window.stop, window.touches
    pages, op = touches.page[:n], touches.op[:n]
    special = window.special.before(n)
    if returned is not None:
        special = _both(special, returned)
    tally = _Tally(special, has_frees=window.has_frees)
    written = mem.trace.index.writes(touches.first, touches.first + n)
    _count(mem, op, written.size, tally, has_frees=window.has_frees)
    if window.in_place is not None:
        _store_in_place(mem, window.in_place.before(n), special)
    mem.free_charge += (tally.freed[RESIDENT] - tally.of(FRAME_OUTCOMES)) * mem.plan.page_charge
    _leave(mem, special, tally)
    _release(mem, special, tally)
    if any(mem.slots_used):
        mem.clean[written.astype(np.int64)] = False
    if mem.has_own_content:
        _set_content(mem, window, special)
    if mem.has_cache_only:
        _map_cache_only(mem, window)
    places = special.at + mem.log.end
    mem.carry_out(pages, touches.next_at[:n])
    mem.state[special.page] = RESIDENT
    if tally.of(LEAVING_OUTCOMES):
        _move(mem, special, places, touches.next_at)
    if mem.order is not None:
        mem.order.settle(mem, window, special)
    if mem.cram_order is not None:
        mem.cram_order.settle_on_device(mem, window, special)
    if mem.trace.shares is not None:
        _settle_mappers(mem, mem.trace.shares, window, special)
    if mem.trace.has_repeats:
        _count_repeats(mem, window, special, tally)


def _both(one: Special, other: Special) -> Special:
    return Special(
        np.concatenate((one.at, other.at)), np.concatenate((one.page, other.page)),
        np.concatenate((one.outcome, other.outcome)), np.concatenate((one.was, other.was)),
    )  # fmt: skip


class _Tally:
    """How many accesses had which outcome, and how many of those that freed a page found it in which state."""

    def __init__(self, special: Special, *, has_frees: bool) -> None:
        self.total = special.outcome.size
        self.outcome: list[int] = np.bincount(special.outcome, minlength=FREED + 1).tolist()
        self.freed = [0] * N_STATES
        if has_frees:
            self.freed = np.bincount(special.was[special.outcome == FREED], minlength=N_STATES).tolist()

    def of(self, outcomes: list[int]) -> int:
        """Count those with one of several outcomes."""
        return sum([self.outcome[outcome] for outcome in outcomes])


def _move(mem: Memory, special: Special, places: Pages, next_at: NDArray[np.int32]) -> None:
    # All pages were touched as if resident, and have these places in the log: those that are elsewhere after their
    # last access go there.
    after = STATE_AFTER.take(special.outcome)
    index = which(after != RESIDENT)
    next_at = next_at.take(special.at.take(index))
    is_last = which(next_at >= mem.log.now)
    index, next_at = index.take(is_last), next_at.take(is_last)
    pages, places, after = special.page.take(index), places.take(index), after.take(index)
    mem.log.kill(places)
    mem.miss(next_at)
    if mem.has_budget:
        after[(special.outcome.take(index) == CRAM_READ) & (special.was.take(index) == CRAM_WRITABLE)] = CRAM_WRITABLE
    if mem.plan.cram is not None and mem.cram_order is None:
        in_cram = which(after >= CRAM_SOFTLEAF)
        key = (places.take(in_cram) << 32) | pages.take(in_cram)
        key.sort(kind="stable")  # two runs at most that are in order
        places_in_cram, pages_in_cram = key >> 32, key & ((1 << 32) - 1)
        mem.place[pages_in_cram] = places_in_cram
        mem.accessed.append(pages_in_cram, places_in_cram)
    mem.move(pages, after)


def _map_cache_only(mem: Memory, window: Window) -> None:
    # The first touch of a page that only the swap cache knows is a minor fault and maps it; a free just drops it.
    ids, op = window.touches.page[: window.stop], window.touches.op[: window.stop]
    acts = which(mem.cache_only.take(ids) & (op != UNMAP))
    pages, first = np.unique(ids[acts], return_index=True)
    touched = acts[first][op[acts[first]] != FREE]
    mem.count["swap_cache"] += touched.size
    if mem.trace.shares is not None:  # one fault, not two
        further = mem.trace.shares.is_further[window.start + touched]
        mem.count["minor_fault"] -= int(np.count_nonzero(further))
    mem.cache_only[pages] = False
    mem.has_cache_only = bool(mem.cache_only.any())


def _count(mem: Memory, op: NDArray[np.uint8], n_writes: int, tally: _Tally, *, has_frees: bool) -> None:
    n_frees = n_unmaps = 0
    if has_frees:
        n_frees, n_unmaps = int(np.count_nonzero(op == FREE)), int(np.count_nonzero(op == UNMAP))
    mem.count["accesses"] += op.size
    mem.count["reads"] += op.size - n_writes - n_frees - n_unmaps
    mem.count["writes"] += n_writes
    mem.count["frees"] += n_frees + n_unmaps
    for name, n in zip(OUTCOMES, tally.outcome, strict=False):
        mem.count[name] += n
    mem.count["dram_hit"] += op.size - n_unmaps - tally.total


def _store_in_place(mem: Memory, in_place: InPlace, special: Special) -> None:
    is_last = np.ones(in_place.page.size, np.bool_)
    is_last[:-1] = in_place.page[1:] != in_place.page[:-1]
    pages, size = in_place.page[is_last], in_place.size[is_last]
    mem.cram_bytes += int((size - mem.stored.take(pages)).sum())
    mem.stored[pages] = size
    mem.writable += int(np.count_nonzero(special.outcome == MADE_WRITABLE))
    if mem.plan.cram is not None and mem.plan.cram.is_device_budget:
        mem.credits -= in_place.page.size


def _leave(mem: Memory, special: Special, tally: _Tally) -> None:
    # What leaves a pool or the device gives its own charge back.
    page = special.page
    mem.zero_pages -= tally.outcome[SWPIN_ZERO] + tally.freed[ZERO]
    mem.swapped_pages -= tally.outcome[PSWPIN] + tally.freed[SWAPFILE]
    if mem.plan.stores:
        _leave_stores(mem, special)
    if tally.outcome[ZSWPIN] or tally.freed[ZSWAP]:
        mem.pool_remove(page.take(which(special.was == ZSWAP)))
    cram = mem.plan.cram
    if cram is None:
        return
    from_cram = which(leaves_cram(special, has_frees=tally.outcome[FREED] > 0))
    if from_cram.size:
        if mem.has_budget:
            mem.writable -= int(np.count_nonzero((special.outcome == PROMOTE) & (special.was == CRAM_WRITABLE)))
        mem.free_charge += cram.charge * from_cram.size
        mem.cram_release(page.take(from_cram))
    if tally.freed[CRAM_WRITABLE]:  # their swap slots were reaped: the kernel misses the free
        mem.make_zombies(page[(special.outcome == FREED) & (special.was == CRAM_WRITABLE)])


def _leave_stores(mem: Memory, special: Special) -> None:
    loaded = mem.store_of.take(special.page.take(which(special.outcome == STORE_IN)))
    for k, store in enumerate(mem.plan.stores):
        mem.count[f"{store.name}_in"] += int(np.count_nonzero(loaded == k))
    mem.store_remove(special.page.take(which(special.was == STORE)))


def _release(mem: Memory, special: Special, tally: _Tally) -> None:
    # Slots that loads and frees give up.
    if not any(mem.slots_used):
        return
    page, outcome, zram = special.page, special.outcome, mem.plan.zram
    if tally.outcome[PSWPIN]:
        read = page.take(which(outcome == PSWPIN))
        for device, n in enumerate(mem.per_device(mem.slot.take(read))):
            mem.device_in[device] += n
        if zram is not None:
            count_reads(mem, read[mem.is_on_zram(read)])
    if tally.outcome[MADE_WRITABLE]:
        mem.release_slots(page[outcome == MADE_WRITABLE])  # its swap entry is reaped, and with it the slot
    if mem.half_full or zram is not None:
        loaded = page[(IS_LOAD if mem.is_tier else IS_SWAP_IN).take(outcome)]
        goes = mem.half_full | (mem.slot.take(loaded) == mem.plan.zram_device)  # zram's go at once
        mem.release_slots(loaded[goes])
    if tally.outcome[FREED]:
        mem.release_slots(np.unique(page[outcome == FREED]))


def _set_content(mem: Memory, window: Window, special: Special) -> None:
    # A first touch sets the page's first content, a copy its source's, a drawing write a new one; the last stays.
    is_new = (special.outcome == FIRST_TOUCH) | (special.outcome == COPIED)
    new_at, new_page = special.at[is_new], special.page[is_new]
    first = mem.trace.first_rows(new_page, new_at + window.start)
    if mem.trace.shares is not None and mem.trace.redraws.content_shifts:
        _copy_contents(mem, mem.trace.shares, window, new_at, new_page, first)
    if window.row is None:
        mem.content[new_page] = first
        return
    row = np.full(window.stop, -1, np.int32)
    row[new_at] = first
    drawn = window.row[: window.stop]
    np.copyto(row, drawn, where=drawn >= 0)
    changed = which(row >= 0)
    mem.content[window.touches.page[changed]] = row[changed]


def _copy_contents(
    mem: Memory, shares: Shares, window: Window, at: Pages, page: Pages, first: NDArray[np.int32]
) -> None:
    # A shared page is never redrawn: a copy holds what its source was first touched with, in this window or before.
    source = shares.copied_from[at + window.start].astype(np.int64)
    copies = which(source >= 0)
    shift = int(window.stop).bit_length()
    touched = (page << shift) | at
    order = touched.argsort()
    before = order[touched.searchsorted((source[copies] << shift) | at[copies], sorter=order) - 1]
    is_in_window = (page[before] == source[copies]) & (at[before] < at[copies])
    is_touched = mem.state.take(source[copies]) != NONE  # before the window; if never, the copy is a first touch
    held = np.where(is_touched, mem.content.take(source[copies]), first[copies])
    first[copies] = np.where(is_in_window, first[before], held)


def _settle_mappers(mem: Memory, shares: Shares, window: Window, special: Special) -> None:
    # Who has which page mapped, after the window: soft faults map, then copies and unmaps take mappers away.
    at, page, outcome = special.at, special.page, special.outcome
    stretch = slice(window.start, window.start + window.stop)
    is_further = shares.is_further[stretch]
    mem.count["minor_fault"] += int(np.count_nonzero(is_further))
    mem.count["minor_fault"] -= int(np.count_nonzero(is_further[at[outcome != DRAM_HIT]]))
    bit = shares.bit[stretch]
    mapped = which((outcome == SOFT_FAULT) & (mem.states(page) == CRAM_READONLY))
    np.bitwise_or.at(mem.readonly, page[mapped], bit[at[mapped]])
    leaves = shares.leaves[stretch]
    leaving = which(leaves >= 0)
    if leaving.size:
        left = leaves[leaving].astype(np.int64)
        for sets in (mem.mappers, mem.readonly):
            np.bitwise_and.at(sets, left, ~bit[leaving])
        still = left[(mem.states(left) == CRAM_READONLY) & (mem.readonly.take(left) == 0)]
        mem.move(still, CRAM_SOFTLEAF)


def _count_repeats(mem: Memory, window: Window, special: Special, tally: _Tally) -> None:
    # Priced where the page lies after the record: DRAM unless the record was served in CRAM or was a free.
    in_cram = unserved = special.at[:0]
    if tally.of(CRAM_OUTCOMES):
        in_cram = special.at[IS_SERVED_IN_CRAM.take(special.outcome)]
    if window.has_frees:
        unserved = which(window.touches.op[: window.stop] >= FREE)
    first = window.start - mem.trace.start
    stretch = slice(first, first + window.stop)
    for repeats, cram_name in (
        (mem.trace.repeat_reads, "repeat_cram_read"),
        (mem.trace.repeat_writes, "repeat_cram_write"),
    ):
        if repeats is None:
            continue
        n = repeats[stretch]
        cram, lost = int(n[in_cram].sum(dtype=np.int64)), int(n[unserved].sum(dtype=np.int64))
        mem.count[cram_name] += cram
        mem.count["repeat_unserved"] += lost
        mem.count["repeat_dram"] += int(n.sum(dtype=np.int64)) - cram - lost
