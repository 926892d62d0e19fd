"""Reclaim as a kernel does it, worked out by hand on a group of ten pages and function by function."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import vswaplab as vl
from vswaplab.engine.kernel import KernelReference
from vswaplab.engine.kernel.faults import DISK_READ, MAJOR, MINOR
from vswaplab.engine.kernel.folios import DISK
from vswaplab.engine.kernel.folios import ZERO as ZERO_PAGE
from vswaplab.engine.plan import make_plan
from vswaplab.engine.zspages import ZsPool
from vswaplab.machine.presets import with_settings

ZERO, SMALL, RAW = range(3)
CORPUS = vl.Corpus(
    pl.DataFrame({"is_zero": [True, False, False], "lz4_4k": [64, 1000, 4096]}).cast({"lz4_4k": pl.UInt16})
)
BASE, TABLE = 5, 1


def group(
    room: int = 10,
    content: int = ZERO,
    version: str = "6.12",
    zswap: vl.Zswap | None = None,
    n_slots: int = 1000,
    pages: int = 600,
    page_cluster: int = 0,
    swap_max_slots: int | None = None,
    **costs: int,
) -> KernelReference:
    """Make a group that has room for so many pages, besides five of the kernel's and a page table."""
    trace = vl.Trace([0], n_pages=pages, content=np.full(pages, content, np.int32), corpus=CORPUS)
    machine = vl.Machine(
        vl.Dram(BASE + TABLE + room), zswap=zswap, layer="none", costs=vl.Costs(**costs), kernel=vl.Kernel(version),
        swapfiles=[vl.Swapfile(n_slots, page_cluster=page_cluster)] if n_slots else [], swap_max_slots=swap_max_slots,
    )  # fmt: skip
    return KernelReference(make_plan(trace, machine, 0), trace)


def touch(kernel: KernelReference, *pages: int, write: bool = False) -> list[int]:
    outcomes = []
    for page in pages:
        if kernel.mapped[page]:
            kernel.hit(page, is_write=write)
            outcomes.append(0)
        else:
            outcomes.append(kernel.handle_mm_fault(page, is_write=write))
    return outcomes


def test_ten_pages() -> None:
    # Room for ten. All were accessed, so the first pages that the eleventh's reclaim meets are kept: it scans nothing
    # at priorities 12 to 2 (ten pages >> 2 are 2; of them 60 in 200, swappiness against file pages, is none), page 0 at
    # priority 1 (5 x 60 / 200), and all ten at priority 0. Page 0 is met again there, not accessed since: it goes.
    kernel = group(room=10)
    assert touch(kernel, *range(10)) == [MINOR] * 10
    assert kernel.usage == BASE + TABLE + 10
    kernel.lru_add_drain()  # a CPU keeps up to 30 pages back, which no scan sees

    assert touch(kernel, 10) == [MINOR]

    assert kernel.count["reclaim_runs"] == 1
    assert (kernel.count["pgscan"], kernel.count["pgsteal"], kernel.count["swpout_zero"]) == (11, 1, 1)
    assert list(kernel.lruvecs[0].inactive) == [
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        9,
    ]  # next to be scanned first; 10 is in the CPU's batch
    assert kernel.lru_add_batch == [10]
    assert [page for page in range(11) if not kernel.mapped[page]] == [0]

    kernel.lru_add_drain()
    # Page 1 is touched again: at the next reclaim it was accessed twice between three scans, and becomes active.
    assert touch(kernel, 1, 0) == [0, MAJOR]
    assert list(kernel.lruvecs[0].active) == [1]
    assert kernel.count["pgactivate"] == 1


def test_try_charge_memcg__takes_a_batch_and_keeps_the_rest() -> None:
    kernel = group(room=100)
    touch(kernel, 0)
    assert (kernel.usage, kernel.stock) == (BASE + 64, 62)  # its table and itself
    touch(kernel, *range(1, 63))
    assert (kernel.usage, kernel.stock) == (BASE + 64, 0)
    touch(kernel, 63)  # 69 + 64 pages are more than 106: one is charged alone
    assert (kernel.usage, kernel.stock) == (BASE + 65, 0)


