"""Parquet files: written from frames that need not fit into memory, read though they may be damaged."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from polars.io.plugins import register_io_source

from vswaplab.base.interrupts import Interrupts

ROW_GROUP = 1 << 18
"""Rows of a row group: what a reader takes into memory at once, at least."""


def write_frames(
    frames: Iterable[pl.DataFrame],
    path: Path,
    schema: Mapping[str, pl.DataType | type[pl.DataType]],
    metadata: Callable[[], Mapping[str, str]] | None = None,
) -> None:
    """Write frames one after the other, a few of them in memory at a time.

    Parameters
    ----------
    frames
        All of the schema; what they raise comes out here.
    path
        Overwritten.
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
        table.sink_parquet(path, row_group_size=ROW_GROUP, metadata=None if metadata is None else told)

    # In a thread of its own, because polars is deaf to Ctrl-C while it writes: this one stays free to hear it.
    with Interrupts() as interrupts, ThreadPoolExecutor(1) as pool:
        try:
            pool.submit(write).result()
        except BaseException:
            interrupts.noted = True
            raise
        if interrupts.noted:
            raise KeyboardInterrupt
    if failures:
        raise failures[0]


@contextmanager
def no_panic() -> Iterator[None]:
    """Turn a panic of polars, which some damaged files cause, into a ``ComputeError``.

    A panic writes pages of its own to file descriptor 2 before anybody can catch it: those are dropped.
    """
    try:
        with _held_back():
            yield
    except pl.exceptions.PanicException as panic:
        reason = (str(panic).splitlines() or ["unknown"])[0]
        raise pl.exceptions.ComputeError(f"polars gave up on it: {reason}") from None


@contextmanager
def _held_back() -> Iterator[None]:
    # What is written to standard error meanwhile comes out at the end, but not after a panic.
    try:
        own = os.dup(2)
    except OSError:  # there is none
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        is_wanted = True
        try:
            yield
        except pl.exceptions.PanicException:
            is_wanted = False
            raise
        finally:
            os.dup2(own, 2)
            os.close(own)
            if is_wanted and held.seek(0, os.SEEK_END):
                held.seek(0)
                os.write(2, held.read())
