"""A decompressor with a queue: what an access waits behind others, in closed form and request by request.

One server, first come, first served, Poisson arrivals. Closed forms: Pollaczek and Khinchine; see L. Kleinrock,
"Queueing Systems", volume 1, 1975. Requests one after the other: D. V. Lindley, "The theory of queues with a single
server", 1952. Left out: several engines, priorities, and processors that stop asking while they wait.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.errors import InputError, shown

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Engine:
    """A device that decompresses, one request at a time.

    Parameters
    ----------
    idle_ns : ns
        From request to answer when nothing else is going on.
    busy_ns : ns
        How long the engine is taken by one request, on average; it may go on
        after the answer.
    variation
        Standard deviation of the time it is taken over its mean: 0 is always
        the same, 1 exponential.
    """

    idle_ns: float
    busy_ns: float
    variation: float = 0.0

    def __post_init__(self) -> None:
        """Refuse times that run backwards."""
        if not (self.idle_ns >= 0 and self.busy_ns > 0 and self.variation >= 0):
            raise InputError(f"an engine needs idle_ns and variation of at least 0 and busy_ns above 0, got {self}")

    def utilisation(self, per_us: Floats | float) -> Floats:
        """Give the share of time that the engine is taken, at so many requests a microsecond."""
        return np.asarray(per_us, dtype=np.float64) * self.busy_ns / 1000

    def latency(self, per_us: Floats | float) -> Floats:
        """Give the mean time of an access in ns, at so many requests a microsecond; infinite from saturation on."""
        used = self.utilisation(per_us)
        return self.idle_ns + mean_wait(used, self.busy_ns, self.variation)

    def rate_of(self, latency_ns: float) -> float:
        """Give the requests a microsecond at which an access takes so long on average.

        Raises
        ------
        InputError
            Shorter than the idle time.
        """
        if latency_ns < self.idle_ns:
            raise InputError(f"no load makes an access faster than idle, {self.idle_ns:g} ns; got {latency_ns:g}")
        # wait = used / (1 - used) * half, solved for used
        half = self.busy_ns * (1 + self.variation**2) / 2
        waited = latency_ns - self.idle_ns
        return waited / (waited + half) / self.busy_ns * 1000


def mean_wait(used: Floats, busy_ns: float, variation: float) -> Floats:
    """Give the mean wait before service (Pollaczek and Khinchine), ns; infinite from saturation on.

    Examples
    --------
    Half used, always 100 ns: half of what exponential times of the same mean make one wait.

    >>> [float(mean_wait(np.array(0.5), 100, variation)) for variation in (0, 1)]
    [50.0, 100.0]
    """
    left = np.maximum(1 - used, 0)
    wait = np.divide(used, left, out=np.full(np.shape(used), np.inf), where=left > 0)
    return np.asarray(wait * busy_ns * (1 + variation**2) / 2)


def waits(arrival: NDArray[np.int64], busy: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find how long each request waits before its service begins.

    A request is done at the latest, over all earlier ones, of that one's arrival plus all service from it on: a
    running maximum. Whole ns, so that the numbers are exact.

    Parameters
    ----------
    arrival : (n_requests,) ns
        Not falling.
    busy : (n_requests,) ns

    Returns
    -------
    wait : (n_requests,) ns

    Examples
    --------
    >>> waits(np.array([0, 10, 300]), np.array([100, 100, 100]))
    array([ 0, 90,  0])
    """
    before = np.cumsum(busy) - busy
    idle: NDArray[np.int64] = np.maximum.accumulate(arrival - before)  # ns without work so far
    return idle + before - arrival


def requests(
    engine: Engine, per_us: float, n_requests: int, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw Poisson arrivals, and service times of the engine's mean and variation (gamma), whole ns.

    Returns
    -------
    arrival, busy : (n_requests,) ns

    Raises
    ------
    InputError
        A rate that is not above 0.
    """
    if not per_us > 0:
        raise InputError(f"per_us must be above 0 requests a microsecond, got {shown(per_us)}")
    rng = np.random.default_rng(seed)
    arrival = np.cumsum(rng.exponential(1000 / per_us, n_requests))
    if engine.variation == 0:
        busy = np.full(n_requests, engine.busy_ns)
    else:
        shape = 1 / engine.variation**2
        busy = rng.gamma(shape, engine.busy_ns / shape, n_requests)
    return np.rint(arrival).astype(np.int64), np.rint(busy).astype(np.int64)


def break_even(expand_ns: float, compressed_ns: float, plain_ns: float) -> float:
    """Say after how many accesses it pays to expand a page into plain memory; infinite if never."""
    gain = compressed_ns - plain_ns
    return expand_ns / gain if gain > 0 else float("inf")
