"""Policies between floor and ceiling: what theory promises, on random traces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import vswaplab as vl
from vswaplab.engine.plan import make_plan, next_uses
from vswaplab.engine.reference import Reference
from vswaplab.machine.policies import POLICIES
from vswaplab.machine.stores import PageContents

quick = settings(deadline=None, max_examples=40)


@st.composite
def traces(draw: st.DrawFn) -> vl.Trace:
    n_pages, n = draw(st.integers(2, 30)), draw(st.integers(1, 300))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    page = np.minimum(rng.geometric(draw(st.sampled_from([0.05, 0.2, 0.5])), n) - 1, n_pages - 1)
    page = (page + np.arange(n) // draw(st.sampled_from([1, 10, 1000]))) % n_pages
    free = draw(st.sampled_from([0.0, 0.0, 0.1]))
    return vl.Trace(page, rng.choice(3, n, p=[0.7 - free, 0.3, free]), n_pages=n_pages)


def machine(capacity: int, policy: str = "lru") -> vl.Machine:
    """DRAM and a swapfile, one page reclaimed at a time: the textbook's cache."""
    return vl.Machine(vl.Dram(capacity, high=1, policy=policy), swapfiles=[vl.Swapfile(1000)])


def misses(trace: vl.Trace, capacity: int, policy: str) -> int:
    engine = Reference(make_plan(trace, machine(capacity, policy), 0), trace)
    assert engine.run(0, len(trace)) == len(trace)
    return engine.count["accesses"] - engine.count["frees"] - engine.count["dram_hit"]


@pytest.mark.parametrize("policy", ["lru", "clairvoyant"])
@quick
@given(trace=traces(), capacity=st.integers(1, 20), more=st.integers(1, 5))
def test_stack_policies__more_dram_is_never_worse(policy: str, trace: vl.Trace, capacity: int, more: int) -> None:
    assert misses(trace, capacity + more, policy) <= misses(trace, capacity, policy)


def test_fifo__more_dram_may_be_worse() -> None:
    # Belady, Nelson, Shedler, CACM 1969: 9 misses with three frames, 10 with four.
    trace = vl.Trace([0, 1, 2, 3, 0, 1, 4, 0, 1, 2, 3, 4])
    assert [misses(trace, capacity, "fifo") for capacity in (3, 4)] == [9, 10]


@pytest.mark.parametrize(
    ("policy", "cache"), [("fifo", "FIFO"), ("clock", "Clock"), ("sieve", "Sieve"), ("clairvoyant", "Belady")]
)
def test_policies__miss_as_often_as_libcachesim_says(policy: str, cache: str) -> None:
    lcs = pytest.importorskip("libcachesim")  # the extra "bench"
    trace = vl.zipf(n_pages=500, n_accesses=4000, seed=1)
    never, peer, count = np.iinfo(np.int64).max, getattr(lcs, cache)(60), 0
    for index, (page, day) in enumerate(zip(trace.page.tolist(), next_uses(trace).tolist(), strict=True)):
        request = lcs.Request()
        request.obj_id, request.obj_size, request.clock_time = page, 1, index
        request.next_access_vtime = day if day < len(trace) else never
        count += not peer.get(request)
    assert misses(trace, 60, policy) == count


@quick
@given(trace=traces(), capacity=st.integers(1, 20))
def test_clairvoyant__is_never_beaten(trace: vl.Trace, capacity: int) -> None:
    least = misses(trace, capacity, "clairvoyant")
    assert all(misses(trace, capacity, policy) >= least for policy in POLICIES)


@quick
@given(trace=traces(), capacity=st.integers(1, 20))
def test_unlimited__has_only_first_touches(trace: vl.Trace, capacity: int) -> None:
    totals = vl.simulate(trace, vl.unlimited(machine(capacity), trace), epoch_accesses=1000).totals
    assert totals["first_touch"] == totals["accesses"] - totals["frees"] - totals["dram_hit"]
    assert totals["reclaim_runs"] == 0


def test_unlimited__has_room_for_the_copies_of_shared_pages() -> None:
    trace = vl.Trace([0, 1, 0, 1], [1, 1, 1, 1], mapper=[0, 0, 1, 1], mappers=[3, 3])
    totals = vl.simulate(trace, vl.unlimited(machine(1), trace)).totals
    assert (totals["copy_on_write"], totals["reclaim_runs"], totals["oom"]) == (2, 0, 0)


