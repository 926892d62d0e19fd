"""Parquet files: written from frames that need not fit into memory, read though they may be damaged."""

from __future__ import annotations

import atexit
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import polars as pl
from polars.io.plugins import register_io_source

from vswaplab.base.errors import InputError
from vswaplab.base.interrupts import Interrupts, result_of
from vswaplab.base.parquet_reader import LAST, PACKET

ROW_GROUP = 1 << 18
"""Rows of a row group: what a reader takes into memory at once, at least."""
_PATIENCE = 60.0  # seconds for any file, and so many bytes of it in one more
_SLOWEST = 1 << 20

_Rows: TypeAlias = tuple[list[str] | None, int, int | None]  # columns, first row, how many
_Answer: TypeAlias = tuple[dict[str, Any], pl.DataFrame]


def write_frames(
    frames: Iterable[pl.DataFrame],
    file: BinaryIO,
    schema: Mapping[str, pl.DataType | type[pl.DataType]],
    metadata: Callable[[], Mapping[str, str]] | None = None,
) -> None:
    """Write frames one after the other, a few of them in memory at a time.

    Parameters
    ----------
    frames
        All of the schema; what they raise comes out here.
    file
        Open for writing.
    schema
        Column name to dtype.
    metadata
        Gives key to text, kept in the file; called after the last frame.
    """
    failures: list[BaseException] = []

    def source(*_: object) -> Iterator[pl.DataFrame]:
        try:
            for frame in frames:
                if interrupts.noted:
                    return
                yield frame
        except (
            Exception,
            KeyboardInterrupt,
        ) as error:  # polars may hang if it meets one: the file ends here, and the error comes out below
            failures.append(error)

    def told(*_: object) -> dict[str, str]:
        if metadata is None or failures or interrupts.noted:
            return {}
        try:
            return dict(metadata())
        except Exception as error:
            failures.append(error)
            return {}

    def write() -> None:
        table = register_io_source(source, schema=dict(schema))
        table.sink_parquet(file, row_group_size=ROW_GROUP, metadata=None if metadata is None else told)

    # In a thread of its own, because polars is deaf to Ctrl-C while it writes: this one stays free to hear it.
    with Interrupts() as interrupts, ThreadPoolExecutor(1) as pool:
        try:
            result_of(pool.submit(write))
        except BaseException:
            interrupts.noted = True
            raise
        if interrupts.noted:
            raise KeyboardInterrupt
    if failures:
        raise failures[0]


@dataclass(frozen=True)
class Facts:
    """What a Parquet file says of itself."""

    metadata: Mapping[str, str]
    """Key to text."""
    schema: pl.Schema
    n_rows: int


def parquet_facts(path: str | Path) -> Facts:
    """Read what a Parquet file says of itself, and none of its rows.

    Raises
    ------
    OSError
        The system refuses: no such file, no permission, too many open files.
    polars.exceptions.ComputeError
        It is damaged, whatever that did to polars: one line.
    """
    said, empty = _ask(path, None)
    return Facts(said["metadata"], empty.schema, said["n_rows"])


def read_parquet(
    path: str | Path, columns: Sequence[str] | None = None, *, start: int = 0, n_rows: int | None = None
) -> pl.DataFrame:
    """Read rows of a Parquet file that may be damaged.

    Some damage makes polars abort its whole process, panic, or hang after a
    panic. So it reads in a process of its own (``parquet_reader``), which
    starts with the first file, stays, and hands tables over in shared memory.

    Parameters
    ----------
    path
        A file; never a pattern or a folder.
    columns
        Which; default all.
    start, n_rows
        From which row on and how many; default all. Only the row groups they lie in are decoded.

    Raises
    ------
    OSError
        The system refuses: no such file, no permission, too many open files.
    polars.exceptions.ComputeError
        It is damaged, whatever that did to polars: one line.
    """
    return _ask(path, (None if columns is None else list(columns), start, n_rows))[1]


# The process that reads ----------------------------------------------------------------------------


def _ask(path: str | Path, rows: _Rows | None) -> _Answer:
    file = Path(path).absolute()
    question = json.dumps({"path": str(file), "rows": rows}).encode()
    patience = _PATIENCE + (file.stat().st_size / _SLOWEST if file.exists() else 0)
    with _one_at_a_time:
        reader = _readers.get(os.getpid())
        if reader is None:
            reader = _readers[os.getpid()] = _Reader()  # a fork inherits that of its parent
        said, frame = reader.ask(question, patience)
    if said.get("errno") is not None:
        raise OSError(said["errno"], os.strerror(said["errno"]), str(path))
    if "error" in said:
        raise pl.exceptions.ComputeError(said["error"])
    return said, frame


class _Reader:
    """A process that reads, started when it is needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket
        atexit.register(self.end)

    def ask(self, question: bytes, patience: float) -> _Answer:
        """Ask for a file: what the process says, or what became of it."""
        try:
            if self._process is None or self._process.poll() is not None:
                self.end()
                self._start()
            return self._answer(question, patience)
        except BaseException:  # Ctrl-C too: its answer must not become that of the next question
            self.end()
            raise

    def _answer(self, question: bytes, patience: float) -> _Answer:
        assert self._process is not None
        self._socket.settimeout(patience)
        self._socket.send(question)
        try:
            packet, handles, _, _ = socket.recv_fds(self._socket, PACKET, 2)
        except TimeoutError:
            raise pl.exceptions.ComputeError(f"polars gave no answer in {patience:.0f} s") from None
        if not packet:
            raise pl.exceptions.ComputeError(f"polars gave up on it: {_how_it_ended(self._process.wait())}")
        if packet == LAST:
            self.end()
        if len(handles) < 2:
            for handle in handles:
                os.close(handle)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        with os.fdopen(handles[0]) as said, os.fdopen(handles[1], "rb") as table:
            return json.load(said), pl.read_ipc(f"/proc/self/fd/{table.fileno()}")

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__).with_name("parquet_reader.py"))],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,  # Ctrl-C is not for it
            )
        if not self._socket.recv(PACKET):
            how = _how_it_ended(self._process.wait())
            self.end()
            raise InputError(f"cannot start a process to read Parquet files ({how}): is there memory for it?")

    def end(self) -> None:
        """Let the process go."""
        if self._process is not None:
            self._socket.close()
            self._process.kill()
            self._process.wait()
            self._process = None


_readers: dict[int, _Reader] = {}  # by the process that asks
_one_at_a_time = threading.Lock()


def _how_it_ended(status: int) -> str:
    return f"its process ended with {signal.Signals(-status).name if status < 0 else f'status {status}'}"
