"""The small algorithms under the vectorised engine, each against the obvious way."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import vswaplab as vl
from vswaplab.engine.vectorised import ahead, window
from vswaplab.trace import access_index
from vswaplab.trace.access_index import index_accesses
from vswaplab.trace.sharing import UNMAP


@pytest.mark.parametrize("block", [1, 5, 256])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 300])
def test_count_smaller_before__equals_counting_one_by_one(n, block, monkeypatch):
    monkeypatch.setattr(ahead, "_BLOCK", block)
    values = 3 * np.random.default_rng(n).permutation(n)
    expected = [int((values[:i] < values[i]).sum()) for i in range(n)]
    assert ahead.count_smaller_before(values).tolist() == expected


def test_count_smaller_before__ascending_numbers():
    assert ahead.count_smaller_before(np.array([2, 5, 9])).tolist() == [0, 1, 2]


@pytest.mark.parametrize("n", [0, 1, 5, 300])
@pytest.mark.parametrize(("at_once", "block"), [(1 << 20, 1 << 16), (3, 7), (1, 1)])
def test_index_accesses__equals_looking_at_them_one_by_one(n, at_once, block, monkeypatch):
    monkeypatch.setattr(access_index, "_AT_ONCE", at_once)
    monkeypatch.setattr(access_index, "_BLOCK", block)
    rng = np.random.default_rng(n)
    page, op = rng.integers(0, 40, n).astype(np.int32), rng.integers(0, UNMAP + 1, n).astype(np.uint8)
    index = index_accesses(page, op, 40)
    acts = [None if o == UNMAP else p for p, o in zip(page.tolist(), op.tolist(), strict=True)]
    ends = [*acts, *range(40)]  # every page once more
    expected = [-1 if p is None else min(n, ends.index(p, i + 1)) for i, p in enumerate(acts)]
    assert index.next_at.tolist() == expected
    assert index.is_first.tolist() == [p is not None and p not in acts[:i] for i, p in enumerate(acts)]
    for start, stop in ((0, n), (n // 3, n // 2), (n, n)):
        stretch = slice(start, stop)
        assert index.writes(start, stop).tolist() == page[stretch][op[stretch] == vl.Op.WRITE].tolist()
        assert index.has_frees(start, stop) == bool((op[stretch] >= vl.Op.FREE).any())


def test_access_index__more_accesses_than_can_be_numbered(monkeypatch):
    trace = vl.Trace([0, 1, 0, 1])
    monkeypatch.setattr("vswaplab.trace.trace.MAX_ACCESSES", 3)
    with pytest.raises(vl.InputError, match=r"has 4 accesses, and at most 3 .* vl\.open_trace"):
        vl.simulate(trace, vl.preset("four-tiers", 2))


@pytest.mark.parametrize(("few", "many", "rounds"), [(64, 2048, 8), (0, 0, 8), (2, 5, 1), (64, 3, 8), (0, 0, 0)])
def test_read_on__lists_reads_up_to_the_first_write_however_often_a_page_is_read(few, many, rounds, monkeypatch):
    for name, value in {"_FEW": few, "_MANY": many, "_ROUNDS": rounds}.items():
        monkeypatch.setattr(window, name, value)
    rng = np.random.default_rng(3)
    for _ in range(20):
        page, op = rng.integers(0, 6, 60).astype(np.int32), (rng.random(60) < 0.2).astype(np.uint8)
        touches = window.Touches(page[10:], op[10:], index_accesses(page, op, 6).next_at[10:], 10)
        at = 2 + np.sort(np.unique(touches.page[2:], return_index=True)[1])
        later, of = touches.read_on(at, 45)
        expected = []
        for k, i in enumerate(at.tolist()):
            while touches.op[i] != vl.Op.WRITE and (i := int(touches.next_at[i]) - 10) < 45:
                expected.append((i, k))
        assert sorted(zip(later.tolist(), of.tolist(), strict=True)) == sorted(expected)


@pytest.mark.parametrize(
    ("trace", "worked_out"),
    [
        (vl.zipf(n_pages=50, n_accesses=200), {"digest", "content", "sharing", "access_index"}),
        (vl.fork(n_pages=64, n_accesses=200), {"digest", "content", "sharing", "first_content", "access_index"}),
    ],
    ids=["alone", "shared"],
)
def test_trace__another_process_gets_what_every_run_needs_with_it(trace, worked_out):
    sent = pickle.loads(pickle.dumps(trace))
    assert worked_out <= vars(sent).keys()
    assert sent.digest == trace.like().digest
    machine = vl.preset("four-tiers", trace.n_pages)
    assert vl.simulate(sent, machine).totals == vl.simulate(trace.like(), machine).totals
