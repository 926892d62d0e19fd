"""Panels that stay and change: a drawing whose data come later, so that a slider's move sends numbers only.

A panel is a Vega-Lite specification with an empty table, the table's columns,
and the ends of its axes as parameters. The specification depends on which
tiers a machine has and on nothing else; a screen that shows it replaces the
columns in place. Titles are text beside the drawing: they say what was found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, cast

import altair as alt
import numpy as np
import polars as pl

from vswaplab.base.errors import InputError
from vswaplab.base.units import PAGE_SIZE, drawn_ns, format_bytes, format_share
from vswaplab.charts.history import fault_counts, last_places
from vswaplab.charts.tables import (
    COPIED,
    FAULTS,
    MAX_WINDOWS,
    MIB,
    REPEATS,
    TRAFFIC,
    add_up,
    faults_of,
    places_table,
    plugged_tiers,
    traffic_of,
)
from vswaplab.charts.theme import TIER_COLOURS, TIME_TITLE, cram_note, tier_colour
from vswaplab.machine.layers import DESIGNS, metadata_bytes
from vswaplab.results.changes import below_dram_ns
from vswaplab.results.result import Result
from vswaplab.results.summary import TIERS, tiers_of

Columns = dict[str, list[Any]]
"""A table, column by column, as JSON takes it."""

DIFFERENCE = "B \u2212 A"
"""What the view of a difference is called."""

_HEIGHT = 170  # px: six panels and their titles on one screen and a half
_DIGITS = 4  # significant: more than a screen shows
_OWN, _OTHER = "designs of this machine's layer", "of another layer"
_LINE, _LEVEL = "#4D4D4D", "#808080"  # the second stands out on a dark ground too
_NOTHING: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


class Entry(NamedTuple):
    """A line of a panel's legend."""

    name: str
    colour: str
    line: str
    """``area``, or the kind of line: ``solid``, ``dashed``, ``dotted``."""


class View(NamedTuple):
    """One drawing of a panel: what it looks like, and what is in it now."""

    label: str
    spec: dict[str, Any]
    data: Columns
    signals: dict[str, float]


@dataclass(frozen=True)
class Panel:
    """One question of the screen with its answer in words and its drawings."""

    name: str
    title: str
    note: str
    description: str
    legend: tuple[Entry, ...]
    views: tuple[View, ...]


def panels(results: Mapping[str, Result]) -> list[Panel]:
    """Lay one or two results out as panels.

    Parameters
    ----------
    results
        Label to result; of two, every panel shows both on the same axes and
        then the second less the first.

    Returns
    -------
    panels : list of Panel
        Residency, faults, traffic, stall, risk, metadata.
    """
    return [_panel(kind, results) for kind in _KINDS]


class _Kind(NamedTuple):
    name: str
    what: str  # stands before the numbers when two results are compared
    shows: str  # how the alternative text begins
    unit: str  # title of the axis
    keys: Callable[[Result], tuple[str, ...]]
    table: Callable[[Result, Sequence[str]], pl.DataFrame]
    found: Callable[[Result], tuple[str, str]]  # title and note
    measure: Callable[[Result], float | None]  # None: the machine lacks the part
    say: Callable[[float], str]
    form: str  # "areas", "steps", "ways", "lines", "bars"


def _panel(kind: _Kind, results: Mapping[str, Result]) -> Panel:
    shown = list(results.values())
    keys = tuple(dict.fromkeys(key for result in shown for key in kind.keys(result)))
    tables = [kind.table(result, keys) for result in shown]
    end = max(cast(int, result.provenance["n_accesses"]) for result in shown)
    top, low = _reach(tables, kind.form)
    signals = {"end": float(end), "top": top, "low": low}
    spec = _spec(kind.form, keys, kind.unit)
    drawn = [(label, table) for label, table in zip(results, tables, strict=True) if table.height]
    views = [View(label, spec, _columns(table), signals) for label, table in drawn]
    if len(drawn) == 2:
        views.append(_difference(kind, keys, tables, end))
    title, note = kind.found(shown[0]) if len(shown) == 1 else _versus(kind, results)
    note = " ".join(filter(None, (note, "" if kind.form == "bars" else _which_cram(results))))
    return Panel(
        kind.name, title, note, f"{kind.shows} {title}. {note}".strip(), _legend(kind, keys, drawn), tuple(views)
    )


