"""What a number of runs can say."""

from __future__ import annotations

import numpy as np
import pytest

import vswaplab as vl


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0), (1, 100, 0.0018, 0.0545), (50, 100, 0.404, 0.596)],
)
def test_wilson_interval__published_values(k, n, low, high):
    # e.g. Brown, Cai and DasGupta, Statistical Science 2001
    assert vl.wilson_interval(k, n) == pytest.approx((low, high), abs=6e-4)


def test_wilson_interval__covers_the_truth_as_often_as_it_says():
    hits = np.random.default_rng(1).binomial(60, 0.1, 4_000)
    inside = [low <= 0.1 <= high for low, high in (vl.wilson_interval(int(k), 60) for k in hits)]

    assert 0.93 < np.mean(inside) < 0.98


def test_runs_needed__sees_the_difference_as_often_as_it_says():
    n, rng = vl.runs_needed(spread=0.05, effect=0.02), np.random.default_rng(2)
    difference = rng.normal(1.02, 0.05, (2_000, n)).mean(1) - rng.normal(1.0, 0.05, (2_000, n)).mean(1)

    assert np.mean(difference > 1.96 * 0.05 * np.sqrt(2 / n)) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spread", 0),
        ("spread", "a"),
        ("effect", -0.1),
        ("effect", None),
        ("confidence", 1),
        ("power", 0),
        ("power", "1"),
    ],
)
def test_runs_needed__refuses_what_makes_no_sense(name, value):
    with pytest.raises(vl.InputError, match=f"{name} must be above 0"):
        vl.runs_needed(**{"spread": 0.05, "effect": 0.01} | {name: value})


def test_runs_needed__refuses_a_difference_that_no_number_of_runs_tells():
    with pytest.raises(vl.InputError, match=r"effect 1e-300 is too small beside spread 1e\+300"):
        vl.runs_needed(spread=1e300, effect=1e-300)


@pytest.mark.parametrize(("k", "n"), [("1", 5), (6, 5), (-1, 5), (0, -5), (1.0, 5), (0, None)])
def test_wilson_interval__refuses_what_no_trials_give(k, n):
    with pytest.raises(vl.InputError, match=r"[kn] must be a whole number"):
        vl.wilson_interval(k, n)
