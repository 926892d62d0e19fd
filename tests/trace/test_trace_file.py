"""A trace that stays in its file gives the same digest, the same errors and the same result, in bounded memory."""

from __future__ import annotations

import copy
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import vswaplab as vl
from vswaplab.engine.vectorised import memory
from vswaplab.trace import files
from vswaplab.trace.checksums import checksums_of
from vswaplab.trace.trace import Trace

CORPUS = vl.synthetic_corpus(n_regions=3, seed=5)
KEEP = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=12)


def machine(n_pages: int) -> vl.Machine:
    return vl.preset("four-tiers", max(n_pages, 16))


def in_row_groups(trace: vl.Trace, path: Path, rows: int) -> Path:
    """Write a trace with row groups of so many rows."""
    vl.save_trace(trace, path)
    about = pl.read_parquet_metadata(path)
    pl.read_parquet(path).write_parquet(path, row_group_size=rows, metadata={"vswaplab": about["vswaplab"]})
    return path


@st.composite
def traces(draw: st.DrawFn) -> vl.Trace:
    n, n_pages = draw(st.integers(1, 400)), draw(st.integers(1, 120))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    some = draw(st.sampled_from([0, 3]))
    trace = vl.Trace(
        rng.integers(0, n_pages, n),
        rng.choice(3, n, p=[0.5, 0.4, 0.1]),
        n_pages=n_pages + draw(st.integers(0, 5)),
        repeat_reads=rng.integers(0, some + 1, n),
        repeat_writes=rng.integers(0, some + 1, n) if draw(st.booleans()) else None,
        corpus=vl.synthetic_corpus(),
        redraw_probability=draw(st.sampled_from([0.0, 0.5, 1.0])),
        name="mine",
    )
    return trace


def assert_same(one: vl.Result, other: vl.Result) -> None:
    assert one.totals == other.totals
    for name in ("epochs", "tiers", "events", "pages"):
        assert_frame_equal(getattr(one, name), getattr(other, name))
    assert one.provenance == other.provenance


