"""What new contents a page gets: by its first touch, and by the writes that redraw it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.backing import Op
from vswaplab.base.draws import CHOICE, REDRAW, draw, draws, threshold
from vswaplab.trace.trace import Workload

_BLOCK = 1 << 14  # accesses whose draws are made at once


class Redraws:
    """The corpus rows that accesses bring into memory.

    A first touch brings the page's first content; a write redraws it with the
    trace's ``redraw_probability``, from the region of that first content.
    ``content_shifts`` move both down the corpus. ``shift`` and ``row`` are the
    rule for one access, ``shifts`` and ``rows`` give the same for many.

    Parameters
    ----------
    trace : Trace or TraceFile
    seed : int
        Of the draws.

    Examples
    --------
    >>> import vswaplab as vl
    >>> redraws = Redraws(vl.Trace([0, 0, 0], [1, 1, 1], content=[0], redraw_probability=0.5), seed=3)
    >>> [redraws.row(index, 0) for index in range(3)]
    [55, -1, 39]
    >>> redraws.rows(0, np.array([True, True, True]), np.zeros(3, np.int64), np.zeros(1, np.int32)).tolist()
    [55, -1, 39]
    """

    def __init__(self, trace: Workload, seed: int) -> None:
        self.seed, self.corpus = seed, trace.corpus
        self.below = threshold(trace.redraw_probability)
        """A draw below it redraws; 0: no write does."""
        self.content_shifts = trace.content_shifts
        self._shift_at = np.array([at for at, _ in trace.content_shifts], np.int64)
        self._shift_by = np.array([0, *(by for _, by in trace.content_shifts)], np.int32)

    # One access ------------------------------------------------------------------------------

    def shift(self, index: int) -> int:
        """Give the rows by which what access ``index`` touches first or redraws is shifted."""
        return next((by for at, by in reversed(self.content_shifts) if at <= index), 0)

    def row(self, index: int, first: int) -> int:
        """Give the row that a write draws for a page whose first content is ``first``; -1: the content stays."""
        if draw(self.seed, index, REDRAW) >> 11 >= self.below:
            return -1
        offset = draw(self.seed, index, CHOICE) % int(self.corpus.region_rows[first])
        return int(self.corpus.region_start[first]) + offset + self.shift(index)

    # Many ------------------------------------------------------------------------------------

    def shifts(self, accesses: NDArray[np.int64]) -> NDArray[np.int32]:
        """Give the rows by which what these accesses touch first or redraw is shifted."""
        if not self._shift_at.size:
            return np.zeros(accesses.size, np.int32)
        return self._shift_by.take(self._shift_at.searchsorted(accesses, "right"))

    def rows(
        self, start: int, is_write: NDArray[np.bool_], page: NDArray[np.integer], first: NDArray[np.int32]
    ) -> NDArray[np.int32] | None:
        """Give the rows that a stretch of accesses draws.

        Parameters
        ----------
        start : int
            Index of the first access.
        is_write : (n,)
        page : (n,)
        first : (n_pages,)
            The first content of each page.

        Returns
        -------
        row : (n,)
            -1: the content stays. None: that of all of them does.
        """
        if not self.below:
            return None
        writes = is_write.nonzero()[0]
        writes = writes[draws(self.seed, writes + start, REDRAW) >> np.uint64(11) < np.uint64(self.below)]
        if not writes.size:
            return None
        at, was = writes + start, first.take(page[writes])
        offset = draws(self.seed, at, CHOICE) % self.corpus.region_rows.take(was).astype(np.uint64)
        row = np.full(page.size, -1, np.int32)
        row[writes] = self.corpus.region_start.take(was) + offset.astype(np.int32) + self.shifts(at)
        return row


class DrawnAhead:
    """The rows that stretches of one piece of a trace draw: those of ``Redraws.rows``, a block at a time.

    An engine asks for many short stretches, and for some accesses twice: what one call costs is most of the work then.

    Parameters
    ----------
    redraws : Redraws
    first : (n_pages,)
        The first content of each page.
    start : int
        Index of the piece's first access.
    page, op : (n_accesses,)
        Of the piece.
    """

    def __init__(
        self,
        redraws: Redraws,
        first: NDArray[np.int32],
        start: int,
        page: NDArray[np.integer],
        op: NDArray[np.uint8],
    ) -> None:
        self._redraws, self._first, self._start, self._page, self._op = redraws, first, start, page, op
        self._from = self._to = start
        self._block = np.empty(0, np.int32)

    def rows(self, start: int, stop: int) -> NDArray[np.int32] | None:
        """Give the rows that accesses start..stop-1 draw; None: the contents of all of them stay."""
        if not self._redraws.below:
            return None
        if not self._from <= start <= self._to:
            self._from = self._to = start
            self._block = self._block[:0]
        if stop > self._to:
            to = min(max(stop, self._to + _BLOCK), self._start + self._page.size)
            drawn = self._draw(self._to, to)
            more = np.full(to - self._to, -1, np.int32) if drawn is None else drawn
            self._block = np.concatenate((self._block[start - self._from :], more))
            self._from, self._to = start, to
        rows = self._block[start - self._from : stop - self._from]
        return rows if rows.max(initial=-1) >= 0 else None

    def _draw(self, start: int, stop: int) -> NDArray[np.int32] | None:
        stretch = slice(start - self._start, stop - self._start)
        return self._redraws.rows(start, self._op[stretch] == Op.WRITE, self._page[stretch], self._first)
