"""Taking a device away in the middle of a run: tables derived by hand from rule 7 and ``vl.swapoff``.

``off:0``, ``off:zram`` and ``off:cram`` stand before the access of the next
line. ``kit.moved`` is what the device gave up. How to read a table:
``conftest.py``.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import vswaplab as vl

ZERO = 0
RAW = 4096
PAGE_NS = 2000
"""Reading one page from a swapfile of these tables."""


def swapfile(slots: int, priority: int = 0) -> vl.Swapfile:
    # 1000 ns of latency, and 4096 bytes at 4.096 GB/s take another 1000.
    return vl.Swapfile(slots, priority, read_ns=1000, bandwidth_bytes_per_s=4_096_000_000)


def machine(capacity: int, *devices: vl.Swapfile, layer: str = "vswap", **tiers: object) -> vl.Machine:
    dram = vl.Dram(capacity, total_pages=10, low=0, high=1)
    return vl.Machine(dram, swapfiles=devices, layer=layer, **tiers)


# A swapfile, with a layer -----------------------------------------------------------------------

TWO_OUT = """
    w1  first_touch
    w0  first_touch
    w2  first_touch
    w3  first_touch
    w4  first_touch reclaim_runs pswpout        # 1
    w5  first_touch reclaim_runs pswpout        # 0
    f4
    f5                                          # two frames are free
"""


@pytest.mark.parametrize("method", ["virtual", "reverse-map"])
def test_with_a_layer_pages_come_back_in_page_order_and_fault_once_more(kit, method):
    result = kit.play(
        TWO_OUT
        + f"""
        off:0/{method}                          # 0, then 1, though 1 went first
        r2  dram_hit
        r0  dram_hit swap_cache                 # a minor fault maps it
        r0  dram_hit
        """,
        machine(4, swapfile(9)),
        ends="DRAM DRAM+cache DRAM DRAM NONE NONE",
    )
    assert kit.order(result, "DRAM") == [3, 1, 2, 0]  # 3 was the coldest but 2; 0 and 1 came as if just touched
    assert kit.moved(result) == {"pages_read": 2, "cache_only": 2}


def test_page_tables_map_what_they_load(kit):
    result = kit.play(
        TWO_OUT + "off:0/page-table \n r0 dram_hit", machine(4, swapfile(9)), ends="DRAM DRAM DRAM DRAM NONE NONE"
    )
    assert kit.order(result, "DRAM") == [2, 3, 1, 0]
    assert kit.moved(result) == {"pages_read": 2, "pte_changed": 2}


def test_nothing_is_demoted_to_a_device_that_is_gone(kit):
    kit.play(
        TWO_OUT + "off:0 \n !w4 reclaim_runs reclaim_fail*4 oom",
        machine(4, swapfile(9)),
        ends="DRAM+cache DRAM+cache DRAM DRAM NONE NONE",
    )


def test_a_write_or_a_free_ends_the_swap_cache_too(kit):
    kit.play(
        TWO_OUT
        + """
        off:0
        w0  dram_hit swap_cache
        f1                                      # nothing is left behind
        """,
        machine(4, swapfile(9)),
        ends="DRAM NONE DRAM DRAM NONE NONE",
    )


def test_whichever_mapper_comes_first_takes_the_page_out_of_the_swap_cache(kit):
    # swap_cache stands in for the minor_fault of mapper 1, which never touched 0; the page is mapped for both then.
    kit.play(
        """
        r0@0  first_touch
        r1@0  first_touch reclaim_runs pswpout
        f1@0
        off:0
        r0@1  dram_hit swap_cache
        r0@0  dram_hit
        """,
        machine(1, swapfile(9)),
        mappers=[0b11, 1],
    )


ALL_OUT = """
    w0  first_touch             # all zero
    w1  first_touch             # 1000 bytes
    w2  first_touch             # 2, 3 and 4 do not compress
    w3  first_touch
    w4  first_touch
    w5  first_touch reclaim_runs swpout_zero zswpout(1000) reject_compress_poor*3 pswpout*3
    r3  pswpin                  # keeps its slot, a valid copy: no slot was in use at the last reclaim
    w4  pswpin                  # keeps its slot, a stale one
    f5                          # 3 and 4 and 1000 bytes are in DRAM: 2 pages are free
