"""The accesses as the vectorised engine reads them: copies already under their own numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vswaplab.engine.outcome import constant
from vswaplab.engine.plan import Plan
from vswaplab.trace.access_index import AccessIndex, index_accesses
from vswaplab.trace.corpus import Corpus
from vswaplab.trace.redraws import DrawnAhead, Redraws
from vswaplab.trace.sharing import UNMAP
from vswaplab.trace.trace import Piece, Trace, Workload


@dataclass(frozen=True)
class Shares:
    """What several mappers add to a stream. Arrays are (n_accesses,) unless said otherwise."""

    bit: NDArray[np.uint8]
    """One bit: the access's mapper."""
    copied_from: NDArray[np.int32]
    """Shared page that the access copies to give its mapper one of its own, -1: none."""
    leaves: NDArray[np.int32]
    """Page that the access's mapper leaves, -1: none."""
    is_further: NDArray[np.bool_]
    """First touch of the page by a mapper that did not bring it in."""
    address_space: int
    """Pages of one mapper's address space."""


@dataclass
class Stream:
    """Parallel arrays of accesses, and what each page contains when first touched.

    Of a trace that is read piece by piece they hold one piece: access ``start``
    and what follows it. Where several mappers share pages there is one piece.
    """

    page: NDArray[np.int32]
    op: NDArray[np.uint8]
    n_pages: int
    content: NDArray[np.int32]
    corpus: Corpus
    repeat_reads: NDArray[np.int32] | None
    repeat_writes: NDArray[np.int32] | None
    mappers: NDArray[np.uint8]
    """(n_pages,) mapper set of each page at the start, one bit a mapper."""
    shares: Shares | None
    redraws: Redraws
    index: AccessIndex
    has_pieces: bool = False
    """More accesses may follow."""
    start: int = 0

    def __post_init__(self) -> None:
        """Begin with the piece that there is."""
        self.drawn = DrawnAhead(self.redraws, self.content, self.start, self.page, self.op)

    def feed(self, piece: Piece) -> None:
        """Take the accesses that come next in place of those there were."""
        self.start, self.page, self.op = piece.start, piece.page, piece.op
        self.index = index_accesses(self.page, self.op, self.n_pages)
        self.repeat_reads, self.repeat_writes = piece.repeat_reads, piece.repeat_writes
        self.drawn = DrawnAhead(self.redraws, self.content, self.start, self.page, self.op)

    def next_of(self, pages: NDArray[np.int64], now: int) -> NDArray[np.int32]:
        """Find when distinct pages are accessed next, from a place of the piece on; its length: not in it."""
        next_at = np.full(pages.size, self.page.size, np.int32)
        order = pages.argsort()
        ahead = self.page[now:]
        rank = np.minimum(pages.take(order).searchsorted(ahead), pages.size - 1)
        is_one = pages.take(order).take(rank) == ahead
        if self.shares is not None:
            is_one &= self.op[now:] != UNMAP
        at = is_one.nonzero()[0][::-1]  # the last one assigned stays
        next_at[order.take(rank.take(at))] = at + now
        return next_at

    def first_rows(self, pages: NDArray[np.int64], accesses: NDArray[np.int64]) -> NDArray[np.int32]:
        """Give the contents that pages have when accesses touch them first."""
        return self.content.take(pages) + self.redraws.shifts(accesses)

    @property
    def changes_content(self) -> bool:
        """Whether any page can come to hold another content than its first."""
        return bool(self.redraws.below or self.redraws.content_shifts)

    @property
    def has_repeats(self) -> bool:
        """Whether any record stands for several touches."""
        return self.repeat_reads is not None or self.repeat_writes is not None


def stream_of(trace: Workload, plan: Plan) -> Stream:
    """Lay a trace out for the engine; one that is read piece by piece is there without its accesses."""
    sharing, n_pages = trace.sharing, trace.n_pages
    redraws = Redraws(trace, plan.seed)
    piece = next(trace.pieces()) if isinstance(trace, Trace) else Piece(0, np.empty(0, np.int32), np.empty(0, np.uint8))
    index = trace.access_index if isinstance(trace, Trace) else index_accesses(piece.page, piece.op, n_pages)
    repeats = (piece.repeat_reads, piece.repeat_writes)
    if sharing is None:
        mappers = constant(1, n_pages, np.uint8) if trace.mappers is None else trace.mappers
        return Stream(
            piece.page, piece.op, n_pages, trace.content, trace.corpus, *repeats, mappers, None, redraws, index,
            not isinstance(trace, Trace),
        )  # fmt: skip
    mapper = np.zeros(len(trace), np.uint8) if trace.mapper is None else trace.mapper
    shares = Shares(
        bit=(np.uint8(1) << mapper).astype(np.uint8),
        copied_from=sharing.copied_from,
        leaves=sharing.leaves,
        is_further=sharing.is_further,
        address_space=n_pages,
    )
    return Stream(
        sharing.page, sharing.op, sharing.n_pages, trace.first_content, trace.corpus, *repeats, sharing.mappers, shares,
        redraws, index,
    )  # fmt: skip
