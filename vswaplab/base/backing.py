"""The words for where a page's data is, and how a CRAM page is mapped.

Two questions are independent: is there a folio in DRAM (``is_resident``), and
what stands behind the entry (``Backing``). ``State`` packs the answers an
engine needs on every access into one small integer per page.
"""

from __future__ import annotations

from enum import IntEnum

MAX_MAPPERS = 8
"""Processes that may map a page."""


class Op(IntEnum):
    """What an access does: the ``op`` column of a trace."""

    READ = 0
    WRITE = 1
    FREE = 2


class Backing(IntEnum):
    """What stands behind an entry, fastest first (mm/vswap.h tags, plus CRAM)."""

    NONE = 0
    ZERO = 1
    CRAM = 2
    ZSWAP = 3
    ZRAM = 4
    SWAPFILE = 5


class State(IntEnum):
    """Where an access to a page would be served from.

    The three ``CRAM_*`` mappings and ``CRAM_POISONED`` are the states of the
    page's mapper; everything from ``CRAM_SOFTLEAF`` to ``CRAM_POISONED`` holds
    a device page. ``SWAPFILE`` is any swap device, zram too: the slot says which.
    ``STORE`` is any tier of a plug-in (``vswaplab.machine.stores``).
    """

    NONE = 0
    RESIDENT = 1
    ZERO = 2
    ZSWAP = 3
    SWAPFILE = 4
    STORE = 5
    CRAM_SOFTLEAF = 6
    CRAM_READONLY = 7
    CRAM_WRITABLE = 8
    CRAM_POISONED = 9


BACKING_OF_STATE: dict[State, Backing] = {
    State.NONE: Backing.NONE,
    State.ZERO: Backing.ZERO,
    State.ZSWAP: Backing.ZSWAP,
    State.SWAPFILE: Backing.SWAPFILE,
    State.CRAM_SOFTLEAF: Backing.CRAM,
    State.CRAM_READONLY: Backing.CRAM,
    State.CRAM_WRITABLE: Backing.CRAM,
    State.CRAM_POISONED: Backing.CRAM,
}
"""Backing of a page that is not resident."""

MAPPING_OF_STATE: dict[State, str] = {
    State.CRAM_SOFTLEAF: "softleaf",
    State.CRAM_READONLY: "read-only",
    State.CRAM_WRITABLE: "writable",
    State.CRAM_POISONED: "poisoned",
}
"""How the mapper of a CRAM page sees it."""
