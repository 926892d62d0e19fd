"""Dense page numbers: 0, 1, 2, ... in order of first touch, for whatever names pages have in a file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.errors import InputError
from vswaplab.base.units import PAGE_SIZE, format_bytes
from vswaplab.trace.importers.touches import Keys


class Numbers:
    """Give keys dense numbers.

    Memory: 12 bytes a page, twice that for a moment. Known keys lie in sorted runs, each less than half
    as long as the one before, so that a look-up is a few binary searches and a page is moved a few times.

    Parameters
    ----------
    max_pages
        Most keys.
    """

    def __init__(self, max_pages: int) -> None:
        self.n_pages, self._max = 0, max_pages
        self._runs: list[tuple[Keys, NDArray[np.int32]]] = []

    def __call__(self, key: Keys) -> NDArray[np.int32]:
        """Give each key its number; new ones get the next numbers.

        Examples
        --------
        >>> numbers = Numbers(max_pages=10)
        >>> numbers(np.array([70, 9, 70], np.uint64)).tolist(), numbers(np.array([8, 9], np.uint64)).tolist()
        ([0, 1, 0], [2, 1])
        """
        distinct, first, inverse = np.unique(key, return_index=True, return_inverse=True)
        number = self._known(distinct)
        new = np.flatnonzero(number < 0)
        if new.size:
            number[new[np.argsort(first[new])]] = np.arange(self.n_pages, self.n_pages + new.size)
            self._add(distinct[new], number[new])
        return number[inverse]

    def _known(self, key: Keys) -> NDArray[np.int32]:
        number = np.full(key.size, -1, np.int32)
        for keys, numbers in self._runs:
            at = np.minimum(np.searchsorted(keys, key), keys.size - 1)
            number = np.where(keys[at] == key, numbers[at], number)
        return number

    def _add(self, key: Keys, number: NDArray[np.int32]) -> None:
        self.n_pages += key.size
        if self.n_pages > self._max:
            raise InputError(
                f"more than {self._max:,} distinct pages ({format_bytes(self._max * PAGE_SIZE)}): "
                f"raise the limit (--max-pages; 24 bytes of memory each) or import less of the file"
            )
        self._runs.append((key, number))
        while len(self._runs) > 1 and self._runs[-2][0].size <= 2 * self._runs[-1][0].size:
            (key, number), (other, their) = self._runs.pop(), self._runs.pop()
            merged = np.concatenate((other, key))
            order = np.argsort(merged, kind="stable")
            self._runs.append((merged[order], np.concatenate((their, number))[order]))
