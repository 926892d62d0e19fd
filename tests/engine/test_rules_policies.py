"""The reclaim orders, worked by hand: ten pages, four frames, one frame freed at a time."""

from __future__ import annotations

import pytest

import vswaplab as vl
from vswaplab.engine.plan import make_plan, next_uses
from vswaplab.engine.reference import Reference
from vswaplab.machine.policies import POLICIES

TEN = [0, 1, 2, 3, 1, 0, 4, 5, 6, 0, 7, 5, 8, 9, 4, 8, 9, 1, 2]
"""Accesses to ten pages; what each policy does with them stands at its test."""


def engine(policy: str, trace: vl.Trace, capacity: int, **settings: object) -> Reference:
    machine = vl.Machine(vl.Dram(capacity, high=1, policy=policy, **settings), swapfiles=[vl.Swapfile(100)])
    return Reference(make_plan(trace, machine, 0), trace)


def victims(policy: str, page: list[int], capacity: int = 4, op: list[int] | None = None) -> list[int]:
    """The pages that leave, in order."""
    trace = vl.Trace(page, op, n_pages=10)
    run, left = engine(policy, trace, capacity), []
    for index in range(len(page)):
        before = set(run.resident)
        run.run(index, index + 1)
        gone = before - set(run.resident)
        left += [] if trace.op[index] == vl.Op.FREE else sorted(gone)
    return left


def test_lru__the_page_touched_longest_ago_leaves() -> None:
    # 0 1 2 3 | 1, 0 touched: 2 3 1 0 | 4 for 2, 5 for 3, 6 for 1: 0 4 5 6 | 0 touched | 7 for 4: 5 6 0 7 | 5 touched
    # 8 for 6, 9 for 0: 7 5 8 9 | 4 for 7: 5 8 9 4 | 8, 9 touched: 5 4 8 9 | 1 for 5, 2 for 4
    assert victims("lru", TEN) == [2, 3, 1, 4, 6, 0, 7, 5, 4]


def test_fifo__the_page_that_came_in_longest_ago_leaves() -> None:
    # 0 1 2 3 | 4 for 0, 5 for 1, 6 for 2: 3 4 5 6 | 0 for 3, 7 for 4: 5 6 0 7 | 8 for 5, 9 for 6, 4 for 0: 7 8 9 4
    # 1 for 7, 2 for 8
    assert victims("fifo", TEN) == [0, 1, 2, 3, 4, 5, 6, 0, 7, 8]


def test_clock__a_touched_page_goes_to_the_young_end_once() -> None:
    # 0* 1* 2 3 | 4: 0, 1 spared: 2 3 0 1, out 2 | 5 for 3, 6 for 0: 1 4 5 6 | 0 for 1, 7 for 4: 5 6 0 7 | 5*
    # 8: 5 spared: 6 0 7 5, out 6 | 9 for 0, 4 for 7: 5 8 9 4 | 8* 9* | 1 for 5: 8* 9* 4 1 | 2: both spared, out 4
    assert victims("clock", TEN) == [2, 3, 0, 1, 4, 6, 0, 7, 5, 4]


def test_sieve__a_touched_page_stays_and_the_hand_goes_on() -> None:
    # Hand > at the next page: >0* 1* 2 3 | 4: 0, 1 cleared, out 2: 0 1 >3 4 | 5 for 3, 6 for 4: 0 1 >5 6 | 0*
    # 7 for 5, 5 for 6, 8 for 7: 0* 1 >5 8 | 9 for 5, 4 for 8: 0* 1 >9 4 | 8 for 9, 9 for 4: 0* 1 >8 9 | 1* | 2 for 8
    assert victims("sieve", TEN) == [2, 3, 4, 5, 6, 7, 5, 8, 9, 4, 8]


def test_generations__the_oldest_leaves_and_the_young_are_aged() -> None:
    # {0* 1* 2 3} | 4: aged twice: {0 1 2 3} {} {}, out 0 | 5 for 1, 6 for 2: {3} {} {4 5 6}
    # 0: the youngest is more than half: {3} {} {4 5 6} {}, out 3 | 7: {4 5 6} {0}, aged: {4 5 6} {0} {}, out 4 | 5*
    # 8: {5* 6} {0} {7}: 5 joins the youngest, out 6: {} {0} {7 5 8} | 9: aged, out 0: {} {7 5 8} {9}
    # 4: aged: {7 5 8} {9} {}, out 7 | 8* 9* | 1 for 5: {8*} {9*} {4 1} | 2: 8 joins the youngest; {9*} {4 1 8} aged:
    # 9 joins it: {} {4 1 8 9} {}; two are left, aged: {4 1 8 9} {} {}, out 4
    assert victims("generations", TEN) == [0, 1, 2, 3, 4, 6, 0, 7, 5, 4]


def test_clairvoyant__the_page_that_is_used_last_leaves() -> None:
    # Next uses: 4 comes: 0 at 9, 1 at 17, 2 at 18, 3 never: out 3 | 5 for 2, 6 for 1 | 0 touched: never again
    # 7: never again 6 and 0, the coldest: out 6 | 5 touched: never again | 8 for 0, 9 for 7 | 4, 8, 9 touched: never
    # 1: 5 is the coldest | 2: 4
    assert victims("clairvoyant", TEN) == [3, 2, 1, 6, 0, 7, 5, 4]


