"""Standard output for a terminal of any encoding, which says so when it is it that cannot be written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

STANDARD_OUTPUT = "standard output"
"""The file name of an OSError that came from there."""


class Output:
    r"""A stream in which what its encoding lacks is written out, as ``\u65e5``.

    Parameters
    ----------
    stream
        What it writes to; it is that in everything else.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text.

        Raises
        ------
        OSError
            It cannot be written; ``filename`` says where.
        """
        with _named():
            try:
                return self._stream.write(text)
            except UnicodeEncodeError:
                encoding = self._stream.encoding
                return self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def flush(self) -> None:
        """Write what waits; OSError as in ``write``."""
        with _named():
            self._stream.flush()


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        error.filename = STANDARD_OUTPUT
        raise
