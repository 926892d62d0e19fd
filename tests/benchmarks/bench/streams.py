"""The access streams, and the machines they run on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

import vswaplab as vl
from vswaplab.base.units import PAGE_SIZE

KI, MI, M = 1 << 10, 1 << 20, 1_000_000
WRITE_SHARE = 0.3
STREAMS = ("zipf-1.0", "zipf-0.7", "uniform", "loop", "long-loop", "scan", "hot-scan", "phases")
"""``loop``: 5 % longer than DRAM; ``long-loop``: half the pages; ``scan``: all pages in order, again and again;
``hot-scan``: ``vl.scan``, the same beside a hot set; ``phases``: a working set that moves."""

TURN = 256
"""Accesses of one program before it is another one's turn."""

Device = Literal["roomy", "tight", "gated"]
"""``roomy``: media half the size shown, never under pressure. ``tight``: media of as many bytes as the pages shown take
on average, so that CRAM and zswap write back; CRAM's writeback keeps its gate open. ``gated``: the same with the
gate's marks at those of the writeback, so that the gate works too."""


@dataclass(frozen=True)
class Scale:
    """Sizes as the specification names them, or all cut by the same factors for a trial run."""

    fewer_pages: int = 1
    fewer_touches: int = 1

    def pages(self, n_pages: int) -> int:
        """Cut a number of pages."""
        return n_pages // self.fewer_pages

    def touches(self, n_touches: int) -> int:
        """Cut a number of touches."""
        return n_touches // self.fewer_touches


FULL, QUICK = Scale(), Scale(fewer_pages=32, fewer_touches=25)


def size_text(n_pages: int, n_touches: int) -> str:
    """Name a size for people.

    Examples
    --------
    >>> size_text(1 << 20, 10_000_000), size_text(20_479, 3_000)
    ('1 Mi pages, 10 M touches', '20,479 pages, 3,000 touches')
    """
    return f"{count_text(n_pages)} pages, {count_text(n_touches)} touches"


def count_text(count: int) -> str:
    """Write a count in whole Mi, M or Ki, or in full."""
    units = {"Mi": MI, "M": M, "Ki": KI}
    return next((f"{count // unit} {name}" for name, unit in units.items() if count % unit == 0), f"{count:,}")


@lru_cache(maxsize=1)
def pages_of(stream: str, n_pages: int, n_touches: int) -> NDArray[np.int32]:
    """Draw the pages of a stream, (n_touches,); popular pages lie anywhere."""
    size = {"n_pages": n_pages, "n_accesses": n_touches}
    lap = {"loop": n_pages // 4 * 21 // 20, "long-loop": n_pages // 2, "scan": n_pages}
    if stream in lap:
        return (np.arange(n_touches) % lap[stream]).astype(np.int32)
    if stream.startswith("zipf-"):
        return vl.zipf(**size, alpha=float(stream.removeprefix("zipf-"))).page
    makers = {"uniform": vl.uniform, "hot-scan": vl.scan, "phases": vl.phases}
    return makers[stream](**size).page


def make(stream: str, n_pages: int, n_touches: int, write_share: float = WRITE_SHARE) -> vl.Trace:
    """Make a trace of one of ``STREAMS``."""
    page = pages_of(stream, n_pages, n_touches)
    op = (np.random.default_rng(1).random(n_touches, np.float32) < write_share).astype(np.uint8)
    return vl.Trace(page, op, n_pages=n_pages, name=f"{stream}-{n_pages}-{n_touches}")


def make_warm(n_pages: int, n_touches: int, stream: str = "zipf-1.0") -> vl.Trace:
    """Make a trace that touches every page once, in random order, and then is a stream of ``n_touches``."""
    rng = np.random.default_rng(2)
    every = rng.permutation(np.arange(n_pages, dtype=np.int32))
    page = np.concatenate((every, pages_of(stream, n_pages, n_touches)))
    op = (rng.random(page.size, np.float32) < WRITE_SHARE).astype(np.uint8)
    return vl.Trace(page, op, n_pages=n_pages, name=f"warm-{stream}-{n_pages}-{n_touches}")


def bare(trace: vl.Trace) -> vl.Trace:
    """Keep a recorded trace's reads and writes: no frees, no repeats, no mappers; what a cache simulator takes."""
    kept = trace.op != vl.Op.FREE
    return vl.Trace(
        trace.page[kept], trace.op[kept], n_pages=trace.n_pages, content=trace.content, corpus=trace.corpus,
        name=f"bare-{trace.name}",
    )  # fmt: skip


def side_by_side(trace: vl.Trace, n_pages: int, n_touches: int) -> vl.Trace:
    """Make as many copies of a recorded program as fit run beside one another, in turns of ``TURN`` accesses.

    Each has pages of its own and is at another point of the record.
    """
    n = max(1, n_pages // trace.n_pages)
    length = max(1, min(len(trace), n_touches // n) // TURN) * TURN
    starts = np.linspace(0, len(trace) - length, n).astype(np.int64)
    turns = np.arange(length).reshape(-1, 1, TURN)
    at = (turns + starts[:, np.newaxis]).ravel()
    copy = np.broadcast_to(np.arange(n, dtype=np.int32)[:, np.newaxis], (length // TURN, n, TURN)).ravel()
    accesses = {
        name: getattr(trace, name)[at]
        for name in ("op", "repeat_reads", "repeat_writes", "mapper")
        if name in trace.columns
    }
    return trace.like(
        page=trace.page[at] + copy * trace.n_pages, **accesses, n_pages=n * trace.n_pages,
        mappers=None if trace.mappers is None else np.tile(trace.mappers, n), content=np.tile(trace.content, n),
        content_shifts=(), name=f"{n} x {trace.name}",
    )  # fmt: skip


def plain(n_pages: int) -> vl.Machine:
    """Make textbook LRU: DRAM for a quarter of the pages, a reclaim a miss, and a swapfile."""
    return vl.Machine(vl.Dram(n_pages // 4, low=0, high=1), swapfiles=[vl.Swapfile(2 * n_pages)])


def chain(n_pages: int, device: Device = "roomy", high: int | None = None, trace: vl.Trace | None = None) -> vl.Machine:
    """Make DRAM for a quarter of the pages, CRAM shown as another, zswap (20 %, accept 90 %) and a swapfile.

    Parameters
    ----------
    n_pages : pages
    device
        How its media are sized; all but ``roomy`` need the trace.
    high : pages
        Upper watermark of DRAM; default: the package's.
    trace
        Its contents say what a page takes on average.
    """
    shown = n_pages // 4
    media = shown * PAGE_SIZE // 2 if device == "roomy" or trace is None else int(shown * mean_stored_bytes(trace))
    marks = {"close_at": 0.90, "open_at": 0.85} if device == "gated" else {}
    cram = vl.Cram(media, "ocp-spec", shown * PAGE_SIZE, **marks)
    return vl.Machine(vl.Dram(n_pages // 4, high=high), cram, vl.Zswap(), [vl.Swapfile(2 * n_pages)])


def mean_stored_bytes(trace: vl.Trace, profile: str = "ocp-spec") -> float:
    """Give what the trace's pages take on a device, zero pages left out, bytes a page."""
    device = vl.Cram(PAGE_SIZE, profile).device
    stored = device.stored_bytes(trace.corpus.sizes(device.size_column))
    return float(stored[trace.content][~trace.corpus.is_zero[trace.content]].mean())
