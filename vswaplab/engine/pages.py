"""The page table at the end of a run: the engine's own compact arrays, and tables made of them on demand."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.backing import BACKING_OF_STATE, MAPPING_OF_STATE, Backing, State
from vswaplab.engine.outcome import Engine, PageTable
from vswaplab.machine.config import Machine


class FinalPages:
    """What ``Result`` makes its table of pages of; the engine may not run on.

    Parameters
    ----------
    runner : Engine
        Kept until the table is first asked for, then only its arrays.
    machine : Machine
    """

    def __init__(self, runner: Engine, machine: Machine) -> None:
        self._runner: Engine | None = runner
        self._zram_device = -1 if machine.zram is None else len(machine.swapfiles)
        self._stores = [store.name for store in machine.stores]

    def __len__(self) -> int:
        return int(self._table.state.size)

    def __getstate__(self) -> dict[str, object]:
        # Copied or sent to another process: without the engine.
        return {"_table": self._table, "_runner": None, "_zram_device": self._zram_device, "_stores": self._stores}

    def frame(self, start: int, stop: int) -> pl.DataFrame:
        """Lay out pages start..stop-1 as a table; see ``Result.state``."""
        return _frame(self._table, slice(start, stop), self._zram_device, self._stores)

    @cached_property
    def _table(self) -> PageTable:
        assert self._runner is not None
        table, self._runner = self._runner.page_table(), None
        return table


def _frame(table: PageTable, part: slice, zram_device: int, stores: list[str]) -> pl.DataFrame:
    state, slot, clean = table.state[part], table.slot[part], table.clean[part]
    is_resident = state == State.RESIDENT
    backing = np.array([BACKING_OF_STATE.get(s, Backing.NONE) for s in State], np.uint8)[state]
    backing[(state == State.SWAPFILE) & (slot == zram_device)] = Backing.ZRAM
    backing[is_resident & clean] = Backing.SWAPFILE
    words: dict[int, str | None] = dict(enumerate([*(b.name for b in Backing), *stores]))
    in_store = state == State.STORE
    backing[in_store] = len(Backing) + table.store[part][in_store]
    return pl.DataFrame(
        {
            "page": np.arange(part.start, part.start + state.size),
            "is_resident": is_resident,
            "backing": _words(backing, words),
            "mapping": _words(state, {s.value: MAPPING_OF_STATE.get(s) for s in State}),
            "stored_bytes": table.stored_bytes[part].astype(np.int32),
            "swap_device": _null_below_zero(slot),
            "copy": _words(np.where(slot < 0, 0, np.where(clean, 2, 1)), {0: None, 1: "stale", 2: "valid"}),
            "content": table.content[part],
            "mappers": table.mappers[part],
            "mapped": table.mapped[part],
            "has_second_chance": table.referenced[part],
            "is_cache_only": table.cache_only[part],
            "reclaim_rank": _null_below_zero(table.rank[part].astype(np.int64)),
        }
    )


def _words(codes: NDArray[np.integer], words: dict[int, str | None]) -> pl.Series:
    # By position: several times as fast as ``replace_strict``.
    texts = pl.Series([words.get(code) for code in range(max(words) + 1)], dtype=pl.String)
    return texts.gather(pl.Series(codes.astype(np.uint32)))


def _null_below_zero(values: NDArray[np.integer]) -> pl.Series:
    series = pl.Series(values)
    return series.set(series < 0, None)
