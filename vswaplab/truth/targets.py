"""How near the model should come to a kernel, and where it does not, what gives the reason away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import polars as pl

from vswaplab.base.units import PAGE_SIZE
from vswaplab.engine.zsmalloc import SHARE_BITS, footprint_table
from vswaplab.truth.runs import TruthRun

Load = Literal["calm", "shrinker", "full", "cram"]
MET, NOISE, BOOT, MISSED = "met", "kernel's range", "boots' range", "missed"
"""Verdicts: within the target; else inside what repetitions of the kernel span; else what the boots of the model span
overlaps the target or that; else not."""

_CALM = dict.fromkeys(("hits", "zswap", "disk", "zswpout", "resident_mean"), 1.0) | {"pswpout": 2.0}
_SHRINKER = dict.fromkeys(("hits", "disk", "zswpwb"), 2.0) | dict.fromkeys(("zswap", "stored_mean", "stored_end"), 7.0)
_FULL = {"hits": 2.0, "disk": 5.0}
_RANGED = ("zswap", "zswpout", "zswpin", "zswpwb", "pswpin", "pswpout", "resident_mean", "stored_mean", "stored_end")
_SLOTS = dict.fromkeys(("slots_used", "swap_cache_end", "vs_used"), 2.0)
PERCENT: dict[Load, dict[str, float]] = {
    "calm": _CALM | _SLOTS,
    "shrinker": _SHRINKER | _SLOTS,
    "full": _FULL | _SLOTS,
    "cram": {},
}
"""Counter to the error that is allowed, %. With a full pool other counters may be 10 % outside the kernel's range."""
_FEW = 50
"""A counter of which kernel and model both have fewer is no target."""

TARGET_SCHEMA = {
    "run": pl.String,
    "load": pl.String,
    "counter": pl.String,
    "kernel": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "model": pl.Float64,
    "model_low": pl.Float64,
    "model_high": pl.Float64,
    "least": pl.Float64,
    "most": pl.Float64,
    "verdict": pl.String,
    "parts_in": pl.String,
    "parts_at": pl.Int64,
}


def load_of(run: TruthRun) -> Load:
    """Say what a run asks of the pool: nothing, room by the shrinker or at its limit; or that it is of a CRAM guest."""
    if run.cram is not None:
        return "cram"
    if run.zswap is None:
        return "calm"
    if run.zswap.get("shrinker_enabled"):
        return "shrinker"
    column = "zs_pool_limit_hit"
    hits = run.epochs[column].fill_null(0).max() if column in run.epochs.columns and run.epochs.height else 0
    return "full" if hits else "calm"


def bounds(run: TruthRun, counter: str, kernel: float, low: float, high: float) -> tuple[float, float] | None:
    """Give the least and the most that the model may say of a counter; None: there is no target.

    Parameters
    ----------
    run : TruthRun
    counter : str
    kernel : float
        Of the run.
    low, high : float
        Over its repetitions.
    """
    load = load_of(run)
    if load == "full" and "hotscan" in run.name and counter in (*_FULL, *_RANGED):
        return low, high
    percent = PERCENT[load].get(counter)
    if (
        run.cram is not None
        and run.cram.cram_mib
        and run.cram.pressure < 1000
        and run.trace.write_pct
        and counter in ("swap_cache", "promoted")
    ):
        percent = 6.0 if run.trace.kind in ("loop", "phases") else 3.0
    if percent is not None:
        return kernel * (1 - percent / 100), kernel * (1 + percent / 100)
    return (low * 0.9, high * 1.1) if load == "full" and counter in _RANGED else None


def least_agreement(run: TruthRun, lru: float, ceiling: float | None) -> float | None:
    """Give the share of single accesses that the model should get right; None: there is no target.

    Parameters
    ----------
    run : TruthRun
    lru : float
        What an exact LRU of the measured size gets.
    ceiling : float
        Lowest agreement between repetitions of the kernel, None if there is one.
    """
    if load_of(run) != "full":
        least = 0.93 if run.trace.kind in ("uniform", "phases") else 0.97
        return max(least, lru) if lru < 0.98 else least
    return None if ceiling is None else ceiling - 0.01