@KEEP
@given(trace=traces(), rows=st.integers(1, 300), piece=st.integers(1, 500), data=st.data())
def test_simulate__of_a_file_is_that_of_the_trace_for_every_piece_size(trace, rows, piece, data, tmp_path):
    path = in_row_groups(trace, tmp_path / "mine.parquet", rows)
    loaded, opened = vl.load_trace(path), vl.open_trace(path, piece_accesses=piece)
    if data.draw(st.booleans(), "shifted"):
        loaded, opened = (vl.drift(t, start=len(t) // 3, stop=len(t) + 5, steps=3) for t in (loaded, opened))
    if data.draw(st.booleans(), "cut"):
        n = data.draw(st.integers(1, len(trace) + 3), "head")
        loaded, opened = loaded.head(n), opened.head(n)
    engine = data.draw(st.sampled_from(["vectorised", "reference"]), "engine")
    options: dict[str, Any] = {
        "engine": engine,
        "batch_size": data.draw(st.none() | st.integers(1, 90), "batch"),
        "epoch_accesses": data.draw(st.none() | st.integers(1, 300), "window"),
        "events": [vl.swapoff(at=data.draw(st.integers(0, len(loaded)), "at"), device=0)],
    }

    assert opened.digest == loaded.digest
    assert len(opened) == len(loaded)
    with pytest.MonkeyPatch.context() as patch:
        if data.draw(st.booleans(), "short logs"):
            patch.setattr(memory, "log_room", lambda n_pages: 30)
            patch.setattr(memory, "_LEAST_PLACE", -50)
        assert_same(*(vl.simulate(t, machine(trace.n_pages), **options) for t in (opened, loaded)))


def test_metadata_along_and_risk__take_a_file(tmp_path):
    path = vl.save_trace(vl.zipf(n_pages=400, n_accesses=3_000, redraw_probability=0.5), tmp_path / "t.parquet")
    loaded, opened = vl.load_trace(path), vl.open_trace(path, piece_accesses=700)

    assert_frame_equal(*(vl.metadata_along(trace, machine(400)) for trace in (opened, loaded)))
    assert_frame_equal(*(vl.risk(trace, machine(400), seeds=2) for trace in (opened, loaded)))


def test_follow__asks_for_a_trace_in_memory(tmp_path):
    trace = vl.open_trace(vl.save_trace(vl.Trace([0, 1]), tmp_path / "t.parquet"))

    with pytest.raises(vl.InputError, match=r"follow needs a trace in memory.*vl\.load_trace"):
        vl.follow(trace, machine(16))


def test_shipped_traces__can_be_opened_or_tell_that_they_cannot():
    redis = vl.load_trace("redis")
    opened = vl.open_trace("redis")

    assert opened.digest == redis.digest
    assert repr(opened) == "TraceFile('redis', 1,349,174 accesses, 22,009 pages)"
    with pytest.raises(vl.InputError, match=r"bgsave\.parquet is a trace of several mappers.*vl\.load_trace"):
        vl.open_trace("bgsave")


GOOD: dict[str, list[Any]] = {"page": list(range(9)), "op": [0] * 9}


@pytest.mark.parametrize(
    ("columns", "about"),
    [
        ({"page": [0]}, {}),
        ({"page": [0.5], "op": [0]}, {}),
        ({"page": [0], "op": ["read"]}, {}),
        ({"page": [], "op": []}, {}),
        (GOOD | {"page": [*range(8), None]}, {}),
        (GOOD | {"op": [0] * 7 + [7, 8]}, {}),
        (GOOD | {"page": [*range(8), -3]}, {}),
        (GOOD | {"page": [*range(8), 1 << 40]}, {}),
        (GOOD | {"repeat_writes": [0] * 8 + [-1]}, {}),
        (GOOD, {"n_pages": 8}),
        (GOOD, {"n_pages": "x"}),
        (GOOD, {"n_pages": 9, "redraw_probability": 2}),
        (GOOD, {"n_pages": 9, "k": -1}),
    ],
    ids=str,
)
def test_open_trace__refuses_with_the_words_of_load_trace(columns, about, tmp_path):
    path = tmp_path / "mine.parquet"
    schema = dict.fromkeys(columns, pl.Int64) if not columns["page"] else None
    pl.DataFrame(columns, schema=schema).write_parquet(path, metadata={"vswaplab": json.dumps(about)}, row_group_size=2)
    with pytest.raises(vl.InputError) as loading:
        vl.load_trace(path)
    with pytest.raises(vl.InputError) as opening:
        vl.open_trace(path, piece_accesses=4)

    assert str(opening.value) == str(loading.value)


def test_open_trace__without_a_number_of_pages_finds_it(tmp_path):
    pl.DataFrame(GOOD).write_parquet(tmp_path / "t.parquet")

    assert vl.open_trace(tmp_path / "t.parquet", piece_accesses=2).n_pages == 9


@pytest.mark.parametrize("keep", [0, 3, -100, -8, -1])
def test_open_trace__of_a_truncated_file_is_refused(keep, tmp_path):
    path = vl.save_trace(vl.scan(n_pages=500, n_accesses=5_000), tmp_path / "t.parquet")
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(vl.InputError, match=r"t\.parquet: not a whole Parquet file .*copy it again"):
        vl.open_trace(path)


def test_simulate__of_a_file_that_became_shorter_is_refused(tmp_path):
    path = vl.save_trace(vl.scan(n_pages=50, n_accesses=500), tmp_path / "t.parquet")
    trace = vl.open_trace(path)
    vl.save_trace(vl.scan(n_pages=50, n_accesses=400), path)

    with pytest.raises(vl.InputError, match=r"t\.parquet became shorter while it was read"):
        vl.simulate(trace, machine(50))


def test_open_trace__takes_the_contents_beside_it(tmp_path):
    for folder in ("traces", "corpus"):
        (tmp_path / folder).mkdir()
    path = tmp_path / "traces" / "mine.parquet"
    pl.DataFrame({"page": [0, 1], "op": [0, 0]}).write_parquet(path)
    pl.DataFrame({"page": [1], "moment": [0], "region": [0], "lz4_4k": [99]}).write_parquet(
        tmp_path / "corpus" / path.name
    )

    assert vl.open_trace(path).digest == vl.load_trace(path).digest


# Writing --------------------------------------------------------------------------------------


def pieces_of(trace: vl.Trace, size: int) -> Iterator[dict[str, Any]]:
    for start in range(0, len(trace), size):
        yield {name: getattr(trace, name)[start : start + size] for name in trace.columns}


@KEEP
@given(trace=traces(), size=st.integers(1, 300))
def test_write_trace__writes_what_save_trace_writes(trace, size, tmp_path):
    path = tmp_path / "mine.parquet"
    vl.write_trace(
        pieces_of(trace, size), path, n_pages=trace.n_pages, redraw_probability=trace.redraw_probability, name="n"
    )
    again = vl.load_trace(path)

    assert again.digest == trace.digest
    assert (again.name, again.title) == ("n", "n")
    copy = vl.save_trace(vl.open_trace(path, piece_accesses=size), tmp_path / "copy.parquet")
    assert vl.load_trace(copy).digest == trace.digest


@pytest.mark.parametrize("save", [vl.save_trace, lambda t, path: vl.write_trace(pieces_of(t, 2), path, n_pages=2)])
def test_save_and_write_trace__count_the_accesses_that_were_dropped_and_no_frees(save, tmp_path):
    trace = vl.Trace([0, 1, 0], [0, 1, 2], repeat_reads=[7, 0, 0], repeat_writes=[0, 3, 0])

    about = files._metadata(save(trace, tmp_path / "t.parquet"))
    assert (about["n_records"], about["n_accesses"]) == (3, 2 + 10)


def test_save_trace__takes_a_path_that_is_not_utf_8(tmp_path):
    folder = tmp_path / os.fsdecode(b"\xfe")
    folder.mkdir()

    path = vl.save_trace(vl.Trace([0, 1]), folder / os.fsdecode(b"\xff.parquet"))
    assert list(folder.iterdir()) == [path]
    assert vl.open_trace(path).digest == vl.load_trace(path).digest == vl.Trace([0, 1]).digest


ODD = vl.Trace([0, 2, 1], content=[2, 0, 1], corpus=pl.DataFrame({"lz4_4k": [1, 2, 3], "share": [0.5, 1.0, -0.0]}))
WITH_CONTENTS = {
    "a generator's": lambda: vl.zipf(n_pages=300, n_accesses=900, seed=7),
    "made up otherwise": lambda: vl.Trace([0, 1], corpus=vl.synthetic_corpus(ratio=3, n_regions=2)),
    "rows of its own": lambda: vl.Trace([0, 1], content=[5, 3]),
    "a table's": lambda: ODD,
    "given": lambda: vl.with_contents(vl.scan(n_pages=300, n_accesses=900), vl.Corpus(ODD.corpus.table)),
    "recorded": lambda: vl.load_trace("redis").head(500),
    "recorded, in its file": lambda: vl.open_trace("sqlite").head(500),
}


@pytest.mark.parametrize("name", WITH_CONTENTS)
def test_save_trace__keeps_the_contents(name, tmp_path):
    trace = WITH_CONTENTS[name]()
    path = vl.save_trace(trace, tmp_path / "t.parquet")

    for again in (vl.load_trace(path), vl.open_trace(path)):
        assert again.digest == trace.digest
        assert again.corpus.is_made_up == trace.corpus.is_made_up
        assert again.corpus.table.schema == trace.corpus.table.schema


def test_save_trace__gives_the_same_numbers(tmp_path):
    trace = vl.zipf(n_pages=2_000, n_accesses=20_000, seed=7)
    again = vl.load_trace(vl.save_trace(trace, tmp_path / "t.parquet"))

    assert vl.simulate(again, machine(2_000)).totals == vl.simulate(trace, machine(2_000)).totals


def test_save_trace__does_not_take_the_contents_of_another_trace_beside_it(tmp_path):
    for folder in ("traces", "corpus"):
        (tmp_path / folder).mkdir()
    other = pl.DataFrame({"page": [0], "moment": [0], "region": [0], "lz4_4k": [99]})
    other.write_parquet(tmp_path / "corpus" / "t.parquet")

    again = vl.load_trace(vl.save_trace(vl.Trace([0, 1]), tmp_path / "traces" / "t.parquet"))
    assert again.digest == vl.Trace([0, 1]).digest


def test_save_trace__writes_no_contents_that_every_trace_has(tmp_path):
    assert "contents" not in files._metadata(vl.save_trace(vl.Trace([0, 1]), tmp_path / "t.parquet"))


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (pl.Series("who", ["a", "b"]), "the column 'who' of their corpus is String or lacks values"),
        (pl.Series("bdi_64", [1, None]), "the column 'bdi_64' of their corpus is Int64 or lacks values"),
    ],
)
def test_save_trace__says_which_contents_it_cannot_keep(extra, reason, tmp_path):
    trace = vl.Trace([0, 1], corpus=pl.DataFrame({"lz4_4k": [1, 2]}).with_columns(extra))
    with pytest.warns(UserWarning, match=rf"are not in .*t\.parquet, for {reason}: keep the corpus, and give it again"):
        path = vl.save_trace(trace, tmp_path / "t.parquet")

    again = vl.load_trace(path)
    assert again.corpus.is_made_up
    assert again.like(corpus=trace.corpus, content=trace.content).digest == trace.digest


