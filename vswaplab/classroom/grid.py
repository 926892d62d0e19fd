"""What the engine says at every position of the sliders: two tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from vswaplab.base.units import PAGE_SIZE
from vswaplab.classroom.dials import MIB, RISKS, SIZES, Dial, combinations, machine_at
from vswaplab.engine.run import simulate
from vswaplab.machine.config import Machine
from vswaplab.machine.presets import preset
from vswaplab.results.prices import prices
from vswaplab.results.result import Result
from vswaplab.results.summary import summarise
from vswaplab.trace.corpus import Corpus
from vswaplab.trace.files import load_trace
from vswaplab.trace.synthetic import collapse, zipf
from vswaplab.trace.trace import Trace

SEED = 0
_ONE_IN = 4  # regions of the recorded program that the page replays
_REGION_PAGES = 64  # pages of a region have like contents
_RISK_PAGES, _RISK_ACCESSES = 4_000, 16_000  # small: hundreds of runs in seconds
_RISK_WINDOWS = 20


@dataclass(frozen=True)
class Lesson:
    """The workloads and sliders of the page.

    Parameters
    ----------
    sizes, risks
        Sliders of the two experiments.
    n_runs
        Runs of one setting of the second experiment: other accesses, other data each time.
    """

    sizes: tuple[Dial, ...] = SIZES
    risks: tuple[Dial, ...] = RISKS
    n_runs: int = 4

    @cached_property
    def program(self) -> Trace:
        """A recorded program, one region of pages in four: the first experiment's."""
        return sampled(load_trace("redis"), _ONE_IN)

    @cached_property
    def machine(self) -> Machine:
        """The first experiment's machine before a slider moves."""
        return preset("four-tiers", self.program.n_pages)

    @cached_property
    def wait_ns(self) -> dict[str, int]:
        """What one event of the first experiment's machine makes the program wait."""
        return {price.event: price.stall_ns for price in prices(self.machine)}

    @cached_property
    def collapsing(self) -> list[Trace]:
        """Made-up programs whose data compress worse from half-time on: the second experiment's."""
        shape = {"n_pages": _RISK_PAGES, "n_accesses": _RISK_ACCESSES, "alpha": 0.8, "write_share": 0.3}
        pages = Corpus(load_trace("redis").corpus.table.select("region", "is_zero", "lz4_4k"))
        seeds = range(SEED, SEED + self.n_runs)
        made = [zipf(**shape, corpus=pages, redraw_probability=0.55, seed=seed) for seed in seeds]  # type: ignore[arg-type] # mixed numbers
        return [collapse(trace, at=_RISK_ACCESSES // 2, factor=1.5) for trace in made]

    @cached_property
    def device_machine(self) -> Machine:
        """The second experiment's machine before a slider moves."""
        return preset("four-tiers", _RISK_PAGES)

    @property
    def n_simulations(self) -> int:
        """Runs of the engine that the page takes."""
        return len(combinations(self.sizes)) + len(combinations(self.risks)) * self.n_runs

    def tables(self, progress: Callable[[int, int], None] | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Run every setting.

        Parameters
        ----------
        progress
            Called with the runs done and the runs in all.

        Returns
        -------
        by_tier : polars.DataFrame
            A row for each setting of ``sizes`` and tier: ``mib`` (pages there at the end,
            MiB), ``touches`` (served there, repeats included), ``wait_ns`` (mean of one, null
            if there is none), ``stall_ms`` (of all).
        by_window : polars.DataFrame
            A row for each setting of ``risks`` and window of the first run: ``access``, ``stored_mib`` (MiB
            on the media), ``media_mib``; and of all runs ``lost_runs`` (runs that lost a page),
            ``lost_pages`` (pages lost in all), ``moved`` (pages moved to DRAM by a write, mean of a run),
            ``stall_ms`` (mean of a run, DRAM included).
        """
        by_tier, by_window, done = [], [], 0
        for rows in self._by_tier():
            by_tier += rows
            done += 1
            if progress is not None:
                progress(done, self.n_simulations)
        for rows in self._by_window():
            by_window += rows
            done += self.n_runs
            if progress is not None:
                progress(done, self.n_simulations)
        return pl.DataFrame(by_tier), pl.DataFrame(by_window)

    def _by_tier(self) -> Iterator[list[dict[str, object]]]:
        trace = self.program
        for at in combinations(self.sizes):
            machine = machine_at(self.machine, self.sizes, at, trace.n_pages)
            result = _run(trace, machine, SEED, len(trace))
            yield [at | row for row in tier_rows(result)]

    def _by_window(self) -> Iterator[list[dict[str, object]]]:
        window = _RISK_ACCESSES // _RISK_WINDOWS
        for at in combinations(self.risks):
            machine = machine_at(self.device_machine, self.risks, at, _RISK_PAGES)
            runs = [_run(trace, machine, SEED + i, window) for i, trace in enumerate(self.collapsing)]
            yield [at | row for row in window_rows(runs, machine)]


def _run(trace: Trace, machine: Machine, seed: int, window: int) -> Result:
    result = simulate(trace, machine, seed=seed, epoch_accesses=window)
    if result.provenance["partial"]:
        raise KeyboardInterrupt  # noted by the engine; half a run says nothing
    return result


def sampled(trace: Trace, one_in: int) -> Trace:
    """Keep one region of pages in so many, with all accesses to it: a small program that behaves like the whole.

    Examples
    --------
    >>> whole = Trace([0, 64, 65, 130], n_pages=192)
    >>> sampled(whole, 2)
    Trace('trace', 2 accesses, 128 pages)
    """
    is_kept = np.arange(trace.n_pages) // _REGION_PAGES % one_in == 0
    number = np.cumsum(is_kept) - 1
    kept = is_kept[trace.page]
    columns = {name: getattr(trace, name)[kept] for name in trace.columns}
    columns["page"] = number[columns["page"]]
    return trace.like(**columns, n_pages=int(is_kept.sum()), content=trace.content[is_kept], mappers=None)


def tier_rows(result: Result) -> list[dict[str, object]]:
    """Give a row a tier: what it holds, what it serves, and how long that takes."""
    return [
        {
            "tier": row["tier"],
            "mib": round(row["pages"] * PAGE_SIZE / MIB, 3),
            "touches": touches,
            "wait_ns": round(row["stall_ns"] / touches) if touches else None,
            "stall_ms": round(row["stall_ns"] / 1e6, 3),
        }
        for row in summarise(result).iter_rows(named=True)
        for touches in [row["hits"] + row["faults"]]
    ]


def window_rows(runs: list[Result], machine: Machine) -> list[dict[str, object]]:
    """Give a row a window of the first run, and beside it what happened in all runs."""
    assert machine.cram is not None
    lost = [run.totals["poison"] for run in runs]
    told = {
        "media_mib": round(machine.cram.media_bytes / MIB, 4),
        "lost_runs": sum(pages > 0 for pages in lost),
        "lost_pages": sum(lost),
        "moved": round(float(np.mean([run.totals["cram_promote"] for run in runs])), 1),
        "stall_ms": round(float(np.mean([run.totals["stall_ns"] for run in runs])) / 1e6, 2),
    }
    curve = runs[0].tiers.filter(tier="CRAM").select("access", "media_bytes")
    return [{"access": access, "stored_mib": round(n / MIB, 4)} | told for access, n in [(0, 0), *curve.iter_rows()]]
