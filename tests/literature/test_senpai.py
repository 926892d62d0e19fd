"""Meta's controller: a period by hand, against the plain form, and where it settles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vswaplab as vl
from vswaplab.literature import reference
from vswaplab.literature.senpai import Control, Curve, power_law, settled, simulate, stalled, step

LINE = Curve(np.array([0.0, 1000.0]), np.array([10.0, 0.0]))


def test_step__half_the_threshold_takes_half_the_ratio() -> None:
    # 900 pages: 1 fault a second of run time, 1/999 s each: a thousandth of the time, half of the threshold
    control = Control(threshold=0.002, ratio=0.01, period_s=6)

    resident, faults, pressure = step(np.array([900.0]), LINE, np.array([1 / 999]), control)

    assert pressure == pytest.approx([0.001])
    assert faults == pytest.approx([0.999])
    assert resident == pytest.approx([900 - 900 * 0.01 / 2 + 6 * 0.999])


def test_step__at_the_threshold_nothing_is_taken() -> None:
    resident, _, _ = step(np.array([500.0]), LINE, np.array([0.1]), Control(threshold=0.3))

    assert resident == pytest.approx([500 + 6 * 5 / 1.5])


def test_step__the_signal_may_be_faults_whatever_they_cost() -> None:
    control = Control(threshold=2, signal="faults", ratio=0.02, most=1)

    resident, faults, _ = step(np.array([900.0, 900.0]), LINE, np.array([0.0, 1.0]), control)

    assert faults == pytest.approx([1, 0.5])
    assert resident == pytest.approx([900 - 18 / 2 + 6, 900 - 18 * 0.75 + 3])


def test_step__never_takes_more_than_the_most() -> None:
    resident, _, _ = step(np.array([1000.0]), LINE, np.array([1.0]), Control(ratio=0.5, most=0.01))

    assert resident == pytest.approx([990])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 50), min_size=2, max_size=6),
    st.lists(st.sampled_from([0.0, 1e-6, 4.7e-4, 9.3e-3, 0.5]), min_size=1, max_size=4),
    st.sampled_from(["pressure", "faults"]),
    st.floats(1e-4, 5),
    st.floats(1e-4, 0.05),
)
def test_simulate__agrees_with_one_case_at_a_time(
    rates: list[float], latencies: list[float], signal: str, threshold: float, ratio: float
) -> None:
    curve = Curve(100.0 * np.arange(1, len(rates) + 1), -np.sort(-np.array(rates)))
    control = Control(threshold, signal, ratio)  # type: ignore[arg-type]

    run = simulate(curve, np.array(latencies), control, 20)

    for case, latency in enumerate(latencies):
        told = reference.senpai(
            curve.resident.tolist(),
            curve.fault_rate.tolist(),
            latency,
            20,
            threshold=threshold,
            is_pressure=signal == "pressure",
            ratio=ratio,
            period_s=6.0,
            most=0.01,
        )
        found = np.transpose([run.resident[1:, case], run.faults[:, case], run.pressure[:, case]])
        assert found == pytest.approx(np.array(told), rel=1e-9, abs=1e-9)


def test_settled__is_where_a_long_run_ends() -> None:
    curve, latency = power_law(1e5, 0.32, 0.3), np.array([1e-6, 1e-4, 1e-2])

    run = simulate(curve, latency, Control(), 4000)

    assert settled(curve, latency, Control()) == pytest.approx(run.resident[-1], rel=1e-3)


@given(st.floats(1e-6, 1e-2), st.floats(1.1, 100))
def test_settled__a_slower_backend_keeps_more_memory(latency: float, slower: float) -> None:
    small, large = settled(power_law(1e5, 0.32, 0.3, 200), np.array([latency, latency * slower]), Control())

    assert large >= small - 1e-6


def test_power_law__has_the_rates_of_the_fleet() -> None:
    curve = power_law(1000, 0.32, 0.3)

    assert curve.at(680.0) == pytest.approx(320 * 0.15 / 60, rel=1e-3)  # 15 % of the cold pages a minute
    assert curve.at(1000.0) == 0


def test_stalled__one_fault_of_a_second_after_each_second() -> None:
    assert stalled(np.array([1.0]), 1.0) == (pytest.approx([0.5]), pytest.approx([0.5]))


def test_curve__is_refused_if_more_memory_means_more_faults() -> None:
    with pytest.raises(vl.InputError, match="must not rise with memory"):
        Curve(np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    with pytest.raises(vl.InputError, match="threshold must be above 0, got 0"):
        Control(threshold=0)
    with pytest.raises(vl.InputError, match="signal must be 'pressure' or 'faults', got 'io'"):
        Control(signal="io")  # type: ignore[arg-type]
    with pytest.raises(vl.InputError, match="sizes that rise"):
        Curve(np.array([2.0, 1.0]), np.array([1.0, 1.0]))
