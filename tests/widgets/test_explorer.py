"""The explorer without a browser: set a control, look at machine, result, sentence and screen."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import vswaplab as vl
from vswaplab.charts.panels import DIFFERENCE
from vswaplab.machine.presets import preset_names
from vswaplab.widgets import Explorer
from vswaplab.widgets import explorer as explorer_module
from vswaplab.widgets.controls import BY_KEY, CONTROLS, Number, read
from vswaplab.widgets.refine import OutOfDateError, Refiner

MIB = 1 << 20


def machine(**changes: object) -> vl.Machine:
    parts: dict[str, object] = {
        "dram": vl.Dram(512),
        "cram": vl.Cram(media_bytes=2 * MIB),
        "zswap": vl.Zswap(),
        "swapfiles": [vl.Swapfile(8192)],
    }
    return vl.Machine(**(parts | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trace() -> vl.Trace:
    return vl.zipf(n_pages=2048, n_accesses=20_000, seed=1)


@pytest.fixture
def explorer(trace: vl.Trace) -> Explorer:
    return Explorer(trace, machine())


def screen(explorer: Explorer) -> dict[str, Any]:
    found: dict[str, Any] = explorer.view.screen
    return found


def control(explorer: Explorer, name: str) -> dict[str, Any]:
    (found,) = (c for c in screen(explorer)["controls"] if c["name"] == name)
    return dict(found)


def ask(explorer: Explorer, name: str, value: object = None, **more: object) -> None:
    """Do what the browser does."""
    content = {"name": name, "value": value, "serial": 7} | more
    explorer.view._handle_custom_msg(content, [])


# The machine ----------------------------------------------------------------------------------


def test_explorer__starts_at_the_machine_it_is_given(explorer: Explorer, trace: vl.Trace) -> None:
    assert explorer.machine == machine()
    assert explorer.result.totals == vl.simulate(trace, machine()).totals
    assert explorer.sentence.startswith("The program waits ")


def test_explorer__refuses_what_is_no_trace_or_machine(trace: vl.Trace) -> None:
    with pytest.raises(vl.InputError, match=r"needs a vl\.Machine"):
        Explorer(trace, "four-tiers")  # type: ignore[arg-type]
    with pytest.raises(vl.InputError, match=r"needs a vl\.Trace"):
        Explorer("redis", machine())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", preset_names())
def test_explorer__takes_every_preset(name: str, trace: vl.Trace) -> None:
    explorer = Explorer(trace, vl.preset(name, trace.n_pages))

    assert len(explorer.panels) == 6
    assert {c["name"] for c in explorer._controls()} >= set(BY_KEY)


def test_dram__more_of_it_waits_less_and_takes_what_follows_along(explorer: Explorer, trace: vl.Trace) -> None:
    before = explorer.result

    explorer.set("dram.capacity_pages", 1024)

    assert explorer.machine.dram == vl.Dram(1024)
    assert explorer.result.totals == vl.simulate(trace, machine(dram=vl.Dram(1024))).totals
    assert explorer.result.totals["dram_hit"] > before.totals["dram_hit"]
    assert explorer.sentence.startswith("DRAM 512 to 1,024 pages (2.0 to 4.0 MiB): ")
    assert "the program waits " in explorer.sentence


def test_dram__a_limit_of_its_own_for_the_pool_stays(trace: vl.Trace) -> None:
    explorer = Explorer(trace, machine(dram=vl.Dram(512, total_pages=4096)))

    explorer.set("dram.capacity_pages", 1024)

    assert explorer.machine.dram.total_pages == 4096


def test_media__take_what_is_advertised_along_unless_told_otherwise(explorer: Explorer) -> None:
    explorer.set("cram.media_bytes", 3 * MIB)
    assert read(explorer.machine, "cram.advertised_bytes") == 6 * MIB

    explorer.set("follows", False)
    explorer.set("cram.media_bytes", 2 * MIB)
    assert read(explorer.machine, "cram.advertised_bytes") == 6 * MIB


def test_tiers__go_and_come_back_as_they_were(explorer: Explorer) -> None:
    explorer.set("cram.report_lag", 300)
    explorer.set("has.cram", False)
    assert explorer.machine.cram is None
    assert explorer.result.totals["cram_in"] == 0

    explorer.set("has.cram", True)
    assert read(explorer.machine, "cram.report_lag") == 300


def test_tiers__one_that_was_never_there_comes_from_a_preset(explorer: Explorer) -> None:
    explorer.set("has.zram", True)

    assert read(explorer.machine, "zram.disksize_bytes") == 2 * 2048 * 4096
    assert not control(explorer, "zram.disksize_bytes")["hidden"]


def test_numbers__are_read_and_set_in_the_unit_that_is_shown(explorer: Explorer) -> None:
    for name, shown, value in (
        ("cram.media_bytes", 2.5, 5 * MIB // 2),
        ("cram.writeback_low", 60, 0.6),
        ("zswap.max_pool_percent", 35, 35),
    ):
        ask(explorer, name, shown)
        assert read(explorer.machine, name) == value
        assert control(explorer, name)["value"] == shown


def test_numbers__of_pages_and_slots_say_their_mib_too(explorer: Explorer) -> None:
    explorer.set("cram.writable_budget_pages", 100)

    assert explorer.sentence.startswith("Writable budget 0 to 100 pages (0 to 0.39 MiB): ")
    keys = ("dram.capacity_pages", "swapfiles.0.capacity_slots", "cram.writable_budget_pages", "cram.media_bytes")
    assert [control(explorer, key)["size"] for key in keys] == ["= 2.0 MiB", "= 32.0 MiB", "= 0.39 MiB", ""]
    assert all("of 4 KiB" in c.label for c in CONTROLS if isinstance(c, Number) and c.is_pages)


@pytest.fixture(scope="module")
def every() -> Explorer:
    parts = machine(zram=vl.Zram(4 * MIB), cram=vl.Cram(2 * MIB, writable_budget_pages=8))
    return Explorer(vl.zipf(n_pages=2048, n_accesses=2_000, seed=1), parts)


@pytest.mark.parametrize("name", [c.key for c in CONTROLS])
def test_controls__each_changes_the_machine_it_names(name: str, every: Explorer) -> None:
    every.reset()
    found = control(every, name)
    target: object = {"cram.mode": "swap"}.get(name)
    if found["kind"] == "choice":
        target = target or next(word for word, _ in found["options"] if word != found["value"])
    else:
        target = found["value"] - found["step"] if found["value"] > found["min"] else found["value"] + found["step"]

    ask(every, name, target)

    assert control(every, name)["value"] == target
    assert every.refusal == ("", "")


def test_sliders__lie_on_a_grid_with_the_machine_s_own_number(trace: vl.Trace) -> None:
    explorer = Explorer(trace, vl.preset("four-tiers", 2000))  # its media are no whole number of MiB
    for found in screen(explorer)["controls"]:
        if found["kind"] == "number" and not found["hidden"]:
            steps = (found["value"] - found["min"]) / found["step"]
            assert found["min"] <= found["value"] <= found["max"]
            assert steps == pytest.approx(round(steps), abs=0.02)


def test_sliders__end_where_a_value_is_legal(explorer: Explorer) -> None:
    ask(explorer, "cram.close_at", 95.5)

    found = control(explorer, "cram.close_at")
    assert (found["min"], found["value"], found["max"]) == (0.5, 95.5, 99.5)
    assert control(explorer, "cram.media_bytes")["min"] == 1  # 2 MiB now; none is no CRAM


# Refusals -------------------------------------------------------------------------------------


def test_refusal__changes_nothing_and_says_why_at_the_control(explorer: Explorer) -> None:
    here, shown = explorer.machine, explorer.result

    ask(explorer, "cram.writeback_high", 50)

    assert explorer.machine is here
    assert explorer.result is shown
    assert control(explorer, "cram.writeback_high")["error"] == (
        "Writeback target 85 % of media is above Writeback mark 50 % of media: put them in order"
    )
    assert control(explorer, "cram.writeback_high")["value"] == 90
    assert explorer.sentence.startswith("Writeback mark stays at 90 % of media; 50 % of media is refused: ")
    assert not screen(explorer)["can_undo"]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("dram.capacity_pages", None, "DRAM stays at 512 pages (2.0 MiB); DRAM needs a number: type digits."),
        (
            "dram.capacity_pages",
            8803.4,
            "DRAM stays at 512 pages (2.0 MiB); 8,803.4 pages is refused: "
            "DRAM must be a whole number (pages), got 8,803.4.",
        ),
        (
            "cram.close_at",
            101,
            "Gate closing mark stays at 95 % of media; 101 % of media is refused: "
            "Gate closing mark must be from 0 to 100 % of media, got 101.",
        ),
        (
            "cram.media_bytes",
            0,
            "CRAM media stays at 2 MiB; 0 MiB is refused: "
            "CRAM media must be above 0 and at most 1,073,741,824 MiB, got 0.",
        ),
        (
            "cram.advertised_bytes",
            1,
            "CRAM advertised stays at 4 MiB; 1 MiB is refused: CRAM advertised 1 MiB is below CRAM media 2 MiB: "
            "a CRAM node shows at least its media; raise CRAM advertised or lower CRAM media.",
        ),
        (
            "zswap.max_pool_percent",
            20.5,
            "zswap pool limit stays at 20 % of RAM; 20.5 % of RAM is refused: "
            "zswap pool limit must be a whole number (% of RAM), got 20.5.",
        ),
        (
            "seed",
            -1,
            "Seed stays at 0; -1 is refused: seed must be a whole number of at least 0 and below 2**63, got -1.",
        ),
        ("seed", None, "Seed stays at 0; the seed needs a number: type digits."),
        ("zram.disksize_bytes", 4, "zram 4 MiB is refused: the machine has no zram: switch it on."),
    ],
)
def test_refusal__is_in_the_words_and_units_of_the_screen(
    name: str, value: object, sentence: str, explorer: Explorer
) -> None:
    ask(explorer, name, value)

    assert explorer.sentence == sentence


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dram.capacity_pages", "x"),
        ("dram.capacity_pages", None),
        ("dram.capacity_pages", True),
        ("dram.capacity_pages", 1e308),
        ("dram.capacity_pages", [1]),
        ("cram.close_at", ".5"),
        ("cram.close_at", float("nan")),
        ("cram.close_at", float("inf")),
        ("cram.media_bytes", 1.5),
        ("cram.mode", None),
        ("layer", 5),
        ("trace", []),
        ("preset", None),
        ("moves", []),
        ("seed", float("nan")),
        ("seed", "1"),
    ],
)
def test_refusal__of_a_wrong_kind_is_a_sentence(name: str, value: object, explorer: Explorer) -> None:
    before = explorer.setup

    explorer.set(name, value)

    assert explorer.setup == before
    assert explorer.refusal[0] == name
    assert explorer.refusal[1] in explorer.sentence
    assert "\n" not in explorer.sentence
    assert len(explorer.sentence) < 250


def test_refusal__is_gone_with_the_next_change(explorer: Explorer) -> None:
    explorer.set("cram.writeback_high", 0.5)
    explorer.set("cram.writeback_high", 0.9)

    assert control(explorer, "cram.writeback_high")["error"] == ""


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("dram.capacity_pages", 0, "at least 1"),
        ("dram.capacity_pages", None, "needs a number"),
        ("dram.capacity_pages", float("nan"), "needs a number"),
        ("dram.capacity_pages", "many", "needs a number"),
        ("cram.profile", "nonesuch", "nearest"),
        ("cram.mode", "both", "must be one of"),
        ("zram.disksize_bytes", 4, "has no zram: switch it on"),
        ("seed", 1.5, "whole number"),
        ("seed", -1, "whole number"),
        ("trace", "nonesuch", "there is no trace"),
        ("preset", "nonesuch", "no preset"),
        ("has.nothing", True, "not a tier"),
        ("nothing", 1, "not a control"),
        ("moves", "C", "not a control"),
    ],
)
def test_refusal__whatever_the_browser_sends(name: str, value: object, reason: str, explorer: Explorer) -> None:
    before = explorer.setup

    ask(explorer, name, value)

    assert reason in explorer.refusal[1]
    assert explorer.setup == before
    assert screen(explorer)["serial"] == 7


def test_refusal__of_contents_that_lack_a_device_s_column(trace: vl.Trace) -> None:
    bare = trace.like(corpus=trace.corpus.table.select("region", "is_zero", "lz4_4k"))
    explorer = Explorer(bare, machine(cram=None))

    explorer.set("zswap.compressor", "zstd")

    assert "the corpus has no size column" in explorer.refusal[1]
    assert read(explorer.machine, "zswap.compressor") == "lz4"


# Sentences ------------------------------------------------------------------------------------


def test_sentence__says_where_memory_ran_out(trace: vl.Trace) -> None:
    explorer = Explorer(trace, machine(zswap=None, swapfiles=[vl.Swapfile(64)]))

    explorer.set("has.cram", False)

    assert explorer.result.totals["oom"] == 1
    assert "memory still runs out, " in explorer.sentence
    assert "Memory ran out after " in explorer.sentence


def test_sentence__says_what_the_run_warns_of(trace: vl.Trace) -> None:
    recorded = vl.Trace(trace.page, trace.op, n_pages=2048, recorder_k=256, name="short")
    explorer = Explorer(recorded, machine(dram=vl.Dram(512, high=32)))

    explorer.set("dram.capacity_pages", 256)

    assert "Mind: trace 'short' was reduced in blocks of 256 pages" in explorer.sentence


def test_sentence__of_a_drag_goes_back_to_where_it_began(explorer: Explorer) -> None:
    for i, pages in enumerate((600, 700, 800)):
        explorer.set("dram.capacity_pages", pages, more=i > 0)

    assert explorer.sentence.startswith("DRAM 512 to 800 pages (2.0 to 3.1 MiB): ")


def test_sentence__of_a_drag_that_began_with_a_refusal_names_the_control(explorer: Explorer) -> None:
    explorer.set("layer", "none")
    explorer.set("cram.writeback_high", 0.5)
    explorer.set("cram.writeback_high", 0.92, more=True)
    explorer.set("cram.writeback_high", 0.95, more=True)

    assert explorer.sentence.startswith("Writeback mark 90 to 95 % of media: ")


# Undo, reset, presets, traces, code -------------------------------------------------------------


def test_undo__goes_back_a_change_at_a_time_and_a_drag_at_once(explorer: Explorer) -> None:
    explorer.set("layer", "none")
    explorer.set("dram.capacity_pages", 600)
    explorer.set("dram.capacity_pages", 700, more=True)

    ask(explorer, "undo")
    assert (explorer.machine.dram.capacity_pages, explorer.machine.layer) == (512, "none")
    ask(explorer, "undo")
    assert explorer.machine == machine()
    ask(explorer, "undo")
    assert explorer.machine == machine()
    assert not screen(explorer)["can_undo"]


@pytest.mark.parametrize("first", [0.5, 0.9])  # refused; what it is already
def test_undo__of_a_drag_goes_back_to_before_its_first_step_that_was_taken(first: float, explorer: Explorer) -> None:
    explorer.set("cram.writeback_high", 0.91)
    explorer.set("cram.writeback_high", 0.9)
    explorer.set("cram.writeback_high", first)
    explorer.set("cram.writeback_high", 0.95, more=True)
    explorer.set("cram.writeback_high", 0.5, more=True)
    explorer.set("cram.writeback_high", 0.96, more=True)

    explorer.undo()
    assert read(explorer.machine, "cram.writeback_high") == 0.9
    explorer.undo()
    assert read(explorer.machine, "cram.writeback_high") == 0.91


def test_undo__of_a_drag_does_not_take_along_what_was_changed_meanwhile(explorer: Explorer) -> None:
    explorer.set("dram.capacity_pages", 600)
    explorer.set("has.zswap", False)
    explorer.set("dram.capacity_pages", 700, more=True)

    explorer.undo()

    assert (explorer.machine.dram.capacity_pages, explorer.machine.zswap) == (600, None)


def test_undo__of_a_refusal_that_was_taken_back_is_none(explorer: Explorer) -> None:
    ask(explorer, "cram.writeback_high", 50)
    ask(explorer, "cram.writeback_high", 90)

    assert explorer.refusal == ("", "")
    assert not screen(explorer)["can_undo"]


def test_undo__runs_nothing_again(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    explorer.set("dram.capacity_pages", 600)
    monkeypatch.setattr(explorer_module, "simulate", None)

    explorer.undo()

    assert explorer.result.provenance["machine"] == machine().to_dict()


def test_reset__is_where_it_was_opened_and_can_be_undone(explorer: Explorer) -> None:
    explorer.set("preset", "small-media")
    explorer.set("compare", True)

    explorer.reset()
    assert (explorer.machine, len(explorer.machines)) == (machine(), 1)
    explorer.undo()
    assert len(explorer.machines) == 2


def test_preset__follows_the_pages_of_the_trace_and_as_opened_is_one(explorer: Explorer) -> None:
    explorer.set("preset", "small-media")
    assert explorer.machine == vl.preset("small-media", 2048)

    explorer.set("preset", "as opened")
    assert explorer.machine == machine()


def test_trace__another_keeps_the_pressure(explorer: Explorer) -> None:
    explorer.set("trace", "redis")

    n_pages = vl.load_trace("redis").n_pages
    assert explorer.machine.dram.capacity_pages == pytest.approx(512 / 2048 * n_pages, abs=1)
    assert explorer.result.provenance["trace"] == "redis"
    assert "Sizes in proportion to its pages, trace zipf-1 to redis: the program waits " in explorer.sentence


def test_seed__is_of_the_run(trace: vl.Trace) -> None:
    redrawn = trace.like(redraw_probability=0.5)
    explorer = Explorer(redrawn, machine(), seed=3)

    explorer.set("seed", 4)

    assert explorer.result.totals == vl.simulate(redrawn, machine(), seed=4).totals


def test_code__pasted_computes_what_is_on_the_screen(explorer: Explorer, trace: vl.Trace) -> None:
    explorer.set("preset", "cram-writable")
    explorer.set("zswap.compressor", "zstd")
    explorer.set("cram.writeback_low", 0.7)
    explorer.set("seed", 2)
    pasted: dict[str, Any] = {"trace": trace}

    exec(screen(explorer)["code"], pasted)

    assert pasted["machine"].to_dict() == explorer.machine.to_dict()
    assert pasted["result"].totals == explorer.result.totals
    assert pasted["result"].tiers.tail(5)["pages"].to_list() == explorer.result.tiers.tail(5)["pages"].to_list()


def test_code__of_two_machines_on_a_shipped_trace_needs_nothing_else(trace: vl.Trace) -> None:
    short = vl.load_trace("redis").head(20_000)
    explorer = Explorer(short, machine(), compare=machine(layer="none"))
    assert 'vl.load_trace("redis")' in explorer.code()
    assert "machine_b = vl.Machine(" in explorer.code()


# A and B --------------------------------------------------------------------------------------


def test_compare__begins_with_a_copy_and_changes_b(explorer: Explorer) -> None:
    explorer.set("compare", True)
    assert explorer.machines == {"A": machine(), "B": machine()}

    explorer.set("cram.media_bytes", MIB)

    assert explorer.machines["A"] == machine()
    assert read(explorer.machines["B"], "cram.media_bytes") == MIB
    assert explorer.sentence.startswith("CRAM media of B 2 to 1 MiB (advertised in proportion). B against A: ")


def test_compare__says_of_equal_machines_that_they_are(explorer: Explorer) -> None:
    explorer.set("compare", True)
    assert explorer.sentence == "Two machines, A and B. B is a copy of A: change one of them."

    explorer.set("cram.open_at", 0.89)  # the gate never closes
    assert explorer.sentence == "Gate opening mark of B 90 to 89 % of media. B against A: no difference."


def test_compare__names_what_moves(explorer: Explorer) -> None:
    explorer.set("compare", True)
    explorer.set("has.zswap", False)
    assert explorer.sentence.startswith("Now without zswap in B. B against A: ")

    explorer.set("dram.capacity_pages", 600)
    explorer.set("moves", "A and B")
    explorer.set("cram.report_lag", 100)
    assert explorer.sentence.startswith("Report lag of A and B 0 to 100 accesses. B against A: ")
    explorer.set("dram.capacity_pages", 700)  # from 512 and from 600
    assert explorer.sentence.startswith("DRAM of A and B to 700 pages (2.7 MiB). B against A: ")


def test_compare__both_move_together_and_are_refused_together(trace: vl.Trace) -> None:
    explorer = Explorer(trace, machine(), compare=machine(cram=vl.Cram(2 * MIB, writeback_low=0.5)))

    explorer.set("dram.capacity_pages", 900)
    assert [m.dram.capacity_pages for m in explorer.machines.values()] == [900, 900]

    explorer.set("cram.writeback_high", 0.6)  # B could, A cannot
    assert "out of order" in explorer.refusal[1] or "put them in order" in explorer.refusal[1]
    assert [read(m, "cram.writeback_high") for m in explorer.machines.values()] == [0.9, 0.9]


def test_compare__panels_have_both_and_their_difference(trace: vl.Trace) -> None:
    explorer = Explorer(trace, machine(), compare=machine(cram=None))

    for panel in explorer.panels:
        labels = ["A"] if panel.name == "risk" else ["A", "B", DIFFERENCE]
        assert [view.label for view in panel.views] == labels
    assert explorer.panels[4].title.endswith(", B has none")
    residency = {view.label: view.data for view in explorer.panels[0].views}
    zswap = [b - a for a, b in zip(residency["A"]["zswap"], residency["B"]["zswap"], strict=True)]
    assert residency[DIFFERENCE]["zswap"] == pytest.approx(zswap, abs=0.01)


# The screen -------------------------------------------------------------------------------------


def test_panels__are_one_drawing_each_whose_data_change(explorer: Explorer) -> None:
    specs, before = explorer.view.specs, screen(explorer)["panels"]

    ask(explorer, "dram.capacity_pages", 1024)

    after = screen(explorer)["panels"]
    assert explorer.view.specs == specs
    assert [p["views"][0]["spec"] for p in before] == [p["views"][0]["spec"] for p in after]
    assert all(old["views"][0]["data"] != new["views"][0]["data"] for old, new in zip(before, after, strict=True))


def test_panels__draw_anew_when_a_tier_goes(explorer: Explorer) -> None:
    before = [p["views"][0]["spec"] for p in screen(explorer)["panels"]]

    explorer.set("has.zswap", False)

    assert before[0] != screen(explorer)["panels"][0]["views"][0]["spec"]


def test_screen__is_json_and_small_whatever_the_trace(explorer: Explorer) -> None:
    explorer.set("compare", True)

    assert len(json.dumps(screen(explorer), allow_nan=False)) < 120_000
    for panel in screen(explorer)["panels"]:
        for view in panel["views"]:
            assert all(len(column) <= 102 for column in view["data"].values())


def test_screen__every_control_has_a_label_and_every_panel_words(explorer: Explorer) -> None:
    labels = [c["label"] for c in screen(explorer)["controls"]]

    assert all(labels)
    assert len(set(labels)) == len(labels)
    assert all(p["title"] and len(p["description"]) > 60 for p in screen(explorer)["panels"])
    assert all("(" in c.label for c in CONTROLS if isinstance(c, Number))  # its unit


def test_explorer__shows_as_a_widget_and_reads_as_a_line(explorer: Explorer) -> None:
    bundle = explorer._repr_mimebundle_()

    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == repr(explorer)
    assert repr(explorer).startswith("Explorer(DRAM 512 pages, CRAM media 2 MiB, ")


def test_import__of_the_package_leaves_the_widgets_alone() -> None:
    code = "import sys, vswaplab as vl; vl.Dram; print('vswaplab.widgets' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout.strip() == "False"
    assert vl.widgets.Explorer is Explorer


# Previews ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long() -> vl.Trace:
    return vl.zipf(n_pages=1 << 13, n_accesses=200_000, seed=1)


def test_preview__is_marked_and_gives_way_to_the_exact_numbers(long: vl.Trace) -> None:
    explorer = Explorer(long, vl.preset("zswap-only", long.n_pages), preview_after=0)
    assert explorer.is_preview
    assert explorer.badge.startswith("Preview from one page in ")
    assert screen(explorer)["is_preview"]

    explorer.wait()

    assert not explorer.is_preview
    assert explorer.badge == ""
    assert not screen(explorer)["is_preview"]
    assert explorer.result.totals == vl.simulate(long, explorer.machine).totals


def test_preview__of_a_machine_that_is_known_is_not_needed(long: vl.Trace) -> None:
    explorer = Explorer(long, vl.preset("zswap-only", long.n_pages), preview_after=0)
    explorer.wait()
    explorer.set("dram.capacity_pages", 2500)
    assert explorer.is_preview

    explorer.undo()

    assert not explorer.is_preview


def test_preview__one_that_is_out_of_date_never_shows(long: vl.Trace) -> None:
    explorer = Explorer(long, vl.preset("zswap-only", long.n_pages), preview_after=0)
    explorer.set("dram.capacity_pages", 2500)
    explorer.set("dram.capacity_pages", 3500)

    explorer.wait()

    assert explorer.result.totals == vl.simulate(long, explorer.machine).totals
    assert explorer.machine.dram.capacity_pages == 3500


def test_preview__a_trace_of_a_few_pages_is_run_at_once() -> None:
    explorer = Explorer(vl.loop(n_pages=100, n_accesses=5_000), vl.preset("zswap-only", 100), preview_after=0)

    assert not explorer.is_preview


def _crawls(monkeypatch: pytest.MonkeyPatch) -> None:
    # The next run would take 200 s and says so after 0.2.
    def crawl(*_: object, progress: Callable[[int, int], None] | None, **__: object) -> vl.Result:
        monkeypatch.undo()
        time.sleep(0.2)
        if progress is not None:
            progress(1, 1000)
        raise vl.InputError("ran to its end")

    monkeypatch.setattr(explorer_module, "simulate", crawl)


def test_preview__takes_over_from_a_run_that_turns_out_to_be_slow(
    long: vl.Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    explorer = Explorer(long, vl.preset("zswap-only", long.n_pages), preview_after=30)
    _crawls(monkeypatch)

    explorer.set("dram.capacity_pages", 2500)

    assert (explorer.refusal, explorer.is_preview) == (("", ""), True)
    explorer.wait()
    assert explorer.result.totals == vl.simulate(long, explorer.machine).totals


def test_preview__where_there_is_none_a_slow_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = Explorer(vl.loop(n_pages=100, n_accesses=5_000), vl.preset("zswap-only", 100))
    _crawls(monkeypatch)

    explorer.set("dram.capacity_pages", 50)

    assert explorer.refusal[1] == "ran to its end"


def test_preview__is_refined_even_if_the_next_change_is_refused(
    long: vl.Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    explorer = Explorer(long, vl.preset("zswap-only", long.n_pages), preview_after=0)
    monkeypatch.setattr(explorer, "_ask", _refusing)

    explorer.set("seed", 1)
    monkeypatch.undo()
    explorer.wait()

    assert explorer.refusal == ("seed", "no")
    assert not explorer.is_preview


def _refusing(*_: object) -> None:
    raise vl.InputError("no")


def test_refiner__gives_work_up_when_other_work_is_wanted() -> None:
    refiner, began, ended = Refiner(), threading.Event(), []
    delivered: list[str] = []

    def endless(progress: Callable[[int, int], None]) -> str:
        began.set()
        try:
            while True:
                progress(0, 1)
                time.sleep(0.001)
        except OutOfDateError:
            ended.append("endless")
            raise

    refiner.start(endless, delivered.append)
    began.wait(10)
    refiner.start(lambda progress: "quick", delivered.append)
    refiner.wait()

    assert ended == ["endless"]
    assert delivered == ["quick"]


def test_set__a_drag_that_ends_where_it_began_leaves_nothing_to_undo(trace: vl.Trace) -> None:
    explorer = Explorer(trace, machine())
    before = read(explorer.machine, "dram.capacity_pages")
    explorer.set("dram.capacity_pages", before + 20)
    explorer.set("dram.capacity_pages", before, more=True)

    assert not explorer._past


def test_asked__more_than_a_number_can_hold_is_refused(trace: vl.Trace) -> None:
    explorer = Explorer(trace, machine())
    explorer._asked({"name": "cram.media_bytes", "value": 1e308, "serial": 1})

    assert explorer.sentence.endswith("CRAM media needs a number, got inf: type digits.")
