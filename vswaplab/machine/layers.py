"""What a swap layer costs in memory: bytes of metadata per design, for any size, use and mix.

Pure functions, in the accounting of the mailing list: every design is a few
numbers of bits per slot (``layer_designs()``). Not counted, because no design
changes them: zswap entries and their allocator handles (56 + 8 bytes a page),
page tables, and the 48 bytes a physical device keeps per cluster of 512 slots.

Real kernels allocate most of this by the cluster, and free a cluster only when
it is empty: ``cluster_metadata_bytes`` prices that.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Literal, TypeAlias, get_args, overload

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.checks import array_of, one_of
from vswaplab.base.errors import InputError
from vswaplab.base.units import PAGE_SIZE

__all__ = [
    "CLUSTER_SLOTS",
    "DESIGNS",
    "LayerDesign",
    "break_even_share",
    "cluster_metadata_bytes",
    "find_design",
    "layer_designs",
    "metadata_bytes",
]

Kind = Literal["zswap", "zero", "cram", "disk"]
Slots: TypeAlias = int | np.integer[Any] | NDArray[np.integer[Any]]
SlotsPerCluster: TypeAlias = Sequence[int] | NDArray[np.integer[Any]]

CLUSTER_SLOTS = 512
"""Slots of one cluster: a PMD's worth of 4 KiB pages."""

_BYTE = 8  # bits
_NODE_SLOTS = 64  # an xarray node; 576 bytes in slabinfo
_NODE_BYTES = 576
_MOST_BYTES = np.iinfo(np.int64).max


@dataclass(frozen=True, kw_only=True)
class LayerDesign:
    """One way to keep the names of swapped-out pages.

    Parameters
    ----------
    name
        What ``metadata_bytes`` calls it.
    title
        The same in plain words.
    layer
        The machine's layer it belongs to; ``none``: the page-table entry names
        a slot of a device, and zswap, zero and CRAM pages take such a slot too.
    device_bits : bits per slot of physical capacity
        Static: there from swapon, used or not.
    zswap_bits, zero_bits, cram_bits, disk_bits : bits per slot in use
        By what stands behind it; ``disk_bits`` with the reverse map.
    cluster_bytes : bytes per live cluster
        What is allocated with 512 slots and freed with the last of them; 0:
        every descriptor is allocated by itself.
    device_cluster_bytes : bytes per live cluster of a physical device
        The reverse map behind a layer; 0 where the device's slots are the names.
    has_zswap_tree
        zswap entries hang in an xarray of their own (in ``zswap_bits`` already).
    tag
        P published, D derived by arithmetic, M measured, guess; joined by commas.
    source, date
        Where the figures are from, and of when (YYYY-MM-DD).
    guesses
        Which figures are our reading, in words; empty if none.
    """

    name: str
    title: str
    layer: Literal["none", "vswap", "swap-table"]
    device_bits: int
    zswap_bits: int
    zero_bits: int
    cram_bits: int
    disk_bits: int
    cluster_bytes: int
    device_cluster_bytes: int = 0
    has_zswap_tree: bool = False
    tag: str
    source: str
    date: str
    guesses: str = ""

    def bits(self, kind: Kind) -> int:
        """Say what one slot in use costs, in bits, by what stands behind it.

        Examples
        --------
        >>> find_design("v6").bits("zswap")  # 24 bytes and one bit
        193
        """
        return {"zswap": self.zswap_bits, "zero": self.zero_bits, "cram": self.cram_bits, "disk": self.disk_bits}[kind]


_LORE = "https://lore.kernel.org/all/"
_V6 = f"{_LORE}20260505153854.1612033-1-nphamcs@gmail.com/"
_RFC_V2 = f"{_LORE}20250429233848.3093350-1-nphamcs@gmail.com/"
_PHASE_4 = f"{_LORE}20260220-swap-table-p4-v1-0-104795d19815@tencent.com/"
_EDITION = f"{_LORE}20260612193738.2183968-1-nphamcs@gmail.com/"
_REDIRECT = "Chris Li, reply to v3, quoted in https://lkml.iu.edu/hypermail/linux/kernel/2602.1/02140.html"
_LWN = "https://lwn.net/Articles/1072657/"

