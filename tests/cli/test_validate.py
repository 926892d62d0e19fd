"""``vswaplab validate``: what it prints, what it leaves behind, what it refuses."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

import vswaplab as vl
from vswaplab import cli
from vswaplab.charts.theme import chart_svg
from vswaplab.charts.validation import finding, validation_chart
from vswaplab.engine.codes import outcome_codes
from vswaplab.machine.linux import kernel_memory_bytes
from vswaplab.truth import TruthRun
from vswaplab.truth import validate as validate_module
from vswaplab.truth.machines import machine_of, trace_of
from vswaplab.truth.validate import COUNTER_SCHEMA, RUN_SCHEMA, validate

TRUTH = Path(__file__).resolve().parents[2] / "data" / "truth"
FILES = [
    "counters.csv", "counters.parquet", "provenance.json", "runs.csv", "runs.parquet", "targets.csv",
    "targets.parquet", "validation.html", "validation.svg",
]  # fmt: skip
NAMES = {"hits", "swap_cache", "zswap", "disk", "zswpout", "zswpin", "zswpwb", "pswpin", "pswpout"}
NAMES |= {"resident_mean", "stored_mean", "stored_end"}

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def folder(workplace: Path) -> Path:
    """Make a truth folder of one run, whose kernel does what the model says, but for one access."""
    made = workplace / "mine"
    made.mkdir()
    trace = {"kind": "uniform", "n_pages": 64, "n_acc": 200, "seed": 5, "write_pct": 50}
    limit = kernel_memory_bytes(64) + 40 * 4096
    (made / "runs.json").write_text(json.dumps({"runs": [SETTINGS | {"trace": trace, "memcg": {"memory.max": limit}}]}))
    write_outcomes(made, np.zeros(200, np.uint8), 64)
    run = vl.read_truth(made)[0]
    code = outcome_codes(trace_of(run), machine_of(run))[64:]
    code[0] = 2 if code[0] != 2 else 3
    write_outcomes(made, code, 40)
    return made


def write_outcomes(folder: Path, code: NDArray[np.uint8], n_present: int) -> None:
    packed = np.bitwise_or.reduce(code.reshape(-1, 4) << np.arange(0, 8, 2), axis=1).astype("u1")
    np.savez(folder / "outcomes.npz", only=packed)
    snapshots = [("start", 0), ("fill", 0), ("epoch", 100), ("epoch", 200)]
    counts = [[int((code[:at] == k).sum()) for k in range(4)] for _, at in snapshots]
    rows = [
        ["only", row, at, *n, n_present, n[3], 9 * (row == "epoch")]
        for (row, at), n in zip(snapshots, counts, strict=True)
    ]
    columns = ["run", "row", "access", "code0", "code1", "code2", "code3", "present_c0", "vm_pswpin", "vm_pswpout"]
    pl.DataFrame(rows, schema=columns, orient="row").write_csv(folder / "epochs.csv")


SETTINGS: dict[str, Any] = {
    "run": "only", "config": "only", "rep": 0, "kernel": "7.3.4", "vcpus": 1, "guest_ram_mib": 512,
    "totalram_pages": 1_000, "epoch_accesses": 100, "zswap_enabled": False, "swap_device_mib": 2, "lru_gen": 0,
    "swappiness": 100, "page_cluster": 3, "content": {
        "mix": [{"percent": 100, "k_random_bytes": 4096}], "seed_class": 1, "seed_content": 2,
    },
}  # fmt: skip


def test_validate__prints_tables_and_saves_them_with_a_figure(capsys: Captured, workplace: Path, folder: Path) -> None:
    assert cli.main(["validate", "mine"]) == 0

    told, saved = capsys.readouterr().out, workplace / "vswaplab-results" / "validate-mine"
    assert "only  hits" in told
    assert "99.5 % of single accesses alike" in told
    assert "page-cluster" in told  # a setting of the run that the model lacks
    assert sorted(path.name for path in saved.iterdir()) == FILES
    assert pl.read_parquet(saved / "counters.parquet").height == 12
    assert pl.read_csv(saved / "runs.csv")["run"].to_list() == ["only"]
    assert "<title>" in (saved / "validation.svg").read_text()


def test_validate__no_folder_s_name_need_be_utf_8(workplace: Path, folder: Path) -> None:
    odd = os.fsdecode(b"\xff")
    folder.rename(odd)
    (workplace / f"out{odd}").mkdir()

    assert cli.main(["validate", odd, "--out", f"out{odd}/in"]) == 0
    assert sorted(path.name for path in (workplace / f"out{odd}" / "in").iterdir()) == FILES


def test_validate__again_replaces_its_own_files_only(capsys: Captured, workplace: Path, folder: Path) -> None:
    words = ["validate", str(folder), "--json", "--out", "out"]
    assert cli.main(words) == 0
    (workplace / "out" / "notes.txt").write_text("mine", encoding="utf-8")

    assert cli.main(words) == 0
    assert sorted(path.name for path in (workplace / "out").iterdir()) == sorted([*FILES, "notes.txt"])
    assert cli.main(["measure", "runs.json", "--out", "out"]) == 2
    assert "out holds files that are not a vswaplab measurement" in capsys.readouterr().err


def test_validate__json_has_exactly_these_names(capsys: Captured, folder: Path) -> None:
    assert cli.main(["validate", str(folder), "--json", "--out", "out"]) == 0

    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert set(document) == {"counters", "runs"}
    assert {tuple(sorted(row)) for row in document["counters"]} == {
        ("counter", "high", "kernel", "low", "model", "run")
    }
    assert {row["counter"] for row in document["counters"]} == NAMES
    (run,) = document["runs"]
    assert set(run) == {"run", "agreement", "lru_agreement", "ceiling"}
    assert (run["run"], run["agreement"], run["ceiling"]) == ("only", 0.995, None)


def test_validate__boots_give_the_model_a_range_and_tell_the_targets_that_are_not_met(
    capsys: Captured, folder: Path
) -> None:
    assert cli.main(["validate", str(folder), "--boots", "3", "--out", "out"]) == 0
    told = capsys.readouterr().out
    assert "Boots: 3, which differ in when statistics are flushed" in told
    assert "only  pswpout" in told  # the kernel of this folder wrote nine pages, of many more
    assert "missed" in told
    assert "only: page-cluster 3: 0 pages read ahead (vm_swap_ra)." in told

    assert cli.main(["validate", str(folder), "--boots", "3", "--json", "--out", "out"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert all(row["model_low"] <= row["model"] <= row["model_high"] for row in document["counters"])
    missed = {row["counter"]: row for row in document["targets"] if row["verdict"] == "missed"}
    assert set(missed) == {"disk", "pswpout"}  # the one access that was changed is over 1 % of the reads
    assert not missed["pswpout"]["least"] <= missed["pswpout"]["model_low"] <= missed["pswpout"]["most"]


def test_validate__each_row_is_of_kernel_and_model(folder: Path) -> None:
    found = validate(folder)
    rows = {row["counter"]: row for row in found.counters.iter_rows(named=True)}

    assert abs(rows["zswap"]["kernel"] - rows["zswap"]["model"]) == 1  # the one access
    assert rows["pswpout"]["kernel"] == rows["pswpout"]["low"] == rows["pswpout"]["high"] == 9
    assert rows["pswpout"]["error_percent"] == pytest.approx(100 * (rows["pswpout"]["model"] - 9) / 9)
    assert dict(found.counters.schema) == COUNTER_SCHEMA
    assert dict(found.runs.schema) == RUN_SCHEMA


def test_validate__killed_runs_say_whether_the_model_ends_too() -> None:
    found = validate(TRUTH / "vswap", only="cram_zipf_m112")

    assert found.counters.select("counter", "kernel", "model").rows() == [("oom", 1.0, 1.0)]
    assert found.runs.select("kernel_oom", "model_oom", "agreement").rows() == [(True, True, None)]


def test_validate__swapoff_is_counted_where_it_finds_pages() -> None:
    found = validate(TRUTH / "vswap", only="vs_swapoff_zero")
    rows = {row["counter"]: row for row in found.counters.iter_rows(named=True)}

    assert rows["swapoff_slots"]["kernel"] == rows["swapoff_slots"]["model"] == 0
    assert rows["swapoff_zero"]["kernel"] == rows["swapoff_zero"]["model"] == 0
    assert rows["vs_used"]["kernel"] == rows["swapoff_entries"]["kernel"] == 49_309
    assert rows["vs_used"]["error_percent"] == pytest.approx(0, abs=1)


def test_validate__slab_metadata_is_among_the_counters() -> None:
    found = validate(TRUTH / "vswap", only="vs_meta_zero")

    assert found.runs.height == 0
    assert found.counters["counter"].to_list() == [f"slab_kib_{s}" for s in ("u25", "u50", "u75", "u100", "sparse32")]
    assert found.counters["error_percent"].abs().max() < 3


@pytest.mark.slow  # seconds
def test_validate__repetitions_share_one_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    replayed: list[str] = []
    original = validate_module.replay

    def noted(run: TruthRun, machine: vl.Machine, **settings: object) -> object:
        replayed.append(run.name)
        return original(run, machine, **settings)

    monkeypatch.setattr(validate_module, "replay", noted)
    reports: list[tuple[int, int]] = []

    found = validate(
        TRUTH / "vswap", only="vs_swapoff_zipf_mp40", progress=lambda done, total: reports.append((done, total))
    )

    assert replayed == ["vs_swapoff_zipf_mp40_m160"]
    assert found.runs["run"].to_list() == ["vs_swapoff_zipf_mp40_m160", "vs_swapoff_zipf_mp40_m160.r1"]
    assert reports[-1] == (125_536, 125_536)


@pytest.mark.slow  # seconds
def test_validate__after_ctrl_c_keeps_what_was_finished(
    capsys: Captured, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = validate_module.replay

    def interrupted(run: TruthRun, machine: vl.Machine, **settings: object) -> object:
        if run.name.endswith("zipf_off"):
            raise KeyboardInterrupt
        return original(run, machine, **settings)

    monkeypatch.setattr(validate_module, "replay", interrupted)

    assert cli.main(["validate", str(TRUTH / "vswap"), "--only", "vs_swapoff_z", "--out", "out"]) == 130
    kept = pl.read_parquet(workplace / "out" / "runs.parquet")["run"].to_list()
    assert kept == [
        "vs_swapoff_zero",
        "vs_swapoff_zipf_mp40_m160",
        "vs_swapoff_zipf_mp40_m160.r1",
        "vs_swapoff_zipf_mp5",
    ]
    assert json.loads((workplace / "out" / "provenance.json").read_text())["partial"] is True
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "nowhere is not a folder: give one that holds runs.json or cram_runs.json"),
        (["."], ". holds no runs.json and no cram_runs.json"),
        ([str(TRUTH / "kernel"), "--only", "xyz"], "has 'xyz' in its name: it has global_zipf_mp20"),
        ([str(TRUTH / "kernel"), "--out", str(TRUTH)], "holds files that are not a vswaplab validation"),
        ([], "the following arguments are required: DIR"),
    ],
)
def test_validate__refuses_in_one_line(capsys: Captured, words: list[str], told: str) -> None:
    assert cli.main(["validate", *words]) == 2

    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1


def test_validate__progress_goes_to_standard_error_only(capsys: Captured, folder: Path) -> None:
    assert cli.main(["validate", str(folder), "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["runs"]


# Figure ---------------------------------------------------------------------------------------


def rows(*errors: tuple[float, float, float, float]) -> pl.DataFrame:
    """Make counters of kernel, low, high, model."""
    table = [
        (f"run{i}", "zswap", f"counter{i}", k, low, high, m, m, m, 100 * (m - k) / k if k else None)
        for i, (k, low, high, m) in enumerate(errors)
    ]
    return pl.DataFrame(table, schema=COUNTER_SCHEMA, orient="row")


ONE_RUN = ("a", "zswap", 0.5, 0.5, 0.25, None, False, False, "", None, None, "")


def test_finding__counts_what_is_near_or_inside_the_range() -> None:
    runs = pl.DataFrame([ONE_RUN], schema=RUN_SCHEMA, orient="row")
    counters = rows((100, 100, 100, 102), (100, 80, 120, 119), (100, 100, 100, 103), (0, 0, 0, 5))

    assert finding(counters, runs) == (
        "2 of 4 counters within 2 % or the kernel's own range; 50.0 % of single accesses alike (median)"
    )
    assert finding(counters, runs.clear()) == "2 of 4 counters within 2 % or the kernel's own range"


def test_validation_chart__tells_near_from_inside_the_range_and_load_by_shape() -> None:
    counters = rows((100, 100, 100, 102), (100, 80, 120, 119), (100, 100, 100, 103))
    spec = validation_chart(
        counters.with_columns(load=pl.Series(["calm", "full", "full"])), pl.DataFrame(schema=RUN_SCHEMA)
    ).to_dict()

    points = next(layer for layer in spec["vconcat"][0]["layer"] if layer["mark"]["type"] == "point")
    drawn = spec["datasets"][points["data"]["name"]]
    assert [row["where"].split(",")[0] for row in drawn] == ["within 2 %", "further off", "outside both"]
    assert points["encoding"]["shape"]["scale"]["domain"] == ["calm", "full"]


def test_validation_chart__draws_the_models_hits_beside_those_of_lru_if_it_has_them() -> None:
    runs = pl.DataFrame([ONE_RUN], schema=RUN_SCHEMA, orient="row")
    for table, n in ((runs, 2), (runs.with_columns(model_hits=0.75), 3)):
        spec = validation_chart(rows((1, 1, 1, 1)), table).to_dict()["vconcat"][1]
        assert len(spec["encoding"]["color"]["scale"]["domain"]) == n


def test_validation_chart__legends_have_the_marks_of_the_plot_and_no_other() -> None:
    runs = pl.DataFrame([ONE_RUN], schema=RUN_SCHEMA, orient="row")  # the kernel ran once
    chart = validation_chart(rows((100, 100, 100, 150)), runs)
    spec = chart.to_dict()

    assert chart_svg(chart).count(">outside both<") == 1
    points = next(layer for layer in spec["vconcat"][0]["layer"] if layer["mark"]["type"] == "point")
    legends = {str(points["encoding"][look]["legend"]) for look in ("stroke", "fill", "shape")}
    assert len(legends) == 1
    assert points["encoding"]["shape"]["scale"]["range"][2] == "cross"
    assert spec["vconcat"][1]["encoding"]["shape"]["scale"]["domain"] == [
        "the model, all four outcomes",
        "exact LRU of the measured size, hit or miss only",
    ]
    repeated = validation_chart(rows((1, 1, 1, 1)), runs.with_columns(ceiling=0.9)).to_dict()["vconcat"][1]
    assert repeated["encoding"]["shape"]["scale"]["domain"][-1] == "lowest between repetitions of the kernel"


def test_validation_chart__says_what_it_leaves_out_and_describes_itself() -> None:
    runs = pl.DataFrame([ONE_RUN], schema=RUN_SCHEMA, orient="row")
    spec = validation_chart(rows((100, 100, 100, 102), (0, 0, 0, 5)), runs).to_dict()

    assert spec["title"]["subtitle"] == ["1 counters that the kernel has at 0 and the model not are left out."]
    assert "counter0 2.0 %" in spec["description"]
    assert len(spec["vconcat"]) == 2
    assert len(validation_chart(rows((1, 1, 1, 1)), runs.clear()).to_dict()["vconcat"]) == 1
