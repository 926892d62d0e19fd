"""The orders of the CRAM device, worked by hand: ten pages, DRAM for one, a device that holds four."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pytest

import vswaplab as vl
from vswaplab.base.backing import State
from vswaplab.base.plugins import unregister
from vswaplab.engine.plan import make_plan
from vswaplab.engine.reference import Reference
from vswaplab.engine.reference.policies import Fifo
from vswaplab.machine.policies import POLICIES

DEVICE = vl.Profile(
    name="coarse", kind="cram", title="coarse sizes", algorithm="none", granule_bytes=4096, size_column="lz4_4k",
    rounding_bytes=1, metadata_bytes=0, read_ns=1, read_loaded_ns=1, write_ns=1, store_ns=1, load_ns=1,
    advertised_ratio=2.0, ratio_kind="none", tag="guess", guesses="all", source="a test", date="2026-11-26",
)  # fmt: skip
ENGINES = ("reference", "vectorised")
FOUR = {"node_low": 1, "node_high": 2, "device_pages": 5}
"""One of five device pages is always free: before a fifth page comes one of four leaves."""


def machine(
    policy: str, device_pages: int, slots: int = 100, dram: int = 1, high: int = 1, **cram: object
) -> vl.Machine:
    """DRAM and a device that is calm until it is told otherwise, before a swapfile."""
    calm = dict.fromkeys(("close_at", "open_at", "writeback_high", "writeback_low"), 1.0)
    size = {"media_bytes": device_pages << 12, "advertised_bytes": device_pages << 12}
    device = vl.Cram(profile=DEVICE, **size, **(calm | cram), writeback_policy=policy)
    return vl.Machine(vl.Dram(dram, high=high), device, swapfiles=[vl.Swapfile(slots)])


def trace_of(words: str) -> vl.Trace:
    """``w0 r1 f2``: write page 0, read page 1, free page 2."""
    parts = words.split()
    page, op = [int(part[1:]) for part in parts], ["rwf".index(part[0]) for part in parts]
    return vl.Trace(page, op, n_pages=20, content=[0] * 20, corpus=pl.DataFrame({"region": [0], "lz4_4k": [1024]}))


def victims(policy: str, words: str, **settings: object) -> list[int]:
    """The pages that are written back, in order; at most one an access."""
    trace = trace_of(words)
    run, left = Reference(make_plan(trace, machine(policy, **(FOUR | settings)), 0), trace), []
    for index in range(len(trace)):
        before = set(run.on_device)
        run.run(index, index + 1)
        run.check()
        left += [page for page in before if run.state.get(page) == State.SWAPFILE]
    return left


def on_device(engine: str, policy: str, words: str, **settings: object) -> list[int]:
    """The pages that the device holds in the end, in the order in which they would be looked at."""
    state = vl.simulate(trace_of(words), machine(policy, **settings), engine=engine, epoch_accesses=100).state()
    here = state.filter(state["backing"] == "CRAM", state["reclaim_rank"].is_not_null())
    return here.sort("reclaim_rank")["page"].to_list()


TEN = "w0 w1 w2 w3 w4 r1 r0 w5 w6 w7 r5 r4 w8 w9 r5 r0"
"""Each first touch sends the page before it to the device: 0 1 2 3 are there when 1 and 0 are read in place."""


def test_lru__the_page_accessed_longest_ago_goes_on() -> None:
    # 2 3 1 0 [4] | 5 for 2: 4 was touched before 1 and 0, in DRAM: 3 4 1 0 [5] | 6 for 3, 7 for 4: 1 0 5 6 [7] | 5
    # 4 is on the disk, and comes for 1: 0 6 7 5 [4] | 8 for 0, and 4, a clean copy, is dropped: 6 7 5 [8]
    # 9 needs no room: 6 7 5 8 [9] | 5, and 0 for 6
    assert victims("lru", TEN) == [2, 3, 4, 1, 0, 6]


def test_fifo__the_page_that_arrived_longest_ago_goes_on() -> None:
    # 0 1 2 3 [4] | 5 for 0, 6 for 1, 7 for 2: 3 4 5 6 [7] | 8 for 3, 9 for 4: 5 6 7 8 [9] | 0 is on the disk: for 5
    assert victims("fifo", TEN) == [0, 1, 2, 3, 4, 5]


def test_clock__a_page_read_in_place_goes_to_the_young_end_once() -> None:
    # 0* 1* 2 3 [4] | 5: 0 and 1 spared: 2 3 0 1, out 2 | 6 for 3, 7 for 0: 1 4 5 6 [7] | 5* 4* | 8 for 1: 4* 5* 6 7 [8]
    # 9: 4 and 5 spared, out 6: 7 4 5 8 [9] | 5* | 0 for 7
    assert victims("clock", TEN) == [2, 3, 0, 1, 6, 7]


def test_sieve__a_page_read_in_place_stays_and_the_hand_goes_on() -> None:
    # 0* 1* 2 3 [4] | 5: 0, 1 cleared, out 2: 0 1 >3 4 [5] | 6 for 3, 7 for 4: 0 1 >5 6 [7] | 5* | 4 is on the disk:
    # 5 cleared, out 6, the youngest: >0 1 5 7 [4] | 8 for 0, and 4, a clean copy, is dropped: >1 5 7 [8]
    # 9 needs no room: >1 5 7 8 [9] | 5* | 0 for 1
    assert victims("sieve", TEN) == [2, 3, 4, 6, 0, 1]


def test_generations__the_oldest_goes_on_and_the_young_are_aged() -> None:
    # {0* 1* 2 3} [4] | 5: aged twice: {0 1 2 3} {} {}, out 0 | 6 for 1, 7 for 2: {3} {} {4 5 6} [7] | 5* 4*
    # 8: the youngest is more than half: aged, and the bits cleared: {3} {} {4 5 6} {}, out 3: {4 5 6} {7} [8]
    # 9: two are left: aged, out 4: {5 6} {7} {8} [9] | 5* | 0: 5 joins the youngest, out 6
    assert victims("generations", TEN) == [0, 1, 2, 3, 4, 6]


def test_clairvoyant__the_page_that_is_accessed_last_goes_on() -> None:
    # Next accesses: at the first 5: 0 at the end, 2 3 1 never: out 2, the coldest | 6 for 3, 7 for 1: 0 4 5 6 [7]
    # 5, 4 read in place: 4 never again | 8 for 6, 9 for 4: 0 5 7 8 [9] | 5, and 0 is still there
    assert victims("clairvoyant", TEN) == [2, 3, 1, 6, 4]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("engine", ENGINES)
def test_engines__end_alike(engine: str, policy: str) -> None:
    ends = {
        "lru": [7, 8, 9, 5],
        "fifo": [6, 7, 8, 9],
        "clock": [4, 5, 8, 9],
        "sieve": [5, 7, 8, 9],
        "generations": [7, 8, 5, 9],
        "clairvoyant": [7, 8, 5, 0],
    }
    assert on_device(engine, policy, TEN, **FOUR) == ends[policy]


def test_compare_policies__sets_the_orders_of_the_device_between_floor_and_ceiling() -> None:
    # Ten first touches nobody avoids. LRU and SIEVE fetch 4 and 0 from the disk, FIFO, CLOCK and generations only 0,
    # and the clairvoyant keeps both on the device.
    table = vl.compare_policies(trace_of(TEN), machine("lru", **FOUR), of="cram")
    assert dict(table.select("policy", "misses").rows()) == {
        "unlimited": 10, "clairvoyant": 10, "lru": 12, "fifo": 11, "clock": 11, "sieve": 12, "generations": 11,
    }  # fmt: skip
    assert table["bound"].to_list()[:2] == ["floor", "ceiling"]
    assert table["cram_writeback_swapfile"].to_list() == [0, 5, 6, 6, 6, 6, 6]
    assert table["of"].unique().to_list() == ["cram"]


# What an order is told ---------------------------------------------------------------------------


class Noted(Fifo):
    """FIFO, and a diary of all that it is told."""

    said: list[str]

    def arrive(self, page: int) -> None:
        self.said.append(f"+{page}")
        super().arrive(page)

    def touch(self, page: int) -> None:
        self.said.append(f"*{page}")

    def discard(self, page: int) -> None:
        self.said.append(f"-{page}")
        super().discard(page)

    def begin(self) -> None:
        self.said.append("begin")

    def next_victim(self) -> int:
        page = super().next_victim()
        self.said.append(f"out {page}")
        return page


@pytest.fixture
def said() -> Iterator[list[str]]:
    Noted.said = []
    vl.register("policy", "noted", Noted)
    yield Noted.said
    unregister("policy", "noted")


@pytest.mark.parametrize("engine", ENGINES)
def test_order__is_told_of_arrivals_touches_departures_and_of_every_step(engine: str, said: list[str]) -> None:
    # 4 wants two frames. Before, 2048 bytes are over the mark: one page must go; and then all five pages shall be free.
    page, op = [0, 1, 2, 3, 4, 2, 2, 3], [1, 1, 1, 1, 1, 0, 1, 2]
    plain = trace_of("w0")
    trace = vl.Trace(page, op, n_pages=20, content=[0] * 20, corpus=plain.corpus, repeat_reads=[0, 0, 0, 0, 0, 1, 0, 0])
    marks = {"writeback_high": 0.08, "writeback_low": 0.08, "node_low": 4, "node_high": 5}
    vl.simulate(trace, machine("noted", 5, dram=2, high=2, **marks), engine=engine)
    arrive, steps = ["+0", "+1"], ["begin", "out 0", "begin", "out 1"]
    assert said == [*arrive, *steps, "+2", "+3", "*2", "*2", "-2", "-3"]  # 2 is read twice, and promoted; 3 is freed


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("policy", POLICIES)
def test_order__a_page_without_room_is_looked_at_once_and_arrives_again(engine: str, policy: str) -> None:
    # Before 4 two of 0, 1, 2 shall go, and there is one slot: 0 takes it, 1 and 2 stay, and then 3 comes. To LRU they
    # are as if just touched, and 3 was touched before.
    settings = {"device_pages": 5, "slots": 1, "node_low": 2, "node_high": 4}
    assert on_device(engine, policy, "w0 w1 w2 w3 w4", **settings) == ([3, 1, 2] if policy == "lru" else [1, 2, 3])
    totals = vl.simulate(trace_of("w0 w1 w2 w3 w4"), machine(policy, **settings), engine=engine).totals
    assert (totals["cram_writeback_swapfile"], totals["reclaim_fail"]) == (1, 2)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("policy", POLICIES)
def test_order__zombies_are_nobodys_pages(engine: str, policy: str) -> None:
    # 0 is written in place and freed unseen: it holds a device page, and is no victim: before 5 the oldest is 1
    words = "w0 w1 w2 w3 w0 f0 w4 w5"
    settings = FOUR | {"writable_budget_pages": 1, "reaper_period": 1000}
    assert victims(policy, words, **settings) == [1]
    assert on_device(engine, policy, words, **settings) == [2, 3, 4]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("policy", POLICIES)
def test_order__a_promoted_page_is_as_any_other_when_it_comes_back(engine: str, policy: str) -> None:
    # 0 is read, and promoted by a write: 2 leaves DRAM for it: 1 2 [0] | 3, 4: 1 2 0 3 [4] | before 5 goes 1
    words = "w0 w1 w2 r0 w0 w3 w4 w5"
    assert victims(policy, words, **FOUR) == [1]
    assert on_device(engine, policy, words, **FOUR) == [2, 0, 3, 4]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("words", "left", "there"),
    [
        # >0* 1* 2 3 | 5: out 2: 0 1 >3 4 [5] | 3 freed: 0 1 >4 | 6: 0 1 >4 5 [6] | 7: out 4
        pytest.param("w0 w1 w2 w3 w4 r1 r0 w5 f3 w6 w7", [2, 4], [5, 6, 0, 1], id="from a page that is freed"),
        # the same, and 3 promoted: 5 leaves for it: 0 1 >4 5 [3] | 6: out 4: 0 1 >5 3
        pytest.param("w0 w1 w2 w3 w4 r1 r0 w5 w3 w6", [2, 4], [5, 3, 0, 1], id="from a page that is promoted"),
        # 0 1 >3 4 [5] | 3, 4 freed: the hand is at the oldest, 5 and 6 come in: >0 1 5 6 [7] | 8: out 0
        pytest.param("w0 w1 w2 w3 w4 r1 r0 w5 f3 f4 w6 w7 w8", [2, 0], [1, 5, 6, 7], id="behind which nothing is left"),
    ],
)
def test_sieve__the_hand_goes_on(engine: str, words: str, left: list[int], there: list[int]) -> None:
    assert victims("sieve", words, **FOUR) == left
    assert on_device(engine, "sieve", words, **FOUR) == there


@pytest.mark.parametrize("engine", ENGINES)
def test_sieve__what_arrives_after_the_last_page_ahead_has_gone_is_not_ahead(engine: str) -> None:
    # DRAM for four pages, two leave at once; the device keeps up to seven of eight, and then gives up to four.
    # Before 12: 0* 1* 2* 3 4 5 6 7: 0, 1, 2 cleared, out 3 4 5 6: 0 1 2 >7, then 8 and 9 come | 7, 8, 9 freed: the hand
    # is at the oldest | 14: >0 1 2 10 11 | 16: >0 1 2 10 11 12 13 | before 18 0, 1, 2 go
    first, then = (" ".join(f"w{page}" for page in pages) for pages in (range(12), range(14, 19)))
    words = f"{first} r0 r1 r2 w12 w13 f7 f8 f9 {then}"
    settings = {"device_pages": 8, "dram": 4, "high": 2, "node_low": 1, "node_high": 4}
    assert on_device(engine, "sieve", words, **settings) == [10, 11, 12, 13, 14, 15]


# What cannot be ----------------------------------------------------------------------------------


def test_writeback_policy__is_one_of_those_there_are() -> None:
    with pytest.raises(vl.InputError, match=r"cram.writeback_policy must be one of lru, fifo, .*got 'random'"):
        machine("random", 5)


def test_writeback_policy__a_clairvoyant_needs_the_whole_trace(tmp_path: object) -> None:
    vl.save_trace(trace_of("w0 w1"), f"{tmp_path}/t.parquet")
    with pytest.raises(vl.InputError, match=r"cram.writeback_policy 'clairvoyant' must know all of trace"):
        vl.simulate(vl.open_trace(f"{tmp_path}/t.parquet"), machine("clairvoyant", 5))


def test_writeback_policy__a_kernels_node_has_lists_of_its_own() -> None:
    with pytest.raises(vl.InputError, match=r"machine.kernel models cram.writeback_policy 'lru' only, got 'clock'"):
        vl.Machine(vl.Dram(300), machine("clock", 5, mode="tier").cram, kernel=vl.Kernel("7.3"), layer="none")
