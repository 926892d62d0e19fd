"""CRAM behind a swap entry: tables derived by hand from section 2 and rules 1, 2 and 4.

Every page takes 1000 bytes of the device unless a test says otherwise, and
DRAM is one page, so each fault sends the page touched before it to the
device. Thresholds are out of reach unless given. How to read a table:
``conftest.py``.
"""

from __future__ import annotations

import pytest

import vswaplab as vl
from vswaplab.machine.policies import POLICIES

ZERO = 0
HALF = 2040  # compressed bytes that cost zswap half a page (test_rules_zswap.py)


def one(cram: vl.Cram, *, capacity: int = 1, pool: vl.Zswap | None = None, slots: int = 10) -> vl.Machine:
    dram = vl.Dram(capacity, total_pages=10, low=0, high=1, charge="host")
    return vl.Machine(dram, cram=cram, zswap=pool, swapfiles=[vl.Swapfile(slots)] if slots else [])


# Mappings ---------------------------------------------------------------------------------------


def test_a_read_maps_the_page_in_place_and_a_write_promotes_it(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)      # 0 is demoted, a softleaf
        r0  cram_soft_fault                             # mapped read-only; DRAM is full, yet no reclaim
        r0  cram_read                                   # no fault
        w0  cram_promote reclaim_runs cram_in(1000)     # needs a frame: 1 is demoted first
        r1  cram_soft_fault
        w0  dram_hit
        """,
        one(kit.cram(4096, 4)),
        ends="DRAM read-only",
    )
    assert kit.tier(result, "CRAM") == (1, 1000, 1000)


def test_a_softleaf_is_promoted_by_a_write_without_a_read_before_it(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w0  cram_promote reclaim_runs cram_in(1000)
        """,
        one(kit.cram(4096, 4)),
        ends="DRAM softleaf",
    )


def test_a_free_returns_device_page_and_bytes(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        f0                                              # softleaf
        w2  first_touch reclaim_runs cram_in(1000)      # 1
        r1  cram_soft_fault
        f1                                              # read-only
        """,
        one(kit.cram(4096, 1)),
        ends="NONE NONE DRAM",
    )
    assert kit.tier(result, "CRAM") == (0, 0, 0)


def test_zero_pages_become_zero_and_clean_copies_are_dropped_before_the_device_is_asked(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs swpout_zero                # 0 is all zero
        w2  first_touch reclaim_runs cram_in(1000)              # 1 fills the one-page device
        w3  first_touch reclaim_runs cram_refused_full pswpout  # 2
        r2  pswpin reclaim_runs cram_refused_full pswpout       # 3; 2 is clean
        f1                                                      # the device has room again
        r3  pswpin reclaim_runs clean_drop                      # but 2's copy is valid
        """,
        one(kit.cram(4096, 1)),
        sizes=[ZERO, 1000, 1000, 1000],
        ends="ZERO NONE SWAPFILE DRAM+copy",
    )


def test_a_page_keeps_its_stale_slot_on_the_device_and_is_written_back_to_it(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)              # 0 fills the one-page device
        w2  first_touch reclaim_runs cram_refused_full pswpout  # 1 takes a slot
        f0
        w1  pswpin reclaim_runs cram_in(1000)                   # 2 to the device; 1's copy is stale
        f2
        w3  first_touch reclaim_runs cram_in(1000)              # 1 to the device: CRAM frees no slot
        """,
        one(kit.cram(4096, 1)),
        ends="NONE softleaf+stale NONE DRAM",
    )
    assert kit.tier(result, "swapfile") == (0, 0, 4096)


def test_repeats_are_device_accesses_if_the_page_stayed_there(kit):
    kit.play(
        """
        w0      first_touch
        w1      first_touch reclaim_runs cram_in(1000)
        r0/3/0  cram_soft_fault repeat_cram_read*3
        r0/1/0  cram_read repeat_cram_read
        w0/2/4  cram_made_writable repeat_cram_read*2 repeat_cram_write*4
        r0/0/1  cram_read repeat_cram_write
        w2      first_touch reclaim_runs cram_in(1000)
        w1/2/3  cram_promote reclaim_runs cram_in(1000) repeat_dram*5   # the budget is spent: 1 is in DRAM after it
        """,
        one(kit.cram(8192, 4, writable_budget_pages=1)),
        ends="writable DRAM softleaf",
    )


# What the device admits -------------------------------------------------------------------------


def test_a_page_that_does_not_fit_the_media_goes_one_tier_down_and_a_smaller_one_still_fits(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch
        w3  first_touch reclaim_runs cram_in(1500) cram_refused pswpout cram_in(400)
        # high 3, all leave: 0 takes 1500 of 2000; 1 would make 2500: refused; 2 makes 1900
        """,
        vl.Machine(vl.Dram(3, low=0, high=3), cram=kit.cram(2000, 4), swapfiles=[vl.Swapfile(9)]),
        sizes=[1500, 1000, 400, 1000],
        ends="softleaf SWAPFILE softleaf DRAM",
    )
    assert kit.tier(result, "CRAM") == (2, 1900, 1900)


