"""The chain of row 2 one access at a time, for numba to compile: a yardstick, and a third opinion on every counter.

The engine's own method without its arrays: a stamp for each page and a hand for
each tier, no linked lists (which take twice as long). Only for the machines of
``bench.streams.chain``: LRU, CRAM as swap whose pages are never written in
place and which reports at once, and slots for every page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import vswaplab as vl
from bench.measure import Side, timed
from vswaplab.base.units import PAGE_SIZE
from vswaplab.engine.plan import FOOTPRINT_PAGE, make_plan

COUNTERS = (
    "dram_hit", "first_touch", "swpin_zero", "pswpin", "zswpin", "cram_soft_fault", "cram_read", "cram_promote",
    "swpout_zero", "clean_drop", "cram_in", "zswpout", "pswpout", "zswpwb",
    "cram_writeback_zero", "cram_writeback_swapfile", "cram_writeback_zswap", "reclaim_runs", "gate_closed_intervals",
    "cram_refused_gate", "cram_refused_full", "cram_refused", "pool_limit_hit", "reject_accept_threshold",
)  # fmt: skip
"""What is counted, by the names of ``Result.totals``."""

(
    _HIT, _FIRST, _ZERO_IN, _SWAP_IN, _ZSWAP_IN, _SOFT_FAULT, _CRAM_READ, _PROMOTE,
    _ZERO_OUT, _CLEAN_DROP, _CRAM_IN, _ZSWAP_OUT, _SWAP_OUT, _ZSWAP_BACK,
    _BACK_TO_ZERO, _, _, _RUNS, _CLOSED,
    _NO_GATE, _NO_PAGE, _NO_MEDIA, _LIMIT, _ACCEPT,
) = range(len(COUNTERS))  # fmt: skip
_NONE, _RESIDENT, _ZERO, _SWAPFILE, _ZSWAP, _SOFTLEAF, _READONLY = range(7)


class Marks(NamedTuple):
    """Limits of a machine: free frames, bytes on the device, units of the pool's footprint."""

    capacity: int
    high: int
    device_pages: int
    media: int
    close: int
    open: int
    write_above: int
    write_down_to: int
    pool_max: int
    pool_accept: int


class Contents(NamedTuple):
    """What a page of each content takes, (n_contents,)."""

    is_zero: NDArray[np.bool_]
    cram: NDArray[np.int64]
    length: NDArray[np.int64]
    footprint: NDArray[np.int64]


