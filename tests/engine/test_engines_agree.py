"""The vectorised engine must equal the reference, bit for bit, at every batch size."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vswaplab as vl
from vswaplab.engine.outcome import Drain
from vswaplab.engine.plan import make_plan
from vswaplab.engine.reference import Reference
from vswaplab.engine.vectorised import Vectorised, ahead, logs, memory, policies
from vswaplab.engine.vectorised import machine as vectorised_machine
from vswaplab.machine.policies import POLICIES, Policy
from vswaplab.machine.swapoff import Swapoff, resolve

# Coarse sizes, so that "exactly at the limit" happens.
DEVICE = vl.Profile(
    name="coarse", kind="cram", title="coarse sizes", algorithm="none", granule_bytes=4096, size_column="lz4_4k",
    rounding_bytes=1, metadata_bytes=0, read_ns=250, read_loaded_ns=1000, write_ns=250, store_ns=500, load_ns=500,
    advertised_ratio=2.0, ratio_kind="none", tag="guess", source="made up for a test", date="2026-11-23",
    guesses="every figure",
)  # fmt: skip


@st.composite
def corpora(draw: st.DrawFn) -> vl.Corpus:
    n_regions = draw(st.integers(1, 3))
    rows = draw(st.lists(st.integers(1, 16), min_size=n_regions, max_size=12))
    step = draw(st.sampled_from([256, 256, 173]))
    size = np.minimum(np.array(rows) * step, 4096)
    zero = draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    is_zero = np.array(zero) & draw(st.booleans())
    same = is_zero | np.array(draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    region = np.sort(np.arange(len(rows)) % n_regions)
    columns = {"lz4_4k": size, "zstd3_4k": size, "deflate1_4k": np.roll(size, draw(st.integers(0, 1)))}
    return vl.Corpus(pl.DataFrame({"region": region, "is_zero": is_zero, "same_filled": same, **columns}))


@st.composite
def mapper_sets(draw: st.DrawFn, page: np.ndarray, n_pages: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Mapper sets of pages, and accesses by members only."""
    most = draw(st.integers(1, 8))
    sets = rng.integers(1, 1 << most, n_pages)
    members = [[m for m in range(8) if s >> m & 1] for s in sets.tolist()]
    mapper = np.array([members[p][int(rng.integers(len(members[p])))] for p in page.tolist()])
    return {"mapper": mapper, "mappers": sets}


