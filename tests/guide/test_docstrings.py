"""Docstrings: the names they give are there, and the numbers they give come out."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import FunctionType

import numpy as np
import polars as pl
import pytest

import vswaplab as vl
from vswaplab.charts.history import residency_chart
from vswaplab.charts.tables import PLACES
from vswaplab.literature.senpai import power_law

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = [name for name in vl.__all__ if isinstance(getattr(vl, name), FunctionType)]


def said_by(thing: object) -> str:
    return " ".join((inspect.getdoc(thing) or "").split())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring__locates_the_functions_and_classes_that_it_names(name: str) -> None:
    function = getattr(vl, name)
    module = vars(sys.modules[function.__module__])
    ours = {
        other
        for other, thing in module.items()
        if callable(thing) and getattr(thing, "__module__", "").startswith("vswaplab.") and other not in vl.__all__
    }
    bare = set(re.findall(r"``(\w+)(?:\(\))?``", said_by(function))) - set(inspect.signature(function).parameters)
    assert {other for other in bare & ours if not other.endswith("_ns")} == set()  # a time is a column


@pytest.mark.parametrize("page", ["notebooks/guide/api.md", "README.md", "CHANGELOG.md"])
def test_page__names_that_it_locates_are_there(page: str) -> None:
    for path in set(re.findall(r"`((?:vl|vswaplab)\.[a-z_.]*\w+)", (ROOT / page).read_text())):
        assert _found(re.sub(r"^vl\b", "vswaplab", path)) is not None


def _found(path: str) -> object:
    # By import first: a function may have its module's name.
    try:
        return importlib.import_module(path)
    except ImportError:
        before, _, name = path.rpartition(".")
        return getattr(_found(before), name)


def test_costs__change_no_counter_but_of_a_machine_with_kernel() -> None:
    trace, slow = vl.zipf(n_pages=2000, n_accesses=20_000, seed=1), vl.Costs(fault_ns=50_000)
    swap = {"zswap": vl.Zswap(), "swapfiles": [vl.Swapfile(4000)]}
    kernel = vl.Machine(vl.Dram(600), **swap, layer="none", kernel=vl.Kernel())  # type: ignore[arg-type]

    def moved(machine: vl.Machine) -> set[str]:
        before, after = (vl.simulate(trace, one).totals for one in (machine, replace(machine, costs=slow)))
        return {name for name in before if before[name] != after[name]}

    assert moved(vl.preset("four-tiers", 2000)) == {"stall_ns", "cpu_ns"}
    assert {"pswpout", "pgactivate"} < moved(kernel)
    said = " ".join((ROOT / "notebooks" / "guide" / "extend.md").read_text().split())
    assert "no counter, but of a machine with `kernel`" in said
    assert "change no counter, but of a machine with ``kernel``" in said_by(vl.Costs)


@pytest.mark.parametrize("layer", ["none", "swap-table", "vswap"])
def test_machine__says_which_layer_a_kernel_needs(layer: str) -> None:
    is_named = f'"{layer}"' in said_by(vl.Machine).partition("It needs ``layer``")[2].partition(";")[0]
    if is_named:
        assert vl.Machine(vl.Dram(300), kernel=vl.Kernel(), layer=layer).layer == layer  # type: ignore[arg-type]
    else:
        with pytest.raises(vl.InputError, match="needs the layer"):
            vl.Machine(vl.Dram(300), kernel=vl.Kernel(), layer=layer)  # type: ignore[arg-type]
    assert is_named == (layer != "vswap")


@pytest.mark.parametrize("version", ["6.12", "7.1", "7.2", "7.3"])
def test_kernel__says_of_which_versions_lru_gen_is(version: str) -> None:
    said = said_by(vl.Kernel).partition("in place of the active and the inactive list; ")[2]
    if version in re.findall(r"\d+\.\d+", said.partition(" only")[0]):
        assert vl.Kernel(version, lru_gen=True).lru_gen  # type: ignore[arg-type]
    else:
        with pytest.raises(vl.InputError, match="lru_gen is modelled of"):
            vl.Kernel(version, lru_gen=True)  # type: ignore[arg-type]


def test_synthetic_corpus__has_the_total_ratio_that_it_says() -> None:
    totals = []
    for seed in range(40):
        table = vl.synthetic_corpus(seed=seed).table
        totals.append(4096 * table.height / table.filter(~pl.col("is_zero"))["lz4_4k"].sum())

    found = [f"{value:.1f}" for value in (np.mean(totals), totals[0], min(totals), max(totals))]
    said = "is {} on average over seeds: {} of seed 0, {} to {} of seeds 0 to 39".format(*found)
    assert said in said_by(vl.synthetic_corpus)


def test_phases__shares_as_many_pages_as_it_says() -> None:
    page = vl.phases(n_pages=1000, n_accesses=100_000).page.reshape(4, -1)
    works_on = [set(part.tolist()) for part in page]

    assert [len(one) for one in works_on] == [300] * 4
    assert [len(one & works_on[(i + 1) % 4]) for i, one in enumerate(works_on)] == [50] * 4
    assert "50 of its 300, of 1,000 pages" in said_by(vl.phases)


@pytest.mark.parametrize("cold", [0.2, 0.32, 0.8])
def test_power_law__begins_where_it_says(cold: float) -> None:
    curve = power_law(1000, cold, 0.3)

    assert curve.resident[0] == pytest.approx(1000 * (1 - 1.5 * cold))
    assert curve.resident[-1] == 1000
    assert "From n_pages (1 - 1.5 c), which is below 0 if c is above two thirds, to n_pages" in said_by(power_law)


def test_residency_chart__says_what_columns_it_needs() -> None:
    assert {name for name in PLACES if f"``{name}``" not in said_by(residency_chart)} == set()