def test_save_trace__leaves_contents_out_that_are_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr("vswaplab.trace.kept.MAX_TEXT", 100)
    with pytest.warns(UserWarning, match="for they are too large to be kept in it: keep the corpus"):
        vl.save_trace(ODD, tmp_path / "t.parquet")


def test_save_trace__gives_up_on_large_contents_before_all_of_them_are_packed(tmp_path, monkeypatch):
    packed: list[int] = []
    make = zlib.compressobj

    class Counted:
        def __init__(self) -> None:
            self.stream = make()

        def compress(self, data) -> bytes:
            packed.append(len(data))
            return self.stream.compress(data)

        def flush(self) -> bytes:
            return self.stream.flush()

    monkeypatch.setattr("vswaplab.trace.kept.MAX_TEXT", 20_000)
    monkeypatch.setattr("vswaplab.trace.kept._BLOCK", 4_096)
    monkeypatch.setattr("vswaplab.trace.kept.zlib.compressobj", Counted)
    content = np.random.default_rng(0).integers(0, 3, 1 << 20)
    trace = vl.Trace([0], [0], n_pages=content.size, content=content, corpus=ODD.corpus)
    with pytest.warns(UserWarning, match="for they are too large to be kept in it"):
        vl.save_trace(trace, tmp_path / "t.parquet")
    assert 0 < sum(packed) < content.size


