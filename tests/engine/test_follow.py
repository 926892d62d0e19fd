"""Single pages are followed by the reference engine, and agree with a whole run."""

from __future__ import annotations

import polars as pl
import pytest

import vswaplab as vl
from vswaplab.base.backing import State
from vswaplab.engine.follow import MAX_ROWS, PLACES

CORPUS = pl.DataFrame({"region": [0, 1, 1], "is_zero": [True, False, False], "lz4_4k": [64, 2032, 4096]})
ZERO, TEXT = 0, 1
READ, WRITE, FREE = 0, 1, 2


def trace(*accesses: tuple[int, int], redraw: float = 0.0) -> vl.Trace:
    return vl.Trace(
        page=[page for _, page in accesses],
        op=[op for op, _ in accesses],
        n_pages=4,
        content=[ZERO, TEXT, TEXT, TEXT],
        corpus=CORPUS,
        redraw_probability=redraw,
    )


def machine(*, media_bytes: int = 8192, **cram: int) -> vl.Machine:
    return vl.Machine(
        dram=vl.Dram(1, high=1),
        cram=vl.Cram(media_bytes=media_bytes, **cram),
        swapfiles=[vl.Swapfile(8)],
    )


def place(steps: pl.DataFrame, access: int, page: int) -> str:
    return str(steps.filter(access=access, page=page)["place"].item())


def test_follow__writes_one_row_per_access_and_page() -> None:
    steps = vl.follow(trace((WRITE, 0), (WRITE, 1), (READ, 1)), machine())

    assert steps.height == 3 * 4
    assert steps.filter(page=0)["event"].to_list() == ["first_touch", "first_touch", "dram_hit"]
    assert steps.filter(page=0)["accessed"].to_list() == [0, 1, 1]
    assert steps.filter(page=0)["op"].to_list() == ["write", "write", "read"]


def test_follow__says_where_each_page_is() -> None:
    steps = vl.follow(trace((WRITE, 0), (WRITE, 1), (WRITE, 2), (READ, 1), (FREE, 1)), machine())

    assert [place(steps, 1, page) for page in range(4)] == ["zero", "DRAM", "nowhere", "nowhere"]
    assert [place(steps, access, 1) for access in (2, 3, 4)] == ["CRAM (entry)", "CRAM (read-only)", "nowhere"]
    assert steps.filter(access=4, page=1)["event"].item() == "frees"


def test_follow__shows_a_write_that_overruns_the_media() -> None:
    story = trace((WRITE, 1), (WRITE, 2), (WRITE, 1), redraw=1.0)
    small = machine(media_bytes=2500, advertised_bytes=8192, writable_budget_pages=1)
    ends = {place(vl.follow(story, small, seed=seed), 2, 1) for seed in range(20)}

    assert "CRAM (poisoned)" in ends


def test_follow__ends_before_an_access_without_a_frame() -> None:
    steps = vl.follow(trace((WRITE, 1), (WRITE, 2)), vl.Machine(dram=vl.Dram(1, high=1)))

    assert steps["access"].unique().to_list() == [0]


def test_follow__agrees_with_simulate() -> None:
    story = vl.zipf(n_pages=40, n_accesses=300, write_share=0.5, seed=3)
    hardware = vl.Machine(
        dram=vl.Dram(8, high=1),
        cram=vl.Cram(media_bytes=12_000, writable_budget_pages=2),
        zswap=vl.Zswap(max_pool_percent=40),
        swapfiles=[vl.Swapfile(64)],
    )

    steps, result = vl.follow(story, hardware, seed=1), vl.simulate(story, hardware, seed=1)

    events = steps.filter(page=0)["event"].value_counts()
    assert all(result.totals[row["event"]] == row["count"] for row in events.iter_rows(named=True))
    last = steps.filter(pl.col("access") == 299)["tier"]
    at_end = result.tiers.filter(pl.col("epoch") == pl.col("epoch").max())
    assert all((last == row["tier"]).sum() == row["pages"] for row in at_end.iter_rows(named=True))


def test_follow__asks_the_kernel_where_the_machine_reclaims_as_one_does() -> None:
    story = vl.loop(n_pages=100, n_accesses=180)
    hardware = vl.Machine(vl.Dram(64), swapfiles=[vl.Swapfile(128)], layer="none", kernel=vl.Kernel("7.3"))

    steps, result = vl.follow(story, hardware), vl.simulate(story, hardware)

    last = steps.filter(pl.col("access") == 179)["tier"]
    at_end = result.tiers.filter(pl.col("epoch") == pl.col("epoch").max())
    assert result.totals["pswpout"] > 0
    assert all((last == row["tier"]).sum() == row["pages"] for row in at_end.iter_rows(named=True))


def test_follow__refuses_a_trace_nobody_can_look_at() -> None:
    with pytest.raises(vl.InputError, match=rf"30,000 rows, and {MAX_ROWS:,} is the limit; cut the trace"):
        vl.follow(vl.Trace([0] * 300, n_pages=100), machine())


def test_places__have_words_for_every_state() -> None:
    assert set(PLACES) == set(State)
    assert len({words for words, _ in PLACES.values()}) == len(State)


def test_follow__of_what_was_read_ahead_tells_the_page_that_was_asked_for() -> None:
    # Even pages are all zero, odd ones lie on the disk: a fault on an odd one reads its even neighbours too.
    n = 120
    table = {"region": [0, 1], "lzo_4k": [64, 2000], "lz4_4k": [64, 2000], "is_zero": [True, False]}
    page = [*range(n), *range(1, 16, 2)]
    trace = vl.Trace(page, n_pages=n, content=[i % 2 for i in range(n)], corpus=vl.Corpus(pl.DataFrame(table)))
    limits = {"memory_max": 4096 * 70, "total_ram_pages": 100_000, "workload_pages": n, "swap_bytes": 4096 * 1000}
    steps = vl.follow(trace, vl.linux("7.3", page_cluster=3, **limits))  # type: ignore[arg-type]

    events = steps.filter(pl.col("access") >= n, page=0)["event"]

    assert set(events) == {"pswpin", "dram_hit"}
