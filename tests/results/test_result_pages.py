"""The table of pages is made when it is asked for, and saved a slice at a time when it is large."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

import vswaplab as vl
from vswaplab.engine.reference import Reference
from vswaplab.engine.vectorised import Vectorised
from vswaplab.results import result as result_module

MACHINE = vl.preset("four-tiers", 500)


@pytest.fixture(params=["vectorised", "reference"])
def result(request: pytest.FixtureRequest) -> vl.Result:
    trace = vl.zipf(n_pages=500, n_accesses=4_000, redraw_probability=0.5, seed=3)
    return vl.simulate(trace, MACHINE, engine=request.param)


def test_pages__are_one_table(result):
    assert result.pages is result.state()
    assert result.pages["page"].to_list() == list(range(500))


def test_pages__are_not_laid_out_before_somebody_asks(monkeypatch):
    def page_table(*_: object, **__: object) -> None:
        raise AssertionError("nobody asked")

    for engine in (Reference, Vectorised):
        monkeypatch.setattr(engine, "page_table", page_table)
    results = [vl.simulate(vl.Trace([0, 1]), MACHINE, engine=name) for name in ("reference", "vectorised")]

    assert [r.totals["first_touch"] for r in results] == [2, 2]
    with pytest.raises(AssertionError, match="nobody asked"):
        results[0].state()


def test_save__of_many_pages_writes_the_same_table(result, tmp_path, monkeypatch):
    whole = vl.load_result(result.save(tmp_path / "whole"))
    monkeypatch.setattr(result_module, "_SLICE", 64)
    sliced = vl.load_result(replace(result).save(tmp_path / "sliced"))

    assert_frame_equal(whole.pages, result.pages)
    assert_frame_equal(sliced.pages, result.pages)
    assert_frame_equal(vl.load_result(sliced.save(tmp_path / "again")).pages, result.pages)


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({"../escaped.txt": "x"}, r"extra must have names of files in the folder, .* got '\.\./escaped\.txt'"),
        ({"a/b": "x"}, "got 'a/b'"),
        ({"..": "x"}, "got '..'"),
        ({5: "x"}, "got 5"),
        ({"totals.json": "x"}, "extra has 'totals.json', a file of the result's own: choose another name"),
        ({"a.txt": 5}, r"extra\['a.txt'\] must be a text, got 5"),
        (["a.txt"], "extra must be a mapping"),
    ],
)
def test_save__takes_more_files_of_the_folder_and_of_no_other_name(extra, says, tmp_path):
    result = vl.simulate(vl.Trace([0, 1]), MACHINE)
    with pytest.raises(vl.InputError, match=says):
        result.save(tmp_path / "r", extra=extra)

    assert not list(tmp_path.iterdir())
    assert (result.save(tmp_path / "r", extra={"a.txt": "mine"}) / "a.txt").read_text() == "mine"


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))])
def test_results__can_be_copied_and_sent_without_their_engine(result, duplicate):
    other = duplicate(result)

    assert_frame_equal(other.state(), result.state())
    assert other.totals == result.totals
    assert len(pickle.dumps(result.final)) < 500 * 40 + 5_000


MEASURE = """
import numpy as np, vswaplab as vl, sys
def peak():
    return next(int(line.split()[1]) >> 10 for line in open("/proc/self/status") if line.startswith("VmHWM"))
vl.simulate(vl.Trace([0, 1]), vl.Machine(vl.Dram(2000))).save(sys.argv[1])
n = 8 << 20
trace = vl.Trace(np.zeros(1, np.int32), n_pages=n)
result = vl.simulate(trace, vl.Machine(vl.Dram(2000)))
before = peak()
result.save(sys.argv[1])
print((peak() - before << 20) / n)
"""


@pytest.mark.slow  # seconds
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_save__takes_a_few_bytes_a_page(tmp_path):
    # The whole table is 34 bytes a page and as many again while it is written. Here: the compact one, and some slices.
    environment = os.environ | {"POLARS_MAX_THREADS": "2"}
    words = [sys.executable, "-c", MEASURE, str(tmp_path / "r")]
    done = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)

    assert float(done.stdout) < 50


@pytest.mark.parametrize("folder", [None, 5, b"out"])
def test_save_and_load_result__refuse_what_is_no_folder(result, folder):
    for use in (result.save, vl.load_result):
        with pytest.raises(vl.InputError, match=r"folder must be a path, a text or a pathlib.Path, got "):
            use(folder)
