"""Classify a whole window of accesses with array operations.

Between reclaims nothing leaves DRAM except what the program frees, so the
outcome of every access follows from the page's state at the window's start
and from the accesses to the same page before it in the window. ``classify``
works that out and finds the place where the window must stop, the first
access that needs a reclaim. ``ahead`` may move that place on; ``settle``
carries out what comes before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vswaplab.engine.vectorised.logs import joined
from vswaplab.engine.vectorised.memory import Mask, Memory, Pages, which
from vswaplab.engine.vectorised.states import (
    COPIED,
    CRAM_POISONED,
    CRAM_READ,
    CRAM_READONLY,
    CRAM_SOFTLEAF,
    CRAM_WRITABLE,
    CRAM_WRITE,
    DRAM_HIT,
    FAULT_OF_STATE,
    FREE,
    FREED,
    MADE_WRITABLE,
    N_STATES,
    NEEDS_FRAME,
    NONE,
    PROMOTE,
    RESIDENT,
    SOFT_FAULT,
    STORE,
    SWAPFILE,
    UNMAP,
    WRITE,
    ZSWAP,
)

_NEVER = 1 << 62
_FEW, _MANY, _ROUNDS = 64, 2048, 8  # speed settings of ``Touches.read_on``
_STATE_BITS = 8
_PAGE_BITS, _AT_SHIFT = (1 << 31) - 1, 31 + _STATE_BITS
_NO_PAGES: Pages = np.empty(0, np.int64)


@dataclass
class Special:
    """Accesses that need a closer look, in time order; arrays are parallel."""

    at: Pages
    """Place in the window."""
    page: Pages
    outcome: NDArray[np.uint8]
    was: NDArray[np.uint8]
    """State of the page just before the access, as a ``State``."""

    def before(self, n: int) -> Special:
        """Keep those at the window's first n places."""
        k = int(self.at.searchsorted(n))
        return Special(self.at[:k], self.page[:k], self.outcome[:k], self.was[:k])

    def take(self, index: Pages) -> Special:
        """Keep those at these places of the arrays."""
        return Special(
            self.at.take(index), self.page.take(index), self.outcome.take(index), self.was.take(index)
        )  # fmt: skip


@dataclass
class Touches:
    """The accesses of a window, in time order; arrays are parallel."""

    page: NDArray[np.int32]
    op: NDArray[np.uint8]
    next_at: NDArray[np.int32]
    """Place in the piece of the trace of the next access to the same page; the piece's length: none."""
    first: int
    """Place in the piece of the window's first access."""

    def read_on(self, at: Pages, stop: int) -> tuple[Pages, Pages]:
        """List accesses to the same pages that come after these, before a stop, up to the first write of each page.

        Parameters
        ----------
        at : places in the window
            Each of another page.
        stop : place in the window

        Returns
        -------
        later : places in the window, in no order
        of : which of ``at`` each comes after
        """
        of = np.arange(at.size)
        found: list[Pages] = []
        owners: list[Pages] = []
        while at.size > _FEW and len(found) < _ROUNDS:
            at, of = self._read_once_more(at, of, stop)
            found.append(at)
            owners.append(of)
        if at.size:
            at, of = self._read_on_singly(at, of, stop) or self._read_on_at_once(at, of, stop)
            found.append(at)
            owners.append(of)
        return joined(found), joined(owners)

    def _read_once_more(self, at: Pages, of: Pages, stop: int) -> tuple[Pages, Pages]:
        after = self.next_at.take(at) - self.first
        index = which((after < stop) & (self.op.take(at) != WRITE))
        return after.take(index).astype(np.int64), of.take(index)

    def _read_on_singly(self, at: Pages, of: Pages, stop: int) -> tuple[Pages, Pages] | None:
        # The same for all that is left, in plain Python; None: too many for that.
        op, next_at, first = self.op.data, self.next_at.data, self.first
        later: list[int] = []
        owner: list[int] = []
        for i, k in zip(at.tolist(), of.tolist(), strict=True):
            n = len(later)
            while op[i] != WRITE and (i := next_at[i] - first) < stop:
                later.append(i)
                if len(later) > _MANY:
                    return None
            owner += [k] * (len(later) - n)
        return np.array(later, np.int64), np.array(owner, np.int64)

    def _read_on_at_once(self, at: Pages, of: Pages, stop: int) -> tuple[Pages, Pages]:
        # The same with a look at every access of the window: for pages that are accessed very often.
        order = self.page.take(at).argsort()
        pages = self.page.take(at).take(order)
        rank = np.minimum(pages.searchsorted(self.page[:stop]), pages.size - 1)
        is_one = (pages.take(rank) == self.page[:stop]) & (self.op[:stop] != UNMAP)
        later = which(is_one & (np.arange(stop) >= at.take(order).take(rank)))
        owner = order.take(rank.take(later))
        by_page = _by_page(owner)
        later, owner = later.take(by_page), owner.take(by_page)
        is_first = np.append(True, owner[1:] != owner[:-1])
        keep = which(~is_first & (_earlier(self.op.take(later) == WRITE, is_first) == 0))
        return later.take(keep), of.take(owner.take(keep))

    def are_first(self, at: Pages) -> Mask:
        """Say which of all accesses to some pages are their page's first in the window."""
        is_first = np.ones(self.page.size, np.bool_)
        after = self.next_at.take(at) - self.first
        is_first[after[after < is_first.size]] = False
        first: Mask = is_first.take(at)
        return first


