"""Metadata along a run: the closed forms of ``machine.layers`` on what a simulated machine holds."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import vswaplab as vl

N = 2048  # four clusters


def machine(slots: int = 4 * N, **tiers: object) -> vl.Machine:
    return vl.Machine(vl.Dram(256, low=0, high=1), swapfiles=[vl.Swapfile(slots)], **tiers)


def once(n_pages: int = N) -> vl.Trace:
    """Write every page once, in order."""
    return vl.Trace(np.arange(n_pages), np.ones(n_pages, np.uint8), n_pages=n_pages)


def last(table: pl.DataFrame, design: str) -> dict[str, int]:
    return table.filter(design=design).row(-1, named=True)


def test_metadata_along__is_the_closed_form_of_what_is_in_use():
    table = vl.metadata_along(once(), machine(), epoch_accesses=1000)
    n_disk = N - 256

    for design in ("before-7.0", "v6", "swap-table-edition"):
        row = last(table, design)
        zero = row["zero"]
        assert row["disk"] + (zero if row["layer"] != "none" else 0) >= n_disk - zero
        used = {kind: row[kind] for kind in ("zswap", "zero", "cram", "disk")}
        assert row["slot_bytes"] == vl.metadata_bytes(design, capacity_slots=4 * N, **used)


def test_metadata_along__prices_every_design_at_every_window():
    table = vl.metadata_along(once(), machine(zswap=vl.Zswap()), epoch_accesses=512)

    assert table["epoch"].n_unique() == 4
    assert table.group_by("epoch").len()["len"].to_list() == [vl.layer_designs().height] * 4
    assert table["access"].unique().sort().to_list() == [512, 1024, 1536, 2048]


def test_metadata_along__a_cluster_stays_until_its_last_slot_goes():
    # Everything is swapped out, then all pages but one in 512 are freed: each cluster keeps one page.
    pages = np.arange(N)
    freed = pages[pages % 512 != 7]
    fill, rest = np.concatenate((pages, pages[:256])), freed[freed >= 256]
    trace = vl.Trace(np.concatenate((fill, rest)), [1] * fill.size + [2] * rest.size, n_pages=N)

    table = vl.metadata_along(trace, machine(), designs=["v6"], epoch_accesses=fill.size)

    full, sparse = table.row(0, named=True), last(table, "v6")
    assert sparse["slot_bytes"] < full["slot_bytes"] / 5
    assert sparse["clusters"] == full["clusters"] == 4
    assert sparse["cluster_bytes"] == full["cluster_bytes"]


def test_metadata_along__without_a_layer_ends_where_the_device_is_full():
    table = vl.metadata_along(once(), machine(slots=512, zswap=vl.Zswap(max_pool_percent=100)), epoch_accesses=256)
    ends = table.group_by("layer").agg(pl.col("access").max())

    assert dict(ends.iter_rows())["none"] < N


def test_metadata_along__refuses_what_is_not_there():
    with pytest.raises(vl.InputError, match="no layer design 'v7'"):
        vl.metadata_along(once(8), machine(), designs=["v7"])
    with pytest.raises(vl.InputError, match="epoch_accesses must be a whole number"):
        vl.metadata_along(once(8), machine(), epoch_accesses=0)


def test_metadata_along__refuses_a_kernel_that_has_no_virtual_layer():
    kernel = vl.linux(memory_max=4 << 20, total_ram_pages=10_000, workload_pages=400)

    with pytest.raises(vl.InputError, match=r"machine.kernel '7\.3' models a kernel without vswap: leave kernel out"):
        vl.metadata_along(once(8), kernel)


def test_metadata_along__without_a_layer_cram_hangs_in_a_tree_as_zswap_does():
    in_cram = machine(cram=vl.Cram(media_bytes=N * 4096, advertised_bytes=N * 4096, profile="none"))
    row = last(vl.metadata_along(once(), in_cram, designs=["before-7.0"], epoch_accesses=N), "before-7.0")

    assert row["cram"] > 1000 > row["zswap"] == 0
    tables = 4 * 4096 + vl.metadata_bytes("before-7.0", capacity_slots=4 * N, disk=0)
    assert row["cluster_bytes"] - tables >= -(-row["cram"] // 64) * 576
