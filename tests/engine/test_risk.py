"""Risk over seeds: what the runs say, and the interval that so many allow."""

from __future__ import annotations

import polars as pl
import pytest

import vswaplab as vl


def machine(**settings: object) -> vl.Machine:
    cram = vl.Cram(media_bytes=60 * 2048, advertised_bytes=60 * 4096, **settings)
    return vl.Machine(vl.Dram(100), cram, swapfiles=[vl.Swapfile(1000)])


def trace() -> vl.Trace:
    calm = vl.zipf(n_pages=300, n_accesses=8_000, write_share=0.5, redraw_probability=0.5, seed=1)
    return vl.collapse(calm, at=4_000, factor=3.0)


def test_risk__is_one_row_a_seed_and_equals_single_runs():
    runs = vl.risk(trace(), machine(writable_budget_pages=40, close_at=1.0), seeds=[3, 5])
    alone = vl.simulate(trace(), machine(writable_budget_pages=40, close_at=1.0), seed=5)

    assert runs["seed"].to_list() == [3, 5]
    assert runs["poison"][1] == alone.totals["poison"]
    stored = alone.tiers.filter(tier="CRAM")["media_bytes"]
    assert runs["min_headroom_bytes"][1] == 60 * 2048 - stored.max()


@pytest.mark.slow  # seconds
def test_risk__budget_and_collapse_poison_and_no_budget_does_not():
    dial = [
        vl.poison_probability(vl.risk(trace(), machine(writable_budget_pages=n, close_at=1.0), seeds=20)).row(0)
        for n in (0, 60)
    ]

    assert dial[0][1] == 0 < dial[1][1]


@pytest.mark.slow  # seconds
def test_risk__a_budget_of_the_device_never_poisons():
    owned = machine(writable_budget_pages=60, budget_owner="device", close_at=1.0, report_lag=100)

    assert vl.risk(trace(), owned, seeds=20)["poison"].sum() == 0


def test_poison_probability__without_runs_says_nothing():
    estimate = vl.poison_probability(pl.DataFrame({"poison": []}, schema={"poison": pl.Int64})).row(0, named=True)

    assert (estimate["low"], estimate["high"]) == (0.0, 1.0)


def test_risk__refuses_a_machine_without_cram_and_no_seeds():
    with pytest.raises(vl.InputError, match="needs a machine with CRAM"):
        vl.risk(trace(), vl.Machine(vl.Dram(10)))
    with pytest.raises(vl.InputError, match="1 to 1,000,000 seeds"):
        vl.risk(trace(), machine(), seeds=0)


def test_risk__counts_as_over_the_mark_what_the_engine_takes_for_it():
    # 0.29 of 3,200 bytes are 928, which the product of two floats falls short of: four pages of 224 are not above.
    corpus = vl.Corpus(pl.DataFrame({"lz4_4k": [448], "is_zero": [False]}))
    marks = {"writeback_high": 0.29, "writeback_low": 0.145, "close_at": 1.0, "open_at": 1.0}
    cram = vl.Cram(media_bytes=3200, advertised_bytes=4096 * 40, **marks)
    trace = vl.Trace([0, 1, 2, 3] + [3] * 5, n_pages=4, corpus=corpus)
    result = vl.simulate(trace, vl.Machine(vl.Dram(2, high=1), cram=cram, swapfiles=[vl.Swapfile(10)]))

    runs = vl.risk(trace, vl.Machine(vl.Dram(2, high=1), cram=cram, swapfiles=[vl.Swapfile(10)]), seeds=1)

    assert cram.bytes_of(0.29) == 928 == max(result.tiers.filter(tier="CRAM")["media_bytes"])
    assert runs["share_over_high"].to_list() == [0.0]
