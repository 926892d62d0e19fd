"""A machine from the kernel's own settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import vswaplab as vl
from vswaplab.machine.linux import kernel_memory_bytes, watermarks

EPOCHS = Path(__file__).resolve().parents[2] / "data" / "truth" / "kernel" / "epochs.csv"
SIZES: dict[str, Any] = {"memory_max": 1 << 20, "total_ram_pages": 1_000, "workload_pages": 512}


def test_linux__takes_kernel_memory_off_the_limit() -> None:
    machine = vl.linux("7.3", **SIZES)

    assert kernel_memory_bytes(512) == 6 * 4096  # one table of 512 entries, the one above it, four pages of slab
    assert machine.dram == vl.Dram(256, total_pages=1_000, charge="memcg")
    assert machine.kernel == vl.Kernel("7.3", base_pages=5)  # the table is charged when its first page is touched
    assert machine.zswap is None
    assert machine.swapfiles == ()
    assert machine.swap_max_slots is None
    assert machine.layer == "none"


def test_linux__a_limit_above_the_hosts_ram_never_binds() -> None:
    machine = vl.linux("7.3", **SIZES | {"memory_max": 1 << 30})

    assert (machine.dram.capacity_pages, machine.dram.total_pages) == (1_000, 1_000)


# zipf_off: nothing else of the kernel is charged there; with zswap the pool is in cg_kernel too
def test_kernel_memory_bytes__is_what_the_kernel_charged() -> None:
    rows = pl.read_csv(EPOCHS, infer_schema_length=None).filter(row="epoch", run="zipf_off")

    assert kernel_memory_bytes(65_536) == pytest.approx(rows["cg_kernel"].mean(), rel=0.01)
    assert kernel_memory_bytes(65_536) == pytest.approx(0.52 * (1 << 20), rel=0.01)
    assert rows["cg_pagetables"].max() == 128 * 4096


@pytest.mark.parametrize(("version", "is_stored"), [("6.12", False), ("7.2", True), ("7.3", True)])
def test_linux__versions_differ_in_what_does_not_compress(version: str, is_stored: bool) -> None:
    zswap = vl.linux(version, **SIZES, zswap={"max_pool_percent": 7}).zswap

    assert zswap == vl.Zswap(compressor="lzo", max_pool_percent=7, store_incompressible=is_stored)


def test_linux__swap_is_a_device_with_a_header_and_limits() -> None:
    machine = vl.linux(**SIZES, swap_bytes=1 << 20, swap_max=40_960, zswap={}, zswap_writeback=False, vswap=True)

    assert machine.swapfiles == (vl.Swapfile(255),)
    assert machine.swap_max_slots == 10
    assert machine.zswap is not None
    assert machine.zswap.writeback is False
    assert machine.layer == "swap-table"


def test_linux__without_a_limit_reclaims_between_the_watermarks() -> None:
    machine = vl.linux(memory_max=None, total_ram_pages=32_768, workload_pages=100, free_pages=30_000)

    # min_free_kbytes = root of 16 x 131,072 KiB = 1,448: 362 pages; a quarter of them more is low, two quarters high
    assert watermarks(32_768, 32_768) == (452, 542)
    assert machine.dram == vl.Dram(30_000, total_pages=32_768, low=452, high=542, charge="host")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"version": "5.4"}, "no Linux version '5.4': choose from 6.12, 7.1, 7.2, 7.3"),
        ({"memory_max": 8_192}, "memory_max leaves 8192 bytes, no page beside 24576 of kernel memory: raise it"),
        ({"memory_max": -1}, "memory_max must be a whole number of at least 0, got -1"),
        ({"memory_max": False}, "memory_max must be a whole number of at least 0, got False"),
        ({"memory_max": 1.5}, "memory_max must be a whole number of at least 0, got 1.5"),
        ({"memory_max": None}, "without memory_max, free_pages must be between 1 and total_ram_pages (1000)"),
        ({"memory_max": None, "free_pages": 1_001}, "got 1001: give MemFree before the workload starts"),
        ({"swap_bytes": 4_096}, "swap_bytes 4096 holds no page beside the header"),
        ({"lru_gen": True, "version": "7.2"}, "kernel.lru_gen is modelled of Linux 6.12 and 7.3, not of 7.2"),
        ({"zswap": {"zpool": "zbud"}}, "zswap.zpool is not a setting: choose from compressor"),
        ({"zswap": {"max_pool_percent": 101}}, "zswap.max_pool_percent must be a percentage of at most 100"),
        ({"zswap_writeback": False}, "zswap_writeback and zswap_max are settings of zswap: leave them out"),
        ({"zswap_max": 5}, "zswap_writeback and zswap_max are settings of zswap: leave them out"),
        ({"zswap_writeback": 1, "zswap": {}}, "zswap_writeback must be true or false, got 1"),
        ({"free_pages": 500}, "free_pages is of a machine without memory_max: give one of them"),
        ({"page_cluster": 99}, "page_cluster must be a whole number from 0 to 31, got 99"),
        ({"vswap": "no"}, "vswap must be true or false, got 'no'"),
        (
            {"cram": vl.Cram(1 << 20, mode="tier"), "total_ram_pages": 100_000},
            "linux: a cram node of 512 pages is too small for the watermarks that the kernel gives, low 32 and high 32",
        ),
        ({"zswap": "on"}, "zswap must be a table of settings or None, got 'on'"),
    ],
)
def test_linux__refuses_in_one_line(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(vl.InputError, match=re.escape(words)):
        vl.linux(**SIZES | changed)


def test_linux__reads_ahead_if_told_to() -> None:
    assert vl.linux(**SIZES, swap_bytes=1 << 20, page_cluster=3).swapfiles[0].page_cluster == 3


def test_linux__memory_that_holds_no_page_beside_the_kernel_is_refused_whatever_the_limit() -> None:
    for limit in (50 * 4096, 1 << 30):
        with pytest.raises(vl.InputError, match="no page beside 544768 of kernel memory: raise it"):
            vl.linux("7.3", memory_max=limit, total_ram_pages=50, workload_pages=65_536, swap_bytes=1 << 30)
