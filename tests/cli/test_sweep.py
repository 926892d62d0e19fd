"""``vswaplab sweep``: what it reads, prints, leaves behind and refuses."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import vswaplab as vl
from vswaplab import cli

GRID = """
trace = "small.parquet"
head = 200
machine = "mine.toml"
seeds = [0, 7]
[settings]
"dram.capacity_pages" = ["40KiB", 20]
zswap.max_pool_percent = [5, 20]
"""
MACHINE = "[dram]\ncapacity_pages = 30\n[zswap]\n[[swapfiles]]\ncapacity_slots = 200\n"

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder beside the one that holds the sweep, its trace and its machine."""
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    vl.save_trace(vl.zipf(n_pages=80, n_accesses=400, seed=1), there / "small.parquet")
    (there / "mine.toml").write_text(MACHINE)
    (there / "grid.toml").write_text(GRID)
    return there / "grid.toml"


def refusal(capsys: Captured, *words: str | Path) -> str:
    assert cli.main(["sweep", *map(str, words)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err.strip()


def test_sweep__table_is_that_of_the_function(grid: Path, capsys: Captured) -> None:
    assert cli.main(["sweep", str(grid)]) == 0

    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("Sweep of 4 machines, 2 seed(s) each, on trace zipf-1\n  200 accesses to 80 pages")
    assert "8 rows, 0 of them refused; 0 of 8 runs were there before\n" in out
    folder = Path("vswaplab-results/sweep-grid")
    assert f"Result: {folder}/runs.parquet\n" in out
    trace = vl.load_trace(grid.parent / "small.parquet").head(200)
    machine = vl.Machine(vl.Dram(30), zswap=vl.Zswap(), swapfiles=[vl.Swapfile(200)])
    settings = {"dram.capacity_pages": [10, 20], "zswap.max_pool_percent": [5, 20]}
    expected = vl.sweep(trace, machine, settings, seeds=[0, 7], progress=False)
    assert_frame_equal(pl.read_parquet(folder / "runs.parquet"), expected, check_exact=True)
    about = json.loads((folder / "sweep.json").read_text())
    assert (about["trace_digest"], about["partial"], about["grid"]) == (trace.digest, False, GRID)


def test_sweep__prints_the_best_first_and_aligned(grid: Path, capsys: Captured) -> None:
    cli.main(["sweep", str(grid)])

    lines = capsys.readouterr().out.splitlines()
    top = next(i for i, line in enumerate(lines) if line.startswith("dram.capacity_pages"))
    times = [float(line.split()[3]) for line in lines[top + 2 : top + 7]]
    assert times == sorted(times)
    assert len({len(line) for line in (lines[top], *lines[top + 2 : top + 7])}) == 1


def test_sweep__goes_on_in_its_folder(grid: Path, capsys: Captured) -> None:
    cli.main(["sweep", str(grid), "--out", "o"])
    grid.write_text(GRID.replace("[0, 7]", "[0, 7, 8]"))
    capsys.readouterr()

    assert cli.main(["sweep", str(grid), "--out", "o"]) == 0

    assert "12 rows, 0 of them refused; 8 of 12 runs were there before" in capsys.readouterr().out


def test_sweep__refused_machines_are_counted(grid: Path, capsys: Captured) -> None:
    grid.write_text(GRID.replace("[5, 20]", "[5, 200]"))

    assert cli.main(["sweep", str(grid)]) == 0

    assert "8 rows, 4 of them refused; 0 of 4 runs were there before" in capsys.readouterr().out


def test_sweep__a_machine_whose_memory_ran_out_is_not_the_best(grid: Path, capsys: Captured) -> None:
    grid.write_text(GRID.replace("zswap.max_pool_percent = [5, 20]", '"swapfiles.0.capacity_slots" = [2, 200]'))

    assert cli.main(["sweep", str(grid)]) == 0

    out, err = capsys.readouterr()
    runs = pl.read_parquet("vswaplab-results/sweep-grid/runs.parquet")
    ended = runs.filter(pl.col("oom") == 1)
    assert ended["swapfiles.0.capacity_slots"].unique().to_list() == [2]
    assert all(" of 200 accesses" in note for note in ended["note"])
    assert f"8 rows, 0 of them refused, {ended.height} ended when memory ran out;" in out
    best = out.split("effective access time:\n")[1].split("\n\n")[0].splitlines()
    assert {line.split()[1] for line in best[2:]} == {"200"}
    assert f"{ended.height} of 8 runs ended when memory ran out" in err


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seeds =", "seds =", "grid.toml: 'seds' is not a key of a sweep: did you mean seeds?"),
        ("seeds = [0, 7]", "seeds = 5", "seeds must be a list, such as [0, 1, 2], got 5"),
        ("capacity_pages", "capcity_pages", "is not a setting of a machine: did you mean dram.capacity_pages"),
        ("max_pool_percent", "max_pool", "did you mean zswap.max_pool_percent"),
        ("[5, 20]", "[]", "zswap.max_pool_percent: the list of values is empty"),
        ("[5, 20]", "{ from = 5, to = 20 }", "a grid takes a list of values"),
        ("head = 200", "head = 0", "head must be a whole number of at least 1, got 0"),
        ("head = 200", 'design = "latin"', "design 'latin': did you mean latin-hypercube?"),
        ("head = 200", 'design = "random"', "design 'random' needs n"),
        ("head = 200", "n = 5", "n is for random and latin-hypercube designs"),
        ("small.parquet", "smll", "no trace 'smll'"),
        ("small.parquet", "l" + 300 * "o" + "ng", "no trace 'looo"),
        ("mine.toml", "five-tiers", "no preset 'five-tiers'"),
        ("[settings]", "[setings]", "'setings' is not a key of a sweep: did you mean settings?"),
        ("[settings]", "[settings", "is not TOML"),
    ],
)
def test_sweep__refuses_a_wrong_file_in_one_line(grid: Path, capsys: Captured, old: str, new: str, words: str) -> None:
    grid.write_text(GRID.replace(old, new))

    assert words in refusal(capsys, grid)
    assert not Path("vswaplab-results").exists()


