"""Panels: what is drawn, what is said, and that only the data change."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

import vswaplab as vl
from vswaplab.charts.panels import DIFFERENCE, metadata_table, panels, slots_in_use
from vswaplab.charts.theme import TIER_COLOURS, screen_config
from vswaplab.engine.bounds import FAULTS

N = 2000


@pytest.fixture(scope="module")
def trace() -> vl.Trace:
    return vl.zipf(n_pages=N, n_accesses=10_000, seed=1, redraw_probability=0.5)


@pytest.fixture(scope="module")
def run(trace: vl.Trace) -> vl.Result:
    return vl.simulate(trace, vl.preset("four-tiers", N), epoch_accesses=500)


@pytest.fixture(scope="module")
def writable(trace: vl.Trace) -> vl.Result:
    return vl.simulate(trace, vl.preset("cram-writable", N), epoch_accesses=500)


def by_name(*results: vl.Result) -> dict[str, vl.charts.panels.Panel]:
    labels = ("",) if len(results) == 1 else ("A", "B")
    return {panel.name: panel for panel in panels(dict(zip(labels, results, strict=True)))}


def test_panels__answer_six_questions(run: vl.Result) -> None:
    assert list(by_name(run)) == ["residency", "faults", "traffic", "stall", "risk", "metadata"]


def test_panels__of_two_runs_on_like_machines_share_their_drawings(trace: vl.Trace, run: vl.Result) -> None:
    other = vl.simulate(trace, replace(vl.preset("four-tiers", N), dram=vl.Dram(300)), epoch_accesses=500)

    for a, b in zip(panels({"": run}), panels({"": other}), strict=True):
        assert a.views[0].spec is b.views[0].spec
        assert a.views[0].data != b.views[0].data


def test_residency__adds_up_to_the_tiers_table(run: vl.Result) -> None:
    data = by_name(run)["residency"].views[0].data

    at_end = sum(column[-1] for name, column in data.items() if name != "access")
    pages = run.tiers.filter(pl.col("epoch") == pl.col("epoch").max())["pages"].sum()
    assert at_end == pytest.approx(pages * 4096 / 2**20, rel=1e-3)
    assert (data["access"][0], data["access"][-1]) == (0, 10_000)


def test_faults__are_per_thousand_accesses(run: vl.Result) -> None:
    data = by_name(run)["faults"].views[0].data

    assert data["first touch"][0] == pytest.approx(run.epochs["first_touch"][0] * 1000 / 500)


def test_traffic__goes_down_into_a_tier_and_up_out_of_it(run: vl.Result) -> None:
    data = by_name(run)["traffic"].views[0].data

    assert min(data["into CRAM"]) < 0 <= min(data["from CRAM"])
    assert by_name(run)["traffic"].views[0].signals["low"] <= min(data["into CRAM"])


def test_traffic__stacks_the_fastest_tier_next_to_zero_as_the_still_figure_does(run: vl.Result) -> None:
    areas = by_name(run)["traffic"].views[0].spec["layer"][:2]

    assert [area["encoding"]["order"]["field"] for area in areas] == ["rank", "rank"]
    ranks = [next(step["calculate"] for step in area["transform"] if step.get("as") == "rank") for area in areas]
    assert all(rank.index("CRAM") < rank.index("zswap") < rank.index("swapfile") for rank in ranks)


def test_axes__hold_what_is_drawn(run: vl.Result, writable: vl.Result) -> None:
    for panel in panels({"A": run, "B": writable}):
        for view in panel.views:
            numbers = [[v for v in c if isinstance(v, float)] for c in view.data.values()]
            assert max(max(c, default=0.0) for c in numbers) <= view.signals["top"]


def test_stall__says_who_is_waited_for(run: vl.Result) -> None:
    title = by_name(run)["stall"].title

    assert title.startswith("The program waits ")
    assert title.index("CRAM") < title.index("zswap")


def test_risk__says_what_was_lost(run: vl.Result, writable: vl.Result) -> None:
    assert by_name(run)["risk"].title.startswith("No memory can be lost: nothing is writable in place; least headroom")
    assert by_name(writable)["risk"].title.startswith("No memory was lost; least headroom")
    lost = replace(writable, totals=writable.totals | {"poison": 3})
    assert by_name(lost)["risk"].title == "Memory was lost: 3 writes overran the media (poison)"


def test_risk__without_cram_there_is_none(trace: vl.Trace) -> None:
    panel = by_name(vl.simulate(trace, vl.preset("zswap-only", N)))["risk"]

    assert panel.title == "No CRAM: nothing can be overrun"
    assert (panel.views, panel.legend) == ((), ())


@pytest.mark.parametrize(
    "preset", ["four-tiers", "small-media", "cram-tier", "cram-writable", "zram-first", "zswap-only", "swap-only"]
)
@pytest.mark.parametrize("layer", ["none", "vswap"])
def test_metadata__of_the_machine_s_kind_is_that_of_the_end_of_metadata_along(
    preset: str, layer: str, trace: vl.Trace
) -> None:
    machine = replace(vl.preset(preset, N), layer=layer)
    if machine.zram is not None:
        machine = replace(machine, zswap=vl.Zswap())
    table = metadata_table(vl.simulate(trace, machine))

    own_kind = vl.layer_designs().filter((pl.col("layer") == "none") == (layer == "none"))["name"].to_list()
    along = vl.metadata_along(trace, machine, designs=own_kind)
    at_end = along.filter(pl.col("epoch") == pl.col("epoch").max())
    ours = dict(zip(table["design"], table["metadata_bytes"], strict=True))
    assert {name: ours[name] for name in own_kind} == dict(zip(at_end["design"], at_end["slot_bytes"], strict=True))


def test_faults__copies_on_write_are_faults(run: vl.Result) -> None:
    family = vl.prefork(n_pages=200, n_accesses=4_000, seed=1)
    shared = vl.simulate(family, vl.preset("four-tiers", family.n_pages))
    panel = by_name(shared)["faults"]

    assert shared.totals["copy_on_write"]
    assert f"{sum(shared.totals[name] for name in FAULTS):,} faults" in panel.title
    assert "copied on write" in {entry.name for entry in panel.legend}
    assert "copied on write" not in {entry.name for entry in by_name(run)["faults"].legend}


def test_metadata__a_design_without_room_is_null(trace: vl.Trace) -> None:
    machine = vl.Machine(vl.Dram(200), zswap=vl.Zswap(max_pool_percent=90), swapfiles=[vl.Swapfile(50)])
    run = vl.simulate(trace, machine)

    assert sum(slots_in_use(run)[0].values()) > 50
    assert metadata_table(run).filter(design="before-7.0")["metadata_bytes"].to_list() == [None]


def test_difference__is_b_less_a_on_the_same_drawing_room(run: vl.Result, writable: vl.Result) -> None:
    for panel in panels({"A": run, "B": writable}):
        a, b, difference = panel.views
        assert (a.label, b.label, difference.label) == ("A", "B", DIFFERENCE)
        assert a.signals == b.signals
        assert difference.signals["low"] == -difference.signals["top"]
    faults = by_name(run, writable)["faults"]
    deltas = [y - x for x, y in zip(*(view.data["swapfile, read"] for view in faults.views[:2]), strict=True)]
    assert faults.views[2].data["swapfile, read"] == pytest.approx(deltas, abs=0.02)


def test_titles__of_two_runs_have_both_numbers(run: vl.Result, writable: vl.Result) -> None:
    title = by_name(run, writable)["risk"].title

    assert title.startswith("Least headroom to the CRAM media at a window's end: A ")
    assert ", B " in title


def test_words__stand_beside_every_panel(run: vl.Result) -> None:
    for panel in panels({"": run}):
        assert panel.title in panel.description
        assert all(entry.colour.startswith("#") for entry in panel.legend)
        axes = str(panel.views[0].spec)
        assert "(MiB" in axes or "(per 1,000 accesses)" in axes or "(ns per touch)" in axes
    assert {e.name: e.colour for e in by_name(run)["residency"].legend}["CRAM"] == TIER_COLOURS["CRAM"]


@pytest.mark.parametrize("dark", [True, False])
def test_screen_config__type_is_at_least_12_px(dark: bool) -> None:
    config = screen_config(dark=dark)

    assert min(config[part][f"{what}FontSize"] for part in ("axis", "legend") for what in ("label", "title")) >= 12
