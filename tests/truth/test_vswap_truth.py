"""The model against kernels that have vswap and CRAM: what it says from a run's configuration.

What is compared is what happens, not how often: which runs complete, what is accounted where, what never happens. The
measurements and the words of their columns are in data/README.md.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

import vswaplab as vl
from vswaplab.machine.layers import cluster_metadata_bytes
from vswaplab.truth import read_metadata
from vswaplab.truth.machines import machine_of
from vswaplab.truth.metadata import STEPS, clusters, grown_kib, predicted_kib, steps_of


def _load_harness() -> ModuleType:
    # beside this file, which importlib mode does not put on the path
    spec = importlib.util.spec_from_file_location("harness", Path(__file__).with_name("harness.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


truth = _load_harness()
RUNS, CRAM_RUNS = truth.RUNS, truth.CRAM_RUNS
COMPLETED = [name for name, run in RUNS.items() if not run.is_killed]
KEPT = [name for name in RUNS if name.endswith("_kept")]  # killed in swapoff, after the last access
KILLED = [name for name in RUNS if name not in COMPLETED and name not in KEPT]
VSWAP = [name for name in COMPLETED if RUNS[name].has_vswap]
PLAIN = [name for name in COMPLETED if not RUNS[name].has_vswap]
BEFORE_SWAPOFF = pl.col("row").is_in(["fill", "epoch", "swapoff_before"])
SETTLED = pl.col("row").is_in(["epoch", "swapoff_before"])  # right after the fill, writes are in flight


def measured(name: str) -> pl.DataFrame:
    swapped = pl.sum_horizontal("^swapped_c.$")
    counts = truth.table("epochs.csv").filter(pl.col("row") != "start", run=name)
    return counts.with_columns(slots=pl.col("swap_used_kb") // 4, swapped=swapped)


def at_the_end(file: str, name: str) -> dict[str, int]:
    run = truth.table(file).filter(pl.col("row") == "epoch", run=name)
    return run.row(-1, named=True)


# Accounting -----------------------------------------------------------------------------------

# while the pool's worker moves entries: the counters are not read at one moment
IN_MOTION = {"vs_zipf_mp10_w32": 53}
MOST_APART = 240
ZSWAP_EVENTS = {"zswpout": 1, "zswpin": -1, "zswpwb": -1}


@pytest.mark.parametrize("name", VSWAP)
def test_measured__virtual_slots_are_zswap_and_physical_and_zero(name: str) -> None:
    named = pl.col("zs_stored_pages").fill_null(0) + pl.col("slots") + pl.col("swapped_c0")
    cache_only = measured(name).filter(BEFORE_SWAPOFF).select(pl.col("vs_used") - named).to_series()

    assert cache_only.abs().max() <= IN_MOTION.get(name, 4)
    assert cache_only.median() == 0


@pytest.mark.parametrize("name", [*VSWAP, *PLAIN])
def test_measured__memory_swap_current_is_the_physical_slots(name: str) -> None:
    apart = measured(name).select(pl.col("cg_swap_current") // 4096 - pl.col("slots")).to_series()

    assert apart.median() == 0
    assert (apart.abs() > 20).sum() <= 2  # writes in flight


@pytest.mark.slow  # seconds a run
@pytest.mark.parametrize("name", [name for name in COMPLETED if RUNS[name].zswap])
def test_zswap__holds_what_was_stored_and_neither_loaded_nor_written_back(name: str) -> None:
    still_there = pl.col("vm_zswpout") - pl.col("vm_zswpin") - pl.col("vm_zswpwb")
    apart = measured(name).filter(SETTLED).select(pl.col("zs_stored_pages") - still_there).to_series()
    modelled = truth.model(RUNS[name])

    assert apart.abs().max() <= MOST_APART
    assert apart.median() == 0
    assert modelled.tier("zswap") == sum(sign * modelled.totals[k] for k, sign in ZSWAP_EVENTS.items())


@pytest.mark.parametrize("name", PLAIN)
def test_measured__without_vswap_every_swapped_page_holds_a_physical_slot(name: str) -> None:
    rows = measured(name).filter(SETTLED)

    assert (rows["slots"] >= rows["swapped"]).all()


def names_of(state: pl.DataFrame) -> int:
    """Count pages with a swap entry, and resident ones that kept their slot: they have a name as well."""
    is_swapped = ~pl.col("is_resident") & (pl.col("backing") != "NONE")
    return state.filter(is_swapped | pl.col("swap_device").is_not_null()).height


def slots_of(result: vl.Result) -> int:
    swapfile = result.tiers.filter(tier="swapfile")
    return int(swapfile["media_bytes"][-1]) // 4096 if swapfile.height else 0


@pytest.mark.parametrize("name", [VSWAP[0], *(pytest.param(name, marks=pytest.mark.slow) for name in VSWAP[1:])])
def test_model__virtual_slots_are_zswap_and_physical_and_zero(name: str) -> None:
    modelled = truth.model(RUNS[name])
    held = [modelled.tier(tier) for tier in ("zswap", "ZERO")]

    assert names_of(modelled.result.state()) == sum(held) + slots_of(modelled.result)


@pytest.mark.parametrize("name", PLAIN)
def test_model__without_vswap_every_swapped_page_holds_a_physical_slot(name: str) -> None:
    modelled = truth.model(RUNS[name])

    assert names_of(modelled.result.state()) == slots_of(modelled.result)


# Linux 7.2 and model alike: the layer takes slots only for what is on the device
@pytest.mark.parametrize("name", [name for name in VSWAP if "m160" in name or name.endswith("zero")])
def test_with_vswap__nothing_on_disk_needs_no_physical_slot(name: str) -> None:
    assert measured(name)["slots"].max() == 0
    assert slots_of(truth.model(RUNS[name]).result) == 0


@pytest.mark.parametrize("name", [name for name in PLAIN if "m160" in name or name.endswith("zero")])
def test_without_vswap__nothing_on_disk_still_needs_a_physical_slot_a_page(name: str) -> None:
    before = measured(name).filter(row="swapoff_before").row(0, named=True)

    assert before["slots"] > before["swapped"] > 47_000  # and what is still in the swap cache
    assert slots_of(truth.model(RUNS[name]).result) > 47_000


# Which runs complete --------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(RUNS))
def test_model__runs_or_ends_in_oom_as_the_kernel_did(name: str) -> None:
    # *_shr: without the dynamic shrinker, which the model lacks; it moves pages from zswap to disk and frees no slot
    modelled = truth.model(RUNS[name])

    assert modelled.is_oom == (name in KILLED)
    assert (modelled.totals["accesses"] < RUNS[name].trace.n_pages + RUNS[name].trace.n_acc) == (name in KILLED)


# vs_zipf_mp10_m160_swapmax16 is left out: the worker of 7.2 writes next to nothing back, the model all it may
@pytest.mark.parametrize("name", [name for name in KILLED if name != "vs_zipf_mp10_m160_swapmax16"])
def test_model__the_pool_at_the_kill_is_as_large_as_measured(name: str) -> None:
    pool = truth.model(RUNS[name]).result.tiers.filter(tier="zswap")["stored_bytes"][-1]

    assert pool == pytest.approx(RUNS[name].kill["cg_zswap_bytes_at_kill"], rel=0.003)


# Not among the listed runs, but measured (vswap facts 5): a device of 16 MiB instead of a limit of 16 MiB
@pytest.mark.slow  # seconds
@pytest.mark.parametrize("has_vswap", [True, False])
def test_model__a_tiny_device_is_like_none_with_vswap_and_not_enough_without(has_vswap: bool) -> None:
    limited = replace(RUNS["vs_zipf_mp20_m160_swapmax16"], has_vswap=has_vswap)
    tiny = truth.model(replace(limited, swap_max=None, swap_device_mib=16))

    assert tiny.is_oom == (not has_vswap)
    assert tiny.tier("zswap") == pytest.approx(45_240 if has_vswap else 3_900, rel=0.002)
    if has_vswap:
        assert tiny.totals == truth.model(limited).totals
        assert tiny.totals == truth.model(replace(limited, swap_max=None, swap_device_mib=0)).totals


# swapoff --------------------------------------------------------------------------------------

# The kernel's memory.max was lifted before swapoff; a machine cannot grow in the middle of a run. So the model's pages
# are counted where swapoff finds them, and what becomes of them is followed by hand and where nothing is to be read.
SWAPOFF = {row["run"]: row for row in truth.table("swapoff.csv").iter_rows(named=True)}
LIFTED_VSWAP = [name for name in SWAPOFF if RUNS[name].has_vswap]
LIFTED_PLAIN = [name for name in SWAPOFF if not RUNS[name].has_vswap]
DISKLESS = [name for name in LIFTED_VSWAP if "m160" in name or name.endswith("zero")]


def swapped_to(result: vl.Result, backing: str) -> int:
    return result.state().filter(~pl.col("is_resident"), backing=backing).height


@pytest.mark.parametrize("name", list(SWAPOFF))
def test_swapoff__finds_as_many_slots_in_use_as_measured(name: str) -> None:
    modelled = truth.model(RUNS[name], swapoff=True)
    event = modelled.result.events.row(0, named=True)

    assert event["slots_in_use"] == slots_of(truth.model(RUNS[name]).result) == event["visits_reverse_map"]
    assert event["slots_in_use"] == pytest.approx(SWAPOFF[name]["swap_slots_used_before"], rel=0.1)
    assert event["visits_page_table"] == RUNS[name].trace.n_pages
    assert event["method"] == ("reverse-map" if RUNS[name].has_vswap else "page-table")


@pytest.mark.parametrize("name", LIFTED_VSWAP)
def test_swapoff__with_vswap_only_what_is_on_disk_is_to_be_read(name: str) -> None:
    row, modelled = SWAPOFF[name], truth.model(RUNS[name])

    assert row["d_zswpin"] == row["d_swpin_zero"] == 0
    assert row["zswap_stored_after"] == row["zswap_stored_before"]
    assert row["pte_swapped_after"] == row["pte_swapped_before"]
    assert (row["d_pswpin"] == 0) == (swapped_to(modelled.result, "SWAPFILE") == 0) == (name in DISKLESS)
    resident_with_slot = slots_of(modelled.result) - swapped_to(modelled.result, "SWAPFILE")
    assert row["d_pswpin"] + row["swapcache_pages_before"] == row["swap_slots_used_before"]
    assert resident_with_slot == pytest.approx(row["swapcache_pages_before"], rel=0.03)


@pytest.mark.parametrize("name", LIFTED_VSWAP)
def test_measured__with_vswap_swapoff_leaves_each_page_a_virtual_slot_without_backing(name: str) -> None:
    row = SWAPOFF[name]

    assert abs(row["swapcache_pages_after"] - row["swap_slots_used_before"]) <= 3
    assert abs(row["vswap_used_after"] - row["vswap_used_before"]) <= 2


@pytest.mark.parametrize("name", LIFTED_PLAIN)
def test_swapoff__without_vswap_everything_swapped_is_to_be_loaded(name: str) -> None:
    row, modelled = SWAPOFF[name], truth.model(RUNS[name])
    swapped = modelled.result.state().filter(~pl.col("is_resident"))

    loaded = row["d_pswpin"] + row["d_zswpin"] + row["d_swpin_zero"]
    assert loaded + row["swapcache_pages_before"] == row["swap_slots_used_before"]
    assert row["d_zswpin"] == row["zswap_stored_before"]
    assert row["pte_swapped_after"] == row["zswap_stored_after"] == 0
    assert swapped["swap_device"].null_count() == 0  # all of them hold a slot of the device
    assert swapped.height == pytest.approx(row["pte_swapped_before"], rel=0.05)


@pytest.mark.parametrize("name", DISKLESS)
def test_swapoff__with_vswap_and_nothing_on_disk_touches_nothing(name: str) -> None:
    before, after = truth.model(RUNS[name]), truth.model(RUNS[name], swapoff=True)
    event = after.result.events.row(0, named=True)

    assert not after.is_oom
    moved = ("pages_read", "pages_loaded", "zero_loaded", "pte_changed", "minor_faults_left", "reclaim_runs")
    assert [event[column] for column in moved] == [0] * len(moved)
    assert after.totals == before.totals
    assert [after.tier(tier) for tier in ("zswap", "ZERO")] == [before.tier(tier) for tier in ("zswap", "ZERO")]


@pytest.mark.parametrize("name", KEPT)
def test_swapoff__under_memory_max_pages_on_disk_end_it_in_oom(name: str) -> None:
    modelled = truth.model(RUNS[name], swapoff=True)

    assert RUNS[name].is_killed
    assert swapped_to(truth.model(RUNS[name]).result, "SWAPFILE") > 20_000
    assert modelled.is_oom


CORPUS = pl.DataFrame({"is_zero": [True, False, False], "lzo_4k": [64, 1_000, 4_096]})
ENGINES = ["vectorised", "reference"]


def small(layer: str, before: list[int], engine: str) -> vl.Result:
    """Push pages 0 (zero), 1 (to zswap) and 2 (to disk, for it does not compress) out, free the rest, read ``before``.

    Then the device goes, and all three are read.
    """
    fill, ballast, after = list(range(11)), list(range(3, 11)), [*before, 0, 1, 2]
    page, op = fill + ballast + after, [1] * 11 + [2] * 8 + [0] * len(after)
    trace = vl.Trace(page, op, content=[0, 1] + [2] * 9, corpus=CORPUS)
    zswap = vl.Zswap(compressor="lzo", store_incompressible=False, max_pool_percent=100)
    machine = vl.Machine(dram=vl.Dram(9, high=1), zswap=zswap, swapfiles=[vl.Swapfile(4)], layer=layer)
    return vl.simulate(trace, machine, engine=engine, events=[vl.swapoff(at=19 + len(before))])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("layer", "moved", "faults"),
    [
        (
            "swap-table",
            {"slots_in_use": 1, "pages_read": 1, "minor_faults_left": 1},
            {"swpin_zero": 1, "zswpin": 1, "swap_cache": 1},
        ),
        ("none", {"slots_in_use": 3, "pages_read": 1, "pages_loaded": 1, "zero_loaded": 1, "pte_changed": 3}, {}),
    ],
)
def test_swapoff__by_hand(engine: str, layer: str, moved: dict[str, int], faults: dict[str, int]) -> None:
    result = small(layer, [], engine)

    columns = ("slots_in_use", "pages_read", "pages_loaded", "zero_loaded", "pte_changed", "minor_faults_left")
    assert result.events.select(columns).row(0, named=True) == dict.fromkeys(columns, 0) | moved
    counters = ("swpin_zero", "zswpin", "swap_cache", "pswpin", "oom")
    assert {name: result.totals[name] for name in counters} == dict.fromkeys(counters, 0) | faults


@pytest.mark.parametrize("engine", ENGINES)
def test_swapoff__a_resident_page_that_kept_its_slot_keeps_its_virtual_slot(engine: str) -> None:
    event = small("swap-table", [2], engine).events.row(0, named=True)

    assert (event["slots_in_use"], event["copies_dropped"], event["pages_read"]) == (1, 1, 0)
    assert event["virtual_slots_left"] == 1


@pytest.mark.parametrize("name", LIFTED_VSWAP)
def test_swapoff__finds_as_many_virtual_slots_as_measured(name: str) -> None:
    event = truth.model(RUNS[name], swapoff=True).result.events.row(0, named=True)

    assert event["virtual_slots"] == pytest.approx(SWAPOFF[name]["vswap_used_before"], rel=0.05)


# Metadata -------------------------------------------------------------------------------------

META = steps_of(read_metadata(truth.DATA))


# The two smallest growths are nine slabs of 8 KiB, of which 3 % cannot be told: there the model is within one slab.
NINE_SLABS = [("no_meta_disk1200", "u25"), ("no_meta_zero", "u25")]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", list(META))
def test_metadata__grows_from_swapon_as_measured_within_3_percent(name: str, step: str) -> None:
    rows = META[name]

    slab = 8 if (name, step) in NINE_SLABS else 0
    assert predicted_kib(rows, step) == pytest.approx(grown_kib(rows, step), rel=0.03, abs=slab)


# The share of each part at 100 %, each design by hand: tests/machine/test_layers.py
@pytest.mark.parametrize("design", ["swap-table-edition", "swap-table-phase-4"])
@pytest.mark.parametrize("name", list(META))
def test_metadata__one_page_in_32_left_frees_no_table(name: str, design: str) -> None:
    rows = META[name]
    full, sparse = clusters(131_072), clusters(131_072, 32)

    assert rows["sparse32"]["pages_swapped_pte"] == rows["u100"]["pages_swapped_pte"] // 32
    assert rows["sparse32"]["d_slab_kib"] >= rows["u100"]["d_slab_kib"]
    assert len(sparse) == len(full) == 257
    assert cluster_metadata_bytes(design, sparse) == cluster_metadata_bytes(design, full) > 0


# CRAM as a tier -------------------------------------------------------------------------------

FAULTS = ("first_touch", "swpin_zero", "zswpin", "pswpin", "cram_soft_fault", "cram_promote")
NO_SWAP = [name for name in CRAM_RUNS if "noswap" in name]
ROOMY = [*NO_SWAP, "cram_zipf_swap"]  # 512 MiB of CRAM: the device never fills up
WITH_WRITES = [name for name in ROOMY if "_ro_" not in name]
FULL = ["cram128_zipf384_swap", "cram128_zipf384_ro_swap"]


def cram_measured(name: str, column: str) -> int:
    """Give a counter's growth from the end of the fill to the last access."""
    table = truth.table("cram_epochs.csv").filter(pl.col("row").is_in(["fill", "epoch"]), run=name)
    return int(table[column][-1] - (table[column][0] or 0))


