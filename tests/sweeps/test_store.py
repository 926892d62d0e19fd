"""The store: what is in it is whole, whatever happens to the disk and to the writers."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import vswaplab as vl
from vswaplab.sweeps import run as run_module
from vswaplab.sweeps.store import Store, run_key
from vswaplab.sweeps.worker import SCHEMA

TRACE = vl.zipf(n_pages=80, n_accesses=400, seed=1)
MACHINE = vl.preset("four-tiers", 80)
GRID = {"dram.capacity_pages": list(range(10, 34))}


@pytest.fixture(autouse=True)
def _one_run_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "_CHUNK_SECONDS", 0.0)
    monkeypatch.setattr(run_module, "_TASK_SECONDS", 0.0)


def sweep(store: Path | None) -> tuple[pl.DataFrame, int]:
    """Run the sweep; return the table and how many runs were there before."""
    told: list[int] = []
    runs = vl.sweep(TRACE, MACHINE, GRID, store=store, progress=lambda done, _: told.append(done))
    return runs, told[0]


def rows(n: int, start: int = 0) -> pl.DataFrame:
    keys = [run_key("trace", "machine", seed, "model") for seed in range(start, start + n)]
    return pl.DataFrame({"key": keys, "accesses": range(n)}).select(
        "key", *(pl.col(c) if c == "accesses" else pl.lit(None, t).alias(c) for c, t in SCHEMA.items())
    )


def test_run_key__every_part_matters() -> None:
    keys = {
        run_key(*parts)  # type: ignore[arg-type]
        for parts in (
            ("t", "m", 0, "v"),
            ("u", "m", 0, "v"),
            ("t", "n", 0, "v"),
            ("t", "m", 1, "v"),
            ("t", "m", 0, "w"),
        )
    }
    assert len(keys) == 5


def test_find__gives_what_was_added_and_asked_for(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add(rows(3))
    store.add(rows(2, start=2))  # the third row again

    found = store.find(rows(9)["key"].slice(1))

    assert sorted(found["key"]) == sorted(rows(4)["key"].to_list()[1:])


def test_find__a_table_of_another_version_is_passed_over(tmp_path: Path) -> None:
    old = Store(tmp_path)
    old.add(rows(1))
    path = next(tmp_path.glob("*.parquet"))
    frame = pl.read_parquet(path).drop("poison")
    path.unlink()
    frame.write_parquet(buffer := io.BytesIO())
    (tmp_path / f"{hashlib.sha256(buffer.getvalue()).hexdigest()}.parquet").write_bytes(buffer.getvalue())

    assert old.find(rows(1)["key"]).height == 0


def test_sweep__takes_what_another_sweep_left(tmp_path: Path) -> None:
    first, _ = sweep(tmp_path)
    vl.sweep(TRACE, MACHINE, {"dram.capacity_pages": [10, 50]}, store=tmp_path, progress=False)

    again, kept = sweep(tmp_path)

    assert kept == 24
    assert_frame_equal(again, first, check_exact=True)


def test_sweep__damage_is_seen_and_only_that_is_run_again(tmp_path: Path) -> None:
    whole, _ = sweep(tmp_path)
    cut, flipped, emptied = sorted(tmp_path.glob("*.parquet"))[3:6]
    cut.write_bytes(cut.read_bytes()[:-9])
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 1
    flipped.write_bytes(data)
    emptied.write_bytes(b"")

    with pytest.warns(UserWarning, match=r"3 damaged file\(s\)"):
        again, kept = sweep(tmp_path)

    assert kept == 21
    assert_frame_equal(again, whole, check_exact=True)
    assert sweep(tmp_path)[1] == 24


def test_store__tidies_up_after_writers_that_died_long_ago(tmp_path: Path) -> None:
    old, new = tmp_path / ".writing-old", tmp_path / ".writing-new"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)

    Store(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [".writing-new"]


def test_store__refuses_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")

    with pytest.raises(vl.InputError, match=r"holds thesis.tex, which is not of a sweep"):
        Store(tmp_path)
    with pytest.raises(vl.InputError, match=r"cannot keep results in .*thesis.tex: File exists"):
        Store(tmp_path / "thesis.tex")


def test_sweep__a_full_disk_is_one_line_and_what_was_finished_stays(tiny_disk: Path) -> None:
    with pytest.raises(vl.InputError, match="No space left on device; make room and start again") as caught:
        sweep(tiny_disk)

    assert "\n" not in str(caught.value)
    kept = len(list(tiny_disk.glob("*.parquet")))
    assert 3 <= kept < 24
    assert not list(tiny_disk.glob(".writing-*"))
    subprocess.run(["mount", "-o", "remount,size=8m", tiny_disk], check=True)
    runs, found = sweep(tiny_disk)
    assert found == kept
    assert_frame_equal(runs, sweep(None)[0], check_exact=True)


WRITER = """
import sys, vswaplab as vl
from vswaplab.sweeps import run
run._CHUNK_SECONDS = run._TASK_SECONDS = float(sys.argv[2])
trace, machine = vl.zipf(n_pages=80, n_accesses=400, seed=1), vl.preset("four-tiers", 80)
vl.sweep(trace, machine, {"dram.capacity_pages": list(range(10, 34))}, store=sys.argv[1], progress=False)
"""


@pytest.mark.slow
def test_sweep__two_writers_at_once_leave_one_whole_store(tmp_path: Path) -> None:
    # one with a file a run, one with chunks: the same runs in different files
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, tmp_path, size]) for size in ("0.0", "0.05", "0.0")]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]

    runs, kept = sweep(tmp_path)

    assert kept == 24
    assert not list(tmp_path.glob(".writing-*"))
    assert_frame_equal(runs, sweep(None)[0], check_exact=True)


def test_store__a_note_is_that_of_the_trace_that_was_asked_for(tmp_path: Path) -> None:
    trace, machine = vl.zipf(n_pages=80, n_accesses=400, seed=1), vl.preset("four-tiers", 80)
    reduced = trace.like(recorder_k=64)
    assert trace.digest == reduced.digest
    grid = {"dram.capacity_pages": [10]}

    plain = vl.sweep(trace, machine, grid, store=tmp_path / "store", progress=False)
    with pytest.warns(UserWarning, match="carry a note"):
        told = vl.sweep(reduced, machine, grid, store=tmp_path / "store", progress=False)

    assert plain["note"].to_list() == [None]
    assert "in blocks of 64" in told["note"].item()
