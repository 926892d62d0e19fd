"""The process in which polars reads Parquet files for ``vswaplab.base.parquet``: a damaged one takes down nothing else.

It knows nothing of this package, so that it starts quickly. Standard input is
a socket: a packet asks for one file, in JSON; the answer is a packet with two
files that lie in memory, JSON and a table (Arrow IPC).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import socket
from io import BufferedWriter
from pathlib import Path
from typing import Any

import polars as pl

PACKET = 1 << 16
"""Longest question, bytes."""
ANSWER, LAST = b"answer", b"last"
"""What a packet says: after a panic, in which polars may have left a lock, it is the last."""


def main() -> None:
    """Answer until nobody is left to ask."""
    _bound_memory()
    with socket.socket(fileno=0) as asker, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        asker.send(b"ready")
        while question := asker.recv(PACKET):
            try:
                facts, frame = _answer(**json.loads(question))
                _send(asker, ANSWER, facts, frame)
                del frame
            except (OSError, ValueError, MemoryError, pl.exceptions.PolarsError) as error:
                _send(asker, ANSWER, {"error": _line(error), "errno": _errno(error)}, pl.DataFrame())
            except pl.exceptions.PanicException as panic:
                _send(asker, LAST, {"error": f"polars gave up on it: {_line(panic)}"}, pl.DataFrame())
                break


def _answer(path: str, rows: tuple[list[str] | None, int, int | None] | None) -> tuple[dict[str, Any], pl.DataFrame]:
    with Path(path).open("rb") as file:
        source = f"/proc/self/fd/{file.fileno()}"  # polars takes no name that is not UTF-8
        scan = pl.scan_parquet(source, glob=False, hive_partitioning=False)
        if rows is None:
            n_rows = scan.select(pl.len()).collect().item()
            about = {"metadata": pl.read_parquet_metadata(source), "n_rows": n_rows}
            return about, pl.DataFrame(schema=scan.collect_schema())
        columns, start, n_rows = rows
        chosen = scan if columns is None else scan.select(columns)
        return {}, (chosen.slice(start, n_rows) if start or n_rows is not None else chosen).collect()


def _send(asker: socket.socket, packet: bytes, facts: dict[str, Any], frame: pl.DataFrame) -> None:
    with _in_memory() as said, _in_memory() as table:
        said.write(json.dumps(facts).encode())
        frame.write_ipc(table)
        said.seek(0)
        table.seek(0)
        socket.send_fds(asker, [packet], [said.fileno(), table.fileno()])


def _in_memory() -> BufferedWriter:
    return os.fdopen(os.memfd_create("parquet"), "wb")


def _errno(error: BaseException) -> int | None:
    # The system's number, if it is the system that refused: polars has it in its words only.
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    told = re.search(r"\(os error (\d+)\)", _line(error))
    return int(told[1]) if told else None


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _bound_memory() -> None:
    # Nothing may get more than the machine has, and where memory is short this process is the first to go.
    pages = int(Path("/proc/self/statm").read_text().split()[0]) + os.sysconf("SC_PHYS_PAGES")
    most = pages * os.sysconf("SC_PAGE_SIZE")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most if soft == resource.RLIM_INFINITY else min(soft, most), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    main()
