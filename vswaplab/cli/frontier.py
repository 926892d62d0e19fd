"""``vswaplab frontier``: what the machines of a sweep cost, make a program wait and may lose."""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from vswaplab.base.checks import whole_of
from vswaplab.base.errors import InputError
from vswaplab.base.progress import Progress
from vswaplab.base.whole import refused_in_one_line, write_whole
from vswaplab.cli.run import RESULTS
from vswaplab.cli.sweep import Asked, add_workers, check_sweep_folder, open_executor, read_grid
from vswaplab.cli.text import INTERRUPTED, OK, aligned_table
from vswaplab.machine.dollars import dram_price, prices
from vswaplab.machine.presets import with_settings
from vswaplab.results.pareto import pareto, within
from vswaplab.sweeps.design import axes, spelled
from vswaplab.sweeps.frontier import RISKS, SCHEMA, frontier, next_dollar
from vswaplab.sweeps.optimise import optimise
from vswaplab.sweeps.worker import model_version

_MOST = 12  # rows that are printed
_MOST_TRIALS = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what ``frontier`` understands."""
    add = parser.add_argument
    add("grid", metavar="GRID.toml", help="as for vswaplab sweep")
    add("--prices", metavar="FILE.toml", help="dollars a GiB; default: the built-in ones, see vswaplab prices")
    add("--at", metavar="DAY", help="take the prices of that day, YYYY-MM-DD; default: the newest")
    add(
        "--below",
        metavar="NAME=LIMIT",
        action="append",
        default=[],
        help="only machines within it: stall_percent=2, poison_high=1e-6, cost_usd=... (may be given more than once)",
    )
    add("--search", metavar="N", help="search the settings' ranges for the cheapest, N machines (extra optimise)")
    add("--cached", action="store_true", help="show stall_cached_percent: the CPU's caches serve repeats of a record")
    add_workers(parser)
    add("--out", metavar="DIR", help=f"where runs, table and figure go, default {RESULTS}/frontier-GRID")
    parser.set_defaults(verb=run_frontier)


def run_frontier(arguments: argparse.Namespace) -> int:
    """Run what is missing, price it, tell; return the exit status."""
    source = Path(arguments.grid)
    below = _limits(arguments.below)
    n_trials = None if arguments.search is None else _n_trials(arguments.search)
    table_of_prices = prices(arguments.prices, at=arguments.at)
    asked = read_grid(source)
    folder = Path(arguments.out) if arguments.out is not None else RESULTS / f"frontier-{source.stem}"
    check_sweep_folder(folder)
    _introduce(asked, table_of_prices, n_trials)
    table = _measured(asked, arguments, table_of_prices, below, n_trials, folder)
    stall, account = ("stall_cached_percent", "caches") if arguments.cached else ("stall_percent", "device")
    front = pareto(table, ["cost_usd", stall], below=below)
    _save_table(folder, table)
    steps = _next(asked, front, table_of_prices)
    _save_facts(folder, asked, steps, table_of_prices, below)
    steps = steps.filter(account=account) if steps.height else steps
    _draw(folder, asked, table, steps, table_of_prices, below, stall)
    _tell(asked, table, front, steps, below, stall)
    print(f"Result: {os.path.join(folder, 'frontier.parquet')}, frontier.svg")  # noqa: PTH118 - as the user wrote it
    return OK if table.height == (n_trials or len(asked.design)) else INTERRUPTED


def _limits(given: list[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in given:
        name, equals, value = (part.strip() for part in text.partition("="))
        known = [column for column, dtype in SCHEMA.items() if dtype in (pl.Float64, pl.Int64) and column != "point"]
        if not equals or name not in known:
            raise InputError(f"--below {text!r} is not NAME=LIMIT with a name out of {', '.join(known)}")
        if name in found:
            raise InputError(f"--below {text!r}: {name} has a limit already: give one")
        found[name] = _limit(text, value)
    return found


def _limit(text: str, value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise InputError(f"--below {text!r}: the limit must be a finite number")
    return found


def _n_trials(text: str) -> int:
    expected = f"a whole number of machines from 1 to {_MOST_TRIALS:,}"
    return whole_of("--search", text, 1, _MOST_TRIALS, expected=expected)


def _introduce(asked: Asked, table: pl.DataFrame, n_trials: int | None) -> None:
    n = n_trials or len(asked.design)
    print(f"Frontier of {n:,} machines, {len(asked.seeds)} seed(s) each, on trace {asked.trace.name}")
    print(f"  {len(asked.trace):,} accesses to {asked.trace.n_pages:,} pages; machine {asked.machine_name}")
    newest = table.sort("date").unique("item", keep="last", maintain_order=True).sort("item")
    told = [
        f"{row['item']} ${row['usd_per_gib']:,.2f} ({row['date']}, evidence {row['tag']})" for row in newest.to_dicts()
    ]
    print(f"  dollars a GiB: {'; '.join(told)}", flush=True)


def _measured(
    asked: Asked,
    arguments: argparse.Namespace,
    table_of_prices: pl.DataFrame,
    below: Mapping[str, float],
    n_trials: int | None,
    folder: Path,
) -> pl.DataFrame:
    with open_executor(arguments) as executor, Progress(sys.stderr, "machines" if n_trials else "runs") as bar:
        wanted = {
            "prices": table_of_prices,
            "seeds": asked.seeds,
            "executor": executor,
            "store": folder / "store",
            "progress": bar,
        }
        if n_trials is None:
            return frontier(asked.trace, asked.machine, asked.design, **wanted)  # type: ignore[arg-type]
        return optimise(asked.trace, asked.machine, asked.settings, below=below, trials=n_trials, **wanted)  # type: ignore[arg-type]


def _next(asked: Asked, front: pl.DataFrame, table_of_prices: pl.DataFrame) -> pl.DataFrame:
    # The cheapest machine within the limits, the one in the middle of the front, the one that waits least.
    rows = front.unique("cost_usd", keep="first", maintain_order=True).to_dicts()
    chosen = {i: rows[i] for i in (0, len(rows) // 2, len(rows) - 1) if rows}
    known = axes(asked.settings)
    tables = []
    for label, row in zip("ABC", chosen.values(), strict=False):
        settings = [f"{name}={spelled(axis.value(row[name]))}" for name, axis in known.items()]
        machine = with_settings(asked.machine, settings)
        steps = next_dollar(asked.trace, machine, prices=table_of_prices, seed=asked.seeds[0])
        tables.append(steps.select(pl.lit(label).alias("machine"), pl.lit(row["point"]).alias("point"), pl.all()))
    return pl.concat(tables) if tables else pl.DataFrame()


def _save_table(folder: Path, table: pl.DataFrame) -> None:
    content = io.BytesIO()
    table.write_parquet(content)
    _write(folder, "frontier.parquet", content.getvalue())


def _save_facts(
    folder: Path, asked: Asked, steps: pl.DataFrame, table_of_prices: pl.DataFrame, below: Mapping[str, float]
) -> None:
    provenance = {
        "model": model_version(),
        "trace": asked.trace.name,
        "trace_digest": asked.trace.digest,
        "machine": asked.machine.to_dict(),
        "settings": list(asked.settings),
        "seeds": asked.seeds,
        "below": dict(below),
        "prices": table_of_prices.with_columns(pl.col("date").cast(pl.String)).to_dicts(),
        "next_dollar": steps.to_dicts(),
    }
    _write(folder, "frontier.json", (json.dumps(provenance, indent=2) + "\n").encode())


def _write(folder: Path, name: str, content: bytes) -> None:
    with refused_in_one_line(f"the table to {folder}", "make room and start again: every run is kept"):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(content, folder / name)


def _draw(
    folder: Path,
    asked: Asked,
    table: pl.DataFrame,
    steps: pl.DataFrame,
    table_of_prices: pl.DataFrame,
    below: Mapping[str, float],
    stall: str,
) -> None:
    if not table[stall].count():
        return
    from vswaplab.charts.frontier import frontier_chart  # the plotting library takes a second: only when it draws
    from vswaplab.charts.theme import save_chart

    labels = dict(steps.select("point", "machine").unique().iter_rows()) if steps.height else {}
    named = table.with_columns(label=pl.col("point").replace_strict(labels, default=None, return_dtype=pl.String))
    mode = asked.machine.cram.mode if asked.machine.cram is not None else None
    days = table_of_prices["date"]
    chart = frontier_chart(
        named,
        steps if steps.height else None,
        cram_mode=mode,
        note=f"{asked.trace.name}; prices of {max(days.to_list())} and before",
        all_dram=dram_price(table_of_prices),
        below=below,
        stall=stall,
    )
    save_chart(chart, folder / "frontier.svg")


def _tell(
    asked: Asked,
    table: pl.DataFrame,
    front: pl.DataFrame,
    steps: pl.DataFrame,
    below: Mapping[str, float],
    stall: str,
) -> None:
    limits = " and ".join(f"{name} up to {limit:g}" for name, limit in below.items())
    n_within = within(table, below).filter(pl.col("reason").is_null()).height
    if not front.height:
        print(f"\nNo machine is within {limits or 'what memory allows'}: {_first_reason(table)}")
        return
    shown = front.gather_every(max(1, -(-front.height // _MOST)))
    told = f"of {n_within:,} within {limits}" if limits else f"of {n_within:,}"
    print(f"\nThe {front.height} that nothing beats, {told}{'' if shown.height == front.height else ' (some shown)'}:")
    heads = [
        *asked.settings,
        "Cost, $",
        "Cost, $/GiB",
        "All-DRAM, %",
        "Below DRAM, % of time",
        "Faults to disk",
        "Data",
    ]
    print(aligned_table([heads, *[_front_row(asked, row, stall) for row in shown.to_dicts()]], left=0))
    print("\nWhat the next dollar saves, spent on one tier (A: the cheapest of them, then the middle, the last):")
    body = [
        [row["machine"], row["tier"], *(_number(row[name]) for name in ("saved_ms_per_usd", "saved_ms_per_gib"))]
        for row in steps.to_dicts()
    ]
    print(aligned_table([["Machine", "Tier", "Stall saved, ms/$", "Stall saved, ms/GiB"], *body], left=2))
    print()


def _front_row(asked: Asked, row: Mapping[str, object], stall: str) -> list[str]:
    numbers = [f"{row['cost_usd']:,.2f}", f"{row['usd_per_gib']:,.2f}"]
    share = row["cost_ratio"]
    numbers.append("-" if share is None else f"{100 * float(str(share)):.0f}")
    settings = [spelled(row[name]) for name in asked.settings]
    return [*settings, *numbers, f"{row[stall]:.3g}", f"{row['pswpin']:,.0f}", _risk_words(row)]


def _risk_words(row: Mapping[str, object]) -> str:
    if row["risk"] == RISKS[0]:
        return "cannot be lost"
    seen = "lost in" if row["poisoned"] else "lost in none:"
    counted = f"{row['poisoned']} of {row['runs']} runs:" if row["poisoned"] else ""
    return f"{seen} {counted} up to {100 * float(str(row['poison_high'])):.2g} % of runs".replace("  ", " ")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"


def _first_reason(table: pl.DataFrame) -> str:
    reasons = table["reason"].drop_nulls()
    return f"{reasons[0]}" if reasons.len() else "widen the limits or the ranges"
