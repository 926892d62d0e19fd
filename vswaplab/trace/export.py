"""Write a trace's accesses in the formats of other programs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.backing import Op
from vswaplab.base.checks import one_of
from vswaplab.base.errors import InputError
from vswaplab.base.paths import path_of
from vswaplab.base.units import PAGE_SIZE
from vswaplab.base.whole import check_old, refused_in_one_line, whole_file
from vswaplab.trace.checks import mapper_sets
from vswaplab.trace.files import TraceFile
from vswaplab.trace.importers.oracle import RECORD
from vswaplab.trace.trace import Piece, Trace, check_trace

FORMATS = ("oracle-general", "csv")
_HEADING = re.compile(rb"page,op(,(repeat_reads|repeat_writes|mapper|mappers))*\n")
_HEAD = 1 << 16  # bytes by which an earlier export is known
_BLOCK = 1 << 20  # bytes of zeros written at once


def export_trace(trace: Trace | TraceFile, path: str | Path, format: str | None = None) -> Path:
    """Write a trace's accesses as libCacheSim's oracleGeneral, or as CSV.

    ``csv`` keeps all of a record: ``page,op,repeat_reads,repeat_writes``, and
    ``mapper`` if there are several, and ``mappers``, who maps the page at the
    start, if more do than access it; the ops are read, write and free.
    ``oracle-general`` keeps pages only: a record of the trace is a request for
    an object of 4096 bytes at a time that counts records, with the request that
    comes next for it (counted from 0, -1: none). It has no frees and no repeats: they are
    left out, so that of a reduced trace the miss counts of caches of at
    least ``recorder_k`` pages are kept, the miss ratios not.

    Parameters
    ----------
    trace
    path
        A new file, or an earlier export of the format, which is replaced when all is written.
    format
        ``"oracle-general"`` or ``"csv"``; default: csv if the name ends so.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        An unknown format, a trace of frees only, a file that cannot be written or is something else.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print(export_trace(Trace([3, 0, 3], [0, 1, 2]), f"{folder}/a.csv").read_text())
    page,op
    3,read
    0,write
    3,free
    """
    check_trace(trace)
    target = path_of("path", path)
    name = ("csv" if target.suffix.lower() == ".csv" else "oracle-general") if format is None else format
    one_of("the format to export to", name, FORMATS)
    if str(path) == "-":
        raise InputError("a trace is exported to a file, not to standard output: name one, such as trace.csv")
    with refused_in_one_line(target, "choose another place"):
        is_no_file = target.exists() and not target.is_file()
    if is_no_file:
        raise InputError(f"cannot write {target}: it is not a plain file; choose another place")
    is_export = _is_our_csv if name == "csv" else _is_our_oracle
    check_old(target, is_export, f"not from an earlier export to {name}", "choose another place")
    write = _write_csv if name == "csv" else _write_oracle
    with refused_in_one_line(target, "choose another place"), whole_file(target) as file:
        write(trace, file)
    return target


def _head(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(_HEAD)


def _is_our_csv(file: Path) -> bool:
    return _HEADING.match(_head(file)) is not None


def _is_our_oracle(file: Path) -> bool:
    head = _head(file)
    records = np.frombuffer(head[: len(head) // RECORD.itemsize * RECORD.itemsize], RECORD)
    is_counted = records["time"] == np.arange(records.size)
    return bool(records.size and is_counted.all() and (records["size"] == PAGE_SIZE).all())


def _write_csv(trace: Trace | TraceFile, file: BinaryIO) -> None:
    words, sets = {int(op): op.name.lower() for op in Op}, _sets_to_tell(trace)
    for piece in trace.pieces():
        table = pl.DataFrame({name: getattr(piece, name) for name in trace.columns})
        table = table.with_columns(pl.col("op").cast(pl.UInt8).replace_strict(words, return_dtype=pl.String))
        if sets is not None:
            table = table.with_columns(mappers=sets[piece.page])
        table.write_csv(file, include_header=piece.start == 0)


def _sets_to_tell(trace: Trace | TraceFile) -> NDArray[np.uint8] | None:
    # Every page's mappers, unless they are those that access it.
    if not isinstance(trace, Trace) or trace.mappers is None:
        return None
    by_access = mapper_sets(None, trace.page, trace.mapper, trace.n_pages)
    is_told = by_access is not None and (by_access == trace.mappers)[trace.page].all()
    return None if is_told else trace.mappers


def _write_oracle(trace: Trace | TraceFile, file: BinaryIO) -> None:
    # Each request is written without knowing what comes next; when it comes, it is filled in.
    n_requests = sum(int((piece.op != Op.FREE).sum()) for piece in trace.pieces())
    if not n_requests:
        raise InputError("the trace has frees only: oracleGeneral has no record for them")
    _reserve(file, n_requests * RECORD.itemsize)
    records = np.memmap(file, RECORD, "r+", shape=(n_requests,))
    latest = np.full(trace.n_pages, -1, np.int64)
    for start, page in _requests(trace.pieces()):
        stop = start + page.size
        records["time"][start:stop] = np.minimum(np.arange(start, stop), np.iinfo(np.uint32).max)
        records["object"][start:stop], records["size"][start:stop] = page, PAGE_SIZE
        records["next"][start:stop] = -1
        order = np.argsort(page, kind="stable")
        is_first = np.r_[True, page[order][1:] != page[order][:-1]]
        before = np.where(is_first, latest[page[order]], np.r_[0, order[:-1] + start])
        has_before = before >= 0
        records["next"][before[has_before]] = order[has_before] + start
        latest[page] = np.arange(start, stop)  # of equal pages the last one stays
    records.flush()


def _reserve(file: BinaryIO, n_bytes: int) -> None:
    # Room that is missing on the disk must be an OSError here: through the map it would be SIGBUS, the process's end.
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, n_bytes)
        return
    for start in range(0, n_bytes, _BLOCK):
        file.write(bytes(min(_BLOCK, n_bytes - start)))
    file.flush()


def _requests(pieces: Iterator[Piece]) -> Iterator[tuple[int, NDArray[np.int32]]]:
    start = 0
    for piece in pieces:
        page = piece.page[piece.op != Op.FREE]
        if page.size:
            yield start, page
        start += page.size
