"""DRAM, zero pages, swapfiles and their slots: tables derived by hand from rules 0 to 3 and section 2.

Unless a test says otherwise low is 0 and high 1: textbook LRU. How to read a
table: ``conftest.py``.
"""

from __future__ import annotations

import pytest

import vswaplab as vl
from vswaplab.base.draws import CHOICE, draw

ZERO = 0


def lru(capacity: int, slots: int = 10, **settings: int) -> vl.Machine:
    swapfiles = [vl.Swapfile(slots)] if slots else []
    return vl.Machine(vl.Dram(capacity, low=0, high=1), swapfiles=swapfiles, **settings)


def test_lru__the_coldest_by_last_access_leaves(kit):
    result = kit.play(
        """
        w0  first_touch                         # free 2 > low 0
        w1  first_touch                         # free 1 > 0
        r0  dram_hit                            # now 1 is colder than 0
        w2  first_touch reclaim_runs pswpout    # free 0: 1 leaves, until free is 1
        r1  pswpin reclaim_runs pswpout         # 0 leaves (older than 2)
        r0  pswpin reclaim_runs pswpout         # 2 leaves (older than 1)
        r1  dram_hit
        """,
        lru(2),
        ends="DRAM+copy DRAM+copy SWAPFILE",
    )
    assert kit.order(result, "DRAM") == [0, 1]
    assert result.totals["accesses"] - result.totals["frees"] - result.totals["dram_hit"] == 5  # LRU's misses


def test_a_memory_of_one_page_misses_on_every_change_of_page(kit):
    kit.play(
        """
        w0  first_touch
        r0  dram_hit
        w1  first_touch reclaim_runs pswpout
        r0  pswpin reclaim_runs pswpout
        r0  dram_hit
        """,
        lru(1),
        ends="DRAM+copy SWAPFILE",
    )


def test_watermarks__reclaim_runs_at_low_and_stops_at_high(kit):
    result = kit.play(
        """
        w0  first_touch         # free 6 before it
        w1  first_touch         # 5
        w2  first_touch         # 4
        w3  first_touch         # 3
        w4  first_touch         # 2 is above low 1
        w5  first_touch reclaim_runs pswpout*2   # 1 <= 1: 0 and 1 leave, free is 3 = high; 5 takes one: 2
        w6  first_touch         # 2
        w7  first_touch reclaim_runs pswpout*2   # 1: 2 and 3 leave
        """,
        vl.Machine(vl.Dram(6, low=1, high=3), swapfiles=[vl.Swapfile(10)]),
        ends="SWAPFILE SWAPFILE SWAPFILE SWAPFILE DRAM DRAM DRAM DRAM",
    )
    assert kit.order(result, "DRAM") == [4, 5, 6, 7]


def test_watermarks__high_by_default_is_all_of_a_memory_of_ten_pages(kit):
    # min(capacity, max(32, capacity // 1000)) = min(10, max(32, 0)) = 10: a reclaim empties DRAM.
    filled = "\n".join(f"w{page} first_touch" for page in range(10))
    kit.play(
        f"""
        {filled}
        w10 first_touch reclaim_runs pswpout*10
        """,
        vl.Machine(vl.Dram(10), swapfiles=[vl.Swapfile(30)]),
        ends="SWAPFILE " * 10 + "DRAM",
    )


def test_free__counts_whole_pages_of_the_free_bytes(kit):
    # memcg charges compressed lengths: 1000 bytes each.
    kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch
        w3  first_touch reclaim_runs zswpout(1000)*2
        # 0 leaves: 12288 - 8192 - 1000 = 3096 free bytes, no whole page; 1 too: 12288 - 4096 - 2000 = 6192, one
        w4  first_touch reclaim_runs zswpout(1000)
        # 2, 3 and 2000 bytes: 2096 free bytes are 0 pages; 2 leaves: 12288 - 4096 - 3000 = 5192, one
        """,
        vl.Machine(vl.Dram(3, low=0, high=1), zswap=kit.zswap(max_pool_percent=100)),
        ends="ZSWAP ZSWAP ZSWAP DRAM DRAM",
    )


def test_zero_pages__become_zero_and_cost_no_slot(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs swpout_zero    # 0 is the coldest and all zero
        r0  swpin_zero reclaim_runs pswpout         # 1 is not
        w2  dram_hit
        r1  pswpin reclaim_runs swpout_zero         # 0 again
        """,
        lru(2),
        sizes=[ZERO, 1000, 1000],
        ends="ZERO DRAM+copy DRAM",
    )
    assert kit.tier(result, "swapfile") == (0, 0, 4096)  # one slot, behind the resident page 1