_CRAM_TREE = "cram_bits as for zswap: without a layer CRAM needs a tree from slot to device page"
_CRAM_SLOT = "cram_bits as for zswap: the device page takes the entry's place"
_TABLE = CLUSTER_SLOTS * 8  # one word a slot: exactly a page
_MEMCG = CLUSTER_SLOTS * 2  # the memcg id; measured in slabinfo, kmalloc-1k

_DESIGNS = (
    LayerDesign(
        name="before-7.0",
        title="No layer, Linux 6.19: swap_map, swap_cgroup and zeromap for every slot of the device",
        layer="none",
        device_bits=(1 + 2) * _BYTE + 1,  # swap_map, swap_cgroup, zeromap
        zswap_bits=(8 + 8) * _BYTE,  # swap table, zswap tree
        zero_bits=8 * _BYTE,
        cram_bits=(8 + 8) * _BYTE,
        disk_bits=8 * _BYTE,
        cluster_bytes=_TABLE,
        has_zswap_tree=True,
        tag="P, guess",
        source=_V6,
        date="2026-05-05",
        guesses="cluster_bytes is the swap table alone; " + _CRAM_TREE,
    ),
    LayerDesign(
        name="swap-table",
        title="No layer, Linux 7.0: the swap table counts, swap_cgroup stays static",
        layer="none",
        device_bits=2 * _BYTE,  # swap_cgroup
        zswap_bits=(8 + 8) * _BYTE,
        zero_bits=8 * _BYTE,
        cram_bits=(8 + 8) * _BYTE,
        disk_bits=8 * _BYTE,
        cluster_bytes=_TABLE,
        has_zswap_tree=True,
        tag="P, guess",
        source=_LWN,
        date="2026-05-18",
        guesses="device_bits is the published 2 bytes, without the zeromap's bit, which went away in phase IV only; "
        "zswap_bits adds the zswap tree; cluster_bytes is the swap table alone; " + _CRAM_TREE,
    ),
    LayerDesign(
        name="swap-table-phase-4",
        title="No layer, swap table phase IV: nothing static",
        layer="none",
        device_bits=0,
        zswap_bits=(8 + 8) * _BYTE,
        zero_bits=8 * _BYTE,
        cram_bits=(8 + 8) * _BYTE,
        disk_bits=8 * _BYTE,
        cluster_bytes=_TABLE + _MEMCG,
        has_zswap_tree=True,
        tag="P, M, guess",
        source=_PHASE_4,
        date="2026-02-20",
        guesses="the bits are the published 8 bytes, without the memcg id's 2, which cluster_bytes has (measured); "
        "zswap_bits adds the zswap tree; " + _CRAM_TREE,
    ),
    LayerDesign(
        name="rfc-v1",
        title="Virtual swap, RFC v1: a descriptor of 64 bytes",
        layer="vswap",
        device_bits=1 * _BYTE + 1,  # swap_map, zeromap
        zswap_bits=64 * _BYTE,
        zero_bits=64 * _BYTE,
        cram_bits=64 * _BYTE,
        disk_bits=(64 + 8) * _BYTE,
        cluster_bytes=0,
        tag="P, D, guess",
        source=_RFC_V2,
        date="2025-04-29",
        guesses="published is the descriptor alone; device_bits and the 8 bytes of reverse map follow from the change "
        "logs of v2 and v3; the xarrays around the descriptors are left out; " + _CRAM_SLOT,
    ),
    LayerDesign(
        name="rfc-v2",
        title="Virtual swap, RFC v2: a descriptor of 48 bytes, no zeromap",
        layer="vswap",
        device_bits=1 * _BYTE,  # swap_map
        zswap_bits=48 * _BYTE,
        zero_bits=48 * _BYTE,
        cram_bits=48 * _BYTE,
        disk_bits=(48 + 8) * _BYTE,
        cluster_bytes=0,
        tag="P, D, guess",
        source=_RFC_V2,
        date="2025-04-29",
        guesses="published is the descriptor alone; device_bits and the 8 bytes of reverse map follow from v3's change "
        "log; the xarrays around the descriptors are left out; " + _CRAM_SLOT,
    ),
    LayerDesign(
        name="v5",
        title="Virtual swap, v3 to v5: 24 bytes in clusters, header and descriptors in one allocation",
        layer="vswap",
        device_bits=2,  # allocated, bad
        zswap_bits=24 * _BYTE + 1,  # descriptor, cluster bitmap
        zero_bits=24 * _BYTE + 1,
        cram_bits=24 * _BYTE + 1,
        disk_bits=(24 + 8) * _BYTE + 1,  # reverse map: the device's swap table
        cluster_bytes=4 * PAGE_SIZE,  # 104 + 512 x 24 = 12392, and kmalloc rounds it to a power of two
        device_cluster_bytes=_TABLE,
        tag="P, D, guess",
        source=f"{_LORE}20260320192735.748051-1-nphamcs@gmail.com/",
        date="2026-03-20",
        guesses="cluster_bytes is derived from the structure's fields; " + _CRAM_SLOT,
    ),
    LayerDesign(
        name="v6",
        title="Virtual swap, v6: 24 bytes in clusters, descriptors apart from the header",
        layer="vswap",
        device_bits=2,
        zswap_bits=24 * _BYTE + 1,
        zero_bits=24 * _BYTE + 1,
        cram_bits=24 * _BYTE + 1,
        disk_bits=(24 + 8) * _BYTE + 1,
        cluster_bytes=112 + CLUSTER_SLOTS * 24,  # a slab cache of its own; vzalloc of three whole pages
        device_cluster_bytes=_TABLE,
        tag="P, D, guess",
        source=_V6,
        date="2026-05-05",
        guesses="cluster_bytes is derived from the structure's fields; " + _CRAM_SLOT,
    ),
    LayerDesign(
        name="swap-table-edition",
        title="Virtual swap, swap table edition: a swap table and a virtual table, 8 bytes each",
        layer="swap-table",
        device_bits=0,
        zswap_bits=(8 + 8) * _BYTE,
        zero_bits=(8 + 8) * _BYTE,
        cram_bits=(8 + 8) * _BYTE,
        disk_bits=(8 + 8 + 8) * _BYTE,
        # 96: the cluster's header, 80 bytes by its fields, in kmalloc-96
        cluster_bytes=_TABLE + _TABLE + _MEMCG + 96,
        device_cluster_bytes=_TABLE,  # no memcg table behind a layer
        tag="P, D, M, guess",
        source=_EDITION,
        date="2026-06-12",
        guesses="the bits are the published 16 and 24 bytes, without the memcg id's 2, which cluster_bytes has "
        "(measured); zero_bits as measured, the virtual table comes with the cluster; " + _CRAM_SLOT,
    ),
    LayerDesign(
        name="redirect",
        title="Proposal, Chris Li: 8 bytes, and 4 more where the page lies elsewhere",
        layer="swap-table",
        device_bits=0,
        zswap_bits=(8 + 8) * _BYTE,
        zero_bits=8 * _BYTE,
        cram_bits=(8 + 8) * _BYTE,
        disk_bits=(8 + 4) * _BYTE,
        cluster_bytes=_TABLE + CLUSTER_SLOTS * 4,
        has_zswap_tree=True,
        tag="P, guess",
        source=_REDIRECT,
        date="2026-02-09",
        guesses="published is '8 dynamic + 4 (optional redirect)'; that every disk page is redirected and no other, "
        "that the zswap tree stays, that no reverse map is added, layer and cluster_bytes are guesses; cram_bits as "
        "for zswap",
    ),
    LayerDesign(
        name="compact-3",
        title="Proposal, Kairui Song: the swap table at 3 bytes, no layer",
        layer="none",
        device_bits=0,
        zswap_bits=(3 + 8) * _BYTE,
        zero_bits=3 * _BYTE,
        cram_bits=(3 + 8) * _BYTE,
        disk_bits=3 * _BYTE,
        cluster_bytes=CLUSTER_SLOTS * 3,
        has_zswap_tree=True,
        tag="P, guess",
        source=_PHASE_4,
        date="2026-02-20",
        guesses="published is 3 bytes a slot of plain swap; zswap_bits adds the zswap tree, cluster_bytes are not "
        "rounded; " + _CRAM_TREE,
    ),
    LayerDesign(
        name="compact-1",
        title="Proposal, Kairui Song: the swap table at 1 byte, no layer",
        layer="none",
        device_bits=0,
        zswap_bits=(1 + 8) * _BYTE,
        zero_bits=1 * _BYTE,
        cram_bits=(1 + 8) * _BYTE,
        disk_bits=1 * _BYTE,
        cluster_bytes=CLUSTER_SLOTS * 1,
        has_zswap_tree=True,
        tag="P, guess",
        source=_PHASE_4,
        date="2026-02-20",
        guesses="published is 1 byte a slot of plain swap; zswap_bits adds the zswap tree, cluster_bytes are not "
        "rounded; " + _CRAM_TREE,
    ),
    LayerDesign(
        name="compact-11",
        title="Proposal, Kairui Song: virtual entries at 11 bytes",
        layer="swap-table",
        device_bits=0,
        zswap_bits=11 * _BYTE,
        zero_bits=11 * _BYTE,
        cram_bits=11 * _BYTE,
        disk_bits=(11 + 8) * _BYTE,
        cluster_bytes=CLUSTER_SLOTS * 11,
        device_cluster_bytes=_TABLE,
        tag="P, guess",
        source=_PHASE_4,
        date="2026-02-20",
        guesses="published is 11 bytes with zswap; disk_bits keeps the reverse map of 8, cluster_bytes are not "
        "rounded; " + _CRAM_SLOT,
    ),
    LayerDesign(
        name="compact-8",
        title="Proposal, Kairui Song: virtual entries at 8 bytes",
        layer="swap-table",
        device_bits=0,
        zswap_bits=8 * _BYTE,
        zero_bits=8 * _BYTE,
        cram_bits=8 * _BYTE,
        disk_bits=(8 + 8) * _BYTE,
        cluster_bytes=CLUSTER_SLOTS * 8,
        device_cluster_bytes=_TABLE,
        tag="P, guess",
        source=_PHASE_4,
        date="2026-02-20",
        guesses="published is 8 bytes with zswap; disk_bits keeps the reverse map of 8; " + _CRAM_SLOT,
    ),
)

