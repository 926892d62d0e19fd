"""The kernel's own tests of zswap, on a model of one memory cgroup.

tools/testing/selftests/cgroup/test_zswap.c and test_swap_tiers.c (linux-mm, 2026), with their sizes and thresholds.
Their workloads are these traces; what a cgroup is told by hand there is said in a comment here: a group is pushed out
by other pages of its own (``ballast``), because nothing asks a model to reclaim.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

import vswaplab as vl

MIB = 1 << 20
PAGES = MIB // 4096  # pages of a MiB
ZERO, BYTE, HALF, RANDOM = range(4)  # contents
CORPUS = vl.Corpus(pl.DataFrame({"is_zero": [True, False, False, False], "lzo_4k": [64, 40, 2_048, 4_096]}))
"""An all-zero page; one byte a page, as alloc_anon writes it; half random and half zero; random."""

NOT_OF_ONE_GROUP = {
    "test_no_kmem_bypass": "fills a whole machine until 20 % of RAM are stored: it is about which group is charged",
    "test_no_invasive_cgroup_shrink": "two groups: one at its zswap limit may not write back the other's pages",
    "swap tiers: a tier made again": "tiers are made once for a machine",
    "swap tiers: what a parent forbids": "two groups: a child may not allow it",
    "swap tiers: a child restricts itself": "two groups",
    "zram01.sh": "a file system on zram: no swap",
    "zram02.sh": "swapon and swapoff of zram succeed: tests/engine has what they move",
}
"""Tests of the kernel that are not here, and why; those of test_swap_tiers.c by what they show."""

SHOWN = (
    "test_zswap_usage",
    "test_swapin_nozswap",
    "test_zswapin",
    "test_zswap_writeback_enabled",
    "test_zswap_writeback_disabled",
    "test_zswap_incompressible",
    "swap tiers: a new group may use all",
    "swap tiers: 0 and max are read back",
    "swap tiers: unknown tiers and values",
    "swap tiers: 64M go to the tier that is left",
)


def trace(n_pages: int, content: Sequence[int], *passes: tuple[range, int]) -> vl.Trace:
    """Touch ranges of pages one after the other, reading (0) or writing (1) them."""
    page = np.concatenate([np.arange(pages.start, pages.stop) for pages, _ in passes])
    op = np.concatenate([np.full(len(pages), op, np.uint8) for pages, op in passes])
    return vl.Trace(page, op, n_pages=n_pages, content=content, corpus=CORPUS)


def group(memory_mib: int, workload: vl.Trace, *, version: str = "7.3", **settings: object) -> vl.Machine:
    """Build a group on a machine of 4 GiB with 1 GiB of swap."""
    given: dict[str, object] = {"zswap": {}, "swap_bytes": 1024 * MIB} | settings
    return vl.linux(
        version, memory_max=memory_mib * MIB, total_ram_pages=4096 * PAGES, workload_pages=workload.n_pages, **given
    )  # type: ignore[arg-type]


def written_and_read(mib: int) -> vl.Trace:
    pages = range(mib * PAGES)
    return trace(len(pages), [BYTE] * len(pages), (pages, 1), (pages, 0))


def test_zswap_usage__a_group_above_its_limit_stores_pages() -> None:
    pages = range(4 * PAGES)  # memory.max 1M, 4M touched
    workload = trace(len(pages), [BYTE] * len(pages), (pages, 1))

    assert vl.simulate(workload, group(1, workload)).totals["zswpout"] > 0


def test_swapin_nozswap__without_room_in_zswap_pages_swap_to_the_device() -> None:
    workload = written_and_read(32)  # memory.max 24M; memory.zswap.max 0
    result = vl.simulate(workload, group(24, workload, zswap_max=0))

    peak = result.tiers.filter(tier="swapfile")["media_bytes"].max()
    assert peak >= 8 * MIB  # memory.swap.peak
    assert result.totals["zswpout"] == 0


@pytest.mark.parametrize("version", ["6.12", "7.2", "7.3"])
def test_zswapin__pages_come_back_from_zswap(version: str) -> None:
    workload = written_and_read(32)  # memory.max 8M
    result = vl.simulate(workload, group(8, workload, version=version))

    assert result.totals["zswpin"] >= 24 * PAGES
    assert result.totals["pswpin"] == 0
    assert set(result.state()["content"]) == {BYTE}  # the data are intact


USAGE_PAGES = 4 * PAGES // 2  # 1024 pages of 2048 bytes


def half_compressible(limit_pages: int | None, *, writeback: bool) -> vl.Result:
    """Push 1024 half-compressible pages out and read them back, then push them out again.

    The limit is memory.zswap.max, half of the usage, and is there from the start; None: there is none. The ballast is
    of zeros, which never reach zswap.
    """
    body, ballast = range(4 * PAGES), range(4 * PAGES, 20 * PAGES)
    content = [HALF] * len(body) + [ZERO] * len(ballast)
    workload = trace(len(content), content, (body, 1), (ballast, 1), (body, 0), (ballast, 1))
    limit = None if limit_pages is None else limit_pages * 4096
    settings = {"zswap": {"max_pool_percent": 100}, "zswap_writeback": writeback, "zswap_max": limit}
    return vl.simulate(workload, group(6, workload, **settings))


@pytest.mark.parametrize("writeback", [True, False])
def test_zswap_writeback__below_the_limit_nothing_is_written_back(writeback: bool) -> None:
    result = half_compressible(None, writeback=writeback)

    assert result.totals["zswpout"] >= 2 * 4 * PAGES - 64
    assert result.totals["zswpwb"] == 0
    assert not result.totals["oom"]


def test_zswap_writeback_enabled__above_the_limit_pages_are_written_back() -> None:
    result = half_compressible(USAGE_PAGES // 2, writeback=True)

    assert result.totals["zswpwb"] > 0
    assert not result.totals["oom"]


def test_zswap_writeback_disabled__above_the_limit_none_is_and_reclaim_fails() -> None:
    result = half_compressible(USAGE_PAGES // 2, writeback=False)

    assert result.totals["zswpwb"] == result.totals["pswpout"] == 0
    assert result.totals["reclaim_fail"] > 0  # memory.reclaim returns -EAGAIN there


@pytest.mark.parametrize(("version", "is_stored"), [("6.12", False), ("7.2", True), ("7.3", True)])
def test_zswap_incompressible__random_pages_are_stored_since_linux_7(version: str, is_stored: bool) -> None:
    body, ballast = range(4 * PAGES), range(4 * PAGES, 44 * PAGES)  # memory.max 32M, 4M of random data, paged out
    content = [RANDOM] * len(body) + [BYTE] * len(ballast)
    workload = trace(len(content), content, (body, 1), (ballast, 1))
    result = vl.simulate(workload, group(32, workload, version=version))

    stored = result.state().filter(backing="ZSWAP", content=RANDOM, stored_bytes=4096).height  # zswap_incomp
    assert (stored > 0) == is_stored
    assert (result.totals["reject_compress_poor"] > 0) == (not is_stored)
    assert result.state().filter(content=RANDOM, is_resident=False).height == 4 * PAGES


def two_tiers(**limits: int | str) -> vl.Machine:
    """Build a group with 64 MiB of DRAM, a fast and a slow device of 128 MiB (of zram, in the kernel's test)."""
    return vl.Machine(
        vl.Dram(64 * PAGES), swapfiles=[vl.Swapfile(128 * PAGES, priority=20), vl.Swapfile(128 * PAGES, priority=5)],
        layer="none", kernel=vl.Kernel(), tiers={"slow": (-1, 9), "fast": (10, 32_767)}, tiers_max=limits,
    )  # fmt: skip


def test_swap_tiers__a_new_group_may_use_all_and_what_is_set_is_read_back() -> None:
    assert [two_tiers().may_use(device) for device in two_tiers().swapfiles] == [True, True]
    limited = vl.machine_from_dict(two_tiers(fast=0, slow="max").to_dict())
    assert limited.tiers_max == {"fast": 0, "slow": "max"}
    assert [limited.may_use(device) for device in limited.swapfiles] == [False, True]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"medium": 0}, "tiers_max.medium is no tier: choose from slow, fast"),
        ({"fast": 1}, "must be 0 or 'max', got 1"),
    ],
)
def test_swap_tiers__unknown_tiers_and_values_are_refused(limits: dict[str, int], words: str) -> None:
    with pytest.raises(vl.InputError, match=words):
        two_tiers(**limits)


@pytest.mark.parametrize(("limits", "used"), [({"fast": 0}, (False, True)), ({"slow": 0}, (True, False))])
def test_swap_tiers__64m_go_to_the_tier_that_is_left(limits: dict[str, int], used: tuple[bool, bool]) -> None:
    body = range(128 * PAGES)  # 64 MiB of them do not fit
    epochs = vl.simulate(trace(len(body), [RANDOM] * len(body), (body, 1)), two_tiers(**limits)).epochs

    assert tuple(bool(epochs[f"pswpout_{device}"].sum()) for device in range(2)) == used


def test_selftests__every_one_is_shown_or_left_out_for_a_reason() -> None:
    names = {*SHOWN, *NOT_OF_ONE_GROUP}

    assert sum(name.startswith("test_") for name in names) == 8  # of test_zswap.c
    assert sum(name.startswith("swap tiers") for name in names) == 7  # of test_swap_tiers.c
    assert len(names) == len(SHOWN) + len(NOT_OF_ONE_GROUP) == 8 + 7 + 2
