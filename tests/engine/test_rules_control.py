"""What keeps a CRAM device from running over: balloon, pressure laws, the device's own budget, reaper and TRIM.

Tables derived by hand from rules 4 and 4b, ``vl.Cram`` and mm/cram.c
of autumn 2026. How to read a table: ``conftest.py``.
"""

from __future__ import annotations

import pytest

import vswaplab as vl

ZERO = 0


def one(cram: vl.Cram, *, slots: int = 9) -> vl.Machine:
    swapfiles = [vl.Swapfile(slots)] if slots else []
    return vl.Machine(vl.Dram(1, low=0, high=1), cram=cram, swapfiles=swapfiles)


def column(result: vl.Result, name: str) -> int:
    return result.tiers.filter(tier="CRAM").row(-1, named=True)[name]


# The balloon ------------------------------------------------------------------------------------
# 8 pages shown over 4 x 4096 bytes of media: the advertised ratio is 2000 per mille.


@pytest.mark.parametrize(
    ("size", "held"),
    [
        (4096, 4),  # reported 1000: 8 x (2000 - 1000) / 2000
        (3072, 2),  # reported 1333: 8 x 667 / 2000 = 2.668
        (2560, 1),  # reported 1600: 8 x 400 / 2000 = 1.6
        (2049, 0),  # reported 1999: 8 x 1 / 2000
        (2048, 0),  # as advertised
        (1024, 0),  # better than that: no page below zero
    ],
)
def test_balloon__holds_back_the_share_of_the_pages_that_the_ratio_falls_short(kit, size, held):
    result = kit.play(
        f"""
        w0  first_touch
        w1  first_touch reclaim_runs cram_in({size})        # nothing is stored yet: no ratio, no balloon
        w2  first_touch reclaim_runs cram_in({size})        # the report is of one page
        """,
        one(kit.cram(16384, 8, balloon=True)),
        sizes=size,
    )
    assert column(result, "balloon_pages") == held


def test_balloon__takes_free_pages_first_and_the_device_is_full_before_its_time(kit):
    # 4 pages over 2 x 4096 bytes. Pages of 4096: 4 x (2000 - 1000) / 2000 = 2 are held back.
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(4096)
        w2  first_touch reclaim_runs cram_in(4096)                  # 1 used, 2 held, 1 for this page
        w3  first_touch reclaim_runs gate_closed_intervals cram_refused_gate pswpout    # the media is full too
        f0
        w4  first_touch reclaim_runs cram_in(4096)                  # the page of 0
        """,
        one(kit.cram(8192, 4, balloon=True)),
        sizes=4096,
        ends="NONE softleaf SWAPFILE softleaf DRAM",
    )
    assert column(result, "balloon_pages") == 2


def test_balloon__a_held_page_refuses_a_page_that_would_fit_the_media(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(4096)
        w2  first_touch reclaim_runs cram_in(1)         # 4096 bytes a page: 2 of 4 are held back, the last one is 1's
        w3  first_touch reclaim_runs cram_refused_full pswpout
        """,
        # Reports come before accesses 2 and 4: at the last line the balloon is what it was.
        one(kit.cram(8192, 4, balloon=True, report_lag=2)),
        sizes=[4096, 1, 1, 1],
        ends="softleaf softleaf SWAPFILE DRAM",
    )


def test_balloon__deflates_as_the_ratio_recovers(kit):
    table = """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(4096)
        w2  first_touch reclaim_runs cram_in(1024)      # 1 page in 4096 bytes: 4 of 8 are held back
        """
    sizes = [4096, 1024, 1024, 1024, 1024]
    machine = one(kit.cram(16384, 8, balloon=True))
    assert column(kit.play(table, machine, sizes=sizes), "balloon_pages") == 4
    # 2 pages in 5120 bytes: 1600, so 8 x 400 / 2000 = 1.
    table += "w3 first_touch reclaim_runs cram_in(1024) \n"
    assert column(kit.play(table, machine, sizes=sizes), "balloon_pages") == 1
    # 2 pages in 2048 bytes: 4000.
    table += "f0 \n w4 first_touch reclaim_runs cram_in(1024)"
    assert column(kit.play(table, machine, sizes=sizes), "balloon_pages") == 0


