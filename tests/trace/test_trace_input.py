"""A trace or corpus that cannot be is refused in one line that names the value and the remedy."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import vswaplab as vl

NAN = math.nan
CRAM = vl.preset("four-tiers", 64)
ROUND = vl.Machine(vl.Dram(1), zswap=vl.Zswap("lz4"))


def corpus(**columns: list[object]) -> vl.Corpus:
    return vl.Corpus(pl.DataFrame(columns, strict=False))


def sizes(*values: object) -> object:
    return corpus(lz4_4k=list(values)).sizes("lz4_4k")


def refused(make: Callable[[], object], *words: str) -> None:
    with pytest.raises(vl.InputError) as caught:
        make()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


REFUSED: list[tuple[Callable[[], object], str, str]] = [
    (lambda: vl.Trace([]), "empty", "at least one access"),
    (lambda: vl.Trace([-1]), "page -1", "out of range"),
    (lambda: vl.Trace([3, -1]), "page -1 at index 1", "out of range 0..3"),
    (lambda: vl.Trace([0, 5], n_pages=5), "page 5 at index 1", "n_pages is too small or the trace is damaged"),
    (lambda: vl.Trace([0.0, 1.0]), "float64", "page must hold whole numbers"),
    (lambda: vl.Trace([NAN]), "float64", "page must hold whole numbers"),
    (lambda: vl.Trace(["a"]), "<U1", "page must hold whole numbers"),
    (lambda: vl.Trace([True, False]), "bool", "page must hold whole numbers"),
    (lambda: vl.Trace([[1, 2]]), "2 dimensions", "one-dimensional"),
    (lambda: vl.Trace(4), "0 dimensions", "one-dimensional"),
    (lambda: vl.Trace([0, 1], [0, 3]), "op 3 at index 1", "0 is read, 1 write, 2 free"),
    (lambda: vl.Trace([0, 1], [0, -1]), "op -1 at index 1", "0 is read, 1 write, 2 free"),
    (lambda: vl.Trace([0, 1], [0.0, 1.0]), "float64", "op must hold whole numbers"),
    (lambda: vl.Trace([0, 1], [0]), "op has 1 entries and page has 2", "parallel arrays"),
    (lambda: vl.Trace([0, 1], mapper=[0]), "mapper has 1 entries", "parallel arrays"),
    (lambda: vl.Trace([0, 1], repeat_reads=[0, -1]), "repeat_reads -1 at index 1", "out of range"),
    (lambda: vl.Trace([0, 1], repeat_writes=[0.0, 1.0]), "float64", "repeat_writes must hold whole numbers"),
    (lambda: vl.Trace([0, 1], repeat_writes=[1]), "repeat_writes has 1 entries", "parallel arrays"),
    (lambda: vl.Trace([0], n_pages=0), "0", "n_pages must be a whole number from 1"),
    (lambda: vl.Trace([0], n_pages=1.5), "1.5", "n_pages must be a whole number from 1"),
    (lambda: vl.Trace([0], n_pages=1 << 31), str(1 << 31), "n_pages must be a whole number from 1"),
    (lambda: vl.Trace([0, 1], content=[0]), "content has 1 entries for 2 pages", "one corpus row per page"),
    (lambda: vl.Trace([0], content=[2], corpus=corpus(lz4_4k=[5, 6])), "content 2 at index 0", "too few rows"),
    (lambda: vl.Trace([0], content=[-1]), "content -1 at index 0", "out of range"),
    (lambda: vl.Trace([0], content=[0.0]), "float64", "content must hold whole numbers"),
    *(
        (lambda v=v: vl.Trace([0], redraw_probability=v), repr(v), "redraw_probability must be between 0 and 1")
        for v in (NAN, -0.1, 1.5, "x", None, True)
    ),
    (lambda: vl.Trace([0], corpus=5), "polars table", "at least one row"),
    (lambda: vl.Trace([0]).head(0), "0", "n_accesses must be a whole number from 1"),
    # corpora
    (lambda: corpus(lz4_4k=[]), "table", "at least one row"),
    (lambda: corpus(region=[1, 0]), "region", "sort the table first"),
    (lambda: sizes(5, 0), "row 1 is 0", "sizes are whole bytes, 1 to 4096"),
    (lambda: sizes(5, 4097), "row 1 is 4097", "sizes are whole bytes, 1 to 4096"),
    (lambda: sizes(-1), "row 0 is -1", "sizes are whole bytes, 1 to 4096"),
    (lambda: sizes(5.0, NAN), "row 1 is nan", "sizes are whole bytes, 1 to 4096"),
    (lambda: sizes(5, None), "row 1 is", "sizes are whole bytes, 1 to 4096"),
    (lambda: sizes("a"), "'lz4_4k'", "size column"),
    (lambda: corpus(zstd3_4k=[5]).sizes("lz4_4k"), "'lz4_4k'", "it has zstd3_4k"),
    (lambda: vl.simulate(vl.Trace([0], corpus=corpus(region=[0])), ROUND), "'lz4_4k'", "it has none"),
    # makers
    (lambda: vl.synthetic_corpus(ratio=NAN), "nan", "ratio must be a number from 1 to 4096"),
    (lambda: vl.synthetic_corpus(ratio=0.5), "0.5", "ratio must be a number from 1 to 4096"),
    (lambda: vl.synthetic_corpus(sigma=-1), "-1", "sigma must be a number from 0 to 10"),
    (lambda: vl.synthetic_corpus(p_zero=NAN), "nan", "p_zero must be a share"),
    (lambda: vl.synthetic_corpus(p_zero=0.6, p_incompressible=0.6), "0.6", "more than 1"),
    (lambda: vl.synthetic_corpus(n_regions=0), "0", "n_regions must be"),
    (lambda: vl.zipf(n_pages=0, n_accesses=1), "0", "n_pages must be a whole number from 1 to"),
    (lambda: vl.zipf(n_pages=1, n_accesses=-1), "-1", "n_accesses must be a whole number from 1 to"),
    (lambda: vl.uniform(n_pages=1.5, n_accesses=1), "1.5", "n_pages must be a whole number from 1 to"),
    (lambda: vl.zipf(n_pages=1, n_accesses=1, alpha=NAN), "nan", "alpha must be a number from 0 to 100"),
    (lambda: vl.zipf(n_pages=1, n_accesses=1, alpha=-1), "-1", "alpha must be a number from 0 to 100"),
    (lambda: vl.loop(n_pages=1, n_accesses=1, write_share=NAN), "nan", "write_share must be between 0 and 1"),
    (lambda: vl.scan(n_pages=1, n_accesses=1, hot_share=2), "2", "hot_share must be between 0 and 1"),
    (lambda: vl.scan(n_pages=1, n_accesses=1, scan_share=-1), "-1", "scan_share must be between 0 and 1"),
    (lambda: vl.phases(n_pages=1, n_accesses=1, n_phases=0), "0", "n_phases must be a whole number from 1"),
    (lambda: vl.phases(n_pages=1, n_accesses=1, working_share=NAN), "nan", "working_share must be above 0 and up to 1"),
    (lambda: vl.mixture(), "mixture", "at least one trace"),
    (lambda: vl.mixture(vl.fork(n_pages=5, n_accesses=9)), "mappers", "give mixture traces of one process"),
    (lambda: vl.mixture(vl.collapse(vl.Trace([0, 1]), at=1)), "drifts or collapses", "the trace it was made of"),
    # runs
    (lambda: vl.simulate(vl.Trace([0]), ROUND, engine="fast"), "'fast'", "vectorised, reference"),
    (lambda: vl.simulate(vl.Trace([0]), ROUND, batch_size=0), "0", "batch_size must be a whole number of at least 1"),
    (lambda: vl.simulate(vl.Trace([0]), ROUND, batch_size=1.5), "1.5", "batch_size must be a whole number"),
    (lambda: vl.simulate(vl.Trace([0]), ROUND, epoch_accesses=-1), "-1", "epoch_accesses must be a whole number"),
    (lambda: vl.simulate(vl.Trace([0]), ROUND, seed=-1), "-1", "seed must be a whole number of at least 0"),
    (lambda: vl.simulate(vl.Trace([0]), ROUND, seed=0.5), "0.5", "seed must be a whole number of at least 0"),
]


@pytest.mark.parametrize(("make", "value", "remedy"), REFUSED, ids=[f"{r[2][:40]}-{r[1][:20]}" for r in REFUSED])
def test_a_bad_input__is_refused_in_one_line(make, value, remedy):
    refused(make, value, remedy)


@pytest.mark.parametrize(
    "run",
    [
        vl.simulate,
        vl.follow,
        vl.metadata_along,
        vl.risk,
        vl.compare_policies,
        vl.next_dollar,
        lambda trace, machine: vl.unlimited(machine, trace),
        lambda trace, machine: vl.sweep(trace, machine, {"dram.low": [0]}, progress=False),
        lambda trace, machine: vl.frontier(trace, machine, {"dram.low": [0]}, progress=False),
        lambda trace, machine: vl.optimise(trace, machine, {"dram.low": [0]}, progress=False),
    ],
)
def test_whatever_runs__refuses_what_is_no_trace_or_no_machine(run):
    refused(lambda: run(None, ROUND), "trace must be a vl.Trace, got None")
    refused(lambda: run(vl.Trace([0]), None), "machine must be a vl.Machine, got None")


def test_seeds__end_where_those_of_a_sweep_do():
    most = (1 << 63) - 1
    assert vl.simulate(vl.Trace([0]), ROUND, seed=np.int64(most)).provenance["seed"] == most
    assert type(vl.simulate(vl.Trace([0]), ROUND, seed=np.int64(3)).provenance["seed"]) is int
    assert vl.risk(vl.Trace([0]), CRAM, seeds=np.array([most]))["seed"].to_list() == [most]
    assert len(vl.random_design({"dram.low": [0]}, 1, seed=most)) == 1


def test_numbers__of_numpy_are_numbers():
    trace = vl.zipf(n_pages=np.int64(9), n_accesses=np.uint16(300), alpha=np.uint8(1), seed=np.int64(2))
    half = np.float32(0.5)

    assert (trace.page == vl.zipf(n_pages=9, n_accesses=300, alpha=1, seed=2).page).all()
    assert vl.Trace([0], redraw_probability=half).redraw_probability == 0.5
    assert vl.zipf(n_pages=9, n_accesses=9, write_share=half).op.size == 9
    assert vl.synthetic_corpus(p_zero=half).is_zero.any()


# What once came out as another library's error, or not at all.
ONCE_MISSED: list[tuple[Callable[[], object], str, str]] = [
    (lambda: vl.Trace([1 << 31]), f"page {1 << 31}", "the message names n_pages 2147483649, which nobody gave"),
    (lambda: vl.Trace([[1], [1, 2]]), "page", "numpy's ValueError about inhomogeneous shapes"),
    (lambda: vl.Trace([0], recorder_k="x"), "recorder_k", "int()'s ValueError"),
    (lambda: vl.Trace([0], recorder_k=-5), "recorder_k", "accepted"),
    (lambda: vl.Trace([0], recorder_k=True), "True", "accepted as 1"),
    (lambda: vl.Trace([0], n_pages=True), "True", "accepted as 1"),
    (lambda: vl.zipf(n_pages=True, n_accesses=1), "True", "accepted as 1"),
    (lambda: vl.zipf(n_pages=1, n_accesses=1, alpha=True), "True", "accepted as 1"),
    (lambda: vl.zipf(n_pages=1, n_accesses=1, write_share="x"), "'x'", "TypeError"),
    (lambda: vl.synthetic_corpus(p_zero="x"), "'x'", "TypeError"),
    (lambda: sizes(100.5), "100.5", "cut to 100"),
    (lambda: corpus(region=[0, None]), "region", "RuntimeWarning of a cast, then a wrong number"),
    (lambda: corpus(region=["a", "b"]), "region", "int()'s ValueError"),
    (lambda: corpus(region=[0.5, 0.7]), "region", "accepted: two regions, sorted as one"),
    *(
        (lambda name=name: vl.Trace(**{"page": [0, 1], name: np.ma.array([0, 1], mask=[0, 1])}), name, "masked")
        for name in ("page", "op", "repeat_reads", "mapper", "mappers", "content")
    ),
    (lambda: corpus(is_zero=[None, True]).is_zero, "is_zero", "accepted as False"),
    (lambda: corpus(is_zero=["no"]).is_zero, "is_zero", "accepted as True"),
    (lambda: corpus(is_zero=[0, 2]), "2", "accepted as True"),
    *(
        (lambda name=name, v=v: corpus(**{name: [64, v]}), f"{name}' row 1 is {v}", "found out when it was asked for")
        for name in ("lz4_4k", "w842_4k", "own_mine")
        for v in (0, 4097, 5.5, math.nan)
    ),
    (lambda: vl.synthetic_corpus(n_regions=1.5), "1.5", "TypeError"),
    (lambda: vl.synthetic_corpus(sigma=1e300), "sigma", "RuntimeWarning: overflow in exp"),
    (lambda: vl.zipf(n_pages=1, n_accesses=1, alpha="x"), "'x'", "TypeError"),
    (lambda: vl.zipf(n_pages=1, n_accesses=1, seed=0.5), "0.5", "TypeError"),
    (lambda: vl.phases(n_pages=4, n_accesses=4, n_phases=1.5), "1.5", "the message is about the dtype of page"),
    (lambda: vl.zipf(n_pages=9, n_accesses=True), "True", "accepted as 1"),
    (lambda: vl.zipf(n_pages=9, n_accesses=9, seed=1 << 63), str(1 << 63), "the seed 0, but for its name"),
    (lambda: vl.zipf(n_pages=9, n_accesses=9, corpus=5), "polars table", "AttributeError"),
    (lambda: vl.phases(n_pages=4, n_accesses=4, n_phases=10**30), str(10**30), "OverflowError"),
    (lambda: vl.phases(n_pages=4, n_accesses=4, n_phases=True), "True", "accepted as 1"),
    (lambda: vl.phases(n_pages=4, n_accesses=4, working_share="x"), "'x'", "TypeError"),
    (lambda: vl.prefork(n_pages=9, n_accesses=20, private_share=None), "None", "TypeError"),
    (lambda: vl.drift(vl.Trace([0]), start="x", stop=5), "'x'", "TypeError"),
    (lambda: vl.drift(vl.Trace([0]), start=0, stop=5, factor="x"), "'x'", "TypeError"),
    (lambda: vl.collapse(vl.Trace([0]), at=0, factor="x"), "'x'", "TypeError"),
    (lambda: vl.with_contents(vl.Trace([0]), None), "polars table", "AttributeError"),
    (lambda: vl.synthetic_corpus(ratio="x"), "'x'", "TypeError"),
    (lambda: vl.synthetic_corpus(n_regions=10**30), str(10**30), "ValueError"),
    *(
        (lambda run=run, v=v: run(v), repr(v), f"{name} took the seed {v!r}")
        for v in (1 << 63, 1 << 70, -1, True)
        for name, run in (
            ("simulate", lambda seed: vl.simulate(vl.Trace([0]), ROUND, seed=seed)),
            ("follow", lambda seed: vl.follow(vl.Trace([0]), ROUND, seed=seed)),
            ("metadata_along", lambda seed: vl.metadata_along(vl.Trace([0]), ROUND, seed=seed)),
            ("risk", lambda seed: vl.risk(vl.Trace([0]), CRAM, seeds=[seed])),
            ("random_design", lambda seed: vl.random_design({"dram.low": [0]}, 1, seed=seed)),
            ("synthetic_corpus", lambda seed: vl.synthetic_corpus(seed=seed)),
        )
    ),
    *((lambda v=v: vl.load_trace(v), repr(v), f"pathlib's TypeError of {v!r}") for v in (None, 5, b"redis")),
    (lambda: vl.save_trace(vl.Trace([0]), None), "None", "pathlib's TypeError, of save_trace"),
    (lambda: vl.save_trace(None, "t.parquet"), "None", "AttributeError of save_trace"),
    (lambda: vl.write_trace(5, "t.parquet", n_pages=1), "5", "TypeError of write_trace"),
    (lambda: vl.write_trace([5], "t.parquet", n_pages=1), "5", "TypeError of a piece"),
    (lambda: vl.Trace([0], content_shifts=5), "5", "TypeError of content_shifts"),
    (lambda: vl.Trace([0], content_shifts=[5]), "[5]", "TypeError of a shift"),
    (lambda: vl.drift(None, start=0, stop=5), "None", "AttributeError of drift"),
    (lambda: vl.with_contents(None, None), "None", "AttributeError of with_contents"),
    (lambda: vl.mixture(1, 2), "1", "AttributeError of mixture"),
    (lambda: vl.sample(None, 0.5), "None", "AttributeError of sample"),
    (lambda: vl.simulate(vl.Trace([0]), ROUND, engine=[1]), "[1]", "unhashable type"),
    *(
        (lambda v=v: vl.simulate(vl.Trace([0]), ROUND, progress=v), repr(v), f"{v!r} is not callable")
        for v in (True, 0, "abc")
    ),
    (lambda: vl.risk(vl.Trace([0]), CRAM, seeds=2, progress=True), "True", "'bool' is not callable"),
    *((lambda v=v: vl.risk(vl.Trace([0]), CRAM, seeds=v), repr(v), f"risk of {v!r}") for v in (None, 2.5, True, "a")),
    (lambda: vl.metadata_along(vl.Trace([0]), ROUND, designs=5), "5", "TypeError of designs"),
    (lambda: vl.compare_policies(vl.Trace([0]), ROUND, policies=5), "5", "TypeError of policies"),
    (lambda: vl.poison_probability(5), "5", "AttributeError of poison_probability"),
    (lambda: vl.poison_probability(pl.DataFrame({"a": [1]})), "poison", "polars' ColumnNotFoundError"),
    (lambda: vl.Sampled(None, 0.5), "None", "AttributeError of Sampled"),
    (lambda: vl.replay(None), "None", "AttributeError of replay"),
    (lambda: vl.simulate("redis", ROUND), "'redis'", "AttributeError"),
    (lambda: vl.simulate(vl.Trace([0]), "ocp"), "'ocp'", "AttributeError"),
]


@pytest.mark.parametrize(("make", "value"), [pytest.param(make, value, id=was) for make, value, was in ONCE_MISSED])
def test_a_bad_input__once_missed_is_refused_in_one_line(make, value):
    refused(make, value)


@pytest.mark.parametrize("make", [vl.zipf, vl.uniform, vl.loop, vl.scan, vl.phases, vl.fork, vl.prefork])
def test_makers__have_the_limits_of_a_trace_in_memory(make):
    refused(lambda: make(n_pages=10**30, n_accesses=9), "n_pages must be a whole number from 1 to 2147483647")
    refused(lambda: make(n_pages=9, n_accesses=10**30), "n_accesses must be a whole number from 1 to 2147483646")
    assert make(n_pages=np.uint8(255), n_accesses=np.uint16(300)).n_pages == 255


def test_an_array__of_which_nothing_is_masked_is_data():
    assert vl.Trace(np.ma.array([0, 1, 2])).page.tolist() == [0, 1, 2]


# Files ------------------------------------------------------------------------------------------

GOOD = {"page": [0, 1, 1], "op": [0, 1, 2]}


@pytest.fixture
def save(tmp_path: Path):
    """Write a table as a trace file, with what it says about itself."""

    def write(columns: dict[str, list[object]], about: object = None) -> Path:
        path = tmp_path / "mine.parquet"
        metadata = None if about is None else {"vswaplab": about if isinstance(about, str) else json.dumps(about)}
        pl.DataFrame(columns).write_parquet(path, metadata=metadata)
        return path

    return write


def test_a_good_file__is_read(save):
    trace = vl.load_trace(save(GOOD, {"n_pages": 9, "k": 4, "name": "mine"}))
    assert (len(trace), trace.n_pages, trace.recorder_k, trace.name) == (3, 9, 4, "mine")
    assert vl.load_trace(save(GOOD)).n_pages == 2


def test_a_trace__survives_a_round_trip_through_a_file(tmp_path):
    trace = vl.Trace([0, 1, 1], [0, 1, 2], n_pages=5, repeat_reads=[0, 7, 0], redraw_probability=0.25, recorder_k=3)
    again = vl.load_trace(vl.save_trace(trace, tmp_path / "t.parquet"))
    assert again.digest == trace.digest
    assert again.recorder_k == 3


@pytest.mark.parametrize(
    ("columns", "about", "words"),
    [
        ({"page": [0]}, None, ("no column 'op'", "page and op")),
        ({"op": [0]}, None, ("no column 'page'", "page and op")),
        ({"page": [0.5], "op": [0]}, None, ("'page' is Float64", "whole numbers")),
        ({"page": [0], "op": ["read"]}, None, ("'op' is String", "whole numbers")),
        ({"page": [0, None], "op": [0, 1]}, None, ("'page' has missing values", "every access needs one")),
        ({"page": [0], "op": [7]}, None, ("op 7 at index 0", "0 is read, 1 write, 2 free")),
        ({"page": [-3, 0], "op": [0, 0]}, None, ("page -3 at index 0", "damaged")),
        ({"page": [0], "op": [0], "mapper": [9]}, None, ("mapper", "out of range 0..7")),
        ({"page": [0], "op": [0], "repeat_reads": [-1]}, None, ("repeat_reads -1 at index 0", "out of range")),
        (GOOD, {"n_pages": 1}, ("page 1 at index 1", "n_pages is too small or the trace is damaged")),
        (GOOD, {"n_pages": "x"}, ("'x'", "n_pages must be a whole number from 1")),
        (GOOD, {"redraw_probability": 2}, ("2", "redraw_probability must be between 0 and 1")),
        (GOOD, "{", ("copy it again",)),
    ],
)
def test_a_bad_file__is_refused_in_one_line_that_names_it(save, columns, about, words):
    path = save(columns, about)
    refused(lambda: vl.load_trace(path), "mine.parquet", *words)


def test_an_empty_file_of_the_right_columns__is_refused(save):
    path = save({"page": [0], "op": [0]})
    pl.read_parquet(path).head(0).write_parquet(path)
    refused(lambda: vl.load_trace(path), "mine.parquet", "the trace is empty")


@pytest.mark.parametrize("keep", [0, 3, 200, -100, -8, -1])
def test_a_truncated_file__is_refused(save, keep):
    path = save({"page": list(range(5000)), "op": [0] * 5000})
    path.write_bytes(path.read_bytes()[:keep])
    refused(lambda: vl.load_trace(path), "mine.parquet", "not a whole Parquet file", "copy it again")


def test_a_file_damaged_inside__is_refused(save):
    path = save({"page": list(range(5000)), "op": [0] * 5000})
    damaged = bytearray(path.read_bytes())
    damaged[40:400] = bytes(360)
    path.write_bytes(damaged)
    refused(lambda: vl.load_trace(path), "mine.parquet", "copy it again")


def test_a_file_that_is_no_parquet__is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("page op\n0 0\n")
    refused(lambda: vl.load_trace(path), "notes.txt", "not a whole Parquet file")


@pytest.mark.parametrize("name", ["no-such-trace", "no/such/file.parquet", "."])
def test_a_file_that_is_not_there__is_refused(name):
    refused(lambda: vl.load_trace(name), repr(name), "give a Parquet file, or one of the shipped traces")


@pytest.mark.parametrize("about", [{"k": None}, {"k": "x"}, "[1]"], ids=str)
def test_a_file_with_bad_metadata__is_refused(save, about):
    path = save(GOOD, about)
    refused(lambda: vl.load_trace(path), "mine.parquet")


# Contents beside a trace ------------------------------------------------------------------------


@pytest.fixture
def beside(tmp_path: Path):
    """Write a trace of four pages and the table of contents beside it."""

    def write(**columns: list[object]) -> Path:
        (tmp_path / "traces").mkdir()
        (tmp_path / "corpus").mkdir()
        path = tmp_path / "traces" / "mine.parquet"
        pl.DataFrame({"page": [0, 1, 2, 3], "op": [0] * 4}).write_parquet(path)
        pl.DataFrame(columns).write_parquet(tmp_path / "corpus" / "mine.parquet")
        return path

    return write


def test_contents__start_with_a_pages_first_sample_or_its_nearest_neighbours_before_it(beside):
    path = beside(page=[2, 1, 2], moment=[9, 5, 3], region=[0, 1, 1], is_zero=[False] * 3, lz4_4k=[100, 200, 300])
    # Page 1: row 1. Page 2: row 2, the earlier moment. Page 0 has no sampled page before it: the first one, 1.
    assert vl.load_trace(path).content.tolist() == [1, 1, 2, 2]


def test_contents__without_a_needed_column_are_refused(beside):
    path = beside(page=[0], region=[0])
    refused(lambda: vl.load_trace(path), "corpus/mine.parquet", "'moment'", "data dictionary")


def test_contents__that_are_unsorted_are_refused_with_the_files_name(beside):
    path = beside(page=[0, 1], moment=[0, 0], region=[1, 0])
    refused(lambda: vl.load_trace(path), "corpus/mine.parquet", "sort")


@pytest.mark.parametrize("pages", [[-1, 0], [0, None], ["a", "b"]], ids=str)
def test_contents__of_pages_that_cannot_be_are_refused(beside, pages):
    path = beside(page=pages, moment=[0, 0], region=[0, 0])
    refused(lambda: vl.load_trace(path), "corpus/mine.parquet")


# What a run warns of ----------------------------------------------------------------------------


@pytest.mark.parametrize(("high", "is_exact"), [(1, True), (5, True), (6, False), (10, False)])
def test_a_reduced_trace__is_exact_while_capacity_minus_high_exceeds_the_recorders_block(high, is_exact, recwarn):
    trace = vl.Trace([0, 1], name="mine", recorder_k=4)
    result = vl.simulate(trace, vl.Machine(vl.Dram(10, high=high)))
    assert len(recwarn) == len(result.provenance["notes"]) == (not is_exact)
    for warning in recwarn:
        assert f"dram.capacity_pages - dram.high exceeds that, here {10 - high}" in str(warning.message)


# Read-only and reproducible ---------------------------------------------------------------------


def test_arrays__are_copied_and_read_only():
    page = np.array([0, 1], np.int32)
    trace = vl.Trace(page, [0, 1])
    page[0] = 1
    assert trace.page.tolist() == [0, 1]
    for array in (trace.page, trace.op, trace.content):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_digests__differ_with_anything_a_run_depends_on():
    same = {"page": [0, 1], "op": [0, 1], "corpus": corpus(lz4_4k=[5, 6])}
    changes: list[dict[str, object]] = [
        {},
        {"page": [1, 0]},
        {"op": [0, 0]},
        {"n_pages": 3},
        {"repeat_reads": [0, 1]},
        {"repeat_writes": [0, 1]},
        {"redraw_probability": 0.5},
        {"content": [1, 1]},
        {"corpus": corpus(lz4_4k=[5, 7])},
        {"corpus": corpus(zstd3_4k=[5, 6])},
    ]
    digests = [vl.Trace(**(same | change)).digest for change in changes]
    assert len(set(digests)) == len(changes)
    assert vl.Trace(**same, name="another").digest == digests[0]


@pytest.mark.parametrize("other", [["text", "binary"], [None, 1.0]], ids=str)
def test_digests__do_not_mind_other_columns_of_a_corpus(other):
    assert vl.Trace([0, 1], corpus=corpus(kind=other, lz4_4k=[5, 6])).digest


@pytest.mark.parametrize("make", [vl.zipf, vl.uniform, vl.loop, vl.scan, vl.phases])
def test_makers__give_the_same_trace_for_the_same_seed(make):
    first, again, other = (make(n_pages=50, n_accesses=200, seed=seed) for seed in (1, 1, 2))
    assert first.digest == again.digest != other.digest
    assert first.n_pages == 50
    assert len(first) == 200


@pytest.mark.parametrize("first", [-7, -1, 0, 5])
def test_collapse__of_regions_of_any_number(first):
    trace = vl.Trace([0, 1, 2, 3], corpus=corpus(region=[first, first, first + 1, first + 1], lz4_4k=[10, 20, 30, 40]))
    collapsed = vl.collapse(trace, at=2)
    assert collapsed.content_shifts == ((2, 4),)
    assert collapsed.corpus.region_start.tolist() == [0, 0, 2, 2, 4, 4, 6, 6]
    assert collapsed.corpus.sizes("lz4_4k").tolist() == [10, 20, 30, 40, 20, 40, 60, 80]


def test_mixture__keeps_each_traces_order_and_pages_apart():
    first, second = vl.Trace([0, 1, 2], [0, 1, 0]), vl.Trace([1, 0], [1, 1])
    second = vl.Trace([1, 0], [1, 1], corpus=first.corpus)
    mixed = vl.mixture(first, second, seed=3)
    assert mixed.page[mixed.page < 3].tolist() == [0, 1, 2]
    assert (mixed.page[mixed.page >= 3] - 3).tolist() == [1, 0]
    assert mixed.op[mixed.page >= 3].tolist() == [1, 1]


def test_mixture__keeps_repeats_and_what_the_recorders_dropped():
    first = vl.Trace([0, 1, 2], repeat_reads=[5, 6, 7], recorder_k=64)
    second = vl.Trace([1, 0], repeat_writes=[8, 9], corpus=first.corpus, recorder_k=16)
    mixed = vl.mixture(first, second, seed=3)
    assert mixed.repeat_reads[mixed.page < 3].tolist() == [5, 6, 7]
    assert mixed.repeat_reads[mixed.page >= 3].tolist() == [0, 0]
    assert mixed.repeat_writes[mixed.page >= 3].tolist() == [8, 9]
    assert mixed.repeat_writes.sum() == 17
    assert mixed.recorder_k == 80
    assert vl.mixture(vl.loop(n_pages=2, n_accesses=4)).repeat_reads is None