def test_obj_cgroup_charge__counts_bytes_and_keeps_the_rest_of_a_page() -> None:
    kernel = group(room=10)
    kernel.obj_cgroup_charge(1000)
    assert (kernel.usage, kernel.object_stock) == (BASE + 1, 3096)
    kernel.obj_cgroup_charge(3000)
    assert (kernel.usage, kernel.object_stock) == (BASE + 1, 96)
    kernel.obj_cgroup_uncharge(4000)
    assert (kernel.object_stock, kernel.stock) == (4096, 0)  # no more than a page: nothing goes back
    kernel.obj_cgroup_uncharge(1)
    assert (kernel.object_stock, kernel.stock) == (1, 1)


def test_page_tables__one_for_each_512_pages() -> None:
    kernel = group(room=100)
    touch(kernel, 0, 511, 512)
    assert sum(kernel.has_table) == 2
    assert kernel.usage - kernel.stock == BASE + 2 + 3


def test_folio_check_references__keeps_once_then_activates() -> None:
    kernel = group()
    touch(kernel, 0)
    assert kernel.folio_check_references(0) == 1  # accessed: kept
    touch(kernel, 0)
    assert kernel.folio_check_references(0) == 2  # and again: active
    assert kernel.folio_check_references(0) == 0  # not since: goes


def test_shrink_active_list__moves_pages_down_whether_accessed_or_not() -> None:
    kernel = group()
    touch(kernel, 0, 1)
    kernel.active[0] = kernel.active[1] = 1
    kernel.shrink_active_list(kernel.lruvecs[0], 32)
    assert (list(kernel.lruvecs[0].inactive), list(kernel.lruvecs[0].active)) == ([0, 1], [])
    assert (kernel.young[0], kernel.workingset[0]) == (0, 1)


def test_inactive_is_low__goes_by_the_last_flush() -> None:
    kernel = group()
    touch(kernel, 0, 1)
    kernel.active[0] = kernel.active[1] = 1
    kernel.lru_add_drain()
    assert not kernel.lruvecs[0].inactive_is_low()
    kernel.flush_stats()
    assert kernel.lruvecs[0].inactive_is_low()


def test_pass_time__flushes_every_two_seconds() -> None:
    kernel = group(dram_ns=1_000_000_000)
    touch(kernel, 0)
    kernel.lru_add_drain()
    touch(kernel, 0)
    assert kernel.lruvecs[0].flushed == (0, 0, 0)
    touch(kernel, 0)
    assert kernel.lruvecs[0].flushed == (1, 0, 0)


def test_stat_flush_ns__is_when_the_first_of_those_flushes_comes() -> None:
    trace = vl.Trace([0], n_pages=1)
    machine = vl.Machine(vl.Dram(30), layer="none", kernel=vl.Kernel(stat_flush_ns=500_000_000))
    kernel = KernelReference(make_plan(trace, machine, 0), trace)
    kernel.pass_time(499_999_999)
    assert kernel.next_flush == 500_000_000
    kernel.pass_time(1)
    assert kernel.next_flush == 2_500_000_000
    with pytest.raises(vl.InputError, match="stat_flush_ns"):
        vl.Kernel(stat_flush_ns=2_000_000_001)


@pytest.mark.parametrize(("n_active", "is_active"), [(3, True), (2, False)])
def test_workingset_refault__is_active_if_away_no_longer_than_the_active_list(
    n_active: int, *, is_active: bool
) -> None:
    kernel = group()
    dram = kernel.lruvecs[0]
    kernel.shadow[7], dram.nonresident_age = (0, 10, 1), 13
    dram.flushed = (5, n_active, 0)
    kernel.workingset_refault(7)
    assert (kernel.active[7], kernel.workingset[7]) == (is_active, is_active)
    assert kernel.count["workingset_refault_anon"] == 1
    assert dram.nonresident_age == 13 + is_active


def evict(kernel: KernelReference, page: int) -> None:
    """Let reclaim scan one page that was not accessed since."""
    kernel.lru_add_drain()
    kernel.list_of(page).remove(page)
    kernel.lruvecs[0].inactive.add_tail(page)
    kernel.young[page] = kernel.referenced[page] = 0
    kernel.shrink_inactive_list(kernel.lruvecs[0], 1)


