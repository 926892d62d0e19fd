"""The README's figure and tables: what ``vswaplab run``, ``traces`` and ``profiles`` say."""

from __future__ import annotations

import polars as pl

from vswaplab.charts.digest import short_digest
from vswaplab.charts.display import TABLE, table_bundle
from vswaplab.charts.history import residency_chart
from vswaplab.engine.run import simulate
from vswaplab.machine.presets import DEFAULT_PRESET, preset
from vswaplab.machine.profiles import profiles
from vswaplab.reproduce.parts import Figure, Part, Table
from vswaplab.results.summary import summarise
from vswaplab.trace.files import load_trace, shipped_traces

NAME = "readme"
_TRACE, _SEED = "redis", 0


def readme_part() -> Part:
    """Make the README's figure and its tables: tier by tier, the traces, the profiles."""
    trace = load_trace(_TRACE)
    result = simulate(trace, preset(DEFAULT_PRESET, trace.n_pages), seed=_SEED)
    if result.provenance["partial"]:
        raise KeyboardInterrupt  # noted by the engine; half a run is not what the README shows
    figure = Figure.drawn(f"{NAME}_figure_1", residency_chart(result.tiers, cram_mode="swap").to_dict())
    tables = [summarise(result), shipped_traces().drop("path"), profiles()]  # a path is that of one machine
    settings = {"TRACE": _TRACE, "MACHINE": DEFAULT_PRESET, "SEED": _SEED}
    code = short_digest("vswaplab run; vswaplab traces; vswaplab profiles")
    return Part(NAME, "README.md", code, settings, [figure], [_table(i, t) for i, t in enumerate(tables, 1)])


def _table(number: int, table: pl.DataFrame) -> Table:
    return Table(f"{NAME}_table_{number}", **table_bundle(table)[TABLE])