"""
ALL_SIZES = [ZERO, 1000, RAW, RAW, RAW, RAW]


def everywhere(kit, layer: str) -> vl.Machine:
    pool = kit.zswap(max_pool_percent=100, store_incompressible=False)
    dram = vl.Dram(5, total_pages=10, low=0, high=5)  # a reclaim takes everything
    return vl.Machine(dram, zswap=pool, swapfiles=[swapfile(20)], layer=layer)


def test_with_a_layer_only_what_lies_on_the_device_is_read(kit):
    result = kit.play(
        ALL_OUT + "off:0", everywhere(kit, "vswap"), sizes=ALL_SIZES, ends="ZERO ZSWAP DRAM+cache DRAM DRAM NONE"
    )
    # 2, 3 and 4 held a slot; those of 3 and 4, valid or stale, are given back unread.
    assert kit.moved(result) == {"pages_read": 1, "copies_dropped": 2, "cache_only": 1}
    event = result.events.row(0, named=True)
    assert (event["slots_in_use"], event["data_ns"]) == (3, PAGE_NS)
    # 0 to 4 have a virtual slot; behind those of 2, 3 and 4 there is only a folio from now on.
    assert (event["virtual_slots"], event["virtual_slots_left"], event["minor_faults_left"]) == (5, 3, 1)


def test_without_a_layer_all_that_holds_a_slot_comes_back_mapped(kit):
    # 0, 1 and 2 take a frame each; 1 gives its 1000 bytes back. 5 frames of 5.
    result = kit.play(
        ALL_OUT + "off:0 \n r0 dram_hit", everywhere(kit, "none"), sizes=ALL_SIZES, ends="DRAM DRAM DRAM DRAM DRAM NONE"
    )
    assert kit.order(result, "DRAM") == [3, 4, 1, 2, 0]
    assert kit.tier(result, "zswap") == (0, 0, 0)
    assert kit.moved(result) == {
        "pages_read": 1,
        "pages_loaded": 1,
        "zswap_loaded": 1,
        "zero_loaded": 1,
        "copies_dropped": 2,
        "pte_changed": 3,
    }
    event = result.events.row(0, named=True)
    # 2000 ns for the page read, 500 to decompress one, 250 to clear one; no virtual layer to look through.
    assert event["data_ns"] == PAGE_NS + 500 + 250
    assert (event["slots_in_use"], event["virtual_slots"], event["visits_virtual"]) == (5, 0, 0)


def test_a_copy_behind_a_device_page_is_dropped_too(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)              # 1000 of 1500 bytes
        w0  cram_promote reclaim_runs cram_refused pswpout      # 1
        w1  pswpin reclaim_runs cram_in(1000)                   # 0 again; the slot of 1 is stale
        f0
        w2  first_touch reclaim_runs cram_in(1000)              # 1, with its slot
        off:0
        """,
        machine(1, swapfile(9), cram=kit.cram(1500, 4)),
        ends="NONE softleaf DRAM",
    )
    assert kit.moved(result) == {"copies_dropped": 1}


def test_without_a_layer_a_device_page_that_holds_a_slot_comes_back(kit):
    result = kit.play(
        """
        r0  first_touch
        r1  first_touch reclaim_runs cram_in(1000)
        f1
        off:0
        r0  dram_hit
        """,
        machine(1, swapfile(9), layer="none", cram=kit.cram(4096, 4)),
        ends="DRAM NONE",
    )
    assert kit.moved(result) == {"cram_loaded": 1, "pte_changed": 1}
    assert kit.tier(result, "CRAM") == (0, 0, 0)


# Frames -----------------------------------------------------------------------------------------


