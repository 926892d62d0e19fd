"""Each format's real sample becomes the accesses that a plain reading of it gives, and comes back from an export."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vswaplab as vl
from vswaplab.trace.importers import damo
from vswaplab.trace.importers.importer import import_file
from vswaplab.trace.importers.numbers import Numbers
from vswaplab.trace.importers.oracle import RECORD

SAMPLES = Path(__file__).parent / "samples"
KEEP = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=15)
READ, WRITE, FREE = 0, 1, 2


def plain(name: str) -> list[str]:
    content = (SAMPLES / name).read_bytes()
    return (gzip.decompress(content) if name.endswith(".gz") else content).decode().splitlines()


# Plain readings of the samples: (key, op) of every touch ------------------------------------------


def lackey() -> Iterator[tuple[object, int]]:
    for line in plain("lackey.txt.gz"):
        if line[:2] in (" L", " S", " M"):
            address, size = line[3:].split(",")
            first, last = int(address, 16) // 4096, (int(address, 16) + int(size) - 1) // 4096
            yield from ((page, READ if line[1] == "L" else WRITE) for page in range(first, last + 1))


def perf() -> Iterator[tuple[object, int]]:
    for line in plain("perf.txt"):
        _, process, _, _, address = line.split()
        yield (process, int(address, 16) // 4096), READ


def faults(name: str) -> Iterator[tuple[object, int]]:
    for line in plain(name):
        if found := re.search(r"page_fault_user: +address=0x(\w+) .*error_code=0x(\w+)", line):
            process = re.search(r"\( *(\d+)\) +\[|[- ](\d+)(?:/\d+)? .*?\[", line)
            assert process is not None
            yield (process[1] or process[2], int(found[1], 16) // 4096), WRITE if int(found[2], 16) & 2 else READ


def entries() -> Iterator[tuple[object, int]]:
    for line in plain("bpftrace.txt.gz")[1:]:
        yield line.split("=")[1], READ if "swap_in" in line else WRITE


def queued() -> Iterator[tuple[object, int]]:
    for line in plain("blkparse.txt.gz"):
        words = line.split()
        if len(words) > 8 and words[5] == "Q":
            sector, count = int(words[7]), int(words[9])
            yield from (
                (slot, READ if words[6] == "R" else WRITE) for slot in range(sector // 8, (sector + count) // 8)
            )


def issued() -> Iterator[tuple[object, int]]:
    for line in plain("ftrace.txt.gz"):
        if found := re.search(r"block_rq_issue: 254,0 (\w+) \d+ \(\) (\d+) \+ (\d+) ", line):
            slots = range(int(found[2]) // 8, (int(found[2]) + int(found[3])) // 8)
            yield from ((slot, READ if found[1] == "R" else WRITE) for slot in slots)


def reclaimed() -> Iterator[tuple[object, int]]:
    for line in plain("ftrace.txt.gz"):
        if found := re.search(r"mm_vmscan_write_folio: .*pfn=0x(\w+) ", line):
            yield int(found[1], 16), WRITE


def vscsi() -> Iterator[tuple[object, int]]:
    for line in plain("vscsi.csv")[1:]:
        _, _, op, size, sector = line.split(",")
        first, last = int(sector) * 512 // 4096, (int(sector) * 512 + int(size) - 1) // 4096
        yield from ((page, WRITE if op == "2a" else READ) for page in range(first, last + 1))


def regions() -> Iterator[tuple[object, int]]:
    for line in plain("damon-tracepoint.txt"):
        start, end, samples = map(int, re.findall(r"(\d+)-(\d+): (\d+) ", line)[0])
        yield from ((page, READ) for page in range(start // 4096, -(-end // 4096)) if samples)


CASES = {
    "lackey": ("lackey.txt.gz", "lackey", "", lackey),
    "perf": ("perf.txt", "perf", "", perf),
    "perf script of a tracepoint": ("perf-tracepoint.txt", "ftrace", "", lambda: faults("perf-tracepoint.txt")),
    "ftrace, faults": ("ftrace.txt.gz", "ftrace", "", lambda: faults("ftrace.txt.gz")),
    "ftrace, block": ("ftrace.txt.gz", "ftrace", "block", issued),
    "ftrace, reclaim": ("ftrace.txt.gz", "ftrace", "reclaim", reclaimed),
    "trace-cmd": ("trace-cmd.txt", "ftrace", "", lambda: faults("trace-cmd.txt")),
    "bpftrace": ("bpftrace.txt.gz", "ftrace", "", entries),
    "blkparse": ("blkparse.txt.gz", "blkparse", "", queued),
    "damon tracepoint": ("damon-tracepoint.txt", "damo", "", regions),
    "csv": ("vscsi.csv", "csv", "", vscsi),
}


@pytest.mark.parametrize("case", CASES)
def test_import__is_what_a_plain_reading_gives(case: str, tmp_path: Path) -> None:
    name, form, events, read = CASES[case]
    touches = list(read())
    numbers: dict[object, int] = {}
    page = [numbers.setdefault(key, len(numbers)) for key, _ in touches]

    trace = vl.import_trace(SAMPLES / name, tmp_path / "a.parquet", events=events)

    assert len(touches) > 20
    assert trace.page.tolist() == page
    assert trace.op.tolist() == [op for _, op in touches]
    assert trace.n_pages == len(numbers)
    assert import_file(str(SAMPLES / name), tmp_path / "b.parquet").format == form


@pytest.mark.parametrize("case", CASES)
def test_import__comes_back_from_both_exports(case: str, tmp_path: Path) -> None:
    name, _, events, _ = CASES[case]
    trace = vl.import_trace(SAMPLES / name, tmp_path / "a.parquet", events=events)

    csv = vl.import_trace(vl.export_trace(trace, tmp_path / "b.csv"), tmp_path / "b.parquet")
    oracle = vl.import_trace(vl.export_trace(trace, tmp_path / "c.bin"), tmp_path / "c.parquet")

    assert csv.digest == trace.digest
    assert oracle.page.tolist() == trace.page.tolist()  # none of the samples has frees


def test_import__of_damon_keeps_its_time_in_each_region(tmp_path: Path) -> None:
    """Pages times samples of the first snapshot: 911 pages in 10 of 10 samples, 3,646 and 33 in one."""
    pytest.importorskip("zstandard", reason="zstandard is not installed (extra 'zstd')")

    trace = vl.import_trace(SAMPLES / "damo.txt.zst", tmp_path / "a.parquet")

    assert trace.repeat_reads is not None
    touches = trace.repeat_reads + 1
    assert touches[: 911 + 3646 + 33].sum() == 10 * 911 + 3646 + 33
    assert trace.page[: 911 + 3646 + 33].tolist() == list(range(911 + 3646 + 33))


def test_damo_raw__of_older_releases(tmp_path: Path) -> None:
    """Made after the example of `damo report raw` in damo's own documentation; that release does not run here."""
    lines = [
        "base_time_absolute: 8 m 59.809 s", "", "monitoring_start:                0 ns",
        "target_id: 18446623438842320000", "nr_regions: 2", "563ebaa00000-563ebaa02000(   8.000 KiB):\t3",
        "7f938d7e1000-7f938d7e3000(   8.000 KiB):\t0",
    ]  # fmt: skip
    (tmp_path / "raw.txt").write_text("\n".join(lines))

    trace = vl.import_trace(tmp_path / "raw.txt", tmp_path / "a.parquet")

    assert trace.page.tolist() == [0, 1]
    assert trace.repeat_reads is not None
    assert trace.repeat_reads.tolist() == [2, 2]
    assert "order" in damo.LOST