def test_sweep__refuses_wrong_options_in_one_line(grid: Path, capsys: Captured) -> None:
    Path("full").mkdir()
    Path("full/thesis.tex").write_text("mine")

    assert "cannot read the sweep nowhere.toml: No such file" in refusal(capsys, "nowhere.toml")
    assert "full holds files that are not of a sweep" in refusal(capsys, grid, "--out", "full")
    assert "it is a file; choose a folder" in refusal(capsys, grid, "--out", "full/thesis.tex")
    assert "not allowed with argument" in refusal(capsys, grid, "--workers", "2", "--scheduler", "tcp://127.0.0.1:1")


def test_sweep__refuses_a_number_of_workers_that_is_none(grid: Path, capsys: Captured) -> None:
    assert cli.main(["sweep", str(grid), "--workers", "many"]) == 2

    assert capsys.readouterr().err == "vswaplab: --workers must be a whole number from 1 to 1024, got 'many'\n"


def test_sweep__without_dask_says_what_to_install(
    grid: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)

    assert cli.main(["sweep", str(grid), "--scheduler", "tcp://127.0.0.1:1"]) == 2

    assert capsys.readouterr().err == "vswaplab: --scheduler needs dask: pip install 'vswaplab[sweep]'\n"


@pytest.mark.slow
def test_sweep__no_scheduler_there_is_one_line(grid: Path) -> None:
    pytest.importorskip("distributed", reason="dask is not installed: pip install 'vswaplab[sweep]'")
    command = [sys.executable, "-m", "vswaplab.cli", "sweep", grid, "--scheduler", "tcp://127.0.0.1:1"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert done.returncode == 2
    assert done.stderr.startswith("vswaplab: no Dask scheduler at 'tcp://127.0.0.1:1' (")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_sweep__on_a_terminal_a_bar_with_rate_and_time_left(grid: Path) -> None:
    grid.write_text(GRID.replace("[0, 7]", str(list(range(60)))))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "vswaplab.cli", "sweep", grid]

    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=theirs, timeout=60, check=True)

    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "of 240 runs (" in shown
    assert "runs a second, about " in shown
    assert shown.endswith("\r\x1b[K")