def test_a_page_that_fills_the_media_to_the_byte_fits(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs cram_in(1500) cram_in(500)
        w3  first_touch
        w4  first_touch reclaim_runs gate_closed_intervals cram_refused_gate*2 pswpout*2     # 2000 >= close 2000
        """,
        vl.Machine(vl.Dram(2, low=0, high=2), cram=kit.cram(2000, 4), swapfiles=[vl.Swapfile(9)]),
        sizes=[1500, 500, 1, 1, 1],
    )
    assert kit.tier(result, "CRAM") == (2, 2000, 2000)


def test_a_full_device_is_passed_by_and_keeps_its_colder_pages(kit):
    # node_low 0: no page of the device makes room. The LRU inversion of rule 4b.
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w2  first_touch reclaim_runs cram_refused_full pswpout
        w3  first_touch reclaim_runs cram_refused_full pswpout
        """,
        one(kit.cram(4096, 1)),
        ends="softleaf SWAPFILE SWAPFILE DRAM",
    )


def test_a_device_that_shows_less_than_a_page_takes_none(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_refused_full pswpout
        """,
        one(vl.Cram(profile=kit.cram(1, 1).profile, media_bytes=4095, advertised_bytes=4095)),
        ends="SWAPFILE DRAM",
    )


def test_zswap_is_the_next_tier_after_the_device(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs cram_in(1000)                      # 0
        w3  first_touch reclaim_runs cram_refused_full*2 zswpout(2040)*2     # 1: half a page is not enough; 2
        """,
        one(kit.cram(4096, 1), capacity=2, pool=kit.zswap()),
        sizes=HALF,
        on_device=1000,
        ends="softleaf ZSWAP ZSWAP DRAM",
    )


# The gate ---------------------------------------------------------------------------------------


def test_the_gate_closes_at_close_at_and_opens_at_open_at(kit):
    # close 0.75 x 4000 = 3000 bytes, open 0.25 x 4000 = 1000.
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)              # report 0
        w2  first_touch reclaim_runs cram_in(1000)              # 1000
        w3  first_touch reclaim_runs cram_in(1000)              # 2000: open, for it never closed
        w4  first_touch reclaim_runs gate_closed_intervals cram_refused_gate pswpout    # 3000: closes
        f0
        w5  first_touch reclaim_runs cram_refused_gate pswpout  # 2000 > 1000: still closed
        f1
        w6  first_touch reclaim_runs cram_in(1000)              # 1000: opens
        w7  first_touch reclaim_runs cram_in(1000)              # 2000
        w8  first_touch reclaim_runs gate_closed_intervals cram_refused_gate pswpout    # 3000: closes again
        """,
        one(kit.cram(4000, 9, close_at=0.75, open_at=0.25)),
        ends="NONE NONE softleaf SWAPFILE SWAPFILE softleaf softleaf SWAPFILE DRAM",
    )


def test_the_gate_is_closed_for_ever_at_zero(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs gate_closed_intervals cram_refused_gate pswpout     # 0 >= 0
        w2  first_touch reclaim_runs cram_refused_gate pswpout
        """,
        one(kit.cram(4000, 9, close_at=0.0, open_at=0.0)),
    )


def test_shares_become_bytes_by_floor(kit):
    # 0.5 x 3001 = 1500.5: 1500 bytes close the gate.
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1500)
        w2  first_touch reclaim_runs gate_closed_intervals cram_refused_gate pswpout
        """,
        one(kit.cram(3001, 9, close_at=0.5, open_at=0.5)),
        sizes=1500,
    )


def test_shares_are_the_decimals_that_were_written(kit):
    # 0.29 x 100 is 29, though 0.29 * 100 is 28.999999999999996 in binary: 29 bytes are not above the mark.
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(29)
        w2  first_touch reclaim_runs cram_in(29)
        w3  first_touch reclaim_runs cram_writeback_swapfile pswpout cram_in(29)    # ceil((58 - 29) x 2 / 58) = 1
        """,
        one(kit.cram(100, 9, writeback_high=0.29, writeback_low=0.29)),
        sizes=29,
    )


