"""Meta's controller of offloading: a little memory is taken away each period, less the more the program stalls.

Weiner et al., "TMO: Transparent Memory Offloading in Datacenters", ASPLOS 2022, by summaries of it (S). One group
with one thread and least-recently-used order: what is taken is coldest, every fault brings a page back. Left out: page
cache, input and output of its own, several threads, and a backend that slows down under load.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.errors import InputError, shown

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """How often a program misses with so much memory.

    Parameters
    ----------
    resident : (n,) pages
        Rising; straight lines between, level outside.
    fault_rate : (n,) faults a second of run time
        Not rising.

    Raises
    ------
    InputError
        Out of order, or of unequal length.
    """

    resident: Floats
    fault_rate: Floats

    def __post_init__(self) -> None:
        """Refuse a curve on which more memory means more faults."""
        if self.resident.shape != self.fault_rate.shape or (np.diff(self.resident) <= 0).any():
            raise InputError("a curve needs a fault rate for each of its sizes, and sizes that rise")
        if (np.diff(self.fault_rate) > 0).any():
            raise InputError("fault rates must not rise with memory: least-recently-used order has no such curve")

    def at(self, resident: Floats | float) -> Floats:
        """Give the fault rate at some sizes."""
        return np.asarray(np.interp(resident, self.resident, self.fault_rate))


@dataclass(frozen=True)
class Control:
    """How much is taken away each period.

    Parameters
    ----------
    threshold
        Where taking stops: of the signal.
    signal
        ``"pressure"``: the share of time that the program stalls (PSI some), as
        published. ``"faults"``: faults a second of time, whatever they cost.
    ratio
        Share of the memory taken in a period without any signal.
    period_s : seconds
    most
        Largest share of the memory taken in a period.

    Raises
    ------
    InputError
        A number that is not above 0, another signal.
    """

    threshold: float = 0.001
    signal: Literal["pressure", "faults"] = "pressure"
    ratio: float = 0.0005
    period_s: float = 6.0
    most: float = 0.01

    def __post_init__(self) -> None:
        """Refuse what takes nothing, or for ever."""
        for name in ("threshold", "ratio", "period_s", "most"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be above 0, got {getattr(self, name)!r}")
        if self.signal not in ("pressure", "faults"):
            raise InputError(f"signal must be 'pressure' or 'faults', got {shown(self.signal)}")


@dataclass(frozen=True)
class Run:
    """What happened.

    Parameters
    ----------
    resident : (n_periods + 1, n_cases) pages
        At the start, and after each period.
    faults : (n_periods, n_cases) faults a second
    pressure : (n_periods, n_cases) share of the time
    """

    resident: Floats
    faults: Floats
    pressure: Floats


def power_law(n_pages: float, cold_share: float, exponent: float, n_points: int = 2000) -> Curve:
    """Make the curve of a program whose page ages obey the law of ``literature.fleet``.

    With the pages older than T taken away, what is missing is pages c (T / 120 s)^-a, and it comes back at a / T.

    Parameters
    ----------
    n_pages
    cold_share
        c: idle for 120 s.
    exponent
        a.
    n_points

    Returns
    -------
    curve
        From n_pages (1 - 1.5 c), which is below 0 if c is above two thirds, to n_pages.
    """
    away = n_pages * cold_share * np.geomspace(1.5, 1e-4, n_points)
    age_s = 120 * (away / (n_pages * cold_share)) ** (-1 / exponent)
    return Curve(np.append(n_pages - away, n_pages), np.append(away * exponent / age_s, 0.0))


def stalled(fault_rate: Floats, latency_s: Floats | float) -> tuple[Floats, Floats]:
    """Turn faults a second of run time into faults a second of time, and the share of time that is stall."""
    run = 1 / (1 + fault_rate * latency_s)
    return fault_rate * run, 1 - run


def step(resident: Floats, curve: Curve, latency_s: Floats, control: Control) -> tuple[Floats, Floats, Floats]:
    """Advance one period.

    Parameters
    ----------
    resident, latency_s : (n_cases,) pages, seconds
    curve, control

    Returns
    -------
    resident, faults, pressure : (n_cases,)
    """
    faults, pressure = stalled(curve.at(resident), latency_s)
    felt = pressure if control.signal == "pressure" else faults
    share = np.minimum(control.ratio * np.maximum(0, 1 - felt / control.threshold), control.most)
    return np.minimum(resident * (1 - share) + faults * control.period_s, curve.resident[-1]), faults, pressure


def simulate(curve: Curve, latency_s: Floats, control: Control, n_periods: int) -> Run:
    """Let a controller work on one program before several backends, from all of its memory on.

    Parameters
    ----------
    curve
    latency_s : (n_cases,) seconds
        Stall of a fault.
    control
    n_periods

    Returns
    -------
    run
    """
    resident, rows = np.full(len(latency_s), curve.resident[-1]), []
    start = resident
    for _ in range(n_periods):
        rows.append(step(resident, curve, latency_s, control))
        resident = rows[-1][0]
    sizes, faults, pressure = (np.array(column) for column in zip(*rows, strict=True))
    return Run(np.vstack([start, sizes]), faults, pressure)


def settled(curve: Curve, latency_s: Floats, control: Control) -> Floats:
    """Find the memory at which as much comes back as is taken, by bisection.

    Returns
    -------
    resident : (n_cases,) pages
    """
    low, high = (np.full(len(latency_s), end) for end in curve.resident[[0, -1]])
    for _ in range(60):
        middle = (low + high) / 2
        grows = step(middle, curve, latency_s, control)[0] > middle
        low, high = np.where(grows, middle, low), np.where(grows, high, middle)
    return high