DAMAGED: dict[str, Any] = {
    "no table": lambda told: [told],
    "no rows": lambda told: told | {"n_rows": 0},
    "more rows": lambda told: told | {"n_rows": 4},
    "rows beyond measure": lambda told: told | {"n_rows": 1 << 60},
    "rows that are no number": lambda told: told | {"n_rows": "3"},
    "no columns": lambda told: told | {"columns": {}},
    "no column": lambda told: told | {"columns": {"lz4_4k": 3}},
    "another dtype": lambda told: told | {"columns": {"lz4_4k": ["Object", ""]}},
    "no base64": lambda told: told | {"columns": {"lz4_4k": ["Int64", "***"]}},
    "no zlib": lambda told: told | {"columns": {"lz4_4k": ["Int64", "AAAA"]}},
    "no rows of pages": lambda told: {name: told[name] for name in ("made_up", "n_rows", "columns")},
    "rows of fewer pages": lambda told: told | {"content": told["columns"]["share"][1]},
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_load_trace__refuses_damaged_contents_in_one_line(damage, tmp_path):
    path = vl.save_trace(ODD, tmp_path / "t.parquet")
    about = files._metadata(path)
    about["contents"] = DAMAGED[damage](about["contents"])
    pl.read_parquet(path).write_parquet(path, metadata={"vswaplab": json.dumps(about)})

    for read in (vl.load_trace, vl.open_trace):
        with pytest.raises(
            vl.InputError, match=r"t\.parquet: (the contents in it are damaged|a corpus needs)"
        ) as error:
            read(path)
        assert "\n" not in str(error.value)


def test_trace__attributes_cannot_be_set_and_copies_are_the_same():
    trace = vl.Trace([0, 1], n_pages=9)
    for name in ("page", "n_pages", "content", "digest"):
        with pytest.raises(vl.InputError, match=f"^a trace is read-only, and {name} cannot be set: trace.like"):
            setattr(trace, name, [5, 6])

    for other in (pickle.loads(pickle.dumps(trace)), copy.copy(trace), trace.like()):
        assert other.digest == trace.digest == vl.Trace([0, 1], n_pages=9).digest


def test_save_trace__refuses_one_that_collapses(tmp_path):
    with pytest.raises(vl.InputError, match=r"drifts or collapses, .* again after vl.load_trace$"):
        vl.save_trace(vl.collapse(vl.Trace([0, 1]), at=1), tmp_path / "t.parquet")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([], "the trace is empty"),
        ([{"page": [], "op": []}], "the trace is empty"),
        ([{"page": [0]}], "every piece needs page and op"),
        ([{"page": [0], "op": [0], "colour": [1]}], "every piece needs page and op"),
        ([{"page": [0], "op": [0], "mapper": [1]}], "every piece needs page and op"),
        ([{"page": [0], "op": [0]}, {"page": [1], "op": [0], "repeat_reads": [0]}], "from access 1 on"),
        ([{"page": [0], "op": [0]}, {"page": [1, 5], "op": [0, 0]}], "page 5 at index 2 is out of range 0..4"),
        ([{"page": [0], "op": [0]}, {"page": [1], "op": [3]}], "op 3 at index 1 is out of range 0..2"),
        ([{"page": [0], "op": [0, 1]}], "op has 2 entries and page has 1"),
        ([{"page": [0.5], "op": [0]}], "page must hold whole numbers"),
    ],
)
def test_write_trace__refuses_what_cannot_be_and_leaves_nothing_behind(pieces, words, tmp_path):
    with pytest.raises(vl.InputError, match=words):
        vl.write_trace(pieces, tmp_path / "t.parquet", n_pages=5)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "write",
    [
        lambda path: vl.save_trace(vl.Trace([0]), path),
        lambda path: vl.write_trace([{"page": [0], "op": [0]}], path, n_pages=1),
    ],
)
def test_save_and_write_trace__replace_nothing_but_a_trace(write, tmp_path):
    mine = tmp_path / "notes.txt"
    mine.write_text("mine")
    with pytest.raises(vl.InputError, match=r"notes\.txt is there, and no trace that vswaplab wrote: choose another"):
        write(mine)
    assert mine.read_text() == "mine"
    mine.write_text("")
    assert len(vl.load_trace(write(write(mine)))) == 1  # an empty file, then its own


