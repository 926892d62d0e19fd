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
READ, WRITE, FREE = 0, 1, 2

every_file = pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
every_trace = pytest.mark.parametrize("path", TRACES, ids=lambda p: p.stem)
every_corpus = pytest.mark.parametrize("path", CORPORA, ids=lambda p: p.stem)


@cache
def frame(path: Path) -> pl.DataFrame:
    return pl.read_parquet(path)


@cache
def facts(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(pl.read_parquet_metadata(path)["vswaplab"])
    return found


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
    assert sum(sizes) <= 24 * MB


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
def test_the_readme_agrees_with_the_trace(path):
    f = facts(path)
    numbers = (f["n_pages"], f["n_pages_live_peak"], f["n_records"], f["n_accesses"])
    expected = [f["title"], *(f"{n:,}" for n in numbers), str(f["k"]), str(f["redraw_probability"])]
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


# ---- traces -------------------------------------------------------------------------------------


@every_trace
def test_trace_columns_are_as_documented(path):
    schema = dict(frame(path).schema)
    assert schema == TRACE_SCHEMA
    assert documented_columns("Trace") == {name: str(kind()) for name, kind in TRACE_SCHEMA.items()}


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
    """Before a free, the same page's record must be a touch; a free carries no repeats."""
    table = frame(path).with_columns(before=pl.col("op").shift(1).over("page"))
    frees = table.filter(pl.col("op") == FREE)
    assert frees["before"].null_count() == 0
    assert (frees["before"] != FREE).all()
    assert frees["repeat_reads"].sum() == frees["repeat_writes"].sum() == 0


@every_trace
def test_repeat_writes_follow_a_kept_write(path):
    """Inside a block the first write is kept, so a read record's repeats are reads only."""
    reads = frame(path).filter(pl.col("op") == READ)
    assert reads["repeat_writes"].sum() == 0


@every_trace
def test_a_block_holds_at_most_three_records_of_a_page(path):
    """First touches are kept, so cutting the reduced stream at k pages finds the recorder's blocks."""
    k, seen = facts(path)["k"], {}
    head = frame(path).head(200_000)
    for page, op in zip(head["page"].to_list(), head["op"].to_list(), strict=True):
        if op == FREE or (page not in seen and len(seen) == k):
            seen = {}
        if op != FREE:
            seen[page] = seen.get(page, 0) + 1
            assert seen[page] <= 3


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
    trace, corpus = frame(DATA / "traces" / path.name), frame(path)
    moments = facts(path)["moments"]
    assert moments == sorted(moments)
    assert corpus["moment"].unique().to_list() == list(range(len(moments)))
    assert len(moments) >= 3
    for moment, record in enumerate(moments):
        last = trace.head(record).group_by("page").agg(pl.col("op").last())
        pages = corpus.filter(pl.col("moment") == moment).select("page")
        found = pages.join(last, on="page", how="left")
        assert found["op"].null_count() == 0
        assert (found["op"] != FREE).all()
