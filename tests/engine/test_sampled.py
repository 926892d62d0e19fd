"""Samples of a trace: which pages, which machine, how near, and how far off they say they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import vswaplab as vl
from vswaplab.engine.sampled import Sampled
from vswaplab.results.changes import below_dram_ns
from vswaplab.trace.sample import sample_groups


@pytest.fixture(scope="module")
def trace() -> vl.Trace:
    return vl.zipf(n_pages=1 << 13, n_accesses=50_000, alpha=0.7, seed=1)


def test_sample_groups__has_every_access_to_its_pages_in_order() -> None:
    page = np.array([5, 1, 5, 2, 9, 5, 1, 0, 3, 3])
    trace = vl.Trace(page, page % 2, n_pages=10, repeat_reads=page, content=np.arange(10))

    groups = sample_groups(trace, 1 / 2, 2)

    assert sum(len(group) for group in groups) == 10
    for group in groups:
        original = group.content[group.page]  # content was the page's number
        assert original.tolist() == [p for p in page if p in set(original)]
        assert group.op.tolist() == (original % 2).tolist()
        assert group.repeat_reads is None or group.repeat_reads.tolist() == original.tolist()


def test_sample_groups__groups_share_no_page_and_have_their_part(trace: vl.Trace) -> None:
    named = trace.like(content=np.arange(trace.n_pages) % len(trace.corpus))
    groups = sample_groups(named, 1 / 8, 4)

    assert sum(group.n_pages for group in groups) == pytest.approx(trace.n_pages / 2, rel=0.05)


def test_sample_groups__of_a_file_is_that_of_the_trace(trace: vl.Trace, tmp_path: Path) -> None:
    path = vl.save_trace(trace, tmp_path / "t.parquet")

    from_file = sample_groups(vl.open_trace(path, piece_accesses=1 << 16), 1 / 32, 2)

    assert [g.digest for g in from_file] == [g.digest for g in sample_groups(vl.load_trace(path), 1 / 32, 2)]


def test_sample_groups__moves_shifts_of_content_to_where_they_fall() -> None:
    base = vl.zipf(n_pages=4000, n_accesses=10_000, seed=1)
    rows = len(base.corpus) // 2
    trace = base.like(content=base.content % rows, content_shifts=[(5_000, rows)])

    for group in sample_groups(trace, 1 / 4, 4):
        ((at, by),) = group.content_shifts
        assert by == rows
        assert at == pytest.approx(len(group) / 2, rel=0.1)


def test_sample__has_as_many_groups_as_the_rate_says() -> None:
    trace = vl.scan(n_pages=20_000, n_accesses=20_000)
    for n in (1, 3, 49, 93, 99, 105, 117, 123, 186):
        assert vl.sample(trace, 1 / n, group=n - 1).n_pages == pytest.approx(trace.n_pages / n, rel=0.5)
        with pytest.raises(vl.InputError, match=f"group must be a whole number below 1 / rate .* got {n}"):
            vl.sample(trace, 1 / n, group=n)
    with pytest.raises(vl.InputError, match="got 2"):
        vl.sample(trace, 0.4, group=2)


def test_sample_groups__refuses_more_groups_than_there_are() -> None:
    with pytest.raises(vl.InputError, match="from 1 to 1 / rate"):
        sample_groups(vl.loop(n_pages=9, n_accesses=9), 1 / 2, 3)


def test_scaled__is_in_proportion_and_nothing_becomes_nothing() -> None:
    machine = vl.preset("cram-writable", 10_000)

    small = vl.scaled(machine, 0.01)

    assert small.cram is not None
    assert machine.cram is not None
    assert small.cram.media_bytes == pytest.approx(machine.cram.media_bytes / 100, rel=0.01)
    assert (small.cram.report_lag, small.cram.reaper_period, small.cram.writable_budget_pages) == (0, 200, 2)
    assert small.swapfiles[0].capacity_slots == 200
    assert small.costs == machine.costs


def test_scaled__leaves_as_many_pages_in_dram_on_average() -> None:
    dram = vl.scaled(vl.preset("four-tiers", 100_000), 0.01, least_step=0.04).dram

    assert dram.high == 16  # 4 % of 400: reclaim in larger steps than 0.4 pages
    assert dram.capacity_pages - dram.high_pages / 2 == pytest.approx(400, abs=1)


@pytest.mark.parametrize("name", ["four-tiers", "cram-writable", "zram-first"])
def test_scaled__by_1_is_the_machine(name: str) -> None:
    machine = vl.preset(name, 1_000)
    quick = machine if machine.cram is None else replace(machine, cram=replace(machine.cram, report_lag=30))

    assert vl.scaled(quick, 1) == quick
    stepped = vl.scaled(quick, 1.0, least_step=0.04)
    assert stepped.cram is None or stepped.cram.report_lag == 30


@pytest.mark.parametrize(
    ("period", "share", "cram_period", "zram_period"),
    [(10, 0.5, 0, 10), (100, 0.5, 0, 64), (1000, 0.5, 500, 500), (0, 0.5, 0, 0), (64, 0.999, 64, 64)],
)
def test_scaled__makes_no_period_longer(period: int, share: float, cram_period: int, zram_period: int) -> None:
    zram, cram = vl.preset("zram-first", 1_000), vl.preset("cram-tier", 1_000)
    assert zram.zram is not None
    assert cram.cram is not None
    zram = replace(zram, zram=replace(zram.zram, idle_period=period, recompressor=None))
    cram = replace(cram, cram=replace(cram.cram, report_lag=period))

    assert vl.scaled(zram, share).zram.idle_period == zram_period  # type: ignore[union-attr]
    assert vl.scaled(cram, share).cram.report_lag == cram_period  # type: ignore[union-attr]


def test_scaled__refuses_what_does_not_scale() -> None:
    kernel = vl.Machine(
        vl.Dram(5000), zswap=vl.Zswap(), swapfiles=[vl.Swapfile(9999)], layer="none", kernel=vl.Kernel()
    )

    with pytest.raises(vl.InputError, match="batches of 32 pages"):
        vl.scaled(kernel, 0.1)
    for share in (0, 1.5, True):
        with pytest.raises(vl.InputError, match="share must be a number above 0 and up to 1"):
            vl.scaled(vl.preset("swap-only", 100), share)


def test_sample__of_everything_is_the_trace(trace: vl.Trace) -> None:
    assert vl.sample(trace, 1).digest == trace.digest


def sampled_pages(rate: float, group: int) -> set[int]:
    # A corpus of as many contents as pages: content is the page's number.
    corpus = pl.DataFrame({"raw_size": np.full(4096, 64)})
    trace = vl.Trace(np.arange(4096), content=np.arange(4096), corpus=corpus)
    return set(vl.sample(trace, rate, group=group).content.tolist())


@pytest.mark.parametrize(("small", "large"), [(0.05, 0.2), (0.125, 0.25), (0.01, 0.3), (0.7, 0.9), (0.5, 1)])
def test_sample__smaller_one_of_group_0_is_a_part_of_a_larger_one(small: float, large: float) -> None:
    assert sampled_pages(small, 0) < sampled_pages(large, 0)


def test_sample__group_1_is_next_to_group_0_at_every_rate() -> None:
    assert not sampled_pages(0.125, 1) & sampled_pages(0.25, 1)
    assert sampled_pages(0.125, 0) | sampled_pages(0.125, 1) == sampled_pages(0.25, 0)


def test_sample__groups_make_up_the_whole_trace(trace: vl.Trace) -> None:
    groups = [vl.sample(trace, 0.25, group=group) for group in range(4)]

    assert sum(len(group) for group in groups) == len(trace)
    assert sum(group.n_pages for group in groups) == trace.n_pages


def test_sample__takes_the_reduction_of_a_recorder_along() -> None:
    assert vl.sample(vl.load_trace("sort"), 0.25).recorder_k == round(vl.load_trace("sort").recorder_k / 4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rate": 0}, "rate must be a number above 0 and up to 1"),
        ({"rate": "0.1"}, "rate must be"),
        ({"rate": 0.5, "group": 2}, "group must be a whole number below 1 / rate"),
        ({"rate": 1e-9}, "no access falls into a sample"),
        ({"rate": 1e-17}, r"rate must be at least 2\*\*-53 \(1.11e-16\), got 1e-17: raise the rate"),
        ({"rate": 5e-324}, r"rate must be at least 2\*\*-53"),
    ],
)
def test_sample__refuses(arguments: dict[str, float], words: str) -> None:
    with pytest.raises(vl.InputError, match=words):
        vl.sample(vl.loop(n_pages=9, n_accesses=9), **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["four-tiers", "zswap-only", pytest.param("cram-writable", marks=pytest.mark.slow)])
def test_sampled__is_near_and_says_how_near(name: str, trace: vl.Trace) -> None:
    machine = vl.preset(name, trace.n_pages)

    found = vl.Sampled(trace, 0.4).run(machine)

    exact = below_dram_ns(vl.simulate(trace, machine))
    off = abs(below_dram_ns(found.result) / exact - 1)
    assert off < max(0.05, 1.5 * found.stall_error)
    assert off < 0.15
    assert 0.3 < found.share < 0.5


def test_sampled__of_all_pages_has_every_access(trace: vl.Trace) -> None:
    # Groups that make up the trace, on machines that are as large together: only what lies at their borders differs.
    machine = vl.preset("swap-only", trace.n_pages)

    table = vl.Sampled(trace, 1, groups=2).run(machine).table

    exact = vl.simulate(trace, machine).totals["pswpin"]
    assert table.filter(pl.col("quantity") == "pswpin")["estimate"].item() == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize("groups", [2, 5])
def test_sampled__interval_is_as_wide_as_groups_differ(groups: int, trace: vl.Trace) -> None:
    sampled, machine = vl.Sampled(trace, 0.2, groups), vl.preset("swap-only", trace.n_pages)

    row = sampled.run(machine).table.filter(pl.col("quantity") == "pswpin").row(0, named=True)

    runs = [
        vl.simulate(each, vl.scaled(machine, share))
        for each, share in zip(sampled.samples, sampled.shares, strict=True)
    ]
    found = np.array([run.totals["pswpin"] for run in runs])
    mean = found.sum() / sum(sampled.shares)
    spread = np.sqrt(((found - mean * np.array(sampled.shares)) ** 2).sum() / (groups - 1) / groups)
    width = {2: 12.706, 5: 2.776}[groups] * spread * groups / sum(sampled.shares)
    assert row["estimate"] == pytest.approx(mean)
    assert row["high"] == pytest.approx(mean + width)
    assert row["error"] == pytest.approx(width / mean)


def test_sampled__counts_every_access_of_the_trace_once(trace: vl.Trace) -> None:
    totals = vl.Sampled(trace, 0.4).run(vl.preset("four-tiers", trace.n_pages)).result.totals
    exact = vl.simulate(trace, vl.preset("four-tiers", trace.n_pages)).totals

    for name in ("accesses", "reads", "writes", "frees"):
        assert totals[name] == exact[name]
    assert totals["dram_hit"] == pytest.approx(exact["dram_hit"], rel=0.02)


def test_sampled__ends_where_memory_runs_out() -> None:
    trace = vl.uniform(n_pages=4_000, n_accesses=40_000, seed=1)
    machine = vl.Machine(vl.Dram(500, low=0, high=8), swapfiles=[vl.Swapfile(1_000)])
    exact = vl.simulate(trace, machine).totals
    result = vl.Sampled(trace, 0.5).run(machine).result

    assert exact["oom"] == result.totals["oom"] == result.epochs["oom"].sum() == 1
    assert result.totals["accesses"] == pytest.approx(exact["accesses"], rel=0.15)
    assert result.epochs["stop"][-1] == result.totals["accesses"] == result.tiers["access"][-1]
    assert result.totals["first_touch"] == pytest.approx(exact["first_touch"], rel=0.15)


@pytest.mark.parametrize("name", ["balloon", "small-media", "four-tiers", "swap-only", "zram-first"])
def test_sampled__what_a_machine_does_by_itself_is_not_multiplied(name: str) -> None:
    trace = vl.zipf(n_pages=16_000, n_accesses=160_000, seed=1, alpha=0.7)
    machine = vl.preset(name, trace.n_pages)
    totals = vl.simulate(trace, machine).totals
    found = vl.Sampled(trace, 0.5).run(machine)
    told = dict(found.table.select("quantity", "estimate").rows())

    for counter in ("reclaim_runs", "flushes", "trims", "gate_closed_intervals"):
        assert told.get(counter, 0) == pytest.approx(totals[counter], rel=0.35, abs=4), counter
        assert found.result.totals[counter] == pytest.approx(told.get(counter, 0), abs=1)


def test_sampled__result_says_what_the_table_says(trace: vl.Trace) -> None:
    found = vl.Sampled(trace, 0.7).run(vl.preset("four-tiers", trace.n_pages))
    told = dict(found.table.select("quantity", "estimate").rows())

    for counter in ("pswpin", "zswpin", "first_touch", "cram_promote"):
        assert found.result.totals[counter] == pytest.approx(told[counter], abs=0.51)


def test_sampled__the_last_window_has_all_groups() -> None:
    machine = vl.Machine(vl.Dram(400, low=0, high=8), swapfiles=[vl.Swapfile(4_000)])
    for seed in range(8):
        trace = vl.uniform(n_pages=1_000, n_accesses=2_000, seed=seed)
        tiers = vl.Sampled(trace, 1.0).run(machine).result.tiers.filter(pl.col("tier") == "DRAM")
        assert tiers["pages"][-1] > 380


def test_sampled__a_group_that_nobody_accesses_counts_as_nothing() -> None:
    pages = np.random.default_rng(2).choice(4_000, 3, replace=False)
    trace = vl.Trace(np.tile(pages, 500), n_pages=4_000)
    found = vl.Sampled(trace, 1.0).run(vl.Machine(vl.Dram(4_000, high=1), swapfiles=[vl.Swapfile(9_000)]))
    assert found.result.totals["first_touch"] == 3
    assert found.table.filter(pl.col("quantity") == "first_touch")["estimate"].item() == pytest.approx(3, rel=0.01)


def test_sampled__error_shrinks_with_the_sample(trace: vl.Trace) -> None:
    machine = vl.preset("zswap-only", trace.n_pages)

    errors = [vl.Sampled(trace, rate).run(machine).stall_error for rate in (0.04, 0.4)]

    assert errors[1] < errors[0]


def test_sampled__does_not_take_a_handful_of_pages(trace: vl.Trace) -> None:
    few = vl.loop(n_pages=100, n_accesses=9_999)

    assert Sampled.of_accesses(few, 1_000) is None
    with pytest.raises(vl.InputError, match="fewer than 64 pages a group"):
        vl.Sampled(few, 0.5)
    with pytest.raises(vl.InputError, match="groups must be a whole number from 2 to 16"):
        vl.Sampled(trace, 0.5, groups=1)


def test_sampled__of_accesses_has_about_so_many(trace: vl.Trace) -> None:
    sampled = Sampled.of_accesses(trace, 20_000)

    assert sampled is not None
    assert sum(map(len, sampled.samples)) == pytest.approx(20_000, rel=0.2)


def test_scaled__a_node_of_one_page_has_no_marks() -> None:
    machine = vl.Machine(vl.Dram(1000), cram=vl.Cram(media_bytes=81_920, node_low=1, node_high=2))

    small = vl.scaled(machine, 0.01).cram

    assert small is not None
    assert (small.device_pages, small.node_low, small.node_high) == (1, 0, 0)


def test_sample__of_two_shifts_before_one_sampled_access_the_last_holds() -> None:
    table = {"region": [0] * 64 + [1] * 64, "lz4_4k": [1000] * 64 + [2000] * 64, "is_zero": [False] * 128}
    corpus = vl.Corpus(pl.DataFrame(table))
    content = np.arange(500) % 64
    shifts = [(1000, 64), (1001, 0)]
    trace = vl.Trace(np.arange(2000) % 500, n_pages=500, content=content, corpus=corpus, content_shifts=shifts)

    small = vl.sample(trace, 0.125)

    assert [rows for _, rows in small.content_shifts] == [0]