# With a reserve of half the media every ratio counts half: pages of 2048 bytes report 2000, taken for 1000.
RESERVE = {"balloon": True, "balloon_reserve": 0.5, "report_lag": 4}
FULL = """
    w0  first_touch
    w1  first_touch reclaim_runs cram_in(2048)
    w2  first_touch reclaim_runs cram_in(2048)
    w3  first_touch reclaim_runs cram_in(2048)          # no report yet
"""


def test_balloon__writes_the_coldest_back_while_the_gate_is_closed(kit):
    # 4 pages shown: 4 x (2000 - 1000) / 2000 = 2.
    result = kit.play(
        FULL
        + """
        w4  first_touch reclaim_runs gate_closed_intervals cram_writeback_swapfile cram_refused_gate pswpout*2
        # report: 6144 bytes, 0.75 of the media. The fourth page is free, 0 makes the second one so. 3 goes on
        """,
        one(kit.cram(8192, 4, close_at=0.75, open_at=0.5, **RESERVE)),
        sizes=2048,
        ends="SWAPFILE softleaf softleaf SWAPFILE DRAM",
    )
    assert column(result, "balloon_pages") == 2


def test_balloon__waits_for_free_pages_while_the_gate_is_open(kit):
    # 3 pages shown over the media of 2, a ratio of 1500: 3 x (1500 - 1000) / 1500 = 1.
    result = kit.play(
        FULL
        + """
        w4  first_touch reclaim_runs cram_refused_full pswpout      # 3
        f0
        w5  first_touch reclaim_runs cram_refused_full pswpout      # the balloon takes the page of 0 before 4 can
        """,
        one(kit.cram(8192, 3, **RESERVE)),
        sizes=2048,
        ends="NONE softleaf softleaf SWAPFILE SWAPFILE DRAM",
    )
    assert column(result, "balloon_pages") == 1


def test_balloon__after_three_looks_in_vain_memory_is_out(kit):
    # Zero pages leave DRAM without a device, those of the device cannot leave at all.
    kit.play(
        FULL
        + """
        w4  first_touch reclaim_runs gate_closed_intervals reclaim_fail swpout_zero     # 0 stays, as if just touched
        w5  first_touch reclaim_runs reclaim_fail swpout_zero                           # 1
        !w6 reclaim_runs reclaim_fail swpout_zero oom                                   # 2: though a frame is free
        """,
        one(kit.cram(8192, 3, close_at=0.75, open_at=0.5, **RESERVE), slots=0),
        sizes=[2048, 2048, 2048, ZERO, ZERO, ZERO, ZERO],
        ends="softleaf softleaf softleaf ZERO ZERO ZERO NONE",
    )


def test_balloon__a_look_that_has_enough_starts_the_count_again(kit):
    # Reports before 4, 8 and 12; writes at 9 and 10 draw 4096 bytes. Pages 3 and on are all zero.
    result = kit.play(
        FULL.replace("w", "r")
        + """
        r4  first_touch reclaim_runs gate_closed_intervals reclaim_fail swpout_zero     # wants 1: in vain
        r5  first_touch reclaim_runs reclaim_fail swpout_zero                           # in vain
        f0
        r6  first_touch reclaim_runs swpout_zero        # takes the page of 0
        r7  first_touch reclaim_runs swpout_zero        # 2 pages in 4096 bytes: still 1, and it has 1
        w1  cram_made_writable
        w2  cram_made_writable                          # 8192 bytes
        r7  dram_hit
        r8  first_touch reclaim_runs reclaim_fail swpout_zero       # 500: 3 x (1500 - 500) / 1500 = 2: in vain, once
        r9  first_touch reclaim_runs reclaim_fail swpout_zero       # twice
        """,
        one(kit.cram(8192, 3, close_at=0.5, open_at=0.25, writable_budget_pages=2, **RESERVE), slots=0),
        sizes=[2048, [2048, 4096], [2048, 4096], *[ZERO] * 7],
        redraw=1.0,
        seed=kit.seed_for({9: 1, 10: 1}),
        ends="NONE writable writable ZERO ZERO ZERO ZERO ZERO ZERO DRAM",
    )
    assert column(result, "balloon_pages") == 1


