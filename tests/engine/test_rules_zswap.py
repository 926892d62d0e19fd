"""The compressed pool: tables derived by hand from rules 0, 2 and 5.

Most tables charge the footprint and store 2040-byte objects: with zsmalloc's
8-byte handle that is class 2048, one page holds two, so a store costs half a
page of DRAM and the pool is ceil(entries / 2) pages. How to read a table:
``conftest.py``.
"""

from __future__ import annotations

import pytest

import vswaplab as vl

ZERO = 0
HALF = 2040
"""Compressed bytes that cost half a page."""


def host(capacity: int, pool: vl.Zswap, *, slots: int = 100, total: int = 10) -> vl.Machine:
    swapfiles = [vl.Swapfile(slots)] if slots else []
    dram = vl.Dram(capacity, total_pages=total, low=0, high=1, charge="host")
    return vl.Machine(dram, zswap=pool, swapfiles=swapfiles)


def test_a_load_drops_the_copy_and_leaves_the_page_dirty(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs zswpout(1000)*2    # 2 x 4096 - 1 x 4096 - 1000 = 3096: 0 pages; 1 goes too
        r0  zswpin reclaim_runs zswpout(1000)
        # 8192 - 4096 - 2000 = 2096: 0 pages; 2 goes: 5192, one page. 0 takes it and gives 1000 back
        r1  zswpin reclaim_runs zswpout(1000)           # 0 was only read, but has no copy: compressed again
        """,
        vl.Machine(vl.Dram(2, low=0, high=1), zswap=kit.zswap(max_pool_percent=100), swapfiles=[vl.Swapfile(9)]),
        ends="ZSWAP DRAM ZSWAP",
    )
    assert kit.order(result, "ZSWAP") == [2, 0]
    assert kit.tier(result, "zswap")[:2] == (2, 2000)


def test_a_write_loads_like_a_read(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs zswpout(1000)*2
        w0  zswpin reclaim_runs zswpout(1000)
        """,
        vl.Machine(vl.Dram(2, low=0, high=1), zswap=kit.zswap(max_pool_percent=100)),
        ends="DRAM ZSWAP ZSWAP",
    )


def test_a_free_drops_the_entry(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs zswpout(2040)*2    # half a page each: free 2 - 0 - 1 = 1
        f0                                              # free 2 - 1 - 0.5 = 0.5: still no whole page
        f1                                              # free 1
        w3  first_touch
        """,
        host(2, kit.zswap(max_pool_percent=20)),
        sizes=HALF,
        ends="NONE NONE DRAM DRAM",
    )
    assert kit.tier(result, "zswap") == (0, 0, 0)


def test_the_pool_counts_zspages__31_objects_of_class_528_fill_one_exactly(kit):
    # 512 bytes and the handle are class 528: 31 objects in a zspage of 4 pages.
    # max is 100 x 5 // 100 = 5 pages, accept 5 x 90 // 100 = 4. With 31 entries the pool is 4 pages, so the 32nd
    # is taken; it makes 5, so the 33rd is refused. high 33: the reclaim looks at every page.
    filled = "\n".join(f"w{page} first_touch" for page in range(33))
    result = kit.play(
        f"""
        {filled}
        w33 first_touch reclaim_runs zswpout(512)*32 pool_limit_hit pswpout*2 zswpwb
        # 32 goes to the swapfile; writeback: all 32 entries lose their second chance, then 0 leaves: 31, 4 pages
        """,
        vl.Machine(
            vl.Dram(33, total_pages=100, low=0, high=33),
            zswap=kit.zswap(max_pool_percent=5),
            swapfiles=[vl.Swapfile(9)],
        ),
        sizes=512,
    )
    assert kit.tier(result, "zswap") == (31, 31 * 512, 4 * 4096)
    assert result.state().row(0, named=True)["backing"] == "SWAPFILE"
    assert result.state().row(32, named=True)["backing"] == "SWAPFILE"


def test_the_limit__full_until_a_store_finds_the_pool_at_accept(kit):
    # max 10 x 20 // 100 = 2 pages: 3 entries are full. accept 2 x 50 // 100 = 1 page: 2 entries.
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch
        w3  first_touch
        w4  first_touch
        w5  first_touch         # free 0
        w6  first_touch reclaim_runs zswpout(2040)*2    # free 6 - 5 - 0.5 = 0.5, then 6 - 4 - 1 = 1
        w7  first_touch reclaim_runs zswpout(2040) pool_limit_hit pswpout*2 zswpwb
        # 2 is stored (pool was 1 page): 3 entries, free 0.5. 3 finds 2 >= 2: full, to the swapfile: free 1.5.
        # Writeback: 0, 1 and 2 lose their second chance, 0 leaves: 2 entries, 1 page = accept. free 2
        w8  first_touch                                 # free 1
        w9  first_touch reclaim_runs zswpout(2040) pool_limit_hit pswpout*2 zswpwb
        # 4 finds 1 page <= accept: no longer full, stored: 3 entries. 5 finds 2: full again, to the swapfile.
        # Writeback: 1 has no second chance: it leaves
        """,
        host(6, kit.zswap(max_pool_percent=20, accept_threshold_percent=50)),
        sizes=HALF,
        ends="SWAPFILE SWAPFILE ZSWAP SWAPFILE ZSWAP SWAPFILE DRAM DRAM DRAM DRAM",
    )
    assert kit.order(result, "ZSWAP") == [2, 4]
    assert result.state()["has_second_chance"].to_list() == [page == 4 for page in range(10)]


