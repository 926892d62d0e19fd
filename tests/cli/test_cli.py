"""The command line: what it prints, what it leaves behind, and one line for everything it refuses."""

from __future__ import annotations

import errno
import html
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import vswaplab as vl
from vswaplab import cli
from vswaplab.cli import lab as lab_module
from vswaplab.cli import run as run_module
from vswaplab.cli.streams import Output
from vswaplab.results import folder as folder_module
from vswaplab.results.folder import check_folder
from vswaplab.results.result import RESULT
from vswaplab.trace import files
from vswaplab.trace.files import find_trace

FILES = ["epochs.parquet", "events.parquet", "pages.parquet", "provenance.json", "tiers.parquet", "totals.json"]
PROFILE = '[[profile]]\nname = "mine"\nkind = "cram"\ntitle = "Mine"\nalgorithm = "LZ4"\ngranule_bytes = 1024\n'
PROFILE += 'size_column = "lz4_1k"\nrounding_bytes = 256\nmetadata_bytes = 32\nread_ns = 300\nread_loaded_ns = 900\n'
PROFILE += "write_ns = 600\nstore_ns = 600\nload_ns = 500\nadvertised_ratio = 2.0\nratio = 2.0\nratio_kind = 'x'\n"
PROFILE += "tag = 'A'\nsource = 'x'\ndate = '2026-11-23'\n"

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run every test in a folder with a small trace."""
    monkeypatch.chdir(tmp_path)
    vl.save_trace(vl.zipf(n_pages=300, n_accesses=3_000, seed=1), tmp_path / "small.parquet")
    return tmp_path


def run(*words: str) -> int:
    return cli.main(["run", "small.parquet", "--no-report", *words])


def refusal(capsys: Captured, *words: str) -> str:
    """Run words that must be refused; return the one line on standard error."""
    assert cli.main(list(words)) == 2
    err = capsys.readouterr().err
    assert err.startswith("vswaplab: ")
    assert err.count("\n") == 1
    return err.strip()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# run ------------------------------------------------------------------------------------------


def test_run__prints_machine_table_time_and_verdict(capsys: Captured) -> None:
    assert run() == 0

    out, err = capsys.readouterr()
    assert err == ""
    for words in (
        "Machine four-tiers",
        "DRAM: 480.0 KiB (120 pages)",
        "Effective access time: ",
        "No memory was lost.",
    ):
        assert words in out
    assert "Result: vswaplab-results/zipf-1\n" in out


def test_run__table_is_aligned_and_has_units(capsys: Captured) -> None:
    run()

    lines = capsys.readouterr().out.splitlines()
    top = next(i for i, line in enumerate(lines) if line.startswith("Tier "))
    table = lines[top : top + 7]
    assert [line.split()[0] for line in table[2:]] == ["DRAM", "ZERO", "CRAM", "zswap", "swapfile"]
    assert {len(line) for line in table} == {len(table[0])}
    assert table[1].split() == ["MiB", "MiB", "MiB", "MiB", "ms", "%"]


def test_run__leaves_the_whole_result_behind() -> None:
    assert run("--out", "there") == 0

    assert sorted(contents(Path("there"))) == FILES
    assert vl.load_result("there").totals["accesses"] == 3_000


def test_run__report_is_part_of_the_result(capsys: Captured) -> None:
    assert cli.main(["run", "small.parquet", "--seed", "4", "--out", "there"]) == 0

    page = Path("there/report.html").read_text(encoding="utf-8")
    assert "vswaplab run small.parquet --machine four-tiers --seed 4 --engine vectorised --out there" in page
    assert "open there/report.html" in capsys.readouterr().out
    assert Path("there/residency.svg").read_text(encoding="utf-8").startswith("<svg")


def test_run__json_is_the_only_thing_on_standard_output(capsys: Captured) -> None:
    assert run("--json") == 0

    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert list(document)[:3] == ["totals", "summary", "effective_access_ns"]
    assert document["totals"] == vl.load_result(document["folder"]).totals
    assert document["provenance"]["seed"] == 0
    assert document["is_memory_lost"] is False


def test_run__command_in_the_provenance_gives_the_same_numbers(capsys: Captured) -> None:
    run("--json", "--machine", "small-media", "--set", "dram.capacity_pages=70", "--seed", "9", "--head", "2000")
    first = json.loads(capsys.readouterr().out)
    words = first["provenance"]["command"].split()

    assert words[0] == "vswaplab"
    assert cli.main([*words[1:], "--json", "--no-report"]) == 0
    assert json.loads(capsys.readouterr().out)["totals"] == first["totals"]


@pytest.mark.parametrize("words", [["--engine", "reference"], ["--batch-size", "7"], ["--epoch-accesses", "100"]])
def test_run__speed_settings_change_no_total(words: list[str], capsys: Captured) -> None:
    run("--json")
    plain = json.loads(capsys.readouterr().out)["totals"]

    assert run("--json", *words) == 0
    assert json.loads(capsys.readouterr().out)["totals"] == plain


def test_run__profile_swaps_the_device_and_keeps_the_media(capsys: Captured) -> None:
    Path("mine.toml").write_text(PROFILE, encoding="utf-8")

    assert run("--json", "--profiles", "mine.toml", "--profile", "mine") == 0
    cram = json.loads(capsys.readouterr().out)["provenance"]["machine"]["cram"]
    assert cram["profile"]["name"] == "mine"
    assert cram["advertised_bytes"] == 90 * 4096


def test_run__profile_is_for_a_part_that_a_setting_adds(capsys: Captured) -> None:
    words = ("--machine", "swap-only", "--set", "cram.media_bytes=100KiB", "--profile", "rst")

    assert run("--json", *words) == 0
    cram = json.loads(capsys.readouterr().out)["provenance"]["machine"]["cram"]
    assert (cram["profile"]["name"], cram["media_bytes"]) == ("rst", 100 << 10)


def test_run__machine_file_and_settings(capsys: Captured) -> None:
    Path("m.toml").write_text(
        '[dram]\ncapacity_pages = "1MiB"\n[[swapfiles]]\ncapacity_slots = 900\n', encoding="utf-8"
    )

    assert run("--json", "--machine", "m.toml", "--set", "zswap.compressor=zstd") == 0
    machine = json.loads(capsys.readouterr().out)["provenance"]["machine"]
    assert (machine["dram"]["capacity_pages"], machine["zswap"]["compressor"]["name"]) == (256, "zstd")
    assert machine["cram"] is None


def test_run__a_large_trace_stays_in_its_file(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    run("--json")
    plain = json.loads(capsys.readouterr().out)
    monkeypatch.setattr(files, "LARGE_ACCESSES", 10)
    monkeypatch.setattr(run_module, "_introduce", lambda trace, *_: print(type(trace).__name__))

    assert run("--head", "2000") == 0
    assert capsys.readouterr().out.startswith("TraceFile\n")
    assert run("--json") == 0
    assert json.loads(capsys.readouterr().out) == plain


def test_run__same_name_again_replaces_the_result() -> None:
    run()
    run("--seed", "5")

    assert vl.load_result("vswaplab-results/zipf-1").provenance["seed"] == 5
    assert [path.name for path in Path("vswaplab-results").iterdir()] == ["zipf-1"]


def test_run__memory_that_ran_out_is_said_and_is_no_error(capsys: Captured) -> None:
    assert run("--set", "cram=none", "--set", "zswap=none", "--set", "swapfiles=none") == 0

    assert "Memory ran out (oom)" in capsys.readouterr().out


def test_run__notes_are_one_line_on_standard_error(capsys: Captured) -> None:
    vl.save_trace(vl.Trace([0, 1, 2] * 9, recorder_k=64, name="reduced"), "reduced.parquet")

    assert cli.main(["run", "reduced.parquet", "--no-report"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("vswaplab: note: trace 'reduced' was reduced in blocks of 64 pages")
    assert err.count("\n") == 1


def test_run__alone_takes_a_shipped_trace(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    shipped = pl.DataFrame({"name": ["small.parquet", "zzz"]})
    monkeypatch.setattr(run_module, "shipped_traces", lambda: shipped)

    assert cli.main(["run", "--no-report"]) == 0
    assert capsys.readouterr().out.startswith(
        "Trace zipf-1\n  3,000 accesses to 300 pages (1.2 MiB)\n  what its pages hold is made up: --contents CORPUS"
    )


def test_run__says_whether_contents_are_made_up(capsys: Captured) -> None:
    shutil.copyfile(find_trace("sqlite"), "alone.parquet")
    words = ["--head", "2000", "--no-report"]
    made_up = []
    for source in (["alone.parquet"], ["sqlite"], ["alone.parquet", "--contents", "sqlite"]):
        assert cli.main(["run", *source, *words, "--out", "out"]) == 0
        made_up.append("what its pages hold is made up" in capsys.readouterr().out)
        assert vl.load_result("out").provenance["contents_made_up"] is made_up[-1]

    assert made_up == [True, False, False]


def test_default_trace__is_one_that_is_shipped() -> None:
    assert run_module.DEFAULT_TRACE in vl.shipped_traces()["name"]
    assert run_module.default_trace() == run_module.DEFAULT_TRACE


def test_run__folder_name_of_a_trace_stays_inside_the_results() -> None:
    vl.save_trace(vl.Trace([0, 1], name="../../odd name"), "odd.parquet")

    assert cli.main(["run", "odd.parquet", "--no-report"]) == 0
    assert [path.name for path in Path("vswaplab-results").iterdir()] == ["odd-name"]


def test_run__of_a_file_whose_name_is_not_utf_8_has_a_report() -> None:
    path = vl.save_trace(vl.Trace([0, 1], name="short"), os.fsdecode(b"\xff.parquet"))

    assert cli.main(["run", str(path)]) == 0
    assert r"vswaplab run '\udcff.parquet'" in html.unescape(
        Path("vswaplab-results/short/report.html").read_text(encoding="utf-8")
    )


# Refusals -------------------------------------------------------------------------------------


def write_bad_traces() -> None:
    whole = Path("small.parquet").read_bytes()
    Path("truncated.parquet").write_bytes(whole[: len(whole) // 2])
    Path("nothing.parquet").write_bytes(b"")
    about = {"vswaplab": json.dumps({"n_pages": 100})}
    tables: dict[str, dict[str, list[Any]]] = {
        "no-op": {"page": [1, 2]},
        "text": {"page": ["a"], "op": [0]},
        "half": {"page": [1.5], "op": [0]},
        "missing": {"page": [1, None], "op": [0, 0]},
        "below": {"page": [-1], "op": [0]},
        "op-7": {"page": [1], "op": [7]},
    }
    for name, columns in tables.items():
        pl.DataFrame(columns).write_parquet(f"{name}.parquet")
    pl.DataFrame({"page": [1, 200], "op": [0, 1]}).write_parquet("beyond.parquet", metadata=about)
    pl.DataFrame({"page": [1], "op": [1]}).clear().write_parquet("empty.parquet")
    pl.DataFrame({"page": [1], "op": [1]}).write_parquet("about.parquet", metadata={"vswaplab": "[1]"})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("truncated", "not a whole Parquet file"),
        ("nothing", "not a whole Parquet file"),
        ("empty", "the trace is empty"),
        ("no-op", "no column 'op'"),
        ("text", "column 'page' is String"),
        ("half", "column 'page' is Float64"),
        ("missing", "column 'page' has missing values"),
        ("below", "page -1 at index 0 is out of range"),
        ("beyond", "page 200 at index 1 is out of range 0..99"),
        ("op-7", "op 7 at index 0 is out of range"),
        ("about", "metadata is damaged ([1])"),
    ],
)
def test_run__bad_trace_is_refused(name: str, words: str, capsys: Captured) -> None:
    write_bad_traces()
    line = refusal(capsys, "run", f"{name}.parquet")

    assert f"{name}.parquet" in line
    assert words in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nosuch"], "no trace 'nosuch'"),
        (["--machine", "l" + 300 * "o" + "ng"], "no preset 'looo"),
        (["--machine", "four-teirs"], "no preset 'four-teirs'; nearest: four-tiers"),
        (["--machine", "gone.toml"], "cannot read the machine gone.toml"),
        (["--machine", "broken.toml"], "broken.toml is not TOML"),
        (["--profile", "ocp-spce"], "no cram profile 'ocp-spce'; nearest: ocp-spec"),
        (["--profile", "zstd", "--machine", "swap-only"], "'zstd' is for zswap, which this machine lacks"),
        (["--profile", "rst", "--set", "cram=none"], "profile 'rst' is for cram, which this machine lacks"),
        (["--set", "zswap=none", "--profile", "zstd"], "profile 'zstd' is for zswap, which this machine lacks"),
        (["--profiles", "nan.toml"], "nan.toml: profile 'mine': ratio is nan"),
        (["--profiles", "gone.toml"], "gone.toml"),
        (["--set", "cram.close_at=0.1"], "cram.open_at 0.9 is above cram.close_at 0.1"),
        (["--set", "cram.writeback_low=nan"], "cram.writeback_low must be a share between 0 and 1, got nan"),
        (["--set", "dram"], "'dram' is not name=value"),
        (
            ["--set", "dram.capacity_pages=" + "9" * 30],
            f"dram.capacity_pages={'9' * 30} is larger than this program can count",
        ),
        (["--seed", "x"], "--seed must be a whole number of at least 0, got 'x'"),
        (["--seed", "-1"], "got '-1'"),
        (["--engine", "steam"], "engine must be one of vectorised, reference, got 'steam'"),
        (["--batch-size", "0"], "--batch-size must be a whole number of at least 1, got '0'"),
        (["--epoch-accesses", "1e3"], "--epoch-accesses must be a whole number of at least 1, got '1e3'"),
        (["--head", "0"], "--head must be a whole number of at least 1, got '0'"),
        (["--out", "small.parquet"], "small.parquet: it is a file; choose a folder"),
        (["--out", "/dev/null/x"], "cannot write results to /dev/null/x"),
        (["--out", ""], "out is empty (an unset shell variable?): give a value, or leave it out"),
        (["--out", "."], ". holds files that are not a vswaplab result"),
        (["--out", "other"], "other holds files that are not a vswaplab result"),
    ],
)
def test_run__bad_option_is_refused_and_earlier_results_stay(words: list[str], message: str, capsys: Captured) -> None:
    Path("other").mkdir()
    Path("other/mine.txt").write_text("mine", encoding="utf-8")
    Path("broken.toml").write_text("[dram", encoding="utf-8")
    Path("nan.toml").write_text(PROFILE.replace("ratio = 2.0\nratio_kind", "ratio = nan\nratio_kind"), encoding="utf-8")
    run()
    before = contents(Path("vswaplab-results/zipf-1"))
    capsys.readouterr()
    trace = [] if words[0] == "nosuch" else ["small.parquet"]

    assert message in refusal(capsys, "run", *trace, *words)
    assert contents(Path("vswaplab-results/zipf-1")) == before


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def parquet_no_space(*_: object, **__: object) -> None:
    raise pl.exceptions.ComputeError("parquet: transport error")  # what polars makes of a full disk


@pytest.mark.parametrize(
    ("owner", "name", "fail"),
    [(pl.DataFrame, "write_parquet", parquet_no_space), (Path, "write_text", no_space), (Path, "rename", no_space)],
)
def test_run__full_disk_leaves_the_earlier_result_whole(
    owner: type, name: str, fail: object, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    run("--out", "there")
    before = contents(Path("there"))
    capsys.readouterr()
    monkeypatch.setattr(owner, name, fail)

    assert "cannot write results to there: " in refusal(
        capsys, "run", "small.parquet", "--seed", "1", "--no-report", "--out", "there"
    )
    assert contents(Path("there")) == before
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]


def test_run__folder_without_permission_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    run("--out", "there")
    capsys.readouterr()
    monkeypatch.setattr(folder_module.os, "access", lambda *_: False)

    assert "cannot write results to there: permission denied" in refusal(
        capsys, "run", "small.parquet", "--out", "there"
    )


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("/proc/nowhere/x", "cannot write results to /proc/nowhere/x: No such file or directory; choose another"),
        ("../small.parquet/x", "x: Not a directory; choose another"),
        ("long" * 99 + "/x", "File name too long; choose another"),
        (".", "cannot write results to .: it is the working folder or holds it"),
    ],
)
def test_check_folder__refuses_what_a_result_could_not_be_saved_to(
    folder: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("empty").mkdir()
    monkeypatch.chdir("empty")

    with pytest.raises(vl.InputError, match=words):
        check_folder(folder, RESULT)
    assert not list(Path().iterdir())


def test_check_folder__refuses_a_result_that_one_works_in(monkeypatch: pytest.MonkeyPatch) -> None:
    run("--out", "there")
    Path("there/in").mkdir()
    monkeypatch.chdir("there/in")

    with pytest.raises(vl.InputError, match="the working folder or holds it"):
        check_folder("..", RESULT)


def test_run__a_mount_point_is_refused_and_a_folder_in_it_is_not(tiny_disk: Path, capsys: Captured) -> None:
    line = refusal(capsys, "run", "small.parquet", "--out", str(tiny_disk))

    assert line.endswith(
        f"it is a mount point, and cannot be replaced; choose another folder, such as {tiny_disk}/result"
    )
    assert run("--epoch-accesses", "1000", "--out", f"{tiny_disk}/result") == 0
    assert [path.name for path in tiny_disk.iterdir()] == ["result"]


def test_run__what_else_lies_with_an_earlier_result_stays() -> None:
    run("--out", "there")
    Path("there/analysis").mkdir()
    for name in ("notes.txt", "analysis/plot.py", "report.html"):
        Path("there", name).write_text("mine", encoding="utf-8")
    before = contents(Path("there/analysis"))

    assert run("--seed", "1", "--out", "there") == 0
    assert Path("there/notes.txt").read_text(encoding="utf-8") == "mine"
    assert contents(Path("there/analysis")) == before
    assert not Path("there/report.html").exists()  # of the earlier run
    assert vl.load_result("there").provenance["seed"] == 1
    assert not list(Path().glob(".writing-*"))


def test_save__puts_everything_back_if_a_file_cannot_be_carried_over(monkeypatch: pytest.MonkeyPatch) -> None:
    run("--out", "there")
    for name in ("a.txt", "b.txt"):
        Path("there", name).write_text("mine", encoding="utf-8")
    before, rename, result = contents(Path("there")), Path.rename, vl.load_result("there")
    monkeypatch.setattr(Path, "rename", lambda path, to: no_space() if path.name == "b.txt" else rename(path, to))

    with pytest.raises(vl.InputError, match="cannot write results to there"):
        result.save("there")
    assert contents(Path("there")) == before
    assert not list(Path().glob(".writing-*"))


@pytest.mark.parametrize("provenance", ['{"tool": "mine"}', "[1]", "not JSON", '{"about": 1, "codecs": 1}'])
def test_check_folder__a_provenance_of_another_kind_is_no_earlier_result(provenance: str) -> None:
    Path("proj").mkdir()
    Path("proj/provenance.json").write_text(provenance, encoding="utf-8")

    with pytest.raises(vl.InputError, match="proj holds files that are not a vswaplab result: choose another"):
        check_folder("proj", RESULT)


def test_check_folder__names_a_folder_that_cannot_be_carried_over() -> None:
    run("--out", "there")
    Path("there/report.html").mkdir()

    with pytest.raises(vl.InputError, match=r"has a folder report\.html, which cannot be carried over"):
        check_folder("there", RESULT)


def test_run__follows_a_link_to_an_earlier_result() -> None:
    run("--out", "there")
    Path("link").symlink_to("there")
    before = contents(Path("there"))

    assert run("--seed", "1", "--out", "link") == 0
    assert contents(Path("there")) != before
    assert Path("link").is_symlink()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: VERB"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["run", "--bogus"], "unrecognized arguments: --bogus"),
        (["run", "a", "b"], "unrecognized arguments: b"),
        (["profiles", "x"], "unrecognized arguments: x"),
        (["run", "--swapoff", "-5:0"], "expected one argument, and one that begins with - is written --swapoff=VALUE"),
    ],
)
def test_main__usage_errors_are_one_clear_line(words: list[str], message: str, capsys: Captured) -> None:
    assert cli.main(words) == 2

    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("vswaplab: ")
    assert message in line


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["run", ""], "trace"),
        (["calibrate", ""], "folder"),
        (["validate", "x", "--only", ""], "only"),
        (["reproduce", "--check", "--manifest="], "manifest"),
        (["export", "small.parquet", "x", "--format", ""], "format"),
        (["import", "small.parquet", "--events", ""], "events"),
        (["record", "--out", "", "--", "true", ""], "out"),
    ],
)
def test_main__an_empty_word_is_not_the_default(words: list[str], name: str, capsys: Captured) -> None:
    assert refusal(capsys, *words).startswith(f"vswaplab: {name} is empty (an unset shell variable?)")
    assert [path.name for path in Path().iterdir()] == ["small.parquet"]


# Ctrl-C and pipes -----------------------------------------------------------------------------


class Interrupter:
    """Raises KeyboardInterrupt at its n-th progress report."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __enter__(self) -> Interrupter:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __call__(self, done: int, total: int) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_run__ctrl_c_keeps_what_was_finished(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(run_module, "Progress", lambda _: Interrupter(at=20))

    assert run() == 130
    kept = vl.load_result("vswaplab-results/zipf-1")
    assert kept.provenance["partial"] is True
    assert kept.totals["accesses"] == 20 * 15
    assert "The run was interrupted: this is 300 of 3,000 accesses." in capsys.readouterr().out


