"""What an engine hands back: occupancy of the tiers, and the final page table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.backing import State
from vswaplab.trace.trace import Piece

_Number = TypeVar("_Number", np.int32, np.int8, np.uint8, np.bool_)


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
    balloon: int
    """Device pages that the balloon holds back."""
    zswap: int
    zswap_bytes: int
    """Compressed lengths."""
    zswap_footprint: int
    """zsmalloc footprint, units of 2**-20 bytes."""
    swapped: int
    """Pages whose only copy is on a swapfile."""
    zram: int
    """Pages whose only copy is on zram, its backing device included."""
    zram_bytes: int
    """Bytes stored in its pool."""
    zram_footprint: int
    """zsmalloc footprint, units of 2**-20 bytes."""
    cache_only: int
    """Resident pages that only the swap cache knows."""
    slots: tuple[int, ...]
    """Slots in use of each swap device, clean copies of resident pages included."""
    free_pages: int
    gate_open: bool
    pool_full: bool
    cram_cache_only: int = 0
    """CRAM pages that only the swap cache knows; where a kernel reclaims."""
    stores: tuple[tuple[int, int], ...] = ()
    """Pages and bytes in each plug-in's tier."""


@dataclass(frozen=True)
class PageTable:
    """The state, one element per page.

    The arrays may be the engine's own: they hold until it runs on.
    """

    state: NDArray[np.uint8]
    content: NDArray[np.int32]
    stored_bytes: NDArray[np.integer]
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
    cache_only: NDArray[np.bool_]
    """Resident, but only the swap cache knows it: its entry names a virtual slot without backing."""
    zram_level: NDArray[np.uint8]
    """Of a page on zram: 0 first compressor, 1 second, 2 on the backing device."""
    rank: NDArray[np.int32]
    """Place in the reclaim order of its tier, 0 is next; -1: in none, or not asked for."""
    store: NDArray[np.int8]
    """Plug-in's tier that holds the page, -1: none."""

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
            cache_only=np.zeros(n, np.bool_),
            zram_level=np.zeros(n, np.uint8),
            rank=constant(-1, n, np.int32),
            store=np.full(n, -1, np.int8),
        )


@dataclass
class Drain:
    """What emptying a device moved, pages."""

    pages_read: int = 0
    """Read from the swapfile, or from zram's backing device."""
    pages_loaded: int = 0
    """Decompressed, out of zswap or zram."""
    zswap_loaded: int = 0
    """Those of them out of zswap."""
    recompressed_loaded: int = 0
    """Those of them out of zram that its second compressor had made smaller."""
    zero_loaded: int = 0
    cram_loaded: int = 0
    """Copied from CRAM to DRAM."""
    store_loaded: list[int] = field(default_factory=list)
    """Loaded out of each plug-in's tier."""
    copies_dropped: int = 0
    """Slots behind pages that are in DRAM or CRAM: given back, nothing read."""
    written_back: int = 0
    """CRAM pages that went on to a slower tier."""
    cache_only: int = 0
    """Loaded pages that only the swap cache knows: a minor fault each, when they are touched."""
    pte_changed: int = 0
    """Page-table entries rewritten."""


def constant(value: int, n: int, dtype: type[_Number]) -> NDArray[_Number]:
    """Give an array (n,) of one value that takes no memory; read-only."""
    return np.broadcast_to(dtype(value), n)


class Engine(Protocol):
    """What a run asks of an engine made for a plan and a trace.

    A ``Trace`` is in memory and the engine has it from the start; of a
    ``TraceFile`` it has the piece that it was fed last.
    """

    most_accesses: int
    """Accesses of one call at most, so that it lasts well below half a second and Ctrl-C is heard."""
    count: dict[str, int]
    device_in: list[int]
    device_out: list[int]

    def feed(self, piece: Piece) -> None:
        """Take the accesses that come next; none before ``piece.start`` will be asked for again."""
        ...

    def run(self, start: int, stop: int) -> int:
        """Process accesses start..stop-1; return the index of the first one not processed."""
        ...

    def occupancy(self) -> Occupancy:
        """Count what each tier holds now."""
        ...

    def page_table(self, *, is_ranked: bool = True) -> PageTable:
        """Lay the state out as arrays, copying as little as can be; places in the reclaim order only if asked for."""
        ...

    def swapoff(self, device: int, *, maps: bool) -> Drain:
        """Empty a swap device and take it away."""
        ...

    def remove_cram(self, *, maps: bool) -> Drain:
        """Empty the CRAM device and take it away."""
        ...