def test_the_limit__between_accept_and_max_stores_are_refused_while_full(kit):
    # max 10 x 30 // 100 = 3 pages: 5 entries are full. accept 3 x 40 // 100 = 1 page: 2 entries. No writeback,
    # so only loads and frees shrink the pool, and what zswap refuses stays in DRAM.
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch
        w3  first_touch
        w4  first_touch
        w5  first_touch                                 # free 0
        w6  first_touch reclaim_runs zswpout(2040)*2    # 0, 1: free 6 - 4 - 1 = 1
        w7  first_touch reclaim_runs zswpout(2040)*2    # 2, 3: free 6 - 3 - 2 = 1; resident 4 5 6 7; 7 is all zero
        w8  first_touch reclaim_runs zswpout(2040) pool_limit_hit*2 reclaim_fail*2 swpout_zero
        # 4: 5 entries, 3 pages. 5 and 6 find 3 >= 3: full, they stay. 7 is zero. free 6 - 2 - 2.5 = 1.5
        f0                                              # 4 entries: 2 pages
        f1                                              # 3 entries: 2 pages; free 6 - 3 - 1.5 = 1.5
        w9  first_touch                                 # resident 5 6 8 9; free 0.5
        f5                                              # free 1.5
        r7  swpin_zero                                  # resident 6 8 9 7; free 0.5
        w10 first_touch reclaim_runs reject_accept_threshold*3 reclaim_fail*3 swpout_zero
        # 2 pages: below max, but above accept and still full: 6, 8 and 9 are refused and stay; 7 is zero: free 1.5
        f2                                              # 2 entries: 1 page; free 6 - 4 - 1 = 1
        w11 first_touch                                 # resident 6 8 9 10 11; free 0
        w12 first_touch reclaim_runs zswpout(2040)*2    # 6 finds 1 <= accept: no longer full. 8 finds 2 < 3
        """,
        host(6, kit.zswap(max_pool_percent=30, accept_threshold_percent=40, writeback=False), slots=0),
        sizes=[HALF] * 7 + [ZERO] + [HALF] * 5,
    )
    assert kit.order(result, "ZSWAP") == [3, 4, 6, 8]
    assert kit.order(result, "DRAM") == [9, 10, 11, 12]


def test_the_limit__exactly_at_max_is_full_even_if_accept_is_as_high(kit):
    # max 2 pages, accept 100 %: 2 pages. 3 entries make 2 pages: full, though 2 <= accept.
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch
        w3  first_touch
        w4  first_touch reclaim_runs zswpout(2040)*2    # free 4 - 2 - 1 = 1
        w5  first_touch reclaim_runs zswpout(2040) pool_limit_hit pswpout
        # 2: 3 entries, free 4 - 2 - 1.5 = 0.5. 3 finds 2 >= 2: full, to the swapfile. Writeback: 2 <= accept
        """,
        host(4, kit.zswap(max_pool_percent=20, accept_threshold_percent=100)),
        sizes=HALF,
        ends="ZSWAP ZSWAP ZSWAP SWAPFILE DRAM DRAM",
    )
    assert kit.tier(result, "zswap") == (3, 3 * 2040, 3 * 2048)


