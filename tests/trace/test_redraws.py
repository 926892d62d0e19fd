"""New contents: the rule for one access by hand, and the rule for many equal to it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import vswaplab as vl
from vswaplab.trace import redraws as module
from vswaplab.trace.redraws import DrawnAhead, Redraws

CORPUS = pl.DataFrame({"is_zero": [False] * 12, "region": [0] * 4 + [1] * 8})


def redraws(probability: float, seed: int = 0) -> Redraws:
    return Redraws(vl.Trace([0], content=[0], corpus=CORPUS, redraw_probability=probability), seed)


def test_row__stays_in_the_region_of_the_first_content() -> None:
    always = redraws(1.0)
    assert {always.row(i, 3) for i in range(200)} == {0, 1, 2, 3}
    assert {always.row(i, 5) for i in range(200)} == set(range(4, 12))


def test_row__never_draws_with_probability_0() -> None:
    assert {redraws(0.0).row(i, 3) for i in range(200)} == {-1}


def test_shift__holds_from_its_access_on() -> None:
    trace = vl.Trace([0], content=[0], corpus=CORPUS, redraw_probability=1.0, content_shifts=[(10, 3), (20, 8)])
    shifting = Redraws(trace, 0)
    assert [shifting.shift(i) for i in (0, 9, 10, 19, 20)] == [0, 0, 3, 3, 8]
    assert {shifting.row(i, 0) for i in range(20, 200)} == {8, 9, 10, 11}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("probability", [0.02, 0.3, 1.0])
def test_rows__are_those_of_row_one_by_one(probability: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = rng.integers(0, 4, 50).astype(np.int32)
    shifts = [(5, 1), (40, 8)]
    trace = vl.Trace([0], n_pages=50, content=content, corpus=CORPUS, redraw_probability=probability,
                     content_shifts=shifts)  # fmt: skip
    one = Redraws(trace, seed)
    page, is_write = rng.integers(0, 50, 90), rng.random(90) < 0.5
    expected = [
        one.row(7 + i, int(content[p])) if w else -1 for i, (p, w) in enumerate(zip(page, is_write, strict=True))
    ]
    rows = one.rows(7, is_write, page, content)
    assert expected == ([-1] * 90 if rows is None else rows.tolist())
    assert one.shifts(np.arange(60)).tolist() == [one.shift(i) for i in range(60)]


@pytest.mark.parametrize("probability", [0.0, 0.02, 1.0])
def test_drawn_ahead__are_those_of_rows_for_any_stretch(probability: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 16)
    rng = np.random.default_rng(1)
    content = rng.integers(0, 4, 50).astype(np.int32)
    page, op = rng.integers(0, 50, 300).astype(np.int32), rng.integers(0, 3, 300).astype(np.uint8)
    one = redraws(probability)
    ahead = DrawnAhead(one, content, 1000, page, op)
    found = 0
    for start in (*range(0, 290, 7), 3, 150, 0):  # onwards, and back
        for n in (0, 1, 5, 9, 40):
            stretch = slice(start, min(start + n, 300))
            rows = one.rows(1000 + start, op[stretch] == vl.Op.WRITE, page[stretch], content)
            got = ahead.rows(1000 + start, 1000 + stretch.stop)
            wanted = [-1] * (stretch.stop - start) if rows is None else rows.tolist()
            assert ([-1] * len(wanted) if got is None else got.tolist()) == wanted
            found += max(wanted, default=-1) >= 0
    assert (found > 0) == (probability > 0)
