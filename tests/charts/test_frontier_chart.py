"""The frontier: dollars across, stall up, risk by colour and shape, the next dollar beside it."""

from __future__ import annotations

import re

import polars as pl
import pytest

import vswaplab as vl
from vswaplab.charts import TIER_COLOURS, frontier_chart, save_chart
from vswaplab.charts.theme import chart_svg

TABLE = pl.DataFrame(
    {
        "usd_per_gib": [10.0, 20.0, 30.0, 25.0],
        "stall_percent": [8.0, 9.0, 1.0, None],
        "risk": ["cannot lose data", "lost none", "lost data", None],
        "runs": [1, 100, 100, None],
        "poisoned": [0, 0, 7, None],
        "poison_high": [0.0, 0.037, 0.14, None],
        "label": ["A", None, None, None],
    }
)
STEPS = pl.DataFrame(
    {"machine": ["A"] * 3, "tier": ["DRAM", "CRAM", "swapfile"], "points_per_usd_per_gib": [0.4, 0.6, None]}
)


def test_frontier_chart__axes_are_dollars_and_stall_with_units() -> None:
    spec = frontier_chart(TABLE, below={"stall_percent": 2}, all_dram=32.0, cram_mode="swap").to_dict()

    line = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "line")
    assert line["encoding"]["x"]["title"].startswith("Cost of memory and swap ($ per GiB")
    assert line["encoding"]["y"]["title"] == "Time below DRAM (% of memory-access time)"
    assert line["mark"]["interpolate"] == "step-after"  # between two machines nothing is known to be better
    assert spec["title"]["text"] == "From $10.00 to $30.00 a GiB, time below DRAM falls from 8 to 1 %"
    assert [layer["mark"]["type"] for layer in spec["layer"]].count("rule") == 2


def test_frontier_chart__legend_says_a_bound_and_never_a_chance_of_nothing() -> None:
    spec = frontier_chart(TABLE).to_dict()

    points = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "point")
    assert points["encoding"]["shape"]["scale"]["domain"] == [
        "cannot lose data (by rule)",
        "lost none in 100 runs: at most 3.7 % of runs",
        "lost data in some runs",
    ]
    assert len(set(points["encoding"]["shape"]["scale"]["range"])) == 3
    assert len(set(points["encoding"]["color"]["scale"]["range"])) == 3


def test_frontier_chart__a_machine_at_risk_is_as_large_as_those_of_the_front() -> None:
    spec = frontier_chart(TABLE).to_dict()

    points = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "point")
    drawn = spec["datasets"][points["data"]["name"]]
    assert [(row["usd_per_gib"], row["is_bold"]) for row in drawn] == [(10, True), (20, True), (30, True)]
    assert [row["is_on_front"] for row in drawn] == [True, False, True]
    assert points["encoding"]["size"]["condition"]["test"] == "datum.is_bold"


def test_frontier_chart__second_panel_has_the_tiers_colours() -> None:
    spec = frontier_chart(TABLE, STEPS).to_dict()

    colour = spec["hconcat"][1]["layer"][0]["encoding"]["color"]["scale"]
    assert dict(zip(colour["domain"], colour["range"], strict=True)) == {
        tier: TIER_COLOURS[tier] for tier in ("DRAM", "CRAM", "swapfile")
    }
    assert spec["description"].endswith("saves: A, DRAM 0.4; A, CRAM 0.6.")
    assert "$10.00 and 8 %; $30.00 and 1 %" in spec["description"]


@pytest.mark.parametrize("saved", [(0.12, -0.012), (0.031, -0.009), (0.4, 0.6)])
def test_frontier_chart__second_panel_marks_the_zero_from_which_bars_go_both_ways(saved: tuple[float, float]) -> None:
    steps = STEPS.with_columns(points_per_usd_per_gib=pl.Series([*saved, None]))
    panel = frontier_chart(TABLE, steps).hconcat[1]

    labels = re.findall(r'opacity="1">(\u2212?[\d.]+)</text>', chart_svg(panel))
    assert "0" in labels
    assert 3 <= len(labels) <= 7
    assert [layer["mark"]["type"] for layer in panel.to_dict()["layer"]] == ["bar", "rule"]


def test_frontier_chart__front_is_that_of_the_stall_it_shows() -> None:
    table = TABLE.with_columns(stall_cached_percent=pl.Series([8.0, 2.0, 1.0, None]))

    descriptions = [
        frontier_chart(table, stall=f"stall{middle}_percent").to_dict()["description"] for middle in ("", "_cached")
    ]

    assert "nothing beats: $10.00 and 8 %; $30.00 and 1 %." in descriptions[0]
    assert "nothing beats: $10.00 and 8 %; $20.00 and 2 %; $30.00 and 1 %." in descriptions[1]


@pytest.mark.slow
def test_frontier_chart__draws(tmp_path: object) -> None:
    path = save_chart(frontier_chart(TABLE, STEPS, below={"stall_percent": 2}), f"{tmp_path}/frontier.svg")

    assert "DRAM falls" in path.read_text()


def test_frontier_chart__refuses_what_it_cannot_draw() -> None:
    with pytest.raises(vl.InputError, match="no column 'risk': it needs usd_per_gib"):
        frontier_chart(TABLE.drop("risk"))
    with pytest.raises(vl.InputError, match="no machine of the table has numbers: see its column reason"):
        frontier_chart(TABLE[3:])
    with pytest.raises(vl.InputError, match="no column 'tier'"):
        frontier_chart(TABLE, STEPS.drop("tier"))