def test_compare_policies__has_both_bounds_and_every_policy_once() -> None:
    table = vl.compare_policies(vl.loop(n_pages=10, n_accesses=100), machine(8), policies=["fifo", "clairvoyant"])
    assert table.select("policy", "bound").rows() == [
        ("unlimited", "floor"),
        ("clairvoyant", "ceiling"),
        ("fifo", None),
    ]
    # Ten pages in a loop on eight frames: 10 first touches; who knows the future misses 2 of 9 then, FIFO always.
    assert table["misses"].to_list() == [10, 30, 100]
    assert table["capacity_pages"].to_list() == [11, 8, 8]


def test_compare_policies__counts_faults_apart_from_reads_in_place() -> None:
    cram = vl.Cram(media_bytes=1 << 20, advertised_bytes=1 << 20)
    table = vl.compare_policies(vl.Trace([0, 1, 0, 0]), vl.Machine(vl.Dram(1, high=1), cram), policies=["lru"]).filter(
        policy="lru"
    )  # 0, then 1 in its place; a soft fault, and a read without one
    assert table.select("misses", "faults").rows() == [(4, 3)]


def test_simulate__says_that_only_lru_does_not_notice_a_reduced_trace() -> None:
    trace = vl.loop(n_pages=10, n_accesses=50).like(recorder_k=4)
    notes = {policy: vl.simulate(trace, machine(8, policy)).provenance["notes"] for policy in ("lru", "clock")}
    assert notes["lru"] == []
    assert (
        "reduced in blocks of 4 pages, which only LRU does not notice: under dram.policy 'clock'" in notes["clock"][0]
    )
    of_cram = vl.Machine(vl.Dram(8, high=1), vl.Cram(1 << 16, writeback_policy="sieve"), swapfiles=[vl.Swapfile(9)])
    assert "under cram.writeback_policy 'sieve' a repeated" in vl.simulate(trace, of_cram).provenance["notes"][0]


def test_compare_policies__refuses_what_cannot_be() -> None:
    trace = vl.Trace([0, 1])
    with pytest.raises(vl.InputError, match=r"each of policies must be one of lru, fifo, .* got 'best'"):
        vl.compare_policies(trace, machine(2), policies=["best"])  # type: ignore[list-item]
    kernel = vl.Machine(vl.Dram(300), kernel=vl.Kernel("6.12"), layer="none")
    with pytest.raises(vl.InputError, match="compare_policies needs a machine without kernel"):
        vl.compare_policies(trace, kernel)
    with pytest.raises(vl.InputError, match="compare_policies of 'cram' needs a machine with cram: give it one"):
        vl.compare_policies(trace, machine(2), of="cram")
    with pytest.raises(vl.InputError, match=r"compare_policies.of must be .* got 'zswap'"):
        vl.compare_policies(trace, machine(2), of="zswap")  # type: ignore[arg-type]


@dataclass(frozen=True)
class Far(vl.Store):
    """A tier that takes what LZ4 makes of a page."""

    store_ns: int = 1
    load_ns: int = 1
    name: ClassVar[str] = "far"

    def stored_bytes(self, contents: PageContents) -> NDArray[np.int64]:
        return contents.sizes("lz4_4k").astype(np.int64)


def test_compare_policies__loads_from_a_tier_of_ones_own_are_faults() -> None:
    corpus = vl.Corpus(pl.DataFrame({"lz4_4k": [1000], "is_zero": [False]}))
    own = vl.Machine(vl.Dram(10, high=1), stores=[Far(1 << 20)])
    table = vl.compare_policies(vl.loop(n_pages=30, n_accesses=300, corpus=corpus), own, policies=["lru"])

    assert table.filter(policy="lru").select("misses", "faults").row(0) == (300, 300)


def test_unlimited__refuses_a_kernel_which_keeps_pages_for_itself() -> None:
    limits = {"memory_max": 4096 * 50, "total_ram_pages": 100_000, "workload_pages": 100, "swap_bytes": 4096 * 200}

    with pytest.raises(vl.InputError, match="unlimited needs a machine without kernel"):
        vl.unlimited(vl.linux("7.3", **limits), vl.loop(n_pages=100, n_accesses=400))  # type: ignore[arg-type]
