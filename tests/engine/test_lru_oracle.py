"""A swapfile behind a DRAM of low 0 and high 1 is textbook LRU, miss for miss."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest

import vswaplab as vl
from vswaplab.base.backing import Op

N_PAGES, N_ACCESSES = 120, 1_000
STREAMS = {
    "zipf": vl.zipf(n_pages=N_PAGES, n_accesses=N_ACCESSES, seed=1),
    "uniform": vl.uniform(n_pages=N_PAGES, n_accesses=N_ACCESSES, seed=2),
    "loop": vl.loop(n_pages=N_PAGES, n_accesses=N_ACCESSES, seed=3),
    "scan": vl.scan(n_pages=N_PAGES, n_accesses=N_ACCESSES, seed=4),
    "phases": vl.phases(n_pages=N_PAGES, n_accesses=N_ACCESSES, seed=5),
}
HEAD = 20_000
"""Accesses of a shipped trace."""
SHIPPED = vl.shipped_traces()["path"].to_list()


def oracle(page: np.ndarray, op: np.ndarray, capacity: int) -> list[bool]:
    """Say which accesses miss: an LRU of ``capacity`` pages, written down once more."""
    stack: OrderedDict[int, None] = OrderedDict()
    misses = []
    for number, what in zip(page.tolist(), op.tolist(), strict=True):
        if what == Op.FREE:
            stack.pop(number, None)
            misses.append(False)
            continue
        misses.append(number not in stack)
        stack[number] = None
        stack.move_to_end(number)
        if len(stack) > capacity:
            stack.popitem(last=False)
    return misses


def plain(capacity: int, n_pages: int) -> vl.Machine:
    return vl.Machine(vl.Dram(capacity, low=0, high=1), swapfiles=[vl.Swapfile(n_pages)])


def n_misses(trace: vl.Trace, capacity: int, **settings: object) -> int:
    totals = vl.simulate(trace, plain(capacity, trace.n_pages), **settings).totals
    return totals["accesses"] - totals["frees"] - totals["dram_hit"]


def with_frees(trace: vl.Trace) -> vl.Trace:
    op = np.where(np.random.default_rng(0).random(len(trace)) < 0.1, Op.FREE, trace.op)
    return vl.Trace(trace.page, op, n_pages=trace.n_pages)


@pytest.mark.parametrize("engine", ["vectorised", "reference"])
@pytest.mark.parametrize("capacity", [1, 40, N_PAGES - 1, N_PAGES])
@pytest.mark.parametrize("name", STREAMS)
def test_plain_lru__equals_the_oracle_miss_for_miss(name, capacity, engine):
    trace = STREAMS[name]
    expected = oracle(trace.page, trace.op, capacity)
    result = vl.simulate(trace, plain(capacity, N_PAGES), engine=engine, epoch_accesses=50)
    seen = result.epochs["accesses"] - result.epochs["dram_hit"]
    assert seen.to_list() == np.array(expected).reshape(-1, 50).sum(1).tolist()
    assert result.totals["first_touch"] == np.unique(trace.page).size
    assert result.totals["reclaim_runs"] == max(0, sum(expected) - capacity)


@pytest.mark.parametrize("capacity", [1, 13, 60])
def test_plain_lru__equals_the_oracle_access_for_access(capacity):
    trace = STREAMS["zipf"].head(500)
    result = vl.simulate(trace, plain(capacity, N_PAGES), epoch_accesses=1)
    assert (result.epochs["dram_hit"] == 0).to_list() == oracle(trace.page, trace.op, capacity)


@pytest.mark.parametrize("capacity", [1, 50])
@pytest.mark.parametrize("name", STREAMS)
def test_plain_lru__equals_the_oracle_when_pages_are_freed(name, capacity):
    trace = with_frees(STREAMS[name])
    assert n_misses(trace, capacity) == sum(oracle(trace.page, trace.op, capacity))


def test_plain_lru__is_a_stack_algorithm():
    # More memory never misses more: the inclusion property.
    trace = STREAMS["phases"]
    misses = [n_misses(trace, capacity) for capacity in (1, 20, 60, 119, 120)]
    assert misses == sorted(misses, reverse=True)
    assert misses[-1] == np.unique(trace.page).size


def test_plain_lru__never_hits_a_loop_one_page_longer_than_the_memory():
    trace = vl.loop(n_pages=51, n_accesses=255)
    assert n_misses(trace, 50) == 255
    assert n_misses(trace, 51) == 51


def stack_distances(page: np.ndarray) -> np.ndarray:
    stack: list[int] = []
    distances = []
    for number in page.tolist():
        distances.append(stack.index(number) if number in stack else 1 << 30)
        if number in stack:
            stack.remove(number)
        stack.insert(0, number)
    return np.array(distances)


def test_a_write_only_chain__splits_hits_by_stack_distance():
    # DRAM of 20 pages before an exclusive device of 30, written only: a write at distance below 20 hits DRAM, below
    # 50 promotes, the rest go to the swapfile. The device is 32 pages for 30 to count: with node_low 1 and
    # node_high 2 every demotion finds 2 free, so 30 pages are there when the reclaim has made room, one more
    # arrives, and then the access looks for its own page among the 30.
    page = np.random.default_rng(7).integers(0, 80, 1_000)
    raw = vl.Profile(
        name="raw", kind="cram", title="raw", algorithm="none", granule_bytes=4096, size_column="raw",
        rounding_bytes=1, metadata_bytes=0, read_ns=1, read_loaded_ns=1, write_ns=1, store_ns=1, load_ns=1,
        advertised_ratio=1.0, ratio_kind="none", tag="guess", guesses="all", source="a test", date="2026-11-23",
    )  # fmt: skip
    calm = dict.fromkeys(("close_at", "open_at", "writeback_high", "writeback_low"), 1.0)
    cram = vl.Cram(32 * 4096, raw, 32 * 4096, node_low=1, node_high=2, **calm)
    machine = vl.Machine(vl.Dram(20, low=0, high=1), cram=cram, swapfiles=[vl.Swapfile(80)])
    corpus = vl.synthetic_corpus(n_regions=1, p_zero=0.0)
    totals = vl.simulate(vl.Trace(page, np.ones(page.size, int), n_pages=80, corpus=corpus), machine).totals
    distances = stack_distances(page)
    assert totals["dram_hit"] == (distances < 20).sum()
    assert totals["cram_promote"] == ((distances >= 20) & (distances < 50)).sum()
    assert totals["first_touch"] + totals["pswpin"] == (distances >= 50).sum()


@pytest.mark.parametrize("path", SHIPPED)
def test_plain_lru__equals_the_oracle_on_shipped_traces(path):
    trace = vl.load_trace(path).head(HEAD)
    pages = np.unique(trace.page).size
    capacity = max(1, pages // 4)
    trace = vl.Trace(trace.page, trace.op, n_pages=trace.n_pages)  # whatever the recorder's block: the stream as it is
    assert n_misses(trace, capacity) == sum(oracle(trace.page, trace.op, capacity))


@pytest.mark.parametrize("name", STREAMS)
def test_plain_lru__equals_libcachesim(name):
    lcs = pytest.importorskip("libcachesim", reason="libcachesim is not installed (extra 'bench')")
    trace, capacity = STREAMS[name], 40
    cache = lcs.LRU(cache_size=capacity)
    request = lcs.Request()
    request.obj_size = 1
    misses = 0
    for number in trace.page.tolist():
        request.obj_id = number
        misses += not cache.get(request)
    assert n_misses(trace, capacity) == misses


@pytest.mark.parametrize("seed", range(5))
def test_textbook_lru_ahead__beside_a_tier_whose_pages_stay_charged(seed):
    # Under memory.max a tier's pages take of the capacity that residents have: fewer pages fit.
    rng = np.random.default_rng(seed)
    trace = vl.Trace(rng.integers(0, 250, 3_000), np.zeros(3_000, int), n_pages=250)
    cram = vl.Cram(1 << 17, advertised_bytes=1 << 17, mode="tier", close_at=0.25, open_at=0.2, report_lag=400)
    machine = vl.Machine(vl.Dram(90, low=0, high=1), cram, swapfiles=[vl.Swapfile(2_000)])
    fast, slow = (vl.simulate(trace, machine, engine=engine) for engine in ("vectorised", "reference"))
    assert fast.totals["cram_in"] > 0
    assert fast.totals["cram_refused_gate"] > 0
    assert fast.totals == slow.totals