def count_chain(
    accesses: NDArray[np.int32], op: NDArray[np.uint8], content: NDArray[np.int32], marks: Marks, contents: Contents
) -> NDArray[np.int64]:
    """Simulate accesses and count; one function, as compiled code keeps its sums in registers only then."""
    n, n_pages = accesses.size, content.size
    is_zero, cram_bytes, length, footprint = contents
    count = np.zeros(len(COUNTERS), np.int64)
    state, is_clean = np.zeros(n_pages, np.uint8), np.zeros(n_pages, np.uint8)
    last, queued_at = np.zeros(n_pages, np.int32), np.zeros(n_pages, np.int32)
    n_resident = hand = 0
    free, short, enough = marks.capacity, PAGE_SIZE, marks.high * PAGE_SIZE
    # Of the device: pages that came with their last access, and accesses there. Of zswap: one log, its queue.
    arrived, arrived_at, accessed_at = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32)
    n_arrived = n_accessed = arrived_hand = accessed_hand = 0
    n_on_device = stored = 0
    is_open = True
    queue, is_referenced = np.empty(2 * n, np.int32), np.empty(2 * n, np.uint8)
    n_queued = queue_hand = n_in_pool = pool = 0
    is_full = False
    for now in range(n):
        page, is_write = accesses[now], op[now] == 1
        if state[page] != _RESIDENT:
            if free < short and (is_write or state[page] < _SOFTLEAF):  # a reclaim, in the order of rule 1
                count[_RUNS] += 1
                was_open = is_open
                is_open = stored <= marks.open or (is_open and stored < marks.close)
                count[_CLOSED] += was_open and not is_open
                to_write_back = 0
                if stored > marks.write_above:
                    to_write_back = -((marks.write_down_to - stored) * n_on_device // stored)
                while to_write_back or (free < enough and n_resident):
                    is_from_device = to_write_back > 0
                    if is_from_device:  # the older of two heads
                        to_write_back -= 1
                        while arrived_hand < n_arrived:
                            victim = arrived[arrived_hand]
                            if state[victim] >= _SOFTLEAF and last[victim] == arrived_at[arrived_hand]:
                                break
                            arrived_hand += 1
                        while accessed_hand < n_accessed:
                            victim = accesses[accessed_at[accessed_hand]]
                            if state[victim] >= _SOFTLEAF and last[victim] == accessed_at[accessed_hand]:
                                break
                            accessed_hand += 1
                        if accessed_hand == n_accessed or (
                            arrived_hand < n_arrived and arrived_at[arrived_hand] < accessed_at[accessed_hand]
                        ):
                            victim = arrived[arrived_hand]
                            arrived_hand += 1
                        else:
                            victim = accesses[accessed_at[accessed_hand]]
                            accessed_hand += 1
                        n_on_device -= 1
                        stored -= cram_bytes[content[victim]]
                    else:
                        while state[accesses[hand]] != _RESIDENT or last[accesses[hand]] != hand:
                            hand += 1
                        victim = accesses[hand]
                        hand += 1
                        n_resident -= 1
                        free += PAGE_SIZE
                    row = content[victim]
                    if is_zero[row]:  # rule 2
                        goes_to, is_clean[victim] = _ZERO, 0
                        count[_ZERO_OUT] += 1
                    elif is_clean[victim]:
                        goes_to = _SWAPFILE
                        count[_CLEAN_DROP] += 1
                    elif not (is_from_device or not is_open or n_on_device >= marks.device_pages) and (
                        stored + cram_bytes[row] <= marks.media
                    ):
                        goes_to = _SOFTLEAF
                        count[_CRAM_IN] += 1
                        arrived[n_arrived], arrived_at[n_arrived] = victim, last[victim]
                        n_arrived += 1
                        n_on_device += 1
                        stored += cram_bytes[row]
                    else:
                        if not is_from_device:
                            count[_NO_GATE] += not is_open
                            count[_NO_PAGE] += is_open and n_on_device >= marks.device_pages
                            count[_NO_MEDIA] += is_open and n_on_device < marks.device_pages
                        if pool > marks.pool_max:
                            count[_LIMIT] += 1
                            is_full = True
                        is_refused = is_full and pool > marks.pool_accept
                        count[_ACCEPT] += is_refused and pool <= marks.pool_max
                        is_full = is_refused
                        is_clean[victim] = is_refused
                        if is_refused:
                            goes_to = _SWAPFILE
                            count[_SWAP_OUT] += 1
                        else:
                            goes_to = _ZSWAP
                            count[_ZSWAP_OUT] += 1
                            queue[n_queued], is_referenced[n_queued], queued_at[victim] = victim, 1, n_queued
                            n_queued += 1
                            n_in_pool += 1
                            pool += footprint[row]
                            free -= length[row]
                    state[victim] = goes_to
                    if is_from_device:
                        count[_BACK_TO_ZERO + goes_to - _ZERO] += 1
                while is_full and n_in_pool and pool > marks.pool_accept:  # zswap's writeback
                    victim = queue[queue_hand]
                    queue_hand += 1
                    if state[victim] != _ZSWAP or queued_at[victim] != queue_hand - 1:
                        continue
                    if is_referenced[queue_hand - 1]:
                        queue[n_queued], is_referenced[n_queued], queued_at[victim] = victim, 0, n_queued
                        n_queued += 1
                        continue
                    state[victim], is_clean[victim] = _SWAPFILE, 1
                    count[_SWAP_OUT] += 1
                    count[_ZSWAP_BACK] += 1
                    n_in_pool -= 1
                    pool -= footprint[content[victim]]
                    free += length[content[victim]]
            was = state[page]
            if was >= _SOFTLEAF and not is_write:
                count[_SOFT_FAULT if was == _SOFTLEAF else _CRAM_READ] += 1
                state[page] = _READONLY
                accessed_at[n_accessed] = now
                n_accessed += 1
            else:
                if was == _NONE:
                    count[_FIRST] += 1
                elif was >= _SOFTLEAF:
                    count[_PROMOTE] += 1
                    n_on_device -= 1
                    stored -= cram_bytes[content[page]]
                else:
                    count[_ZERO_IN + was - _ZERO] += 1
                    if was == _ZSWAP:
                        n_in_pool -= 1
                        pool -= footprint[content[page]]
                        free += length[content[page]]
                state[page] = _RESIDENT
                n_resident += 1
                free -= PAGE_SIZE
        else:
            count[_HIT] += 1
        last[page] = now
        if is_write:
            is_clean[page] = 0
    return count


def chain_side(trace: vl.Trace, machine: vl.Machine, compiled: Callable[..., Any]) -> Side:
    """Prepare a run of ``count_chain`` as it was compiled; compiling is not on the clock, making its arrays is.

    Its answer are the totals that it counts.
    """
    plan = make_plan(trace, machine, seed=0)
    cram, zswap = plan.cram, plan.zswap
    assert cram is not None
    assert zswap is not None
    marks = Marks(
        plan.capacity_charge, plan.high, cram.device_pages, cram.media_bytes, cram.close_bytes, cram.open_bytes,
        cram.high_bytes, cram.low_bytes, (zswap.max_pages - 1) * FOOTPRINT_PAGE, zswap.accept_pages * FOOTPRINT_PAGE,
    )  # fmt: skip
    length = zswap.length_of_row.astype(np.int64)
    contents = Contents(plan.zero_of_row, cram.bytes_of_row.astype(np.int64), length, zswap.footprint_of_length[length])

    def run(n: int) -> dict[str, int]:
        count = compiled(trace.page[:n], trace.op[:n], trace.content, marks, contents)
        return dict(zip(COUNTERS, count.tolist(), strict=True))

    run(10)
    return lambda: timed(lambda: run(len(trace)))
