"""The cross: streams, shares of writes, watermarks and sizes where no speed may fall through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import vswaplab as vl
from bench import peers
from bench.measure import Measurement, Side, alternate
from bench.rows import LCS, Suite, engine_side, misses_and_work, same_misses, warm_side
from bench.streams import KI, MI, STREAMS, WRITE_SHARE, M, bare, chain, make, make_warm, plain, side_by_side, size_text

GAP = 32
"""Pages a reclaim frees as memory.max of a cgroup does it."""
SLOWEST = 10.0
"""The most a touch may cost, over one of Zipf 1.0 at the same size on the same machine."""
MUST = {"LRU": 1.0, "chain": 0.8, f"chain gap {GAP}": 0.8}
"""The least ratio to libCacheSim's LRU, by machine."""


def run_guards(suite: Suite) -> Iterator[Measurement]:
    """Measure the cross: all of it at 1 Mi pages, the shipped traces included; Zipf and uniform at other sizes.

    On 16 and 64 Mi pages the clock starts once every page has been touched. The shipped traces are as recorded as well,
    on the 12 to 67 thousand pages that they have.
    """
    scale = suite.scale
    for stream in STREAMS:
        for share in (0.0, WRITE_SHARE, 1.0):
            yield from _stream(suite, stream, scale.pages(MI), scale.touches(10 * M), share)
    for n_pages in (256 * KI, 4 * MI):
        touches = 10 * M if n_pages < MI else 30 * M
        for stream in ("zipf-1.0", "uniform"):
            yield from _stream(suite, stream, scale.pages(n_pages), scale.touches(touches), WRITE_SHARE)
    for n_pages in (16 * MI, 64 * MI):
        for stream in ("zipf-1.0", "uniform"):
            yield from _warm(suite, stream, scale.pages(n_pages), scale.touches(30 * M))
    for name in vl.shipped_traces()["name"]:
        yield from _many_recorded(suite, name, scale.pages(MI), scale.touches(10 * M))
    for name in vl.shipped_traces()["name"]:
        yield from _recorded(suite, name)


def _stream(suite: Suite, stream: str, n_pages: int, n_touches: int, share: float) -> Iterator[Measurement]:
    label = f"{stream}, {size_text(n_pages, n_touches)}, {share:.0%} writes"
    if suite.wanted(label):
        trace = make(stream, n_pages, n_touches, share)
        yield from _beside(suite, label, stream, trace, trace, share)


def _warm(suite: Suite, stream: str, n_pages: int, n_touches: int) -> Iterator[Measurement]:
    # So large that 30 M touches of Zipf would hardly fill DRAM.
    label = f"{stream}, warm, {size_text(n_pages, n_touches)}, {WRITE_SHARE:.0%} writes"
    if suite.wanted(label):
        trace = make_warm(n_pages, n_touches, stream)
        yield from _beside(suite, label, stream, trace, trace, WRITE_SHARE, start=n_pages)


def _many_recorded(suite: Suite, name: str, n_pages: int, n_touches: int) -> Iterator[Measurement]:
    if suite.wanted(f"{name}, side by side"):
        whole = side_by_side(vl.load_trace(name), n_pages, n_touches)
        label = f"{name}, side by side, {size_text(whole.n_pages, len(whole))}"
        yield from _beside(suite, label, name, bare(whole), whole, WRITE_SHARE)


def _recorded(suite: Suite, name: str) -> Iterator[Measurement]:
    # Beside each, Zipf with as many pages and records: what it is held against. Only reads and writes go to both
    # LRUs; the chain has the whole record, with frees, repeats and mappers.
    if not suite.wanted(f"{name}, recorded"):
        return
    whole = vl.load_trace(name)
    whole = whole.head(suite.scale.touches(len(whole)))
    like = make("zipf-1.0", whole.n_pages, len(whole))
    size = size_text(whole.n_pages, len(whole))
    yield from _beside(suite, f"zipf-1.0 as large as {name}, {size}", "zipf-1.0", like, like, name)
    yield from _beside(suite, f"{name}, recorded, {size}", name, bare(whole), whole, name)


def _beside(
    suite: Suite,
    label: str,
    stream: str,
    plain_trace: vl.Trace,
    chain_trace: vl.Trace,
    group: float | str,
    start: int = 0,
) -> Iterator[Measurement]:
    # On the clock from access ``start`` on: 0, or the first one when every page has been touched.
    def side(trace: vl.Trace, machine: vl.Machine) -> Side:
        if start:
            return warm_side(trace, machine, misses_and_work, suite.scale.pages(MI))
        return engine_side(trace, machine, misses_and_work)

    n_pages = plain_trace.n_pages
    sides = {
        "LRU": side(plain_trace, plain(n_pages)),
        "chain": side(chain_trace, chain(n_pages)),
        f"chain gap {GAP}": side(chain_trace, chain(n_pages, high=GAP)),
    }
    if peers.HAS_LIBCACHESIM:
        sides[LCS] = suite.lcs.side(plain_trace, n_pages // 4, start)
    rounds = alternate(sides, suite.rounds, _same_plain_misses)
    for machine, must in MUST.items():
        about = {"case": label, "stream": stream, "group": f"{n_pages} {group} {machine}"}
        case = Measurement(
            "guards", f"{label}, {machine}", "faster", ours=machine, peer=LCS,
            touches=len(plain_trace) - start, must=must, facts=about | rounds.answers[machine][1],
        )  # fmt: skip
        if not peers.HAS_LIBCACHESIM:
            case.facts["missing"] = peers.NO_LIBCACHESIM
        yield rounds.into(case)


def _same_plain_misses(answers: Mapping[str, Any]) -> str:
    return same_misses({name: answers[name] for name in ("LRU", LCS) if name in answers})


def guard_verdict(case: Measurement, guards: Sequence[Measurement]) -> str:
    """Hold a guard against its bounds, the ratio to libCacheSim and the cost over Zipf; empty: it holds."""
    verdict, slower = case.verdict(), over_zipf(case, guards)
    complaints = [verdict] * (verdict not in ("reached", ""))
    if slower is not None and slower > SLOWEST:
        complaints.append("too slow")
    return f"{case.ours}: {' and '.join(complaints)}" if complaints else ""


def over_zipf(case: Measurement, guards: Sequence[Measurement]) -> float | None:
    """Give a touch's cost over one of Zipf 1.0 in the same group: same size, writes and machine."""
    for other in guards:
        if other.facts.get("stream") == "zipf-1.0" and other.facts.get("group") == case.facts.get("group"):
            ours, theirs = case.ns(case.ours), other.ns(other.ours)
            return ours / theirs if ours and theirs else None
    return None
