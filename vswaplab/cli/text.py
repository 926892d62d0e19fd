"""What the command line writes for people: aligned tables, exit statuses."""

from __future__ import annotations

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
