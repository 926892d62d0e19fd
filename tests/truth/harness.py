"""The runs of the kernels with vswap and CRAM, and their results in the model, in full."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import polars as pl

import vswaplab as vl
from vswaplab.truth import TruthRun
from vswaplab.truth.machines import machine_of, trace_of

DATA = Path(__file__).resolve().parents[2] / "data" / "truth" / "vswap"
WINDOW = 16_384
"""Accesses of a reporting window: the fill of every run is a whole number of them."""


def table(name: str) -> pl.DataFrame:
    """Read one table of measurements."""
    return pl.read_csv(DATA / name, infer_schema_length=None)


def whole_node(run: TruthRun) -> vl.Machine:
    """Take the whole DRAM node for the workload, as if the guest's kernel needed none of it: a setting, no reading."""
    assert run.cram is not None
    made = machine_of(run)
    return replace(made, dram=replace(made.dram, capacity_pages=int(run.cram.dram_mib * 256)))


def without_cram(run: TruthRun) -> vl.Machine:
    """Build the machine of a CRAM run without its node."""
    return replace(machine_of(run), cram=None)


class Modelled(NamedTuple):
    """What a run of the model left."""

    result: vl.Result
    n_pages: int

    @property
    def totals(self) -> dict[str, int]:
        return self.result.totals

    @property
    def is_oom(self) -> bool:
        return bool(self.totals["oom"])

    def after_fill(self, *names: str) -> int:
        """Sum counters from the end of the fill on."""
        rows = self.result.epochs.filter(pl.col("start") >= self.n_pages)
        return int(sum(rows[name].sum() for name in names))

    def tier(self, name: str) -> int:
        """Give the pages of a tier at the end; 0 if the machine has no such tier."""
        rows = self.result.tiers.filter(tier=name)
        return int(rows["pages"][-1]) if rows.height else 0


def model(run: TruthRun, build: vl.Machine | None = None, *, swapoff: bool = False) -> Modelled:
    """Simulate a run on its machine, or on another, and take its device away at the end if asked.

    Runs with the same trace and machine share one simulation. memory.max stays as it is.
    """
    trace, made = trace_of(run), build or machine_of(run)
    key = trace.digest, json.dumps(made.to_dict()), swapoff
    if key not in _DONE:
        events = [vl.swapoff(at=len(trace))] if swapoff else []
        _DONE[key] = vl.simulate(trace, made, epoch_accesses=WINDOW, events=events)
    return Modelled(_DONE[key], trace.n_pages)


_DONE: dict[tuple[str, str, bool], vl.Result] = {}


EVERY = {run.name: run for run in vl.read_truth(DATA)}
RUNS = {name: run for name, run in EVERY.items() if run.cram is None}
CRAM_RUNS = {name: run for name, run in EVERY.items() if run.cram is not None}