DESIGNS = {design.name: design for design in _DESIGNS}
"""The designs by name, oldest first, proposals last."""


def layer_designs() -> pl.DataFrame:
    """Show the designs as a table, one row each, the fields of ``vswaplab.machine.layers.LayerDesign`` as columns.

    Examples
    --------
    >>> layer_designs().filter(pl.col("name") == "v6").select("layer", "device_bits", "disk_bits").row(0)
    ('vswap', 2, 257)
    """
    return pl.DataFrame([asdict(design) for design in _DESIGNS])


def find_design(name: str) -> LayerDesign:
    """Look one design up.

    Raises
    ------
    InputError
        If there is none of that name; the message lists the nearest.
    """
    if isinstance(name, str) and name in DESIGNS:
        return DESIGNS[name]
    nearest = difflib.get_close_matches(str(name).lower(), DESIGNS, n=3, cutoff=0.4) or list(DESIGNS)
    raise InputError(f"no layer design {name!r}; nearest: {', '.join(nearest)}; see vl.layer_designs()")


@overload
def metadata_bytes(
    design: str, *, capacity_slots: int, zswap: int = 0, zero: int = 0, disk: int | None = None, cram: int = 0
) -> int: ...


@overload
def metadata_bytes(
    design: str,
    *,
    capacity_slots: Slots,
    zswap: Slots = 0,
    zero: Slots = 0,
    disk: Slots | None = None,
    cram: Slots = 0,
) -> int | NDArray[np.int64]: ...


