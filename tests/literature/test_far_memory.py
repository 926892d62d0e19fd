"""Google's far-memory model: rules by hand, and the array form against one job at a time."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vswaplab as vl
from vswaplab.literature import reference
from vswaplab.literature.far_memory import (
    Control,
    Histograms,
    age_histograms,
    best_thresholds,
    by_job,
    promotion_rate,
    replay,
)
from vswaplab.literature.fleet import SCAN_S, THRESHOLD_S, Fleet, replay_fleet

AGES = np.array([120, 240, 480])


def one_job(promoted: list[list[int]], working_set: int = 1000) -> Histograms:
    cold = np.broadcast_to(np.array([300, 200, 100], np.int32)[:, None, None], (3, 1, len(promoted)))
    return Histograms(
        AGES, cold, np.array(promoted, np.int32).T[:, None, :], np.full((1, len(promoted)), working_set, np.int32)
    )


def test_best_thresholds__two_in_a_thousand_are_allowed() -> None:
    ages = one_job([[2, 2, 2], [3, 2, 1], [9, 3, 2], [9, 9, 9]])

    assert best_thresholds(ages, 0.2).tolist() == [[0, 1, 2, 3]]


def test_replay__median_or_the_last_minute_if_that_was_higher() -> None:
    # best: 0, 1, 2, 0, 0; median of 1, 2, 3 and 4 of them by nearest rank: 0, 0, 1, 0
    ages = one_job([[1, 1, 1], [5, 1, 1], [5, 5, 2], [0, 0, 0], [2, 0, 0]])

    found = replay(ages, Control(percentile=50, warmup_s=60))

    assert found.threshold.tolist() == [[3, 0, 1, 2, 0]]
    assert found.far.tolist() == [[0, 300, 200, 100, 300]]
    assert found.promoted.tolist() == [[0, 5, 5, 0, 2]]
    assert promotion_rate(ages, found).tolist() == [[0, 0.5, 0.5, 0, 0.2]]
    assert by_job(ages, found).row(0) == (5 * 1300, 5 * 300, 900, 5, 2)


def test_replay__without_the_last_minute_the_percentile_alone() -> None:
    ages = one_job([[1, 1, 1], [5, 1, 1], [5, 5, 2], [0, 0, 0], [2, 0, 0]])

    found = replay(ages, Control(percentile=50, warmup_s=60, heeds_last_minute=False))

    assert found.threshold.tolist() == [[3, 0, 0, 1, 0]]


def test_replay__nothing_is_far_in_the_first_s_seconds_nor_without_a_threshold() -> None:
    ages = one_job([[0, 0, 0], [0, 0, 0], [9, 9, 9], [0, 0, 0], [0, 0, 0]])

    assert replay(ages, Control(percentile=50, warmup_s=61)).far.tolist() == [[0, 0, 300, 0, 300]]


def test_histograms__are_refused_if_no_scanner_can_have_told_them() -> None:
    with pytest.raises(vl.InputError, match="promoted must not rise with the threshold"):
        one_job([[1, 2, 3]])
    with pytest.raises(vl.InputError, match=r"thresholds must rise, got \[120, 120\]"):
        Histograms(np.array([120, 120]), *[np.zeros((2, 1, 1), np.int32)] * 2, np.zeros((1, 1), np.int32))
    with pytest.raises(vl.InputError, match="percentile must be above 0"):
        Control(percentile=0, warmup_s=0)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_replay__agrees_with_one_job_at_a_time(data: st.DataObject) -> None:
    n_ages, n_jobs, n_minutes = (data.draw(st.integers(1, most)) for most in (5, 3, 12))
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 30)))
    cold, promoted = (
        -np.sort(-rng.integers(0, most, (n_ages, n_jobs, n_minutes), np.int32), axis=0) for most in (1000, 9)
    )
    ages = Histograms(np.arange(1, n_ages + 1), cold, promoted, rng.integers(0, 4000, cold.shape[1:], np.int32))
    warmup_s, slo = data.draw(st.integers(0, 400)), data.draw(st.sampled_from([0.05, 0.1, 0.2, 0.3]))
    control = Control(data.draw(st.sampled_from([1, 29, 50, 90.5, 98, 100])), warmup_s, slo, data.draw(st.booleans()))

    found = replay(ages, control)

    for job in range(n_jobs):
        by_minute = [part[:, job].T.tolist() for part in (cold, promoted)]
        said = reference.replay_job(
            *by_minute,
            ages.working_set[job].tolist(),
            percentile=control.percentile,
            warmup_s=warmup_s,
            slo_percent=slo,
            heeds_last_minute=control.heeds_last_minute,
        )
        assert [*zip(found.threshold[job], found.far[job], found.promoted[job], strict=True)] == said


def test_age_histograms__by_hand() -> None:
    #                 0  1  2  3 | 4  5  6  7
    page = np.array([1, 2, 3, 1, 2, 2, 1, 3])

    ages = age_histograms(page, np.zeros(8, bool), np.array([2, 4]), window=4)

    # at the end of access 3: 2 is two accesses old; at the end of 7: 2 again
    assert ages.cold.tolist() == [[[1, 1]], [[0, 0]]]
    # 1 after 3; 2 after 3, 1 after 3, 3 after 5
    assert ages.promoted.tolist() == [[[1, 3]], [[0, 1]]]
    assert ages.working_set.tolist() == [[2, 2]]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=60), st.integers(1, 9))
def test_age_histograms__agree_with_one_access_at_a_time(accesses: list[tuple[int, bool]], window: int) -> None:
    page, frees = zip(*((p, f and i % 3 == 0) for i, (p, f) in enumerate(accesses)), strict=True)
    if len(page) < window:
        return

    ages = age_histograms(np.array(page), np.array(frees), np.array([1, 3, 8]), window)

    told = reference.count_ages(page, frees, [1, 3, 8], window)
    assert ages.cold[:, 0].T.tolist() == [cold for cold, _, _ in told]
    assert ages.promoted[:, 0].T.tolist() == [promoted for _, promoted, _ in told]
    assert ages.working_set[0].tolist() == [pages for _, _, pages in told]


def test_fleet__has_what_google_published() -> None:
    ages = Fleet().histograms(range(600), 300)
    late = slice(120, None)  # after the start
    pages = (ages.working_set + ages.cold[0])[:, 0]
    share = ages.cold[0, :, 0] / pages

    assert THRESHOLD_S[0] == SCAN_S == 120
    assert np.quantile(share, [0.1, 0.9]) == pytest.approx([0.09, 0.43], abs=0.03)
    assert ages.cold[0, :, 0].sum() / pages.sum() == pytest.approx(0.32, abs=0.03)
    assert ages.promoted[0][:, late].sum() / ages.cold[0][:, late].sum() == pytest.approx(0.15, abs=0.03)


def test_fleet__as_many_pages_come_back_as_pass_the_age() -> None:
    quiet = Fleet(noise=(0, 0), burst_chance=0, day=0, start=0, median_pages=1 << 26, size_spread=0)
    ages = quiet.histograms(range(3), 1)
    promoted, cold = ages.promoted[:, :, 0].astype(float), ages.cold[:, :, 0].astype(float)

    slope = -np.diff(np.log(cold), axis=0) / np.diff(np.log(THRESHOLD_S))[:, None]

    assert slope == pytest.approx(promoted[:-1] / cold[:-1] * (THRESHOLD_S[:-1, None] / 60), rel=1e-3)


def test_replay_fleet__does_not_depend_on_workers_and_chunks() -> None:
    controls = [Control(98, 600), Control(50, 0)]

    one, two = (replay_fleet(Fleet(), 40, 100, controls, seed=3, workers=n) for n in (1, 2))
    alone = Fleet().histograms(range(37, 38), 100, 3)

    assert one.equals(two)
    assert one.height == 80
    last = one.filter(pl.col("job") == 37, percentile=50.0).drop("job", "percentile", "warmup_s")
    assert last.equals(by_job(alone, replay(alone, controls[1])))


def test_fleet__is_refused_in_one_line() -> None:
    with pytest.raises(vl.InputError, match="load cannot be negative"):
        Fleet(day=1.5)
    with pytest.raises(vl.InputError, match="0 jobs, 10 minutes"):
        Fleet().histograms(range(0), 10)
    with pytest.raises(vl.InputError, match="5 jobs, 10 minutes, 1 controls, 0 workers"):
        replay_fleet(Fleet(), 5, 10, [Control(98, 0)], workers=0)
    with pytest.raises(vl.InputError, match="from 1 to the trace's 3 accesses, got 4"):
        age_histograms(np.arange(3), np.zeros(3, bool), AGES, window=4)
