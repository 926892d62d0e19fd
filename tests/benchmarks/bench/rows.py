"""The six rows of the specification's section 7, and what else is promised about speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import vswaplab as vl
from bench import peers
from bench.child import Child, run_child
from bench.compiled import COUNTERS, chain_side, count_chain
from bench.measure import Measurement, Side, Timed, alternate, timed
from bench.streams import KI, MI, Device, M, Scale, chain, count_text, make, make_warm, plain, size_text

LCS = "libCacheSim"
Wanted = Callable[[str], bool]
"""Whether a case is to be run, by its label."""


class Suite:
    """Runs cases one after the other.

    Parameters
    ----------
    scale
        Sizes as specified, or cut for a trial.
    rounds
        Times each side runs.
    wanted
        Picks cases by label.
    lcs
        The peer, which holds a request file.
    """

    def __init__(self, scale: Scale, rounds: int, wanted: Wanted, lcs: peers.LibCacheSim) -> None:
        self.scale, self.rounds, self.wanted, self.lcs = scale, rounds, wanted, lcs

    def run(self, row: str) -> Iterator[Measurement]:
        """Measure a row, one case at a time."""
        yield from getattr(self, f"_row_{row}")()

    def _row_1(self) -> Iterator[Measurement]:
        for n_pages, n_touches in self._sizes():
            case = Measurement("1", f"LRU, {size_text(n_pages, n_touches)}", "faster", must=5, aim=12)
            if self.wanted(case.label):
                yield self._beside_lcs(case, n_pages, n_touches, lambda trace: plain(trace.n_pages), same_misses)

    def _row_2(self) -> Iterator[Measurement]:
        aims = {"roomy": (6, 12), "tight": (5, 8), "gated": (5, 8)}  # at 1 M pages, at more
        for n_pages, n_touches in self._sizes():
            for device, by_size in aims.items():
                label = f"chain {device}, {size_text(n_pages, n_touches)}"
                aim = by_size[n_pages > self.scale.pages(MI)]
                case = Measurement("2", label, "faster", must=4 if device == "roomy" else 3, aim=aim)
                if self.wanted(label):
                    yield self._beside_lcs(case, n_pages, n_touches, _chain_maker(device), None)

    def _row_3(self) -> Iterator[Measurement]:
        n_pages = self.scale.pages(MI)
        cases: tuple[tuple[Device, int], ...] = (("roomy", 10 * M), ("tight", 10 * M), ("roomy", 30 * M))
        for device, touches in cases:
            n_touches = self.scale.touches(touches)
            label = f"chain {device}, {size_text(n_pages, n_touches)}"
            case = Measurement("3", label, "faster", must=40, aim=100, ours="vectorised", peer="reference")
            if self.wanted(label):
                trace = make("zipf-1.0", n_pages, n_touches)
                machine = chain(n_pages, device, trace=trace)
                sides = {name: engine_side(trace, machine, tables, engine=name) for name in (case.ours, case.peer)}
                case.touches = n_touches
                yield alternate(sides, self.rounds, same_tables).into(case)

    def _row_4(self) -> Iterator[Measurement]:
        small, large, n_touches = self.scale.pages(MI), self.scale.pages(64 * MI), 10 * self.scale.pages(MI)
        machines = {"chain roomy": (chain, 3, 2), "LRU": (plain, None, None)}
        for name, (maker, must, aim) in machines.items():
            label = f"{name}, warm, {count_text(large)} over {size_text(small, n_touches)}"
            case = Measurement("4", label, "dearer", must=must, aim=aim, ours="large", peer="small", touches=n_touches)
            if self.wanted(label):
                sides = {
                    side: warm_side(make_warm(n_pages, n_touches), maker(n_pages), misses, small)
                    for side, n_pages in (("large", large), ("small", small))
                }
                yield alternate(sides, self.rounds).into(case)

    def _row_5(self) -> Iterator[Measurement]:
        n_pages, n_touches = self.scale.pages(64 * MI), 10 * self.scale.pages(MI)
        label = f"peak memory, chain roomy, trace streamed, {size_text(n_pages, n_pages + n_touches)}"
        case = Measurement("5", label, "at most", unit="GB", must=2, aim=1)
        if not self.wanted(label):
            return
        if not hasattr(vl, "open_trace"):
            case.facts["missing"] = "vl.open_trace does not exist yet"
            yield case
            return
        with TemporaryDirectory(prefix="vswaplab-speed-") as folder:
            path = vl.save_trace(make_warm(n_pages, n_touches), Path(folder, "warm.parquet"))
            found = run_child("peak", str(path), str(n_pages))
        case.values = [found["peak_bytes"] / 1e9]
        case.facts = {"after import, GB": round(found["import_bytes"] / 1e9, 2), "ns a touch": round(found["touch_ns"])}
        yield case

    def _row_6(self) -> Iterator[Measurement]:
        n_pages, n_touches = self.scale.pages(256 * KI), self.scale.touches(M)
        label = f"a run to finished tables, chain roomy, {size_text(n_pages, n_touches)}"
        if self.wanted(label):
            found = run_child("slider", str(n_pages), str(n_touches), str(self.rounds))
            facts = {"first run of the process, ms": round(found["run_ms"][0])}
            yield Measurement(
                "6", label, "at most", unit="ms", must=200, aim=80, values=found["run_ms"][1:], facts=facts
            )

    def _row_others(self) -> Iterator[Measurement]:
        yield from self._python_and_compiled()
        yield from self._chain_compiled()
        yield from self._progress()
        yield from self._two_at_once()

    def _python_and_compiled(self) -> Iterator[Measurement]:
        n_pages, n_touches = self.scale.pages(MI), self.scale.touches(10 * M)
        makers = {"OrderedDict": peers.ordered_dict_side, "numba linked list": peers.numba_side}
        for peer, maker in makers.items():
            label = f"LRU, {size_text(n_pages, n_touches)}, against {peer}"
            case = Measurement("others", label, "faster", ours="LRU", peer=peer, touches=n_touches)
            if not self.wanted(label):
                continue
            if maker is peers.numba_side and not peers.HAS_NUMBA:
                case.facts["missing"] = peers.NO_NUMBA
                yield case
                continue
            trace = make("zipf-1.0", n_pages, n_touches)
            sides = {case.ours: engine_side(trace, plain(n_pages), misses), peer: maker(trace, n_pages // 4)}
            yield alternate(sides, self.rounds, same_misses).into(case)

    def _chain_compiled(self) -> Iterator[Measurement]:
        devices: tuple[Device, ...] = ("roomy", "tight")
        n_touches = self.scale.touches(30 * M)
        for n_pages in (self.scale.pages(MI), self.scale.pages(4 * MI)):
            for device in devices:
                label = f"chain {device}, {size_text(n_pages, n_touches)}, against the same method compiled"
                case = Measurement("others", label, "faster", ours="chain", peer="numba", touches=n_touches)
                if not self.wanted(label):
                    continue
                if not peers.HAS_NUMBA:
                    case.facts["missing"] = peers.NO_NUMBA
                    yield case
                    continue
                trace = make("zipf-1.0", n_pages, n_touches)
                machine = chain(n_pages, device, trace=trace)
                sides = {
                    case.ours: engine_side(trace, machine, compiled_totals),
                    case.peer: chain_side(trace, machine, peers.jit(count_chain)),
                }
                yield alternate(sides, self.rounds, same_totals).into(case)

    def _progress(self) -> Iterator[Measurement]:
        n_pages, n_touches = self.scale.pages(MI), self.scale.touches(10 * M)
        label = f"with a progress line over without, chain roomy, {size_text(n_pages, n_touches)}"
        case = Measurement("others", label, "dearer", must=1.01, ours="with", peer="without", touches=n_touches)
        if self.wanted(label):
            trace, machine = make("zipf-1.0", n_pages, n_touches), chain(n_pages)
            sides = {
                "with": engine_side(trace, machine, misses, progress=ProgressLine()),
                "without": engine_side(trace, machine, misses),
            }
            yield alternate(sides, 3 * self.rounds, same_misses).into(case)

    def _two_at_once(self) -> Iterator[Measurement]:
        n_pages, n_touches = self.scale.pages(MI), self.scale.touches(10 * M)
        label = f"throughput of two processes over one, chain roomy, {size_text(n_pages, n_touches)} each"
        case = Measurement("others", label, "at least", must=1.7, touches=n_touches)
        if self.wanted(label):
            one, other = (Child("worker", str(n_pages), str(n_touches)) for _ in range(2))
            with one, other:
                for k in range(self.rounds):
                    alone_s, both_s = run_together([(one, other)[k % 2]]), run_together([one, other])
                    case.values.append(2 * alone_s / both_s)
            yield case

    def _sizes(self) -> list[tuple[int, int]]:
        return [
            (self.scale.pages(n_pages), self.scale.touches(n_touches))
            for n_pages in (MI, 4 * MI)
            for n_touches in (10 * M, 30 * M)
        ]

    def _beside_lcs(
        self,
        case: Measurement,
        n_pages: int,
        n_touches: int,
        machine_of: Callable[[vl.Trace], vl.Machine],
        check: Callable[[Mapping[str, Any]], str] | None,
    ) -> Measurement:
        case.ours, case.peer, case.touches = case.label.partition(",")[0], LCS, n_touches
        if not peers.HAS_LIBCACHESIM:
            case.facts["missing"] = peers.NO_LIBCACHESIM
            return case
        trace = make("zipf-1.0", n_pages, n_touches)
        sides = {
            case.ours: engine_side(trace, machine_of(trace), misses_and_work),
            LCS: self.lcs.side(trace, n_pages // 4),
        }
        rounds = alternate(sides, self.rounds, check)
        case.facts |= rounds.answers[case.ours][1]
        return rounds.into(case)


def engine_side(trace: vl.Trace, machine: vl.Machine, keep: Callable[[vl.Result], Any], **settings: object) -> Side:
    """Prepare a simulation: on the clock from the call to the finished result, of which ``keep`` keeps a part."""

    def run() -> Timed[Any]:
        run = timed(lambda: whole(vl.simulate(trace, machine, **settings)))
        return Timed(run.wall_s, run.cpu_s, keep(run.answer))

    return run


def warm_side(trace: vl.Trace, machine: vl.Machine, keep: Callable[[vl.Result, int], Any], epoch_accesses: int) -> Side:
    """Prepare a simulation whose clock starts when every page has been touched once, and stops with the last access.

    A reporting window begins there; of it and those after it ``keep`` keeps a part.
    """

    def run() -> Timed[Any]:
        marks: list[tuple[int, float, float]] = []

        def mark(done: int, _: int) -> None:
            marks.append((done, time.perf_counter(), time.process_time()))

        result = whole(vl.simulate(trace, machine, epoch_accesses=epoch_accesses, progress=mark))
        start = next(seen for seen in marks if seen[0] >= trace.n_pages)
        return Timed(marks[-1][1] - start[1], marks[-1][2] - start[2], keep(result, start[0]))

    return run


def whole(result: vl.Result) -> vl.Result:
    """Pass a result on, unless Ctrl-C cut it short or memory ran out: its time would mean nothing."""
    if result.provenance["partial"]:
        raise KeyboardInterrupt
    if result.totals["oom"]:
        raise RuntimeError("memory ran out in a measured run: give its machine more room")
    return result


class ProgressLine:
    """Formats the line a command would print."""

    def __init__(self) -> None:
        self.line = ""

    def __call__(self, done: int, total: int) -> None:
        """Take a report of progress."""
        self.line = f"\r{100 * done // total} % of {total:,} accesses"


def run_together(children: list[Child]) -> float:
    """Let waiting workers run at the same time; seconds until the last is done."""
    start = time.perf_counter()
    for child in children:
        child.send("go")
    for child in children:
        child.receive()
    return time.perf_counter() - start


def misses(result: vl.Result, start: int = 0) -> int:
    """Count the accesses from one on, where a reporting window begins, that found no page in DRAM."""
    windows = result.epochs.filter(result.epochs["start"] >= start)
    accesses, frees, hits = (int(windows[name].sum()) for name in ("accesses", "frees", "dram_hit"))
    return accesses - frees - hits


def misses_and_work(result: vl.Result, start: int = 0) -> tuple[int, dict[str, int]]:
    """Keep the misses from an access on, and the counters of the whole run that show whether each tier worked."""
    totals, found = result.totals, {"misses": misses(result, start)}
    if totals["cram_in"]:
        found["CRAM reads"] = totals["cram_read"]
        found["gate closed"] = totals["gate_closed_intervals"]
        found["CRAM writeback"] = totals["cram_writeback_zswap"] + totals["cram_writeback_swapfile"]
        found["zswap writeback"] = totals["zswpwb"]
    return found["misses"], found


def compiled_totals(result: vl.Result) -> dict[str, int]:
    """Keep the totals that the compiled chain counts too."""
    return {name: result.totals[name] for name in COUNTERS}


def same_totals(answers: Mapping[str, Any]) -> str:
    """Hold the engine's totals and the compiled chain's against each other."""
    differ = [name for name in COUNTERS if answers["chain"][name] != answers["numba"][name]]
    return f"totals differ: {', '.join(differ)}" if differ else ""


def tables(result: vl.Result) -> tuple[Any, ...]:
    """Keep everything two engines must agree on."""
    return result.totals, result.epochs, result.tiers, result.state()


def same_tables(answers: Mapping[str, Any]) -> str:
    """Hold both engines' totals, epochs, tiers and pages against each other."""
    ours, theirs = answers["vectorised"], answers["reference"]
    same = ours[0] == theirs[0] and all(a.equals(b) for a, b in zip(ours[1:], theirs[1:], strict=True))
    return "" if same else "the engines disagree"


def same_misses(answers: Mapping[str, Any]) -> str:
    """Hold the sides' counts of misses against each other; counters beside them are left alone."""
    counts = {name: answer[0] if isinstance(answer, tuple) else answer for name, answer in answers.items()}
    return "" if len(set(counts.values())) == 1 else f"misses differ: {counts}"


def _chain_maker(device: Device) -> Callable[[vl.Trace], vl.Machine]:
    return lambda trace: chain(trace.n_pages, device, trace=trace)
