"""Generations of folios (MGLRU) worked out by hand, function by function."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import vswaplab as vl
from vswaplab.engine.kernel.faults import MAJOR, MINOR
from vswaplab.engine.kernel.mglru import LruGenReference
from vswaplab.engine.kernel.vmscan import KEEP, RECLAIM
from vswaplab.engine.plan import Watermarks, make_plan

ZERO, RAW = range(2)
CORPUS = vl.Corpus(pl.DataFrame({"is_zero": [True, False]}))
BASE = 5


def group(room: int = 10, content: int = ZERO, n_slots: int = 1000, tables: int = 3, **costs: int) -> LruGenReference:
    """Make a group of 1,200 pages that has room for so many, besides five of the kernel's and its page tables."""
    trace = vl.Trace([0], n_pages=1200, content=np.full(1200, content, np.int32), corpus=CORPUS)
    machine = vl.Machine(
        vl.Dram(BASE + tables + room), swapfiles=[vl.Swapfile(n_slots)] if n_slots else [], layer="none",
        costs=vl.Costs(**costs), kernel=vl.Kernel("6.12", lru_gen=True),
    )  # fmt: skip
    return LruGenReference(make_plan(trace, machine, 0), trace)


def touch(kernel: LruGenReference, *pages: int) -> list[int]:
    outcomes = []
    for page in pages:
        if kernel.mapped[page]:
            kernel.hit(page, is_write=False)
            outcomes.append(0)
        else:
            outcomes.append(kernel.handle_mm_fault(page, is_write=False))
    kernel.lru_add_drain()
    return outcomes


def age(kernel: LruGenReference, n: int = 1) -> None:
    """Begin generations, each a clock tick after the one before, so that page tables are walked."""
    for _ in range(n):
        kernel.now += 4_000_000
        kernel.try_to_inc_max_seq()


def rest(kernel: LruGenReference) -> None:
    """Forget what was accessed."""
    for page in range(kernel.plan.n_pages):
        kernel.young[page] = 0


def generations(kernel: LruGenReference, *pages: int) -> list[int]:
    return [kernel.gen[page] for page in pages]


def test_ten_pages() -> None:
    # Room for ten, all faulted in: of the youngest generation, 3. The eleventh's reclaim finds a tenth of a page to
    # scan down to priority 4, and generations 0 and 1 empty at priority 3. With 2 and 3 left it must begin one: a walk
    # clears the accessed bits. At priority 1 generation 2 is empty, so it begins 5, without a walk, as nothing ran
    # between. At priority 0 it leaves 2 behind, and 3 is the oldest: up to 64 pages are taken at once, here all ten.
    kernel = group(room=10, tables=1)
    assert touch(kernel, *range(10)) == [MINOR] * 10
    assert generations(kernel, 0, 9) == [3, 3]

    assert touch(kernel, 10) == [MINOR]

    assert (kernel.min_seq, kernel.max_seq) == (4, 5)
    assert (kernel.count["pgscan"], kernel.count["pgsteal"], kernel.count["swpout_zero"]) == (10, 10, 10)
    assert generations(kernel, 10) == [5]
    assert touch(kernel, 0) == [MAJOR]
    assert kernel.lru_order() == [10, 0]
    kernel.check()


@pytest.mark.parametrize(
    ("flags", "is_reclaiming", "seq"),
    [
        (["active", "cached"], False, 7),
        ([], False, 6),  # not in the swap cache: of no backing yet
        (["cached", "rotates", "writeback"], False, 6),  # on its way to disk
        (["cached", "rotates", "dirty"], False, 6),
        (["cached", "writeback"], False, 5),
        (["cached"], True, 4),  # written: the next to go
    ],
)
def test_lru_gen_add_folio__chooses_by_flags(flags: list[str], seq: int, *, is_reclaiming: bool) -> None:
    kernel = group()
    kernel.min_seq, kernel.max_seq = 4, 7
    for name in flags:
        getattr(kernel, name)[0] = 1
    kernel.lru_gen_add_folio(0, is_reclaiming=is_reclaiming)
    assert (kernel.gen[0], kernel.active[0], kernel.nr_pages[seq % 4]) == (seq, 0, 1)


def test_lru_gen_add_folio__with_three_generations_a_cached_page_is_of_the_oldest() -> None:
    kernel = group()
    kernel.min_seq, kernel.max_seq, kernel.cached[0] = 4, 6, 1
    kernel.lru_gen_add_folio(0, is_reclaiming=False)
    assert kernel.gen[0] == 4


def test_folio_add_lru__what_reclaim_or_the_worker_brings_is_not_of_the_youngest() -> None:
    kernel = group()
    kernel.in_lru_fault = kernel.in_reclaim = True
    kernel.folio_add_lru(0)
    kernel.in_reclaim, kernel.in_worker = False, True
    kernel.folio_add_lru(1)
    kernel.in_worker = False
    kernel.folio_add_lru(2)
    assert list(kernel.active[:3]) == [0, 0, 1]


