"""Several mappers of one page: tables derived by hand from rule 6.

``w0@1`` is a write to page 0 by mapper 1; ``mappers`` gives each page's set,
one bit a mapper. A copy gets the number after the last page. How to read a
table: ``conftest.py``.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import vswaplab as vl
from vswaplab.trace.sharing import UNMAP

CAPACITY = 5


def machine(cram: vl.Cram | None = None, capacity: int = CAPACITY) -> vl.Machine:
    return vl.Machine(vl.Dram(capacity, low=0, high=1), cram=cram, swapfiles=[vl.Swapfile(20)])


def test_a_write_by_one_of_several_copies_and_the_last_one_writes_in_place(kit):
    kit.play(
        """
        r0@0  first_touch
        r0@1  dram_hit minor_fault     # resident, but mapper 1 never touched it
        r0@1  dram_hit
        w0@1  copy_on_write            # mappers 0 and 2 are left: copy 1
        r0@1  dram_hit                 # means the copy
        w0@1  dram_hit                 # alone on the copy
        w0@0  copy_on_write            # mapper 2 is left: copy 2
        w0@2  dram_hit minor_fault     # alone by now: in place
        """,
        machine(),
        mappers=[0b111],
        ends="DRAM DRAM DRAM",
    )


@pytest.mark.parametrize("engine", ["reference", "vectorised"])
def test_a_copy_of_a_page_never_touched_holds_what_a_first_touch_stores(engine: str) -> None:
    # From access 1 on contents are one row on: page 0 was touched before and its copy is as it, page 1 was not.
    corpus = pl.DataFrame({"region": [0, 1], "is_zero": [False, False], "lz4_4k": [1000, 2000]})
    trace = vl.Trace(
        [0, 0, 1, 1], [0, 1, 1, 1], mapper=[0, 1, 1, 0], mappers=[0b11, 0b11],
        content=[0, 0], corpus=corpus, content_shifts=[(1, 1)],
    )  # fmt: skip
    state = vl.simulate(trace, machine(), engine=engine).state()

    assert state["content"].to_list() == [0, 1, 0, 1]


def test_a_fault_serves_all_mappers(kit):
    kit.play(
        """
        r0@0  first_touch
        r0@1  dram_hit minor_fault
        w1@0  first_touch reclaim_runs pswpout     # one page of DRAM: 0 goes
        r0@1  pswpin reclaim_runs pswpout          # 1 goes
        r0@0  dram_hit                             # no fault, and no first touch
        """,
        machine(capacity=1),
        mappers=[0b11, 1],
    )


def test_a_free_takes_one_mapper_away_and_the_last_releases_the_page(kit):
    kit.play(
        """
        r0@0  first_touch
        f0@1                           # mapper 1 goes, the page stays
        r0@0  dram_hit
        f0@1                           # nothing left to free
        r0@1  first_touch              # it is back, with a page of its own: number 1
        w0@0  dram_hit                 # mapper 0 has been alone since
        f0@0
        r0@0  first_touch
        f0@1                           # its own page
        """,
        machine(),
        mappers=[0b11],
        ends="DRAM NONE",
    )


def test_every_mapper_of_a_cram_page_faults_once_and_a_copy_leaves_its_source(kit):
    kit.play(
        """
        r0@0  first_touch
        r1@0  first_touch reclaim_runs cram_in(1000)     # 0: two softleaf mappers
        r0@1  cram_soft_fault                            # mapper 1 has it mapped read-only
        r0@1  cram_read
        r0@0  cram_soft_fault                            # so has mapper 0 now
        w0@1  copy_on_write reclaim_runs cram_in(1000)   # a frame for copy 2: page 1 goes; 0 stays put
        r0@0  cram_read
        w0@0  cram_promote reclaim_runs cram_in(1000)    # alone: as for one mapper; the copy goes
        """,
        machine(kit.cram(4096, 4), capacity=1),
        mappers=[0b11, 1],
        ends="DRAM softleaf softleaf",
    )


def test_the_mapper_that_is_left_keeps_its_softleaf(kit):
    kit.play(
        """
        r0@0  first_touch
        r1@0  first_touch reclaim_runs cram_in(1000)
        r0@1  cram_soft_fault
        f0@1                                             # the only mapping goes
        r0@0  cram_soft_fault                            # mapper 0 still had the swap entry
        """,
        machine(kit.cram(4096, 4), capacity=1),
        mappers=[0b11, 1],
        ends="read-only DRAM",
    )


def test_tier_mode_maps_a_page_read_only_for_all_its_mappers(kit):
    kit.play(
        """
        r0@0  first_touch
        r1@0  first_touch reclaim_runs cram_in(1000)
        r0@1  cram_read
        r0@0  cram_read
        """,
        vl.Machine(vl.Dram(1, low=0, high=1, charge="host"), kit.cram(4096, 4, mode="tier")),
        mappers=[0b11, 1],
    )


def test_writing_back_a_multi_state_page_unmaps_some_and_leaves_the_rest(kit):
    # Media 4096, pages of 1000: above 0.25 x 4096 = 1024 bytes, ceil((2000 - 1024) x 2 / 2000) = 1 page goes.
    marks = {"writeback_high": 0.25, "writeback_low": 0.25, "writeback_to": "swapfile"}
    out = "pswpout cram_writeback_swapfile"
    kit.play(
        f"""
        r0@0  first_touch
        r1@0  first_touch reclaim_runs cram_in(1000)               # 0 is on the device, 1000 bytes
        r0@1  cram_soft_fault                                      # 0: mapper 1 read-only, mapper 0 softleaf
        r2@0  first_touch reclaim_runs cram_in(1000)               # 1 joins it: 2000 bytes
        r3@0  first_touch reclaim_runs {out} pte_unchanged cram_in(1000)   # 1 is colder: only a softleaf, stays valid
        r4@0  first_touch reclaim_runs {out} cram_writeback_multi_state rmap_walks pte_changed pte_unchanged pte_scanned*5 cram_in(1000)
        r0@1  pswpin reclaim_runs {out} pte_unchanged cram_in(1000)        # 2 goes, a softleaf; 0 is back in DRAM
        r0@0  dram_hit
        """,  # noqa: E501
        machine(kit.cram(4096, 9, **marks), capacity=1),
        mappers=[0b11, 1, 1, 1, 1],
    )


def test_sharing__numbers_copies_in_access_order():
    page, mapper = [0, 1, 1, 0, 0, 1], [1, 0, 1, 0, 1, 1]
    trace = vl.Trace(page, [1, 1, 0, 1, 0, 2], mapper=mapper, mappers=[0b111, 0b11])

    sharing = trace.sharing
    assert sharing is not None
    # 0 by 1 copies to 2; 1 by 0 copies to 3; 0 by 0 copies to 4; mapper 2 keeps 0, mapper 1 keeps 1.
    assert sharing.page.tolist() == [2, 3, 1, 4, 2, 1]
    assert sharing.copied_from.tolist() == [0, 1, -1, 0, -1, -1]
    assert sharing.mappers.tolist() == [0b111, 0b11, 0b10, 0b1, 0b1]
    assert sharing.root.tolist() == [0, 1, 0, 1, 0]
    assert UNMAP not in sharing.op


def test_mappers__default_to_those_that_access_a_page():
    trace = vl.Trace([0, 0, 1], mapper=[0, 2, 1], n_pages=3)

    assert trace.mappers is not None
    assert trace.mappers.tolist() == [0b101, 0b10, 1]
    assert vl.Trace([0, 1]).mappers is None


@pytest.mark.parametrize(
    ("mapper", "mappers", "words"),
    [
        ([8], None, "mapper 8 at index 0 is out of range 0..7"),
        ([0, 1], None, "mapper has 2 entries and page has 1"),
        ([1], [1], "access 0 to page 0 is by a mapper that is not in the page's mapper set 1"),
        ([0], [256], "mappers 256 at index 0 is out of range 0..255"),
        ([0], [1, 1], "mappers has 2 entries for 1 pages"),
    ],
)
def test_mappers__that_cannot_be_are_refused(mapper, mappers, words):
    with pytest.raises(vl.InputError, match=words):
        vl.Trace(np.array([0]), mapper=mapper, mappers=mappers)
