"""Counters to nanoseconds."""

from __future__ import annotations

import polars as pl
import pytest

import vswaplab as vl


def test_add_times__refuses_a_time_that_64_bits_do_not_hold() -> None:
    trace = vl.Trace([0] * 5, repeat_reads=[2**31 - 2] * 5)
    slow = vl.Machine(vl.Dram(1), costs=vl.Costs(dram_ns=10**9))

    with pytest.raises(vl.InputError, match=r"stall_ns of the run would be 1.07e\+19 ns, .*: lower machine.costs"):
        vl.simulate(trace, slow)


def test_add_times__adds_up_to_the_last_nanosecond_that_fits() -> None:
    trace = vl.Trace([0] * 4, repeat_reads=[2**31 - 2] * 4)
    costs = vl.Costs(dram_ns=10**9, fault_ns=0, zero_fill_ns=0)

    assert vl.simulate(trace, vl.Machine(vl.Dram(1), costs=costs)).totals["stall_ns"] == (4 * (2**31 - 1) - 1) * 10**9


def test_prices__of_pages_read_ahead_whatever_they_come_from_nobody_faults() -> None:
    # Half the pages are all zero. One after the other: most of what is read back is read ahead.
    table = {"region": [0, 1], "lzo_4k": [64, 2000], "lz4_4k": [64, 2000], "is_zero": [True, False]}
    content = [0] * 100 + [1] * 100
    trace = vl.Trace([*range(200), *range(60)], n_pages=200, content=content, corpus=vl.Corpus(pl.DataFrame(table)))
    limits = {"memory_max": 4096 * 100, "total_ram_pages": 100_000, "workload_pages": 200, "swap_bytes": 4096 * 1000}
    machine = vl.linux("7.3", page_cluster=3, **limits)  # type: ignore[arg-type]
    result = vl.simulate(trace, machine)
    ahead, zero = result.totals["swapin_readahead_zero"], result.totals["swpin_zero"]

    assert 0 < ahead == result.totals["swapin_readahead"] < zero
    fill = machine.costs.fault_ns + machine.costs.zero_fill_ns
    victims = result.totals["swpout_zero"] * machine.costs.victim_ns
    assert result.epochs["stall_zero_ns"].sum() == zero * fill - ahead * machine.costs.fault_ns + victims