@dataclass
class InPlace:
    """Special writes that stay on the CRAM device, by page and then by time; arrays are parallel."""

    at: Pages
    page: Pages
    size: NDArray[np.int64]
    """Bytes on the media after the write."""

    def before(self, n: int) -> InPlace:
        """Keep those at the window's first n places."""
        keep = which(self.at < n)
        return InPlace(self.at[keep], self.page[keep], self.size[keep])


@dataclass
class _Runs:
    # Special accesses whose page's history in the window matters, by page and then by time. A run is a page's
    # accesses up to and including a free; what follows a free starts at NONE.
    index: Pages
    is_first: Mask


_NO_RUNS = _Runs(_NO_PAGES, np.empty(0, np.bool_))


@dataclass
class Window:
    """A classified stretch of accesses.

    Every access that is not special is a DRAM hit, unless its page leaves DRAM
    in the window.
    """

    start: int
    touches: Touches
    freed: Pages
    """Pages freed in the window."""
    has_frees: bool
    """Some access frees or unmaps its page."""
    special: Special
    free_at: NDArray[np.int64]
    """(special + 1,) free DRAM before each of them, and at the window's end, if nothing is reclaimed; charge units."""
    n_frames: int
    """Accesses that make a page resident."""
    needs: Pages
    """Places of the accesses that make a page resident, in time order; without the first one's if it has
    had its reclaim."""
    free_before: NDArray[np.int64]
    """Free DRAM before each of them if nothing is reclaimed in the window, charge units."""
    row: NDArray[np.int32] | None
    """(window,) content each write draws, -1: none. None: no write draws."""
    in_place: InPlace | None
    """None: no write stays on the device."""
    limit: int = 0
    """Accesses of the window that array operations can serve."""
    stop: int = 0
    """Accesses of the window that may be settled."""
    wants_reclaim: bool = False
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
    first = start - mem.trace.start
    stretch = slice(first, stop - mem.trace.start)
    pages, op, next_at = mem.trace.page[stretch], mem.trace.op[stretch], mem.trace.index.next_at[stretch]
    has_frees = mem.trace.index.has_frees(first, first + pages.size)
    freed = pages[op == FREE].astype(np.int64) if has_frees else _NO_PAGES
    touches = Touches(pages, op, next_at, first)
    row = mem.trace.drawn.rows(start, stop)
    missed = which(mem.log.is_elsewhere[stretch])
    runs = _NO_RUNS
    if freed.size or mem.has_budget:
        special, runs = _with_histories(mem, touches, missed, freed, start)
    else:
        special = _outcomes(mem, touches, missed, stop - start)
        _by_mapper(mem, special, start, special.page)
    _copies(mem, special, start)
    at = special.at
    free_at = np.empty(at.size + 1, np.int64)
    free_at[0] = mem.free_charge
    needs_frame = NEEDS_FRAME.take(special.outcome)
    _frame_changes(mem, special, needs_frame, has_free=freed.size > 0).cumsum(out=free_at[1:])
    free_at[1:] += mem.free_charge
    index = which(needs_frame)
    n_frames = index.size
    if has_reclaimed and index.size and at[index[0]] == 0:
        index = index[1:]
    window = Window(
        start, touches, freed, has_frees, special, free_at, n_frames, at.take(index), free_at.take(index), row,
        _writes_in_place(mem, special, runs, row),
    )  # fmt: skip
    window.limit = min(pages.size, _one_by_one_at(mem, window))
    _find_stop(mem, window)
    return window


