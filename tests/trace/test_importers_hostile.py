"""A broken or hostile file is one line that names the place; memory stays bounded; what was there stays whole."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import vswaplab as vl
from vswaplab.base.errors import InputError
from vswaplab.cli import main
from vswaplab.trace.importers import footer
from vswaplab.trace.importers.formats import FORMATS, detect
from vswaplab.trace.importers.importer import Limits, import_file
from vswaplab.trace.importers.touches import Asked, Tally

LACKEY = b"==1== Lackey\n L 1000,8\n S 2000,8\n"
DAMO = "intervals: sample 5000 aggr 100000 (x)\n{} addr {} size {} access {} age 5\n"
GOOD = struct.pack("<IQIq", 1, 7, 100, 1) + struct.pack("<IQIq", 2, 7, 100, -1)


def earlier_trace() -> bytes:
    with TemporaryDirectory() as folder:
        return vl.save_trace(vl.Trace([0, 1]), Path(folder) / "trace.parquet").read_bytes()


EARLIER = earlier_trace()


def refusal(content: bytes, tmp_path: Path, **asked: object) -> str:
    (tmp_path / "in").write_bytes(content)
    out = tmp_path / "out.parquet"
    out.write_bytes(EARLIER)

    with pytest.raises(InputError) as caught:
        vl.import_trace(tmp_path / "in", out, **asked)  # type: ignore[arg-type]

    assert out.read_bytes() == EARLIER
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out.parquet"]
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'in'}: ")
    assert "\n" not in text
    return text.removeprefix(f"{tmp_path / 'in'}: ")


@pytest.mark.parametrize(
    ("content", "asked", "says"),
    [
        (b"", {}, "the file is empty"),
        (b"hello\n", {}, "an unknown format (it begins 'hello')"),
        (b"\x7fELF\0\0\0" * 40, {}, "an unknown binary file"),
        (LACKEY + b" L 1000\n", {}, "line 4: expected valgrind's"),
        (LACKEY + b" L fffffffffffffffff,8\n", {}, "line 4: expected valgrind's"),
        (LACKEY + b" S 3000,999999\n", {}, "line 4: size is '999999': expected a whole number, at most 4096"),
        (LACKEY + b"\xff\xfe\n", {}, "line 4 is not text in UTF-8 (byte 0xff)"),
        (LACKEY + b"x" * 70_000, {}, "line 4 is longer than 65536 bytes"),
        (LACKEY + b"x" * 70_000 + b"\n", {}, "line 4 is longer than 65536 bytes"),
        (b"I  1000,3\n" * 9, {}, "no access in it (9 instruction fetches)"),
        (GOOD[:-1], {"format": "oracle-general"}, "byte 24: the last record has 23 bytes of 24"),
        (GOOD + GOOD, {"format": "oracle-general"}, "byte 48: record 2 says that its object is next asked for"),
        (b"page,op\n1,r\n2,x\n", {}, "line 3: op is 'x': expected read, write or free"),
        (b"page,op\n1,r\n-2,r\n", {}, "line 3: page is '-2': expected a whole number or a word"),
        (b"page,op\n1,r\nNaN,r\n", {}, "line 3: page is 'NaN'"),
        (b"page,op\n1,r\n,r\n", {}, "line 3: page is ''"),
        (b"page,op\n1,r\n1.5,r\n", {}, "line 3: page is '1.5'"),
        (b"address\n1\nx\n", {}, "line 3: address is 'x': expected a whole number from 0 to"),
        (b"address,size\n1,99999999999999\n", {}, "line 2: size is '99999999999999'"),
        (b"page,op\n1,r,3\n", {}, "line 2: 3 fields separated by ',', expected 2: '1,r,3'"),
        (b"page,page\n1,2\n", {}, "two columns have the same name"),
        (b"page,address\n1,2\n", {"columns": {"page": 1, "address": 2}}, "several columns name the page"),
        (b"a,b\n1,2\n", {"columns": {"page": "c"}}, "columns: no column 'c' for page: there is a, b"),
        (b"a,b\n1,2\n", {"columns": {"pages": "a"}}, "columns: no role 'pages': choose from page"),
        (b"," * 2000 + b"\n", {"format": "csv"}, "line 1: 2001 columns, expected at most 1000"),
        (DAMO.format(0, "85.582 TiB", "4.000 KiB", "1.000 hz").encode(), {}, "line 2: the addresses are rounded"),
        (DAMO.format(0, 1 << 64, 4096, 1.5).encode(), {}, "line 2: address is"),
        (DAMO.format(0, (1 << 64) - 1, 4096, 1.5).encode(), {}, "line 2: the region ends beyond the last address"),
        (DAMO.format(0, 0, 1 << 60, 50.5).encode(), {}, "line 2: a region of 281,474,976,710,656 pages: raise"),
        (DAMO.format(0, 0, 1 << 22, 50.5).encode() * 2, {"max_pages": 1000}, "line 2: a region of 1,024 pages: raise"),
        (DAMO.format(0, 0, 1 << 21, 9.5).encode() + DAMO.format(0, 1 << 21, 1 << 21, 9.5).encode(), {"max_pages": 1000},
         "more than 1,000 distinct pages (3.9 MiB)"),
        (b"\n" + DAMO.format(0, 0, 4096, 1.5).encode().split(b"\n")[1], {}, "line 2: accesses a second without a line"),
        (b"w-1 [000] 1.5: page_fault_user: address=0x1 ip=0x1\n", {}, "line 1: error_code is ''"),
        (b"w-1 [000] 1.5: mm_other: a=1\n" * 3, {}, "no access in it (3 events mm_other)"),
        (b"w-1 [000] 1.5: block_rq_issue: what\n", {}, "line 1: expected 'MAJOR,MINOR RWBS"),
        (b"w 1 1.5: page-faults: 1000\n", {"events": "x", "format": "ftrace"}, "events 'x' of a trace of tracepoints"),
        (LACKEY, {"columns": {"page": 1}}, "--columns says nothing about lackey (it is for csv, parquet)"),
        (LACKEY, {"default_op": "write"}, "--default-op says nothing about lackey"),
        (b"page,op\n1,r\n", {"events": "foo"}, "--events says nothing about csv (it is for blkparse, ftrace)"),
        (b"page,op\n1,r\n", {"skip_unknown": True}, "--skip-unknown says nothing about csv"),
        (b"PAR1", {"separator": ","}, "--separator says nothing about parquet (it is for csv): leave it out"),
        (LACKEY, {"format": "x"}, "the format must be one of oracle-general"),
        (LACKEY, {"max_accesses": 1}, "more than 1 accesses: raise the limit (--max-accesses)"),
        (LACKEY, {"max_bytes": 10}, "more than 10 B once decompressed"),
        (gzip.compress(LACKEY, mtime=0)[:-9], {}, "the gzip data ends before it is complete"),
        (gzip.compress(LACKEY, mtime=0)[:10] + b"\x07" * 30, {}, "the gzip data is damaged"),
        (b"PAR1" + b"\0" * 50 + b"PAR1", {}, "not a whole Parquet file"),
        (b"PAR1" + b"\xff" * 50 + b"\x10\0\0\0PAR1", {}, "not a whole Parquet file"),
    ],
)  # fmt: skip
def test_import__says_where_a_file_is_wrong(
    content: bytes, asked: dict[str, object], says: str, tmp_path: Path
) -> None:
    if "the format must" in says or "events 'x'" in says:  # wrong whatever the file
        (tmp_path / "in").write_bytes(content)
        with pytest.raises(InputError) as caught:
            vl.import_trace(tmp_path / "in", tmp_path / "out.parquet", **asked)  # type: ignore[arg-type]
        assert says in str(caught.value)
        return
    assert says in refusal(content, tmp_path, **asked)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_import__stops_a_decompression_bomb_in_little_memory(kind: str, tmp_path: Path) -> None:
    if kind == "zstd":
        packer = pytest.importorskip("zstandard", reason="zstandard is not installed (extra 'zstd')").ZstdCompressor()
        bomb = b"".join(packer.compress(b" L 1000,8\n" * 200_000) for _ in range(8))
    else:
        bomb = zlib.compressobj(9, wbits=31)
        bomb = b"".join([*(bomb.compress(b" L 1000,8\n" * 200_000) for _ in range(8)), bomb.flush()])
    assert len(bomb) < 1 << 17  # of 14 MB

    text = refusal(bomb, tmp_path, max_bytes=1 << 22)

    assert "more than 4.0 MiB once decompressed" in text


def test_import__reads_members_of_a_compressed_file_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(LACKEY) + gzip.compress(b" L 1008,8\n"))

    assert vl.import_trace(tmp_path / "a", tmp_path / "a.parquet").page.tolist() == [0, 1, 0]


def test_import__refuses_row_groups_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pl.DataFrame({"page": range(100)}).write_parquet(tmp_path / "a.parquet", row_group_size=50)
    assert [rows for rows, _ in footer.row_groups(tmp_path / "a.parquet")] == [50, 50]
    monkeypatch.setattr(footer, "MAX_GROUP_ROWS", 49)

    with pytest.raises(InputError, match=r"row group 0 has 50 rows .* write the table with smaller row groups"):
        vl.import_trace(tmp_path / "a.parquet", tmp_path / "b.parquet")


def test_import__never_writes_over_its_source(tmp_path: Path) -> None:
    pl.DataFrame({"page": [1]}).write_parquet(tmp_path / "a.parquet")
    (tmp_path / "link.parquet").symlink_to(tmp_path / "a.parquet")

    with pytest.raises(InputError, match="is the file to import"):
        vl.import_trace(tmp_path / "a.parquet", tmp_path / "link.parquet")


def test_import__replaces_an_earlier_trace_and_nothing_else(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out.parquet"
    source.write_bytes(LACKEY)
    out.touch()
    vl.import_trace(source, out)
    assert len(vl.import_trace(source, out)) == len(vl.load_trace(out))

    table = tmp_path / "prices.parquet"
    vl.prices().write_parquet(table)
    text = tmp_path / "thesis.txt"
    text.write_text("it was a dark and stormy night")
    for file in (table, text):
        before = file.read_bytes()
        with pytest.raises(
            vl.InputError,
            match=f"{file.name} is there, and no trace that vswaplab wrote: write the trace somewhere else",
        ):
            vl.import_trace(source, file)
        assert file.read_bytes() == before


def test_import__a_column_called_mapper_that_is_something_else_is_told_the_way_out(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_bytes(b"page,op,mapper\n5,read,worker-a\n")

    with pytest.raises(vl.InputError, match="if it is something else, name the columns to read, such as page=page"):
        vl.import_trace(source, tmp_path / "out.parquet")
    assert len(vl.import_trace(source, tmp_path / "out.parquet", columns={"page": "page", "op": "op"})) == 1


def test_skip_unknown__passes_over_and_counts(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(LACKEY + b"hello from the program\n S 2000,8\n")

    made = import_file(str(tmp_path / "a"), tmp_path / "a.parquet", asked=Asked(skip_unknown=True))

    assert (made.n_accesses, made.passed_over) == (3, {"lines not understood": 1})


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if form.read])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@example(b"")
@given(
    st.one_of(
        st.binary(max_size=400), st.text(max_size=200).map(str.encode), st.from_regex(r"[ -~\n]{0,200}").map(str.encode)
    )
)
def test_readers__give_touches_or_an_input_error(name: str, content: bytes) -> None:
    read = FORMATS[name].read
    assert read is not None

    with contextlib.suppress(InputError):
        for touches in read(io.BytesIO(content), Asked(), Tally()):
            assert touches.key.size == touches.op.size
            assert touches.op.size == 0 or touches.op.max() <= 2
    with contextlib.suppress(InputError):
        assert detect(content) in FORMATS


def test_limits__are_checked() -> None:
    for wrong in ({"max_pages": 0}, {"max_pages": 1 << 31}, {"max_accesses": 0}, {"max_bytes": -1}):
        with pytest.raises(InputError):
            Limits(**wrong)


# The command ---------------------------------------------------------------------------------------


def test_command__imports_tells_and_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mem.txt.gz").write_bytes(gzip.compress(LACKEY))

    assert main(["import", "mem.txt.gz"]) == 0
    told = capsys.readouterr().out
    assert main(["export", "mem.parquet", "mem.csv"]) == 0

    assert (
        "Format lackey: valgrind --tool=lackey --trace-mem=yes\n  2 accesses to 2 pages (8.0 KiB), 1 of them writes"
        in told
    )
    assert told.endswith("Trace: mem.parquet; run it: vswaplab run mem.parquet\n")
    assert Path("mem.csv").read_text() == "page,op\n0,read\n1,write\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nothing.txt"], "nothing.txt: cannot read it: No such file or directory"),
        (["."], ".: cannot read it: Is a directory"),
        (["-"], "standard input has no name"),
        (["a", "--columns", "page"], "--columns: 'page': expected ROLE=COLUMN"),
        (["a", "--columns", "page=2,page=3"], "--columns: two columns for page, 2 and 3: name one"),
        (["a", "--events", "swap"], "a: --events says nothing about lackey (it is for blkparse, ftrace): leave it out"),
        (["a", "--separator", "ab"], "--separator must be one character"),
        (["a", "--max-pages", "many"], "--max-pages must be a whole number of at least 1, such as 1000000 or 4G"),
        (["a", "--default-op", "x"], "the default op must be one of read, write, got 'x'"),
        (["a", "--out", "."], "cannot write the trace to .: it is a folder"),
        (["a", "--out", "no/where.parquet"], "a: cannot write no/where.parquet: No such file or directory"),
    ],
)  # fmt: skip
def test_command__refuses_in_one_line(
    words: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").write_bytes(LACKEY)

    assert main(["import", *words]) == 2

    told = capsys.readouterr().err
    assert told.startswith(f"vswaplab: {says}")
    assert told.count("\n") == 1


@pytest.mark.slow
def test_command__reads_a_pipe_and_ctrl_c_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(EARLIER)
    command = [sys.executable, "-m", "vswaplab.cli", "import", "-", "--format", "lackey", "--out", "a.parquet"]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".writing-*")) and time.monotonic() < deadline:
            process.stdin.write(b" L 1000,8\n" * 100_000)
            process.stdin.flush()
        os.kill(process.pid, signal.SIGINT)
        with contextlib.suppress(BrokenPipeError):
            for _ in range(50):
                process.stdin.write(b" L 1000,8\n" * 100_000)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        assert process.wait(60) == 130
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()

    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]
    assert (tmp_path / "a.parquet").read_bytes() == EARLIER
