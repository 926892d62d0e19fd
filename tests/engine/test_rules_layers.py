"""What a virtual layer changes: who holds a swap slot, and which page-table entries a move rewrites.

Tables derived by hand from section 2 ("Slots") and rule 6, each for a kernel
without a layer (``none``) beside one with it. How to read a table:
``conftest.py``.
"""

from __future__ import annotations

import pytest

import vswaplab as vl

ZERO = 0
SIZE = 1000


def machine(layer: str, *, capacity: int = 3, slots: int = 2, **tiers: object) -> vl.Machine:
    swapfiles = [vl.Swapfile(slots)] if slots else []
    return vl.Machine(vl.Dram(capacity, total_pages=10, low=0, high=1), swapfiles=swapfiles, layer=layer, **tiers)


@pytest.fixture
def pool(kit) -> vl.Zswap:
    return kit.zswap(max_pool_percent=100)


FILL = """
    w0  first_touch
    w1  first_touch
    w2  first_touch
    w3  first_touch reclaim_runs zswpout(1000)*2      # 0 frees 3096 bytes, 1 the rest of a page
"""


def test_without_a_layer_a_full_device_stops_zswap(kit, pool):
    # 0 and 1 hold both slots though the swapfile is empty: 2 and 3 cannot leave.
    table = FILL + "!w4 reclaim_runs reclaim_fail*2 oom"
    kit.play(table, machine("none", zswap=pool), sizes=SIZE, ends="ZSWAP+stale ZSWAP+stale DRAM DRAM NONE")


def test_with_a_layer_zswap_needs_no_slot(kit, pool):
    # 2096 bytes are free: 2 in zswap makes it more than a page.
    table = FILL + "w4 first_touch reclaim_runs zswpout(1000)"
    kit.play(table, machine("vswap", zswap=pool), sizes=SIZE, ends="ZSWAP ZSWAP ZSWAP DRAM DRAM")


def test_without_a_layer_a_loaded_page_keeps_its_slot_until_swap_is_half_full(kit, pool):
    table = (
        FILL
        + """
        r0  zswpin reclaim_runs zswpout(1000)    # 2 goes; 0 keeps its slot: 3 of 6 in use, not more than half
        r1  zswpin reclaim_runs zswpout(1000)    # 3 goes: the mark was looked at before it, 3 of 6
        r2  zswpin reclaim_runs zswpout(1000)    # 0 goes, with its old slot; 4 of 6: 2 gives its slot up
        """
    )
    kit.play(
        table,
        machine("none", slots=6, zswap=pool),
        sizes=SIZE,
        ends="ZSWAP+stale DRAM+stale DRAM ZSWAP+stale",
    )


def test_without_a_layer_a_zero_page_holds_a_slot(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs swpout_zero
        r0  swpin_zero reclaim_runs pswpout       # 1 takes the other slot; 1 of 2 was in use: 0 keeps its own
        f0
        """,
        machine("none", capacity=1),
        sizes=[ZERO, SIZE],
        ends="NONE SWAPFILE",
    )


@pytest.mark.parametrize(("layer", "fate"), [("none", "!w1 reclaim_runs reclaim_fail oom"), ("vswap", "")])
def test_without_a_device_only_a_layer_lets_zero_pages_go(kit, layer, fate):
    line = fate or "w1 first_touch reclaim_runs swpout_zero"
    kit.play(f"w0 first_touch\n{line}", machine(layer, capacity=1, slots=0), sizes=ZERO)


def test_without_a_layer_a_cram_page_holds_a_slot_and_keeps_it_when_promoted(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w0  cram_promote reclaim_runs cram_in(1000)
        """,
        machine("none", capacity=1, slots=8, cram=kit.cram(4096, 4)),
        ends="DRAM+stale softleaf+stale",
    )


def test_without_a_layer_a_page_made_writable_gives_its_slot_up(kit):
    kit.play(
        """
        w0  first_touch
        w1  first_touch reclaim_runs cram_in(1000)
        w0  cram_made_writable
        """,
        machine("none", capacity=1, slots=8, cram=kit.cram(4096, 4, writable_budget_pages=1)),
        ends="writable DRAM",
    )


def test_without_a_layer_zswap_writes_back_to_the_slots_it_holds(kit):
    # The pool's limit is one page, and half a page stored counts as one. 0 goes to zswap, 1 meets the limit and
    # goes to the swapfile: both slots are taken. Yet 0 is written back, after its second chance, to its own.
    pool = kit.zswap(max_pool_percent=10, accept_threshold_percent=0)
    kit.play(
        """
        w0  first_touch
        w1  first_touch
        w2  first_touch
        w3  first_touch reclaim_runs zswpout(2040) pool_limit_hit pswpout*2 zswpwb
        """,
        machine("none", slots=2, zswap=pool),
        sizes=2040,
        ends="SWAPFILE SWAPFILE DRAM DRAM",
    )


@pytest.mark.parametrize(
    ("layer", "work"),
    [
        ("vswap", "rmap_walks pte_changed pte_unchanged pte_scanned*5"),
        ("none", "rmap_walks pte_changed*2 pte_scanned*10"),
    ],
)
def test_moving_a_multi_state_page_rewrites_every_entry_only_without_a_layer(kit, layer, work):
    # Media 4096, pages of 1000: above 1024 bytes one page goes (test_rules_mappers.py).
    marks = {"writeback_high": 0.25, "writeback_low": 0.25, "writeback_to": "swapfile"}
    one = "pte_unchanged" if layer == "vswap" else "rmap_walks pte_changed pte_scanned*5"
    out = "pswpout cram_writeback_swapfile"
    kit.play(
        f"""
        r0@0  first_touch
        r1@0  first_touch reclaim_runs cram_in(1000)
        r0@1  cram_soft_fault
        r2@0  first_touch reclaim_runs cram_in(1000)
        r3@0  first_touch reclaim_runs {out} {one} cram_in(1000)
        r4@0  first_touch reclaim_runs {out} cram_writeback_multi_state {work} cram_in(1000)
        """,
        machine(layer, capacity=1, slots=20, cram=kit.cram(4096, 9, **marks)),
        mappers=[0b11, 1, 1, 1, 1],
    )
