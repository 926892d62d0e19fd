"""The explorer: three numbers of a machine as sliders, its figures, and what the last change did.

It holds state only. A move builds a ``Machine``, runs ``simulate`` on it and
hands the tables to the same chart functions as a still figure; each panel is
one chart widget whose chart is replaced, because every new chart widget
carries a megabyte of JavaScript.
"""

from __future__ import annotations

import html
import warnings

import altair as alt
import ipywidgets as widgets
import polars as pl

from vswaplab.base.errors import InputError
from vswaplab.base.units import PAGE_SIZE, format_ns
from vswaplab.charts import residency_chart, stall_chart
from vswaplab.engine import simulate
from vswaplab.machine.config import Machine
from vswaplab.machine.presets import with_settings
from vswaplab.results.result import Result
from vswaplab.trace.trace import Trace
from vswaplab.widgets.control import Control

MIB = 1 << 20

_ROWS = {
    "served by DRAM": ("dram_hit",),
    "read in place in CRAM": ("cram_soft_fault", "cram_read"),
    "moved from CRAM to DRAM by a write": ("cram_promote",),
    "decompressed from zswap": ("zswpin",),
    "read from the swapfile": ("pswpin",),
}


class Explorer:
    """Move DRAM, CRAM media and the writeback mark of a machine, and see what changes.

    Parameters
    ----------
    trace : Trace
    machine : Machine
        Where the sliders start; needs CRAM. What has no slider stays as it is,
        and so do the ratio of advertised to media bytes and the distance of
        the two writeback marks.
    seed : int

    Raises
    ------
    InputError
        The machine has no CRAM.
    """

    def __init__(self, trace: Trace, machine: Machine, *, seed: int = 0) -> None:
        if machine.cram is None:
            raise InputError("the explorer needs a machine with CRAM: give it vl.Machine(cram=vl.Cram(...))")
        self._trace, self._base, self._seed = trace, machine, seed
        high, low = machine.cram.writeback_high, machine.cram.writeback_low
        self._distance = round(100 * (high - low))
        pages, media = machine.dram.capacity_pages, max(1, round(machine.cram.media_bytes / MIB))
        step = 1 << max(0, (trace.n_pages // 64).bit_length() - 1)
        tenth = min(pages, max(step, trace.n_pages // 10))  # less takes seconds a move, and shows only thrashing
        least = pages - (pages - tenth) // step * step  # on the slider's grid, as the start is
        most = max(trace.n_pages, pages)
        all_mib = max(-(-trace.n_pages * PAGE_SIZE // MIB), media)
        self.dram = Control("DRAM (pages)", "DRAM", "pages", pages, least, most, step)
        self.media = Control("CRAM media (MiB)", "CRAM media", "MiB", media, 0, all_mib, 1)
        self.mark = Control("Writeback mark (%)", "Writeback mark", "% of media", round(100 * high), 1, 100, 1)
        self.machine = machine
        self.sentence = ""
        self.result = self._run(machine)
        self.table = _table(self.result)
        self._text, self._figures = widgets.HTML(), widgets.HTML()
        self._residency, self._stall = _panel(), _panel()
        self.view = widgets.VBox([*self._controls(), self._text, self._residency, self._stall, self._figures])
        self._show(f"The program waits {format_ns(_below_ns(self.result))} below DRAM. Move a slider.")
        for control in (self.dram, self.media, self.mark):
            control.on_move(self._moved)

    def __repr__(self) -> str:
        here = ", ".join(f"{c.noun} {c.say(c.value)}" for c in (self.dram, self.media, self.mark))
        return f"Explorer({here}; run the notebook to move them)"

    def _repr_mimebundle_(self, **options: object) -> dict[str, object]:
        bundle: dict[str, object] = self.view._repr_mimebundle_(**options)
        return bundle | {"text/plain": repr(self)}

    def _controls(self) -> list[widgets.HBox]:
        return [control.view for control in (self.dram, self.media, self.mark)]

    def _moved(self, control: Control, old: int, new: int) -> None:
        try:
            machine = self._wanted(control)
            result = self._run(machine)
        except InputError as error:
            control.put_back(old)
            self._say(f"{control.noun} stays at {control.say(old)}, {control.say(new)} is refused: {error}.")
            return
        before, self.machine, self.result = self.result, machine, result
        self.table = _table(result, before)
        self._show(f"{control.noun} from {control.say(old)} to {control.say(new)}: {_effect(before, result)}.")

    def _wanted(self, moved: Control) -> Machine:
        # Only what was moved is set, so that the sliders' start is the machine itself.
        settings = [f"dram.capacity_pages={self.dram.value}"] if self.dram.is_moved else []
        if self.media.value == 0:
            if moved is self.mark:
                raise InputError("the machine has no CRAM to write back; give it media first")
            return with_settings(self._base, [*settings, "cram=none"])
        if self.media.is_moved:
            settings.append(f"cram.media_bytes={self.media.value}MiB")
        if self.mark.is_moved:
            low = max(0, self.mark.value - self._distance)
            settings += [f"cram.writeback_high={self.mark.value / 100}", f"cram.writeback_low={low / 100}"]
        return with_settings(self._base, settings)

    def _run(self, machine: Machine) -> Result:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they say is in the result's notes, and so in the sentence
            return simulate(self._trace, machine, seed=self._seed)

    def _show(self, sentence: str) -> None:
        mode = None if self.machine.cram is None else self.machine.cram.mode
        self._residency.chart = residency_chart(self.result.tiers, cram_mode=mode)
        below = _without_dram(self.result.epochs)
        self._stall.chart = stall_chart(below, title="Where the time below DRAM goes", cram_mode=mode)
        self._figures.value = _as_html(self.table)
        notes = self.result.provenance["notes"]
        assert isinstance(notes, list)
        self._say(" ".join([sentence, _ending(self.result), *(f"Mind: {note}." for note in notes)]).strip())

    def _say(self, sentence: str) -> None:
        self.sentence = sentence
        self._text.value = f'<p role="status" style="font-size: 15px">{html.escape(sentence)}</p>'


def _panel() -> alt.JupyterChart:
    alt.JupyterChart.enable_offline()
    return alt.JupyterChart(alt.Chart(pl.DataFrame({"nothing": [0]})).mark_point())


# The time of DRAM itself would drown the rest: a trace stands for hundreds of touches a record.
def _below_ns(result: Result) -> int:
    return result.totals["stall_ns"] - int(result.epochs["stall_dram_ns"].sum())


def _without_dram(epochs: pl.DataFrame) -> pl.DataFrame:
    return epochs.with_columns(stall_dram_ns=pl.lit(0, pl.Int64))


def _table(result: Result, before: Result | None = None) -> pl.DataFrame:
    # One row per way an access is served, counts of records: now, and before the last change.
    runs = {"now": result} if before is None else {"now": result, "before": before}
    columns = {
        run: [sum(found.totals[name] for name in names) for names in _ROWS.values()] for run, found in runs.items()
    }
    return pl.DataFrame({"accesses": list(_ROWS), **columns})


def _as_html(table: pl.DataFrame) -> str:
    head = "".join(f"<th scope='col'>{name}</th>" for name in table.columns)
    cells = ("".join(f"<td style='text-align: right'>{value:,}</td>" for value in row[1:]) for row in table.iter_rows())
    body = "".join(
        f"<tr><th scope='row' style='text-align: left'>{name}</th>{rest}</tr>"
        for name, rest in zip(table["accesses"], cells, strict=True)
    )
    return f"<table style='border-spacing: 12px 2px; font-size: 14px'><tr>{head}</tr>{body}</table>"


def _effect(before: Result, after: Result) -> str:
    old, new = _below_ns(before), _below_ns(after)
    if before.totals == after.totals:
        return "nothing changes"
    share = new / old - 1 if old else 0.0
    words = f"{abs(share):.0%} {'more' if share > 0 else 'less'}" if abs(share) >= 0.005 else "about the same"
    reads = f"swapfile reads {before.totals['pswpin']:,} to {after.totals['pswpin']:,}"
    return f"the program waits {format_ns(new)} below DRAM instead of {format_ns(old)} ({words}), {reads}"


def _ending(result: Result) -> str:
    totals, planned = result.totals, result.provenance["n_accesses"]
    if not totals["oom"]:
        return ""
    return f"Memory ran out after {totals['accesses']:,} of {planned:,} accesses: the numbers end there."
