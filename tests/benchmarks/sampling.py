"""How far a sample of a trace is off: every shipped trace at several rates against its full run; and a terabyte.

``.venv/bin/python tests/benchmarks/sampling.py`` prints the two tables of the README in about two minutes;
``--terabyte FIGURE.svg`` the third and draws it, from 1.6 billion accesses that are never stored, in about five;
``--server`` runs the same server at 1/512 of its size in full, and says how far off its sample is.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache

import altair as alt
import numpy as np
import polars as pl

import vswaplab as vl
from vswaplab import charts
from vswaplab.base.draws import CONTENT, draws
from vswaplab.machine.presets import with_settings
from vswaplab.results.changes import below_dram_ns, record_wait_ns
from vswaplab.trace.corpus import REGION_PAGES, Corpus
from vswaplab.trace.sample import sample_groups
from vswaplab.trace.trace import Piece, Workload

RATES = (0.25, 0.1, 0.03, 0.01)
MOST_SAMPLES = 8
BARS = {0.25: 8, 0.1: 8, 0.03: 4}  # rate to groups

MEASURES: dict[str, Callable[[vl.Result], int]] = {
    "misses": lambda run: run.totals["accesses"] - run.totals["frees"] - run.totals["dram_hit"],
    "zswpout": lambda run: run.totals["zswpout"],
    "pswpin": lambda run: run.totals["pswpin"],
    "record_wait_ns": record_wait_ns,
    "below_dram_ns": below_dram_ns,
}
HEADS = ("misses", "zswap stores", "disk loads", "stall", "stall, repeats too")
FEW = 100  # events of a full run below which a share says nothing


@cache
def workload(name: str) -> tuple[vl.Trace, vl.Machine]:
    trace = vl.load_trace(name)
    return trace, vl.preset("four-tiers", trace.n_pages)


@cache
def truth(name: str) -> dict[str, int]:
    run = vl.simulate(*workload(name))
    return {quantity: measure(run) for quantity, measure in MEASURES.items()}


def single(name: str, rate: float) -> dict[str, float]:
    """Give the root mean square over samples of how far each is off, by quantity; NaN where there is too little."""
    trace, machine = workload(name)
    off: dict[str, list[float]] = {quantity: [] for quantity in MEASURES}
    for each in sample_groups(trace, rate, min(MOST_SAMPLES, int(1 / rate))):
        share = each.n_pages / trace.n_pages
        run = vl.simulate(each, vl.scaled(machine, share))
        for quantity, measure in MEASURES.items():
            full = truth(name)[quantity]
            off[quantity].append(measure(run) / share / full - 1 if full >= FEW else np.nan)
    return {quantity: float(np.sqrt(np.mean(np.square(found)))) for quantity, found in off.items()}


def bars(rate: float, groups: int) -> pl.DataFrame:
    """Say of every trace and quantity how far the estimate is off, and how wide its interval is."""
    rows = []
    for name in vl.shipped_traces()["name"]:
        trace, machine = workload(name)
        if trace.n_pages * rate / groups < 64:
            continue
        told = {row["quantity"]: row for row in vl.Sampled(trace, rate, groups).run(machine).table.to_dicts()}
        for quantity, full in truth(name).items():
            if full >= FEW:
                found = told.get(quantity, {"estimate": 0.0, "low": 0.0, "high": 0.0, "error": 0.0})
                is_in = found["low"] <= full <= found["high"]
                rows.append((name, quantity, abs(found["estimate"] / full - 1), found["error"], is_in))
    return pl.DataFrame(rows, ["trace", "quantity", "off", "bar", "is_in"], orient="row")


def single_table() -> str:
    lines = [f"| trace | {' | '.join(HEADS)} |", f"| --- |{' ---: |' * len(HEADS)}"]
    for name in vl.shipped_traces()["name"]:
        found = [single(name, rate) for rate in RATES]
        cells = [" / ".join(percent(each[quantity]) for each in found) for quantity in MEASURES]
        lines.append(f"| {name} | {' | '.join('-' if '-' in cell else cell for cell in cells)} |")
    return "\n".join(lines)


def bars_table() -> str:
    lines = ["| rate | groups | median error | median bar (95 %) | full run within the bar |", f"|{' ---: |' * 5}"]
    for rate, groups in BARS.items():
        found = bars(rate, groups)
        cells = [f"{100 * found[column].median():.1f} %" for column in ("off", "bar")]
        lines.append(f"| {rate} | {groups} | {' | '.join(cells)} | {found['is_in'].sum()} of {found.height} |")
    return "\n".join(lines)


def percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{100 * share:.{0 if share >= 0.1 else 1}f}"


# A terabyte --------------------------------------------------------------------------------------


class Content:
    """The rows that ``default_content`` gives, worked out for the pages asked for alone."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.starts = np.flatnonzero(corpus.region_start == np.arange(len(corpus))).astype(np.int32)

    def __getitem__(self, page: np.ndarray) -> np.ndarray:
        region = draws(0, page // REGION_PAGES, CONTENT) % np.uint64(self.starts.size)
        first = self.starts[region.astype(np.int64)]
        return first + page % self.corpus.region_rows[first]


class Server(Workload):
    """Accesses whose popularity falls with rank to the power -alpha; the ranking moves along as time goes by."""

    PIECE = 1 << 20

    def __init__(self, n_pages: int, n_accesses: int, *, alpha: float = 0.7, corpus: Corpus) -> None:
        super().__init__(n_pages=n_pages, corpus=corpus, name="server", redraw_probability=0.1)
        self.n_accesses, self.alpha = n_accesses, alpha
        self.content = Content(corpus)  # type: ignore[assignment]

    def __len__(self) -> int:
        return self.n_accesses

    def pieces(self) -> Iterator[Piece]:
        rng, power = np.random.default_rng(1), 1 / (1 - self.alpha)
        top = self.n_pages ** (1 - self.alpha) - 1
        for start in range(0, self.n_accesses, self.PIECE):
            n = min(self.PIECE, self.n_accesses - start)
            rank = ((top * rng.random(n) + 1) ** power).astype(np.int64) - 1
            moved = rank + int(0.25 * self.n_pages * start / self.n_accesses)  # a quarter of the pages in the run
            page = (moved * 0x9E3779B1) & (self.n_pages - 1)  # odd, and n_pages a power of two: a permutation
            yield Piece(start, page.astype(np.int32), (rng.random(n) < 0.3).astype(np.uint8))


def server_machine(n_pages: int, dram: float, media: float) -> vl.Machine:
    machine = vl.preset("four-tiers", n_pages)
    sizes = [f"dram.capacity_pages={int(n_pages * dram)}"]
    if not media:
        return with_settings(machine, [*sizes, "cram=none"])
    bytes_ = int(n_pages * media) * 4096
    return with_settings(machine, [*sizes, f"cram.media_bytes={bytes_}", f"cram.advertised_bytes={2 * bytes_}"])


SERVER_PAGES, SERVER_ACCESSES = 1 << 29, 1_600_000_000  # 2 TiB
CHOICES = {
    "DRAM 1 TiB": (0.5, 0.0),
    "DRAM 1 TiB, media 128 GiB": (0.5, 1 / 16),
    "DRAM 768 GiB, media 256 GiB": (0.375, 1 / 8),
    "DRAM 512 GiB, media 256 GiB": (0.25, 1 / 8),
    "DRAM 512 GiB, media 512 GiB": (0.25, 1 / 4),
}
SHOWN = ("misses", "zswpout", "pswpin", "record_wait_ns")


def terabyte(n_pages: int, n_accesses: int, rate: float, groups: int) -> pl.DataFrame:
    """Estimate what each choice does to a server of so many pages, from one pass over its accesses."""
    server = Server(n_pages, n_accesses, corpus=vl.load_trace("redis").corpus)
    sampled = vl.Sampled(server, rate, groups)
    tables = [
        sampled.run(server_machine(n_pages, *sizes)).table.insert_column(0, pl.lit(words).alias("machine"))
        for words, sizes in CHOICES.items()
    ]
    return pl.concat(tables).filter(pl.col("quantity").is_in(SHOWN))


def terabyte_table(found: pl.DataFrame) -> str:
    lines = [f"| machine | {' | '.join(HEADS[:4])} |", "| --- | ---: | ---: | ---: | ---: |"]
    for (words,), rows in found.group_by("machine", maintain_order=True):
        told = {row["quantity"]: row for row in rows.to_dicts()}
        lines.append(f"| {words} | {' | '.join(cell(told.get(quantity), quantity) for quantity in SHOWN)} |")
    return "\n".join(lines)


def terabyte_chart(found: pl.DataFrame) -> alt.LayerChart:
    prices = vl.prices(at="2026-11-23")
    rows = []
    for row in found.filter(quantity="record_wait_ns").to_dicts():
        usd = vl.cost_usd(server_machine(SERVER_PAGES, *CHOICES[row["machine"]]), prices)["total"]
        hours = [row[name] / 3.6e12 for name in ("estimate", "low", "high")]
        rows.append((f"{row['machine']}: ${usd:,.0f}", *hours))
    table = pl.DataFrame(rows, ["machine", "hours", "low", "high"], orient="row")
    return charts.intervals_chart(
        table,
        ("hours", "Time that 1.6 billion accesses wait below DRAM (hours)"),
        "machine",
        title="A machine of a terabyte, from one page in 1,024",
        note="Made-up server of 2 TiB; prices of July 2026, media as DRAM; CRAM behind swap entries (mode swap)",
    )


def server_check(n_pages: int, n_accesses: int, rate: float, groups: int) -> str:
    """Hold the server's sample against a full run, at a size that can be run."""
    server = Server(n_pages, n_accesses, corpus=vl.load_trace("redis").corpus)
    pieces = list(server.pieces())
    page, op = (np.concatenate([getattr(piece, name) for piece in pieces]) for name in ("page", "op"))
    whole = vl.Trace(page, op, n_pages=n_pages, corpus=server.corpus, redraw_probability=server.redraw_probability)
    estimates = terabyte(n_pages, n_accesses, rate, groups)
    lines = [f"| machine | {' | '.join(HEADS[:4])} |", "| --- | ---: | ---: | ---: | ---: |"]
    for words, sizes in CHOICES.items():
        run = vl.simulate(whole, server_machine(n_pages, *sizes))
        told = {row["quantity"]: row for row in estimates.filter(machine=words).to_dicts()}
        full = {quantity: MEASURES[quantity](run) for quantity in SHOWN}
        cells = [
            f"{100 * (told[q]['estimate'] / full[q] - 1):+.1f} \u00b1 {100 * told[q]['error']:.1f} %"
            if q in told and full[q]
            else "-"
            for q in SHOWN
        ]
        lines.append(f"| {words.replace('iB', 'iB / 512')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(row: dict[str, float] | None, quantity: str) -> str:
    if row is None:
        return "0"
    unit = " s" if quantity.endswith("_ns") else " M"
    return f"{row['estimate'] / (1e9 if unit == ' s' else 1e6):,.0f}{unit} \u00b1 {100 * row['error']:.1f} %"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if "--terabyte" in sys.argv:
        estimates = terabyte(SERVER_PAGES, SERVER_ACCESSES, 1 / 1024, 8)
        print(terabyte_table(estimates))
        charts.save_chart(terabyte_chart(estimates), sys.argv[-1])
    elif "--server" in sys.argv:
        print(server_check(SERVER_PAGES // 512, SERVER_ACCESSES // 500, 1 / 8, 8))
    else:
        print(single_table(), bars_table(), sep="\n\n")