def metadata_bytes(
    design: str,
    *,
    capacity_slots: Slots,
    zswap: Slots = 0,
    zero: Slots = 0,
    disk: Slots | None = None,
    cram: Slots = 0,
) -> int | NDArray[np.int64]:
    """Say what a layer's metadata takes for a capacity, a use and a mix of tiers.

    The accounting of the published tables: bits per slot times slots, rounded
    up to whole bytes once. Exact for any size.

    Parameters
    ----------
    design
        A name of ``layer_designs()``.
    capacity_slots : slots
        Size of the physical device. A design without a layer always has one:
        its static part is counted even if nothing is in use.
    zswap, zero, cram : slots in use
        Swapped-out pages by what stands behind them. With a layer there is no
        limit to them; without one all of them and ``disk`` share the device.
    disk : slots in use
        Pages on the physical device. With a layer None says that there is no
        device at all, and ``capacity_slots`` does not matter; 0 says that there
        is one, unused, whose static part is counted.

    Returns
    -------
    n_bytes : bytes
        An integer, or an array in the common shape of the arguments.

    Raises
    ------
    InputError
        An unknown design, a number that is not whole or negative, more in use
        than the device has slots.

    Examples
    --------
    A device of 32 GiB: the old kernel's 25 MiB are there from swapon.

    >>> slots = 8 << 20
    >>> metadata_bytes("before-7.0", capacity_slots=slots) / 2**20
    25.0
    >>> [metadata_bytes("v6", capacity_slots=slots, disk=disk) / 2**20 for disk in (None, 0, slots)]
    [0.0, 2.0, 259.0]
    """
    found = find_design(design)
    capacity = _slots("capacity_slots", capacity_slots)
    used = {"zswap": _slots("zswap", zswap), "zero": _slots("zero", zero), "cram": _slots("cram", cram)}
    used["disk"] = _slots("disk", 0 if disk is None else disk)
    try:
        np.broadcast_shapes(capacity.shape, *(slots.shape for slots in used.values()))
    except ValueError:
        raise InputError("arrays of slots differ in shape: give arrays of one length, or single numbers") from None
    _check_room(found, capacity, used)
    total = sum(found.bits(kind) * used[kind] for kind in get_args(Kind))
    if found.layer == "none" or disk is not None:
        total = total + found.device_bits * capacity
    elif capacity.shape:
        total = total + 0 * capacity  # the shape alone
    return _whole_bytes(total)


