"""A machine that cannot be is refused in one line that names the value and the remedy."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

import vswaplab as vl

NAN, INF = math.nan, math.inf


def dram(**settings: object) -> vl.Dram:
    return vl.Dram(**({"capacity_pages": 4} | settings))


def cram(**settings: object) -> vl.Cram:
    return vl.Cram(**({"media_bytes": 8192} | settings))


def machine(**settings: object) -> vl.Machine:
    return vl.Machine(**({"dram": vl.Dram(4)} | settings))


def table(**parts: object) -> vl.Machine:
    return vl.machine_from_dict({"dram": {"capacity_pages": 4}} | parts)


WHOLE = [-1, NAN, INF, 1.5, 4.0, "4", None, True]

# What makes it, and what its message must say: the value, then the remedy.
REFUSED: list[tuple[Callable[[], object], str, str]] = [
    *(
        (lambda v=v: vl.Dram(v), repr(v), "dram.capacity_pages must be a whole number of at least 1")
        for v in [0, *WHOLE]
    ),
    (lambda: dram(total_pages=0), "0", "dram.total_pages must be a whole number of at least 1"),
    (lambda: dram(low=-1), "-1", "dram.low must be a whole number of at least 0"),
    (lambda: dram(high=0), "0", "dram.high must be a whole number of at least 1"),
    (lambda: dram(low=2, high=2), "dram.low 2 and dram.high 2", "choose 0 <= low < high <= capacity_pages (4)"),
    (lambda: dram(low=3, high=2), "dram.low 3 and dram.high 2", "choose 0 <= low < high"),
    (lambda: dram(high=5), "dram.high 5", "high <= capacity_pages (4)"),
    (lambda: dram(capacity_pages=100, low=50), "dram.low 50 and dram.high 32", "choose 0 <= low < high"),
    (lambda: dram(charge="group"), "'group'", "one of memcg, host"),
    *(
        (lambda make=make, v=v: make(v), repr(v).split()[0], words)
        for v in (pl.DataFrame({"a": [1, 2]}), np.array(["swap", "tier"]), [1], None)
        for make, words in (
            (lambda v: dram(charge=v), "dram.charge must be one of"),
            (lambda v: dram(policy=v), "dram.policy must be one of"),
            (lambda v: cram(mode=v), "cram.mode must be one of"),
            (lambda v: machine(layer=v), "machine.layer must be one of"),
            (lambda v: machine(tiers={"a": (0, 1)}, tiers_max={"a": v}), "tiers_max.a must be 0 or 'max'"),
            (lambda v: vl.Kernel(v), "kernel.version must be one of"),
            (lambda v: vl.swapoff(at=0, device=0, method=[v]), "swapoff method must be one of"),
            (lambda v: vl.preset(v, 10), "no preset"),
        )
    ),
    (lambda: dram(capacity_pages=np.array([7])), "array([7])", "dram.capacity_pages must be a whole number"),
    *(
        (lambda make=make, v=v: make(v), repr(v), "path must be a path")
        for v in (5, b"mine.toml")
        for make in (vl.profiles, vl.prices, vl.load_costs)
    ),
    (lambda: vl.cost_usd(None), "None", "machine must be a vl.Machine"),
    (lambda: vl.cost_usd(machine(), 5), "5", "the prices must be a table"),
    (lambda: vl.scaled(None, 0.5), "None", "machine must be a vl.Machine"),
    # CRAM
    *(
        (lambda v=v: cram(media_bytes=v), repr(v), "cram.media_bytes must be a whole number of at least 1")
        for v in [0, *WHOLE]
    ),
    (lambda: cram(advertised_bytes=4096), "4096 is below cram.media_bytes 8192", "raise advertised_bytes or lower"),
    (lambda: cram(advertised_bytes=NAN), "nan", "cram.advertised_bytes must be a whole number"),
    (lambda: cram(advertised_bytes=0), "0", "cram.advertised_bytes must be a whole number of at least 1"),
    *(
        (lambda n=name, v=v: cram(**{n: v}), repr(v), f"cram.{name} must be a share between 0 and 1")
        for name in ("close_at", "open_at", "writeback_high", "writeback_low")
        for v in (NAN, -0.1, 1.1, INF, "0.5", None, True)
    ),
    (lambda: cram(close_at=0.5), "cram.open_at 0.9 is above cram.close_at 0.5", "put them in order"),
    (lambda: cram(writeback_low=0.95), "writeback_low 0.95 is above cram.writeback_high 0.9", "put them in order"),
    (lambda: cram(node_low=2, node_high=2), "node_low 2 and cram.node_high 2", "node_low < node_high <= 4"),
    (lambda: cram(node_low=1), "node_high 0", "or node_low 0"),
    (lambda: cram(node_low=1, node_high=5), "node_high 5", "node_high <= 4 device pages"),
    *(
        (lambda n=name: cram(**{n: -1}), "-1", f"cram.{name} must be a whole number of at least 0")
        for name in ("writable_budget_pages", "node_low", "node_high", "report_lag", "flush_period", "reaper_period")
    ),
    (lambda: cram(mode="memory"), "'memory'", "one of swap, tier"),
    (lambda: cram(mode="tier", writable_budget_pages=1), "writable_budget_pages 1", "needs mode 'swap'"),
    (lambda: cram(writeback_to="zram"), "'zram'", "one of zswap, swapfile"),
    (lambda: cram(profile="nope"), "'nope'", "vswaplab profiles"),
    (lambda: cram(profile="zstd"), "'zstd' is a compressor", "vswaplab profiles"),
    (lambda: cram(profile=None), "None", "vswaplab profiles"),
    (lambda: cram(balloon=1), "1", "cram.balloon must be true or false"),
    (lambda: cram(pressure_law="sudden"), "'sudden'", "one of two-level, proportional"),
    (lambda: cram(budget_owner="me"), "'me'", "one of host, device"),
    (lambda: cram(budget_owner="device"), "'device'", "needs cram.writable_budget_pages"),
    (lambda: cram(trim_batch_pages=0), "0", "cram.trim_batch_pages must be a whole number of at least 1"),
    # zram
    (lambda: vl.Zram(4095), "4095", "zram.disksize_bytes must be a whole number of at least 4096"),
    (lambda: vl.Zram(8192, compressor="ocp-spec"), "'ocp-spec' is a cram", "vswaplab profiles"),
    (lambda: vl.Zram(8192, compressor=None), "None", "zram.compressor must name a compressor"),
    (lambda: vl.Zram(8192, recompressor="zstd"), "zram.recompressor", "need zram.idle_period"),
    (lambda: vl.Zram(8192, writeback="all"), "'all'", "one of idle, huge, huge-idle"),
    (lambda: vl.Zram(8192, mem_limit_bytes=-1), "-1", "zram.mem_limit_bytes must be a whole number of at least 0"),
    (lambda: machine(zram=vl.Swapfile(1)), "Swapfile(", "machine.zram must be a vl.Zram"),
    (lambda: table(zram={}), "zram needs disksize_bytes", "add it"),
    # zswap
    *(
        (lambda n=name, v=v: vl.Zswap(**{n: v}), repr(v), f"zswap.{name} must be a")
        for name in ("max_pool_percent", "accept_threshold_percent")
        for v in (-1, 101, 12.5, NAN, "20", None)
    ),
    *(
        (lambda n=name: vl.Zswap(**{n: 1}), "1", f"zswap.{name} must be true or false")
        for name in ("writeback", "store_incompressible", "shrinker_enabled")
    ),
    (lambda: vl.Machine(vl.Dram(9), zswap=vl.Zswap(shrinker_enabled=True)), "true", "set kernel too"),
    (lambda: vl.Machine(vl.Dram(9), zswap=vl.Zswap(max_bytes=5)), "5", "set kernel too"),
    (lambda: vl.Zswap(max_bytes=-1), "-1", "at least 0"),
    (lambda: vl.Machine(vl.Dram(9), tiers={"a": (3, 1)}), "(3, 1)", "lowest and the highest"),
    (lambda: vl.Machine(vl.Dram(9), tiers={"a": (0, 5), "b": (5, 9)}), "tiers.b (5, 9)", "one tier at most"),
    (lambda: vl.Machine(vl.Dram(9), tiers=["a"]), "['a']", "a table of name"),
    (lambda: vl.Machine(vl.Dram(9), tiers_max=["a"]), "['a']", "a table of tier"),
    (lambda: vl.Kernel("5.4"), "'5.4'", "one of 6.12, 7.1, 7.2, 7.3"),
    (lambda: vl.Kernel(swappiness=201), "201", "at most 200"),
    (lambda: vl.Machine(vl.Dram(9), zram=vl.Zram(8192), kernel=vl.Kernel()), "zram", "leave one of the two out"),
    (lambda: vl.Machine(vl.Dram(9), vl.Cram(8192), layer="none", kernel=vl.Kernel()), "'swap'", "set it so"),
    (lambda: vl.Machine(vl.Dram(9), kernel=vl.Kernel()), "vswap", "'none' or 'swap-table'"),
    (lambda: vl.Zswap("nope"), "'nope'", "vswaplab profiles"),
    (lambda: vl.Zswap("ocp-spec"), "'ocp-spec' is a cram", "vswaplab profiles"),
    # swapfiles, costs
    *(
        (lambda v=v: vl.Swapfile(v), repr(v), "swapfile.capacity_slots must be a whole number of at least 1")
        for v in [0, *WHOLE]
    ),
    (lambda: vl.Swapfile(1, priority=0.5), "0.5", "swapfile.priority must be a whole number"),
    (lambda: vl.Swapfile(1, read_ns=-1), "-1", "swapfile.read_ns must be a whole number of at least 0"),
    (lambda: vl.Swapfile(1, bandwidth_bytes_per_s=0), "0", "at least 1"),
    (lambda: vl.Swapfile(1, page_cluster=32), "32", "swapfile.page_cluster must be at most 31"),
    (lambda: vl.Machine(vl.Dram(9), swapfiles=[vl.Swapfile(1, page_cluster=3)]), "3", "set kernel too"),
    (lambda: vl.Costs(dram_ns=-1), "-1", "costs.dram_ns must be a whole number of at least 0"),
    (lambda: vl.Costs(fault_ns=NAN), "nan", "costs.fault_ns must be a whole number of at least 0"),
    # the whole
    (lambda: vl.Machine(4), "4", "machine.dram must be a vl.Dram"),
    (lambda: machine(cram=4), "4", "machine.cram must be a vl.Cram"),
    (lambda: machine(zswap="lz4"), "'lz4'", "machine.zswap must be a vl.Zswap"),
    (lambda: machine(costs=None), "None", "machine.costs must be a vl.Costs"),
    (lambda: machine(swapfiles=vl.Swapfile(1)), "Swapfile(", "must be a list of vl.Swapfile"),
    (lambda: machine(swapfiles=[4]), "[4]", "must be a list of vl.Swapfile"),
    (lambda: machine(swapfiles=[vl.Swapfile(1)] * 30), "30 devices", "fewer than 30"),
    (lambda: machine(layer="tables"), "'tables'", "vswap, swap-table"),
    (lambda: machine(swap_max_slots=-1), "-1", "machine.swap_max_slots must be a whole number of at least 0"),
    (lambda: machine(swap_max_slots=NAN), "nan", "machine.swap_max_slots must be a whole number"),
    # tables, as a file gives them
    (lambda: vl.machine_from_dict({}), "dram", "add [dram] with capacity_pages"),
    (lambda: table(dram={}), "dram needs capacity_pages", "add it"),
    (lambda: table(dram=5), "5", "must be a table"),
    (lambda: table(dram={"capacity": 5}), "dram.capacity ", "choose from capacity_pages"),
    (lambda: table(drum={}), "drum", "choose from dram, cram"),
    (lambda: table(cram={}), "cram needs media_bytes", "add it"),
    (lambda: table(zswap={"compresor": "lz4"}), "zswap.compresor", "choose from compressor"),
    (lambda: table(swapfiles={"capacity_slots": 1}), "{'capacity_slots': 1}", "[[swapfiles]]"),
    (lambda: table(swapfiles=[{}]), "swapfile", "add it"),
    (lambda: table(swapfiles=[3]), "3", "must be a table"),
]


@pytest.mark.parametrize(("make", "value", "remedy"), REFUSED, ids=[f"{r[2][:40]}-{r[1][:20]}" for r in REFUSED])
def test_a_bad_setting__is_refused_in_one_line(make, value, remedy):
    with pytest.raises(vl.InputError) as caught:
        make()
    message = str(caught.value)
    assert "\n" not in message
    assert value in message
    assert remedy in message


@pytest.mark.parametrize("value", [None, 5])
def test_swapfiles__that_are_no_list_are_refused_in_one_line(value):
    with pytest.raises(vl.InputError, match=f"{value}"):
        machine(swapfiles=value)


def test_tables__that_are_no_tables_are_refused_in_one_line():
    with pytest.raises(vl.InputError):
        vl.machine_from_dict([1])


def test_node_high__without_node_low_is_refused():
    with pytest.raises(vl.InputError, match="node_high 3"):
        cram(node_high=3)


def test_a_memory_beyond_4_tib__is_refused_before_sums_overflow():
    biggest = vl.Machine(vl.Dram(1 << 30, charge="host"))
    assert vl.simulate(vl.Trace([0]), biggest).totals["first_touch"] == 1
    with pytest.raises(vl.InputError, match=str((1 << 30) + 1)):
        vl.Dram((1 << 30) + 1)


def test_a_cost__that_does_not_fit_the_tables_is_refused():
    with pytest.raises(vl.InputError, match="fault_ns"):
        vl.Costs(fault_ns=1 << 70)


@pytest.mark.parametrize(
    ("capacity", "high"), [(1, 1), (10, 10), (32, 32), (33, 32), (40_000, 40), (32_999, 32), (33_000, 33)]
)
def test_high__is_the_kernels_cluster_or_a_thousandth_by_default(capacity, high):
    # The smaller of capacity and the larger of 32 and a thousandth.
    assert vl.Dram(capacity).high == high


def test_defaults__are_the_documented_ones():
    host = vl.Dram(100)
    assert (host.total_pages, host.low, host.charge) == (100, 0, "memcg")
    node = vl.Cram(1 << 20, "ocp-spec")
    assert node.mode == "swap"
    assert (
        node.writable_budget_pages == node.report_lag == node.flush_period == node.reaper_period == node.node_low == 0
    )
    assert node.writeback_to == "zswap"
    pool = vl.Zswap()
    assert (pool.max_pool_percent, pool.accept_threshold_percent) == (20, 90)
    assert pool.writeback
    assert not pool.shrinker_enabled
    assert vl.Machine(host).layer == "vswap"


def test_advertised_bytes__default_to_the_profiles_ratio_in_whole_pages_and_never_less_than_media():
    ratio = vl.Cram(4096, "ocp-spec").device.advertised_ratio
    assert vl.Cram(1 << 20, "ocp-spec").advertised_bytes == int(ratio * (1 << 20)) // 4096 * 4096
    assert vl.Cram(1, "ocp-spec").advertised_bytes == 4096


def test_the_extremes_that_are_legal():
    assert vl.Cram(4095, advertised_bytes=4095).device_pages == 0
    assert vl.Zswap(max_pool_percent=0, accept_threshold_percent=0)
    assert vl.Machine(vl.Dram(1), swap_max_slots=0)
    assert cram(close_at=1, open_at=1, writeback_high=0.0, writeback_low=0)


def test_a_machine__survives_a_round_trip_through_tables():
    whole = vl.Machine(
        vl.Dram(100, total_pages=400, low=2, high=20, charge="host"),
        cram=cram(writable_budget_pages=3, report_lag=5),
        zswap=vl.Zswap("zstd", max_pool_percent=7),
        swapfiles=[vl.Swapfile(9, priority=-1), vl.Swapfile(3)],
        layer="swap-table",
        swap_max_slots=5,
    )
    again = vl.machine_from_dict(whole.to_dict())
    assert again.to_dict() == whole.to_dict()


@pytest.mark.parametrize(
    "config", [vl.Dram(4), cram(), vl.Zswap(), vl.Swapfile(1), vl.Costs(), machine()], ids=lambda c: type(c).__name__
)
def test_configurations__are_frozen(config):
    name = next(iter(config.__dataclass_fields__))
    with pytest.raises(AttributeError):
        setattr(config, name, 1)


def test_machine__keeps_numbers_of_numpy_as_plain_ones():
    made = machine(kernel=vl.Kernel(swappiness=np.int64(70)), layer="none", swap_max_slots=np.uint16(9))

    assert made == machine(kernel=vl.Kernel(swappiness=70), layer="none", swap_max_slots=9)
    assert '"swappiness": 70' in json.dumps(made.to_dict())
    assert vl.swapoff(at=np.int64(5), device=np.uint8(0)) == vl.swapoff(at=5, device=0)
