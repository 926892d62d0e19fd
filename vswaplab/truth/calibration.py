"""What kernels stored of pages with a known number of random bytes."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from vswaplab.base.errors import InputError
from vswaplab.base.units import PAGE_SIZE

Calibration = dict[tuple[str, str, int], int]
"""(kernel, compressor, random bytes of a page) to bytes stored."""

MEASURED: dict[str, dict[int, int]] = {
    "lzo": {400: 470, 1200: 1284, 2400: 2580},
    "lz4": {400: 430, 1200: 1232, 2400: 2435},
    "zstd": {400: 421, 1200: 1222, 2400: 2427},
}
"""Compressor: random bytes of a page to bytes stored, mean of 4096 pages of each, Linux 6.12.107 (lzo and lz4 also
7.3.4, the same): data/truth/kernel/calibration.csv [M]. For folders that measured nothing themselves."""


def read_calibration(file: Path) -> Calibration:
    """Read what a folder's kernels stored; empty if it did not measure that.

    Raises
    ------
    InputError
        The file is broken, or a column is missing.
    """
    if not file.exists():
        return {}
    names = ("kernel", "compressor", "k_random_bytes", "stored_bytes_per_page")
    try:
        table = pl.read_csv(file.read_bytes(), infer_schema_length=None).select(*names)
        rows = table.drop_nulls().cast({"k_random_bytes": pl.Int64, "stored_bytes_per_page": pl.Float64}).rows()
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}; copy it again") from None
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{file} needs columns {', '.join(names)} ({reason}): copy it again") from None
    return {(kernel, compressor, k): round(stored) for kernel, compressor, k, stored in rows}


def lengths_of(calibration: Calibration, kernel: str, compressor: str, random_bytes: int) -> int | None:
    """Say how long a page becomes under a compressor.

    Parameters
    ----------
    calibration
        Looked at first: the same kernel, then any other with that compressor.
    kernel, compressor
    random_bytes : bytes
        The rest of the page is zero.

    Returns
    -------
    length : bytes
        4096: does not compress. None if nobody measured it. Of an all-zero
        page, which never reaches the compressor, the length of no use to anybody: 64.
    """
    if random_bytes in (0, PAGE_SIZE):
        return PAGE_SIZE if random_bytes else 64
    same = [n for (k, c, r), n in calibration.items() if (k, c, r) == (kernel, compressor, random_bytes)]
    others = [n for (_, c, r), n in calibration.items() if (c, r) == (compressor, random_bytes)]
    known = MEASURED.get(compressor, {}).get(random_bytes)
    return next(iter([*same, *others, *([known] if known else [])]), None)