def break_even_share(design_a: str, design_b: str, *, kind: Kind = "zswap") -> Fraction | None:
    """Find the use of a device's capacity at which two designs cost the same.

    Parameters
    ----------
    design_a, design_b
        Names of ``layer_designs()``.
    kind
        What stands behind every slot in use. With a layer only ``disk`` has a
        device, and so a static part.

    Returns
    -------
    share : slots in use over slots of the device
        None if the lines do not cross between 0 and 1, or are the same.

    Raises
    ------
    InputError
        An unknown design or kind.

    Examples
    --------
    >>> break_even_share("before-7.0", "v6"), break_even_share("before-7.0", "v6", kind="disk")
    (Fraction(5, 13), Fraction(23, 193))
    """
    one_of("kind", kind, get_args(Kind))
    a, b = find_design(design_a), find_design(design_b)
    static_a, static_b = (d.device_bits if d.layer == "none" or kind == "disk" else 0 for d in (a, b))
    steeper = b.bits(kind) - a.bits(kind)
    if not steeper:
        return None
    share = Fraction(static_a - static_b, steeper)
    return share if 0 <= share <= 1 else None


def cluster_metadata_bytes(
    design: str,
    slots_in_use: SlotsPerCluster,
    *,
    disk_slots_in_use: SlotsPerCluster = (),
    zswap_slots_in_use: SlotsPerCluster = (),
) -> int:
    """Say what the clusters in use take, however few of their slots are left.

    A cluster is freed only when its last slot is: one page in 32 left behind
    keeps all of the table memory. Here are whole allocations, as kernels make
    them; the static part is not in it: add
    ``metadata_bytes(design, capacity_slots=..., disk=0)``.

    Parameters
    ----------
    design
        A name of ``layer_designs()``. The RFCs have no clusters: each
        descriptor comes and goes by itself.
    slots_in_use : (n_clusters,) slots, 0 to 512
        How many slots of each cluster are in use; 0 is a freed cluster.
    disk_slots_in_use : (n_device_clusters,) slots, 0 to 512
        The same for the physical device behind a layer. Without a layer the
        clusters are the device's own, and this stays empty.
    zswap_slots_in_use : (n_clusters,) slots, 0 to 512
        Those of the slots in use that are in zswap. Only designs that keep a
        zswap tree then cost more: 576 bytes per 64 slots, slots left over taken
        as evenly spread.

    Returns
    -------
    n_bytes : bytes

    Raises
    ------
    InputError
        An unknown design, a number of slots that no cluster can have, more of
        them in zswap than are in use, device slots where there is no layer.

    Examples
    --------
    >>> cluster_metadata_bytes("swap-table-edition", [512, 16, 0])
    18624
    >>> cluster_metadata_bytes("swap-table-edition", [512, 16, 0], disk_slots_in_use=[1])
    22720
    """
    found = find_design(design)
    used = _per_cluster("slots_in_use", slots_in_use)
    on_disk = _per_cluster("disk_slots_in_use", disk_slots_in_use)
    if found.layer == "none" and on_disk.size:
        raise InputError(f"{found.name} has no layer, so its slots are the device's: leave disk_slots_in_use out")
    in_zswap = _per_cluster("zswap_slots_in_use", zswap_slots_in_use)
    _check_in_zswap(in_zswap, used)
    if not found.cluster_bytes:
        reverse_map = found.disk_bits - found.zero_bits
        return -(-(found.zero_bits * int(used.sum()) + reverse_map * int(on_disk.sum())) // _BYTE)
    n_bytes = found.cluster_bytes * int(np.count_nonzero(used))
    n_bytes += found.device_cluster_bytes * int(np.count_nonzero(on_disk))
    return n_bytes + (_tree_bytes(in_zswap) if found.has_zswap_tree else 0)


def _check_in_zswap(in_zswap: NDArray[np.int64], used: NDArray[np.int64]) -> None:
    if in_zswap.size not in (0, used.size):
        raise InputError(
            f"zswap_slots_in_use has {in_zswap.size} clusters and slots_in_use {used.size}: give as many, or none"
        )
    over = np.flatnonzero(in_zswap > used) if in_zswap.size else in_zswap
    if over.size:
        at = over[0]
        raise InputError(
            f"zswap_slots_in_use must not exceed slots_in_use, got {in_zswap[at]} for cluster {at} with {used[at]}"
        )


# The leaves that evenly spread slots keep, and the levels above them.
def _tree_bytes(used: NDArray[np.int64]) -> int:
    n_nodes = int(np.minimum(used, CLUSTER_SLOTS // _NODE_SLOTS).sum())
    total = n_nodes
    while n_nodes > 1:
        n_nodes = -(-n_nodes // _NODE_SLOTS)
        total += n_nodes
    return total * _NODE_BYTES


# Python integers inside, also in arrays: products of 64-bit numbers stay exact.
def _slots(name: str, value: object) -> NDArray[np.object_]:
    if hasattr(value, "__index__") and not isinstance(value, bool | np.bool_ | np.ndarray):
        found = np.array(value.__index__(), dtype=object)
    else:
        numbers = array_of(name, value)
        if isinstance(value, bool | str | bytes) or numbers.dtype.kind not in "iu":
            raise InputError(f"{name} must be whole slots, a number or an array of integers, got {_short(value)}")
        found = numbers.astype(object)
    if found.size and found.min() < 0:
        raise InputError(f"{name} must be at least 0 slots, got {found.min()}")
    return found


def _check_room(design: LayerDesign, capacity: NDArray[np.object_], used: dict[str, NDArray[np.object_]]) -> None:
    has_layer = design.layer != "none"
    needed = np.asarray(used["disk"] if has_layer else sum(used.values()), dtype=object)
    needed, room = np.broadcast_arrays(needed, capacity)
    is_over = np.asarray(needed > room, dtype=bool)
    if is_over.any():
        slots, limit = needed[is_over][0], room[is_over][0]
        what = "disk" if has_layer else f"without a layer ({design.name}) zswap, zero, cram and disk together"
        raise InputError(f"{what}: {slots} slots in use, but capacity_slots is {limit}; raise it or use fewer")


def _whole_bytes(bits: int | NDArray[np.object_]) -> int | NDArray[np.int64]:
    n_bytes = -(-bits // _BYTE)
    if not isinstance(n_bytes, np.ndarray):
        return int(n_bytes)
    if n_bytes.size and n_bytes.max() > _MOST_BYTES:
        raise InputError("the metadata exceed 2**63 bytes, more than an array can hold: give single numbers")
    return n_bytes.astype(np.int64)


def _per_cluster(name: str, value: SlotsPerCluster) -> NDArray[np.int64]:
    numbers = array_of(name, value)
    if not numbers.size:
        return np.zeros(0, dtype=np.int64)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise InputError(f"{name} must be a list of whole slots, one number per cluster, got {_short(value)}")
    low, high = numbers.min(), numbers.max()
    if low < 0 or high > CLUSTER_SLOTS:
        raise InputError(f"{name} must be 0 to {CLUSTER_SLOTS} slots per cluster, got {low if low < 0 else high}")
    return numbers.astype(np.int64)


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."
