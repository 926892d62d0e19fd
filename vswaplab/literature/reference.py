"""The models of this package in their plainest form: one job, page, region or request at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence


def best_threshold(promoted: Sequence[int], working_set: int, slo_percent: float) -> int:
    """Find the lowest threshold whose promotions are allowed; ``len(promoted)`` if there is none."""
    for k, count in enumerate(promoted):
        if count <= working_set * slo_percent / 100:
            return k
    return len(promoted)


def replay_job(
    cold: Sequence[Sequence[int]],
    promoted: Sequence[Sequence[int]],
    working_set: Sequence[int],
    *,
    percentile: float,
    warmup_s: int,
    slo_percent: float,
    heeds_last_minute: bool = True,
) -> list[tuple[int, int, int]]:
    """Replay one job of Google's far memory.

    Parameters
    ----------
    cold, promoted : (n_minutes, n_thresholds) pages
    working_set : (n_minutes,) pages
    percentile, warmup_s, slo_percent, heeds_last_minute
        As in ``far_memory.Control``.

    Returns
    -------
    minutes : (n_minutes,)
        Index of the threshold in force, far pages, promoted pages.
    """
    off = len(cold[0])
    past: list[int] = []
    found = []
    for minute, pages in enumerate(working_set):
        k = off
        if past and minute * 60 >= warmup_s:
            k = sorted(past)[math.ceil(percentile * len(past) / 100) - 1]
            k = max(k, past[-1]) if heeds_last_minute else k
        found.append((k, cold[minute][k], promoted[minute][k]) if k < off else (off, 0, 0))
        past.append(best_threshold(promoted[minute], pages, slo_percent))
    return found


def count_ages(
    page: Sequence[int], is_free: Sequence[bool], threshold: Sequence[int], window: int
) -> list[tuple[list[int], list[int], int]]:
    """Count page ages along a trace, an access at a time.

    Returns
    -------
    windows
        For each whole window: cold pages and promotions by threshold, and the
        working set.
    """
    last: dict[int, int] = {}
    found, promoted = [], [0] * len(threshold)
    for now, (at, frees) in enumerate(zip(page, is_free, strict=True)):
        if frees:
            last.pop(at, None)
        else:
            for k, age in enumerate(threshold):
                promoted[k] += at in last and now - last[at] >= age
            last[at] = now
        if now % window == window - 1:
            cold = [sum(now - then >= age for then in last.values()) for age in threshold]
            found.append((cold, promoted, len(last) - cold[0]))
            promoted = [0] * len(threshold)
    return found


def cheapest_tiers(hotness: Sequence[int], tiers: Sequence[tuple[float, float]], multiplier: float) -> list[int]:
    """Choose each region's tier by hotness x latency + multiplier x cost; tiers are (cost, latency)."""
    found = []
    for samples in hotness:
        weights = [samples * latency + multiplier * cost for cost, latency in tiers]
        found.append(weights.index(min(weights)))
    return found


def best_placement(hotness: Sequence[int], tiers: Sequence[tuple[float, float]], budget: float) -> float:
    """Try every placement of whole regions within a budget; the least sum of hotness x latency, infinite if none."""
    least = math.inf
    for placed in itertools.product(tiers, repeat=len(hotness)):
        if sum(cost for cost, _ in placed) <= budget:
            least = min(least, sum(samples * tier[1] for samples, tier in zip(hotness, placed, strict=True)))
    return least


def senpai(
    sizes: Sequence[float],
    rates: Sequence[float],
    latency_s: float,
    n_periods: int,
    *,
    threshold: float,
    is_pressure: bool,
    ratio: float,
    period_s: float,
    most: float,
) -> list[tuple[float, float, float]]:
    """Let Meta's controller work on one program before one backend.

    Parameters
    ----------
    sizes, rates
        The curve: pages, faults a second of run time.
    latency_s : seconds
    n_periods
    threshold, is_pressure, ratio, period_s, most
        As in ``senpai.Control``.

    Returns
    -------
    periods
        Pages after it, faults a second and share of stall in it.
    """
    resident, found = sizes[-1], []
    for _ in range(n_periods):
        rate = _between(sizes, rates, resident)
        second = 1 + rate * latency_s  # of time, for a second of run time
        faults, pressure = rate / second, rate * latency_s / second
        felt = pressure if is_pressure else faults
        taken = resident * min(ratio * max(0.0, 1 - felt / threshold), most)
        resident = min(resident - taken + faults * period_s, sizes[-1])
        found.append((resident, faults, pressure))
    return found


def _between(sizes: Sequence[float], rates: Sequence[float], at: float) -> float:
    if at <= sizes[0]:
        return rates[0]
    for k in range(1, len(sizes)):
        if at <= sizes[k]:
            share = (at - sizes[k - 1]) / (sizes[k] - sizes[k - 1])
            return rates[k - 1] + share * (rates[k] - rates[k - 1])
    return rates[-1]


def waits(arrival: Sequence[int], busy: Sequence[int]) -> list[int]:
    """Serve requests one after the other; how long each waits, ns."""
    found, free = [], 0
    for at, needs in zip(arrival, busy, strict=True):
        start = max(at, free)
        found.append(start - at)
        free = start + needs
    return found