def classify_again(mem: Memory, window: Window, at: Pages) -> Special:
    """Work out the outcome of accesses to pages that left DRAM in the window before they were touched.

    Parameters
    ----------
    mem : Memory
        With those pages where they went.
    window : Window
    at : places in the window before its stop, ascending
        The first access to each of them.
    """
    special = _outcomes(mem, window.touches, at, window.stop)
    _by_mapper(mem, special, window.start, special.page)
    return special


def _outcomes(mem: Memory, touches: Touches, missed: Pages, stop: int) -> Special:
    # ``missed`` are the first accesses to pages that are not in DRAM. Further ones are hits, but that a page of the
    # device is read in place up to the first write, which promotes.
    page = touches.page.take(missed).astype(np.int64)
    at, was = missed, mem.state.take(page)
    if mem.plan.cram is None:
        return Special(at, page, FAULT_OF_STATE.take(was), was)
    later, _ = touches.read_on(missed.take(which(was >= CRAM_SOFTLEAF)), stop)
    if later.size:
        later.sort()
        key = np.concatenate(
            (
                (missed << _AT_SHIFT) | (page << _STATE_BITS) | was,
                (later << _AT_SHIFT) | (touches.page.take(later).astype(np.int64) << _STATE_BITS) | CRAM_READONLY,
            )
        )
        key.sort(kind="stable")  # which merges what is in order already
        at, page = key >> _AT_SHIFT, (key >> _STATE_BITS) & _PAGE_BITS
        was = key.astype(np.uint8)
    is_write = touches.op.take(at) == WRITE
    return Special(at, page, _OF_BOTH.take(was + is_write * np.uint8(N_STATES)), was)


def _with_histories(mem: Memory, touches: Touches, missed: Pages, freed: Pages, start: int) -> tuple[Special, _Runs]:
    # Where pages are freed, or may be written on the device, all accesses to those pages are special. Of others only
    # the first one is, if the page is not in DRAM.
    page = touches.page.take(missed).astype(np.int64)
    in_cram = which(mem.state.take(page) >= CRAM_SOFTLEAF)
    mask = mem.are_among(touches.page, np.concatenate((page.take(in_cram), freed)))
    if mem.trace.shares is not None:
        mask &= touches.op != UNMAP
    mask[missed] = True
    at = which(mask)
    page, op, is_first = touches.page.take(at).astype(np.int64), touches.op.take(at), touches.are_first(at)
    state = mem.state.take(page)
    was = np.where(is_first, state, np.uint8(RESIDENT))
    special = Special(at, page, FAULT_OF_STATE.take(was), was)
    has_history = state >= CRAM_SOFTLEAF
    if freed.size:
        has_history |= mem.are_among(page, freed)
    index = which(has_history)
    if not is_first.take(index).all():
        index = index.take(_by_page(page.take(index)))
    runs = _Runs(index, is_first.take(index))
    if index.size:
        history = special.take(index)
        _follow_runs(mem, history, runs, state.take(index), op.take(index), start, has_free=freed.size > 0)
        special.outcome[index], special.was[index] = history.outcome, history.was
    return special, runs


