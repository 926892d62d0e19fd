"""What is of the wrong kind is said in one line by whoever is given it, and not by a library underneath."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl
import pytest

import vswaplab as vl
from vswaplab import charts

TRACE = vl.zipf(n_pages=80, n_accesses=400, seed=1)
MACHINE = vl.preset("four-tiers", 80)
SLOTS = {"slots_in_use": 1, "virtual_slots": 1, "address_space_pages": 9}
TABLE = pl.DataFrame({"page": [0]})
EPOCHS = vl.simulate(TRACE, MACHINE).epochs
HALVES = {"dram.capacity_pages": [10, 20]}


@pytest.mark.parametrize(
    ("function", "arguments", "by_name", "says"),
    [
        (vl.export_trace, (5, "a.csv"), {}, "trace must be a vl.Trace, got 5"),
        (vl.export_trace, (TRACE, None), {}, "path must be a path"),
        (vl.export_trace, (TRACE, "a.csv", ["csv"]), {}, "the format to export to must be one of oracle-general, csv"),
        (vl.import_trace, (None, "out.parquet"), {}, "source must be a path"),
        (vl.import_trace, ("a\0b", "out.parquet"), {}, "source must be a path"),
        (vl.import_trace, ("a", 5), {}, "out must be a path"),
        (vl.import_trace, ("a", "b"), {"columns": 5}, "columns must be a mapping such as {'page': 'obj_id'}, got 5"),
        (vl.import_trace, ("a", "b"), {"default_op": []}, "the default op must be one of read, write, got []"),
        (vl.import_trace, ("a", "b"), {"format": [1]}, "the format must be one of oracle-general"),
        (vl.import_trace, ("a", "b"), {"separator": 5}, "separator must be a text, got 5"),
        (vl.import_trace, ("a", "b"), {"events": None}, "events must be a text, got None"),
        (vl.import_trace, ("a", "b"), {"skip_unknown": 2}, "skip_unknown must be true or false, got 2"),
        (vl.import_trace, ("a", "b"), {"title": 2}, "title must be a text, got 2"),
        (vl.import_trace, ("a", "b"), {"name": 2}, "name must be a text, got 2"),
        (vl.write_trace, ([{"page": [1]}], "a"), {"n_pages": 2, "title": 5}, "title must be a text, got 5"),
        (vl.write_trace, ([{"page": [1]}], "a"), {"n_pages": 2, "name": b"x"}, "name must be a text, got b'x'"),
        (vl.calibrate, ("/",), {"cgroup": 5}, "cgroup must be a text, got 5"),
        (vl.record, (5,), {}, "the command must be a list of texts, such as ['ls', '-l'], got 5"),
        (vl.record, ("ls",), {}, "the command must be a list of texts"),
        (vl.record, ([1],), {}, "the command must be a list of texts"),
        (vl.record, ([],), {}, "no command to record"),
        (vl.record, (["ls"],), {"children": None}, "children must be true or false, got None"),
        (vl.record, (["ls"],), {"contents": "yes"}, "contents must be true or false, got 'yes'"),
        (vl.record, (["ls"],), {"name": 5}, "name must be a text, got 5"),
        (vl.record, (["ls"],), {"title": b"x"}, "title must be a text, got b'x'"),
        (vl.record, (["ls"],), {"limits": 5}, "limits must be a vswaplab.recorder.guest.Limits or None, got 5"),
        (
            vl.linux,
            (),
            {"memory_max": 1 << 30, "total_ram_pages": 1 << 20, "workload_pages": 99, "cram": 5},
            "linux: cram must be a vl.Cram or None, got 5",
        ),
        (vl.Sampled.of_accesses, (TRACE, 0), {}, "n_accesses must be a whole number of at least 1, got 0"),
        (vl.Sampled.of_accesses, (5, 1), {}, "trace must be a vl.Trace, got 5"),
        (vl.scaled, (MACHINE, 0.5), {"least_step": "x"}, "least_step must be a share of DRAM from 0 to 1, got 'x'"),
        (vl.swapoff_work, (), SLOTS | {"costs": 5}, "costs must be a vl.Costs, got 5"),
        (vl.swapoff_work, (), SLOTS | {"costs": {}}, "costs must be a vl.Costs, got {}"),
        (vl.measure, (), {"file": [1], "processes": 1}, "file must be a path"),
        (vl.measure, (), {"file": "a", "processes": 10**12}, "processes must be a whole number from 1 to 4096"),
        (charts.faults_chart, (None,), {}, "the table must be a polars.DataFrame with the columns epoch, start, stop"),
        (charts.stall_chart, (TABLE,), {}, "the table has no column 'epoch': it needs epoch, start, stop, reads"),
        (charts.residency_chart, (TABLE,), {}, "it needs epoch, access, tier, pages, media_bytes; it has page"),
        (charts.media_chart, (5,), {"media_bytes": 5}, "the table must be a polars.DataFrame"),
        (
            charts.curves_chart,
            (TABLE, "page", "page"),
            {"title": ""},
            "is given with its title, such as ('page', 'Page')",
        ),
        (charts.faults_chart, (EPOCHS,), {"title": 5}, "title must be a text, got 5"),
        (charts.faults_chart, (EPOCHS,), {"cram_mode": []}, "cram_mode must be one of swap, tier, got []"),
        (vl.risk, (TRACE, MACHINE), {"seeds": 10**12}, "seeds must be 1 to 1,000,000 seeds"),
        (vl.optimise, (TRACE, MACHINE, HALVES), {"trials": 10**12}, "trials must be a whole number from 1 to 1000000"),
        (vl.sweep, (TRACE, MACHINE, HALVES), {"executor": 10**12}, "executor must be None, a number of processes up"),
    ],
)
def test_arguments__of_a_wrong_kind_are_refused_in_one_line(
    function: Callable[..., object],
    arguments: Sequence[object],
    by_name: Mapping[str, object],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").write_bytes(b"page,op\n1,r\n")

    with pytest.raises(vl.InputError) as caught:
        function(*arguments, **by_name)

    assert says in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