def test_disk_write__page_stays_in_the_swap_cache_until_it_ends() -> None:
    kernel = group(content=RAW, swap_write_ns=1_000_000)
    touch(kernel, 0, 1)
    evict(kernel, 0)
    assert (kernel.mapped[0], kernel.cached[0], kernel.writeback[0]) == (0, 1, 1)
    assert list(kernel.lruvecs[0].inactive) == [1, 0]
    kernel.pass_time(1_000_000)
    assert (kernel.writeback[0], list(kernel.lruvecs[0].inactive)) == (0, [0, 1])  # rotated: the next to be scanned
    assert touch(kernel, 0) == [MINOR]
    assert kernel.count["swap_cache"] == 1


def test_disk_writes__of_kswapd_are_held_back_until_there_are_32() -> None:
    kernel = group(room=100, content=RAW)
    touch(kernel, *range(40))
    kernel.plug, kernel.is_global = [], True
    for page in range(32):
        evict(kernel, page)
    assert (len(kernel.plug), len(kernel.writes)) == (32, 0)
    evict(kernel, 32)
    assert (kernel.plug, [page for _, page in kernel.writes]) == ([32], list(range(32)))


def test_read_from_disk__clean_pages_keep_their_slot() -> None:
    kernel = group(content=RAW, swap_write_ns=0)
    touch(kernel, 0)
    evict(kernel, 0)
    kernel.pass_time(0)
    evict(kernel, 0)
    assert touch(kernel, 0) == [DISK_READ]
    assert kernel.slots_used == [1]
    evict(kernel, 0)  # dropped for free
    assert (kernel.count["pswpout"], kernel.count["clean_drop"]) == (1, 1)


@pytest.mark.parametrize(("version", "slots"), [("6.12", 0), ("7.2", 1), ("7.3", 0)])
def test_read_from_disk_by_a_write__frees_the_slot_but_for_7_2(version: str, slots: int) -> None:
    kernel = group(content=RAW, version=version, swap_write_ns=0)
    touch(kernel, 0)
    evict(kernel, 0)
    kernel.pass_time(0)
    evict(kernel, 0)
    touch(kernel, 0, write=True)
    assert kernel.slots_used == [slots]


def test_zswap__a_load_frees_the_entry_and_gives_its_bytes_back() -> None:
    kernel = group(content=SMALL, zswap=vl.Zswap(max_pool_percent=100))
    touch(kernel, 0)
    evict(kernel, 0)
    assert (list(kernel.zswap_lru), kernel.zswap_bytes, kernel.usage) == ([0], 1000, BASE + TABLE + 1)
    assert touch(kernel, 0) == [MAJOR]
    assert (list(kernel.zswap_lru), kernel.zswap_bytes, kernel.object_stock) == ([], 0, 4096)


def test_zswap__incompressible_pages_are_refused_or_kept() -> None:
    refuses = group(content=RAW, zswap=vl.Zswap(max_pool_percent=100, store_incompressible=False))
    keeps = group(content=RAW, zswap=vl.Zswap(max_pool_percent=100))
    for kernel in (refuses, keeps):
        touch(kernel, 0)
        evict(kernel, 0)
    assert (refuses.count["reject_compress_poor"], refuses.count["pswpout"], keeps.count["zswpout"]) == (1, 1, 1)


def full_pool(version: str) -> KernelReference:
    """Make a pool of 20 entries that is over its limit of one page, its worker waiting."""
    kernel = group(room=94, content=SMALL, version=version, zswap=vl.Zswap(max_pool_percent=1), fault_ns=0, victim_ns=0)
    touch(kernel, *range(21))
    for page in range(20):
        kernel.zswap_pool_reached_full = False
        evict(kernel, page) if page == 0 else store(kernel, page)
    evict(kernel, 20)
    return kernel


def store(kernel: KernelReference, page: int) -> None:
    """Evict a page into a pool that is full, as if it were not."""
    pages, kernel.zs_pool.pages = kernel.zs_pool.pages, 0
    evict(kernel, page)
    kernel.zs_pool.pages += pages


