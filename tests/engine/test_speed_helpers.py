"""The small algorithms under the vectorised engine, each against the obvious way."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import vswaplab as vl
from vswaplab.engine.vectorised import ahead


@pytest.mark.parametrize("block", [1, 5, 256])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 300])
def test_count_smaller_before__equals_counting_one_by_one(n, block, monkeypatch):
    monkeypatch.setattr(ahead, "_BLOCK", block)
    values = 3 * np.random.default_rng(n).permutation(n)
    expected = [int((values[:i] < values[i]).sum()) for i in range(n)]
    assert ahead.count_smaller_before(values).tolist() == expected


def test_count_smaller_before__ascending_numbers():
    assert ahead.count_smaller_before(np.array([2, 5, 9])).tolist() == [0, 1, 2]


def test_by_first_touch__numbers_pages_in_the_order_of_their_first_touch():
    trace = vl.Trace(page=[4, 1, 4, 0, 1], n_pages=6)
    page, original = trace.by_first_touch
    assert page.tolist() == [0, 1, 0, 2, 1]
    assert original.tolist() == [4, 1, 0, 2, 3, 5]
    assert original[page].tolist() == trace.page.tolist()


@pytest.mark.parametrize(
    ("trace", "worked_out"),
    [
        (vl.zipf(n_pages=50, n_accesses=200), {"digest", "content", "sharing", "by_first_touch"}),
        (vl.fork(n_pages=64, n_accesses=200), {"digest", "content", "sharing", "first_content"}),
    ],
    ids=["alone", "shared"],
)
def test_trace__another_process_gets_what_every_run_needs_with_it(trace, worked_out):
    sent = pickle.loads(pickle.dumps(trace))
    assert worked_out <= vars(sent).keys()
    assert sent.digest == trace.like().digest
    machine = vl.preset("four-tiers", trace.n_pages)
    assert vl.simulate(sent, machine).totals == vl.simulate(trace.like(), machine).totals
