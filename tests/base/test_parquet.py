"""Parquet files are read in a process that may go down, and this one does not."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import vswaplab as vl
from vswaplab.base import parquet
from vswaplab.base.errors import InputError
from vswaplab.base.parquet import parquet_facts, read_parquet

# A page header in it says -5 values: polars 2.1 asks for 2**61 bytes and aborts.
ABORTS = Path(__file__).parent / "samples" / "page-of-minus-5-values.parquet"
TABLE = pl.DataFrame(
    {
        "number": pl.Series([1, None, 3], dtype=pl.UInt32),
        "text": ["a", "ü", None],
        "list": [[1], [], [2, 3]],
        "category": pl.Series(["x", "y", "x"], dtype=pl.Categorical),
    }
)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    TABLE.write_parquet(tmp_path / "whole.parquet", metadata={"key": "text"})
    return tmp_path / "whole.parquet"


@pytest.fixture
def process(whole: Path) -> int:
    """The process that reads, as it is after a file."""
    read_parquet(whole)
    found = parquet._readers[os.getpid()]._process
    assert found is not None
    return found.pid


def test_read_parquet__gives_what_polars_gives(whole: Path) -> None:
    assert_frame_equal(read_parquet(whole), pl.read_parquet(whole), check_exact=True)
    assert_frame_equal(read_parquet(whole, ["list"], start=1, n_rows=9), TABLE.select("list").slice(1))
    assert read_parquet(whole, n_rows=0).schema == pl.read_parquet(whole).schema


def test_read_parquet__what_the_system_refuses_is_no_damage(whole: Path, tmp_path: Path) -> None:
    for path, kind in ((tmp_path / "none", FileNotFoundError), (tmp_path, IsADirectoryError)):
        with pytest.raises(kind) as caught:
            read_parquet(path)
        assert (caught.value.strerror, caught.value.filename) == (os.strerror(caught.value.errno), str(path))
    assert read_parquet(whole).height == 3


def test_load_trace__too_few_descriptors_are_not_blamed_on_the_file(whole: Path) -> None:
    limit = "import resource, vswaplab as vl; resource.setrlimit(resource.RLIMIT_NOFILE, (7, 7))"
    command = [sys.executable, "-c", f"{limit}; vl.load_trace({str(whole)!r})"]

    done = subprocess.run(command, capture_output=True, text=True)
    line = done.stderr.splitlines()[-1]
    assert f"cannot read the trace {whole}: Too many open files" in line
    assert line.endswith("; give a file that can be read")


def test_parquet_facts__are_those_of_the_file(whole: Path) -> None:
    facts = parquet_facts(whole)
    assert (facts.metadata["key"], facts.schema, facts.n_rows) == ("text", pl.read_parquet_schema(whole), 3)


def test_read_parquet__a_file_that_takes_polars_down_is_refused(whole: Path) -> None:
    alone = subprocess.run(
        [sys.executable, "-c", f"import polars; polars.read_parquet({str(ABORTS)!r})"], capture_output=True, check=False
    )
    assert alone.returncode == -signal.SIGABRT, "polars is mended: find another file that takes it down"

    with pytest.raises(pl.exceptions.ComputeError, match=r"gave up on it: its process ended with SIGABRT"):
        read_parquet(ABORTS)
    assert read_parquet(whole).height == 3


@pytest.mark.parametrize("read", [vl.load_trace, vl.open_trace, vl.load_contents])
def test_readers__refuse_a_file_that_takes_polars_down(read: object) -> None:
    assert callable(read)
    with pytest.raises(InputError, match="SIGABRT"):
        read(ABORTS)


def test_import_trace__refuses_a_file_that_takes_polars_down(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="SIGABRT"):
        vl.import_trace(ABORTS, tmp_path / "out.parquet")


def test_load_result__refuses_a_file_that_takes_polars_down(tmp_path: Path) -> None:
    vl.simulate(vl.zipf(n_pages=60, n_accesses=400, seed=1), vl.preset("four-tiers", 60)).save(tmp_path / "run")
    shutil.copyfile(ABORTS, tmp_path / "run" / "epochs.parquet")
    with pytest.raises(InputError, match="SIGABRT"):
        vl.load_result(tmp_path / "run")


def test_read_parquet__an_answer_that_does_not_come_is_not_waited_for(
    whole: Path, process: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.kill(process, signal.SIGSTOP)
    monkeypatch.setattr(parquet, "_PATIENCE", 0.2)
    with pytest.raises(pl.exceptions.ComputeError, match="no answer in 0 s"):
        read_parquet(whole)
    monkeypatch.undo()
    assert read_parquet(whole).height == 3


def test_read_parquet__starts_again_when_its_process_was_killed(whole: Path, process: int) -> None:
    os.kill(process, signal.SIGKILL)
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    assert read_parquet(whole).height == 3


def test_read_parquet__an_answer_cut_off_by_ctrl_c_is_not_taken_for_the_next(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as changed:
        changed.setattr(socket, "recv_fds", interrupted)
        with pytest.raises(KeyboardInterrupt):
            read_parquet(whole, n_rows=1)
    assert read_parquet(whole).height == 3


def test_read_parquet__a_start_cut_off_by_ctrl_c_is_begun_again(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(parquet, "_readers", {})
    with monkeypatch.context() as changed:
        changed.setattr(socket.socket, "recv", interrupted)
        with pytest.raises(KeyboardInterrupt):
            read_parquet(whole)
    assert parquet._readers[os.getpid()]._process is None
    assert read_parquet(whole).height == 3


def test_read_parquet__may_have_no_more_memory_than_the_machine(process: int) -> None:
    limits = dict(line.rsplit(None, 3)[:2] for line in Path(f"/proc/{process}/limits").read_text().splitlines()[1:])
    assert limits["Max address space"] != "unlimited"


def test_read_parquet__says_when_no_process_can_be_started(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_readers", {})
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    for read in (read_parquet, vl.load_trace, vl.load_contents):
        with pytest.raises(InputError, match=r"^cannot start a process .*status 1.*memory"):
            read(whole)


def test_read_parquet__its_process_ends_with_the_one_that_asks(whole: Path) -> None:
    program = f"""
import os
from vswaplab.base import parquet
parquet.read_parquet({str(whole)!r})
print(parquet._readers[os.getpid()]._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False).stdout
    until = time.monotonic() + 20
    while Path(f"/proc/{int(told)}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{int(told)}").exists() or "Z" in Path(f"/proc/{int(told)}/stat").read_text()
