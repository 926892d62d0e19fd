"""How many pages a minute are measured under all codecs, on one core and on all.

    python tests/benchmarks/contents.py [FILE] [--pages N]

FILE defaults to the largest library of this Python: machine code, tables and text. A minute is one
of a core's time (``time.process_time``), so that neighbours on a busy machine do not count; the last
line is wall time with a process a CPU. Needs the extra `record`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import numpy as np
import polars

import vswaplab as vl
from vswaplab.contents.sizes import measure_pages, measures

ROUNDS = 5


def largest_library() -> Path:
    """The biggest shared object beside polars."""
    return max(Path(polars.__file__).parents[1].rglob("*.so"), key=lambda path: path.stat().st_size)


def per_minute(pages: np.ndarray, columns: dict) -> float:
    """Median pages a minute of this core's time."""
    found = []
    for _ in range(ROUNDS):
        began = time.process_time()
        measure_pages(pages, columns)
        found.append(60 * len(pages) / (time.process_time() - began))
    return statistics.median(found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=largest_library())
    parser.add_argument("--pages", type=int, default=2000)
    options = parser.parse_args()
    size = options.file.stat().st_size // 4096
    pick = np.linspace(0, size - 1, min(size, options.pages)).astype(int)
    pages = np.memmap(options.file, np.uint8, "r", shape=(size, 4096))[pick]
    columns = measures()
    print(f"{len(pages):,} pages of {options.file.name}; load average {os.getloadavg()[0]:.1f}")
    for name, column in columns.items():
        print(f"{name:18}{per_minute(pages, {name: column}):12,.0f} pages a minute of one core")
    print(f"{'all of them':18}{per_minute(pages, columns):12,.0f} pages a minute of one core")
    began = time.perf_counter()
    contents = vl.measure(options.file, most_pages=20_000)
    rate = 60 * len(contents.corpus) / (time.perf_counter() - began)
    print(f"vl.measure, {os.cpu_count()} CPUs{rate:10,.0f} pages a minute of wall time")


if __name__ == "__main__":
    main()