def test_write_trace__lets_out_what_the_pieces_raise_and_keeps_the_file_there_was(tmp_path):
    def pieces() -> Iterator[dict[str, list[int]]]:
        yield {"page": [0], "op": [0]}
        raise ZeroDivisionError("mine")

    path = vl.save_trace(vl.Trace([0, 1]), tmp_path / "t.parquet")
    with pytest.raises(ZeroDivisionError, match="mine"):
        vl.write_trace(pieces(), path, n_pages=5)
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]
    assert len(vl.load_trace(path)) == 2


def test_write_trace__ctrl_c_is_raised_once_and_leaves_nothing_behind(tmp_path):
    def pieces() -> Iterator[dict[str, list[int]]]:
        yield {"page": [0], "op": [0]}
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            yield {"page": [0], "op": [0]}

    with pytest.raises(KeyboardInterrupt):
        vl.write_trace(pieces(), tmp_path / "t.parquet", n_pages=5)
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_write_trace__two_writers_of_one_file_leave_a_whole_one(tmp_path):
    both_write = threading.Barrier(2, timeout=60)

    def write(n_pages: int) -> Path:
        def pieces() -> Iterator[dict[str, Any]]:
            yield {"page": range(n_pages), "op": [0] * n_pages}
            both_write.wait()
            yield {"page": range(n_pages), "op": [1] * n_pages}

        return vl.write_trace(pieces(), tmp_path / "t.parquet", n_pages=n_pages)

    with ThreadPoolExecutor(2) as pool:
        [path, _] = pool.map(write, [5, 5_000])
    assert len(vl.load_trace(path)) in {10, 10_000}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_write_trace__a_full_disk_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "open", lambda *_: os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb"))
    rows = {"page": np.arange(1 << 19), "op": np.zeros(1 << 19, np.uint8)}

    with pytest.raises(vl.InputError, match=r"cannot write .*No space left on device.*free some space"):
        vl.write_trace([rows] * 4, tmp_path / "t.parquet", n_pages=1 << 19)


# Memory ---------------------------------------------------------------------------------------

MEASURE = """
import sys, numpy as np, vswaplab as vl
def peak():
    return next(int(line.split()[1]) >> 10 for line in open("/proc/self/status") if line.startswith("VmHWM"))
n, size, path = 48 << 20, 1 << 20, sys.argv[1]
op, page = np.zeros(size, np.uint8), np.random.default_rng(0).integers(0, 1000, size)
before = peak()
vl.write_trace(({"page": page, "op": op} for _ in range(0, n, size)), path, n_pages=1000)
written = peak()
assert sum(map(len, vl.open_trace(path).pieces())) == n
print(written - before, peak() - written)
"""


