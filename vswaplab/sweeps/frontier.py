"""Cost against stall and risk: what each machine of a design costs, what it makes a program wait, what it may lose."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import polars as pl

from vswaplab.base.checks import number
from vswaplab.base.errors import InputError
from vswaplab.base.progress import Report
from vswaplab.base.units import PAGE_SIZE
from vswaplab.engine.plan import check_run
from vswaplab.engine.risk import can_lose
from vswaplab.engine.run import simulate
from vswaplab.machine.config import Machine
from vswaplab.machine.dollars import GIB, ITEMS, cost_usd, dram_price, sizes_gib
from vswaplab.machine.presets import with_settings
from vswaplab.results.changes import below_dram_ns
from vswaplab.results.pareto import pareto
from vswaplab.results.prices import repeat_wait_ns
from vswaplab.results.statistics import wilson_interval
from vswaplab.sweeps.design import Design
from vswaplab.sweeps.design import grid as full_grid
from vswaplab.sweeps.run import ENDED, sweep
from vswaplab.sweeps.worker import AnyTrace

RISKS = ("cannot lose data", "lost none", "lost data")
"""What a frontier says of each machine: by rule, or as far as its runs have seen."""

_TIERS = {"dram": "DRAM", "cram": "CRAM", "ssd": "swapfile"}
_KEPT = ("pswpin", "zswpout", "cram_in")
_STALLS = ("stall_percent", "stall_cached_percent", "below_dram_ns", "record_wait_ns")
ACCOUNTS = ("device", "caches")
"""Who serves the touches that a record in CRAM stands for."""


def frontier(
    trace: AnyTrace,
    machine: Machine,
    grid: Mapping[str, object] | Design,
    *,
    prices: pl.DataFrame | None = None,
    seeds: Iterable[int] = (0,),
    executor: object = None,
    store: str | Path | None = None,
    progress: bool | Report = True,
) -> pl.DataFrame:
    """Set the cost of many machines against what they make a program wait, and what they may lose.

    Parameters
    ----------
    trace, machine, grid, seeds, executor, store, progress
        As in ``vl.sweep``, which runs the machines.
    prices : polars.DataFrame
        What ``vl.prices`` gives. Default: ``vl.prices()``.

    Returns
    -------
    table : polars.DataFrame
        One row a point, in the order of the design:

        * ``point`` and the settings; ``reason``: why it has no numbers (the
          machine is refused, or memory ran out).
        * ``dram_gib``, ``cram_gib`` (media), ``ssd_gib``; ``dram_usd``,
          ``cram_usd``, ``ssd_usd``, and ``cost_usd``, the sum of these and of
          what own tiers cost;
          ``usd_per_gib``: over the memory of the trace's pages;
          ``cost_ratio``: over what DRAM for all of them would cost.
        * ``stall_percent``: time below DRAM over all time of the accesses, by
          the cost table, mean over seeds. What the program does besides is not
          in it: of its whole time the share is smaller.
        * ``stall_cached_percent``: the same if the CPU's caches serve the
          touches that a record in CRAM stands for. The truth is between the
          two; one hot page in CRAM can set them far apart.
        * ``below_dram_ns`` and ``record_wait_ns``, the two times;
          ``pswpin``, ``zswpout``, ``cram_in``: means.
        * ``risk``: "cannot lose data" (no page is writable in place beyond
          what the device grants: rule 4 of the model), "lost none" or "lost
          data"; ``runs`` that differ (all seeds are one run if no write
          changes a page's content), ``poisoned`` of them; ``poison_high``, the
          upper end of Wilson's 95 % interval of the chance that a run loses
          data: 0 only by rule, about 3.8 / ``runs`` if none did.
        * ``is_on_front``: nothing costs less and has less of ``stall_percent``.

    Raises
    ------
    InputError
        As ``vl.sweep``; a machine has what has no price.

    Examples
    --------
    >>> import vswaplab as vl
    >>> trace = vl.zipf(n_pages=1000, n_accesses=10_000, seed=1)
    >>> sizes = {"dram.capacity_pages": [200, 400], "swapfiles.0.capacity_slots": [2000, 4000]}
    >>> table = frontier(trace, vl.preset("swap-only", 1000), sizes, progress=False)
    >>> table.filter("is_on_front").select(*sizes).rows()
    [(200, 2000), (400, 2000)]
    """
    design = grid if isinstance(grid, Design) else full_grid(grid)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=f".* {ENDED}")  # which is told as a reason here
        runs = sweep(trace, machine, design, seeds=seeds, executor=executor, store=store, progress=progress)
    settings = design.frame()
    rows = []
    for (point,), own in runs.partition_by("point", as_dict=True).items():  # after Ctrl-C some points are missing
        reason = own["reason"][0]
        row: dict[str, object] = {"point": point, "reason": reason}
        if reason is None:
            made = with_settings(machine, design.settings(point))
            row |= _money(made, trace.n_pages, prices) | _measured(own, made)
            row |= _risk(own, made, is_random=trace.redraw_probability > 0)
        rows.append(row)
    table = settings.join(pl.DataFrame(rows, schema=SCHEMA), on="point", how="inner", maintain_order="left")
    front = pareto(table)["point"]
    return table.with_columns(is_on_front=pl.col("point").is_in(front.implode()))


SCHEMA: dict[str, type[pl.DataType]] = {
    "point": pl.Int64,
    "reason": pl.String,
    **dict.fromkeys(("dram_gib", "cram_gib", "ssd_gib", "dram_usd", "cram_usd", "ssd_usd"), pl.Float64),
    **dict.fromkeys(("cost_usd", "usd_per_gib", "cost_ratio", *_STALLS, *_KEPT), pl.Float64),
    "risk": pl.String,
    "runs": pl.Int64,
    "poisoned": pl.Int64,
    "poison_high": pl.Float64,
}
"""Columns of a frontier beside the settings."""


def next_dollar(
    trace: AnyTrace, machine: Machine, *, prices: pl.DataFrame | None = None, part: float = 0.05, seed: int = 0
) -> pl.DataFrame:
    """Say what the next dollar saves in each tier: the same small sum is spent on one tier after the other.

    Parameters
    ----------
    trace, machine
    prices
        As in ``vl.frontier``.
    part : above 0
        The sum, over what the machine costs.
    seed
        As in ``vl.simulate``.

    Returns
    -------
    table : polars.DataFrame
        One row a tier and account, DRAM first: ``tier``; ``account``, who
        serves the touches that a record in CRAM stands for, "device" or
        "caches"; ``gib`` and ``usd`` bought (CRAM: media, shown in the
        machine's own ratio; a tier that the machine lacks is bought as its
        default); ``saved_ms`` of the time below DRAM, over the whole trace,
        ``saved_ms_per_usd`` and ``saved_ms_per_gib``; ``stall_percent``
        afterwards, ``saved_points`` of it, and ``points_per_usd_per_gib``:
        those over the dollars for a GiB of the program's memory, the slope of
        a frontier; ``reason``: why there is no number.

    Raises
    ------
    InputError
        ``part`` out of range; a price is missing; memory runs out before
        anything is bought.
    """
    check_run(trace, machine)
    expected = "a number above 0 and up to 100, of the machine's cost"
    part = number("part", part, above=0, at_most=100, expected=expected)
    before = _waited(trace, machine, seed)
    spend = part * cost_usd(machine, prices)["total"]
    rows = [row for item in _TIERS for row in _bought(trace, machine, item, spend, prices, before, seed)]
    return pl.DataFrame(rows, schema=_NEXT_SCHEMA)


_NEXT_SCHEMA: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(("tier", "account"), pl.String),
    **dict.fromkeys(("gib", "usd", "saved_ms", "saved_ms_per_usd", "saved_ms_per_gib"), pl.Float64),
    **dict.fromkeys(("stall_percent", "saved_points", "points_per_usd_per_gib"), pl.Float64),
    "reason": pl.String,
}

_Waits = tuple[tuple[int, float], ...]  # ns below DRAM and their share of all time, per cent, an account


def _bought(
    trace: AnyTrace,
    machine: Machine,
    item: str,
    spend: float,
    prices: pl.DataFrame | None,
    before: _Waits,
    seed: int,
) -> Iterator[Mapping[str, object]]:
    try:
        larger = _larger(machine, item, spend, prices)
        after = _waited(trace, larger, seed)
    except InputError as error:
        yield from ({"tier": _TIERS[item], "account": account, "reason": str(error)} for account in ACCOUNTS)
        return
    gib = sizes_gib(larger)[item] - sizes_gib(machine)[item]
    usd = cost_usd(larger, prices)[item] - cost_usd(machine, prices)[item]
    for account, (was_ns, was_percent), (ns, percent) in zip(ACCOUNTS, before, after, strict=True):
        saved, points = (was_ns - ns) / 1e6, was_percent - percent
        yield {
            "tier": _TIERS[item],
            "account": account,
            "gib": gib,
            "usd": usd,
            "saved_ms": saved,
            "saved_ms_per_usd": saved / usd,
            "saved_ms_per_gib": saved / gib,
            "stall_percent": percent,
            "saved_points": points,
            "points_per_usd_per_gib": points / usd * trace.n_pages * PAGE_SIZE / GIB,
        }


def _larger(machine: Machine, item: str, spend: float, prices: pl.DataFrame | None) -> Machine:
    # One page of it tells its price: a machine with one page more costs so much more.
    has = sizes_gib(machine)[item]
    page_usd = cost_usd(_with(machine, item, 1), prices)[item] - (cost_usd(machine, prices)[item] if has else 0.0)
    if page_usd <= 0:
        raise InputError(f"{item} costs nothing by these prices: buy as much as you like")
    return _with(machine, item, max(1, round(spend / page_usd)))


def _with(machine: Machine, item: str, pages: int) -> Machine:
    if item == "dram":
        # The host's RAM, of which zswap's limit is a share, grows along.
        return with_settings(machine, [f"dram.capacity_pages={machine.dram.capacity_pages + pages}"])
    if item == "cram":
        media = 0 if machine.cram is None else machine.cram.media_bytes
        return with_settings(machine, [f"cram.media_bytes={media + pages * PAGE_SIZE}"])
    slots = machine.swapfiles[0].capacity_slots if machine.swapfiles else 0
    return with_settings(machine, [f"swapfiles.0.capacity_slots={slots + pages}"])


def _waited(trace: AnyTrace, machine: Machine, seed: int) -> _Waits:
    run = simulate(trace, machine, seed=seed, epoch_accesses=len(trace))
    if run.provenance["partial"]:
        raise KeyboardInterrupt
    if run.totals["oom"]:
        raise InputError(f"memory runs out after {run.totals['accesses']:,} of {len(trace):,} accesses")
    return _waits(run.totals["stall_ns"], below_dram_ns(run), repeat_wait_ns(machine, run.totals))


def _waits(stall_ns: int, below_ns: int, repeats_ns: int) -> _Waits:
    # By account: the device serves the repeats, or the caches do and they cost nothing.
    times = ((below_ns, stall_ns), (below_ns - repeats_ns, stall_ns - repeats_ns))
    return tuple((below, 100 * below / max(1, all_ns)) for below, all_ns in times)


def _money(machine: Machine, n_pages: int, prices: pl.DataFrame | None) -> dict[str, object]:
    usd, gib, of_dram = cost_usd(machine, prices), n_pages * PAGE_SIZE / GIB, dram_price(prices)
    sizes = {f"{item}_gib": size for item, size in sizes_gib(machine).items() if item in ITEMS}
    parts = {f"{item}_usd": usd[item] for item in ITEMS}
    total, each = usd["total"], usd["total"] / gib
    ratio = each / of_dram if of_dram else None
    return sizes | parts | {"cost_usd": total, "usd_per_gib": each, "cost_ratio": ratio}


def _measured(runs: pl.DataFrame, machine: Machine) -> dict[str, object]:
    if runs["oom"].max():
        return {"reason": f"memory runs out after {min(runs['accesses'].to_list()):,} accesses"}
    found = [
        _waits(row["stall_ns"], row["stall_ns"] - row["stall_dram_ns"], repeat_wait_ns(machine, row))
        for row in runs.iter_rows(named=True)
    ]
    means = [[sum(values) / len(found) for values in zip(*one, strict=True)] for one in zip(*found, strict=True)]
    (below_ns, percent), (wait_ns, cached_percent) = means
    stalls = dict(zip(_STALLS, (percent, cached_percent, below_ns, wait_ns), strict=True))
    return stalls | {name: runs[name].mean() for name in _KEPT}


def _risk(runs: pl.DataFrame, machine: Machine, *, is_random: bool) -> dict[str, object]:
    n = runs.height if is_random else 1
    poisoned = int((runs["poison"] > 0).sum())
    if not can_lose(machine):
        return {"risk": RISKS[0], "runs": n, "poisoned": poisoned, "poison_high": 0.0}
    poisoned = min(poisoned, n)
    return {
        "risk": RISKS[2 if poisoned else 1],
        "runs": n,
        "poisoned": poisoned,
        "poison_high": wilson_interval(poisoned, n)[1],
    }
