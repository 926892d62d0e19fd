"""zram as a swap device: tables derived by hand from the rules on slots, rule 0 and ``vl.Zram``.

Objects of 1016, 2040 and 3064 bytes fill zsmalloc's classes of 1024, 2048 and
3072 bytes: a quarter, a half and three quarters of a page. ``zram_bytes*2040``
is one page stored in 2040 bytes. How to read a table: ``conftest.py``.
"""

from __future__ import annotations

import pytest

import vswaplab as vl

ZERO, SAME = 0, -1
QUARTER, HALF, THREE_QUARTERS, RAW = 1016, 2040, 3064, 4096
IN = {size: f"pswpout zram_bytes*{size}" for size in (QUARTER, HALF, THREE_QUARTERS, 3624)}
IN[RAW] = "pswpout zram_huge zram_bytes*4096"


def machine(capacity: int, zram: vl.Zram, *swapfiles: vl.Swapfile, charge: str = "memcg", **rest: object) -> vl.Machine:
    dram = vl.Dram(capacity, total_pages=10, low=0, high=1, charge=charge)
    return vl.Machine(dram, zram=zram, swapfiles=swapfiles, **rest)


# Loads and stores -------------------------------------------------------------------------------


def test_a_load_drops_the_copy_and_gives_the_slot_back(kit):
    result = kit.play(
        f"""
        r0  first_touch
        r1  first_touch reclaim_runs {IN[HALF]}
        r0  pswpin zram_read reclaim_runs {IN[HALF]}    # 1 takes the second slot, 0 gives the first one back
        r2  first_touch reclaim_runs {IN[HALF]}         # 0 was only read, but has no copy: stored again
        """,
        machine(1, kit.zram(2)),
        sizes=HALF,
        ends="ZRAM ZRAM DRAM",
    )
    assert kit.tier(result, "zram") == (2, 2 * HALF, 4096)


def test_a_free_gives_slot_and_bytes_back(kit):
    result = kit.play(
        f"""
        w0  first_touch
        w1  first_touch reclaim_runs {IN[HALF]}
        f0
        w2  first_touch reclaim_runs {IN[HALF]}         # the one slot is free again
        """,
        machine(1, kit.zram(1)),
        sizes=HALF,
        ends="NONE ZRAM DRAM",
    )
    assert kit.tier(result, "zram") == (1, HALF, 2048)


@pytest.mark.parametrize(
    ("size", "words", "tier"),
    [
        (3624, "pswpout zram_bytes*3624", (1, 3624, 3641)),  # class 3632, 9 objects in 8 pages: 32768 / 9 = 3640.9
        (3625, "pswpout zram_huge zram_bytes*4096", (1, 4096, 4096)),  # class 4096: kept as it is
        (4096, "pswpout zram_huge zram_bytes*4096", (1, 4096, 4096)),
    ],
)
def test_a_page_that_would_fill_a_whole_page_of_the_pool_is_stored_raw(kit, size, words, tier):
    result = kit.play(f"w0 first_touch \n w1 first_touch reclaim_runs {words}", machine(1, kit.zram(9)), sizes=size)
    assert kit.tier(result, "zram") == tier