def test_the_limit__is_checked_before_compression(kit):
    # 0 % of anything is 0 pages, and 0 >= 0: always full. The page would not compress, but nobody finds out.
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs pool_limit_hit pswpout
        r0  pswpin reclaim_runs pool_limit_hit pswpout
        r1  pswpin reclaim_runs clean_drop              # a clean copy is dropped before any tier is asked
        """,
        host(1, kit.zswap(max_pool_percent=0, store_incompressible=False)),
        sizes=4096,
        ends="SWAPFILE DRAM+copy",
    )


def test_the_limit__tests_the_footprint_whatever_is_charged(kit):
    # 2041 bytes are class 2176, 15 in 8 pages: 2184.5 each. Two make 4369 bytes: 2 pages, though 4082 bytes are
    # charged. max 2, so the third store is refused.
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch
        w3  first_touch
        w4  first_touch reclaim_runs zswpout(2041)*2    # 4 x 4096 - 2 x 4096 - 4082 = 4110: one page
        w5  first_touch reclaim_runs pool_limit_hit pswpout*2 zswpwb
        # 2 to the swapfile: free 4110 - 4096 + 4096, one page. Writeback to accept 1: both lose their chance, 0 leaves
        """,
        vl.Machine(
            vl.Dram(4, total_pages=10, low=0, high=1, charge="memcg"),
            zswap=kit.zswap(max_pool_percent=20),
            swapfiles=[vl.Swapfile(9)],
        ),
        sizes=2041,
        ends="SWAPFILE ZSWAP SWAPFILE DRAM DRAM DRAM",
    )
    assert kit.tier(result, "zswap") == (1, 2041, 2185)


def test_charge__host_pays_for_the_class_and_memcg_for_the_length(kit):
    # 2041 bytes cost 2184.53 in class 2176: two stores free 8192 - 4369 < 4096 bytes, three 12288 - 6554 > 4096.
    # By length two are enough: 8192 - 4082 = 4110.
    filled = "\n".join(f"w{page} first_touch" for page in range(5))
    for charge, victims in (("memcg", 2), ("host", 3)):
        kit.play(
            f"""
            {filled}
            w5 first_touch reclaim_runs zswpout(2041)*{victims}
            """,
            vl.Machine(vl.Dram(5, total_pages=100, low=0, high=1, charge=charge), zswap=kit.zswap()),
            sizes=2041,
        )


def test_incompressible__raw_copies_free_nothing_and_reclaim_goes_on(kit):
    result = kit.play(
        """
        w0  first_touch         # does not compress
        w1  first_touch
        w2  first_touch
        w3  first_touch reclaim_runs zswpout(4096) zswpout(1000)*2
        # 0: free 0. 1: 12288 - 4096 - 5096 = 3096: 0 pages. 2: 12288 - 6096 = 6192: 1 page
        """,
        vl.Machine(vl.Dram(3, low=0, high=1), zswap=kit.zswap(max_pool_percent=100), swapfiles=[vl.Swapfile(9)]),
        sizes=[4096, 1000, 1000, 1000],
        ends="ZSWAP ZSWAP ZSWAP DRAM",
    )
    assert kit.tier(result, "zswap")[:2] == (3, 6096)