def test_report_lag__the_kernel_sees_only_the_last_report(kit):
    # Reports before accesses 4, 8 and 12. high 2000, low 1000, close and open 4000 bytes of 4000.
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)      # no report yet: 0
        w2  first_touch reclaim_runs cram_in(1000)
        w3  first_touch reclaim_runs cram_in(1000)
        w4  first_touch reclaim_runs cram_writeback_swapfile*2 pswpout*2 cram_in(1000)
        # report 3000, 3 pages: ceil((3000 - 1000) x 3 / 3000) = 2: 0 and 1. 3 arrives: 2000
        w5  first_touch reclaim_runs cram_in(1000)      # the report has had its writeback: 3000
        w6  first_touch reclaim_runs cram_in(1000)      # 4000
        w7  first_touch reclaim_runs cram_refused pswpout    # the gate is open, the media full
        w8  first_touch reclaim_runs gate_closed_intervals cram_writeback_swapfile*3 cram_refused_gate pswpout*4
        # report 4000, 4 pages: closes; ceil(3000 x 4 / 4000) = 3: 2, 3 and 4; 7 finds the gate closed. 1000 left
        w9  first_touch reclaim_runs cram_refused_gate pswpout   # the report still says 4000
        w10 first_touch reclaim_runs cram_refused_gate pswpout
        w11 first_touch reclaim_runs cram_refused_gate pswpout
        w12 first_touch reclaim_runs cram_in(1000)      # report 1000 <= 4000: opens
        """,
        one(kit.cram(4000, 9, report_lag=4, writeback_high=0.5, writeback_low=0.25), slots=30),
    )
    assert kit.order(result, "CRAM") == [5, 11]


# Writeback --------------------------------------------------------------------------------------


def test_writeback_takes_the_coldest_by_last_access_in_place_reads_included(kit):
    # high 2000, low 1000 bytes of 4000.
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w2  first_touch reclaim_runs cram_in(1000)      # report 1000
        r0  cram_soft_fault                             # 0 is younger than 1 and 2 now
        w3  first_touch reclaim_runs cram_in(1000)      # report 2000 is not above 2000
        w4  first_touch reclaim_runs cram_writeback_swapfile*2 pswpout*2 cram_in(1000)
        # report 3000, 3 pages: ceil(2000 x 3 / 3000) = 2: 1 and 2
        """,
        one(kit.cram(4000, 9, writeback_high=0.5, writeback_low=0.25)),
        ends="read-only SWAPFILE SWAPFILE softleaf DRAM",
    )
    assert kit.order(result, "CRAM") == [0, 3]


def test_writeback_knows_only_the_average_size(kit):
    # 500, 500 and 2000 bytes: two average pages of 1000 should go; the coldest two hold 1000 together.
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(500)
        w2  first_touch reclaim_runs cram_in(500)
        w3  first_touch reclaim_runs cram_in(2000)
        w4  first_touch reclaim_runs cram_writeback_swapfile*2 pswpout*2 cram_in(1000)
        """,
        one(kit.cram(4000, 9, writeback_high=0.5, writeback_low=0.25)),
        sizes=[500, 500, 2000, 1000, 1000],
        ends="SWAPFILE SWAPFILE softleaf softleaf DRAM",
    )
    assert kit.tier(result, "CRAM") == (2, 3000, 3000)


def test_writeback_rounds_the_number_of_pages_up(kit):
    # low 0.4 x 4000 = 1600: (3000 - 1600) x 3 / 3000 = 1.4.
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w2  first_touch reclaim_runs cram_in(1000)
        w3  first_touch reclaim_runs cram_in(1000)
        w4  first_touch reclaim_runs cram_writeback_swapfile*2 pswpout*2 cram_in(1000)
        """,
        one(kit.cram(4000, 9, writeback_high=0.5, writeback_low=0.4)),
    )


def test_writeback_takes_no_more_pages_than_there_are_now(kit):
    # The report before access 5 says 3 pages, all of which should go; two are freed before anyone looks.
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w2  first_touch reclaim_runs cram_in(1000)
        w3  first_touch reclaim_runs cram_in(1000)
        r3  dram_hit
        f0                                              # report 3000, 3 pages
        f1
        w4  first_touch reclaim_runs cram_writeback_swapfile pswpout cram_in(1000)
        """,
        one(kit.cram(4000, 9, report_lag=5, writeback_high=0.5, writeback_low=0.0)),
        ends="NONE NONE SWAPFILE softleaf DRAM",
    )


def test_writeback_to_zswap_comes_before_demotion_which_pays_for_it(kit):
    # high 1000, low 0 bytes of 4000: all pages go. DRAM 2 pages, zswap costs half a page each.
    kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs cram_in(1000)      # 0
        w3  first_touch reclaim_runs cram_in(1000)      # report 1000 is not above 1000: 1
        w4  first_touch reclaim_runs cram_writeback_zswap*2 zswpout(2040)*2 cram_in(1000)*2
        # report 2000, 2 pages: both, free 0 - 2 x 0.5 = -1; so 2 and 3 must leave to make it 1
        """,
        one(kit.cram(4000, 9, writeback_high=0.25, writeback_low=0.0), capacity=2, pool=kit.zswap()),
        sizes=HALF,
        on_device=1000,
        ends="ZSWAP ZSWAP softleaf softleaf DRAM",
    )


def test_writeback_may_move_the_very_page_the_access_wants(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs cram_in(1000)
        w3  first_touch reclaim_runs cram_in(1000)
        w0  zswpin reclaim_runs cram_writeback_zswap*2 zswpout(2040)*2 cram_in(1000)*2
        # the write wanted to promote 0 from the device; it finds 0 in zswap
        """,
        one(kit.cram(4000, 9, writeback_high=0.25, writeback_low=0.0), capacity=2, pool=kit.zswap()),
        sizes=HALF,
        on_device=1000,
        ends="DRAM ZSWAP softleaf softleaf",
    )


def test_writeback_to_a_zswap_that_refuses_goes_on_to_the_swapfile(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w2  first_touch reclaim_runs pool_limit_hit cram_writeback_swapfile pswpout cram_in(1000)
        """,
        one(kit.cram(4000, 9, writeback_high=0.1, writeback_low=0.0), pool=kit.zswap(max_pool_percent=0)),
        ends="SWAPFILE softleaf DRAM",
    )