def test_sieve__behind_the_youngest_page_the_hand_is_at_the_oldest() -> None:
    # 0* 1 | 2: 0 cleared, 1 out and it was the youngest | 3: not 2, which came in since, but 0
    assert victims("sieve", [0, 1, 0, 2, 3], capacity=2) == [1, 0]


def test_sieve__the_hand_goes_on_from_a_page_that_is_freed() -> None:
    # 0* 1 2 | 3: 0 cleared, out 1: 0 >2 3 | 2 freed: 0 >3 | 4 | 5: out 3
    assert victims("sieve", [0, 1, 2, 0, 3, 2, 4, 5], 3, [0, 0, 0, 0, 0, 2, 0, 0]) == [1, 3]


@pytest.mark.parametrize("name", ["reference", "vectorised"])
def test_sieve__all_ahead_of_the_hand_are_freed(name: str) -> None:
    # 0* 1 2 | 3: 0 cleared, out 1: 0 >2 3 | 2, 3 freed: the hand is at 0 again, 4 and 5 come in: >0 4 5 | 6: out 0
    trace = vl.Trace([0, 1, 2, 0, 3, 2, 3, 4, 5, 6], [0, 0, 0, 0, 0, 2, 2, 0, 0, 0])
    machine = vl.Machine(vl.Dram(3, high=1, policy="sieve"), swapfiles=[vl.Swapfile(9)])
    state = vl.simulate(trace, machine, engine=name, epoch_accesses=10).state()
    assert state.filter("is_resident")["page"].to_list() == [4, 5, 6]


def test_clairvoyant__a_page_that_will_be_freed_is_of_no_use() -> None:
    # 0 is used at 4, 1 is freed at 3: 1 leaves, and its free costs nothing
    assert victims("clairvoyant", [0, 1, 2, 1, 0], 2, [0, 0, 0, 2, 0]) == [1]


def test_next_uses__each_mapper_of_a_shared_page_keeps_it_in_use() -> None:
    page, op = [0, 0, 0, 0, 0], [0, 0, 2, 1, 2]
    trace = vl.Trace(page, op, mapper=[0, 1, 1, 0, 0])
    assert next_uses(trace).tolist()[:2] == [1, 3]


@pytest.mark.parametrize("policy", POLICIES)
def test_policies__a_dropped_repeat_is_a_touch(policy: str) -> None:
    trace = vl.Trace([0, 1, 2], repeat_reads=[1, 0, 0])
    run = engine(policy, trace, 2)
    run.run(0, 3)
    spares_touched = {"clock", "sieve"}
    assert (1 not in run.resident) == (policy in spares_touched)


@pytest.mark.parametrize("policy", POLICIES)
def test_policies__pages_without_room_arrive_again_in_their_order(policy: str) -> None:
    # Four frames and one slot. 4 wants two frames: 0 takes the slot, the others are looked at once and stay.
    trace = vl.Trace([0, 1, 2, 3, 4], [1] * 5)
    machine = vl.Machine(vl.Dram(4, low=0, high=2, policy=policy), swapfiles=[vl.Swapfile(1)])
    run = Reference(make_plan(trace, machine, 0), trace)
    run.run(0, 5)
    assert run.count["reclaim_fail"] == 3
    assert list(run.resident) == [1, 2, 3, 4]


def test_policies__the_device_knows_a_page_from_its_arrival_on() -> None:
    # DRAM holds two pages. FIFO lets 0 go first; that it was touched after 1 only LRU knows.
    trace = vl.Trace([0, 1, 0, 2, 3])
    ranks = {}
    for policy in ("lru", "fifo"):
        cram = vl.Cram(media_bytes=1 << 16, advertised_bytes=1 << 16)
        machine = vl.Machine(vl.Dram(2, high=1, policy=policy), cram, swapfiles=[vl.Swapfile(9)])
        state = vl.simulate(trace, machine, engine="reference").state()
        ranks[policy] = state.filter(state["backing"] == "CRAM").sort("reclaim_rank")["page"].to_list()
    assert ranks == {"lru": [1, 0], "fifo": [0, 1]}


def test_clairvoyant__needs_the_whole_trace(tmp_path: object) -> None:
    vl.save_trace(vl.Trace([0, 1]), f"{tmp_path}/t.parquet")
    machine = vl.Machine(vl.Dram(2, policy="clairvoyant"))
    with pytest.raises(vl.InputError, match=r"dram.policy 'clairvoyant' must know all of trace .*: read it with"):
        vl.simulate(vl.open_trace(f"{tmp_path}/t.parquet"), machine)


def test_policy__is_one_of_those_there_are() -> None:
    with pytest.raises(vl.InputError, match=r"dram.policy must be one of lru, fifo, .*got 'random'"):
        vl.Dram(2, policy="random")  # type: ignore[arg-type]


def test_policy__a_kernel_has_lists_of_its_own() -> None:
    with pytest.raises(vl.InputError, match=r"machine.kernel has lists of its own: leave out kernel, or dram.policy"):
        vl.Machine(vl.Dram(200, policy="clock"), kernel=vl.Kernel("6.12"), layer="none")
