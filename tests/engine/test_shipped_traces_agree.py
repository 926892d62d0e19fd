"""On every shipped trace, cut to what the reference can do: both engines, three batch sizes, one result."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from polars.testing import assert_frame_equal

import vswaplab as vl

N_ACCESSES = 40_000
TRACES = vl.shipped_traces()["name"].to_list()


@pytest.mark.parametrize("preset", ["four-tiers", pytest.param("cram-writable", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", TRACES)
def test_engines_agree__on_shipped_trace(name: str, preset: str) -> None:
    trace = vl.load_trace(name).head(N_ACCESSES)
    machine = vl.preset(preset, np.unique(trace.page).size)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="trace .* was reduced in blocks")  # the cut machine is small
        expected = vl.simulate(trace, machine, engine="reference", epoch_accesses=5_000)
        results = [vl.simulate(trace, machine, batch_size=n, epoch_accesses=5_000) for n in (64, 4_999, N_ACCESSES)]

    assert expected.totals["reclaim_runs"] > 0
    for result in results:
        assert result.totals == expected.totals
        assert_frame_equal(result.epochs, expected.epochs)
        assert_frame_equal(result.tiers, expected.tiers)
        assert_frame_equal(result.state(), expected.state())
