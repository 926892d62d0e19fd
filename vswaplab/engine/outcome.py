"""What an engine hands back: occupancy of the tiers, and the final page table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.backing import State


@dataclass(frozen=True)
class Occupancy:
    """What each tier holds at one moment. Counts are pages unless the name says otherwise."""

    resident: int
    zero: int
    cram: int
    cram_bytes: int
    """Bytes of live CRAM pages."""
    cram_media_bytes: int
    """Bytes taken on the media: live pages, zombies, freed but not flushed."""
    multi_state: int
    """CRAM pages that some of their mappers have mapped and some not."""
    writable: int
    """Writable budget in use."""
    zombies: int
    zswap: int
    zswap_bytes: int
    """Compressed lengths."""
    zswap_footprint: int
    """zsmalloc footprint, units of 2**-20 bytes."""
    swapped: int
    """Pages whose only copy is on a swapfile."""
    slots: tuple[int, ...]
    """Slots in use of each swapfile, clean copies of resident pages included."""
    free_pages: int
    gate_open: bool
    pool_full: bool


@dataclass(frozen=True)
class PageTable:
    """The final state, one element per page."""

    state: NDArray[np.uint8]
    content: NDArray[np.int32]
    stored_bytes: NDArray[np.int32]
    slot: NDArray[np.int8]
    """Swap device that holds the page's slot, -1: none."""
    clean: NDArray[np.bool_]
    """The slot holds a valid copy."""
    referenced: NDArray[np.bool_]
    """The zswap entry still has its second chance."""
    mappers: NDArray[np.uint8]
    """Who maps the page, one bit a mapper."""
    mapped: NDArray[np.uint8]
    """Who has a CRAM page mapped; the other mappers have a swap entry."""
    rank: NDArray[np.int64]
    """Place in the reclaim order of its tier, 0 is next; -1: in none."""

    @classmethod
    def empty(cls, content: NDArray[np.int32]) -> PageTable:
        """Lay out a table in which no page was touched yet."""
        n = content.size
        return cls(
            state=np.full(n, State.NONE, np.uint8),
            content=content.copy(),
            stored_bytes=np.zeros(n, np.int32),
            slot=np.full(n, -1, np.int8),
            clean=np.zeros(n, np.bool_),
            referenced=np.zeros(n, np.bool_),
            mappers=np.ones(n, np.uint8),
            mapped=np.zeros(n, np.uint8),
            rank=np.full(n, -1, np.int64),
        )
