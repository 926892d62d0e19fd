"""What the command line writes for people: aligned tables, progress, exit statuses."""

from __future__ import annotations

import time
from typing import TextIO

OK, DIFFERS, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses."""


def aligned_table(rows: list[list[str]], *, left: int = 1) -> str:
    """Align a table: the first columns are words, the others numbers.

    A heading's unit, after its comma, goes on a line below its name.

    Examples
    --------
    >>> print(aligned_table([["Tier", "Size, MiB"], ["DRAM", "12.5"], ["swapfile", "3.0"]]))
    Tier      Size
               MiB
    DRAM      12.5
    swapfile   3.0
    """
    headings, *body = rows
    tops = [[part.strip() for part in text.partition(", ")[::2]] for text in headings]
    lines = [[top for top, _ in tops], [unit for _, unit in tops], *body]
    lines = [line for line in lines if any(line)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    aligned = (
        (text.ljust(width) if column < left else text.rjust(width))
        for line in lines
        for column, (text, width) in enumerate(zip(line, widths, strict=True))
    )
    return "\n".join("  ".join(next(aligned) for _ in widths).rstrip() for _ in lines)


class Progress:
    """Say how far a run is: on a terminal one line that is rewritten, elsewhere a line every ten seconds."""

    def __init__(self, stream: TextIO, what: str = "accesses") -> None:
        self.stream, self.what, self.is_terminal = stream, what, stream.isatty()
        self.start = self.last = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_terminal:
            print("\r\x1b[K", end="", file=self.stream, flush=True)

    def __call__(self, done: int, total: int) -> None:
        """Take a report: how many are done, how many there are."""
        now = time.monotonic()
        if now - self.last < (0.1 if self.is_terminal else 10):
            return
        self.last = now
        left = (now - self.start) * (total - done) / done if done else 0.0
        text = f"{done:,} of {total:,} {self.what} ({done / total:.0%}), about {left:.0f} s left"
        if self.is_terminal:
            bar = "#" * (30 * done // total)
            print(f"\r\x1b[K[{bar:<30}] {text}", end="", file=self.stream, flush=True)
        else:
            print(f"vswaplab: {text}", file=self.stream, flush=True)