def test_balloon__a_look_that_moves_a_page_starts_the_count_again(kit):
    # 3 pages shown over as much media; three quarters of it reserved: 4096 bytes a page, 1000, taken for 250:
    # 3 x (1000 - 250) / 1000 = 2. Report before 5. The swapfile has one slot.
    kit.play(
        """
        r0  first_touch
        r1  first_touch reclaim_runs cram_in(4096)
        r2  first_touch reclaim_runs cram_in(4096)
        r3  first_touch reclaim_runs cram_in(4096)
        r4  first_touch reclaim_runs cram_refused_full pswpout                              # 3 takes the slot
        r5  first_touch reclaim_runs gate_closed_intervals reclaim_fail*2 swpout_zero       # 0 and 1: in vain
        r6  first_touch reclaim_runs reclaim_fail*2 swpout_zero                             # 2 and 0: in vain
        f3
        r7  first_touch reclaim_runs cram_writeback_swapfile pswpout reclaim_fail swpout_zero   # 1 goes, 2 stays
        r8  first_touch reclaim_runs reclaim_fail swpout_zero                               # wants one more: in vain
        """,
        one(kit.cram(12288, 3, balloon=True, balloon_reserve=0.75, report_lag=5), slots=1),
        sizes=[4096] * 4 + [ZERO] * 5,
        ends="softleaf SWAPFILE softleaf NONE ZERO ZERO ZERO ZERO DRAM",
    )


# Pressure ---------------------------------------------------------------------------------------


def test_two_levels_with_a_stale_report__the_gate_follows_what_it_was_told(kit):
    # Reports before accesses 3, 6, 9 and 12. Closes at 3000 of 4000 bytes, opens at 1000.
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w2  first_touch reclaim_runs cram_in(1000)
        w3  first_touch reclaim_runs cram_in(1000)              # report 2000; really 3000 after this
        w4  first_touch reclaim_runs cram_in(1000)              # still 2000: the gate is open too long, 4000
        w5  first_touch reclaim_runs cram_refused pswpout       # and the media full
        w6  first_touch reclaim_runs gate_closed_intervals cram_refused_gate pswpout    # report 4000: closes
        f0
        f1
        w7  first_touch reclaim_runs cram_refused_gate pswpout  # report 2000: between the levels it stays closed
        f2                                                      # really 1000 from here on
        w8  first_touch reclaim_runs cram_refused_gate pswpout  # still 2000: closed too long
        w9  first_touch reclaim_runs cram_in(1000)              # report 1000: opens
        """,
        one(kit.cram(4000, 9, report_lag=3, close_at=0.75, open_at=0.25)),
        ends="NONE NONE NONE softleaf SWAPFILE SWAPFILE SWAPFILE SWAPFILE softleaf DRAM",
    )


def proportional(kit, pages: int, **rest: float | str) -> vl.Cram:
    # No pressure up to 1000 bytes, 1000 per mille from 3000 on.
    return kit.cram(4000, pages, open_at=0.25, close_at=0.75, pressure_law="proportional", **rest)


def test_proportional_pressure_raises_both_watermarks_of_the_node(kit):
    # 8 pages shown; low 1, high 2.
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(500)
        w2  first_touch reclaim_runs cram_in(500)
        w3  first_touch reclaim_runs cram_in(500)       # report 1000: no pressure
        w4  first_touch reclaim_runs cram_in(500)       # 1500: 250, so 2 pages more: low 3, and 5 are free
        w5  first_touch reclaim_runs cram_writeback_swapfile*2 pswpout*2 cram_in(500)
        # 2000: 500, 4 pages more: low 5, high 6, and 4 are free: 0 and 1 go
        w6  first_touch reclaim_runs cram_in(500)       # 1500 again
        """,
        one(proportional(kit, 8, node_low=1, node_high=2)),
        sizes=500,
        ends="SWAPFILE SWAPFILE softleaf softleaf softleaf softleaf DRAM",
    )


