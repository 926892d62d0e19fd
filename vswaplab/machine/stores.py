"""A tier of your own: a store takes whole pages that leave DRAM, and gives each back at its next access.

zswap, zram and a swapfile have rules of their own in the engines. A store has
the plain ones, so that a class of a few lines is a tier, in both engines, bit
for bit: a page is offered to it where ``before`` says, once a demotion. The
store takes it if its content has a size at all and there are that many bytes
left; else the page goes on. An access to it is a fault: the page is loaded, and
its bytes are free again. So does a free. CRAM and zswap do not write back to a
store, and a store writes nothing back.
"""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.checks import array_of
from vswaplab.base.errors import InputError, shown
from vswaplab.base.plugins import find_plugin, plugin_names
from vswaplab.machine.checks import MOST_NS, choice, flag, whole

Before = Literal["zswap", "swapfile"]

MOST_STORES = 8
"""Stores of one machine."""

LARGEST_PAGE = 8192
"""Bytes that a store may take for one page, metadata included."""

_TAKEN = ("dram", "zero", "cram", "zswap", "zram", "swapfile", "pswp", "repeat", "reject", "swap")
_PAID = ("ssd", "total")  # items of a price list


class PageContents(Protocol):
    """The page contents that a store is asked about: a ``vl.Corpus``."""

    def __len__(self) -> int:
        """Count the contents."""
        ...

    def sizes(self, column: str) -> NDArray[np.int32]:
        """Give the bytes of each content under a size column."""
        ...


@dataclass(frozen=True)
class Store(ABC):
    """A tier behind swap entries.

    A subclass is a frozen dataclass. It sets ``name``, may set ``before`` and
    ``in_dram``, gives ``store_ns`` and ``load_ns`` a default, and says in
    ``stored_bytes`` what each content takes. Its fields are what a machine file
    may set.

    Parameters
    ----------
    capacity_bytes : bytes
        What its medium holds.
    store_ns, load_ns : ns
        Storing a page without the kernel's work on a victim; getting it back
        without the fault.
    """

    capacity_bytes: int
    store_ns: int
    load_ns: int

    name: ClassVar[str]
    """What machine files, tables and counters call it: a lower-case word."""
    before: ClassVar[Before] = "swapfile"
    """``zswap``: it is offered a page first; ``swapfile``: what zswap did not take.

    Nothing goes past a ``Zswap(writeback=False)``.
    """
    in_dram: ClassVar[bool] = False
    """Its bytes are DRAM that folios cannot have (rule 0)."""

    def __post_init__(self) -> None:
        whole(self.name, "capacity_bytes", self.capacity_bytes, 1)
        for field in ("store_ns", "load_ns"):
            whole(self.name, field, getattr(self, field), 0, MOST_NS)

    @abstractmethod
    def stored_bytes(self, contents: PageContents) -> NDArray[np.integer]:
        """Say what each content takes.

        Parameters
        ----------
        contents : Corpus

        Returns
        -------
        stored : (n_rows,) bytes, 0..8192
            0: the store does not take it.
        """

    def checked_bytes(self, contents: PageContents) -> NDArray[np.int64]:
        """Give ``stored_bytes``, checked.

        Raises
        ------
        InputError
            They are not one whole number from 0 to 8192 a content.
        """
        stored = array_of(f"the store {self.name!r}: stored_bytes", self.stored_bytes(contents))
        if stored.shape != (len(contents),) or not np.issubdtype(stored.dtype, np.integer):
            raise InputError(
                f"the store {self.name!r} gave sizes of shape {stored.shape} and dtype {stored.dtype}: "
                f"stored_bytes must give {len(contents)} whole numbers"
            )
        if stored.size and not 0 <= int(stored.min()) <= int(stored.max()) <= LARGEST_PAGE:
            raise InputError(
                f"the store {self.name!r} gave sizes from {stored.min()} to {stored.max()} bytes: "
                f"they must lie between 0 (not taken) and {LARGEST_PAGE}"
            )
        return stored.astype(np.int64)


def check_stores(stores: tuple[object, ...]) -> None:
    """Check the stores of a machine.

    Raises
    ------
    InputError
        One is no Store, or its class is not complete, or two have one name.
    """
    if len(stores) > MOST_STORES:
        raise InputError(f"machine.stores has {len(stores)}: at most {MOST_STORES} are allowed")
    for store in stores:
        if not isinstance(store, Store):
            raise InputError(f"machine.stores must be a list of vl.Store subclasses' objects, got {shown(store)}")
        check_class(type(store))
    names = [store.name for store in stores if isinstance(store, Store)]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InputError(f"machine.stores has two of the name {min(twice)!r}: give one class per tier")


def check_class(kind: type[Store]) -> None:
    """Check what a store's class says of all its objects.

    Raises
    ------
    InputError
        It has no usable name, or another ``before`` or ``in_dram`` than there are.
    """
    name: object = getattr(kind, "name", None)
    is_word = isinstance(name, str) and re.fullmatch(r"[a-z][a-z0-9_]{0,30}", name) is not None
    if not isinstance(name, str) or not is_word or name.startswith(_TAKEN) or name in _PAID:
        raise InputError(
            "a store's name must be a lower-case word that is no tier's or counter's own, such as 'far', "
            f"got {shown(name)}"
        )
    choice(name, "before", kind.before, get_args(Before))
    flag(name, "in_dram", kind.in_dram)


def store_class(name: object) -> type[Store]:
    """Find the class of a store by its name: a plug-in.

    Raises
    ------
    InputError
        There is none, or it is no store of that name.
    """
    found = find_plugin("store", name) if isinstance(name, str) else None
    if found is None:
        known = ", ".join(plugin_names("store")) or "none is installed or registered"
        raise InputError(f"stores.kind {name!r} is no store that is known here: {known}")
    return class_of_store(str(name), found)


def class_of_store(name: str, found: object) -> type[Store]:
    """Check that a plug-in is a store of that name; give its class.

    Raises
    ------
    InputError
        It is not.
    """
    if not isinstance(found, type) or not issubclass(found, Store):
        raise InputError(f"the store {name!r} is no subclass of vl.Store: derive it from that")
    if inspect.isabstract(found):
        raise InputError(f"the store {name!r} does not say what a page takes: give it stored_bytes(contents)")
    check_class(found)
    if found.name != name:
        raise InputError(f"the store {name!r} calls itself {found.name!r}: make the two the same")
    return found


def store_fields(store: Store) -> dict[str, object]:
    """List what defines a store, ready for JSON: its kind and its fields."""
    return {"kind": store.name} | {field.name: getattr(store, field.name) for field in fields(store)}


def store_counters(name: str) -> dict[str, str]:
    """Name the counters that a store adds to those of a run, and say what they count."""
    return {
        f"{name}_in": f"pages loaded from {name}",
        f"{name}_out": f"pages stored in {name}",
        f"{name}_out_bytes": f"bytes those pages took in {name}",
        f"{name}_refused": f"pages that {name} was offered and did not take",
    }