def test_shrink_worker__one_entry_a_try_gives_up_after_16_second_chances() -> None:
    kernel = full_pool("7.2")
    assert (kernel.count["pool_limit_hit"], kernel.count["pswpout"]) == (1, 1)  # the refused page went to disk
    kernel.credit = 1 << 40
    kernel.run_worker()
    assert kernel.count["zswpwb"] == 0
    assert [page for page, is_referenced in kernel.zswap_lru.items() if not is_referenced] == list(range(16))


def test_shrink_worker__thirty_two_a_try_write_back_on_the_second_round() -> None:
    kernel = full_pool("7.3")
    kernel.credit = 1 << 40
    kernel.run_worker()
    assert kernel.count["zswpwb"] == 20  # a zspage's pages go back only when it is empty
    assert kernel.zs_pool.pages == 0


def test_use_cpu__a_worker_that_waits_has_the_share_of_one_of_those_awake() -> None:
    # Beside the program alone it may take as much as that took; beside program and kswapd half of what both took.
    kernel = full_pool("7.2")
    kernel.credit = 0
    kernel.use_cpu(1000)
    assert (kernel.n_awake(), kernel.credit) == (0, 1000)
    kernel.wakeup_kswapd(0)
    kernel.use_cpu(1000)
    assert (kernel.n_awake(), kernel.credit) == (1, 1500)


def test_zswap_max__a_store_at_the_limit_writes_an_old_entry_back_first() -> None:
    # 9 entries of 1000 bytes are two whole pages. Each store beyond looks at the oldest entry; its second chance is no
    # room.
    kernel = group(room=94, content=SMALL, zswap=vl.Zswap(max_pool_percent=100, max_bytes=8192))
    touch(kernel, *range(20))
    for page in range(9):
        evict(kernel, page)
    assert (kernel.count["zswpout"], kernel.may_zswap()) == (9, False)
    assert kernel.flushed_zswap == (9, 2)  # every look at the limit brings the statistics up to date
    for page in range(9, 18):
        evict(kernel, page)
    assert (kernel.count["zswpout"], kernel.count["zswpwb"], kernel.count["pswpout"]) == (9, 0, 9)
    evict(kernel, 18)
    assert (kernel.count["zswpout"], kernel.count["zswpwb"], kernel.count["pswpout"]) == (10, 1, 10)


def test_zspages__holes_stay_until_a_zspage_is_empty() -> None:
    pool = ZsPool()
    objects = [pool.malloc(2048) for _ in range(30)]  # two zspages of 15
    assert pool.pages == 16
    for zspage in objects[1:15] + objects[16:]:
        pool.free(zspage)
    assert pool.pages == 16  # one object in each
    pool.malloc(2048)
    pool.free(objects[15])
    assert pool.pages == 16  # the new one went to the zspage that was moved last, the second


def test_zswap_shrinker_scan__ends_where_an_entry_is_being_loaded() -> None:
    kernel = group(room=94, content=SMALL, zswap=vl.Zswap(max_pool_percent=100, shrinker_enabled=True))
    touch(kernel, *range(10))
    for page in range(6):
        evict(kernel, page)
    assert kernel.zswap_shrinker_scan(6) == 0  # each was given its second chance
    kernel.cached[2] = 1  # page 2 is on its way in
    assert kernel.zswap_shrinker_scan(6) == 0
    assert (kernel.count["zswpwb"], list(kernel.zswap_lru)) == (2, [3, 4, 5, 2])


def test_zs_compact__fills_the_fullest_zspages_from_the_emptiest() -> None:
    # Three zspages of 15 objects, 8 pages each. 5, 10 and 14 stay: the holes are 16, one whole zspage.
    pool = ZsPool()
    objects = [pool.malloc(2048) for _ in range(45)]
    for handle in (*objects[5:15], *objects[25:30], objects[44]):
        pool.free(handle)
    assert (pool.pages, pool.to_free()) == (24, 8)
    # The third takes one object of the first and is full, the second the other four: the first is empty, and goes.
    assert (pool.compact(), pool.pages, pool.to_free()) == (8, 16, 0)
    assert pool.compact() == 0
    for handle in (*objects[:5], *objects[15:25], *objects[30:44]):
        pool.free(handle)  # every object is found where it was moved to
    assert pool.pages == 0