@pytest.mark.slow  # seconds
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_peak_memory__does_not_grow_with_the_trace(tmp_path):
    # 48 Mi accesses are 240 MiB as arrays, 500 with their file's; a few pieces of 1 Mi are in memory at once.
    environment = os.environ | {"POLARS_MAX_THREADS": "2"}
    words = [sys.executable, "-c", MEASURE, str(tmp_path / "t.parquet")]
    done = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
    writing, reading = map(int, done.stdout.split())

    assert writing < 200
    assert reading < 100


def test_load_or_open__leaves_a_large_trace_in_its_file(tmp_path, monkeypatch):
    path = vl.save_trace(vl.Trace([0, 1, 2]), tmp_path / "t.parquet")
    assert isinstance(files.load_or_open(path), Trace)

    monkeypatch.setattr(files, "LARGE_ACCESSES", 2)
    assert isinstance(files.load_or_open(path), vl.TraceFile)
    assert isinstance(files.load_or_open("bgsave"), Trace)


# Damage that Parquet does not notice ------------------------------------------------------------


def with_column(path: Path, **columns: pl.Series) -> Path:
    """Write a trace file again with other values in a column, and what it says of itself as it was."""
    about = pl.read_parquet_metadata(path)["vswaplab"]
    pl.read_parquet(path).with_columns(**columns).write_parquet(path, metadata={"vswaplab": about})
    return path


@pytest.mark.parametrize("name", ["page", "op", "repeat_reads"])
def test_a_damaged_column__is_refused_in_one_line_and_before_a_run_ends(name, tmp_path):
    trace = vl.Trace([0, 1, 2, 1], [0, 1, 0, 1], repeat_reads=[1, 1, 1, 1], n_pages=9)
    path = vl.save_trace(trace, tmp_path / "mine.parquet")
    opened = vl.open_trace(path, piece_accesses=3)
    with_column(path, **{name: pl.Series([1, 1, 0, 0], dtype=pl.read_parquet_schema(path)[name])})

    said = f"mine.parquet is damaged: the values of {name} are not those written; copy it again"
    for read in (vl.load_trace, vl.open_trace, lambda _: vl.simulate(opened, machine(9))):
        with pytest.raises(vl.InputError, match=said):
            read(path)
    assert sum(len(piece) for piece in opened.head(2).pieces()) == 2  # of a part nothing is known


def test_a_damaged_column_name__is_refused(tmp_path):
    path = vl.save_trace(vl.Trace([0, 1], repeat_reads=[1, 1]), tmp_path / "mine.parquet")
    about = pl.read_parquet_metadata(path)["vswaplab"]
    pl.read_parquet(path).rename({"repeat_reads": "repeat_reaes"}).write_parquet(path, metadata={"vswaplab": about})

    for read in (vl.load_trace, vl.open_trace):
        with pytest.raises(vl.InputError, match=r"mine.parquet is damaged: its columns are not those that were writt"):
            read(path)


@pytest.mark.parametrize("told", [None, 5, {"page": 1}, {"page": "x", "op": None}])
def test_checksums__may_be_missing_but_not_wrong(told, tmp_path):
    path = tmp_path / "mine.parquet"
    about = json.dumps({"n_pages": 2} | ({} if told is None else {"crc32": told}))
    pl.DataFrame({"page": [0, 1], "op": [0, 0]}).write_parquet(path, metadata={"vswaplab": about})

    for read in (vl.load_trace, vl.open_trace):
        if told is None:
            assert len(read(path)) == 2
        else:
            with pytest.raises(vl.InputError, match=r"mine.parquet is damaged"):
                read(path)


@settings(KEEP, max_examples=4)
@given(trace=traces(), piece=st.integers(1, 500))
def test_checksums__do_not_depend_on_pieces_or_dtypes(trace, piece, tmp_path):
    path = vl.save_trace(trace, tmp_path / "whole.parquet")
    pieces = vl.save_trace(vl.open_trace(path, piece_accesses=piece), tmp_path / "pieces.parquet")
    told = [json.loads(pl.read_parquet_metadata(p)["vswaplab"])["crc32"] for p in (path, pieces)]
    table = pl.read_parquet(path)

    assert told[0] == told[1] == checksums_of({name: table[name].cast(pl.Int64).to_numpy() for name in table.columns})
