"""A decompressor's queue: by hand, request by request, and against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vswaplab as vl
from vswaplab.literature import reference
from vswaplab.literature.queues import Engine, break_even, mean_wait, requests, waits

DEFLATE = Engine(idle_ns=260, busy_ns=277)


def test_waits__by_hand() -> None:
    # served 0-277, 277-554, 554-831, idle, 2000-
    assert waits(np.array([0, 100, 100, 2000]), np.array([277] * 4)).tolist() == [0, 177, 454, 0]


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 500)), min_size=1, max_size=40))
def test_waits__agree_with_one_request_at_a_time(steps: list[tuple[int, int]]) -> None:
    gaps, busy = (np.array(column) for column in zip(*steps, strict=True))
    arrival = np.cumsum(gaps)

    assert waits(arrival, busy).tolist() == reference.waits(arrival.tolist(), busy.tolist())


@pytest.mark.parametrize("variation", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("per_us", [1.0, 2.5])
def test_mean_wait__is_that_of_many_requests(variation: float, per_us: float) -> None:
    engine = Engine(260, 277, variation)

    wait = waits(*requests(engine, per_us, 400_000, seed=1))

    assert wait.mean() == pytest.approx(engine.latency(per_us) - 260, rel=0.05)


def test_latency__of_a_page_engine() -> None:
    # used 0.5: 277 ns x 1 / 2 of waiting if always the same
    assert DEFLATE.latency(0.5 / 0.277) == pytest.approx(260 + 277 / 2)
    assert DEFLATE.latency(np.array([0.0, 4.0])).tolist() == [260, math.inf]
    assert DEFLATE.rate_of(260 + 277 / 2) == pytest.approx(0.5 / 0.277)


@given(st.floats(0, 0.99), st.floats(1, 1000), st.floats(0, 2))
def test_rate_of__undoes_latency(used: float, busy_ns: float, variation: float) -> None:
    engine = Engine(100, busy_ns, variation)
    rate = used * 1000 / busy_ns

    assert engine.rate_of(float(engine.latency(rate))) == pytest.approx(rate, abs=1e-9 / busy_ns * 1e6)


def test_mean_wait__a_quarter_left_makes_250_ns_a_thousand() -> None:
    # all 250 ns exponential service: 250 + 250 x 0.75 / 0.25
    assert 250 + mean_wait(np.array(0.75), 250, 1) == pytest.approx(1000)


def test_break_even__counts_accesses() -> None:
    assert break_even(480, 250, 100) == pytest.approx(3.2)
    assert break_even(480, 100, 100) == math.inf


def test_engine__is_refused_in_one_line() -> None:
    with pytest.raises(vl.InputError, match="busy_ns above 0"):
        Engine(100, 0)
    with pytest.raises(vl.InputError, match="per_us must be above 0"):
        requests(DEFLATE, 0, 5)
    with pytest.raises(vl.InputError, match="no load makes an access faster than idle, 260 ns"):
        DEFLATE.rate_of(200)
