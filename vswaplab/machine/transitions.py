"""Which moves a page can make between tiers, and what code and bookkeeping each needs, layer by layer.

The model's transition table as data (``_MOVES``), and two rules that derive
from it what must be written: with a virtual layer (``_with_layer``) and without
one (``_without_layer``). Left out: what the swap core does for all tiers alike
(allocating names, the swap cache, the fault), and how a CRAM page is mapped
while it stays on CRAM. CRAM is the swap backing here (``Cram(mode="swap")``);
as a memory tier it has no name to keep.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import polars as pl

from vswaplab.base.errors import InputError, shown
from vswaplab.machine.config import Layer
from vswaplab.machine.layers import Kind, find_design

__all__ = ["GROWTH", "TIER_NAMES", "CodePath", "Move", "Work", "backend_work", "moves", "transitions", "work"]

FRONTS = ("ZERO", "CRAM", "ZSWAP")
"""Tiers that are not swap devices, first choice first: without a layer each stands in front of a device's slot."""

DEVICES = ("ZRAM", "SWAPFILE", "SWAPFILE2")
"""Swap devices, by default priority; SWAPFILE2 is a second swapfile."""

TIER_NAMES = (*FRONTS, *DEVICES)

GROWTH = ("ZERO", "SWAPFILE", "ZSWAP", "CRAM", "ZRAM", "SWAPFILE2")
"""In which order a machine gains its tiers: Linux's history, then the founding mail, then more devices.

The sixth is a second swapfile and not an invented backend, because the model
has its moves and the reference makes them.
"""

Event = Literal[
    "first touch", "demotion", "clean drop", "load", "writeback", "free", "poison", "swapoff", "removal"
]  # fmt: skip
Entries = Literal["every", "mapped", "no"]
Slot = Literal["taken", "given back", "kept", "kept or given back"]

# (event, from): to. rules 2 to 4b and 7; the kernel's names are those of mm/vswap.c, v5.
_MOVES: dict[tuple[Event, str], tuple[str, ...]] = {
    ("first touch", "nowhere"): ("DRAM",),
    ("demotion", "DRAM"): TIER_NAMES,
    ("clean drop", "DRAM"): ("SWAPFILE", "SWAPFILE2"),  # zram keeps no slot behind a loaded page
    **{("load", tier): ("DRAM",) for tier in TIER_NAMES},
    ("writeback", "CRAM"): ("ZERO", "ZSWAP", *DEVICES),
    ("writeback", "ZSWAP"): DEVICES,
    **{("free", place): ("nowhere",) for place in ("DRAM", *TIER_NAMES)},
    ("poison", "CRAM"): ("nowhere",),
    **{("swapoff", tier): ("DRAM",) for tier in TIER_NAMES},
    ("removal", "CRAM"): ("ZERO", "ZSWAP", *DEVICES, "DRAM"),
}

_DESIGN: dict[Layer, str] = {"none": "swap-table-phase-4", "vswap": "v6", "swap-table": "swap-table-edition"}
_KIND: dict[str, Kind] = {"ZERO": "zero", "CRAM": "cram", "ZSWAP": "zswap", **dict.fromkeys(DEVICES, "disk")}


class CodePath(NamedTuple):
    """One piece of code: an operation on one tier, or one that has to know two."""

    operation: str
    tier: str
    other: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in self if part)


class Move(NamedTuple):
    """One row of the transition table."""

    event: Event
    source: str
    target: str


@dataclass(frozen=True)
class Work:
    """What one transition touches under one layer.

    Parameters
    ----------
    paths
        The code that it runs through.
    entries
        Whose page-table entries are rewritten: ``every`` mapper's, those that
        have the page ``mapped`` in place, or ``no`` one's.
    slot
        What becomes of the page's swap slot: afterwards it holds one
        (``taken``), none (``given back``), or what it held before (``kept``).
    """

    paths: tuple[CodePath, ...]
    entries: Entries
    slot: Slot


def moves(tiers: Iterable[str] = TIER_NAMES) -> list[Move]:
    """List the table's rows whose places are all in a machine with some tiers.

    Examples
    --------
    >>> [tuple(move) for move in moves(["ZSWAP", "SWAPFILE"]) if move.event == "writeback"]
    [('writeback', 'ZSWAP', 'SWAPFILE')]
    """
    there = {"nowhere", "DRAM", *tiers}
    rows = (Move(event, source, target) for (event, source), targets in _MOVES.items() for target in targets)
    return [move for move in rows if {move.source, move.target} <= there]


