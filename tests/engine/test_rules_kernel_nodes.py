"""Memory nodes under a kernel's lists, worked out by hand: watermarks, kswapd, and a CRAM node (mm/cram.c)."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import vswaplab as vl
from vswaplab.engine.kernel import KernelReference
from vswaplab.engine.kernel.faults import HIT, MINOR
from vswaplab.engine.kernel.folios import CRAM, DRAM, TICK_NS
from vswaplab.engine.plan import make_plan

ZERO, RAW = range(2)
CORPUS = vl.Corpus(pl.DataFrame({"is_zero": [True, False]}))
BASE, TABLE = 5, 1


def node(pages: float = 100, gate: float = 1.0, **settings: object) -> vl.Cram:
    """Set up a CRAM node of plain RAM, as the driver of the measured machine did."""
    return vl.Cram(
        media_bytes=int(pages * 4096), profile="none", mode="tier", close_at=gate, open_at=gate, writeback_high=1.0,
        writeback_low=1.0, **settings,
    )  # fmt: skip


def machine(
    room: int = 10,
    cram: vl.Cram | None = None,
    low: int = 0,
    high: int = 1,
    n_slots: int = 100,
    charge: str = "host",
    **costs: int,
) -> vl.Machine:
    """Build DRAM that has room for so many pages, besides five of the kernel's and a page table."""
    dram = vl.Dram(BASE + TABLE + room, low=low, high=high, charge=charge)
    files = [vl.Swapfile(n_slots)] if n_slots else []
    return vl.Machine(
        dram, cram, swapfiles=files, layer="none", costs=vl.Costs(**costs), kernel=vl.Kernel("7.1", swappiness=100)
    )


def nodes(content: int = RAW, **settings: object) -> KernelReference:
    trace = vl.Trace([0], n_pages=500, content=np.full(500, content, np.int32), corpus=CORPUS)
    return KernelReference(make_plan(trace, machine(**settings), 0), trace)


def touch(kernel: KernelReference, *pages: int, write: bool = False) -> list[int]:
    outcomes = []
    for page in pages:
        if kernel.mapped[page] and not (write and kernel.node[page] == CRAM):
            kernel.hit(page, is_write=write)
            outcomes.append(HIT)
        else:
            outcomes.append(kernel.handle_mm_fault(page, is_write=write))
        kernel.lru_add_drain()  # a CPU keeps up to 30 pages back, which no scan sees
        kernel.check()
    return outcomes


def reclaim(kernel: KernelReference, *pages: int) -> None:
    """Let reclaim scan pages that were not accessed since."""
    for page in pages:
        kernel.lru_add_drain()
        lruvec = kernel.lruvecs[kernel.node[page]]
        kernel.list_of(page).remove(page)
        lruvec.inactive.add_tail(page)
        kernel.young[page] = kernel.referenced[page] = 0
        kernel.shrink_inactive_list(lruvec, 1)
    kernel.check()


# A CRAM node ----------------------------------------------------------------------------------------


def test_ten_pages() -> None:
    # Room for ten, all accessed. The eleventh finds no free page, and direct reclaim scans shares of the list, from
    # 10 >> 12 to 10 >> 0, until pages are met a second time: at priority 3 page 0 is kept, at 2 pages 1 and 2, at 1
    # pages 3 to 7. At 0, ten: 8 and 9 are kept, and 0 to 7 go, to the CRAM node: nothing is written.
    kernel = nodes(room=10, cram=node())
    touch(kernel, *range(10))

    assert touch(kernel, 10) == [MINOR]

    assert [page for page in range(11) if kernel.node[page] == CRAM] == list(range(8))
    assert (kernel.count["cram_in"], kernel.count["pswpout"], kernel.count["pgscan"]) == (8, 0, 18)
    assert (kernel.n_free(DRAM), kernel.n_free(CRAM)) == (7, 92)
    # Read where they are; the first write moves one back. It is a minor fault, and the page's place is free again.
    assert touch(kernel, 3, 3) == [HIT, HIT]
    assert touch(kernel, 3, 3, write=True) == [MINOR, HIT]
    assert (kernel.count["cram_read"], kernel.count["cram_promote"], kernel.node[3]) == (2, 1, DRAM)
    assert (kernel.n_free(DRAM), kernel.n_free(CRAM)) == (6, 93)


def test_demotion__takes_zero_pages_and_keeps_the_flags() -> None:
    kernel = nodes(content=ZERO, cram=node())
    touch(kernel, 0, 1)
    kernel.workingset[0] = 1
    reclaim(kernel, 0, 1)
    assert (kernel.count["cram_in"], kernel.count["swpout_zero"]) == (2, 0)
    assert (kernel.mapped[0], kernel.workingset[0], kernel.pte_dirty[0]) == (1, 1, 1)
    kernel.lru_add_drain()
    assert list(kernel.lruvecs[CRAM].inactive) == [0, 1]


