"""The explorer without a browser: set a number, look at machine, table and sentence."""

from __future__ import annotations

import subprocess
import sys

import polars as pl
import pytest

import vswaplab as vl
from vswaplab.widgets import Explorer

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


def test_explorer__starts_at_the_machine_it_is_given(explorer: Explorer, trace: vl.Trace) -> None:
    assert (explorer.dram.value, explorer.media.value, explorer.mark.value) == (512, 2, 90)
    assert explorer.machine == machine()
    assert explorer.result.totals == vl.simulate(trace, machine()).totals
    assert explorer.sentence.startswith("The program waits ")


def test_dram__more_of_it_serves_more_accesses(explorer: Explorer) -> None:
    explorer.dram.value = 1024

    assert explorer.machine.dram.capacity_pages == explorer.machine.dram.total_pages == 1024
    served = explorer.table.filter(accesses="served by DRAM")
    assert served["now"].item() > served["before"].item()
    assert explorer.sentence.startswith("DRAM from 512 pages to 1,024 pages: the program waits ")
    assert " less)" in explorer.sentence


def test_dram__a_limit_of_its_own_for_the_pool_stays(trace: vl.Trace) -> None:
    explorer = Explorer(trace, machine(dram=vl.Dram(512, total_pages=4096)))

    explorer.dram.value = 1024

    assert explorer.machine.dram.total_pages == 4096


def test_dram__stops_where_there_would_be_nothing_but_thrashing(explorer: Explorer) -> None:
    explorer.dram.value = 1

    assert explorer.dram.value == explorer.dram.box.min
    assert 2048 // 10 <= explorer.dram.box.min < 2048 // 10 + explorer.dram.slider.step


def test_media__keeps_the_ratio_it_advertises(explorer: Explorer) -> None:
    explorer.media.value = 3

    assert explorer.machine.cram is not None
    assert explorer.machine.cram.media_bytes == 3 * MIB
    assert explorer.machine.cram.advertised_bytes == 6 * MIB


def test_media__zero_is_a_machine_without_cram(explorer: Explorer) -> None:
    explorer.media.value = 0

    assert explorer.machine.cram is None
    assert explorer.table.filter(accesses="read in place in CRAM")["now"].item() == 0


def test_mark__moves_both_marks_of_the_writeback(explorer: Explorer) -> None:
    explorer.mark.value = 60

    assert explorer.machine.cram is not None
    assert (explorer.machine.cram.writeback_high, explorer.machine.cram.writeback_low) == (0.60, 0.55)


def test_mark__is_refused_where_there_is_nothing_to_write_back(explorer: Explorer) -> None:
    explorer.media.value = 0
    here = explorer.machine

    explorer.mark.value = 50

    assert explorer.mark.value == explorer.mark.slider.value == 90
    assert explorer.machine is here
    assert explorer.sentence.startswith("Writeback mark stays at 90 % of media, 50 % of media is refused: ")
    assert "give it media first" in explorer.sentence


def test_dram__below_the_watermark_is_refused_with_the_reason(trace: vl.Trace) -> None:
    explorer = Explorer(trace, machine(dram=vl.Dram(512, high=300)))

    explorer.dram.value = 256

    assert explorer.dram.value == 512
    assert "256 pages is refused: dram.low 0 and dram.high 300 are out of order" in explorer.sentence


def test_explorer__says_where_memory_ran_out(trace: vl.Trace) -> None:
    explorer = Explorer(trace, machine(zswap=None, swapfiles=[vl.Swapfile(64)]))

    explorer.media.value = 0

    assert explorer.result.totals["oom"] == 1
    assert "Memory ran out after " in explorer.sentence


def test_explorer__says_what_the_run_warns_of(trace: vl.Trace) -> None:
    recorded = vl.Trace(trace.page, trace.op, n_pages=2048, recorder_k=256, name="short")
    explorer = Explorer(recorded, machine(dram=vl.Dram(512, high=32)))

    explorer.dram.value = 256

    assert "Mind: trace 'short' was reduced in blocks of 256 pages" in explorer.sentence


def test_slider_and_box__set_each_other_and_only_the_box_is_named(explorer: Explorer) -> None:
    explorer.dram.slider.value = 1024

    assert explorer.dram.box.value == 1024
    assert explorer.dram.box.description == "DRAM (pages)"
    assert explorer.dram.slider.continuous_update is False


def test_panels__are_one_widget_each_changed_in_place(explorer: Explorer) -> None:
    panels = explorer.view.children
    specs = [panel.spec for panel in panels if hasattr(panel, "spec")]

    explorer.dram.value = 1024

    assert explorer.view.children == panels
    changed = [panel.spec for panel in panels if hasattr(panel, "spec")]
    assert len(changed) == 2
    assert all(old != new for old, new in zip(specs, changed, strict=True))


def test_panels__stay_small_whatever_the_trace(explorer: Explorer) -> None:
    rows = [len(data) for panel in explorer.view.children for data in _tables(getattr(panel, "spec", None))]

    assert rows
    assert max(rows) < 5000


def _tables(spec: object) -> list[list[object]]:
    return list(spec.get("datasets", {}).values()) if isinstance(spec, dict) else []


def test_explorer__shows_as_a_widget_and_reads_as_a_line(explorer: Explorer) -> None:
    bundle = explorer._repr_mimebundle_()

    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == repr(explorer)
    assert repr(explorer).startswith("Explorer(DRAM 512 pages, CRAM media 2 MiB, ")


def test_explorer__refuses_a_machine_without_cram(trace: vl.Trace) -> None:
    with pytest.raises(vl.InputError, match="needs a machine with CRAM"):
        Explorer(trace, machine(cram=None))


def test_media__of_a_preset_stays_what_it_is_until_moved(trace: vl.Trace) -> None:
    preset = vl.preset("four-tiers", trace.n_pages)  # its media is no whole number of MiB
    explorer = Explorer(trace, preset)

    explorer.dram.value += explorer.dram.slider.step

    assert explorer.machine.cram is not None
    assert preset.cram is not None
    assert explorer.machine.cram.media_bytes == preset.cram.media_bytes
    assert explorer.machine.dram.capacity_pages == preset.dram.capacity_pages + explorer.dram.slider.step


def test_table__is_a_polars_table_of_counts(explorer: Explorer) -> None:
    assert explorer.table.columns == ["accesses", "now"]
    assert explorer.table.schema["now"] == pl.Int64


def test_import__of_the_package_leaves_the_widgets_alone() -> None:
    code = "import sys, vswaplab; print('vswaplab.widgets' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout.strip() == "False"