def _by_page(page: Pages) -> Pages:
    # The order by page and then by time: one packed key sorts much faster than an argsort.
    shift = int(page.size).bit_length()
    key = (page << shift) | np.arange(page.size)
    key.sort()
    return key & ((1 << shift) - 1)


def _follow_runs(
    mem: Memory,
    history: Special,
    runs: _Runs,
    state: NDArray[np.uint8],
    op: NDArray[np.uint8],
    start: int,
    *,
    has_free: bool,
) -> None:
    # Outcomes access after access, page by page; all arrays are parallel to the runs.
    at, outcome, was = history.at, history.outcome, history.was
    is_free = op == FREE
    if has_free:
        state = np.where(_earlier(is_free, runs.is_first) > 0, NONE, state).astype(np.uint8)
        runs.is_first[1:] |= is_free[:-1]
        outcome[:] = np.where(runs.is_first, FAULT_OF_STATE.take(state), np.uint8(DRAM_HIT))
        was[:] = np.where(runs.is_first, state, np.uint8(RESIDENT))
    in_cram = which(state >= CRAM_SOFTLEAF)
    if in_cram.size:
        outcome[in_cram], was[in_cram] = _cram_outcomes(
            mem, at.take(in_cram), op.take(in_cram), state.take(in_cram), runs.is_first.take(in_cram)
        )
    if has_free:
        outcome[is_free] = FREED
    _by_mapper(mem, history, start, _first_of_run(runs.is_first))


def _earlier(mask: Mask, is_first: Mask) -> Pages:
    # How many there are earlier in the same run, or of the same page.
    count: Pages = mask.cumsum()
    count -= mask
    run = is_first.cumsum()
    run -= 1
    count -= count.take(which(is_first)).take(run)
    return count


def _first_of_run(is_first: Mask) -> Pages:
    first: Pages = np.maximum.accumulate(np.where(is_first, np.arange(is_first.size), 0))
    return first


