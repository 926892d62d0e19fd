"""A file as a stream of plain bytes: gzip and zstd are undone, and no more comes out than was declared."""

from __future__ import annotations

import io
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from vswaplab.base.errors import InputError
from vswaplab.base.units import format_bytes

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_STEP = 1024  # compressed bytes taken at once: zstd makes at most 32 MiB of them (a block of 128 KiB from 4 bytes)
_WINDOW = 27  # log2 of the largest zstd window that is accepted: 128 MiB
_BUFFER = 1 << 20

STDIN = "-"
"""The name that means standard input."""


class _Decompressor(Protocol):
    # What zlib's, zstandard's and compression.zstd's objects have in common.
    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes, /) -> bytes: ...


class Plain(io.RawIOBase):
    """Decompressed bytes of a stream, member after member.

    Parameters
    ----------
    packed
        The compressed bytes.
    make
        Gives a decompressor for the next member.
    what
        Name of the compression, for messages.
    """

    def __init__(self, packed: BinaryIO, make: Callable[[], _Decompressor], what: str) -> None:
        self._packed, self._make, self._what = packed, make, what
        self._member: _Decompressor | None = None
        self._rest, self._ready = b"", memoryview(b"")

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, room: Any) -> int:  # noqa: ANN401 - a writable buffer
        """Give the next decompressed bytes, at least one unless the stream has ended."""
        while not self._ready:
            data = self._rest or self._packed.read(_STEP)
            if not data:
                if self._member is not None:
                    raise InputError(f"the {self._what} data ends before it is complete: copy the file again")
                return 0
            self._rest = b""
            self._ready = memoryview(self._unpacked(data))
        n = min(len(room), len(self._ready))
        room[:n], self._ready = self._ready[:n], self._ready[n:]
        return n

    def _unpacked(self, data: bytes) -> bytes:
        member = self._member = self._member or self._make()
        try:
            plain = member.decompress(data)
        except Exception as error:  # each library has an error class of its own
            if isinstance(error, MemoryError):
                raise
            raise InputError(f"the {self._what} data is damaged ({_reason(error)}): copy the file again") from None
        if member.eof:
            self._member, self._rest = None, member.unused_data
        return plain


class Bounded(io.RawIOBase):
    """A stream that gives at most so many bytes, and says so if there are more."""

    def __init__(self, stream: BinaryIO, max_bytes: int) -> None:
        self._stream, self._max, self.n_read = stream, max_bytes, 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, room: Any) -> int:  # noqa: ANN401 - a writable buffer
        """Give the next bytes."""
        data = self._stream.read(len(room))
        self.n_read += len(data)
        if self.n_read > self._max:
            raise InputError(
                f"more than {format_bytes(self._max)} once decompressed: raise the limit (--max-bytes) if that is right"
            )
        room[: len(data)] = data
        return len(data)


@contextmanager
def opened(name: str, max_bytes: int) -> Iterator[tuple[io.BufferedReader, Callable[[], int]]]:
    """Open a file, or standard input, as plain bytes.

    Parameters
    ----------
    name
        A path, or ``"-"``.
    max_bytes
        Most plain bytes that may come out.

    Yields
    ------
    stream : buffered, so that its head can be looked at
    position : function
        Bytes of the file itself read so far.

    Raises
    ------
    InputError
        No such file, a folder, no permission; zstd without its library.
    """
    try:
        with Path(name).open("rb") if name != STDIN else _stdin() as file:
            plain = Bounded(_unpacked(cast("io.BufferedReader", file)), max_bytes)
            yield io.BufferedReader(plain, _BUFFER), _position(file)
    except OSError as error:
        raise InputError(f"cannot read it: {error.strerror or error}; give a file that can be read") from None


def _position(file: BinaryIO) -> Callable[[], int]:
    return file.tell if file.seekable() else lambda: 0


@contextmanager
def _stdin() -> Iterator[BinaryIO]:
    yield sys.stdin.buffer


def _unpacked(file: io.BufferedReader) -> BinaryIO:
    magic = file.peek(4)[:4]
    if magic.startswith(_GZIP):
        return cast("BinaryIO", io.BufferedReader(Plain(file, _gzip, "gzip"), _BUFFER))
    if magic == _ZSTD:
        return cast("BinaryIO", io.BufferedReader(Plain(file, _zstd(), "zstd"), _BUFFER))
    return file


def _gzip() -> _Decompressor:
    return cast("_Decompressor", zlib.decompressobj(31))


def _zstd() -> Callable[[], _Decompressor]:
    try:
        library = import_module("zstandard")
    except ImportError:
        raise InputError(
            "it is compressed with zstd, which needs a library: pip install 'vswaplab[zstd]' (or decompress it first)"
        ) from None
    return lambda: cast("_Decompressor", library.ZstdDecompressor(max_window_size=1 << _WINDOW).decompressobj())


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