def targets(every: Mapping[str, TruthRun], counters: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """Hold the tables of a validation against the targets.

    Parameters
    ----------
    every : mapping
        Run by name.
    counters, runs : polars.DataFrame
        Of ``validate``.

    Returns
    -------
    table : polars.DataFrame
        One row per run and target, as in ``TARGET_SCHEMA``; the model may be
        from ``least`` to ``most``. ``parts_in`` and ``parts_at`` are the run's.
    """
    rows = [_counter_row(every[row["run"]], row) for row in counters.iter_rows(named=True) if row["run"] in every]
    rows += [_agreement_row(every[row["run"]], row) for row in runs.iter_rows(named=True)]
    judged = dict(list(TARGET_SCHEMA.items())[:-2])
    table = pl.DataFrame([row for row in rows if row is not None], schema=judged, orient="row")
    table = table.with_columns(pl.col("least", "most").round(6))
    return table.join(runs.select("run", "parts_in", "parts_at"), "run", "left", maintain_order="left")


def _counter_row(run: TruthRun, row: Mapping[str, float]) -> tuple[object, ...] | None:
    kernel, model = row["kernel"], row["model"]
    allowed = None if run.is_killed else bounds(run, str(row["counter"]), kernel, row["low"], row["high"])
    if allowed is None or max(kernel, model) < _FEW:
        return None
    span = row["low"], row["high"]
    found = verdict(allowed, model, (row["model_low"], row["model_high"]), span)
    middle = kernel, *span, model, row["model_low"], row["model_high"]
    return run.name, load_of(run), row["counter"], *middle, *allowed, found


def _agreement_row(run: TruthRun, row: Mapping[str, float | None]) -> tuple[object, ...] | None:
    shared, lru, best = row["agreement"], row["lru_agreement"], row["agreement_best"]
    least = None if lru is None else least_agreement(run, lru, row["ceiling"])
    if shared is None or best is None or least is None:
        return None
    found = verdict((least, 1.0), shared, (shared, best), None)
    return run.name, load_of(run), "agreement", None, row["ceiling"], None, shared, shared, best, least, 1.0, found


def verdict(
    allowed: tuple[float, float], model: float, of_boots: tuple[float, float], of_kernel: tuple[float, float] | None
) -> str:
    """Judge one counter.

    Examples
    --------
    Two boots of a kernel counted 7,499 and 8,455; within 5 % of both no number can be.

    >>> verdict((8022, 8422), 7615, (7600, 7620), (7499, 8455)), verdict((8022, 8422), 7400, (7400, 8100), None)
    ("kernel's range", "boots' range")
    """
    if allowed[0] <= model <= allowed[1]:
        return MET
    least, most = allowed
    if of_kernel is not None and of_kernel[0] < of_kernel[1]:
        if of_kernel[0] <= model <= of_kernel[1]:
            return NOISE
        least, most = min(least, of_kernel[0]), max(most, of_kernel[1])
    return BOOT if of_boots[0] <= most and of_boots[1] >= least else MISSED


# Where they part ------------------------------------------------------------------------------------


class Parting(NamedTuple):
    """The first counter in which kernel and model are more than 5 % apart, and when."""

    counter: str
    access: int
    kernel: int
    model: int


FOLLOWED = {
    "zswpout": "vm_zswpout",
    "zswpwb": "vm_zswpwb",
    "pswpout": "vm_pswpout",
    "pool_limit_hit": "zs_pool_limit_hit",
    "pgdeactivate": "vm_pgdeactivate",
    "pgactivate": "vm_pgactivate",
    "stored": "zs_stored_pages",
}
"""Counters of a replay's epochs to columns of the kernel's."""
_APART, _MUCH = 0.05, 500


def parting(run: TruthRun, epochs: pl.DataFrame) -> Parting | None:
    """Find where kernel and model part: 5 % and 500 pages or events between two snapshots, and the largest such gap.

    Parameters
    ----------
    run : TruthRun
    epochs : polars.DataFrame
        Of its ``replay``.
    """
    kernel = run.epochs.filter(pl.col("row").is_in(["start", "epoch"]))
    known = {name: column for name, column in FOLLOWED.items() if column in kernel.columns}
    counts = {name: kernel[column].fill_null(0) for name, column in known.items()}
    seen = {name: (column - column[0]).to_list()[1:] for name, column in counts.items()}
    for i, access in enumerate(epochs["access"].to_list()[: kernel.height - 1]):
        gaps = [(abs(epochs[name][i] - of[i]), name) for name, of in seen.items()]
        wide = [(gap, name) for gap, name in gaps if gap > _MUCH and gap > _APART * seen[name][i]]
        if wide:
            name = max(wide)[1]
            return Parting(name, access, int(seen[name][i]), int(epochs[name][i]))
    return None


# What gives a reason away -----------------------------------------------------------------------------


def clues(run: TruthRun, same: Sequence[TruthRun] = ()) -> list[str]:
    """List the kernel's own counters that tell of what the model lacks, or of how near to a threshold a run ended.

    Parameters
    ----------
    run : TruthRun
    same : sequence of TruthRun
        Its repetitions, the run itself included, if they are to be told of.

    Returns
    -------
    clues : list of str
        Counter and number, in words; empty if there is nothing to tell.
    """
    found = []
    if run.vcpus > 1 and load_of(run) == "full":
        found.append(f"{run.vcpus} CPUs: the pool's worker wrote {_last(run, 'vm_zswpwb'):,} pages back (vm_zswpwb)")
    if run.page_cluster:
        found.append(f"page-cluster {run.page_cluster}: {_last(run, 'vm_swap_ra'):,} pages read ahead (vm_swap_ra)")
    if load_of(run) == "full" and _last(run, "zs_pool_total_size"):
        found += _of_pool(run)
    if load_of(run) == "full" and len(same) == 1 and not run.noise:
        found.append("booted once: nothing says how far the counters of this full pool move from boot to boot")
    if load_of(run) == "shrinker" and (refused := _refused(run, "epoch")):
        found.append(
            f"{refused:,} stores refused by a full pool, {_refused(run, 'fill'):,} of them in the fill: "
            f"on disk without having been stored (vm_pswpout less vm_zswpwb and zs_reject_compress_fail)"
        )
    if run.cram is not None and (waiting := _at(run, "fill", "n1_nr_swapcached")):
        found.append(f"{waiting:,} pages of the CRAM node in the swap cache after the fill (n1_nr_swapcached)")
    return found


def _of_pool(run: TruthRun) -> list[str]:
    assert run.zswap is not None
    limit = run.total_ram_pages * int(run.zswap["max_pool_percent"]) // 100
    full = 100 * _last(run, "zs_pool_total_size") // 4096 / limit
    each = _at(run, "fill", "zs_pool_total_size") / max(1, _at(run, "fill", "zs_stored_pages"))
    said = [
        f"pool {full:.0f} % of its limit at the end, {each:,.0f} bytes an entry after the fill (zs_pool_total_size)"
    ]
    if (scanned := _last(run, "vm_slabs_scanned")) and run.memory_max is None:
        said.append(f"shrinkers scanned {scanned:,} objects: zsmalloc's compacts the pool (vm_slabs_scanned)")
    if run.memory_max is None and run.lengths is not None:
        stored, others, size = entries_of_others(run)
        said.append(
            f"{others:,} of {stored:,} entries after the fill are not the program's, {size:,.0f} bytes of the pool "
            f"each (zs_stored_pages, swapped_c*)"
        )
    return said


def entries_of_others(run: TruthRun) -> tuple[int, int, float]:
    """Tell the program's entries after the fill from those of other processes.

    Until then nothing was read back: of the program's pages with a swap entry,
    zero pages aside, those that were not written to the device are in zswap.

    Parameters
    ----------
    run : TruthRun
        Without a limit, on zswap, with measured ``lengths``.

    Returns
    -------
    stored, others : entries
        All of them, and those of others.
    size : bytes
        Of the pool that one of theirs takes; the program's take what their size
        classes say. 0 if there is none.
    """
    assert run.lengths is not None
    footprint = footprint_table() / (1 << SHARE_BITS)
    swapped = [_at(run, "fill", f"swapped_c{k}") * (kind.random_bytes > 0) for k, kind in enumerate(run.classes)]
    stored, own = _at(run, "fill", "zs_stored_pages"), sum(swapped) - _grown(run, "fill", "vm_pswpout")
    kinds = zip(swapped, run.lengths, strict=True)
    bytes_of = [(n, n * footprint[length]) for n, length in kinds if n and length < PAGE_SIZE]
    each = sum(of for _, of in bytes_of) / max(1, sum(n for n, _ in bytes_of))
    n_others = stored - own
    return stored, n_others, (_at(run, "fill", "zs_pool_total_size") - own * each) / n_others if n_others else 0.0


def _refused(run: TruthRun, row: str) -> int:
    stored = _grown(run, row, "vm_zswpwb") + _grown(run, row, "zs_reject_compress_fail")
    return _grown(run, row, "vm_pswpout") - stored


def _grown(run: TruthRun, row: str, column: str) -> int:
    return _at(run, row, column) - _at(run, "start", column)


def _at(run: TruthRun, row: str, column: str) -> int:
    if not {"row", column} <= set(run.epochs.columns):
        return 0
    seen = run.epochs.filter(pl.col("row") == row)[column]
    return int(seen[-1] or 0) if seen.len() else 0


def _last(run: TruthRun, column: str) -> int:
    return _at(run, "epoch", column)