def test_proportional_pressure_works_without_marks_of_its_own(kit):
    # low and high are the pressure's share of the 4 pages shown.
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(500)
        w2  first_touch reclaim_runs cram_in(2000)
        w3  first_touch reclaim_runs cram_writeback_swapfile pswpout cram_in(400)
        # report 2500: 750, so low and high are 3; 2 are free: 0 goes
        """,
        one(proportional(kit, 4)),
        sizes=[500, 2000, 400, 400],
        ends="SWAPFILE softleaf softleaf DRAM",
    )


def test_proportional_pressure_closes_the_gate_at_1000_only_and_opens_it_at_once(kit):
    # 100 pages shown. A zombie of 2000 bytes cannot be moved.
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(2000)
        w0  cram_made_writable
        f0  zombies
        w2  first_touch reclaim_runs cram_in(999)       # report 2000: 500, low 50, and 99 are free
        w3  first_touch reclaim_runs cram_writeback_swapfile pswpout cram_in(1000)
        # 2999: 999, low and high 99, and 98 are free: 1 goes. The gate is open: 2
        w4  first_touch reclaim_runs gate_closed_intervals cram_writeback_swapfile cram_refused_gate pswpout*2
        # 3000: 1000, low and high 100: 2 goes. The gate is closed to 3
        w5  first_touch reclaim_runs cram_in(1000)      # 2000: 500, open again; two levels would wait for 1000 bytes
        """,
        one(proportional(kit, 100, writable_budget_pages=1, reaper_period=99)),
        sizes=[2000, 999, 1000, 1000, 1000, 1000],
        ends="NONE SWAPFILE SWAPFILE SWAPFILE softleaf DRAM",
    )


def test_proportional_pressure_with_both_marks_in_one_place_is_a_step(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(999)
        w2  first_touch reclaim_runs cram_in(1)         # report 999: nothing
        w3  first_touch reclaim_runs gate_closed_intervals cram_writeback_swapfile*2 cram_refused_gate pswpout*3
        # report 1000: 1000, so all 9 pages should be free
        """,
        one(kit.cram(4000, 9, open_at=0.25, close_at=0.25, pressure_law="proportional")),
        sizes=[999, 1, 1, 1],
    )


# A budget of the device's own -------------------------------------------------------------------
# A page that does not compress takes 4096 bytes: that much of the media stands behind each grant.


def device_budget(kit, media: int, grants: int, **rest: int) -> vl.Machine:
    return one(kit.cram(media, 9, writable_budget_pages=grants, budget_owner="device", **rest))


def test_device_budget__each_write_in_place_takes_a_grant_and_the_next_report_brings_new_ones(kit):
    # 3 x 4096 bytes of media; the report comes before access 5.
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)      # 1000 + 2 x 4096 fit
        w0  cram_made_writable
        w0  cram_write                                  # that was the second
        w0  cram_promote reclaim_runs cram_in(1000)     # exhausted: even a writable page is promoted. 1 goes
        w1  cram_made_writable                          # 12288 - 1000: room for 2 again
        r1  cram_read
        w1  cram_write
        w1  cram_promote reclaim_runs cram_in(1000)     # 0
        """,
        device_budget(kit, 12288, 2, report_lag=5),
        ends="softleaf DRAM",
    )


def test_device_budget__grants_what_the_free_media_takes_at_worst(kit):
    # 9000 bytes take 2 pages at worst, 8000 one.
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_refused pswpout       # 2 grants: 8192 + 1000 > 9000
        """,
        device_budget(kit, 9000, 9, report_lag=99),
    )
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)              # 1 grant: 4096 + 1000
        w0  cram_made_writable
        w0  cram_promote reclaim_runs cram_in(1000)
        """,
        device_budget(kit, 8000, 9, report_lag=99),
    )


