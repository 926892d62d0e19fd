"""What must hold after every access, whatever the machine (notebooks/guide/model.md), on small random runs.

The runs are made from a counted seed, not searched for: the search for a
difference between the engines is ``test_engines_agree.py``.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl
import pytest

import vswaplab as vl
from vswaplab.base.backing import Op, State
from vswaplab.base.units import PAGE_SIZE
from vswaplab.engine.plan import make_plan
from vswaplab.engine.reference import Reference
from vswaplab.machine.policies import POLICIES
from vswaplab.machine.swapoff import Swapoff
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
            "same_filled": rng.random(rows) < 0.3,
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


def random_machine(rng: np.random.Generator, owner: str | None) -> vl.Machine:
    """Make a machine whose writable budget is the host's, the device's, or 0 (None)."""
    capacity = int(rng.integers(1, 13))
    high = int(rng.integers(1, capacity + 1))
    pick = lambda *values: values[int(rng.integers(len(values)))]  # noqa: E731
    media, pages = int(pick(4096, 8192, 12000)), int(rng.integers(3, 9))
    (open_at, close_at), (low, high_mark) = np.sort(rng.integers(0, 5, (2, 2)) / 4).tolist()
    mode = "swap" if owner else pick("swap", "tier")
    node_low = int(pick(0, 1))
    budget = {"writable_budget_pages": int(rng.integers(1, 5)), "budget_owner": owner} if owner else {}
    cram = vl.Cram(
        profile=DEVICE, media_bytes=media, advertised_bytes=pages * PAGE_SIZE, mode=mode,
        writeback_to=pick("zswap", "swapfile"),
        close_at=close_at, open_at=open_at, writeback_high=high_mark, writeback_low=low, node_low=node_low,
        node_high=node_low + 1 if node_low else 0, report_lag=pick(0, 3, 10), flush_period=pick(0, 4),
        reaper_period=pick(0, 7), pressure_law=pick("two-level", "proportional"), balloon=pick(True, False),
        balloon_reserve=pick(0.0, 0.25), writeback_policy=pick("lru", *POLICIES), **budget,
    )  # fmt: skip
    zswap = vl.Zswap(
        "zstd", max_pool_percent=pick(0, 30, 50, 100), accept_threshold_percent=pick(0, 30, 50, 100),
        writeback=pick(True, True, True, False), store_incompressible=pick(True, False),
    )  # fmt: skip
    zram = vl.Zram(
        int(pick(1, 4, 30)) * PAGE_SIZE, "zstd", mem_limit_bytes=pick(0, 0, 8192), priority=pick(-1, 100),
        idle_period=pick(3, 20), recompressor="lz4", backing_slots=pick(0, 2), writeback=pick("idle", "huge"),
    )  # fmt: skip
    return vl.Machine(
        vl.Dram(capacity, low=int(rng.integers(0, high)), high=high, charge=pick("memcg", "host")),
        cram=pick(cram, cram, None),
        zswap=pick(zswap, zswap, None),
        swapfiles=[vl.Swapfile(int(rng.integers(1, 30))) for _ in range(int(pick(0, 1, 1, 2, 3)))],
        swap_max_slots=pick(None, None, None, 5),
        layer=pick("vswap", "vswap", "none"),
        zram=pick(zram, None, None),
    )


def random_events(rng: np.random.Generator, machine: vl.Machine, n_accesses: int) -> list[Swapoff]:
    """Take one device away, or none."""
    devices = ["cram"] * (machine.cram is not None) + ["zram"] * (machine.zram is not None)
    devices = [None, *devices, *range(len(machine.swapfiles))]
    gone = devices[int(rng.integers(len(devices)))]
    return [] if gone is None else [vl.swapoff(at=int(rng.integers(n_accesses + 1)), device=gone)]


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
    # With a layer no slot is behind a page in zswap or all zero; without one it is behind every swapped page.
    named = {p for p, s in reference.state.items() if s in (State.ZERO, State.ZSWAP)}
    assert named <= set(reference.slot) if plan.holds_slots else not named & set(reference.slot)
    assert set(reference.slot) <= live
    assert all(reference.cram[p] == 0 for p, s in reference.state.items() if s == State.CRAM_POISONED)
    assert {p for p, s in reference.state.items() if s in IN_CRAM} == set(reference.cram)


@pytest.mark.parametrize("owner", [None, "host", "device"])
@pytest.mark.parametrize("block", range(7))
def test_invariants__hold_after_every_access(owner, block):
    for case in range(20):
        rng = np.random.default_rng([block, case, owner is not None])
        trace, machine = random_trace(rng), random_machine(rng, owner)
        reference = Reference(make_plan(trace, machine, case), trace)
        for index in range(N_ACCESSES):
            before, live = dict(reference.count), set(reference.state)
            if reference.run(index, index + 1) == index:
                assert reference.count["oom"] == 1
                break
            check(reference, before, live, index)


@pytest.mark.parametrize("charge", ["memcg", "host"])
@pytest.mark.parametrize("block", range(4))
def test_rule_0__resident_pages_and_pool_fit_dram_at_every_reclaims_end(charge, block):
    # Without a budget; with one see test_rules_cram.py.
    for case in range(20):
        rng = np.random.default_rng([100 + block, case])
        trace, machine = random_trace(rng), random_machine(rng, None)
        machine = vl.Machine(
            vl.Dram(machine.dram.capacity_pages, low=machine.dram.low, high=machine.dram.high, charge=charge),
            cram=machine.cram, zswap=machine.zswap, swapfiles=machine.swapfiles, layer=machine.layer,
            zram=machine.zram,
        )  # fmt: skip
        reference = Reference(make_plan(trace, machine, 0), trace)
        for index in range(N_ACCESSES):
            if reference.run(index, index + 1) == index:
                break
            plan = reference.plan
            used = len(reference.resident) * plan.page_charge + reference.pool_charge + reference.zram_charge
            used += 0 if plan.cram is None else len(reference.cram) * plan.cram.charge
            assert used <= plan.capacity_charge


# Poison (rule 4) --------------------------------------------------------------------------------


def overrunning(rng: np.random.Generator, owner: str | None) -> tuple[vl.Trace, vl.Machine]:
    """Make a run whose writes draw larger contents from a third on, on a device that they could fill."""
    n = int(rng.integers(20, N_ACCESSES))
    corpus = pl.DataFrame({"region": [0, 0], "lz4_4k": rng.integers(1, 4, 2) * 512})
    page, op = rng.zipf(1.3, n) % N_PAGES, rng.choice(3, n, p=[0.3, 0.6, 0.1])
    trace = vl.Trace(page, op, n_pages=N_PAGES, corpus=corpus, redraw_probability=1.0)
    budget = {"writable_budget_pages": int(rng.integers(1, 7)), "budget_owner": owner} if owner else {}
    lag, flush, reaper = rng.integers(0, 5, 3).tolist()
    cram = vl.Cram(
        int(rng.choice([6000, 12_000, 16_384])), profile=DEVICE, advertised_bytes=6 * PAGE_SIZE,
        report_lag=lag, flush_period=flush, reaper_period=reaper, writeback_policy=str(rng.choice(POLICIES)), **budget,
    )  # fmt: skip
    machine = vl.Machine(vl.Dram(4, low=0, high=1), cram, swapfiles=[vl.Swapfile(50)])
    return vl.collapse(trace, at=n // 3, factor=4.0), machine


def never_poisons(engine: str, owner: str | None, cases: Iterable[int]) -> None:
    for case in cases:
        rng = np.random.default_rng([200, case])
        any_run = case % 2 == 0
        trace, machine = (random_trace(rng), random_machine(rng, owner)) if any_run else overrunning(rng, owner)
        events = random_events(rng, machine, len(trace)) if any_run else []
        totals = vl.simulate(trace, machine, seed=case, engine=engine, epoch_accesses=N_ACCESSES, events=events).totals
        assert totals["poison"] == totals["sigbus"] == 0, case
        assert owner or totals["zombies"] == totals["cram_write"] == totals["cram_made_writable"] == 0, case


@pytest.mark.parametrize("owner", [None, "device"], ids=["no budget", "budget of the device"])
@pytest.mark.parametrize("engine", ["reference", pytest.param("vectorised", marks=pytest.mark.slow)])
def test_poison__never_comes_without_a_budget_or_with_the_devices_own(engine, owner):
    never_poisons(engine, owner, range(60))


@pytest.mark.slow
@pytest.mark.parametrize("owner", [None, "device"], ids=["no budget", "budget of the device"])
@pytest.mark.parametrize("engine", ["reference", "vectorised"])
def test_poison__never_comes_in_10000_runs(engine, owner):
    # Each seed once under each owner: a tenth of them on the vectorised engine, which agrees with the other run by run.
    tenth = set(range(0, 10_000, 10))
    never_poisons(engine, owner, sorted(tenth) if engine == "vectorised" else sorted(set(range(10_000)) - tenth))


@pytest.mark.parametrize("engine", ["reference", pytest.param("vectorised", marks=pytest.mark.slow)])
def test_poison__a_lost_page_is_never_reported_healthy_until_its_sigbus_or_free(engine):
    n_poison = 0  # runs end anywhere, and their state is looked at there
    for case in range(100):
        trace, machine = overrunning(np.random.default_rng([300, case]), "host")
        page, op = trace.page, trace.op
        result = vl.simulate(trace, machine, seed=case, engine=engine, epoch_accesses=1)
        lost: set[int] = set()
        for at, poison, sigbus in result.epochs.select("start", "poison", "sigbus").iter_rows():
            assert sigbus == (page[at] in lost and op[at] != Op.FREE)
            lost.discard(int(page[at]))
            lost |= {int(page[at])} if poison else set()
        n_poison += result.totals["poison"]
        seen = result.state().filter(mapping="poisoned")
        assert set(seen["page"]) == lost
        assert seen.select(pl.col("stored_bytes", "mapped").sum()).row(0) == (0, 0)
        assert not seen["is_resident"].any()
        assert seen["reclaim_rank"].null_count() == seen.height
    assert n_poison > 30