def test_incompressible__refused_pages_go_one_tier_down(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs reject_compress_poor pswpout       # 4096: refused
        w3  first_touch reclaim_runs zswpout(4095) reject_compress_poor pswpout
        # 1: 4095 bytes compress, if only just: frees one byte, so 2 goes too: refused
        """,
        vl.Machine(
            vl.Dram(2, total_pages=100, low=0, high=1),
            zswap=kit.zswap(store_incompressible=False),
            swapfiles=[vl.Swapfile(9)],
        ),
        sizes=[4096, 4095, 4096, 4096],
        ends="SWAPFILE ZSWAP SWAPFILE DRAM",
    )


def test_incompressible__is_refused_while_writeback_is_off_and_then_stays(kit):
    kit.play(
        """
        w0  first_touch
        !w1 reclaim_runs reject_compress_poor reclaim_fail oom
        """,
        host(1, kit.zswap(writeback=False, store_incompressible=True)),
        sizes=4096,
        ends="DRAM NONE",
    )


def test_writeback_off__forbids_the_swapfile_to_what_zswap_refused(kit):
    kit.play(
        """
        w0  first_touch
        !w1 reclaim_runs pool_limit_hit reclaim_fail oom    # 100 free slots do not help
        """,
        host(1, kit.zswap(max_pool_percent=0, writeback=False)),
        ends="DRAM NONE",
    )


def test_writeback_off__leaves_a_full_pool_full(kit):
    # max 10 % of 10 = 1 page: the first entry fills it. Half a page each way: nothing to gain.
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch         # all zero
        w2  first_touch
        w3  first_touch reclaim_runs zswpout(2040) swpout_zero    # 0: 1 page, 0.5 freed; 1: zero
        !w4 reclaim_runs pool_limit_hit*2 reclaim_fail*2 oom      # free 3 - 2 - 0.5 = 0.5
        """,
        host(3, kit.zswap(max_pool_percent=10, writeback=False)),
        sizes=[HALF, ZERO, HALF, HALF, HALF],
        ends="ZSWAP ZERO DRAM DRAM NONE",
    )
    assert kit.tier(result, "zswap")[0] == 1


def _up_to_the_full_pool(last: str) -> str:
    # Six residents fill DRAM; 0 and 1 are stored at w6, 2 at the next reclaim, which 3 finds full (see above).
    filled = "\n".join(f"w{page} first_touch" for page in range(6))
    return f"{filled}\nw6 first_touch reclaim_runs zswpout(2040)*2\n{last}"


def test_writeback__stops_when_no_slot_is_free(kit):
    result = kit.play(
        _up_to_the_full_pool("w7 first_touch reclaim_runs zswpout(2040) pool_limit_hit pswpout"),
        host(6, kit.zswap(max_pool_percent=20, accept_threshold_percent=50), slots=1),
        sizes=HALF,
        ends="ZSWAP ZSWAP ZSWAP SWAPFILE DRAM DRAM DRAM DRAM",
    )
    # 3 took the only slot at demotion: no entry is even looked at, every second chance is left.
    assert result.state()["has_second_chance"].to_list() == [True] * 3 + [False] * 5


def test_writeback__stops_in_the_middle_when_the_slots_run_out(kit):
    # accept 0: everything should go, but one slot is left after 3 took one.
    result = kit.play(
        _up_to_the_full_pool("w7 first_touch reclaim_runs zswpout(2040) pool_limit_hit pswpout*2 zswpwb"),
        host(6, kit.zswap(max_pool_percent=20, accept_threshold_percent=0), slots=2),
        sizes=HALF,
        ends="SWAPFILE ZSWAP ZSWAP SWAPFILE DRAM DRAM DRAM DRAM",
    )
    assert kit.order(result, "ZSWAP") == [1, 2]
    assert not result.state()["has_second_chance"].any()