def test_blkparse__a_discard_is_a_free_and_a_flush_is_nothing(tmp_path: Path) -> None:
    lines = [
        "  8,16   1        1     0.000000000   161  Q  WS 2048 + 16 [w]",
        "  8,16   1        2     0.000000001   161  Q  FN [w]",
        "  8,16   1        3     0.000000002   161  P   N [w]",
        "  8,16   1        4     0.000000003   161  Q   D 2056 + 8 [w]",
        "  8,32   1        5     0.000000004   161  Q  RA 2048 + 8 [w]",
        "CPU1 (8,16):",
        " Reads Queued:          58,      232KiB\t Writes Queued:         239,      956KiB",
    ]
    (tmp_path / "blk.txt").write_text("\n".join(lines))

    made = import_file(str(tmp_path / "blk.txt"), tmp_path / "a.parquet")

    trace = vl.load_trace(tmp_path / "a.parquet")
    assert trace.page.tolist() == [0, 1, 1, 2]  # the other device has pages of its own
    assert trace.op.tolist() == [WRITE, WRITE, FREE, READ]
    assert made.passed_over == {"requests that move nothing": 1, "actions other than Q": 1}


@pytest.mark.parametrize(
    ("threads", "pages"),
    [
        (("app-100     (    100)", "worker-101     (    100)", "worker-102     (    100)"), [0, 0, 0]),
        (("app-100     (    100)", "worker-101     (-------)", "other-200     (    200)"), [0, 1, 2]),
        (("app-100    ", "worker-101    ", "worker-101    "), [0, 1, 1]),
        (("app   100/100", "worker   100/101", "other   200/200"), [0, 0, 1]),
    ],
)
def test_ftrace__threads_share_the_pages_of_their_process(
    threads: tuple[str, ...], pages: list[int], tmp_path: Path
) -> None:
    fault = "[000] d....    19.069244: page_fault_user: address=0x7fa1129d2353 ip=0x7fa1129d2353 error_code=0x6"
    (tmp_path / "faults.txt").write_text("".join(f"  {thread} {fault}\n" for thread in threads))

    made = import_file(str(tmp_path / "faults.txt"), tmp_path / "a.parquet")

    assert vl.load_trace(tmp_path / "a.parquet").page.tolist() == pages
    assert "record-tgid" in made.lost