def test_writeback_to_the_swapfile_leaves_zswap_out(kit):
    marks = {"writeback_high": 0.1, "writeback_low": 0.0, "writeback_to": "swapfile"}
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w2  first_touch reclaim_runs cram_writeback_swapfile pswpout cram_in(1000)
        """,
        one(kit.cram(4000, 9, **marks), pool=kit.zswap()),
        ends="SWAPFILE softleaf DRAM",
    )


def test_writeback_without_room_leaves_the_pages_where_they_are_as_if_just_touched(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w2  first_touch reclaim_runs reclaim_fail cram_in(1000)     # report 1000 > 400: 0 should go, and cannot
        w3  first_touch reclaim_runs reclaim_fail*2 cram_in(1000)   # 1 and 0 should
        """,
        one(kit.cram(4000, 9, writeback_high=0.1, writeback_low=0.0), slots=0),
        ends="softleaf softleaf softleaf DRAM",
    )
    # At w2 page 0 became younger than 1 (touched before w2); at w3 1 and 0 kept that order, younger than 2.
    assert kit.order(result, "CRAM") == [2, 1, 0]


def test_node_low__the_coldest_device_pages_go_on_until_node_high_are_free(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)      # 4 device pages free before it
        w2  first_touch reclaim_runs cram_in(1000)      # 3
        w3  first_touch reclaim_runs cram_in(1000)      # 2 > node_low 1
        w4  first_touch reclaim_runs cram_writeback_swapfile*2 pswpout*2 cram_in(1000)
        # 1 <= 1: 0 and 1 go until 3 are free; 3 arrives
        """,
        one(kit.cram(9000, 4, node_low=1, node_high=3)),
        ends="SWAPFILE SWAPFILE softleaf softleaf DRAM",
    )


def test_node_low__victims_pass_through_rule_2_zswap_first(kit):
    # writeback_to is about media pressure; node_low sends pages "on through rule 2 without CRAM".
    kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs cram_in(1000)
        w3  first_touch reclaim_runs cram_writeback_zswap zswpout(2040) cram_in(1000)*2
        # 1 of 2 device pages free: 0 to zswap, half a page: free -0.5; 1: 0.5; 2: 1.5
        """,
        one(kit.cram(8192, 2, node_low=1, node_high=2, writeback_to="swapfile"), capacity=2, pool=kit.zswap()),
        sizes=HALF,
        on_device=1000,
        ends="ZSWAP softleaf softleaf DRAM",
    )


# Periodic events --------------------------------------------------------------------------------


def test_flush__freed_bytes_return_together_at_the_next_flush(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(900)
        w2  first_touch reclaim_runs cram_in(900)               # 1800 of 2000
        f0                                                      # 900 bytes wait for the flush
        w3  first_touch reclaim_runs cram_refused pswpout       # 2: 1800 + 900 > 2000
        w4  flushes trims first_touch reclaim_runs cram_in(900)       # access 5: flushed before it; 3 makes 1800
        """,
        one(kit.cram(2000, 4, flush_period=5)),
        sizes=900,
        ends="NONE softleaf SWAPFILE softleaf DRAM",
    )
    assert kit.tier(result, "CRAM") == (2, 1800, 1800)


def test_flush__promoted_and_written_back_bytes_wait_too_and_are_reported(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(900)
        w0  cram_promote reclaim_runs cram_in(900)      # the device page of 0 is free, its bytes are not: 1800
        w2  first_touch reclaim_runs gate_closed_intervals cram_refused_gate pswpout     # the report says 1800
        """,
        one(kit.cram(2000, 4, flush_period=100, close_at=0.9, open_at=0.9)),
        sizes=900,
        ends="SWAPFILE softleaf DRAM",
    )
    assert kit.tier(result, "CRAM") == (1, 900, 1800)


def test_periods__reaper_then_flush_then_report(kit):
    # All before access 4: 0, a zombie, is reaped, its bytes are flushed, and the report says 0: the gate stays
    # open. In any other order the report would say 1000, which closes it.
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w0  cram_made_writable
        f0  zombies
        w2  reaped flushes trims first_touch reclaim_runs cram_in(1000)
        """,
        one(
            kit.cram(
                2000,
                4,
                writable_budget_pages=1,
                reaper_period=4,
                flush_period=4,
                report_lag=4,
                close_at=0.5,
                open_at=0.5,
            )
        ),
        ends="NONE softleaf DRAM",
    )


# The writable budget ----------------------------------------------------------------------------


def test_budget__writes_in_place_while_it_lasts(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w0  cram_made_writable                          # softleaf to writable: no frame needed
        w0  cram_write
        r0  cram_read
        w2  first_touch reclaim_runs cram_in(1000)      # 1
        r1  cram_soft_fault
        w1  cram_promote reclaim_runs cram_in(1000)     # the one slot is 0's
        """,
        one(kit.cram(8192, 4, writable_budget_pages=1)),
        ends="writable DRAM softleaf",
    )