def work(move: Move, layer: Layer, tiers: Sequence[str] = TIER_NAMES) -> Work | None:
    """Derive what a transition touches; None if the layer has no such transition.

    Only a swapoff differs in kind: without a layer it also empties what stands
    in front of the device.
    """
    if layer == "none":
        return Work(_once(_without_layer(move, tiers), move), _entries_without(move), _slot_without(move))
    if move.event == "swapoff" and move.source in FRONTS:
        return None
    return Work(_once(_with_layer(move, tiers), move), _entries_with(move), _slot_with(move))


def transitions() -> pl.DataFrame:
    """Show every transition of the model, and what each layer has to do for it.

    Returns
    -------
    table : polars.DataFrame
        One row per transition of a machine with all six tiers: ``event``,
        ``from``, ``to``; then for the layers ``none`` and ``vswap`` (the swap
        table edition does the same): ``paths_*``, the pieces of code it runs
        through (see ``backend_work``); ``entries_*``, whose page-table entries
        are rewritten (``every`` mapper's, those of mappers that have the page
        ``mapped`` in place, ``no``); ``slot_*``, what becomes of its swap slot
        (``taken``: it holds one afterwards; ``given back``: none; ``kept``;
        ``kept or given back``: by the half-full mark, and always for zram).
        Null where a layer has no such transition.

    Notes
    -----
    Source: rules 2 to 7 (notebooks/guide/model.md), and mm/vswap.c, v5. A
    first touch and a clean drop need no code of a tier.

    Examples
    --------
    >>> row = transitions().row(by_predicate=(pl.col("from") == "ZSWAP") & (pl.col("to") == "SWAPFILE"), named=True)
    >>> row["slot_none"], row["slot_vswap"], row["paths_vswap"]
    ('kept', 'taken', ['write out ZSWAP', 'load ZSWAP', 'store SWAPFILE', 'free ZSWAP'])
    """
    return pl.DataFrame([_row(move) for move in moves()])


def backend_work(tiers: Sequence[str] = GROWTH) -> pl.DataFrame:
    """Count the code and the bookkeeping that a machine needs as it gains one tier after the other.

    Without a layer a page-table entry names a slot of one device, so whatever
    stands in front of that device (X) is found by the device's slot, and five
    pieces of code know both. With a layer the entry names a descriptor; a move
    is "let go of the old backing, set the new one", and no code knows two tiers.

    Two transitions share a piece of code if they run through the same operation
    on the same tiers; what is counted is the set over all transitions:

    ============  =======================================================  =======
    operation     what it does                                             layers
    ============  =======================================================  =======
    store X       put a page into a tier                                   both
    load X        get it out                                               both
    free X        let go of it                                             both (1)
    write out X   choose what leaves the tier, and carry it to a folio     both
    swapoff X     find all pages behind a device that goes away            both
    remember X Y  put the page into X's index under its slot of Y          none
    look up X Y   ask X for the slot before Y is read                      none
    forget X Y    take it out of X when the slot of Y is freed             none
    index X Y     make and drop X's index with the device Y                none
    hand over X Y move a page to Y under the name that X knew it by        none
    ============  =======================================================  =======

    (1) Without a layer only a device's slot is freed; X then forgets it.

    Whether a pair with a second device is new code is a matter of judgement, so
    both ends are given: ``n_paths`` counts each device's code by itself, and
    ``n_paths_shared`` counts all swap devices as one, as Linux has them behind
    one interface. They are equal as long as there is one device.

    Parameters
    ----------
    tiers
        At least two of ZERO, SWAPFILE, ZSWAP, CRAM, ZRAM and SWAPFILE2 (a second
        swapfile) in the order in which they are added; one of the first two
        must be a swap device, or no page could leave DRAM without a layer.

    Returns
    -------
    table : polars.DataFrame
        One row per layer and length of the list, from two tiers on: ``n_tiers``;
        ``added`` (the tier that is new); ``layer``; ``n_transitions`` that need
        code of a tier; ``n_paths`` and ``n_paths_shared`` (pieces of code);
        ``n_pairs`` of tiers that some code has to know together; ``n_rewriting``:
        transitions that no access of the page caused, and that yet rewrite every
        mapper's page-table entry; ``least_bits`` and ``most_bits`` of metadata
        of one page swapped out, by the tier that it is in.

    Raises
    ------
    InputError
        An unknown tier, one named twice, too few of them, no device to begin with.

    Notes
    -----
    The last five operations in Linux 6.19, which has no layer: mm/page_io.c,
    swap_writeout, puts a page into the zeromap or zswap under the device's slot;
    swap_read_folio tests the zeromap, then calls zswap_load, then reads the
    device; mm/swapfile.c, swap_range_free, clears the zeromap and calls
    zswap_invalidate for the device's slot; mm/zswap.c, zswap_swapon and
    zswap_swapoff, make and drop one index per device (the vswap series empties
    both); zswap_writeback_entry writes to the slot that the page already holds.
    That CRAM would need the same five is a guess: nobody wrote it, and the
    founding mail says only "boilerplate from zswap".

    The bits are those of ``layer_designs()``: swap table phase IV without a
    layer (a slot, and for zswap and CRAM a tree from slot to page), v6 for
    ``vswap``, the swap table edition for ``swap-table``.

    Examples
    --------
    >>> found = backend_work(["ZERO", "SWAPFILE", "ZSWAP", "CRAM"]).filter(pl.col("layer") != "swap-table")
    >>> found.select("n_tiers", "layer", "n_paths").rows()
    [(2, 'none', 10), (2, 'vswap', 7), (3, 'none', 18), (3, 'vswap', 11), (4, 'none', 28), (4, 'vswap', 15)]
    """
    named = _tiers(tiers)
    steps = (named[:n] for n in range(2, len(named) + 1))
    return pl.DataFrame([_count(step, layer) for step in steps for layer in get_args(Layer)])


