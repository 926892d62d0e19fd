"""Numbers that a reader can follow: eight pages by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from vswaplab.images.summary import codec_table, neighbour_correlation, profile_table, run_table, shares, size_table
from vswaplab.machine.profiles import find_profile
from vswaplab.trace.corpus import Corpus


def corpus(sizes, *, page=None, zero=()):
    n = len(sizes)
    return Corpus(
        pl.DataFrame(
            {
                "page": np.arange(n) if page is None else page,
                "region": np.zeros(n, np.int64),
                "is_zero": np.isin(np.arange(n), zero),
                "lz4_4k": sizes,
            }
        )
    )


def test_codec_table__total_ratio_is_no_mean_of_page_ratios():
    row = codec_table(corpus([1024, 4096])).row(0, named=True)

    assert row["total_ratio"] == 8192 / 5120 == 1.6  # pages' own are 4 and 1: mean 2.5, median 1
    assert (row["page_ratio_p5"], row["page_ratio_p50"], row["page_ratio_p95"]) == (1, 1, 4)
    assert row["incompressible"] == 0.5


def test_codec_table__tells_zero_pages_apart():
    row = codec_table(corpus([26, 2048, 2048], zero=[0])).row(0, named=True)

    assert row["total_ratio"] == 3 * 4096 / 4122
    assert row["total_ratio_not_zero"] == 2
    assert shares(corpus([26, 2048, 2048], zero=[0])) == {"zero": 1 / 3}


def test_run_table__counts_runs_and_breaks_them_at_a_gap():
    # under a quarter: 1 1 | 1 (page 4 is missing), then not at all: 2
    table = run_table(corpus([1000, 1000, 1024, 4096, 4096], page=[2, 3, 5, 6, 7]), "lz4_4k")

    quarter, raw = table.to_dicts()
    assert (quarter["runs"], quarter["mean_run"], quarter["longest_run"]) == (2, 1.5, 2)
    assert (raw["runs"], raw["mean_run"]) == (1, 2)
    assert quarter["shuffled_run"] == pytest.approx(1 / (1 - 0.6))


def test_run_table__shuffled_run_is_what_shuffling_gives():
    rng = np.random.default_rng(1)
    sizes = rng.permutation(np.repeat([900, 3000], [30_000, 10_000]))

    for row in run_table(corpus(sizes), "lz4_4k").to_dicts():
        assert row["mean_run"] == pytest.approx(row["shuffled_run"], rel=0.02)


def test_neighbour_correlation__is_one_for_slopes_and_none_without_neighbours():
    assert neighbour_correlation(corpus([512, 1024, 2048, 4096]), "lz4_4k") == pytest.approx(1)
    assert neighbour_correlation(corpus([512, 4096, 512, 4096]), "lz4_4k") == pytest.approx(-1)
    assert neighbour_correlation(corpus([512, 4096, 512], page=[0, 2, 4]), "lz4_4k") is None


def test_profile_table__counts_rounding_and_metadata():
    device = find_profile("ocp-spec", "cram")  # 64-byte steps, 16 bytes of metadata: 1000 becomes 1040
    table = profile_table(corpus([1000, 1000, 26], zero=[2]))
    held = dict(zip(table["profile"], table["held_ratio"], strict=True))

    assert device.stored_bytes(np.array([1000]))[0] == 1040
    assert held["ocp-spec"] == pytest.approx(4096 / 1040)
    assert held["lz4"] == 4  # zsmalloc: with its handle 1,008 bytes, in the class of 1,024
    assert held["zstd"] is None  # the corpus lacks its column
    assert held["none"] == 1


def test_size_table__is_a_distribution():
    table = size_table(corpus([64, 1000, 4096]), ["lz4_4k"])

    assert table.filter(pl.col("size") == 64)["share"].item() == pytest.approx(1 / 3)
    assert table["share"].is_sorted()
    assert table["share"][-1] == 1