@pytest.mark.parametrize(
    ("nr_pages", "is_due"),
    [
        ([0, 30, 30, 40], False),  # generations 1 to 3
        ([0, 30, 19, 51], True),  # more than half are of the youngest
        ([0, 24, 37, 39], True),  # less than a quarter are of the oldest
        ([0, 25, 36, 39], False),
    ],
)
def test_should_run_aging__with_three_generations(nr_pages: list[int], *, is_due: bool) -> None:
    kernel = group()
    kernel.min_seq, kernel.max_seq, kernel.nr_pages = 1, 3, nr_pages
    assert kernel.should_run_aging() == (is_due, 100)
    kernel.min_seq = 0
    assert kernel.should_run_aging() == (False, 100)  # four
    kernel.min_seq = 2
    assert kernel.should_run_aging() == (True, 0)  # two


def test_walk_mm__promotes_what_was_accessed_and_leaves_its_list() -> None:
    kernel = group(room=100)
    touch(kernel, 0, 1)
    age(kernel, 2)
    touch(kernel, 1)
    kernel.filters = [None, None]
    age(kernel)
    assert generations(kernel, 0, 1) == [3, 5]
    assert kernel.lru_order() == [0, 1]  # both on the list of generation 3
    assert kernel.nr_pages == [0, 1, 0, 1]


def test_walk_mm__needs_the_program_to_have_been_switched_to() -> None:
    kernel = group(room=100)
    touch(kernel, 0)
    age(kernel)
    kernel.young[0] = 1
    kernel.try_to_inc_max_seq()
    assert (kernel.max_seq, kernel.young[0], kernel.filters) == (5, 1, [set(), None])
    age(kernel)  # the walk that was left out left no filter: all tables are walked
    assert (kernel.max_seq, kernel.young[0], kernel.gen[0]) == (6, 0, 5)


def test_walk_mm__a_page_table_with_an_eighth_accessed_is_walked_again() -> None:
    kernel = group(room=300)
    touch(kernel, *range(64), *range(512, 575))  # 64 of 512 entries, and 63
    age(kernel)
    assert kernel.filters == [{0}, None]
    touch(kernel, 0, 512)
    age(kernel)
    assert (kernel.young[0], kernel.young[512]) == (0, 1)
    assert kernel.filters == [{0}, set()]


def test_walk_mm__a_page_table_that_was_not_accessed_is_passed_by() -> None:
    kernel = group(room=300)
    touch(kernel, *range(64))
    age(kernel, 2)
    kernel.filters = [None, None]
    kernel.young[0] = 1
    age(kernel)
    assert kernel.young[0] == 1
    kernel.filters, kernel.has_young[0] = [None, None], 1
    age(kernel)
    assert kernel.young[0] == 0


@pytest.mark.parametrize(("page", "reach"), [(5, (0, 64)), (100, (68, 132)), (511, (448, 512)), (1199, (1136, 1200))])
def test_lru_gen_look_around__64_entries_of_the_page_table(page: int, reach: tuple[int, int]) -> None:
    kernel = group(room=1200)
    touch(kernel, *range(1200))
    kernel.max_seq = 5
    kernel.lru_gen_look_around(page)
    promoted = [p for p in range(1200) if kernel.gen[p] == 5]
    assert promoted == [p for p in range(*reach) if p != page]
    assert [p for p in range(1200) if not kernel.young[p]] == list(range(*reach))


def test_lru_gen_look_around__remembers_the_page_table_for_the_next_walk() -> None:
    kernel = group(room=200)
    touch(kernel, *range(7), 512, *range(580, 587))
    kernel.filters = [None, set()]
    kernel.lru_gen_look_around(0)  # 7 of 64
    assert kernel.filters[1] == set()
    touch(kernel, 7, *range(7))
    kernel.lru_gen_look_around(0)  # 8
    assert kernel.filters[1] == {0}


def test_scan_folios__a_promoted_folio_is_moved_to_its_list() -> None:
    kernel = group(room=100)
    touch(kernel, 0, 1, 2)
    kernel.min_seq, kernel.max_seq = 3, 5
    kernel.folio_update_gen(1, 5)
    assert kernel.scan_folios(64) == ([0, 2], 3)
    assert kernel.lru_order() == [1]
    assert (list(kernel.isolated[:3]), generations(kernel, 0, 1, 2)) == ([1, 0, 1], [-1, 5, -1])


def test_scan_folios__two_generations_are_left_alone() -> None:
    kernel = group(room=100)
    touch(kernel, 0)
    kernel.min_seq = 2
    assert kernel.scan_folios(64) == ([], 0)


def test_folio_check_references__an_accessed_folio_is_kept_and_goes_to_the_youngest() -> None:
    kernel = group(room=100)
    touch(kernel, 0, 1)
    kernel.min_seq, kernel.max_seq = 3, 5
    kernel.young[0] = 0
    assert kernel.evict_folios() == 0  # no generation but two is left
    assert (kernel.mapped[0], kernel.mapped[1]) == (0, 1)
    assert (kernel.gen[1], kernel.referenced[1], kernel.min_seq) == (5, 0, 4)


