"""A result boiled down: one row a tier, the mean time of an access, and what went wrong in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import polars as pl

from vswaplab.base.units import PAGE_SIZE
from vswaplab.results.result import Result

TIERS = ("DRAM", "ZERO", "CRAM", "zswap", "zram", "swapfile")
"""Tiers, fastest first, as every table and figure names them."""

_REPEATS = ("repeat_dram", "repeat_cram_read", "repeat_cram_write", "repeat_unserved")


class _Flows(NamedTuple):
    # The counters that a tier's columns add up.
    hits: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    demotions: tuple[str, ...] = ()
    writebacks: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()


_FLOWS: dict[str, _Flows] = {
    "DRAM": _Flows(hits=("dram_hit", "repeat_dram"), faults=("first_touch", "copy_on_write")),
    "ZERO": _Flows(faults=("swpin_zero",), demotions=("swpout_zero",)),
    "CRAM": _Flows(
        hits=("cram_read", "cram_write", "repeat_cram_read", "repeat_cram_write"),
        faults=("cram_soft_fault", "cram_made_writable", "cram_promote", "sigbus"),
        demotions=("cram_in",),
        writebacks=("cram_writeback_zero", "cram_writeback_zswap", "cram_writeback_swapfile"),
        refusals=("cram_refused", "cram_refused_gate", "cram_refused_full"),
    ),
    "zswap": _Flows(
        faults=("zswpin",),
        demotions=("zswpout",),
        writebacks=("zswpwb",),
        refusals=("pool_limit_hit", "reject_accept_threshold", "reject_compress_poor", "reject_alloc_fail"),
    ),
    "zram": _Flows(
        faults=("zram_read", "zram_read_recompressed", "zram_bd_reads"),
        demotions=("pswpout_zram",),
        writebacks=("zram_bd_writes",),
        refusals=("zram_failed_writes",),
    ),
    "swapfile": _Flows(faults=("pswpin_swapfile",), demotions=("pswpout_swapfile", "clean_drop")),
}

_SCHEMA: dict[str, type[pl.DataType]] = {
    "tier": pl.String,
    "pages": pl.Int64,
    "peak_pages": pl.Int64,
    "stored_bytes": pl.Int64,
    "media_bytes": pl.Int64,
    "ratio": pl.Float64,
    **dict.fromkeys(_Flows._fields, pl.Int64),
    "stall_ns": pl.Int64,
    "stall_share": pl.Float64,
}


def summarise(result: Result) -> pl.DataFrame:
    """Boil a result down to one row a tier, fastest first.

    Parameters
    ----------
    result

    Returns
    -------
    summary : polars.DataFrame
        Only the tiers that the machine has (DRAM and ZERO always):

        * ``tier``: DRAM, ZERO, CRAM, zswap, zram, swapfile, and plug-ins'.
        * ``pages``: pages that lie there at the end, each page in one tier.
        * ``peak_pages``: the most pages there at any window's end.
        * ``stored_bytes``: bytes of their data as stored, at the end.
        * ``media_bytes``: what that takes of the tier's medium at the end:
          zsmalloc's footprint for zswap, freed bytes not yet flushed for CRAM,
          copies of resident pages for a swapfile.
        * ``ratio``: pages * 4096 / stored_bytes; null if nothing is stored.
        * ``hits``: touches served there without a fault, repeats included.
        * ``faults``: accesses that faulted on a page of the tier; for DRAM
          first touches, for CRAM soft faults, write faults and sigbus. Hits
          and faults of all tiers add up to reads + writes + served repeats.
        * ``demotions``: pages that arrived from a faster tier; for the
          swapfile written pages and clean pages dropped for free.
        * ``writebacks``: pages the kernel moved out to a slower tier.
        * ``refusals``: pages the tier was offered and refused.
        * ``stall_ns``: time that accesses waited for the tier, ns.
        * ``stall_share``: that over all stall time, 0..1; null if there is none.
    """
    last = result.tiers.filter(pl.col("epoch") == pl.col("epoch").max()) if result.tiers.height else result.tiers
    held = {row["tier"]: row for row in last.iter_rows(named=True)}
    peaks = dict(result.tiers.group_by("tier").agg(pl.col("pages").max()).iter_rows())
    rows = [_row(result, tier, held.get(tier, {}), peaks.get(tier, 0)) for tier in tiers_of(result)]
    return pl.DataFrame(rows, schema=_SCHEMA)


def tiers_of(result: Result) -> list[str]:
    """List the tiers of the machine that a result was made on, fastest first."""
    machine = cast("Mapping[str, object]", result.provenance["machine"])
    absent = {tier: machine.get(tier.lower()) is None for tier in ("CRAM", "zswap", "zram")}
    absent["swapfile"] = not machine.get("swapfiles")
    stores = cast("Sequence[Mapping[str, str]]", machine.get("stores") or ())
    return [tier for tier in TIERS if not absent.get(tier)] + [store["kind"] for store in stores]


def _row(result: Result, tier: str, held: Mapping[str, int], peak: int) -> dict[str, object]:
    pages, stored = held.get("pages", 0), held.get("stored_bytes", 0)
    stall, whole = _stall(result, tier), result.totals["stall_ns"]
    flows = {
        name: sum(int(result.epochs[counter].sum()) for counter in counters)
        for name, counters in _flows(tier)._asdict().items()
    }
    return {
        "tier": tier,
        "pages": pages,
        "peak_pages": peak,
        "stored_bytes": stored,
        "media_bytes": held.get("media_bytes", 0),
        "ratio": pages * PAGE_SIZE / stored if stored else None,
        **flows,
        "stall_ns": stall,
        "stall_share": stall / whole if whole else None,
    }


def _flows(tier: str) -> _Flows:
    if tier in _FLOWS:
        return _FLOWS[tier]
    return _Flows(faults=(f"{tier}_in",), demotions=(f"{tier}_out",), refusals=(f"{tier}_refused",))


def _stall(result: Result, tier: str) -> int:
    return int(result.epochs[f"stall_{tier.lower()}_ns"].sum())


def touches(result: Result) -> int:
    """Count the touches of a run: reads, writes, and the repeats that records stand for."""
    return sum(result.totals[name] for name in ("reads", "writes", *_REPEATS))


def effective_access_ns(result: Result) -> float:
    """Give the mean time a touch waited, ns: stall over reads, writes and repeats; 0 without any."""
    return result.totals["stall_ns"] / max(1, touches(result))


def comparison_table(results: Mapping[str, Result]) -> pl.DataFrame:
    """Set several results side by side, for ``charts.comparison_chart``.

    Parameters
    ----------
    results : label to Result

    Returns
    -------
    table : polars.DataFrame
        One row per result and tier of its machine: ``machine`` (the label),
        ``tier``, ``stall_ns``, ``access_ns`` (stall over the run's touches;
        the tiers of one machine add up to its effective access time).
    """
    schema = {"machine": pl.String, "tier": pl.String, "stall_ns": pl.Int64, "access_ns": pl.Float64}
    rows = [
        (label, tier, _stall(result, tier), _stall(result, tier) / max(1, touches(result)))
        for label, result in results.items()
        for tier in tiers_of(result)
    ]
    return pl.DataFrame(rows, schema=schema, orient="row")


class Column(NamedTuple):
    """A column of the summary for people: its heading and how a row's cell is written."""

    heading: str
    cell: Callable[[Mapping[str, Any]], str]


