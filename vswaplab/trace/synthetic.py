"""Seeded makers of synthetic traces. Their data mean nothing: they show mechanisms."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.backing import MAX_MAPPERS, Op
from vswaplab.base.checks import number, whole
from vswaplab.base.draws import MAKER, checked_seed, draw
from vswaplab.base.errors import InputError, shown
from vswaplab.base.units import PAGE_SIZE
from vswaplab.trace.checks import MAX_ACCESSES, count, fraction
from vswaplab.trace.corpus import Corpus, as_corpus, stretched, synthetic_corpus
from vswaplab.trace.trace import Trace, Workload, check_trace, default_content


def _checked(n_pages: object, n_accesses: object, write_share: object, seed: object) -> tuple[int, int, float, int]:
    # What every maker takes, before it makes anything: a trace in memory can have no more.
    n_pages, n_accesses = count("n_pages", n_pages), whole("n_accesses", n_accesses, 1, MAX_ACCESSES)
    return n_pages, n_accesses, fraction("write_share", write_share), checked_seed(seed)


def _rng(seed: int, part: int = 0) -> np.random.Generator:
    return np.random.default_rng(draw(seed, part + 1, MAKER))


def _trace(
    pages: NDArray[np.int64],
    n_pages: int,
    name: str,
    write_share: float,
    seed: int,
    corpus: Corpus | None,
    redraw_probability: float,
) -> Trace:
    is_write = _rng(seed, 1 << 20).random(pages.size) < write_share
    corpus = synthetic_corpus(seed=seed) if corpus is None else as_corpus(corpus)
    return Trace(
        pages,
        np.where(is_write, Op.WRITE, Op.READ).astype(np.uint8),
        n_pages=n_pages,
        content=default_content(n_pages, corpus),
        corpus=corpus,
        redraw_probability=redraw_probability,
        name=name,
    )


def zipf_pages(n_pages: int, n_accesses: int, alpha: float, seed: int) -> NDArray[np.int64]:
    """Draw pages whose popularity falls as rank to the power -alpha; popular pages lie anywhere.

    Returns
    -------
    pages : (n_accesses,)
    """
    alpha = number("alpha", alpha, 0, 100, expected="a number from 0 to 100")
    rng = _rng(seed)
    share = np.arange(1, n_pages + 1, dtype=np.float64) ** -alpha
    share = share.cumsum() / share.sum()
    rank = np.minimum(share.searchsorted(rng.random(n_accesses)), n_pages - 1)
    popular = rng.permutation(n_pages)
    pages: NDArray[np.int64] = popular[rank]
    return pages


def zipf(
    *,
    n_pages: int,
    n_accesses: int,
    alpha: float = 1.0,
    write_share: float = 0.3,
    seed: int = 0,
    corpus: Corpus | None = None,
    redraw_probability: float = 0.0,
) -> Trace:
    """Make a trace of independent accesses with a Zipf popularity.

    Parameters
    ----------
    n_pages, n_accesses : int
        At most 2,147,483,647 pages and 2,147,483,646 accesses, as in ``Trace``.
    alpha : float
        Exponent of the popularity, 0: uniform.
    write_share : float
        Share of accesses that write.
    seed : int
        From 0 to 2**63 - 1.
    corpus : Corpus
        Default: ``synthetic_corpus(seed=seed)``.
    redraw_probability : float
        Chance that a write changes the page's content.
    """
    n_pages, n_accesses, write_share, seed = _checked(n_pages, n_accesses, write_share, seed)
    pages = zipf_pages(n_pages, n_accesses, alpha, seed)
    return _trace(pages, n_pages, f"zipf-{alpha:g}", write_share, seed, corpus, redraw_probability)


def uniform(
    *,
    n_pages: int,
    n_accesses: int,
    write_share: float = 0.3,
    seed: int = 0,
    corpus: Corpus | None = None,
    redraw_probability: float = 0.0,
) -> Trace:
    """Make a trace of independent accesses, every page alike; parameters as in ``zipf``."""
    n_pages, n_accesses, write_share, seed = _checked(n_pages, n_accesses, write_share, seed)
    pages = _rng(seed).integers(0, n_pages, n_accesses)
    return _trace(pages, n_pages, "uniform", write_share, seed, corpus, redraw_probability)


def loop(
    *,
    n_pages: int,
    n_accesses: int,
    write_share: float = 0.3,
    seed: int = 0,
    corpus: Corpus | None = None,
    redraw_probability: float = 0.0,
) -> Trace:
    """Make a trace that walks all pages in order, again and again: the worst case of LRU."""
    n_pages, n_accesses, write_share, seed = _checked(n_pages, n_accesses, write_share, seed)
    pages = np.arange(n_accesses, dtype=np.int64) % n_pages
    return _trace(pages, n_pages, "loop", write_share, seed, corpus, redraw_probability)


def scan(
    *,
    n_pages: int,
    n_accesses: int,
    hot_share: float = 0.1,
    scan_share: float = 0.5,
    write_share: float = 0.3,
    seed: int = 0,
    corpus: Corpus | None = None,
    redraw_probability: float = 0.0,
) -> Trace:
    """Make a trace of a hot set beside a sequential scan of the rest.

    Parameters
    ----------
    n_pages, n_accesses : int
    hot_share : float
        Share of the pages that are hot (Zipf 1.0 among themselves).
    scan_share : float
        Share of the accesses that belong to the scan.
    write_share, seed, corpus, redraw_probability
        As in ``zipf``.
    """
    n_pages, n_accesses, write_share, seed = _checked(n_pages, n_accesses, write_share, seed)
    hot_share, scan_share = fraction("hot_share", hot_share), fraction("scan_share", scan_share)
    n_hot = min(max(1, round(n_pages * hot_share)), n_pages)
    is_scan = _rng(seed, 2).random(n_accesses) < scan_share if n_hot < n_pages else np.zeros(n_accesses, np.bool_)
    pages = zipf_pages(n_hot, n_accesses, 1.0, seed)
    n_scan = int(is_scan.sum())
    pages[is_scan] = n_hot + np.arange(n_scan) % max(1, n_pages - n_hot)
    return _trace(pages, n_pages, "scan", write_share, seed, corpus, redraw_probability)


def phases(
    *,
    n_pages: int,
    n_accesses: int,
    n_phases: int = 4,
    working_share: float = 0.3,
    write_share: float = 0.3,
    seed: int = 0,
    corpus: Corpus | None = None,
    redraw_probability: float = 0.0,
) -> Trace:
    """Make a trace whose working set moves: each phase works on other pages, Zipf 1.0 among them.

    A phase's pages follow each other, from phase times ``n_pages / n_phases``
    on and round the end. With a ``working_share`` above ``1 / n_phases``, as by
    default, each phase shares some with the next: 50 of its 300, of 1,000 pages.

    Parameters
    ----------
    n_pages, n_accesses : int
    n_phases : int
        Phases of equal length.
    working_share : float
        Share of the pages a phase works on.
    write_share, seed, corpus, redraw_probability
        As in ``zipf``.
    """
    n_pages, n_accesses, write_share, seed = _checked(n_pages, n_accesses, write_share, seed)
    n_phases = count("n_phases", n_phases)
    working_share = number("working_share", working_share, above=0, at_most=1, expected="above 0 and up to 1")
    n_working = max(1, round(n_pages * working_share))
    phase = np.arange(n_accesses, dtype=np.int64) * n_phases // n_accesses
    offset = phase * n_pages // n_phases
    pages = (zipf_pages(n_working, n_accesses, 1.0, seed) + offset) % n_pages
    return _trace(pages, n_pages, "phases", write_share, seed, corpus, redraw_probability)


def mixture(*traces: Trace, seed: int = 0) -> Trace:
    """Interleave traces at random, each with pages of its own; each keeps its order and its repeats.

    Parameters
    ----------
    traces : Trace
        At least one. They must share one corpus and redraw probability, and
        have neither mappers nor ``content_shifts``. ``recorder_k`` of the
        mixture is the sum of theirs: a block of each.
    seed : int
    """
    if not traces:
        raise InputError("mixture needs at least one trace")
    seed = checked_seed(seed)
    _check_alike(traces)
    first = traces[0]
    lengths = np.array([len(t) for t in traces])
    turn = _rng(seed).permutation(np.repeat(np.arange(len(traces)), lengths))
    place = np.argsort(turn, kind="stable")  # of every access of the first trace, then of the second, ...
    starts = np.concatenate(([0], np.cumsum([t.n_pages for t in traces])))

    def mixed(name: str) -> NDArray[np.int64]:
        columns = [getattr(t, name) for t in traces]
        column = np.zeros(turn.size, np.int64)
        column[place] = np.concatenate(
            [np.zeros(n, np.int64) if c is None else c for c, n in zip(columns, lengths, strict=True)]
        )
        return column

    return Trace(
        mixed("page") + starts[turn],
        mixed("op"),
        n_pages=int(starts[-1]),
        repeat_reads=mixed("repeat_reads"),
        repeat_writes=mixed("repeat_writes"),
        content=np.concatenate([t.content for t in traces]),
        corpus=first.corpus,
        redraw_probability=first.redraw_probability,
        recorder_k=sum(t.recorder_k for t in traces),
        name="+".join(t.name for t in traces),
    )


def _check_alike(traces: tuple[Trace, ...]) -> None:
    first = traces[0]
    for trace in traces:
        if not isinstance(trace, Trace):
            raise InputError(f"mixture takes traces in memory, got {shown(trace)}: read it with vl.load_trace")
        if trace.mappers is not None:
            raise InputError(
                f"{trace!r} has mappers, and nothing says which of them are the same process as another trace's: "
                f"give mixture traces of one process"
            )
        if trace.content_shifts:
            raise InputError(f"{trace!r} drifts or collapses: mix the trace it was made of, and let the mixture drift")
        if trace.corpus is not first.corpus or trace.redraw_probability != first.redraw_probability:
            raise InputError(f"{trace!r} has another corpus or redraw_probability than {first!r}: make them alike")


def fork(
    *,
    n_pages: int,
    n_accesses: int,
    n_children: int = 3,
    write_share: float = 0.03,
    alpha: float = 1.0,
    seed: int = 0,
    corpus: Corpus | None = None,
    redraw_probability: float = 0.0,
) -> Trace:
    """Make a trace of a parent and its children, just forked: they read a lot and write a little.

    All pages are shared at the start. The parent first reads every page in
    order; then parent and children take turns at random, each with a Zipf
    popularity of its own. A write copies for its writer.

    Parameters
    ----------
    n_pages, n_accesses : int
        ``n_accesses`` must exceed ``n_pages``, which the parent's reads take.
    n_children : int
        From 1 to 7.
    write_share : float
        Share of the accesses after the parent's reads that write.
    alpha, seed, corpus, redraw_probability
        As in ``zipf``.
    """
    n_pages, n_accesses, write_share, seed = _checked(n_pages, n_accesses, write_share, seed)
    n_children = _family_size("n_children", n_children, n_pages, n_accesses)
    mapper = _rng(seed, 3).integers(0, n_children + 1, n_accesses).astype(np.uint8)
    mapper[:n_pages] = 0
    pages = np.empty(n_accesses, np.int64)
    for process in range(n_children + 1):
        turns = np.flatnonzero(mapper == process)
        pages[turns] = zipf_pages(n_pages, turns.size, alpha, draw(seed, process, MAKER))
    pages[:n_pages] = np.arange(n_pages)
    everybody = np.full(n_pages, (1 << (n_children + 1)) - 1)
    return _family("fork", pages, n_pages, mapper, everybody, n_pages, write_share, seed, corpus, redraw_probability)


def prefork(
    *,
    n_pages: int,
    n_accesses: int,
    n_workers: int = 7,
    private_share: float = 0.3,
    write_share: float = 0.3,
    alpha: float = 1.0,
    seed: int = 0,
    corpus: Corpus | None = None,
    redraw_probability: float = 0.0,
) -> Trace:
    """Make a trace of a server that forks workers: a shared heap they read, private pages they read and write.

    The master (mapper 0) reads the shared pages in order, then only workers
    run. A request reads shared pages and works on the worker's own.

    Parameters
    ----------
    n_pages, n_accesses : int
        ``n_accesses`` must exceed the number of shared pages.
    n_workers : int
        From 1 to 7.
    private_share : float
        Share of the pages that belong to one worker each, split evenly; half
        of the accesses go there.
    write_share : float
        Share of the private accesses that write; of the shared ones a
        twentieth of it.
    alpha, seed, corpus, redraw_probability
        As in ``zipf``.
    """
    n_pages, n_accesses, write_share, seed = _checked(n_pages, n_accesses, write_share, seed)
    if not 0 < fraction("private_share", private_share) < 1:
        raise InputError(f"private_share must lie between 0 and 1, got {shown(private_share)}")
    n_workers = _family_size("n_workers", n_workers, 1, n_accesses)
    own = int(n_pages * private_share) // n_workers
    n_shared = n_pages - own * n_workers
    if own < 1 or n_accesses <= n_shared:
        raise InputError(
            f"prefork needs a private page a worker and more accesses than shared pages: "
            f"got {own} private pages for {n_workers} workers, {n_accesses} accesses and {n_shared} shared pages"
        )
    rng = _rng(seed, 3)
    mapper = rng.integers(1, n_workers + 1, n_accesses).astype(np.uint8)
    mapper[:n_shared] = 0
    is_private = rng.random(n_accesses) < 0.5
    pages = zipf_pages(n_shared, n_accesses, alpha, seed)
    private = zipf_pages(own, n_accesses, alpha, draw(seed, 1, MAKER))
    private += n_shared + (mapper.astype(np.int64) - 1) * own
    pages = np.where(is_private, private, pages)
    pages[:n_shared] = np.arange(n_shared)
    mappers = np.concatenate((np.full(n_shared, (1 << (n_workers + 1)) - 1), np.repeat(2 << np.arange(n_workers), own)))
    share = np.where(is_private, write_share, write_share / 20)
    return _family("prefork", pages, n_pages, mapper, mappers, n_shared, share, seed, corpus, redraw_probability)


def _family_size(name: str, value: object, n_first: int, n_accesses: int) -> int:
    size = whole(name, value, 1, MAX_MAPPERS - 1)
    if n_accesses <= n_first:
        raise InputError(f"n_accesses {n_accesses} must exceed {n_first}: the first accesses read every shared page")
    return size


def _family(
    name: str,
    pages: NDArray[np.int64],
    n_pages: int,
    mapper: NDArray[np.uint8],
    mappers: NDArray[np.int64],
    n_first: int,
    write_share: float | NDArray[np.float64],
    seed: int,
    corpus: Corpus | None,
    redraw_probability: float,
) -> Trace:
    is_write = _rng(seed, 1 << 20).random(pages.size) < write_share
    is_write[:n_first] = False
    corpus = synthetic_corpus(seed=seed) if corpus is None else as_corpus(corpus)
    return Trace(
        pages,
        np.where(is_write, Op.WRITE, Op.READ).astype(np.uint8),
        n_pages=n_pages,
        mapper=mapper,
        mappers=mappers,
        content=default_content(n_pages, corpus),
        corpus=corpus,
        redraw_probability=redraw_probability,
        name=name,
    )


AnyTrace = TypeVar("AnyTrace", bound=Workload)


def with_contents(trace: AnyTrace, corpus: Corpus) -> AnyTrace:
    """Give a trace's pages other contents: those of a corpus, region by region.

    Which page holds what is drawn once and for all: 64 neighbours share a
    region of the corpus. The accesses stay.

    Parameters
    ----------
    trace : Trace or TraceFile
    corpus : Corpus
        Measured (``vl.measure``), say, or like a box's (``Calibration.corpus``).
    """
    check_trace(trace)
    if trace.content_shifts:
        raise InputError(f"{trace!r} drifts or collapses already: give the trace that it was made of its contents")
    if not isinstance(corpus, Corpus | pl.DataFrame):
        raise InputError(
            f"corpus must be a vl.Corpus or a polars table, got {shown(corpus)}: "
            "vl.load_contents(...).corpus reads one from a file"
        )
    corpus = as_corpus(corpus)
    return trace.like(corpus=corpus, content=default_content(trace.n_pages, corpus))


def collapse(trace: AnyTrace, *, at: int, factor: float = 2.0) -> AnyTrace:
    """Let compressibility collapse: from one access on, what is touched first or redrawn is larger.

    Pages keep what they hold until a write redraws it, so a trace whose
    writes redraw nothing (``redraw_probability`` 0) changes only where pages
    are touched first.

    Parameters
    ----------
    trace : Trace or TraceFile
    at : access index
        Of the trace's.
    factor : float
        Compressed size after over before; sizes end at 4096 bytes.

    Raises
    ------
    InputError
        An access that the trace lacks, a factor out of range.
    """
    check_trace(trace)
    return _shifted(trace, [(_access_of("at", at, trace), factor)])


def drift(trace: AnyTrace, *, start: int, stop: int, factor: float = 2.0, steps: int = 8) -> AnyTrace:
    """Let compressibility drift: like ``collapse``, but in equal steps between two accesses.

    Parameters
    ----------
    trace : Trace or TraceFile
    start, stop : access index
        The first step comes at ``start``, an access of the trace, the last
        before ``stop``, which may lie beyond its end.
    factor : float
        Compressed size at the end over that at the start.
    steps : int
        From 1 to 64; sizes grow by the same ratio in each.

    Raises
    ------
    InputError
        A start that the trace lacks or that is not before ``stop``, a factor
        or a number of steps out of range.
    """
    check_trace(trace)
    steps, start, stop = whole("steps", steps, 1, 64), _access_of("start", start, trace), whole("stop", stop)
    if not start < stop:
        raise InputError(f"drift needs 0 <= start < stop, got {start} and {stop}: say between which accesses")
    factor = number("factor", factor, above=0, at_most=PAGE_SIZE, expected=f"a number above 0 and up to {PAGE_SIZE}")
    return _shifted(trace, [(start + (stop - start) * k // steps, factor ** ((k + 1) / steps)) for k in range(steps)])


def _access_of(name: str, at: object, trace: Workload) -> int:
    last = len(trace) - 1
    return whole(name, at, 0, last, expected=f"an access of the trace, 0 to {last:,}")


def _shifted(trace: AnyTrace, changes: list[tuple[int, float]]) -> AnyTrace:
    if trace.content_shifts:
        raise InputError(f"{trace!r} drifts or collapses already: start from the trace it was made of")
    n_rows = len(trace.corpus)
    return trace.like(
        corpus=stretched(trace.corpus, [factor for _, factor in changes]),
        content_shifts=[(at, (k + 1) * n_rows) for k, (at, _) in enumerate(changes)],
    )
