"""Any program is recorded: what it touched, through exec and fork, whole or until it was stopped."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import vswaplab as vl
from vswaplab.cli import main
from vswaplab.recorder import emulator, family, guest
from vswaplab.recorder.record import record

READ, WRITE, FREE, FORK, END, MOMENT, CUT, EXEC = range(8)
needs_recorder = pytest.mark.skipif(
    not shutil.which("qemu-x86_64") or not shutil.which("gcc"), reason="no qemu-x86_64 or no gcc"
)

GUEST = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#define PAGE 4096L
int main(int argc, char **argv)
{
    long n = atol(argv[1]);
    volatile char *a = mmap(0, n * PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long i = 0; i < n; i++) a[i * PAGE] = 1;
    for (long i = 0; i < n; i++) (void)a[i * PAGE];
    if (!strcmp(argv[2], "wait")) pause();
    if (!strcmp(argv[2], "abort")) { usleep(200000); abort(); }
    if (!strcmp(argv[2], "fork")) { if (!fork()) { a[0] = 2; _exit(0); } wait(0); }
    if (!strcmp(argv[2], "loop")) for (;;) for (long i = 0; i < n; i++) a[i * PAGE]++;
    char *next[] = {argv[0], "900", "done", 0};
    if (!strcmp(argv[2], "by-file")) fexecve(open(argv[0], O_RDONLY | O_CLOEXEC), next, environ);
    if (!strcmp(argv[2], "by-folder")) syscall(SYS_execveat, open("/", O_PATH), argv[0] + 1, next, environ, 0);
    return !strcmp(argv[2], "fail") ? 3 : 0;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    work = tmp_path_factory.mktemp("program")
    (work / "guest.c").write_text(GUEST)
    subprocess.run(["gcc", "-O1", "-static", "-o", "guest", "guest.c"], cwd=work, check=True)
    return str(work / "guest")


def big_stretch(trace: vl.Trace, n: int) -> bool:
    """Whether n pages in a row are first written in order, each once before the next."""
    writes = trace.page[trace.op == WRITE]
    steps = np.flatnonzero(np.r_[np.diff(writes) != 1, True])
    return bool((np.diff(np.r_[-1, steps]) >= n).any())


# Without the emulator ----------------------------------------------------------------------------


def test_check_tools__says_how_to_install_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator.shutil, "which", lambda _: None)

    with pytest.raises(vl.InputError, match=r"needs qemu-x86_64 and gcc: apt-get install qemu-user gcc libc6-dev"):
        emulator.check_tools()


def test_check_tools__says_where_recording_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator.platform, "machine", lambda: "aarch64")

    with pytest.raises(vl.InputError, match=r"needs Linux on x86-64, this is Linux on aarch64"):
        emulator.check_tools()


def test_guest_command__goes_through_a_script_s_interpreters(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/usr/bin/env sh\necho\n")
    script.chmod(0o755)

    sh = shutil.which("sh")

    assert emulator.guest_command([str(script), "-x"]) == [sh, str(script), "-x"]
    assert emulator.guest_command(["sh", "-c", "ls"]) == [sh, "-c", "ls"]


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("#!/usr/bin/env -S sh -e -u", ["-e", "-u"]),
        ("#!/usr/bin/env -Ssh -e", ["-e"]),
        ("#! /usr/bin/env --split-string=sh -c 'a b' ", ["-c", "a b"]),
        ("#!/usr/bin/env sh  ", []),
    ],
)
def test_guest_command__splits_what_env_would_split(line: str, arguments: list[str], tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(f"{line}\necho\n")
    script.chmod(0o755)

    assert emulator.guest_command([str(script), "-x"]) == [shutil.which("sh"), *arguments, str(script), "-x"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [("-S A=1 sh", "env A=1 in .*: expected a program"), ("-S sh 'a", "No closing quotation"), ("-i", "env -i in")],
)
def test_guest_command__refuses_what_it_cannot_do_for_env(words: str, reason: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!/usr/bin/env {words}\n")
    script.chmod(0o755)

    with pytest.raises(vl.InputError, match=reason):
        emulator.guest_command([str(script)])


def test_guest_command__refuses_what_it_cannot_load(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"\x7fELF\x02\x01" + bytes(12) + b"\xb7\x00")  # AArch64
    other.chmod(0o755)

    with pytest.raises(vl.InputError, match="no program 'no-such-program'"):
        emulator.guest_command(["no-such-program"])
    with pytest.raises(vl.InputError, match="is no program for Linux on x86-64"):
        emulator.guest_command([str(other)])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["record"], "no command to record: vswaplab record [OPTIONS] -- COMMAND ..."),
        (["record", "--max-records", "0", "--", "true"], "--max-records must be a whole number of at least 1"),
        (["record", "--name", "../x", "--", "true"], "the name '../x' is no name for a file"),
        (["record", "--out", "file", "--", "true"], "cannot make file: "),
        (["record", "--sample", "5", "--", "true"], "--sample is for --contents, which is not asked for"),
        (["record", "--out", "other", "--", "true"], "other/traces/true.parquet is there, and no trace that vswaplab"),
    ],
)
def test_command__refuses_in_one_line(
    words: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(emulator, "check_tools", lambda: None)
    Path("file").write_text("")
    Path("other/traces").mkdir(parents=True)
    Path("other/traces/true.parquet").write_text("mine")

    assert main(words) == 2

    told = capsys.readouterr().err
    assert told.startswith(f"vswaplab: {says}")
    assert told.count("\n") == 1


def test_a_program_that_becomes_another_frees_what_it_had(tmp_path: Path) -> None:
    first = [(1, 0, WRITE, 0, 0), (2, 1, WRITE, 0, 0), (3, 1, FREE, 0, 0), (4, 2, READ, 0, 0), (5, 0, END, 0, 0)]
    second = [(6, 0, READ, 0, 0), (7, 1, WRITE, 0, 0), (8, 0, END, 0, 0)]
    np.array(first, family.RECORD).tofile(tmp_path / "records")
    np.array(second, family.RECORD).tofile(tmp_path / "records.0.1")

    rows = family.recorded(tmp_path / "records").table.select("page", "op").rows()

    assert rows == [
        (0, WRITE), (1, WRITE), (1, FREE), (2, READ), (0, FREE), (2, FREE), (3, READ), (4, WRITE),
    ]  # fmt: skip


def test_a_child_that_becomes_another_program_frees_what_it_shared(tmp_path: Path) -> None:
    parent = [(1, 0, WRITE, 0, 0), (2, 1, FORK, 0, 0), (9, 0, READ, 0, 0), (10, 0, END, 0, 0)]
    np.array(parent, family.RECORD).tofile(tmp_path / "records")
    np.array([(3, 1, END, 0, 0)], family.RECORD).tofile(tmp_path / "records.1")
    np.array([(5, 0, WRITE, 0, 0), (6, 1, END, 0, 0)], family.RECORD).tofile(tmp_path / "records.1.1")

    found = family.recorded(tmp_path / "records")

    assert found.table.select("page", "op", "mapper").rows() == [
        (0, READ, 0), (0, FREE, 1), (1, WRITE, 1), (1, FREE, 1), (0, READ, 0),
    ]  # fmt: skip
    assert found.facts["mappers"] == [3, 2]


def test_dumps_of_a_program_that_was_another__have_the_trace_s_numbers(tmp_path: Path) -> None:
    first = [(1, 0, WRITE, 0, 0), (2, 1, WRITE, 0, 0), (3, 0, MOMENT, 0, 0), (4, 0, END, 0, 0)]
    second = [(5, 0, WRITE, 0, 0), (6, 1, MOMENT, 0, 0), (7, 0, WRITE, 0, 0), (8, 0, END, 0, 0)]
    np.array(first, family.RECORD).tofile(tmp_path / "records")
    np.array(second, family.RECORD).tofile(tmp_path / "records.0.1")

    found = family.recorded(tmp_path / "records")

    assert found.table["page"].to_list() == [0, 1, 0, 1, 2, 2]
    assert found.moments == [2, 5]
    assert found.dumps == [(0, 0), (1, 2)]  # the second program's page 0 is page 2 of the trace


# Under the emulator --------------------------------------------------------------------------------


@needs_recorder
def test_record__writes_a_trace_and_a_corpus_that_belong_together(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lz4", reason="lz4 is not installed (extra 'record')")
    monkeypatch.chdir(tmp_path)

    assert main(["record", "--contents", "--name", "mine", "--", program, "500", "fail"]) == 0

    told = capfd.readouterr().out
    assert "Recorded mine: the program ended with status 3" in told
    trace = vl.load_trace("recorded/traces/mine.parquet")
    assert big_stretch(trace, 500)
    assert 500 <= trace.n_pages < 600
    assert trace.recorder_k == 64
    corpus = pl.read_parquet("recorded/corpus/mine.parquet")
    assert corpus["page"].max() < trace.n_pages  # type: ignore[operator]
    last = corpus.filter(pl.col("moment") == corpus["moment"].max())
    assert last.height > 450
    assert last["lz4_4k"].median() == 27  # type: ignore[comparison-overlap] # one byte is not zero: 26 + 1
    assert trace.corpus.table.height == corpus.height
    about = json.loads(pl.read_parquet_metadata("recorded/traces/mine.parquet")["vswaplab"])
    assert main(["run", "recorded/traces/mine.parquet", "--no-report"]) == 0
    assert about["n_accesses"] == about["n_records"] + repeats(trace) - int((trace.op == FREE).sum())


def repeats(trace: vl.Trace) -> int:
    columns = [column for column in (trace.repeat_reads, trace.repeat_writes) if column is not None]
    return sum(int(column.sum()) for column in columns)


@needs_recorder
@pytest.mark.slow
@pytest.mark.parametrize(("mode", "status"), [("abort", -6), ("done", 0)])
def test_record__keeps_what_a_program_did_however_it_ended(
    mode: str, status: int, program: str, tmp_path: Path
) -> None:
    made = record([program, "3000", mode], tmp_path, k=512)

    assert made.ran.status == status
    assert (made.ran.k, made.ran.stopped) == (512, "")
    assert big_stretch(vl.load_trace(made.trace), 2000)


@needs_recorder
@pytest.mark.slow
def test_record__follows_exec_and_children(program: str, tmp_path: Path) -> None:
    words = ["sh", "-c", f"{program} 700 done; exec {program} 900 fork"]

    alone = record(words, tmp_path, name="alone")
    both = record(words, tmp_path, name="both", children=True)

    trace = vl.load_trace(alone.trace)
    assert alone.facts.get("n_processes") is None
    assert big_stretch(trace, 900)
    assert both.facts["n_processes"] == 3  # the shell that becomes the second, its child, the second's child
    family_trace = vl.load_trace(both.trace)
    assert family_trace.mapper is not None
    assert set(family_trace.mapper.tolist()) == {0, 1, 2}
    child = family_trace.page[family_trace.mapper == 1]
    assert np.unique(child).size >= 700
    assert both.facts["n_copies"] >= 1


@needs_recorder
@pytest.mark.slow
@pytest.mark.parametrize("how", ["by-file", "by-folder"])
def test_record__follows_a_program_named_by_an_open_file_or_folder(how: str, program: str, tmp_path: Path) -> None:
    made = record([program, "300", how], tmp_path)

    assert big_stretch(vl.load_trace(made.trace), 900)


@needs_recorder
@pytest.mark.slow
def test_record__contents_of_a_program_that_was_another_are_those_of_its_pages(program: str, tmp_path: Path) -> None:
    pytest.importorskip("lz4", reason="lz4 is not installed (extra 'record')")

    made = record(["sh", "-c", f"exec {program} 300 done"], tmp_path, contents=True)

    trace, corpus = vl.load_trace(made.trace), pl.read_parquet(made.corpus)
    writes = trace.page[trace.op == WRITE]
    last = int(np.flatnonzero(np.diff(writes, prepend=-9) == 1)[-1])
    mine = set(writes[last - 290 : last + 1].tolist())  # of 300 pages in a row
    assert len(mine) > 280
    one_byte = corpus.filter(pl.col("lz4_4k") == 27)["page"].unique().to_list()
    assert len(mine.intersection(one_byte)) > 280


@needs_recorder
@pytest.mark.slow
@pytest.mark.parametrize("limit", ["max_records", "max_pages"])
def test_record__stops_at_a_limit(limit: str, program: str, tmp_path: Path) -> None:
    made = record([program, "5000", "loop"], tmp_path, limits=guest.Limits(**{limit: 3_000}))

    assert made.ran.stopped == f"--{limit.replace('_', '-')}"
    assert vl.load_trace(made.trace).n_pages >= 1000


@needs_recorder
@pytest.mark.slow
@pytest.mark.parametrize("mode", ["wait", "loop"])
def test_command__ctrl_c_keeps_what_was_seen(mode: str, program: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vswaplab.cli", "record", "--out", "r", "--k", "4096", "--", program, "3000", mode]
    # All pages fit into one block: it has to be closed when the order comes, for nothing else closes it.
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not emulators(program) and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "stopped by Ctrl-C; what was seen until then is kept" in out
    assert "Traceback" not in err
    assert big_stretch(vl.load_trace(tmp_path / "r" / "traces" / "guest.parquet"), 3000)
    assert not emulators(program)


@needs_recorder
@pytest.mark.slow
def test_record__ctrl_c_while_it_is_written_costs_nothing(program: str, tmp_path: Path) -> None:
    def press(text: str) -> None:
        assert text == "writing the trace"
        os.kill(os.getpid(), signal.SIGINT)

    made = record([program, "500", "done"], tmp_path, told=press)

    assert big_stretch(vl.load_trace(made.trace), 500)


def emulators(program: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            words = path.read_text().split("\0")
            found += [path.parent.name] if program in words and words[0].endswith("qemu-x86_64") else []
    return found


@needs_recorder
@pytest.mark.slow
def test_record__gives_the_lru_misses_of_the_unreduced_stream(program: str, tmp_path: Path) -> None:
    """Recorded with blocks of one page, which drop next to nothing, and with blocks that grow."""
    fine = vl.load_trace(record([program, "3000", "done"], tmp_path, name="fine", k=1).trace)
    coarse = vl.load_trace(record([program, "3000", "done"], tmp_path, name="coarse").trace)

    assert len(fine) > len(coarse)
    assert coarse.recorder_k == coarse.n_pages // 16  # it grew with the program
    for size in (256, 1000, 2900):
        assert lru_misses(fine, size) == pytest.approx(lru_misses(coarse, size), abs=5)  # addresses differ by a page


def lru_misses(trace: vl.Trace, size: int) -> int:
    held: dict[int, None] = {}
    n_misses = 0
    for page, op in zip(trace.page.tolist(), trace.op.tolist(), strict=True):
        if op == FREE:
            held.pop(page, None)
            continue
        n_misses += page not in held
        held.pop(page, None)
        if len(held) == size:
            del held[next(iter(held))]
        held[page] = None
    return n_misses