def test_writeback__visits_every_entry_twice_at_most(kit):
    result = kit.play(
        _up_to_the_full_pool("w7 first_touch reclaim_runs zswpout(2040) pool_limit_hit pswpout*4 zswpwb*3"),
        host(6, kit.zswap(max_pool_percent=20, accept_threshold_percent=0)),
        sizes=HALF,
        ends="SWAPFILE SWAPFILE SWAPFILE SWAPFILE DRAM DRAM DRAM DRAM",
    )
    assert kit.tier(result, "zswap") == (0, 0, 0)


def test_writeback__waits_for_a_full_pool(kit):
    # 3 entries make 2 pages, above accept 1, but no store has found the pool at max 2 yet.
    kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch
        w3  first_touch
        w4  first_touch reclaim_runs zswpout(2040)*2    # free 4 - 2 - 1 = 1
        w5  first_touch reclaim_runs zswpout(2040) swpout_zero
        # 2: 3 entries, free 0.5. 3 is zero: free 1.5. Nobody asked zswap again: not full
        """,
        host(4, kit.zswap(max_pool_percent=20, accept_threshold_percent=50)),
        sizes=[HALF, HALF, HALF, ZERO, HALF, HALF],
        ends="ZSWAP ZSWAP ZSWAP ZERO DRAM DRAM",
    )


def test_writeback__may_move_the_very_page_the_access_wants(kit):
    # The access wants 0 from zswap; the reclaim it starts writes 0, the oldest entry, to the swapfile.
    kit.play(
        _up_to_the_full_pool("r0 pswpin reclaim_runs zswpout(2040) pool_limit_hit pswpout*2 zswpwb"),
        host(6, kit.zswap(max_pool_percent=20, accept_threshold_percent=50)),
        sizes=HALF,
        ends="DRAM+copy ZSWAP ZSWAP SWAPFILE DRAM DRAM DRAM",
    )


def test_a_store_frees_the_slot_of_the_page(kit):
    # 0 does not compress at first and goes to the swapfile; the write at access 4 makes it compressible.
    result = kit.play(
        """
        r0  first_touch
        r1  first_touch
        r2  first_touch
        r3  first_touch reclaim_runs reject_compress_poor pswpout   # 0 takes a slot
        w0  pswpin reclaim_runs zswpout(2040)*2                     # 1 and 2; free 3 - 1 - 1 = 1. 0's copy is stale
        r4  first_touch reclaim_runs zswpout(2040)*2                # 3 and 0: 0's slot is free again
        """,
        host(3, kit.zswap(store_incompressible=False), total=100),
        sizes=[[4096, HALF], HALF, HALF, HALF, HALF],
        redraw=1.0,
        seed=kit.seed_for({4: 1}),
        ends="ZSWAP ZSWAP ZSWAP ZSWAP DRAM",
    )
    assert kit.tier(result, "swapfile") == (0, 0, 0)


def test_zero_pages_never_reach_the_pool(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs swpout_zero
        """,
        host(1, kit.zswap()),
        sizes=[ZERO, HALF],
        ends="ZERO DRAM",
    )


@pytest.mark.parametrize("layer", ["vswap", "swap-table"])
def test_the_pool_takes_no_slots(kit, layer):
    # Neither a swapfile nor swap.max matters to zswap under a vswap layer.
    kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs zswpout(2040)*2
        """,
        vl.Machine(
            vl.Dram(2, total_pages=10, low=0, high=1, charge="host"),
            zswap=kit.zswap(),
            layer=layer,
            swap_max_slots=0,
        ),
        sizes=HALF,
        ends="ZSWAP ZSWAP DRAM",
    )