def test_zs_compact__objects_move_in_the_order_in_which_they_lie() -> None:
    # Of three zspages of 15 one keeps its first three objects, one all but one, one its first five: the first is
    # emptied. Its object 0 fills the second; then the third is the fullest that has room, and takes 1 and 2.
    pool = ZsPool()
    objects = [pool.malloc(2048) for _ in range(45)]
    for handle in (*objects[3:15], objects[20], *objects[35:45]):
        pool.free(handle)
    assert (pool.compact(), pool.pages) == (8, 16)
    for handle in (*objects[1:3], *objects[30:35]):
        pool.free(handle)
    assert pool.pages == 8


def test_shrink_zs_pool__only_for_a_node_and_only_in_earnest() -> None:
    # 40 pages of holes at priority 3 are 10, too few for a batch of 128 or of all 40; at priority 0 they are 80.
    kernel = group(content=SMALL, zswap=vl.Zswap(max_pool_percent=100))
    objects = [kernel.zs_pool.malloc(2048) for _ in range(6 * 15)]
    for i in range(6):
        for handle in objects[15 * i + 2 : 15 * i + 15]:
            kernel.zs_pool.free(handle)
    assert (kernel.zs_pool.pages, kernel.zs_pool.to_free()) == (48, 40)
    kernel.shrink_zs_pool(3)
    assert (kernel.zs_pool.pages, kernel.zs_deferred) == (48, 10)
    kernel.shrink_node(kernel.lruvecs[0], 0, 32)  # for a group: its memory is not the pool's
    assert kernel.zs_pool.pages == 48
    kernel.is_global = True
    kernel.shrink_node(kernel.lruvecs[0], 0, 32)
    assert kernel.zs_pool.pages == 8


def test_free__gives_everything_back() -> None:
    kernel = group(content=SMALL, zswap=vl.Zswap(max_pool_percent=100))
    touch(kernel, 0, 1)
    evict(kernel, 0)
    kernel.free(0)
    kernel.free(1)
    kernel.check()
    assert (sum(kernel.mapped), len(kernel.zswap_lru), kernel.slots_used) == (0, 0, [0])


@pytest.mark.parametrize(("maps", "where"), [(True, "mapped"), (False, "cached")])
def test_swapoff__loads_what_has_a_slot_and_no_access_is_counted(maps: bool, where: str) -> None:
    kernel = group(content=RAW, swap_write_ns=0)
    touch(kernel, 0, 1, 2)
    for page in (0, 0, 1):  # page 0 is on the device; page 1 was written there, and is in the swap cache still
        evict(kernel, page)
        kernel.pass_time(0)
    drain = kernel.swapoff(0, maps=maps)
    assert (drain.pages_read, drain.copies_dropped, drain.pte_changed) == (1, 1, 2 * maps)
    assert (kernel.count["pswpin"], kernel.device_in, kernel.slots_used) == (0, [0], [0])
    assert list(getattr(kernel, where)[:2]) == [1, 1]
    kernel.check()


@pytest.mark.parametrize("engine", ["reference", "vectorised"])
def test_first_touch__brings_the_first_content_however_far_it_is_shifted_by_then(engine: str) -> None:
    corpus = pl.DataFrame({"region": [0, 0, 1, 1], "is_zero": [False] * 4})
    op = [1, 1, 2, 1]  # freed, and touched again after the shift
    trace = vl.Trace([0] * 4, op, content=[1], corpus=corpus, content_shifts=[(3, 2)])
    machine = vl.Machine(vl.Dram(30), layer="none", kernel=vl.Kernel())
    assert vl.simulate(trace, machine, engine=engine).state()["content"].to_list() == [3]


def test_several_processes__are_refused() -> None:
    trace = vl.Trace([0, 0], [1, 1], mapper=[0, 1], mappers=[3], n_pages=1)
    machine = vl.Machine(vl.Dram(30), layer="none", kernel=vl.Kernel())
    with pytest.raises(vl.InputError, match="models one process"):
        vl.simulate(trace, machine)


