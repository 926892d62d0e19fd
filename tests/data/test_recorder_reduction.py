"""The recorder's reducer: equal to an obvious one, and exact for LRU memories that keep k pages."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

RECORDER = Path(__file__).parents[2] / "data" / "recorder"
READ, WRITE, FREE, FORK = 0, 1, 2, 3

Touch = tuple[int, int]
Record = tuple[int, int, int, int]


# ---- obvious versions ---------------------------------------------------------------------------


def blocks(stream: list[Touch], k: int) -> list[list[Touch]]:
    """Cut a stream into blocks of at most k distinct pages; a free is a block of its own."""
    cut: list[list[Touch]] = [[]]
    for page, op in stream:
        pages = {p for p, _ in cut[-1]}
        after_free = bool(cut[-1]) and cut[-1][-1][1] == FREE
        if op == FREE or after_free or len(pages | {page}) > k:
            cut.append([])
        cut[-1].append((page, op))
    return [block for block in cut if block]


def kept(block: list[Touch]) -> set[int]:
    """Indexes of each page's first touch, first write and last touch."""
    keep: set[int] = set()
    for page in {p for p, _ in block}:
        mine = [i for i, (p, _) in enumerate(block) if p == page]
        writes = [i for i in mine if block[i][1] == WRITE]
        keep |= {mine[0], mine[-1], *writes[:1]}
    return keep


def reduce_block(block: list[Touch]) -> list[Record]:
    """Kept touches in order of time; a dropped touch counts in its page's latest kept record."""
    records: dict[int, list[int]] = {}
    latest: dict[int, int] = {}
    keep = kept(block)
    for i, (page, op) in enumerate(block):
        if i in keep:
            records[i], latest[page] = [page, op, 0, 0], i
        else:
            records[latest[page]][2 + op] += 1
    return [(r[0], r[1], r[2], r[3]) for _, r in sorted(records.items())]


def reduce_stream(stream: list[Touch], k: int) -> list[Record]:
    return [record for block in blocks(stream, k) for record in reduce_block(block)]


def reduce_naively(stream: list[Touch], k: int) -> list[Touch]:
    """Drop every touch to one of the k most recently used pages (tempting, and not exact)."""
    recent: OrderedDict[int, None] = OrderedDict()
    left = []
    for page, op in stream:
        if page not in recent:
            left.append((page, op))
        recent[page] = None
        recent.move_to_end(page)
        if len(recent) > k:
            recent.popitem(last=False)
    return left


def lru(stream: list[Touch], capacity: int) -> tuple[list[int], list[tuple[int, bool]]]:
    """Pages that miss, in order, and evicted pages with whether they were dirty."""
    memory: OrderedDict[int, bool] = OrderedDict()
    misses, evicted = [], []
    for page, op in stream:
        if op == FREE:
            memory.pop(page, None)
            continue
        dirty = memory.pop(page, None)
        if dirty is None:
            misses.append(page)
            if len(memory) == capacity:
                evicted.append(memory.popitem(last=False))
        memory[page] = bool(dirty) or op == WRITE
    return misses, evicted


def live_frees_only(stream: list[Touch]) -> list[Touch]:
    """Drop frees of pages that are not live; number pages by first appearance."""
    live: set[int] = set()
    number: dict[int, int] = {}
    out = []
    for page, op in stream:
        if op == FREE and page not in live:
            continue
        (live.discard if op == FREE else live.add)(page)
        out.append((number.setdefault(page, len(number)), op))
    return out


