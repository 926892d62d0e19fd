"""Every switch of ``ablation.py`` still finds what it replaces, and changes a run shrunk to a 32nd."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from tests.truth import ablation
from tests.truth.ablation import SWITCHES, Switch
from vswaplab.truth import TruthRun
from vswaplab.truth.machines import machine_of
from vswaplab.truth.replay import replay

SMALLER = 32
FREE = ("vm_nr_free_pages", "vm_nr_inactive_anon", "vm_nr_active_anon", "n0_nr_free_pages", "n0_nr_inactive_anon")
"""Pages that a run without a limit finds at its start."""
CHANGES_NOTHING = "charge_batch"
"""A batch is only charged where it fits; with one program on one CPU the next page would have fitted without it."""


def small(run: TruthRun, swap_device_mib: int) -> TruthRun:
    """Shrink a run's memory and its trace."""
    pages = [pl.col(name) // SMALLER for name in FREE if name in run.epochs.columns]
    cram = run.cram and replace(run.cram, dram_mib=run.cram.dram_mib / SMALLER, cram_mib=run.cram.cram_mib // SMALLER)
    return replace(
        run,
        trace=replace(run.trace, n_pages=run.trace.n_pages // SMALLER, n_acc=run.trace.n_acc // SMALLER),
        total_ram_pages=run.total_ram_pages // SMALLER,
        epoch_accesses=run.epoch_accesses // SMALLER,
        memory_max=run.memory_max and run.memory_max // SMALLER,
        epochs=run.epochs.with_columns(pages),
        swap_device_mib=swap_device_mib,
        cram=cram,
    )


def outcome(run: TruthRun, switch: Switch | None) -> tuple[object, ...]:
    machine = machine_of(run)
    if switch is None:
        found = replay(run, machine, with_codes=True)
    else:
        with switch.off():
            found = replay(run, switch.build(run, machine), with_codes=True)
    assert found.code is not None
    return found.counters, found.code.tolist(), found.epochs.rows()


@pytest.mark.slow  # seconds
@pytest.mark.parametrize("name", SWITCHES)
def test_switch__changes_a_small_run(name: str) -> None:
    device_mib = 8 if name == "half_full" else 64  # twice what the program has, or more than that
    runs = [small(ablation.truth()[run], device_mib) for run in SWITCHES[name].runs]

    changed = any(outcome(run, SWITCHES[name]) != outcome(run, None) for run in runs)

    assert changed is (name != CHANGES_NOTHING)