def test_out_of_memory__ends_the_run_before_the_access() -> None:
    pages = np.arange(40)
    trace = vl.Trace(pages, np.ones(40, np.uint8), content=np.full(40, RAW, np.int32), corpus=CORPUS)
    machine = vl.Machine(vl.Dram(30), layer="none", kernel=vl.Kernel())
    result = vl.simulate(trace, machine)
    assert result.totals["oom"] == 1
    assert result.totals["accesses"] == 30 - BASE - TABLE


@pytest.mark.parametrize(
    ("n_slots", "most", "frees"), [(9, None, False), (8, None, False), (7, None, True), (9, 8, True)]
)
def test_mem_cgroup_swap_full__beyond_half_of_all_slots_or_from_half_of_swap_max_on(
    n_slots: int, most: int | None, frees: bool
) -> None:
    # Four slots are taken. Page 2 is read back: it keeps its slot unless slots are short. So with page 1, mapped and in
    # the swap cache, when reclaim makes it active.
    kernel = group(content=SMALL, room=40, n_slots=n_slots, swap_max_slots=most)
    touch(kernel, *range(5))
    for page in (1, 2, 3, 4):
        assert kernel.disk_slot(page) == 0
        kernel.backing[page], kernel.cached[page] = DISK, 1
    kernel.mapped[2] = 0
    assert touch(kernel, 2) == [MINOR]
    assert (sum(kernel.slots_used), kernel.cached[2]) == ((3, 0) if frees else (4, 1))
    if frees:
        kernel.disk_slot(5)
    kernel._activate(1)
    assert (kernel.active[1], kernel.cached[1]) == (1, not frees)
    kernel.writeback[3] = 1
    kernel._activate(3)
    assert kernel.cached[3] == 1


# Readahead ---------------------------------------------------------------------------------------


def swap_out(kernel: KernelReference, *pages: int, backing: int = DISK) -> None:
    """Say that pages were swapped out, to a slot each."""
    for page in pages:
        kernel.backing[page] = backing
        assert kernel.disk_slot(page) == 0


def test_swap_vma_ra_win__opens_where_pages_are_wanted_and_halves_where_not() -> None:
    kernel = group(page_cluster=3, pages=1200)
    assert kernel.swap_vma_ra_win(100) == range(97, 105)  # the first fault of all: as after four hits
    assert kernel.swap_vma_ra_win(600) == range(599, 603)  # none was wanted: half of eight
    assert kernel.swap_vma_ra_win(601) == range(601, 603)  # half again, and upwards, as the last fault was below
    assert kernel.swap_vma_ra_win(600) == range(599, 601)  # a neighbour: two, and downwards
    assert kernel.swap_vma_ra_win(700) == range(700, 701)  # half of two is one
    kernel.ra_hits = 3
    assert kernel.swap_vma_ra_win(900) == range(897, 905)  # 3 + 2, rounded up to a power of two
    kernel.ra_hits = 3
    assert kernel.swap_vma_ra_win(513) == range(512, 518)  # not beyond its page table
    kernel.ra_hits = 3
    assert kernel.swap_vma_ra_win(1199) == range(1196, 1200)  # nor beyond the memory
    assert group(pages=1200).swap_vma_ra_win(100) == range(100, 101)