def test_clean_copies__are_dropped_for_free_and_stale_ones_rewritten_in_place(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs pswpout    # 0 takes a slot
        r0  pswpin reclaim_runs pswpout         # 1 takes a slot; 0 is in, the slot behind it a clean copy
        r1  pswpin reclaim_runs clean_drop      # 0 was only read
        r0  pswpin reclaim_runs clean_drop      # so was 1
        w0  dram_hit                            # 0's copy is stale, the slot stays its own
        r1  pswpin reclaim_runs pswpout         # 0 is written to the slot it has
        w0  pswpin reclaim_runs clean_drop      # swapped in by a write: stale at once
        r1  pswpin reclaim_runs pswpout
        """,
        lru(1),
        ends="SWAPFILE DRAM+copy",
    )
    assert kit.tier(result, "swapfile") == (1, 4096, 2 * 4096)  # two slots in all


def test_a_page_that_became_zero_gives_its_slot_back(kit):
    # Every write draws one of the page's two contents: not zero first, zero at access 3.
    result = kit.play(
        """
        r0  first_touch
        r1  first_touch reclaim_runs pswpout        # 0: not zero
        r0  pswpin reclaim_runs pswpout
        w0  dram_hit                                # now all zeroes, and its copy is stale
        r1  pswpin reclaim_runs swpout_zero         # ZERO, and the slot is free
        """,
        lru(1),
        sizes=[[1000, ZERO], 1000],
        redraw=1.0,
        seed=kit.seed_for({3: 1}),
        ends="ZERO DRAM+copy",
    )
    assert kit.tier(result, "swapfile") == (0, 0, 4096)


def test_half_full__slots_return_at_swap_in_once_more_than_half_are_used(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs pswpout    # 0 x 2 > 3? no. 0 out: 1 slot in use
        w2  first_touch reclaim_runs pswpout    # 1 x 2 > 3? no. 1 out: 2 in use
        r0  pswpin reclaim_runs pswpout         # 2 x 2 > 3: set. 2 out: 3 in use; 0 in, its slot freed: 2
        r1  pswpin reclaim_runs pswpout         # set. 0 has no copy: written; 1 in, slot freed
        """,
        lru(1, slots=3),
        ends="SWAPFILE DRAM SWAPFILE",
    )
    assert kit.tier(result, "swapfile") == (2, 2 * 4096, 2 * 4096)


def test_half_full__exactly_half_is_not_over_half(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs pswpout    # 0 out: 1 of 4 slots
        w2  first_touch reclaim_runs pswpout    # 1 out: 2 of 4
        r0  pswpin reclaim_runs pswpout         # 2 x 2 > 4? no: 0 keeps its slot. 2 out: 3 of 4
        r1  pswpin reclaim_runs clean_drop      # 3 x 2 > 4: set. 0's copy, kept earlier, stays; 1's slot is freed
        """,
        lru(1, slots=4),
        ends="SWAPFILE DRAM SWAPFILE",
    )


def test_half_full__is_looked_at_once_per_reclaim_and_not_at_the_swap_in(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch
        w3  first_touch
        w4  first_touch reclaim_runs pswpout*4   # bit: 0 x 2 > 4? no. All four leave (high is 4): 4 of 4 slots
        r0  pswpin                               # 4 of 4 in use, but no reclaim has looked: 0 keeps its slot
        w5  first_touch
        w6  first_touch                          # free 0
        w7  first_touch reclaim_runs reclaim_fail*3 clean_drop
        # bit: 8 > 4, set. 4 finds no slot and stays, 0 is dropped, 5 and 6 stay; free 1
        f7
        r1  pswpin                               # no reclaim, the bit is still set: slot freed, 3 in use
        r2  pswpin reclaim_runs pswpout reclaim_fail*3
        # bit: 6 > 4, set. 4 takes the free slot, 5, 6 and 1 find none; 2 is loaded and its slot freed
        """,
        vl.Machine(vl.Dram(4, low=0, high=4), swapfiles=[vl.Swapfile(4)]),
        ends="SWAPFILE DRAM DRAM SWAPFILE SWAPFILE DRAM DRAM NONE",
    )
    assert kit.order(result, "DRAM") == [5, 6, 1, 2]


