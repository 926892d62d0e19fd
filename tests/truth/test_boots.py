"""Boots of one configuration, the targets, and where kernel and model part."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import vswaplab as vl
from vswaplab.truth.boots import SLOWNESS, Boot, boots, in_boot
from vswaplab.truth.counters import agreement, kernel_counters, ranges, repetitions
from vswaplab.truth.machines import machine_of
from vswaplab.truth.replay import Replay, replay
from vswaplab.truth.runs import TruthRun
from vswaplab.truth.targets import (
    TARGET_SCHEMA,
    bounds,
    clues,
    entries_of_others,
    least_agreement,
    load_of,
    parting,
    verdict,
)
from vswaplab.truth.validate import validate

TRUTH = Path(__file__).resolve().parents[2] / "data" / "truth"


@cache
def runs(folder: str = "kernel") -> dict[str, TruthRun]:
    return {run.name: run for run in vl.read_truth(TRUTH / folder)}


@cache
def booted(name: str, boot: Boot) -> Replay:
    run = runs()[name]
    return replay(run, in_boot(machine_of(run), boot))


def test_boots__the_first_is_that_of_every_other_command() -> None:
    machine = machine_of(runs()["zipf_mp10"])
    first, *others = boots(8)
    assert in_boot(machine, first) == replace(machine, zswap=replace(machine.zswap, compressor=machine.zswap.profile))
    assert all(0 < boot.flush_ns <= 2_000_000_000 and SLOWNESS[0] <= boot.slowness <= SLOWNESS[1] for boot in others)
    assert len({boot.flush_ns // 500_000_000 for boot in others}) == 4  # every quarter of the two seconds


def test_in_boot__all_that_takes_time_takes_as_much_more() -> None:
    machine = machine_of(runs()["zipf_mp10"])
    slow = in_boot(machine, Boot(5, 2.0))
    assert machine.kernel is not None
    assert slow.kernel == replace(machine.kernel, stat_flush_ns=5)
    assert slow.costs.fault_ns == 2 * machine.costs.fault_ns
    assert slow.costs.swap_write_ns == 2 * machine.costs.swap_write_ns
    assert slow.swapfiles[0].read_ns == 2 * machine.swapfiles[0].read_ns
    assert slow.zswap is not None
    assert machine.zswap is not None
    assert slow.zswap.profile.load_ns == 2 * machine.zswap.profile.load_ns


@pytest.mark.slow
def test_the_flushers_phase__is_what_parts_two_boots_of_zipf_off() -> None:
    # Kernels wrote 62,046 and 62,109 pages in two boots, and 63,905 in a third (noise.csv). So does the model: the same
    # machine, but for when the statistics are flushed first.
    low, high = runs()["zipf_off"].noise["pswpout"]
    usual = booted("zipf_off", Boot())
    late = booted("zipf_off", Boot(flush_ns=1_000_000_000))
    assert usual.counters["pswpout"] == pytest.approx(low, rel=0.002)
    assert late.counters["pswpout"] == pytest.approx(high, rel=0.002)
    code = runs()["zipf_off"].code
    assert code is not None
    assert usual.code is not None
    assert late.code is not None
    assert agreement(code, usual.code) > 0.999 > agreement(code, late.code)  # this one was the first of the three


@pytest.mark.slow
def test_targets_in_the_tree__are_what_validate_says() -> None:
    kept = pl.read_csv(TRUTH / "kernel" / "targets.csv", schema=TARGET_SCHEMA).filter(run="zipf_off")
    found = validate(TRUTH / "kernel", only="zipf_off", n_boots=8).targets
    assert_frame_equal(kept, found)
    spans = found.filter(pl.col("model_high") > 1.01 * pl.col("model_low"))["counter"].to_list()
    assert spans == ["pswpout"]  # the one counter of this run that hangs on the phase


@pytest.mark.parametrize("folder", ["kernel", "vswap"])
def test_targets_in_the_tree__are_of_the_runs_in_the_tree(folder: str) -> None:
    kept = pl.read_csv(TRUTH / folder / "targets.csv", schema=TARGET_SCHEMA)
    every = runs(folder)
    assert {name for name, run in every.items() if load_of(run) == "full" and not run.is_killed} <= set(kept["run"])
    assert set(kept["run"]) <= set(every)
    known = kept.filter(pl.col("counter") != "agreement")
    for row in known.iter_rows(named=True):
        assert row["kernel"] == kernel_counters_of(folder, row["run"])[row["counter"]]
        said = verdict(
            (row["least"], row["most"]), row["model"], (row["model_low"], row["model_high"]), (row["low"], row["high"])
        )
        assert said == row["verdict"]


@cache
def kernel_counters_of(folder: str, name: str) -> dict[str, float]:
    return kernel_counters(runs(folder)[name])


# Targets --------------------------------------------------------------------------------------------


def test_load_of__a_run_is_calm_unless_its_pool_was_full_or_shrunk() -> None:
    loads = {name: load_of(runs()[name]) for name in ("zipf_off", "zipf_mp20", "zipf_mp10_shr", "zipf_mp10")}
    assert loads == {"zipf_off": "calm", "zipf_mp20": "calm", "zipf_mp10_shr": "shrinker", "zipf_mp10": "full"}
    assert load_of(runs("vswap")["cram_zipf_noswap"]) == "cram"


def test_bounds__by_load() -> None:
    calm, full = runs()["zipf_mp20"], runs()["zipf_mp10"]
    assert bounds(calm, "hits", 1000, 990, 1005) == (990, 1010)
    assert bounds(calm, "zswpwb", 0, 0, 0) is None
    assert bounds(full, "disk", 1000, 900, 1100) == (950, 1050)
    assert bounds(full, "zswpwb", 1000, 500, 1500) == (450, pytest.approx(1650))
    assert bounds(runs()["hotscan_mp10"], "hits", 1000, 990, 1005) == (990, 1005)
    assert bounds(runs("vswap")["cram_loop_noswap"], "promoted", 1000, 1000, 1000) == (940, 1060)
    assert (
        bounds(runs("vswap")["cram128_zipf384_ro_swap"], "swap_cache", 1000, 1000, 1000) is None
    )  # nothing is written to


def test_least_agreement__by_load() -> None:
    assert least_agreement(runs()["zipf_mp20"], 0.9773, None) == 0.9773
    assert least_agreement(runs()["zipf_mp20"], 0.99, None) == 0.97
    assert least_agreement(runs()["uniform_off"], 0.9197, None) == 0.93
    assert least_agreement(runs()["zipf_mp10"], 0.9758, 0.94) == pytest.approx(0.93)
    assert least_agreement(runs()["zipf_mp10"], 0.97, None) is None  # nothing to compare with: one boot


@pytest.mark.parametrize(
    ("model", "of_boots", "of_kernel", "said"),
    [
        (101, (101, 101), (100, 100), "met"),
        (105, (105, 105), (100, 106), "kernel's range"),
        (105, (105, 105), (105, 105), "missed"),  # one repetition spans nothing
        (105, (101, 105), (100, 100), "boots' range"),
        (105, (99, 105), (100, 100), "boots' range"),
        (105, (103, 105), (100, 100), "missed"),
        (110, (105, 110), (100, 106), "boots' range"),  # that of the kernel's repetitions
    ],
)
def test_verdict(model: float, of_boots: tuple[float, float], of_kernel: tuple[float, float], said: str) -> None:
    assert verdict((98, 102), model, of_boots, of_kernel) == said


def test_clues__name_a_counter_and_its_number() -> None:
    assert clues(runs()["zipf_off"]) == clues(runs("vswap")["cram_zipf_m112_swap"]) == []  # the second left no snapshot
    assert clues(runs("vswap")["cram128_zipf384_ro_swap"]) == [
        "6,454 pages of the CRAM node in the swap cache after the fill (n1_nr_swapcached)"
    ]
    two, pool = clues(runs("vswap")["no_zipf_mp20_smp2"])
    assert two == "2 CPUs: the pool's worker wrote 1,088 pages back (vm_zswpwb)"
    assert pool.startswith("pool 94 % of its limit at the end")
    assert clues(runs()["global_zipf_mp20"])[0].endswith("1,800 bytes an entry after the fill (zs_pool_total_size)")
    assert "467 objects" in clues(runs()["global_zipf_mp20"])[1]  # 83 before any batch, then three of 128
    assert clues(runs()["global_zipf_mp20"])[2].startswith("728 of 24,494 entries after the fill are not the program's")


def test_clues__of_a_shrinker_tell_what_a_full_pool_refused() -> None:
    run = runs()["zipf_mp10_shr"]
    assert clues(run) == []
    written = run.epochs.with_columns(vm_pswpout=pl.col("vm_pswpout") + pl.col("row").is_in(["fill", "epoch"]) * 3997)
    assert clues(replace(run, epochs=written))[0].startswith("3,997 stores refused by a full pool, 3,997 of them in")


def test_clues__say_that_a_full_pool_was_looked_at_once() -> None:
    run = replace(runs()["zipf_mp10"], noise={})
    assert clues(run, [run])[-1].startswith("booted once")
    assert clues(run, [run, run]) == clues(run) == clues(runs()["zipf_mp10"], [run])


def test_entries_of_others__are_what_the_program_s_page_table_does_not_explain() -> None:
    # 5,064 + 10,169 + 11,661 + 5,147 pages with an entry and not zero, 8,275 of them on disk: 23,766 of 24,494 entries.
    # Those take 1,713.7 bytes each; 44,093,440 of the pool are 3,365,724 more, for 728: more than a page each.
    stored, others, size = entries_of_others(runs()["global_zipf_mp20"])
    assert (stored, others) == (24_494, 728)
    assert size == pytest.approx(3_365_724 / 728, rel=1e-3)
    assert entries_of_others(runs()["zipf_mp20"])[:2] == (44_182, 0)  # in a group nobody else is reclaimed from


def test_repetitions__a_run_that_read_next_to_nothing_ahead_repeats_the_one_without_readahead() -> None:
    every = list(runs().values())
    ahead, plain = runs()["zipf_mp10_pc3"], runs()["zipf_mp10"]
    assert ahead.read_ahead == (21, 21_370)
    assert repetitions(ahead, every) == [ahead, plain]
    assert repetitions(plain, every) == [plain]  # whose own range stays as it is
    assert ranges([ahead, plain])["zswpwb"] == (9_452, plain.noise["zswpwb"][1])
    much = ahead.epochs.with_columns(vm_swap_ra=pl.col("vm_pswpin") // 500)
    assert repetitions(replace(ahead, epochs=much), [plain]) == []
    assert repetitions(ahead, [replace(plain, swappiness=60)]) == []


@pytest.mark.slow
def test_the_disk_s_speed__is_what_parts_two_boots_of_the_shrinker() -> None:
    # What a write takes was never measured. Halved, it takes the pages found in the swap cache from one end of the
    # kernel's range to the other.
    run = runs()["zipf_mp10_shr"]
    low, high = run.noise["swap_cache"]
    machine = machine_of(run)
    quick = replace(machine, costs=replace(machine.costs, swap_write_ns=machine.costs.swap_write_ns // 2))
    assert replay(run, machine).counters["swap_cache"] == pytest.approx(low, rel=0.03)
    assert replay(run, quick).counters["swap_cache"] == pytest.approx(high, rel=0.03)


def test_compaction__is_what_the_kernels_pool_shows_without_a_limit() -> None:
    # Between two snapshots a shrinker scans one batch and the pool gives up 1,106 pages, with nothing written back.
    first, second = runs()["global_zipf_mp20"].epochs.filter(row="epoch").head(2).rows(named=True)
    assert second["vm_slabs_scanned"] - first["vm_slabs_scanned"] == 128
    assert first["zs_pool_total_size"] - second["zs_pool_total_size"] == 1_106 * 4096
    assert first["vm_zswpwb"] == second["vm_zswpwb"]


def test_parting__is_the_first_snapshot_that_is_far_off_and_the_widest_gap_in_it() -> None:
    run = replace(
        runs()["zipf_mp20"],
        epochs=pl.DataFrame(
            {
                "row": ["start", "fill", "epoch", "epoch"],
                "vm_pswpout": [100, 0, 10_100, 30_100],
                "vm_pgdeactivate": [7, 0, 7, 40_007],
            }
        ),
    )
    near = pl.DataFrame({"access": [1, 2], "pswpout": [10_400, 30_000], "pgdeactivate": [0, 40_000]})
    far = near.with_columns(pgdeactivate=pl.Series([0, 30_000]), pswpout=pl.Series([10_400, 33_000]))
    assert parting(run, near) is None
    assert parting(run, far) == ("pgdeactivate", 2, 40_000, 30_000)