def test_budget__a_read_only_page_is_made_writable_too(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        r0  cram_soft_fault
        w0  cram_made_writable
        """,
        one(kit.cram(8192, 4, writable_budget_pages=1)),
        ends="writable DRAM",
    )


def test_budget__a_slot_returns_when_its_page_leaves_the_device(kit):
    # low 1000 of 4000, high 1000: with 2000 stored in 2 pages the colder one goes.
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w0  cram_made_writable
        w2  first_touch reclaim_runs cram_in(1000)      # 1; report 1000
        r1  cram_soft_fault                             # 0 is the colder
        w1  cram_made_writable reclaim_runs cram_writeback_swapfile pswpout cram_in(1000)
        # the budget is spent, so 1 needs a frame; the reclaim writes 0 back, its slot returns, 2 arrives; looking
        # again, the write finds budget and stays in place
        """,
        one(kit.cram(4000, 9, writable_budget_pages=1, writeback_high=0.25, writeback_low=0.25)),
        ends="SWAPFILE writable softleaf",
    )


def test_budget__a_reclaim_that_leaves_dram_overfull_is_oom_though_the_write_finds_budget(kit):
    # Rule 0: "resident pages x 4096 + the pool's charge <= DRAM capacity at every reclaim's end"; rule 2: "an
    # access reclaims at most once, and if then free < 1 the run ends before that access". DRAM 2 pages, zswap
    # max 1 page, nothing else: 0 goes to zswap, half a page, and nothing can leave DRAM for it.
    marks = {"close_at": 0.5, "open_at": 0.5, "writeback_high": 0.25, "writeback_low": 0.25}
    kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs cram_in(1000)      # 0
        w3  first_touch reclaim_runs cram_in(1000)      # 1
        w0  cram_made_writable
        r1  cram_soft_fault
        !w1 reclaim_runs gate_closed_intervals cram_writeback_zswap zswpout(2040) cram_refused_gate*2 pool_limit_hit*2 reclaim_fail*2 oom
        """,  # noqa: E501
        one(
            kit.cram(4000, 9, writable_budget_pages=1, **marks),
            capacity=2,
            pool=kit.zswap(max_pool_percent=10),
            slots=0,
        ),
        sizes=HALF,
        on_device=1000,
    )


def test_growth__the_stored_size_follows_the_writes(kit):
    table = """
        r0  first_touch
        r1  first_touch reclaim_runs cram_in(1000)
        w0  cram_made_writable      # draws the first or the second content
        w0  cram_write
        """
    for rows, stored in (((1, 0), 1000), ((0, 1), 2500), ((1, 1), 2500)):
        result = kit.play(
            table,
            one(kit.cram(4000, 4, writable_budget_pages=1)),
            sizes=[[1000, 2500], 1000],
            redraw=1.0,
            seed=kit.seed_for({2: rows[0], 3: rows[1]}),
            ends="writable DRAM",
        )
        assert kit.tier(result, "CRAM") == (1, stored, stored)


def test_growth__is_seen_by_the_kernel_in_the_next_report(kit):
    # close 2000 of 4000. 0 grows to 2500 behind the kernel's back.
    kit.play(
        """
        r0  first_touch
        r1  first_touch reclaim_runs cram_in(1000)
        w0  cram_made_writable
        r2  first_touch reclaim_runs gate_closed_intervals cram_refused_gate pswpout
        """,
        one(kit.cram(4000, 4, writable_budget_pages=1, close_at=0.5, open_at=0.5)),
        sizes=[[1000, 2500], 1000, 1000],
        redraw=1.0,
        seed=kit.seed_for({2: 1}),
    )


def test_growth__a_page_at_rest_keeps_its_bytes(kit):
    # The write at access 0 changes 0 in DRAM; the device stores what it is then, and no more changes without a write.
    result = kit.play(
        """
        w0  first_touch
        r1  first_touch reclaim_runs cram_in(2500)
        r0  cram_soft_fault
        r0  cram_read
        """,
        one(kit.cram(4000, 4)),
        sizes=[[1000, 2500], 1000],
        redraw=1.0,
        seed=kit.seed_for({0: 1}),
    )
    assert kit.tier(result, "CRAM") == (1, 2500, 2500)


def test_growth__a_page_that_became_zero_in_place_leaves_as_a_zero_page(kit):
    # It takes 64 bytes on the device; node_low sends it on through rule 2, which looks at zero pages first.
    kit.play(
        """
        r0  first_touch
        r1  first_touch reclaim_runs cram_in(1000)
        w0  cram_made_writable
        r2  first_touch reclaim_runs cram_writeback_zero swpout_zero cram_in(1000)
        """,
        one(kit.cram(8192, 2, writable_budget_pages=1, node_low=1, node_high=2)),
        sizes=[[1000, ZERO], 1000, 1000],
        redraw=1.0,
        seed=kit.seed_for({2: 1}),
        ends="ZERO softleaf DRAM",
    )


GROWING = [[1000, 2500], [1000, 2500], 1000]


def _grown(last: str) -> str:
    # 0 and 1 lie on the device, 2 in DRAM; the writes from access 3 on draw 1000 or 2500 bytes.
    return f"""
        r0  first_touch
        r1  first_touch reclaim_runs cram_in(1000)
        r2  first_touch reclaim_runs cram_in(1000)
        w0  cram_made_writable
        {last}
        """


def test_poison__the_write_that_overruns_the_media_loses_its_page(kit):
    story, rows = _grown("w1 cram_made_writable poison"), {3: 1, 4: 1}  # 3500 - 1000 + 2500 = 5000 > 4000
    result = kit.play(
        story,
        one(kit.cram(4000, 4, writable_budget_pages=2)),
        sizes=GROWING,
        redraw=1.0,
        seed=kit.seed_for(rows),
        ends="writable poisoned DRAM",
    )
    assert kit.tier(result, "CRAM") == (2, 2500, 2500)  # 1 keeps its device page, with 0 bytes


def test_poison__filling_the_media_to_the_byte_is_no_overrun(kit):
    story, rows = _grown("w1 cram_made_writable"), {3: 1, 4: 1}
    result = kit.play(
        story,
        one(kit.cram(5000, 4, writable_budget_pages=2)),
        sizes=GROWING,
        redraw=1.0,
        seed=kit.seed_for(rows),
        ends="writable writable DRAM",
    )
    assert kit.tier(result, "CRAM") == (2, 5000, 5000)


def test_poison__a_later_write_to_a_writable_page_can_do_it(kit):
    last = """w1 cram_made_writable         # draws the small content: 3500 stays
        w1/2/1 cram_write poison repeat_unserved*3      # the large one: 5000
        r2 dram_hit
        """
    story, rows = _grown(last), {3: 1, 4: 0, 5: 1}
    kit.play(
        story,
        one(kit.cram(4000, 4, writable_budget_pages=2)),
        sizes=GROWING,
        redraw=1.0,
        seed=kit.seed_for(rows),
        ends="writable poisoned DRAM",
    )


def test_poison__the_next_access_is_a_sigbus_and_makes_the_number_none(kit):
    last = """w1 cram_made_writable poison
        w1/1/1 sigbus repeat_unserved*2         # nothing is served
        r1 first_touch reclaim_runs cram_in(1000)       # a new page; 2 is demoted
        """
    story, rows = _grown(last), {3: 1, 4: 1}
    result = kit.play(
        story,
        one(kit.cram(4000, 4, writable_budget_pages=2)),
        sizes=GROWING,
        redraw=1.0,
        seed=kit.seed_for(rows),
        ends="writable DRAM softleaf",
    )
    assert kit.tier(result, "CRAM") == (2, 3500, 3500)
    assert result.state()["content"][1] == 2  # its first content again


def test_poison__holds_device_page_and_budget_slot_until_a_free_clears_it(kit):
    kit.play(
        """
        r0  first_touch
        r1  first_touch reclaim_runs cram_in(1000)
        w0  cram_made_writable poison                           # 2600 > 2500
        r2  first_touch reclaim_runs cram_in(1000)              # 1: device page 2 of 2
        r3  first_touch reclaim_runs cram_refused_full pswpout  # 2
        w1  cram_promote reclaim_runs cram_refused_full pswpout # 3; the one budget slot is 0's
        f0                                                      # no sigbus, no zombie
        r2  pswpin reclaim_runs cram_in(1000)                   # 1
        w1  cram_made_writable
        r0  first_touch reclaim_runs clean_drop                 # 2
        """,
        one(kit.cram(2500, 2, writable_budget_pages=1)),
        sizes=[[1000, 2600], 1000, 1000, 1000],
        redraw=1.0,
        seed=kit.seed_for({2: 1}),
        ends="DRAM writable SWAPFILE SWAPFILE",
    )


@pytest.mark.parametrize(
    "marks", [{"writeback_high": 0.1, "writeback_low": 0.0}, {"node_low": 2, "node_high": 4}], ids=["media", "node"]
)
@pytest.mark.parametrize("policy", POLICIES)
def test_poison__a_poisoned_page_is_never_a_victim(kit, marks, policy):
    # media: report 1000 bytes, 2 pages: both should go. node: 2 of 4 pages free, all 4 should be.
    kit.play(
        """
        r0  first_touch
        r1  first_touch reclaim_runs cram_in(1000)
        w0  cram_made_writable poison                           # 4001 > 4000
        r2  first_touch reclaim_runs cram_in(1000)
        r3  first_touch reclaim_runs cram_writeback_swapfile pswpout cram_in(1000)      # 1
        """,
        one(kit.cram(4000, 4, writable_budget_pages=1, writeback_policy=policy, **marks)),
        sizes=[[1000, 4001], 1000, 1000, 1000],
        redraw=1.0,
        seed=kit.seed_for({2: 1}),
        ends="poisoned SWAPFILE softleaf DRAM",
    )


def test_a_promoted_page_gives_its_stale_slot_back_while_swap_is_over_half_full(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)              # 0 fills the one-page device
        w2  first_touch reclaim_runs cram_refused_full pswpout  # 1 takes a slot
        w1  pswpin reclaim_runs cram_refused_full pswpout       # 2 takes one; 1's copy is stale
        f0
        w3  first_touch reclaim_runs cram_in(1000)              # 1 to the device, its slot stays: 2 of 3 are in use
        w1  cram_promote reclaim_runs cram_refused_full pswpout # over half: 1 gives its slot back; 3 takes one
        """,
        one(kit.cram(4096, 1), slots=3),
        ends="NONE DRAM SWAPFILE SWAPFILE",
    )
    assert result.tiers.filter(tier="swapfile")["pages"][-1] == 2