def _mib(column: str) -> Callable[[Mapping[str, Any]], str]:
    scale = PAGE_SIZE if column.endswith("pages") else 1
    return lambda row: f"{row[column] * scale / (1 << 20):,.1f}"


def _number(column: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: f"{row[column]:,}"


COLUMNS = (
    Column("Tier", lambda row: str(row["tier"])),
    Column("At end, MiB", _mib("pages")),
    Column("At most, MiB", _mib("peak_pages")),
    Column("Stored, MiB", _mib("stored_bytes")),
    Column("Media, MiB", _mib("media_bytes")),
    Column("Ratio", lambda row: "-" if row["ratio"] is None else f"{row['ratio']:.2f}"),
    Column("Hits", _number("hits")),
    Column("Faults", _number("faults")),
    Column("Arrived", _number("demotions")),
    Column("Written back", _number("writebacks")),
    Column("Refused", _number("refusals")),
    Column("Stall, ms", lambda row: f"{row['stall_ns'] / 1e6:,.1f}"),
    Column("Stall, %", lambda row: "-" if row["stall_share"] is None else f"{100 * row['stall_share']:.1f}"),
)
"""The summary as people read it: sizes at the end of the run, the rest over the whole run."""


def readable(summary: pl.DataFrame) -> list[list[str]]:
    """Write a summary's cells for people.

    Parameters
    ----------
    summary
        What ``summarise`` returns.

    Returns
    -------
    rows
        The headings of ``COLUMNS``, then one row of text per tier.
    """
    rows = [[column.cell(row) for column in COLUMNS] for row in summary.iter_rows(named=True)]
    return [[column.heading for column in COLUMNS], *rows]


def verdict(result: Result) -> list[str]:
    """Say in plain sentences whether the run went well.

    Returns
    -------
    sentences
        Was memory lost, did it run out, did reclaim fail, did CRAM's gate
        close, was CRAM full, which devices were taken away or could not be; then the run's notes, and whether it
        was interrupted.
    """
    sentences = [_loss(result.totals), *_shortage(result), _reclaim(result.totals)]
    if "CRAM" in tiers_of(result):
        sentences += [_gate(result.totals), *_passed_by(result.totals)]
    sentences += [_swapoff(result, event) for event in result.events.iter_rows(named=True)]
    notes = cast("list[str]", result.provenance.get("notes") or [])
    sentences += [f"Note: {note}." for note in notes]
    if result.provenance.get("partial"):
        sentences.append(f"The run was interrupted: this is {_progress(result)}.")
    return sentences


def _loss(totals: Mapping[str, int]) -> str:
    if not totals["poison"]:
        return "No memory was lost."
    words = f"Memory was lost: {_count(totals['poison'], 'write')} in place overran the CRAM media (poison)"
    return f"{words}, and {_count(totals['sigbus'], 'access', 'accesses')} found a lost page (sigbus)."


def _shortage(result: Result) -> list[str]:
    if not result.totals["oom"]:
        return []
    return [f"Memory ran out (oom): no frame could be freed, so the run ended after {_progress(result)}."]


def _reclaim(totals: Mapping[str, int]) -> str:
    if not totals["reclaim_fail"]:
        return "Reclaim always found room."
    return f"Reclaim found no room for {_count(totals['reclaim_fail'], 'victim')}, which stayed where they were."


def _gate(totals: Mapping[str, int]) -> str:
    if not totals["gate_closed_intervals"]:
        return "CRAM's gate never closed."
    refused = _count(totals["cram_refused_gate"], "page")
    return f"CRAM's gate closed {_count(totals['gate_closed_intervals'], 'time')} and turned {refused} away."


# An LRU inversion: warmer pages than those in CRAM end up below it. To be shown, not hidden (rule 4b).
def _passed_by(totals: Mapping[str, int]) -> list[str]:
    if not totals["cram_refused_full"]:
        return []
    passed = _count(totals["cram_refused_full"], "page")
    return [f"{passed} passed CRAM by, because every page it shows was taken by a colder one."]


def _swapoff(result: Result, event: Mapping[str, Any]) -> str:
    when = f"Before access {event['at']:,} {event['device']}"
    if not event["oom"]:
        return f"{when} was taken away: {_moved(event)}"
    left = _count(_left(result, event["device"]), "page is", "pages are")
    return f"{when} could not be taken away: memory ran out; {left} still on it."


def _left(result: Result, device: str) -> int:
    # The run ended there, so what the device held then it holds at the end.
    if device == "cram":
        is_on = pl.col("backing") == "CRAM"
    else:
        machine = cast("Mapping[str, Sequence[object]]", result.provenance["machine"])
        index = len(machine.get("swapfiles") or ()) if device == "zram" else int(device.split()[-1])
        is_on = pl.col("swap_device") == index
    return result.state().filter(~pl.col("is_resident") & is_on).height


def _moved(event: Mapping[str, Any]) -> str:
    moved = {
        "read from the device": event["pages_read"],
        "decompressed": event["pages_loaded"] + event["zero_loaded"],
        "copied out of CRAM": event["cram_loaded"],
        "loaded out of a store": event.get("store_loaded", 0),
        "written on": event["written_back"],
    }
    found = ", ".join(f"{n:,} {what}" for what, n in moved.items() if n) or "no page had to move"
    visits = event[f"visits_{event['method'].replace('-', '_')}"]
    words = f"{visits:,} {event['method']} visits, {found}"
    left = event["minor_faults_left"]
    return words + (f"; {_count(left, 'minor fault')} left behind." if left else ".")


def _progress(result: Result) -> str:
    return f"{result.totals['accesses']:,} of {cast(int, result.provenance['n_accesses']):,} accesses"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
