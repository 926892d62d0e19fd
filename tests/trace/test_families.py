"""Makers of traces with several processes."""

from __future__ import annotations

import numpy as np
import pytest

import vswaplab as vl

MACHINE = vl.Machine(
    vl.Dram(300), vl.Cram(media_bytes=400_000, advertised_bytes=1_228_800), vl.Zswap(), [vl.Swapfile(4000)]
)


@pytest.mark.parametrize(
    "trace",
    [vl.fork(n_pages=1000, n_accesses=12_000, seed=2), vl.prefork(n_pages=1000, n_accesses=12_000, seed=2)],
    ids=lambda t: t.name,
)
def test_families__share_pages_copy_on_write_and_leave_cram_pages_in_several_states(trace):
    fast, slow = (vl.simulate(trace, MACHINE, engine=engine) for engine in ("vectorised", "reference"))

    assert fast.totals == slow.totals
    assert fast.tiers.equals(slow.tiers)
    assert 0 < fast.totals["copy_on_write"] < fast.totals["writes"]
    assert fast.totals["minor_fault"] > 0
    assert fast.tiers["multi_state_pages"].max() > 0
    assert fast.totals["cram_writeback_multi_state"] > 0


def test_fork__starts_with_all_pages_shared_and_reads_them_first():
    trace = vl.fork(n_pages=50, n_accesses=500, n_children=2)

    assert trace.mappers is not None
    assert trace.mapper is not None
    assert (trace.mappers == 0b111).all()
    assert trace.page[:50].tolist() == list(range(50))
    assert not trace.op[:50].any()
    assert set(trace.mapper[50:].tolist()) == {0, 1, 2}


def test_prefork__a_workers_pages_are_its_own():
    trace = vl.prefork(n_pages=100, n_accesses=3000, n_workers=3, private_share=0.3)

    assert trace.mappers is not None
    assert trace.mapper is not None
    n_mappers = np.bitwise_count(trace.mappers)
    assert (n_mappers == 4).sum() == 70
    assert [(trace.mappers == 2 << w).sum() for w in range(3)] == [10, 10, 10]
    writes = trace.op == 1
    assert (n_mappers[trace.page[writes]] == 1).mean() > 0.8


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: vl.fork(n_pages=10, n_accesses=10), "n_accesses 10 must exceed 10"),
        (lambda: vl.fork(n_pages=10, n_accesses=20, n_children=8), "n_children must be a whole number from 1 to 7"),
        (lambda: vl.prefork(n_pages=10, n_accesses=20, private_share=1.0), "private_share must lie between"),
        (lambda: vl.prefork(n_pages=10, n_accesses=20), "a private page a worker"),
    ],
)
def test_families__that_cannot_be_are_refused(make, words):
    with pytest.raises(vl.InputError, match=words):
        make()


def test_families__survive_a_file(tmp_path):
    trace = vl.prefork(n_pages=100, n_accesses=300, n_workers=3)

    again = vl.load_trace(vl.save_trace(trace, tmp_path / "prefork.parquet"))

    for name in ("page", "op", "mapper", "mappers"):
        np.testing.assert_array_equal(getattr(again, name), getattr(trace, name))
