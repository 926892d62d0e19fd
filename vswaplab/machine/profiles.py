"""The catalogue of devices and compressors: one row of figures each, with its evidence.

The rows live in ``data/profiles.toml``; people add their own in a file of the
same form. A profile names the corpus column it stores by, so that changing
the hardware never changes the workload. What the kernel does around a device
(faults, unmapping, allocation) is priced by the machine's costs, not here.
"""

from __future__ import annotations

import difflib
import math
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.codecs import MORE_COLUMNS, RAW
from vswaplab.base.codecs import SIZE_COLUMNS as _MEASURED
from vswaplab.base.documents import read_toml_tables
from vswaplab.base.errors import InputError
from vswaplab.base.paths import data_dir, path_of
from vswaplab.base.plugins import find_plugin, plugin_names
from vswaplab.base.units import PAGE_SIZE

__all__ = ["GRANULES", "SIZE_COLUMNS", "TAGS", "Kind", "Profile", "find_profile", "load_profiles", "profiles"]

Kind = Literal["cram", "compressor"]

GRANULES = (64, 1024, 4096)
"""Bytes that can be compressed as one unit: a line, a block, a page."""

SIZE_COLUMNS = (RAW, *_MEASURED)
"""Corpus columns that every corpus has; ``raw`` is 4096 for every page."""

TAGS = ("P", "A", "S", "R", "D", "M", "guess")
"""Evidence: primary text, abstract or vendor page, third-party summary, recalled,
derived by arithmetic, measured by us, guess."""