def _which_cram(results: Mapping[str, Result]) -> str:
    # Every figure says which of the two kinds of CRAM it shows.
    devices = {label: _cram(result) for label, result in results.items()}
    notes = {label: str(cram_note(cram["mode"])) for label, cram in devices.items() if cram is not None}
    if len(set(notes.values())) > 1:
        return "; ".join(f"{label}: {words}" for label, words in notes.items()) + "."
    return f"{next(iter(notes.values()))}." if notes else ""


def _legend(kind: _Kind, keys: tuple[str, ...], drawn: Sequence[object]) -> tuple[Entry, ...]:
    # Beside the drawings, because two machines and their difference share it.
    if not drawn:
        return ()
    names = (_OWN, _OTHER) if kind.form == "bars" else keys
    return tuple(
        Entry(name, colour, _LINES.get(name, "area")) for name, colour in zip(names, _colours(names), strict=True)
    )


def _difference(kind: _Kind, keys: tuple[str, ...], tables: list[pl.DataFrame], end: int) -> View:
    names = keys[:1] if kind.form == "lines" else keys  # marks of the media are no curves
    a, b = (_whole(kind, table.head(min(t.height for t in tables)), names) for table in tables)
    table = a.with_columns(b[name] - a[name] for name in names)
    most, _ = _reach([table.with_columns(pl.col(name).abs() for name in names)], "lines")
    form = "bars" if kind.form == "bars" else "lines"
    spec = _spec(f"{form} of differences", tuple(names), f"{DIFFERENCE}: {kind.unit}")
    return View(DIFFERENCE, spec, _columns(table), {"end": float(end), "top": most, "low": -most})