def test_run__ctrl_c_while_drawing_keeps_the_tables(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def interrupted(_: vl.Result) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("vswaplab.report.report_html", interrupted)

    assert cli.main(["run", "small.parquet"]) == 130
    assert sorted(contents(Path("vswaplab-results/zipf-1"))) == FILES
    assert "without report.html" in capsys.readouterr().err


def test_run__ctrl_c_before_the_first_step_keeps_the_earlier_result(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    run()
    before = contents(Path("vswaplab-results/zipf-1"))

    def interrupted(trace: vl.TraceFile) -> Iterator[Any]:
        raise KeyboardInterrupt
        yield trace

    monkeypatch.setattr(files, "LARGE_ACCESSES", 0)
    monkeypatch.setattr(vl.TraceFile, "pieces", interrupted)

    assert run() == 130
    assert "nothing is kept" in capsys.readouterr().err
    assert contents(Path("vswaplab-results/zipf-1")) == before


def test_run__ctrl_c_during_setup_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def interrupted(_: str) -> vl.Trace:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "load_or_open", interrupted)

    assert run() == 130
    assert capsys.readouterr().err == "vswaplab: interrupted\n"


@pytest.mark.parametrize("engine", ["vectorised", pytest.param("reference", marks=pytest.mark.slow)])
def test_main__a_real_ctrl_c_ends_the_run_long_before_its_end_and_keeps_what_is_finished(engine: str) -> None:
    trace = vl.zipf(n_pages=20_000, n_accesses=2_000_000, redraw_probability=0.5, corpus=vl.synthetic_corpus())
    vl.save_trace(trace, "long.parquet")  # on either engine far more windows than the test waits for
    words = [
        "run",
        "long.parquet",
        "--no-report",
        "--engine",
        engine,
        "--batch-size",
        "50",
        "--epoch-accesses",
        "2000000",
    ]
    # Half a second where nothing else runs; the whole run takes more than ten.
    took = min(interrupted(*words) for _ in range(2))
    kept = vl.load_result("vswaplab-results/zipf-1")
    n = kept.totals["accesses"]

    assert took < 3
    assert kept.provenance["partial"] is True
    assert 0 < n < 2_000_000
    whole = vl.simulate(vl.load_trace("long.parquet").head(n), vl.preset("four-tiers", 20_000))
    assert kept.totals == whole.totals
    assert_frame_equal(kept.state(), whole.state())


def interrupted(*words: str) -> float:
    """Press Ctrl-C a moment after the run has begun; return the seconds until the process was gone."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "vswaplab.cli", *words]
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("  layer: "):
            pass
        time.sleep(0.5)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        took = time.monotonic() - start
    assert process.returncode == 130, err
    assert "The run was interrupted: this is " in out
    assert "Traceback" not in err
    return took


@pytest.mark.parametrize("library", ["numpy", "polars", "vswaplab.cli.entry"])
def test_main__ctrl_c_while_libraries_are_loaded_is_silent(library: str) -> None:
    code = f"""
import signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == {library!r}:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder())
from vswaplab.cli import main
sys.exit(main(["traces"]))
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def in_a_process(*words: str, **settings: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401 - of subprocess.run
    command = [sys.executable, "-m", "vswaplab.cli", *words]
    return subprocess.run(command, check=False, text=True, timeout=60, **settings)


def test_main__as_a_process_writes_nothing_but_json() -> None:
    done = in_a_process("run", "small.parquet", "--json", "--no-report", capture_output=True)

    assert done.returncode == 0
    assert done.stderr == ""
    assert json.loads(done.stdout)["totals"]["accesses"] == 3_000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [("profiles",), ("profiles", "--json")])  # one buffer, and many
