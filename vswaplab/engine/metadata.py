"""A layer's metadata along a run: what nobody published, for every design, sparse clusters included.

A page keeps its virtual slot for life, its own number (notebooks/guide/model.md), so
cluster c holds pages 512 c to 512 c + 511; the physical slots behind a layer
are taken to lie likewise. Real allocators hand slots out in the order of
swap-out, which packs them tighter at first and leaves the same holes later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.backing import State
from vswaplab.base.checks import names_of, whole
from vswaplab.base.errors import InputError
from vswaplab.engine.outcome import PageTable
from vswaplab.engine.plan import check_run, make_plan
from vswaplab.engine.run import windows
from vswaplab.engine.vectorised import Vectorised
from vswaplab.machine.config import Machine
from vswaplab.machine.layers import (
    CLUSTER_SLOTS,
    DESIGNS,
    LayerDesign,
    cluster_metadata_bytes,
    find_design,
    metadata_bytes,
)
from vswaplab.trace.files import TraceFile
from vswaplab.trace.trace import Trace

_Masks = dict[str, NDArray[np.bool_]]
_SCHEMA: dict[str, type[pl.DataType]] = {
    "epoch": pl.Int64,
    "access": pl.Int64,
    "design": pl.String,
    "layer": pl.String,
    **dict.fromkeys(("zswap", "zero", "cram", "disk", "clusters", "slot_bytes", "cluster_bytes"), pl.Int64),
}


def metadata_along(
    trace: Trace | TraceFile,
    machine: Machine,
    *,
    designs: Sequence[str] | None = None,
    seed: int = 0,
    epoch_accesses: int | None = None,
) -> pl.DataFrame:
    """Say what each layer design's metadata takes at the end of every window of a run.

    The machine runs once with a layer and once without, because without one
    every swapped page holds a slot; each design is priced on the run of its kind.

    Parameters
    ----------
    trace, machine, seed
        As in ``simulate``; the machine's own layer does not matter. It may have no ``kernel``.
    designs
        Names of ``layer_designs()``; default: all.
    epoch_accesses : accesses
        Length of a window; default: 50 windows.

    Returns
    -------
    table : polars.DataFrame
        One row per window and design: ``epoch``, ``access`` (the window's
        end), ``design``, ``layer``; ``zswap``, ``zero``, ``cram``, ``disk``
        (slots in use by what stands behind them; a clean or stale copy of a
        resident page is a disk slot); ``clusters`` (live ones, of 512 slots);
        ``slot_bytes`` (the published accounting, bits per slot in use) and
        ``cluster_bytes`` (whole clusters, as kernels allocate them), both with
        the device's static part. A run that ends early, because without a
        layer the device was full, has no rows after that.

    Raises
    ------
    InputError
        An unknown design, a window below 1, a machine with ``kernel``.
    """
    check_run(trace, machine)
    if machine.kernel is not None:
        raise InputError(
            f"metadata_along runs a machine with every kind of layer, and machine.kernel {machine.kernel.version!r} "
            "models a kernel without vswap: leave kernel out"
        )
    chosen = [find_design(name) for name in (DESIGNS if designs is None else names_of("designs", designs))]
    window = -(-len(trace) // 50) if epoch_accesses is None else whole("epoch_accesses", epoch_accesses, 1)
    rows: list[tuple[object, ...]] = []
    for layer in ("none", "vswap"):
        of_kind = [design for design in chosen if (design.layer == "none") == (layer == "none")]
        if of_kind:
            rows += _run(trace, replace(machine, layer=layer), of_kind, seed, window)
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row").sort("epoch", maintain_order=True)


def _run(
    trace: Trace | TraceFile, machine: Machine, designs: list[LayerDesign], seed: int, window: int
) -> list[tuple[object, ...]]:
    runner = Vectorised(make_plan(trace, machine, seed), trace)
    capacity = sum(device.capacity_slots for device in machine.swap_devices)
    rows: list[tuple[object, ...]] = []
    for epoch, (_, _, done) in enumerate(windows(runner, trace, machine, window)):
        use = _slots(runner.page_table(is_ranked=False), machine)
        rows += [(epoch, done, design.name, design.layer, *_prices(design, use, capacity)) for design in designs]
    return rows


def _slots(table: PageTable, machine: Machine) -> _Masks:
    # Which pages hold a slot of the layer (without one: of the device), by what stands behind it.
    state, has_device = table.state, table.slot >= 0
    is_tier = machine.cram is not None and machine.cram.mode == "tier"
    by_state = {
        "zswap": (state == State.ZSWAP) | (state == State.STORE),  # a plug-in's tier needs an entry as zswap does
        "zero": (state == State.ZERO) | table.cache_only,  # a name with nothing behind it but the folio
        "cram": (state >= State.CRAM_SOFTLEAF) & (not is_tier),
    }
    if machine.layer == "none":
        held = {kind: mask & has_device for kind, mask in by_state.items()}
        return held | {"disk": has_device & ~(held["zswap"] | held["zero"] | held["cram"])}
    return {kind: mask & ~has_device for kind, mask in by_state.items()} | {"disk": has_device}


def _prices(design: LayerDesign, use: _Masks, capacity: int) -> tuple[int, ...]:
    used = {kind: int(np.count_nonzero(mask)) for kind, mask in use.items()}
    clusters = {kind: _by_cluster(mask) for kind, mask in use.items()}
    everything = sum(clusters.values(), start=np.zeros(1, np.int64))
    has_layer = design.layer != "none"
    static = metadata_bytes(design.name, capacity_slots=capacity, disk=0)
    in_clusters = cluster_metadata_bytes(
        design.name,
        everything,
        disk_slots_in_use=clusters["disk"] if has_layer else (),
        zswap_slots_in_use=clusters["zswap"] + clusters["cram"],  # without a layer CRAM needs such a tree too
    )
    by_slot = metadata_bytes(design.name, capacity_slots=capacity, **used)
    return (*used.values(), int(np.count_nonzero(everything)), by_slot, static + in_clusters)


def _by_cluster(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    n_clusters = -(-mask.size // CLUSTER_SLOTS)
    return np.bincount(np.flatnonzero(mask) // CLUSTER_SLOTS, minlength=n_clusters)
