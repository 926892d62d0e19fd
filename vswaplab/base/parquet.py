"""Write a table that need not fit into memory: frames in, one Parquet file with many row groups out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
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
    metadata: Mapping[str, str] | None = None,
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
        Key to text, kept in the file.
    """

    def source(*_: object) -> Iterator[pl.DataFrame]:
        for frame in frames:
            if interrupts.noted:
                raise KeyboardInterrupt
            yield frame

    def write() -> None:
        table = register_io_source(source, schema=dict(schema))
        table.sink_parquet(path, row_group_size=ROW_GROUP, metadata=None if metadata is None else dict(metadata))

    # In a thread of its own, because polars is deaf to Ctrl-C while it writes: this one stays free to hear it.
    with Interrupts() as interrupts, ThreadPoolExecutor(1) as pool:
        try:
            pool.submit(write).result()
        except BaseException:
            interrupts.noted = True
            raise