def _cram_outcomes(
    mem: Memory, at: Pages, op: NDArray[np.uint8], state: NDArray[np.uint8], is_first: Mask
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    # Reads stay in place up to the first write that the budget does not let happen there: it promotes.
    is_write = op == WRITE
    if mem.has_budget:
        return _with_budget(mem, at, is_write, state, is_first)
    was = np.where(is_first, state, np.maximum(state, np.uint8(CRAM_READONLY)))
    was[_earlier(is_write, is_first) > 0] = RESIDENT
    return _OF_BOTH.take(was + is_write * np.uint8(N_STATES)), was


_OF_READ, _OF_WRITE = FAULT_OF_STATE.copy(), FAULT_OF_STATE.copy()
_OF_READ[[CRAM_SOFTLEAF, CRAM_READONLY, CRAM_WRITABLE, CRAM_POISONED]] = [SOFT_FAULT, CRAM_READ, CRAM_READ, CRAM_READ]
_OF_WRITE[[CRAM_SOFTLEAF, CRAM_READONLY, CRAM_WRITABLE, CRAM_POISONED]] = PROMOTE
_OF_BOTH = np.concatenate((_OF_READ, _OF_WRITE))
"""Outcome of an access where no page of the device may be written, by state; reads and then writes."""


def _with_budget(
    mem: Memory, at: Pages, is_write: Mask, state: NDArray[np.uint8], is_first: Mask
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    asks = is_write & (state != CRAM_POISONED)
    is_in_place = _within_budget(mem, at, asks, state, is_first)
    is_refused = asks & ~is_in_place
    was = np.where(is_first, state, np.maximum(state, np.uint8(CRAM_READONLY)))
    was[_earlier(is_in_place, is_first) > 0] = CRAM_WRITABLE
    was[_earlier(is_refused, is_first) > 0] = RESIDENT
    outcome = np.where(is_write, np.uint8(CRAM_WRITE), np.uint8(CRAM_READ))
    outcome[(was == CRAM_SOFTLEAF) & ~is_write] = SOFT_FAULT
    outcome[is_in_place & (was < CRAM_WRITABLE)] = MADE_WRITABLE
    outcome[is_refused] = PROMOTE
    outcome[was == RESIDENT] = DRAM_HIT
    return outcome, was


def _by_mapper(mem: Memory, special: Special, start: int, group: Pages) -> None:
    # Each mapper has a mapping of its own: it faults on its first read of those in a group, a page's accesses up to a
    # free, unless it was mapped before the window.
    if mem.trace.shares is None:
        return
    outcome = special.outcome
    reads = which(((outcome == SOFT_FAULT) | (outcome == CRAM_READ)) & (special.was < CRAM_WRITABLE))
    if not reads.size:
        return
    bit = mem.trace.shares.bit.take(special.at.take(reads) + start)
    shift = int(reads.size).bit_length()  # one packed key sorts much faster than a lexsort; reads are in time order
    key = (((group.take(reads) << 8) | bit) << shift) | np.arange(reads.size)
    key.sort()
    order, owner = key & ((1 << shift) - 1), key >> shift
    faults = np.ones(reads.size, np.bool_)
    np.not_equal(owner[1:], owner[:-1], out=faults[1:])
    reads, bit = reads.take(order), bit.take(order)
    faults &= mem.readonly.take(special.page.take(reads)) & bit == 0
    outcome[reads] = np.where(faults, SOFT_FAULT, CRAM_READ)


def _copies(mem: Memory, special: Special, start: int) -> None:
    if mem.trace.shares is not None:
        special.outcome[mem.trace.shares.copied_from.take(special.at + start) >= 0] = COPIED


def _within_budget(mem: Memory, at: Pages, asks: Mask, state: NDArray[np.uint8], is_first: Mask) -> Mask:
    # Which writes happen in place. The host's budget is taken by the first write to a page, the device's by each.
    cram = mem.plan.cram
    assert cram is not None
    if cram.is_device_budget:
        return _earliest(at, asks, mem.credits)
    left = 0 if cram.is_tier else cram.budget - mem.writable
    made = _earliest(at, asks & (_earlier(asks, is_first) == 0) & (state < CRAM_WRITABLE), left)
    run_first = _first_of_run(is_first)
    is_granted = np.zeros(at.size, np.bool_)
    is_granted[run_first[made]] = True
    within: Mask = asks & (is_granted[run_first] | (state == CRAM_WRITABLE))
    return within


def _earliest(at: Pages, asks: Mask, n: int) -> Mask:
    # The n earliest of those that ask.
    chosen = np.zeros(at.size, np.bool_)
    if n > 0:
        asking = which(asks)
        chosen[asking[np.argsort(at[asking])[:n]]] = True
    return chosen


def _writes_in_place(mem: Memory, special: Special, runs: _Runs, row: NDArray[np.int32] | None) -> InPlace | None:
    # A write that draws nothing still stores the page's content.
    cram = mem.plan.cram
    if cram is None or not mem.has_budget:
        return None
    outcome = special.outcome.take(runs.index)
    places = which((outcome == CRAM_WRITE) | (outcome == MADE_WRITABLE))
    if not places.size:
        return None
    index = runs.index.take(places)
    at, page = special.at.take(index), special.page.take(index)
    size = mem.stored.take(page).astype(np.int64)
    if row is not None:
        run = _first_of_run(runs.is_first).take(places)
        drawn = row[at]
        last = np.maximum.accumulate(np.where(drawn >= 0, np.arange(at.size), -1))
        has = (last >= 0) & (run[last] == run)
        size[has] = cram.bytes_of_row.take(drawn[last[has]])
    return InPlace(at, page, size)


def _frame_changes(mem: Memory, special: Special, needs_frame: Mask, *, has_free: bool) -> NDArray[np.int64]:
    # Charge units of free DRAM that each access gives (+) or takes (-).
    plan, page, outcome, was = mem.plan, special.page, special.outcome, special.was
    change = np.multiply(needs_frame, -plan.page_charge, dtype=np.int64)
    if has_free:
        change[(outcome == FREED) & (was == RESIDENT)] = plan.page_charge
    if plan.zswap is not None:
        leaves = which(was == ZSWAP)
        change[leaves] += plan.zswap.charge_of_length.take(mem.stored.take(page.take(leaves)))
    if plan.stores:
        leaves = which(was == STORE)
        change[leaves] += mem.store_charge(page.take(leaves))
    if plan.zram is not None:
        leaves = which(was == SWAPFILE)
        pages = page[leaves]
        length = np.where(mem.is_on_zram(pages), mem.stored.take(pages), 0)
        change[leaves] += np.where(length > 0, plan.zram.charge_of_length.take(length), 0)
    if plan.cram is not None and plan.cram.charge:
        change[leaves_cram(special, has_frees=has_free)] += plan.cram.charge
    return change


def _find_stop(mem: Memory, window: Window) -> None:
    # The first access that must wait for a frame, unless the window ends before it.
    plan = mem.plan
    waits = which(window.free_before < (plan.low + 1) * plan.page_charge)
    reclaim_at = int(window.needs[waits[0]]) if waits.size else _NEVER
    window.stop = min(window.limit, reclaim_at)
    window.wants_reclaim = window.stop == reclaim_at


def _one_by_one_at(mem: Memory, window: Window) -> int:
    # Poison touched, media overrun, or a budget slot handed back at once by a freed writable page.
    cram = mem.plan.cram
    if cram is None or not mem.has_budget:
        return _NEVER
    special = window.special
    rare = special.was == CRAM_POISONED
    if cram.reaper_period == 0:
        rare |= (special.outcome == FREED) & (special.was == CRAM_WRITABLE)
    first = int(special.at[rare].min()) if rare.any() else _NEVER
    return first if cram.is_device_budget else min(first, _overrun_at(mem, window, cram.media_bytes))


def _overrun_at(mem: Memory, window: Window, media_bytes: int) -> int:
    in_place = window.in_place
    if in_place is None or window.row is None:
        return _NEVER
    special, page = window.special, in_place.page
    grows = np.zeros(window.touches.page.size, np.int64)
    before = mem.stored.take(page).astype(np.int64)
    same_page = page[1:] == page[:-1]
    before[1:][same_page] = in_place.size[:-1][same_page]
    grows[in_place.at] = in_place.size - before
    change = grows.copy()
    cram = mem.plan.cram
    if cram is not None and cram.flush_period == 0:
        leaves = which(leaves_cram(special, has_frees=window.has_frees))
        change[special.at[leaves]] -= mem.stored.take(special.page[leaves])
    over = which((grows > 0) & (mem.media_bytes + change.cumsum() > media_bytes))
    return int(over[0]) if over.size else _NEVER


def leaves_cram(special: Special, *, has_frees: bool) -> Mask:
    """Say which accesses make a page leave the CRAM device.

    Zombies do not leave: only promotions, and frees of pages that were never writable.
    """
    leaves: Mask = special.outcome == PROMOTE
    if has_frees:
        leaves |= (special.outcome == FREED) & ((special.was == CRAM_SOFTLEAF) | (special.was == CRAM_READONLY))
    return leaves


def goes_from_cram(special: Special) -> Mask:
    """Say which accesses take a page away from those of the device that writeback may choose: zombies go too."""
    goes: Mask = leaves_cram(special, has_frees=True) | ((special.outcome == FREED) & (special.was == CRAM_WRITABLE))
    return goes
