"""How long Google's far-memory model takes for a fleet: ten thousand jobs over a week, on two cores.

``.venv/bin/python tests/benchmarks/fleet.py`` prints one line; ``--jobs``, ``--days`` and ``--workers`` change
the size. The histograms, two of 16 ages for each job and minute, are made on the way, since no fleet's are public.
"""

from __future__ import annotations

import argparse
import os
import resource
import time

from vswaplab.literature.far_memory import Control
from vswaplab.literature.fleet import THRESHOLD_S, Fleet, replay_fleet

DAY = 1440


def main() -> None:
    """Replay and print what it took and found."""
    options = argparse.ArgumentParser(description=__doc__)
    for name, usual in (("jobs", 10_000), ("days", 7), ("workers", 2)):
        options.add_argument(f"--{name}", type=int, default=usual)
    asked = options.parse_args()
    started, cpu = time.perf_counter(), time.process_time()
    control = Control(percentile=98, warmup_s=600)
    table = replay_fleet(Fleet(), asked.jobs, asked.days * DAY, [control], workers=asked.workers)
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    total = table.sum().row(0, named=True)
    cells = total["minutes"] * len(THRESHOLD_S) * 2
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{asked.jobs:,} jobs, {asked.days} days, {asked.workers} threads: {wall:.1f} s, {cpu:.1f} s of CPU, "
        f"{cells / 1e9:.2f}e9 counts, {peak:.0f} MiB, load {os.getloadavg()[0]:.1f}; "
        f"{total['far'] / total['cold']:.1%} of cold pages far, {total['over'] / total['minutes']:.2%} of minutes over"
    )


if __name__ == "__main__":
    main()