def test_reclaim_runs_inside_a_swapoff_where_a_frame_is_missing(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs pswpout        # 0 to device 0
        w3  first_touch reclaim_runs pswpout        # 1
        off:0 reclaim_runs*2 pswpout*2              # 2 to device 1, 0 comes back; 3 to device 1, 1 comes back
        """,
        machine(2, swapfile(9), swapfile(9)),
        ends="DRAM+cache DRAM+cache SWAPFILE SWAPFILE",
    )
    assert result.state()["swap_device"].to_list() == [None, None, 1, 1]
    assert result.events.row(0, named=True)["reclaim_runs"] == 2


def test_what_came_back_may_leave_again_and_is_no_longer_in_the_swap_cache(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs pswpout        # 0 to device 0
        w2  first_touch reclaim_runs pswpout        # 1
        off:0 reclaim_runs*2 pswpout*2              # 2 to device 1 for 0, and 0 to device 1 for 1
        r0  pswpin reclaim_runs pswpout             # 1
        r0  dram_hit
        """,
        machine(1, swapfile(9), swapfile(9)),
        ends="DRAM+copy SWAPFILE SWAPFILE",
    )


def test_a_swapoff_that_finds_no_frame_ends_the_run(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs pswpout
        off:0 reclaim_runs reclaim_fail oom         # 1 cannot leave for 0
        !r1
        """,
        machine(1, swapfile(9)),
        ends="SWAPFILE DRAM",
    )
    assert result.totals["oom"] == 1
    assert result.events["oom"].to_list() == [1]
    assert kit.moved(result) == {}


def test_a_swapoff_keeps_what_it_read_before_memory_ran_out(kit):
    result = kit.play(
        TWO_OUT.replace("f5", "") + "off:0 reclaim_runs reclaim_fail*4 oom \n !r0",  # a frame for 0, none for 1
        machine(4, swapfile(9)),
        ends="DRAM+cache SWAPFILE DRAM DRAM NONE DRAM",
    )
    assert kit.moved(result) == {"pages_read": 1, "cache_only": 1}


# Two devices ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gone", "ends"), [(0, "DRAM+cache SWAPFILE"), (1, "SWAPFILE DRAM+cache")])
def test_pages_of_the_other_device_stay(kit, gone, ends):
    kit.play(
        f"""
        w0  first_touch
        w1  first_touch reclaim_runs pswpout        # 0 fills device 0
        w2  first_touch reclaim_runs pswpout        # 1 goes to device 1
        f2
        off:{gone}
        """,
        machine(1, swapfile(1), swapfile(9)),
        ends=ends + " NONE",
    )


@pytest.mark.parametrize(("off", "ends"), [("", "SWAPFILE DRAM+copy"), ("off:1", "SWAPFILE DRAM")])
def test_half_full_is_half_of_the_devices_that_are_left(kit, off, ends):
    kit.play(
        f"""
        w0  first_touch
        w1  first_touch reclaim_runs pswpout            # 0
        r0  pswpin reclaim_runs pswpout                 # 1; 1 of 10 slots is in use, 0 keeps its copy
        {off}                                           # 7 empty slots go
        r1  pswpin reclaim_runs clean_drop              # 2 slots of 10, or of 3: over half, 1 gives its own up
        """,
        machine(1, swapfile(3, priority=1), swapfile(7)),
        ends=ends,
    )


def test_a_page_that_the_swapoff_itself_pushes_out_has_more_than_a_folio_behind_its_name():
    two = [vl.Swapfile(9, priority=0), vl.Swapfile(9, priority=-1)]
    story = vl.Trace([1, 4, 2, 4], [1, 0, 1, 0], n_pages=5)
    events = vl.simulate(story, vl.Machine(vl.Dram(2, high=2), swapfiles=two), events=[vl.swapoff(at=4)]).events
    assert events["virtual_slots_left"].to_list() == [1]  # page 1; page 4 went to the other device meanwhile


def test_a_page_in_the_swap_cache_holds_its_virtual_slot_when_the_next_device_goes(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs pswpout        # 0 to device 0
        f1
        off:0
        off:1
        r0  dram_hit swap_cache
        """,
        machine(1, swapfile(1), swapfile(1)),
    )
    assert result.events["virtual_slots"].to_list() == [1, 1]
    assert result.events["virtual_slots_left"].to_list() == [1, 0]
    assert result.events["visits_reverse_map"].to_list() == [1, 0]


# zram -------------------------------------------------------------------------------------------


