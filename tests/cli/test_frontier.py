"""``vswaplab frontier`` and ``vswaplab prices``: what they read, print, leave behind and refuse."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import vswaplab as vl
from vswaplab import cli

GRID = """
trace = "small.parquet"
machine = "four-tiers"
[settings]
"dram.capacity_pages" = [30, 50]
"cram.writable_budget_pages" = [0, 5]
"""
PRICES = "\n".join(
    f'[[price]]\nitem = "{item}"\nusd_per_gib = {usd}\ndate = "2026-01-31"\ntitle = "x"\ntag = "guess"\nsource = "none"'
    for item, usd in (("dram", 30), ("cram", 10), ("ssd", 1))
)

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    vl.save_trace(vl.zipf(n_pages=100, n_accesses=600, seed=1), tmp_path / "small.parquet")
    (tmp_path / "mine.toml").write_text(PRICES)
    (tmp_path / "grid.toml").write_text(GRID)
    return tmp_path / "grid.toml"


def refusal(capsys: Captured, *words: str | Path) -> str:
    assert cli.main(["frontier", *map(str, words)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err.strip()


def test_frontier__table_is_that_of_the_function(grid: Path, capsys: Captured) -> None:
    assert cli.main(["frontier", str(grid), "--prices", "mine.toml", "--below", "poison_high=1e-6"]) == 0

    out, err = capsys.readouterr()
    folder = Path("vswaplab-results/frontier-grid")
    trace = vl.load_trace("small.parquet")
    settings = {"dram.capacity_pages": [30, 50], "cram.writable_budget_pages": [0, 5]}
    wanted = vl.frontier(trace, vl.preset("four-tiers", 100), settings, prices=vl.prices("mine.toml"), progress=False)
    assert err == ""
    assert_frame_equal(pl.read_parquet(folder / "frontier.parquet"), wanted)
    assert "dollars a GiB: cram $10.00 (2026-01-31, evidence guess); dram $30.00" in out
    assert "The 2 that nothing beats, of 2 within poison_high up to 1e-06:" in out
    assert "cannot be lost" in out
    assert "What the next dollar saves" in out
    assert (folder / "frontier.svg").read_text().startswith("<svg")
    kept = json.loads((folder / "frontier.json").read_text())
    assert kept["below"] == {"poison_high": 1e-6}
    assert [row["usd_per_gib"] for row in kept["prices"]] == [30.0, 10.0, 1.0]
    assert {row["tier"] for row in kept["next_dollar"]} == {"DRAM", "CRAM", "swapfile"}


def test_frontier__a_count_is_told_with_its_bound_and_limits_that_nothing_meets_too(
    grid: Path, capsys: Captured
) -> None:
    grid.write_text(GRID.replace("[0, 5]", "[5]").replace("[30, 50]", "[30]"))
    assert cli.main(["frontier", str(grid), "--prices", "mine.toml"]) == 0
    assert cli.main(["frontier", str(grid), "--prices", "mine.toml", "--below", "cost_usd=0"]) == 0

    out = capsys.readouterr().out
    assert "lost in none: up to 79 % of runs" in out
    assert "No machine is within cost_usd up to 0: widen the limits or the ranges" in out


def test_frontier__a_whole_number_beside_a_decimal_is_one(grid: Path, capsys: Captured) -> None:
    grid.write_text(GRID.replace('"cram.writable_budget_pages" = [0, 5]', '"zswap.max_pool_percent" = [20, 0.5]'))

    assert cli.main(["frontier", str(grid), "--prices", "mine.toml"]) == 0

    table = pl.read_parquet("vswaplab-results/frontier-grid/frontier.parquet")
    assert table["reason"].null_count() == 2
    assert "What the next dollar saves" in capsys.readouterr().out


def test_frontier__the_table_is_there_even_if_the_next_dollar_cannot_be_told(
    grid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise vl.InputError("no")

    monkeypatch.setattr("vswaplab.cli.frontier.next_dollar", refuse)

    assert cli.main(["frontier", str(grid), "--prices", "mine.toml"]) == 2
    assert pl.read_parquet("vswaplab-results/frontier-grid/frontier.parquet").height == 4


@pytest.mark.slow
def test_frontier__search_takes_the_ranges(grid: Path, capsys: Captured) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed: pip install 'vswaplab[optimise]'")
    grid.write_text(
        GRID.replace("[30, 50]", "{ from = 20, to = 90 }").replace("machine", 'design = "random"\nn = 1\nmachine')
    )

    assert cli.main(["frontier", str(grid), "--search", "12", "--below", "stall_percent=50"]) == 0

    table = pl.read_parquet("vswaplab-results/frontier-grid/frontier.parquet")
    assert table.height == 12
    assert table["dram.capacity_pages"].is_between(20, 90).all()
    assert table["is_best"].any()
    assert "Frontier of 12 machines" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--below", "stall=2"], "--below 'stall=2' is not NAME=LIMIT with a name out of dram_gib"),
        (["--below", "stall_percent=two"], "--below 'stall_percent=two': the limit must be a finite number"),
        (["--below", "stall_percent=nan"], "--below 'stall_percent=nan': the limit must be a finite number"),
        (["--below", "stall_percent=inf"], "--below 'stall_percent=inf': the limit must be a finite number"),
        (
            ["--below", "stall_percent=2", "--below", " stall_percent = 5"],
            "--below ' stall_percent = 5': stall_percent has a limit already: give one",
        ),
        (["--search", "0"], "--search must be a whole number of machines from 1 to 1,000,000, got '0'"),
        (["--prices", "none.toml"], "cannot read the price table none.toml"),
        (["--at", "soon"], "at must be a day, YYYY-MM-DD, got 'soon'"),
        (["--at", "2020-01-01"], "no price of dram is as old as 2020-01-01"),
        (["--out", "grid.toml"], "cannot write a sweep to grid.toml: it is a file"),
    ],
)
def test_frontier__refuses_in_one_line(words: list[str], said: str, grid: Path, capsys: Captured) -> None:
    assert said in refusal(capsys, grid, *words)


def test_prices__lists_each_with_date_and_evidence(capsys: Captured) -> None:
    assert cli.main(["prices", "--at", "2026-11-23"]) == 0
    assert cli.main(["prices", "--json", "--prices", "mine.toml"]) == 0

    table, found = capsys.readouterr().out.split("[\n", 1)
    assert "32.000" in table
    assert "guess" in table
    assert json.loads("[" + found)[0]["date"] == "2026-01-31"
