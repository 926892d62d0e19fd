"""Which page leaves DRAM, or the CRAM device, next: the orders a machine may have.

``Dram.policy`` is the order of reclaim, ``Cram.writeback_policy`` that of
writeback. All of them see the same things: a page comes in (*arrives*: in DRAM
by a fault, a copy, a swapoff that loads it), is touched while it is there, goes
of its own, or is asked to leave. What a policy does with them:

lru
    The page touched longest ago leaves. With low 0 and high 1 textbook LRU; the
    order of rule 1.
fifo
    The page that arrived longest ago leaves; touches do nothing.
clock
    A queue in order of arrival, and one accessed bit a page. An arrival clears
    its bit, a later touch sets it. The oldest page is looked at: with its bit
    set it goes to the young end, the bit cleared; else it leaves. (Second
    chance, F. J. Corbato, "A paging experiment with the Multics system", 1968.)
sieve
    The same queue and bit, but a page whose bit is set stays where it is, the
    bit cleared, and the hand goes on to the next younger page. The hand keeps
    its place between evictions; behind the youngest page it starts again at the
    oldest. (Y. Zhang and others, "SIEVE is simpler than LRU", NSDI 2024,
    algorithm 1.)
generations
    In the manner of MGLRU (Linux 6.12, mm/vmscan.c; Documentation/mm/multigen_lru.rst),
    without its tiers, feedback and the cost of its page-table walks. Pages form
    generations, and queue in each. An arrival joins the youngest. Aging: every
    older page whose accessed bit is set joins the youngest generation, all bits
    are cleared, and a new youngest one is opened (inc_max_seq). It comes first
    whenever a page must leave and only two generations (MIN_NR_GENS) are left;
    and once when a reclaim begins with three of which the youngest has more than
    half of all pages or the oldest less than a quarter (should_run_aging). Empty
    oldest generations are dropped before, as long as more than two are left
    (try_to_inc_min_seq). Then the first page of the oldest generation is looked
    at: with its bit set it joins the youngest, the bit cleared; else it leaves.
    MGLRU itself, line by line: ``Machine(kernel=Kernel(lru_gen=True))``.
clairvoyant
    The page whose next touch is farthest in the future leaves; a page whose
    next access is a free, or that has none, first of all, the coldest of them
    first. (L. A. Belady, "A study of replacement algorithms", 1966.) The whole
    trace must be known. With DRAM, one swap device, low 0 and high 1 no policy
    has fewer faults. Where the compressed pool lives in DRAM, or a watermark
    frees several pages at once, it is a yardstick and no proven bound.

A touch is any access that finds the page resident, and a record's dropped
repeats (``repeat_reads``, ``repeat_writes``) are touches right behind it: in a
trace that was reduced in blocks (``recorder_k``) they come up to one block too
early, which only LRU does not notice.

A page that found room nowhere (rule 2) is set aside, and arrives again when the
demotion is over, before the current access: under ``lru`` that orders it as
just touched, under ``clock`` and ``sieve`` it is the youngest with its bit
clear, under ``generations`` it is in the youngest one; the clairvoyant knows
its next use all the same.

On the CRAM device the same orders see this:

arrival
    A victim of DRAM is stored on the device. Victims arrive in the order in
    which they left DRAM.
touch
    An access that is served there: a soft fault, a read or a write in place, the
    write that makes a page writable; and its dropped repeats, which tell none of
    our policies more than the record that they follow.
a page goes of its own
    It is promoted, freed, loaded by a swapoff or by the removal of the device, or
    lost: a poisoned page is never a victim. A zombie is nobody's page, and in no
    order.
a reclaim begins
    Here: a step of writeback begins, for the balloon, for the report, for the
    node's watermarks, or the removal of the device. Each is a reclaim of the
    device with a cause and a goal of its own, and a reclaim of DRAM may hold
    three of them or none; so ``generations`` ages by what the device has seen,
    and not by how often DRAM was short.

In one step each page is looked at once. One that finds no room (rule 2) is set
aside and arrives again when the step is over, as in DRAM. ``lru`` goes by last
touch: only ``lru`` in DRAM knows when a page was touched there, and hands that
on to the device's; otherwise a page is as young as its arrival on the device,
or its last touch there. ``clairvoyant`` sends the page on that is accessed next
farthest in the future, by a read or a write. It is the ceiling of comparisons,
and a yardstick only: a read in place costs less than a write, which promotes.
"""

from __future__ import annotations

from typing import Literal, get_args

from vswaplab.base.errors import InputError, shown
from vswaplab.base.plugins import find_plugin, plugin_names

Policy = Literal["lru", "fifo", "clock", "sieve", "generations", "clairvoyant"]

POLICIES: tuple[Policy, ...] = get_args(Policy)
"""Every policy."""

POLICY_TITLES: dict[Policy, str] = {
    "lru": "LRU",
    "fifo": "FIFO",
    "clock": "CLOCK",
    "sieve": "SIEVE",
    "generations": "generations",
    "clairvoyant": "clairvoyant",
}
"""What tables and figures call them."""

_METHODS = ("arrive", "touch", "discard", "begin", "next_victim", "__len__", "__contains__", "__iter__")


def check_policy(name: str, value: object) -> None:
    """Check that a value names a policy, one of ours or a plug-in's.

    Raises
    ------
    InputError
        It does not, or the plug-in lacks what a policy needs.
    """
    if isinstance(value, str) and value in POLICIES:
        return
    if not isinstance(value, str) or value not in plugin_names("policy"):
        known = ", ".join((*POLICIES, *plugin_names("policy")))
        raise InputError(f"{name} must be one of {known}, got {shown(value)}")
    plugged_policy(value)


def plugged_policy(name: str) -> type:
    """Give the class of a plug-in's policy.

    Raises
    ------
    InputError
        There is none of that name, or it lacks a method.
    """
    found = find_plugin("policy", name)
    if found is None:
        raise InputError(f"there is no policy {name!r} in this process: install its package, or register it here too")
    return policy_class(name, found)


def policy_class(name: str, found: object) -> type:
    """Check that a plug-in is a policy; give its class.

    Raises
    ------
    InputError
        It is no class, or lacks a method.
    """
    missing = [method for method in _METHODS if not callable(getattr(found, method, None))]
    if not isinstance(found, type) or missing:
        lacks = f"lacks {', '.join(missing)}" if missing else "is no class"
        raise InputError(f"the policy {name!r} {lacks}: start from vswaplab.engine.reference.policies.Lru")
    return found


def policy_title(name: str) -> str:
    """Say what tables and figures call a policy: a plug-in's ``title``, or its name."""
    ours = {str(policy): title for policy, title in POLICY_TITLES.items()}
    return ours[name] if name in ours else str(getattr(find_plugin("policy", name), "title", name))