def on_node(row: dict[str, int]) -> int:
    return sum(row[f"node1_c{k}"] for k in range(5))


def demoted(name: str) -> int:
    return cram_measured(name, "vm_pgdemote_kswapd") + cram_measured(name, "vm_pgdemote_direct")


@pytest.mark.parametrize("name", list(CRAM_RUNS))
def test_cram__the_run_completes_or_ends_in_oom_as_the_kernel_did(name: str) -> None:
    assert truth.model(CRAM_RUNS[name]).is_oom == CRAM_RUNS[name].is_killed


@pytest.mark.parametrize("name", [name for name, run in CRAM_RUNS.items() if run.memory_max is None])
def test_cram__from_settings_alone_the_same_things_happen(name: str) -> None:
    # With the whole node as DRAM fewer pages leave it, so the counts differ; what happens does not.
    run = CRAM_RUNS[name]
    modelled = truth.model(run, truth.whole_node(run))

    assert not modelled.is_oom
    assert not run.is_killed
    assert (modelled.totals["cram_soft_fault"] > 0) == (name in FULL)  # in the swap cache, where it was written out
    assert (modelled.totals["cram_in"] > 0) == bool(run.cram.cram_mib and run.cram.pressure < 1000)
    assert (modelled.after_fill("cram_promote") > 0) == (name in WITH_WRITES or name == "cram128_zipf384_swap")
    assert (modelled.totals["cram_writeback_swapfile"] > 0) == (name in FULL)