# The two rules ---------------------------------------------------------------------------------


def _with_layer(move: Move, tiers: Sequence[str]) -> Iterator[CodePath]:
    # A move is: let go of the old backing, set the new one (mm/vswap.c, v5).
    if move.event == "swapoff":
        yield CodePath("swapoff", move.source)
    yield from _carry(move)
    if move.source in TIER_NAMES:
        yield CodePath("free", move.source)
    elif move.event == "free":  # a page in DRAM: the copy that a load left behind it
        yield from (CodePath("free", tier) for tier in tiers if tier in DEVICES)


def _without_layer(move: Move, tiers: Sequence[str]) -> Iterator[CodePath]:
    # The page is named by a slot of one of the devices, whatever stands in front of it.
    yield from _carry(move)
    if move.source in FRONTS and move.target in TIER_NAMES:
        yield CodePath("hand over", move.source, move.target)
    fronts = [tier for tier in tiers if tier in FRONTS]
    named_by = {move.source, move.target} & set(DEVICES) or DEVICES
    for device in (tier for tier in tiers if tier in named_by):
        yield from _under_slot(move, device, fronts)


def _carry(move: Move) -> Iterator[CodePath]:
    # The data, which have to be carried under any layer.
    if move.source in TIER_NAMES and move.target in TIER_NAMES:
        yield CodePath("write out", move.source)
    if move.source in TIER_NAMES and move.target != "nowhere":
        yield CodePath("load", move.source)
    if move.target in TIER_NAMES:
        yield CodePath("store", move.target)


def _once(paths: Iterable[CodePath], move: Move) -> tuple[CodePath, ...]:
    # A first touch needs no tier, and a clean drop only the swap core: the copy is there.
    return () if move.event in ("first touch", "clean drop") else tuple(dict.fromkeys(paths))


def _under_slot(move: Move, device: str, fronts: Sequence[str]) -> Iterator[CodePath]:
    if move.target in FRONTS:
        yield CodePath("remember", move.target, device)
    if move.target == "DRAM":  # all are asked, and all but one say no
        yield from (CodePath("look up", front, device) for front in fronts)
    if move.target in ("DRAM", "nowhere"):  # a load frees the slot if swap is over half full
        yield CodePath("free", device)
        yield from (CodePath("forget", front, device) for front in fronts)
    elif move.source in FRONTS:
        yield CodePath("forget", move.source, device)
    if move.event == "swapoff":
        yield CodePath("swapoff", device)
        yield from (CodePath("index", front, device) for front in fronts)