def test_zram_is_emptied_without_io_but_for_what_it_wrote_back(kit):
    zram = kit.zram(9, idle_period=1, backing_slots=1, backing_read_ns=7000)
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs pswpout zram_bytes*1000        # 0
        w3  first_touch reclaim_runs pswpout zram_bytes*1000        # the pass marks 0; then 1 comes
        f2  zram_bd_writes                                          # the pass writes 0 back: its slot is taken
        f3
        off:zram
        r1  dram_hit swap_cache
        """,
        machine(2, zram=zram),
        ends="DRAM+cache DRAM NONE NONE",
    )
    assert kit.moved(result) == {"pages_read": 1, "pages_loaded": 1, "cache_only": 2}
    assert result.events.row(0, named=True)["data_ns"] == 7000 + 500
    assert kit.tier(result, "zram") == (0, 0, 0)
    assert result.totals["pswpin"] == result.totals["zram_read"] == 0


def test_pages_that_zram_recompressed_cost_what_its_second_compressor_takes(kit):
    corpus = vl.Corpus(pl.DataFrame({"lzo_4k": [2500], "zstd1_4k": [1000], "zstd3_4k": [1000], "is_zero": [False]}))
    trace = vl.Trace([*range(60)] + [59] * 400, corpus=corpus)
    zram = vl.Zram(409_600, idle_period=50, recompressor="zstd")
    machine_ = vl.Machine(vl.Dram(60, high=30, low=10), zram=zram)

    events = vl.simulate(trace, machine_, events=[vl.swapoff(at=450, device="zram")]).events.row(0, named=True)

    assert events["pages_loaded"] == events["recompressed_loaded"] == 20
    assert events["data_ns"] == 20 * zram.second_profile.load_ns != 20 * zram.profile.load_ns


def test_without_a_layer_zram_gives_back_zswaps_pages_too(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs zswpout(1000) swpout_zero      # 0 frees 3096 bytes, 1 a page
        f2
        off:zram
        """,
        machine(2, layer="none", zram=kit.zram(9), zswap=kit.zswap(max_pool_percent=100)),
        sizes=[1000, ZERO, 1000],
        ends="DRAM DRAM NONE",
    )
    assert kit.moved(result) == {"pages_loaded": 1, "zswap_loaded": 1, "zero_loaded": 1, "pte_changed": 2}


# CRAM -------------------------------------------------------------------------------------------


def test_the_pages_of_a_cram_device_go_on_through_rule_2_coldest_first(kit):
    pool = kit.zswap(max_pool_percent=100, store_incompressible=False)
    result = kit.play(
        """
        r0  first_touch
        r1  first_touch
        r2  first_touch
        r3  first_touch reclaim_runs cram_in(1000)          # 0
        r4  first_touch reclaim_runs cram_in(1000)          # 1
        r5  first_touch reclaim_runs cram_in(1000)          # 2
        r0  cram_soft_fault                                 # the order is 1, 2, 0
        f3
        f4
        off:cram cram_writeback_zswap*2 zswpout(1000)*2 reject_compress_poor cram_writeback_swapfile pswpout
        w3  first_touch                                     # 12288 - 2 x 4096 - 2000 = 2096: no page is free now
        r1  zswpin reclaim_runs zswpout(1000)               # 5: no device refuses it, none is there
        """,
        machine(3, swapfile(9), cram=kit.cram(4096, 9), zswap=pool),
        sizes=[1000, 1000, RAW, 1000, 1000, 1000],
        on_device=1000,
        ends="ZSWAP DRAM SWAPFILE DRAM NONE ZSWAP",
    )
    assert kit.order(result, "ZSWAP") == [0, 5]  # 1 went in before them, and came out
    assert kit.moved(result) == {"written_back": 3, "pte_changed": 1}  # 0 was mapped
    event = result.events.row(0, named=True)
    assert (event["device"], event["slots_in_use"], event["data_ns"]) == ("cram", 3, 3 * 500)


