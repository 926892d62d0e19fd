"""The suite's arithmetic is right and it still runs; and, if asked for, a few fixed cases with pytest-benchmark."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import speed
from bench import peers
from bench.compiled import chain_side, count_chain
from bench.guards import over_zipf
from bench.measure import Measurement, Timed, alternate
from bench.rows import compiled_totals, misses, warm_side
from bench.streams import KI, STREAMS, Device, M, Scale, chain, make, make_warm, mean_stored_bytes, plain
from bench.tables import as_markdown, as_text, markdown_of, read_document

import vswaplab as vl

HERE = Path(__file__).resolve().parent
README = (HERE.parents[1] / "README.md").read_text(encoding="utf-8")
N_PAGES, N_TOUCHES = 400, 3_000
TINY = Scale(fewer_pages=1_024, fewer_touches=2_500)


def case(**settings: object) -> Measurement:
    times = {"us": [1.0, 2.0, 4.0], "them": [4.0, 4.0, 4.0]}
    given = {"kind": "faster", "ours": "us", "peer": "them", "touches": 1_000_000_000, "wall_s": times, "cpu_s": times}
    return Measurement("1", "a case", **given | settings)


def test_figures__are_the_ratios_of_each_round() -> None:
    assert case().figures() == [4, 2, 1]
    assert case(kind="dearer").figures() == [0.25, 0.5, 1]
    assert case(kind="at most", values=[7.0]).figures() == [7]
    assert (case().ns("us"), case().ns("them"), case().ns("nobody")) == (2, 4, None)


@pytest.mark.parametrize(
    ("settings", "verdict"),
    [
        ({}, ""),
        ({"must": 2.1}, "MISSED"),
        ({"must": 2.0}, "reached"),
        ({"must": 1.0, "aim": 2.0}, "aim"),
        ({"kind": "dearer", "must": 0.4}, "MISSED"),
        ({"kind": "dearer", "must": 3.0, "aim": 0.5}, "aim"),
        ({"kind": "at most", "must": 200, "aim": 80, "values": [90, 70, 300]}, "reached"),
        ({"must": 1.0, "facts": {"void": "misses differ"}}, "VOID"),
        ({"must": 1.0, "facts": {"missing": "no peer"}}, "not available"),
    ],
)
def test_verdict__holds_the_median_against_the_bounds(settings: dict[str, object], verdict: str) -> None:
    assert case(**settings).verdict() == verdict


@pytest.mark.slow  # seconds
def test_alternate__turns_the_order_and_keeps_the_first_complaint() -> None:
    order: list[str] = []

    def side(name: str) -> Timed[int]:
        order.append(name)
        return Timed(1.0, 1.0, len(order))

    rounds = alternate({"a": lambda: side("a"), "b": lambda: side("b")}, 3, lambda found: f"b found {found['b']}")
    assert "".join(order) == "abbaab"
    assert rounds.complaint == "b found 2"
    assert rounds.into(case(ours="a", peer="b", must=1)).verdict() == "VOID"


def test_over_zipf__is_taken_on_the_same_size_writes_and_machine() -> None:
    zipf, other = ({"stream": stream, "group": "1"} for stream in ("zipf-1.0", "scan"))
    slow = {"us": [6.0], "them": [1.0]}
    guards = [case(facts=zipf | {"group": "2"}, wall_s=slow), case(facts=zipf), case(facts=other, wall_s=slow)]
    assert over_zipf(guards[2], guards) == 3
    assert over_zipf(guards[2], guards[:1]) is None


def test_tables__align_words_to_the_left_and_figures_to_the_right() -> None:
    assert as_text(["What", "Figure"], [["a", "1"]]) == "What  Figure\na          1"
    assert as_markdown(["What", "Figure"], [["a", "1"]]) == "| What | Figure |\n| --- | ---: |\n| a | 1 |"


@pytest.mark.parametrize("stream", STREAMS)
def test_peers__count_the_misses_that_the_engine_counts(stream: str) -> None:
    trace, capacity = make(stream, N_PAGES, N_TOUCHES), N_PAGES // 4
    expected = peers.ordered_dict_lru(trace.page.tolist(), capacity)
    assert misses(vl.simulate(trace, plain(N_PAGES))) == expected
    assert peers.linked_list_lru(trace.page, N_PAGES, capacity) == expected


@pytest.mark.parametrize("stream", STREAMS)
def test_libcachesim__counts_the_same(stream: str) -> None:
    if not peers.HAS_LIBCACHESIM:
        pytest.skip(peers.NO_LIBCACHESIM)
    trace, lcs = make(stream, N_PAGES, N_TOUCHES), peers.LibCacheSim()
    try:
        found = lcs.side(trace, N_PAGES // 4)().answer
    finally:
        lcs.close()
    assert found == peers.ordered_dict_lru(trace.page.tolist(), N_PAGES // 4)


@pytest.mark.parametrize("stream", ["zipf-1.0", "uniform"])
def test_warm_side__counts_the_misses_after_every_page_has_been_touched(stream: str) -> None:
    trace = make_warm(N_PAGES, N_TOUCHES, stream)
    assert warm_side(trace, plain(N_PAGES), misses, N_PAGES // 2)().answer == misses_when_warm(trace)


@pytest.mark.parametrize("stream", ["zipf-1.0", "uniform"])
def test_libcachesim__counts_the_same_when_warm(stream: str) -> None:
    if not peers.HAS_LIBCACHESIM:
        pytest.skip(peers.NO_LIBCACHESIM)
    trace, lcs = make_warm(N_PAGES, N_TOUCHES, stream), peers.LibCacheSim()
    try:
        found = lcs.side(trace, N_PAGES // 4, start=N_PAGES)().answer
    finally:
        lcs.close()
    assert found == misses_when_warm(trace)


def misses_when_warm(trace: vl.Trace) -> int:
    return peers.ordered_dict_lru(trace.page.tolist(), N_PAGES // 4) - N_PAGES  # each page's first touch is one


def test_make_warm__touches_every_page_before_it_repeats_one() -> None:
    trace = make_warm(N_PAGES, 50)
    assert np.unique(trace.page[:N_PAGES]).size == N_PAGES
    assert len(trace) == N_PAGES + 50


def test_chain__works_under_the_pressure_that_its_device_is_named_for() -> None:
    trace = make("zipf-1.0", 16 * KI, 100_000)
    seen = {}
    for device in ("roomy", "tight", "gated"):
        totals = vl.simulate(trace, chain(trace.n_pages, device, trace=trace)).totals
        seen[device] = [totals[name] > 0 for name in ("cram_writeback_zswap", "zswpwb", "gate_closed_intervals")]
    assert 1024 < mean_stored_bytes(trace) < 2048
    assert seen == {"roomy": [False, True, False], "tight": [True, True, False], "gated": [True, True, True]}


@pytest.mark.parametrize("device", ["roomy", "tight", "gated"])
@pytest.mark.parametrize("stream", ["zipf-1.0", "uniform"])
def test_compiled_chain__counts_what_the_engine_counts(stream: str, device: Device) -> None:
    trace = make(stream, 4 * KI, 40_000)
    machine = chain(trace.n_pages, device, trace=trace)
    found = chain_side(trace, machine, count_chain)().answer  # as Python runs it
    assert found == compiled_totals(vl.simulate(trace, machine))
    assert found["zswpwb"]
    assert bool(found["cram_writeback_zswap"]) == (device != "roomy")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "QUICK", TINY)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny")
def test_main__runs_every_row_and_makes_the_table_again_from_its_json(tmp_path, capsys) -> None:
    kept = tmp_path / "speed.json"
    assert speed.main(["--quick", "--rounds", "1", "--json", str(kept)]) == 0
    cases, about = read_document(kept)
    assert {found.row for found in cases} == set(speed.ROWS[:-1])
    assert "VOID" not in {found.verdict() for found in cases}
    assert all(found.figures() or "missing" in found.facts for found in cases)
    assert about["sizes"].startswith("cut by --quick")
    capsys.readouterr()
    assert speed.main(["--table", str(kept)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("\n| ") == len(cases) + 1
    assert f"numpy: {np.__version__}" in printed


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("only", ["uniform, 256 pages", "uniform, warm", pytest.param("redis", marks=pytest.mark.slow)])
def test_main__runs_guards(tmp_path, only: str) -> None:
    kept = tmp_path / "guards.json"
    assert speed.main(["--quick", "--rounds", "1", "--guards", "--only", only, "--json", str(kept)]) == 0
    cases = json.loads(kept.read_text())["cases"]
    assert cases
    assert {found["ours"] for found in cases} == {"LRU", "chain", "chain gap 32"}
    assert not [found for found in cases if "void" in found["facts"]]


@pytest.mark.parametrize("words", [["--rows", "1,7"], ["--rounds", "0"]])
def test_main__refuses_what_it_does_not_know(words: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        speed.main(words)
    assert stop.value.code == 2
    assert "row 7" in capsys.readouterr().err or words[0] == "--rounds"


@pytest.mark.benchmark
@pytest.mark.parametrize("machine", [plain, chain])
def test_speed(request: pytest.FixtureRequest, machine) -> None:
    pytest.importorskip("pytest_benchmark", reason="pytest-benchmark is not installed (extra 'bench')")
    benchmark = request.getfixturevalue("benchmark")
    trace = make("zipf-1.0", 256 * KI, M)
    result = benchmark(vl.simulate, trace, machine(trace.n_pages))
    assert result.totals["accesses"] == M


def test_readme__its_table_is_made_from_the_kept_measurement() -> None:
    block = re.search(r"<!-- speed.json -->\n(.*?)\n<!-- end of speed.json -->", README, re.DOTALL)
    assert block is not None
    assert block[1] == markdown_of(*read_document(HERE / "speed.json"))
