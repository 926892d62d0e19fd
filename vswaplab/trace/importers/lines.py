"""Text, block by block: lines that match a pattern become columns, a line that does not is named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.errors import InputError, shown
from vswaplab.trace.importers.touches import Asked, Tally

BLOCK = 1 << 22
"""Bytes of text in memory at once."""

MAX_LINE = 1 << 16
"""Longest line, bytes."""


class Block(NamedTuple):
    """Whole lines of a text."""

    first: int
    """Number of the first line, from 1."""
    lines: pl.Series


def blocks(stream: BinaryIO) -> Iterator[Block]:
    """Cut a stream into blocks of whole lines; a byte order mark at its start is left out.

    Raises
    ------
    InputError
        Text that is not UTF-8, or a line that is too long: names the line.
    """
    number, rest = 1, b""
    while chunk := stream.read(BLOCK):
        text, newline, rest = (rest + chunk).rpartition(b"\n")
        if newline:
            block = _block(number, text)
            number += len(block.lines)
            yield block
        elif len(rest) > MAX_LINE:
            raise _too_long(number)
    if rest:
        yield _block(number, rest)


def _block(first: int, text: bytes) -> Block:
    try:
        lines = text.decode("utf-8-sig" if first == 1 else "utf-8").split("\n")
    except UnicodeDecodeError as error:
        text = error.object  # without the mark
        line = first + text.count(b"\n", 0, error.start)
        raise InputError(
            f"line {line} is not text in UTF-8 (byte {text[error.start]:#04x}): is it a binary file? say --format"
        ) from None
    series = pl.Series("text", lines, pl.String).str.strip_suffix("\r")
    length = series.str.len_bytes()
    if (longest := length.max()) is not None and int(longest) > MAX_LINE:  # type: ignore[arg-type] # a number
        raise _too_long(first + int((length > MAX_LINE).arg_max() or 0))
    return Block(first, series)


def _too_long(line: int) -> InputError:
    return InputError(f"line {line} is longer than {MAX_LINE} bytes: this is not the text of a trace")


def sift(block: Block, pattern: str, aside: str, expected: str, asked: Asked, tally: Tally) -> pl.DataFrame:
    """Take the lines that match, with a column for each named group of the pattern and their numbers in ``line``.

    Parameters
    ----------
    block
    pattern
        Regular expression; its first named group is in every match.
    aside
        Matches what belongs to the format but tells nothing.
    expected
        What a line should be, in words.
    asked
        ``skip_unknown`` passes over lines that match neither.
    tally
        Counts what was passed over.
    """
    table = pl.DataFrame({"text": block.lines, "line": np.arange(block.first, block.first + len(block.lines))})
    table = table.with_columns(pl.col("text").str.extract_groups(pattern).alias("found")).unnest("found")
    is_row = pl.col(table.columns[2]).is_not_null()
    others = table.filter(~is_row & ~pl.col("text").str.contains(aside))
    if others.height and not asked.skip_unknown:
        raise unknown(others["line"][0], others["text"][0], expected)
    if others.height:
        tally["lines not understood"] += others.height
    return table.filter(is_row)


def unknown(line: int, text: str, expected: str) -> InputError:
    """Make the error of a line that is none of the format's."""
    return InputError(f"line {line}: expected {expected}, got {shown(text)}; --skip-unknown passes over such lines")


def whole(rows: pl.DataFrame, name: str, *, base: int = 10, most: int = (1 << 64) - 1) -> NDArray[np.uint64]:
    """Read a column of texts as whole numbers.

    Parameters
    ----------
    rows
        As ``sift`` gives them.
    name
    base
        10, or 16: with 0x in front or without.
    most
        Largest number allowed.

    Raises
    ------
    InputError
        Names the line.
    """
    text = rows[name]
    if base == 16:
        numbers = text.str.strip_prefix("0x").str.to_integer(base=16, dtype=pl.UInt64, strict=False)
    else:
        numbers = text.cast(pl.UInt64, strict=False)
    bad = numbers.is_null() | (numbers > most)
    if bad.any():
        at = int(bad.arg_max() or 0)
        raise InputError(
            f"line {rows['line'][at]}: {name} is {shown(str(text[at]))}: expected a whole number, at most {most}"
        )
    return numbers.to_numpy()
