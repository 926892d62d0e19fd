"""Hold data/README.md to the shipped files, and the files to what the README promises."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import vswaplab as vl
from vswaplab.trace.checksums import checksums_of

DATA = Path(__file__).parents[2] / "data"
README = DATA / "README.md"
TRACES = sorted((DATA / "traces").glob("*.parquet"))
CORPORA = sorted((DATA / "corpus").glob("*.parquet"))
FILES = [*TRACES, *CORPORA]
MB = 1_000_000
TRACE_SCHEMA = {
    "page": pl.UInt32, "op": pl.UInt8, "repeat_reads": pl.UInt32, "repeat_writes": pl.UInt32,
}  # fmt: skip
SIZES = (
    "lz4_4k", "lzo_4k", "zstd1_4k", "zstd3_4k", "deflate1_4k", "deflate_fixed_4k",
    "lz4_1k", "deflate1_1k", "bdi_64", "fpc_64", "w842_4k",
)  # fmt: skip
FAMILY_SCHEMA = TRACE_SCHEMA | {"mapper": pl.UInt8}
READ, WRITE, FREE = 0, 1, 2

every_file = pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
every_trace = pytest.mark.parametrize("path", TRACES, ids=lambda p: p.stem)
every_family = pytest.mark.parametrize(
    "path", [path for path in TRACES if "mapper" in pl.read_parquet_schema(path)], ids=lambda p: p.stem
)
every_corpus = pytest.mark.parametrize("path", CORPORA, ids=lambda p: p.stem)


@cache
def frame(path: Path) -> pl.DataFrame:
    return pl.read_parquet(path)


@cache
def facts(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(pl.read_parquet_metadata(path)["vswaplab"])
    return found


def touches_and_frees(path: Path) -> pl.DataFrame:
    """Make the trace's rows, with a mapper column whether the file has one or not."""
    table = frame(path)
    return table if "mapper" in table.columns else table.with_columns(mapper=pl.lit(0, pl.UInt8))


def readme_row(path: Path) -> list[str]:
    """The cells of the README's table row of one file."""
    name = f"| `{path.parent.name}/{path.name}` |"
    rows = [line for line in README.read_text().splitlines() if line.startswith(name)]
    assert len(rows) == 1, f"data/README.md has {len(rows)} rows for {name}"
    return [cell.strip() for cell in rows[0].strip("|").split("|")]


def documented_columns(section: str) -> dict[str, str]:
    """Column name to dtype, from the README table under a heading."""
    text = README.read_text().split(f"### {section}\n")[1].split("\n#")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", text, flags=re.MULTILINE))


# ---- the set of files ---------------------------------------------------------------------------


def test_every_trace_has_its_corpus():
    assert [path.name for path in TRACES] == [path.name for path in CORPORA]
    assert len(TRACES) >= 5


def test_files_are_small_enough():
    sizes = [path.stat().st_size for path in FILES]
    assert max(sizes) <= 4 * MB
    assert sum(sizes) <= 28 * MB


def test_working_sets_are_large_enough():
    pages = [facts(path)["n_pages"] for path in TRACES]
    assert sum(n >= 20_000 for n in pages) >= 3
    assert max(pages) > 60_000


def test_the_readme_names_no_file_that_is_not_there():
    named = set(re.findall(r"`((?:traces|corpus)/[a-z]+\.parquet)`", README.read_text()))
    assert named == {f"{path.parent.name}/{path.name}" for path in FILES}


# ---- metadata -----------------------------------------------------------------------------------


@every_file
def test_facts_are_complete(path):
    found = facts(path)
    assert found["format"] == 1
    assert found["kind"] == {"traces": "trace", "corpus": "corpus"}[path.parent.name]
    assert found["name"] == path.stem
    assert found["licence"] == "CC0-1.0"
    assert {"title", "machine", "recorded", "versions"} <= found.keys()


@every_file
def test_facts_name_no_place_of_the_recording_machine(path):
    text = json.dumps(facts(path))
    assert not re.search(r"(?<![\w.])/(?:\w+/)|~/|\\\\|@", text)
    assert set(facts(path)["machine"]) == {"cpu", "emulated_cpu", "kernel", "qemu"}


@every_trace
def test_traces_tell_checksums_of_their_columns(path):
    table = frame(path)
    assert facts(path)["crc32"] == checksums_of({name: table[name].to_numpy() for name in table.columns})


@every_trace
def test_the_readme_agrees_with_the_trace(path):
    f = facts(path)
    numbers = (f["n_pages"], f["n_pages_live_peak"], f["n_records"], f["n_accesses"])
    expected = [f["title"], *(f"{n:,}" for n in numbers), str(f["k"]), str(f["redraw_probability"])]
    expected.append(str(f.get("n_processes", 1)))
    assert readme_row(path)[1:] == expected
    row = next(line for line in README.read_text().splitlines() if line.startswith(f"| {path.stem} |"))
    assert f["command"] in row
    assert all(f"{name} {version}" in row for name, version in f["versions"].items())