def test_writeback_to_the_swapfile_leaves_zswap_out_at_removal_too(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        f1
        off:cram cram_writeback_swapfile pswpout
        """,
        machine(
            1,
            swapfile(9),
            cram=kit.cram(4096, 9, writeback_to="swapfile"),
            zswap=kit.zswap(max_pool_percent=100),
        ),
        ends="SWAPFILE NONE",
    )


@pytest.mark.parametrize(
    ("layer", "words", "changed"),
    [
        ("vswap", "rmap_walks pte_changed pte_unchanged*2 pte_scanned*4", 1),  # 0: mapper 1 only
        ("none", "rmap_walks*2 pte_changed*3 pte_scanned*8", 3),  # both entries of 0, the one of 1; 2 tables of 4
    ],
)
def test_removal_unmaps_the_mapped_and_without_a_layer_rewrites_the_rest(kit, layer, words, changed):
    result = kit.play(
        f"""
        r0@0  first_touch
        r1@0  first_touch
        r2@0  first_touch reclaim_runs cram_in(1000)
        r3@0  first_touch reclaim_runs cram_in(1000)
        r0@1  cram_soft_fault                       # 0: mapper 1 read-only, mapper 0 softleaf; 1: softleaf
        f2@0
        off:cram cram_writeback_swapfile*2 pswpout*2 cram_writeback_multi_state {words}
        """,
        machine(2, swapfile(9), layer=layer, cram=kit.cram(4096, 9)),
        mappers=[0b11, 1, 1, 1],
        ends="SWAPFILE SWAPFILE NONE DRAM",
    )
    assert kit.moved(result) == {"written_back": 2, "pte_changed": changed}


@pytest.mark.parametrize(("method", "changed"), [("page-table", 3), ("reverse-map", 1)])
def test_device_pages_that_find_no_room_come_to_dram(kit, method, changed):
    # Page tables map 0 for one mapper and 1 for two; else the one mapping of 1 is taken away.
    result = kit.play(
        f"""
        r0@0  first_touch
        r1@0  first_touch
        r2@0  first_touch
        r3@0  first_touch reclaim_runs cram_in(1000)        # 0
        r4@0  first_touch reclaim_runs cram_in(1000)        # 1
        r1@1  cram_soft_fault
        f2@0
        f3@0
        off:cram/{method} reclaim_fail*2
        r1@1  dram_hit {"swap_cache" if method == "reverse-map" else ""}
        """,
        machine(3, cram=kit.cram(4096, 9)),
        mappers=[1, 0b11, 1, 1, 1],
    )
    assert kit.order(result, "DRAM") == [4, 0, 1]
    only_cached = {"cache_only": 2} if method == "reverse-map" else {}
    assert kit.moved(result) == {"cram_loaded": 2, "pte_changed": changed} | only_cached
    assert kit.tier(result, "CRAM") == (0, 0, 0)


def test_removal_runs_no_reclaim_where_no_frame_is_missing(kit):
    # DRAM is full, which is no reason: nothing comes to it.
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        off:cram cram_writeback_swapfile pswpout
        r1  dram_hit
        """,
        machine(1, swapfile(9), cram=kit.cram(4096, 9)),
        ends="SWAPFILE DRAM",
    )


def test_removing_an_empty_device_takes_nothing(kit):
    result = kit.play(
        """
        w0  first_touch
        off:cram                    # DRAM is full and there is nowhere else: no matter
        r0  dram_hit
        """,
        machine(1, cram=kit.cram(4096, 9)),
    )
    assert kit.moved(result) == {}


def test_a_pool_that_takes_the_device_in_pushes_dram_pages_out(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs cram_in(1000)          # 0
        off:cram cram_writeback_zswap zswpout(1000) reclaim_runs zswpout(1000)*2
        # 2 x 4096 + 1000 is more than there is: 1 goes, 8192 - 4096 - 2000 = 2096 is no page; 2 goes too
        """,
        machine(2, cram=kit.cram(4096, 9), zswap=kit.zswap(max_pool_percent=100)),
        ends="ZSWAP ZSWAP ZSWAP",
    )
    assert kit.order(result, "ZSWAP") == [0, 1, 2]
    assert kit.moved(result) == {"written_back": 1}


def test_zombies_are_reaped_and_freed_bytes_flushed_at_removal(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w0  cram_made_writable
        f0  zombies
        f1
        off:cram reaped flushes trims
        """,
        machine(1, swapfile(9), cram=kit.cram(4096, 9, writable_budget_pages=1, reaper_period=99, flush_period=99)),
        ends="NONE NONE",
    )
    assert kit.tier(result, "CRAM") == (0, 0, 0)
    assert result.tiers.filter(tier="CRAM").row(-1, named=True)["zombie_pages"] == 0


