"""Ctrl-C: heard between two steps, and everything in the result then describes the same access."""

from __future__ import annotations

import math
import signal
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

import vswaplab as vl
from vswaplab.base.interrupts import Interrupts
from vswaplab.engine.reference import Reference
from vswaplab.engine.vectorised import Vectorised

ENGINES = {"reference": Reference, "vectorised": Vectorised}
TRACE = vl.zipf(n_pages=600, n_accesses=6_000, redraw_probability=0.5, corpus=vl.synthetic_corpus(), seed=2)
MACHINE = vl.preset("four-tiers", 600)


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def at_report(n: int, act: Callable[[], None]) -> Callable[[int, int], None]:
    """A progress callback that acts at its n-th call."""
    calls = iter(range(1, 10_000))
    return lambda *_: act() if next(calls) == n else None


@pytest.fixture(params=["reference", "vectorised"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def in_call(monkeypatch: pytest.MonkeyPatch, engine: str) -> Callable[[int, Callable[[], None]], None]:
    """Act in the middle of the engine's n-th call, with steps of at most 64 accesses."""

    def set_up(n: int, act: Callable[[], None]) -> None:
        calls, run = iter(range(1, 10_000)), ENGINES[engine].run

        def interrupted(self: Reference, start: int, stop: int) -> int:
            middle = (start + stop) // 2
            done = run(self, start, middle)
            if next(calls) == n:
                act()
            return run(self, middle, stop) if done == middle else done

        monkeypatch.setattr(ENGINES[engine], "run", interrupted)
        monkeypatch.setattr(ENGINES[engine], "most_accesses", 64)
        monkeypatch.setattr("vswaplab.engine.run._SHORT", math.inf)  # a busy machine makes no step shorter

    return set_up


def simulate(trace: vl.Trace | vl.TraceFile, engine: str, **options: object) -> vl.Result:
    with pytest.warns(UserWarning, match="interrupted: the result ends before access"):
        return vl.simulate(trace, MACHINE, engine=engine, **options)  # type: ignore[arg-type]


def assert_is_a_run_of(result: vl.Result, n: int, engine: str) -> None:
    whole = vl.simulate(TRACE.head(n), MACHINE, engine=engine)
    assert result.totals == whole.totals
    assert_frame_equal(result.state(), whole.state())
    last = result.epochs.row(-1, named=True)
    assert (last["stop"], result.totals["accesses"]) == (n, n)
    tiers = [table.filter(epoch=table["epoch"].max()).drop("epoch") for table in (result.tiers, whole.tiers)]
    assert_frame_equal(*tiers)
    assert result.provenance["partial"] is True


@pytest.mark.parametrize("act", [ctrl_c, lambda: signal.default_int_handler(2, None)], ids=["signal", "exception"])
def test_simulate__ctrl_c_between_two_windows_ends_there(engine, act):
    result = simulate(TRACE, engine, epoch_accesses=100, progress=at_report(7, act))

    assert_is_a_run_of(result, 700, engine)
    assert result.epochs.height == 7
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(("call", "done", "windows"), [(1, 64, 1), (16, 1000, 1), (17, 1064, 2), (20, 1256, 2)])
def test_simulate__ctrl_c_inside_a_step_ends_with_the_step(engine, in_call, monkeypatch, call, done, windows):
    in_call(call, ctrl_c)  # 1,000 accesses are 15 steps of 64 and one of 40
    result = simulate(TRACE, engine, epoch_accesses=1000)
    monkeypatch.undo()

    assert_is_a_run_of(result, done, engine)
    assert result.epochs.height == windows


def test_simulate__ctrl_c_in_a_trace_file_ends_with_the_step(engine, in_call, monkeypatch, tmp_path):
    trace = vl.open_trace(vl.save_trace(TRACE, tmp_path / "t.parquet"), piece_accesses=100)
    in_call(5, ctrl_c)  # pieces of 100 are two steps each, of 64 and of 36
    result = simulate(trace, engine, epoch_accesses=1000)
    monkeypatch.undo()

    assert_is_a_run_of(result, 264, engine)


def test_simulate__ctrl_c_while_a_piece_is_read_keeps_what_is_finished(engine, monkeypatch, tmp_path):
    trace = vl.open_trace(vl.save_trace(TRACE, tmp_path / "t.parquet"), piece_accesses=2_100)
    pieces = trace.pieces

    def interrupted():  # polars itself raises KeyboardInterrupt out of a collect
        yield from list(pieces())[:2]
        raise KeyboardInterrupt

    monkeypatch.setattr(trace, "pieces", interrupted)
    assert_is_a_run_of(simulate(trace, engine, epoch_accesses=1000), 4_200, engine)


def test_simulate__ctrl_c_before_an_event_leaves_it_undone(engine):
    event = vl.swapoff(at=700, device=0)
    result = simulate(TRACE, engine, epoch_accesses=100, events=[event], progress=at_report(7, ctrl_c))

    assert_is_a_run_of(result, 700, engine)
    assert result.events.height == 0


def test_simulate__a_second_ctrl_c_goes_through(engine, in_call):
    def twice() -> None:
        ctrl_c()
        ctrl_c()

    in_call(3, twice)
    with pytest.raises(KeyboardInterrupt):
        vl.simulate(TRACE, MACHINE, engine=engine)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_simulate__inside_a_simulate_both_hear_it(engine):
    inner: list[vl.Result] = []

    def run_another() -> None:
        inner.append(vl.simulate(TRACE, MACHINE, epoch_accesses=100, progress=at_report(3, ctrl_c)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outer = vl.simulate(TRACE, MACHINE, engine=engine, epoch_accesses=100, progress=at_report(2, run_another))
    assert (inner[0].totals["accesses"], outer.totals["accesses"]) == (300, 200)


def test_simulate__elsewhere_the_handler_is_left_alone(engine):
    seen: list[object] = []
    look = at_report(1, lambda: seen.append(signal.getsignal(signal.SIGINT)))
    thread = threading.Thread(target=lambda: vl.simulate(TRACE, MACHINE, engine=engine, progress=look))
    thread.start()
    thread.join()
    own = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        vl.simulate(TRACE, MACHINE, engine=engine, progress=at_report(1, lambda: seen.append(signal.SIG_IGN)))
        seen.append(signal.getsignal(signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, own)

    assert seen == [signal.default_int_handler, signal.SIG_IGN, signal.SIG_IGN]


def test_risk__ctrl_c_keeps_the_runs_that_were_finished(monkeypatch):
    starts, run = iter(range(10_000)), Vectorised.run

    def interrupted(self: Vectorised, start: int, stop: int) -> int:
        if start == 0 and next(starts) == 2:  # the third run
            ctrl_c()
        return run(self, start, stop)

    monkeypatch.setattr(Vectorised, "run", interrupted)
    with pytest.warns(UserWarning, match="before access"), pytest.warns(UserWarning, match="2 of 5 runs were finished"):
        runs = vl.risk(TRACE, MACHINE, seeds=5)
    assert runs["seed"].to_list() == [0, 1]


def test_interrupts__are_noted_inside_and_raised_outside():
    with Interrupts() as interrupts:
        ctrl_c()
        assert interrupts.noted
        with pytest.raises(KeyboardInterrupt):
            ctrl_c()
    with pytest.raises(KeyboardInterrupt):
        ctrl_c()


def test_result__saved_after_ctrl_c_says_so(tmp_path: Path):
    result = simulate(TRACE, "vectorised", epoch_accesses=100, progress=at_report(7, ctrl_c))
    again = vl.load_result(result.save(tmp_path / "r"))

    assert again.provenance["partial"] is True
    assert_frame_equal(again.state(), result.state())
