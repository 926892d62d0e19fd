"""The formats that can be read, and which one a file is in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

import polars as pl

from vswaplab.base.errors import InputError, shown
from vswaplab.trace.importers import blkparse, damo, ftrace, lackey, oracle, perf, table
from vswaplab.trace.importers.touches import Asked, Tally, Touches

Reader = Callable[[BinaryIO, Asked, Tally], Iterator[Touches]]


@dataclass(frozen=True)
class Format:
    """One format.

    Parameters
    ----------
    title
        What makes it.
    lost
        What a trace made of it does not have.
    read
        From plain bytes to touches; of Parquet, which is no stream, None.
    uses
        What of ``Asked`` it heeds; the rest says nothing about such a file.
    pattern
        Of a text: what a line that tells of an access looks like.
    """

    title: str
    lost: str
    read: Reader | None
    uses: tuple[str, ...]
    pattern: str = ""


FORMATS: Mapping[str, Format] = {
    "oracle-general": Format("libCacheSim's oracleGeneral, binary", oracle.LOST, oracle.read, ("default_op",)),
    "lackey": Format(
        "valgrind --tool=lackey --trace-mem=yes", lackey.LOST, lackey.read, ("skip_unknown",), lackey.PATTERN
    ),
    "damo": Format("damo report access --raw_number", damo.LOST, damo.read, ("default_op", "skip_unknown"), damo.KNOWN),
    "blkparse": Format(
        "blkparse of a swap device", blkparse.LOST, blkparse.read, ("events", "skip_unknown"), blkparse.PATTERN
    ),
    "ftrace": Format(
        "tracepoints: ftrace, trace-cmd, perf script, bpftrace",
        ftrace.LOST,
        ftrace.read,
        ("events", "skip_unknown"),
        ftrace.PATTERN,
    ),
    "perf": Format(
        "perf script of memory samples or page faults", perf.LOST, perf.read, ("default_op", "skip_unknown"), perf.KNOWN
    ),
    "csv": Format("any CSV, libCacheSim's too", table.LOST_CSV, table.read_csv, ("columns", "separator", "default_op")),
    "parquet": Format("any Parquet table", table.LOST, None, ("columns", "default_op")),
}
"""Name to format. What is both the one and the other is the first."""

_PARQUET = b"PAR1"
_MOST = 0.5  # of the lines must be the format's; below, the one with most lines


def detect(head: bytes) -> str:
    r"""Tell the format of a file by how it begins.

    Parameters
    ----------
    head
        Its first bytes, decompressed.

    Raises
    ------
    InputError
        Nothing that is known.

    Examples
    --------
    >>> detect(b" L 1ffeffe7e8,8\nI  04a2b690,3\n"), detect(b"time,obj_id,size\n1,7,4096\n")
    ('lackey', 'csv')
    """
    if head.startswith(_PARQUET):
        return "parquet"
    if oracle.is_oracle(head):
        return "oracle-general"
    if b"\0" in head:
        raise InputError(f"an unknown binary file: expected one of {', '.join(FORMATS)}; say which with --format")
    lines = pl.Series(head.decode("utf-8-sig", "replace").splitlines(), dtype=pl.String).str.strip_chars_end("\r")
    lines = lines.filter(lines.str.strip_chars() != "")
    shares = {
        name: float(lines.str.contains(form.pattern).mean() or 0)  # type: ignore[arg-type] # a share
        for name, form in FORMATS.items()
        if form.pattern
    }
    sure = [name for name, share in shares.items() if share > _MOST]
    best = sure[0] if sure else max(shares, key=lambda name: shares[name])
    if shares[best] > 0:
        return best
    if not lines.len() or not table.is_csv(lines[0]):
        first = lines[0] if lines.len() else ""
        raise InputError(
            f"an unknown format (it begins {shown(first)}): expected one of {', '.join(FORMATS)}; say --format"
        )
    return "csv"
