"""The summary table, checked by hand on runs small enough to follow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

import vswaplab as vl
from vswaplab.machine.presets import preset_names
from vswaplab.results.summary import comparison_table, effective_access_ns, summarise, touches, verdict

CORPUS = vl.Corpus(pl.DataFrame({"region": [0], "is_zero": [False], "lz4_4k": [1024], "zstd1_4k": [512]}))
COSTS = vl.Costs(dram_ns=1, fault_ns=10, zero_fill_ns=5, victim_ns=2)


def three_pages() -> vl.Result:
    # Room for 2 pages: page 0 leaves for the swapfile at access 2 and is read back at access 3, page 1 leaves;
    # the read of page 0 stands for 4 touches.
    trace = vl.Trace([0, 1, 2, 0], [1, 1, 1, 0], repeat_reads=[0, 0, 0, 3], corpus=CORPUS, content=[0, 0, 0])
    machine = vl.Machine(
        dram=vl.Dram(capacity_pages=2, low=0, high=1),
        swapfiles=[vl.Swapfile(capacity_slots=8, read_ns=100, bandwidth_bytes_per_s=4096 * 10**9)],
        costs=COSTS,
    )
    return vl.simulate(trace, machine)


def busy(name: str = "cram-writable") -> vl.Result:
    trace = vl.uniform(n_pages=2_000, n_accesses=20_000, seed=2, redraw_probability=0.4)
    return vl.simulate(trace, vl.preset(name, trace.n_pages))


def with_totals(result: vl.Result, **counts: int) -> vl.Result:
    return replace(result, totals=result.totals | counts)


def test_summarise__by_hand() -> None:
    rows = summarise(three_pages()).select(
        "tier", "pages", "stored_bytes", "ratio", "hits", "faults", "demotions", "stall_ns"
    )

    # 3 first touches of 10 + 5; 3 repeats of 1; one read of 10 + 100 + 1
    assert rows.rows() == [
        ("DRAM", 2, 8192, 1.0, 3, 3, 0, 48),
        ("ZERO", 0, 0, None, 0, 0, 0, 0),
        ("swapfile", 1, 4096, 1.0, 0, 1, 2, 111),
    ]


def test_summarise__media_of_the_swapfile_counts_copies_of_resident_pages() -> None:
    assert summarise(three_pages())["media_bytes"].to_list() == [8192, 0, 8192]


def test_summarise__peak_is_over_the_windows() -> None:
    assert summarise(three_pages())["peak_pages"].to_list() == [2, 0, 1]


def test_summarise__shares_of_stall() -> None:
    assert summarise(three_pages())["stall_share"].to_list() == pytest.approx([48 / 159, 0, 111 / 159])


@pytest.mark.parametrize("name", ["four-tiers", "cram-tier", "zswap-only", "swap-only", "cram-writable", "small-media"])
def test_summarise__nothing_is_counted_twice_or_left_out(name: str) -> None:
    result = busy(name)
    table = summarise(result)

    assert table["hits"].sum() + table["faults"].sum() == touches(result) - result.totals["repeat_unserved"]
    assert table["stall_ns"].sum() == result.totals["stall_ns"]
    assert table["pages"].sum() <= result.provenance["n_pages"]  # type: ignore[operator]


def test_summarise__leaves_out_tiers_the_machine_lacks() -> None:
    assert summarise(busy("zswap-only"))["tier"].to_list() == ["DRAM", "ZERO", "zswap", "swapfile"]


def test_summarise__refusals_and_writebacks_of_cram() -> None:
    result = busy("small-media")
    cram = summarise(result).row(by_predicate=pl.col("tier") == "CRAM", named=True)

    assert cram["refusals"] == result.totals["cram_refused"] + result.totals["cram_refused_gate"] > 0
    assert cram["writebacks"] == cram["demotions"] - cram["pages"] - result.totals["cram_promote"]


def test_summarise__a_saved_result_gives_the_same(tmp_path: object) -> None:
    result = three_pages()

    assert summarise(vl.load_result(result.save(f"{tmp_path}/r"))).equals(summarise(result))


def test_summarise__a_run_without_a_finished_window_is_all_zero() -> None:
    result = three_pages()
    nothing = replace(
        result, totals=dict.fromkeys(result.totals, 0), epochs=result.epochs.clear(), tiers=result.tiers.clear()
    )

    assert summarise(nothing)["pages"].to_list() == [0, 0, 0]
    assert effective_access_ns(nothing) == 0


def test_effective_access_ns__repeats_count_as_touches() -> None:
    assert touches(three_pages()) == 7
    assert effective_access_ns(three_pages()) == pytest.approx(159 / 7)


def test_comparison_table__tiers_add_up_to_the_effective_access_time() -> None:
    one, two = three_pages(), busy()
    table = comparison_table({"one": one, "two": two})
    sums = dict(table.group_by("machine").agg(pl.col("access_ns").sum()).rows())

    assert sums == {
        "one": pytest.approx(effective_access_ns(one)),
        "two": pytest.approx(effective_access_ns(two)),
    }


def test_verdict__a_quiet_run() -> None:
    assert verdict(three_pages()) == ["No memory was lost.", "Reclaim always found room."]


def test_verdict__says_every_kind_of_trouble() -> None:
    result = with_totals(busy(), poison=1, sigbus=2, reclaim_fail=3, gate_closed_intervals=1, cram_refused_gate=1_000)

    assert verdict(result)[:3] == [
        "Memory was lost: 1 write in place overran the CRAM media (poison), and 2 accesses found a lost page (sigbus).",
        "Reclaim found no room for 3 victims, which stayed where they were.",
        "CRAM's gate closed 1 time and turned 1,000 pages away.",
    ]


def test_verdict__a_full_device_is_an_inversion_to_be_shown() -> None:
    result = with_totals(busy(), cram_refused_full=29_530)

    words = "29,530 pages passed CRAM by, because every page it shows was taken by a colder one."
    assert words in verdict(result)


def test_verdict__out_of_memory() -> None:
    trace = vl.Trace([0, 1, 2], [1, 1, 1], corpus=CORPUS, content=[0, 0, 0])
    result = vl.simulate(trace, vl.Machine(dram=vl.Dram(capacity_pages=2)))

    assert "Memory ran out (oom): no frame could be freed, so the run ended after 2 of 3 accesses." in verdict(result)


def test_verdict__a_swapoff_that_memory_was_too_short_for_is_no_success() -> None:
    trace = vl.Trace([0, 1, 1], [1, 1, 0], corpus=CORPUS, content=[0, 0])
    machine = vl.Machine(dram=vl.Dram(capacity_pages=1, low=0, high=1), swapfiles=[vl.Swapfile(capacity_slots=9)])
    result = vl.simulate(trace, machine, events=[vl.swapoff(at=2)])

    words = "Before access 2 swapfile 0 could not be taken away: memory ran out; 1 page is still on it."
    assert words in verdict(result)


@pytest.mark.parametrize(("device", "pages"), [("swapfile 0", 3), ("zram", 5), ("cram", 7)])
def test_verdict__counts_what_is_left_on_each_kind_of_device(device: str, pages: int) -> None:
    backing = ["CRAM"] * 7 + ["SWAPFILE"] * 4 + ["ZRAM"] * 5
    slots = [None] * 7 + [0] * 4 + [1] * 5
    state = pl.DataFrame({"backing": backing, "swap_device": slots, "is_resident": [i == 7 for i in range(16)]})
    result, event = three_pages(), pl.DataFrame({"at": [9], "device": [device], "oom": [1]})

    assert f"memory ran out; {pages} pages are" in verdict(replace(result, final=state, events=event))[-1]


def test_verdict__notes_and_interruption_come_last() -> None:
    result = three_pages()
    told = replace(result, provenance=result.provenance | {"notes": ["beware"], "partial": True})

    assert verdict(told)[-2:] == ["Note: beware.", "The run was interrupted: this is 4 of 4 accesses."]


@pytest.mark.parametrize("name", preset_names())
def test_provenance__comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    result = vl.simulate(vl.zipf(n_pages=100, n_accesses=300, seed=1), vl.preset(name, 100))
    result.save(tmp_path / name)
    assert vl.load_result(tmp_path / name).provenance == result.provenance
