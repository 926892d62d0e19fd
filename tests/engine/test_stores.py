"""A whole tier in one class: what it does by hand, and the same in both engines."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vswaplab as vl
from tests.engine.test_engines_agree import (
    assert_same,
    busy_traces,
    machines,
    other_speed_settings,
    quick,
    roomy_machines,
    smallest_window,
    stressed_machines,
    swapoffs,
    traces,
)
from vswaplab.base.plugins import unregister
from vswaplab.charts.panels import slots_in_use
from vswaplab.charts.theme import SPARE_COLOURS
from vswaplab.machine.presets import load_machine, with_settings
from vswaplab.results.counters import OUTCOMES
from vswaplab.widgets.explorer import Explorer


@dataclass(frozen=True)
class Far(vl.Store):
    """Another host's memory, uncompressed: takes what zswap does not."""

    name = "far"
    store_ns: int = 2_000
    load_ns: int = 3_000

    def stored_bytes(self, contents):
        return np.full(len(contents), 4096)


@dataclass(frozen=True)
class Lines(vl.Store):
    """A pool in DRAM before zswap, for pages that lz4 halves: 8 bytes of metadata a page."""

    name = "lines"
    before = "zswap"
    in_dram = True
    store_ns: int = 700
    load_ns: int = 500
    most: int = 2048

    def stored_bytes(self, contents):
        size = contents.sizes("lz4_4k").astype(np.int64)
        return np.where(size <= self.most, size + 8, 0)


@pytest.fixture(autouse=True)
def _plugged():
    vl.register("store", "far", Far)
    vl.register("store", "lines", Lines)
    yield
    unregister("store", "far")
    unregister("store", "lines")


def run(pages, op, machine, sizes=(4096,), content=None, engine="vectorised"):
    corpus = vl.Corpus(pl.DataFrame({"lz4_4k": list(sizes)}))
    trace = vl.Trace(pages, op, corpus=corpus, content=content or [0] * (max(pages) + 1))
    return vl.simulate(trace, machine, engine=engine)


@pytest.mark.parametrize("engine", ["reference", "vectorised"])
def test_far__takes_what_leaves_until_it_is_full_and_gives_it_back(engine):
    # One frame, and room for two pages in far.
    machine = vl.Machine(vl.Dram(1, high=1), swapfiles=[vl.Swapfile(9)], stores=[Far(2 * 4096)])
    result = run([0, 1, 2, 3, 0, 1], [1] * 6, machine, engine=engine)
    totals = result.totals

    # 1 and 2 push 0 and 1 out to far: full. 3 pushes 2 out, then 0 pushes 3 out: both are refused, and go to the
    # swapfile; 0 is loaded. 1 pushes 0 out again, into the room that it gave back, and is loaded.
    assert (totals["far_out"], totals["far_in"], totals["far_refused"], totals["pswpout"]) == (3, 2, 2, 2)
    assert totals["far_out_bytes"] == 3 * 4096
    assert result.state()["backing"].to_list() == ["far", "NONE", "SWAPFILE", "SWAPFILE"]


@pytest.mark.parametrize("engine", ["reference", "vectorised"])
def test_lines__costs_dram_and_takes_only_what_compresses(engine):
    # Two frames of DRAM. A page of 1,000 bytes costs 1,008 there: so the next one must leave too.
    machine = vl.Machine(vl.Dram(2, high=1), zswap=vl.Zswap(), swapfiles=[vl.Swapfile(9)], stores=[Lines(1 << 20)])
    result = run([0, 1, 2], [1, 1, 1], machine, sizes=[1000, 3000], content=[0, 1, 0], engine=engine)
    totals, state = result.totals, result.state()

    assert (totals["lines_out"], totals["lines_refused"]) == (1, 1)
    assert totals["lines_out_bytes"] == 1008
    assert state["backing"].to_list()[:2] == ["lines", "SWAPFILE"]  # page 1 finds zswap's pool at 0 of 0 pages
    assert state["stored_bytes"].to_list()[0] == 1008


def test_free__gives_the_room_back():
    machine = vl.Machine(vl.Dram(1, high=1), swapfiles=[vl.Swapfile(9)], stores=[Far(4096)])
    result = run([0, 1, 0, 2], [1, 1, 2, 1], machine)

    assert (result.totals["far_out"], result.totals["far_in"], result.totals["far_refused"]) == (2, 0, 0)


