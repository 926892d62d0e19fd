"""Designs: which points, in which order, from which seed."""

from __future__ import annotations

import math
from collections.abc import Callable

import polars as pl
import pytest

import vswaplab as vl

DRAM = "dram.capacity_pages"


def test_grid__last_setting_varies_fastest_and_sizes_are_numbers() -> None:
    design = vl.grid({DRAM: ["1MiB", 512], "layer": ["none", "vswap"]})

    assert design.points == ((256, "none"), (256, "vswap"), (512, "none"), (512, "vswap"))
    assert design.settings(1) == ["dram.capacity_pages=256", "layer=vswap"]


@pytest.mark.parametrize("name", ["tiers", "tiers.fast", "tiers_max.fast"])
def test_grid__says_where_tiers_are_set(name: str) -> None:
    with pytest.raises(vl.InputError, match=rf"^'{name}' is no setting of a sweep: a machine's .toml file sets tiers"):
        vl.grid({name: [[1, 9]]})


def test_grid__versions_are_texts() -> None:
    design = vl.grid({"kernel.version": ["6.12", 7.3]})

    assert design.points == (("6.12",), ("7.3",))
    assert design.frame()["kernel.version"].to_list() == ["6.12", "7.3"]


def test_frame__dtype_follows_the_values() -> None:
    design = vl.grid({DRAM: [1], "cram.close_at": [0.5, 1], "swap_max_slots": [None, 7], "cram": ["none"]})

    assert design.frame().dtypes == [pl.Int64, pl.Int64, pl.Float64, pl.Int64, pl.String]
    assert design.frame()["swap_max_slots"].to_list() == [None, 7, None, 7]
    assert design.frame()["cram"].unique().to_list() == ["none"]


def test_latin_hypercube__one_point_in_each_part() -> None:
    design = vl.latin_hypercube({DRAM: {"from": 0, "to": 999}, "cram.close_at": {"from": 0.0, "to": 1.0}}, 10, seed=3)

    assert sorted(x // 100 for x, _ in design.points) == list(range(10))
    assert sorted(int(y * 10) for _, y in design.points) == list(range(10))


def test_latin_hypercube__values_come_equally_often() -> None:
    design = vl.latin_hypercube({"layer": ["none", "vswap", "swap-table"]}, 9)

    assert sorted(x for (x,) in design.points) == ["none"] * 3 + ["swap-table"] * 3 + ["vswap"] * 3


def test_random_design__first_points_do_not_depend_on_n() -> None:
    settings = {DRAM: {"from": 10, "to": 1000, "log": True}, "layer": ["none", "vswap"]}

    short, long = (vl.random_design(settings, n, seed=5) for n in (3, 30))

    assert short.points == long.points[:3]
    assert vl.random_design(settings, 3, seed=6).points != short.points
    assert all(10 <= x <= 1000 for x, _ in long.points)
    assert 8 <= sum(x < 100 for x, _ in long.points) <= 22  # half of them below the geometric middle


@pytest.mark.parametrize("design", [vl.random_design, vl.latin_hypercube])
@pytest.mark.parametrize(("low", "high"), [(0.50000049, 0.5000005), (0.4999997, 0.4999998), (1000001, 1000002.5)])
def test_random_design__stays_within_ends_of_more_than_six_digits(
    design: Callable[..., vl.Design], low: float, high: float
) -> None:
    points = design({"zswap.max_pool_percent": {"from": low, "to": high}}, 3).points

    assert all(low <= x <= high and isinstance(x, float) for (x,) in points)


def test_random_design__reaches_both_ends_of_whole_numbers() -> None:
    assert {x for (x,) in vl.random_design({DRAM: {"from": 1, "to": 3}}, 60).points} == {1, 2, 3}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "a design needs settings"),
        ({"dram.capcity_pages": [1]}, "did you mean dram.capacity_pages"),
        ({"swapfiles.0.capacity": [1]}, "did you mean swapfiles.0.capacity_slots"),
        ({7: [1]}, "7 is not a setting"),
        ({DRAM: []}, "the list of values is empty"),
        ({DRAM: "64MiB"}, "give a list of values, got '64MiB'"),
        ({DRAM: [[1]]}, "is not a value of a setting"),
        ({DRAM: [64, "x"]}, "^dram.capacity_pages: 'x' cannot be read: give whole numbers, or sizes such as '64MiB'"),
        ({"swapfiles.3.read_ns": ["1 ms"]}, "^swapfiles.3.read_ns: '1 ms' cannot be read"),
        ({"zswap.writeback": ["maybe"]}, "^zswap.writeback: 'maybe' cannot be read: give true or false"),
        ({DRAM: {"from": 1, "to": 2}}, "a grid takes a list of values"),
        ({"zswap.max_pool_percent": ["1MiB"]}, "only settings in bytes, pages or slots take a size"),
    ],
)
def test_grid__refuses_in_one_line(settings: dict[str, object], words: str) -> None:
    with pytest.raises(vl.InputError, match=words):
        vl.grid(settings)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"from": 2, "to": 1}, "a range runs from a number to one at least as large"),
        ({"from": 2}, "a range runs from a number"),
        ({"from": "a", "to": "b"}, "a range runs from a number"),
        ({"from": 1, "to": math.inf}, "a range runs from a number to one at least as large, both finite"),
        ({"from": -math.inf, "to": 1}, "both finite"),
        ({"from": math.inf, "to": math.inf}, "both finite"),
        ({"from": -1e308, "to": 1e308}, "both finite"),
        ({"from": math.nan, "to": 1.0}, "both finite"),
        ({"from": 1, "to": 2, "step": 1}, "'step' is none of them"),
        ({"from": 0, "to": 2, "log": True}, "cannot be spread by ratio"),
        ([], "the list of values is empty"),
    ],
)
def test_random_design__refuses_a_range_in_one_line(values: object, words: str) -> None:
    with pytest.raises(vl.InputError, match=words):
        vl.random_design({DRAM: values}, 2)


def test_random_design__refuses_no_points() -> None:
    with pytest.raises(vl.InputError, match="n must be a whole number from 1"):
        vl.random_design({DRAM: [1]}, 0)