def test_cram__reads_alone_never_fault() -> None:
    name = "cram_zipf_ro_noswap"
    modelled = truth.model(CRAM_RUNS[name])

    assert [cram_measured(name, f"code{code}") for code in range(4)] == [300_000, 0, 0, 0]
    assert modelled.after_fill(*FAULTS) == 0
    assert modelled.after_fill("cram_read") > 100_000
    assert modelled.after_fill("cram_in") == 0  # none comes back by being read, so none has to go


@pytest.mark.parametrize("name", WITH_WRITES)
def test_cram__every_fault_is_a_write_to_a_cram_page_and_moves_it(name: str) -> None:
    modelled = truth.model(CRAM_RUNS[name])

    faults = cram_measured(name, "code1")
    assert cram_measured(name, "code2") == cram_measured(name, "code3") == 0
    assert abs(faults - cram_measured(name, "cram_freed_pages")) <= 10
    assert cram_measured(name, "vm_pgpromote_success") == 0
    assert modelled.after_fill(*FAULTS) == modelled.after_fill("cram_promote") > 9_000
    assert modelled.after_fill("dram_hit", "cram_read", "cram_promote") == 300_000


@pytest.mark.parametrize("name", WITH_WRITES)
def test_cram__a_page_comes_in_for_each_that_goes(name: str) -> None:
    modelled = truth.model(CRAM_RUNS[name])

    assert demoted(name) == pytest.approx(cram_measured(name, "code1"), rel=0.1)
    assert modelled.after_fill("cram_in") == pytest.approx(modelled.after_fill("cram_promote"), rel=0.03)
    assert modelled.tier("CRAM") == modelled.totals["cram_in"] - modelled.totals["cram_promote"]


