"""The small algorithms under the vectorised engine, each against the obvious way."""

from __future__ import annotations

import numpy as np
import pytest

import vswaplab as vl
from vswaplab.engine.vectorised import ahead


@pytest.mark.parametrize("small", [0, 512], ids=["merge sort", "all pairs"])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 300])
def test_count_smaller_before__equals_counting_one_by_one(n, small, monkeypatch):
    monkeypatch.setattr(ahead, "_SMALL", small)
    values = 3 * np.random.default_rng(n).permutation(n)
    expected = [int((values[:i] < values[i]).sum()) for i in range(n)]
    assert ahead.count_smaller_before(values).tolist() == expected


def test_count_smaller_before__ascending_numbers():
    assert ahead.count_smaller_before(np.array([2, 5, 9])).tolist() == [0, 1, 2]


def test_by_first_touch__numbers_pages_in_the_order_of_their_first_touch():
    trace = vl.Trace(page=[4, 1, 4, 0, 1], n_pages=6)
    page, original = trace.by_first_touch
    assert page.tolist() == [0, 1, 0, 2, 1]
    assert original.tolist() == [4, 1, 0, 2, 3, 5]
    assert original[page].tolist() == trace.page.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_textbook_lru_ahead__beside_a_tier_whose_pages_stay_charged(seed):
    # Under memory.max a tier's pages take of the capacity that residents have: fewer pages fit.
    rng = np.random.default_rng(seed)
    trace = vl.Trace(rng.integers(0, 250, 3_000), np.zeros(3_000, int), n_pages=250)
    cram = vl.Cram(1 << 17, advertised_bytes=1 << 17, mode="tier", close_at=0.25, open_at=0.2, report_lag=400)
    machine = vl.Machine(vl.Dram(90, low=0, high=1), cram, swapfiles=[vl.Swapfile(2_000)])
    fast, slow = (vl.simulate(trace, machine, engine=engine) for engine in ("vectorised", "reference"))
    assert fast.totals["cram_in"] > 0
    assert fast.totals["cram_refused_gate"] > 0
    assert fast.totals == slow.totals