def test_perf_memory_samples__say_loads_and_stores(tmp_path: Path) -> None:
    lines = [
        "gzip 7/8 1.5: cpu/mem-loads,ldlat=30/P:   7f0000001008",
        "gzip 7/8 1.6: cpu/mem-stores/P:   7f0000001010",
        "gzip 7/8 1.7: cpu/mem-loads,ldlat=30/P:   ffff888100001010",
    ]
    (tmp_path / "mem.txt").write_text("\n".join(lines))

    made = import_file(str(tmp_path / "mem.txt"), tmp_path / "a.parquet")

    assert vl.load_trace(tmp_path / "a.parquet").op.tolist() == [READ, WRITE]
    assert made.passed_over == {"samples without an address of the program's own": 1}


# oracleGeneral and libCacheSim -------------------------------------------------------------------


def test_export_oracle__by_hand(tmp_path: Path) -> None:
    path = vl.export_trace(vl.Trace([3, 0, 3, 3, 0], [0, 1, 2, 0, 0]), tmp_path / "a.oracleGeneral")

    records = np.fromfile(path, RECORD)

    assert path.stat().st_size == 4 * 24
    assert records["object"].tolist() == [3, 0, 3, 0]  # the free is left out
    assert records["next"].tolist() == [2, 3, -1, -1]
    assert set(records["size"].tolist()) == {4096}


def test_export_oracle__is_the_same_where_room_can_only_be_had_by_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = vl.zipf(n_pages=300, n_accesses=60_000, seed=1)
    path = vl.export_trace(trace, tmp_path / "a")
    monkeypatch.delattr("os.posix_fallocate")

    assert vl.export_trace(trace, tmp_path / "b").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("format", "before"),
    [("oracle-general", "pass"), ("oracle-general", "import os; del os.posix_fallocate"), ("csv", "pass")],
)
def test_export__a_full_disk_is_one_line_and_not_the_end_of_the_process(
    format: str, before: str, tiny_disk: Path
) -> None:
    export = f"vl.export_trace(vl.scan(n_pages=99, n_accesses=60_000), {str(tiny_disk / 'a')!r}, {format!r})"
    command = [sys.executable, "-c", f"import vswaplab as vl; {before}; {export}"]
    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode == 1
    assert "InputError: cannot write" in done.stderr.splitlines()[-1]
    assert "No space left on device" in done.stderr.splitlines()[-1]
    assert not list(tiny_disk.iterdir())


def test_export__heeds_an_ending_in_capitals(tmp_path: Path) -> None:
    assert vl.export_trace(vl.Trace([0]), tmp_path / "B.CSV").read_text() == "page,op\n0,read\n"


