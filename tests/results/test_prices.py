"""Counters to nanoseconds."""

from __future__ import annotations

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