@pytest.mark.parametrize("name", ROOMY)
def test_cram__pages_of_every_content_go_there(name: str) -> None:
    end = at_the_end("cram_epochs.csv", name)
    on_cram = truth.model(CRAM_RUNS[name]).result.state().filter(backing="CRAM")

    for row, share in ((0, 0.05), (4, 0.15)):  # zero pages, and pages that do not compress
        assert end[f"node1_c{row}"] / on_node(end) == pytest.approx(share, rel=0.1)
        assert on_cram.filter(content=row).height / on_cram.height == pytest.approx(share, rel=0.1)


@pytest.mark.parametrize("name", FULL)
def test_cram__when_full_goes_on_to_swap_and_takes_more(name: str) -> None:
    end, modelled = at_the_end("cram_epochs.csv", name), truth.model(CRAM_RUNS[name])
    device_pages = CRAM_RUNS[name].cram.cram_mib << 8

    assert end["n1_nr_inactive_anon"] + end["n1_nr_active_anon"] > 0.99 * device_pages  # swap cache included
    assert modelled.tier("CRAM") > 0.99 * device_pages
    assert cram_measured(name, "n1_nr_vmscan_write") > 0.85 * cram_measured(name, "vm_pswpout")
    assert modelled.after_fill("cram_writeback_swapfile") > 0.7 * modelled.after_fill("pswpout")
    assert demoted(name) > 15_000
    assert modelled.after_fill("cram_in") > 14_000