@pytest.mark.parametrize("engine", ["reference", "vectorised"])
def test_far__frees_the_slot_of_a_page_that_it_takes_for_the_next_victim(engine):
    # Two frames, both freed at once; far holds one page and the swapfile two.
    machine = vl.Machine(vl.Dram(2, high=2), swapfiles=[vl.Swapfile(2)], stores=[Far(4096)])
    result = run([0, 2, 1, 0, 2, 1, 1, 3], [1] * 8, machine, engine=engine)
    totals = result.totals

    # 1 pushes 0 to far and 2 to a slot. 2 pushes 1 to far and 0 to the other slot, is loaded and keeps its own.
    # 3 pushes 2 to far, whose slot is then free, and 1 into that slot.
    assert (totals["far_out"], totals["far_in"], totals["far_refused"]) == (3, 2, 3)
    assert (totals["pswpout"], totals["pswpin"], totals["reclaim_fail"]) == (3, 1, 0)
    assert result.state()["backing"].to_list() == ["SWAPFILE", "SWAPFILE", "far", "NONE"]


# One page in far, one on the device, and two frames free.
ONE_EACH = vl.Trace([0, 1, 2, 3, 2, 3], [1, 1, 1, 1, 2, 2])


def one_each(layer):
    device = vl.Swapfile(9, read_ns=1000, bandwidth_bytes_per_s=4_096_000_000)  # 2000 ns a page
    return vl.Machine(vl.Dram(2, total_pages=10, low=0, high=1), swapfiles=[device], layer=layer, stores=[Far(4096)])


@pytest.mark.parametrize("engine", ["reference", "vectorised"])
def test_swapoff__without_a_layer_loads_what_holds_a_slot_from_the_store_too(engine):
    result = vl.simulate(ONE_EACH, one_each("none"), engine=engine, events=[vl.swapoff(device=0, at=6)])
    event = result.events.row(0, named=True)

    # 2 pushed 0 to far: full. 3 pushed 1 to the device. Both slots go, so both pages come back.
    assert (result.totals["far_out"], result.totals["pswpout"]) == (1, 1)
    assert (event["slots_in_use"], event["pages_read"], event["store_loaded"]) == (2, 1, 1)
    assert event["data_ns"] == 2_000 + 3_000
    assert result.state()["backing"].to_list() == ["NONE"] * 4
    assert result.state()["is_resident"].to_list() == [True, True, False, False]
    assert result.tiers.filter(tier="far")["pages"].to_list()[-1] == 0


@pytest.mark.parametrize("engine", ["reference", "vectorised"])
def test_swapoff__with_a_layer_leaves_the_store_alone(engine):
    result = vl.simulate(ONE_EACH, one_each("vswap"), engine=engine, events=[vl.swapoff(device=0, at=6)])
    event = result.events.row(0, named=True)

    assert (event["slots_in_use"], event["pages_read"], event["store_loaded"]) == (1, 1, 0)
    assert (event["virtual_slots"], event["data_ns"]) == (2, 2_000)
    assert result.state()["backing"].to_list() == ["far", "NONE", "NONE", "NONE"]


@pytest.mark.parametrize("engine", ["reference", "vectorised"])
def test_swapoff__a_page_of_a_store_in_dram_gives_its_bytes_back(engine):
    # Three frames. 3 pushes out 0, of which half a frame stays in use, and 1. With 2 and 3 freed, 2 frames are free.
    machine = vl.Machine(
        vl.Dram(3, total_pages=10, low=0, high=1), swapfiles=[vl.Swapfile(9)], layer="none", stores=[Lines(1 << 20)]
    )
    corpus = vl.Corpus(pl.DataFrame({"lz4_4k": [2040]}))
    trace = vl.Trace([0, 1, 2, 3, 2, 3], [1, 1, 1, 1, 2, 2], corpus=corpus, content=[0] * 4)
    result = vl.simulate(trace, machine, engine=engine, events=[vl.swapoff(device=0, at=6)])
    event = result.events.row(0, named=True)

    assert (result.totals["lines_out_bytes"], event["store_loaded"]) == (2 * 2048, 2)
    assert (event["reclaim_runs"], event["data_ns"]) == (0, 2 * 500)
    assert result.tiers.filter(tier="lines")["stored_bytes"].to_list()[-1] == 0


