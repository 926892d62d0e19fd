"""What a change did, in words."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

import vswaplab as vl
from vswaplab.results.changes import below_dram_ns, change_words, ending_words, gate_share


@pytest.fixture(scope="module")
def trace() -> vl.Trace:
    return vl.zipf(n_pages=2000, n_accesses=10_000, seed=1)


@pytest.fixture(scope="module")
def run(trace: vl.Trace) -> vl.Result:
    return vl.simulate(trace, vl.preset("four-tiers", 2000), epoch_accesses=500)


def with_totals(run: vl.Result, **totals: int) -> vl.Result:
    # All of a counter falls into the first window.
    in_windows = {name: n for name, n in totals.items() if name in run.epochs.columns}
    first = pl.col("epoch") == 0
    epochs = run.epochs.with_columns(pl.when(first).then(n).otherwise(0).alias(name) for name, n in in_windows.items())
    return replace(run, totals=run.totals | totals, epochs=epochs)


def test_change_words__nothing_changes(run: vl.Result) -> None:
    assert change_words(run, run) == "nothing changes"


def test_change_words__largest_factor_first_and_time_last(run: vl.Result) -> None:
    before = with_totals(run, zswpout=100, pswpin_swapfile=1000, zswpin=500, stall_ns=run.totals["stall_ns"] // 2)
    after = with_totals(run, zswpout=210, pswpin_swapfile=0, zswpin=505)

    words = change_words(before, after).split(", ")

    assert words[:2] == ["0 instead of 1,000 swapfile reads", "2.1 times as many zswap stores"]
    assert "zswap loads" not in str(words)  # 1 %
    assert words[-2].startswith("the program waits ")
    assert words[-1].endswith("(+100 %)")


def test_change_words__zram_reads_are_no_swapfile_reads(trace: vl.Trace) -> None:
    first, only = (vl.simulate(trace, vl.preset(name, 2000)) for name in ("zram-only", "swap-only"))
    reads, stores = only.totals["pswpin"], first.totals["pswpout"]

    words = change_words(first, only)

    assert f"{reads:,} instead of 0 swapfile reads" in words
    assert f"0 instead of {stores:,} zram stores" in words


def test_change_words__a_handful_of_events_is_no_news(run: vl.Result) -> None:
    assert "zswap writeback" not in change_words(with_totals(run, zswpwb=1), with_totals(run, zswpwb=9))


def test_change_words__lost_memory_comes_before_everything(run: vl.Result) -> None:
    words = change_words(with_totals(run, poison=0), with_totals(run, poison=3, zswpout=9999))

    assert words.startswith("memory lost by 3 writes instead of 0 (poison), ")


def test_change_words__runs_that_end_elsewhere_are_not_counted_against_each_other(run: vl.Result) -> None:
    shorter = with_totals(run, oom=1, accesses=4_000, pswpin=0)

    assert change_words(run, shorter) == "memory runs out, 4,000 accesses are served instead of 10,000"
    assert ending_words(shorter) == "Memory ran out after 4,000 of 10,000 accesses: the numbers end there."
    assert ending_words(run) == ""


def test_gate_share__counts_windows_in_which_the_gate_turned_pages_away(trace: vl.Trace, run: vl.Result) -> None:
    small = vl.simulate(trace, vl.preset("small-media", 2000), epoch_accesses=500)
    closed = sum(n > 0 for n in small.epochs["cram_refused_gate"])

    assert gate_share(small) == closed / 20 > 0
    assert (
        f"turned pages away in {100 * closed / 20:.0f} % of the run instead of {100 * gate_share(run):.0f} %"
        in change_words(run, small)
    )


def test_below_dram_ns__is_the_stall_of_the_other_tiers(run: vl.Result) -> None:
    tiers = ("zero", "cram", "zswap", "zram", "swapfile")

    assert below_dram_ns(run) == sum(int(run.epochs[f"stall_{tier}_ns"].sum()) for tier in tiers)
