"""Tiers of plug-ins for whole batches: which pages they take, and what that changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vswaplab.engine.vectorised.memory import Mask, Memory, Pages, which
from vswaplab.engine.vectorised.states import STAYS, STORE

Fit = Callable[[NDArray[np.int64], int], Mask]
"""Sizes and room in bytes to those that fit, where one too large is passed over."""


@dataclass
class Stored:
    """What the stores do with the pages of a batch; arrays are parallel to them."""

    where: NDArray[np.int8]
    """Store that takes the page, -1: none."""
    n_bytes: NDArray[np.int64]
    refused: NDArray[np.uint8]
    """Stores that were offered the page and did not take it, one bit each."""

    @classmethod
    def nothing(cls, n: int) -> Stored:
        """Begin with n pages that no store was offered."""
        return cls(np.full(n, -1, np.int8), np.zeros(n, np.int64), np.zeros(n, np.uint8))

    def cut(self, n: int) -> Stored:
        """Keep the first n pages."""
        return Stored(self.where[:n], self.n_bytes[:n], self.refused[:n])


def offer_stores(
    mem: Memory,
    stored: Stored,
    target: NDArray[np.uint8],
    left: Mask,
    rows: NDArray[np.integer],
    fit: Fit,
    *,
    before_zswap: bool,
) -> None:
    """Offer the pages that are left to the stores of one place, in order.

    Parameters
    ----------
    mem : Memory
    stored : Stored
        Is told what they take.
    target : (n,) states
        ``STAYS``: the page has no place yet. Those taken become ``STORE``.
    left : (n,)
        Pages that may be offered.
    rows : (n,) their contents
    fit : callable
    before_zswap
    """
    for k, store in enumerate(mem.plan.stores):
        if store.is_before_zswap != before_zswap:
            continue
        index = which(left & (target == STAYS))
        size = store.bytes_of_row.take(rows[index])
        is_taken = size > 0
        is_taken[is_taken] = fit(size[is_taken], store.capacity_bytes - mem.store_bytes[k])
        stored.refused[index[~is_taken]] |= np.uint8(1 << k)
        taken = index[is_taken]
        stored.where[taken], stored.n_bytes[taken], target[taken] = k, size[is_taken], STORE


def stored_charge(mem: Memory, stored: Stored, index: Pages) -> NDArray[np.int64]:
    """Say what pages that go to stores cost DRAM there, charge units."""
    charge = np.array([store.charge for store in mem.plan.stores], np.int64)
    costs: NDArray[np.int64] = charge.take(stored.where[index]) * stored.n_bytes[index]
    return costs


def commit_stores(mem: Memory, stored: Stored, pages: Pages, index: Pages) -> None:
    """Carry out what the stores take: the pages at these places of the batch."""
    where, n_bytes = stored.where.take(index), stored.n_bytes.take(index)
    for k, store in enumerate(mem.plan.stores):
        here = where == k
        mem.count[f"{store.name}_out"] += int(np.count_nonzero(here))
        mem.count[f"{store.name}_out_bytes"] += int(n_bytes[here].sum())
        mem.count[f"{store.name}_refused"] += int(np.count_nonzero(stored.refused & (1 << k)))
    mem.store_add(pages.take(index), where, n_bytes)
