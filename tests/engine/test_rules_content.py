"""Contents that change while a program runs: what is stored from then on, and what is not.

Rule 4: drift and collapse "change what later writes and first touches store, never bytes at rest".
"""

from __future__ import annotations

import polars as pl
import pytest

import vswaplab as vl

CORPUS = pl.DataFrame({"lz4_4k": [1000, 3000]})
ENGINES = ["reference", "vectorised"]


@pytest.mark.parametrize("engine", ENGINES)
def test_collapse__enlarges_first_touches_from_that_access_on(engine):
    trace = vl.collapse(vl.Trace([0, 1], [1, 1], content=[0, 0], corpus=CORPUS), at=1, factor=2)

    result = vl.simulate(trace, vl.Machine(vl.Dram(4)), engine=engine)

    # 0 is as it was when touched, before the collapse; 1 holds row 0 of the second block, 2000 bytes.
    assert result.state()["content"].to_list() == [0, 2]
    assert [trace.corpus.sizes("lz4_4k")[row] for row in (0, 2, 3)] == [1000, 2000, 4096]


@pytest.mark.parametrize("engine", ENGINES)
def test_collapse__leaves_bytes_at_rest_and_contents_that_no_write_redraws(engine):
    trace = vl.Trace([0, 1, 0, 0], [1, 1, 0, 1], content=[0, 1], corpus=CORPUS)

    changed = vl.collapse(trace, at=2)

    ample = vl.Machine(vl.Dram(4))
    assert vl.simulate(changed, ample, engine=engine).state()["content"].to_list() == [0, 1]


@pytest.mark.parametrize("engine", ENGINES)
def test_collapse__a_write_that_redraws_stores_the_larger_content(engine):
    corpus = pl.DataFrame({"region": [0, 1], "lz4_4k": [1000, 3000]})  # a redraw finds the same row again
    trace = vl.Trace([0, 1, 0], [1, 1, 1], content=[0, 1], corpus=corpus, redraw_probability=1.0)

    changed = vl.collapse(trace, at=2)

    ample = vl.Machine(vl.Dram(4))
    assert vl.simulate(changed, ample, engine=engine).state()["content"].to_list() == [2, 1]


def test_drift__grows_in_equal_ratios_and_ends_at_the_factor():
    trace = vl.drift(vl.Trace([0] * 100, corpus=CORPUS), start=20, stop=100, factor=4, steps=2)

    assert trace.content_shifts == ((20, 2), (60, 4))
    assert trace.corpus.sizes("lz4_4k").tolist() == [1000, 3000, 2000, 4096, 4000, 4096]


def test_collapse__makes_a_writable_budget_dangerous_and_without_one_no_poison_can_be():
    corpus = vl.synthetic_corpus(p_incompressible=0.0, p_zero=0.0, seed=1)
    trace = vl.zipf(n_pages=400, n_accesses=20_000, alpha=0.7, corpus=corpus, redraw_probability=1.0, seed=1)
    collapsed = vl.collapse(trace, at=8_000, factor=3)

    def poison(budget: int) -> int:
        cram = vl.Cram(media_bytes=400_000, advertised_bytes=1 << 20, writable_budget_pages=budget)
        machine = vl.Machine(vl.Dram(100), cram, vl.Zswap(), [vl.Swapfile(1000)])
        return vl.simulate(collapsed, machine).totals["poison"]

    assert poison(0) == 0
    assert poison(250) > 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda t: vl.collapse(t, at=-1), "^at must be an access of the trace, 0 to 1, got -1$"),
        (lambda t: vl.collapse(t, at=2), "^at must be an access of the trace, 0 to 1, got 2$"),
        (lambda t: vl.drift(t, start=2, stop=5), "^start must be an access of the trace, 0 to 1, got 2$"),
        (lambda t: vl.drift(t, start=-1, stop=5), "^start must be an access of the trace, 0 to 1, got -1$"),
        (lambda t: vl.collapse(t, at=0, factor=0), "factor must be a number above 0 and up to 4096, got 0"),
        (lambda t: vl.drift(t, start=1, stop=1), "0 <= start < stop"),
        (lambda t: vl.drift(t, start=0, stop=5, steps=0), "steps must be a whole number from 1 to 64, got 0"),
        (lambda t: vl.drift(vl.collapse(t, at=1), start=0, stop=5), "drifts or collapses already"),
        (lambda t: vl.Trace([0], corpus=CORPUS, content_shifts=[(0, 2)]), "leaves the corpus of 2 rows"),
        (lambda t: vl.Trace([0], corpus=CORPUS, content_shifts=[(3, 0), (1, 0)]), "in the order of their accesses"),
    ],
)
def test_shifts__that_cannot_be_are_refused(make, words):
    with pytest.raises(vl.InputError, match=words):
        make(vl.Trace([0, 0], corpus=CORPUS))


@pytest.mark.parametrize("change", [lambda t: vl.collapse(t, at=399), lambda t: vl.drift(t, start=398, stop=399)])
def test_shifts__same_filled_pages_stay_so(change):
    is_same = [True] * 4 + [False] * 4
    table = {"lz4_4k": [2000] * 8, "lzo_4k": [2000] * 8, "is_zero": [False] * 8, "same_filled": is_same}
    trace = vl.loop(n_pages=40, n_accesses=400, corpus=vl.Corpus(pl.DataFrame(table)))
    machine = vl.Machine(vl.Dram(10, high=1), zram=vl.Zram(disksize_bytes=409_600))

    before, after = (vl.simulate(each, machine).totals["zram_bytes"] for each in (trace, change(trace)))

    assert before == after > 0
