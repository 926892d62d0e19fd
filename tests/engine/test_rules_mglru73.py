"""Generations of folios as Linux 7.3 has them, worked out by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import vswaplab as vl
from vswaplab.engine.kernel.faults import MAJOR, MINOR
from vswaplab.engine.kernel.mglru73 import LruGen73Reference
from vswaplab.engine.kernel.vmscan import ACTIVATE, KEEP, RECLAIM
from vswaplab.engine.plan import make_plan

CORPUS = vl.Corpus(pl.DataFrame({"is_zero": [True, False]}))


def group(room: int = 10) -> LruGen73Reference:
    """Make a group of 600 zero pages that has room for so many, besides five of the kernel's and a page table."""
    trace = vl.Trace([0], n_pages=600, content=np.zeros(600, np.int32), corpus=CORPUS)
    machine = vl.Machine(
        vl.Dram(6 + room), swapfiles=[vl.Swapfile(1000)], layer="none", kernel=vl.Kernel("7.3", lru_gen=True)
    )
    return LruGen73Reference(make_plan(trace, machine, 0), trace)


def touch(kernel: LruGen73Reference, *pages: int) -> list[int]:
    outcomes = []
    for page in pages:
        if kernel.mapped[page]:
            kernel.hit(page, is_write=False)
            outcomes.append(0)
        else:
            outcomes.append(kernel.handle_mm_fault(page, is_write=False))
    kernel.lru_add_drain()
    return outcomes


def flags(kernel: LruGen73Reference, page: int) -> tuple[int, int, int]:
    return kernel.referenced[page], kernel.refs[page], kernel.workingset[page]


def test_ten_pages() -> None:
    # Room for ten, faulted in: accessed once, and of the second youngest generation, 2. Down to priority 4 the
    # eleventh's reclaim has nothing to scan (10 >> 4). At 3, where it may scan one page, it leaves the empty
    # generations 0 and 1 behind; two are left, and nothing is taken. At 2, two pages: 4 begins with a walk, which finds
    # all ten accessed for the second time: promoted to 3, of the working set. Two are moved there. At 1, five: 5
    # begins, without a walk, as nothing ran between; five more are moved. At 0, ten: the last three are moved, 2 is
    # through, 6 begins, and the seven that are left to scan go. Their tier, the last, is not spared: none came back.
    kernel = group()
    assert touch(kernel, *range(10)) == [MINOR] * 10
    assert {kernel.gen[page] for page in range(10)} == {2}
    assert flags(kernel, 0) == (1, 0, 0)

    assert touch(kernel, 10) == [MINOR]

    assert (kernel.min_seq, kernel.max_seq) == (3, 6)
    assert (kernel.count["pgscan"], kernel.count["pgsteal"], kernel.count["swpout_zero"]) == (7, 7, 7)
    assert kernel.lru_order() == [7, 8, 9, 10]
    assert (kernel.gen[7], flags(kernel, 7), kernel.gen[10]) == (3, (0, 0, 1), 5)
    assert kernel.evicted == [0, 0, 0, 7]

    assert touch(kernel, 0) == [MAJOR]  # back within four generations, to the youngest
    assert (kernel.count["workingset_activate_anon"], kernel.gen[0]) == (1, 6)
    kernel.check()


def test_lru_gen_set_refs__the_second_access_promotes() -> None:
    kernel = group()
    steps = [(kernel.lru_gen_set_refs(0), flags(kernel, 0)) for _ in range(4)]
    assert steps == [(False, (1, 0, 0)), (True, (1, 1, 0)), (True, (0, 1, 1)), (True, (1, 0, 1))]


def test_folio_update_gen__the_second_walk_promotes_and_makes_it_one_of_the_working_set() -> None:
    kernel = group()
    kernel.lru_gen_add_folio(0, is_reclaiming=False)
    kernel.folio_update_gen(0, 3)
    assert (kernel.gen[0], flags(kernel, 0)) == (2, (1, 0, 0))
    kernel.folio_update_gen(0, 3)
    assert (kernel.gen[0], flags(kernel, 0)) == (3, (0, 0, 1))


@pytest.mark.parametrize(
    ("names", "is_reclaiming", "seq"),
    [
        (["active", "workingset"], False, 9),
        (["active"], False, 8),
        ([], False, 8),  # not in the swap cache
        (["cached", "rotates", "writeback", "workingset"], False, 8),
        (["cached", "workingset"], False, 7),
        (["cached", "referenced"], False, 7),
        (["cached"], False, 6),
        (["cached", "workingset"], True, 6),
    ],
)
def test_lru_gen_folio_seq__chooses_by_flags(names: list[str], seq: int, *, is_reclaiming: bool) -> None:
    kernel = group()
    kernel.min_seq, kernel.max_seq = 6, 9
    for name in names:
        getattr(kernel, name)[0] = 1
    assert kernel.lru_gen_folio_seq(0, is_reclaiming=is_reclaiming) == seq


def test_lru_gen_look_around__takes_no_note_of_what_is_isolated() -> None:
    kernel = group(room=100)
    touch(kernel, 0, 1, 2)
    kernel.gen[1] = -1
    kernel.lru_gen_look_around(0)
    assert list(kernel.young[:3]) == [0, 1, 0]
    assert (flags(kernel, 1), flags(kernel, 2)) == ((1, 0, 0), (1, 1, 0))


