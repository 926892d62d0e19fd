"""``vswaplab measure``: a file, a core dump or a process in, a corpus and what it says out."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

import polars as pl

from vswaplab.base.progress import Progress
from vswaplab.base.units import PAGE_SIZE, format_bytes
from vswaplab.base.whole import check_place, refused_in_one_line
from vswaplab.cli.run import RESULTS, whole
from vswaplab.cli.text import INTERRUPTED, OK, aligned_table
from vswaplab.images.measure import MOST_PAGES, Contents, measure
from vswaplab.images.summary import (
    codec_table,
    neighbour_correlation,
    profile_table,
    run_table,
    shares,
    size_columns,
    size_table,
)
from vswaplab.machine.profiles import profiles
from vswaplab.results.folder import Kind, check_folder, write_folder

_KIND = Kind(
    "a vswaplab measurement",
    frozenset({"about", "codecs", "neighbour_correlation"}),
    frozenset({"corpus.parquet", "contents.svg", "provenance.json"}),
)
_LIKE = "lz4_4k"  # the codec under which pages are alike or not
_DRAWN = ("lz4_4k", "zstd3_4k", "deflate1_4k", "lz4_1k", "bdi_64")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what ``measure`` understands."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("file", nargs="?", metavar="FILE", help="a memory image, or any file or block device")
    what.add_argument("--core", metavar="CORE", help="an ELF core dump: its writable memory")
    what.add_argument("--pid", metavar="PID", help="a running process: its anonymous memory; may need root")
    add = parser.add_argument
    add("--most-pages", default=str(MOST_PAGES), metavar="N", help=f"sample a larger image, default {MOST_PAGES:,}")
    add("--jobs", metavar="N", help="processes that measure at once, default one a CPU")
    add("--profiles", metavar="FILE.toml", help="add the profiles of this file")
    add("--out", metavar="DIR", help=f"where corpus and figure go, default {RESULTS}/measure-NAME")
    add("--json", action="store_true", help="print a JSON document instead of tables")
    parser.set_defaults(verb=measure_contents)


def measure_contents(arguments: argparse.Namespace) -> int:
    """Measure, save, tell; return the exit status."""
    most = whole("--most-pages", arguments.most_pages, 1)
    jobs = whole("--jobs", arguments.jobs, 1)
    pid = whole("--pid", arguments.pid, 1)
    profiles(arguments.profiles)  # a bad file is refused before the work
    if arguments.out is not None:
        check_folder(arguments.out, _KIND)
    else:  # the folder's name comes with what is measured
        with refused_in_one_line(f"results to {RESULTS}", "choose another folder, --out DIR"):
            check_place(RESULTS)
    with Progress(sys.stderr, "pages") as progress:
        contents = measure(
            arguments.file,
            core=arguments.core,
            pid=pid,
            most_pages=most or MOST_PAGES,
            processes=jobs,
            progress=progress,
        )
    name = re.sub(r"[^\w.+-]+", "-", str(contents.about["name"])).strip(".-") or "image"
    folder = Path(arguments.out) if arguments.out is not None else RESULTS / f"measure-{name}"
    document = _document(contents, arguments.profiles)
    write_folder(folder, lambda staging: _write(contents, document, staging), _KIND)
    if arguments.json:
        print(json.dumps(document | {"folder": str(folder)}, indent=2))
    else:
        _tell(contents, document, folder)
    return INTERRUPTED if contents.about["partial"] else OK


def _document(contents: Contents, profiles_file: str | None) -> dict[str, object]:
    corpus = contents.corpus
    like = _LIKE if _LIKE in size_columns(corpus) else size_columns(corpus)[0]
    return {
        "about": contents.about,
        "shares": shares(corpus),
        "codecs": codec_table(corpus).to_dicts(),
        "profiles": profile_table(corpus, profiles_file).to_dicts(),
        "runs": run_table(corpus, like).to_dicts(),
        "neighbour_correlation": neighbour_correlation(corpus, like),
    }


def _write(contents: Contents, document: dict[str, object], folder: Path) -> None:
    from vswaplab.charts.contents import contents_chart  # half a second of plotting library
    from vswaplab.charts.theme import chart_svg

    contents.save(folder / "corpus.parquet")
    (folder / "provenance.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    columns = size_columns(contents.corpus)
    chart = contents_chart(
        size_table(contents.corpus, [name for name in _DRAWN if name in columns] or columns[:5]),
        _table(document["profiles"]),
        _table(document["runs"]),
        title=f"What the pages of {contents.about['source']} hold",
        note=_measured_words(contents),
    )
    (folder / "contents.svg").write_text(chart_svg(chart), encoding="utf-8")


def _table(rows: object) -> pl.DataFrame:
    assert isinstance(rows, list)
    return pl.DataFrame(rows, infer_schema_length=None)


def _measured_words(contents: Contents) -> str:
    done, seen = contents.about["pages_measured"], contents.about["pages_seen"]
    words = f"{done:,} pages ({format_bytes(done * PAGE_SIZE)})"
    if contents.about["partial"]:
        return f"{words} of {seen:,}, from the lowest address on: interrupted"
    if done == seen:
        return f"{words}, all of it"
    return f"{words} of {seen:,}, in whole pieces of 256 KiB spread over it"


def _tell(contents: Contents, document: dict[str, object], folder: Path) -> None:
    about, found = contents.about, shares(contents.corpus)
    print(f"Measured {about['source']}: {_measured_words(contents)}")
    if about["pages_left_out"]:
        print(f"Left out: {about['pages_left_out']:,} pages of code and read-only data, which nobody swaps")
    if about["pages_unreadable"]:
        print(f"Left out: {about['pages_unreadable']:,} pages that were gone when it was their turn")
    print(", ".join(f"{name.replace('_', '-')} pages {share:.1%}" for name, share in found.items()))
    print()
    print(aligned_table(_codec_rows(_table(document["codecs"]))))
    print("\nTotal ratio: all bytes over all compressed bytes. Page ratio: quantiles of the pages' own ratios.\n")
    print(aligned_table(_profile_rows(_table(document["profiles"])), left=2))
    print("\nHeld: bytes of pages in one byte of media or pool, rounding and metadata counted, zero pages left out.\n")
    print(aligned_table(_run_rows(_table(document["runs"]))))
    correlation = document["neighbour_correlation"]
    if correlation is not None:
        print(f"\nCorrelation of neighbours' ratios under LZ4: {correlation:.2f} (0: as if shuffled)")
    print(f"Corpus: {folder / 'corpus.parquet'}; figure: {folder / 'contents.svg'}")


def _number(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else "-" if value is None else f"{value:,}"


def _codec_rows(table: pl.DataFrame) -> list[list[str]]:
    quantiles = [name for name in table.columns if name.startswith("page_ratio_")]
    headings = ["Codec", "Total, ratio", *(f"Page {name.rpartition('_')[2]}, ratio" for name in quantiles)]
    rows = [
        [
            row["codec"],
            _number(row["total_ratio"]),
            *(_number(row[name]) for name in quantiles),
            f"{row['incompressible']:.1%}",
        ]
        for row in table.iter_rows(named=True)
    ]
    return [[*headings, "Does not compress, pages"], *rows]


def _profile_rows(table: pl.DataFrame) -> list[list[str]]:
    return [
        ["Profile", "Kind", "Held, ratio", "Advertised, ratio"],
        *(
            [row["profile"], row["kind"], _number(row["held_ratio"]), _number(row["advertised_ratio"])]
            for row in table.iter_rows(named=True)
        ),
    ]


def _run_rows(table: pl.DataFrame) -> list[list[str]]:
    columns = ("runs", "mean_run", "longest_run", "shuffled_run")
    return [
        ["Under LZ4", "Share, of pages", "Runs", "Mean run, pages", "Longest, pages", "If shuffled, pages"],
        *(
            [row["class"], f"{row['share']:.1%}", *map(_number, (row[name] for name in columns))]
            for row in table.iter_rows(named=True)
        ),
    ]