@pytest.mark.parametrize(
    ("cram", "counter", "n_taken"),
    [
        (node(gate=0.0), "cram_refused_gate", 0),  # its driver reports a pressure of 1000
        (node(3, node_low=2, node_high=3), "cram_refused_full", 2),  # the last one is kept free
        (node(3.5, advertised_bytes=8 * 4096), "cram_refused", 3),  # more pages than media
    ],
)
def test_demotion__what_the_node_refuses_goes_to_swap(cram: vl.Cram, counter: str, n_taken: int) -> None:
    kernel = nodes(cram=cram)
    touch(kernel, *range(8))
    reclaim(kernel, 0, 1, 2, 3)
    assert (kernel.count["cram_in"], kernel.count[counter]) == (n_taken, 4 - n_taken)
    assert kernel.count["pswpout"] == 4 - n_taken


def test_pages_of_the_node_go_to_swap_and_come_back_to_dram() -> None:
    kernel = nodes(cram=node(), swap_write_ns=0)
    touch(kernel, 0)
    reclaim(kernel, 0)
    assert kernel.node[0] == CRAM
    reclaim(kernel, 0)  # written: in the swap cache still, and not mapped
    kernel.pass_time(0)
    assert (kernel.count["cram_writeback_swapfile"], kernel.mapped[0], kernel.n_free(CRAM)) == (1, 0, 99)
    reclaim(kernel, 0)
    assert (kernel.cached[0], kernel.n_free(CRAM), kernel.cram_bytes) == (0, 100, 0)
    touch(kernel, 0)
    assert (kernel.count["pswpin"], kernel.node[0]) == (1, DRAM)


@pytest.mark.parametrize(("write", "counter"), [(False, "cram_soft_fault"), (True, "cram_promote")])
def test_swap_cache__a_page_of_the_node_is_mapped_in_place_unless_written_to(write: bool, counter: str) -> None:
    kernel = nodes(cram=node(), swap_write_ns=0)
    touch(kernel, 0)
    reclaim(kernel, 0, 0)
    kernel.pass_time(0)
    assert touch(kernel, 0, write=write) == [MINOR]
    assert (kernel.count[counter], kernel.count["dram_hit"]) == (1, 0)
    assert (kernel.mapped[0], kernel.node[0]) == (1, DRAM if write else CRAM)


def test_promotion__waits_for_a_write_to_disk() -> None:
    kernel = nodes(cram=node(), swap_write_ns=5_000)
    touch(kernel, 0)
    reclaim(kernel, 0, 0)
    assert kernel.writeback[0] == 1
    touch(kernel, 0, write=True)
    assert kernel.now >= 5_000
    assert kernel.writeback[0] == 0


def test_memory_max__demotion_lowers_no_charge() -> None:
    # A group at its limit: demotion is progress, and frees nothing; with DRAM empty memory is out.
    kernel = nodes(room=10, cram=node(), charge="memcg")
    touch(kernel, *range(10))
    with pytest.raises(vl.engine.kernel.folios.OutOfMemoryError):
        kernel.handle_mm_fault(10, is_write=True)
    assert (kernel.count["cram_in"], kernel.count["pswpout"]) == (10, 0)
    assert kernel.usage == BASE + TABLE + 10


def test_remove_cram__moves_its_pages_to_dram() -> None:
    kernel = nodes(cram=node())
    touch(kernel, 0, 1, 2)
    reclaim(kernel, 0, 2)
    assert kernel.remove_cram(maps=True).cram_loaded == 2
    assert (sum(kernel.node), kernel.cram_bytes, kernel.count["cram_promote"]) == (0, 0, 0)
    reclaim(kernel, 0)
    assert (kernel.node[0], kernel.count["pswpout"]) == (DRAM, 1)  # there is no node any more


# kswapd ---------------------------------------------------------------------------------------------


