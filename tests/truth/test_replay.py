"""Runs of a kernel in the model: outcome codes, counters, and machines from configurations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import vswaplab as vl
from vswaplab.engine.codes import outcome_codes, tell
from vswaplab.engine.follow import follow
from vswaplab.truth.machines import (
    free_pages,
    machine_of,
    not_modelled,
    other_pages,
    served_before,
    trace_of,
    version_of,
)
from vswaplab.truth.replay import replay
from vswaplab.truth.traces import TraceSettings

TRUTH = Path(__file__).resolve().parents[2] / "data" / "truth"
KERNEL = {run.name: run for run in vl.read_truth(TRUTH / "kernel")}
VSWAP = {run.name: run for run in vl.read_truth(TRUTH / "vswap")}
CORPUS = pl.DataFrame({"is_zero": [True, False, False], "lz4_4k": [64, 1_000, 4_096]})

# Codes ----------------------------------------------------------------------------------------


def test_outcome_codes__by_hand() -> None:
    # three frames, the pool in them: page 0 is zero, 1 goes to zswap, 2 does not compress and goes to disk
    trace = vl.Trace([0, 1, 2, 3, 3, 0, 1, 2], [1] * 4 + [0] * 4, content=[0, 1, 2, 2], corpus=vl.Corpus(CORPUS))
    zswap = vl.Zswap(store_incompressible=False, max_pool_percent=100)
    machine = vl.Machine(vl.Dram(3, high=1), zswap=zswap, swapfiles=[vl.Swapfile(4)])
    events = follow(trace, machine).unique("access", maintain_order=True)["event"].to_list()

    assert events[4:] == ["dram_hit", "swpin_zero", "zswpin", "pswpin"]
    assert outcome_codes(trace, machine).tolist() == [1, 1, 1, 1, 0, 2, 2, 3]


def test_outcome_codes__a_free_has_none_and_a_run_that_ends_has_fewer() -> None:
    trace = vl.Trace([0, 0, 1, 2], [1, 2, 1, 1])

    assert outcome_codes(trace, vl.Machine(vl.Dram(1))).tolist() == [1, 255, 1]


def test_moment__a_hit_that_only_the_swap_cache_knew_is_a_minor_fault() -> None:
    moment = tell(vl.Trace([0, 0, 0]), vl.Machine(vl.Dram(1)), [3]).moments[-1]

    assert moment.codes == [2, 1, 0, 0]
    assert replace(moment, count=moment.count | {"swap_cache": 1}).codes == [1, 2, 0, 0]


@pytest.mark.parametrize("with_codes", [True, False])
def test_tell__looks_at_each_mark_and_says_the_same_with_and_without_codes(with_codes: bool) -> None:
    trace = vl.zipf(n_pages=60, n_accesses=900, seed=4)
    machine = vl.preset("zswap-only", 60)

    story = tell(trace, machine, [100, 250, 900], with_codes=with_codes)
    whole = vl.simulate(trace, machine)

    assert [moment.access for moment in story.moments] == [100, 250, 900]
    assert story.moments[-1].count == {name: whole.totals[name] for name in story.moments[-1].count}
    assert (story.code is None) == (not with_codes)


def test_tell__its_codes_add_up_to_its_counters() -> None:
    trace, machine = vl.zipf(n_pages=60, n_accesses=900, seed=4), vl.preset("four-tiers", 60)
    story = tell(trace, machine, [900])

    assert story.code is not None
    assert np.bincount(story.code, minlength=4).tolist() == story.moments[-1].codes


# Replays --------------------------------------------------------------------------------------


def test_replay__counts_as_its_codes_do() -> None:
    run = replace(KERNEL["zipf_mp20"], trace=TraceSettings("zipf", 2_000, 9_000, 11, 30), memory_max=4 << 20)
    found = replay(run)

    assert found.code is not None
    named = [found.counters[name] for name in ("hits", "swap_cache", "zswap", "disk")]
    assert np.bincount(found.code, minlength=4).tolist() == named
    assert sum(named) == 9_000
    assert found.counters["pswpin"] == found.counters["disk"]
    held = found.counters["zswpout"] - found.counters["zswpin"] - found.counters["zswpwb"]
    assert found.counters["stored_end"] == held > 0


def test_replay__looks_at_the_epochs_of_the_run() -> None:
    run = replace(
        KERNEL["zipf_mp20"], trace=TraceSettings("zipf", 2_000, 9_000, 11, 30), memory_max=4 << 20, epoch_accesses=4_000
    )
    found = replay(run)

    assert found.epochs["access"].to_list() == [4_000, 8_000, 9_000]
    assert found.epochs["stored"][-1] == found.counters["stored_end"] > 0
    assert found.epochs["mapped"].mean() == found.counters["resident_mean"]
    assert (found.epochs["mapped"] + found.epochs["stored"]).max() <= 2_000


@pytest.mark.slow  # seconds
def test_replay__a_loop_larger_than_memory_never_hits_as_in_the_kernel() -> None:
    found = replay(KERNEL["loop_off"])

    assert found.code is not None
    assert (found.code == KERNEL["loop_off"].code).all()


@pytest.mark.slow  # seconds
@pytest.mark.parametrize("name", ["vs_zipf_mp10_m160_noswap", "no_swapoff_zipf_off_kept", "cram_zipf_m112_swap"])
def test_replay__ends_where_the_kernel_killed_the_workload(name: str) -> None:
    found = replay(VSWAP[name])

    assert VSWAP[name].is_killed
    assert found.is_oom
    if name == "vs_zipf_mp10_m160_noswap":
        assert found.zswap_bytes == pytest.approx(VSWAP[name].kill["cg_zswap_bytes_at_kill"], rel=0.003)


# Machines of runs -----------------------------------------------------------------------------


def test_machine_of__follows_the_settings_of_the_run() -> None:
    machine = machine_of(KERNEL["zipf_mp20_m160_nowb"])

    assert machine.dram.capacity_pages == (160 << 20) // 4096
    assert machine.kernel == vl.Kernel(
        "6.12", swappiness=100, base_pages=5, stat_read_accesses=15_000, stat_read_from=65_536
    )
    assert machine.dram.host_pages == 118_297
    assert machine.zswap is not None
    assert (machine.zswap.max_pool_percent, machine.zswap.writeback) == (20, False)
    assert machine.zswap.store_incompressible is False  # 6.12
    assert machine.swapfiles[0].capacity_slots == 2048 * 256 - 1
    assert machine.layer == "none"


def test_machine_of__of_vswap_runs_has_the_layer_and_the_limits() -> None:
    limited, none = machine_of(VSWAP["vs_zipf_mp20_m160_swapmax16"]), machine_of(VSWAP["vs_zipf_mp40_m160_noswap"])

    assert limited.swap_max_slots == 16 * 256
    assert limited.layer == "swap-table"
    assert none.swapfiles == ()
    assert limited.zswap is not None
    assert limited.zswap.store_incompressible is True


def test_machine_of__without_a_limit_starts_with_what_was_free_or_idle() -> None:
    run = KERNEL["global_zipf_mp20"]

    # free, and what others had on lists, less what ZONE_DMA keeps: (53,880 - 3,840) / 256
    assert free_pages(run) == 44_153 + 340 + 429 - 195
    assert machine_of(run).dram.capacity_pages == free_pages(run)
    assert machine_of(run).dram.charge == "host"


@pytest.mark.parametrize("name", [name for name, run in (KERNEL | VSWAP).items() if run.memory_max is not None])
def test_machine_of__a_run_with_a_limit_uses_nothing_that_was_measured(name: str) -> None:
    run = (KERNEL | VSWAP)[name]
    blind = replace(run, epochs=run.epochs.clear(), code=None, swapoff_counts=None, kill=None, noise={})

    assert machine_of(blind) == machine_of(run)


@pytest.mark.parametrize(
    ("kernel", "version"),
    [
        ("6.1.0-9", "6.12"),
        ("6.12.107+deb13-amd64", "6.12"),
        ("7.1.13 + cram", "7.1"),
        ("7.2.11 + vswap", "7.2"),
        ("7.10.1", "7.3"),
    ],
)
def test_version_of__is_the_newest_known_that_is_not_newer(kernel: str, version: str) -> None:
    assert version_of(replace(KERNEL["zipf_off"], kernel=kernel)) == version


def test_version_of__refuses_a_kernel_without_a_version() -> None:
    with pytest.raises(vl.InputError, match="run 'zipf_off': kernel 'mine' does not begin with a version"):
        version_of(replace(KERNEL["zipf_off"], kernel="mine"))


def test_not_modelled__names_what_a_machine_has_no_setting_for() -> None:
    assert not_modelled(KERNEL["zipf_mp20"]) == []
    assert not_modelled(KERNEL["zipf_mp10_shr"]) == []
    assert not_modelled(KERNEL["zipf_mp10_mglru"]) == []
    assert not_modelled(replace(KERNEL["zipf_mp10_mglru"], kernel="7.2.11")) == ["lru_gen"]
    assert not_modelled(KERNEL["zipf_mp10_pc3"]) == ["page-cluster 3 (21 of 21,370 reads were ahead)"]
    assert not_modelled(replace(KERNEL["zipf_mp20"], page_cluster=3, epochs=pl.DataFrame())) == ["page-cluster 3"]
    assert not_modelled(VSWAP["no_zipf_mp10_smp2"]) == ["2 vcpus"]


def test_trace_of__lengths_are_those_that_the_kernel_measured() -> None:
    trace = trace_of(KERNEL["zipf_mp20"])

    assert trace.corpus.sizes("lzo_4k").tolist() == [64, 470, 1284, 2580, 4096]
    assert trace.corpus.is_zero.tolist() == [True, False, False, False, False]


def test_trace_of__without_a_limit_the_pages_of_others_come_first() -> None:
    run = KERNEL["global_zipf_mp20"]
    trace, n = trace_of(run), other_pages(run)

    assert n == 340 + 429  # vm_nr_inactive_anon, vm_nr_active_anon
    assert served_before(run) == n + 65_536 == len(trace) - 300_000 == trace.n_pages
    assert trace.page[: n + 2].tolist() == [*range(65_536, 65_536 + n), 0, 1]
    assert (trace.page[n:] < 65_536).all()  # nobody wants them back
    lengths = trace.corpus.sizes("lzo_4k")[trace.content[65_536:]]
    assert (lengths.min(), lengths.max()) == (64, 4091)
    assert np.bincount(lengths // 1024).tolist() == pytest.approx([183, 195, 195, 195], abs=3)  # evenly spread
    machine = machine_of(run)
    assert machine.kernel is not None
    assert machine.kernel.stat_read_from == served_before(run)


def test_other_pages__are_none_with_a_limit_or_where_nobody_counted() -> None:
    assert other_pages(KERNEL["zipf_mp20"]) == other_pages(VSWAP["nocram_zipf_swap"]) == 0
    assert other_pages(replace(KERNEL["global_zipf_mp20"], epochs=pl.DataFrame())) == 0


def test_trace_of__refuses_contents_that_nobody_measured() -> None:
    run = replace(KERNEL["zipf_mp20"], lengths=None)

    with pytest.raises(vl.InputError, match="nobody measured what lzo makes of its pages: add rows"):
        trace_of(run)
