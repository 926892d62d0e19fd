"""The search finds what a full grid finds, keeps within its limits, and depends on nothing but its seed."""

from __future__ import annotations

import importlib
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import vswaplab as vl

N = 512
TRACE = vl.zipf(n_pages=N, n_accesses=2000, alpha=0.6, seed=1)
MACHINE = vl.preset("four-tiers", N)
KNOBS = {"dram.capacity_pages": list(range(100, 500, 50)), "cram.media_bytes": [8192, 65536, 262144, 1 << 20]}
LIMIT = {"stall_percent": 30.0}


@pytest.fixture
def _optuna() -> None:
    pytest.importorskip("optuna", reason="optuna is not installed: pip install 'vswaplab[optimise]'")


def optimise(**options: object) -> pl.DataFrame:
    knobs = options.pop("knobs", KNOBS)
    return vl.optimise(TRACE, MACHINE, knobs, **({"below": LIMIT, "progress": False} | options))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.usefixtures("_optuna")
def test_optimise__finds_what_the_grid_finds_with_fewer_runs() -> None:
    grid = vl.frontier(TRACE, MACHINE, KNOBS, progress=False).filter(pl.col("stall_percent") <= 30)
    found = optimise(trials=24)

    best = found.filter("is_best")
    assert 0 < grid.height < 8
    assert best["cost_usd"][0] <= 1.05 * grid["cost_usd"].min()
    assert best["cost_usd"][0] == found.filter("is_feasible")["cost_usd"].min()
    assert (found["is_feasible"] == (found["stall_percent"] <= 30)).all()


@pytest.mark.slow
@pytest.mark.usefixtures("_optuna")
def test_optimise__only_its_seed_matters(tmp_path: Path) -> None:
    knobs = {"dram.capacity_pages": {"from": 50, "to": 500, "log": True}, "zswap.compressor": ["lz4", "zstd"]}
    alone = optimise(knobs=knobs, trials=20, seed=5)

    assert_frame_equal(optimise(knobs=knobs, trials=20, seed=5, executor=2), alone)
    with ThreadPoolExecutor(2) as pool:
        assert_frame_equal(optimise(knobs=knobs, trials=20, seed=5, executor=pool, store=tmp_path), alone)
    assert_frame_equal(optimise(knobs=knobs, trials=20, seed=5, store=tmp_path), alone)
    assert not optimise(knobs=knobs, trials=20, seed=6).equals(alone)
    assert alone["dram.capacity_pages"].is_between(50, 500).all()
    assert alone["point"].to_list() == list(range(20))


@pytest.mark.usefixtures("_optuna")
def test_optimise__has_the_columns_of_a_frontier() -> None:
    knobs = {"dram.capacity_pages": [-9, 100, 200, 400]}
    grid = vl.frontier(TRACE, MACHINE, knobs, progress=False)
    found = optimise(knobs=knobs, trials=12, below={"stall_percent": 0.0})

    assert found.columns == [*grid.columns, "is_feasible", "is_best"]
    assert found.filter("is_on_front").sort("cost_usd").equals(vl.pareto(found))
    assert found["is_on_front"].any()  # a limit does not matter to it
    assert not found["is_feasible"].any()


@pytest.mark.slow
@pytest.mark.usefixtures("_optuna")
def test_optimise__several_aims_give_a_front() -> None:
    found = optimise(minimise=["cost_usd", "stall_percent"], below=None, trials=12)

    assert found.filter("is_best").sort("cost_usd").equals(vl.pareto(found))
    assert found["is_feasible"].all()


@pytest.mark.slow
@pytest.mark.usefixtures("_optuna")
def test_optimise__a_limit_of_a_millionth_leaves_what_cannot_lose_data() -> None:
    found = optimise(knobs=KNOBS | {"cram.writable_budget_pages": [0, 20]}, below={"poison_high": 1e-6}, trials=12)

    assert set(found["cram.writable_budget_pages"]) == {0, 20}
    assert found.filter("is_feasible")["cram.writable_budget_pages"].unique().to_list() == [0]


@pytest.mark.slow
@pytest.mark.usefixtures("_optuna")
def test_optimise__goes_on_past_refused_machines_and_says_if_there_is_no_other() -> None:
    some = optimise(knobs={"cram.open_at": {"from": 0.5, "to": 1.0}}, trials=12)

    assert 0 < some["reason"].count() < 12
    with pytest.raises(vl.InputError, match=r"each of the 9 machines is refused; the first: dram\.capacity_pages must"):
        optimise(knobs={"dram.capacity_pages": {"from": -9, "to": 0}}, trials=9)


@pytest.mark.usefixtures("_optuna")
def test_optimise__stays_within_ends_of_more_than_six_digits() -> None:
    knobs = {"cram.balloon_reserve": {"from": 0.50000049, "to": 0.5000005}}

    found = optimise(knobs=knobs, trials=2, below=None)

    assert found["cram.balloon_reserve"].is_between(0.50000049, 0.5000005).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"minimise": "price"}, "minimise: 'price' is not a number of vl.frontier: choose from dram_gib"),
        ({"minimise": []}, "minimise needs a column"),
        ({"below": {"risk": 1}}, "below: 'risk' is not a number"),
        ({"below": {"stall_percent": "2"}}, "the limit of stall_percent must be a number"),
        ({"below": {"stall_percent": math.nan}}, "the limit of stall_percent must be a number, got nan"),
        ({"below": 5}, "below must be a mapping such as"),
        ({"minimise": 5}, "minimise must be a list of names, got 5"),
        ({"minimise": [[1]]}, r"minimise: \[1\] is not a number of vl.frontier"),
        ({"seed": -1}, "seed must be a whole number from 0 to 4294967295, got -1"),
        ({"seed": 1 << 32}, "seed must be a whole number from 0 to 4294967295, got 4294967296"),
        ({"seeds": 5}, "seeds must be different whole numbers"),
        ({"progress": 5}, "progress must be true, false or a function of .*, got 5"),
        ({"trials": 0}, "trials must be a whole number from 1 to 1000000, got 0"),
        ({"knobs": {"dram.capacty_pages": [1]}}, "did you mean dram.capacity_pages"),
    ],
)
def test_optimise__refuses(options: dict[str, object], words: str) -> None:
    with pytest.raises(vl.InputError, match=words):
        optimise(**options)


def test_optimise__says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)

    with pytest.raises(vl.InputError, match=r"optimise needs optuna: pip install 'vswaplab\[optimise\]'"):
        optimise()
