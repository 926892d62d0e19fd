"""Google's model of far memory: two histograms of page ages a job, a threshold of cold age for each minute.

Lagar-Cavilla et al., "Software-Defined Far Memory in Warehouse-Scale Computers", ASPLOS 2019, by its public
summaries. Left out: compressibility, CPU time, and the effect that a promotion has on the pages that follow it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.errors import InputError, shown

MINUTE_S = 60

Pages = NDArray[np.int32]


@dataclass(frozen=True)
class Histograms:
    """What the kernel's page scanner tells of some jobs, minute by minute.

    Parameters
    ----------
    threshold_s : (n_thresholds,) seconds
        Cold ages, rising; the first defines what is cold at all.
    cold : (n_thresholds, n_jobs, n_minutes) pages
        Not touched for at least this long, at the end of the minute.
    promoted : (n_thresholds, n_jobs, n_minutes) pages
        Touched in the minute after at least this long: promotions, had the
        threshold been this one.
    working_set : (n_jobs, n_minutes) pages
        Touched within the first threshold.

    Raises
    ------
    InputError
        Shapes that do not fit, or a count that rises with the threshold.
    """

    threshold_s: NDArray[np.int64]
    cold: Pages
    promoted: Pages
    working_set: Pages

    def __post_init__(self) -> None:
        """Refuse what no scanner can tell."""
        shape = (len(self.threshold_s), *self.working_set.shape)
        if (np.diff(self.threshold_s) <= 0).any():
            raise InputError(f"thresholds must rise, got {self.threshold_s.tolist()}: sort them")
        for name in ("cold", "promoted"):
            counts = getattr(self, name)
            if counts.shape != shape:
                raise InputError(f"{name} must have the shape {shape} (thresholds, jobs, minutes), got {counts.shape}")
            if any((counts[k + 1] > counts[k]).any() for k in range(len(counts) - 1)):
                raise InputError(f"{name} must not rise with the threshold: count pages of at least each age")


@dataclass(frozen=True)
class Control:
    """How the threshold of the next minute is chosen.

    Parameters
    ----------
    percentile : percent
        K: of a job's best thresholds so far, by nearest rank.
    warmup_s : seconds
        S: for so long after its start nothing of a job is far.
    slo_percent : percent of the working set a minute
        P: promotions allowed.
    heeds_last_minute
        The last minute's best threshold counts if it is above the percentile,
        as published.
    """

    percentile: float
    warmup_s: int
    slo_percent: float = 0.2  # Google's, from months of A/B tests (S: asplos.dev notes of 26 Aug 2022)
    heeds_last_minute: bool = True

    def __post_init__(self) -> None:
        """Refuse a percentile that is none."""
        if not 0 < self.percentile <= 100:
            raise InputError(f"percentile must be above 0 and at most 100, got {shown(self.percentile)}")


@dataclass(frozen=True)
class Replay:
    """What a control would have done.

    Parameters
    ----------
    threshold : (n_jobs, n_minutes)
        Index of the threshold in force; ``n_thresholds`` where nothing is far.
    far : (n_jobs, n_minutes) pages
        In far memory at the end of the minute.
    promoted : (n_jobs, n_minutes) pages
        Brought back in the minute.
    """

    threshold: NDArray[np.uint8]
    far: Pages
    promoted: Pages


def best_thresholds(histograms: Histograms, slo_percent: float) -> NDArray[np.uint8]:
    """Find the lowest threshold that would have kept each minute's promotions within the objective.

    Returns
    -------
    best : (n_jobs, n_minutes)
        Index; ``n_thresholds`` if there is none.
    """
    # the counts are whole: at most the product is at most its floor
    limit = np.floor(histograms.working_set * slo_percent / 100).astype(np.int32)
    best = np.zeros(limit.shape, np.uint8)
    for promoted in histograms.promoted:
        best += promoted > limit
    return best


def thresholds_in_force(best: NDArray[np.uint8], n_thresholds: int, control: Control) -> NDArray[np.uint8]:
    """Choose each minute's threshold from the minutes before it.

    It is the K-th percentile of all best thresholds so far, or the last minute's best if that is higher: a job that
    has just become more active is not made to wait for the percentile.

    Parameters
    ----------
    best : (n_jobs, n_minutes)
    n_thresholds
    control

    Returns
    -------
    threshold : (n_jobs, n_minutes)

    Examples
    --------
    >>> best = np.array([[1, 0, 0, 2, 0]], np.uint8)
    >>> thresholds_in_force(best, 3, Control(percentile=50, warmup_s=60))
    array([[3, 1, 0, 0, 2]], dtype=uint8)
    """
    n_minutes = best.shape[1]
    rank = np.ceil(control.percentile * np.arange(1, n_minutes, dtype=np.int32) / 100).astype(np.int32)
    chosen = np.full(best.shape, n_thresholds, np.uint8)
    later = chosen[:, 1:]
    later[:] = 0
    for k in range(n_thresholds):
        # the percentile is above k while fewer minutes than its rank had a best of k or less
        later += np.cumsum(best[:, :-1] <= k, axis=1, dtype=np.int32) < rank
    if control.heeds_last_minute:
        np.maximum(later, best[:, :-1], out=later)
    chosen[:, : -(-control.warmup_s // MINUTE_S)] = n_thresholds
    return chosen


def replay(histograms: Histograms, control: Control) -> Replay:
    """Replay jobs from their histograms alone.

    Parameters
    ----------
    histograms
    control

    Returns
    -------
    replay
    """
    n = len(histograms.threshold_s)
    threshold = thresholds_in_force(best_thresholds(histograms, control.slo_percent), n, control)
    where = np.minimum(threshold, n - 1) * np.int64(threshold.size)
    where += np.arange(threshold.size).reshape(threshold.shape)
    is_on = threshold < n
    return Replay(threshold, histograms.cold.ravel()[where] * is_on, histograms.promoted.ravel()[where] * is_on)


def by_job(histograms: Histograms, found: Replay, slo_percent: float = 0.2) -> pl.DataFrame:
    """Sum up a replay.

    Returns
    -------
    table : polars.DataFrame
        A row a job: ``pages``, ``cold`` and ``far`` (sums over its minutes),
        ``minutes``, ``over`` (minutes with more promotions than the objective
        allows).
    """
    cold = histograms.cold[0].sum(axis=1, dtype=np.int64)
    over = found.promoted > histograms.working_set * (slo_percent / 100)
    return pl.DataFrame(
        {
            "pages": cold + histograms.working_set.sum(axis=1, dtype=np.int64),
            "cold": cold,
            "far": found.far.sum(axis=1, dtype=np.int64),
            "minutes": np.full(len(cold), found.far.shape[1]),
            "over": over.sum(axis=1),
        }
    )


def promotion_rate(histograms: Histograms, found: Replay) -> NDArray[np.float64]:
    """Give the promotions of each job and minute in percent of the working set, (n_jobs, n_minutes); 0 of none."""
    return 100.0 * found.promoted / np.maximum(histograms.working_set, 1)


def age_histograms(
    page: NDArray[np.int64], is_free: NDArray[np.bool_], threshold: NDArray[np.int64], window: int
) -> Histograms:
    """Count page ages along a trace, time in accesses.

    Parameters
    ----------
    page, is_free : (n_accesses,)
        A freed page is neither cold nor promoted; its next touch is its first.
    threshold : (n_thresholds,) accesses
    window : accesses
        Stands for a minute; what is left over at the end is dropped.

    Returns
    -------
    histograms
        Of one job; ``threshold_s`` in accesses.

    Raises
    ------
    InputError
        A window that is empty or longer than the trace.
    """
    if not 1 <= window <= len(page):
        raise InputError(f"window must be from 1 to the trace's {len(page):,} accesses, got {shown(window)}")
    n_windows = len(page) // window
    page, is_free = page[: n_windows * window], is_free[: n_windows * window]
    order = np.argsort(page, kind="stable")
    same = page[order[1:]] == page[order[:-1]]
    last = np.full(len(page), -1)  # the page's access before this one
    until = np.full(len(page), len(page))  # the one after it
    last[order[1:][same]], until[order[:-1][same]] = order[:-1][same], order[1:][same]
    at, is_again = np.arange(len(page)), ~is_free & (last >= 0) & ~is_free[last]
    back = [np.bincount((at // window)[is_again & (at - last >= age)], minlength=n_windows) for age in threshold]
    stays, ends = at[~is_free], until[~is_free] // window  # windows whose end sees it as the page's last access
    idle = [_covered((stays + age) // window, ends, n_windows) for age in threshold]
    resident = _covered(stays // window, ends, n_windows)
    shape = (len(threshold), 1, n_windows)
    cold, promoted = (np.reshape(part, shape).astype(np.int32) for part in (idle, back))
    return Histograms(threshold, cold, promoted, resident.astype(np.int32).reshape(shape[1:]) - cold[0])


def _covered(start: NDArray[np.int64], stop: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    # how many of the ranges [start, stop) hold each of 0..n-1
    is_some = start < stop
    begun, ended = (np.bincount(ends[is_some], minlength=n + 1)[: n + 1] for ends in (start, stop))
    return np.cumsum(begun - ended)[:n]
