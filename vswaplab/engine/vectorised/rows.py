"""What the content of a page says about where it goes: one element a row of the corpus."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.units import PAGE_SIZE
from vswaplab.engine.plan import Plan
from vswaplab.engine.vectorised.states import STAYS, SWAPFILE, ZERO, ZSWAP


@dataclass(frozen=True)
class RowFacts:
    """Where a page of each content goes if CRAM does not take it and nothing runs out; arrays are (n_rows,)."""

    target: NDArray[np.uint8]
    freed: NDArray[np.int64]
    """DRAM it frees, charge units."""
    footprint: NDArray[np.int64] | None
    """What it takes of the zswap pool; None: there is none."""
    is_poor: NDArray[np.bool_]
    """zswap refuses it."""
    has_poor: bool
    may_stay: bool
    """Some content finds no room anywhere."""


def row_facts(plan: Plan) -> RowFacts:
    """Apply rule 2 to every content."""
    zswap, is_zero = plan.zswap, plan.zero_of_row
    can_write = bool(plan.slots_of_device) and (zswap is None or zswap.writeback)
    target = np.full(is_zero.size, SWAPFILE if can_write else STAYS, np.uint8)
    cost, footprint, is_poor = np.zeros(is_zero.size, np.int64), None, np.zeros(is_zero.size, np.bool_)
    if zswap is not None:
        length = zswap.length_of_row
        is_poor = (length >= PAGE_SIZE) & ~is_zero & (not zswap.stores_raw)
        is_stored = ~is_zero & ~is_poor
        target[is_stored] = ZSWAP
        cost = np.where(is_stored, zswap.charge_of_length.take(length), 0)
        footprint = np.where(is_stored, zswap.footprint_of_length.take(length), 0)
    target[is_zero] = ZERO
    may_stay = bool((target == STAYS).any())
    freed = np.where(target == STAYS, 0, plan.page_charge - cost)
    return RowFacts(target, freed, footprint, is_poor, bool(is_poor.any()), may_stay)