@every_corpus
def test_the_readme_agrees_with_the_corpus(path):
    f, table = facts(path), frame(path)
    expected = [f"{f['n_rows']:,}", f"{f['n_regions']:,}", str(len(f["moments"]))]
    cells = readme_row(path)
    assert cells[1:4] == expected
    assert all(f"{name} {version}" in README.read_text() for name, version in f["versions"].items())
    assert float(cells[4]) == pytest.approx(100 * table["is_zero"].mean(), abs=0.06)
    assert float(cells[5]) == pytest.approx(4096 * len(table) / table["lz4_4k"].sum(), abs=0.006)


# ---- truth --------------------------------------------------------------------------------------


def test_truth_folders_and_their_files_are_documented():
    told = README.read_text().split("# Kernel measurements")[1]
    for path in sorted(DATA.glob("truth/*")):
        name = f"`truth/{path.name}/`" if path.is_dir() else f"`truth/{path.name}`"
        assert name in told, name
    for name in sorted({path.name for path in DATA.glob("truth/*/*.*")}):
        assert re.search(rf"^\|.*`{re.escape(name)}`", told, re.MULTILINE), name


def test_only_own_keeps_emulated_time():
    columns = {
        path.parent.name: path.read_text().split("\n", 1)[0].split(",") for path in DATA.glob("truth/*/*epochs.csv")
    }
    assert {name for name, found in columns.items() if any(re.match("t_ns|ns_code", one) for one in found)} == {"own"}
    assert {path.parent.name for path in DATA.glob("truth/*/latency_hist.csv")} == {"own"}
    assert "none is kept in `kernel` and `vswap`, and what `own` keeps says nothing" in README.read_text()


# ---- traces -------------------------------------------------------------------------------------


@every_trace
def test_trace_columns_are_as_documented(path):
    schema = dict(frame(path).schema)
    assert schema == (FAMILY_SCHEMA if "mappers" in facts(path) else TRACE_SCHEMA)
    assert documented_columns("Trace") == {name: str(kind()) for name, kind in FAMILY_SCHEMA.items()}


@every_trace
def test_trace_counts_add_up(path):
    table, f = frame(path), facts(path)
    n_frees = (table["op"] == FREE).sum()
    repeats = table["repeat_reads"].cast(pl.UInt64).sum() + table["repeat_writes"].cast(pl.UInt64).sum()
    assert len(table) == f["n_records"]
    assert len(table) - n_frees + repeats == f["n_accesses"]
    assert 0 <= f["redraw_probability"] <= 1
    assert table["op"].max() <= FREE


@every_trace
def test_pages_are_numbered_by_first_appearance(path):
    page = frame(path)["page"].to_numpy()
    first = np.sort(np.unique(page, return_index=True)[1])
    assert np.array_equal(page[first], np.arange(facts(path)["n_pages"]))


@every_trace
def test_only_live_pages_are_freed(path):
    """Before a free, the same page's record must be a touch, or a fork's page that the child never touched."""
    table = touches_and_frees(path).with_columns(
        known=pl.col("op").shift(1).over("page"), before=pl.col("op").shift(1).over("page", "mapper")
    )
    frees = table.filter(pl.col("op") == FREE)
    assert frees["known"].null_count() == 0
    assert frees.filter(pl.col("mapper") == 0)["before"].null_count() == 0
    assert (frees["before"].fill_null(READ) != FREE).all()
    assert frees["repeat_reads"].sum() == frees["repeat_writes"].sum() == 0


@every_trace
def test_repeat_writes_follow_a_kept_write(path):
    """Inside a block the first write is kept, so a read record's repeats are reads only."""
    reads = frame(path).filter(pl.col("op") == READ)
    assert reads["repeat_writes"].sum() == 0


@every_trace
def test_a_block_holds_at_most_three_records_of_a_page(path):
    """First touches are kept, so cutting the reduced stream at k pages finds the recorder's blocks.

    In a family a process's page is another one from its first write since the fork on.
    """
    f, seen, changed = facts(path), {}, set()
    head = touches_and_frees(path)[f.get("n_start_records", 0) :].head(200_000)
    for page, mapper, op in head.select("page", "mapper", "op").iter_rows():
        if op != READ and page < f.get("n_start_records", 0):
            changed.add((page, mapper))
        key = page, mapper, (page, mapper) in changed
        if op == FREE or (key not in seen and len(seen) == f["k"]):
            seen = {}
        if op != FREE:
            seen[key] = seen.get(key, 0) + 1
            assert seen[key] <= 3


