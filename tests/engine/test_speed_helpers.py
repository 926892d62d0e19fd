"""The small algorithms under the vectorised engine, each against the obvious way."""

from __future__ import annotations

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