def test_a_page_made_writable_loses_its_stale_slot_with_its_swap_entry(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)              # 0 fills the one-page device
        w2  first_touch reclaim_runs cram_refused_full pswpout  # 1 takes a slot
        w1  pswpin reclaim_runs cram_refused_full pswpout       # 2 takes one; 1's copy is stale
        f0
        w3  first_touch reclaim_runs cram_in(1000)              # 1 to the device, its slot stays
        w1  cram_made_writable
        """,
        one(kit.cram(4096, 1, writable_budget_pages=1), slots=9),
        ends="NONE writable SWAPFILE DRAM",
    )


# Zombies ----------------------------------------------------------------------------------------


def test_zombies__hold_device_page_and_budget_until_the_reaper_comes(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w0  cram_made_writable
        f0  zombies                                     # the number is NONE at once
        r0  first_touch reclaim_runs cram_in(1000)      # 1 takes device page 2 of 2
        w1  cram_promote reclaim_runs cram_refused_full pswpout    # the budget is the zombie's; 0 finds no device page
        w0  reaped pswpin reclaim_runs cram_in(1000)    # before access 6: device page and budget slot are free
        w1  cram_made_writable
        """,
        one(kit.cram(8192, 2, writable_budget_pages=1, reaper_period=6)),
        ends="DRAM+stale writable",
    )


