"""TierScape's front: by hand, against every placement, and no worse with one tier more."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vswaplab as vl
from vswaplab.literature import reference
from vswaplab.literature.tierscape import N_REGIONS, SAMPLE_TIERS, Tier, front, hotness_curve, sweep

DRAM, OPTANE, POOL, SLOW_POOL = SAMPLE_TIERS
BUDGETS = np.linspace(0, 1.2, 241)

numbers = st.integers(1, 12)
tier = st.builds(Tier, st.just("t"), st.sampled_from([0.25, 0.5, 1.0]), numbers, numbers)
tier_sets = st.lists(tier, min_size=1, max_size=4)
regions = st.lists(st.integers(0, 30), min_size=1, max_size=5).filter(any).map(np.array)


def test_front__by_hand() -> None:
    # 100 samples and none: the idle region moves first, for nothing; then the busy one
    found = front(np.array([100, 0]), [DRAM, OPTANE])

    assert found.cost == pytest.approx([1, 0.65, 0.3])
    assert found.latency == pytest.approx([1, 1, 3])
    assert found.latency_at(np.array([0.2, 0.475, 0.7])) == pytest.approx([math.inf, 2, 1])
    assert found.cost_at(2.0) == pytest.approx(0.475)


def test_sweep__a_region_leaves_when_the_saving_is_worth_its_wait() -> None:
    # from DRAM to Optane a region of 7 samples waits 14 more and saves 7: worth it from 2 on, where DRAM still wins
    chosen, cost, latency = sweep(np.array([7, 0]), [DRAM, OPTANE], np.array([0, 2, 2.1]))

    assert chosen.tolist() == [[0, 0], [0, 1], [1, 1]]
    assert cost == pytest.approx([1, 0.65, 0.3])
    assert latency == pytest.approx([1, 1, 3])


def test_front__hull_leaves_out_the_pool_in_dram() -> None:
    hotness = hotness_curve()

    without, with_it = (front(hotness, tiers) for tiers in ([DRAM, OPTANE, SLOW_POOL], SAMPLE_TIERS))

    assert with_it.latency_at(BUDGETS) == pytest.approx(without.latency_at(BUDGETS))


@settings(max_examples=60, deadline=None)
@given(regions, tier_sets, st.lists(st.sampled_from([0, 0.5, 1, 3, 7.25, 40, 1000]), min_size=1, max_size=4))
def test_sweep__agrees_with_one_region_at_a_time_and_lies_on_the_front(
    hotness: np.ndarray, tiers: list[Tier], multipliers: list[float]
) -> None:
    chosen, cost, latency = sweep(hotness, tiers, np.array(multipliers))
    pairs = [(tier.cost, tier.latency) for tier in tiers]
    whole = front(hotness, tiers)

    assert chosen.tolist() == [reference.cheapest_tiers(hotness.tolist(), pairs, m) for m in multipliers]
    assert latency == pytest.approx(whole.latency_at(cost + 1e-9), rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(regions.filter(lambda hotness: len(hotness) < 5), tier_sets, st.floats(0, 1.3))
def test_front__no_placement_of_whole_regions_is_better_and_one_region_makes_the_difference(
    hotness: np.ndarray, tiers: list[Tier], budget: float
) -> None:
    unit = len(hotness) * tiers[0].cost
    pairs = [(tier.cost, tier.latency) for tier in tiers]
    best = reference.best_placement(hotness.tolist(), pairs, budget * unit) / (hotness.sum() * tiers[0].latency)
    found = front(hotness, tiers)
    one_region = max(tier.cost for tier in tiers) / unit

    assert best >= found.latency_at(budget + 1e-9) - 1e-9
    assert best <= found.latency_at(budget - one_region - 1e-9) + 1e-9


@settings(max_examples=100, deadline=None)
@given(regions, tier_sets, tier)
def test_front__a_tier_more_never_makes_it_worse(hotness: np.ndarray, tiers: list[Tier], more: Tier) -> None:
    before, after = front(hotness, tiers), front(hotness, [*tiers, more])

    assert (after.latency_at(BUDGETS + 1e-9) <= before.latency_at(BUDGETS) + 1e-9).all()


@settings(max_examples=60, deadline=None)
@given(regions, tier_sets)
def test_front__falls_and_is_convex(hotness: np.ndarray, tiers: list[Tier]) -> None:
    found = front(hotness, tiers)
    steps = np.diff([found.cost, found.latency], axis=1)

    assert (steps[0] <= 0).all()
    assert (steps[1] >= 0).all()
    slope = steps[1] / -steps[0] if steps.size else np.zeros(1)
    assert (np.diff(slope) >= -1e-9).all()


def test_hotness__has_the_published_quantiles_and_shares() -> None:
    hotness = hotness_curve()
    top = [hotness[int(N_REGIONS * (1 - share)) :].sum() / hotness.sum() for share in (0.01, 0.05, 0.1)]

    assert (hotness == 0).mean() == pytest.approx(0.744, abs=0.001)
    assert np.quantile(hotness, [0.75, 0.9, 0.99]) == pytest.approx([31, 260, 1951], rel=0.02)
    assert top == pytest.approx([0.426, 0.733, 0.889], abs=0.002)


def test_front__of_the_made_up_curve_is_near_that_of_the_authors_sample() -> None:
    # the project's figures (D) from ilp_server/hotness_data
    said = {
        (DRAM, OPTANE): {0.6: 1, 0.4: 1.085, 0.3: 3},
        (DRAM, POOL): {0.6: 1.055, 0.4: math.inf},
        (DRAM, SLOW_POOL): {0.4: 1, 0.3: 1.15, 0.2: 2.586, 0.15: 8},
        SAMPLE_TIERS: {0.4: 1, 0.3: 1.056, 0.2: 1.815, 0.15: 8},
    }
    for tiers, points in said.items():
        found = front(hotness_curve(), tiers).latency_at(np.array([*points]))
        assert found == pytest.approx([*points.values()], rel=0.07)


def test_tiers__are_refused_in_one_line() -> None:
    with pytest.raises(vl.InputError, match="fraction and unit_cost must be above 0"):
        Tier("free", 0, 1, 1)
    with pytest.raises(vl.InputError, match="nothing was sampled"):
        front(np.array([0, 0]), [DRAM])
    with pytest.raises(vl.InputError, match="give at least one"):
        front(np.array([1]), [])