def test_main__standard_output_on_a_full_disk_is_one_line(words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = in_a_process(*words, stdout=full, stderr=subprocess.PIPE)

    assert done.returncode == 2
    assert done.stderr.startswith("vswaplab: standard output: No space left on device")
    assert done.stderr.count("\n") == 1


def test_main__a_title_that_the_terminal_cannot_show_is_written_out() -> None:
    vl.save_trace(vl.Trace([0, 1], name="short", title="日本 é → x"), "odd.parquet")
    latin = os.environ | {"PYTHONIOENCODING": "latin1"}
    done = subprocess.run(
        [sys.executable, "-m", "vswaplab", "run", "odd.parquet", "--no-report"],
        capture_output=True, env=latin, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"Trace short: \\u65e5\\u672c \xe9 \\u2192 x\n")


def test_main__a_name_that_the_terminal_cannot_show_is_written_out_in_a_refusal() -> None:
    latin = os.environ | {"PYTHONIOENCODING": "latin1"}
    done = in_a_process("run", "日本", env=latin, capture_output=True)

    assert done.returncode == 2
    assert done.stderr.startswith(r"vswaplab: no trace '\u65e5\u672c'")


def test_output__keeps_the_bytes_of_a_name_that_is_not_utf_8() -> None:
    under = io.TextIOWrapper(io.BytesIO(), "utf-8", "surrogateescape")
    Output(under).write(os.fsdecode(b"\xff.parquet"))
    under.flush()

    assert under.buffer.getvalue() == b"\xff.parquet"  # type: ignore[attr-defined]


def test_main__a_working_folder_that_is_gone_is_said(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    Path("gone").mkdir()
    monkeypatch.chdir("gone")
    Path("../gone").rmdir()

    assert "the working folder is gone: change to one that is there" in refusal(capsys, "run", "sort", "--head", "9")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EIO, "Input/output error", "there"), "there: Input/output error; see that it is there"),
        (OSError(errno.EIO, "Input/output error"), "a file or pipe that has no name here: Input/output error; see"),
        (OSError(errno.ENOSPC, "No space left"), "No space left; make room, or write elsewhere"),
    ],
)
def test_main__an_error_of_the_system_is_not_blamed_on_standard_output(
    error: OSError, words: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(run_module, "load_or_open", fail)

    assert words in refusal(capsys, "run", "small.parquet")


@pytest.mark.parametrize("closed", [(1,), *(pytest.param(c, marks=pytest.mark.slow) for c in [(0,), (2,), (0, 1, 2)])])
def test_main__a_stream_closed_from_the_start_is_no_error(closed: tuple[int, ...]) -> None:
    shell = " ".join(f"{stream}>&-" for stream in closed)
    words = "run small.parquet --no-report --out there"

    done = subprocess.run(f'"{sys.executable}" -m vswaplab.cli {words} {shell}', shell=True, capture_output=True)
    assert done.returncode == 0
    assert done.stderr == b""
    assert sorted(path.name for path in Path("there").iterdir()) == FILES


def test_main__closed_standard_input_is_an_empty_one(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)

    assert "standard input: the file is empty" in refusal(capsys, "import", "-", "--out", "x.parquet")
    sys.stdin.close()


def test_main__reader_that_leaves_early_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = in_a_process("profiles", "--json", stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)

    assert (done.returncode, done.stderr) == (0, "")


# Other verbs ----------------------------------------------------------------------------------


def test_profiles__lists_every_one_with_its_evidence(capsys: Captured) -> None:
    assert cli.main(["profiles"]) == 0

    out = capsys.readouterr().out
    assert all(name in out for name in vl.profiles()["name"])


def test_profiles__json_has_every_field_and_the_users_own(capsys: Captured) -> None:
    Path("mine.toml").write_text(PROFILE, encoding="utf-8")

    assert cli.main(["profiles", "--json", "--profiles", "mine.toml"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[-1]["name"] == "mine"
    assert list(rows[0]) == vl.profiles().columns


def test_traces__lists_the_shipped_ones(capsys: Captured) -> None:
    assert cli.main(["traces"]) == 0
    out = capsys.readouterr().out
    names = vl.shipped_traces()["name"].to_list() if vl.shipped_traces().height else ["No trace"]
    assert all(name in out for name in names)

    assert cli.main(["traces", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == vl.shipped_traces().height


def test_main__version(capsys: Captured) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"vswaplab {vl.__version__}\n"


@pytest.mark.parametrize("module", ["vswaplab", "vswaplab.cli"])
def test_main__is_what_python_m_runs(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, f"vswaplab {vl.__version__}\n")


def test_main__lists_and_json_start_without_the_plotting_library() -> None:
    code = "import sys; from vswaplab.cli import main; main(['profiles']); print('altair' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout.splitlines()[-1] == "False"


def test_main__puts_the_warning_machinery_back() -> None:
    before = (warnings.showwarning, list(warnings.filters))
    cli.main(["profiles"])

    assert (warnings.showwarning, list(warnings.filters)) == before


# lab ------------------------------------------------------------------------------------------


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Collect the command lines that the process would have become."""
    commands: list[list[str]] = []

    def execv(program: str, command: list[str]) -> None:
        commands.append(command)
        raise SystemExit(0)  # execv does not return either

    monkeypatch.setattr(lab_module.os, "execv", execv)
    return commands


def shipped(folder: Path, name: str) -> Path:
    notebooks = folder / name
    notebooks.mkdir()
    for number in ("01", "02"):
        (notebooks / f"{number}.ipynb").write_text(f"shipped {number}", encoding="utf-8")
    return notebooks


def test_lab__from_a_checkout_opens_its_notebooks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, become: list[list[str]]
) -> None:
    notebooks = shipped(tmp_path, "notebooks")
    monkeypatch.setattr(lab_module, "notebooks_dir", lambda: notebooks)

    assert cli.main(["lab", "--no-browser", "--port=0"]) == 0
    options = ["--ip=127.0.0.1", "--no-browser", "--port=0"]
    assert become == [[sys.executable, "-m", "jupyterlab", *options, str(notebooks)]]


def test_lab__another_address_is_the_user_s_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, become: list[list[str]]
) -> None:
    monkeypatch.setattr(lab_module, "notebooks_dir", lambda: shipped(tmp_path, "notebooks"))

    assert cli.main(["lab", "--ServerApp.ip=::1"]) == 0
    assert "--ip=127.0.0.1" not in become[0]


def test_lab__app_is_voila_on_loopback_with_a_token(monkeypatch: pytest.MonkeyPatch, become: list[list[str]]) -> None:
    monkeypatch.setenv("JUPYTER_PATH", "there")
    monkeypatch.setattr(lab_module.importlib.util, "find_spec", lambda name: name)

    assert cli.main(["lab", "--app", "--port=0"]) == 0
    program, _, module, notebook, *options = become[0]
    assert (program, module, options[-1]) == (sys.executable, "voila", "--port=0")
    assert {"--Voila.ip=127.0.0.1", "--Voila.auto_token=True"} <= set(options)
    assert Path(notebook).is_file()
    assert os.environ["JUPYTER_PATH"].split(os.pathsep) == [str(Path(notebook).parent), "there"]


def test_lab__app_begins_with_a_trace_of_the_user_s(
    monkeypatch: pytest.MonkeyPatch, become: list[list[str]], capsys: Captured
) -> None:
    monkeypatch.setenv("VSWAPLAB_TRACE", "")
    monkeypatch.setattr(lab_module.importlib.util, "find_spec", lambda name: name)
    vl.save_trace(vl.Trace([0, 1]), "mine.parquet")

    assert cli.main(["lab", "--app", "--trace", "mine.parquet"]) == 0
    notebook = json.loads(Path(become[0][3]).read_text(encoding="utf-8"))
    assert os.environ["VSWAPLAB_TRACE"] == str(Path("mine.parquet").resolve())
    assert "VSWAPLAB_TRACE" in "".join(notebook["cells"][0]["source"])
    assert "no trace 'other.parquet'" in refusal(capsys, "lab", "--app", "--trace", "other.parquet")
    assert "--trace is for the explorer" in refusal(capsys, "lab", "--trace", "mine.parquet")


def test_lab__app_without_voila_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(lab_module.importlib.util, "find_spec", lambda name: None)

    assert "pip install 'vswaplab[demo]'" in refusal(capsys, "lab", "--app")


def test_lab__from_a_wheel_copies_first_and_keeps_edits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, become: list[list[str]]
) -> None:
    notebooks = shipped(tmp_path, "_notebooks")
    monkeypatch.setattr(lab_module, "notebooks_dir", lambda: notebooks)
    Path("vswaplab-notebooks").mkdir()
    Path("vswaplab-notebooks/01.ipynb").write_text("mine", encoding="utf-8")

    assert cli.main(["lab"]) == 0
    assert become[0][-1] == "vswaplab-notebooks"
    assert contents(Path("vswaplab-notebooks")) == {"01.ipynb": b"mine", "02.ipynb": b"shipped 02"}


def test_lab__from_a_wheel_brings_the_guide_that_notebooks_link_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, become: list[list[str]]
) -> None:
    notebooks = shipped(tmp_path, "_notebooks")
    (notebooks / "guide" / "figures").mkdir(parents=True)
    for name in ("tables.md", "figures/one.svg"):
        (notebooks / "guide" / name).write_text("shipped", encoding="utf-8")
    monkeypatch.setattr(lab_module, "notebooks_dir", lambda: notebooks)

    assert cli.main(["lab"]) == 0
    assert contents(Path("vswaplab-notebooks/guide/figures")) == {"one.svg": b"shipped"}
    assert Path("vswaplab-notebooks/guide/tables.md").is_file()


def notebook(source: str, *outputs: str) -> str:
    return json.dumps({"cells": [{"cell_type": "code", "source": [source], "outputs": outputs}]})


def test_lab__says_what_it_keeps_that_is_not_of_this_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, become: list[list[str]], capsys: Captured
) -> None:
    notebooks = shipped(tmp_path, "_notebooks")
    (notebooks / "03.ipynb").write_text(notebook("a = 1"), encoding="utf-8")
    monkeypatch.setattr(lab_module, "notebooks_dir", lambda: notebooks)
    assert cli.main(["lab"]) == 0
    Path("vswaplab-notebooks/03.ipynb").write_text(notebook("a = 1", "a run's"), encoding="utf-8")
    assert cli.main(["lab"]) == 0
    assert "Kept" not in capsys.readouterr().out
    (notebooks / "02.ipynb").write_text("newer 02", encoding="utf-8")
    (notebooks / "03.ipynb").write_text(notebook("a = 2"), encoding="utf-8")

    assert cli.main(["lab"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("Kept as they are, not as they came with this version: 02.ipynb, 03.ipynb; delete them, or")


def test_lab__folder_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    notebooks = shipped(tmp_path, "_notebooks")
    monkeypatch.setattr(lab_module, "notebooks_dir", lambda: notebooks)
    Path("vswaplab-notebooks").write_text("a file", encoding="utf-8")

    assert "cannot write vswaplab-notebooks" in refusal(capsys, "lab")


def test_lab__on_a_full_disk_leaves_no_part_of_a_notebook(
    tiny_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    notebooks = shipped(tmp_path, "_notebooks")
    (notebooks / "02.ipynb").write_bytes(bytes(300 << 10))
    monkeypatch.setattr(lab_module, "notebooks_dir", lambda: notebooks)
    monkeypatch.setattr(lab_module, "NOTEBOOKS", tiny_disk)

    assert "No space left on device; change to another folder" in refusal(capsys, "lab")
    assert contents(tiny_disk) == {"01.ipynb": b"shipped 01"}


def test_lab__without_notebooks_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def missing() -> Path:
        raise FileNotFoundError("vswaplab's notebooks folder is missing")

    monkeypatch.setattr(lab_module, "notebooks_dir", missing)

    assert "notebooks folder is missing" in refusal(capsys, "lab")


def test_run__swapoff_is_told_saved_and_in_the_document(capsys: Captured) -> None:
    roomy = ("--set", "dram.capacity_pages=250")
    assert run(*roomy, "--swapoff", "2000:0", "--swapoff", "2500:cram:page-table", "--json") == 0
    document = json.loads(capsys.readouterr().out)

    assert [(row["at"], row["device"], row["method"]) for row in document["events"]] == [
        (2000, "swapfile 0", "reverse-map"),
        (2500, "cram", "page-table"),
    ]
    assert any(sentence.startswith("Before access 2,000 swapfile 0 was taken away") for sentence in document["verdict"])
    assert "--swapoff 2000:0" in document["provenance"]["command"]


@pytest.mark.parametrize("event", ["2000", "x:0", "2000:7", "9999:0", "2000:0:magic", "2000:0:virtual:x"])
def test_run__a_swapoff_that_cannot_be_is_one_line(event: str, capsys: Captured) -> None:
    assert run("--swapoff", event) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_run__layer_none_is_a_layer_and_not_nothing(capsys: Captured) -> None:
    assert run("--set", "layer=none", "--json") == 0
    assert json.loads(capsys.readouterr().out)["provenance"]["machine"]["layer"] == "none"
