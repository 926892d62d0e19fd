"""A frontier is a sweep with money: cost by the sizes, stall by the run, risk by rule or by count."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

import vswaplab as vl
from vswaplab.machine.presets import with_settings
from vswaplab.results.changes import below_dram_ns, record_wait_ns
from vswaplab.results.statistics import wilson_interval

N = 1 << 10
TRACE = vl.zipf(n_pages=N, n_accesses=4000, alpha=0.6, seed=1).like(redraw_probability=0.5)
MACHINE = vl.preset("four-tiers", N)
PRICES = pl.DataFrame(
    {"item": ["dram", "cram", "ssd"], "usd_per_gib": [32.0, 16.0, 1.0], "date": [date(2026, 1, 1)] * 3}
)
DRAM, MEDIA = "dram.capacity_pages", "cram.media_bytes"
LOSING = {"cram.writable_budget_pages": [400], MEDIA: [260 << 10], "cram.advertised_bytes": ["2MiB"]}
LATE = {"cram.close_at": [1.0], "cram.writeback_high": [1.0], "cram.report_lag": [400]}


def frontier(grid: object, **options: object) -> pl.DataFrame:
    trace = options.pop("trace", TRACE)
    return vl.frontier(trace, MACHINE, grid, **({"prices": PRICES, "progress": False} | options))  # type: ignore[arg-type]


def test_frontier__costs_what_the_sizes_say() -> None:
    row = frontier({DRAM: [N // 2], MEDIA: [N * 1024]}).row(0, named=True)

    # DRAM for half of the 4 MiB, media for a quarter, swap for twice: 32/2 + 16/4 + 2 dollars a GiB of the program's.
    assert row["usd_per_gib"] == pytest.approx(16 + 4 + 2)
    assert row["cost_usd"] == pytest.approx(22 / 256)
    assert row["cost_ratio"] == pytest.approx(22 / 32)


def test_frontier__stall_is_the_mean_of_the_runs_by_both_accounts() -> None:
    trace = TRACE.like(repeat_reads=(TRACE.page % 5).astype("int32"))
    row = frontier({DRAM: [200]}, trace=trace, seeds=[3, 4]).row(0, named=True)

    machine = with_settings(MACHINE, [f"{DRAM}=200"])
    runs = [vl.simulate(trace, machine, seed=seed) for seed in (3, 4)]
    for wait, ns, percent in (
        (below_dram_ns, "below_dram_ns", "stall_percent"),
        (record_wait_ns, "record_wait_ns", "stall_cached_percent"),
    ):
        left_out = [below_dram_ns(run) - wait(run) for run in runs]
        shares = [100 * wait(run) / (run.totals["stall_ns"] - less) for run, less in zip(runs, left_out, strict=True)]
        assert row[ns] == pytest.approx(sum(map(wait, runs)) / 2)
        assert row[percent] == pytest.approx(sum(shares) / 2)
    assert row["stall_cached_percent"] < row["stall_percent"]
    assert row["pswpin"] == sum(run.totals["pswpin"] for run in runs) / 2


def test_frontier__front_is_that_of_pareto_and_more_points_never_worsen_it() -> None:
    few = frontier({DRAM: [200, 400, 600]}).filter("is_on_front")
    many = frontier({DRAM: [200, 400, 600], MEDIA: [100_000, 600_000]})

    assert many.filter("is_on_front").sort("cost_usd").equals(vl.pareto(many))
    values = vl.pareto(pl.concat([few, many], how="diagonal_relaxed")).select("cost_usd", "stall_percent").rows()
    for cost, stall in few.select("cost_usd", "stall_percent").iter_rows():
        assert any(c <= cost and s <= stall for c, s in values)


def test_frontier__zero_risk_is_a_rule_and_a_count_is_a_bound() -> None:
    owned = {"cram.writable_budget_pages": [0, 50], "cram.budget_owner": ["host", "device"]}
    table = frontier(owned, seeds=range(3))

    told = table.filter(pl.col("reason").is_null()).select("risk", "runs", "poisoned", "poison_high").rows()
    assert told == [
        ("cannot lose data", 3, 0, 0.0),
        ("lost none", 3, 0, wilson_interval(0, 3)[1]),
        ("cannot lose data", 3, 0, 0.0),
    ]
    assert vl.pareto(table, below={"poison_high": 1e-6})["risk"].unique().to_list() == ["cannot lose data"]


def test_frontier__says_of_a_machine_that_lost_data_that_it_did() -> None:
    row = frontier(LOSING | LATE, seeds=range(4)).row(0, named=True)

    assert row["risk"] == "lost data"
    assert row["poisoned"] > 0
    assert row["poison_high"] == wilson_interval(row["poisoned"], 4)[1]


def test_frontier__seeds_that_change_nothing_are_one_run() -> None:
    row = frontier({"cram.writable_budget_pages": [50]}, trace=TRACE.like(redraw_probability=0.0), seeds=range(6))

    assert row.select("runs", "poison_high").row(0) == (1, wilson_interval(0, 1)[1])


def test_frontier__has_no_numbers_of_what_is_refused_or_runs_out_of_memory() -> None:
    table = frontier({"swapfiles.0.capacity_slots": [0, 5, 3000], "zswap.max_pool_percent": [1], MEDIA: [8192]})

    assert "capacity_slots must be a whole number" in table["reason"][0]
    assert table["reason"][1].startswith("memory runs out after ")
    assert table["stall_percent"].is_null().to_list() == [True, True, False]
    assert table["is_on_front"].to_list() == [False, False, True]
    assert table["cost_usd"].is_null().to_list() == [True, False, False]


@pytest.mark.parametrize("account", ["device", "caches"])
def test_next_dollar__is_the_difference_of_two_runs(account: str) -> None:
    table = vl.next_dollar(TRACE, MACHINE, prices=PRICES, part=0.1, seed=2).filter(account=account)

    spend = 0.1 * vl.cost_usd(MACHINE, PRICES)["total"]
    pages = round(spend / 32 * (1 << 18))
    larger = with_settings(MACHINE, [f"{DRAM}={MACHINE.dram.capacity_pages + pages}"])
    wait = below_dram_ns if account == "device" else record_wait_ns
    before, after = (wait(vl.simulate(TRACE, machine, seed=2)) for machine in (MACHINE, larger))
    first = table.row(0, named=True)
    assert table["tier"].to_list() == ["DRAM", "CRAM", "swapfile"]
    assert first["saved_ms"] == pytest.approx((before - after) / 1e6)
    assert first["gib"] == pages / (1 << 18)
    assert table["usd"].to_list() == pytest.approx([spend] * 3, rel=0.01)
    assert first["points_per_usd_per_gib"] == pytest.approx(first["saved_points"] / (first["usd"] * 256))


def test_next_dollar__buys_a_tier_that_is_not_there() -> None:
    table = vl.next_dollar(TRACE, vl.preset("swap-only", N), prices=PRICES)

    assert table.filter(tier="CRAM")["saved_ms"].min() > 0
    assert table.filter(tier="swapfile")["saved_ms"].to_list() == [0, 0]


def test_next_dollar__refuses_what_costs_nothing_and_says_so_of_one_tier() -> None:
    free = PRICES.with_columns(usd_per_gib=pl.when(pl.col("item") == "ssd").then(0.0).otherwise("usd_per_gib"))

    assert "costs nothing" in vl.next_dollar(TRACE, MACHINE, prices=free)["reason"][4]
    with pytest.raises(vl.InputError, match="part must be a number above 0"):
        vl.next_dollar(TRACE, MACHINE, part=0)
