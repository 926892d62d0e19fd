"""Measurements as text, as Markdown and as JSON, with the machine they were taken on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import vswaplab as vl
from bench.guards import MUST, SLOWEST, guard_verdict, over_zipf
from bench.measure import Measurement

COLUMNS = ("Row", "What", "Ours ns", "Peer", "Peer ns", "Figure", "Least-most", "CPU", "Must", "Aim", "Verdict")
GUARD_COLUMNS = ("What", "libCacheSim ns", *(f"{m} {of}" for m in MUST for of in ("ns", "x", "/Zipf")), "Verdict")
WORDS = {"Row", "What", "Peer", "Verdict"}
"""Columns of words, aligned to the left."""
NOTES = (
    "Figure: median of the rounds' paired ratios (rows 1-3: the peer's time over ours; row 4: large over small), or a "
    "value; CPU: the same ratio in process CPU time. Sides run in turns in one process, the order turning each round.",
    "libCacheSim hashes arbitrary 64-bit ids with sizes and decodes a memory-mapped trace file; the engine takes dense "
    "page numbers that lie in RAM, and simulate() includes its set-up and its tables. Misses of plain LRU are held "
    "against libCacheSim's in every round, unequal ones are VOID.",
    "libCacheSim is a single cache of as many pages as DRAM, also beside the chain. A trace's digest is taken, and its "
    "accesses are indexed, once a trace: in the first round, which is mostly the least figure. 1 Mi pages are 2^20, "
    "1 M touches 10^6. Cold start unless it says warm.",
    "Row 3: same trace and machine on both engines; totals, epochs, tiers and every page compared in every round.",
    f"Guards: x is libCacheSim's time over ours, at least {' / '.join(f'{m:g}' for m in MUST.values())}; /Zipf is the "
    f"cost over Zipf 1.0 of the same size, writes and machine, at most {SLOWEST:g}. Recorded: both LRUs get its reads "
    "and writes, the chain its frees, repeats and mappers as well.",
    "Device: roomy: media half the size shown; tight: media of the average page x pages shown, so CRAM and zswap write "
    "back; gated: tight with the gate's marks at the writeback's, so the gate closes too. Counters say what worked.",
)


def environment() -> dict[str, str]:
    """Describe the machine and the software measured."""
    found = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    kernel = ".".join(platform.release().split(".")[:2])  # what follows may name a host
    return {
        "CPU": f"{_cpu_model()}, {os.cpu_count()} cores seen",
        "memory": f"{memory_gib:.1f} GiB",
        "system": f"{platform.system()} {kernel}, Python {platform.python_version()}",
        "numpy": f"{np.__version__}, kernels for {', '.join(found) or 'the baseline only'}",
        "peers": ", ".join(f"{name} {_version(name)}" for name in ("libcachesim", "numba")),
        "vswaplab": f"{vl.__version__}, {_commit()}",
    }


def load_average() -> str:
    """Give the machine's load over 1, 5 and 15 minutes."""
    return " ".join(f"{load:.2f}" for load in os.getloadavg())


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    about = dict(tuple(part.strip() for part in line.split(":", 1)) for line in lines if ":" in line)
    family = f" (family {about['cpu family']}, model {about['model']})" if "cpu family" in about else ""
    return about.get("model name", platform.processor() or platform.machine()) + family


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=Path(vl.__file__).parent, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "--short", "HEAD")
    return (f"commit {commit}" + (" and changes" if git("status", "--porcelain", ".") else "")) if commit else "no git"