def test_zero_pages_never_reach_zram(kit):
    result = kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs swpout_zero
        r0  swpin_zero reclaim_runs swpout_zero
        """,
        machine(1, kit.zram(9)),
        sizes=ZERO,
        ends="DRAM ZERO",
    )
    assert kit.tier(result, "zram") == (0, 0, 0)


def test_same_filled_pages_take_a_slot_and_nothing_of_the_pool(kit):
    # drivers/block/zram: page_same_filled, the word is kept in the table. The pool's one page is no limit to them.
    result = kit.play(
        f"""
        w0  first_touch
        w1  first_touch reclaim_runs pswpout
        w2  first_touch reclaim_runs {IN[HALF]}
        w3  first_touch reclaim_runs {IN[HALF]}         # 2 x 2048: the pool is full
        w4  first_touch reclaim_runs pswpout            # 3 repeats a word: it needs no room
        r0  pswpin zram_read reclaim_runs pswpout       # nor does 4
        """,
        machine(1, kit.zram(9, mem_limit_bytes=4096)),
        sizes=[SAME, HALF, HALF, SAME, SAME],
        ends="DRAM ZRAM ZRAM ZRAM ZRAM",
    )
    assert kit.tier(result, "zram") == (4, 2 * HALF, 4096)


def test_same_filled_pages_are_left_alone_by_a_pass(kit):
    result = kit.play(
        f"""
        w0  first_touch
        w1  first_touch reclaim_runs pswpout
        w2  first_touch reclaim_runs {IN[HALF]}
        r2  dram_hit                                    # before it everything is marked idle
        r2  dram_hit
        r2  dram_hit
        r2  dram_hit zram_bd_writes                     # 1 goes to the backing device; of 0 there is nothing to write
        """,
        machine(1, kit.zram(9, idle_period=3, backing_slots=9)),
        sizes=[SAME, HALF, HALF],
        ends="ZRAM ZRAM DRAM",
    )
    assert kit.tier(result, "zram") == (2, 0, 0)


# The memory limit -------------------------------------------------------------------------------


@pytest.mark.parametrize("swapfiles", [[], [vl.Swapfile(9)]], ids=["alone", "before a swapfile"])
def test_mem_limit__a_page_that_does_not_fit_stays_and_a_smaller_one_still_fits(kit, swapfiles):
    result = kit.play(
        f"""
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs {IN[HALF]}         # 2048 of 4096 bytes
        w3  first_touch reclaim_runs zram_failed_writes reclaim_fail {IN[HALF]}
        # 1: 2048 + 3072 > 4096, a failed write, wherever else there is room; 2: 2048 + 2048 fits to the byte
        """,
        machine(2, kit.zram(9, mem_limit_bytes=4096), *swapfiles),
        sizes=[HALF, THREE_QUARTERS, HALF, HALF],
        ends="ZRAM DRAM ZRAM DRAM",
    )
    assert kit.order(result, "DRAM") == [1, 3]  # ordered as if touched just before 3
    assert kit.tier(result, "zram") == (2, 2 * HALF, 4096)


@pytest.mark.parametrize("limit", [1, 4095, 4096])
def test_mem_limit__counts_whole_pages_as_the_kernel_does(kit, limit):
    # drivers/block/zram: the limit is rounded up to pages (PAGE_ALIGN).
    kit.play(
        f"""
        w0  first_touch
        w1  first_touch reclaim_runs {IN[HALF]}
        w2  first_touch reclaim_runs {IN[HALF]}         # 2 x 2048: one page
        !w3 reclaim_runs zram_failed_writes reclaim_fail oom
        """,
        machine(1, kit.zram(9, mem_limit_bytes=limit)),
        sizes=HALF,
    )


def test_mem_limit__with_nothing_else_to_move_memory_is_out(kit):
    kit.play(
        f"""
        w0  first_touch
        w1  first_touch reclaim_runs {IN[HALF]}
        !w2 reclaim_runs zram_failed_writes reclaim_fail oom
        """,
        machine(1, kit.zram(9, mem_limit_bytes=4096)),
        sizes=[HALF, THREE_QUARTERS, HALF],
        ends="ZRAM DRAM NONE",
    )


def test_mem_limit__a_load_makes_room(kit):
    kit.play(
        f"""
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs {IN[HALF]}
        r0  pswpin zram_read reclaim_runs zram_failed_writes reclaim_fail {IN[HALF]}   # 1 fails, 2 goes, 0 comes
        w3  first_touch reclaim_runs zram_failed_writes reclaim_fail {IN[HALF]}        # 1 fails again; 0 fits beside 2
        """,
        machine(2, kit.zram(9, mem_limit_bytes=4096)),
        sizes=[HALF, THREE_QUARTERS, HALF, HALF],
        ends="ZRAM DRAM ZRAM DRAM",
    )


# Beside swapfiles -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("priority", "first", "second", "ends"),
    [
        (100, "pswpout zram_bytes*2040", "pswpout", "ZRAM SWAPFILE DRAM"),  # disksize is one page: the next one spills
        (-1, "pswpout", "pswpout zram_bytes*2040", "SWAPFILE ZRAM DRAM"),
    ],
)
def test_priority_says_which_device_fills_first(kit, priority, first, second, ends):
    kit.play(
        f"""
        w0  first_touch
        w1  first_touch reclaim_runs {first}
        w2  first_touch reclaim_runs {second}
        """,
        machine(1, kit.zram(1, priority=priority), vl.Swapfile(1)),
        sizes=HALF,
        ends=ends,
    )


def test_only_the_swapfile_keeps_a_clean_copy(kit):
    result = kit.play(
        f"""
        w0  first_touch
        w1  first_touch reclaim_runs {IN[HALF]}
        w2  first_touch reclaim_runs pswpout                    # zram shows one page
        r1  pswpin reclaim_runs pswpout                         # 2; 2 of 10 slots were in use: 1 keeps its copy
        r0  pswpin zram_read reclaim_runs clean_drop            # 1 is dropped for free; 0 gives its slot back
        """,
        machine(1, kit.zram(1), vl.Swapfile(9)),
        sizes=HALF,
        ends="DRAM SWAPFILE SWAPFILE",
    )
    assert result.epochs.select("pswpin_swapfile", "pswpin_zram").sum().row(0) == (1, 1)
    assert result.epochs.select("pswpout_swapfile", "pswpout_zram").sum().row(0) == (2, 1)


def test_zrams_slots_count_for_the_half_full_mark(kit):
    kit.play(
        f"""
        w0  first_touch
        w1  first_touch reclaim_runs pswpout            # 0 fills the swapfile
        r0  pswpin reclaim_runs {IN[HALF]}              # 1 to zram. 1 of 2 slots was in use: 0 keeps its copy
        """,
        machine(1, kit.zram(1, priority=-1), vl.Swapfile(1)),
        sizes=HALF,
        ends="DRAM+copy ZRAM",
    )


# What its pool costs ----------------------------------------------------------------------------


def test_under_memcg_its_pool_costs_nothing(kit):
    kit.play(
        f"""
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs {IN[HALF]}
        w3  first_touch reclaim_runs {IN[HALF]}
        w4  first_touch reclaim_runs {IN[HALF]}
        """,
        machine(2, kit.zram(9)),
        sizes=HALF,
        ends="ZRAM ZRAM ZRAM DRAM DRAM",
    )


def test_under_the_hosts_charge_its_footprint_is_dram(kit):
    kit.play(
        f"""
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs {IN[HALF]} {IN[HALF]}      # half a page each: 0 frees none yet, 1 one page
        !w3 reclaim_runs {IN[HALF]} oom                         # 2: three halves of 2 pages leave half a page
        """,
        machine(2, kit.zram(9), charge="host"),
        sizes=HALF,
        ends="ZRAM ZRAM ZRAM NONE",
    )


def test_under_the_hosts_charge_a_raw_page_frees_nothing(kit):
    kit.play(
        f"""
        w0  first_touch
        !w1 reclaim_runs {IN[RAW]} oom
        """,
        machine(1, kit.zram(9), charge="host"),
        sizes=RAW,
    )


def test_writing_back_returns_dram_under_the_hosts_charge(kit):
    kit.play(
        f"""
        w0  first_touch
        w1  first_touch
        w2  first_touch reclaim_runs {IN[HALF]} {IN[HALF]}      # 2048 + 2048 + one resident page: full
        f5                                                      # nothing; the pass marks 0 and 1
        w3  zram_bd_writes*2 first_touch                        # the next one frees a page before the access
        """,
        machine(2, kit.zram(9, idle_period=1, backing_slots=9), charge="host"),
        sizes=[HALF] * 6,
        ends="ZRAM ZRAM DRAM DRAM NONE NONE",
    )


# The administrator's pass -----------------------------------------------------------------------


def test_recompression__the_first_pass_marks_and_the_second_recompresses(kit):
    result = kit.play(
        f"""
        w0  first_touch
        w1  first_touch reclaim_runs {IN[HALF]}
        r1  dram_hit                                            # before access 2: 0 is marked idle
        r1  dram_hit
        r1  dram_hit zram_recompressed                          # before access 4: half a page becomes a quarter
        r1  dram_hit
        r1  dram_hit                                            # not again
        """,
        machine(1, kit.zram(9, idle_period=2, recompresses=True)),
        sizes=HALF,
        on_device=QUARTER,
        ends="ZRAM DRAM",
    )
    assert kit.tier(result, "zram") == (1, QUARTER, 1024)


def test_recompression__a_page_loaded_and_stored_again_is_not_idle(kit):
    result = kit.play(
        f"""
        w0  first_touch
        w1  first_touch reclaim_runs {IN[HALF]}
        r0  pswpin zram_read reclaim_runs {IN[HALF]}            # marked before the access, and loaded by it
        r1  pswpin zram_read reclaim_runs {IN[HALF]}            # 0 is back, unmarked
        r1  dram_hit                                            # before access 4: marked
        r0  pswpin zram_read reclaim_runs {IN[HALF]}            # first compressor still
        """,
        machine(1, kit.zram(9, idle_period=2, recompresses=True)),
        sizes=HALF,
        on_device=QUARTER,
    )
    assert result.totals["zram_recompressed"] == 0


def test_recompression__is_read_by_the_second_compressor(kit):
    kit.play(
        f"""
        w0  first_touch
        w1  first_touch reclaim_runs {IN[HALF]}
        r1  dram_hit                                            # marks 0
        r0  pswpin zram_recompressed zram_read_recompressed reclaim_runs {IN[HALF]}
        r1  pswpin zram_read reclaim_runs {IN[HALF]}            # 1 came after the last pass but one: only marked
        """,
        machine(1, kit.zram(9, idle_period=1, recompresses=True)),
        sizes=HALF,
        on_device=QUARTER,
    )


@pytest.mark.parametrize(
    ("size", "again", "word", "stored"),
    [
        (QUARTER, QUARTER - 1, "", QUARTER),  # smaller, but in the same class of 1024 bytes: no gain
        (QUARTER, HALF, "", QUARTER),
        (RAW, HALF, "zram_recompressed", HALF),
        (QUARTER + 1, QUARTER, "zram_recompressed", QUARTER),  # class 1056 to 1024
    ],
)
def test_recompression__is_kept_only_if_the_object_takes_less(kit, size, again, word, stored):
    huge = "zram_huge" if size == RAW else ""
    result = kit.play(
        f"""
        w0  first_touch
        w1  first_touch reclaim_runs pswpout {huge} zram_bytes*{size}
        r1  dram_hit
        r1  dram_hit {word}
        """,
        machine(1, kit.zram(9, idle_period=1, recompresses=True)),
        sizes=size,
        on_device=again,
    )
    assert kit.tier(result, "zram")[:2] == (1, stored)


@pytest.mark.parametrize(
    ("which", "first", "second", "tier"),
    [
        ("idle", "", "zram_bd_writes*2", (2, 0, 0)),
        ("huge", "zram_bd_writes", "", (2, QUARTER, 1024)),  # 1, at any age
        ("huge-idle", "", "zram_bd_writes", (2, QUARTER, 1024)),  # 1, once it is idle
    ],
)
def test_writeback__takes_idle_pages_or_huge_ones_or_those_that_are_both(kit, which, first, second, tier):
    result = kit.play(
        f"""
        w0  first_touch
        w1  first_touch reclaim_runs {IN[QUARTER]}              # 0
        w2  first_touch reclaim_runs {IN[RAW]}                  # 1
        r2  dram_hit {first}                                    # before access 3: the first pass
        r2  dram_hit
        r2  dram_hit
        r2  dram_hit {second}                                   # before access 6: the second one
        """,
        machine(1, kit.zram(9, idle_period=3, backing_slots=9, writeback=which)),
        sizes=[QUARTER, RAW, QUARTER],
        ends="ZRAM ZRAM DRAM",
    )
    assert kit.tier(result, "zram") == tier


@pytest.mark.parametrize(("limit", "word"), [(None, "zram_bd_writes"), (2, "zram_bd_writes"), (1, "")])
def test_writeback__ends_at_the_backing_device_and_at_the_limit(kit, limit, word):
    result = kit.play(
        f"""
        w0  first_touch
        w1  first_touch reclaim_runs {IN[QUARTER]}              # 0
        w2  first_touch reclaim_runs {IN[QUARTER]}              # 1, after the pass that marks 0
        r2  dram_hit
        r2  dram_hit zram_bd_writes                             # 0 takes the one backing slot; 1 is marked
        r2  dram_hit
        r2  dram_hit                                            # 1 is idle, but the backing device is full
        r0  pswpin zram_bd_reads reclaim_runs {IN[QUARTER]}     # read from there: its slot is free. 2 comes
        r0  dram_hit {word}                                     # 1 takes it, unless the limit is reached
        """,
        machine(1, kit.zram(9, idle_period=2, backing_slots=1, writeback_limit=limit)),
        sizes=QUARTER,
        ends="DRAM ZRAM ZRAM",
    )
    assert kit.tier(result, "zram") == ((2, QUARTER, 1024) if word else (2, 2 * QUARTER, 2048))


def test_writeback__a_page_freed_on_the_backing_device_returns_its_slot(kit):
    kit.play(
        f"""
        w0  first_touch
        w1  first_touch reclaim_runs {IN[QUARTER]}
        w2  first_touch reclaim_runs {IN[QUARTER]}              # the pass marks 0; 1 comes
        f0  zram_bd_writes                                      # 0 is written back, then freed; 1 is marked
        r1  zram_bd_writes pswpin zram_bd_reads reclaim_runs {IN[QUARTER]}
        """,
        machine(1, kit.zram(9, idle_period=1, backing_slots=1)),
        sizes=QUARTER,
        ends="NONE DRAM ZRAM",
    )


def test_writeback__goes_slot_by_slot_whatever_the_age(kit):
    # Passes before accesses 3 and 6. 1 went to zram first, but the one backing slot is for 0.
    kit.play(
        f"""
        w1  first_touch
        w0  first_touch reclaim_runs {IN[QUARTER]}
        w2  first_touch reclaim_runs {IN[QUARTER]}
        r2  dram_hit
        r2  dram_hit
        r2  dram_hit
        r0  zram_bd_writes pswpin zram_bd_reads reclaim_runs {IN[QUARTER]}
        r1  pswpin zram_read reclaim_runs {IN[QUARTER]}
        """,
        machine(1, kit.zram(9, idle_period=3, backing_slots=1)),
        sizes=QUARTER,
    )


# With zswap and CRAM before it ------------------------------------------------------------------


def zswap(kit, accept: int = 100) -> vl.Zswap:
    return kit.zswap(max_pool_percent=10, accept_threshold_percent=accept)  # a limit of one page


@pytest.mark.parametrize(
    ("layer", "line", "ends"),
    [
        ("vswap", f"w4 first_touch reclaim_runs pool_limit_hit {IN[HALF]}", "ZSWAP ZRAM ZRAM DRAM DRAM"),
        ("none", "!w4 reclaim_runs reclaim_fail*2 oom", "ZSWAP+stale ZRAM DRAM DRAM NONE"),
    ],
)
def test_without_a_layer_zswaps_pages_hold_zrams_slots(kit, layer, line, ends):
    # zram shows two pages. With a layer 0 in zswap leaves both to 1 and 2.
    kit.play(
        f"""
        w0  first_touch
        w1  first_touch
        w2  first_touch
        w3  first_touch reclaim_runs zswpout(2040) pool_limit_hit {IN[HALF]}    # 0 frees half a page; 1 the rest
        {line}
        """,
        machine(3, kit.zram(2), zswap=zswap(kit), layer=layer),
        sizes=HALF,
        ends=ends,
    )


def test_zswap_writes_back_to_zram(kit):
    kit.play(
        f"""
        w0  first_touch
        w1  first_touch
        w2  first_touch
        w3  first_touch reclaim_runs zswpout(2040) pool_limit_hit {IN[HALF]} zswpwb {IN[HALF]}
        r0  pswpin zram_read                                    # 0 and 1 left, 3 came: a frame is free
        """,
        machine(3, kit.zram(9), zswap=zswap(kit, accept=0)),
        sizes=HALF,
        ends="DRAM ZRAM DRAM DRAM",
    )


def test_cram_writes_back_to_zram(kit):
    kit.play(
        f"""
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1016)
        w2  first_touch reclaim_runs cram_writeback_swapfile {IN[QUARTER]} cram_in(1016)   # ceil(1016 x 1 / 1016) = 1
        r0  pswpin zram_read reclaim_runs cram_writeback_swapfile {IN[QUARTER]} cram_in(1016)
        """,
        machine(1, kit.zram(9), cram=kit.cram(4096, 9, writeback_high=0.1, writeback_low=0.0)),
        sizes=QUARTER,
        ends="DRAM ZRAM softleaf",
    )