def test_zombies__hold_their_bytes(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w0  cram_made_writable
        f0  zombies
        r2  first_touch reclaim_runs cram_refused pswpout       # 1000 + 1000 > 1999
        """,
        one(kit.cram(1999, 4, writable_budget_pages=1, reaper_period=100)),
        ends="NONE SWAPFILE DRAM",
    )
    assert kit.tier(result, "CRAM") == (0, 0, 1000)


def test_zombies__are_reaped_at_once_without_a_period_and_flushed_like_any_free(kit):
    table = """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w0  cram_made_writable
        f0  zombies reaped
        """
    at_once = kit.play(table, one(kit.cram(4096, 4, writable_budget_pages=1)))
    assert kit.tier(at_once, "CRAM") == (0, 0, 0)
    later = kit.play(table, one(kit.cram(4096, 4, writable_budget_pages=1, flush_period=100)))
    assert kit.tier(later, "CRAM") == (0, 0, 1000)
    again = (
        table
        + """
        r2  first_touch reclaim_runs cram_in(1000)
        w1  cram_made_writable
        """
    )
    kit.play(again, one(kit.cram(4096, 4, writable_budget_pages=1)), ends="NONE writable DRAM")


def test_zombies__are_pages_in_the_devices_report(kit):
    # low 0.375 x 4000 = 1500: with 3 pages ceil(1500 x 3 / 3000) = 2 go; were the zombie not counted, 1 would.
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w0  cram_made_writable
        f0  zombies
        w2  first_touch reclaim_runs cram_in(1000)
        w3  first_touch reclaim_runs cram_in(1000)      # report 2000 <= 2400
        w4  first_touch reclaim_runs cram_writeback_swapfile*2 pswpout*2 cram_in(1000)
        """,
        one(kit.cram(4000, 9, writable_budget_pages=1, reaper_period=99, writeback_high=0.6, writeback_low=0.375)),
        ends="NONE SWAPFILE SWAPFILE softleaf DRAM",
    )


# Tier mode --------------------------------------------------------------------------------------


def test_tier__a_page_arrives_read_only_reads_do_not_fault_and_a_write_promotes(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        r0  cram_read
        w0  cram_promote reclaim_runs cram_in(1000)
        r1/2/0  cram_read repeat_cram_read*2
        """,
        one(kit.cram(4096, 4, mode="tier")),
        ends="DRAM read-only",
    )


def test_tier__zero_pages_go_to_the_device_too(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(64)
        r0  cram_read
        """,
        one(kit.cram(4096, 4, mode="tier")),
        sizes=[ZERO, 1000],
        ends="read-only DRAM",
    )