def _entries_without(move: Move) -> Entries:
    # Only zswap's pages keep their name when they move: that of the slot they hold.
    return "no" if move.source == "ZSWAP" and move.target in DEVICES else _by_cause(move) or "every"


def _entries_with(move: Move) -> Entries:
    # A CRAM page's read-only mappings must go, its entries stay (rule 6).
    return _by_cause(move) or ("mapped" if move.source == "CRAM" else "no")


def _by_cause(move: Move) -> Entries | None:
    # Reclaim and a page's own accesses change its entries under any layer; a free has cleared them before.
    if move.event in ("free", "poison"):
        return "no"
    return "every" if move.event in ("first touch", "demotion", "clean drop", "load") else None


def _slot_without(move: Move) -> Slot:
    if move.target in TIER_NAMES:
        return "kept" if move.source == "ZSWAP" or move.event == "clean drop" else "taken"
    return _slot_of_exit(move)


def _slot_with(move: Move) -> Slot:
    if move.target in DEVICES:
        return "kept" if move.event == "clean drop" else "taken"
    if move.target in TIER_NAMES:  # a page on CRAM keeps a stale slot, as one in DRAM does
        return "kept" if move.target == "CRAM" else "given back"
    return _slot_of_exit(move)


def _slot_of_exit(move: Move) -> Slot:
    if move.event in ("free", "poison", "swapoff") or (move.event, move.source) == ("load", "ZRAM"):
        return "given back"
    return "kept or given back" if move.event in ("load", "removal") else "kept"


# Counting --------------------------------------------------------------------------------------


def _row(move: Move) -> dict[str, str | list[str] | None]:
    row: dict[str, str | list[str] | None] = {"event": move.event, "from": move.source, "to": move.target}
    for layer in ("none", "vswap"):
        found = work(move, layer)
        row[f"paths_{layer}"] = None if found is None else [str(path) for path in found.paths]
        row[f"entries_{layer}"] = None if found is None else found.entries
        row[f"slot_{layer}"] = None if found is None else found.slot
    return row


def _count(tiers: Sequence[str], layer: Layer) -> dict[str, int | str]:
    by_move = {move: found for move in moves(tiers) if (found := work(move, layer, tiers)) is not None}
    paths = {path for found in by_move.values() for path in found.paths}
    uncalled = [found for move, found in by_move.items() if move.event in ("writeback", "swapoff", "removal")]
    bits = [find_design(_DESIGN[layer]).bits(_KIND[tier]) for tier in tiers]
    return {
        "n_tiers": len(tiers),
        "added": " and ".join(tiers) if len(tiers) == 2 else tiers[-1],
        "layer": layer,
        "n_transitions": sum(bool(found.paths) for found in by_move.values()),
        "n_paths": len(paths),
        "n_paths_shared": len({_shared(path) for path in paths}),
        "n_pairs": len({(path.tier, path.other) for path in paths if path.other}),
        "n_rewriting": sum(found.entries == "every" for found in uncalled),
        "least_bits": min(bits),
        "most_bits": max(bits),
    }


def _shared(path: CodePath) -> CodePath:
    return CodePath(*("device" if part in DEVICES else part for part in path))


def _tiers(tiers: Sequence[str]) -> tuple[str, ...]:
    if isinstance(tiers, str) or not isinstance(tiers, Sequence):
        raise InputError(f"tiers must be a list of names such as ['ZERO', 'SWAPFILE'], got {shown(tiers)}")
    for tier in tiers:
        if not isinstance(tier, str) or tier not in TIER_NAMES:
            nearest = difflib.get_close_matches(str(tier).upper(), TIER_NAMES, n=1, cutoff=0.5) or TIER_NAMES
            raise InputError(f"no tier {tier!r}; nearest: {', '.join(nearest)}")
        if list(tiers).count(tier) > 1:
            raise InputError(f"tier {tier!r} is named twice: name each once; a second swapfile is 'SWAPFILE2'")
    if len(tiers) < 2:
        raise InputError(
            f"tiers {list(tiers)} are fewer than two: there is nothing to compare; add some of {', '.join(TIER_NAMES)}"
        )
    if not set(tiers[:2]) & set(DEVICES):
        raise InputError(
            f"none of the first two tiers {list(tiers[:2])} is a swap device, and without a layer no page could "
            f"leave DRAM: put one of {', '.join(DEVICES)} first"
        )
    return tuple(tiers)