_TEXTS = ("name", "title", "algorithm", "ratio_kind", "tag", "source", "date")
_TIMES = ("read_ns", "read_loaded_ns", "write_ns", "store_ns", "load_ns")
_LIMITS = {
    "rounding_bytes": (1, PAGE_SIZE),
    "metadata_bytes": (0, PAGE_SIZE),
    "bandwidth_bytes_per_s": (0, 1 << 60),
} | dict.fromkeys(_TIMES, (0, 1 << 60))


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A device of compressed RAM, or a compressor of a pool in DRAM.

    Parameters
    ----------
    name
        Lower-case letters, digits, dots and dashes; what a machine refers to.
    kind
        ``cram``: hardware that is read in place. ``compressor``: code or an
        accelerator behind zswap or zram; nothing is read in place.
    title
        The same in plain words.
    algorithm
        What compresses.
    granule_bytes : bytes
        Unit that is compressed on its own: 64, 1024 or 4096. For reading only:
        ``size_column`` has sizes by it.
    size_column
        Column of the page corpus that holds its compressed sizes: one of
        ``SIZE_COLUMNS``, of a codec of a plug-in, or of your own corpus, if its
        name begins with ``own_``.
    rounding_bytes : bytes
        A stored page takes a multiple of this, at most 4096. Of a compressor
        not used, and 1: rounding is the pool allocator's affair.
    metadata_bytes : bytes per stored page
        Kept in the device's media beside the data. Of a compressor not used,
        and 0: what an entry costs depends on the layer that names it.
    read_ns : ns
        One read of a stored page in place, device idle. A compressor has no
        read in place: the three figures here repeat ``load_ns`` and ``store_ns``.
    read_loaded_ns : ns
        The same while requests queue.
    write_ns : ns
        One write to a page already there, recompression of the page included.
    store_ns : ns
        Storing one page. ``cram``: the copy of a demotion, without the
        kernel's work. ``compressor``: a whole page-out.
    load_ns : ns
        Getting one page back. ``cram``: the copy of a promotion, without the
        fault. ``compressor``: a whole page-in, fault included.
    bandwidth_bytes_per_s : bytes/s
        0: not published. For reading only: no run waits for it.
    advertised_ratio : original over media bytes
        What a node shows over what it has, unless a machine says otherwise.
    ratio : original over stored bytes
        The published compression ratio; None: not published. For reading
        only: sizes come from the corpus.
    ratio_kind
        How that ratio was averaged.
    tag
        Evidence for the figures, ``TAGS`` joined by commas.
    source
        Where the figures are from.
    date
        When they were compiled, YYYY-MM-DD.
    guesses
        Which fields are guesses or derived, in words; empty if none.

    Raises
    ------
    InputError
        If a value is out of its range; the message names field, value and range.
    """

    name: str
    kind: Kind
    title: str
    algorithm: str
    granule_bytes: int
    size_column: str
    rounding_bytes: int
    metadata_bytes: int
    read_ns: int
    read_loaded_ns: int
    write_ns: int
    store_ns: int
    load_ns: int
    bandwidth_bytes_per_s: int = 0
    advertised_ratio: float
    ratio: float | None = None
    ratio_kind: str
    tag: str
    source: str
    date: str
    guesses: str = ""

    def __post_init__(self) -> None:
        for field in _TEXTS:
            self._check_text(field)
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", self.name):
            self._refuse("name", "lower-case letters, digits, dots and dashes; rename it")
        self._check_choice("kind", get_args(Kind))
        self._check_choice("granule_bytes", GRANULES)
        self._check_column()
        for field, (least, most) in _LIMITS.items():
            self._check_whole(field, least, most)
        for field in ("advertised_ratio", "ratio"):
            self._check_ratio(field)
        if self.read_loaded_ns < self.read_ns:
            self._refuse("read_loaded_ns", f"at least read_ns ({self.read_ns}); swap the two")
        self._check_evidence()

    def stored_bytes(self, length: NDArray[np.int32]) -> NDArray[np.int32]:
        """Say what pages of given compressed sizes take in the media.

        The size is rounded up to ``rounding_bytes``, a page that does not
        shrink is kept as it is, and the metadata is added. Zero pages are the
        caller's affair: a length of 0 costs the metadata alone.

        Parameters
        ----------
        length : (n_pages,) bytes
            Compressed sizes, the corpus column ``size_column``.

        Returns
        -------
        stored : (n_pages,) bytes

        Examples
        --------
        >>> device = find_profile("ocp-spec", "cram")  # rounds to 64 bytes, 16 bytes of metadata
        >>> device.stored_bytes(np.array([1, 64, 65, 4090], dtype=np.int32))
        array([  80,   80,  144, 4112], dtype=int32)
        """
        rounded = -(-length // self.rounding_bytes) * self.rounding_bytes
        return (np.minimum(rounded, PAGE_SIZE) + self.metadata_bytes).astype(np.int32)

    def _refuse(self, field: str, expected: str) -> NoReturn:
        raise InputError(f"profile {self.name!r}: {field} is {getattr(self, field)!r}; expected {expected}")

    def _check_text(self, field: str) -> None:
        text: object = getattr(self, field)
        if not isinstance(text, str) or not text.strip():
            self._refuse(field, "text in quotes; fill it in")

    def _check_choice(self, field: str, allowed: tuple[object, ...]) -> None:
        value = getattr(self, field)
        if isinstance(value, bool) or not isinstance(value, int | str) or value not in allowed:
            self._refuse(field, f"one of {', '.join(map(str, allowed))}")

    def _check_column(self) -> None:
        column: object = self.size_column
        is_text = isinstance(column, str)
        if is_text and (column in (*SIZE_COLUMNS, *MORE_COLUMNS) or column in plugin_names("codec")):
            return
        if not (isinstance(column, str) and re.fullmatch(r"own_[a-z0-9_]+", column)):
            known = ", ".join((*SIZE_COLUMNS, *MORE_COLUMNS, *plugin_names("codec")))
            self._refuse("size_column", f"one of {known}, or a column of your own corpus whose name begins with own_")

    def _check_whole(self, field: str, least: int, most: int) -> None:
        value: object = getattr(self, field)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self._refuse(field, f"a whole number from {least} to {most}")

    def _check_ratio(self, field: str) -> None:
        value: object = getattr(self, field)
        if value is None and field == "ratio":
            return
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._refuse(field, "a number of at least 1 (original over stored bytes)")
        if not (math.isfinite(value) and value >= 1):
            unknown = "; leave it out if it is not known" if field == "ratio" else ""
            self._refuse(field, f"a number of at least 1 (original over stored bytes){unknown}")
        object.__setattr__(self, field, float(value))

    def _check_evidence(self) -> None:
        tags = [tag.strip() for tag in self.tag.split(",")]
        if not set(tags) <= set(TAGS):
            self._refuse("tag", f"letters out of {', '.join(TAGS)}, joined by commas")
        guesses: object = self.guesses
        if not isinstance(guesses, str) or ("guess" in tags and not guesses.strip()):
            self._refuse("guesses", "words saying which fields are guesses")
        try:
            date.fromisoformat(self.date)
        except ValueError:
            self._refuse("date", "YYYY-MM-DD")


def profiles(extra: Path | str | None = None) -> pl.DataFrame:
    """Show the catalogue as a table, one row per profile.

    Parameters
    ----------
    extra
        A TOML file of ``[[profile]]`` tables to add to the built-in ones.

    Returns
    -------
    table
        The fields of ``Profile`` as columns, built-in profiles first.

    Raises
    ------
    InputError
        If the file is unusable or reuses a built-in name.

    Examples
    --------
    >>> profiles().filter(pl.col("name") == "ocp-spec").select("read_ns", "read_loaded_ns").row(0)
    (250, 1000)
    """
    return pl.DataFrame([asdict(profile) for profile in _catalogue(extra).values()], schema=_schema())


def load_profiles(path: Path | str | None = None) -> dict[str, Profile]:
    """Read the profiles of one file.

    Parameters
    ----------
    path
        A TOML file of ``[[profile]]`` tables; None reads the built-in ones and
        those of plug-ins, but for files that cannot be used, which a warning names.

    Returns
    -------
    by_name
        The profiles in the order of the file.

    Raises
    ------
    InputError
        If the file cannot be read, or a profile in it is unusable.
    """
    if path is not None:
        return _read(path_of("path", path))
    found, wrong = _plugged()
    for reason in wrong:
        _note(f"profiles of a plug-in are left out: {reason}")
    return dict(_built_in()) | found


def find_profile(name: str, kind: Kind, extra: Path | str | None = None) -> Profile:
    """Look one profile up.

    Parameters
    ----------
    name
        Its name.
    kind
        What is wanted: a device (``cram``) or a ``compressor``.
    extra
        A TOML file of further profiles.

    Returns
    -------
    profile

    Raises
    ------
    InputError
        If there is none of that name and kind; the message lists the nearest.

    Examples
    --------
    >>> find_profile("zstd", "compressor").load_ns
    10970
    """
    catalogue = _catalogue(extra)
    found = catalogue.get(name)
    if found is not None and found.kind == kind:
        return found
    names = [profile.name for profile in catalogue.values() if profile.kind == kind]
    wrong = f"no {kind} profile {name!r}"
    if found is not None:
        wrong = f"{name!r} is a {found.kind}, not a {kind} profile"
    broken = "".join(f"; a plug-in's are left out: {reason}" for reason in _plugged()[1])
    raise InputError(
        f"{wrong}; nearest: {_nearest(name, names)}; see `vswaplab profiles`, or add it in a TOML file{broken}"
    )


@cache
def _built_in() -> Mapping[str, Profile]:
    return _read(data_dir() / "profiles.toml")


def check_plugged(name: str, plugin: object) -> None:
    """Check a plug-in of profiles: the file is read, and read again if it was before.

    Raises
    ------
    InputError
        It gives no path, the file is unusable, or has a profile that is there already.
    """
    _read_once.cache_clear()
    _own(name, plugin, dict(_built_in()) | _plugged(but=name)[0])


def _plugged(*, but: str | None = None) -> tuple[dict[str, Profile], list[str]]:
    # Of plug-ins: their profiles, and what is wrong with those whose are left out.
    found: dict[str, Profile] = {}
    wrong = []
    for name in plugin_names("profiles"):
        if name == but:
            continue
        try:
            found |= _own(name, find_plugin("profiles", name), dict(_built_in()) | found)
        except InputError as error:
            wrong.append(str(error))
    return found, wrong


def _own(name: str, plugin: object, known: Mapping[str, Profile]) -> dict[str, Profile]:
    path = _path_of_plugin(name, plugin)
    own = _read_once(path)
    taken = [profile for profile in own if profile in known]
    if taken:
        raise InputError(f"{path}: profile {taken[0]!r} is there already; rename it, or remove the plug-in {name!r}")
    return own


def _path_of_plugin(name: str, plugin: object) -> Path:
    # A path, or a function that gives one.
    try:
        path = plugin() if callable(plugin) else plugin
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"the plug-in {name!r} of profiles gave no file ({reason}): mend or uninstall it") from None
    if not isinstance(path, str | Path):
        raise InputError(f"the plug-in {name!r} of profiles is {path!r}: it must be a TOML file's path, or give one")
    return path_of(f"the path of the plug-in {name!r}", path)


@cache
def _note(text: str) -> None:
    warnings.warn(text, stacklevel=2)  # once


@cache
def _read_once(path: Path) -> dict[str, Profile]:
    return _read(path)


def _catalogue(extra: Path | str | None) -> dict[str, Profile]:
    if extra is None:
        return load_profiles()
    own = load_profiles(extra)
    known = load_profiles()
    taken = [name for name in own if name in known]
    if taken:
        raise InputError(f"{extra}: profile {taken[0]!r} has the name of a built-in one; rename it")
    return known | own


def _read(path: Path) -> dict[str, Profile]:
    by_name: dict[str, Profile] = {}
    for table in read_toml_tables(path, "profile file", "profile"):
        try:
            profile = _parse(table)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        if profile.name in by_name:
            raise InputError(f"{path}: profile {profile.name!r} is there twice; rename one")
        by_name[profile.name] = profile
    return by_name


def _parse(table: Mapping[str, object]) -> Profile:
    known = {field.name: field.default is MISSING for field in fields(Profile)}
    who = f"profile {table['name']!r}" if "name" in table else "a profile without a name"
    for field in table:
        if field not in known:
            near = _nearest(field, known)
            raise InputError(f"{who}: unknown field {field!r}; nearest: {near}; rename or remove it")
    missing = [field for field, is_required in known.items() if is_required and field not in table]
    if missing:
        required = ", ".join(field for field, is_required in known.items() if is_required)
        raise InputError(f"{who}: {missing[0]} is missing; expected {required}; add it")
    values: dict[str, Any] = dict(table)  # Profile checks each type itself
    return Profile(**values)


# The nearest names, or all of them if none is near.
def _nearest(name: str, names: Iterable[str]) -> str:
    known = list(names)
    return ", ".join(difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5) or known)


def _schema() -> dict[str, pl.DataType]:
    dtypes: dict[str, pl.DataType] = {field.name: pl.String() for field in fields(Profile)}
    dtypes |= {name: pl.Int64() for name in ("granule_bytes", *_LIMITS)}
    return dtypes | {"advertised_ratio": pl.Float64(), "ratio": pl.Float64()}