@pytest.mark.parametrize("format", ["oracle-general", "csv"])
def test_export__replaces_an_earlier_export_and_nothing_else(format: str, tmp_path: Path) -> None:
    trace, path = vl.zipf(n_pages=30, n_accesses=9_000, seed=1), tmp_path / "a"
    path.touch()
    vl.export_trace(trace, path, format)
    assert vl.export_trace(trace.head(5), path, format).stat().st_size < 200

    source = vl.save_trace(trace, tmp_path / "trace.parquet")
    other = vl.export_trace(trace, tmp_path / "b", "csv" if format != "csv" else "oracle-general")
    foreign = tmp_path / "thesis.txt"
    foreign.write_text("page, open your heart\n" * 9)
    for file in (source, other, foreign):
        before = file.read_bytes()
        with pytest.raises(vl.InputError, match=f"{file.name} is there, and not from an earlier export to {format}"):
            vl.export_trace(vl.load_trace(source), file, format)
        assert file.read_bytes() == before


@pytest.mark.parametrize("place", ["-", "pipe", "."])
def test_export__to_what_is_no_file_is_refused(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")

    with pytest.raises(vl.InputError, match=r"not to standard output: name one|it is not a plain file; choose another"):
        vl.export_trace(vl.scan(n_pages=3, n_accesses=9), place)
    assert Path("pipe").is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize("columns", [{"mapper": [0, 1]}, {"repeat_reads": [1, 0], "mapper": [0, 1]}])
def test_export__knows_its_csv_whatever_columns_it_has(columns: dict[str, list[int]], tmp_path: Path) -> None:
    trace = vl.Trace([0, 1], [0, 1], **columns)

    path = vl.export_trace(trace, tmp_path / "a.csv")
    assert vl.export_trace(trace, path) == path


SHARED = {
    "some share": vl.Trace([0, 1, 1, 2, 0], [0, 1, 0, 0, 2], mapper=[0, 1, 0, 7, 0]),
    "all are the first": vl.Trace([0, 1, 0], mapper=[0, 0, 0]),
    "more map than touch": vl.Trace([0, 1, 1], [0, 1, 1], mapper=[0, 1, 1], mappers=[3, 255]),
    "sets alone": vl.Trace([0, 1, 1], [0, 1, 1], mappers=[1, 3]),
    "repeats": vl.Trace([0, 1, 1], repeat_reads=[0, 3, 1], mapper=[0, 1, 2]),
}


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_import__of_what_was_written_has_the_same_mappers(name: str, suffix: str, tmp_path: Path) -> None:
    trace, write = SHARED[name], vl.export_trace if suffix == "csv" else vl.save_trace

    again = vl.import_trace(write(trace, tmp_path / f"a.{suffix}"), tmp_path / "again.parquet")

    assert again.digest == trace.digest
    assert again.mappers.tolist() == trace.mappers.tolist()


def test_import__of_several_pieces_has_the_same_mappers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vswaplab.trace.importers.table.PIECE", 100)
    family = vl.prefork(n_pages=300, n_accesses=2_000, seed=2, n_workers=3)
    for suffix, write in (("csv", vl.export_trace), ("parquet", vl.save_trace)):
        first = vl.import_trace(write(family, tmp_path / f"a.{suffix}"), tmp_path / "first.parquet")
        second = vl.import_trace(write(first, tmp_path / f"b.{suffix}"), tmp_path / "second.parquet")

        assert first.mapper.tolist() == family.mapper.tolist()
        assert first.mappers[first.page].tolist() == family.mappers[family.page].tolist()
        assert second.digest == first.digest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("page,mapper\n1,0\n2,8\n", "line 3: mapper is '8': expected a whole number from 0 to 7"),
        ("page,mapper\n1,-1\n", "line 2: mapper is '-1': expected a whole number from 0 to 7"),
        ("page,mapper\n1,\n", "line 2: mapper is '': expected a whole number from 0 to 7"),
        ("page,mappers\n1,256\n", "line 2: mappers is '256': expected a whole number from 0 to 255"),
        (
            "page,mapper,mappers\n1,1,1\n",
            "line 2: mappers is '1': expected a set of mappers, one bit each, with that of",
        ),
        ("page,mappers\n1,1\n2,1\n1,3\n", "access 2: mappers of its page is 3 there and 1 elsewhere: give a page"),
    ],
)
def test_import__names_a_mapper_that_cannot_be(text: str, words: str, tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text(text)

    with pytest.raises(vl.InputError, match=re.escape(words)):
        vl.import_trace(source, tmp_path / "a.parquet")


def test_import__pages_of_one_address_have_one_mapper(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text("addr,size,mapper\n0,8192,1\n4096,1,2\n")

    trace = vl.import_trace(source, tmp_path / "a.parquet")

    assert (trace.page.tolist(), trace.mapper.tolist(), trace.mappers.tolist()) == ([0, 1, 1], [1, 1, 2], [2, 6])


@pytest.mark.parametrize("format", ["oracle-general", "csv"])
def test_export__is_what_libcachesim_reads(format: str, tmp_path: Path) -> None:
    lcs = pytest.importorskip("libcachesim", reason="libcachesim is not installed (extra 'bench')")
    trace = vl.zipf(n_pages=300, n_accesses=2_000, seed=1)
    path = vl.export_trace(trace, tmp_path / "a", format)
    options = lcs.ReaderInitParam(ignore_obj_size=True, has_header=True, has_header_set=True, obj_id_is_num_set=True)
    options.obj_id_field = 1
    kind = lcs.TraceType.CSV_TRACE if format == "csv" else lcs.TraceType.ORACLE_GENERAL_TRACE

    def misses(cache: object) -> int:
        reader = lcs.TraceReader(str(path), kind, options)
        return sum(not cache.get(request) for request in reader)  # type: ignore[attr-defined]

    assert misses(lcs.LRU(cache_size=50)) == lru_misses(trace.page.tolist(), 50)
    if format == "oracle-general":  # the clairvoyant needs the next accesses
        assert misses(lcs.Belady(cache_size=50)) == belady_misses(trace.page.tolist(), 50)


def lru_misses(pages: list[int], size: int) -> int:
    held: dict[int, None] = {}
    n_misses = 0
    for page in pages:
        n_misses += page not in held
        held.pop(page, None)
        if len(held) == size:
            del held[next(iter(held))]
        held[page] = None
    return n_misses


def belady_misses(pages: list[int], size: int) -> int:
    later: dict[int, list[int]] = {}
    for at in reversed(range(len(pages))):
        later.setdefault(pages[at], []).append(at)
    held: set[int] = set()
    n_misses = 0
    for page in pages:
        later[page].pop()
        if page not in held:
            n_misses += 1
            if len(held) == size:
                held.remove(max(held, key=lambda other: later[other][-1] if later[other] else len(pages)))
            held.add(page)
    return n_misses


# Any trace, any table ------------------------------------------------------------------------------


@st.composite
def traces(draw: st.DrawFn) -> vl.Trace:
    n = draw(st.integers(1, 200))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    page = rng.integers(0, draw(st.integers(1, 40)), n)
    _, first, inverse = np.unique(page, return_index=True, return_inverse=True)
    dense = np.argsort(np.argsort(first))[inverse]  # numbered by first touch, as an import numbers them
    repeats = rng.integers(0, 3, n) if draw(st.booleans()) else None
    return vl.Trace(dense, rng.choice(3, n), repeat_reads=repeats)


@KEEP
@given(traces())
def test_csv__round_trip(tmp_path: Path, trace: vl.Trace) -> None:
    back = vl.import_trace(vl.export_trace(trace, tmp_path / "a.csv"), tmp_path / "a.parquet")

    assert back.digest == trace.digest


@KEEP
@given(st.lists(st.lists(st.integers(0, (1 << 64) - 1), max_size=30), max_size=8))
def test_numbers__are_those_of_a_dictionary(batches: list[list[int]]) -> None:
    numbers, known = Numbers(max_pages=1000), dict[int, int]()

    for batch in batches:
        expected = [known.setdefault(key, len(known)) for key in batch]
        assert numbers(np.array(batch, np.uint64)).tolist() == expected
    assert numbers.n_pages == len(known)


@pytest.mark.parametrize(
    ("text", "columns", "pages", "ops"),
    [
        ("# time, object, size\n1, 7, 10\n2, 9, 10\n3, 7, 10\n", {}, [0, 1, 0], [0, 0, 0]),
        ("1;0x10;W\n\n2;16;r\n", {"page": 2, "op": 3}, [0, 0], [1, 0]),
        ("key,op\nuser:1,get\n'user:2',set\nuser:1,delete\n", {}, [0, 1, 0], [0, 1, 2]),
        ("addr\tlength\trw\n4095\t2\tw\n0\t1\tr\n", {}, [0, 1, 0], [1, 1, 0]),
        ("7\n8\n7\n", {}, None, None),
        ("when,where\n1,7\n", {"page": "where"}, [0], [0]),
    ],
)
def test_csv__by_columns(
    text: str, columns: dict[str, int | str], pages: list[int] | None, ops: list[int] | None, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(text)
    if pages is None:
        with pytest.raises(vl.InputError, match=r"no column names the page \(columns: 1\)"):
            vl.import_trace(tmp_path / "a.csv", tmp_path / "a.parquet")
        return

    trace = vl.import_trace(tmp_path / "a.csv", tmp_path / "a.parquet", columns=columns)

    assert trace.page.tolist() == pages
    assert trace.op.tolist() == ops


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("5,0\n6,0\n5,0\n", {"page": 1}),
        ("5\n6\n5\n", {"page": 1}),
        ("page\n5\n6\n5\n", {}),
        (" L 5000,8\n L 6000,8\n L 5000,8\n", {}),
    ],
)
def test_import__a_byte_order_mark_is_no_part_of_the_text(
    text: str, columns: dict[str, int | str], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text(text, encoding="utf-8-sig")

    trace = vl.import_trace(tmp_path / "a.txt", tmp_path / "a.parquet", columns=columns)

    assert trace.page.tolist() == [0, 1, 0]


def test_import__a_byte_order_mark_does_not_shift_what_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfpage\n\xff5\n")

    with pytest.raises(vl.InputError, match=r"line 2 is not text in UTF-8 \(byte 0xff\)"):
        vl.import_trace(tmp_path / "a.csv", tmp_path / "a.parquet")


def test_parquet__by_columns(tmp_path: Path) -> None:
    table = pl.DataFrame({"block": [5, 6, 5], "kind": ["read", "write", "trim"], "other": [0.5, None, 2.5]})
    table.write_parquet(tmp_path / "in.parquet")

    trace = vl.import_trace(tmp_path / "in.parquet", tmp_path / "out.parquet", columns={"page": "block", "op": "kind"})

    assert trace.page.tolist() == [0, 1, 0]
    assert trace.op.tolist() == [0, 1, 2]


def test_parquet__a_bad_value_is_told_by_its_row_from_1(tmp_path: Path) -> None:
    pl.DataFrame({"page": [3, -5]}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(vl.InputError, match="row 2: page is '-5'"):
        vl.import_trace(tmp_path / "t.parquet", tmp_path / "out.parquet")


def test_import__of_a_trace_of_ours_says_that_its_contents_stay_behind(tmp_path: Path) -> None:
    source = vl.save_trace(vl.Trace([0, 1, 0], [0, 1, 0]), tmp_path / "ours.parquet")
    assert "use it as it is" in import_file(str(source), tmp_path / "again.parquet").lost
    pl.DataFrame({"page": [0, 1, 0]}).write_parquet(tmp_path / "table.parquet")
    assert "use it as it is" not in import_file(str(tmp_path / "table.parquet"), tmp_path / "t.parquet").lost


def test_import__tells_in_the_trace_where_it_is_from(tmp_path: Path) -> None:
    vl.import_trace(SAMPLES / "lackey.txt.gz", tmp_path / "a.parquet", name="mine", title="My program")

    trace = vl.open_trace(tmp_path / "a.parquet")
    kept = pl.read_parquet_metadata(tmp_path / "a.parquet")["vswaplab"]

    assert (trace.name, trace.title) == ("mine", "My program")
    assert '"passed_over": {"instruction fetches": 1843}' in kept
