"""Between two reclaims: serve a whole window of accesses with array operations.

Between reclaims nothing leaves DRAM except what the program frees, so the
outcome of every access follows from the page's state at the window's start
and from the accesses to the same page before it in the window. ``classify``
works that out and finds the place where the window must stop; ``settle``
carries out the part before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.draws import CHOICE, REDRAW, draws
from vswaplab.engine.vectorised.memory import Mask, Memory, Pages
from vswaplab.engine.vectorised.states import (
    CRAM_POISONED,
    CRAM_READONLY,
    CRAM_SOFTLEAF,
    CRAM_WRITABLE,
    FREE,
    N_OPS,
    N_STATES,
    NONE,
    RESIDENT,
    SWAPFILE,
    UNMAP,
    WRITE,
    ZERO,
    ZSWAP,
)
from vswaplab.engine.vectorised.stream import Shares
from vswaplab.engine.vectorised.zram import count_reads
from vswaplab.results.counters import OUTCOMES

_OUTCOME = {name: i for i, name in enumerate(OUTCOMES)}
_HIT = _OUTCOME["dram_hit"]
_FIRST_TOUCH, _ZSWPIN, _PSWPIN = _OUTCOME["first_touch"], _OUTCOME["zswpin"], _OUTCOME["pswpin"]
_SOFT, _READ, _WRITE = _OUTCOME["cram_soft_fault"], _OUTCOME["cram_read"], _OUTCOME["cram_write"]
_MADE, _PROMOTE = _OUTCOME["cram_made_writable"], _OUTCOME["cram_promote"]
_COPY = _OUTCOME["copy_on_write"]
_FREED = len(OUTCOMES)

# Outcome of the first access to a page that is not in CRAM, by state.
_FAULT_OF_STATE = np.full(N_STATES, _HIT, np.uint8)
_FAULT_OF_STATE[[NONE, ZERO, ZSWAP, SWAPFILE]] = [
    _FIRST_TOUCH, _OUTCOME["swpin_zero"], _ZSWPIN, _PSWPIN,
]  # fmt: skip

# Where an access leaves its page; a read in place leaves a writable page writable (see ``_state_after``).
_STATE_AFTER = np.full(_FREED + 1, RESIDENT, np.uint8)
_STATE_AFTER[[_SOFT, _READ]] = CRAM_READONLY
_STATE_AFTER[[_WRITE, _MADE]] = CRAM_WRITABLE
_STATE_AFTER[_FREED] = NONE

_NEEDS_FRAME = np.zeros(_FREED + 1, np.bool_)
_NEEDS_FRAME[[_FIRST_TOUCH, _OUTCOME["swpin_zero"], _ZSWPIN, _PSWPIN, _PROMOTE, _COPY]] = True

_IS_LOAD = np.zeros(_FREED + 1, np.bool_)
_IS_LOAD[[_OUTCOME["swpin_zero"], _ZSWPIN, _PSWPIN]] = True
_IS_SWAP_IN = _IS_LOAD.copy()
_IS_SWAP_IN[_PROMOTE] = True

_NEVER = 1 << 62


@dataclass
class Window:
    """A classified stretch of accesses.

    The accesses that need a closer look, because their page is not resident
    or is freed in the window, are sorted by page and then by time; ``at``,
    ``page`` and what follows them are parallel over those. Every other access
    is a DRAM hit.
    """

    start: int
    ids: Pages
    op: NDArray[np.uint8]
    at: Pages
    """Place in the window."""
    page: Pages
    outcome: NDArray[np.uint8]
    was: NDArray[np.uint8]
    """State of the page just before the access, as a ``State``."""
    frame_change: NDArray[np.int64]
    """(window,) charge units of free DRAM each access gives (+) or takes (-)."""
    row: NDArray[np.int32] | None
    """(window,) content each write draws, -1: none. None: no write draws."""
    size_after: NDArray[np.int64] | None
    """Bytes on the media after a write in place, -1: unchanged. None: no such write."""
    needs: Pages
    """Places of the accesses that make a page resident, in time order; without the first one's if it has
    had its reclaim."""
    free_before: NDArray[np.int64]
    """Free DRAM before each of them if nothing is reclaimed in the window, charge units."""
    limit: int
    """Accesses of the window that array operations can serve."""
    stop: int
    """Accesses of the window that may be settled."""
    wants_reclaim: bool
    """The access at ``stop`` needs a frame first."""


def classify(mem: Memory, start: int, stop: int, *, has_reclaimed: bool) -> Window:
    """Work out the outcome of accesses start..stop-1 as far as they go without a reclaim.

    Parameters
    ----------
    mem : Memory
    start, stop : int
        Places in the trace.
    has_reclaimed : bool
        The first access has had its reclaim already.
    """
    stretch = slice(start - mem.trace.start, stop - mem.trace.start)
    ids = mem.trace.page[stretch].astype(np.int64)
    op = mem.trace.op[stretch]
    special = _special(mem, ids, op)
    at, page = _by_page_then_time(ids, special)
    row = _drawn_rows(mem, ids, op, start)
    outcome, was, run_first = _outcomes(mem, page, at, op[at], start)
    size_after = _sizes_in_place(mem, page, at, outcome, row, run_first)
    frame_change = _frame_changes(mem, page, at, outcome, was, ids.size)
    needs = np.sort(at[_NEEDS_FRAME.take(outcome)])
    if has_reclaimed and needs.size and needs[0] == 0:
        needs = needs[1:]
    free_before = mem.free_charge + (frame_change.cumsum() - frame_change)[needs]
    window = Window(
        start, ids, op, at, page, outcome, was, frame_change, row, size_after, needs, free_before, 0, 0, False
    )  # fmt: skip
    window.limit = min(ids.size, _one_by_one_at(mem, window))
    _find_stop(mem, window)
    return window


def _special(mem: Memory, ids: Pages, op: NDArray[np.uint8]) -> Pages:
    mask = mem.state.take(ids) != RESIDENT
    freed = ids[op == FREE]
    if freed.size:
        mask |= np.isin(ids, freed)
    if mem.trace.shares is not None:
        mask &= op != UNMAP
    return np.flatnonzero(mask)


def _by_page_then_time(ids: Pages, special: Pages) -> tuple[Pages, Pages]:
    # Sorting one packed key is much faster than an argsort.
    shift = int(ids.size).bit_length()
    key = (ids[special] << shift) | special
    key.sort()
    return key & ((1 << shift) - 1), key >> shift


def _drawn_rows(mem: Memory, ids: Pages, op: NDArray[np.uint8], start: int) -> NDArray[np.int32] | None:
    if not mem.plan.redraw_below:
        return None
    writes = np.flatnonzero(op == WRITE)
    drawn = draws(mem.plan.seed, writes + start, REDRAW) >> np.uint64(11) < np.uint64(mem.plan.redraw_below)
    writes = writes[drawn]
    if not writes.size:
        return None
    corpus, first = mem.trace.corpus, mem.trace.content.take(ids[writes])
    offset = draws(mem.plan.seed, writes + start, CHOICE) % corpus.region_rows.take(first).astype(np.uint64)
    row = np.full(ids.size, -1, np.int32)
    row[writes] = corpus.region_start.take(first) + offset.astype(np.int32) + mem.trace.shifts(writes + start)
    return row


def _outcomes(
    mem: Memory, page: Pages, at: Pages, op: NDArray[np.uint8], start: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Pages]:
    # A run is a page's accesses up to and including a free; what follows a free starts at NONE.
    n = page.size
    is_free = op == FREE
    new_page = np.ones(n, np.bool_)
    new_page[1:] = page[1:] != page[:-1]
    new_run = new_page.copy()
    new_run[1:] |= is_free[:-1]
    firsts = np.flatnonzero(new_run)
    state = np.where(new_page[firsts], mem.state.take(page[firsts]), NONE).astype(np.uint8)
    lengths = np.diff(np.append(firsts, n))
    run_first, run_state = np.repeat(firsts, lengths), np.repeat(state, lengths)

    outcome = np.full(n, _HIT, np.uint8)
    outcome[firsts] = _FAULT_OF_STATE.take(state)
    was = np.full(n, RESIDENT, np.uint8)
    was[firsts] = state
    in_cram = np.flatnonzero(run_state >= CRAM_SOFTLEAF)
    if in_cram.size:
        _cram_outcomes(mem, in_cram, at, op, run_first, run_state, outcome, was)
    outcome[is_free] = _FREED
    shares = mem.trace.shares
    if shares is not None:
        outcome[shares.copied_from[start + at] >= 0] = _COPY
        _soft_faults_by_mapper(mem, shares.bit[start + at], page, at, run_first, was, outcome)
    return outcome, was, run_first


def _cram_outcomes(
    mem: Memory,
    index: Pages,
    at: Pages,
    op: NDArray[np.uint8],
    run_first: Pages,
    run_state: NDArray[np.uint8],
    outcome: NDArray[np.uint8],
    was: NDArray[np.uint8],
) -> None:
    # Reads stay in place up to the first write that the budget does not let happen there: it promotes.
    local_first = np.searchsorted(index, run_first[index])

    def before(mask: Mask) -> Pages:
        # How many there are earlier in the same run.
        count = mask.cumsum() - mask
        earlier: Pages = count - count[local_first]
        return earlier

    state, is_write = run_state[index], op[index] == WRITE
    asks = is_write & (state != CRAM_POISONED)
    is_in_place = asks & _within_budget(mem, at[index], asks, state, before(asks), local_first)
    is_refused = asks & ~is_in_place
    is_first = index == run_first[index]
    was_in = np.where(is_first, state, np.maximum(state, CRAM_READONLY))
    was_in[before(is_in_place) > 0] = CRAM_WRITABLE
    was_in[before(is_refused) > 0] = RESIDENT
    was[index] = was_in
    result = np.where(is_write, _WRITE, _READ).astype(np.uint8)
    result[(was_in == CRAM_SOFTLEAF) & ~is_write] = _SOFT
    result[is_in_place & (was_in < CRAM_WRITABLE)] = _MADE
    result[is_refused] = _PROMOTE
    result[was_in == RESIDENT] = _HIT
    outcome[index] = result


def _soft_faults_by_mapper(
    mem: Memory,
    bit: NDArray[np.uint8],
    page: Pages,
    at: Pages,
    run_first: Pages,
    was: NDArray[np.uint8],
    outcome: NDArray[np.uint8],
) -> None:
    # Each mapper has a mapping of its own: it faults on its first read unless it was mapped before the window.
    reads = np.flatnonzero(((outcome == _SOFT) | (outcome == _READ)) & (was < CRAM_WRITABLE))
    if not reads.size:
        return
    order = reads[np.lexsort((at[reads], bit[reads], run_first[reads]))]
    is_first = np.ones(order.size, np.bool_)
    is_first[1:] = (run_first[order][1:] != run_first[order][:-1]) | (bit[order][1:] != bit[order][:-1])
    faults = is_first & (mem.readonly.take(page[order]) & bit[order] == 0)
    outcome[order] = np.where(faults, _SOFT, _READ)


def _within_budget(
    mem: Memory, at: Pages, asks: Mask, state: NDArray[np.uint8], earlier: Pages, run_first: Pages
) -> Mask:
    # Which writes happen in place. The host's budget is taken by the first write to a page, the device's by each.
    cram = mem.plan.cram
    assert cram is not None
    if cram.is_device_budget:
        return _earliest(at, asks, mem.credits)
    left = 0 if cram.is_tier else cram.budget - mem.writable
    made = _earliest(at, asks & (earlier == 0) & (state < CRAM_WRITABLE), left)
    is_granted = np.zeros(at.size, np.bool_)
    is_granted[run_first[made]] = True
    within: Mask = is_granted[run_first] | (state == CRAM_WRITABLE)
    return within


def _earliest(at: Pages, asks: Mask, n: int) -> Mask:
    # The n earliest of those that ask.
    chosen = np.zeros(at.size, np.bool_)
    if n > 0:
        asking = np.flatnonzero(asks)
        chosen[asking[np.argsort(at[asking])[:n]]] = True
    return chosen


def _sizes_in_place(
    mem: Memory,
    page: Pages,
    at: Pages,
    outcome: NDArray[np.uint8],
    row: NDArray[np.int32] | None,
    run_first: Pages,
) -> NDArray[np.int64] | None:
    # Media bytes after each write in place. A write that draws nothing still stores the page's content.
    in_place = np.flatnonzero((outcome == _WRITE) | (outcome == _MADE))
    if not in_place.size:
        return None
    cram = mem.plan.cram
    assert cram is not None
    size_after = np.full(page.size, -1, np.int64)
    size_after[in_place] = mem.stored.take(page[in_place])
    if row is not None:
        drawn = row[at[in_place]]
        last = np.maximum.accumulate(np.where(drawn >= 0, np.arange(in_place.size), -1))
        has = (last >= 0) & (run_first[in_place[last]] == run_first[in_place])
        size_after[in_place[has]] = cram.bytes_of_row.take(drawn[last[has]])
    return size_after


def _frame_changes(
    mem: Memory, page: Pages, at: Pages, outcome: NDArray[np.uint8], was: NDArray[np.uint8], n: int
) -> NDArray[np.int64]:
    plan = mem.plan
    change = np.where(_NEEDS_FRAME.take(outcome), -plan.page_charge, 0)
    is_free = outcome == _FREED
    change[is_free & (was == RESIDENT)] = plan.page_charge
    if plan.zswap is not None:
        leaves = np.flatnonzero(was == ZSWAP)
        change[leaves] += plan.zswap.charge_of_length.take(mem.stored.take(page[leaves]))
    if plan.zram is not None:
        leaves = np.flatnonzero(was == SWAPFILE)
        pages = page[leaves]
        length = np.where(mem.is_on_zram(pages), mem.stored.take(pages), 0)
        change[leaves] += np.where(length > 0, plan.zram.charge_of_length.take(length), 0)
    if plan.cram is not None and plan.cram.charge:
        leaves_cram = (outcome == _PROMOTE) | (is_free & (was >= CRAM_SOFTLEAF))
        change[leaves_cram] += plan.cram.charge
    in_time = np.zeros(n, np.int64)
    in_time[at] = change
    return in_time


def _find_stop(mem: Memory, window: Window) -> None:
    # The first access that must wait for a frame, unless the window ends before it.
    plan = mem.plan
    waits = np.flatnonzero(window.free_before < (plan.low + 1) * plan.page_charge)
    reclaim_at = int(window.needs[waits[0]]) if waits.size else _NEVER
    window.stop = min(window.limit, reclaim_at)
    window.wants_reclaim = window.stop == reclaim_at


def _one_by_one_at(mem: Memory, window: Window) -> int:
    # Poison touched, media overrun, or a budget slot handed back at once by a freed writable page.
    cram = mem.plan.cram
    if cram is None or not cram.budget:
        return _NEVER
    rare = window.was == CRAM_POISONED
    if cram.reaper_period == 0:
        rare |= (window.outcome == _FREED) & (window.was == CRAM_WRITABLE)
    first = int(window.at[rare].min()) if rare.any() else _NEVER
    return first if cram.is_device_budget else min(first, _overrun_at(mem, window, cram.media_bytes))


def _overrun_at(mem: Memory, window: Window, media_bytes: int) -> int:
    if window.size_after is None or window.row is None:
        return _NEVER
    grows = np.zeros(window.ids.size, np.int64)
    in_place = np.flatnonzero(window.size_after >= 0)
    before = mem.stored.take(window.page[in_place]).astype(np.int64)
    same_page = window.page[in_place[1:]] == window.page[in_place[:-1]]
    before[1:][same_page] = window.size_after[in_place[:-1]][same_page]
    grows[window.at[in_place]] = window.size_after[in_place] - before
    change = grows.copy()
    cram = mem.plan.cram
    if cram is not None and cram.flush_period == 0:
        leaves = np.flatnonzero(_leaves_cram(window.outcome, window.was))
        change[window.at[leaves]] -= mem.stored.take(window.page[leaves])
    over = np.flatnonzero((grows > 0) & (mem.media_bytes + change.cumsum() > media_bytes))
    return int(over[0]) if over.size else _NEVER


def _leaves_cram(outcome: NDArray[np.uint8], was: NDArray[np.uint8]) -> Mask:
    # Zombies do not leave: only promotions, and frees of pages that were never writable.
    gone = (was == CRAM_SOFTLEAF) | (was == CRAM_READONLY)
    leaves: Mask = (outcome == _PROMOTE) | ((outcome == _FREED) & gone)
    return leaves


def settle(mem: Memory, window: Window) -> None:
    """Carry out the accesses of a window before its stop."""
    n = window.stop
    ids, op = window.ids[:n], window.op[:n]
    keep = np.flatnonzero(window.at < n)
    at, page, outcome, was = window.at[keep], window.page[keep], window.outcome[keep], window.was[keep]
    free_after = mem.free_charge + int(window.frame_change[:n].sum())
    _count(mem, op, outcome)
    if window.size_after is not None:
        _store_in_place(mem, page, outcome, window.size_after[keep])
    _leave(mem, page, outcome, was)
    _slots_and_copies(mem, ids, op, page, outcome)
    _set_content(mem, window, at, page, outcome)
    shares = mem.trace.shares
    if mem.has_cache_only:
        _map_cache_only(mem, window)
    last = np.ones(page.size, np.bool_)
    last[:-1] = page[1:] != page[:-1]
    mem.state[page[last]] = _state_after(outcome[last], was[last])
    mem.free_charge = free_after
    if shares is None:
        mem.touch(ids)
    else:
        mem.touch(ids[op != UNMAP])
        _settle_mappers(mem, shares, window, at, page, outcome)
    if mem.trace.has_repeats:
        _count_repeats(mem, window, at, outcome)


def _map_cache_only(mem: Memory, window: Window) -> None:
    # The first touch of a page that only the swap cache knows is a minor fault and maps it; a free just drops it.
    ids, op = window.ids[: window.stop], window.op[: window.stop]
    acts = np.flatnonzero(mem.cache_only.take(ids) & (op != UNMAP))
    pages, first = np.unique(ids[acts], return_index=True)
    touched = acts[first][op[acts[first]] != FREE]
    mem.count["swap_cache"] += touched.size
    if mem.trace.shares is not None:  # one fault, not two
        further = mem.trace.shares.is_further[window.start + touched]
        mem.count["minor_fault"] -= int(np.count_nonzero(further))
    mem.cache_only[pages] = False
    mem.has_cache_only = bool(mem.cache_only.any())


def _count(mem: Memory, op: NDArray[np.uint8], outcome: NDArray[np.uint8]) -> None:
    reads, writes, frees, unmaps = np.bincount(op, minlength=N_OPS).tolist()
    mem.count["accesses"] += op.size
    mem.count["reads"] += reads
    mem.count["writes"] += writes
    mem.count["frees"] += frees + unmaps
    for name, n in zip(OUTCOMES, np.bincount(outcome, minlength=_FREED).tolist(), strict=False):
        mem.count[name] += n
    mem.count["dram_hit"] += op.size - unmaps - outcome.size


def _store_in_place(mem: Memory, page: Pages, outcome: NDArray[np.uint8], size_after: NDArray[np.int64]) -> None:
    written = np.flatnonzero(size_after >= 0)
    pages = page[written]
    is_last = np.ones(pages.size, np.bool_)
    is_last[:-1] = pages[1:] != pages[:-1]
    pages, size = pages[is_last], size_after[written[is_last]]
    mem.cram_bytes += int((size - mem.stored.take(pages)).sum())
    mem.stored[pages] = size
    mem.writable += int(np.count_nonzero(outcome == _MADE))
    if mem.plan.cram is not None and mem.plan.cram.is_device_budget:
        mem.credits -= written.size


def _leave(mem: Memory, page: Pages, outcome: NDArray[np.uint8], was: NDArray[np.uint8]) -> None:
    from_zswap = page[was == ZSWAP]
    if from_zswap.size:
        mem.pool_remove(from_zswap)
    from_cram = page[_leaves_cram(outcome, was)]
    if from_cram.size:
        mem.writable -= int(np.count_nonzero((outcome == _PROMOTE) & (was == CRAM_WRITABLE)))
        mem.cram_release(from_cram)
    unseen = page[(outcome == _FREED) & (was == CRAM_WRITABLE)]
    if unseen.size:  # their swap slots were reaped: the kernel misses the free
        mem.make_zombies(unseen)


def _slots_and_copies(mem: Memory, ids: Pages, op: NDArray[np.uint8], page: Pages, outcome: NDArray[np.uint8]) -> None:
    loaded = page[outcome == _PSWPIN]
    if loaded.size:
        for device, n in enumerate(np.bincount(mem.slot.take(loaded)).tolist()):
            mem.device_in[device] += n
        if mem.plan.zram is not None:
            count_reads(mem, loaded[mem.is_on_zram(loaded)])
    if mem.plan.holds_slots:
        mem.release_slots(page[outcome == _MADE])  # its swap entry is reaped, and with it the slot
        loaded = page[_IS_SWAP_IN.take(outcome)] if not mem.is_tier else page[_IS_LOAD.take(outcome)]
    if mem.half_full:
        mem.release_slots(loaded)
    elif mem.plan.zram is not None:  # its slots go at once
        mem.release_slots(loaded[mem.slot.take(loaded) == mem.plan.zram.device])
    freed = page[outcome == _FREED]
    if freed.size:
        mem.release_slots(np.unique(freed))
    mem.clean[ids[op == WRITE]] = False


def _set_content(mem: Memory, window: Window, at: Pages, page: Pages, outcome: NDArray[np.uint8]) -> None:
    # A first touch sets the page's first content, a copy its source's, a drawing write a new one; the last stays.
    is_new = (outcome == _FIRST_TOUCH) | (outcome == _COPY)
    new_at, new_page = at[is_new], page[is_new]
    first = mem.trace.first_rows(new_page, new_at + window.start)
    if mem.trace.shares is not None and mem.trace.shift_at.size:
        _copy_contents(mem, mem.trace.shares, window, new_at, new_page, first)
    if window.row is None:
        mem.content[new_page] = first
        return
    row = np.full(window.stop, -1, np.int32)
    row[new_at] = first
    drawn = window.row[: window.stop]
    row[drawn >= 0] = drawn[drawn >= 0]
    changed = np.flatnonzero(row >= 0)
    mem.content[window.ids[changed]] = row[changed]


def _copy_contents(
    mem: Memory, shares: Shares, window: Window, at: Pages, page: Pages, first: NDArray[np.int32]
) -> None:
    # A shared page is never redrawn: a copy holds what its source was first touched with, in this window or before.
    source = shares.copied_from[at + window.start].astype(np.int64)
    copies = np.flatnonzero(source >= 0)
    shift = int(window.stop).bit_length()
    touched = (page << shift) | at  # ascending: pages are sorted, and times within them
    before = touched.searchsorted((source[copies] << shift) | at[copies]) - 1
    is_in_window = (before >= 0) & (page[before] == source[copies])
    first[copies] = np.where(is_in_window, first[before], mem.content.take(source[copies]))


def _state_after(outcome: NDArray[np.uint8], was: NDArray[np.uint8]) -> NDArray[np.uint8]:
    after = _STATE_AFTER.take(outcome)
    after[(outcome == _READ) & (was == CRAM_WRITABLE)] = CRAM_WRITABLE
    return after


def _settle_mappers(
    mem: Memory, shares: Shares, window: Window, at: Pages, page: Pages, outcome: NDArray[np.uint8]
) -> None:
    # Who has which page mapped, after the window: soft faults map, then copies and unmaps take mappers away.
    stretch = slice(window.start, window.start + window.stop)
    is_further = shares.is_further[stretch]
    mem.count["minor_fault"] += int(np.count_nonzero(is_further))
    mem.count["minor_fault"] -= int(np.count_nonzero(is_further[at[outcome != _HIT]]))
    bit = shares.bit[stretch]
    mapped = np.flatnonzero((outcome == _SOFT) & (mem.state.take(page) == CRAM_READONLY))
    np.bitwise_or.at(mem.readonly, page[mapped], bit[at[mapped]])
    leaves = shares.leaves[stretch]
    leaving = np.flatnonzero(leaves >= 0)
    if leaving.size:
        left = leaves[leaving].astype(np.int64)
        for sets in (mem.mappers, mem.readonly):
            np.bitwise_and.at(sets, left, ~bit[leaving])
        still = left[(mem.state.take(left) == CRAM_READONLY) & (mem.readonly.take(left) == 0)]
        mem.state[still] = CRAM_SOFTLEAF


def _count_repeats(mem: Memory, window: Window, at: Pages, outcome: NDArray[np.uint8]) -> None:
    # Priced where the page lies after the record: DRAM unless the record was served in CRAM or was a free.
    in_cram = at[(outcome == _SOFT) | (outcome == _READ) | (outcome == _WRITE) | (outcome == _MADE)]
    unserved = np.flatnonzero(window.op[: window.stop] >= FREE)
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
