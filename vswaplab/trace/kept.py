"""Page contents in a trace's own file: a corpus and every page's row of it, as text for the file's metadata."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.errors import InputError
from vswaplab.trace.corpus import Corpus, synthetic_corpus
from vswaplab.trace.trace import Workload, default_content

MAX_TEXT = 1 << 25
"""Characters that contents may take in a trace's file; larger ones are left out."""
_MAX_CELLS = 1 << 27  # of a corpus that is read: 1 GiB

_DTYPES: Mapping[str, tuple[type[pl.DataType], str]] = {
    "Boolean": (pl.Boolean, "|u1"),
    "Int8": (pl.Int8, "|i1"), "Int16": (pl.Int16, "<i2"), "Int32": (pl.Int32, "<i4"), "Int64": (pl.Int64, "<i8"),
    "UInt8": (pl.UInt8, "|u1"), "UInt16": (pl.UInt16, "<u2"), "UInt32": (pl.UInt32, "<u4"),
    "UInt64": (pl.UInt64, "<u8"), "Float32": (pl.Float32, "<f4"), "Float64": (pl.Float64, "<f8"),
}  # fmt: skip

_ROW = "<i4"
_TOO_LARGE = "they are too large to be kept in it"
_BLOCK = 1 << 20  # bytes compressed at once


def is_made_up(trace: Workload) -> bool:
    """Say whether a trace has the contents of one that was given none."""
    corpus = trace.corpus
    if not (corpus.is_made_up and corpus.table.equals(synthetic_corpus().table)):
        return False
    return np.array_equal(trace.content, default_content(trace.n_pages, corpus))


def told_contents(trace: Workload) -> dict[str, object]:
    """Say what a trace's pages hold.

    Returns
    -------
    contents
        ``made_up``; ``n_rows`` of the corpus; ``columns``, name to dtype and packed values; ``content``, the row of
        each page, packed, or None: as ``default_content`` gives it. Packed: little-endian, zlib, base64.

    Raises
    ------
    ValueError
        They cannot be told, and why.
    """
    corpus = trace.corpus
    if len(corpus) * corpus.table.width > _MAX_CELLS:
        raise ValueError(_TOO_LARGE)
    columns = {column.name: _told_column(column) for column in corpus.table}
    is_default = np.array_equal(trace.content, default_content(trace.n_pages, corpus))
    content = None if is_default else _packed(trace.content.astype(_ROW, copy=False))
    told = {"made_up": corpus.is_made_up, "n_rows": len(corpus), "columns": columns, "content": content}
    if len(json.dumps(told)) > MAX_TEXT:
        raise ValueError(_TOO_LARGE)
    return told


def read_contents(told: object, n_pages: int) -> tuple[Corpus, NDArray[np.int32] | None]:
    """Read what ``told_contents`` gave.

    Raises
    ------
    InputError
        It is not that.
    """
    try:
        return _read(told, n_pages)
    except (LookupError, TypeError, ValueError, OverflowError, zlib.error) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"the contents in it are damaged ({reason}): write it again with vl.save_trace") from None


def _read(told: object, n_pages: int) -> tuple[Corpus, NDArray[np.int32] | None]:
    found = dict(told)  # type: ignore[call-overload] # TypeError or ValueError if it is none
    n_rows, columns = found["n_rows"], dict(found["columns"])
    if type(n_rows) is not int or not 1 <= n_rows * max(len(columns), 1) <= _MAX_CELLS:
        raise ValueError(f"n_rows {n_rows!r}")
    table = pl.DataFrame([_read_column(name, told_as, n_rows) for name, told_as in columns.items()])
    packed = found["content"]
    content = None if packed is None else _unpacked(packed, _ROW, n_pages).astype(np.int32)
    return Corpus(table, is_made_up=found["made_up"] is True), content


def _told_column(column: pl.Series) -> list[str]:
    kind = str(column.dtype)
    if kind not in _DTYPES or column.null_count():
        raise ValueError(f"the column {column.name!r} of their corpus is {kind} or lacks values")
    return [kind, _packed(column.to_numpy().astype(_DTYPES[kind][1]))]


def _read_column(name: str, told: Sequence[str], n_rows: int) -> pl.Series:
    kind, packed = told  # TypeError or ValueError if it is no pair
    dtype, layout = _DTYPES[kind]
    return pl.Series(name, _unpacked(packed, layout, n_rows)).cast(dtype)


def _packed(values: NDArray[np.generic]) -> str:
    stream, packed, n_bytes = zlib.compressobj(), bytearray(), values.nbytes
    data = np.ascontiguousarray(values).view(np.uint8).data
    for start in range(0, n_bytes, _BLOCK):
        packed += stream.compress(data[start : start + _BLOCK])
        if len(packed) > MAX_TEXT:  # not first all of it, and then too large
            raise ValueError(_TOO_LARGE)
    return base64.b64encode(packed + stream.flush()).decode("ascii")


def _unpacked(packed: str, layout: str, n: int) -> NDArray[np.generic]:
    n_bytes = n * np.dtype(layout).itemsize
    stream = zlib.decompressobj()
    values = stream.decompress(base64.b64decode(packed, validate=True), n_bytes + 1)  # a bomb stays one byte too long
    if len(values) != n_bytes or not stream.eof:
        raise ValueError(f"{len(values)} bytes in place of {n_bytes}")
    return np.frombuffer(values, layout)