def test_a_free_releases_the_slot(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs pswpout    # 0 takes the only slot
        f0                                      # and gives it back
        w2  first_touch reclaim_runs pswpout    # so 1 finds one
        !r0 reclaim_runs reclaim_fail oom       # but 2 does not
        """,
        lru(1, slots=1),
        ends="NONE SWAPFILE DRAM",
    )


def test_a_free_of_a_resident_page_releases_its_frame_and_its_stale_slot(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs pswpout    # 0 takes a slot: 1 of 2
        r0  pswpin reclaim_runs pswpout         # 1 takes the other. 1 x 2 > 2? no: 0 keeps its own
        w0  dram_hit                            # stale
        f0                                      # frame and slot are free
        w2  first_touch                         # no reclaim
        w3  first_touch reclaim_runs pswpout    # 2 takes the slot
        !w4 reclaim_runs reclaim_fail oom
        """,
        lru(1, slots=2),
        ends="NONE SWAPFILE SWAPFILE DRAM NONE",
    )


def test_a_freed_page_is_touched_for_the_first_time_again(kit):
    kit.play(
        """
        f0                      # never touched: a free all the same
        w0  first_touch
        f0
        f0
        r0  first_touch
        r0  dram_hit
        """,
        lru(1, slots=0),
        ends="DRAM",
    )


def test_a_freed_page_forgets_what_was_written(kit):
    result = kit.play(
        """
        r0  first_touch         # its first content, 1000 bytes
        w0  dram_hit            # draws the other, all zeroes
        f0
        r0  first_touch         # the first content again: not zero
        r1  first_touch reclaim_runs pswpout
        """,
        lru(1),
        sizes=[[1000, ZERO], 1000],
        redraw=1.0,
        seed=kit.seed_for({1: 1}),
        ends="SWAPFILE DRAM",
    )
    assert result.state()["content"].to_list() == [0, 2]


def test_swapfiles__are_filled_by_priority_and_in_the_order_given(kit):
    devices = [vl.Swapfile(1, priority=0), vl.Swapfile(2, priority=5), vl.Swapfile(1, priority=5)]
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs pswpout    # 0 to device 1, the first of priority 5
        w2  first_touch reclaim_runs pswpout    # 1 to device 1, which is full now
        w3  first_touch reclaim_runs pswpout    # 2 to device 2
        w4  first_touch reclaim_runs pswpout    # 3 to device 0
        !w5 reclaim_runs reclaim_fail oom
        """,
        vl.Machine(vl.Dram(1, low=0, high=1), swapfiles=devices),
        ends="SWAPFILE SWAPFILE SWAPFILE SWAPFILE DRAM NONE",
    )
    assert result.state()["swap_device"].to_list() == [1, 1, 2, 0, None, None]
    assert [result.epochs[f"pswpout_{d}"].sum() for d in range(3)] == [1, 2, 1]


def test_swapfiles__a_page_keeps_its_own_slot_though_a_better_device_has_room(kit):
    devices = [vl.Swapfile(1, priority=1), vl.Swapfile(9, priority=0)]
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs pswpout    # 0 to device 0
        w2  first_touch reclaim_runs pswpout    # 1 to device 1
        f0                                      # device 0 is empty
        w1  pswpin reclaim_runs pswpout         # 2 to device 0; 1 is in, its copy stale
        f2                                      # device 0 is empty again
        w3  first_touch reclaim_runs pswpout    # 1 to the slot it has, on device 1
        """,
        vl.Machine(vl.Dram(1, low=0, high=1), swapfiles=devices),
    )
    assert result.state()["swap_device"].to_list() == [None, 1, None, None]
    assert [result.epochs[f"pswpout_{d}"].sum() for d in range(2)] == [2, 2]
    assert [result.epochs[f"pswpin_{d}"].sum() for d in range(2)] == [0, 1]


def test_swap_max__limits_the_slots_whatever_the_swapfile_has(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs pswpout    # 0 takes the one slot allowed
        !r0 reclaim_runs reclaim_fail oom       # 1 may not take another
        """,
        lru(1, slots=10, swap_max_slots=1),
        ends="SWAPFILE DRAM",
    )


def test_swap_max__of_zero_is_no_swapfile(kit):
    kit.play(
        """
        w0  first_touch
        !w1 reclaim_runs reclaim_fail oom
        """,
        lru(1, slots=10, swap_max_slots=0),
        ends="DRAM NONE",
    )


def test_swap_max__lets_a_page_rewrite_the_slot_it_has(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs pswpout    # 0 takes the one slot allowed
        f1
        w0  pswpin                              # free 1: no reclaim; the slot stays 0's own, stale
        r2  dram_hit
        w1  first_touch reclaim_runs pswpout    # 0 is coldest and dirty: its own slot
        """,
        lru(2, slots=10, swap_max_slots=1),
        ends="SWAPFILE DRAM DRAM",
    )


