"""A folder that keeps finished runs, whatever dies.

Each file is named after the SHA-256 of its own bytes, is written under
another name, synced and renamed, and is never changed: a file is whole or
not there, two writers can only write the same name with the same bytes, and
damage shows. A run is found by a key of its own, which any number of files
may hold.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from vswaplab.base.errors import InputError
from vswaplab.base.parquet import read_parquet
from vswaplab.base.paths import path_of
from vswaplab.base.whole import TEMPORARY, check_place, write_whole
from vswaplab.sweeps.worker import SCHEMA

_STALE = 3600  # seconds after which a file that was never renamed is of a writer that died


def run_key(trace: str, machine: str, seed: int, model: str) -> str:
    """Name a run by all that its numbers depend on: SHA-256, hexadecimal.

    Parameters
    ----------
    trace
        Its digest, and what a note says of it.
    machine
        Its canonical text.
    seed
    model
        ``model_version()``.
    """
    return hashlib.sha256("\n".join((trace, machine, str(seed), model)).encode()).hexdigest()


class Store:
    """Finished runs in a folder of Parquet files.

    Parameters
    ----------
    folder
        Made if it is not there.
    columns
        Those of the runs, with their dtypes.

    Raises
    ------
    InputError
        The folder is a file, holds something else, or cannot be written.
    """

    def __init__(self, folder: str | Path, columns: Mapping[str, type[pl.DataType]] = SCHEMA) -> None:
        self.folder = path_of("store", folder)
        self.columns = pl.DataFrame(schema={"key": pl.String, **columns}).schema
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check()
        except OSError as error:
            raise InputError(
                f"cannot keep results in {self.folder}: {error.strerror or error}; choose another folder"
            ) from None

    def _check(self) -> None:
        for path in self.folder.iterdir():
            if path.name.startswith(TEMPORARY):
                with contextlib.suppress(FileNotFoundError):  # another sweep may tidy up too
                    if time.time() - path.stat().st_mtime > _STALE:
                        path.unlink()
            elif path.suffix != ".parquet" or len(path.stem) != 64:
                raise InputError(f"{self.folder} holds {path.name}, which is not of a sweep: choose another folder")
        check_place(self.folder)

    def find(self, keys: pl.Series) -> pl.DataFrame:
        """Read the runs of some keys.

        A damaged file is removed with a warning: its runs count as not done.

        Returns
        -------
        rows : polars.DataFrame
            ``key`` and the columns of the runs, one row a run that is there.
        """
        none = pl.DataFrame(schema=self.columns)
        found = [none, *(frame.filter(pl.col("key").is_in(keys.implode())) for frame in self._frames())]
        return pl.concat(found).unique("key", keep="first", maintain_order=True)

    def _frames(self) -> Iterator[pl.DataFrame]:
        damaged = 0
        for path in sorted(self.folder.glob("*.parquet")):
            try:
                data = path.read_bytes()
            except FileNotFoundError:  # another sweep found it damaged
                continue
            if hashlib.sha256(data).hexdigest() != path.stem:
                damaged += 1
                path.unlink(missing_ok=True)
                continue
            with contextlib.suppress(pl.exceptions.ComputeError, FileNotFoundError):  # whoever wrote it: not a sweep
                frame = read_parquet(path)
                if frame.schema == self.columns:  # else it is of another version, or of other tiers
                    yield frame
        if damaged:
            warnings.warn(f"{damaged} damaged file(s) in {self.folder}: their runs are done again", stacklevel=4)

    def add(self, rows: pl.DataFrame) -> None:
        """Keep rows (``key`` and the columns of the runs) for good before this returns.

        Raises
        ------
        InputError
            The disk is full or gone; what was kept before stays.
        """
        buffer = io.BytesIO()
        # A third of a small file would be statistics.
        rows.select(*self.columns).write_parquet(buffer, statistics=False)
        data = buffer.getvalue()
        try:
            write_whole(data, self.folder / f"{hashlib.sha256(data).hexdigest()}.parquet")
        except OSError as error:
            raise InputError(
                f"cannot keep results in {self.folder}: {error.strerror}; "
                f"make room and start again: what was finished before is kept"
            ) from None