@pytest.mark.parametrize("swapfiles", [[], [swapfile(9)]], ids=["to DRAM", "to the swapfile"])
def test_a_writable_page_that_leaves_returns_its_budget_slot(kit, swapfiles):
    fate = "cram_writeback_swapfile pswpout" if swapfiles else "reclaim_fail"
    result = kit.play(
        f"""
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w0  cram_made_writable
        f1
        off:cram {fate}
        """,
        machine(1, *swapfiles, cram=kit.cram(4096, 9, writable_budget_pages=1)),
    )
    assert result.tiers.filter(tier="CRAM").row(-1, named=True)["writable_pages"] == 0


def test_a_poisoned_page_is_lost_with_or_without_its_device(kit):
    kit.play(
        """
        r0  first_touch
        r1  first_touch reclaim_runs cram_in(1000)
        w0  cram_made_writable poison                       # 2001 > 2000
        f1
        off:cram
        r0  sigbus
        r0  first_touch
        """,
        machine(1, swapfile(9), cram=kit.cram(2000, 9, writable_budget_pages=1)),
        sizes=[[1000, 2001], 1000],
        redraw=1.0,
        seed=kit.seed_for({2: 1}),
        ends="DRAM NONE",
    )


def test_a_memory_tier_is_removed_by_page_tables_and_its_pages_stay_mapped(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs cram_in(1000)          # 0
        f1
        off:cram reclaim_fail
        r0  dram_hit
        """,
        vl.Machine(vl.Dram(2, low=0, high=1, charge="host"), kit.cram(4096, 9, mode="tier")),
        ends="DRAM NONE DRAM",
    )
    assert kit.moved(result) == {"cram_loaded": 1, "pte_changed": 1}
    event = result.events.row(0, named=True)
    assert (event["method"], event["virtual_slots"]) == ("page-table", 0)  # a tier's page has no swap entry


def test_a_tiers_zero_page_leaves_as_a_zero_page(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(64)
        f1
        off:cram swpout_zero cram_writeback_zero
        """,
        vl.Machine(vl.Dram(1, low=0, high=1, charge="host"), kit.cram(4096, 9, mode="tier")),
        sizes=[ZERO, 1000],
        ends="ZERO NONE",
    )


