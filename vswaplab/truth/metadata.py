"""What a swap layer takes of slab memory, by pages swapped out: measured, and predicted."""

from __future__ import annotations

import math
from collections.abc import Mapping

import polars as pl

from vswaplab.base.errors import InputError
from vswaplab.base.units import PAGE_SIZE
from vswaplab.engine.zsmalloc import class_of
from vswaplab.machine.layers import CLUSTER_SLOTS, cluster_metadata_bytes
from vswaplab.truth.calibration import lengths_of

STEPS = ("u25", "u50", "u75", "u100", "sparse32")
"""Percent of the pages swapped out, and then one page in 32 left."""

_SPARSE = 32
_ENTRY_BYTES = 56  # struct zswap_entry, and zsmalloc's zspage: one merged slab cache
_HANDLE_BYTES = 8


def predicted_kib(rows: Mapping[str, Mapping[str, int]], step: str) -> float:
    """Say how much slab the layer and zswap take for the pages that are swapped out.

    Parameters
    ----------
    rows : mapping
        Step to its row of ``metadata.csv``.
    step : str
        One of ``STEPS``. At ``sparse32`` all were swapped out, and all but one in
        32 were loaded again: a cluster is freed only when it is empty.

    Returns
    -------
    size : KiB
    """
    row, is_sparse = rows[step], step == "sparse32"
    most = rows["u100"]["pages_swapped_pte"] if is_sparse else row["pages_swapped_pte"]
    slots = clusters(most, _SPARSE if is_sparse else 1)
    is_zswap = bool(row["zswap"] and row["content_random_bytes"])
    design = "swap-table-edition" if row["vswap"] else "swap-table-phase-4"
    tables = cluster_metadata_bytes(design, slots, zswap_slots_in_use=slots if is_zswap else ())
    layer = (tables - len(slots) * PAGE_SIZE) / 1024  # swap tables are whole pages, not slab
    return layer + (_zswap_kib(most, row["content_random_bytes"]) if is_zswap else 0)


def measured_kib(row: Mapping[str, int]) -> float:
    """Give all slab; of runs on disk the caches of the layer's tables, for there the block layer's come on top."""
    if row["content_random_bytes"] and not row["zswap"]:
        return (row["d_slab_kmalloc4k_bytes"] + row["d_slab_kmalloc1k_bytes"]) / 1024
    return row["d_slab_kib"]


def grown_kib(rows: Mapping[str, Mapping[str, int]], step: str) -> float:
    """Give what was measured at a step, above what swapon took."""
    return measured_kib(rows[step]) - measured_kib(rows["u0"])


def clusters(n_pages: int, share: int = 1) -> list[int]:
    """Give the slots in use of each cluster, one page in ``share`` left; slot 0 is never used."""
    asked = [min(CLUSTER_SLOTS, n_pages + 1 - start) for start in range(0, n_pages + 1, CLUSTER_SLOTS)]
    return [max(1, slots // share) for slots in asked]


def steps_of(table: pl.DataFrame) -> dict[str, dict[str, dict[str, int]]]:
    """Give each run of ``metadata.csv``: name to step to row.

    Raises
    ------
    InputError
        A run lacks a step.
    """
    found: dict[str, dict[str, dict[str, int]]] = {}
    for row in table.iter_rows(named=True):
        found.setdefault(row["run"], {})[row["step"]] = row
    for name, rows in found.items():
        missing = [step for step in ("u0", *STEPS) if step not in rows]
        if missing:
            raise InputError(f"metadata.csv: run {name!r} lacks its step {missing[0]!r}: copy the file again")
    return found


def _zswap_kib(n_pages: int, random_bytes: int) -> float:
    length = lengths_of({}, "", "lzo", random_bytes)
    if length is None:
        raise InputError(f"metadata.csv: nobody measured what lzo makes of {random_bytes} random bytes: remove the run")
    per_zspage = class_of(length).objects
    return _slabs_kib(n_pages + n_pages / per_zspage, _ENTRY_BYTES) + _slabs_kib(n_pages, _HANDLE_BYTES)


def _slabs_kib(n_objects: float, size: int) -> int:
    return math.ceil(n_objects / (PAGE_SIZE // size)) * 4
