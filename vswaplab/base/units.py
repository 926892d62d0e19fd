"""Page size, byte units and how they are printed."""

from __future__ import annotations

PAGE_SIZE = 4096
"""Bytes of one page of anonymous memory (x86-64, 4 KiB)."""

_BINARY = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))
_TIME = (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000))


def format_bytes(n_bytes: float) -> str:
    """Say a number of bytes in the largest binary unit that keeps it above one.

    Examples
    --------
    >>> format_bytes(4096), format_bytes(3 << 29), format_bytes(12)
    ('4.0 KiB', '1.5 GiB', '12 B')
    """
    for unit, size in _BINARY:
        if abs(n_bytes) >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes:.0f} B"


def format_share(share: float) -> str:
    """Say a share in percent: whole, but what is not quite nothing or everything with a digit more.

    Examples
    --------
    >>> format_share(0.384), format_share(-0.05), format_share(0)
    ('38 %', '-5 %', '0 %')
    >>> format_share(0.0021), format_share(0.997), format_share(1e-7), format_share(0.9999)
    ('0.2 %', '99.7 %', 'under 0.01 %', 'over 99.9 %')
    """
    percent = 100 * abs(share)
    sign = "-" if share < 0 else ""
    if 0 < percent < 0.01:
        return f"{sign}under 0.01 %"
    if 99.9 < percent < 100:
        return f"{sign}over 99.9 %"
    if 0 < percent < 0.5:
        return f"{sign}{percent:.1g} %"
    return f"{sign}{percent:.1f} %" if 99.5 <= percent < 100 else f"{sign}{percent:.0f} %"


def time_unit(longest_ns: float) -> tuple[str, int]:
    """Give the unit in which a figure says several times, by the longest: the largest that makes it at least ten.

    Returns
    -------
    unit, ns
        The unit's name, and how many ns it is.

    Examples
    --------
    >>> time_unit(1_255_163_620), time_unit(79_500), time_unit(250)
    (('ms', 1000000), ('µs', 1000), ('ns', 1))
    """
    unit, size = next(((unit, size) for unit, size in _TIME if longest_ns >= 10 * size), ("ns", 1))
    return _with_sign(unit), size


def format_ns(ns: float) -> str:
    """Say a time in ns in the largest unit that keeps it above one, in letters that every terminal has.

    Examples
    --------
    >>> format_ns(250), format_ns(1_500_000)
    ('250 ns', '1.50 ms')
    """
    for unit, size in _TIME:
        if abs(ns) >= size:
            return f"{ns / size:.2f} {unit}"
    return f"{ns:.0f} ns"


def drawn_ns(ns: float) -> str:
    """Say a time as ``format_ns`` does, with the micro sign: for figures and pages.

    Examples
    --------
    >>> drawn_ns(79_500), drawn_ns(1_500_000)
    ('79.50 µs', '1.50 ms')
    """
    return _with_sign(format_ns(ns))


def _with_sign(words: str) -> str:
    return f"{words.removesuffix('us')}µs" if words.endswith("us") else words