def test_cram__when_full_swapped_pages_come_back_to_dram() -> None:
    name = "cram128_zipf384_ro_swap"
    modelled = truth.model(CRAM_RUNS[name])

    loaded = modelled.after_fill("pswpin", "swpin_zero")
    assert cram_measured(name, "vm_pswpin") > 15_000
    assert loaded > 15_000
    assert modelled.after_fill("cram_promote") == 0  # so it is the loaded pages that DRAM makes room for
    assert modelled.after_fill("cram_in") == pytest.approx(loaded, rel=0.2)
    assert demoted(name) == pytest.approx(loaded, rel=0.15)


def test_cram__pressure_1000_is_like_no_device() -> None:
    name = "cram_zipf_swap_p1000"
    run = CRAM_RUNS[name]
    closed, none = truth.model(run), truth.model(run, truth.without_cram(run))

    assert demoted(name) == on_node(at_the_end("cram_epochs.csv", name)) == 0
    assert closed.totals["cram_in"] == closed.tier("CRAM") == 0
    for counter in (
        "dram_hit",
        "pswpin",
        "pswpout",
        "swpin_zero",
    ):  # not equal: a victim that is refused is looked at twice
        assert closed.totals[counter] == pytest.approx(none.totals[counter], rel=0.005)


def test_cram__does_not_help_under_memory_max() -> None:
    name = "cram_zipf_m112_swap"
    run = CRAM_RUNS[name]
    with_cram, without = truth.model(run), truth.model(run, truth.without_cram(run))

    assert RUNS["no_zipf_off"].memory_max == run.memory_max
    assert not RUNS["no_zipf_off"].is_killed  # swap alone is enough
    assert not without.is_oom
    assert run.is_killed
    assert with_cram.is_oom
    assert with_cram.totals["pswpout"] == 0  # demotion counts as progress, and frees nothing
    charged = with_cram.tier("CRAM") + machine_of(run).kernel.base_pages + 56  # 56 page tables
    assert with_cram.tier("CRAM") == with_cram.totals["cram_in"]
    assert charged == machine_of(run).dram.capacity_pages