@st.composite
def traces(draw: st.DrawFn, most_pages: int = 60, most_accesses: int = 600) -> vl.Trace:
    n_pages = draw(st.integers(1, most_pages))
    n = draw(st.integers(1, most_accesses))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    alpha = draw(st.sampled_from([0.0, 0.5, 1.0, 1.5]))
    weight = np.arange(1, n_pages + 1) ** -alpha
    page = rng.permutation(n_pages)[rng.choice(n_pages, n, p=weight / weight.sum())]
    if draw(st.booleans()):
        page = (page + np.arange(n) // draw(st.integers(1, 50))) % n_pages
    free, write = draw(st.sampled_from([(0.0, 0.3), (0.05, 0.3), (0.3, 0.3), (0.0, 0.0), (0.0, 1.0), (0.02, 0.6)]))
    op = rng.choice(3, n, p=[1 - free - write if free + write < 1 else 0.0, write, free])
    repeats = rng.integers(0, 4, (2, n)) if draw(st.booleans()) else None
    shared = draw(mapper_sets(page, n_pages, rng)) if draw(st.booleans()) else {}
    corpus = draw(corpora())
    trace = vl.Trace(
        page,
        op,
        n_pages=n_pages,
        repeat_reads=None if repeats is None else repeats[0],
        repeat_writes=None if repeats is None else repeats[1],
        content=rng.integers(0, len(corpus), n_pages),
        corpus=corpus,
        redraw_probability=draw(st.sampled_from([0.0, 0.3, 1.0])),
        **shared,
    )
    if draw(st.booleans()):
        return trace
    start, steps = draw(st.integers(0, n - 1)), draw(st.integers(1, 3))
    return vl.drift(trace, start=start, stop=n, factor=draw(st.sampled_from([0.5, 2.0])), steps=steps)


@st.composite
def drams(draw: st.DrawFn) -> vl.Dram:
    capacity = draw(st.integers(1, 40))
    high = draw(st.integers(1, min(capacity, 12)))
    return vl.Dram(
        capacity,
        total_pages=draw(st.sampled_from([None, capacity, 4 * capacity + 1])),
        low=draw(st.integers(0, high - 1)),
        high=high,
        charge=draw(st.sampled_from(["memcg", "host"])),
    )


def budgets(mode: str) -> st.SearchStrategy[dict[str, object]]:
    """What may be written in place, and who says so."""
    if mode == "tier":
        return st.just({})
    of_host = st.builds(lambda n: {"writable_budget_pages": n}, st.sampled_from([0, 0, 1, 2, 5, 40, 40]))
    of_device = st.builds(
        lambda n: {"writable_budget_pages": n, "budget_owner": "device"}, st.sampled_from([1, 2, 5, 40])
    )
    return st.one_of(of_host, of_host, of_device)


writeback_policies = st.sampled_from(["lru"] * len(POLICIES) + list(POLICIES))


@st.composite
def crams(draw: st.DrawFn) -> vl.Cram:
    media = draw(st.sampled_from([1, 1024, 4096, 8192, 16384, 16384, 30000, 65536]))
    advertised = draw(st.integers(max(1, media // 4096), 40)) * 4096
    mode = draw(st.sampled_from(["swap", "swap", "swap", "tier"]))
    marks = [0.0, 0.25, 0.5, 0.75, 0.9, 1.0, 1.0]
    open_at, close_at = sorted(draw(st.lists(st.sampled_from(marks), min_size=2, max_size=2)))
    low, high = sorted(draw(st.lists(st.sampled_from(marks), min_size=2, max_size=2)))
    pages = max(media, advertised) // 4096
    node_low = draw(st.integers(0, max(0, pages - 1))) if draw(st.booleans()) else 0
    period = st.sampled_from([0, 0, 1, 2, 7, 50])
    return vl.Cram(
        profile=DEVICE,
        media_bytes=media,
        advertised_bytes=max(media, advertised),
        mode=mode,
        **draw(budgets(mode)),
        pressure_law=draw(st.sampled_from(["two-level", "two-level", "proportional"])),
        balloon=draw(st.sampled_from([False, False, True])),
        balloon_reserve=draw(st.sampled_from([0.0, 0.25])),
        trim_batch_pages=draw(st.sampled_from([1, 3, 512])),
        writeback_to=draw(st.sampled_from(["zswap", "swapfile"])),
        writeback_policy=draw(writeback_policies),
        close_at=close_at,
        open_at=open_at,
        writeback_high=high,
        writeback_low=low,
        node_low=node_low,
        node_high=draw(st.integers(node_low + 1, pages)) if node_low else 0,
        report_lag=draw(period),
        flush_period=draw(period),
        reaper_period=draw(period),
    )


zswaps = st.builds(
    vl.Zswap,
    compressor=st.just("zstd"),
    max_pool_percent=st.sampled_from([0, 5, 20, 50, 100]),
    accept_threshold_percent=st.sampled_from([0, 50, 90, 100]),
    writeback=st.sampled_from([True, True, False]),
    store_incompressible=st.booleans(),
)
# Mostly one ample swapfile, so that runs get far; else up to three tight ones.
roomy = st.just([vl.Swapfile(capacity_slots=100)])
tight = st.lists(
    st.builds(vl.Swapfile, capacity_slots=st.sampled_from([1, 3, 10, 30, 100]), priority=st.integers(-1, 2)), max_size=3
)
zrams = st.builds(
    vl.Zram,
    disksize_bytes=st.sampled_from([4096, 3 * 4096, 20 * 4096, 100 * 4096]),
    compressor=st.just("zstd"),
    mem_limit_bytes=st.sampled_from([0, 0, 4096, 16384, 40000]),
    priority=st.sampled_from([-2, 100]),
    idle_period=st.sampled_from([1, 7, 50]),
    recompressor=st.sampled_from([None, "deflate-iaa-dynamic"]),
    backing_slots=st.sampled_from([0, 2, 50]),
    writeback=st.sampled_from(["idle", "huge", "huge-idle"]),
    writeback_limit=st.sampled_from([None, None, 3]),
)
machines = st.builds(
    vl.Machine,
    dram=drams(),
    cram=st.one_of(crams(), crams(), st.none()),
    zswap=st.one_of(zswaps, zswaps, st.none()),
    swapfiles=st.one_of(roomy, roomy, tight),
    swap_max_slots=st.sampled_from([None] * 8 + [0, 2, 20]),
    layer=st.sampled_from(["vswap", "vswap", "none"]),
    zram=st.one_of(st.none(), st.none(), zrams),
    tiers=st.just({"low": (-9, 0), "high": (1, 99)}),
    tiers_max=st.sampled_from([{}, {}, {}, {"low": 0}, {"high": 0}, {"low": 0, "high": 0}]),
)


@st.composite
def swapoffs(draw: st.DrawFn, machine: vl.Machine, n_accesses: int) -> list[Swapoff]:
    """Up to two of the machine's devices, taken away at some access."""
    devices: list[int | str] = [*range(len(machine.swapfiles)), *(["zram"] if machine.zram else [])]
    devices += ["cram"] if machine.cram else []
    gone = draw(st.lists(st.sampled_from(devices), max_size=2, unique=True)) if devices else []
    return [
        vl.swapoff(at=draw(st.integers(0, n_accesses)), device=d, method=draw(st.sampled_from([None, "page-table"])))
        for d in gone
    ]


def run(engine: Reference | Vectorised, start: int, stop: int, batch: int) -> int:
    if engine.count["oom"]:
        return start
    for at in range(start, stop, batch):
        end = min(at + batch, stop)
        done = engine.run(at, end)
        if done < end:
            return done
    return stop


def stretches(trace: vl.Trace, events: Sequence[Swapoff]) -> Iterator[tuple[int, int, Swapoff | None]]:
    """The accesses between two events, each with the event that ends them."""
    start = 0
    for event in sorted(events, key=lambda e: e.at):
        yield start, event.at, event
        start = event.at
    yield start, len(trace), None


def take_away(engine: Reference | Vectorised, device: int | None, *, maps: bool) -> Drain:
    return engine.remove_cram(maps=maps) if device is None else engine.swapoff(device, maps=maps)


def assert_same(
    trace: vl.Trace, machine: vl.Machine, seed: int, batch: int, window: int, events: Sequence[Swapoff] = ()
) -> None:
    plan = make_plan(trace, machine, seed)
    reference, fast = Reference(plan, trace), Vectorised(plan, trace)
    fast._window = window
    for start, stop, event in stretches(trace, events):
        done = run(reference, start, stop, len(trace))
        assert run(fast, start, stop, batch) == done
        if reference.count["oom"]:
            break
        if event is not None:
            device, method = resolve(event, machine)
            seen = [take_away(engine, device, maps=method == "page-table") for engine in (reference, fast)]
            assert seen[0] == seen[1]
    reference.check()
    different = {k: (v, fast.count[k]) for k, v in reference.count.items() if v != fast.count[k]}
    assert not different, f"counters (reference, vectorised): {different}"
    assert (reference.device_in, reference.device_out) == (fast.device_in, fast.device_out)
    assert asdict(reference.occupancy()) == asdict(fast.occupancy())
    table, other = reference.page_table(), fast.page_table()
    for name in table.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(table, name), getattr(other, name), err_msg=name)


@st.composite
def roomy_machines(draw: st.DrawFn, n_pages: int) -> vl.Machine:
    """Machines on which the engine looks several reclaims ahead, and then meets a mark."""
    capacity = draw(st.integers(n_pages // 5, n_pages * 3 // 5))
    media = draw(st.integers(4, max(4, n_pages // 2))) * 1024
    open_at, close_at = sorted(draw(st.lists(st.sampled_from([0.5, 0.75, 1.0]), min_size=2, max_size=2)))
    low, high = sorted(draw(st.lists(st.sampled_from([0.25, 0.5, 0.75, 1.0]), min_size=2, max_size=2)))
    device_pages = media // 4096 + draw(st.integers(1, n_pages))
    node_low = draw(st.sampled_from([0, 0, 1])) if device_pages > 3 else 0
    mode = draw(st.sampled_from(["swap", "swap", "tier"]))
    cram = vl.Cram(
        profile=DEVICE,
        media_bytes=media,
        advertised_bytes=device_pages * 4096,
        mode=mode,
        writeback_to=draw(st.sampled_from(["zswap", "swapfile"])),
        writeback_policy=draw(writeback_policies),
        close_at=close_at,
        open_at=open_at,
        writeback_high=high,
        writeback_low=low,
        node_low=node_low,
        node_high=3 * node_low,
        report_lag=draw(st.sampled_from([0, 0, 100, 1000])),
        flush_period=draw(st.sampled_from([0, 0, 300])),
        balloon=draw(st.sampled_from([False, False, True])),
        **draw(st.sampled_from([{}, {}, {"writable_budget_pages": 20, "budget_owner": "device"}]))
        if mode == "swap"
        else {},
    )
    zswap = vl.Zswap(
        compressor="zstd",
        max_pool_percent=draw(st.sampled_from([5, 10, 20, 50])),
        accept_threshold_percent=draw(st.sampled_from([50, 90])),
    )
    return vl.Machine(
        vl.Dram(capacity, high=draw(st.integers(1, min(capacity, 8))), charge=draw(st.sampled_from(["memcg", "host"]))),
        draw(st.sampled_from([cram, cram, None])),
        draw(st.sampled_from([zswap, zswap, None])),
        [vl.Swapfile(draw(st.integers(n_pages // 2, 3 * n_pages)))],
        layer=draw(st.sampled_from(["vswap", "vswap", "none"])),
        zram=draw(roomy_zrams(n_pages)) if draw(st.sampled_from([False, False, True])) else None,
    )


def roomy_zrams(n_pages: int) -> st.SearchStrategy[vl.Zram]:
    return st.builds(
        vl.Zram,
        disksize_bytes=st.sampled_from([n_pages // 4 + 1, 2 * n_pages]).map(lambda n: n * 4096),
        compressor=st.just("zstd"),
        mem_limit_bytes=st.sampled_from([0, n_pages * 300 + 4096]),
        idle_period=st.sampled_from([0, 700]),
    )


@st.composite
def busy_traces(draw: st.DrawFn) -> vl.Trace:
    """Many writes that draw new contents, on few pages: devices fill up and overrun."""
    n_pages, n = draw(st.integers(15, 50)), draw(st.integers(100, 500))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    corpus = draw(corpora())
    free = draw(st.sampled_from([0.0, 0.03, 0.15]))
    write = draw(st.sampled_from([0.1, 0.5]))
    return vl.Trace(
        rng.integers(0, n_pages, n),
        rng.choice(3, n, p=[1 - write - free, write, free]),
        n_pages=n_pages,
        content=rng.integers(0, len(corpus), n_pages),
        corpus=corpus,
        redraw_probability=draw(st.sampled_from([0.0, 0.5, 1.0])),
    )


@st.composite
def shared_traces(draw: st.DrawFn) -> vl.Trace:
    """Processes that go round the same pages and seldom write: one after the other reads what left and came back."""
    n_pages, n = draw(st.integers(20, 150)), draw(st.integers(200, 2000))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    corpus = draw(corpora())
    page = (np.arange(n) // draw(st.integers(1, 4)) + rng.integers(0, draw(st.integers(1, 9)), n)) % n_pages
    write, free = draw(st.sampled_from([(0.0, 0.0), (0.02, 0.0), (0.02, 0.01)]))
    return vl.Trace(
        page,
        rng.choice(3, n, p=[1 - write - free, write, free]),
        n_pages=n_pages,
        mapper=rng.integers(0, draw(st.integers(2, 3)), n),
        content=rng.integers(0, len(corpus), n_pages),
        corpus=corpus,
    )


@st.composite
def calm_machines(draw: st.DrawFn, n_pages: int) -> vl.Machine:
    """A device whose media hold all that it shows, so that many reclaims are certain and a window is long."""
    capacity = draw(st.integers(n_pages // 4, n_pages * 3 // 4))
    device_pages = draw(st.sampled_from([n_pages // 4, 2 * n_pages]))
    cram = vl.Cram(
        profile=DEVICE,
        media_bytes=device_pages * 4096,
        advertised_bytes=device_pages * 4096,
        mode=draw(st.sampled_from(["swap", "tier"])),
        writeback_policy=draw(writeback_policies),
    )
    zswap = vl.Zswap(compressor="zstd", max_pool_percent=50)
    return vl.Machine(
        vl.Dram(capacity, high=draw(st.integers(1, min(capacity, 8)))),
        draw(st.sampled_from([cram, cram, None])),
        draw(st.sampled_from([zswap, None])),
        [vl.Swapfile(2 * n_pages)],
        layer=draw(st.sampled_from(["vswap", "none"])),
    )


@st.composite
def stressed_machines(draw: st.DrawFn) -> vl.Machine:
    """Little DRAM, and a device whose last resorts are needed: balloon, grants, zram's limit and its backing device."""
    media = draw(st.sampled_from([4096, 8192, 20000]))
    open_at, close_at = sorted(draw(st.lists(st.sampled_from([0.25, 0.5, 0.75, 1.0]), min_size=2, max_size=2)))
    cram = vl.Cram(
        profile=DEVICE,
        media_bytes=media,
        advertised_bytes=media * draw(st.integers(2, 4)),
        **draw(budgets("swap")),
        writeback_to=draw(st.sampled_from(["zswap", "swapfile"])),
        writeback_policy=draw(writeback_policies),
        close_at=close_at,
        open_at=open_at,
        writeback_high=1.0,
        writeback_low=0.5,
        pressure_law=draw(st.sampled_from(["two-level", "two-level", "proportional"])),
        balloon=draw(st.booleans()),
        balloon_reserve=draw(st.sampled_from([0.0, 0.25, 0.75])),
        report_lag=draw(st.sampled_from([0, 5, 40])),
        flush_period=draw(st.sampled_from([0, 0, 10])),
        reaper_period=draw(st.sampled_from([0, 10])),
    )
    capacity = draw(st.integers(2, 12))
    return vl.Machine(
        vl.Dram(capacity, high=1, total_pages=4 * capacity, charge=draw(st.sampled_from(["memcg", "host"]))),
        draw(st.sampled_from([cram, cram, None])),
        draw(st.one_of(st.none(), zswaps)),
        draw(st.sampled_from([[], [vl.Swapfile(4)], [vl.Swapfile(100)]])),
        layer=draw(st.sampled_from(["vswap", "none"])),
        zram=draw(st.one_of(st.none(), zrams)),
    )


@st.composite
def marked_machines(draw: st.DrawFn) -> vl.Machine:
    """A device that must give pages up again and again: by its node's marks, by its reports, or for its balloon."""
    device_pages = draw(st.integers(4, 30))
    media = device_pages * draw(st.sampled_from([512, 1024, 2048]))
    mode = draw(st.sampled_from(["swap", "swap", "tier"]))
    node_low = draw(st.sampled_from([0, 1, 1, device_pages // 2]))
    low, high = draw(st.sampled_from([(0.1, 0.25), (0.25, 0.5), (0.5, 0.5), (0.75, 0.9), (1.0, 1.0)]))
    open_at, close_at = draw(st.sampled_from([(0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (1.0, 1.0)]))
    cram = vl.Cram(
        profile=DEVICE,
        media_bytes=media,
        advertised_bytes=device_pages * 4096,
        mode=mode,
        **draw(budgets(mode)),
        pressure_law=draw(st.sampled_from(["two-level", "two-level", "proportional"])),
        balloon=draw(st.booleans()),
        writeback_to=draw(st.sampled_from(["zswap", "swapfile"])),
        writeback_policy=draw(writeback_policies),
        close_at=close_at,
        open_at=open_at,
        writeback_high=high,
        writeback_low=low,
        node_low=node_low,
        node_high=draw(st.integers(node_low + 1, device_pages)) if node_low else 0,
        report_lag=draw(st.sampled_from([0, 0, 5, 40])),
        flush_period=draw(st.sampled_from([0, 0, 10])),
        reaper_period=draw(st.sampled_from([0, 10])),
    )
    capacity = draw(st.integers(3, 20))
    return vl.Machine(
        vl.Dram(capacity, high=draw(st.integers(1, 3)), charge=draw(st.sampled_from(["memcg", "host"]))),
        cram,
        draw(st.one_of(st.none(), zswaps)),
        [vl.Swapfile(draw(st.sampled_from([3, 10, 100, 100])))],
        layer=draw(st.sampled_from(["vswap", "vswap", "none"])),
        zram=draw(st.one_of(st.none(), st.none(), zrams)),
    )


@contextlib.contextmanager
def smallest_window(n_accesses: int) -> Iterator[None]:
    # The engine chooses its windows; small cases need small ones.
    usual = vectorised_machine._MIN_WINDOW
    vectorised_machine._MIN_WINDOW = n_accesses
    try:
        yield
    finally:
        vectorised_machine._MIN_WINDOW = usual


@contextlib.contextmanager
def other_speed_settings() -> Iterator[None]:
    # What small cases would not meet: logs that are copied and shortened, reads in place that are followed by array.
    with pytest.MonkeyPatch.context() as patch:
        usual = memory.Memory.shorten_logs

        def copy_and_shorten(mem: memory.Memory) -> None:
            mem.log.copy_accesses()
            usual(mem)

        patch.setattr(memory.Memory, "shorten_logs", copy_and_shorten)
        patch.setattr(memory, "log_room", lambda n_pages: 30)
        for name, value in {"_FEW": 2, "_MANY": 3, "_ROUNDS": 1}.items():
            patch.setattr(f"vswaplab.engine.vectorised.window.{name}", value)
        patch.setattr(memory, "_LEAST_PLACE", -50)
        for module in (logs, memory):
            patch.setattr(module, "BLOCK", 7)
        patch.setattr(ahead, "_BLOCK", 4)
        for name in ("_FEWEST", "_CHUNK", "_STEP", "_MOST_FAR"):
            patch.setattr(policies, name, 3)
        yield


quick = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


LRU: tuple[Policy, ...] = ("lru",)


def under(machine: vl.Machine, policy: Policy) -> vl.Machine:
    return replace(machine, dram=replace(machine.dram, policy=policy))


def agree_on_tiny(data: st.DataObject, among: tuple[Policy, ...] = LRU) -> None:
    trace, machine = data.draw(traces()), under(data.draw(machines), data.draw(st.sampled_from(among)))
    batch = data.draw(st.sampled_from([1, 2, 7, 64, len(trace)]))
    window = data.draw(st.sampled_from([1, 5, 64, 4096]))
    with smallest_window(window):
        events = data.draw(st.one_of(st.just([]), swapoffs(machine, len(trace))))
        assert_same(trace, machine, data.draw(st.integers(0, 3)), batch, window, events)


def agree_on_roomy(data: st.DataObject, among: tuple[Policy, ...] = LRU) -> None:
    trace = data.draw(traces(most_pages=400, most_accesses=4000))
    machine = under(data.draw(roomy_machines(max(trace.n_pages, 10))), data.draw(st.sampled_from(among)))
    with smallest_window(data.draw(st.sampled_from([32, 256]))):
        events = data.draw(st.one_of(st.just([]), st.just([]), swapoffs(machine, len(trace))))
        assert_same(trace, machine, 0, data.draw(st.sampled_from([100, len(trace)])), 256, events)


def agree_on_shared(data: st.DataObject, among: tuple[Policy, ...] = LRU) -> None:
    trace = data.draw(shared_traces())
    machine = under(data.draw(calm_machines(trace.n_pages)), data.draw(st.sampled_from(among)))
    window = data.draw(st.sampled_from([64, 256, 1024]))
    with smallest_window(window):
        assert_same(trace, machine, 0, data.draw(st.sampled_from([100, len(trace)])), window)


def agree_under_stress(data: st.DataObject, among: tuple[Policy, ...] = LRU) -> None:
    trace, machine = data.draw(busy_traces()), data.draw(stressed_machines())
    machine = under(machine, data.draw(st.sampled_from(among)))
    window = data.draw(st.sampled_from([1, 5, 64]))
    with smallest_window(window):
        events = data.draw(swapoffs(machine, len(trace)))
        assert_same(
            trace, machine, data.draw(st.integers(0, 3)), data.draw(st.sampled_from([1, 7, 600])), window, events
        )


def agree_on_writeback(data: st.DataObject, among: tuple[Policy, ...] = LRU) -> None:
    trace = data.draw(st.one_of(busy_traces(), traces(most_pages=60, most_accesses=500)))
    machine = under(data.draw(marked_machines()), data.draw(st.sampled_from(among)))
    window = data.draw(st.sampled_from([1, 5, 64, 4096]))
    with smallest_window(window):
        events = data.draw(st.one_of(st.just([]), swapoffs(machine, len(trace))))
        assert_same(
            trace, machine, data.draw(st.integers(0, 3)), data.draw(st.sampled_from([1, 7, 600])), window, events
        )


KINDS = [
    pytest.param(agree_on_tiny, id="tiny machines"),
    pytest.param(agree_on_roomy, id="many reclaims ahead"),
    pytest.param(agree_on_shared, id="shared pages that come back"),
    pytest.param(agree_under_stress, id="last resorts"),
]
each_kind = pytest.mark.parametrize("agree", KINDS)
each_kind_and_writeback = pytest.mark.parametrize(
    "agree", [*KINDS, pytest.param(agree_on_writeback, id="writeback from the device")]
)


@each_kind_and_writeback
@settings(quick, max_examples=60)
@given(data=st.data())
def test_engines_agree(agree: Callable[[st.DataObject], None], data: st.DataObject) -> None:
    agree(data)


@pytest.mark.slow
@each_kind_and_writeback
@settings(quick, max_examples=40)
@given(data=st.data())
def test_engines_agree__whatever_the_speed_settings(
    agree: Callable[[st.DataObject], None], data: st.DataObject
) -> None:
    with other_speed_settings():
        agree(data)


Agree = Callable[[st.DataObject, tuple[Policy, ...]], None]
OTHERS = POLICIES[1:]


@each_kind_and_writeback
@settings(quick, max_examples=20)
@given(data=st.data())
def test_engines_agree__under_other_policies(agree: Agree, data: st.DataObject) -> None:
    with other_speed_settings() if data.draw(st.booleans()) else contextlib.nullcontext():
        agree(data, OTHERS)


@pytest.mark.slow
@pytest.mark.parametrize("policy", OTHERS)
@each_kind
@settings(quick, max_examples=150)
@given(data=st.data())
def test_engines_agree__many_times_under_other_policies(agree: Agree, policy: Policy, data: st.DataObject) -> None:
    with other_speed_settings() if data.draw(st.booleans()) else contextlib.nullcontext():
        agree(data, (policy,))


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
@settings(quick, max_examples=150)
@given(data=st.data())
def test_engines_agree__many_times_on_writeback(policy: Policy, data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setattr(f"{__name__}.writeback_policies", st.just(policy))
        if data.draw(st.booleans()):
            stack.enter_context(other_speed_settings())
        agree_on_writeback(data, POLICIES)


@pytest.mark.slow
@each_kind
@settings(quick, max_examples=500)
@given(data=st.data())
def test_engines_agree__many_times_whatever_the_speed_settings(
    agree: Callable[[st.DataObject], None], data: st.DataObject
) -> None:
    with other_speed_settings():
        agree(data)


@pytest.mark.slow
@each_kind
@settings(quick, max_examples=1000)
@given(data=st.data())
def test_engines_agree__many_times(agree: Callable[[st.DataObject], None], data: st.DataObject) -> None:
    agree(data)