def test_swapin_readahead__ten_pages() -> None:
    # Page 0 makes the page table. 2 to 11 are on disk but for 4, never touched, and 7, all zeroes. The fault on 5 looks
    # at 2 to 9: it loads seven, six of them ahead, five from disk.
    kernel = group(content=SMALL, page_cluster=3, room=40)
    touch(kernel, 0)
    swap_out(kernel, 2, 3, 5, 6, 8, 9, 10, 11)
    swap_out(kernel, 7, backing=ZERO_PAGE)
    began = kernel.now

    assert touch(kernel, 5) == [DISK_READ]

    assert (kernel.count["pswpin"], kernel.count["swpin_zero"]) == (6, 1)
    assert (kernel.count["swapin_readahead"], kernel.count["swapin_readahead_disk"]) == (6, 5)
    assert [page for page in range(12) if kernel.cached[page]] == [2, 3, 5, 6, 7, 8, 9]
    assert kernel.now - began == kernel.kernel.read_ns + kernel.kernel.fault_ns  # all were read at the same time
    assert not any(kernel.locked)
    # 6, 7 and 8 are found: three hits, so that 10 opens the window to eight again, from 7 on; 11 is left of it.
    assert touch(kernel, 6, 7, 8) == [MINOR] * 3
    assert (kernel.count["swapin_readahead_hit"], kernel.ra_hits) == (3, 3)
    assert touch(kernel, 10) == [DISK_READ]
    assert (kernel.count["pswpin"], kernel.count["swapin_readahead"]) == (8, 7)
    kernel.check()


def test_swapin_readahead__a_page_that_is_still_being_read_is_waited_for() -> None:
    # The fault on a zero page waits for nobody; the next one finds its neighbour on the way.
    kernel = group(content=SMALL, page_cluster=3, room=40)
    touch(kernel, 0)
    swap_out(kernel, 5, backing=ZERO_PAGE)
    swap_out(kernel, 6)
    began = kernel.now

    assert touch(kernel, 5) == [MAJOR]
    assert (kernel.now - began, kernel.locked[6]) == (kernel.kernel.fault_ns, 1)
    kernel.check()
    assert touch(kernel, 6) == [MINOR]
    assert (kernel.now - began, kernel.locked[6]) == (kernel.kernel.read_ns + kernel.kernel.fault_ns, 0)

    swap_out(kernel, 9, backing=ZERO_PAGE)
    swap_out(kernel, 10)
    touch(kernel, 9)
    kernel.free(10)  # on its way
    kernel.check()


def test_swap_update_readahead__a_folio_found_on_its_way_out_keeps_its_place() -> None:
    # PG_readahead is PG_reclaim. 2 and 4 are being written out; the fault on 4 clears the bit, and counts as a hit even
    # without readahead. Written, 2 goes to the tail, to be scanned next; 4 stays where it is.
    kernel = group(content=SMALL, room=40)
    touch(kernel, *range(6))
    kernel.lru_add_drain()
    order = list(kernel.lruvecs[0].inactive)
    for page in (2, 4):
        kernel.mapped[page] = 0
        kernel.cached[page] = kernel.rotates[page] = kernel.writeback[page] = 1

    assert touch(kernel, 4) == [MINOR]
    for page in (2, 4):
        kernel.end_writeback(page)

    assert kernel.count["swapin_readahead_hit"] == 1
    assert sorted(order) == [0, 1, 2, 3, 4, 5]
    assert list(kernel.lruvecs[0].inactive) == [2, 0, 1, 3, 4, 5]


@pytest.mark.parametrize("version", ["6.12", "7.3"])
@pytest.mark.parametrize("lru_gen", [False, True])
def test_readahead__is_for_those_who_go_straight_on(version: str, lru_gen: bool) -> None:
    machine = vl.linux(
        version, memory_max=4096 * 600, total_ram_pages=2000, workload_pages=1000, swap_bytes=4096 * 2001,
        lru_gen=lru_gen, page_cluster=3,
    )  # fmt: skip
    totals = vl.simulate(vl.loop(n_pages=1000, n_accesses=5000, write_share=1), machine).totals
    at_random = vl.simulate(vl.uniform(n_pages=1000, n_accesses=5000, write_share=1, seed=0), machine).totals

    assert totals["swapin_readahead"] > 0.8 * totals["pswpin"] > 1000
    assert totals["swapin_readahead_hit"] > 0.9 * totals["swapin_readahead"]
    assert at_random["swapin_readahead"] < 0.03 * at_random["pswpin"]
    alone = vl.simulate(
        vl.loop(n_pages=1000, n_accesses=5000, write_share=1), with_settings(machine, ["swapfiles.0.page_cluster=0"])
    ).totals
    assert alone["swapin_readahead"] == 0
    assert alone["stall_ns"] > 3 * totals["stall_ns"]