def test_tier__a_page_the_device_refuses_goes_on_through_rule_2(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w2  first_touch reclaim_runs cram_refused_full swpout_zero      # 1 is all zero
        w3  first_touch reclaim_runs cram_refused_full pswpout          # 2
        r2  pswpin reclaim_runs cram_refused_full pswpout               # 3; pages swapped in go to DRAM
        r3  pswpin reclaim_runs cram_refused_full clean_drop            # 2
        """,
        one(kit.cram(4096, 1, mode="tier")),
        sizes=[1000, ZERO, 1000, 1000],
        ends="read-only ZERO SWAPFILE DRAM+copy",
    )


def test_tier__a_closed_gate_closes_demotion(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w2  first_touch reclaim_runs gate_closed_intervals cram_refused_gate pswpout    # pressure 1000 of 1000
        """,
        one(kit.cram(1000, 4, mode="tier")),
        ends="read-only SWAPFILE DRAM",
    )


def test_tier__a_valid_copy_is_kept_on_the_device_and_dropped_for_free_later(kit):
    # 2 device pages, node_low 1, node_high 2: one page stays one reclaim.
    result = kit.play(
        """
        r0  first_touch
        r1  first_touch reclaim_runs cram_in(1000)                                      # 0
        r2  first_touch reclaim_runs cram_writeback_swapfile pswpout cram_in(1000)      # 0 goes on; 1
        r0  pswpin reclaim_runs cram_writeback_swapfile pswpout cram_in(1000)           # 1 goes on; 2
        r3  first_touch reclaim_runs cram_writeback_swapfile pswpout cram_in(1000)      # 2 goes on; 0 with its copy
        r0  cram_read
        r4  first_touch reclaim_runs cram_writeback_swapfile clean_drop cram_in(1000)   # 0 goes on, unwritten; 3
        """,
        one(kit.cram(8192, 2, mode="tier", node_low=1, node_high=2)),
        ends="SWAPFILE SWAPFILE SWAPFILE read-only DRAM",
    )
    assert result.totals["pswpout"] == 3


def test_tier__a_promoting_write_makes_the_copy_stale(kit):
    kit.play(
        """
        r0  first_touch
        r1  first_touch reclaim_runs cram_in(1000)                                      # 0: 1 of 3 device pages
        r2  first_touch reclaim_runs cram_in(1000)                                      # 1: 2 of 3, 1 free
        r3  first_touch reclaim_runs cram_writeback_swapfile pswpout cram_in(1000)      # 0 goes on; 2
        r0  pswpin reclaim_runs cram_writeback_swapfile pswpout cram_in(1000)           # 1 goes on; 3
        r4  first_touch reclaim_runs cram_writeback_swapfile pswpout cram_in(1000)      # 2 goes on; 0 with its copy
        w0  cram_promote reclaim_runs cram_writeback_swapfile pswpout cram_in(1000)     # 3 goes on; 4; copy stale
        r1  pswpin reclaim_runs cram_in(1000)                                           # 0: still its slot, stale
        """,
        one(kit.cram(8192, 3, mode="tier", node_low=1, node_high=2)),
        ends="read-only+stale DRAM+copy SWAPFILE SWAPFILE read-only",
    )


@pytest.mark.parametrize("swapfiles", [[], [vl.Swapfile(9)]], ids=["no-swapfile", "swapfile"])
def test_tier__under_memory_max_a_device_page_is_still_charged_and_does_not_help(kit, swapfiles):
    # As measured: killed at its limit, also with a swapfile, because demotion counts as progress.
    kit.play(
        """
        w0  first_touch
        w1  first_touch
        !w2 reclaim_runs cram_in(1000)*2 oom    # both move to the device and are charged as before
        """,
        vl.Machine(vl.Dram(2, low=0, high=1, charge="memcg"), cram=kit.cram(8192, 9, mode="tier"), swapfiles=swapfiles),
        ends="read-only read-only NONE",
    )


def test_tier__under_memory_max_only_the_tiers_behind_the_device_free_a_frame(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs cram_in(1000) cram_refused_full pswpout    # 0 frees nothing; 1 does
        w3  first_touch reclaim_runs cram_refused_full pswpout                  # 2
        f0                                                                      # and so does a free
        w4  first_touch
        """,
        vl.Machine(
            vl.Dram(2, low=0, high=1, charge="memcg"), cram=kit.cram(4096, 1, mode="tier"), swapfiles=[vl.Swapfile(9)]
        ),
        ends="NONE SWAPFILE SWAPFILE DRAM DRAM",
    )


def test_tier__charged_to_the_host_alone_it_frees_its_frame(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs cram_in(1000)
        """,
        vl.Machine(vl.Dram(2, low=0, high=1, charge="host"), cram=kit.cram(8192, 9, mode="tier")),
        ends="read-only DRAM DRAM",
    )


def test_swap_mode__costs_its_group_nothing_under_memory_max(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs cram_in(1000)
        """,
        vl.Machine(vl.Dram(2, low=0, high=1, charge="memcg"), cram=kit.cram(8192, 9)),
        ends="softleaf DRAM DRAM",
    )