def test_prices__are_the_class_s_and_the_table_s():
    costs = vl.Costs(fault_ns=1_000, victim_ns=500, dram_ns=0, zero_fill_ns=0)
    machine = vl.Machine(vl.Dram(1, high=1), stores=[Far(1 << 20)], costs=costs)
    result = run([0, 1, 0], [1, 1, 1], machine)

    # two first touches, two pages out, one in
    assert result.totals["stall_ns"] == 2 * 1_000 + 2 * (500 + 2_000) + (1_000 + 3_000)
    assert int(result.epochs["stall_far_ns"].sum()) == 2 * 2_500 + 4_000


def test_tables__have_a_row_for_it(tmp_path):
    machine = vl.Machine(vl.Dram(1, high=1), swapfiles=[vl.Swapfile(9)], stores=[Far(2 * 4096)])
    result = run([0, 1, 2, 3, 0], [1] * 5, machine)
    from vswaplab.results.summary import summarise

    far = summarise(vl.load_result(result.save(tmp_path / "out"))).filter(tier="far").row(0, named=True)
    assert (far["pages"], far["faults"], far["demotions"], far["refusals"]) == (1, 1, 2, 2)
    assert result.tiers.filter(tier="far")["stored_bytes"].to_list()[-1] == 4096


def test_cost__of_one_in_dram_is_nothing_of_its_own():
    machine = vl.Machine(vl.Dram(1 << 18), stores=[Lines(1 << 30)])
    assert vl.cost_usd(machine)["total"] == vl.cost_usd(replace(machine, stores=()))["total"]


def test_sampled__estimates_it():
    trace = vl.uniform(n_pages=4_000, n_accesses=40_000, write_share=0.5, seed=2)
    machine = vl.Machine(vl.Dram(1_500), swapfiles=[vl.Swapfile(9_000)], stores=[Far(1_000 * 4096)])
    found = vl.Sampled(trace, 0.5).run(machine)
    exact = vl.simulate(trace, machine).totals["far_in"]

    assert found.result.totals["far_in"] == pytest.approx(exact, rel=0.1)
    assert "far_in" in found.table["quantity"].to_list()