# ---- families -----------------------------------------------------------------------------------


def test_a_program_that_forks_is_shipped():
    assert any("mappers" in facts(path) for path in TRACES)


@every_family
def test_a_family_loads_with_its_mappers(path):
    f, trace = facts(path), vl.load_trace(path)
    assert trace.recorder_k == f["k"]
    assert trace.mappers.tolist() == f["mappers"]
    assert np.array_equal(np.unique(trace.mapper), np.arange(f["n_processes"]))
    assert 2 <= f["n_processes"] <= 8


@every_family
def test_a_family_copies_as_often_as_the_recorder_saw(path):
    trace = vl.load_trace(path)
    assert (trace.sharing.copied_from >= 0).sum() == facts(path)["n_copies"] > 1000


@every_family
def test_a_family_starts_with_the_pages_of_the_first_fork(path):
    """One read by the parent of each page it shares; every other page belongs to one process."""
    f = facts(path)
    n_start, mappers = f["n_start_records"], np.array(f["mappers"])
    start = frame(path).head(n_start)
    assert start["page"].to_list() == list(range(n_start))
    assert start["op"].max() == READ
    assert start["mapper"].max() == 0
    assert (np.bitwise_count(mappers[:n_start]) > 1).all()
    assert f["n_renewed"] or (np.bitwise_count(mappers[n_start:]) == 1).all()


@every_family
def test_a_child_that_ends_frees_all_that_it_maps(path):
    f, trace = facts(path), vl.load_trace(path)
    for child in range(1, f["n_processes"]):
        mine = trace.mapper == child
        last = dict(zip(trace.page[mine].tolist(), trace.op[mine].tolist(), strict=True))
        assert last.keys() == set(np.flatnonzero(trace.mappers >> child & 1).tolist())
        assert set(last.values()) == {FREE}


@every_family
def test_processes_of_a_family_run_side_by_side(path):
    """While the first child lives, parent and child take turns often, and both do much."""
    table = frame(path).with_row_index()
    alive = table.filter((pl.col("mapper") == 1) & (pl.col("op") != FREE))["index"]
    window = table[alive.min() : alive.max()]["mapper"].to_numpy()
    assert (np.diff(window.astype(int)) != 0).sum() > 100
    assert 0.1 < (window == 1).mean() < 0.9


# ---- corpora ------------------------------------------------------------------------------------


@every_corpus
def test_corpus_columns_are_as_documented(path):
    table = frame(path)
    expected = {"page": pl.UInt32, "moment": pl.UInt8, "region": pl.UInt32}
    expected |= {"is_zero": pl.Boolean, "same_filled": pl.Boolean}
    expected |= dict.fromkeys(SIZES, pl.UInt16)
    assert dict(table.schema) == expected
    assert documented_columns("Corpus") == {name: str(kind()) for name, kind in expected.items()}


@every_corpus
def test_sizes_are_sizes_of_a_page(path):
    sizes = frame(path).select(pl.selectors.by_dtype(pl.UInt16))
    assert min(sizes.min().row(0)) >= 1
    assert max(sizes.max().row(0)) <= 4096


@every_corpus
def test_zero_and_same_filled_pages_have_the_sizes_of_one_word(path):
    table = frame(path)
    assert table.filter("is_zero")["same_filled"].all()
    assert table.filter("is_zero").select(SIZES).unique().height <= 1
    assert (table.filter("same_filled")["bdi_64"] <= 64 * (64 + 4) // 8).all()


@every_corpus
def test_rows_are_sorted_and_unique(path):
    keys = frame(path).select("region", "page", "moment")
    assert keys.equals(keys.sort("region", "page", "moment"))
    assert keys.n_unique() == len(keys)
    assert keys.select("page", "region").n_unique() == keys["page"].n_unique()


@every_corpus
def test_regions_are_dense_and_have_neighbours(path):
    regions = frame(path).group_by("region").len().sort("region")
    assert regions["region"].to_list() == list(range(facts(path)["n_regions"]))
    assert regions["len"].min() >= 8


@every_corpus
def test_sampled_pages_are_live_in_the_trace_at_their_moment(path):
    trace, corpus = touches_and_frees(DATA / "traces" / path.name), frame(path)
    moments = facts(path)["moments"]
    assert moments == sorted(moments)
    assert corpus["moment"].unique().to_list() == list(range(len(moments)))
    assert len(moments) >= 3
    for moment, record in enumerate(moments):
        last = trace.head(record).filter(pl.col("mapper") == 0).group_by("page").agg(pl.col("op").last())
        pages = corpus.filter(pl.col("moment") == moment).select("page")
        found = pages.join(last, on="page", how="left")
        assert found["op"].null_count() == 0
        assert (found["op"] != FREE).all()
