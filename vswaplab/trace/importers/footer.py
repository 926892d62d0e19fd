"""What a Parquet file says of its row groups, looked at before one is decoded: a reader takes a group as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from vswaplab.base.errors import InputError
from vswaplab.base.units import format_bytes

MAX_GROUP_BYTES = 1 << 31
"""Largest row group that is read, decoded: 2 GiB."""
MAX_GROUP_ROWS = 1 << 27
_MAX_FOOTER = 1 << 26
_MAGIC = b"PAR1"
_MAX_GROUPS = 1 << 20
_DEPTH = 16

# Thrift's compact protocol: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
# Field numbers of parquet.thrift: the row groups of a file, the decoded bytes and the rows of a group
_ROW_GROUPS, _BYTES, _ROWS = 4, 2, 3


def check_row_groups(path: Path) -> None:
    """Refuse a file whose footer is damaged, or whose row groups are too large to be decoded.

    Raises
    ------
    InputError
    """
    try:
        groups = row_groups(path)
    except OSError as error:
        raise InputError(f"cannot read it: {error.strerror or error}; give a file that can be read") from None
    except (IndexError, ValueError):
        raise InputError("not a whole Parquet file (its footer is damaged): copy it again") from None
    for number, (n_rows, n_bytes) in enumerate(groups):
        if not (0 <= n_rows <= MAX_GROUP_ROWS and 0 <= n_bytes <= MAX_GROUP_BYTES):
            raise InputError(
                f"row group {number} has {n_rows:,} rows and {n_bytes:,} bytes: expected at most {MAX_GROUP_ROWS:,} "
                f"and {format_bytes(MAX_GROUP_BYTES)}; write the table with smaller row groups"
            )


def row_groups(path: Path) -> list[tuple[int, int]]:
    """Read rows and decoded bytes of each row group."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - 8, 0))
        tail = file.read(8)
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != _MAGIC or length > min(size - 8, _MAX_FOOTER):
            raise ValueError("no footer")
        file.seek(size - 8 - length)
        footer = Compact(file.read(length))
    groups: list[tuple[int, int]] = []

    def group(_: int) -> None:
        found = {_BYTES: 0, _ROWS: 0}
        for field, kind in footer.fields():
            if field in found and kind not in (_BINARY, _STRUCT, _LIST):
                found[field] = footer.integer()
            else:
                footer.skip(kind)
        groups.append((found[_ROWS], found[_BYTES]))
        if len(groups) > _MAX_GROUPS:
            raise ValueError("too many row groups")

    for field, kind in footer.fields():
        if field == _ROW_GROUPS and kind == _LIST:
            footer.each(group)
        else:
            footer.skip(kind)
    return groups


class Compact:
    """A reader of Thrift's compact protocol that keeps nothing; IndexError or ValueError if the bytes are not that."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._depth = data, 0, 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Give number and type of each field of a struct; the caller reads or skips its value."""
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self.integer()
            yield number, head & 15

    def integer(self) -> int:
        """Read a signed number."""
        value = self._unsigned()
        return value >> 1 ^ -(value & 1)

    def each(self, visit: Callable[[int], None]) -> None:
        """Call ``visit`` with the type of each element of a list; it reads the element."""
        head = self._byte()
        for _ in range(head >> 4 if head >> 4 < 15 else self._unsigned()):
            visit(head & 15)

    def skip(self, kind: int) -> None:
        """Pass over a value."""
        self._depth += 1
        if self._depth > _DEPTH:
            raise ValueError("nested too deep")
        if kind == _DOUBLE:
            self._pass(8)
        elif kind == _BINARY:
            self._pass(self._unsigned())
        elif kind in (_LIST, _SET):
            self.each(self._skip_element)
        elif kind == _STRUCT:
            for _, inner in self.fields():
                self.skip(inner)
        elif kind == _MAP:
            raise ValueError("Parquet footers have no maps")
        elif kind == _BYTE:
            self._pass(1)
        elif kind not in (_TRUE, _FALSE):
            self._unsigned()
        self._depth -= 1

    def _skip_element(self, kind: int) -> None:
        if kind in (_TRUE, _FALSE):  # in a list a truth value has a byte of its own
            self._pass(1)
        else:
            self.skip(kind)

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _pass(self, n_bytes: int) -> None:
        self._at += n_bytes
        if self._at > len(self._data):
            raise IndexError

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ValueError("a number of more than 64 bits")
