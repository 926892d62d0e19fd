"""``vswaplab import`` and ``vswaplab export``: traces from and for other programs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from vswaplab.base.checks import count_of
from vswaplab.base.errors import InputError, shown
from vswaplab.base.progress import Progress
from vswaplab.base.units import PAGE_SIZE, format_bytes
from vswaplab.cli.text import OK
from vswaplab.trace.export import FORMATS as EXPORTS
from vswaplab.trace.export import export_trace
from vswaplab.trace.files import load_or_open
from vswaplab.trace.importers.formats import FORMATS
from vswaplab.trace.importers.importer import (
    MAX_ACCESSES,
    MAX_BYTES,
    Imported,
    Limits,
    import_file,
    op_of,
)
from vswaplab.trace.importers.streams import STDIN
from vswaplab.trace.importers.touches import MAX_PAGES, Asked

_SUFFIXES = {".gz", ".zst", ".txt", ".csv", ".tsv", ".bin", ".log", ".out", ".oraclegeneral", ".parquet"}


def add_import_arguments(verb: argparse.ArgumentParser) -> None:
    """Say what ``import`` understands."""
    add = verb.add_argument
    add("file", metavar="FILE", help="gzip and zstd are undone; - is standard input")
    formats = "; ".join(f"{name}: {form.title}" for name, form in FORMATS.items())
    add("--format", metavar="NAME", help=f"default: found out. {formats}")
    add("--out", metavar="TRACE.parquet", help="default: the name of FILE, here")
    add(
        "--columns",
        metavar="ROLE=COLUMN,...",
        help="of a table, by name or number from 1: page (a number or a word), address (bytes) or sector (512 bytes); "
        "op, size, repeat_reads, repeat_writes, mapper, mappers. Default: by the names of the columns",
    )
    add("--separator", metavar="C", help="of a CSV file; default: found out")
    add("--default-op", default="read", metavar="read|write", help="what an access is where the file does not say")
    add(
        "--events",
        metavar="KIND",
        help="of tracepoints: fault, swap, block or reclaim; of blkparse: Q, D...",
    )
    add("--skip-unknown", action="store_true", help="pass over lines that are not understood")
    for name, most, what in (
        ("pages", MAX_PAGES, "distinct pages, 24 bytes of memory each"),
        ("accesses", MAX_ACCESSES, "accesses written"),
        ("bytes", MAX_BYTES, "bytes read, once decompressed"),
    ):
        add(f"--max-{name}", default=str(most), metavar="N", help=f"most {what}, default {most:,}; K, M, G, T allowed")
    add("--name", metavar="NAME", help="of the trace")
    add("--title", default="", metavar="TEXT", help="of the trace")
    add("--json", action="store_true", help="print a JSON document")
    verb.set_defaults(verb=run_import)


def run_import(arguments: argparse.Namespace) -> int:
    """Import, tell; return the exit status."""
    asked = Asked(
        columns_of(arguments.columns),
        "" if arguments.separator is None else separator_of(arguments.separator),
        op_of(arguments.default_op),
        "" if arguments.events is None else arguments.events,
        arguments.skip_unknown,
    )
    limits = Limits(
        *(count_of(f"--max-{name}", getattr(arguments, f"max_{name}")) for name in ("pages", "accesses", "bytes"))
    )
    out = Path(arguments.out) if arguments.out is not None else _place(arguments.file)
    with Progress(sys.stderr, "bytes") as progress:
        made = import_file(
            arguments.file,
            out,
            arguments.format,
            asked,
            limits,
            name=arguments.name,
            title=arguments.title,
            progress=progress,
        )
    if arguments.json:
        print(json.dumps(_document(made), indent=2))
    else:
        _tell(made)
    return OK


def columns_of(text: str | None) -> dict[str, str]:
    """Read ``--columns``.

    Examples
    --------
    >>> columns_of("page=obj_id,op=3")
    {'page': 'obj_id', 'op': '3'}
    """
    columns: dict[str, str] = {}
    for pair in filter(None, (text or "").split(",")):
        role, _, name = (part.strip() for part in pair.partition("="))
        if not (role and name):
            raise InputError(f"--columns: {pair!r}: expected ROLE=COLUMN, such as page=obj_id")
        if role in columns:
            raise InputError(f"--columns: two columns for {role}, {columns[role]} and {name}: name one")
        columns[role] = name
    return columns


def separator_of(text: str) -> str:
    r"""Read ``--separator``.

    Examples
    --------
    >>> separator_of("tab"), separator_of(";")
    ('\t', ';')
    """
    separator = {"tab": "\t", r"\t": "\t", "space": " "}.get(text, text)
    if len(separator) > 1:
        raise InputError(f"--separator must be one character, tab or space, got {shown(text)}")
    return separator


def _place(source: str) -> Path:
    if source == STDIN:
        raise InputError("standard input has no name: say where the trace goes, --out TRACE.parquet")
    name = Path(source)
    while name.suffix.lower() in _SUFFIXES:
        name = name.with_suffix("")
    return Path(f"{name.name}.parquet")


def _document(made: Imported) -> dict[str, object]:
    names = ("format", "n_accesses", "n_writes", "n_frees", "n_pages", "passed_over", "lost")
    return {"path": str(made.path)} | {name: getattr(made, name) for name in names}


def _tell(made: Imported) -> None:
    size = format_bytes(made.n_pages * PAGE_SIZE)
    frees = f", {made.n_frees:,} frees" if made.n_frees else ""
    print(f"Format {made.format}: {FORMATS[made.format].title}")
    print(f"  {made.n_accesses:,} accesses to {made.n_pages:,} pages ({size}), {made.n_writes:,} of them writes{frees}")
    for what, number in sorted(made.passed_over.items(), key=lambda item: -item[1]):
        print(f"  passed over: {number:,} {what}")
    print(f"  not known: {made.lost}")
    print(f"Trace: {made.path}; run it: vswaplab run {made.path}")


def add_export_arguments(verb: argparse.ArgumentParser) -> None:
    """Say what ``export`` understands."""
    verb.add_argument("trace", metavar="TRACE", help="a Parquet file or a name that `vswaplab traces` lists")
    verb.add_argument("out", metavar="FILE", help="what to write")
    verb.add_argument("--format", metavar="NAME", help=f"{' or '.join(EXPORTS)}; default: csv if FILE ends so")
    verb.set_defaults(verb=run_export)


def run_export(arguments: argparse.Namespace) -> int:
    """Export, tell; return the exit status."""
    path = export_trace(load_or_open(arguments.trace), arguments.out, arguments.format)
    print(f"Exported: {path} ({format_bytes(path.stat().st_size)})")
    return OK