def test_shrink_folio__what_a_neighbour_found_accessed_is_kept() -> None:
    kernel = group(room=100)
    touch(kernel, 0, 1)
    kernel.gen[1] = -1  # isolated
    assert kernel.folio_check_references(0) == KEEP
    assert (kernel.young[1], kernel.referenced[1]) == (0, 1)
    assert kernel._shrink_folio(1) == (KEEP, False)
    assert kernel.folio_check_references(1) == RECLAIM  # only if it is not marked


def test_evict_folios__a_page_whose_write_ends_meanwhile_is_freed_in_a_second_pass() -> None:
    kernel = group(room=100, content=RAW, swap_write_ns=0, victim_ns=1)
    touch(kernel, 0, 1)
    rest(kernel)
    kernel.min_seq, kernel.max_seq = 3, 6
    kernel.evict_folios()
    assert (kernel.count["pgscan"], kernel.count["pgsteal"]) == (2, 1)  # the second's has not ended yet
    assert (kernel.writeback[1], kernel.gen[1]) == (1, 5)
    kernel.pass_time(0)
    assert kernel.gen[1] == kernel.min_seq  # the next to go


def test_get_swappiness__with_less_than_64_slots_left_nothing_is_swapped_out() -> None:
    assert (group(n_slots=64).get_swappiness(), group(n_slots=63).get_swappiness()) == (60, 0)


@pytest.mark.parametrize(
    ("n_inactive", "high", "priority"),
    [(33_000, 696, 6), (33_000, 64, 9), (33_000, 63, 12), (5_000, 64, 6), (300, 64, 6), (1 << 20, 64, 12)],
)
def test_first_priority__is_where_a_share_of_the_inactive_pages_is_wanted(
    n_inactive: int, high: int, priority: int
) -> None:
    kernel = group()  # 33,000 has 16 bits, 695 ten: 16 - 1 - 10 = 5, but at least 6
    kernel.marks = (Watermarks(0, 1, high), kernel.marks[1])
    kernel.min_seq, kernel.max_seq, kernel.nr_pages = 1, 3, [0, n_inactive, 70, 70]
    assert kernel.first_priority(0) == priority


@pytest.mark.parametrize(("n_free", "in_kswapd", "ends"), [(264, True, False), (265, True, True), (265, False, False)])
def test_should_abort_scan__kswapd_ends_64_pages_above_the_high_mark(
    n_free: int, *, in_kswapd: bool, ends: bool
) -> None:
    kernel = group()
    kernel.marks, kernel.in_kswapd = (Watermarks(0, 1, 200), kernel.marks[1]), in_kswapd
    kernel.used[0] = kernel.kernel.node_pages[0] - n_free
    assert kernel.should_abort_scan(32) == ends
    kernel.n_reclaimed = 32
    assert kernel.should_abort_scan(32)


def test_try_to_shrink_lruvec__for_a_node_ends_when_enough_is_freed_for_a_group_with_its_share() -> None:
    freed = []
    for is_global in (True, False):
        kernel = group(room=400)
        touch(kernel, *range(400))
        rest(kernel)
        kernel.min_seq, kernel.max_seq, kernel.is_global = 3, 6, is_global
        kernel.try_to_shrink_lruvec(1, 32)
        freed.append(kernel.n_reclaimed)
    assert freed == [
        64,
        192,
    ]  # steps of 64, until as many were looked at as half of those before the step: 400, 336, 272


def test_lru_gen_look_around__of_kswapd_leaves_lists_alone() -> None:
    kernel = group(room=100)
    touch(kernel, 0, 1)
    kernel.max_seq, kernel.in_kswapd = 5, True
    kernel.lru_gen_look_around(0)
    assert (kernel.gen[1], kernel.list_no[1], kernel.count["pgactivate"]) == (5, 3, 0)


def test_workingset_refault__counts_what_the_oldest_generation_saw_go() -> None:
    kernel = group()
    kernel.min_seq = 4
    kernel.shadow[0], kernel.shadow[1] = (0, 4, 0), (0, 3, 0)
    kernel.workingset_refault(0)
    kernel.workingset_refault(1)
    assert (kernel.count["workingset_refault_anon"], kernel.count["workingset_activate_anon"]) == (2, 1)
    assert not kernel.active[0]


def test_kernel__has_no_generations_of_7_2() -> None:
    with pytest.raises(vl.InputError, match=r"kernel.lru_gen is modelled of Linux 6.12 and 7.3, not of 7.2"):
        vl.Kernel("7.2", lru_gen=True)
    with pytest.raises(vl.InputError, match=r"kernel.lru_gen must be true or false, got 7"):
        vl.Kernel("6.12", lru_gen=7)  # type: ignore[arg-type]
