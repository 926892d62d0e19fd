"""Which processes map each page of an import: what the file tells, or those that access it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.errors import InputError


class MapperSets:
    """Every page's set of mappers, one bit each, learnt a piece at a time: a byte a page."""

    def __init__(self) -> None:
        self._sets, self._n_pages, self._n_accesses = np.zeros(0, np.uint8), 0, 0

    def add(
        self, page: NDArray[np.integer], mapper: NDArray[np.uint8] | None, mappers: NDArray[np.uint8] | None
    ) -> None:
        """Take a piece of accesses.

        Parameters
        ----------
        page : (n,)
        mapper : (n,)
            Who makes each access; None: the file does not tell.
        mappers : (n,)
            The set of the access's page; None: all who access it.

        Raises
        ------
        InputError
            A page with two sets.

        Examples
        --------
        >>> sets = MapperSets()
        >>> sets.add(np.array([0, 1, 0]), np.array([0, 2, 1], np.uint8), None)
        >>> sets.facts
        {'mappers': [3, 4]}
        """
        if mapper is None and mappers is None:
            return
        sets = self._grown(int(page.max()) + 1)
        if mapper is not None and mappers is None:
            np.bitwise_or.at(sets, page, np.uint8(1) << mapper)
        elif mappers is not None:
            new = np.flatnonzero(sets[page] == 0)[::-1]  # of several the first comes last, and stays
            sets[page[new]] = mappers[new]
            self._check(page, mappers, sets)
        self._n_accesses += page.size

    def _check(self, page: NDArray[np.integer], mappers: NDArray[np.uint8], sets: NDArray[np.uint8]) -> None:
        differs = np.flatnonzero(sets[page] != mappers)
        if differs.size:
            at = differs[0]
            raise InputError(
                f"access {self._n_accesses + at}: mappers of its page is {mappers[at]} there and {sets[page[at]]} "
                "elsewhere: give a page the same set, that of the start, in all its accesses"
            )

    def _grown(self, n_pages: int) -> NDArray[np.uint8]:
        self._n_pages, more = max(self._n_pages, n_pages), n_pages - self._sets.size
        if more > 0:
            self._sets = np.concatenate((self._sets, np.zeros(max(more, self._sets.size), np.uint8)))
        return self._sets

    @property
    def facts(self) -> dict[str, object]:
        """What the trace's metadata say of it: nothing if the file told nothing."""
        return {"mappers": self._sets[: self._n_pages].tolist()} if self._n_pages else {}
