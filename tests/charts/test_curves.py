"""Curves of one number against another: told apart three ways, with units and words."""

from __future__ import annotations

import re

import polars as pl
import pytest

import vswaplab as vl
from vswaplab.charts import bars_chart, curves_chart, intervals_chart
from vswaplab.charts.theme import chart_svg


def legend_symbols(svg: str) -> str:
    """Give what draws the symbols of a figure's legend."""
    return "".join(re.findall(r'role-legend-symbol".*?</g>', svg, re.DOTALL))


TABLE = pl.DataFrame({"pool": [0, 50, 0, 50], "ms": [9.0, 4.0, 7.0, 8.0], "program": ["b", "b", "a", "a"]})
X, Y, LINE = ("pool", "Pool (% of RAM)"), ("ms", "Time below DRAM (ms)"), ("program", "Program")


def test_curves_chart__tells_curves_apart_by_colour_dash_and_shape_in_the_tables_order() -> None:
    spec = curves_chart(TABLE, X, Y, LINE, title="A pool helps b").to_dict()

    for layer, second in zip(spec["layer"], ("strokeDash", "shape"), strict=True):
        for channel in ("color", second):
            assert layer["encoding"][channel]["scale"]["domain"] == ["b", "a"]
            assert len({str(look) for look in layer["encoding"][channel]["scale"]["range"]}) == 2
    assert spec["layer"][0]["encoding"]["x"]["title"] == "Pool (% of RAM)"


def test_curves_chart__legend_shows_lines_as_they_are_dashed_and_no_points() -> None:
    svg = chart_svg(curves_chart(TABLE, X, Y, LINE, title="A pool helps b"))

    pieces = re.findall(r'd="([^"]*)"[^>]*stroke="([^"]*)"[^>]*stroke-dasharray="([^"]*)"', legend_symbols(svg))
    assert [dash for _, _, dash in pieces] == ["1,0", "8,4"]
    assert {path for path, _, _ in pieces} == {"M-15,0L15,0"}  # a whole piece of each pattern
    assert svg.count("role-legend-entry") == 1


def test_curves_chart__alt_text_tells_the_ends_of_every_curve() -> None:
    chart = curves_chart(TABLE, X, Y, LINE, title="A pool helps b").to_dict()
    one = curves_chart(TABLE[:2], X, Y, title="A pool helps b", reference=(5.0, "half")).to_dict()

    assert chart["description"] == (
        "Curves of Time below DRAM (ms) against Pool (% of RAM): b, 9 at 0 to 4 at 50; a, 7 at 0 to 8 at 50."
    )
    assert one["description"].endswith(": 9 at 0 to 4 at 50.")


def test_curves_chart__begins_at_0_unless_told_otherwise() -> None:
    for from_zero, scales in ((True, [None]), (False, [False])):
        spec = curves_chart(TABLE, X, Y, title="A pool", reference=(5.0, "half"), from_zero=from_zero).to_dict()
        found = [layer["encoding"]["y"].get("scale", {}).get("zero") for layer in spec["layer"]]
        assert found == 4 * scales


def test_curves_chart__takes_the_colours_of_tiers_and_refuses_what_it_cannot_draw() -> None:
    spec = curves_chart(TABLE, X, Y, LINE, title="A pool helps b", colours={"a": "#E69F00"}).to_dict()
    many = pl.DataFrame({"pool": range(9), "ms": range(9), "program": [str(n) for n in range(9)]})

    assert spec["layer"][0]["encoding"]["color"]["scale"]["range"][1] == "#E69F00"
    with pytest.raises(vl.InputError, match="9 curves or bars are too many to tell apart: show at most 7"):
        curves_chart(many, X, Y, LINE, title="Too many")
    with pytest.raises(vl.InputError, match="no column 'size': it needs size, ms; it has pool, ms, program"):
        curves_chart(TABLE, ("size", "Size"), Y, title="Nothing")


def test_bars_chart__writes_values_at_the_ends_if_asked_so_that_a_zero_is_seen() -> None:
    plain, written = (bars_chart(TABLE, Y, LINE, X, title="A pool", values=form).to_dict() for form in (None, ",.0f"))
    bars, ends = written["layer"]

    assert "layer" not in plain
    assert {axis: bars["encoding"][axis] for axis in ("x", "y", "yOffset")} == {
        axis: ends["encoding"][axis] for axis in ("x", "y", "yOffset")
    }
    assert (ends["mark"]["type"], ends["encoding"]["text"]["format"]) == ("text", ",.0f")


def test_bars_chart__keeps_the_tables_order_and_tells_every_bar() -> None:
    spec = bars_chart(TABLE, Y, LINE, X, title="A pool helps b", colours={0: "#D55E00"}).to_dict()

    assert spec["description"] == "Bars of Time below DRAM (ms): b, 0 9, 50 4; a, 0 7, 50 8."
    assert spec["encoding"]["y"]["sort"] == ["b", "a"]
    assert spec["encoding"]["color"]["scale"]["range"][0] == "#D55E00"
    assert spec["encoding"]["x"]["title"] == "Time below DRAM (ms)"


def test_intervals_chart__shows_and_tells_each_number_with_its_interval() -> None:
    table = pl.DataFrame({"machine": ["b", "a"], "hours": [2.0, 1000.0], "low": [1.5, 990.0], "high": [2.5, 1010.0]})

    spec = intervals_chart(table, ("hours", "Wait (hours)"), "machine", title="A waits longer").to_dict()

    assert spec["description"] == "Wait (hours), with 95 % intervals: b 2 \u00b1 25.0 %; a 1e+03 \u00b1 1.0 %."
    assert spec["layer"][0]["encoding"]["y"]["sort"] == ["b", "a"]
    assert (spec["layer"][0]["encoding"]["x"]["field"], spec["layer"][0]["encoding"]["x2"]["field"]) == ("low", "high")
    with pytest.raises(vl.InputError, match="no column 'high'"):
        intervals_chart(table.drop("high"), ("hours", "Wait (hours)"), "machine", title="Nothing")