def test_n_free__zswap_entries_take_slab_memory() -> None:
    kernel = nodes()
    free = kernel.n_free(DRAM)
    kernel.zswap_lru.update(dict.fromkeys(range(112), True))  # 73 bytes each
    assert free - kernel.n_free(DRAM) == 1
    kernel.zswap_lru[112] = True
    assert (free - kernel.n_free(DRAM), 113 * 73 // 4096) == (2, 2)


def test_kswapd__is_woken_at_low_and_runs_after_the_next_tick() -> None:
    # 30 pages; marks 4, 8 and 12. The 22nd page leaves 8 free: the next one wakes kswapd, and is served all the same.
    kernel = nodes(room=30, cram=node(), low=8, high=12, fault_ns=0, victim_ns=0, dram_ns=0)
    assert kernel.marks[DRAM] == (4, 8, 12)
    touch(kernel, *range(22))
    assert kernel.kswapd_at[DRAM] is None
    touch(kernel, 22)
    assert (kernel.kswapd_at[DRAM], kernel.n_free(DRAM), kernel.count["reclaim_runs"]) == (TICK_NS, 7, 0)
    kernel.young = bytearray(500)
    kernel.pass_time(TICK_NS)

    touch(kernel, 23)  # first kswapd, then the page

    # Priorities 12 to 5 scan nothing of the 23 pages, 4 one, 3 two, 2 five: 7 + 8 free pages are above 12.
    assert (kernel.count["reclaim_runs"], kernel.count["cram_in"], kernel.n_free(DRAM)) == (1, 8, 14)
    assert kernel.kswapd_at[DRAM] is None


def test_direct_reclaim__before_kswapd_has_the_cpu_at_the_lowest_mark() -> None:
    kernel = nodes(room=30, cram=node(), low=8, high=12, fault_ns=0, victim_ns=0, dram_ns=0)
    touch(kernel, *range(26))
    assert (kernel.n_free(DRAM), kernel.count["reclaim_runs"]) == (4, 0)
    touch(kernel, 26)
    assert kernel.count["reclaim_runs"] == 1
    assert kernel.n_free(DRAM) > 4


def test_kswapd__of_a_full_cram_node_swaps_its_pages_out() -> None:
    # 20 device pages; marks 2, 4 and 6. The 17th demotion finds 4 free and wakes the node's kswapd.
    kernel = nodes(room=30, cram=node(20, node_low=4, node_high=6), fault_ns=0, victim_ns=0, swap_write_ns=0)
    assert kernel.marks[CRAM] == (2, 4, 6)
    touch(kernel, *range(17))
    reclaim(kernel, *range(16))
    assert (kernel.n_free(CRAM), kernel.kswapd_at[CRAM]) == (4, None)
    reclaim(kernel, 16)
    assert (kernel.n_free(CRAM), kernel.kswapd_at[CRAM]) == (3, TICK_NS)
    kernel.pass_time(TICK_NS)
    touch(kernel, 17)
    # Of the 17 pages priority 4 writes one out, 3 two; at 2 the first is met again, its write ended: it goes, and three
    # are written; at 1 the next two go, and six are written.
    assert (kernel.n_free(CRAM), kernel.count["cram_writeback_swapfile"]) == (6, 12)


def test_no_swap_and_no_node__nothing_is_scanned_and_memory_runs_out() -> None:
    kernel = nodes(room=10, n_slots=0)
    touch(kernel, *range(10))
    with pytest.raises(vl.engine.kernel.folios.OutOfMemoryError):
        kernel.handle_mm_fault(10, is_write=False)
    assert kernel.count["pgscan"] == 0


# Settings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cram", "words"),
    [
        (vl.Cram(1 << 20, mode="swap"), "machine.kernel models cram.mode 'tier' only, got 'swap'"),
        (vl.Cram(1 << 20, mode="tier"), "machine.kernel models cram.writeback_high 1.0 only, got 0.9"),
        (node(writeback_to="swapfile"), "machine.kernel models cram.writeback_to 'zswap' only, got 'swapfile'"),
        (node(trim_batch_pages=8), "machine.kernel models cram.trim_batch_pages 512 only, got 8"),
        (node(report_lag=5), "machine.kernel models cram.report_lag 0 only, got 5"),
    ],
)
def test_machine__refuses_what_the_kernel_lacks(cram: vl.Cram, words: str) -> None:
    with pytest.raises(vl.InputError, match=words):
        machine(cram=cram)


@pytest.mark.parametrize("engine", ["reference", "vectorised"])
def test_simulate__every_access_has_one_outcome_and_lies_in_one_tier(engine: str) -> None:
    rng = np.random.default_rng(0)
    trace = vl.Trace(
        rng.integers(0, 300, 2000), rng.integers(0, 2, 2000).astype(np.uint8), n_pages=300,
        content=np.full(300, RAW, np.int32), corpus=CORPUS, repeat_reads=np.ones(2000, np.int32),
    )  # fmt: skip
    result = vl.simulate(trace, machine(room=150, cram=node(100), low=10, high=16, n_slots=300), engine=engine)
    totals = result.totals
    outcomes = ("dram_hit", "first_touch", "swpin_zero", "pswpin", "cram_read", "cram_soft_fault", "cram_promote")
    assert sum(totals[name] for name in outcomes) == 2000
    assert totals["cram_read"] > 100
    assert totals["repeat_dram"] + totals["repeat_cram_read"] == 2000
    assert totals["repeat_cram_read"] >= totals["cram_read"]
    backings = result.state()["backing"].value_counts().sort("backing")
    cram = result.tiers.filter(tier="CRAM")[-1]
    assert dict(backings.iter_rows())["CRAM"] == cram["pages"][0] == cram["stored_bytes"][0] // 4096 > 0