def number(value: float | None, digits: int = 1) -> str:
    """Write a number with about three figures, or a dash."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{digits}f}"


def figure_cells(case: Measurement) -> list[str]:
    """Write the figure, its least and most, and the same in CPU time."""
    figures = case.figures()
    if not figures:
        return ["-", "-", "-"]
    unit = case.unit if case.unit == "x" else f" {case.unit}"
    digits = 3 if case.must == 1.01 else 2 if median(figures) < 10 else 1
    cpu = case.cpu_figure()
    return [
        f"{number(median(figures), digits)}{unit}",
        f"{number(min(figures), digits)}-{number(max(figures), digits)}",
        "-" if cpu is None else f"{number(cpu, digits)}{unit}",
    ]


def row_cells(case: Measurement) -> list[str]:
    """Write one line of the table of rows."""
    bounds = ["-" if bound is None else f"{bound:g}" for bound in (case.must, case.aim)]
    costs = [number(case.ns(case.ours)), case.peer or "-", number(case.ns(case.peer))]
    return [case.row, case.label, *costs, *figure_cells(case), *bounds, case.verdict()]


def guard_cells(cases: Sequence[Measurement], guards: Sequence[Measurement]) -> list[str]:
    """Write one line of the table of guards: the machines on one stream."""
    cells = [str(cases[0].facts["case"]), number(cases[0].ns(cases[0].peer))]
    for case in cases:
        cells += [number(case.ns(case.ours)), figure_cells(case)[0], number(over_zipf(case, guards), 2)]
    return [*cells, "; ".join(filter(None, (guard_verdict(case, guards) for case in cases))) or "holds"]


def cells_of(cases: Sequence[Measurement]) -> list[tuple[tuple[str, ...], list[list[str]]]]:
    """Turn measurements into tables: columns and lines; rows first, then guards."""
    guards = [case for case in cases if case.row == "guards"]
    streams = [list(group) for _, group in groupby(guards, lambda case: case.facts["case"])]
    lines = [row_cells(case) for case in cases if case.row != "guards"]
    tables = [(COLUMNS, lines), (GUARD_COLUMNS, [guard_cells(stream, guards) for stream in streams])]
    return [table for table in tables if table[1]]


def fact_lines(cases: Sequence[Measurement]) -> list[str]:
    """Write what each case says about itself, guards only where something is wrong."""
    shown = [case for case in cases if case.facts and (case.row != "guards" or "void" in case.facts)]
    return [f"{case.row}, {case.label}: {', '.join(map(_fact, case.facts.items()))}" for case in shown]


def _fact(fact: tuple[str, int | float | str]) -> str:
    name, value = fact
    return f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}"


def as_text(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Align a table with blanks; the labels to the left, figures to the right."""
    table = [columns, *lines]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    pad = [str.ljust if name in WORDS else str.rjust for name in columns]
    return "\n".join("  ".join(p(c, w) for p, c, w in zip(pad, line, widths, strict=True)).rstrip() for line in table)


def as_markdown(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Write a table in Markdown."""
    rule = ["---" if name in WORDS else "---:" for name in columns]
    return "\n".join(f"| {' | '.join(line)} |" for line in (columns, rule, *lines))


def document(cases: Sequence[Measurement], about: dict[str, Any]) -> str:
    """Write everything as JSON, every round's times included."""
    return json.dumps({"about": about, "cases": [asdict(case) for case in cases]}, indent=1)


def read_document(path: Path) -> tuple[list[Measurement], dict[str, Any]]:
    """Read what ``document`` wrote."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return [Measurement(**case) for case in found["cases"]], found["about"]


def markdown_of(cases: Sequence[Measurement], about: dict[str, Any]) -> str:
    """Write the tables and the machine, for a README."""
    tables = [as_markdown(columns, lines) for columns, lines in cells_of(cases)]
    return "\n\n".join([*tables, "; ".join(f"{name}: {value}" for name, value in about.items()) + "."])


def text_of(cases: Sequence[Measurement], about: dict[str, Any]) -> str:
    """Write the tables, what each case says about itself, the notes and the machine."""
    tables = [as_text(columns, lines) for columns, lines in cells_of(cases)]
    machine = [f"{name}: {value}" for name, value in about.items()]
    return "\n\n".join(filter(None, [*tables, "\n".join(fact_lines(cases)), "\n".join(NOTES), "\n".join(machine)]))
