"""The figure of what pages hold: from tables alone."""

from __future__ import annotations

import polars as pl
import pytest

import vswaplab as vl
from vswaplab.charts import contents_chart
from vswaplab.charts.theme import chart_svg

SIZES = pl.DataFrame({"codec": ["LZ4"] * 3, "size": [0, 2048, 4096], "share": [0.0, 0.4, 1.0]})
HELD = pl.DataFrame(
    {
        "profile": ["ocp-spec", "lz4", "zstd"],
        "kind": ["cram", "compressor", "compressor"],
        "held_ratio": [1.5, 1.7, None],
        "advertised_ratio": [2.0, None, None],
    }
)
RUNS = pl.DataFrame({"class": ["zero"], "mean_run": [3.0], "shuffled_run": [1.1]})


def test_contents_chart__draws_three_panels_and_leaves_out_what_was_not_measured():
    svg = chart_svg(contents_chart(SIZES, HELD, RUNS, title="What the pages hold", note="3 pages"))

    assert "What the pages hold" in svg
    assert "ocp-spec" in svg
    assert ">zstd<" not in svg
    assert "How far like pages lie together" in svg


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ((HELD, HELD, RUNS), "the table of sizes has no column 'codec'"),
        ((SIZES, SIZES, RUNS), "the table of profiles has no column 'profile'"),
        ((SIZES, HELD, SIZES), "the table of runs has no column 'class'"),
        ((SIZES, HELD, None), "the table of runs must be a polars.DataFrame"),
        ((SIZES, HELD.with_columns(kind=pl.lit("disk")), RUNS), "kind of a profile must be one of cram, .* got 'disk'"),
    ],
)
def test_contents_chart__names_a_wrong_table(tables, says):
    with pytest.raises(vl.InputError, match=says):
        contents_chart(*tables, title="t")


def test_contents_chart__without_neighbours_has_two():
    spec = contents_chart(SIZES, HELD, RUNS.clear(), title="t").to_dict()

    assert len(spec["vconcat"]) == 2