def test_look_at__a_pass_that_began_a_generation_promotes_as_its_walk_does() -> None:
    kernel = group(room=100)
    touch(kernel, 0, 1)
    kernel.max_seq = 5
    kernel._look_at(0)  # active, but not of the working set
    kernel.has_walked = True
    kernel._look_at(1)
    assert (kernel.gen[0], kernel.workingset[0], kernel.gen[1], kernel.workingset[1]) == (4, 0, 5, 1)


@pytest.mark.parametrize(("min_seq", "has_walked"), [(2, True), (1, False)])
def test_try_to_shrink_lruvec__remembers_that_it_began_a_generation(min_seq: int, *, has_walked: bool) -> None:
    kernel = group(room=100)
    touch(kernel, 0)
    kernel.min_seq, kernel.max_seq, kernel.has_walked = min_seq, 4, not has_walked
    kernel.try_to_shrink_lruvec(0, 1)  # three generations, or four
    assert (kernel.has_walked, kernel.max_seq) == (has_walked, 4 + has_walked)


def test_in_fault__what_was_of_the_working_set_is_active() -> None:
    kernel = group()
    kernel.workingset[1] = 1
    for page in (0, 1):
        kernel.in_fault(page)
    assert (list(kernel.active[:2]), flags(kernel, 0), flags(kernel, 1)) == ([0, 1], (1, 0, 0), (0, 0, 1))


def test_folio_check_references__keeps_then_activates() -> None:
    kernel = group()
    fates = []
    kernel.mapped[0] = 1
    for _ in range(2):
        kernel.young[0] = 1
        fates.append(kernel.folio_check_references(0))
    assert [*fates, kernel.folio_check_references(0)] == [KEEP, ACTIVATE, RECLAIM]


@pytest.mark.parametrize(("max_seq", "is_recent"), [(8, True), (9, False)])
def test_workingset_refault__within_four_generations_it_is_what_it_was(max_seq: int, *, is_recent: bool) -> None:
    kernel = group()
    kernel.min_seq, kernel.workingset[0] = 5, 1
    kernel.referenced[1], kernel.refs[1] = 1, 2
    kernel.workingset_eviction(0)
    kernel.workingset_eviction(1)
    assert kernel.evicted == [0, 0, 1, 1]
    kernel.workingset[0] = kernel.referenced[1] = kernel.refs[1] = 0
    kernel.max_seq, kernel.in_lru_fault = max_seq, True
    kernel.workingset_refault(0)
    kernel.workingset_refault(1)
    assert kernel.refaulted == ([0, 0, 1, 1] if is_recent else [0] * 4)
    assert (kernel.workingset[0], kernel.refs[1]) == ((1, 2) if is_recent else (0, 0))
    assert kernel.count["workingset_activate_anon"] == is_recent


@pytest.mark.parametrize(
    ("refaulted", "tier_idx"),
    [
        ([99, 0, 0, 63], 3),  # fewer than 64: nobody is spared
        ([99, 0, 0, 500], 3),  # 500 of 4,000 against 100 of 1,064, by 2 to 3: 1,064,000 <= 1,200,000
        ([99, 0, 0, 570], 2),  # 570 of 4,000: 1,212,960
        ([99, 570, 0, 0], 0),
    ],
)
def test_get_tier_idx__spares_what_comes_back_more_than_the_first_tier(refaulted: list[int], tier_idx: int) -> None:
    kernel = group()
    kernel.evicted, kernel.refaulted = [1000, 4000, 4000, 4000], refaulted
    assert kernel.get_tier_idx() == tier_idx


def test_reset_ctrl_pos__halves_what_is_known() -> None:
    kernel = group()
    kernel.evicted, kernel.protected, kernel.refaulted = [10, 0, 0, 4], [0, 0, 0, 3], [5, 0, 0, 0]
    kernel.reset_ctrl_pos()
    assert (kernel.avg_total, kernel.avg_refaulted) == ([5, 0, 0, 3], [2, 0, 0, 0])
    assert (kernel.evicted, kernel.protected, kernel.refaulted) == ([0] * 4, [0] * 4, [0] * 4)


def test_sort_folio__a_spared_tier_goes_one_generation_on() -> None:
    kernel = group()
    kernel.min_seq, kernel.max_seq, kernel.workingset[0] = 3, 5, 1
    kernel.cached[0] = kernel.cached[1] = 1
    for page in (0, 1):
        kernel.gen[page] = 3
        kernel.nr_pages[3] += 1
        kernel._put(page)
    kernel.tier_idx = 2
    assert kernel.scan_folios(64) == ([1], 2)
    assert (kernel.gen[0], kernel.workingset[0], kernel.protected) == (4, 1, [0, 0, 0, 1])


@pytest.mark.parametrize(("gens", "priority", "is_due"), [(2, 12, False), (1, 12, True), (2, 11, True), (3, 0, False)])
def test_aging__is_due_with_three_generations_but_at_the_first_priority(
    gens: int, priority: int, *, is_due: bool
) -> None:
    kernel = group()
    kernel.min_seq, kernel.max_seq = 4, 4 + gens
    assert kernel._is_aging_due(priority) == is_due


def test_try_to_shrink_lruvec__ends_when_enough_is_freed() -> None:
    kernel = group(room=400)
    touch(kernel, *range(400))
    for page in range(400):
        kernel.young[page] = kernel.referenced[page] = 0
    kernel.min_seq, kernel.max_seq = 2, 5
    kernel.try_to_shrink_lruvec(0, 100)
    assert kernel.n_reclaimed == 128  # two steps of 64
