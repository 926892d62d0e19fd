"""Both engines of a machine with ``kernel`` give the same result, whatever the batch."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vswaplab as vl
from vswaplab.engine.kernel import KernelReference, KernelVectorised, kernel_reference, kernel_vectorised
from vswaplab.engine.kernel import machine as kernel_machine
from vswaplab.engine.plan import make_plan

CORPUS = vl.Corpus(
    pl.DataFrame(
        {
            "region": [0] * 5 + [1] * 5,
            "is_zero": [True, False, False, False, False] * 2,
            "lz4_4k": [64, 430, 1232, 2435, 4096] * 2,
        }
    ).cast({"lz4_4k": pl.UInt16})
)


@st.composite
def traces(draw: st.DrawFn) -> vl.Trace:
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    n_pages, n = draw(st.integers(80, 1500)), draw(st.integers(200, 4000))
    hot = draw(st.sampled_from([1, 4, 20]))
    page = np.minimum(rng.integers(0, n_pages, n), rng.integers(0, n_pages * hot, n))
    op = rng.choice(3, n, p=draw(st.sampled_from([(0.7, 0.3, 0), (0, 1, 0), (0.5, 0.45, 0.05)]))).astype(np.uint8)
    repeats = draw(st.booleans())
    return vl.Trace(
        page, op, n_pages=n_pages, content=rng.integers(0, 5, n_pages).astype(np.int32), corpus=CORPUS,
        redraw_probability=draw(st.sampled_from([0.0, 0.3])),
        content_shifts=draw(st.sampled_from([[], [(n // 2, 5)]])),
        repeat_reads=rng.integers(0, 3, n).astype(np.int32) if repeats else None,
    )  # fmt: skip


@st.composite
def crams(draw: st.DrawFn, n_pages: int) -> vl.Cram | None:
    if draw(st.booleans()):
        return None
    pages, low = draw(st.integers(20, n_pages)), draw(st.sampled_from([0, 5]))
    return vl.Cram(
        media_bytes=pages * draw(st.sampled_from([2048, 4096])), advertised_bytes=pages * 4096,
        profile=draw(st.sampled_from(["none", "ocp-spec"])), mode="tier", writeback_high=1.0,
        close_at=draw(st.sampled_from([1.0, 0.9])), open_at=0.8, node_low=low, node_high=low and 9,
    )  # fmt: skip


@st.composite
def machines(draw: st.DrawFn, n_pages: int) -> vl.Machine:
    capacity = draw(st.integers(70, max(71, n_pages)))
    zswap = vl.Zswap(
        max_pool_percent=draw(st.sampled_from([3, 10, 30, 100])),
        accept_threshold_percent=draw(st.sampled_from([50, 90, 100])),
        writeback=draw(st.sampled_from([True, True, False])),
        store_incompressible=draw(st.booleans()),
        shrinker_enabled=draw(st.booleans()),
        max_bytes=draw(st.sampled_from([None, None, 0, 40_000])),
    )
    version = draw(st.sampled_from(["6.12", "7.1", "7.2", "7.3"]))
    lru_gen = version in ("6.12", "7.3") and draw(st.booleans())
    is_host, low = draw(st.booleans()), draw(st.integers(0, 20))
    files = [vl.Swapfile(draw(st.sampled_from([5, n_pages // 2, 2 * n_pages]))) for _ in range(draw(st.integers(0, 2)))]
    if len(files) == 1:
        files = [replace(files[0], page_cluster=draw(st.sampled_from([0, 1, 3, 31])))]
    return vl.Machine(
        vl.Dram(capacity, low=low, high=low + draw(st.integers(1, 30)), charge="host")
        if is_host
        else vl.Dram(capacity),
        None if lru_gen else draw(crams(n_pages)),
        zswap=draw(st.sampled_from([None, zswap, zswap])),
        swapfiles=files,
        layer=draw(st.sampled_from(["none", "swap-table"])),
        swap_max_slots=draw(st.sampled_from([None, None, 20])),
        costs=vl.Costs(
            dram_ns=draw(st.sampled_from([100, 50_000_000])), swap_write_ns=draw(st.sampled_from([0, 90_000]))
        ),
        kernel=vl.Kernel(
            version,
            lru_gen=lru_gen,
            swappiness=draw(st.sampled_from([60, 100, 200])),
            stat_read_accesses=draw(st.sampled_from([0, 100])),
            stat_read_from=draw(st.sampled_from([0, 150])),
            stat_flush_ns=draw(st.sampled_from([1, 700_000_000, 2_000_000_000])),
            zswap_walk=draw(st.sampled_from([None, 5])),
        ),
    )


def run(engine: KernelReference | KernelVectorised, n: int, batch: int) -> int:
    at = 0
    while at < n:
        stop = min(at + batch, n)
        done = engine.run(at, stop)
        if done < stop:
            return done
        at = stop
    return n


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_kernel_engines_agree(data: st.DataObject) -> None:
    agree(data)


@pytest.mark.slow
@settings(max_examples=700, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_kernel_engines_agree__many_times(data: st.DataObject) -> None:
    agree(data)


@pytest.mark.parametrize("batch", [7, 4000])
@pytest.mark.parametrize("seed", range(3))
def test_kernel_engines_agree__where_pages_are_demoted_before_they_are_written_to(seed: int, batch: int) -> None:
    # Nothing is ever unmapped here: a write that was a hit when the window was looked up faults all the same.
    rng = np.random.default_rng(seed)
    page, op = rng.integers(0, 600, 4000), rng.integers(0, 2, 4000).astype(np.uint8)
    trace = vl.Trace(page, op, n_pages=600, content=rng.integers(0, 5, 600).astype(np.int32), corpus=CORPUS)
    cram = vl.Cram(600 * 4096, profile="none", mode="tier", writeback_high=1.0, close_at=1.0)
    dram = vl.Dram(400, low=20, high=30, charge="host")
    compare(trace, vl.Machine(dram, cram, layer="none", kernel=vl.Kernel("7.1")), 0, batch)


def agree(data: st.DataObject) -> None:
    trace = data.draw(traces())
    machine = data.draw(machines(trace.n_pages))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel_machine, "_WINDOW", data.draw(st.sampled_from([3, 64, 1 << 10])))
        patch.setattr(kernel_machine, "_FEW", data.draw(st.sampled_from([0, 48])))
        compare(trace, machine, data.draw(st.integers(0, 3)), data.draw(st.sampled_from([1, 7, 500, len(trace)])))


def compare(trace: vl.Trace, machine: vl.Machine, seed: int, batch: int) -> None:
    plan = make_plan(trace, machine, seed)
    reference, fast = kernel_reference(plan, trace), kernel_vectorised(plan, trace)
    reference.codes, fast.codes = np.zeros(len(trace), np.uint8), np.zeros(len(trace), np.uint8)
    done = run(fast, len(trace), batch)
    assert run(reference, len(trace), len(trace)) == done
    different = {k: (v, fast.count[k]) for k, v in reference.count.items() if v != fast.count[k]}
    assert not different, f"counters (reference, vectorised): {different}"
    assert (reference.device_in, reference.device_out) == (fast.device_in, fast.device_out)
    assert reference.now == fast.now
    np.testing.assert_array_equal(reference.codes[:done], fast.codes[:done])
    assert asdict(reference.occupancy()) == asdict(fast.occupancy())
    table, other = reference.page_table(), fast.page_table()
    for name in table.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(table, name), getattr(other, name), err_msg=name)
    reference.check()
