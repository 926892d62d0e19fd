"""A fleet that nobody has: jobs whose page ages follow one law, fitted to what Google published of its own.

Ages have a power-law tail, cold(T) = pages c (T / 120 s)^-a. In a steady state as many pages come back at age T or
more as pass it, so that promoted(T) = -d cold / dT: the exponent is twice the share of the cold pages that come
back in a minute. Load moves all promotions of a job together. Cold memory does not answer to bursts.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.errors import InputError, shown
from vswaplab.literature.far_memory import MINUTE_S, Control, Histograms, by_job, replay

SCAN_S = 120
"""Seconds of one scan, and the age from which a page is cold (S: public summaries of the paper)."""

THRESHOLD_S = SCAN_S * np.array([1, 2, 3, 5, 7, 10, 15, 22, 30, 45, 60, 80, 110, 150, 200, 255])
"""Cold ages that are counted; how many and which is a guess. 255 scans are what an 8-bit age can tell (recalled)."""

_DAY = 1440  # minutes
_TOGETHER = 16  # jobs whose histograms are made at once: 21 MB for a week


@dataclass(frozen=True)
class Fleet:
    """What the jobs of a fleet are like.

    Parameters
    ----------
    cold_beta : shape parameters
        Of a job's cold share, a Beta distribution: nine jobs in ten have over
        9 % and one in ten over 43 % (recalled; notes on the paper).
    colder_if_larger
        A job's pages grow with ``exp`` of this times its cold share: so that
        32 % of all pages are cold (A), though jobs have 26 % on average.
    median_pages
        Guess.
    size_spread, return_spread
        Standard deviation of the logarithm of pages and of exponents; guesses.
    returns
        Share of the cold pages that come back in a minute (S, 15 %).
    noise : (low, high)
        Standard deviation of the logarithm of a job's load from minute to
        minute, evenly spread over the jobs; a guess.
    burst_chance, burst_minutes, burst
        A burst begins in a minute with this chance, lasts so long, and
        multiplies load; guesses.
    day : share
        By how much load swings over a day; a guess.
    start, start_minutes
        A job that has just begun has this much more load, which dies away with
        this time constant; guesses.
    """

    cold_beta: tuple[float, float] = (2.4, 6.9)
    colder_if_larger: float = 2.9
    median_pages: float = 1 << 18
    size_spread: float = 1.0
    returns: float = 0.15
    return_spread: float = 0.3
    noise: tuple[float, float] = (0.1, 1.0)
    burst_chance: float = 0.002
    burst_minutes: int = 5
    burst: float = 10.0
    day: float = 0.3
    start: float = 20.0
    start_minutes: float = 10.0

    def __post_init__(self) -> None:
        """Refuse a swing that turns load negative."""
        if not 0 <= self.day < 1:
            raise InputError(f"day must be at least 0 and below 1, got {shown(self.day)}: load cannot be negative")

    def histograms(self, jobs: range, n_minutes: int, seed: int = 0) -> Histograms:
        """Make the histograms of some jobs; what a job gets does not depend on the others.

        Parameters
        ----------
        jobs
            Their numbers.
        n_minutes
        seed

        Returns
        -------
        histograms

        Raises
        ------
        InputError
            No job, or no minute.
        """
        if not len(jobs) or n_minutes < 1:
            raise InputError(f"a fleet needs a job and a minute at least, got {len(jobs)} jobs, {n_minutes} minutes")
        sizes, loads = zip(*(self._job(np.random.default_rng([seed, job]), n_minutes) for job in jobs), strict=True)
        pages, cold_share, exponent = np.transpose(sizes)[:, :, None]
        load = np.stack(loads)
        shape = (len(THRESHOLD_S), *load.shape)
        cold, promoted = np.empty(shape, np.int32), np.empty(shape, np.int32)
        for k, age in enumerate(THRESHOLD_S):
            tail = pages * cold_share * (age / SCAN_S) ** -exponent
            cold[k] = tail
            np.multiply(load, tail * exponent * (MINUTE_S / age), out=promoted[k], casting="unsafe")
        working_set = np.broadcast_to((pages * (1 - cold_share)).astype(np.int32), load.shape)
        return Histograms(THRESHOLD_S, cold, promoted, working_set)

    def _job(self, rng: np.random.Generator, n_minutes: int) -> tuple[tuple[float, float, float], NDArray[np.float32]]:
        cold_share = rng.beta(*self.cold_beta)
        pages = self.median_pages * np.exp(self.size_spread * rng.normal() + self.colder_if_larger * cold_share)
        exponent = 2 * self.returns * np.exp(self.return_spread * rng.normal())
        hour, noise = rng.uniform(0, 2 * np.pi), np.float32(rng.uniform(*self.noise))
        wave = 1 + self.day * np.sin(np.arange(n_minutes) * (2 * np.pi / _DAY) + hour)
        wave += self.start * np.exp(-np.arange(n_minutes) / self.start_minutes)
        load = np.exp(noise * rng.standard_normal(n_minutes, np.float32) - noise**2 / 2) * wave.astype(np.float32)
        begun = np.cumsum(rng.random(n_minutes, np.float32) < self.burst_chance, dtype=np.int32)
        begun[self.burst_minutes :] -= begun[: -self.burst_minutes].copy()
        load[begun > 0] *= np.float32(self.burst)
        return (float(pages), float(cold_share), float(exponent)), load


def replay_fleet(
    fleet: Fleet, n_jobs: int, n_minutes: int, controls: Sequence[Control], *, seed: int = 0, workers: int = 1
) -> pl.DataFrame:
    """Make a fleet's histograms a few jobs at a time and replay each control on them.

    Parameters
    ----------
    fleet, n_jobs, n_minutes, seed
    controls
    workers : threads
        No number depends on it.

    Returns
    -------
    table : polars.DataFrame
        As ``far_memory.by_job``, a row a job and control, with ``job``,
        ``percentile`` and ``warmup_s``.

    Raises
    ------
    InputError
        No job, minute, control or worker.
    """
    if min(n_jobs, n_minutes, len(controls), workers) < 1:
        told = f"{n_jobs} jobs, {n_minutes} minutes, {len(controls)} controls, {workers} workers"
        raise InputError(f"a replay needs at least one of each, got {told}")

    def some(first: int) -> list[pl.DataFrame]:
        jobs = range(first, min(first + _TOGETHER, n_jobs))
        ages = fleet.histograms(jobs, n_minutes, seed)
        return [_named(by_job(ages, replay(ages, control), control.slo_percent), jobs, control) for control in controls]

    with ThreadPoolExecutor(workers) as pool:
        parts = [part for found in pool.map(some, range(0, n_jobs, _TOGETHER)) for part in found]
    return pl.concat(parts)


def _named(table: pl.DataFrame, jobs: range, control: Control) -> pl.DataFrame:
    told = {"percentile": pl.lit(float(control.percentile)), "warmup_s": pl.lit(control.warmup_s)}
    return table.select(pl.Series("job", jobs), **told).hstack(table)
