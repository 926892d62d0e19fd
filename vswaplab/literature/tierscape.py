"""TierScape's placement: one tier for each region of memory, least time for a budget, as a Lagrangian sweep.

Kumar et al., "TierScape: Harnessing Multiple Compressed Tiers to Tame Server Memory TCO", EuroSys 2026
(arXiv 2404.13886), whose program minimises sum(hotness x latency) subject to sum(size x unit cost) <= budget
(P: ilp_server/skd_ilp.cpp). Here one region may be split between two tiers (the linear relaxation), so that the whole
front is found by sorting. Left out: what moving a region costs, windows, and the prediction of hotness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.errors import InputError

N_REGIONS = 18_503
"""Regions of 2 MB in the authors' sample (P: ilp_server/hotness_data)."""

# Share of the regions below, and samples: 74.4 % never sampled (D, from the sample), quantiles likewise.
_KNOTS = ((0.744, 1.0), (0.75, 31.0), (0.90, 260.0), (0.99, 1951.0), (1.0, 23_437.0))
# How samples rise between two knots: fitted, so that the top 1, 5 and 10 % have 42.6, 73.3 and 88.9 % (D, likewise).
_BENDS = (1.0, 0.5998, 0.7789, 1.2525)


@dataclass(frozen=True)
class Tier:
    """Where a region may be.

    Parameters
    ----------
    name
    fraction
        Bytes kept for a byte of the region.
    unit_cost
        Of a byte of the medium, in any unit.
    latency
        What a sampled access costs, in any unit.
    """

    name: str
    fraction: float
    unit_cost: float
    latency: float

    def __post_init__(self) -> None:
        """Refuse a tier that costs nothing."""
        if not (self.fraction > 0 and self.unit_cost > 0 and self.latency >= 0):
            raise InputError(f"{self.name}: fraction and unit_cost must be above 0, latency at least 0, got {self}")

    @property
    def cost(self) -> float:
        """Cost of a byte of the region."""
        return self.fraction * self.unit_cost


SAMPLE_TIERS = (
    Tier("DRAM", 1.0, 10, 1),
    Tier("Optane", 1.0, 3, 3),
    Tier("pool in DRAM", 0.5, 10, 5),
    Tier("pool in Optane", 0.5, 3, 8),
)
"""The authors' sample set (P: ilp_server/utils/utils_server.cpp); the first is what everything is measured against."""


@dataclass(frozen=True)
class Front:
    """The least latency for each cost; 1 is every region in the first tier.

    Parameters
    ----------
    cost : (n_points,)
        Falling.
    latency : (n_points,)
        Rising; between two points one region is split.
    """

    cost: NDArray[np.float64]
    latency: NDArray[np.float64]

    def latency_at(self, budget: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the least latency within a budget; infinite if there is none."""
        return np.asarray(np.interp(budget, self.cost[::-1], self.latency[::-1], left=np.inf))

    def cost_at(self, latency: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the least cost within a latency; infinite if there is none."""
        return np.asarray(np.interp(latency, self.latency, self.cost, left=np.inf))


def hotness_curve(n_regions: int = N_REGIONS) -> NDArray[np.int64]:
    """Make regions with the authors' quantiles of hotness, coldest first.

    Returns
    -------
    hotness : (n_regions,) samples
    """
    share = (np.arange(n_regions) + 0.5) / n_regions
    hotness = np.zeros(n_regions)
    for (low, least), (high, most), bend in zip(_KNOTS, _KNOTS[1:], _BENDS, strict=False):
        inside = (share >= low) & (share < high)
        hotness[inside] = least * (most / least) ** (((share[inside] - low) / (high - low)) ** bend)
    return np.rint(hotness).astype(np.int64)


def sweep(
    hotness: NDArray[np.int64], tiers: Sequence[Tier], multipliers: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Put each region where hotness x latency + multiplier x cost is least; of equals, the first tier.

    Parameters
    ----------
    hotness : (n_regions,) samples
    tiers
    multipliers : (n_multipliers,)
        Latency that a unit of cost is worth.

    Returns
    -------
    tier : (n_multipliers, n_regions)
        Index into ``tiers``.
    cost, latency : (n_multipliers,)
        1 is every region in the first tier.
    """
    terms = hotness * np.array([[[tier.latency]] for tier in tiers])  # (n_tiers, 1, n_regions)
    terms = terms + np.array([tier.cost for tier in tiers])[:, None, None] * multipliers[:, None]
    chosen = terms.argmin(axis=0)
    cost = np.array([tier.cost for tier in tiers])[chosen].mean(axis=1)
    latency = (np.array([tier.latency for tier in tiers])[chosen] * hotness).sum(axis=1)
    return chosen, cost / tiers[0].cost, latency / _unit(hotness, tiers)


def front(hotness: NDArray[np.int64], tiers: Sequence[Tier]) -> Front:
    """Find the whole front: every multiplier at once.

    Each region starts in the fastest tier and steps down the lower convex hull of (cost, latency); all steps of all
    regions are taken in the order of latency lost for cost saved.

    Parameters
    ----------
    hotness : (n_regions,) samples
    tiers
        Measured against the first.

    Returns
    -------
    front

    Raises
    ------
    InputError
        No tier, or nothing was sampled.
    """
    unit = _unit(hotness, tiers)
    hull = convex_hull(tiers)
    saved = -np.diff([tier.cost for tier in hull])
    lost = np.outer(hotness, np.diff([tier.latency for tier in hull]))  # (n_regions, n_steps)
    order = np.argsort(lost / saved, axis=None, kind="stable")
    cost = np.cumsum([len(hotness) * hull[0].cost, *-np.broadcast_to(saved, lost.shape).ravel()[order]])
    latency = np.cumsum([hotness.sum() * hull[0].latency, *lost.ravel()[order]])
    return Front(cost / (len(hotness) * tiers[0].cost), latency / unit)


def convex_hull(tiers: Sequence[Tier]) -> list[Tier]:
    """Keep the tiers that are best for some hotness, fastest first.

    Examples
    --------
    >>> [tier.name for tier in convex_hull(SAMPLE_TIERS)]
    ['DRAM', 'Optane', 'pool in Optane']
    """
    kept: list[Tier] = []
    for tier in sorted(tiers, key=lambda tier: (tier.latency, tier.cost)):
        if kept and tier.cost >= kept[-1].cost:
            continue
        while len(kept) > 1 and _slope(kept[-2], kept[-1]) >= _slope(kept[-1], tier):
            kept.pop()
        kept.append(tier)
    return kept


def _slope(fast: Tier, slow: Tier) -> float:
    return (slow.latency - fast.latency) / (fast.cost - slow.cost)


def _unit(hotness: NDArray[np.int64], tiers: Sequence[Tier]) -> float:
    if not tiers:
        raise InputError("a front needs tiers: give at least one")
    unit = float(hotness.sum()) * tiers[0].latency
    if unit <= 0:
        raise InputError("nothing was sampled, or the first tier takes no time: latency has no unit")
    return unit