def test_device_budget__the_room_of_a_grant_is_kept(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(3000)              # 3000 + 4096
        w2  first_touch reclaim_runs cram_refused pswpout       # 3000 + 3000 + 4096 > 8192
        w0  cram_made_writable                                  # takes the grant, and with it the room
        w3  first_touch reclaim_runs cram_in(3000)              # 3000 + 3000
        """,
        device_budget(kit, 8192, 1, report_lag=99),
        sizes=3000,
        ends="writable SWAPFILE softleaf DRAM",
    )


def test_device_budget__fills_the_media_to_the_byte(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w2  first_touch reclaim_runs cram_in(1000)              # 2000 + 4096
        """,
        device_budget(kit, 6096, 1, report_lag=99),
        ends="softleaf softleaf DRAM",
    )


def test_device_budget__growth_finds_its_room_where_a_host_budget_poisons(kit):
    # Writes at 3 and 4 draw 4096 bytes.
    story = """
        r0  first_touch
        r1  first_touch reclaim_runs cram_in(1000)
        r2  first_touch reclaim_runs cram_in(1000)
        w0  cram_made_writable
        w1  {}
        """
    rest = {"sizes": [[1000, 4096]] * 3, "redraw": 1.0, "seed": kit.seed_for({3: 1, 4: 1})}
    host = one(kit.cram(6500, 9, writable_budget_pages=2))
    kit.play(story.format("cram_made_writable poison"), host, **rest, ends="writable poisoned DRAM")
    # 2 x 4096 + 1000 > 6500: one grant, used by 0. 1 is promoted, and 2 takes its place: 4096 + 1000 + 1000.
    ends = "writable DRAM softleaf"
    last = "cram_promote reclaim_runs cram_in(1000)"
    kit.play(story.format(last), device_budget(kit, 6500, 2, report_lag=99), **rest, ends=ends)


def test_device_budget__without_a_lag_every_reclaim_brings_new_grants(kit):
    # The write at 3 draws 4096 bytes.
    kit.play(
        """
        r0  first_touch
        r1  first_touch reclaim_runs cram_in(1000)              # 6500 bytes: 1 grant, 4096 + 1000
        r2  first_touch reclaim_runs cram_in(1000)              # 5500: 1 grant, 4096 + 2000
        w0  cram_made_writable                                  # 5096 bytes are stored
        r3  first_touch reclaim_runs cram_in(1000)              # 1404: none, and 5096 + 1000 fit
        w1  cram_promote reclaim_runs cram_refused pswpout      # 404: none, and no room for 3 either
        """,
        device_budget(kit, 6500, 2),
        sizes=[[1000, 4096]] * 4,
        redraw=1.0,
        seed=kit.seed_for({3: 1}),
        ends="writable DRAM softleaf SWAPFILE",
    )


# Frees that were missed, and TRIM ---------------------------------------------------------------


@pytest.mark.parametrize(("batch", "trims"), [(512, 1), (3, 1), (2, 2), (1, 3)])
def test_a_flush_takes_a_trim_for_each_batch_of_pages(kit, batch, trims):
    kit.play(
        f"""
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w2  first_touch reclaim_runs cram_in(1000)
        w3  first_touch reclaim_runs cram_in(1000)
        f0
        f1
        w2  cram_promote reclaim_runs cram_in(1000)     # the third page that waits
        r2  flushes trims*{trims} dram_hit              # before access 7
        f3                                              # one more
        r2  dram_hit
        r2  dram_hit
        r2  dram_hit
        r2  dram_hit
        r2  dram_hit
        r2  flushes trims dram_hit                      # before access 14, one page
        """,
        one(kit.cram(16384, 9, flush_period=7, trim_batch_pages=batch)),
    )


def test_a_reaped_zombie_is_trimmed_like_any_freed_page(kit):
    # Reaper and flush before access 6, the reaper first: two pages, two TRIMs.
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w2  first_touch reclaim_runs cram_in(1000)
        w0  cram_made_writable
        f0  zombies
        f1
        r2  reaped flushes trims*2 dram_hit
        r2  dram_hit                                    # nothing more to flush
        """,
        one(kit.cram(16384, 9, writable_budget_pages=1, reaper_period=6, flush_period=6, trim_batch_pages=1)),
    )
