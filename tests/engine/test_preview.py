"""Samples of a trace: which pages, which machine, how near, and how far off they say they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vswaplab as vl
from vswaplab.engine.preview import Preview
from vswaplab.machine.scale import scaled
from vswaplab.results.changes import below_dram_ns
from vswaplab.trace.sample import sample_pages


@pytest.fixture(scope="module")
def trace() -> vl.Trace:
    return vl.zipf(n_pages=1 << 14, n_accesses=100_000, alpha=0.7, seed=1)


def test_sample_pages__has_every_access_to_its_pages_in_order() -> None:
    page = np.array([5, 1, 5, 2, 9, 5, 1, 0, 3, 3])
    trace = vl.Trace(page, page % 2, n_pages=10, repeat_reads=page, content=np.arange(10))

    groups = sample_pages(trace, 2, 2)

    assert sum(len(group) for group in groups) == 10
    for group in groups:
        original = group.content[group.page]  # content was the page's number
        assert original.tolist() == [p for p in page if p in set(original)]
        assert group.op.tolist() == (original % 2).tolist()
        assert group.repeat_reads is None or group.repeat_reads.tolist() == original.tolist()


def test_sample_pages__groups_share_no_page_and_have_their_part(trace: vl.Trace) -> None:
    named = trace.like(content=np.arange(trace.n_pages) % len(trace.corpus))
    groups = sample_pages(named, 8, 4)

    assert sum(group.n_pages for group in groups) == pytest.approx(trace.n_pages / 2, rel=0.05)


def test_sample_pages__of_a_file_is_that_of_the_trace(trace: vl.Trace, tmp_path: Path) -> None:
    path = vl.save_trace(trace, tmp_path / "t.parquet")

    from_file = sample_pages(vl.open_trace(path, piece_accesses=1 << 16), 32, 2)

    assert [g.digest for g in from_file] == [g.digest for g in sample_pages(vl.load_trace(path), 32, 2)]


def test_sample_pages__moves_shifts_of_content_to_where_they_fall() -> None:
    base = vl.zipf(n_pages=4000, n_accesses=10_000, seed=1)
    rows = len(base.corpus) // 2
    trace = base.like(content=base.content % rows, content_shifts=[(5_000, rows)])

    for group in sample_pages(trace, 4, 4):
        ((at, by),) = group.content_shifts
        assert by == rows
        assert at == pytest.approx(len(group) / 2, rel=0.1)


def test_sample_pages__refuses_more_groups_than_there_are() -> None:
    with pytest.raises(vl.InputError, match="from 1 to one_in"):
        sample_pages(vl.loop(n_pages=9, n_accesses=9), 2, 3)


def test_scaled__is_in_proportion_and_nothing_becomes_nothing() -> None:
    machine = vl.preset("cram-writable", 10_000)

    small = scaled(machine, 0.01)

    assert small.cram is not None
    assert machine.cram is not None
    assert small.cram.media_bytes == pytest.approx(machine.cram.media_bytes / 100, rel=0.01)
    assert (small.cram.report_lag, small.cram.reaper_period, small.cram.writable_budget_pages) == (0, 200, 2)
    assert small.swapfiles[0].capacity_slots == 200
    assert small.costs == machine.costs


def test_scaled__leaves_as_many_pages_in_dram_on_average() -> None:
    dram = scaled(vl.preset("four-tiers", 100_000), 0.01).dram

    assert dram.high == 16  # 4 % of 400: reclaim in larger steps than 0.4 pages
    assert dram.capacity_pages - dram.high_pages / 2 == pytest.approx(400, abs=1)


@pytest.mark.parametrize("name", ["four-tiers", "zswap-only", "cram-writable"])
def test_preview__is_near_and_says_how_near(name: str, trace: vl.Trace) -> None:
    machine = vl.preset(name, trace.n_pages)
    preview = Preview(trace, 40_000)

    found = preview.run(machine)

    exact = below_dram_ns(vl.simulate(trace, machine))
    off = abs(below_dram_ns(found.result) / exact - 1)
    assert off < max(0.05, 1.5 * found.stall_error)
    assert off < 0.15
    assert 0.3 < found.share < 0.5


def test_preview__counts_every_access_of_the_trace_once(trace: vl.Trace) -> None:
    totals = Preview(trace, 40_000).run(vl.preset("four-tiers", trace.n_pages)).result.totals
    exact = vl.simulate(trace, vl.preset("four-tiers", trace.n_pages)).totals

    for name in ("accesses", "reads", "writes", "frees"):
        assert totals[name] == exact[name]
    assert totals["dram_hit"] == pytest.approx(exact["dram_hit"], rel=0.02)


def test_preview__error_shrinks_with_the_sample(trace: vl.Trace) -> None:
    machine = vl.preset("zswap-only", trace.n_pages)

    errors = [Preview(trace, n).run(machine).stall_error for n in (6_000, 60_000)]

    assert errors[1] < errors[0]


def test_preview__stands_for_neither_a_kernel_nor_a_handful_of_pages(trace: vl.Trace) -> None:
    kernel = vl.Machine(
        vl.Dram(5000), zswap=vl.Zswap(), swapfiles=[vl.Swapfile(9999)], layer="none", kernel=vl.Kernel()
    )

    assert not Preview(trace, 40_000).can(kernel)
    assert not Preview(vl.loop(n_pages=100, n_accesses=9_999), 1_000).can(vl.preset("swap-only", 100))