def test_a_device_that_is_gone_reports_and_flushes_nothing(kit):
    # Reports and flushes before accesses 3 and 6. The last report, 1000 of 4000 bytes, would close the gate.
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        f1
        w1  first_touch
        off:cram cram_writeback_swapfile pswpout        # its 1000 bytes wait for no flush
        w2  first_touch reclaim_runs pswpout            # 1: the device's gate is no longer asked
        r2  dram_hit
        r2  dram_hit
        """,
        machine(1, swapfile(9), cram=kit.cram(4000, 9, report_lag=3, flush_period=3, close_at=0.25, open_at=0.25)),
        ends="SWAPFILE SWAPFILE DRAM",
    )


def test_what_a_removal_moved_leaves_earlier_writeback_out(kit):
    result = kit.play(
        """
        r0  first_touch
        r1  first_touch reclaim_runs cram_in(1000)
        r0  cram_soft_fault
        r2  first_touch reclaim_runs cram_writeback_swapfile pswpout cram_in(1000)      # 1000 > 409: 0, unmapped
        f2
        off:cram cram_writeback_swapfile pswpout                                        # 1, never mapped
        """,
        machine(1, swapfile(9), cram=kit.cram(4096, 9, writeback_high=0.1, writeback_low=0.0)),
        ends="SWAPFILE SWAPFILE NONE",
    )
    assert result.totals["pte_changed"] == 1
    assert kit.moved(result) == {"written_back": 1}


# What each way visits ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "scan_ns", "changed", "left"),
    [("page-table", 2804, 4, 0), ("virtual", 2048, 0, 2), ("reverse-map", 200, 0, 2)],
)
def test_what_each_method_visits(kit, method, scan_ns, changed, left):
    # 701 pages in page tables of 2 processes; 5, 600 and 700 are swapped: slots of clusters 0 and 1 of 512.
    result = kit.play(
        f"""
        r5@0    first_touch
        r600@0  first_touch
        r700@0  first_touch
        r0@0    first_touch reclaim_runs pswpout            # 5
        r1@0    first_touch reclaim_runs pswpout            # 600
        r2@0    first_touch reclaim_runs swpout_zero        # 700
        f0@0
        f1@0
        off:0/{method}                                      # reads 5 and 600
        """,
        machine(3, swapfile(9)),
        sizes=[1000] * 700 + [ZERO],
        mappers=[1, 1, 1] + [0b11] * 698,
    )
    event = result.events.row(0, named=True)
    assert [event[n] for n in ("slots_in_use", "virtual_slots", "virtual_clusters", "mappers")] == [2, 3, 2, 2]
    assert [event[f"visits_{n}"] for n in ("page_table", "virtual", "reverse_map")] == [2 * 701, 2 * 512, 2]
    assert [event[f"scan_{n}_ns"] for n in ("page_table", "virtual", "reverse_map")] == [1402 * 2, 1024 * 2, 2 * 100]
    assert (event["data_ns"], event["time_ns"]) == (2 * PAGE_NS, 2 * PAGE_NS + scan_ns)
    assert (event["pte_changed"], event["minor_faults_left"], event["later_ns"]) == (changed, left, left * 1000)


def test_swapoff_work__prices_the_same_visits():
    work = vl.swapoff_work(slots_in_use=2, virtual_slots=1024, address_space_pages=701, mappers=2)

    columns = ("method", "visits", "scan_ns", "later_faults", "later_ns", "total_ns", "rmap_bytes")
    assert work.select(columns).rows() == [
        ("page-table", 1402, 2804, 0, 0, 2804, 0),
        ("virtual", 1024, 2048, 2, 2000, 4048, 0),
        ("reverse-map", 2, 200, 2, 2000, 2200, 16),
    ]


def test_swapoff_work__takes_arrays_and_prices_of_ones_own():
    costs = vl.Costs(pte_visit_ns=1, slot_visit_ns=3, rmap_visit_ns=10, fault_ns=7)
    work = vl.swapoff_work(
        slots_in_use=[1, 2], virtual_slots=512, address_space_pages=np.array([100, 200]), costs=costs
    )

    assert work["method"].to_list() == ["page-table"] * 2 + ["virtual"] * 2 + ["reverse-map"] * 2
    assert work["scan_ns"].to_list() == [100, 200, 1536, 1536, 10, 20]
    assert work["total_ns"].to_list() == [100, 200, 1543, 1550, 17, 34]


def test_swapoff_work__has_numbers_as_large_as_64_bits_hold():
    work = vl.swapoff_work(slots_in_use=0, virtual_slots=2**60, address_space_pages=2**57, mappers=8)

    assert work["total_ns"].to_list() == [2**61, 2**61, 0]


# What cannot be ---------------------------------------------------------------------------------

ONE = vl.Trace([0])


def run(*events: object, layer: str = "vswap", **tiers: object) -> vl.Result:
    return vl.simulate(ONE, vl.Machine(vl.Dram(1), layer=layer, swapfiles=[vl.Swapfile(1)], **tiers), events=events)


@pytest.mark.parametrize(
    ("call", "value", "remedy"),
    [
        (lambda: run(vl.swapoff(at=0, device=1)), "device 1: this machine has 1 swapfiles and no zram", "name one"),
        (lambda: run(vl.swapoff(at=0, device="zram")), "'zram': this machine has 1 swapfiles and no zram", "name one"),
        (lambda: run(vl.swapoff(at=0, device="cram")), "'cram': this machine has no CRAM", "give it one"),
        (lambda: run(vl.swapoff(at=0, method="virtual"), layer="none"), "'virtual' needs a virtual", "page tables"),
        (
            lambda: run(vl.swapoff(at=0, device="cram", method="reverse-map"), cram=vl.Cram(4096, mode="tier")),
            "'reverse-map' needs a virtual layer",
            "page tables",
        ),
        (lambda: run(vl.swapoff(at=2)), "at=2", "from 0 to 1"),
        (lambda: run(vl.swapoff(at=0), vl.swapoff(at=1)), "one device away twice", "name each device once"),
        (lambda: run("swapoff"), "'swapoff'", "a list of vl.swapoff"),
        (lambda: vl.swapoff(at=-1), "-1", "at least 0"),
        (lambda: vl.swapoff(at=True), "True", "index of an access"),
        (lambda: vl.swapoff(at=0, device="floppy"), "'floppy'", "index of a swapfile, 'zram' or 'cram'"),
        (lambda: vl.swapoff(at=0, device=-1), "-1", "index of a swapfile, 'zram' or 'cram'"),
        (lambda: vl.swapoff(at=0, method="guess"), "'guess'", "one of page-table, virtual, reverse-map"),
        (
            lambda: vl.swapoff_work(slots_in_use=-1, virtual_slots=0, address_space_pages=0),
            "slots_in_use must be at least 0, got -1",
            "",
        ),
        (
            lambda: vl.swapoff_work(slots_in_use=1, virtual_slots=1, address_space_pages=9, mappers=[8, 9]),
            "mappers must be at most 8, got 9",
            "",
        ),
        (
            lambda: vl.swapoff_work(slots_in_use=1, virtual_slots=1, address_space_pages=9, mappers=0),
            "mappers must be at least 1, got 0",
            "",
        ),
        (
            lambda: vl.swapoff_work(slots_in_use=[1, 3], virtual_slots=2, address_space_pages=9),
            "slots_in_use 3 is above virtual_slots 2",
            "the slots of all live clusters",
        ),
        (
            lambda: vl.swapoff_work(slots_in_use=2**62, virtual_slots=2**62, address_space_pages=1),
            "slots_in_use 4611686018427387904 ",
            "lower them, or the costs",
        ),
        (
            lambda: vl.swapoff_work(slots_in_use=1, virtual_slots=1, address_space_pages=np.uint64(2**63), mappers=2),
            "address_space_pages 9223372036854775808",
            "lower them, or the costs",
        ),
        (
            lambda: vl.swapoff_work(slots_in_use=1, virtual_slots=1, address_space_pages=2**70),
            "address_space_pages 1180591620717411303424",
            "lower them, or the costs",
        ),
        (
            lambda: vl.swapoff_work(slots_in_use=[1, 2], virtual_slots=[1, 2, 3], address_space_pages=0),
            "differ in shape",
            "arrays of one length",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(call, value, remedy):
    with pytest.raises(vl.InputError) as caught:
        call()
    assert value in str(caught.value)
    assert remedy in str(caught.value)
    assert "\n" not in str(caught.value)


def test_removal_without_a_layer_a_page_that_comes_to_dram_keeps_its_slot_under_the_half_full_rule(kit):
    # No room in zswap and none asked of the swapfile: 0 comes back to DRAM; 1 of 9 slots is not more than half.
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        f1
        off:cram pool_limit_hit reclaim_fail
        r0  dram_hit
        """,
        machine(
            1, swapfile(9), cram=kit.cram(4096, 9), zswap=kit.zswap(max_pool_percent=0, writeback=False), layer="none"
        ),
        ends="DRAM+stale NONE",
    )


def test_minor_faults_left__are_those_of_pages_still_there(kit):
    # One frame: 0 comes back, and goes to the other device to make room for 1.
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs pswpout
        w2  first_touch reclaim_runs pswpout
        off:0 reclaim_runs*2 pswpout*2
        f2
        """,
        machine(1, swapfile(9), swapfile(9)),
    )
    event = result.events.row(0, named=True)
    assert (event["pages_read"], event["cache_only"], event["minor_faults_left"]) == (2, 2, 1)
