"""zram for whole batches: what its memory limit admits, and the administrator's periodic pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.units import PAGE_SIZE
from vswaplab.engine.plan import ZramPlan
from vswaplab.engine.vectorised.memory import BACKING, FIRST, SECOND, Memory, Pages, which


def zram_store(mem: Memory, zram: ZramPlan, pages: Pages) -> None:
    """Compress pages into zram; that they fit is the caller's to know."""
    length = zram.length_of_row.take(mem.content.take(pages)).astype(np.int64)
    mem.count["zram_huge"] += int(np.count_nonzero(length == PAGE_SIZE))
    mem.count["zram_bytes"] += int(length.sum())
    mem.zram_pages += pages.size
    mem.stored[pages] = 0
    mem.zram_resize(pages, length)


def zram_footprints(mem: Memory, zram: ZramPlan, pages: Pages) -> NDArray[np.int64]:
    """Give what each page would take of zram's pool, units of 2**-20 bytes."""
    footprint: NDArray[np.int64] = zram.footprint_of_length.take(zram.length_of_row.take(mem.content.take(pages)))
    return footprint


def count_reads(mem: Memory, pages: Pages) -> None:
    """Count loads from zram by where the pages lie."""
    level = np.bincount(mem.zram_level.take(pages), minlength=BACKING + 1).tolist()
    for name, n in zip(("zram_read", "zram_read_recompressed", "zram_bd_reads"), level, strict=True):
        mem.count[name] += n


def zram_pass(mem: Memory, zram: ZramPlan) -> None:
    """Recompress, write back, and mark everything idle, slot by slot in the order of page numbers."""
    pages = which((mem.slot == zram.device) & mem.clean)
    if zram.second_length_of_row is not None:
        _recompress(mem, zram, pages, zram.second_length_of_row)
    _write_back(mem, zram, pages)
    mem.zram_idle[pages] = True


def _recompress(mem: Memory, zram: ZramPlan, pages: Pages, second: NDArray[np.int32]) -> None:
    pages = pages[(mem.zram_level.take(pages) == FIRST) & mem.zram_idle.take(pages)]
    length = second.take(mem.content.take(pages)).astype(np.int64)
    old = mem.stored.take(pages)
    is_smaller = zram.footprint_of_length.take(length) < zram.footprint_of_length.take(old)
    pages, length = pages[is_smaller], length[is_smaller]
    mem.count["zram_recompressed"] += pages.size
    mem.zram_level[pages] = SECOND
    mem.zram_resize(pages, length)


def _write_back(mem: Memory, zram: ZramPlan, pages: Pages) -> None:
    wanted = mem.stored.take(pages) > 0  # neither written back already nor same-filled
    if zram.writes_idle:
        wanted &= mem.zram_idle.take(pages)
    if zram.writes_huge:
        wanted &= mem.stored.take(pages) == PAGE_SIZE
    room = min(zram.backing_slots - mem.zram_backed, zram.writeback_limit - mem.count["zram_bd_writes"])
    pages = pages[wanted][: max(0, room)]
    mem.count["zram_bd_writes"] += pages.size
    mem.zram_backed += pages.size
    mem.zram_level[pages] = BACKING
    mem.zram_resize(pages, np.zeros(pages.size, np.int64))