def _whole(kind: _Kind, table: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    # Both ways of a tier's traffic together; of everything else the columns as they are.
    if kind.form != "ways":
        return table.select(*(name for name in table.columns if name not in _LINES or name in names))
    both = (pl.col(f"from {tier}") - pl.col(f"into {tier}") for tier in names)
    return table.select("access", *(expr.alias(tier) for expr, tier in zip(both, names, strict=True)))


def _versus(kind: _Kind, results: Mapping[str, Result]) -> tuple[str, str]:
    (name_a, a), (name_b, b) = results.items()
    old, new = kind.measure(a), kind.measure(b)
    notes = " ".join(f"{label}: {kind.found(result)[0]}." for label, result in results.items())
    said_a, said_b = ("has none" if value is None else kind.say(value) for value in (old, new))
    change = f" ({100 * (new / old - 1):+.0f} %)" if old and new and abs(new / old - 1) >= 0.005 else ""
    change = " (the same)" if old == new and old is not None else change
    return f"{kind.what}: {name_a} {said_a}, {name_b} {said_b}{change}", notes


def _columns(table: pl.DataFrame) -> Columns:
    rounded = table.with_columns(pl.col(pl.Float64).round_sig_figs(_DIGITS))
    return rounded.to_dict(as_series=False)


def _reach(tables: list[pl.DataFrame], form: str) -> tuple[float, float]:
    # How far the axis of values goes up and down, in round numbers, so that it rarely moves.
    up, down, adds_up = 0.0, 0.0, form in ("areas", "steps", "ways")
    for table in tables:
        numbers = np.nan_to_num(table.select(pl.col(pl.Float64)).to_numpy().astype(np.float64))
        if numbers.size:
            rows = numbers.clip(0).sum(axis=1) if adds_up else numbers.max(axis=1)
            up, down = max(up, float(rows.max())), max(down, float(-numbers.clip(max=0).sum(axis=1).min()))
    return _round_up(up), -_round_up(down) if down and form == "ways" else 0.0


def _round_up(value: float) -> float:
    if value <= 0 or not math.isfinite(value):
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    steps = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
    return unit * next((step for step in steps if step * unit >= value * 1.0001), 10.0)


# Tables: a column of time, then one column a series ------------------------------------------


def _windows(result: Result) -> pl.DataFrame:
    return add_up(result.epochs)


def _over_time(result: Result, series: Mapping[str, pl.Expr]) -> pl.DataFrame:
    # Steps: a point at each window's start, and one at the end of the last.
    windows = _windows(result)
    values = [expr.cast(pl.Float64).alias(name) for name, expr in series.items()]
    steps = windows.select(pl.col("start").alias("access"), *values)
    return pl.concat([steps, windows.tail(1).select(pl.col("stop").alias("access"), *values)])


def _rate(names: Sequence[str]) -> pl.Expr:
    # Per 1,000 accesses; of no names, because the machine lacks the other one's tier, 0.
    return pl.sum_horizontal(pl.lit(0, pl.Int64), *names) * 1000.0 / pl.max_horizontal("accesses", 1)


def _held(result: Result, tier: str, column: str, scale: float) -> pl.Series:
    # At each window's end, after a start at which every tier is empty.
    rows = result.tiers.filter(pl.col("tier") == tier)[column] * scale
    return pl.concat([pl.Series(column, [0.0]), rows.cast(pl.Float64)])


def _kept(table: pl.DataFrame) -> pl.DataFrame:
    step = max(1, -(-table.height // (MAX_WINDOWS + 1)))
    return table if step == 1 else pl.concat([table.gather_every(step), table.tail(1)]).unique(maintain_order=True)


def _ends(result: Result) -> pl.Series:
    return pl.concat([pl.Series("access", [0]), result.epochs["stop"].alias("access")])


def _residency(result: Result, keys: Sequence[str]) -> pl.DataFrame:
    have = set(tiers_of(result))
    tiers = [
        _held(result, key, "pages", PAGE_SIZE / MIB).alias(key) if key in have else pl.lit(0.0).alias(key)
        for key in keys
    ]
    return _kept(pl.DataFrame(_ends(result)).with_columns(tiers))


def _faults(result: Result, keys: Sequence[str]) -> pl.DataFrame:
    kinds = faults_of(result.epochs)
    return _over_time(result, {kind: _rate(kinds.get(kind, _NOTHING)[0]) for kind in keys})


def _traffic(result: Result, keys: Sequence[str]) -> pl.DataFrame:
    size = PAGE_SIZE / MIB
    ways = {tier: traffic_of(result.epochs).get(tier, _NOTHING) for tier in keys}
    down = {f"into {tier}": -_rate(into) * size for tier, (into, _) in ways.items()}
    return _over_time(result, down | {f"from {tier}": _rate(back) * size for tier, (_, back) in ways.items()})


def _stall(result: Result, keys: Sequence[str]) -> pl.DataFrame:
    touches = pl.max_horizontal(pl.sum_horizontal("reads", "writes", *REPEATS), 1)
    have = {*TIERS, *plugged_tiers(result.epochs)}
    waits = {tier: pl.col(f"stall_{tier.lower()}_ns") if tier in have else pl.lit(0) for tier in keys}
    return _over_time(result, {tier: wait / touches for tier, wait in waits.items()})


_STORED, _MEDIA, _WRITEBACK, _CLOSES = "stored on the media", "media", "writeback begins", "gate closes"


def _risk(result: Result, keys: Sequence[str]) -> pl.DataFrame:
    cram = _cram(result)
    table = pl.DataFrame(_ends(result))
    if cram is None:
        return table.head(0).with_columns(pl.lit(0.0).alias(key) for key in keys)
    media = cram["media_bytes"] / MIB
    levels = {_MEDIA: media, _WRITEBACK: media * cram["writeback_high"], _CLOSES: media * cram["close_at"]}
    stored = _held(result, "CRAM", "media_bytes", 1 / MIB).alias(_STORED)
    return _kept(table.with_columns(stored, *(pl.lit(float(level)).alias(name) for name, level in levels.items())))


def _cram(result: Result) -> dict[str, Any] | None:
    machine = cast("Mapping[str, Any]", result.provenance["machine"])
    return cast("dict[str, Any] | None", machine["cram"])


def _metadata(result: Result, keys: Sequence[str]) -> pl.DataFrame:
    rows = metadata_table(result)
    return rows.select("design", mib=pl.col("metadata_bytes") / MIB, whose=_whose())


def _whose() -> pl.Expr:
    return pl.when("is_own").then(pl.lit(_OWN)).otherwise(pl.lit(_OTHER))


def metadata_table(result: Result) -> pl.DataFrame:
    """Price a run's last window with every layer design, by the published bits a slot.

    Exact for designs of the machine's own kind, and for others as long as no
    device fills up: a layer does not change which page is where. The series
    over time, with whole clusters, is ``metadata_along``.

    Returns
    -------
    table : polars.DataFrame
        ``design``, ``metadata_bytes`` (null: more in use than the devices
        have slots), ``is_own`` (a design of the machine's layer).
    """
    machine = cast("Mapping[str, Any]", result.provenance["machine"])
    used, capacity = slots_in_use(result)
    rows = []
    for design in DESIGNS.values():
        try:
            n_bytes: int | None = metadata_bytes(design.name, capacity_slots=capacity, **used)
        except InputError:
            n_bytes = None
        rows.append((design.name, n_bytes, design.layer == machine["layer"]))
    schema = {"design": pl.String, "metadata_bytes": pl.Int64, "is_own": pl.Boolean}
    return pl.DataFrame(rows, schema=schema, orient="row")


def slots_in_use(result: Result) -> tuple[dict[str, int], int]:
    """Count the slots that swapped pages hold at the end, by what stands behind them, and those of the devices.

    Page by page; a sample, which has none, by its tiers: a page that another tier holds and that kept its old slot
    is then counted twice.
    """
    machine = cast("Mapping[str, Any]", result.provenance["machine"])
    state = result.state()
    used = _slots_of_pages(state, machine) if state.height else _slots_of_tiers(result, machine)
    capacity = sum(device["capacity_slots"] for device in machine["swapfiles"])
    capacity += 0 if machine["zram"] is None else machine["zram"]["disksize_bytes"] // PAGE_SIZE
    return used, capacity


def _slots_of_pages(state: pl.DataFrame, machine: Mapping[str, Any]) -> dict[str, int]:
    has_device = pl.col("swap_device").is_not_null()
    in_cram = pl.col("backing") == "CRAM" if _is_swap(machine["cram"]) else pl.lit(value=False)
    behind = {
        "zswap": ~pl.col("backing").is_in(["NONE", "ZERO", "CRAM", "ZRAM", "SWAPFILE"]),  # and plug-ins' tiers
        "zero": (pl.col("backing") == "ZERO") | pl.col("is_cache_only"),
        "cram": in_cram,
    }
    if machine["layer"] == "none":  # there a page holds a slot of the device, or none
        held = {kind: mask & has_device for kind, mask in behind.items()}
        held["disk"] = has_device & ~pl.any_horizontal(*held.values())
    else:
        held = {kind: mask & ~has_device for kind, mask in behind.items()} | {"disk": has_device}
    return state.select(**{kind: mask.sum() for kind, mask in held.items()}).row(0, named=True)


def _slots_of_tiers(result: Result, machine: Mapping[str, Any]) -> dict[str, int]:
    last = result.tiers.filter(pl.col("epoch") == result.tiers["epoch"].max())
    rows = {row["tier"]: row for row in last.iter_rows(named=True)}
    pages = {tier: rows[tier]["pages"] if tier in rows else 0 for tier in TIERS}
    stored = sum(row["pages"] for tier, row in rows.items() if tier not in TIERS)  # each needs an entry as zswap's do
    used = {"zswap": pages["zswap"] + stored, "zero": pages["ZERO"]}
    used["cram"] = pages["CRAM"] if _is_swap(machine["cram"]) else 0
    on_files = rows["swapfile"]["media_bytes"] // PAGE_SIZE if "swapfile" in rows else 0
    disk = on_files + pages["zram"]
    if machine["layer"] == "none":  # there every swapped page holds a slot of the device
        disk = max(0, disk - sum(used.values()))
    return used | {"disk": disk}


def _is_swap(cram: Mapping[str, Any] | None) -> bool:
    return cram is not None and cram["mode"] == "swap"


# Keys: what a machine's tiers can show, whether or not it happens --------------------------------

_FAULT_TIER = {"first touch": "DRAM", COPIED: "DRAM", "zero page": "ZERO", "zswap, decompressed": "zswap"}
_FAULT_TIER |= {"CRAM, mapped in place": "CRAM", "CRAM, moved to DRAM": "CRAM"}
_FAULT_TIER |= {"zram, decompressed": "zram", "swapfile, read": "swapfile"}


def _tier_keys(result: Result) -> tuple[str, ...]:
    return tuple(tiers_of(result))


def _fault_keys(result: Result) -> tuple[str, ...]:
    have, copies = tiers_of(result), int(result.epochs["copy_on_write"].sum())
    kinds = (kind for kind in faults_of(result.epochs) if kind != COPIED or copies)  # which only shared pages have
    return tuple(kind for kind in kinds if _FAULT_TIER.get(kind, _tier_of(kind)) in have)


def _traffic_keys(result: Result) -> tuple[str, ...]:
    return tuple(tier for tier in tiers_of(result) if tier in traffic_of(result.epochs))


def _below_keys(result: Result) -> tuple[str, ...]:
    return tuple(tier for tier in tiers_of(result) if tier != "DRAM")


def _risk_keys(_: Result) -> tuple[str, ...]:
    return (_STORED, _MEDIA, _WRITEBACK, _CLOSES)


def _metadata_keys(_: Result) -> tuple[str, ...]:
    return ("mib",)


# Findings -------------------------------------------------------------------------------------


def _found_residency(result: Result) -> tuple[str, str]:
    return f"Pages at the end: {last_places(places_table(result.tiers))}", ""


def _found_faults(result: Result) -> tuple[str, str]:
    return fault_counts(result.epochs), ""


def _moved(result: Result, way: int) -> dict[str, int]:
    ways = traffic_of(result.epochs)
    moves = {tier: sum(int(result.epochs[name].sum()) for name in names[way]) for tier, names in ways.items()}
    return {tier: n * PAGE_SIZE for tier, n in moves.items() if n}


def _found_traffic(result: Result) -> tuple[str, str]:
    down, up = _moved(result, 0), _moved(result, 1)
    if not down and not up:
        return "Nothing moves between tiers", ""
    busiest = max(down | up, key=lambda tier: down.get(tier, 0) + up.get(tier, 0))
    title = f"{format_bytes(sum(down.values()))} go into tiers below DRAM, {format_bytes(sum(up.values()))} come back"
    return title, f"Most of it is {busiest}'s; writeback from tier to tier counts as into the lower one."


def _below(result: Result) -> dict[str, int]:
    stalls = {tier: int(result.epochs[f"stall_{tier.lower()}_ns"].sum()) for tier in _below_keys(result)}
    return {tier: ns for tier, ns in stalls.items() if ns}


def _found_stall(result: Result) -> tuple[str, str]:
    stalls = _below(result)
    whole = sum(stalls.values())
    if not whole:
        return "The program never waits below DRAM", ""
    ranked = sorted(stalls.items(), key=lambda item: -item[1])
    shares = ", ".join(f"{tier} {format_share(ns / whole)}" for tier, ns in ranked)
    return f"The program waits {drawn_ns(whole)} below DRAM: {shares}", "A model's time, from a table of costs."


def headroom_bytes(result: Result) -> int | None:
    """Give the least media that was free at a window's end; None without CRAM."""
    cram = _cram(result)
    if cram is None:
        return None
    stored = result.tiers.filter(pl.col("tier") == "CRAM")["media_bytes"]
    return int(cram["media_bytes"]) - max(stored.to_list(), default=0)


def _found_risk(result: Result) -> tuple[str, str]:
    free, cram, totals = headroom_bytes(result), _cram(result), result.totals
    if free is None or cram is None:
        return "No CRAM: nothing can be overrun", ""
    share = free / cram["media_bytes"]
    room = f"least headroom to the media at a window's end {format_bytes(free)} ({format_share(share)})"
    shown = (
        f"The device shows {format_bytes(cram['advertised_bytes'])} over {format_bytes(cram['media_bytes'])} of media."
    )
    if totals["poison"]:
        return (
            f"Memory was lost: {totals['poison']:,} writes overran the media (poison)",
            f"{shown} {room.capitalize()}.",
        )
    if not cram["writable_budget_pages"]:
        return f"No memory can be lost: nothing is writable in place; {room}", shown
    return f"No memory was lost; {room}", shown


def _found_metadata(result: Result) -> tuple[str, str]:
    own = metadata_table(result).filter("is_own").drop_nulls().sort("metadata_bytes")
    used, _ = slots_in_use(result)
    pages = f"Names of {sum(used.values()):,} slots at the end take"
    if not own.height:
        return "No design of this layer can hold what is swapped out", "More slots are in use than the devices have."
    ends = [f"{format_bytes(row['metadata_bytes'])} ({row['design']})" for row in own.iter_rows(named=True)]
    span = ends[0] if len(ends) == 1 else f"{ends[0]} to {ends[-1]}"
    layer = cast("Mapping[str, Any]", result.provenance["machine"])["layer"]
    return f"{pages} {span}", f'Layer "{layer}"; published bits a slot, device static part included.'


def _newest_metadata(result: Result) -> float:
    own = metadata_table(result).filter("is_own")["metadata_bytes"].drop_nulls()
    return float(cast(int, own.min())) if len(own) else 0.0


def _faults_of(result: Result) -> float:
    return float(
        sum(int(result.epochs[name].sum()) for names, _ in faults_of(result.epochs).values() for name in names)
    )


def _outside_dram(result: Result) -> float:
    last = result.tiers.filter(pl.col("epoch") == result.tiers["epoch"].max(), pl.col("tier") != "DRAM")
    return float(last["pages"].sum() * PAGE_SIZE)


def _moved_bytes(result: Result) -> float:
    return float(sum(_moved(result, 0).values()) + sum(_moved(result, 1).values()))


def _count(value: float) -> str:
    return f"{value:,.0f}"


_KINDS = (
    _Kind("residency", "Below DRAM at the end", "Areas of the pages in each tier over the run, fastest at the bottom.",
          "Pages (MiB, uncompressed)", _tier_keys, _residency, _found_residency, _outside_dram, format_bytes, "areas"),
    _Kind("faults", "Faults", "Areas of the faults by kind over the run.",
          "Faults (per 1,000 accesses)", _fault_keys, _faults, _found_faults, _faults_of, _count, "steps"),
    _Kind("traffic", "Moved between tiers", "Areas of the traffic of each tier over the run: below zero what went "
          "into the tier, above what came back.", "Traffic (MiB per 1,000 accesses)", _traffic_keys, _traffic,
          _found_traffic, _moved_bytes, format_bytes, "ways"),
    _Kind("stall", "Waits below DRAM", "Areas of the time an access waits, by the tier it waits for, over the run.",
          "Stall below DRAM (ns per touch)", _below_keys, _stall, _found_stall,
          lambda r: float(below_dram_ns(r)), drawn_ns, "steps"),
    _Kind("risk", "Least headroom to the CRAM media at a window's end", "Lines of the bytes stored on the CRAM "
          "media over the run, the media's size, and the marks at which writeback begins and the gate closes.",
          "CRAM media (MiB)",
          _risk_keys, _risk, _found_risk, headroom_bytes, format_bytes, "lines"),
    _Kind("metadata", "Smallest metadata of the layer", "Bars of what each layer design's metadata takes at the end.",
          "Metadata (MiB)", _metadata_keys, _metadata, _found_metadata, _newest_metadata, format_bytes,
          "bars"),
)  # fmt: skip


# Specifications -------------------------------------------------------------------------------

_COLOURS = dict(TIER_COLOURS) | {kind: colour for kind, (_, colour) in FAULTS.items()}
_COLOURS |= {f"{way} {tier}": TIER_COLOURS[tier] for way in ("into", "from") for tier in TRAFFIC}
_COLOURS |= {_STORED: TIER_COLOURS["CRAM"], _MEDIA: _LEVEL, _WRITEBACK: _LEVEL, _CLOSES: _LEVEL}  # told apart by dash
_COLOURS |= {_OWN: TIER_COLOURS["DRAM"], _OTHER: TIER_COLOURS["ZERO"]}
_LINES = {_STORED: "solid", _MEDIA: "solid", _WRITEBACK: "dashed", _CLOSES: "dotted"}
_DASHES = {"solid": [1, 0], "dashed": [6, 4], "dotted": [2, 3]}


@cache
def _spec(form: str, keys: tuple[str, ...], unit: str) -> dict[str, Any]:
    makers = {"areas": _areas, "steps": _areas, "ways": _ways, "lines": _lines, "bars": _bars}
    kind, *difference = form.split(" of ")
    chart = _changes(keys, unit) if difference and kind == "lines" else makers[kind](keys, unit, kind)
    parameters = [alt.param(name=name, value=value) for name, value in (("end", 1), ("top", 1), ("low", 0))]
    height = 15 * len(DESIGNS) if kind == "bars" else _HEIGHT
    whole = chart.add_params(*parameters).properties(width="container", height=height)
    spec: dict[str, Any] = whole.to_dict()
    return {name: part for name, part in spec.items() if name != "config"}  # the screen has a theme of its own


def _base(keys: Sequence[str]) -> alt.Chart:
    return alt.Chart(alt.NamedData("table")).transform_fold(list(keys), as_=["series", "value"])


def _time() -> alt.X:
    axis = alt.Axis(
        title=TIME_TITLE, labelExpr="datum.value ? format(datum.value, '~s') : '0'", grid=False, tickCount=6
    )
    return alt.X("access:Q", axis=axis, scale=alt.Scale(domain=[0, alt.ExprRef("end")], nice=False))


def _scale() -> alt.Scale:
    return alt.Scale(domain=[alt.ExprRef("low"), alt.ExprRef("top")], nice=False)


def _colour(keys: Sequence[str], field: str = "series:N") -> alt.Color:
    return alt.Color(field, scale=alt.Scale(domain=list(keys), range=_colours(keys)), legend=None)


def _colours(keys: Sequence[str]) -> list[str]:
    plugged = [_tier_of(key) for key in keys if key not in _COLOURS]
    return [_COLOURS.get(key) or tier_colour(_tier_of(key), plugged) for key in keys]


def _tier_of(key: str) -> str:
    # The plug-in's tier that a series is of.
    return key.removesuffix(", loaded").removeprefix("into ").removeprefix("from ")


def _rank(keys: Sequence[str]) -> str:
    return f"indexof({list(keys)!r}, datum.series)"


def _tips(unit: str, value: str = "value:Q") -> list[alt.Tooltip]:
    return [
        alt.Tooltip("series:N", title="What"),
        alt.Tooltip("access:Q", title="Access", format=","),
        alt.Tooltip(value, title=unit, format=",.3~f"),
    ]


def _areas(keys: tuple[str, ...], unit: str, form: str) -> alt.Chart:
    chart: alt.Chart = (
        _base(keys)
        .transform_calculate(rank=_rank(keys))
        .mark_area(interpolate="step-after" if form == "steps" else "linear")
        .encode(
            x=_time(),
            y=alt.Y("value:Q", title=unit, stack="zero", scale=_scale(), axis=alt.Axis(tickCount=5)),
            color=_colour(keys),
            order=alt.Order("rank:Q"),
            tooltip=_tips(unit),
        )
    )
    return chart


def _ways(keys: tuple[str, ...], unit: str, form: str) -> alt.LayerChart:
    # Two layers, because a stack takes a zero for a number above the line.
    title = [unit, "\u2190 into the tier | back \u2192"]
    sizes = alt.Axis(labelExpr="format(abs(datum.value), '~r')", tickCount=5)
    y = alt.Y("value:Q", title=title, stack="zero", scale=_scale(), axis=sizes)
    parts = [
        _base([f"{way} {tier}" for tier in keys])
        .transform_calculate(
            tier="slice(datum.series, 5)", size="abs(datum.value)", rank=_rank([f"{way} {tier}" for tier in keys])
        )
        .mark_area(interpolate="step-after")
        .encode(
            x=_time(),
            y=y,
            color=_colour(keys, "tier:N"),
            order=alt.Order("rank:Q"),
            detail="series:N",
            tooltip=_tips(unit, "size:Q"),
        )
        for way in ("into", "from")
    ]
    return _joined(*parts, _zero())


def _zero() -> alt.Chart:
    rule: alt.Chart = alt.Chart(alt.InlineData([{"zero": 0}])).mark_rule(color=_LINE).encode(y="zero:Q")
    return rule


def _joined(*charts: alt.Chart) -> alt.LayerChart:
    chart = alt.layer(*charts)
    assert isinstance(chart, alt.LayerChart)
    return chart


def _lines(keys: tuple[str, ...], unit: str, form: str) -> alt.Chart:
    dashes = alt.Scale(domain=list(keys), range=[_DASHES[_LINES[key]] for key in keys])
    chart: alt.Chart = (
        _base(keys)
        .mark_line(strokeWidth=2.5, interpolate="linear")
        .encode(
            x=_time(),
            y=alt.Y("value:Q", title=unit, scale=_scale(), axis=alt.Axis(tickCount=5)),
            color=_colour(keys),
            strokeDash=alt.StrokeDash("series:N", scale=dashes, legend=None),
            tooltip=_tips(unit),
        )
    )
    return chart


def _changes(keys: tuple[str, ...], unit: str) -> alt.LayerChart:
    y = alt.Y("value:Q", title=unit, scale=_scale(), axis=alt.Axis(tickCount=5))
    lines = _base(keys).mark_line(strokeWidth=2).encode(x=_time(), y=y, color=_colour(keys), tooltip=_tips(unit))
    return _joined(lines, _zero())


def _bars(keys: tuple[str, ...], unit: str, form: str) -> alt.Chart:
    chart: alt.Chart = (
        alt.Chart(alt.NamedData("table"))
        .mark_bar()
        .encode(
            x=alt.X("mib:Q", title=unit, scale=_scale(), axis=alt.Axis(tickCount=5)),
            y=alt.Y("design:N", title="Layer design", sort=list(DESIGNS), axis=alt.Axis(labelLimit=160)),
            color=_colour((_OWN, _OTHER), "whose:N"),
            tooltip=["design:N", alt.Tooltip("mib:Q", title="MiB", format=",.3~f")],
        )
    )
    return chart
