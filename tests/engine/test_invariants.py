"""What must hold after every access, whatever the machine (model.md section 6, item 2), on small random runs.

The runs are made from a counted seed, not searched for: the search for a
difference between the engines is ``test_engines_agree.py``.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import vswaplab as vl
from vswaplab.base.backing import Op, State
from vswaplab.base.units import PAGE_SIZE
from vswaplab.engine.plan import make_plan
from vswaplab.engine.reference import Reference
from vswaplab.results.counters import OUTCOMES

N_PAGES, N_ACCESSES = 24, 150
DEVICE = vl.Profile(
    name="coarse", kind="cram", title="coarse sizes", algorithm="none", granule_bytes=4096, size_column="lz4_4k",
    rounding_bytes=1, metadata_bytes=0, read_ns=1, read_loaded_ns=1, write_ns=1, store_ns=1, load_ns=1,
    advertised_ratio=2.0, ratio_kind="none", tag="guess", guesses="all", source="a test", date="2026-11-23",
)  # fmt: skip
IN_CRAM = (State.CRAM_SOFTLEAF, State.CRAM_READONLY, State.CRAM_WRITABLE, State.CRAM_POISONED)


def random_trace(rng: np.random.Generator) -> vl.Trace:
    rows = int(rng.integers(2, 10))
    size = rng.integers(1, 9, rows) * 512
    corpus = pl.DataFrame(
        {
            "region": np.sort(rng.integers(0, 2, rows)),
            "is_zero": rng.random(rows) < 0.15,
            "lz4_4k": size,
            "zstd3_4k": size,
        }
    )
    return vl.Trace(
        rng.zipf(1.3, N_ACCESSES) % N_PAGES,
        rng.choice(3, N_ACCESSES, p=[0.45, 0.45, 0.1]),
        n_pages=N_PAGES,
        content=rng.integers(0, rows, N_PAGES),
        corpus=corpus,
        redraw_probability=float(rng.choice([0.0, 0.5, 1.0])),
    )


def random_machine(rng: np.random.Generator, *, budget: bool) -> vl.Machine:
    capacity = int(rng.integers(1, 13))
    high = int(rng.integers(1, capacity + 1))
    pick = lambda *values: values[int(rng.integers(len(values)))]  # noqa: E731
    media, pages = int(pick(4096, 8192, 12000)), int(rng.integers(3, 9))
    (open_at, close_at), (low, high_mark) = np.sort(rng.integers(0, 5, (2, 2)) / 4).tolist()
    mode = "swap" if budget else pick("swap", "tier")
    node_low = int(pick(0, 1))
    cram = vl.Cram(
        profile=DEVICE, media_bytes=media, advertised_bytes=pages * PAGE_SIZE, mode=mode,
        writable_budget_pages=int(rng.integers(1, 5)) if budget else 0, writeback_to=pick("zswap", "swapfile"),
        close_at=close_at, open_at=open_at, writeback_high=high_mark, writeback_low=low, node_low=node_low,
        node_high=node_low + 1 if node_low else 0, report_lag=pick(0, 3, 10), flush_period=pick(0, 4),
        reaper_period=pick(0, 7),
    )  # fmt: skip
    zswap = vl.Zswap(
        "zstd", max_pool_percent=pick(0, 30, 50, 100), accept_threshold_percent=pick(0, 30, 50, 100),
        writeback=pick(True, True, True, False), store_incompressible=pick(True, False),
    )  # fmt: skip
    return vl.Machine(
        vl.Dram(capacity, low=int(rng.integers(0, high)), high=high, charge=pick("memcg", "host")),
        cram=pick(cram, cram, None),
        zswap=pick(zswap, zswap, None),
        swapfiles=[vl.Swapfile(int(rng.integers(1, 30))) for _ in range(int(pick(0, 1, 1, 2, 3)))],
        swap_max_slots=pick(None, None, None, 5),
    )


def check(reference: Reference, before: dict[str, int], live_before: set[int], index: int) -> None:
    """Hold one access against the law."""
    reference.check()
    count, trace, plan = reference.count, reference.trace, reference.plan
    page, op = int(trace.page[index]), Op(int(trace.op[index]))
    moved = {name: count[name] - before[name] for name in count}
    assert min(moved.values()) >= 0
    assert moved["accesses"] == 1
    assert moved["reclaim_runs"] <= 1  # an access reclaims at most once
    assert sum(moved[name] for name in OUTCOMES) == (op != Op.FREE)
    # Pages are conserved: only this access makes a page live, only a free or a sigbus ends one.
    live = set(reference.state)
    lost = live_before - live
    assert live - live_before <= {page}
    assert lost <= ({page} if op == Op.FREE or moved["sigbus"] else set())
    # Charges add up, and nothing is charged beyond what is there.
    if plan.zswap is not None:
        lengths = [length for length, _ in reference.pool.values()]
        assert reference.pool_charge == sum(int(plan.zswap.charge_of_length[n]) for n in lengths)
        assert reference.pool_footprint == sum(int(plan.zswap.footprint_of_length[n]) for n in lengths)
    held = [p for p, s in reference.state.items() if s in (State.CRAM_WRITABLE, State.CRAM_POISONED)]
    assert reference.writable == len(held) + len(reference.zombies)
    assert sum(reference.slots_used) <= plan.max_slots
    # No slot behind a page that layer vswap would not have left one with.
    assert not set(reference.slot) & {p for p, s in reference.state.items() if s in (State.ZERO, State.ZSWAP)}
    assert set(reference.slot) <= live
    assert all(reference.cram[p] == 0 for p, s in reference.state.items() if s == State.CRAM_POISONED)
    assert {p for p, s in reference.state.items() if s in IN_CRAM} == set(reference.cram)


@pytest.mark.parametrize("budget", [False, True], ids=["no-budget", "budget"])
@pytest.mark.parametrize("block", range(7))
def test_invariants__hold_after_every_access(budget, block):
    for case in range(20):
        rng = np.random.default_rng([block, case, budget])
        trace, machine = random_trace(rng), random_machine(rng, budget=budget)
        reference = Reference(make_plan(trace, machine, case), trace)
        for index in range(N_ACCESSES):
            before, live = dict(reference.count), set(reference.state)
            if reference.run(index, index + 1) == index:
                assert reference.count["oom"] == 1
                break
            check(reference, before, live, index)
        if not budget:
            assert reference.count["poison"] == 0  # rule 4: poison by growth cannot happen
            assert reference.count["zombies"] == reference.count["sigbus"] == 0


@pytest.mark.parametrize("charge", ["memcg", "host"])
@pytest.mark.parametrize("block", range(4))
def test_rule_0__resident_pages_and_pool_fit_dram_at_every_reclaims_end(charge, block):
    # Without a budget; with one see test_rules_cram.py.
    for case in range(20):
        rng = np.random.default_rng([100 + block, case])
        trace, machine = random_trace(rng), random_machine(rng, budget=False)
        machine = vl.Machine(
            vl.Dram(machine.dram.capacity_pages, low=machine.dram.low, high=machine.dram.high, charge=charge),
            cram=machine.cram, zswap=machine.zswap, swapfiles=machine.swapfiles,
        )  # fmt: skip
        reference = Reference(make_plan(trace, machine, 0), trace)
        for index in range(N_ACCESSES):
            if reference.run(index, index + 1) == index:
                break
            plan = reference.plan
            used = len(reference.resident) * plan.page_charge + reference.pool_charge
            used += 0 if plan.cram is None else len(reference.cram) * plan.cram.charge
            assert used <= plan.capacity_charge
