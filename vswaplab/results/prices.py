"""What each event costs: counters to nanoseconds, by one linear table.

``stall_ns`` is what accesses waited for: their own service and the
compression or copying that reclaim does for them, a reclaim's writeback of
CRAM pages into zswap or zram included. Writes to a swapfile, and reading a page that is
written back, run in the background: they cost CPU time only. A
page that is read ahead costs no fault and no latency of the device, which the
counters of such pages take off again; if it is wanted before it is there, the
rest of that wait is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

from vswaplab.base.errors import InputError
from vswaplab.machine.config import Costs, Machine, Swapfile


class Price(NamedTuple):
    """Nanoseconds of one event."""

    event: str
    tier: str
    stall_ns: int
    cpu_ns: int


def prices(machine: Machine) -> list[Price]:
    """List the price of every event of a machine.

    Event names are counters; ``pswpin`` and ``pswpout`` carry the index of
    their swap device (``pswpin_0``), zram's behind the swapfiles'.
    """
    costs = machine.costs
    fill = costs.fault_ns + costs.zero_fill_ns
    rows = [
        Price("dram_hit", "DRAM", costs.dram_ns, 0),
        Price("repeat_dram", "DRAM", costs.dram_ns, 0),
        Price("first_touch", "DRAM", fill, fill),
        Price("copy_on_write", "DRAM", fill, fill),
        Price("minor_fault", "DRAM", costs.fault_ns, costs.fault_ns),
        Price("swpin_zero", "ZERO", fill, fill),
        Price("swpout_zero", "ZERO", costs.victim_ns, costs.victim_ns),
    ]
    rows.append(Price("swap_cache", "DRAM", costs.fault_ns, costs.fault_ns))
    parts = (_cram_prices, _zswap_prices, _swapfile_prices, _zram_prices, _store_prices)
    return [*rows, *(price for part in parts for price in part(machine))]


def _cram_prices(machine: Machine) -> list[Price]:
    if machine.cram is None:
        return []
    device, costs = machine.cram.device, machine.costs
    read = device.read_loaded_ns if costs.cram_loaded else device.read_ns
    fault, write = costs.fault_ns, device.write_ns
    copy_in, copy_out = costs.victim_ns + device.store_ns, fault + device.load_ns
    background = [Price(f"cram_writeback_{to}", "CRAM", 0, device.load_ns) for to in ("zero", "zswap", "swapfile")]
    return [
        Price("cram_soft_fault", "CRAM", fault + read, fault),
        Price("cram_read", "CRAM", read, 0),
        Price("cram_write", "CRAM", write, 0),
        Price("repeat_cram_read", "CRAM", read, 0),
        Price("repeat_cram_write", "CRAM", write, 0),
        Price("cram_made_writable", "CRAM", fault + write, fault),
        Price("cram_promote", "CRAM", copy_out, copy_out),
        Price("cram_in", "CRAM", copy_in, copy_in),
        Price("sigbus", "CRAM", fault, fault),
        *background,
    ]


def _zswap_prices(machine: Machine) -> list[Price]:
    if machine.zswap is None:
        return []
    compressor = machine.zswap.profile
    return [
        Price("zswpin", "zswap", compressor.load_ns, compressor.load_ns),
        Price("zswpout", "zswap", compressor.store_ns, compressor.store_ns),
        Price("zswpwb", "zswap", 0, compressor.load_ns),
    ]


def _swapfile_prices(machine: Machine) -> list[Price]:
    costs = machine.costs
    rows = [Price("clean_drop", "swapfile", costs.victim_ns, costs.victim_ns)]
    for i, device in enumerate(machine.swapfiles):
        wait = costs.fault_ns + device.read_ns + device.transfer_ns
        rows.append(Price(f"pswpin_{i}", "swapfile", wait, costs.fault_ns + costs.io_cpu_ns))
        rows.append(Price(f"pswpout_{i}", "swapfile", 0, costs.victim_ns + costs.io_cpu_ns))
        if device.page_cluster:
            rows += _readahead_prices(device, costs)
    return rows


def _readahead_prices(device: Swapfile, costs: Costs) -> list[Price]:
    # What a page that is read ahead does not cost: the fault, and of a device all but the wire.
    fault = costs.fault_ns
    return [
        Price("swapin_readahead_disk", "swapfile", -fault - device.read_ns, -fault),
        Price("swapin_readahead_zswap", "zswap", -fault, -fault),
        Price("swapin_readahead_zero", "ZERO", -fault, -fault),
    ]


def _zram_prices(machine: Machine) -> list[Price]:
    # zram is a synchronous device: whoever reclaims waits for its compression.
    zram, costs = machine.zram, machine.costs
    if zram is None:
        return []
    first, second = zram.profile, zram.second_profile or zram.profile
    backing = costs.fault_ns + zram.backing_read_ns
    return [
        Price("zram_read", "zram", first.load_ns, first.load_ns),
        Price("zram_read_recompressed", "zram", second.load_ns, second.load_ns),
        Price("zram_bd_reads", "zram", backing, costs.fault_ns + costs.io_cpu_ns),
        Price(f"pswpout_{len(machine.swapfiles)}", "zram", first.store_ns, first.store_ns),
        Price("zram_recompressed", "zram", 0, first.load_ns + second.store_ns),
        Price("zram_bd_writes", "zram", 0, costs.io_cpu_ns),
    ]


def _store_prices(machine: Machine) -> list[Price]:
    # Whoever reclaims copies the page there; whoever faults waits for the fault, and for what the tier takes.
    rows, costs = [], machine.costs
    for store in machine.stores:
        wait, copy = costs.fault_ns + store.load_ns, costs.victim_ns + store.store_ns
        rows += [Price(f"{store.name}_in", store.name, wait, wait), Price(f"{store.name}_out", store.name, copy, copy)]
    return rows


def add_times(epochs: pl.DataFrame, machine: Machine) -> pl.DataFrame:
    """Add ``stall_ns``, ``cpu_ns`` and one ``stall_TIER_ns`` column a tier to a table of counters.

    Parameters
    ----------
    epochs : polars.DataFrame
        Counter columns, and ``pswpin_0``, ``pswpout_0``... for each swapfile.

    Raises
    ------
    InputError
        A time would not fit in 64 bits.
    """
    table = prices(machine)
    _check_range(epochs, table)
    tiers = ("DRAM", "ZERO", "CRAM", "zswap", "zram", "swapfile", *(store.name for store in machine.stores))
    by_tier = [
        pl.sum_horizontal(pl.lit(0, pl.Int64), *(pl.col(p.event) * p.stall_ns for p in table if p.tier == tier)).alias(
            f"stall_{tier.lower()}_ns"
        )
        for tier in tiers
    ]
    cpu = pl.sum_horizontal(pl.lit(0, pl.Int64), *(pl.col(p.event) * p.cpu_ns for p in table)).alias("cpu_ns")
    stall = pl.sum_horizontal(pl.col(f"stall_{tier.lower()}_ns") for tier in tiers).alias("stall_ns")
    return epochs.with_columns(*by_tier, cpu).with_columns(stall)


def _check_range(epochs: pl.DataFrame, table: list[Price]) -> None:
    count = epochs.select(pl.sum(*{price.event for price in table})).row(0, named=True)
    for name in ("stall_ns", "cpu_ns"):
        total = sum(abs(getattr(price, name)) * count[price.event] for price in table)
        if total >= 1 << 63:
            raise InputError(
                f"{name} of the run would be {total:.3g} ns, and tables hold {1 << 63:.3g} ns (292 years) at most: "
                "lower machine.costs and the times of its devices, or the trace's repeats"
            )


def repeat_wait_ns(machine: Machine, totals: Mapping[str, int]) -> int:
    """Add up what the repeats of records would wait at CRAM if no cache of the CPU served them, ns."""
    table = {price.event: price.stall_ns for price in prices(machine)}
    return sum(table.get(event, 0) * totals[event] for event in ("repeat_cram_read", "repeat_cram_write"))


def price_table(machine: Machine) -> pl.DataFrame:
    """Give the cost table of a machine, one row an event: tier, stall and CPU time in ns."""
    return pl.DataFrame(prices(machine), schema=["event", "tier", "stall_ns", "cpu_ns"], orient="row")