@pytest.mark.parametrize("executor", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_sweep__has_its_columns_and_keeps_them(executor, tmp_path):
    trace = vl.zipf(n_pages=60, n_accesses=300, seed=1)
    machine = vl.Machine(vl.Dram(20), swapfiles=[vl.Swapfile(99)], stores=[Far(10 * 4096), Lines(2_000)])
    grid = {"dram.capacity_pages": [10, 30, 0]}
    runs = vl.sweep(trace, machine, grid, executor=executor, store=tmp_path, progress=False)

    for capacity, row in zip([10, 30], runs.iter_rows(named=True), strict=False):
        result = vl.simulate(trace, replace(machine, dram=vl.Dram(capacity)))
        for name in ("far_in", "far_out_bytes", "lines_refused", "lines_out", "pswpin"):
            assert row[name] == result.totals[name]
        assert row["stall_far_ns"] == result.epochs["stall_far_ns"].sum()
    assert runs["far_in"][0] > 0
    assert runs["far_in"][2] is None  # refused
    assert vl.sweep(trace, machine, grid, store=tmp_path, progress=False).equals(runs)

    plain = vl.sweep(trace, replace(machine, stores=()), grid, store=tmp_path, progress=False)
    assert "far_in" not in plain.columns


def test_follow__names_it():
    machine = vl.Machine(vl.Dram(1, high=1), stores=[Far(2 * 4096)])
    steps = vl.follow(vl.Trace([0, 1, 0], [1, 1, 1]), machine)

    assert steps.filter(access=1, page=0)["place"].item() == "far"
    assert steps.filter(access=2, page=0)["event"].item() == "far_in"


def test_explorer__shows_it_also_beside_a_machine_without():
    trace = vl.zipf(n_pages=60, n_accesses=2_000, seed=1)
    machine = vl.Machine(vl.Dram(20), swapfiles=[vl.Swapfile(99)], layer="none", stores=[Far(10 * 4096)])
    result = vl.simulate(trace, machine)
    held = result.tiers.filter(tier="far")["pages"].to_list()[-1]

    explorer = Explorer(trace, machine, compare=replace(machine, stores=()), preview_after=9)
    shown = {panel.name: panel for panel in explorer.panels}
    own, other, change = shown["residency"].views
    assert own.data["far"][-1] == pytest.approx(held * 4096 / (1 << 20), rel=1e-3)
    assert (other.data["far"][-1], change.data["far"][-1]) == (0, -own.data["far"][-1])
    assert max(shown["faults"].views[0].data["far, loaded"]) > max(shown["faults"].views[1].data["far, loaded"]) == 0
    assert max(shown["traffic"].views[0].data["from far"]) > max(shown["stall"].views[1].data["far"]) == 0
    assert "far" in shown["stall"].note + shown["stall"].title
    colours = [entry.colour for name in ("residency", "stall") for entry in shown[name].legend if entry.name == "far"]
    assert colours == [SPARE_COLOURS[0]] * 2

    explorer.set("dram.capacity_pages", 10)
    assert explorer.refusal == ("", "")


def test_slots_in_use__counts_its_pages_as_entries():
    machine = vl.Machine(vl.Dram(1, high=1), swapfiles=[vl.Swapfile(9)], stores=[Far(2 * 4096)])
    used, _ = slots_in_use(run([0, 1, 2, 3], [1] * 4, machine))

    assert used == {"zswap": 2, "zero": 0, "cram": 0, "disk": 1}


# The engines -------------------------------------------------------------------------------------

stores = st.lists(
    st.one_of(
        st.builds(Far, st.sampled_from([4096, 3 * 4096, 20 * 4096])),
        st.builds(Lines, st.sampled_from([512, 4096, 20_000]), most=st.sampled_from([256, 2048, 4096])),
    ),
    max_size=2,
    unique_by=lambda store: store.name,
)
policies = st.sampled_from(["lru", "lru", "clock", "generations"])


def with_stores(data, machine):
    dram = replace(machine.dram, policy=data.draw(policies))
    return replace(machine, dram=dram, stores=data.draw(stores))


def some_events(data, machine, trace):
    return data.draw(st.one_of(st.just([]), swapoffs(machine, len(trace))))


def agree_on_tiny(data):
    trace, machine = data.draw(traces()), with_stores(data, data.draw(machines))
    window, batch = data.draw(st.sampled_from([1, 5, 64, 4096])), data.draw(st.sampled_from([1, 7, 500]))
    with smallest_window(window):
        assert_same(trace, machine, data.draw(st.integers(0, 3)), batch, window, some_events(data, machine, trace))


def agree_on_roomy(data):
    trace = data.draw(traces(most_pages=400, most_accesses=4000))
    machine = with_stores(data, data.draw(roomy_machines(max(trace.n_pages, 10))))
    with smallest_window(data.draw(st.sampled_from([32, 256]))):
        batch = data.draw(st.sampled_from([100, len(trace)]))
        assert_same(trace, machine, 0, batch, 256, some_events(data, machine, trace))


def agree_under_stress(data):
    trace, machine = data.draw(busy_traces()), with_stores(data, data.draw(stressed_machines()))
    window, batch = data.draw(st.sampled_from([1, 5, 64])), data.draw(st.sampled_from([1, 7, 600]))
    with smallest_window(window):
        assert_same(trace, machine, data.draw(st.integers(0, 3)), batch, window, some_events(data, machine, trace))


each = pytest.mark.parametrize("agree", [agree_on_tiny, agree_on_roomy, agree_under_stress])


@each
@settings(quick, max_examples=8)
@given(data=st.data())
def test_engines_agree__with_stores(agree, data):
    with other_speed_settings():
        agree(data)


@pytest.mark.slow
@each
@settings(quick, max_examples=60)
@given(data=st.data())
def test_engines_agree__many_times_with_stores(agree, data):
    agree(data)


@pytest.mark.parametrize("layer", ["none", "vswap"])
def test_engines_agree__on_a_run_that_fills_everything(layer):
    trace = vl.zipf(n_pages=600, n_accesses=8_000, write_share=0.5, redraw_probability=0.3, seed=4)
    machine = vl.Machine(
        vl.Dram(200, charge="host"), vl.Cram(media_bytes=40 * 4096), vl.Zswap(), [vl.Swapfile(2000)], layer,
        stores=[Lines(30_000), Far(60 * 4096)],
    )  # fmt: skip
    fast, law = (vl.simulate(trace, machine, engine=engine) for engine in ("vectorised", "reference"))

    assert fast.totals == law.totals
    assert min(law.totals[name] for name in ("lines_in", "lines_refused", "far_in", "far_refused", "pswpout")) > 100
    served = sum(law.totals[name] for name in (*OUTCOMES, "lines_in", "far_in"))
    assert served == law.totals["accesses"] - law.totals["frees"]


# Machines ----------------------------------------------------------------------------------------


def test_machine_file__names_a_store_by_its_kind(tmp_path):
    text = '[dram]\ncapacity_pages = 5\n[[stores]]\nkind = "far"\ncapacity_bytes = "1MiB"\nload_ns = 9\n'
    (tmp_path / "m.toml").write_text(text)
    machine = load_machine(tmp_path / "m.toml")

    assert machine.stores == (Far(1 << 20, load_ns=9),)
    assert vl.machine_from_dict(machine.to_dict()) == machine
    assert "stores" not in vl.Machine(vl.Dram(5)).to_dict()  # what was there before reads as before


def test_settings__name_a_store_by_its_kind():
    machine = vl.Machine(vl.Dram(5), stores=[Far(4096), Lines(512)])

    changed = with_settings(machine, ["stores.far.capacity_bytes=1MiB", "stores.lines.most=9"])
    assert changed.stores == (Far(1 << 20), Lines(512, most=9))
    grid = {"stores.far.capacity_bytes": [4096, 8192]}
    with pytest.warns(UserWarning, match="2 of 2 runs ended when memory ran out"):
        runs = vl.sweep(vl.uniform(n_pages=20, n_accesses=99), machine, grid, progress=False)
    assert runs["far_out"][0] < runs["far_out"][1]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("stores.near.capacity_bytes=1", r"name a store \(far\) and one of its settings"),
        ("stores.far=1", r"name a store \(far\) and one"),
        ("stores.far.kind=lines", r"name a store \(far\) and one"),
        ("stores.far.read_ns=1", r"far\.read_ns is not a setting"),
        ("stores.far.capacity_bytes=0", r"far\.capacity_bytes must be"),
    ],
)
def test_settings__of_a_store_that_is_not_there_are_refused(setting, words):
    with pytest.raises(vl.InputError, match=words):
        with_settings(vl.Machine(vl.Dram(5), stores=[Far(4096)]), [setting])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[stores]]\nkind = "nowhere"\n', "stores.kind 'nowhere' is no store that is known here: far, lines"),
        ("[[stores]]\ncapacity_bytes = 5\n", "stores must be tables with a kind"),
        ('[[stores]]\nkind = "far"\n', "far needs capacity_bytes"),
        ('[[stores]]\nkind = "far"\ncapacity_bytes = 0\n', "far.capacity_bytes must be"),
        ('[[stores]]\nkind = "far"\ncapacity_bytes = 9\nread_ns = 1\n', "far.read_ns is not a setting: choose from"),
        ('[[stores]]\nkind = "far"\ncapacity_bytes = 9\nload_ns = -1\n', "far.load_ns must be"),
        ('stores = "far"\n', "stores must be a list of tables"),
        ('[[stores]]\nkind = "far"\ncapacity_bytes = 9\n' * 2, "two of the name 'far'"),
    ],
)  # fmt: skip
def test_machine_file__refuses_in_one_line(tmp_path, text, words):
    top, _, rest = text.partition("[[")
    (tmp_path / "m.toml").write_text(f"{top}[dram]\ncapacity_pages = 5\n{'[[' + rest if rest else ''}")

    with pytest.raises(vl.InputError, match=None) as caught:
        load_machine(tmp_path / "m.toml")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@dataclass(frozen=True)
class Odd(Far):
    name = "odd"
    gives: object = 1.5

    def stored_bytes(self, contents):
        return np.full(len(contents), self.gives)


@pytest.mark.parametrize("gives", [1.5, -1, 8193])
def test_store__that_gives_no_sizes_is_refused(gives):
    machine = vl.Machine(vl.Dram(1, high=1), stores=[Odd(4096, gives=gives)])

    with pytest.raises(vl.InputError, match="the store 'odd' gave sizes"):
        run([0, 1], [1, 1], machine)


def test_store__with_a_name_of_ours_is_refused():
    named = type("Named", (Far,), {"name": "zswap2"})

    with pytest.raises(vl.InputError, match="a store's name must be a lower-case word that is no tier's"):
        vl.Machine(vl.Dram(1, high=1), stores=[named(4096)])


def test_store__what_is_not_modelled_with_it_is_refused():
    machine = vl.Machine(vl.Dram(1, high=1), swapfiles=[vl.Swapfile(9)], stores=[Far(4096)])

    with pytest.raises(vl.InputError, match=r"machine\.kernel does not model stores"):
        replace(machine, layer="none", kernel=vl.Kernel())