def test_no_room__the_pages_stay_as_if_touched_just_before_the_access(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch         # all zero
        w3  first_touch
        w4  first_touch reclaim_runs reclaim_fail*2 swpout_zero
        # 0 and 1 have nowhere to go and keep their order; 2 needs no room; free is 1: 3 is not looked at
        """,
        lru(4, slots=0),
        sizes=[1000, 1000, ZERO, 1000, 1000],
        ends="DRAM DRAM ZERO DRAM DRAM",
    )
    assert kit.order(result, "DRAM") == [3, 0, 1, 4]


def test_no_room__each_resident_is_looked_at_once_and_the_run_ends_before_the_access(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch
        r0  dram_hit
        !w2 reclaim_runs reclaim_fail*2 oom
        """,
        lru(2, slots=0),
        ends="DRAM DRAM NONE",
    )
    assert kit.order(result, "DRAM") == [1, 0]


def test_no_room__a_reclaim_that_missed_high_is_enough_if_one_frame_is_free(kit):
    kit.play(
        """
        w0  first_touch                                 # free 3
        w1  first_touch                                 # free 2
        w2  first_touch reclaim_runs reclaim_fail*2     # free 1 <= low 1; nothing leaves, but 1 frame is there
        r0  dram_hit                                    # needs no frame
        !w3 reclaim_runs reclaim_fail*3 oom             # free 0
        """,
        vl.Machine(vl.Dram(3, low=1, high=3)),
        ends="DRAM DRAM DRAM NONE",
    )


def test_an_access_that_needs_no_frame_never_reclaims(kit):
    kit.play(
        """
        w0  first_touch
        w0  dram_hit        # free 0 <= low 0
        r0  dram_hit
        f0
        w0  first_touch
        """,
        lru(1, slots=0),
        ends="DRAM",
    )


def test_repeats__are_counted_where_the_page_lies_after_the_record(kit):
    kit.play(
        """
        r0/2/3  first_touch repeat_dram*5
        w0/0/1  dram_hit repeat_dram
        w1/1/0  first_touch reclaim_runs pswpout repeat_dram
        r0/4/0  pswpin reclaim_runs pswpout repeat_dram*4
        f0/1/1  repeat_unserved*2                               # nothing is left to touch
        """,
        lru(1),
    )


def test_repeats__never_redraw_content(kit):
    # Five more writes of page 0 do not draw its other content, all zeroes: only access 0 could, and it does not.
    kit.play(
        """
        w0/0/5  first_touch repeat_dram*5
        r1      first_touch reclaim_runs pswpout
        """,
        lru(1),
        sizes=[[1000, ZERO], 1000],
        redraw=1.0,
        seed=kit.seed_for({0: 0}),
    )


@pytest.mark.parametrize("seed", range(4))
def test_redraws__depend_on_seed_and_index_alone_and_stay_in_the_region(kit, seed):
    table = """
        w0  first_touch
        w1  first_touch
        r1  dram_hit
        w0  dram_hit
        w2  first_touch
        """
    result = kit.play(table, lru(3), sizes=[[100] * 4, [200] * 7, [300]], redraw=1.0, seed=seed)
    # Rows 0-3 are page 0's region, 4-10 page 1's, 11 page 2's; the last write of each page decides.
    expected = [draw(seed, 3, CHOICE) % 4, 4 + draw(seed, 1, CHOICE) % 7, 11]
    assert result.state()["content"].to_list() == expected
    other = table.replace("w0  first_touch", "r2  first_touch").replace("w0  dram_hit", "w0  first_touch")
    other = other.replace("w2  first_touch", "w2  dram_hit")
    again = kit.play(other, lru(3), sizes=[[100] * 4, [200] * 7, [300]], redraw=1.0, seed=seed)
    assert again.state()["content"].to_list() == expected  # another story, the same writes at the same places


def test_redraws__of_probability_zero_never_happen(kit):
    result = kit.play("w0 first_touch\nw0 dram_hit", lru(1), sizes=[[100, 200, 300]], redraw=0.0)
    assert result.state()["content"].to_list() == [0]


@pytest.mark.parametrize("layer", ["vswap", "swap-table"])
def test_both_layers_place_pages_alike(kit, layer):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs pswpout
        r0  pswpin reclaim_runs pswpout
        """,
        lru(1, layer=layer),
        ends="DRAM+copy SWAPFILE",
    )
