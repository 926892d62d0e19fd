"""A front is never dominated, holds all that is not, and more machines never make it worse."""

from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vswaplab as vl

COLUMNS = ["cost_usd", "stall_percent", "poison_high"]

Rows = list[tuple[int, int, int]]
machines = st.lists(st.tuples(*[st.integers(0, 6)] * 3), max_size=25)  # coarse: ties and equal rows do happen


def table(rows: Rows) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.Int64), orient="row")


def dominates(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


@settings(max_examples=50)
@given(machines, st.integers(1, 3))
def test_pareto__is_every_row_that_no_row_dominates(rows: Rows, n: int) -> None:
    front = vl.pareto(table(rows), COLUMNS[:n])

    left = sorted(row for row in rows if not any(dominates(other[:n], row[:n]) for other in rows))
    assert sorted(front.rows()) == left


@settings(max_examples=50)
@given(machines, machines)
def test_pareto__more_machines_never_make_it_worse(rows: Rows, more: Rows) -> None:
    before, after = vl.pareto(table(rows), COLUMNS), vl.pareto(table(rows + more), COLUMNS)

    for row in before.rows():
        assert any(other == row or dominates(other, row) for other in after.rows())


@settings(max_examples=25)
@given(machines, st.integers(0, 6))
def test_pareto__limits_only_take_machines_away(rows: Rows, limit: int) -> None:
    front = vl.pareto(table(rows), COLUMNS[:2], below={"poison_high": limit})

    assert front.equals(vl.pareto(table([row for row in rows if row[2] <= limit]), COLUMNS[:2]))


def test_pareto__leaves_out_what_has_no_number() -> None:
    rows = pl.DataFrame({"cost_usd": [1.0, None, 0.5, 2.0], "stall_percent": [3.0, 0.0, math.nan, 1.0]})

    assert vl.pareto(rows).rows() == [(1.0, 3.0), (2.0, 1.0)]
    assert vl.pareto(rows, ["cost_usd"], below={"stall_percent": 9}).rows() == [(1.0, 3.0)]


def test_pareto__of_nothing_is_nothing() -> None:
    assert vl.pareto(table([]), COLUMNS).height == 0


@pytest.mark.parametrize(
    ("minimise", "below", "words"),
    [
        (["price"], {}, "no column 'price': it has cost_usd"),
        ("cost_usd", {}, "minimise must be a list of columns"),
        ([], {}, "minimise must be a list of columns"),
        (["name"], {}, "column 'name' is not of numbers"),
        (["cost_usd"], {"stall_percent": "2"}, "the limit of stall_percent must be a number, got '2'"),
        (["cost_usd"], {"stall_percent": math.nan}, "the limit of stall_percent must be a number, got nan"),
        (["cost_usd"], {"stal_percent": 2}, "no column 'stal_percent'"),
        (["cost_usd"], 5, "below must be a mapping such as"),
        (5, {}, "minimise must be a list of columns"),
    ],
)
def test_pareto__refuses(minimise: list[str], below: dict[str, float], words: str) -> None:
    rows = pl.DataFrame({"cost_usd": [1.0], "stall_percent": [3.0], "name": ["a"]})

    with pytest.raises(vl.InputError, match=words):
        vl.pareto(rows, minimise, below=below)


def test_pareto__refuses_what_is_no_table() -> None:
    with pytest.raises(vl.InputError, match=r"table must be a polars table, such as vl.frontier gives, got None"):
        vl.pareto(None)  # type: ignore[arg-type]
