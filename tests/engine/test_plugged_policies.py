"""Policies that are not ours: each a class of a few lines, the same in both engines."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vswaplab as vl
from tests.engine import test_engines_agree
from tests.engine.test_engines_agree import (
    agree_on_roomy,
    agree_on_tiny,
    agree_on_writeback,
    agree_under_stress,
    quick,
)
from vswaplab.base.plugins import remember, unregister
from vswaplab.engine.reference.policies import Lru


class Lfu(Lru):
    """The page touched least often since it came leaves; of equal ones the one that came first."""

    title = "LFU"

    def __init__(self) -> None:
        super().__init__()
        self.touches: Counter[int] = Counter()

    def touch(self, page: int) -> None:
        self.touches[page] += 1

    def discard(self, page: int) -> None:
        super().discard(page)
        del self.touches[page]

    def next_victim(self) -> int:
        page = next(iter(self))
        self.discard(page)
        return page

    def __iter__(self):
        return iter(sorted(self.pages, key=lambda page: self.touches[page]))


class Lowest(Lru):
    """The page with the lowest number leaves: numbers must be the trace's in both engines."""

    def touch(self, page: int) -> None:
        pass

    def next_victim(self) -> int:
        page = min(self.pages)
        self.discard(page)
        return page

    def __iter__(self):
        return iter(sorted(self.pages))


@pytest.fixture(autouse=True)
def _plugged():
    vl.register("policy", "lfu", Lfu)
    vl.register("policy", "lowest", Lowest)
    yield
    unregister("policy", "lfu")
    unregister("policy", "lowest")


def misses(pages, policy):
    trace = vl.Trace(pages, [1] * len(pages))
    result = vl.simulate(trace, vl.Machine(vl.Dram(2, high=1, policy=policy), swapfiles=[vl.Swapfile(9)]))
    return len(pages) - result.totals["dram_hit"]


def test_lfu__keeps_the_page_that_is_used_most():
    # room for two; 0 is touched three times, then 1 and 2 push each other out
    assert misses([0, 0, 0, 1, 2, 1, 2, 0], "lfu") == 5
    assert misses([0, 0, 0, 1, 2, 1, 2, 0], "lru") == 4


def test_lowest__goes_by_the_numbers_of_the_trace():
    assert misses([9, 0, 1, 0, 1, 9], "lowest") == 5  # 0 leaves for 1 and 1 for 0, while 9 stays


each = pytest.mark.parametrize("agree", [agree_on_tiny, agree_on_roomy, agree_under_stress])


@each
@settings(quick, max_examples=8)
@given(data=st.data())
def test_engines_agree__under_plugged_policies(agree, data):
    agree(data, ("lfu", "lowest"))


@settings(quick, max_examples=20)
@given(data=st.data())
def test_engines_agree__with_plugged_policies_of_the_device(data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(test_engines_agree, "writeback_policies", st.sampled_from(["lfu", "lowest"]))
        agree_on_writeback(data, ("lru", "lfu"))


@pytest.mark.slow
@each
@settings(quick, max_examples=30)
@given(data=st.data())
def test_engines_agree__many_times_under_plugged_policies(agree, data):
    agree(data, ("lfu", "lowest"))


def test_compare_policies__takes_them():
    machine = vl.Machine(vl.Dram(40, high=1), swapfiles=[vl.Swapfile(100)])
    table = vl.compare_policies(vl.zipf(n_pages=80, n_accesses=500), machine, policies=["lru", "lfu"])

    assert table["title"].to_list()[-2:] == ["LRU", "LFU"]


def test_policy__with_an_order_for_windows_uses_it():
    made = []

    class Fast(Lru):
        @staticmethod
        def vectorised(n_pages):
            from vswaplab.engine.vectorised.policies import Queue

            made.append(n_pages)
            return Queue(n_pages)

    vl.register("policy", "lfu", Fast)
    misses([0, 1, 2], "lfu")
    assert made == [3]


def test_policy__that_is_none_is_refused_in_one_line():
    with pytest.raises(vl.InputError, match=r"dram\.policy must be one of lru, .*lfu, lowest, got 'mru'"):
        vl.Dram(5, policy="mru")
    half = type("Half", (), {"arrive": print, "touch": print})
    with pytest.raises(vl.InputError, match="'half' lacks discard, begin, next_victim"):
        vl.register("policy", "half", half)
    remember("policy", "half", half)  # as an installed one is
    with pytest.raises(vl.InputError, match="'half' lacks discard, begin, next_victim"):
        vl.Dram(5, policy="half")
    machine = vl.Machine(vl.Dram(2, policy="lfu"), swapfiles=[vl.Swapfile(9)])
    unregister("policy", "half")
    unregister("policy", "lfu")
    with pytest.raises(vl.InputError, match="there is no policy 'lfu' in this process: install its package"):
        vl.simulate(vl.Trace([0], [0]), machine)