def random_stream(seed: int, n: int, n_pages: int) -> list[Touch]:
    """Skewed touches with drift, writes and a few frees."""
    rng = random.Random(seed)
    stream = []
    for i in range(n):
        page = (int(rng.paretovariate(0.6)) + i // 50) % n_pages
        stream.append((page, rng.choices((READ, WRITE, FREE), (60, 37, 3))[0]))
    return live_frees_only(stream)


streams = st.lists(st.tuples(st.integers(0, 7), st.sampled_from((READ, READ, WRITE, WRITE, FREE))), max_size=120).map(
    live_frees_only
)


# ---- exactness ----------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(stream=streams, k=st.integers(1, 5), spare=st.integers(0, 3))
def test_lru_cannot_tell_the_reduced_stream(stream, k, spare):
    reduced = [(page, op) for page, op, _, _ in reduce_stream(stream, k)]
    assert lru(stream, k + spare) == lru(reduced, k + spare)


@pytest.mark.parametrize("seed", range(5))
def test_lru_cannot_tell_long_reduced_streams(seed):
    stream = random_stream(seed, 4000, 200)
    for k in (4, 16, 64):
        reduced = [(page, op) for page, op, _, _ in reduce_stream(stream, k)]
        assert len(reduced) < len(stream)
        for capacity in (k, k + 1, 100):
            assert lru(stream, capacity) == lru(reduced, capacity)


@settings(max_examples=300, deadline=None)
@given(
    turns=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6), st.sampled_from((READ, WRITE))), max_size=150),
    k=st.integers(1, 6),
    spare=st.integers(0, 3),
)
def test_lru_cannot_tell_the_reduced_stream_of_a_family(turns, k, spare):
    """Common blocks of k: a page touched by two processes counts twice, and so do a page and its copy."""
    full, pair_of, copied = [], [], set()
    for process, page, op in turns:
        if op == WRITE:
            copied.add((process, page))
        is_copy = (process, page) in copied
        full.append((page if not is_copy else 10 + 10 * process + page, op))
        pair_of.append((100 * is_copy + 10 * process + page, op))
    page_of = dict(zip(pair_of, full, strict=True))
    reduced = [page_of[pair, op] for pair, op, _, _ in reduce_stream(pair_of, k)]
    assert lru(full, k + spare) == lru(reduced, k + spare)


def test_blocks_of_each_process_alone_are_not_exact():
    """One process stays on page 0 while another walks on: its dropped touches kept page 0 in memory."""
    full = [(0, READ)] + [(page, READ) for step in range(1, 9) for page in (step, 0)]
    apart = [(page, READ) for page in (*range(9), 0)]  # first and last touch, for a block of its own lasted so long
    assert len(lru(full, 4)[0]) == 9
    assert len(lru(apart, 4)[0]) == 10


@given(stream=streams, k=st.integers(1, 5))
def test_no_touch_is_lost(stream, k):
    records = reduce_stream(stream, k)
    touches = sum(op != FREE for _, op in stream)
    assert touches == sum(1 + reads + writes for _, op, reads, writes in records if op != FREE)
    writes = sum(op == WRITE for _, op in stream)
    assert writes == sum((op == WRITE) + repeats for _, op, _, repeats in records)


def test_dropping_the_most_recent_pages_is_not_exact():
    """A B A C D A: the dropped second A leaves A, not B, to be evicted for D."""
    stream = [(page, READ) for page in (0, 1, 0, 2, 3, 0)]
    assert len(lru(stream, 3)[0]) == 4
    assert len(lru(reduce_naively(stream, 2), 3)[0]) == 5


# ---- the C code ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reducer(tmp_path_factory):
    """The reducer of reduce.h as a program of its own."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("no C compiler: the reducer cannot be built here")
    program = tmp_path_factory.mktemp("reducer") / "reduce_main"
    warnings = ["-Wall", "-Wextra", "-Werror", "-std=c11"]
    subprocess.run([compiler, "-O2", *warnings, "-o", program, RECORDER / "reduce_main.c"], check=True)

    def run(stream: list[Touch], k: int) -> list[Record]:
        touches = np.array(stream, dtype="<u4").tobytes()
        done = subprocess.run([program, str(k)], input=touches, capture_output=True, check=True)
        return [tuple(row) for row in np.frombuffer(done.stdout, "<u4").reshape(-1, 4).tolist()]

    return run


@pytest.mark.parametrize("k", [1, 2, 3, 7, 64])
def test_the_c_reducer_equals_the_obvious_one(reducer, k):
    for seed in range(8):
        stream = random_stream(seed, 3000, 150)
        assert reducer(stream, k) == reduce_stream(stream, k)


@pytest.mark.parametrize("k", [2, 5, 40])
def test_the_c_reducer_parts_a_page_from_its_copy(reducer, k):
    """After a fork the first write to a page begins another page, here one with 1000 added."""
    for seed in range(8):
        stream = random_stream(seed, 1000, 60)
        before, after = stream[:500], stream[500:]
        live = {page for page, op in dict(before).items() if op != FREE}
        changed: set[int] = set()
        apart = []
        for page, op in after:
            changed |= {page} & live if op != READ else set()
            apart.append((page + 1000 * (page in changed), op))
        expected = reduce_stream(before, k) + reduce_stream(apart, k)
        found = reducer([*before, (0, FORK), *after], k)
        assert found == [(page % 1000, *rest) for page, *rest in expected]


def test_the_c_reducer_equals_the_obvious_one_on_short_streams(reducer):
    for seed in range(40):
        stream = random_stream(seed, 30, 6)
        assert reducer(stream, 3) == reduce_stream(stream, 3)
